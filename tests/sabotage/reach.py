"""Which tests reach a guard, so that they judge it first: two plugins of pytest.

The law: it only sets an order. A test that reaches the line where a guard refuses most likely misses it, one
that runs its function may; what they leave alive is judged by all that the table names, as if nobody had
looked. What is not run as Python in this process (SQL files, children) reaches nothing here.
"""

from __future__ import annotations

import ast
import json
import sys
import threading
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest
from python_guards import Mutation

MOST: Final = 30
"""Tests that come first for one guard."""


class Recorder:
    """Writes down which lines of the package each test runs, and how long it takes."""

    def __init__(self, tree: Path, *, into: Path) -> None:
        self._inside = f"{tree}/"
        self._into = into
        self._test = ""
        self._lines: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        self._seconds: dict[str, float] = defaultdict(float)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._test = nodeid
        threading.settrace(self._call)
        sys.settrace(self._call)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration

    def pytest_runtest_logfinish(self) -> None:
        sys.settrace(None)
        threading.settrace(None)

    def pytest_sessionfinish(self) -> None:
        reached = {
            test: (self._seconds[test], {path: sorted(numbers) for path, numbers in lines.items()})
            for test, lines in self._lines.items()
        }
        self._into.write_text(json.dumps(reached), encoding="utf-8")

    def _call(self, frame: FrameType, event: str, arg: object) -> Any:
        return self._line if frame.f_code.co_filename.startswith(f"{self._inside}gateway/") else None

    def _line(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "line":
            path = frame.f_code.co_filename.removeprefix(self._inside)
            self._lines[self._test][path].add(frame.f_lineno)
        return self._line


class Chosen:
    """Runs these tests alone, in this order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._place = {test: number for number, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self._place), key=lambda i: self._place[i.nodeid])


@cache
def _load(recorded: Path, written: int) -> dict[str, tuple[float, dict[str, frozenset[int]]]]:
    reached = json.loads(recorded.read_text(encoding="utf-8"))
    return {
        test: (seconds, {path: frozenset(numbers) for path, numbers in lines.items()})
        for test, (seconds, lines) in reached.items()
    }


def _around(line: int, *, tree: ast.Module) -> frozenset[int]:
    """The lines of the function that it stands in, or of those that use the constant that it stands in."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside = [_lines(node) for node in functions if line in _lines(node)]
    if inside:
        return min(inside, key=len)
    named = {
        name.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.lineno <= line <= (node.end_lineno or 0)
        for name in ast.walk(node)
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
    }
    users = [
        _lines(node)
        for node in functions
        if any(isinstance(part, ast.Name) and part.id in named for part in ast.walk(node))
    ]
    return frozenset().union(*users)


def _lines(function: ast.FunctionDef) -> frozenset[int]:
    return frozenset(range(function.body[0].lineno, (function.end_lineno or 0) + 1))


def first_tests(mutation: Mutation, *, recorded: Path, source: str) -> tuple[str, ...]:
    """Those that reach it: where it refuses, then the guard, then its function; the quick ones first."""
    if not recorded.exists() or not mutation.path.endswith(".py"):
        return ()
    around = _around(mutation.line, tree=ast.parse(source))
    ranked: list[tuple[int, float, str]] = []
    for test, (seconds, lines) in _load(recorded, recorded.stat().st_mtime_ns).items():
        here = lines.get(mutation.path, frozenset())
        for rank, near in enumerate((range(mutation.last, mutation.last + 1), mutation.lines, around)):
            if here.intersection(near):
                ranked.append((rank, seconds, test))
                break
    # Half at most of those that are refused there: what is let through may show it as well.
    first = sorted(ranked)
    refused = [each for each in first if each[0] == 0][: MOST // 2]
    others = sorted((each for each in first if each not in refused), key=lambda each: (not each[0], each[1]))
    return tuple(test for _, _, test in (refused + others)[:MOST])
