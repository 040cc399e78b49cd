"""Puts stock SOAP clients before one running gateway, and prints what worked with each.

The law: every client takes the contract as it is served, registers a person of its own, and walks over both
SOAP versions: a consent signature to its evidence, which it sends back to be verified, one operation of each
other kind, and one typed fault; those that are tried whole walk every operation of the WSDL. What counts is
said in ``matrix.py``. The document that it wrote is the gateway's, byte for byte, and our verifier must
pass it with the text that the client was given. A client whose tools are missing is "not run", never
"passed". Clients run in a time zone that is not UTC. What each stack needs to be told is in
``docs/soap-clients.md``.

    python tests/interop/run.py [--install] [--require] [--write] [FOLDER]...
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

import matrix  # noqa: E402
from live import Live, free_port, text  # noqa: E402
from person import CONSENT, SHOWN, Person  # noqa: E402
from wire import VERSIONS, Exchange, Relay  # noqa: E402

from gateway.config import OPERATIONS  # noqa: E402
from gateway.core.certpath import parse_trust  # noqa: E402
from gateway.core.conclusion import Indication  # noqa: E402
from gateway.core.model import Kind, utc_now  # noqa: E402
from gateway.core.verifier import verify_evidence  # noqa: E402
from gateway.sandbox import RELYING_PARTY, caller_file, new_caller_secret, write_secret  # noqa: E402

ZONE = "Asia/Kathmandu"
"""UTC+05:45: an hour, a minute or a sign that is lost shows."""
CLIENT_SECONDS = 120
PASSED, FAILED, NOT_RUN, NONE = "passed", "FAILED", "not run", "-"
COLUMNS = ("client", "WSDL", "1.1", "1.2", "operations", "typed fault", "base64", "remark")


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
    whole: bool = False
    """Whether it is tried with every operation, or with one of each kind."""
    by_hand: bool = False
    """Whether the contract was written by hand, and not made of the WSDL."""
    remark: str = ""

    @property
    def caller(self) -> str:
        """Its own caller of the gateway, so that the log tells the clients apart."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

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
JVM = ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", "target/classes:target/lib/*")
"""Programs that live for seconds are compiled lightly."""
JAVA = (*JVM, "Client")
MONO = ("mono", "mcs", "wsdl", "xsd", "make")
MONO_PACKAGES = ("mono-runtime", "mono-mcs", "mono-devel", "libmono-system-servicemodel4.0a-cil", "make")
CLIENTS = (
    Client("zeep", "zeep", (sys.executable, "client.py"), whole=True),
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
        whole=True,
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
    done: dict[str, set[str]] = field(default_factory=dict)
    """The operations that count, by SOAP version."""
    not_run: str | None = None
    wrong: list[str] = field(default_factory=list)

    def check(self, column: str, holds: bool, says: str) -> None:
        self.cells.setdefault(column, []).append(holds)
        if not holds:
            self.wrong.append(f"{self.client.name}, {column}: {says}")

    def row(self) -> tuple[str, ...]:
        if self.not_run is not None:
            return (self.client.name, *[NOT_RUN] * (len(COLUMNS) - 2), self.not_run)
        cells = [self.cells.get(column, []) for column in COLUMNS[1:-1]]
        marks = [NONE if not cell else PASSED if all(cell) else FAILED for cell in cells]
        if self.client.by_hand:
            marks[0] = "by hand"
        return (self.client.name, *marks, self.client.remark)


@dataclass(slots=True)
class Walk:
    """One run of a program: what it said, line by line, and the person beside it."""

    said: list[dict[str, Any]] = field(default_factory=list)
    person: Person = field(default_factory=Person)

    def hear(self, line: str) -> None:
        heard = json.loads(line)
        self.said.append(heard)
        if "response" in heard:
            self.person.hears(heard["operation"], heard["response"])

    def follow(self, client: Client, *, env: Mapping[str, str]) -> None:
        """Runs it to its end; RuntimeError with the end of what it said."""
        with tempfile.TemporaryFile("w+") as errors:
            program = subprocess.Popen(
                client.run,
                cwd=HERE / client.folder,
                env={**os.environ, **env},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
            )
            timer = threading.Timer(CLIENT_SECONDS, program.kill)
            timer.start()
            try:
                with program:
                    assert program.stdout is not None
                    for line in program.stdout:
                        self.hear(line)
            except Exception as error:
                raise RuntimeError(f"the person beside it: {error!r}") from error
            finally:
                timer.cancel()
                program.kill()
            errors.seek(0)
            if program.returncode != 0:
                raise RuntimeError(f"it ended with {program.returncode}: {errors.read().strip()[-1500:]}")


@contextmanager
def relayed_gateway(clients: Sequence[Client]) -> Iterator[tuple[Live, Relay, dict[str, str]]]:
    """A gateway that is told that the relay is its public address, and the secrets of its callers."""
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
                secrets = {client.caller: admit(client, live) for client in clients}
                live.start()
                yield live, relay, secrets
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


def admit(client: Client, live: Live) -> str:
    """Makes the client a caller with every right; its secret."""
    secret = new_caller_secret()
    about = caller_file(
        client.caller,
        relying_party=RELYING_PARTY,
        authentication="username",
        secret=secret,
        certificates=[],
        rights=sorted(OPERATIONS),
    )
    write_secret(live.folder / "callers" / f"{client.caller}.toml", about.encode())
    return secret


def try_client(client: Client, live: Live, relay: Relay, *, secret: str, folder: Path) -> Seen:
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
        out = folder / f"{client.caller}-{version}.xml"
        env = {
            **wsdl,
            "GATEWAY_USER": client.caller,
            "GATEWAY_SECRET": secret,
            "SOAP_VERSION": version,
            "EXTERNAL_REF": f"{client.caller}-{version}",
            "CONSENT": str(CONSENT),
            "OUT": str(out),
            "TZ": ZONE,
        }
        relay.exchanges()
        from_here = live.log.stat().st_size
        walk = Walk()
        try:
            walk.follow(client, env=env)
            seen.check("WSDL", True, "")
        except RuntimeError as error:
            seen.check(version, False, str(error))
        try:
            logged = outcomes(live, since=from_here, caller=client.caller)
            judge(seen, walk, relay.exchanges(), version=version, live=live, logged=logged, out=out)
        except (KeyError, TypeError, ValueError, OSError, StopIteration) as error:
            seen.check(version, False, f"{error!r} in {walk.said[-1:]}")
    return seen


def outcomes(live: Live, *, since: int, caller: str) -> Counter[str]:
    """How often the gateway's log has each operation of a caller as OK."""
    counted: Counter[str] = Counter()
    with live.log.open("rb") as log:
        log.seek(since)
        for line in log:
            with suppress(ValueError):
                entry = json.loads(line)
                if entry.get("event") == "soap" and (entry["caller"], entry["outcome"]) == (caller, "OK"):
                    counted[entry["operation"]] += 1
    return counted


def judge(
    seen: Seen,
    walk: Walk,
    wire: Sequence[Exchange],
    *,
    version: str,
    live: Live,
    logged: Mapping[str, int],
    out: Path,
) -> None:
    """Compares what a program said with what the wire, the gateway and the person say."""
    spoken = {str(exchange.version) for exchange in wire}
    seen.check(version, spoken == {version}, f"it spoke SOAP {', '.join(sorted(spoken))}")
    seen.check(version, not walk.person.wrong, "; ".join(walk.person.wrong))
    approved = {t for t, decision in walk.person.decided.items() if decision == "approved"}
    done, wrong = matrix.covered(walk.said, wire=wire, logged=logged, approved=approved)
    seen.done[version] = done
    lacks = matrix.missing(done, whole=seen.client.whole, listed=matrix.operations())
    wrong += [f"{what} is not there" for what in lacks]
    seen.check("operations", not wrong, f"SOAP {version}: {'; '.join(wrong)}")

    evidence = next(e.answer for e in wire if e.operation == "GetEvidence" and not e.fault)
    document = base64.b64decode(text(evidence, "document"))
    seen.check("base64", out.read_bytes() == document, f"SOAP {version}: not the document that was sent")
    conclusion = verify_evidence(
        out.read_bytes(), trust=parse_trust((live.folder / "keys" / "trust.pem").read_bytes()), at=utc_now()
    )
    seen.check("base64", conclusion.indication is Indication.TOTAL_PASSED, conclusion.explanation)
    texts = conclusion.evidence.content.texts if conclusion.evidence else ()
    signed = [(shown.title, shown.text) for shown in texts]
    seen.check(version, signed == SHOWN[Kind.CONSENT_SIGNATURE], f"what was signed: {signed}")

    faults = [line["fault"] for line in walk.said if "fault" in line]
    sent = [exchange.answer for exchange in wire if exchange.fault]
    seen.check("typed fault", len(faults) == len(sent) == 1, f"SOAP {version}: {faults}, sent {len(sent)}")
    for fault, element in zip(faults, sent, strict=False):
        read = (fault["code"], fault["group"], fault["retryable"], fault["field"].rpartition(".")[2])
        right = read == ("TEXT_NOT_DISPLAYABLE", "REQUEST", False, "content")
        right &= (
            not list(matrix.differences(fault, element)) and fault["correlationId"] in live.log.read_text()
        )
        seen.check("typed fault", right, f"SOAP {version}: {fault}")


def tables(results: Sequence[Seen]) -> list[list[tuple[str, ...]]]:
    """What worked with each client, and which operation in which versions."""
    rows = [COLUMNS, *(seen.row() for seen in results)]
    operations = [("operation", *(seen.client.name for seen in results))]
    for operation in matrix.operations():
        versions = ([v for v in VERSIONS if operation in seen.done.get(v, ())] for seen in results)
        operations.append((operation, *map(matrix.cell, versions)))
    return [rows, operations]


def uncovered(results: Sequence[Seen]) -> list[str]:
    """The WSDL's operations that no program did."""
    done = set().union(*(found for seen in results for found in seen.done.values()))
    return [f"{operation}: no program does it" for operation in matrix.operations() if operation not in done]


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
    parser.add_argument("--write", action="store_true", help=f"write the tables into {matrix.PAGE.name}")
    arguments = parser.parse_args()
    clients = [client for client in CLIENTS if client.folder in (arguments.client or folders)]
    if arguments.install:
        install(clients)
    results: list[Seen] = []
    with relayed_gateway(clients) as (live, relay, secrets), tempfile.TemporaryDirectory() as folder:
        for client in clients:
            began = time.monotonic()
            results.append(
                try_client(client, live, relay, secret=secrets[client.caller], folder=Path(folder))
            )
            print(f"# {client.name}: {time.monotonic() - began:.1f} s", flush=True)
    wrong = [line for seen in results for line in seen.wrong]
    if arguments.require:
        wrong += [f"{seen.client.name} was not run: {seen.not_run}" for seen in results if seen.not_run]
    found = tables(results)
    for rows in found:
        table(rows)
        print()
    if len(clients) == len(CLIENTS):
        wrong += uncovered(results)
        if not any(seen.not_run for seen in results):
            if arguments.write and not wrong:
                matrix.write(matrix.block(found))
            if matrix.written() != matrix.block(found):
                wrong.append(f"{matrix.PAGE.name} has other tables: --write")
    print("\n".join(wrong) if wrong else "As it must be.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
