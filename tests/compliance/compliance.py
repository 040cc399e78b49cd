"""``make compliance``: every row of the RTS table, the tests that show it, and the guards that they rest on.

The law: a row holds when tests carry its article, all of them pass, it names guards, and each of these, taken
away alone, turns one of the row's own tests red. Anything less is told, and fails the command: so does a
guard that is no longer in the code. The table is ``rules.toml``, the selection of tests is left to
``tests/rts.py``, and the taking away of guards to ``tests/sabotage``: the working tree is never touched.

    compliance.py                    every row; writes docs/reports/compliance.md and compliance.html
    compliance.py --row "4(3)(b)"    one row, by an article of it; may be repeated; writes nothing
    compliance.py --minutes N        begins nothing after N minutes: what was not reached does not hold

Exit codes: 0 every row holds, 1 some do not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "sabotage")]

import sabotage  # noqa: E402
from python_guards import Mutation  # noqa: E402
from rts import ALL, NamedGuard, Rule, files_of, row_of, rules  # noqa: E402

REPORTS: Final = ROOT / "docs" / "reports"
SECONDS: Final = 300.0
"""One run of a row's tests without a guard."""
TIMED: Final = "tests/test_latencies.py"
"""Its tests compare times, which load and what ran before turn red: they run alone, and kill no guard."""
_FAILED: Final = 1
"""pytest's exit code where tests ran and some failed."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What happened without a guard."""

    guard: NamedGuard
    place: str
    """``path:line`` where it stands; empty where it stands nowhere."""
    killer: str
    """The row's test that turned red first; empty where none did."""
    word: str
    """killed, survived, not in the code, broken (no test ran), out of time, or not reached."""


@dataclass(frozen=True, slots=True)
class Row:
    rule: Rule
    tests: Mapping[str, str]
    """By node id: passed, failed, skipped."""
    guards: tuple[Taken, ...]

    @property
    def passed(self) -> int:
        return sum(outcome == "passed" for outcome in self.tests.values())

    @property
    def lacks(self) -> tuple[str, ...]:
        """Why the row does not hold; empty where it does."""
        found = []
        if not self.tests:
            found.append("no test carries its article")
        if failing := [test for test, outcome in self.tests.items() if outcome != "passed"]:
            found.append(f"{len(failing)} tests did not pass: {failing[0]}")
        if not self.guards:
            found.append("it names no guard")
        found += [f"{taken.word}: {taken.guard.name}" for taken in self.guards if taken.word != "killed"]
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Run:
    """What a report says of itself."""

    commit: str
    at: datetime
    minutes: float


def resolve(guard: NamedGuard, named: Mapping[str, Mutation]) -> Mutation | None:
    """The mutation of this name; None where there is none, or without its number several."""
    if guard.name in named:
        return named[guard.name]
    alike = [name for name in named if name.rpartition(" | ")[0] == guard.name]
    return named[alike[0]] if len(alike) == 1 else None


# Running


def run_tests(tree: Path, row: str, *, files: Sequence[str]) -> dict[str, dict[str, str]]:
    """By row, the outcome of each test that carries it; ``row`` may be ALL."""
    results = tree / "tmp" / "results.json"
    results.unlink(missing_ok=True)
    subprocess.run(
        [sys.executable, "-m", "pytest", *files, "--rts", row, "--rts-results", str(results), "--tb=short"],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree), "TMPDIR": str(tree / "tmp")},
        check=False,
    )
    found: dict[str, dict[str, str]] = {}
    for test, told in json.loads(results.read_text(encoding="utf-8")).items() if results.exists() else ():
        for shown in told["rows"]:
            found.setdefault(shown, {})[test] = told["outcome"]
    return found


def killers(row: str, *, tests: Mapping[str, str], tree: Path) -> list[str]:
    """What pytest is told, so that a red test means that the guard is gone: no test that is red with it."""
    files = [file for file in files_of(row, tests=tree / "tests") if file != TIMED]
    red = [f"--deselect={test}" for test, outcome in tests.items() if outcome != "passed"]
    return [*files, "--rts", row, *red]


