"""Puts stock SOAP clients before one running gateway, and prints what worked with each.

The law: every client takes the contract as it is served, walks one consent signature to its evidence over
both SOAP versions, sends the evidence back to be verified, and reads one typed fault. What it says it saw
is compared with what the gateway says; the document that it wrote, byte for byte, and our verifier must
pass it with the text that the client was given. A client whose tools are missing is "not run", never
"passed". Clients run in a time zone that is not UTC. What each stack needs to be told is in
``docs/soap-clients.md``.

    python tests/interop/run.py [--install] [--require] [FOLDER]...
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

from live import NS, PIN, Live, free_port, text  # noqa: E402

from gateway.authenticator.authenticator import Authenticator  # noqa: E402
from gateway.core.certpath import parse_trust  # noqa: E402
from gateway.core.conclusion import Indication  # noqa: E402
from gateway.core.model import utc_now  # noqa: E402
from gateway.core.verifier import verify_evidence  # noqa: E402
from gateway.sandbox import CALLER  # noqa: E402

REFERENCE = "interop-customer"
CONSENT = HERE / "consent.txt"
TITLE = "Darlehen über € 348.500,00"
"""As it stands in every program's source."""
ZONE = "Asia/Kathmandu"
"""UTC+05:45: an hour, a minute or a sign that is lost shows."""
CLIENT_SECONDS = 120
VERSIONS = {"1.1": b"text/xml", "1.2": b"application/soap+xml"}
"""And their media types."""
_CONTENT_TYPE = re.compile(rb"(?i)\r\ncontent-type:[ \t]*([a-z+/]+)")
PASSED, FAILED, NOT_RUN, NONE = "passed", "FAILED", "not run", "-"
COLUMNS = ("client", "WSDL", "1.1", "1.2", "typed fault", "base64", "dateTime", "remark")


@dataclass(frozen=True, slots=True)
class Client:
    name: str
    folder: str
    run: tuple[str, ...]
    """The command of the client, in its folder."""
    programs: tuple[str, ...] = ()
    """What must be on the PATH."""
    probe: tuple[str, ...] = ("true",)
    """A command that succeeds where the libraries are there too."""
    packages: tuple[str, ...] = ()
    """Debian's packages of programs and libraries."""
    install: tuple[tuple[str, ...], ...] = ()
    """Commands that fetch from a registry."""
    build: tuple[tuple[str, ...], ...] = ()
    """Commands that generate and compile, without a registry, from the contract as it is now."""
    ready: str = "."
    """What ``install`` leaves in the folder."""
    by_hand: bool = False
    """Whether the contract was written by hand, and not made of the WSDL."""
    remark: str = ""

    def lacks(self) -> str | None:
        """What apt would have to bring."""
        absent = [program for program in self.programs if shutil.which(program) is None]
        if absent:
            return f"{', '.join(absent)} not installed"
        if subprocess.run(self.probe, capture_output=True, check=False).returncode != 0:
            return f"not all of {', '.join(self.packages)} installed"
        return None

    def missing(self) -> str | None:
        """Why it cannot be run; None where it can."""
        if not (HERE / self.folder / self.ready).exists():
            return self.lacks() or f"{self.folder}/{self.ready} is not there: --install"
        return self.lacks()


