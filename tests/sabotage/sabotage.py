"""``make sabotage``: takes away each guard in turn, and fails if the suite stays green for any of them.

The law: the working tree is never touched; each mutation is made alone, in a copy, and judged by a forked
process. Some tests that reach it come first (``reach``), then all that the table below names for its module;
then, for what they leave alive, the rest of the suite. A run past its time counts as red. Unmutated, the same
tests must be green, or nothing is judged. ``allowed.toml`` names, with a reason each, mutations that need not
be found. What a guard is, is left to ``python_guards`` and ``sql_guards``.

    sabotage.py [--all]              every guard; writes docs/reports/sabotage.md
    sabotage.py --changed REF        those on lines changed since REF, of every module some first
    sabotage.py --again              those that the last run left alive or did not reach; writes it too

Narrowed by ``--only PREFIX`` (of module paths) and bounded by ``--minutes N``: what was not reached is told.
``--mapped`` leaves out the rest of the suite. Exit codes: 0 nothing survived, 1 survivors, 2 nothing could be
judged (the unmutated tests are red, or there is no REF).
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import json
import os
import py_compile
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from python_guards import Mutation, python_guards
from reach import Chosen, Recorder, first_tests
from sql_guards import sql_guards

ROOT: Final = Path(__file__).parents[2]
REPORT: Final = ROOT / "docs" / "reports" / "sabotage.md"
LAST: Final = ROOT / "var" / "sabotage.json"
"""What the last run found, for ``--again``."""
ALLOWED: Final = Path(__file__).with_name("allowed.toml")
SECONDS: Final = 180.0
"""One run of the tests of a module; of the rest of the suite five times that."""

_VERIFIER: Final = ("test_verifier", "test_verifier_wrapping", "test_guards")
_STORE: Final = ("test_storage_store", "test_guards_store", "test_storage_protection", "test_storage_races")
_CORE: Final = ("test_core_statement", "test_core_profile", "test_core_assertion", "test_transaction")
_SOAP: Final = ("test_soap_gate", "test_guards", "test_soap_face", "test_soap_contract")
_BYTES: Final = ("test_soap_gate", "test_guards_gate", "test_gate_bounds", "test_soap_mtom")
_DEVICE: Final = ("test_device_messages", "test_device_authentication", "test_device_activation")
_SIGNED: Final = ("test_signed_messages", "test_signed_again", "test_replays")
_CALLBACKS: Final = ("test_callbacks", "test_callback_sender")
TESTS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "gateway/core/text.py": (("test_guards", "test_text"),),
    "gateway/core/markdown.py": (("test_markdown",),),
    "gateway/core/shown.py": (("test_markdown",),),
    "gateway/core/transaction.py": (("test_transaction", "test_guards"), ("test_walk",)),
    "gateway/core/statement.py": ((*_CORE, "test_guards"), _VERIFIER),
    "gateway/core/profile.py": ((*_CORE, "test_guards"), _VERIFIER),
    "gateway/core/assertion.py": (("test_core_assertion", "test_guards"), ("test_walk",)),
    "gateway/core/activation.py": (
        ("test_device_activation", "test_guards"),
        ("test_authenticator", "test_activation"),
    ),
    "gateway/core/httpsig.py": (("test_device_authentication", "test_device_vectors", "test_guards"),),
    "gateway/core/keys.py": ((*_CORE, "test_device_activation", "test_guards"), _VERIFIER),
    "gateway/core/canonical.py": ((*_CORE, "test_device_messages", "test_guards"), _VERIFIER),
    "gateway/core/certpath.py": (("test_core_certpath", *_VERIFIER),),
    "gateway/core/xmldsig.py": ((*_VERIFIER, "test_guards_gate"), _SIGNED),
    "gateway/core/xmlparse.py": (_BYTES, _VERIFIER),
    "gateway/core/attestation/*.py": (("test_attestation", "test_attested_walk"),),
    "gateway/core/der.py": (("test_attestation",),),
    "gateway/core/evidence.py": (_VERIFIER,),
    "gateway/core/verifier.py": (_VERIFIER,),
    "gateway/soap/guard.py": (_BYTES, _SOAP),
    "gateway/soap/validation.py": (_SOAP,),
    "gateway/core/wssecurity.py": (_SIGNED,),
    "gateway/soap/addressing.py": (_SIGNED,),
    "gateway/soap/security.py": (_SIGNED, _SOAP),
    "gateway/soap/mtom.py": (_BYTES,),
    "gateway/soap/media.py": (_BYTES, _SOAP),
    "gateway/core/device_order.py": (("test_pin", "test_devices"),),
    "gateway/core/payment.py": (("test_kinds",),),
    "gateway/services/authorisation.py": (("test_kinds", "test_guards"),),
    "gateway/services/enrolment.py": (
        ("test_guards_services", "test_activation"),
        ("test_guards", "test_walk"),
    ),
    "gateway/services/notices.py": (("test_activation",), ("test_guards",)),
    "gateway/services/callbacks.py": (_CALLBACKS,),
    "gateway/services/devices.py": (("test_devices", "test_pin", "test_guards"),),
    "gateway/services/starts.py": (
        ("test_kinds", "test_guards_services"),
        ("test_guards", "test_walk", "test_magic"),
    ),
    "gateway/services/*.py": (
        ("test_guards_services", "test_kinds"),
        ("test_guards", "test_walk", "test_faults", "test_soap_face", *_DEVICE),
    ),
    "gateway/device/authentication.py": (
        ("test_device_authentication", "test_guards"),
        ("test_walk", "test_activation"),
    ),
    "gateway/device/messages.py": (
        ("test_device_messages", "test_device_activation", "test_guards"),
        ("test_kinds",),
    ),
    "gateway/device/application.py": ((*_DEVICE, "test_guards"), ("test_device_store", "test_walk")),
    "gateway/storage/envelope.py": (("test_storage_envelope", "test_guards"),),
    "gateway/storage/migrate.py": (("test_storage_migrate", "test_storage_protection"),),
    "gateway/storage/queries.py": (_STORE,),
    "gateway/storage/devices.py": (("test_storage_devices", "test_devices", "test_pin"), _STORE),
    "gateway/storage/enrolment.py": (_STORE, ("test_activation",)),
    "gateway/storage/notices.py": (("test_activation",),),
    "gateway/storage/postgres.py": (_STORE, ("test_kinds",)),
    "gateway/storage/work.py": (_STORE,),
    "gateway/storage/callbacks.py": (_CALLBACKS,),
    "gateway/outbound/callback.py": (_CALLBACKS,),
    "gateway/storage/migrations/0002*.sql": (("test_guards_schema", "test_kinds"), _STORE),
    "gateway/storage/migrations/0003*.sql": (("test_guards_schema", "test_storage_protection"), _CALLBACKS),
    "gateway/storage/migrations/0008*.sql": (("test_guards_store",), _CALLBACKS),
    "gateway/storage/migrations/*.sql": (
        ("test_guards_schema", "test_storage_protection"),
        ("test_storage_store", "test_storage_races", "test_storage_migrate"),
    ),
    "gateway/soap/envelope.py": (_BYTES, _SOAP),
    "gateway/soap/application.py": (_BYTES, (*_SOAP, "test_rates", *_SIGNED)),
    "gateway/web.py": (("test_guards_gate", "test_device_messages", "test_soap_gate"), _SOAP),
    "gateway/core/rate.py": (("test_rates",),),
    "gateway/rates.py": (("test_rates",),),
    "gateway/server.py": (("test_rates", "test_serve"),),
    "gateway/config.py": (("test_guards_config", "test_rates"), ("test_cli",)),
}
"""Which tests know a module, the quickest first; in this order the modules are taken."""
_SLOW: Final = (
    "test_rates::test_a_flood_of_one_caller_leaves_another_below_a_second",
    "test_gate_bounds::test_monster",
    "test_gate_bounds::test_every_case_of_the_index",
    "test_gate_bounds::test_monsters_are_what_they_are_called",
    "test_walk::test_of_two_that_race_one_wins",
)
"""Tests of these files that take long: they come with the rest of the suite."""
_NOT_OURS: Final = frozenset({"test_house", "test_readme"})
"""Files of the suite that run tools over the working tree: they see no mutation."""
_GREEN, _STOPPED, _NO_TESTS = 0, -1, 5


@dataclass(frozen=True, slots=True)
class Outcome:
    word: str
    """killed, survived, allowed, or not reached."""
    by: str = ""
    """The test that failed first, or why it is allowed."""


@dataclass(frozen=True, slots=True)
class Stage:
    tests: tuple[str, ...]
    chosen: tuple[str, ...] = ()
    """Of their tests these alone; none: all of them."""


@dataclass(slots=True)
class Run:
    """One mutation in one copy of the tree."""

    mutation: Mutation
    tree: Path
    stages: list[Stage]
    """What it is still to be judged by."""
    pid: int = 0
    deadline: float = 0.0


@dataclass
class Results:
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    """Where each was judged."""

    def save(self) -> None:
        LAST.parent.mkdir(exist_ok=True)
        kept = {
            name: [outcome.word, outcome.by, self.commits.get(name, "")]
            for name, outcome in self.outcomes.items()
        }
        LAST.write_text(json.dumps(kept, indent=0), encoding="utf-8")


def guards(tree: Path) -> dict[str, Mutation]:
    """All mutations by name: what stands there, not in which line, so that it outlives an edit elsewhere."""
    named: dict[str, Mutation] = {}
    seen: set[str] = set()
    for pattern in TESTS:
        for file in sorted(tree.glob(pattern)):
            path = str(file.relative_to(tree))
            if path in seen:  # under the pattern that names it more closely
                continue
            seen.add(path)
            source = file.read_bytes()
            found = [] if path.endswith(".sql") else python_guards(path, source)
            if path.startswith("gateway/storage/"):
                found = sorted(found + sql_guards(path, source), key=lambda m: m.start)
            for mutation in found:
                name, number = f"{path} | {mutation.kind} | {mutation.found} -> {mutation.put}", 1
                while f"{name} | {number}" in named:
                    number += 1
                named[f"{name} | {number}"] = mutation
    return named


def allowed(mutation: Mutation, entries: Sequence[dict[str, str]]) -> str:
    """Why this one need not be found; empty where it must be."""
    for entry in entries:
        if (
            fnmatch(mutation.path, entry["module"])
            and re.fullmatch(entry["found"], mutation.found)
            and entry.get("kind", mutation.kind) == mutation.kind
            and entry.get("put", mutation.put) == mutation.put
        ):
            return entry["reason"]
    return ""


def is_commit(ref: str) -> bool:
    """Whether it names a commit that is here."""
    asked = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, check=False).returncode == 0


def changed_lines(ref: str) -> dict[str, set[int]]:
    """By path, the lines that are new since a commit; of a file that it has not, all."""
    diff = subprocess.run(
        ["git", "diff", "--unified=0", "--no-renames", ref, "--", "gateway"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    lines: dict[str, set[int]] = {}
    path = ""
    for line in diff.splitlines():
        if line.startswith("+++ "):
            path = line[6:]
        elif match := re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", line):
            first, count = int(match[1]), int(match[2] or 1)
            lines.setdefault(path, set()).update(range(first, first + count))
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard", "gateway"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return lines | {new: set(range(1, 100_000)) for new in listed.splitlines()}


# Running


def _place() -> Path:
    """Memory, where there is room: the databases of the tests would wait for a disk that nobody needs."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 4 * 2**30
    return memory if roomy else Path("/tmp")


