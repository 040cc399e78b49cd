"""The markdown that may be shown: the vectors, the page's examples, and a foreign renderer on every source.

The foreign renderer is markdown-it-py with its preset for CommonMark: it never saw our grammar, and it must
write, byte for byte, the HTML that ours writes.
"""

from __future__ import annotations

import json
import re
import string
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import unicodedata2
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from gateway.core import markdown
from gateway.core.errors import GatewayError, InvalidValue, TextNotDisplayable, TextNotMarkdown, TextTooLong
from gateway.core.markdown import (
    MAX_LINES,
    Block,
    BulletList,
    Heading,
    OrderedList,
    Paragraph,
    Span,
    Style,
    html,
    parse,
    plain,
)
from gateway.core.shown import MARKDOWN, MEDIA_TYPES, PLAIN, as_text, shown_text
from gateway.core.statement import ShownText
from gateway.core.text import displayable

ROOT = Path(__file__).parents[1]
VECTORS = json.loads((ROOT / "tests" / "vectors" / "markdown.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "markdown.md").read_text(encoding="utf-8")
FOREIGN = MarkdownIt("commonmark")


def blocks(source: str) -> tuple[Block, ...]:
    return parse(source, field="content")


def refusal(source: str) -> TextNotMarkdown:
    with pytest.raises(TextNotMarkdown) as caught:
        blocks(source)
    assert caught.value.field == "content"
    return caught.value


def line_of(error: TextNotMarkdown) -> int:
    found = re.search(r"Line ([0-9]+): ", error.message)
    assert found
    return int(found[1])


def named(cases: list[dict[str, Any]]) -> Any:
    assert len({case["name"] for case in cases}) == len(cases)
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


@named(VECTORS["accepted"])
def test_accepted(case: dict[str, Any]) -> None:
    source = displayable(case["source"], field="content", max_length=1000)
    assert plain(blocks(source)) == case["text"]
    assert html(blocks(source)) == case["html"] == FOREIGN.render(source)


@named(VECTORS["refused"])
def test_refused(case: dict[str, Any]) -> None:
    assert line_of(refusal(case["source"])) == case["line"]


def test_the_blocks_say_what_stands_there() -> None:
    source = "# A *b*\n\nc\\\n**d**\\!\n\n- e\n- f\n\n1. g"
    assert blocks(source) == (
        Heading(1, (Span("A "), Span("b", Style.EMPHASIS))),
        Paragraph(((Span("c"),), (Span("d", Style.STRONG), Span("!")))),
        BulletList(((Span("e"),), (Span("f"),))),
        OrderedList(((Span("g"),),)),
    )


# Sources of a grammar, and of the alphabet that tempts it.

SIGNS = "*_`#<>&[]~\\-+=:|!()., \n"
TEMPTING = st.text(alphabet=st.sampled_from(SIGNS + "ab1239äשé同€。“\u00a0\u0301\u1100\u1161"), max_size=40)
LINES = st.lists(
    st.sampled_from(["# ", "## ", "- ", "1. ", "2. ", "10. ", "\n", "\n\n", "\\\n", "*", "**", "a", "b c",
                     "\\*", "\\#", "€", "(", ")", ".", "“", " ", "\\", "&", "<b>", "---", "===", "|"]),
    max_size=14,
).map("".join)  # fmt: skip
SYMBOLS = [char for char in map(chr, range(0x80, 0x110000)) if unicodedata2.category(char)[0] in "PS"]
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co", "Cf")), min_size=1)


def escaped(words: str) -> str:
    """What a bank does with a value that it puts into a source: the rule of docs/markdown.md."""
    return "".join("\\" + char if char in string.punctuation else char for char in words)


@st.composite
def inline(draw: st.DrawFn) -> str:
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        words = escaped(" ".join(draw(WORDS).split()))
        run = draw(st.sampled_from(["", "*", "**"]))
        parts.append(f"{run}{words}{run}" if words else "x")
    return draw(st.sampled_from([" ", "", ", "])).join(parts)


@st.composite
def sources(draw: st.DrawFn) -> str:
    """Mostly of the grammar; what is not is refused, which the tests pass over."""
    made: list[str] = []
    for _ in range(draw(st.integers(1, 5))):
        lines = draw(st.lists(inline(), min_size=1, max_size=3))
        match draw(st.sampled_from(["heading", "paragraph", "bullets", "numbers"])):
            case "heading":
                made.append(draw(st.sampled_from(["# ", "## "])) + lines[0])
            case "paragraph":
                made.append("\\\n".join(lines))
            case "bullets":
                made.append("\n".join(f"- {line}" for line in lines))
            case _:
                made.append("\n".join(f"{n}. {line}" for n, line in enumerate(lines, start=1)))
    return "\n\n".join(made)


often = settings(max_examples=150, suppress_health_check=[HealthCheck.filter_too_much], deadline=None)

ANY = st.one_of(sources(), TEMPTING, LINES, st.text(max_size=60))


def read(source: str) -> tuple[str, tuple[Block, ...]]:
    """A source that may be shown, and its blocks; any other is passed over."""
    try:
        shown = displayable(source, field="content", max_length=10_000)
        return shown, blocks(shown)
    except GatewayError:
        assume(False)
        raise


def without_markup(source: str) -> str:
    """The law of the rendering as text, said once more: markup is deleted from the source, nothing else."""
    lines = []
    for line in source.removesuffix("\n").split("\n"):
        line = re.sub(r"\A##? ", "", line)
        line = re.sub(r"(?<!\\)((?:\\\\)*)\\\Z", r"\1", line)  # a backslash that is not itself escaped
        lines.append(re.sub(r"\\(.)|\*", lambda found: found[1] or "", line))
    return "\n".join(lines)


@often
@given(ANY)
@example("a*\\(b*")
@example("*a*\\\\\\\nb")
def test_nothing_is_lost_and_nothing_invented(source: str) -> None:
    shown, made = read(source)
    assert plain(made) == without_markup(shown)


@often
@given(ANY)
@example("**a:**\\\nb")
@example(".*(a)*(b)*c*")
def test_a_foreign_renderer_shows_the_same(source: str) -> None:
    shown, made = read(source)
    assert html(made) == FOREIGN.render(shown)


@often
@given(ANY)
def test_the_words_of_the_html_are_the_words_of_the_text(source: str) -> None:
    _, made = read(source)
    words = unescape(re.sub(r"<[^>]*>", "", html(made)))
    markers = re.compile(r"^(?:- |[0-9]+\. )", re.MULTILINE)
    numbered = any(isinstance(block, BulletList | OrderedList) for block in made)
    text = plain(made)
    if not numbered:
        assert words.split() == text.split()
    assert "".join(words.split()) == "".join(_unmarked(made, text, markers).split())


def _unmarked(made: tuple[Block, ...], text: str, markers: re.Pattern[str]) -> str:
    parts = text.split("\n\n")
    assert len(parts) == len(made)
    return "".join(
        markers.sub("", part) if isinstance(block, BulletList | OrderedList) else part
        for block, part in zip(made, parts, strict=True)
    )


@often
@given(ANY)
def test_the_rendering_may_itself_be_shown(source: str) -> None:
    """No mark moves onto another letter, no letters join, when the markup is gone."""
    _, made = read(source)
    text = plain(made)
    assert displayable(text, field="content", max_length=10_000) == text


@often
@given(ANY)
def test_html_has_elements_without_attributes_and_nothing_else(source: str) -> None:
    _, made = read(source)
    rest = re.sub(r"</?(?:h1|h2|p|ul|ol|li|em|strong)>|<br />", "", html(made))
    assert not set('<>"') & set(rest)
    assert re.fullmatch(r"(?:[^&]|&(?:amp|lt|gt|quot);)*", rest)


@given(st.text(max_size=60))
def test_every_string_is_accepted_or_refused(source: str) -> None:
    """Also one that nobody should ask about: parse() never fails otherwise."""
    try:
        made = blocks(source)
    except TextNotMarkdown as refused:
        line = line_of(refused)
    else:
        line = len(plain(made).split("\n"))
    assert 1 <= line <= source.count("\n") + 1


@given(WORDS)
def test_every_sign_can_be_written_with_a_backslash(words: str) -> None:
    words = " ".join(words.split())
    assume(words)
    try:
        displayable(words, field="content", max_length=1000)
    except GatewayError:
        assume(False)
    assert plain(blocks(escaped(words))) == words


def test_random_sources_are_accepted_often_enough_to_tell() -> None:
    """Were all refused, the properties above would hold of nothing."""
    counted = {True: 0, False: 0}

    @given(sources())
    def count(source: str) -> None:
        try:
            blocks(displayable(source, field="content", max_length=10_000))
        except GatewayError:
            counted[False] += 1
        else:
            counted[True] += 1

    count()
    assert counted[True] > 10


@pytest.mark.parametrize("shape", ["**{}**a", "a**{}**", "{}**€**", "**€**{}", "*€*{}\\*", "{}*({})*{}"])
def test_flanking_is_that_of_the_foreign_renderer_for_every_sign(shape: str) -> None:
    """Also for those that are younger than the tables of the Python that runs."""
    accepted = 0
    for char in SYMBOLS:
        source = shape.format(*[char] * 3)
        try:
            made = blocks(source)
        except TextNotMarkdown:
            continue
        accepted += 1
        assert html(made) == FOREIGN.render(source), hex(ord(char))
    assert accepted or shape in {"**{}**a", "a**{}**"}


# Hostile ones.

HOSTILE = {
    "stars": "*" * 100_000,
    "stars-apart": "* " * 50_000,
    "stars-and-letters": "*a" * 50_000,
    "strong-and-letters": "**a" * 30_000,
    "emphases": "*a* " * 25_000 + "a",
    "backslashes": "\\" * 100_000,
    "brackets": "[" * 100_000,
    "quotes": ">" * 100_000,
    "quotes-apart": "> " * 50_000,
    "backticks": "`" * 100_000,
    "entities": "&amp;" * 20_000,
    "html": "<b>" * 30_000,
    "comments": "<!--" * 25_000,
    "bullets-in-a-line": "- " * 50_000 + "a",
    "numbers-in-a-line": "1. " * 30_000 + "a",
    "digits": "1" * 100_000,
    "hashes": "#" * 100_000,
    "spaces": "a" + " " * 100_000 + "a",
    "indented": "\n".join(" " * n + "- a" for n in range(400)),
    "lines": "a\\\n" * 50_000 + "a",
    "empty-lines": "\n" * 100_000,
    "links": "[a](" * 25_000,
}
"""Long, and made to let a parser look far ahead or back."""

LONG = {"emphases", "stars-and-letters", "strong-and-letters", "backslashes", "digits"}
"""Those of HOSTILE that stand in the grammar."""


def steps(source: str) -> int:
    """How many Python lines the module runs for it: a count, which no clock and no load can change."""
    counted = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal counted
        if frame.f_code.co_filename != markdown.__file__:
            return None
        counted += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        html(blocks(source))
    except TextNotMarkdown:
        pass
    finally:
        sys.settrace(before)
    return counted


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_source_costs_a_few_steps_a_character(name: str) -> None:
    source = HOSTILE[name]
    assert steps(source) <= 25 * len(source) + 100
    if name in LONG:
        assert plain(blocks(source)) == without_markup(source)
    else:
        refusal(source)


@pytest.mark.parametrize("unit", ["*a* ", "**a** \\* ", "a\\\n", "- a\n", "\\*", "\\\\", "word ", "# a\n\n"])
def test_twice_the_source_is_twice_the_steps(unit: str) -> None:
    once, twice = (steps(unit * n + "a") for n in (300, 600))
    assert twice <= 2 * once + 10


def test_lines_are_bounded() -> None:
    longest = "a\\\n" * (MAX_LINES - 1) + "a"
    assert len(plain(blocks(longest)).split("\n")) == MAX_LINES
    assert plain(blocks(longest + "\n")) == plain(blocks(longest))
    assert line_of(refusal("a\\\n" * MAX_LINES + "a")) == MAX_LINES + 1


@pytest.mark.parametrize(
    "source", ["secret {} secret", "# secret{}", "- secret\n{}secret", "{}secret\nsecret"]
)
@pytest.mark.parametrize("sign", "*`_[]<>&#~\\")
def test_a_refusal_tells_nothing_of_the_words(source: str, sign: str) -> None:
    assert "secret" not in refusal(source.format(sign)).message


# Media types.


def show(text: str, *, media_type: str = MARKDOWN, title: str = "T", max_length: int = 1000) -> ShownText:
    return shown_text(title, text=text, media_type=media_type, max_length=max_length, field="preContext")


def test_the_source_is_what_is_signed() -> None:
    shown = show("# A\r\n\r\n**b**")
    assert shown == ShownText("T", "# A\n\n**b**", "text/markdown; variant=mobileid-1")
    assert as_text(shown) == "A\n\nb"
    assert as_text(show("# A\n\n**b**", media_type=PLAIN)) == "# A\n\n**b**"


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        ({"media_type": "text/html"}, InvalidValue, "preContext.mediaType"),
        ({"media_type": "text/markdown"}, InvalidValue, "preContext.mediaType"),
        ({"media_type": "text/markdown;variant=mobileid-1"}, InvalidValue, "preContext.mediaType"),
        ({"media_type": "text/markdown; variant=mobileid-2"}, InvalidValue, "preContext.mediaType"),
        ({"text": "a <b>"}, TextNotMarkdown, "preContext.content"),
        ({"text": "a\u202eb"}, TextNotDisplayable, "preContext.content"),
        ({"text": "a\tb"}, TextNotDisplayable, "preContext.content"),
        ({"text": " "}, InvalidValue, "preContext.content"),
        ({"text": "a" * 1001}, TextTooLong, "preContext.content"),
        ({"title": "a\nb"}, TextNotDisplayable, "preContext.title"),
        ({"title": "a" * 201}, TextTooLong, "preContext.title"),
    ],
)
def test_what_is_not_shown(changes: dict[str, str], error: type[GatewayError], field: str) -> None:
    with pytest.raises(GatewayError) as caught:
        show(**({"text": "a"} | changes))
    assert type(caught.value) is error
    assert caught.value.field == field