MAVEN = ("mvn", "-q", "-B", "clean", "compile")
JAVA = ("java", "-cp", "target/classes:target/lib/*", "Client")
MONO = ("mono", "mcs", "wsdl", "xsd", "make")
MONO_PACKAGES = ("mono-runtime", "mono-mcs", "mono-devel", "libmono-system-servicemodel4.0a-cil", "make")
CLIENTS = (
    Client("zeep", "zeep", (sys.executable, "client.py")),
    Client(
        "PHP SoapClient",
        "php",
        ("php", "client.php"),
        programs=("php",),
        packages=("php-cli", "php-soap"),
        probe=("php", "-r", "exit(extension_loaded('soap') ? 0 : 1);"),
    ),
    Client(
        "gSOAP",
        "gsoap",
        ("target/client",),
        programs=("wsdl2h", "soapcpp2", "g++", "make", "pkg-config"),
        probe=("pkg-config", "--exists", "gsoapssl++", "openssl"),
        packages=("gsoap", "libgsoap-dev", "libssl-dev", "g++", "make", "pkg-config"),
        build=(("make", "-s"),),
    ),
    Client(
        "node soap",
        "node-soap",
        ("node", "client.js"),
        programs=("node", "npm"),
        packages=("nodejs", "npm"),
        install=(("npm", "ci", "--silent"),),
        ready="node_modules/soap",
    ),
    Client(
        "node strong-soap",
        "strong-soap",
        ("node", "client.js"),
        programs=("node", "npm"),
        packages=("nodejs", "npm"),
        install=(("npm", "ci", "--silent"),),
        ready="node_modules/strong-soap",
    ),
    Client(
        "JAX-WS RI",
        "jaxws-ri",
        JAVA,
        programs=("javac", "mvn"),
        packages=("default-jdk-headless", "maven"),
        install=(MAVEN,),
        build=((*MAVEN, "-o"),),
        ready="target/lib",
    ),
    Client(
        "Apache CXF",
        "cxf",
        JAVA,
        programs=("javac", "mvn"),
        packages=("default-jdk-headless", "maven"),
        install=(MAVEN,),
        build=((*MAVEN, "-o"),),
        ready="target/lib",
    ),
    Client(
        ".NET wsdl.exe (Mono)",
        "dotnet",
        ("mono", "target/asmx.exe"),
        programs=MONO,
        packages=MONO_PACKAGES,
        build=(("make", "-s", "target/asmx.exe"),),
    ),
    Client(
        ".NET WCF (Mono)",
        "dotnet",
        ("mono", "target/wcf.exe"),
        programs=MONO,
        packages=MONO_PACKAGES,
        build=(("make", "-s", "target/wcf.exe"),),
        by_hand=True,
        remark="Mono's svcutil cannot read the WSDL",
    ),
)


@dataclass(slots=True)
class Seen:
    """What one client did, by column."""

    client: Client
    cells: dict[str, list[bool]] = field(default_factory=dict)
    not_run: str | None = None
    wrong: list[str] = field(default_factory=list)

    def check(self, column: str, holds: bool, says: str) -> None:
        self.cells.setdefault(column, []).append(holds)
        if not holds:
            self.wrong.append(f"{self.client.name}, {column}: {says}")

    def row(self) -> tuple[str, ...]:
        if self.not_run is not None:
            return (self.client.name, *[NOT_RUN] * 6, self.not_run)
        cells = [self.cells.get(column, []) for column in COLUMNS[1:-1]]
        marks = [NONE if not cell else PASSED if all(cell) else FAILED for cell in cells]
        if self.client.by_hand:
            marks[0] = "by hand"
        return (self.client.name, *marks, self.client.remark)


class Customer:
    """A person with a phone, who approves whatever comes, as soon as it is there."""

    def __init__(self, live: Live) -> None:
        self._phone: Authenticator = live.phone(REFERENCE)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._approve_all)
        self.error: Exception | None = None

    def __enter__(self) -> Customer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _approve_all(self) -> None:
        try:
            while not self._end.wait(0.3):
                for waiting in self._phone.waiting():
                    self._phone.claim(waiting.id)
                    self._phone.approve(waiting.id, pin=PIN)
        except Exception as error:  # told by the main thread
            self.error = error