def take_away(
    guard: NamedGuard, mutation: Mutation | None, *, arguments: Sequence[str], tree: Path, pristine: Path
) -> Taken:
    """Runs the row's own tests, which ``arguments`` select, without the guard, in the copy."""
    if mutation is None:
        return Taken(guard, "", "", "not in the code")
    place = f"{mutation.path}:{mutation.line}"
    target = tree / mutation.path
    target.write_bytes(mutation.apply((pristine / mutation.path).read_bytes()))
    try:
        pid = sabotage.start(tree, arguments)
        code = sabotage.wait(pid, seconds=SECONDS)
    finally:
        shutil.copy2(pristine / mutation.path, target)
    if code == _FAILED:
        return Taken(guard, place, sabotage.first_failure(tree), "killed")
    return Taken(guard, place, "", "survived" if code == 0 else "out of time" if code < 0 else "broken")


def judge(asked: Sequence[Rule], *, folder: Path, until: float) -> Iterator[Row]:
    """The rows as they come."""
    pristine, tree = folder / "pristine", folder / "tree"
    sabotage.copy_tree(pristine)
    named = sabotage.guards(pristine)
    files = sorted({file for rule in asked for file in files_of(rule.row, tests=pristine / "tests")})
    print(f"{len(files)} files of tests, as they are ...", flush=True)
    which = ALL if len(asked) > 1 else asked[0].row
    outcomes: dict[str, dict[str, str]] = {}
    for part in ([file for file in files if file != TIMED], [TIMED] if TIMED in files else []):
        for row, tests in run_tests(pristine, which, files=part).items() if part else ():
            outcomes.setdefault(row, {}).update(tests)
    sabotage.warm(pristine, files)
    shutil.copytree(pristine, tree, symlinks=True)
    for rule in asked:
        tests = outcomes.get(rule.row, {})
        arguments = killers(rule.row, tests=tests, tree=pristine)
        taken = []
        for guard in rule.guards:
            if time.monotonic() > until:
                taken.append(Taken(guard, "", "", "not reached"))
                continue
            found = resolve(guard, named)
            taken.append(take_away(guard, found, arguments=arguments, tree=tree, pristine=pristine))
            print(f"  {rule.row}: {taken[-1].word}: {guard.name}  {taken[-1].killer}", flush=True)
        yield Row(rule, tests, tuple(taken))


# Telling


def text(rows: Iterable[Row]) -> str:
    """For a terminal: a line a row, one a guard, and what is missing."""
    lines = [f"{'article':14} {'tests':>5} {'passed':>6} {'guards':>6}  each guard's killer"]
    for row in rows:
        begin = f"{row.rule.row:14} {len(row.tests):5} {row.passed:6} {len(row.guards):6}  "
        killers = [taken.killer or f"{taken.word}: {taken.guard.name}" for taken in row.guards]
        lines += [f"{begin}{killers[0] if killers else ''}", *(f"{'':36}{killer}" for killer in killers[1:])]
        lines += [f"{'':36}LACKS {lack}" for lack in row.lacks]
    return "\n".join(lines)


