"""What the raw requests of this folder are made of: good ones, and the pieces of bad ones."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # where soap_support is

from soap_support import ID, REQUESTS, SOAP11, SOAP12, TNS, WSSE, SoapVersion, envelope, security  # noqa: E402

TEXT_XML = "text/xml; charset=utf-8"
SOAP_XML = "application/soap+xml; charset=utf-8"
GOOD = envelope(REQUESTS["Heartbeat"])
GOOD12 = envelope(REQUESTS["Heartbeat"], version=SOAP12)
DECLARED = b'<?xml version="1.0" encoding="UTF-8"?>' + GOOD
MALFORMED = "MALFORMED_MESSAGE"
UNSUPPORTED = "UNSUPPORTED_MEDIA_TYPE"
UNDERSTOOD = "HEADER_NOT_UNDERSTOOD"
NOBODY = "NOT_AUTHENTICATED"
INVALID = "SCHEMA_INVALID"
TOO_LARGE = "MESSAGE_TOO_LARGE"
GOOD_ID = f"<gw:transactionId>{ID}</gw:transactionId>"


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    status: int
    code: str | None
    body: bytes = GOOD
    headers: tuple[tuple[str, str], ...] = (("Content-Type", TEXT_XML),)
    method: str = "POST"
    target: str = "/soap/v1"

    def raw(self) -> bytes:
        fields = (("Host", "gateway.example"), *self.headers, ("Content-Length", str(len(self.body))))
        head = f"{self.method} {self.target} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in fields)
        return head.encode("latin-1") + b"\r\n" + self.body


def typed(value: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (("Content-Type", value), *more)


def soap11(body: str, header: str | None = None) -> bytes:
    return envelope(body, header=header)


def wrapped(
    before: str = "", header: str = "", inside: str = "", after: str = "", name: str = "Envelope"
) -> bytes:
    """An envelope made by hand around a good Body."""
    return (
        f'{before}<soap:{name} xmlns:soap="{SOAP11.namespace}" xmlns:gw="{TNS}" xmlns:wsse="{WSSE}">'
        f"{header or f'<soap:Header>{security()}</soap:Header>'}"
        f"{inside or '<soap:Body><gw:Heartbeat/></soap:Body>'}{after}</soap:{name}>"
    ).encode()


def transaction(inner: str, attributes: str = "") -> bytes:
    return soap11(f"<gw:GetTransaction{attributes}>{inner}</gw:GetTransaction>")


def verifying(document: str, *, version: SoapVersion = SOAP11) -> bytes:
    body = f"<gw:VerifyEvidence><gw:document>{document}</gw:document></gw:VerifyEvidence>"
    return envelope(body, version=version)


def shown(text: str) -> bytes:
    """A good start with this content, which is XML as it stands."""
    body = REQUESTS["StartConsentSignature"]
    before, _, after = body.partition("<gw:content>")
    return soap11(f"{before}<gw:content>{text}</gw:content>{after.partition('</gw:content>')[2]}")


def block(attributes: str, name: str = "x:Route") -> str:
    return f'{security()}<{name} xmlns:x="urn:example:routing" {attributes}/>'


def attributes(count: int) -> str:
    return " ".join(f'a{n}="1"' for n in range(count))
