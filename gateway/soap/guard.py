"""The gate: what a request must be before anything of it is believed or dispatched.

The law: raw bytes first, then one bounded parse (``xmlparse``), then the shape of the envelope; whatever
fails ends as a typed error that repeats nothing of the request. Clauses: RFC 9110 (methods, codings), RFC
7303 section 3 (charset: BOM, header and declaration must agree here), SOAP 1.1 sections 4 and 6, SOAP 1.2
part 1 sections 2.4 and 5, part 2 section 7, WS-I Basic Profile 1.1 (one child in Body, nothing after it).
Attachments are left to ``mtom``, who calls to ``security``, what the Body's child holds to ``validation``.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Final

from lxml import etree

from gateway.core import xmlparse
from gateway.core.errors import (
    ActionMismatch,
    MalformedMessage,
    UnknownOperation,
    UnsupportedMediaType,
    VersionMismatch,
)
from gateway.soap import media, mtom
from gateway.soap.addressing import Addressing, addressing_of
from gateway.soap.contract import contract
from gateway.soap.envelope import TNS, SoapVersion
from gateway.soap.faults import BlockNotUnderstood
from gateway.soap.media import Media
from gateway.web import Environ, client_certificate, read_body

MAX_TEXT: Final = 64 * 1024
"""Characters of one text; documents and shown content are bounded by the message alone."""

_BOMS: Final = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16le", b"\xfe\xff": "utf-16be"}
_LABELS: Final = {
    "utf-8": frozenset({"utf-8", "utf8"}),
    "utf-16le": frozenset({"utf-16", "utf-16le"}),
    "utf-16be": frozenset({"utf-16", "utf-16be"}),
}
"""What each charset may be called."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What HTTP brought, before any parse."""

    version: SoapVersion
    """By the content type."""
    charset: str | None
    """As the content type names it, in lower case."""
    actions: tuple[str, ...]
    """Of SOAPAction (1.1) and of the action parameter (1.2), where they are not empty."""
    client_certificate: bytes | None
    data: bytes
    attachments: Mapping[str, bytes] | None
    """By Content-ID; None where the message came without MTOM."""


@dataclass(frozen=True, slots=True)
class Message:
    """One envelope of the right shape; nothing in it is authenticated or valid yet."""

    version: SoapVersion
    actions: tuple[str, ...]
    envelope: etree._Element
    """The tree of the posted bytes, parsed once: what is verified and what is read are the same nodes."""
    headers: tuple[etree._Element, ...]
    """All header blocks, whoever they are for."""
    body: etree._Element
    request: etree._Element
    """The Body's one child."""
    addressing: Addressing
    client_certificate: bytes | None = None
    """DER, as the TLS proxy in front verified it."""


def version_of(environ: Environ) -> SoapVersion:
    """The version in which to answer, before anything is known for sure."""
    announced = _field(environ, "CONTENT_TYPE")
    try:
        return _version(media.parse(announced))
    except UnsupportedMediaType:
        soap12 = announced.lower().startswith(SoapVersion.SOAP12.media_type)
        return SoapVersion.SOAP12 if soap12 else SoapVersion.SOAP11


def receive(environ: Environ, *, max_bytes: int) -> Posted:
    """Content type, coding, size and parts; raises a RequestError for what is not as it must be."""
    posted = media.parse(_field(environ, "CONTENT_TYPE"))
    version = _version(posted)
    if _field(environ, "HTTP_CONTENT_ENCODING").lower() not in ("", "identity"):
        raise UnsupportedMediaType()
    charset = _announced_charset(posted)
    action = _field(environ, "HTTP_SOAPACTION")
    if action[:1] == '"' and action[-1:] == '"':
        action = action[1:-1]
    actions = [action, posted.parameters.get("action")]
    data = read_body(environ, limit=max_bytes)
    attachments: Mapping[str, bytes] | None = None
    if posted.type == mtom.PACKAGE:
        package = mtom.unpack(posted, data, max_bytes=max_bytes)
        inner = [
            media.parse(posted.parameters["start-info"]),
            media.parse(package.media.parameters.get("type", "")),
        ]
        if any(each.type != version.media_type for each in inner):
            raise UnsupportedMediaType()
        actions += [each.parameters.get("action") for each in (package.media, *inner)]
        charset, data, attachments = _announced_charset(package.media), package.root, package.attachments
    return Posted(
        version=version,
        charset=charset,
        actions=tuple(filter(None, actions)),
        client_certificate=client_certificate(environ),
        data=data,
        attachments=attachments,
    )