class Relay(socketserver.ThreadingTCPServer):
    """Stands before the gateway, passes bytes on as they are, and keeps what was sent to it."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.gateway = ("127.0.0.1", port)
        self.sent = bytearray()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def versions(self) -> set[str]:
        """The SOAP versions of what was sent, by its content types; from now on a new list."""
        found = {word.lower() for word in _CONTENT_TYPE.findall(self.sent)}
        self.sent.clear()
        return {version for version, media_type in VERSIONS.items() if media_type in found}


class _Connection(socketserver.BaseRequestHandler):
    server: Relay

    def handle(self) -> None:
        with socket.create_connection(self.server.gateway) as gateway:
            back = threading.Thread(target=self._copy, args=(gateway, self.request, bytearray()))
            back.start()
            self._copy(self.request, gateway, self.server.sent)
            back.join()

    def _copy(self, source: socket.socket, target: socket.socket, seen: bytearray) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                seen += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def relayed_gateway() -> Iterator[tuple[Live, Relay]]:
    """A gateway that is told that the relay is its public address."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-interop-"))
    folder.chmod(0o755)
    live = Live(folder / "sandbox", free_port())
    live.folder.chmod(0o711)
    try:
        with Relay(live.port) as relay:
            threading.Thread(target=relay.serve_forever, daemon=True).start()
            file = live.folder / "gateway.toml"
            file.write_text(
                file.read_text().replace(f'public_url = "{live.url}"', f'public_url = "{relay.url}"')
            )
            try:
                live.start()
                yield live, relay
            finally:
                relay.shutdown()
    finally:
        if live.process is not None and live.process.poll() is None:
            live.stop()
        shutil.rmtree(folder)


