"""The supervisor, proved with real processes: restarts, signals, the order of the end, and its own death."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from gateway import supervisor
from gateway.core.errors import MisuseError
from gateway.storage.child import spawn

ROOT = Path(__file__).resolve().parent.parent

SUPERVISOR = """
import json, sys, time
from pathlib import Path
from gateway import supervisor
from gateway.storage import binaries
from gateway.storage.embedded import EmbeddedPostgres

plan = json.loads(sys.argv[1])
folder = Path(plan["folder"])
binaries.RELOCATED = folder / "relocated"
supervisor.STOP_SECONDS = plan["stop_seconds"]

class Log:
    def write(self, level, event, fields):
        print(json.dumps({"level": level, "event": event, "at": time.monotonic(), **fields}), flush=True)
    def info(self, event, **fields): self.write("info", event, fields)
    def warning(self, event, **fields): self.write("warning", event, fields)
    def error(self, event, **fields): self.write("error", event, fields)

def refuse():
    if (folder / "broken").exists():
        raise ValueError("gateway.toml:3: not a number")

log = Log()
database = EmbeddedPostgres(folder / "data") if plan["database"] else None
if database is not None:
    database.start()
sys.exit(supervisor.run(
    [supervisor.ProcessSpec(name, argv, {"CHILD": name}) for name, argv in plan["processes"]],
    ready=lambda: all((folder / f"up-{name}").exists() for name, _ in plan["processes"]),
    on_ready=lambda: log.info("announced"),
    on_reload=refuse,
    database=database,
    log=log,
))
"""

CHILD = """
import os, signal, subprocess, sys, time
from pathlib import Path
folder, name = Path(sys.argv[1]), os.environ["CHILD"]
def ended(number, frame):
    cluster = folder / "data/server/cluster/postmaster.pid"
    (folder / f"end-{name}").write_text(f"database={cluster.exists()}")
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in name else ended)
signal.signal(signal.SIGHUP, lambda number, frame: (folder / f"hup-{name}").touch())
if "parent" in name:
    grandchild = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()", str(folder)])
    (folder / f"grandchild-{name}").write_text(str(grandchild.pid))
(folder / f"up-{name}").write_text(str(os.getpid()))
while True:
    signal.pause()
"""


def alive(pid: int) -> bool:
    """A zombie that nobody has reaped yet is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.02)


class Supervised:
    """A supervisor in a process of its own, its log and its children."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = False

    def start(
        self,
        names: Sequence[str],
        *,
        database: bool = False,
        stop_seconds: float = 10.0,
        others: Sequence[tuple[str, list[str]]] = (),
    ) -> None:
        child = [sys.executable, "-c", CHILD, str(self.folder)]
        plan = {
            "folder": str(self.folder),
            "stop_seconds": stop_seconds,
            "database": database,
            "processes": [*((name, child) for name in names), *others],
        }
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SUPERVISOR, json.dumps(plan)],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=log,
            )
        for name in names:
            eventually(lambda name=name: self.pid(name) != 0)  # type: ignore[misc]

    def pid(self, name: str) -> int:
        try:
            return int((self.folder / name if "-" in name else self.folder / f"up-{name}").read_text() or 0)
        except FileNotFoundError:
            return 0

    def postmaster(self) -> int:
        try:
            return int((self.folder / "data/server/cluster/postmaster.pid").read_text().splitlines()[0])
        except (FileNotFoundError, IndexError):
            return 0

    def log(self, event: str) -> list[dict[str, object]]:
        lines = (self.folder / "log").read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if entry["event"] == event]

    def family(self) -> list[int]:
        """Every process that names the folder in its command line or works in its database."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal() or int(entry.name) == os.getpid():
                continue
            try:
                words = (entry / "cmdline").read_bytes()
                cwd = (entry / "cwd").readlink()
            except OSError:
                continue
            if os.fsencode(self.folder) in words or cwd.is_relative_to(self.folder):
                found.append(int(entry.name))
        return found