def markdown(rows: Sequence[Row], *, run: Run) -> str:
    holding = sum(not row.lacks for row in rows)
    lines = [
        "# Compliance: the rules of strong customer authentication",
        "",
        f"`make compliance`, commit {run.commit}, {run.at:%Y-%m-%d %H:%M} UTC, {run.minutes:.0f} minutes."
        f" {holding} of {len(rows)} rows hold.",
        "",
        "A row of Regulation (EU) 2018/389 holds when tests carry its article, all pass, and each guard that",
        "it rests on, taken away alone, turns one of these tests red. The same, with every test, is in",
        "[compliance.html](compliance.html).",
        "",
        "| article | asks | the software | tests | passed | guards | holds |",
        "|---|---|---|---:|---:|---:|---|",
    ]
    for row in rows:
        rule = row.rule
        says = "yes" if not row.lacks else "**no**: " + "; ".join(row.lacks).replace("|", "\\|")
        lines.append(
            f"| {rule.row} | {rule.asks} | {rule.does} | {len(row.tests)} | {row.passed} | {len(row.guards)}"
            f" | {says} |"
        )
    lines += ["", "## Guards, and the test that turns red without each", ""]
    for row in rows:
        lines += [f"### {row.rule.row}", ""]
        for taken in row.guards:
            what = f"`{taken.killer}`" if taken.killer else f"**{taken.word}**"
            lines.append(f"- {taken.guard.holds} `{taken.place or taken.guard.name}`: {what}")
        lines += [""]
    lines += ["## Left to others, or not there", ""]
    lines += [f"- {row.rule.row}: {row.rule.leaves}" for row in rows if row.rule.leaves]
    return "\n".join(lines) + "\n"


_STYLE: Final = """
:root{color-scheme:light dark;--ok:#1a7f37;--bad:#b42318;--dim:#667085;--line:#d0d5dd;--soft:#f6f7f9}
@media(prefers-color-scheme:dark){:root{--ok:#4ac26b;--bad:#ff7b72;--dim:#98a2b3;--line:#3b4350;--soft:#1b2028}}
body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:.25rem}h2{font-size:1.2rem;margin:2.5rem 0 .5rem}
h3{font-size:1rem;margin:1.25rem 0 .25rem}.dim{color:var(--dim)}.ok{color:var(--ok)}.bad{color:var(--bad)}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.35rem .6rem;
border-bottom:1px solid var(--line)}.n{text-align:right;font-variant-numeric:tabular-nums}
section{border-top:1px solid var(--line)}dl{display:grid;grid-template-columns:9rem 1fr;gap:.25rem 1rem}
dt{font-weight:600}dd{margin:0}code{font-size:.85em;overflow-wrap:anywhere}
details{background:var(--soft);padding:.25rem .75rem;border-radius:.4rem;margin:.5rem 0}
ul{padding-left:1.2rem}.verdict{border-left:.5rem solid var(--ok);padding:.5rem 1rem;background:var(--soft)}
.verdict.no{border-color:var(--bad)}a{color:inherit}
@media(max-width:40rem){dl{grid-template-columns:1fr}}
"""


def page(rows: Sequence[Row], *, run: Run) -> str:
    """For an auditor: one HTML file without scripts and addresses; every value in it is escaped."""
    holding = sum(not row.lacks for row in rows)
    tests = {test for row in rows for test in row.tests}
    guards = {taken.guard.name for row in rows for taken in row.guards}
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Compliance</title><style>{_STYLE}</style>"
        "<h1>Strong customer authentication: rule by rule</h1>"
        "<p class=dim>Commission Delegated Regulation (EU) 2018/389."
        f" Commit <code>{escape(run.commit)}</code>, {run.at:%Y-%m-%d %H:%M} UTC,"
        f" {run.minutes:.0f} minutes.</p>"
        f'<p class="verdict{"" if holding == len(rows) else " no"}"><strong>{holding} of {len(rows)} rows'
        f" hold.</strong> {len(tests)} tests, {len(guards)} guards."
        "<br>A row holds when tests carry its article, all of them pass, and each guard in the code that it"
        " rests on, taken away alone in a copy, turns one of these tests red.</p>"
        "<table><tr><th>Article<th class=n>Tests<th class=n>Passed<th class=n>Guards<th>Holds</tr>",
        *(
            f'<tr><td><a href="#row-{number}">{escape(row.rule.row)}</a><td class=n>{len(row.tests)}'
            f"<td class=n>{row.passed}<td class=n>{len(row.guards)}<td>{_holds(row)}</tr>"
            for number, row in enumerate(rows)
        ),
        "</table>",
        *(_section(row, number) for number, row in enumerate(rows)),
        "<section><h2>To see it again</h2><p><code>make compliance</code> makes this page anew;"
        " <code>make test ARGS='--rts \"4(3)(b)\"'</code> runs the tests of one row.</p></section></html>\n",
    ]
    return "".join(parts)


