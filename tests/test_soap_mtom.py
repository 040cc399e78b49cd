"""MTOM: an evidence that comes as an attachment is judged like the same evidence inline."""

from __future__ import annotations

import json
import sys
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.policy import SMTP
from pathlib import Path

import pytest
from lxml import etree
from soap_support import (
    CREDENTIAL,
    SECRET,
    SOAP11,
    SOAP12,
    TNS,
    Answer,
    App,
    Gw,
    call,
    judge,
    make_rates,
)
from zeep import Client
from zeep.wsse import UsernameToken

from gateway.core.certpath import parse_trust
from gateway.resources import resource_path
from gateway.soap.application import soap_app
from gateway.soap.envelope import SoapVersion
from gateway.soap.security import UsernameTokenAuthenticator

FOLDER = Path(__file__).parent / "vectors" / "evidence"
sys.path.insert(0, str(FOLDER))

import forge as f  # noqa: E402

XOP = "http://www.w3.org/2004/08/xop/include"
VECTORS = [
    row["file"] for row in json.loads((FOLDER / "index.json").read_text()) if row["trust"] == "pki/trust.pem"
]


@pytest.fixture(scope="module")
def soap() -> App:
    class Judging(Gw):
        trust = parse_trust(f.TRUST)

    return soap_app(
        Judging(),  # type: ignore[arg-type]
        authenticator=UsernameTokenAuthenticator({CREDENTIAL.id: CREDENTIAL}),
        rates=make_rates(),
        max_bytes=1_000_000,
        address="https://bank.example/soap/v1",
    )


def zeep_envelope(document: bytes, version: SoapVersion) -> etree._Element:
    """A VerifyEvidence call as zeep writes it."""
    client = Client(
        str(resource_path("wsdl", "mobileid-gateway.wsdl")), wsse=UsernameToken(CREDENTIAL.id, SECRET)
    )
    port = client.bind("MobileIdGateway", "Soap12" if version is SOAP12 else "Soap11")
    return client.create_message(port, "VerifyEvidence", document=document)


def mime(message: etree._Element, document: bytes, version: SoapVersion) -> tuple[str, bytes]:
    """The same call with its document as an attachment, as Python's own MIME package writes it."""
    (element,) = message.iter(f"{{{TNS}}}document")
    element.text = None
    etree.SubElement(element, f"{{{XOP}}}Include", {"href": "cid:evidence-1%40bank.example"}, {"xop": XOP})
    package = MIMEMultipart(
        "related",
        **{"type": "application/xop+xml", "start": "<root@bank.example>", "start-info": version.media_type},
        policy=SMTP,
    )
    placeholder = b"in-the-place-of-the-document"  # whose line ends the generator would change
    parts = (
        ("xop+xml", "root", etree.tostring(message), {"charset": "utf-8", "type": version.media_type}),
        ("octet-stream", "evidence-1", placeholder, {}),
    )
    for subtype, name, data, parameters in parts:
        one = MIMEApplication(data, subtype, lambda part: None, policy=SMTP, **parameters)
        one["Content-Transfer-Encoding"] = "binary"
        one["Content-ID"] = f"<{name}@bank.example>"
        one.set_payload(data.decode("latin-1"))
        package.attach(one)
    package.set_boundary("=_a boundary of Python's")
    head, _, body = package.as_string().encode("latin-1").partition(b"\r\n\r\n")
    _, _, field = head.partition(b"Content-Type: ")
    content_type = " ".join(field.partition(b"\r\nMIME-Version")[0].decode().split())
    return content_type, body.replace(placeholder, document)


def conclusion(answer: Answer) -> bytes:
    return etree.tostring(judge(answer), method="c14n")


@pytest.mark.parametrize("version", list(SoapVersion), ids=lambda version: version.name)
@pytest.mark.parametrize("name", [name for name in VECTORS if name.startswith("good")] + VECTORS[::20])
def test_an_attached_evidence_is_judged_as_an_inline_one(soap: App, name: str, version: SoapVersion) -> None:
    document = (FOLDER / name).read_bytes()
    message = zeep_envelope(document, version)
    inline = call(soap, etree.tostring(message), headers={"Content-Type": version.content_type})
    content_type, body = mime(message, document, version)
    attached = call(soap, body, headers={"Content-Type": content_type})
    assert (attached.status, attached.headers) == (inline.status, inline.headers)
    assert conclusion(attached) == conclusion(inline)
    assert attached.headers["Content-Type"] == version.content_type, "answers are inline"


def test_the_same_package_with_another_document_is_judged_otherwise(soap: App) -> None:
    good = f.seal(f.model())
    other = good.replace(b"348.500,00", b"548.500,00")
    message = zeep_envelope(good, SOAP11)
    content_type, body = mime(message, good, SOAP11)
    assert body.count(good) == 1
    for data, passed in ((body, True), (body.replace(good, other), False)):
        found = conclusion(call(soap, data, headers={"Content-Type": content_type}))
        assert (b"TOTAL-PASSED" in found) is passed


def test_a_fault_to_a_package_is_of_its_version(soap: App) -> None:
    """Even where nothing but its Content-Type could be read."""
    content_type, _ = mime(zeep_envelope(b"x", SOAP12), b"x", SOAP12)
    answer = call(soap, b"", headers={"Content-Type": content_type})
    judge(answer)
    assert (answer.status, answer.code) == (500, "MALFORMED_MESSAGE")
    assert answer.headers["Content-Type"] == SOAP12.content_type
