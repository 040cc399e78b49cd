"""Stock stacks that sign their messages, or stand behind mTLS, before one running gateway.

The law: each stack is its own caller with its own certificate, calls the contract as it is served, and is
tried in every game of ``meddler``. It must take the response and the fault as they were signed, and refuse
both in every other game, over the gateway's signature alone; the gateway must have answered each time, or
nothing was refused. Behind mTLS, before a real nginx, the games are those of certificates. A stack whose
tools are missing is "not run", never "passed". Each program is a sample too; ``docs/stacks`` explains them.

    python tests/interop/callers.py [--install] [--require] [--write] [FOLDER]...
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

import matrix  # noqa: E402
from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives.serialization import (  # noqa: E402
    BestAvailableEncryption,
    Encoding,
    load_pem_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import (  # noqa: E402
    PKCS12Certificate,
    serialize_java_truststore,
    serialize_key_and_certificates,
)
from live import Live, free_port, text  # noqa: E402
from lxml import etree  # noqa: E402
from meddler import GAMES, Answered, Meddler, meddler  # noqa: E402
from nginx_door import Ca, Door  # noqa: E402
from run import (  # noqa: E402
    CLIENT_SECONDS,
    CLIENTS,
    FAILED,
    HERE,
    JVM,
    NONE,
    NOT_RUN,
    PASSED,
    ZONE,
    Client,
    execute,
    install,
    table,
)
from signed import Signer, signer, verify_answer  # noqa: E402

from gateway.config import OPERATIONS  # noqa: E402
from gateway.sandbox import RELYING_PARTY, caller_file, write_secret  # noqa: E402

PAGE = matrix.ROOT / "docs" / "stacks" / "README.md"
PASSWORD: Final = "changeit"
"""Of key stores that live as long as one run."""
RESPONSE, FAULT, UNKNOWN = "StartRegistration", "GetTransaction", "NOT_FOUND"
"""What each program asks for, and the code of the fault that it must get."""
SIGNED_GAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "1.1": (*GAMES, "repeated"),
    "1.2": ("genuine", "changed"),
}
DOOR_GAMES: Final = ("genuine", "unpinned", "foreign", "impostor")
"""With its own certificate; with another of the same CA; of another CA; and before a server of another CA."""
COLUMNS = (
    "stack",
    "key",
    "1.1",
    "1.2",
    *(game for game in SIGNED_GAMES["1.1"] if game != "genuine"),
    "remark",
)
DOOR_COLUMNS = ("stack behind mTLS", "1.1", "1.2", *DOOR_GAMES[1:], "remark")
NOT_NOTICED = "not noticed"


@dataclass(frozen=True, slots=True)
class Stack(Client):
    """A client with a key."""

    key: str = "rsa"
    """Its kind, as ``signed.signer`` names it."""
    query: str = "wsdl"
    """What it asks the WSDL with."""
    mtls: bool = False
    """Whether it signs nothing, and shows a client certificate to nginx."""
    confirmed: bool = True
    """Whether it holds an answer against its own question (SignatureConfirmation, RelatesTo)."""
    first_body: bool = False
    """Whether the first Body is its Body, wherever it stands: of two it may take the one that was signed."""


def cxf(name: str, program: str, **more: Any) -> Stack:
    built = next(client for client in CLIENTS if client.folder == "cxf")
    own = {"name": name, "run": (*JVM, program)}
    return Stack(**{f.name: getattr(built, f.name) for f in fields(built)} | own, **more)


def php(name: str, program: str, **more: Any) -> Stack:
    return Stack(
        name,
        "php",
        ("php", program),
        programs=("php",),
        probe=("php", "-r", "exit(extension_loaded('soap') && extension_loaded('dom') ? 0 : 1);"),
        packages=("php-cli", "php-soap", "php-xml"),
        **more,
    )


STACKS: Final = (
    Stack("python-xmlsec", "xmlsec", (sys.executable, "signed.py"), remark="no SOAP library"),
    Stack("python-xmlsec, P-256", "xmlsec", (sys.executable, "signed.py"), key="p256", remark="ECDSA"),
    Stack("zeep", "zeep", (sys.executable, "signed.py")),
    Stack("zeep, P-256", "zeep", (sys.executable, "signed.py"), key="p256", remark="ECDSA"),
    *(
        Stack(
            name,
            "node-soap",
            ("node", "signed.js"),
            programs=("node", "npm"),
            packages=("nodejs", "npm"),
            install=(("npm", "ci", "--silent"),),
            ready="node_modules/soap",
            key=key,
            remark=remark,
        )
        for name, key, remark in (
            ("node soap", "rsa", "with xml-crypto"),
            ("node soap, P-256", "p256", "with xml-crypto, and ECDSA of its own"),
        )
    ),
    Stack(
        ".NET SignedXml (Mono)",
        "dotnet",
        ("env", "KEYSTORE=target/caller.p12", "mono", "target/signed.exe"),
        programs=("mono", "mcs", "xsd", "make", "openssl"),
        packages=("mono-runtime", "mono-mcs", "mono-devel", "make", "openssl"),
        build=(("make", "-s", "target/signed.exe", "target/caller.p12"),),
    ),
    cxf("Apache CXF, by policy", "SignedByPolicy", query="wsdl&policy=x509", first_body=True),
    cxf("Apache CXF, interceptors", "Signed", first_body=True),
    cxf("Apache CXF, interceptors, P-256", "Signed", key="p256", first_body=True),
    cxf("Apache CXF, TLS certificate", "Mtls", query="wsdl&policy=mtls", mtls=True),
    php("PHP SoapClient", "signed.php", remark="with ext-openssl and ext-dom"),
    php("PHP SoapClient, P-256", "signed.php", key="p256", remark="with ext-openssl and ext-dom"),
    php("PHP SoapClient, TLS certificate", "mtls.php", query="wsdl&policy=mtls", mtls=True),
    Stack(
        "gSOAP",
        "gsoap",
        ("target/signed",),
        programs=("wsdl2h", "soapcpp2", "g++", "make", "pkg-config"),
        probe=("pkg-config", "--exists", "gsoapssl++", "openssl"),
        packages=("gsoap", "libgsoap-dev", "libssl-dev", "g++", "make", "pkg-config"),
        build=(("make", "-s", "signed"),),
    ),
)


@dataclass(slots=True)
class Seen:
    """What one stack did, by column."""

    stack: Stack
    cells: dict[str, list[bool]] = field(default_factory=dict)
    not_run: str | None = None
    wrong: list[str] = field(default_factory=list)

    def check(self, column: str, holds: bool, says: str) -> None:
        self.cells.setdefault(column, []).append(holds)
        if not holds:
            self.wrong.append(f"{self.stack.name}, {column}: {says}")

    def row(self) -> tuple[str, ...]:
        columns = DOOR_COLUMNS if self.stack.mtls else COLUMNS
        if self.not_run is not None:
            return (self.stack.name, *[NOT_RUN] * (len(columns) - 2), self.not_run)
        cells = {c: PASSED if all(found) else FAILED for c, found in self.cells.items()}
        if not self.stack.confirmed and cells.get("repeated") == PASSED:
            cells["repeated"] = NOT_NOTICED
        cells["key"] = self.stack.key
        return (self.stack.name, *(cells.get(column, NONE) for column in columns[1:-1]), self.stack.remark)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the stacks meet the gateway."""

    folder: Path
    live: Live
    between: Meddler

    @property
    def gateway_certificate(self) -> Path:
        return self.live.folder / "keys" / "message.pem"

    def keys(self, stack: Stack) -> Path:
        """The folder of its keys."""
        return self.folder / stack.caller

    def environment(self, stack: Stack) -> dict[str, str]:
        return {
            "GATEWAY_WSDL": f"{self.between.url}/soap/v1?{stack.query}",
            **key_files(self.keys(stack)),
            "GATEWAY_CERTIFICATE": str(self.gateway_certificate),
            "TZ": ZONE,
        }


