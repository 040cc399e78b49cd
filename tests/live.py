"""A gateway as it is run: ``serve`` in processes of its own, on a port and a database of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from lxml import etree

from gateway.authenticator.authenticator import Authenticator
from gateway.core.model import utc_now
from gateway.sandbox import CALLER, make_sandbox

NS = "urn:mobileid-gateway:v1"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
PIN = "271828"
TEXT = "I borrow € 348.500,00.\nAgreed."


class Fault(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Live:
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    secret: str = field(init=False)

    def __post_init__(self) -> None:
        make_sandbox(self.folder, port=self.port, at=utc_now())
        self.secret = (self.folder / "keys" / f"{CALLER}.secret").read_text()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self) -> None:
        self.spawn()
        eventually(self.ready, says=lambda: self.log.read_text()[-3000:], seconds=60)

    def spawn(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway.cli", "serve", "--conf", str(self.folder)],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        with suppress(OSError, urllib.error.URLError):
            with urllib.request.urlopen(f"{self.url}/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        return False

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill_everything(self) -> None:
        """kill -9 of the supervisor, the workers and Postgres, as near to at once as it goes."""
        assert self.process is not None
        pids = [self.process.pid, *descendants(self.process.pid)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        eventually(lambda: not any(_alive(pid) for pid in pids))

    def call(
        self, operation: str, inner: str = "", *, caller: str = CALLER, secret: str | None = None
    ) -> Any:
        """One SOAP 1.1 call; the response element, or Fault."""
        body = (
            f'<s:Envelope xmlns:s="{SOAP}"><s:Header><w:Security xmlns:w="{WSSE}"><w:UsernameToken>'
            f"<w:Username>{caller}</w:Username><w:Password>{secret or self.secret}</w:Password>"
            f'</w:UsernameToken></w:Security></s:Header><s:Body><{operation} xmlns="{NS}">{inner}'
            f"</{operation}></s:Body></s:Envelope>"
        )
        request = urllib.request.Request(
            f"{self.url}/soap/v1", body.encode(), {"Content-Type": "text/xml; charset=utf-8"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return etree.fromstring(answer.read())[-1][0]
        except urllib.error.HTTPError as error:
            code = etree.fromstring(error.read()).find(f".//{{{NS}}}code")
            raise Fault("" if code is None else str(code.text)) from error

    def register(self, reference: str, *, name: str = "A") -> Any:
        return self.call(
            "StartRegistration",
            f"<requestId>{secrets.token_hex(8)}</requestId><externalRef>{reference}</externalRef>"
            f"<attribute><name>name</name><value>{escape(name)}</value></attribute>",
        )

    def phone(self, reference: str, *, name: str = "A") -> Authenticator:
        found = self.register(reference, name=name)
        link, code = text(found, "qrPayload"), text(found, "activationCode")
        return Authenticator.activate(link, code=code, pin=PIN, name="Phone")

    def start_consent(self, reference: str, *, shown: str = TEXT, request_id: str | None = None) -> str:
        found = self.call(
            "StartConsentSignature",
            f"<requestId>{request_id or secrets.token_hex(8)}</requestId>"
            f"<externalRef>{reference}</externalRef><locale>en</locale>"
            f"<preContext><title>Mortgage</title><content>{escape(shown)}</content>"
            "<mediaType>text/plain</mediaType></preContext>",
        )
        return text(found, "transactionId")

    def state(self, transaction_id: str, *, wait: int = 0) -> str:
        found = self.call(
            "GetTransaction",
            f"<transactionId>{transaction_id}</transactionId><waitSeconds>{wait}</waitSeconds>",
        )
        return text(found, "state")


def text(element: Any, name: str) -> str:
    return str(element.findtext(f".//{{{NS}}}{name}"))


def eventually(holds: Any, *, says: Any = lambda: "", seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, says()
        time.sleep(0.05)


def descendants(pid: int) -> list[int]:
    """All processes below one, from /proc."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                stat = (entry / "stat").read_text()
                parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def _alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def live_gateway() -> Iterator[Live]:
    """Started; stopped and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-live-"))
    folder.chmod(0o755)
    live = Live(folder / "sandbox", free_port())
    live.folder.chmod(0o711)
    try:
        live.start()
        yield live
    finally:
        if live.process is not None and live.process.poll() is None:
            live.stop()
        shutil.rmtree(folder)