def parse(posted: Posted, *, understood: Set[str]) -> Message:
    """The envelope of a request; ``understood`` are the tags of header blocks that are processed here."""
    envelope = _parse(posted)
    _check_texts(envelope)
    if posted.attachments is not None:
        mtom.place(envelope, posted.attachments)
    name = etree.QName(envelope)
    if name.localname != "Envelope":
        raise MalformedMessage()
    version = next((version for version in SoapVersion if version.namespace == name.namespace), None)
    if version is not posted.version:
        raise VersionMismatch()
    headers, body = _parts(envelope, version)
    _check_headers(headers, version, understood=understood)
    if len(body) != 1 or _has_text(body):
        raise MalformedMessage()
    addressing = addressing_of(headers)
    action = addressing.value("Action")
    return Message(
        version=version,
        actions=posted.actions if action is None else (*posted.actions, action),
        envelope=envelope,
        headers=headers,
        body=body,
        request=body[0],
        addressing=addressing,
        client_certificate=posted.client_certificate,
    )


def operation_of(message: Message) -> str:
    """The operation that the Body names and the action does not contradict."""
    operation = contract().operations.get(str(message.request.tag))
    if operation is None:
        raise UnknownOperation()
    if any(action != f"{TNS}:{operation}" for action in message.actions):
        raise ActionMismatch()
    return operation


def _field(environ: Environ, name: str) -> str:
    return str(environ.get(name) or "").strip(" \t")


def _version(posted: Media) -> SoapVersion:
    """By the media type, or of a package by its start-info; raises UnsupportedMediaType."""
    announced = posted.type
    if announced == mtom.PACKAGE:
        announced = media.parse(posted.parameters.get("start-info", "")).type
    for version in SoapVersion:
        if version.media_type == announced:
            return version
    raise UnsupportedMediaType()


def _announced_charset(posted: Media) -> str | None:
    charset = posted.get("charset") or None
    if charset is not None and not any(charset in labels for labels in _LABELS.values()):
        raise UnsupportedMediaType()
    return charset


def _parse(posted: Posted) -> etree._Element:
    """BOM, content type and XML declaration must agree; the parser is given UTF-8 without a BOM."""
    bom = next((bom for bom in _BOMS if posted.data.startswith(bom)), b"")
    charset = _BOMS.get(bom, "utf-8")
    data = posted.data[len(bom) :]
    try:
        text = data.decode(charset)
        if charset != "utf-8":
            data = text.encode()
        del text
        declared = xmlparse.declared_encoding(data)
        if any(label is not None and label not in _LABELS[charset] for label in (posted.charset, declared)):
            raise UnsupportedMediaType()
        return xmlparse.parse(data)
    except (UnicodeError, xmlparse.NotPlain) as error:
        raise MalformedMessage() from error


def _check_texts(root: etree._Element) -> None:
    unbounded = contract().binary | contract().shown
    for node in root.iter():
        if node.tag not in unbounded and len(node.text or "") > MAX_TEXT:
            raise MalformedMessage()
        if len(node.tail or "") > MAX_TEXT:
            raise MalformedMessage()


def _parts(
    envelope: etree._Element, version: SoapVersion
) -> tuple[tuple[etree._Element, ...], etree._Element]:
    """Header blocks and Body: at most one Header, then exactly one Body, and nothing else."""
    tags = [str(child.tag) for child in envelope]
    header, body = version.tag("Header"), version.tag("Body")
    if tags not in ([body], [header, body]) or _has_text(envelope):
        raise MalformedMessage()
    if tags == [body]:
        return (), envelope[0]
    if _has_text(envelope[0]) or any(etree.QName(block).namespace is None for block in envelope[0]):
        raise MalformedMessage()
    return tuple(envelope[0]), envelope[1]


def _check_headers(
    headers: tuple[etree._Element, ...], version: SoapVersion, *, understood: Set[str]
) -> None:
    for block in headers:
        try:
            must = version.must_understand(block)
        except ValueError as error:
            raise MalformedMessage() from error
        if must and version.is_for_us(block) and block.tag not in understood:
            raise BlockNotUnderstood(str(block.tag))


def _has_text(element: etree._Element) -> bool:
    """Whether anything but blanks and elements stands right under an element."""
    texts = [element.text, *(child.tail for child in element)]
    return any(text is not None and text.strip(" \t\r\n") for text in texts)
