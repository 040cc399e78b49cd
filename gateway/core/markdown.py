"""The markdown that may be shown and signed: ``text/markdown; variant=mobileid-1``, ``docs/markdown.md``.

The law: what you see is what you sign. The source is what is signed; both renderings are the source with
nothing but its markup taken away, in order and line by line: nothing of it is hidden, nothing is added.
A source outside of the grammar is refused with its line, never rendered somehow. The grammar is a part of
CommonMark 0.31.2, cut so that every CommonMark renderer makes of an accepted source what ``html`` makes;
hence a parser of our own: a general one reads every string somehow, and has nothing to refuse with.

A text that stands in the grammar has one reading by each of these rules:

1. blocks are separated by one empty line; a block is a heading, a paragraph, or a list, by its first line;
2. each line is whole: inline text by itself; a paragraph's lines but the last end in a hard break;
3. \\ * ` _ [ ] < > & # ~ never stand for themselves, and nothing stands at a line's start that anywhere opens
   a list, a rule, a table or an underlined heading; both are written with a backslash;
4. an ordered list counts 1, 2, 3: every renderer counts so, whatever the source says;
5. a run of ``*`` opens or closes where all versions of the flanking rules agree, which differ over symbols;
6. no space stands at a line's end, nor two together: HTML would show fewer;
7. what markup separates does not join: no mark stands first in a span, and the words without it are NFC;
8. each line has ink besides its markup.

It reads each character a fixed number of times. Left to ``text``: which characters may be shown at all. That
is asked first.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from html import escape
from typing import Final, NoReturn

from gateway.core.errors import TextNotMarkdown
from gateway.core.text import category, has_ink, is_nfc

MAX_LINES: Final = 2_000
"""Lines of a source, empty ones among them."""

_ESCAPABLE: Final = frozenset(string.punctuation)
"""ASCII punctuation: CommonMark 0.31.2, 2.4."""

_OLD_PUNCTUATION: Final = (
    ("\u00a1", "\u00bf"),
    ("\u2010", "\u205e"),
    ("\u3001", "\u3011"),
    ("\uff01", "\uff65"),
)
"""Ranges without a punctuation mark that is younger than Unicode 4.1 (2005): whatever tables one has."""

_TOKEN: Final = re.compile(
    r"(?P<words>[^\\*`_\[\]<>&#~]+)|\\(?P<escaped>.?)|(?P<run>\*+)|(?P<bare>[`_\[\]<>&#~])", re.DOTALL
)
_NUMBER: Final = re.compile(r"[0-9]+[.)](?= |\Z)")
_START: Final = re.compile(rf"[-+=:|]|{_NUMBER.pattern}")


class Style(Enum):
    """The values: the HTML element."""

    PLAIN = ""
    EMPHASIS = "em"
    STRONG = "strong"


_STYLES: Final = {1: Style.EMPHASIS, 2: Style.STRONG}
"""By the length of the run of ``*``."""


@dataclass(frozen=True, slots=True)
class Span:
    text: str
    """Never empty; escapes are resolved."""
    style: Style = Style.PLAIN


Line = tuple[Span, ...]
"""Never empty."""


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    """1 or 2."""
    line: Line


@dataclass(frozen=True, slots=True)
class Paragraph:
    lines: tuple[Line, ...]
    """With a hard break between each two."""


@dataclass(frozen=True, slots=True)
class BulletList:
    items: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class OrderedList:
    items: tuple[Line, ...]
    """Numbered from 1."""


Block = Heading | Paragraph | BulletList | OrderedList


@dataclass(frozen=True, slots=True)
class _Source:
    """One line, and how it is refused."""

    number: int
    text: str
    field: str

    def refuse(self, why: str) -> NoReturn:
        """Tells the line and the rule, and nothing of the text: the message may reach logs."""
        raise TextNotMarkdown(f"Line {self.number}: {why}.", field=self.field)


def parse(source: str, *, field: str) -> tuple[Block, ...]:
    """The blocks of a displayable text with LF line ends; raises TextNotMarkdown. One LF may end it."""
    lines = [
        _Source(number, text, field)
        for number, text in enumerate(source.removesuffix("\n").split("\n"), start=1)
    ]
    if len(lines) > MAX_LINES:
        lines[MAX_LINES].refuse(f"at most {MAX_LINES} lines are allowed")
    blocks: list[Block] = []
    held: list[_Source] = []
    for line in (*lines, _Source(len(lines), "", field)):
        if line.text:
            held.append(line)
        elif not held:
            line.refuse("an empty line stands between two blocks, alone, and nowhere else")
        else:
            block = _block(held)
            if blocks and isinstance(block, BulletList | OrderedList) and type(block) is type(blocks[-1]):
                held[0].refuse("a list follows a list of its kind: they would be shown as one")
            blocks.append(block)
            held = []
    return tuple(blocks)


def plain(blocks: tuple[Block, ...]) -> str:
    """The rendering as text, for terminals: the source's lines without markup, list markers as they stand."""
    return "\n\n".join("\n".join(_plain_lines(block)) for block in blocks)