@pytest.fixture
def supervised() -> Iterator[Supervised]:
    folder = Path(
        tempfile.mkdtemp(prefix="gw-test-", dir="/tmp")
    )  # pytest's own is closed to the database's user
    folder.chmod(0o755)
    supervised = Supervised(folder)
    yield supervised
    supervised.process.kill()
    supervised.process.wait()
    try:
        eventually(lambda: not supervised.family())
    finally:
        for pid in supervised.family():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder)


def test_it_announces_readiness_once_and_only_when_ready(supervised: Supervised) -> None:
    supervised.start(["web", "worker"])
    eventually(lambda: bool(supervised.log("announced")))
    supervised.process.terminate()
    assert supervised.process.wait(20) == 0
    assert len(supervised.log("announced")) == len(supervised.log("ready")) == 1
    started = {entry["name"]: entry["pid"] for entry in supervised.log("process_started")}
    assert started == {"web": supervised.pid("web"), "worker": supervised.pid("worker")}


def test_a_dead_child_is_started_again_and_the_others_stay(supervised: Supervised) -> None:
    supervised.start(["web", "worker"])
    first, other = supervised.pid("web"), supervised.pid("worker")
    os.kill(first, signal.SIGKILL)
    eventually(lambda: supervised.pid("web") not in (0, first))
    assert supervised.pid("worker") == other
    assert alive(other)
    assert [(e["name"], e["code"]) for e in supervised.log("process_died")] == [("web", -signal.SIGKILL)]


def test_what_a_dead_child_leaves_behind_is_ended(supervised: Supervised) -> None:
    supervised.start(["parent"], stop_seconds=0.5)
    eventually(lambda: supervised.pid("grandchild-parent") != 0)
    first, orphan = supervised.pid("parent"), supervised.pid("grandchild-parent")
    assert alive(orphan)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: supervised.pid("parent") not in (0, first))
    assert not alive(orphan)


def test_a_child_that_dies_at_once_is_started_later_and_later(supervised: Supervised) -> None:
    supervised.start(["web"], others=[("broken", ["/nonexistent/program"])])
    eventually(lambda: len(supervised.log("process_died")) >= 4)
    delays = [entry["restart_in"] for entry in supervised.log("process_died")][:4]
    assert delays == [0.1, 0.2, 0.4, 0.8]
    starts = [float(str(e["at"])) for e in supervised.log("process_started") if e["name"] == "broken"]
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert all(gap >= delay for gap, delay in zip(gaps, (0.1, 0.2, 0.4), strict=False))
    assert alive(supervised.pid("web"))


def test_the_delay_is_bounded_and_a_long_life_resets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pace = supervisor._Pace()
    assert pace.due == now
    delays = []
    for _ in range(8):
        pace.begin()
        now += 29.9
        delays.append(pace.end())
        assert pace.due == now + delays[-1]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    pace.begin()
    now += 30.0
    assert pace.end() == 0.1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_the_children_before_the_database(supervised: Supervised, number: signal.Signals) -> None:
    supervised.start(["web", "worker"], database=True)
    server = supervised.postmaster()
    assert alive(server)
    supervised.process.send_signal(number)
    assert supervised.process.wait(20) == 0
    for name in ("web", "worker"):
        assert (supervised.folder / f"end-{name}").read_text() == "database=True"
        assert not alive(supervised.pid(name))
    assert not alive(server)
    assert supervised.log("stopping")[0]["signal"] == number.name
    assert not supervised.log("process_died"), "an ordered end is no death"
    assert not supervised.log("process_killed")


def test_a_child_that_ignores_the_stop_is_killed_after_the_deadline(supervised: Supervised) -> None:
    supervised.start(["stubborn", "parent"], stop_seconds=0.5)
    eventually(lambda: supervised.pid("grandchild-parent") != 0)
    supervised.process.terminate()
    assert supervised.process.wait(20) == 0
    assert [entry["name"] for entry in supervised.log("process_killed")] == ["stubborn"]
    assert not alive(supervised.pid("stubborn"))
    assert not alive(supervised.pid("grandchild-parent")), "the group of a child ends with it"


