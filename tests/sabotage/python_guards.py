"""Finds the guards of a Python module, and says for each the text that takes it away.

The law: a mutation replaces one span of the source by a weaker one that compiles: a refusal never happens,
a term of a condition always (or never) holds, a bound, a check, a row of a table or a member of a refusing
set is gone, a limit is huge. Guards of SQL are left to ``sql_guards``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Mutation:
    path: str
    """Of the module, from the top of the tree."""
    line: int
    last: int
    """The last line of the guard: where it refuses, if that is lower."""
    kind: str
    found: str
    """What stands there, in one line."""
    put: str
    """What takes its place."""
    start: int
    end: int
    """Bytes of the source."""

    @property
    def lines(self) -> range:
        return range(self.line, self.last + 1)

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.put.encode() + source[self.end :]


_LIMIT: Final = re.compile(r"MAX|CEILING|WINDOW|SKEW|REMEMBERED")
_FLOOR: Final = re.compile(r"MIN|FLOOR")
_REFUSING: Final = re.compile(r"REFUSED|IGNORABLE|OTHER|STAND_INS|BLANK_SYMBOLS|MARK_CATEGORIES|ELSEWHERE")
"""Constants whose members are what is refused; to lose a member of an accepting set takes no guard away."""
_NO_CHECK: Final = re.compile(
    "__init__|account|add|append|close|debug|discard|error|inc|info|move_to_end|observe|pop|popitem|set|sleep"
    "|start|start_response|update|wait|warning"
)
"""Calls whose value nobody takes, and that check nothing."""
_SETTINGS: Final = {
    **dict.fromkeys(("strict", "validate", "no_network"), "False"),
    **dict.fromkeys(("resolve_entities", "load_dtd", "huge_tree"), "True"),
    "multiline": "True",
    "extra": '"ignore"',
    "pattern": '""',
}
"""Keywords that harden a call, and what softens it."""


def python_guards(path: str, source: bytes) -> list[Mutation]:
    tree = ast.parse(source)
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    refusing = [n for n in ast.walk(tree) if isinstance(n, ast.If) and isinstance(n.body[-1], ast.Raise)]
    refusals = {
        line: n.body[-1].end_lineno or 0 for n in refusing for line in range(n.lineno, n.body[0].lineno)
    }
    found: dict[tuple[int, int, str], Mutation] = {}

    def at(line: int, column: int) -> int:
        return starts[line - 1] + column

    for kind, node, put in _weaker(tree, source.decode()):
        start, end = at(node.lineno, node.col_offset), at(node.end_lineno or 0, node.end_col_offset or 0)
        shown = " ".join(source[start:end].decode().split())
        last = refusals.get(node.lineno, node.end_lineno or node.lineno)
        mutation = Mutation(path, node.lineno, last, kind, shown, put, start, end)
        if put.encode() != source[start:end] and _compiles(mutation.apply(source)):
            found.setdefault((start, end, put), mutation)
    return [found[key] for key in sorted(found)]


def _compiles(source: bytes) -> bool:
    try:
        compile(source, "mutated", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


_Found = tuple[str, ast.expr | ast.stmt | ast.keyword, str]


def _weaker(tree: ast.Module, text: str) -> Iterator[_Found]:
    """Kind, node, and what to put in its place."""
    parents: dict[ast.AST, ast.AST] = {}
    nodes: list[ast.AST] = [tree]
    for node in nodes:  # grows: all but what stands in f-strings, where Python 3.11 has no positions
        for child in () if isinstance(node, ast.JoinedStr) else ast.iter_child_nodes(node):
            parents[child] = node
            nodes.append(child)
    for node in nodes:
        if isinstance(node, ast.Raise):
            above = parents[node]
            if isinstance(above, ast.If) and above.body[-1] is node:
                yield "refusal", above.test, "False"
            else:
                yield "refusal", node, "pass"
        elif (
            isinstance(node, ast.Return)
            and isinstance(node.value, ast.Constant)
            and node.value.value is False
        ):
            yield "refusal", node, "return True"
        elif isinstance(node, ast.BoolOp):
            if isinstance(node.op, ast.And) or _is_condition(node, parents):
                neutral = "True" if isinstance(node.op, ast.And) else "False"
                yield from (("term", term, neutral) for term in node.values)
        elif isinstance(node, ast.Compare) and len(node.ops) == 2:
            parts = [ast.get_source_segment(text, part) or "" for part in (node.left, *node.comparators)]
            signs = [_SIGNS.get(type(op), "") for op in node.ops]
            if all(signs):
                yield "bound", node, f"{parts[0]} {signs[0]} {parts[1]}"
                yield "bound", node, f"{parts[1]} {signs[1]} {parts[2]}"
        elif isinstance(node, ast.Tuple) and len(node.elts) > 1:
            if all(isinstance(row, ast.Tuple) for row in node.elts):
                yield from (("row", row, "*()") for row in node.elts)
        elif isinstance(node, ast.Call):
            yield from _weaker_call(node, text)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            if not _NO_CHECK.fullmatch(_name(node.value)):
                yield "check", node, "pass"
        elif isinstance(node, ast.Assign | ast.AnnAssign) and parents[node] is tree:
            yield from _weaker_constant(node, text)


_SIGNS: Final = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}


def _is_condition(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    """Whether an ``or`` decides; elsewhere it gives a default."""
    above = parents[node]
    if isinstance(above, ast.If | ast.While | ast.IfExp):
        return above.test is node
    if isinstance(above, ast.comprehension):
        return node in above.ifs
    if isinstance(above, ast.BoolOp):
        return isinstance(above.op, ast.And) or _is_condition(above, parents)
    return isinstance(above, ast.UnaryOp | ast.GeneratorExp | ast.Tuple)


def _weaker_call(call: ast.Call, text: str) -> Iterator[_Found]:
    name = _name(call)
    if name == "compare_digest":
        yield "comparison", call, "True"
    if name == "displayable":
        yield "check", call, ast.get_source_segment(text, call.args[0]) or ""
    for keyword in call.keywords:
        if not isinstance(keyword.value, ast.Constant):
            continue
        if keyword.arg in _SETTINGS:
            yield "setting", keyword, f"{keyword.arg}={_SETTINGS[keyword.arg]}"
        elif (keyword.arg or "").startswith("max_") and type(keyword.value.value) is int:
            yield "limit", keyword.value, f"{keyword.value.value * 1_000_000}"
        elif (keyword.arg or "").startswith("min_") and type(keyword.value.value) is int:
            yield "limit", keyword.value, "0"


def _weaker_constant(node: ast.Assign | ast.AnnAssign, text: str) -> Iterator[_Found]:
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    name, value = ast.unparse(target), node.value
    if value is None or not name.isupper():
        return
    number = isinstance(value, ast.Constant | ast.BinOp) or (
        isinstance(value, ast.Call) and _name(value) == "timedelta"
    )
    written = ast.get_source_segment(text, value) or ""
    if number and _LIMIT.search(name):
        yield "limit", value, f"({written}) * 1_000_000"
    elif number and _FLOOR.search(name):
        yield "limit", value, f"({written}) * 0"
    elif _REFUSING.search(name) and isinstance(value, ast.Call) and value.args:
        members = value.args[0]
        if isinstance(members, ast.Set):
            yield from (("member", member, "*()") for member in members.elts)
        elif isinstance(members, ast.Constant):
            yield "member", members, '""'


def _name(call: ast.Call) -> str:
    """The last word of what is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
