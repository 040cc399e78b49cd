"""Validation of a request's element against the committed schema, and strictly where libxml2 is not.

The law: XML Schema 1.0. One compiled schema a thread: a shared one would put one caller's validation text
into another's fault. Of what libxml2 says only the place is kept, and of the place only names of our own
schema. It skips stray characters in base64, so base64 is read again. What the values mean is left to the
services.
"""

from __future__ import annotations

import base64
import re
import threading
from typing import Any, Final

from lxml import etree

from gateway.core.errors import SchemaInvalid
from gateway.soap.contract import SCHEMA, contract
from gateway.soap.envelope import TNS

_STEP: Final = re.compile(r"(?:([^:\[\]]+):)?([^:\[\]]+)(?:\[([0-9]+)\])?")
_EXPECTED: Final = re.compile(rf"\{{{re.escape(TNS)}\}}([A-Za-z0-9]+)")
_BLANKS: Final = b" \t\r\n"


class _Local(threading.local):
    def __init__(self) -> None:
        self.schema = etree.XMLSchema(etree.fromstring(contract().schemas[SCHEMA]))


_local: Final = _Local()


def validate(request: etree._Element) -> None:
    """Raises SchemaInvalid with the path of the first element at fault."""
    schema: Any = _local.schema
    if not schema.validate(request):
        raise SchemaInvalid(field=_field(request, schema.error_log[0]))
    for tag in contract().binary:
        for element in request.iter(tag):
            if not _is_base64(element.text or ""):
                raise SchemaInvalid(field=_path(element, request))


def _is_base64(text: str) -> bool:
    """Whether it is base64 (RFC 4648 section 4) between blanks, of the one spelling that its bytes have."""
    try:
        packed = text.encode("ascii").translate(None, _BLANKS)
        # padding to spare, and bits that the last byte leaves over, do not come back as they were
        return base64.b64encode(base64.b64decode(packed, validate=True)) == packed
    except ValueError:
        return False


def _field(request: etree._Element, error: Any) -> str | None:
    """The path of the element that an entry of libxml2's log is about, or that it misses."""
    element = _element_at(request, error.path or "")
    if element is None:
        return None
    path = _path(element, request)
    if error.type_name != "SCHEMAV_ELEMENT_CONTENT":
        return path
    expected = _EXPECTED.findall(error.message.partition("Expected is")[2])
    if not expected:
        return path
    parent = element if "Missing child" in error.message else element.getparent()
    if parent is None or (parent is not element and etree.QName(element).localname not in contract().fields):
        return path
    missing = expected[-1]
    if parent.find(f"{{{TNS}}}{missing}") is not None:
        return path
    return ".".join(filter(None, (_path(parent, request), missing)))


def _element_at(root: etree._Element, path: str) -> etree._Element | None:
    """The element under a path as libxml2 writes it: ``/p:name[2]``, or ``/*[2]`` where it has no prefix."""
    element = root
    for step in path.split("/")[2:]:
        match = _STEP.fullmatch(step)
        if match is None:
            return None
        prefix, name, number = match.groups()
        same = [
            child
            for child in element
            if name == "*" or (child.prefix == prefix and etree.QName(child).localname == name)
        ]
        index = int(number or 1) - 1
        if index >= len(same):
            return None
        element = same[index]
    return element


def _path(element: etree._Element, request: etree._Element) -> str | None:
    """Names from below the request's element, as far as they are the schema's; None for the request."""
    chain: list[str] = []
    while element is not request:
        chain.append(etree.QName(element).localname)
        parent = element.getparent()
        if parent is None:
            return None
        element = parent
    names: list[str] = []
    for name in reversed(chain):
        if name not in contract().fields:
            break
        names.append(name)
    return ".".join(names) or None
