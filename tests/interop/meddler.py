"""Stands between one client and the gateway, and does one thing to each answer before it is passed on.

The law: a question reaches the gateway as it was sent. What is done to the answers is one of ``GAMES``; each
is played with a response and with a fault alike, on an answer that was signed as it must be. What a client
makes of it is left to ``callers``.
"""

from __future__ import annotations

import base64
import http.client
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from lxml import etree
from signed import NS, WSSE, WSSE11, WSU, signer

from gateway.core.wssecurity import NSMAP, SECURITY, KeyReference

_HOP_BY_HOP: Final = frozenset(
    {"connection", "transfer-encoding", "content-length", "keep-alive", "date", "server"}
)


@dataclass(frozen=True, slots=True)
class Answered:
    """One POST as it was, and what the gateway said to it."""

    operation: str
    request: bytes
    status: int
    answer: bytes


Game = Callable[[bytes], bytes]


def genuine(answer: bytes) -> bytes:
    return answer


def changed(answer: bytes) -> bytes:
    """Another digit, in the first place of the Body that has one."""
    root = etree.fromstring(answer)
    _change(root[-1])
    return etree.tostring(root)


def commented(answer: bytes) -> bytes:
    """A comment in the middle of what is to be read: no signature sees it, and who stops there reads less."""
    root = etree.fromstring(answer)
    read = next(e for e in root[-1].iter("{*}registrationId", "{*}code"))
    text = str(read.text)
    comment = etree.Comment("not here")
    read.text, comment.tail = text[:3], text[3:]
    read.append(comment)
    return etree.tostring(root)


def unsigned(answer: bytes) -> bytes:
    root = etree.fromstring(answer)
    security = _security(root)
    security.getparent().remove(security)
    return etree.tostring(root)


def stranger(answer: bytes) -> bytes:
    """Signed as well as before, of now, and by somebody else."""
    root = etree.fromstring(answer)
    security = _security(root)
    header = security.getparent()
    confirmation = security.find(f"{{{WSSE11}}}SignatureConfirmation")
    confirms = None if confirmation is None else base64.b64decode(confirmation.get("Value"))
    header.remove(security)
    again = etree.SubElement(header, SECURITY, nsmap=NSMAP)
    signer("stranger").message_key().sign(
        again,
        signed=[root[-1], *(block for block in header if block is not again)],
        kind=KeyReference.BINARY,
        confirms=confirms,
        lifetime=timedelta(minutes=5),
        at=datetime.now(UTC),
    )
    return etree.tostring(root)


def wrapped(answer: bytes) -> bytes:
    """The signed Body hides in the Header; in its place stands another, which says something else."""
    root = etree.fromstring(answer)
    body = root[-1]
    forged = deepcopy(body)
    _change(forged)
    del forged.attrib[f"{{{WSU}}}Id"]
    holder = etree.SubElement(root[0], "{urn:elsewhere}Held")
    holder.append(body)
    root.append(forged)
    return etree.tostring(root)


GAMES: Final[Mapping[str, Game]] = {
    game.__name__: game for game in (genuine, commented, changed, unsigned, stranger, wrapped)
}
"""Beside them stands ``repeated``: the answer to an earlier question, as it was signed then."""


def behind(answer: bytes) -> bytes:
    """As ``wrapped``, for who takes the first Body wherever it stands: here the other one is the first."""
    root = etree.fromstring(answer)
    body = root[-1]
    forged = deepcopy(body)
    _change(forged)
    del forged.attrib[f"{{{WSU}}}Id"]
    etree.SubElement(root, "{urn:elsewhere}Held").append(body)
    root.insert(1, forged)
    return etree.tostring(root)


def _security(root: Any) -> Any:
    found = root.find(f".//{{{WSSE}}}Security")
    assert found is not None, "the gateway's answer is not signed"
    assert found.find("ds:Signature", NS) is not None
    return found


def _change(body: Any) -> None:
    for element in body.iter():
        if not len(element) and element.text and re.search(r"\d", element.text):
            element.text = re.sub(r"\d", lambda digit: str((int(digit[0]) + 1) % 10), element.text, count=1)
            return
    raise AssertionError("nothing to change")


@dataclass(slots=True)
class Meddler:
    """Its state; ``game`` is set between the runs of a client."""

    gateway: int
    """The port."""
    url: str
    game: str = "genuine"
    kept: list[Answered] = field(default_factory=list)
    earlier: dict[str, Answered] = field(default_factory=dict)
    """The last answers that were passed on as they were, by operation."""

    def taken(self) -> list[Answered]:
        kept, self.kept = self.kept, []
        return kept

    def meddle(self, answered: Answered) -> tuple[int, bytes]:
        self.kept.append(answered)
        if self.game == "repeated":
            before = self.earlier[answered.operation]
            return before.status, before.answer
        if self.game == "genuine":
            self.earlier[answered.operation] = answered
        return answered.status, (behind if self.game == "behind" else GAMES[self.game])(answered.answer)


@contextmanager
def meddler(port: int) -> Iterator[Meddler]:
    """One in front of the gateway on that port, on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._pass_on(b"")

        def do_POST(self) -> None:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                parts = []
                while size := int(self.rfile.readline().partition(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                self._pass_on(b"".join(parts))
            else:
                self._pass_on(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _pass_on(self, data: bytes) -> None:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            headers.pop("Expect", None)
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request(self.command, self.path, data or None, headers)
            answer = connection.getresponse()
            status, body = answer.status, answer.read()
            connection.close()
            if self.command == "POST":
                operation = str(etree.QName(etree.fromstring(data)[-1][0]).localname)
                status, body = state.meddle(Answered(operation, data, status, body))
            self.send_response(status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = Meddler(port, f"http://127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
