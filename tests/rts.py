"""What the marker ``rts`` means: the table of the rules, which tests show them, and how to run those alone.

The law: an article that the table has not is a mistake, and nothing is collected. The table is
``tests/compliance/rules.toml``; a marker names a row or an article in it. What is made of it is left to
``compliance/compliance.py``. ``pytest --rts "4(3)(b)"`` runs what shows that row; ``--rts all`` every one.
"""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

TESTS: Final = Path(__file__).parent
TABLE: Final = TESTS / "compliance" / "rules.toml"
ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class NamedGuard:
    """A guard that a rule rests on, as ``tests/sabotage`` names its mutation."""

    name: str
    """``path | kind | found -> put``, and `` | number`` where a module has several alike."""
    holds: str
    """What it holds, for a reader of the report."""


@dataclass(frozen=True, slots=True)
class Rule:
    row: str
    """The article, or articles, as the table names them."""
    articles: tuple[str, ...]
    """What a marker may say instead of the row."""
    asks: str
    """What the regulation asks."""
    does: str
    """What the software does."""
    leaves: str
    """What it leaves to others, or has not; empty where nothing."""
    guards: tuple[NamedGuard, ...]


def parse_rules(text: str) -> tuple[Rule, ...]:
    """The rules of a table; each article stands in one row alone."""
    rules = tuple(
        Rule(
            row=entry["row"],
            articles=tuple(entry["articles"]),
            asks=entry["asks"],
            does=entry["does"],
            leaves=entry["leaves"],
            guards=tuple(NamedGuard(guard["name"], guard["holds"]) for guard in entry.get("guards", ())),
        )
        for entry in tomllib.loads(text)["rule"]
    )
    names = [name for rule in rules for name in {rule.row, *rule.articles}]
    if len(set(names)) != len(names):
        raise ValueError("an article stands in two rows")
    return rules


@cache
def rules() -> tuple[Rule, ...]:
    return parse_rules(TABLE.read_text(encoding="utf-8"))


def row_of(article: str) -> str:
    """The row that an article stands in; KeyError without."""
    for rule in rules():
        if article in (rule.row, *rule.articles):
            return rule.row
    raise KeyError(f"{TABLE.name} has no article {article!r}")


def marked(file: Path) -> Iterator[tuple[int, str]]:
    """(line, article) of every marker in a file of tests, read from its source."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.rts":
            yield from ((node.lineno, str(ast.literal_eval(argument))) for argument in node.args)


def files_of(row: str, *, tests: Path = TESTS) -> list[str]:
    """The files with tests of a row, from the top of the tree."""
    return [
        f"tests/{file.name}"
        for file in sorted(tests.glob("test_*.py"))
        if any(row_of(article) == row for _, article in marked(file))
    ]


# What pytest calls: conftest.py takes these over.


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rts", metavar="ARTICLE", help="only tests that show this rule of the RTS, or: all")
    parser.addoption("--rts-results", metavar="FILE", help="write what came of them there, as JSON")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = config.getoption("--rts")
    kept, dropped, place = [], [], "--rts"
    try:
        wanted = asked if asked in (None, ALL) else row_of(asked)
        for item in items:
            place = item.nodeid
            rows = {row_of(article) for mark in item.iter_markers("rts") for article in mark.args}
            item.user_properties.append(("rts", sorted(rows)))
            takes = wanted is None or (bool(rows) if wanted == ALL else wanted in rows)
            (kept if takes else dropped).append(item)
    except KeyError as error:
        raise pytest.UsageError(f"{place}: {error.args[0]}") from None
    if dropped:
        items[:] = kept
        config.hook.pytest_deselected(items=dropped)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--rts-results"):
        config.pluginmanager.register(_Results(Path(config.getoption("--rts-results"))))


class _Results:
    """Keeps the outcome of each test: that of its worst phase."""

    def __init__(self, to: Path) -> None:
        self._to = to
        self._found: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        rows = dict(report.user_properties)["rts"]
        kept = self._found.setdefault(report.nodeid, {"rows": rows, "outcome": "passed"})
        if report.outcome != "passed":
            kept["outcome"] = report.outcome

    def pytest_sessionfinish(self) -> None:
        self._to.write_text(json.dumps(self._found), encoding="utf-8")
