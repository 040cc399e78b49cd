"""MTOM: a multipart package taken apart, and its attachments put back to where the envelope wants them.

The law: XOP 1.0 sections 3 and 4 (xop:Include is the only child of a base64Binary element and points by a
cid: URL at another part), MTOM and its SOAP 1.1 binding, RFC 2387 (multipart/related: type, start,
start-info), RFC 2046 section 5.1 (boundaries), RFC 2392 (cid). Stricter where they leave it open: every
part but the root is included exactly once, nothing stands before the first boundary or after the last,
nothing is nested, and no part has a transfer encoding to undo. What comes of it is held to the same
limits as if it had been sent inline, and read on by the same way; answers are always inline.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn
from urllib.parse import unquote

from lxml import etree

from gateway.core.errors import MalformedMessage, MessageTooLarge, UnsupportedMediaType
from gateway.soap import media
from gateway.soap.contract import contract
from gateway.soap.media import Media

PACKAGE: Final = "multipart/related"
ROOT: Final = "application/xop+xml"
MAX_PARTS: Final = 8
"""The root included."""
MAX_FIELDS: Final = 16
"""Header fields of a part."""
MAX_HEAD: Final = 4096
"""Bytes of a part's header fields together."""

_INCLUDE: Final = "{http://www.w3.org/2004/08/xop/include}Include"
_BOUNDARY: Final = re.compile(r"[A-Za-z0-9'()+_,./:=? -]{0,69}[A-Za-z0-9'()+_,./:=?-]")
_AFTER: Final = re.compile(rb"(--)?[ \t]*(\r\n|\Z)")
"""What follows a boundary: two hyphens after the last part."""
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~A-Za-z0-9-]+):[ \t]*([\x20-\x7e\t]*)")
_FOLD: Final = re.compile(rb"\r\n(?=[ \t])")
_ID: Final = re.compile(r"<([!-;=?-~]{1,256})>")
_ESCAPES: Final = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*+")
_IDENTITY: Final = frozenset({"", "7bit", "8bit", "binary"})
"""Transfer encodings that leave the bytes as they are (RFC 2045 section 6.2)."""


@dataclass(frozen=True, slots=True)
class Package:
    media: Media
    """Of the root part."""
    root: bytes
    attachments: Mapping[str, bytes]
    """By their Content-ID, without its brackets."""


@dataclass(frozen=True, slots=True)
class _Part:
    id: str | None
    media: Media | None
    data: bytes


def unpack(package: Media, data: bytes, *, max_bytes: int) -> Package:
    """The parts of a multipart/related body; ``max_bytes`` is what the message may have inline."""
    if package.get("type") != ROOT:
        raise UnsupportedMediaType()
    parts = _parts(data, boundary=package.parameters.get("boundary", ""))
    ids = [part.id for part in parts if part.id is not None]
    if len(set(ids)) != len(ids):
        raise MalformedMessage()
    root = parts[0]
    if "start" in package.parameters:
        start = _id(package.parameters["start"])
        root = next((part for part in parts if part.id == start), None) or _refuse()
    if root.media is None or root.media.type != ROOT:
        raise UnsupportedMediaType()
    attachments = {part.id: part.data for part in parts if part is not root and part.id is not None}
    if len(attachments) != len(parts) - 1:
        raise MalformedMessage()
    if len(root.data) + sum(-(-len(part) // 3) * 4 for part in attachments.values()) > max_bytes:
        raise MessageTooLarge()
    return Package(root.media, root.data, attachments)


def place(envelope: etree._Element, attachments: Mapping[str, bytes]) -> None:
    """Every attachment becomes the base64 text of the one element that includes it."""
    left = dict(attachments)
    for include in list(envelope.iter(_INCLUDE)):
        parent = include.getparent()
        if parent is None or parent.tag not in contract().binary or len(parent) != 1:
            raise MalformedMessage()
        texts = (parent.text, include.text, include.tail)
        if any(texts) or len(include) or list(include.attrib) != ["href"]:
            raise MalformedMessage()
        data = left.pop(_cid(str(include.get("href"))), None)
        if data is None:
            raise MalformedMessage()
        parent.remove(include)
        parent.text = base64.b64encode(data).decode("ascii")
    if left:
        raise MalformedMessage()


def _parts(data: bytes, *, boundary: str) -> list[_Part]:
    if _BOUNDARY.fullmatch(boundary) is None:
        raise MalformedMessage()
    delimiter = b"\r\n--" + boundary.encode("ascii")
    if data.startswith(delimiter[2:]):
        at = len(delimiter) - 2
    elif data.startswith(delimiter):
        at = len(delimiter)
    else:
        raise MalformedMessage()
    parts: list[_Part] = []
    while True:
        after = _AFTER.match(data, at) or _refuse()
        if after[1]:
            break
        end = data.find(delimiter, after.end() - 2)
        if end < 0 or len(parts) == MAX_PARTS:
            raise MalformedMessage()
        parts.append(_part(data, at=after.end(), end=end))
        at = end + len(delimiter)
    if not parts or data[after.end() :].strip(b"\r\n"):
        raise MalformedMessage()
    return parts


def _part(data: bytes, *, at: int, end: int) -> _Part:
    split = data.find(b"\r\n\r\n", at, min(end, at + MAX_HEAD))
    if split < 0:
        raise MalformedMessage()
    lines = _FOLD.sub(b"", data[at:split]).split(b"\r\n")
    fields: dict[str, str] = {}
    for line in lines:
        match = _FIELD.fullmatch(line) or _refuse()
        name = match[1].decode("ascii").lower()
        if name in fields or len(lines) > MAX_FIELDS:
            raise MalformedMessage()
        fields[name] = match[2].decode("ascii").strip(" \t")
    kind = media.parse(fields["content-type"]) if "content-type" in fields else None
    if kind is not None and kind.type.partition("/")[0] in ("multipart", "message"):
        raise UnsupportedMediaType()
    if fields.get("content-transfer-encoding", "").lower() not in _IDENTITY:
        raise UnsupportedMediaType()
    own = _id(fields["content-id"]) if "content-id" in fields else None
    return _Part(own, kind, data[split + 4 : end])


def _id(field: str) -> str:
    match = _ID.fullmatch(field.strip(" \t")) or _refuse()
    return str(match[1])


def _cid(url: str) -> str:
    """The Content-ID that a cid: URL names (RFC 2392 section 2)."""
    scheme, _, rest = url.partition(":")
    if scheme.lower() != "cid" or _ESCAPES.fullmatch(rest) is None:
        raise MalformedMessage()
    return unquote(rest, "ascii", "replace")


def _refuse() -> NoReturn:
    raise MalformedMessage()