@contextmanager
def place(stacks: Sequence[Stack]) -> Iterator[Place]:
    """A gateway that is told that the meddler is its public address, and that knows each stack."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-callers-"))
    folder.chmod(0o755)
    live = Live(folder / "sandbox", free_port())
    live.folder.chmod(0o711)
    try:
        with meddler(live.port) as between:
            file = live.folder / "gateway.toml"
            file.write_text(
                file.read_text().replace(f'public_url = "{live.url}"', f'public_url = "{between.url}"')
            )
            found = Place(folder, live, between)
            for stack in stacks:
                admit(stack, found)
            live.start()
            yield found
    finally:
        if live.process is not None and live.process.poll() is None:
            live.stop()
        shutil.rmtree(folder)


def admit(stack: Stack, where: Place) -> None:
    """Makes the stack a caller that signs, and writes its keys in every form that a stack may want."""
    by, keys = signer(stack.caller, stack.key), where.keys(stack)
    keys.mkdir()
    write_keys(by, keys, trusted=x509.load_pem_x509_certificate(where.gateway_certificate.read_bytes()))
    known = about(stack, keys / "certificate.pem", way="x509")
    write_secret(where.live.folder / "callers" / f"{stack.caller}.toml", known.encode())


def about(stack: Stack, certificate: Path, *, way: str) -> str:
    return caller_file(
        stack.caller,
        relying_party=RELYING_PARTY,
        authentication=way,
        secret=None,
        certificates=[str(certificate)],
        rights=sorted(OPERATIONS),
    )


def key_files(keys: Path) -> dict[str, str]:
    """What ``write_keys`` wrote, as programs are told of it."""
    return {
        "KEY": str(keys / "key.pem"),
        "CERTIFICATE": str(keys / "certificate.pem"),
        "KEYSTORE": str(keys / "key.p12"),
        "TRUSTSTORE": str(keys / "trust.p12"),
        "KEYSTORE_PASSWORD": PASSWORD,
    }


def write_keys(by: Signer, folder: Path, *, trusted: x509.Certificate) -> None:
    sealed = BestAvailableEncryption(PASSWORD.encode())
    key: Any = load_pem_private_key(by.key_pem, password=None)
    (folder / "key.pem").write_bytes(by.key_pem)
    (folder / "certificate.pem").write_bytes(by.certificate.public_bytes(Encoding.PEM))
    (folder / "key.p12").write_bytes(
        serialize_key_and_certificates(b"caller", key, by.certificate, None, sealed)
    )
    (folder / "trust.p12").write_bytes(
        serialize_java_truststore([PKCS12Certificate(trusted, b"gateway")], sealed)
    )


def try_stack(stack: Stack, where: Place) -> Seen:
    seen = Seen(stack, not_run=stack.missing())
    if seen.not_run is not None:
        return seen
    env = where.environment(stack)
    try:
        for command in stack.build:
            execute(command, folder=stack.folder, env=env, seconds=600)
    except RuntimeError as error:
        seen.check("1.1", False, str(error))
        return seen
    for version, games in SIGNED_GAMES.items():
        for game in (*games, "behind") if stack.first_body and "wrapped" in games else games:
            column = {"genuine": version, "behind": "wrapped"}.get(game, game)
            where.between.game = game
            where.between.taken()
            who = f"{stack.caller}-{version}-{game}"
            try:
                said = run(stack, env={**env, "SOAP_VERSION": version, "EXTERNAL_REF": who})
            except RuntimeError as error:
                seen.check(column, False, f"SOAP {version}: {error}")
                continue
            taken = where.between.taken()
            for wrong in answered(taken, where=where) or judge(said, taken, game=game, stack=stack):
                seen.check(column, False, f"SOAP {version}: {wrong}")
            seen.check(column, True, "")
    return seen


# behind mTLS


def try_door(stack: Stack, door: Door, *, others: Ca) -> Seen:
    """In each game one thing differs: the certificate that it shows, or the CA that it believes."""
    seen = Seen(stack, not_run=stack.missing())
    if seen.not_run is not None:
        return seen
    shown = {
        "unpinned": door.folder / "unpinned",
        "foreign": others.folder / "foreign",
    }
    for version in SIGNED_GAMES:
        for game in DOOR_GAMES if version == "1.1" else DOOR_GAMES[:1]:
            column = version if game == "genuine" else game
            who = shown.get(game, door.folder / stack.caller)
            keys = Path(tempfile.mkdtemp(dir=others.folder))
            by = Signer(
                who.with_suffix(".key").read_bytes(),
                x509.load_pem_x509_certificate(who.with_suffix(".pem").read_bytes()),
            )
            ca = (others if game == "impostor" else door.ca).pem
            write_keys(by, keys, trusted=x509.load_pem_x509_certificate(ca.read_bytes()))
            env = {
                "GATEWAY_WSDL": f"{door.url}/soap/v1?{stack.query}",
                **key_files(keys),
                "CA": str(ca),
                "TZ": ZONE,
                "SOAP_VERSION": version,
                "EXTERNAL_REF": f"{stack.caller}-{version}-{game}",
            }
            try:
                said = run(stack, env=env)
            except RuntimeError as error:
                seen.check(column, False, f"SOAP {version}: {error}")
                continue
            wanted = {"genuine": ["registrationId", UNKNOWN], "unpinned": ["NOT_AUTHENTICATED"] * 2}.get(
                game, ["refused"] * 2
            )
            right = [line.get("operation") for line in said] == [RESPONSE, FAULT] and all(
                word in json.dumps(line) for word, line in zip(wanted, said, strict=True)
            )
            seen.check(column, right, f"SOAP {version}: it said {said}")
    return seen


@contextmanager
def door_before(stacks: Sequence[Stack]) -> Iterator[tuple[Door, Ca]]:
    """nginx before a gateway that knows each stack by its certificate; and a CA that nobody believes."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-door-"))
    folder.chmod(0o755)
    try:
        for name in ("door", "others"):
            (folder / name).mkdir()
        door = Door(Live(folder / "sandbox", port=1), folder=folder / "door")
        others = Ca(folder / "others")
        others.issue("foreign")
        door.ca.issue("unpinned")
        for stack in stacks:
            door.ca.issue(stack.caller)
            known = about(stack, door.folder / f"{stack.caller}.pem", way="mtls")
            write_secret(door.live.folder / "callers" / f"{stack.caller}.toml", known.encode())
        with door.open():
            yield door, others
    finally:
        shutil.rmtree(folder)


