"""DER as it must be: one value in its one encoding, read from front to back.

The law (ITU-T X.690 clause 10): tags and lengths are minimal and definite, INTEGER and ENUMERATED have no
leading octet to spare, BOOLEAN is 00 or FF, and nothing trails. Else it is a ValueError. No work
is done beyond the bytes that are given. What the values mean is left to the callers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from asn1crypto import parser

BOOLEAN: Final = 1
INTEGER: Final = 2
OCTET_STRING: Final = 4
NULL: Final = 5
ENUMERATED: Final = 10
SEQUENCE: Final = 16
SET: Final = 17
_UNIVERSAL, _CONTEXT = 0, 2
_MAX_NUMBER_BYTES: Final = 8
"""Of a number whose value is asked for."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value: its tag and what is inside."""

    encoded: bytes
    _class: int
    _constructed: bool
    _tag: int
    content: bytes

    @property
    def context_tag(self) -> int:
        """The number of an explicit context tag."""
        if self._class != _CONTEXT or not self._constructed:
            raise ValueError("not an explicit context tag")
        return self._tag

    def number(self, tag: int = INTEGER) -> int:
        """Of a non-negative INTEGER or ENUMERATED."""
        content = self._primitive(tag)
        spare = len(content) > 1 and content[0] == 0 and content[1] < 0x80
        if not content or content[0] >= 0x80 or spare or len(content) > _MAX_NUMBER_BYTES:
            raise ValueError("not a number that is expected here")
        return int.from_bytes(content, "big")

    def boolean(self) -> bool:
        content = self._primitive(BOOLEAN)
        if content not in (b"\x00", b"\xff"):
            raise ValueError("not a BOOLEAN")
        return content == b"\xff"

    def octets(self) -> bytes:
        return self._primitive(OCTET_STRING)

    def null(self) -> None:
        if self._primitive(NULL):
            raise ValueError("not a NULL")

    def inner(self) -> Value:
        """The one value that an explicit tag wraps."""
        return read(self.content)

    def items(self, tag: int = SEQUENCE, *, at_most: int) -> list[Value]:
        """The values of a SEQUENCE or SET, in the order in which they stand; a SET's must be DER's own."""
        if (self._class, self._constructed, self._tag) != (_UNIVERSAL, True, tag):
            raise ValueError("not the constructed type that is expected here")
        found: list[Value] = []
        rest = self.content
        while rest:
            if len(found) == at_most:
                raise ValueError("more values than there may be")
            value, rest = _next(rest)
            found.append(value)
        if tag == SET and found != sorted(found, key=lambda value: value.encoded):
            raise ValueError("a SET in another order than DER's")
        return found

    def _primitive(self, tag: int) -> bytes:
        if (self._class, self._constructed, self._tag) != (_UNIVERSAL, False, tag):
            raise ValueError("not the primitive type that is expected here")
        return self.content


def read(data: bytes) -> Value:
    """The value that is all of ``data``; raises ValueError."""
    value, rest = _next(data)
    if rest:
        raise ValueError("something trails the value")
    return value


def write(content: bytes, *, tag: int, context: bool = False) -> bytes:
    """One value around finished content: of a universal type, or an explicit context tag."""
    constructed = context or tag in (SEQUENCE, SET)
    return bytes(parser.emit(_CONTEXT if context else _UNIVERSAL, int(constructed), tag, content))


def write_number(value: int, *, tag: int = INTEGER) -> bytes:
    return write(value.to_bytes(value.bit_length() // 8 + 1, "big"), tag=tag)


def _next(data: bytes) -> tuple[Value, bytes]:
    class_, method, tag, _, content, _ = parser.parse(data)
    encoded = parser.emit(class_, method, tag, content)
    if not data.startswith(encoded):  # BER has many encodings, DER one
        raise ValueError("not DER")
    return Value(encoded, class_, bool(method), tag, content), data[len(encoded) :]