def test_a_title_is_plain() -> None:
    assert show("a", title="**a** <b>").title == "**a** <b>"


@pytest.mark.parametrize("file", ["gateway-v1.xsd", "statement-v1.xsd", "device-v1.json"])
def test_the_schemas_name_every_media_type(file: str) -> None:
    schema = (ROOT / "schemas" / file).read_text(encoding="utf-8")
    assert all(media_type in schema for media_type in MEDIA_TYPES)
    assert VECTORS["mediaType"] == MARKDOWN


# The page.


def examples() -> Iterator[tuple[str, str, str]]:
    yield from re.findall(
        r"^```markdown\n(.*?)\n```\n\n```text\n(.*?)\n```\n\n```html\n(.*?)\n```$",
        PAGE,
        re.MULTILINE | re.DOTALL,
    )


def test_the_examples_of_the_page_are_true() -> None:
    found = list(examples())
    assert len(found) == PAGE.count("```markdown") >= 3
    for source, text, rendered in found:
        assert plain(blocks(source)) == text
        assert html(blocks(source)) == rendered + "\n" == FOREIGN.render(source)


def test_the_refusals_of_the_page_are_true() -> None:
    rows = re.findall(r"^\| `` (.+?) `` \| .+ \| `` (.+?) `` \|$", PAGE, re.MULTILINE)
    assert len(rows) >= 10
    for wrong, right in rows:
        refusal(wrong.replace("⏎", "\n"))
        assert blocks(right.replace("⏎", "\n"))


def test_the_page_names_the_limits() -> None:
    assert f"{MAX_LINES:,} lines" in PAGE
    assert MARKDOWN in PAGE
