"""What went over the wire between one client and the gateway, seen from between them.

The law: bytes are passed on as they are, and kept before they are passed on. An exchange is one POST and its
answer; its SOAP version is that of the content type that was sent. What a client says of itself is no part
of it.
"""

from __future__ import annotations

import http.client
import io
import socket
import socketserver
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lxml import etree

VERSIONS = {"1.1": "text/xml", "1.2": "application/soap+xml"}
"""And their media types."""


@dataclass(frozen=True, slots=True)
class Exchange:
    version: str | None
    operation: str
    """The local name of what was in the Body."""
    answer: Any
    """The element in the answer's Body; of a fault, what is in its detail."""
    fault: bool


class Relay(socketserver.ThreadingTCPServer):
    """Stands before the gateway, and keeps what goes both ways."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.gateway = ("127.0.0.1", port)
        self.kept: list[tuple[bytearray, bytearray]] = []
        """Of each connection: what was sent, and what was answered."""
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def exchanges(self) -> list[Exchange]:
        """All since the last time; from now on a new list."""
        kept, self.kept = self.kept, []
        return [exchange for sent, answered in kept for exchange in exchanges(sent, answered)]


class _Connection(socketserver.BaseRequestHandler):
    server: Relay

    def handle(self) -> None:
        sent, answered = bytearray(), bytearray()
        self.server.kept.append((sent, answered))
        with socket.create_connection(self.server.gateway) as gateway:
            back = threading.Thread(target=self._copy, args=(gateway, self.request, answered))
            back.start()
            self._copy(self.request, gateway, sent)
            back.join()

    def _copy(self, source: socket.socket, target: socket.socket, kept: bytearray) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                kept += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def exchanges(sent: bytearray, answered: bytearray) -> list[Exchange]:
    found = []
    for (line, headers, request), (_, _, answer) in zip(_messages(sent), _messages(answered), strict=True):
        if line.startswith(b"POST /soap/"):
            media_type = headers.get_content_type()
            version = next((v for v, m in VERSIONS.items() if m == media_type), None)
            asked, got = _in_body(request), _in_body(answer)
            fault = etree.QName(got).localname == "Fault"
            if fault:
                got = next(
                    element[0] for element in got if etree.QName(element).localname.lower() == "detail"
                )
            found.append(Exchange(version, etree.QName(asked).localname, got, fault))
    return found


def _in_body(envelope: bytes) -> Any:
    return next(e for e in etree.fromstring(envelope) if etree.QName(e).localname == "Body")[0]


def _messages(data: bytearray) -> list[tuple[bytes, http.client.HTTPMessage, bytes]]:
    """Start line, headers and body of each HTTP/1.1 message; "100 Continue" is left out."""
    file, found = io.BytesIO(bytes(data)), []
    while line := file.readline():
        headers = http.client.parse_headers(file)
        if headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b"".join(iter(lambda: _chunk(file), b""))
        else:
            body = file.read(int(headers.get("Content-Length", 0)))
        if not line.startswith(b"HTTP/1.1 100"):
            found.append((line, headers, body))
    return found


def _chunk(file: io.BytesIO) -> bytes:
    size = int(file.readline().partition(b";")[0], 16)
    data = file.read(size)
    file.readline()
    return data