def html(blocks: tuple[Block, ...]) -> str:
    """The rendering as HTML: elements without attributes, as the specification of CommonMark writes them."""
    return "".join(_html(block) for block in blocks)


def _block(lines: list[_Source]) -> Block:
    first = lines[0]
    for level, marker in enumerate(("# ", "## "), start=1):
        if first.text.startswith(marker):
            if len(lines) > 1:
                lines[1].refuse("an empty line follows a heading")
            return Heading(level, _line(first, first.text.removeprefix(marker)))
    if first.text.startswith("- "):
        return BulletList(tuple(_item(line, "- ") for line in lines))
    if _NUMBER.match(first.text):
        return OrderedList(tuple(_item(line, f"{n}. ") for n, line in enumerate(lines, start=1)))
    return Paragraph((*(_line(line, _broken(line)) for line in lines[:-1]), _line(lines[-1], lines[-1].text)))


def _item(line: _Source, marker: str) -> Line:
    if not line.text.startswith(marker):
        line.refuse(f'a line of this list begins with "{marker}", counted from 1')
    return _line(line, line.text.removeprefix(marker))


def _broken(line: _Source) -> str:
    if not line.text.endswith("\\"):
        line.refuse("within a paragraph a line ends in a backslash, which breaks it")
    return line.text[:-1]


def _line(line: _Source, text: str) -> Line:
    if not text or _is_space(text[0]) or _is_space(text[-1]):
        line.refuse("a space, or nothing, stands where its text begins or ends")
    if "  " in text:
        line.refuse("two spaces stand together")
    if _START.match(text):
        line.refuse("it begins with what may be markup; write a backslash before the sign, as in \\- or 3\\.")
    spans: list[Span] = []
    words: list[str] = []
    style = Style.PLAIN

    def end_span() -> None:
        if words:
            spans.append(Span("".join(words), style))
            words.clear()
            if category(spans[-1].text[0])[0] == "M":
                line.refuse("a combining mark follows markup")

    for token in _TOKEN.finditer(text):
        said = token[0]
        match token.lastgroup:
            case "words":
                words.append(said)
            case "escaped":
                if token["escaped"] not in _ESCAPABLE:
                    line.refuse("a backslash stands before something else than ASCII punctuation")
                words.append(token["escaped"])
            case "run":
                before = text[max(token.start() - 1, 0) : token.start()]
                after = text[token.end() : token.end() + 1]
                if style is Style.PLAIN and len(said) in _STYLES and _opens(before, after):
                    end_span()
                    style = _STYLES[len(said)]
                elif _STYLES.get(len(said)) is style and _closes(before, after):
                    end_span()
                    style = Style.PLAIN
                else:
                    line.refuse("a * here neither opens nor closes one emphasis; write \\* for the sign")
            case _:
                line.refuse(f"{said} is written \\{said}")
    end_span()
    if style is not Style.PLAIN:
        line.refuse("an emphasis is not closed in its line")
    shown = _words(tuple(spans))
    if not is_nfc(shown):
        line.refuse("letters that markup separates would join")
    if not has_ink(shown):
        line.refuse("nothing would be seen of it")
    return tuple(spans)


def _opens(before: str, after: str) -> bool:
    """Left-flanking (CommonMark 0.31.2, 6.2), by every reading of what punctuation is."""
    return after != "" and not _is_space(after) and (_is_word(after) or _is_edge(before))


def _closes(before: str, after: str) -> bool:
    """Right-flanking, likewise."""
    return not _is_space(before) and (_is_word(before) or _is_edge(after))


def _is_space(char: str) -> bool:
    return category(char) == "Zs"


def _is_word(char: str) -> bool:
    """Punctuation in no version of CommonMark; it has the symbols (S) as punctuation since 0.31."""
    return category(char)[0] in "LMN"


def _is_edge(char: str) -> bool:
    """An end of the line, or white space or punctuation in every version."""
    if char == "" or char in _ESCAPABLE or _is_space(char):
        return True
    return category(char)[0] == "P" and any(first <= char <= last for first, last in _OLD_PUNCTUATION)


def _words(line: Line) -> str:
    return "".join(span.text for span in line)


def _plain_lines(block: Block) -> Iterator[str]:
    match block:
        case Heading():
            yield _words(block.line)
        case Paragraph():
            yield from map(_words, block.lines)
        case BulletList():
            yield from (f"- {_words(item)}" for item in block.items)
        case OrderedList():
            yield from (f"{n}. {_words(item)}" for n, item in enumerate(block.items, start=1))


def _html(block: Block) -> str:
    match block:
        case Heading():
            return f"<h{block.level}>{_inline(block.line)}</h{block.level}>\n"
        case Paragraph():
            return "<p>" + "<br />\n".join(map(_inline, block.lines)) + "</p>\n"
        case BulletList() | OrderedList():
            name = "ul" if isinstance(block, BulletList) else "ol"
            items = "".join(f"<li>{_inline(item)}</li>\n" for item in block.items)
            return f"<{name}>\n{items}</{name}>\n"


def _inline(line: Line) -> str:
    written = ((span.style.value, escape(span.text, quote=False).replace('"', "&quot;")) for span in line)
    return "".join(f"<{name}>{text}</{name}>" if name else text for name, text in written)
