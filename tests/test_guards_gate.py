"""Guards of what reads hostile bytes: each falls when one is taken away (``make sabotage``)."""

from __future__ import annotations

import base64
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from lxml import etree

sys.path.insert(0, str(Path(__file__).parent / "vectors" / "evidence"))

import forge as f

from gateway.core import xmlparse
from gateway.core.certpath import parse_trust
from gateway.core.conclusion import SubIndication
from gateway.core.errors import MalformedMessage, UnsupportedMediaType
from gateway.core.verifier import verify_evidence
from gateway.soap import media, mtom
from gateway.soap.contract import contract

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
