"""The gate: what a request must be before anything of it is believed or dispatched.

The law: raw bytes first, then one hardened parse, then the shape of the envelope; whatever fails ends as
a typed error that repeats nothing of the request. Clauses: RFC 9110 (methods, codings), RFC 7303 section
3 (charset: BOM, header and declaration must agree here), SOAP 1.1 sections 4 and 6, SOAP 1.2 part 1
sections 2.4 and 5, part 2 section 7, WS-I Basic Profile 1.1 (one child in Body, nothing after it). Who
calls is left to ``security``, what the Body's child holds to ``validation``.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from gateway.core.errors import (
    ActionMismatch,
    MalformedMessage,
    UnknownOperation,
    UnsupportedMediaType,
    VersionMismatch,
)
from gateway.soap.contract import contract
from gateway.soap.envelope import TNS, SoapVersion
from gateway.soap.faults import BlockNotUnderstood
from gateway.web import Environ, read_body

MAX_DEPTH: Final = 64
MAX_ELEMENTS: Final = 10_000
MAX_ATTRIBUTES: Final = 256
"""Of one element."""
MAX_TEXT: Final = 64 * 1024
"""Characters of one text or attribute; base64Binary elements are bounded by the message alone."""

MAX_CONTENT_TYPE: Final = 1024
"""Characters of the header field."""

_WORD: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_MEDIA_TYPE: Final = re.compile(
    rf"({_WORD}/{_WORD})((?:[ \t]*;[ \t]*{_WORD}=(?:{_WORD}|\"[^\"\\]*\"))*)[ \t]*;?"
)
_PARAMETER: Final = re.compile(rf";[ \t]*({_WORD})=(?:({_WORD})|\"([^\"\\]*)\")")
_PROLOG: Final = re.compile(
    r"(?:<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*([\"'])1\.0\1"
    r"(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*([\"'])(?P<encoding>[A-Za-z][A-Za-z0-9._-]*)\2)?"
    r"(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*([\"'])(?:yes|no)\4)?[ \t\r\n]*\?>)?"
    r"[ \t\r\n]*<[A-Za-z_\x80-\U0010ffff]"
)
"""The XML declaration, if any, and at once the root: no DOCTYPE, comment or instruction is even parsed."""
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
    data: bytes


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


def version_of(environ: Environ) -> SoapVersion:
    """The version in which to answer, before anything is known for sure."""
    announced = str(environ.get("CONTENT_TYPE") or "").strip().lower()
    return SoapVersion.SOAP12 if announced.startswith(SoapVersion.SOAP12.media_type) else SoapVersion.SOAP11


def receive(environ: Environ, *, max_bytes: int) -> Posted:
    """Content type, coding and size; raises UnsupportedMediaType or MessageTooLarge."""
    media_type, parameters = _content_type(str(environ.get("CONTENT_TYPE") or ""))
    version = next((version for version in SoapVersion if version.media_type == media_type), None)
    if version is None or str(environ.get("HTTP_CONTENT_ENCODING") or "identity").lower() != "identity":
        raise UnsupportedMediaType()
    charset = parameters.get("charset", "").lower() or None
    if charset is not None and not any(charset in labels for labels in _LABELS.values()):
        raise UnsupportedMediaType()
    action = str(environ.get("HTTP_SOAPACTION") or "").strip(" \t")
    if action[:1] == '"' and action[-1:] == '"':
        action = action[1:-1]
    return Posted(
        version=version,
        charset=charset,
        actions=tuple(filter(None, (action, parameters.get("action")))),
        data=read_body(environ, limit=max_bytes),
    )


def parse(posted: Posted, *, understood: Set[str]) -> Message:
    """The envelope of a request; ``understood`` are the tags of header blocks that are processed here."""
    envelope = _parse(posted.data, charset=_charset(posted))
    _check_structure(envelope)
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
    return Message(
        version=version,
        actions=posted.actions,
        envelope=envelope,
        headers=headers,
        body=body,
        request=body[0],
    )


def operation_of(message: Message) -> str:
    """The operation that the Body names and the action does not contradict."""
    operation = contract().operations.get(str(message.request.tag))
    if operation is None:
        raise UnknownOperation()
    if any(action != f"{TNS}:{operation}" for action in message.actions):
        raise ActionMismatch()
    return operation


def _content_type(value: str) -> tuple[str, dict[str, str]]:
    match = _MEDIA_TYPE.fullmatch(value.strip(" \t")) if len(value) <= MAX_CONTENT_TYPE else None
    if match is None:
        raise UnsupportedMediaType()
    parameters: dict[str, str] = {}
    for name, token, quoted in _PARAMETER.findall(match[2]):
        if name.lower() in parameters:
            raise UnsupportedMediaType()
        parameters[name.lower()] = token or quoted
    return match[1].lower(), parameters


def _charset(posted: Posted) -> str:
    """What BOM, content type and XML declaration agree on, and the bytes are of: UTF-8 without a BOM."""
    data = posted.data
    bom = next((bom for bom in _BOMS if data.startswith(bom)), b"")
    charset = _BOMS.get(bom, "utf-8")
    try:
        text = data[len(bom) :].decode(charset)
    except UnicodeDecodeError as error:
        raise MalformedMessage() from error
    prolog = _PROLOG.match(text)
    if prolog is None:
        raise MalformedMessage()
    for label in (posted.charset, prolog["encoding"]):
        if label is not None and label.lower() not in _LABELS[charset]:
            raise UnsupportedMediaType()
    return charset


def _parse(data: bytes, *, charset: str) -> etree._Element:
    """The parser is told the charset: what it would guess by itself may be another."""
    parser = etree.XMLParser(
        encoding=charset,
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_blank_text=False,
        collect_ids=False,
    )
    try:
        return etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise MalformedMessage() from error


def _check_structure(root: etree._Element) -> None:
    """The limits, and that there is nothing but elements, attributes and text."""
    info: Any = root.getroottree().docinfo
    if info.doctype or root.getprevious() is not None or root.getnext() is not None:
        raise MalformedMessage()
    binary = contract().binary
    elements = depth = 0
    for event, node in etree.iterwalk(root, events=("start", "end", "comment", "pi")):
        if event == "end":
            depth -= 1
            continue
        depth += 1
        elements += 1
        if event != "start" or depth > MAX_DEPTH or elements > MAX_ELEMENTS:
            raise MalformedMessage()
        if len(node.attrib) > MAX_ATTRIBUTES or any(len(value) > MAX_TEXT for value in node.attrib.values()):
            raise MalformedMessage()
        if (len(node.text or "") > MAX_TEXT and node.tag not in binary) or len(node.tail or "") > MAX_TEXT:
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