def run(stack: Stack, *, env: Mapping[str, str]) -> list[dict[str, Any]]:
    """What the program said; RuntimeError where it did not end well."""
    printed = execute(stack.run, folder=stack.folder, env=dict(env), seconds=CLIENT_SECONDS)
    try:
        return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    except ValueError as error:
        raise RuntimeError(f"it printed {printed[-500:]!r}") from error


def answered(taken: Sequence[Answered], *, where: Place) -> list[str]:
    """What is wrong with the gateway's own answers, as python-xmlsec sees them."""
    by = x509.load_pem_x509_certificate(where.gateway_certificate.read_bytes())
    asked = [one.operation for one in taken]
    if asked != [RESPONSE, FAULT]:
        return [f"it asked {asked}: {[one.answer[:2000] for one in taken][-1:]}"]
    codes = [etree.fromstring(one.answer).findtext(".//{*}code") for one in taken]
    if codes != [None, UNKNOWN]:
        return [f"it was answered {codes}"]
    wrong = []
    for one in taken:
        parts = set(verify_answer(one.answer, by))
        if not {"Body", "Timestamp", "SignatureConfirmation"} <= parts:
            wrong.append(f"the answer to {one.operation} signs {sorted(parts)}")
    return wrong


def judge(said: Sequence[dict[str, Any]], taken: Sequence[Answered], *, game: str, stack: Stack) -> list[str]:
    """What is wrong with what a program made of its answers."""
    if [line.get("operation") for line in said] != [RESPONSE, FAULT]:
        return [f"it said {said}"]
    wrong = []
    for line, one in zip(said, taken, strict=True):
        refused, whole = bool(line.get("refused")), read_whole(line, one)
        holds = {
            "genuine": whole,
            "commented": whole or refused,
            "repeated": refused or not stack.confirmed,
            "wrapped": refused or (stack.first_body and whole and of_this_answer(line, one)),
        }.get(game, refused)
        if not holds:
            wrong.append(f"{game}: it said {line}")
    return wrong