def copy_tree(to: Path) -> None:
    """What git knows or would take, with bytecode that is checked by content: a mutation is never missed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    (to / "tmp").mkdir(mode=0o755)
    checked = py_compile.PycInvalidationMode.CHECKED_HASH
    compileall.compile_dir(to / "gateway", quiet=2, invalidation_mode=checked)


def start(
    tree: Path, arguments: Sequence[str], *, plugin: object | None = None, write_bytecode: bool = False
) -> int:
    """Runs pytest in a fork, in the copy; answers its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        output = os.open(tree / "tmp" / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(tree)
        sys.dont_write_bytecode = not write_bytecode
        os.environ |= {"PYTHONPATH": str(tree), "TMPDIR": str(tree / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}
        tempfile.tempdir = None
        sys.path[:] = [str(tree), *(place for place in sys.path if place != str(Path(__file__).parent))]
        sys.argv = ["pytest", *arguments]
        import pytest

        asked = [*arguments, "-x", "-q", "--tb=short", "-p", "no:cacheprovider"]
        code = int(pytest.main(asked, plugins=[plugin] if plugin else []))
        import gateway

        if not str(gateway.__file__).startswith(str(tree)):
            code = 9
        sys.stdout.flush()
    except BaseException as error:
        print("sabotage:", repr(error), flush=True)
        code = 3
    os._exit(code)


def end(pid: int) -> None:
    """Ends a run and what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, number)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return
            time.sleep(0.05)


def wait(pid: int, *, seconds: float) -> int:
    deadline = time.monotonic() + seconds
    done = 0
    try:
        while not done and time.monotonic() < deadline:
            time.sleep(0.05)
            done, status = os.waitpid(pid, os.WNOHANG)
    finally:
        if not done:
            end(pid)
    return os.waitstatus_to_exitcode(status) if done else _STOPPED


def files(tests: Sequence[str], *, tree: Path) -> list[str]:
    """What pytest is told to run: files of tests, without the slow ones unless they are named."""
    once = [test for test in tests if test.partition("::")[0] not in {*tests} - {test}]
    named = [_path(test) for test in once if (tree / _path(test).partition("::")[0]).is_file()]
    return named + [f"--deselect={_path(slow)}" for slow in _SLOW if slow not in tests]


def _path(test: str) -> str:
    file, *inside = test.split("::")
    return "::".join((f"tests/{file}.py", *inside))


def first_failure(tree: Path) -> str:
    output = (tree / "tmp" / "output").read_text(encoding="utf-8", errors="replace")
    named = re.search(r"^(?:FAILED|ERROR) (?:tests/)?(\S+)", output, re.MULTILINE)
    return named[1] if named else "it does not start"


def warm(tree: Path, tests: Sequence[str]) -> None:
    """Imports here, once, what is not ours and the tests import: each fork has it already."""
    listing = tree / "tmp" / "modules"
    plugin = tree / "tmp" / "list_modules.py"
    plugin.write_text(
        "import sys\n\ndef pytest_sessionfinish():\n"
        f"    with open({str(listing)!r}, 'w') as out:\n"
        "        out.write('\\n'.join(n for n, m in list(sys.modules.items())"
        " if 'site-packages' in (getattr(m, '__file__', None) or '')))\n",
        encoding="utf-8",
    )
    environment = os.environ | {"PYTHONPATH": f"{tree / 'tmp'}:{tree}"}
    subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "list_modules", "--collect-only", "-q", *tests],
        cwd=tree, env=environment, capture_output=True, check=False,
    )  # fmt: skip
    for name in listing.read_text(encoding="utf-8").splitlines() if listing.exists() else ():
        # Not spyne: gateway.soap.compat comes before it.
        if not name.startswith(("gateway", "__editable__", "pytest_", "spyne")):
            with contextlib.suppress(Exception):
                import_module(name)


def baseline(tree: Path, tests: Sequence[str]) -> bool:
    """Unmutated, all tests that judge must be green."""
    warm(tree, tests)
    print(f"unmutated: {len(tests)} test files ...", flush=True)
    recorder = Recorder(tree, into=_recorded(tree))
    code = wait(start(tree, list(tests), plugin=recorder, write_bytecode=True), seconds=10 * SECONDS)
    if code != _GREEN:
        output = (tree / "tmp" / "output").read_text(encoding="utf-8", errors="replace")
        print(f"The unmutated tests are red: {first_failure(tree)}\n{output[-3000:]}", flush=True)
    return code == _GREEN


def _recorded(tree: Path) -> Path:
    return tree / "tmp" / "reach.json"


def judge(
    todo: dict[str, Mutation],
    trees: Sequence[Path],
    *,
    stages: Callable[[str], list[tuple[str, ...]]],
    pristine: Path,
    until: float,
) -> Iterator[tuple[str, Outcome]]:
    """Outcomes as they come; what the time does not suffice for is left out."""
    names, free = iter(todo), list(trees)
    runs: dict[str, Run] = {}
    try:
        while True:
            while free and time.monotonic() < until and (name := next(names, None)) is not None:
                mutation, tree = todo[name], free.pop()
                target = tree / mutation.path
                target.write_bytes(mutation.apply((pristine / mutation.path).read_bytes()))
                first = first_tests(
                    mutation,
                    recorded=_recorded(pristine),
                    source=(pristine / mutation.path).read_text("utf-8"),
                )
                plan = [Stage(_files_of(first), first)] if first else []
                plan += [Stage(tests) for tests in stages(mutation.path)]
                runs[name] = _next_stage(Run(mutation, tree, plan))
            if not runs:
                return
            for name, run in list(runs.items()):
                done, status = os.waitpid(run.pid, os.WNOHANG)
                late = not done and time.monotonic() > run.deadline
                if not done and not late:
                    continue
                code = os.waitstatus_to_exitcode(status)
                code = _GREEN if code == _NO_TESTS else code  # none of the chosen is there: nothing missed it
                if late:
                    end(run.pid)
                elif code == _GREEN and run.stages:
                    _next_stage(run)
                    continue
                del runs[name]
                free.append(run.tree)
                shutil.copy2(pristine / run.mutation.path, run.tree / run.mutation.path)
                if late:
                    yield name, Outcome("killed", "out of time")
                elif code == _GREEN:
                    yield name, Outcome("survived")
                elif code > 0:  # below: a signal from outside ended it, and nothing is known
                    yield name, Outcome("killed", first_failure(run.tree))
            time.sleep(0.02)
    finally:
        for run in runs.values():
            end(run.pid)


def _next_stage(run: Run) -> Run:
    stage = run.stages.pop(0)
    whole = len(stage.tests) > 12 and not stage.chosen
    plugin = Chosen(stage.chosen) if stage.chosen else None
    run.pid = start(run.tree, files(stage.tests, tree=run.tree), plugin=plugin)
    run.deadline = time.monotonic() + SECONDS * (5 if whole else 1)
    return run


def _files_of(tests: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({Path(test.partition("::")[0]).stem for test in tests}))


def named_tests(path: str) -> list[tuple[str, ...]]:
    """The tests that the table names for a module."""
    return list(next(stages for pattern, stages in TESTS.items() if fnmatch(path, pattern)))


def other_tests(path: str) -> list[tuple[str, ...]]:
    """Those of the rest of the suite."""
    known = _NOT_OURS.union(*named_tests(path))
    rest = sorted(p.stem for p in (ROOT / "tests").glob("test_*.py") if p.stem not in known)
    return [(*rest, *_SLOW)]


def spread(todo: dict[str, Mutation]) -> dict[str, Mutation]:
    """The first of each module, then the second of each, and so on."""
    place: Counter[str] = Counter()
    turns: dict[str, int] = {}
    for name, mutation in todo.items():
        turns[name] = place[mutation.path]
        place[mutation.path] += 1
    return {name: todo[name] for name in sorted(todo, key=turns.__getitem__)}


# Telling


def _commit() -> str:
    described = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(described, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def report(named: dict[str, Mutation], results: Results, *, how: str, judged: int, seconds: float) -> str:
    outcomes = results.outcomes
    where = Counter(results.commits[name] for name in named if name in results.commits)
    rows: dict[str, Counter[str]] = {}
    for name, mutation in named.items():
        rows.setdefault(mutation.path, Counter())[outcomes.get(name, Outcome("not reached")).word] += 1
    total: Counter[str] = sum(rows.values(), Counter())
    columns = ("killed", "survived", "allowed", "not reached")
    lines = [
        "# Sabotage: every guard taken away in turn",
        "",
        f"`{how}`, commit {_commit()}, {datetime.now(UTC):%Y-%m-%d}, {seconds / 60:.0f} minutes,"
        f" Python {sys.version.split()[0]}.",
        "Killed: a test failed without the guard. Survived: none did. Allowed: `tests/sabotage/allowed.toml`",
        f"says why. Not reached: the time was over. Judged in this run: {judged}; with `--again`, what an",
        "earlier run killed is taken over. Judged at commit: "
        + "; ".join(f"{commit or 'unknown'} {count}" for commit, count in where.most_common())
        + ".",
        "",
        "| module | guards | killed | survived | allowed | not reached |",
        "|---|---:|---:|---:|---:|---:|",
        *(
            f"| {path} | {row.total()} | " + " | ".join(str(row[word]) for word in columns) + " |"
            for path, row in rows.items()
        ),
        f"| **all** | {total.total()} | " + " | ".join(str(total[word]) for word in columns) + " |",
        "",
        "## Survivors",
        "",
    ]
    alive = [m for name, m in named.items() if outcomes.get(name, Outcome("")).word == "survived"]
    lines += [f"- {_told(m)}" for m in alive]
    if not alive:
        lines.append("None.")
    return "\n".join(lines) + "\n"


def _told(mutation: Mutation) -> str:
    found, put = _short(mutation.found), _short(mutation.put)
    return f"`{mutation.path}:{mutation.line}` {mutation.kind}: `{found}` -> `{put}`"


def _short(text: str) -> str:
    text = " ".join(text.split()) or "(nothing)"
    return text if len(text) <= 100 else text[:97] + "..."


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sabotage.py", description=(__doc__ or "").splitlines()[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="every guard (the default)")
    which.add_argument("--changed", metavar="REF", help="guards on lines changed since REF")
    which.add_argument("--again", action="store_true", help="what the last run left alive or did not reach")
    parser.add_argument("--only", metavar="PREFIX", action="append", help="of module paths; may be repeated")
    parser.add_argument("--minutes", type=float, metavar="N", help="begin nothing after N minutes")
    parser.add_argument("--mapped", action="store_true", help="leave out the rest of the suite")
    parser.add_argument("--without", metavar="TEST", action="append", default=[], help="a test to leave out")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="runs at a time")
    options = parser.parse_args(arguments)
    if options.changed and not is_commit(options.changed):
        print(
            f"There is no commit {options.changed} in this clone: fetch it"
            " (git fetch --deepen=1, or --unshallow), or name one that is here.",
            flush=True,
        )
        return 2
    began = time.monotonic()
    until = began + 60 * (options.minutes or 1e9)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended, the copies go
    os.environ["PYTEST_ADDOPTS"] = " ".join(f"--deselect={test}" for test in options.without)

    with tempfile.TemporaryDirectory(prefix="sab-", dir=_place(), ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        pristine = Path(folder) / "pristine"
        copy_tree(pristine)
        commit = _commit()
        named = guards(pristine)
        results = Results()
        if options.again and LAST.exists():
            past: dict[str, Any] = json.loads(LAST.read_text(encoding="utf-8"))
            for name in (name for name in named if name in past):
                word, by, judged_at = (*past[name], "")[:3]
                if word != "allowed":
                    results.outcomes[name], results.commits[name] = Outcome(word, by), judged_at
        entries: list[dict[str, str]] = tomllib.loads(ALLOWED.read_text(encoding="utf-8"))["allowed"]
        lines = changed_lines(options.changed) if options.changed else None
        todo: dict[str, Mutation] = {}
        for name, mutation in named.items():
            if why := allowed(mutation, entries):
                results.outcomes[name] = Outcome("allowed", why)
            elif (
                mutation.path.startswith(tuple(options.only or ("",)))
                and (lines is None or lines.get(mutation.path, set()) & {*mutation.lines})
                and results.outcomes.get(name, Outcome("")).word != "killed"
            ):
                results.outcomes.pop(name, None)
                todo[name] = mutation
        print(f"{len(todo)} guards to take away", flush=True)
        if lines is not None and not todo:
            return 0
        if options.changed:
            todo = spread(todo)
        trees = [Path(folder) / str(number) for number in range(max(1, options.jobs))]
        last: dict[str, object] = {}
        for stages in (named_tests,) if options.mapped else (named_tests, other_tests):
            asked = {
                name: m
                for name, m in todo.items()
                if stages is named_tests or results.outcomes.get(name) == Outcome("survived")
            }
            tests = sorted({test for m in asked.values() for stage in stages(m.path) for test in stage})
            if not asked or time.monotonic() >= until:
                break
            if not baseline(pristine, files(tests, tree=pristine)):
                return 2
            for tree in trees:
                if not tree.exists():  # not earlier: with the bytecode of the tests
                    shutil.copytree(pristine, tree, symlinks=True)
            judged = judge(asked, trees, stages=stages, pristine=pristine, until=until)
            for count, (name, outcome) in enumerate(judged, start=1):
                results.outcomes[name], results.commits[name] = outcome, commit
                last[name] = stages
                said = f"{outcome.word:8} {_told(asked[name])}" + (f"  ({outcome.by})" if outcome.by else "")
                print(f"[{count}/{len(asked)}, {time.monotonic() - began:.0f} s] {said}", flush=True)
                if not options.changed:
                    results.save()
    unreached = [m for name, m in todo.items() if name not in results.outcomes]
    for m in unreached if options.changed else ():
        print(f"not reached {_told(m)}")
    words = Counter(results.outcomes[name].word for name in todo if name in results.outcomes)
    print(f"{words['killed']} killed, {words['survived']} survived, {len(unreached)} not reached", flush=True)
    early = [n for n in todo if results.outcomes.get(n) == Outcome("survived") and last[n] is named_tests]
    if early and not options.mapped:
        print(f"The time was over before the rest of the suite could judge {len(early)} of the survivors.")
    if not options.changed and not options.only:
        how = f"make sabotage ARGS='{' '.join(arguments or sys.argv[1:])}'"
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        text = report(named, results, how=how, judged=len(last), seconds=time.monotonic() - began)
        REPORT.write_text(text, encoding="utf-8")
    return 1 if words["survived"] else 0


if __name__ == "__main__":
    sys.exit(main())
