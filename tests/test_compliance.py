"""The table of the rules: every marker is in it, every row has tests and guards, and how a row is judged."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rts import TESTS, NamedGuard, Rule, files_of, marked, parse_rules, row_of, rules

ROOT = TESTS.parent
sys.path[:0] = [str(TESTS / "compliance"), str(TESTS / "sabotage")]

import compliance  # noqa: E402
import sabotage  # noqa: E402
from compliance import Row, Run, Taken  # noqa: E402
from python_guards import Mutation  # noqa: E402

FILES = sorted(TESTS.glob("test_*.py"))


@pytest.fixture(scope="module")
def guards() -> Mapping[str, Mutation]:
    return sabotage.guards(ROOT)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_marker_is_of_an_article_in_the_table(file: Path) -> None:
    for line, article in marked(file):
        assert row_of(article), f"{file.name}:{line}"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.row)
def test_every_row_has_tests_and_guards_that_stand_in_the_code(
    rule: Rule, guards: Mapping[str, Mutation]
) -> None:
    assert files_of(rule.row)
    assert rule.guards
    assert all((rule.asks, rule.does, *(guard.holds for guard in rule.guards)))
    assert [guard.name for guard in rule.guards if compliance.resolve(guard, guards) is None] == []
    assert len(set(rule.guards)) == len(rule.guards)


def test_a_guard_is_found_by_what_stands_there_and_by_its_number_where_several_are_alike() -> None:
    one, two = (Mutation("a.py", n, n, "term", "a", "b", n, n + 1) for n in (1, 2))
    named = {
        "a.py | term | a -> b | 1": one,
        "a.py | term | c -> d | 1": one,
        "a.py | term | c -> d | 2": two,
    }
    find = lambda name: compliance.resolve(NamedGuard(name, ""), named)  # noqa: E731
    assert find("a.py | term | a -> b") is one
    assert find("a.py | term | c -> d | 2") is two
    assert find("a.py | term | c -> d") is None, "which of the two?"
    assert find("a.py | term | a -> c") is None


RULE = """
[[rule]]
row = "1-2"
articles = ["1", "2"]
asks = "Asks <much>."
does = "Does | much."
leaves = "Leaves & more."
[[rule.guards]]
name = "a.py | term | x < 1 -> True | 1"
holds = "Holds."
"""


def test_an_article_stands_in_one_row() -> None:
    (rule,) = parse_rules(RULE)
    assert (rule.row, rule.articles, rule.guards[0].holds) == ("1-2", ("1", "2"), "Holds.")
    with pytest.raises(ValueError, match="two rows"):
        parse_rules(RULE + RULE.replace('"1-2"', '"3"'))
    with pytest.raises(KeyError):
        row_of("4(3)(z)")


@pytest.mark.parametrize(
    ("marks", "asked", "says"),
    [
        ('"4(3)(z)"', None, "no article '4(3)(z)'"),
        ('"9"', None, "2 passed"),
        ('"9"', "all", "1 passed, 1 deselected"),
        ('"24"', "26", "1 passed, 1 deselected"),
        ('"24"', "9", "2 deselected"),
        ('"9"', "nine", "no article 'nine'"),
    ],
)
def test_a_marker_selects_and_an_unknown_one_stops_the_run(
    tmp_path: Path, marks: str, asked: str | None, says: str
) -> None:
    (tmp_path / "test_tiny.py").write_text(
        f"import pytest\n\n@pytest.mark.rts({marks})\ndef test_a(): ...\n\ndef test_b(): ...\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "-p", "rts", tmp_path]
        + (["--rts", asked] if asked else []),
        cwd=tmp_path, env={"PYTHONPATH": str(TESTS)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert says in done.stdout + done.stderr
    assert (done.returncode == 4) is ("no article" in says)


@pytest.fixture
def row() -> Row:
    (rule,) = parse_rules(RULE)
    taken = Taken(rule.guards[0], "a.py:7", "test_a.py::test_a", "killed")
    return Row(
        rule, {"tests/test_a.py::test_a[1]": "passed", "tests/test_a.py::test_a[2]": "passed"}, (taken,)
    )


@pytest.mark.parametrize("word", ["survived", "not in the code", "broken", "out of time", "not reached"])
def test_a_row_holds_when_each_guard_is_missed(row: Row, word: str) -> None:
    assert row.lacks == ()
    alive = replace(row.guards[0], word=word, killer="")
    assert replace(row, guards=(*row.guards, alive)).lacks == (f"{word}: {alive.guard.name}",)


@pytest.mark.parametrize(
    ("change", "lack"),
    [
        ({"tests": {}}, "no test carries its article"),
        ({"guards": ()}, "it names no guard"),
        ({"tests": {"a": "passed", "b": "failed"}}, "1 tests did not pass: b"),
        ({"tests": {"a": "skipped"}}, "1 tests did not pass: a"),
    ],
    ids=str,
)
def test_a_row_without_tests_guards_or_a_passing_result_does_not_hold(
    row: Row, change: dict[str, object], lack: str
) -> None:
    assert replace(row, **change).lacks == (lack,)  # type: ignore[arg-type]


def test_what_is_red_already_or_judges_time_misses_no_guard() -> None:
    arguments = compliance.killers("4(3)(a)", tests={"tests/a.py::b": "failed", "c": "passed"}, tree=ROOT)
    assert arguments[-3:] == ["--rts", "4(3)(a)", "--deselect=tests/a.py::b"]
    assert "tests/test_rts.py" in arguments
    assert compliance.TIMED in files_of("4(3)(a)")
    assert compliance.TIMED not in arguments


class Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.addresses: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        assert tag != "script"


def test_a_report_tells_what_holds_and_what_does_not(row: Row) -> None:
    run = Run("abc1234", datetime(2026, 3, 2, 9, 30, tzinfo=UTC), 3.0)
    lacking = replace(row, guards=(replace(row.guards[0], word="survived", killer=""),))
    told = compliance.text([row, lacking])
    assert told.splitlines()[1].split() == ["1-2", "2", "2", "1", "test_a.py::test_a"]
    assert "LACKS survived: a.py | term | x < 1 -> True | 1" in told
    written = compliance.markdown([row, lacking], run=run)
    assert "commit abc1234, 2026-03-02 09:30 UTC" in written
    assert "1 of 2 rows hold" in written
    reader = Words()
    reader.feed(compliance.page([row, lacking], run=run))
    said = "".join(reader.words)
    for words in ("Asks <much>.", "Does | much.", "Leaves & more.", "Holds.", "a.py:7", "x < 1", "abc1234"):
        assert words in said
    assert ("1 of 2 rows hold." in said, "✗ survived" in said, "test_a.py::test_a × 2" in said) == (True,) * 3
    assert all(address.startswith("#row-") for address in reader.addresses), "self-contained"