def read_whole(line: Mapping[str, Any], one: Answered) -> bool:
    if one.operation == RESPONSE:
        registration = text(etree.fromstring(one.answer), "registrationId")
        return registration in json.dumps(line.get("response"))
    return bool(line.get("fault", {}).get("code") == UNKNOWN)


def of_this_answer(line: Mapping[str, Any], one: Answered) -> bool:
    """Whether it read what was signed, and nothing of the other Body."""
    signed = [e.text for e in etree.fromstring(one.answer)[-1].iter() if not len(e) and e.text]
    first = next(text for text in signed if any(character.isdigit() for character in text))
    return json.dumps(first) in json.dumps(line)


def timed(stacks: Sequence[Stack], attempt: Callable[[Stack], Seen]) -> list[Seen]:
    found = []
    for stack in stacks:
        began = time.monotonic()
        found.append(attempt(stack))
        print(f"# {stack.name}: {time.monotonic() - began:.1f} s", flush=True)
    return found


def main() -> int:
    folders = sorted({stack.folder for stack in STACKS})
    parser = argparse.ArgumentParser(description="What signed calls worked with which stack.")
    parser.add_argument(
        "stack", nargs="*", choices=[[], *folders], metavar="FOLDER", help="only the stacks of these"
    )
    parser.add_argument("--install", action="store_true", help="fetch what is missing, where it can be had")
    parser.add_argument("--require", action="store_true", help="a stack that is not run is a failure")
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.name}")
    arguments = parser.parse_args()
    stacks = [stack for stack in STACKS if stack.folder in (arguments.stack or folders)]
    if arguments.install:
        install(stacks)
    signing = [stack for stack in stacks if not stack.mtls]
    shown = [stack for stack in stacks if stack.mtls]
    results: list[Seen] = []
    if signing:
        with place(signing) as where:
            results += timed(signing, lambda stack: try_stack(stack, where))
    if shown:
        with door_before(shown) as (door, others):
            results += timed(shown, lambda stack: try_door(stack, door, others=others))
    wrong = [line for seen in results for line in seen.wrong]
    if arguments.require:
        wrong += [f"{seen.stack.name} was not run: {seen.not_run}" for seen in results if seen.not_run]
    tables = [
        [columns, *(seen.row() for seen in results if seen.stack.mtls is mtls)]
        for columns, mtls in ((COLUMNS, False), (DOOR_COLUMNS, True))
    ]
    for rows in tables:
        table(rows)
        print()
    if len(stacks) == len(STACKS) and not any(seen.not_run for seen in results):
        if arguments.write and not wrong:
            matrix.write(matrix.block(tables), page=PAGE)
        if matrix.written(page=PAGE) != matrix.block(tables):
            wrong.append(f"{PAGE.name} has another table: --write")
    print("\n".join(wrong) if wrong else "As it must be.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
