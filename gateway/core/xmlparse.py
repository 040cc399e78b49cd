"""The one parse of hostile XML: what bytes would become is counted before a parser allocates for it.

The law (XML 1.0, fifth edition): plain XML is one element in UTF-8, perhaps after an XML declaration
(production 23), and holds tags (40 to 44), text and CDATA sections (18 to 21): no DOCTYPE, so no
entities; no comment; no processing instruction. ``<`` stands nowhere but in these (2.4, 3.1), so every
one of them is looked at and counted, and the parser, which is told the encoding, sees nothing else.

It parses in a thread of its own: names, namespaces and short texts of a document live as long as the
thread that parsed it (libxml2's dictionary), and a thread that serves requests never ends. What the
elements mean is left to the callers.
"""

from __future__ import annotations

import re
from _thread import LockType, allocate_lock, start_new_thread
from collections.abc import Callable
from typing import Final, TypeVar

from lxml import etree

_T = TypeVar("_T")
MAX_DEPTH: Final = 64
MAX_NODES: Final = 10_000
"""Elements and CDATA sections of a document."""
MAX_ATTRIBUTES: Final = 256
"""Of one element, namespace declarations included."""
MAX_ALL_ATTRIBUTES: Final = 20_000
"""Of a document."""
MAX_TAG: Final = 64 * 1024
"""Bytes of one tag, its attributes included."""

_PROLOG: Final = re.compile(
    rb"(?:<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*([\"'])1\.0\1"
    rb"(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*([\"'])(?P<encoding>[A-Za-z][A-Za-z0-9._-]*)\2)?"
    rb"(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*([\"'])(?:yes|no)\4)?[ \t\r\n]*\?>)?"
    rb"[ \t\r\n]*+(?=<[A-Za-z_\x80-\xff])"
)
"""The XML declaration, if any, and at once the root."""
_TAG: Final = re.compile(
    rb"<(?P<end>/?)[^\x00-\x20\"'/<=>!?][^\"'<>]*+(?:(?:\"[^\"<]*+\"|'[^'<]*+')[^\"'<>]*+)*+>"
)
_ATTRIBUTE: Final = re.compile(rb"=[ \t\r\n]*+(?:\"[^\"]*+\"|'[^']*+')")
_CDATA: Final = b"<![CDATA["


class NotPlain(Exception):
    """The bytes are not plain, well-formed, bounded XML."""


def declared_encoding(data: bytes) -> str | None:
    """What the XML declaration names, in lower case; None where it names nothing."""
    encoding: bytes | None = _prolog(data)["encoding"]
    return None if encoding is None else encoding.decode("ascii").lower()


def parse(data: bytes) -> etree._Element:
    """The root of plain XML in UTF-8 without a byte order mark; the declared encoding is not looked at."""
    _count(data, at=_prolog(data).end())
    try:
        return apart(lambda: _parse(data))
    except (etree.XMLSyntaxError, ValueError) as error:
        raise NotPlain() from error


def apart(work: Callable[[], _T]) -> _T:
    """What ``work`` returns or raises in a thread of its own, which ends with it, and its dictionary too."""
    found: list[_T] = []
    failed: list[Exception] = []
    # A bare thread: Thread.start() waits until it runs, and that takes longer than to parse a request.
    over = allocate_lock()
    over.acquire()
    start_new_thread(_work_into, (found, failed, work, over))
    over.acquire()
    if failed:
        raise failed[0]
    return found[0]


def _work_into(found: list[_T], failed: list[Exception], work: Callable[[], _T], over: LockType) -> None:
    try:
        found.append(work())
    except Exception as error:
        failed.append(error.with_traceback(None))  # which would hold the data
    finally:
        over.release()


def _parse(data: bytes) -> etree._Element:
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_blank_text=False,
        collect_ids=False,
    )
    return etree.fromstring(data, parser)


def _prolog(data: bytes) -> re.Match[bytes]:
    match = _PROLOG.match(data)
    if match is None:
        raise NotPlain()
    return match


def _count(data: bytes, *, at: int) -> None:
    depth = nodes = attributes = 0
    while at >= 0:
        nodes += 1
        if data.startswith(_CDATA, at):
            end = data.find(b"]]>", at)
            if end < 0:
                raise NotPlain()
        else:
            tag = _TAG.match(data, at, at + MAX_TAG)
            if tag is None:
                raise NotPlain()
            end = tag.end()
            if tag["end"]:
                nodes -= 1
                depth -= 1
            else:
                depth += 1
                own = len(_ATTRIBUTE.findall(data, at, end))
                attributes += own
                if depth > MAX_DEPTH or own > MAX_ATTRIBUTES or attributes > MAX_ALL_ATTRIBUTES:
                    raise NotPlain()
                if data[end - 2] == ord("/"):
                    depth -= 1
            if depth < 0:
                raise NotPlain()
        if nodes > MAX_NODES:
            raise NotPlain()
        at = data.find(b"<", end)