def test_sighup_is_forwarded(supervised: Supervised) -> None:
    supervised.start(["web", "worker"])
    supervised.process.send_signal(signal.SIGHUP)
    eventually(lambda: all((supervised.folder / f"hup-{name}").exists() for name in ("web", "worker")))
    assert alive(supervised.pid("web"))
    assert alive(supervised.pid("worker"))


def test_a_refused_reload_is_logged_and_not_forwarded(supervised: Supervised) -> None:
    supervised.start(["web"])
    (supervised.folder / "broken").touch()
    supervised.process.send_signal(signal.SIGHUP)
    eventually(lambda: bool(supervised.log("reload_refused")))
    assert supervised.log("reload_refused")[0]["error"] == "gateway.toml:3: not a number"
    (supervised.folder / "broken").unlink()
    assert not (supervised.folder / "hup-web").exists()
    supervised.process.send_signal(signal.SIGHUP)
    eventually(lambda: (supervised.folder / "hup-web").exists())


def test_ctrl_c_on_the_terminal_reaches_the_supervisor_alone(supervised: Supervised) -> None:
    supervised.start(["web"], database=True)
    groups = {os.getpgid(pid) for pid in (supervised.pid("web"), supervised.postmaster())}
    assert len(groups) == 2
    assert os.getpgid(supervised.process.pid) not in groups


def test_killing_the_supervisor_leaves_nothing_behind(supervised: Supervised) -> None:
    supervised.start(["web", "worker"], database=True)
    pids = [supervised.pid("web"), supervised.pid("worker"), supervised.postmaster()]
    assert set(pids) < set(supervised.family())
    supervised.process.kill()
    supervised.process.wait()
    eventually(lambda: not supervised.family())
    assert not any(alive(pid) for pid in pids)


def test_killing_the_supervisor_ends_even_what_ignores_its_end(supervised: Supervised) -> None:
    supervised.start(["stubborn", "parent"], stop_seconds=0.5)
    eventually(lambda: supervised.pid("grandchild-parent") != 0)
    pids = [supervised.pid("stubborn"), supervised.pid("parent"), supervised.pid("grandchild-parent")]
    assert all(alive(pid) for pid in pids)
    supervised.process.kill()
    supervised.process.wait()
    eventually(lambda: not any(alive(pid) for pid in pids), seconds=5)
    assert not (supervised.folder / "end-stubborn").exists()
    assert (supervised.folder / "end-parent").exists(), "who listens to SIGTERM ends in order"


def test_a_dead_database_is_started_again_under_living_children(supervised: Supervised) -> None:
    supervised.start(["web"], database=True)
    first, web = supervised.postmaster(), supervised.pid("web")
    os.kill(first, signal.SIGKILL)
    eventually(lambda: bool(supervised.log("database_started")))
    assert supervised.postmaster() not in (0, first)
    assert supervised.pid("web") == web
    assert alive(web)
    supervised.process.terminate()
    assert supervised.process.wait(20) == 0


def test_a_database_that_cannot_be_started_again_ends_everything(supervised: Supervised) -> None:
    supervised.start(["web"], database=True)
    (supervised.folder / "data/server/cluster/PG_VERSION").write_text("9.6\n")
    os.kill(supervised.postmaster(), signal.SIGKILL)
    assert supervised.process.wait(30) == 1
    assert "incompatible" in str(supervised.log("database_lost")[0]["error"])
    assert len(supervised.log("database_not_started")) == 5
    assert not alive(supervised.pid("web"))
    assert (supervised.folder / "end-web").exists(), "the children are asked to end, not killed"


def test_only_the_main_thread_may_start_a_child() -> None:
    """The kernel would end the child together with the thread that started it."""
    caught: list[BaseException] = []

    def start() -> None:
        try:
            spawn(["true"], death_signal=signal.SIGTERM, env={})
        except MisuseError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(caught) == 1
