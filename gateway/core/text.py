"""The rules for text that may be shown to a person and signed.

The law: what you see is what you sign. A text passes only if each of its characters shows, stands where it
shows alone, and can be written in one way only; what passes is shown, composed and signed as it stands. Line
ends become LF before anything is judged; nothing else is ever changed, a text is refused instead. Refused are

1. the general categories Cc (but for LF), Cf, Cs, Co, Cn, Zl, Zp (UAX #44, 5.7.1);
2. every Default_Ignorable_Code_Point: some are letters or marks by category, and invisible;
3. U+FFFC and U+FFFD: they stand for an object or a character that is not there;
4. a combining mark at the start of the text or of a line: it would change the label or markup before it
   (a ">" and U+0338 are "≯" to whoever normalises);
5. more than eight combining marks in a row: they would cover the lines above and below;
6. text that is not NFC (UAX #15): two spellings would look the same and have two digests;
7. a text without ink, of spaces and blank symbols only: one would sign an empty screen.

All by the tables of one pinned Unicode version, never by those of the Python that runs: they differ.

Limits, on purpose: ZWJ, ZWNJ and the variation selectors are invisible, so an emoji that is joined or ends in
U+FE0F, and Persian or Indic text that needs a joiner, are refused; so are the few signs that are Cf though
they show (U+06DD). Right-to-left letters pass; the order that they give ends with their line (UAX #9, P1).

Left to the authenticator: to isolate each field's direction (UAX #9, HL3), to wrap lines, and to let nobody
approve before the end of the text was on the screen. Left to the relying party: look-alike letters.
"""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING, Final

from gateway.core.errors import InvalidValue, TextNotDisplayable, TextTooLong

if TYPE_CHECKING:  # unicodedata2 has no stubs, and the face of the standard library's module
    import unicodedata as unicodedata2
else:
    import unicodedata2

UNICODE_VERSION: Final[str] = unicodedata2.unidata_version

IGNORABLE_VERSION: Final = "18.0.0"
"""The Unicode version of IGNORABLE_RANGES; it moves together with the pin of unicodedata2."""

IGNORABLE_RANGES: Final[tuple[tuple[int, int], ...]] = (
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)
"""Default_Ignorable_Code_Point, first and last: UCD, DerivedCoreProperties.txt, the property of that name."""

MAX_MARKS: Final = 8
"""Combining marks in a row. Writing needs fewer: the Tibetan ten-fold seal, ཧྐྵྨླྺྲྂ, has seven."""

_REFUSED_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MARK_CATEGORIES: Final = frozenset({"Mn", "Mc", "Me"})
_IGNORABLE: Final = frozenset(chr(cp) for first, last in IGNORABLE_RANGES for cp in range(first, last + 1))
_STAND_INS: Final = frozenset("\ufffc\ufffd")

_BLANK_SYMBOLS: Final = frozenset("\u2800\U00013441\U00013442\U0001d159")
"""Letters and symbols by category, drawn as nothing: braille blank, hieroglyph blanks, null notehead."""


def category(char: str) -> str:
    """The general category of one character, by the pinned tables."""
    found: str = unicodedata2.category(char)
    return found


def is_nfc(text: str) -> bool:
    """By the pinned tables."""
    return bool(unicodedata2.normalize("NFC", text) == text)


def has_ink(text: str) -> bool:
    """Whether anything would be seen of it; a mark on a space is not enough."""
    return any(category(char)[0] in "LNPS" and char not in _BLANK_SYMBOLS for char in text)


def displayable(text: str, *, field: str, max_length: int, multiline: bool = True) -> str:
    """The text to be shown and signed: ``text`` with LF line ends, if it keeps the law above.

    ``max_length`` is in code points. Raises TextTooLong, TextNotDisplayable (with the code point and its
    offset in code points, counted after line ends became LF), or InvalidValue where nothing would be seen.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if len(text) > max_length:
        raise TextTooLong(f"At most {max_length} code points are allowed.", field=field)

    # Each distinct character is looked up once: a text has few.
    categories = {char: unicodedata2.category(char) for char in set(text)}
    refused = {
        char
        for char, category in categories.items()
        if category in _REFUSED_CATEGORIES or char in _IGNORABLE or char in _STAND_INS
    }
    if multiline:
        refused.discard("\n")
    if refused:
        offset = next(i for i, char in enumerate(text) if char in refused)
        raise _not_displayable(text, offset, "it does not show for what it is", field=field)

    if not has_ink(text):
        raise InvalidValue("The text is empty or blank.", field=field)

    marks = {char for char, category in categories.items() if category in _MARK_CATEGORIES}
    if marks:
        _check_marks(text, marks, field=field)

    composed = unicodedata2.normalize("NFC", text)
    if composed != text:
        offset = next(i for i, (sent, due) in enumerate(zip(text, composed, strict=False)) if sent != due)
        raise _not_displayable(text, offset, "from here on the text is not NFC", field=field)
    return text


def _check_marks(text: str, marks: Set[str], *, field: str) -> None:
    """Rules 4 and 5."""
    run, line_start = 0, True
    for offset, char in enumerate(text):
        if char not in marks:
            run, line_start = 0, char == "\n"
        elif line_start:
            raise _not_displayable(text, offset, "a combining mark begins the line", field=field)
        elif (run := run + 1) > MAX_MARKS:
            raise _not_displayable(text, offset, "too many combining marks in a row", field=field)


def _not_displayable(text: str, offset: int, why: str, *, field: str) -> TextNotDisplayable:
    """Names one code point by number, and no other part of the text: the message may reach logs."""
    return TextNotDisplayable(f"U+{ord(text[offset]):04X} at offset {offset}: {why}.", field=field)
