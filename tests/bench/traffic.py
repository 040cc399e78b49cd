"""Parts 4 and 5: a gateway as it is run, over HTTP, on a real Postgres with fsync.

The law: the gateway's processes, its Postgres and the client share this machine, so figures over HTTP hold
the client's work too; what each of the three spent of the processor stands below the walks. Connections are
kept open. Phones are the reference authenticator; what costs a phone alone, the PIN's derivation, is done
before.
The floor of a walk is its commits alone, by pgbench on the same server, and then its cryptography alone.
"""

from __future__ import annotations

import http.client
import os
import re
import secrets
import selectors
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch
from uuid import UUID, uuid4
from xml.sax.saxutils import escape

import psycopg2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from documents import TEXT
from live import NS, PIN, SOAP, WSSE, Live, descendants, free_port
from lxml import etree
from psycopg2.extensions import make_dsn, parse_dsn
from rounds import Subject, compare
from signed import Signer, addressing_blocks, sign

from gateway.authenticator import authenticator as app
from gateway.authenticator.authenticator import Authenticator
from gateway.authenticator.client import Transport
from gateway.authenticator.pin import pin_key
from gateway.composition import build_store
from gateway.config import load
from gateway.core.model import utc_now
from gateway.sandbox import CALLER, RELYING_PARTY, SIGNED_CALLER
from gateway.storage.embedded import Connections, EmbeddedPostgres
from gateway.storage.migrate import migrate
from gateway.storage.postgres import PostgresStore

COMMITS: Final = 7
"""Of a walk: start; nonce and claim; nonce, reserved try, decision and evidence."""
SIGNATURES: Final = 5
"""Of a walk: two requests, statement, PIN and seal."""
VERIFICATIONS: Final = 11
"""Of a walk: two requests, statement, PIN, and the seven of the finished document."""
KEPT_SECONDS: Final = 3
"""The server closes what is idle for ten."""
TICKS: Final = os.sysconf("SC_CLK_TCK")
"""Of processor time, a second."""


@dataclass
class Running:
    """A live gateway over a Postgres that this process started, and its bank."""

    live: Live
    database: Connections
    store: PostgresStore

    def soap(self, operation: str, inner: str) -> bytes:
        return (
            f'<s:Envelope xmlns:s="{SOAP}"><s:Header><w:Security xmlns:w="{WSSE}"><w:UsernameToken>'
            f"<w:Username>{CALLER}</w:Username><w:Password>{self.live.secret}</w:Password>"
            f'</w:UsernameToken></w:Security></s:Header><s:Body><{operation} xmlns="{NS}">{inner}'
            f"</{operation}></s:Body></s:Envelope>"
        ).encode()