def execute(command: Sequence[str], *, folder: str, env: dict[str, str], seconds: int) -> str:
    """Its output; RuntimeError with the end of what it said."""
    try:
        done = subprocess.run(
            command,
            cwd=HERE / folder,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(str(error)) from error
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()[-1500:]
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {said}")
    return done.stdout


def try_client(client: Client, live: Live, relay: Relay, *, folder: Path) -> Seen:
    seen = Seen(client, not_run=client.missing())
    if seen.not_run is not None:
        return seen
    wsdl = {"GATEWAY_WSDL": f"{relay.url}/soap/v1?wsdl"}
    try:
        for command in client.build:
            execute(command, folder=client.folder, env=wsdl, seconds=600)
    except RuntimeError as error:
        seen.check("WSDL", False, str(error))
        return seen
    for version in VERSIONS:
        out = folder / f"{client.folder}-{version}.xml"
        env = {
            **wsdl,
            "GATEWAY_USER": CALLER,
            "GATEWAY_SECRET": live.secret,
            "SOAP_VERSION": version,
            "EXTERNAL_REF": REFERENCE,
            "CONSENT": str(CONSENT),
            "OUT": str(out),
            "TZ": ZONE,
        }
        try:
            relay.versions()
            output = execute(client.run, folder=client.folder, env=env, seconds=CLIENT_SECONDS)
            said = json.loads(output)
        except (RuntimeError, ValueError) as error:
            seen.check(version, False, str(error))
            continue
        seen.check("WSDL", True, "")
        spoken = relay.versions()
        seen.check(version, spoken == {version}, f"it spoke SOAP {', '.join(sorted(spoken))}")
        try:
            judge(seen, said, version=version, live=live, out=out)
        except (KeyError, TypeError, ValueError, OSError) as error:
            seen.check(version, False, f"{error!r} in {said}")
    return seen


def judge(seen: Seen, said: dict[str, Any], *, version: str, live: Live, out: Path) -> None:
    """Compares what a client said with what the gateway says."""
    asked = f"<transactionId>{said['transactionId']}</transactionId>"
    transaction = live.call("GetTransaction", asked)
    walked = said["database"] is True and said["started"] in ("REQUESTED", "PENDING")
    walked &= said["final"] == text(transaction, "state") == "COMPLETED"
    amr = [str(element.text) for element in transaction.iter(f"{{{NS}}}amr")]
    seen.check(version, walked and said["amr"] == amr, f"{said}, the gateway: {amr}")

    for name in ("createdAt", "decidedAt"):
        expected = datetime.fromisoformat(text(transaction, name))
        value = datetime.fromisoformat(said[name])
        same = value.utcoffset() == UTC.utcoffset(None) and value == expected
        seen.check("dateTime", same, f"SOAP {version} {name}: {said[name]} is not {expected.isoformat()}")

    document = base64.b64decode(text(live.call("GetEvidence", asked), "document"))
    same = out.read_bytes() == document
    told = (said["length"], said["sha256"]) == (len(document), hashlib.sha256(document).hexdigest())
    told &= said["indication"] == "TOTAL-PASSED"
    seen.check("base64", same and told, f"SOAP {version}: not the document that the gateway stored: {said}")
    conclusion = verify_evidence(
        out.read_bytes(), trust=parse_trust((live.folder / "keys" / "trust.pem").read_bytes()), at=utc_now()
    )
    seen.check("base64", conclusion.indication is Indication.TOTAL_PASSED, conclusion.explanation)
    texts = conclusion.evidence.content.texts if conclusion.evidence else ()
    shown = [(shown.title, shown.text) for shown in texts]
    sent = [(TITLE, CONSENT.read_text(encoding="utf-8"))]
    seen.check(version, shown == sent, f"what was signed: {shown}")

    fault = said["fault"]
    read = (fault["code"], fault["group"], fault["retryable"], fault["field"].rpartition(".")[2])
    right = read == ("TEXT_NOT_DISPLAYABLE", "REQUEST", False, "content") and "U+200B" in fault["message"]
    right &= re.fullmatch(r"[0-9a-f]{32}", fault["correlationId"]) is not None
    right &= fault["correlationId"] in live.log.read_text()
    seen.check("typed fault", right, f"SOAP {version}: {fault}")


def install(clients: Sequence[Client]) -> None:
    """What apt, npm and Maven can give; a client that is not served is told later as "not run"."""
    packages = sorted({package for client in clients if client.lacks() for package in client.packages})
    if packages:
        attempt(("apt-get", "update", "-qq"), folder=".")
        attempt(("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages), folder=".")
    for client in clients:
        if client.missing() is not None:
            for command in client.install:
                attempt(command, folder=client.folder)


def attempt(command: Sequence[str], *, folder: str) -> None:
    print(f"# {' '.join(command)}", flush=True)
    try:
        execute(command, folder=folder, env={"DEBIAN_FRONTEND": "noninteractive"}, seconds=1200)
    except RuntimeError as error:
        print(error, file=sys.stderr)


def table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print(" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def main() -> int:
    folders = sorted({client.folder for client in CLIENTS})
    parser = argparse.ArgumentParser(description="What worked with which stock SOAP client.")
    parser.add_argument(
        "client", nargs="*", choices=[[], *folders], metavar="FOLDER", help="only the clients of these"
    )
    parser.add_argument("--install", action="store_true", help="fetch what is missing, where it can be had")
    parser.add_argument("--require", action="store_true", help="a client that is not run is a failure")
    arguments = parser.parse_args()
    clients = [client for client in CLIENTS if client.folder in (arguments.client or folders)]
    if arguments.install:
        install(clients)
    results: list[Seen] = []
    with (
        relayed_gateway() as (live, relay),
        tempfile.TemporaryDirectory() as folder,
        Customer(live) as customer,
    ):
        for client in clients:
            results.append(try_client(client, live, relay, folder=Path(folder)))
            print(f"# {client.name}: done", flush=True)
    wrong = [line for seen in results for line in seen.wrong]
    if customer.error is not None:
        wrong.append(f"the authenticator: {customer.error!r}")
    if arguments.require:
        wrong += [f"{seen.client.name} was not run: {seen.not_run}" for seen in results if seen.not_run]
    table([COLUMNS, *(seen.row() for seen in results)])
    print("\n" + ("\n".join(wrong) if wrong else "As it must be."))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
