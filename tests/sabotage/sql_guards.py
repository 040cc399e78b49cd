"""Finds the guards of SQL: conditions and locks in a module's statements, and what a migration holds.

The law: a condition becomes TRUE where others are joined to it by AND, and FALSE where by OR; a lock is not
taken; a constraint, a policy, a trigger or a column list is gone. All by text: a statement is put together of
pieces, and no piece alone can be parsed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from python_guards import Mutation

_TERM: Final = re.compile(r"\b(WHERE|AND|OR)\s+")
_FIRST: Final = re.compile(r'f?"+(?=\w+\.\w+ (?:=|IN|<|>))')
"""A condition that a piece begins with: its WHERE stands in another one."""
_STOP: Final = re.compile(
    r"\s+(?:WHERE|AND|OR|GROUP|ORDER|RETURNING|LIMIT|FOR|ON|AS|THEN|JOIN|LEFT|UNION)\b|[;\"]|\s*\Z"
)
_LOCK: Final = re.compile(r"\bFOR (?:NO KEY )?UPDATE(?: OF \w)?")
_SQL: Final = re.compile(r"\b(?:SELECT|UPDATE|DELETE|WHERE)\b|\w+\.\w+ (?:=|IN) ")


def sql_guards(path: str, source: bytes) -> list[Mutation]:
    """The guards of the statements in a module, or of a migration."""
    text = source.decode()
    spans = _migration(text) if path.endswith(".sql") else _statements(text)
    found: dict[tuple[int, int], Mutation] = {}
    for kind, start, end, put in spans:
        # Positions are of characters there, of bytes here.
        before, inside = len(text[:start].encode()), len(text[start:end].encode())
        shown = " ".join(text[start:end].replace('"', " ").split())
        first, last = (text.count("\n", 0, place) + 1 for place in (start, end))
        mutation = Mutation(path, first, last, kind, shown, put, before, before + inside)
        found.setdefault((before, before + inside), mutation)
    return [found[key] for key in sorted(found)]


_Span = tuple[str, int, int, str]


def _statements(text: str) -> Iterator[_Span]:
    lines = [0]
    for line in text.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    tree = ast.parse(text)
    said = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner = {
        part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)
    } - {node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.JoinedStr | ast.Constant) or node in said or node in inner:
            continue
        start = lines[node.lineno - 1] + node.col_offset
        end = lines[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        if text[start] in '"f' and _SQL.search(text[start:end]):
            yield from _conditions(text, start, end)


def _conditions(text: str, start: int, end: int) -> Iterator[_Span]:
    first = _FIRST.match(text, start, end)
    begins = [(first.end(), "AND")] if first else []
    begins += [(match.end(), match[1]) for match in _TERM.finditer(text, start, end)]
    for begin, joint in begins:
        stop = _end_of_term(text, begin, end)
        if text[begin:stop].strip():
            yield "condition", begin, stop, "FALSE" if joint == "OR" else "TRUE"
    for lock in _LOCK.finditer(text, start, end):
        # A bare "FOR UPDATE SKIP LOCKED" without its lock is no SQL: the whole clause goes.
        stop = lock.end() + len(" SKIP LOCKED") if text.startswith(" SKIP LOCKED", lock.end()) else lock.end()
        yield "lock", lock.start(), stop, ""


def _end_of_term(text: str, begin: int, end: int) -> int:
    depth, position = 0, begin
    while position < end:
        char = text[position]
        if char == ")" and depth == 0:
            break
        if depth == 0 and _STOP.match(text, position, end):
            break
        # In a piece "%(at)s" and "{NAME}" are parentheses that match, so nothing more is needed.
        depth += {"(": 1, ")": -1}.get(char, 0)
        position += 1
    return position


_CONSTRAINT: Final = re.compile(r"(?<!WITH )\b(?:CHECK|UNIQUE|FOREIGN KEY) (?=\()")
_REFERENCES: Final = re.compile(r"\s*REFERENCES \w+ \([^)]*\)")
_ARRAY: Final = re.compile(r"ARRAY\[([^\]]*)\]")
_PROTECTIONS: Final = (
    (re.compile(r"EXECUTE format\('(?:ALTER TABLE|CREATE TRIGGER)[^;]*;"), "protection", "NULL;"),
    (re.compile(r"(?<=USING \()relying_party = current_setting\([^)]*\)"), "policy", "true"),
    (re.compile(r"(?<=WITH CHECK \()relying_party = current_setting\([^)]*\)"), "policy", "true"),
    (re.compile(r"RAISE EXCEPTION[^;]*;"), "protection", "RETURN NULL;"),
    (re.compile(r"(?<=GRANT UPDATE) \([^)]*\)"), "grant", ""),
)


def _migration(text: str) -> Iterator[_Span]:
    for match in _CONSTRAINT.finditer(text):
        depth, end = 0, match.end()
        while True:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
            if depth == 0:
                break
        references = _REFERENCES.match(text, end)
        yield "constraint", match.start(), references.end() if references else end, "CHECK (TRUE)"
    for array in _ARRAY.finditer(text):
        names = list(re.finditer(r"'\w+'", array[1]))
        for number, name in enumerate(names):
            start = array.start(1) + (name.start() if number == 0 else names[number - 1].end())
            end = array.start(1) + (names[1].start() if number == 0 else name.end())
            yield "protection", start, end, ""
    for pattern, kind, put in _PROTECTIONS:
        for match in pattern.finditer(text):
            yield kind, match.start(), match.end(), put