@contextmanager
def running() -> Iterator[Running]:
    """Started with a database of its own; stopped and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-bench-"))
    folder.chmod(0o711)
    try:
        with EmbeddedPostgres(folder / "database") as server:
            database = server.connections
            migrate(database.owner_dsn)
            live = Live(folder / "sandbox", free_port())
            table = live.folder / "gateway.toml"
            dsns = f'dsn = "{database.app_dsn}"\nowner_dsn = "{database.owner_dsn}"'
            table.write_text(table.read_text().replace('embedded = "database"', dsns))
            for profile in (live.folder / "profiles").glob("*.toml"):
                profile.write_text(profile.read_text().replace("max_starts = 60 ", "max_starts = 1000 "))
            try:
                live.start()
                yield Running(live, database, build_store(load(live.folder), database.app_dsn))
            finally:
                if live.process is not None:
                    live.stop()
    finally:
        shutil.rmtree(folder)


def keeping(port: int) -> Transport:
    """A transport of one kept connection: a fresh one where the server may have closed it meanwhile."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    used = time.monotonic()

    def send(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        nonlocal used
        if time.monotonic() - used > KEPT_SECONDS:
            connection.close()
        used = time.monotonic()
        path = url[url.index("/", len("http://")) :] if url.startswith("http") else url
        connection.request(method, path, body=body or None, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()

    return send


class Walker:
    """A bank and a phone, one subject's, over one transport."""

    def __init__(self, running: Running, send: Transport) -> None:
        self._running, self._send = running, send
        self._reference = f"customer-{secrets.token_hex(6)}"
        found = self._soap(
            "StartRegistration",
            f"<requestId>{secrets.token_hex(8)}</requestId><externalRef>{self._reference}</externalRef>",
        )
        link, code = _text(found, "qrPayload").replace("&amp;", "&"), _text(found, "activationCode")
        self.phone = Authenticator.activate(link, code=code, pin=PIN, name="Phone", transport=send)
        self._key = pin_key(PIN, secret=self.phone.device.pin_secret)

    def walk(self) -> str:
        """Start, claim, approve, get evidence; the transaction's id."""
        started = self._soap(
            "StartConsentSignature",
            f"<requestId>{secrets.token_hex(8)}</requestId><externalRef>{self._reference}</externalRef>"
            f"<locale>en</locale><preContext><title>Mortgage</title><content>{escape(TEXT)}</content>"
            "<mediaType>text/plain</mediaType></preContext>",
        )
        transaction_id = _text(started, "transactionId")
        self.phone.claim(UUID(transaction_id))
        if self.phone.approve(UUID(transaction_id), pin=PIN).state != "COMPLETED":
            raise AssertionError("not completed")
        _text(self._soap("GetEvidence", f"<transactionId>{transaction_id}</transactionId>"), "document")
        return transaction_id

    def prepared_key(self, pin: str, *, secret: bytes) -> ec.EllipticCurvePrivateKey | None:
        """The PIN's key, derived before."""
        return self._key if (pin, secret) == (PIN, self.phone.device.pin_secret) else None

    def _soap(self, operation: str, inner: str) -> bytes:
        data = self._running.soap(operation, inner)
        status, answer = self._send("POST", "/soap/v1", {"Content-Type": "text/xml; charset=utf-8"}, data)
        if status != 200:
            raise AssertionError(answer.decode())
        return answer


def _text(answer: bytes, name: str) -> str:
    """The client is to cost little: no parser."""
    found = re.search(rf"<(?:\w+:)?{name}>([^<]+)<", answer.decode())
    assert found is not None
    return found[1]


@contextmanager
def derived(walkers: list[Walker]) -> Iterator[None]:
    """In here approving derives nothing: each phone's PIN key is at hand."""

    def at_hand(pin: str, *, secret: bytes) -> ec.EllipticCurvePrivateKey:
        return next(key for w in walkers if (key := w.prepared_key(pin, secret=secret)) is not None)

    with patch.object(app, "pin_key", at_hand):
        yield


# 4


def pump(port: int, requests: Sequence[bytes], *, connections: int) -> None:
    """All requests over kept connections, each sending the next when its answer is whole."""
    head = b"HTTP/1.1 200 "
    with selectors.DefaultSelector() as ready:
        for _ in range(connections):
            ready.register(socket.create_connection(("127.0.0.1", port)), selectors.EVENT_READ, bytearray())
        left, answered = iter(requests), 0
        for key in ready.get_map().values():
            key.fileobj.sendall(next(left))
        while answered < len(requests):
            for key, _ in ready.select(30) or _late():
                received: bytearray = key.data
                received += key.fileobj.recv(262_144) or _late()
                end = received.find(b"\r\n\r\n")
                if end < 0:
                    continue
                size = re.search(rb"content-length: (\d+)", received[:end], re.IGNORECASE)
                assert received.startswith(head), bytes(received)
                assert size is not None
                if len(received) < end + 4 + int(size[1]):
                    continue
                received.clear()
                answered += 1
                if (request := next(left, None)) is not None:
                    key.fileobj.sendall(request)
        for key in ready.get_map().values():
            key.fileobj.close()


def _late() -> Any:
    raise AssertionError("no answer")


def posted(body: bytes) -> bytes:
    return (
        f"POST /soap/v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/xml; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def measure_signed(running: Running, *, rounds: int, requests: int) -> list[str]:
    """Whole calls; what the client's own signatures cost is spent before."""
    keys = running.live.folder / "keys"
    by = Signer(
        (keys / f"{SIGNED_CALLER}.key.pem").read_bytes(),
        x509.load_pem_x509_certificate((keys / f"{SIGNED_CALLER}.pem").read_bytes()),
    )
    plain = posted(running.soap("Heartbeat", ""))

    def signed(count: int) -> list[bytes]:
        made = []
        for _ in range(count):
            headers = addressing_blocks(
                f"{NS}:Heartbeat",
                to=f"{running.live.url}/soap/v1",
                message_id=uuid4().urn,
            )
            root = sign(f'<Heartbeat xmlns="{NS}"/>', by, at=utc_now(), headers=headers)
            made.append(posted(etree.tostring(root)))
        return made

    tables = []
    for connections in (1, 8):

        def of_signed(number: int, connections: int = connections) -> float:
            made = signed(requests)
            before = time.perf_counter()
            pump(running.live.port, made, connections=connections)
            return time.perf_counter() - before

        def of_plain(number: int, connections: int = connections) -> None:
            pump(running.live.port, [plain] * requests, connections=connections)

        tables.append(
            compare(
                f"Heartbeat over HTTP, {connections} connection{'s' if connections > 1 else ''}",
                Subject("gateway: signed both ways, RSA-3072", of_signed, requests),
                Subject("the same: UsernameToken", of_plain, requests),
                rounds=rounds,
            )
        )
    return tables


def measure_fetching(running: Running, *, rounds: int, requests: int) -> list[str]:
    port = running.live.port
    walker = Walker(running, keeping(port))
    with derived([walker]):
        transaction_id = walker.walk()
    body = running.soap("GetEvidence", f"<transactionId>{transaction_id}</transactionId>")
    post = posted(body)
    get = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

    def over(request: bytes, connections: int) -> Callable[[int], None]:
        return lambda number: pump(port, [request] * requests, connections=connections)

    def read(number: int) -> None:
        for _ in range(requests):
            if running.store.evidence(RELYING_PARTY, UUID(transaction_id)) is None:
                raise AssertionError("no evidence")

    return [
        compare(
            f"GetEvidence over HTTP, {connections} connection{'s' if connections > 1 else ''}",
            Subject("gateway: GetEvidence", over(post, connections), requests),
            Subject("the same server: /health/live", over(get, connections), requests),
            Subject("the same store, read in process", read, requests),
            rounds=rounds,
        )
        for connections in (1, 8)
    ]


# 5


def measure_walks(running: Running, *, rounds: int, walks: int, phones: int) -> list[str]:
    """``walks`` of each phone in a round."""
    walkers = [Walker(running, keeping(running.live.port)) for _ in range(phones)]
    floor = CommitFloor(running.database) if shutil.which("pgbench") else None
    tables = []
    with derived(walkers):
        for together in (1, phones):
            spent = Spent(running)

            def walk(number: int, together: int = together, spent: Spent = spent) -> None:
                with spent, ThreadPoolExecutor(together) as threads:
                    list(threads.map(lambda w: [w.walk() for _ in range(walks)], walkers[:together]))

            of_all = together * walks
            subjects = [Subject("gateway: start, claim, approve, evidence", walk, of_all)]
            if floor is not None:
                alone = floor.of(clients=together, each=walks)
                subjects.append(Subject(f"floor: {COMMITS} commits, cryptography", alone, of_all))
            title = f"whole walks over HTTP, {together} phone{'s' if together > 1 else ''} at a time"
            tables.append(compare(title, *subjects, rounds=rounds) + spent.line(of_all * (rounds + 1)))
    if floor is None:
        tables.append("  no floor of the walks: pgbench is not installed")
    tables.append(
        f"  counted: {commits_of(running, walkers[0], walks=walks):.1f} writing transactions a walk,"
        " the worker's among them"
    )
    return tables


def commits_of(running: Running, walker: Walker, *, walks: int) -> float:
    """Transaction ids that a walk takes: each that writes takes one; the idle worker's are taken off."""
    with closing(psycopg2.connect(running.database.superuser_dsn)) as connection, derived([walker]):
        connection.autocommit = True

        def taken(work: Callable[[], object]) -> tuple[int, float]:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint, now()")
                first, before = cursor.fetchone()
                work()
                cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint, now()")
                last, after = cursor.fetchone()
            return last - first, (after - before).total_seconds()

        busy, seconds = taken(lambda: [walker.walk() for _ in range(walks)])
        # the worker renews its leases all the time
        idle, pause = taken(lambda: threading.Event().wait(seconds))
    return (busy - idle * seconds / pause) / walks


class CommitFloor:
    """pgbench on the same server, in a database of its own."""

    def __init__(self, database: Connections) -> None:
        name = f"floor_{uuid4().hex}"
        with closing(psycopg2.connect(database.superuser_dsn)) as connection:
            connection.autocommit = True
            connection.cursor().execute(f"CREATE DATABASE {name}")
        self._dsn = make_dsn(database.superuser_dsn, dbname=name)
        with closing(psycopg2.connect(self._dsn)) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE floor (id uuid PRIMARY KEY, data bytea NOT NULL)")
            connection.commit()
        self._key = ec.generate_private_key(ec.SECP256R1())

    def of(self, *, clients: int, each: int) -> Callable[[int], float]:
        """Seconds of as many walks' commits and then of their cryptography."""
        insert = f"INSERT INTO floor VALUES (gen_random_uuid(), '\\x{'00' * 500}');\n"
        parts = parse_dsn(self._dsn)
        command = [
            *("pgbench", "--no-vacuum", f"--client={clients}", "--jobs=1", f"--transactions={each}"),
            *("--file=/dev/stdin", "-h", parts["host"], "-p", parts["port"], "-U", parts["user"]),
            parts["dbname"],
        ]

        def run(number: int) -> float:
            printed = subprocess.run(
                command,
                input=insert * COMMITS,
                env={**os.environ, "PGPASSWORD": parts["password"]},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            rate = re.search(r"tps = ([0-9.]+) \(without initial connection time\)", printed)
            assert rate is not None, printed
            return clients * each * (1 / float(rate[1]) + self._cryptography(clients * each))

        return run

    def _cryptography(self, walks: int) -> float:
        """Seconds a walk."""
        data, ecdsa = bytes(1000), ec.ECDSA(hashes.SHA256())
        public, signature = self._key.public_key(), self._key.sign(data, ecdsa)
        before = time.perf_counter()
        for _ in range(walks):
            for _ in range(SIGNATURES):
                self._key.sign(data, ecdsa)
            for _ in range(VERIFICATIONS):
                public.verify(signature, data, ecdsa)
        return (time.perf_counter() - before) / walks


class Spent:
    """Processor time of the client, the gateway's processes and Postgres, while it is entered."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._seconds = dict.fromkeys(("client", "gateway", "Postgres"), 0.0)

    def __enter__(self) -> None:
        self._before = self._now()

    def __exit__(self, *of: object) -> None:
        for name, seconds in self._now().items():
            self._seconds[name] += seconds - self._before[name]

    def line(self, walks: int) -> str:
        parts = ", ".join(f"{name} {1000 * s / walks:.1f}" for name, s in self._seconds.items())
        return f"\n  processor, ms a walk: {parts}"

    def _now(self) -> dict[str, float]:
        process = self._running.live.process
        assert process is not None
        own = set(descendants(process.pid)) | {process.pid}
        found = dict.fromkeys(self._seconds, 0.0)
        for pid in {os.getpid(), *descendants(os.getpid())}:
            try:
                stat = (Path("/proc") / str(pid) / "stat").read_text()
            except OSError:
                continue
            fields = stat.rpartition(")")[2].split()
            kind = "client" if pid == os.getpid() else "gateway" if pid in own else "Postgres"
            # a server process that ended (after its connection did) counts in its parent's children
            spent = fields[11:15] if kind == "Postgres" else fields[11:13]
            found[kind] += sum(map(int, spent)) / TICKS
        return found
