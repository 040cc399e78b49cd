"""Makes what goes wrong below SOAP: bytes on a connection that are odd, broken, or made to confuse HTTP.

A ``.raw`` file is all that a client sends, with a stand-in for the caller's secret, as long as that. The
index names the status of every answer until the gateway closes the connection, or until the client has no
more to expect; none at all is a connection closed without a word. ``python raw.py`` writes them; a test
fails where they are not what it would write.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE / "raw"
sys.path.insert(0, str(HERE.parent))  # where soap_support is

from soap_support import REQUESTS, envelope, security, token  # noqa: E402

from gateway.sandbox import CALLER  # noqa: E402

STAND_IN = "in-the-place-of-43-characters-of-the-secret"
"""In the place of the secret, and as long."""
BODY = envelope(REQUESTS["Heartbeat"], header=security(token(CALLER, STAND_IN)))
LENGTH = f"Content-Length: {len(BODY)}"
TYPE = "Content-Type: text/xml; charset=utf-8"
HOST = "Host: gateway.example"
CHUNKED = "Transfer-Encoding: chunked"
SMUGGLED = b"GET /health/live HTTP/1.1\r\nHost: gateway.example\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Raw:
    name: str
    data: bytes
    answers: tuple[int, ...]
    ends: bool = False
    """Whether the client closes its side after the bytes."""


def request(*fields: str, body: bytes = BODY, line: str = "POST /soap/v1 HTTP/1.1") -> bytes:
    return "\r\n".join((line, *fields, "", "")).encode("latin-1") + body


def good(*fields: str, body: bytes = BODY, line: str = "POST /soap/v1 HTTP/1.1") -> bytes:
    return request(HOST, TYPE, *(fields or (LENGTH,)), body=body, line=line)


def more(*fields: str, body: bytes = BODY) -> bytes:
    """A good request with more header fields."""
    return request(HOST, TYPE, LENGTH, *fields, body=body)


def chunk(size: str, data: bytes = BODY, end: bytes = b"0\r\n\r\n") -> bytes:
    return size.encode() + b"\r\n" + data + b"\r\n" + end


def cases() -> list[Raw]:
    size = f"{len(BODY):x}"
    drops = b"".join(chunk("1", BODY[n : n + 1], b"") for n in range(100))
    return [
        Raw("good", good(), (200,)),
        Raw("good-chunked", good(CHUNKED, body=chunk(size)), (200,)),
        Raw("pipelined-two", good() * 2, (200, 200)),
        Raw("pipelined-good-after-fault", good("Content-Length: 1", body=b"x") + good(), (500, 200)),
        Raw("host-absent", request(TYPE, LENGTH), (200,)),
        Raw("host-twice", more("Host: other.example"), (200,)),
        Raw("length-twice-differing", more("Content-Length: 1"), (400,)),
        Raw("length-twice-equal", more(LENGTH), (200,)),
        Raw("length-list", good(f"{LENGTH}, {len(BODY)}"), (400,)),
        Raw("length-list-differing", good(f"{LENGTH}, 1"), (400,)),
        Raw("length-with-chunked", more(CHUNKED, body=chunk(size)), (200,)),
        Raw("chunked-before-length", good(CHUNKED, LENGTH, body=b"0\r\n\r\n" + SMUGGLED), (500,)),
        Raw("length-negative", good("Content-Length: -1"), (400,)),
        Raw("length-with-sign", good(f"Content-Length: +{len(BODY)}"), (400,)),
        Raw("length-of-letters", good("Content-Length: ten"), (400,)),
        Raw("length-empty", good("Content-Length:"), (400,)),
        Raw("length-hexadecimal", good(f"Content-Length: 0x{len(BODY):x}"), (400,)),
        Raw("length-fraction", good("Content-Length: 1.0"), (400,)),
        Raw("length-arabic", good("Content-Length: \xd9\xa3"), (400,)),
        Raw("length-beyond-64-bits", good("Content-Length: 18446744073709551616"), (400,)),
        Raw("length-of-4000-digits", good(f"Content-Length: {'9' * 4000}"), (400,)),
        Raw("length-huge", good("Content-Length: 9223372036854775807"), (413,)),
        Raw("length-absent", request(HOST, TYPE), (500, 400)),
        Raw("length-zero-with-body", good("Content-Length: 0", body=SMUGGLED), (500, 200)),
        Raw("body-shorter-than-announced", good(body=BODY[:-10]), (400,), ends=True),
        Raw(
            "body-whole-but-shorter-than-announced",
            good(f"Content-Length: {len(BODY) + 1}"),
            (400,),
            ends=True,
        ),
        Raw("body-shorter-and-open", good(body=BODY[:-10]), (408,)),
        Raw("body-longer-than-announced", good() + b"garbage\r\n\r\n", (200, 400)),
        Raw("transfer-encoding-unknown", good("Transfer-Encoding: gzip", body=chunk(size)), (400,)),
        Raw(
            "transfer-encoding-chunked-not-last",
            good("Transfer-Encoding: chunked, gzip", body=chunk(size)),
            (400,),
        ),
        Raw("transfer-encoding-twice", good(CHUNKED, CHUNKED, body=chunk(size)), (200,)),
        Raw("transfer-encoding-with-tab", good("Transfer-Encoding:\tchunked", body=chunk(size)), (200,)),
        Raw("transfer-encoding-with-garbage", good("Transfer-Encoding: xchunked", body=chunk(size)), (400,)),
        Raw(
            "transfer-encoding-in-http10",
            good(CHUNKED, body=chunk(size), line="POST /soap/v1 HTTP/1.0"),
            (400,),
        ),
        Raw("chunk-size-overflows", good(CHUNKED, body=chunk("1" + "0" * 16)), (500,)),
        Raw("chunk-size-of-4000-digits", good(CHUNKED, body=chunk("f" * 4000)), (500,)),
        Raw("chunk-size-huge", good(CHUNKED, body=chunk("7" + "f" * 15)), (408,)),
        Raw("chunk-size-negative", good(CHUNKED, body=chunk(f"-{size}")), (500,)),
        Raw("chunk-size-empty", good(CHUNKED, body=chunk("")), (500,)),
        Raw("chunk-size-of-letters", good(CHUNKED, body=chunk("xyz")), (500,)),
        Raw("chunk-size-with-0x", good(CHUNKED, body=chunk(f"0x{size}")), (500,)),
        Raw("chunk-extension", good(CHUNKED, body=chunk(f"{size};a=b")), (200,)),
        Raw("chunk-extension-of-100k", good(CHUNKED, body=chunk(f"{size};a={'b' * 100_000}")), (500,)),
        Raw("chunk-longer-than-its-size", good(CHUNKED, body=chunk("5")), (500,)),
        Raw("chunk-with-bare-line-feed", good(CHUNKED, body=chunk(size).replace(b"\r\n", b"\n")), (500,)),
        Raw("chunk-trailers", good(CHUNKED, body=chunk(size, end=b"0\r\nX: y\r\n\r\n")), (200,)),
        Raw(
            "chunk-trailers-1000",
            good(CHUNKED, body=chunk(size, end=b"0\r\n" + b"X: y\r\n" * 1000 + b"\r\n")),
            (200,),
        ),
        Raw("chunk-breaks-off", good(CHUNKED, body=chunk(size)[:-30]), (500,), ends=True),
        Raw(
            "chunks-of-one-byte",
            good(CHUNKED, body=drops + chunk(f"{len(BODY) - 100:x}", BODY[100:])),
            (200,),
        ),
        Raw("field-of-100k", more(f"X: {'y' * 100_000}"), (200,)),
        Raw("fields-of-2m", more(*(f"X{n}: {'y' * 20_000}" for n in range(100))), (431,)),
        Raw("fields-1000", more(*(f"X{n}: y" for n in range(1000))), (431,)),
        Raw("field-folded", more("X: a\r\n b"), (400,)),
        Raw("field-type-folded", request(HOST, LENGTH, "Content-Type: text/xml;\r\n charset=utf-8"), (400,)),
        Raw("field-with-nul", more("X: a\0b"), (400,)),
        Raw("field-name-with-nul", more("X\0: b"), (400,)),
        Raw("field-with-control-character", more("X: a\x01b"), (400,)),
        Raw("field-with-carriage-return", more("X: a\rb"), (400,)),
        Raw("field-with-latin1", more("X: \xe9"), (200,)),
        Raw("field-name-empty", more(": b"), (400,)),
        Raw("field-name-with-blank", more("X : b"), (400,)),
        Raw("field-without-colon", more("X"), (400,)),
        Raw("field-type-with-latin1", request(HOST, LENGTH, "Content-Type: text/xml\xe9"), (415,)),
        Raw("field-type-twice", more("Content-Type: application/json"), (415,)),
        Raw("field-action-twice", more('SOAPAction: "x"', 'SOAPAction: ""'), (500,)),
        Raw("field-with-underscore", more("Content_Length: 1", "Content_Type: text/html"), (200,)),
        Raw("fields-end-in-line-feeds", good().replace(b"\r\n", b"\n", 4), (200,)),
        Raw("fields-never-end", request(HOST, body=b"")[:-2], (), ends=True),
        Raw("line-never-ends", b"POST /soap/v1", (), ends=True),
        Raw("line-of-100k", good(line=f"POST /soap/v1?{'x' * 100_000} HTTP/1.1"), (414,)),
        Raw("line-with-two-blanks", good(line="POST  /soap/v1 HTTP/1.1"), (400,)),
        Raw("line-with-nul", good(line="POST /soap/v1\0 HTTP/1.1"), (400,)),
        Raw("line-after-empty-lines", b"\r\n\r\n" + good(), (200,)),
        Raw("method-in-lower-case", good(line="post /soap/v1 HTTP/1.1"), (405,)),
        Raw("method-of-10k-letters", good(line=f"{'X' * 10_000} /soap/v1 HTTP/1.1"), (405,)),
        Raw("method-with-garbage", good(line="P<ST /soap/v1 HTTP/1.1"), (400,)),
        Raw("method-connect", good(line="CONNECT gateway.example:443 HTTP/1.1"), (404,)),
        Raw(
            "method-options-of-server",
            request(HOST, "Content-Length: 0", body=b"", line="OPTIONS * HTTP/1.1"),
            (404,),
        ),
        Raw("target-absolute", good(line="POST http://gateway.example/soap/v1 HTTP/1.1"), (200,)),
        Raw("target-absolute-of-another", good(line="POST http://other.example:1/soap/v1 HTTP/1.1"), (200,)),
        Raw("target-without-slash", good(line="POST soap/v1 HTTP/1.1"), (400,)),
        Raw("target-empty", good(line="POST  HTTP/1.1"), (400,)),
        Raw("target-escaped", good(line="POST /soap/%76%31 HTTP/1.1"), (200,)),
        Raw("target-escaped-badly", good(line="POST /soap/v1%zz HTTP/1.1"), (405,)),
        Raw("target-escaped-nul", good(line="POST /soap/v1%00 HTTP/1.1"), (405,)),
        Raw("target-with-dots", good(line="POST /device/../soap/v1 HTTP/1.1"), (404,)),
        Raw("target-beyond-ascii", good(line="POST /soap/v1\xff HTTP/1.1"), (400,)),
        Raw("target-with-fragment", good(line="POST /soap/v1#x HTTP/1.1"), (200,)),
        Raw("version-09", b"GET /health/live\r\n\r\n", (400,)),
        Raw("version-10", good(line="POST /soap/v1 HTTP/1.0"), (200,)),
        Raw("version-12", good(line="POST /soap/v1 HTTP/1.2"), (400,)),
        Raw("version-20", good(line="POST /soap/v1 HTTP/2.0"), (400,)),
        Raw("version-of-garbage", good(line="POST /soap/v1 XTTP/1.1"), (400,)),
        Raw("http2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", ()),
        Raw(
            "http2-upgrade",
            more("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
            (200,),
        ),
        Raw(
            "websocket-upgrade",
            request(
                HOST,
                "Connection: Upgrade",
                "Upgrade: websocket",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
                body=b"",
                line="GET /soap/v1 HTTP/1.1",
            ),
            (404,),
        ),
        Raw("tls-hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), (400,)),
        Raw("nothing", b"", (), ends=True),
        Raw("garbage", bytes(range(256)) * 16, (400,)),
        Raw("expect-100-continue", more("Expect: 100-continue"), (100, 200)),
        Raw("expect-something-else", more("Expect: 200-ok"), (200,)),
        Raw("connection-close-then-more", more("Connection: close") + good(), (200,)),
    ]


def files() -> dict[str, bytes]:
    """Every file of the folder, by its name."""
    made = cases()
    assert len({case.name for case in made}) == len(made)
    rows = [
        {"name": c.name, "file": f"{c.name}.raw", "answers": list(c.answers), "ends": c.ends} for c in made
    ]
    index = "[\n" + ",\n".join(f"  {json.dumps(row)}" for row in rows) + "\n]\n"
    return {"index.json": index.encode(), **{f"{case.name}.raw": case.data for case in made}}


if __name__ == "__main__":
    for old in FOLDER.glob("*.raw"):
        old.unlink()
    for name, data in files().items():
        (FOLDER / name).write_bytes(data)
