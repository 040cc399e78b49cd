"""Guards of what reads hostile bytes: each falls when one is taken away (``make sabotage``)."""

from __future__ import annotations

import base64
import io
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import structlog
from lxml import etree

sys.path.insert(0, str(Path(__file__).parent / "vectors" / "evidence"))

import forge as f

from gateway.core import xmlparse
from gateway.core.certpath import parse_trust
from gateway.core.conclusion import SubIndication
from gateway.core.errors import MalformedMessage, MessageTooLarge, UnsupportedMediaType
from gateway.core.verifier import verify_evidence
from gateway.soap import media, mtom
from gateway.soap.contract import contract
from gateway.soap.envelope import SoapVersion
from gateway.web import as_gateway_error, read_body

ROOT = b"Content-Type: application/xop+xml\r\nContent-ID: <root>\r\n\r\n<a/>"
INCLUDE = "{http://www.w3.org/2004/08/xop/include}Include"


# the parser


def test_a_document_has_at_most_20000_attributes() -> None:
    tag = b"<b" + b"".join(b" a%d=''" % number for number in range(200)) + b"/>"
    assert isinstance(xmlparse.parse(b"<r>" + tag * 100 + b"</r>"), etree._Element)
    with pytest.raises(xmlparse.NotPlain):
        xmlparse.parse(b"<r a=''>" + tag * 100 + b"</r>")


def test_what_breaks_the_parser_is_not_taken_for_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(etree, "fromstring", broken)
    with pytest.raises(MemoryError):
        xmlparse.parse(b"<a/>")


@pytest.mark.parametrize("size", [16 * 1024, 16 * 1024 + 1])
def test_a_certificate_has_at_most_16_kibibytes(size: int) -> None:
    """One that is larger is not even read."""
    good = f.seal(f.model()).decode()
    head, mark, rest = good.rpartition("<ds:X509Certificate>")
    _, end, tail = rest.partition("</ds:X509Certificate>")
    data = head + mark + base64.b64encode(bytes(size)).decode() + end + tail
    found = verify_evidence(data.encode(), trust=parse_trust(f.TRUST), at=f.AT)
    usual = "of usual size" not in found.explanation
    assert usual is (size == 16 * 1024)
    assert found.sub_indication is not None
    assert usual or found.sub_indication is SubIndication.FORMAT_FAILURE


# packages


def unpack(*parts: bytes, boundary: str = "b", **parameters: str) -> mtom.Package:
    fields = {"type": "application/xop+xml", "start-info": "text/xml", "boundary": boundary} | parameters
    line = b"--" + boundary.encode()
    data = b"".join(line + b"\r\n" + part + b"\r\n" for part in parts) + line + b"--"
    return mtom.unpack(media.Media(mtom.PACKAGE, fields), data, max_bytes=10_000)


def part(id_: str, *fields: str) -> bytes:
    return "\r\n".join((f"Content-ID: <{id_}>", *fields, "", "data")).encode()


@pytest.mark.parametrize("attachments", [7, 8])
def test_a_package_has_at_most_8_parts(attachments: int) -> None:
    with pytest.raises(MalformedMessage) if attachments > 7 else nullcontext():
        package = unpack(ROOT, *(part(f"a{number}") for number in range(attachments)))
        assert len(package.attachments) == attachments


def test_no_two_parts_have_one_id() -> None:
    """Not even the root and an attachment."""
    for parts in ((part("a"), part("a")), (part("root"),)):
        with pytest.raises(MalformedMessage):
            unpack(ROOT, *parts)
        with pytest.raises(MalformedMessage):
            unpack(ROOT, *parts, start="<root>")


@pytest.mark.parametrize("content_type", ["text/xml", "application/octet-stream", None])
def test_the_root_says_what_it_is(content_type: str | None) -> None:
    fields = (f"Content-Type: {content_type}",) if content_type else ()
    with pytest.raises(UnsupportedMediaType):
        unpack(part("root", *fields))


def test_every_attachment_has_an_id() -> None:
    with pytest.raises(MalformedMessage):
        unpack(ROOT, b"Content-Type: text/plain\r\n\r\ndata")


