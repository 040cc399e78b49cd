"""A bank's end of callbacks for the tests: a real HTTPS server with its own CA, that does as it is told."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.core.model import utc_now
from gateway.outbound.callback import CallbackKey, HttpCallbackSender
from gateway.sandbox import make_sandbox

LOOPBACK = ("127.0.0.0/8",)

PATH = "/events?for=gateway"


@dataclass(frozen=True)
class Received:
    url: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        return dict(json.loads(self.raw))


@dataclass
class EventBank:
    port: int = 0
    ca_file: Path = Path()
    answer: Callable[[Received], int] = lambda received: 200
    """The status to answer; 3xx leads to ``elsewhere``."""
    elsewhere: str = ""
    drip: bool = False
    """Answers a byte at a time, for ever."""
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def url(self, host: str = "localhost") -> str:
        return f"https://{host}:{self.port}{PATH}"

    @property
    def told(self) -> list[tuple[str, str]]:
        """Type and event id, in the order they came."""
        return [(r.body["type"], r.body["eventId"]) for r in list(self.received)]

    def types(self) -> list[str]:
        return [name for name, _ in self.told]


def _handler(bank: EventBank) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            url = f"https://{self.headers['Host']}{self.path}"
            received = Received(url, {k.lower(): v for k, v in self.headers.items()}, raw)
            bank.received.append(received)
            status = bank.answer(received)
            if bank.drip:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                while not bank.over.wait(0.05):
                    self.wfile.write(b"x")
                    self.wfile.flush()
            self.send_response(status)
            if bank.elsewhere:
                self.send_header("Location", bank.elsewhere)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    bank: EventBank

    def get_request(self) -> tuple[socket.socket, Any]:
        self.bank.connections += 1  # before the handshake
        return super().get_request()

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever was tested has gone."""


@contextmanager
def event_bank(folder: Path, *, name: str = "localhost", **how: Any) -> Iterator[EventBank]:
    """Its certificate is for ``name``."""
    folder.mkdir(exist_ok=True)
    bank = EventBank(ca_file=folder / "ca.pem", **how)
    server = _Server(("127.0.0.1", 0), _handler(bank))
    server.bank = bank
    bank.port = server.server_address[1]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(folder, name))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield bank
    finally:
        bank.over.set()
        server.shutdown()
        server.server_close()


def _certificate(folder: Path, name: str) -> Path:
    """ca.pem, and the server's key and certificate in one file."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Bank CA")])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Bank")])

    def build(of: x509.Name, public: Any, extension: Any, critical: bool) -> bytes:
        builder = x509.CertificateBuilder(issuer, of, public, x509.random_serial_number())
        return (
            builder.not_valid_before(utc_now() - timedelta(hours=1))
            .not_valid_after(utc_now() + timedelta(days=1))
            .add_extension(extension, critical=critical)
            .sign(ca_key, hashes.SHA256())
            .public_bytes(Encoding.PEM)
        )

    ca = build(issuer, ca_key.public_key(), x509.BasicConstraints(True, None), True)
    (folder / "ca.pem").write_bytes(ca)
    own = build(subject, key.public_key(), x509.SubjectAlternativeName([x509.DNSName(name)]), False)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(private + own)
    return folder / "server.pem"


def wait(seconds: float, over: threading.Event) -> int:
    """An answer that takes its time, and is 200."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not over.is_set():
        over.wait(0.05)
    return 200


@pytest.fixture(name="sandbox", scope="module")
def made_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("callbacks") / "sandbox"
    make_sandbox(folder, port=8765, at=utc_now())
    return folder


@pytest.fixture(name="key", scope="module")
def made_key(sandbox: Path) -> CallbackKey:
    return CallbackKey(sandbox / "keys" / "callback.key.pem")


@pytest.fixture(name="bank")
def made_bank(tmp_path: Path) -> Iterator[EventBank]:
    with event_bank(tmp_path / "bank") as server:
        yield server


def sender(bank: EventBank, key: CallbackKey, **changes: Any) -> HttpCallbackSender:
    how: dict[str, Any] = {
        "url": bank.url(),
        "allowed_networks": LOOPBACK,
        "key": key,
        "ca_file": bank.ca_file,
    }
    how |= changes
    return HttpCallbackSender(how.pop("url"), **how)


def with_callback(sandbox: Path, tmp_path: Path, table: str, *, more: str = "") -> Path:
    """A copy of the sandbox whose relying party has this table."""
    folder = tmp_path / "configured"
    subprocess.run(["cp", "-r", sandbox, folder], check=True)
    file = folder / "gateway.toml"
    text = file.read_text()
    head = text[: text.index("# Optional, a table of the relying party")]
    file.write_text(head + table + more)
    return folder