def _holds(row: Row) -> str:
    if not row.lacks:
        return '<span class="ok">✓ yes</span>'
    return '<span class="bad">✗ no: ' + "<br>".join(escape(lack) for lack in row.lacks) + "</span>"


def _section(row: Row, number: int) -> str:
    rule = row.rule
    said = [("It asks", rule.asks), ("The software", rule.does), ("Not here", rule.leaves or "Nothing.")]
    functions = Counter(test.partition("[")[0] for test in row.tests)
    bad = [(test, outcome) for test, outcome in row.tests.items() if outcome != "passed"]
    return (
        f'<section id="row-{number}"><h2>{escape(rule.row)} {_holds(row)}</h2><dl>'
        + "".join(f"<dt>{term}<dd>{escape(value)}" for term, value in said)
        + "</dl><h3>Guards, each taken away alone</h3><table>"
        "<tr><th>What it holds<th>Where, and what was put in its place<th>What happened</tr>"
        + "".join(_guard(taken) for taken in row.guards)
        + f"</table><h3>Tests</h3><p>{row.passed} of {len(row.tests)} passed.</p>"
        + "".join(f'<p class="bad">✗ {outcome}: <code>{escape(test)}</code></p>' for test, outcome in bad)
        + f"<details><summary>{len(functions)} functions</summary><ul>"
        + "".join(
            f"<li><code>{escape(name)}</code>{f' × {count}' if count > 1 else ''}"
            for name, count in sorted(functions.items())
        )
        + "</ul></details></section>"
    )


def _guard(taken: Taken) -> str:
    path, kind, rest = [*taken.guard.name.split(" | ", 2), "", ""][:3]
    found, _, put = rest.partition(" -> ")
    happened = (
        f'<span class="ok">✓ red:</span> <code>{escape(taken.killer)}</code>'
        if taken.word == "killed"
        else f'<span class="bad">✗ {escape(taken.word)}</span>'
    )
    where = f"{taken.place or path}, {kind}"
    return (
        f"<tr><td>{escape(taken.guard.holds)}<td><span class=dim>{escape(where)}</span><br>"
        f"<code>{escape(found)}</code> → <code>{escape(put) or '(nothing)'}</code><td>{happened}</tr>"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="compliance.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--row", metavar="ARTICLE", action="append", help="this row alone; may be repeated")
    parser.add_argument("--minutes", type=float, metavar="N", help="begin nothing after N minutes")
    options = parser.parse_args(arguments)
    try:
        wanted = {row_of(article) for article in options.row or ()}
    except KeyError as error:
        parser.error(error.args[0])
    asked = [rule for rule in rules() if rule.row in wanted or not wanted]
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended, the copies go
    described = ["git", "describe", "--always", "--dirty"]  # now: the copy is judged, not what comes after
    commit = subprocess.run(described, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="rts-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        rows = list(judge(asked, folder=Path(folder), until=began + 60 * (options.minutes or 1e9)))
    print(f"\n{text(rows)}")
    lacking = [row.rule.row for row in rows if row.lacks]
    print(
        f"\n{len(rows) - len(lacking)} of {len(rows)} rows hold."
        + (f" Not: {', '.join(lacking)}" * bool(lacking))
    )
    if not wanted:
        run = Run(commit, datetime.now(UTC), (time.monotonic() - began) / 60)
        REPORTS.mkdir(parents=True, exist_ok=True)
        (REPORTS / "compliance.md").write_text(markdown(rows, run=run), encoding="utf-8")
        (REPORTS / "compliance.html").write_text(page(rows, run=run), encoding="utf-8")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