@pytest.mark.parametrize(
    "bare",
    [
        b"\r\nContent-Type: application/xop+xml\r\n\r\n<a/>",
        b"\r\n\r\n",
        b"",
        b"Content-Type: application/xop+xml",
    ],
    ids=repr,
)
def test_a_part_begins_with_fields_that_end(bare: bytes) -> None:
    """Also where the boundary itself could be read as a field."""
    for boundary in ("b", "a:b"):
        with pytest.raises(MalformedMessage):
            unpack(bare, boundary=boundary)


def test_a_package_ends() -> None:
    fields = {"type": "application/xop+xml", "boundary": "b"}
    for data in (b"--b\r\n" + ROOT, b"--b\r\n" + ROOT + b"\r\n--b\r\n", b"--b\r\n"):
        with pytest.raises(MalformedMessage):
            mtom.unpack(media.Media(mtom.PACKAGE, fields), data, max_bytes=10_000)


def including(href: str, *, attachments: dict[str, bytes]) -> bytes | None:
    """The text that comes to where the attachment is included."""
    parent = etree.Element(sorted(contract().binary)[0])
    etree.SubElement(parent, INCLUDE, href=href)
    mtom.place(parent, attachments)
    return base64.b64decode(parent.text or "")


@pytest.mark.parametrize("href", ["cid:a%20b", "CID:a%20b"])
def test_an_attachment_is_included_by_its_cid(href: str) -> None:
    assert including(href, attachments={"a b": b"data"}) == b"data"


@pytest.mark.parametrize(
    ("href", "id_"),
    [("mid:a", "a"), ("a", "a"), ("", ""), ("cid:a%zz", "a%zz"), ("cid:a%2", "a%2"), ("cid:a", "b")],
)
def test_nothing_else_names_an_attachment(href: str, id_: str) -> None:
    with pytest.raises(MalformedMessage):
        including(href, attachments={id_: b"data"})


def test_a_package_is_not_its_own_place() -> None:
    with pytest.raises(MalformedMessage):
        mtom.place(etree.Element(INCLUDE, href="cid:a"), {"a": b"data"})


# what every face reads and answers


class Body(io.BytesIO):
    """The bytes of a request, and how many were asked for."""

    asked = 0

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        self.asked += size
        return super().read(size)


@pytest.mark.parametrize("announced", ["11", "-1", "+5", " 5", "005", "\u0665", "\u00b2", "5" * 5000])
def test_a_length_that_is_none_or_too_large_is_refused_unread(announced: str) -> None:
    body = Body(b"12345")
    with pytest.raises(MessageTooLarge):
        read_body({"CONTENT_LENGTH": announced, "wsgi.input": body}, limit=10)
    assert body.asked == 0


@pytest.mark.parametrize("announced", ["", "5", "10", "05"])
def test_a_body_is_read_up_to_its_limit(announced: str) -> None:
    assert read_body({"CONTENT_LENGTH": announced, "wsgi.input": Body(b"1234567890")}, limit=10)
    with pytest.raises(MessageTooLarge):
        read_body({"CONTENT_LENGTH": announced, "wsgi.input": Body(b"12345678901")}, limit=10)


def test_what_is_unexpected_is_logged_with_its_place() -> None:
    with structlog.testing.capture_logs() as logged:
        as_gateway_error(ValueError("never raised"), correlation_id="c-1")
        try:
            int("x")
        except ValueError as error:
            as_gateway_error(error, correlation_id="c-2")
    assert [entry["correlation_id"] for entry in logged] == ["c-1", "c-2"]
    assert logged[0]["at"] == ""
    assert logged[1]["at"].startswith(__file__)


@pytest.mark.parametrize("value", ["true", "false", "2", "", "TRUE"])
def test_must_understand_is_what_its_version_says(value: str) -> None:
    for version in SoapVersion:
        block = etree.Element("x", {version.tag("mustUnderstand"): value})
        if version is SoapVersion.SOAP12 and value in ("true", "false"):
            assert version.must_understand(block) is (value == "true")
        else:
            with pytest.raises(ValueError):
                version.must_understand(block)
