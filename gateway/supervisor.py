"""The supervisor of `serve`: keeps web workers, worker and embedded database alive, and ends them in order.

The law: a process that dies is started again, soon after a long life, later and later after short ones. On
SIGTERM or SIGINT the processes end first (SIGTERM, a deadline, SIGKILL to the whole process group) and the
database last, so that nobody works without it. SIGHUP is forwarded. When the supervisor itself is killed,
the kernel sends SIGTERM to every process and SIGINT, the fast shutdown, to the database, and a guard, a
process that does nothing else, kills after the same deadline what is left of the groups. A database that
cannot be started again ends everything with a code other than zero.

One thread, no polling but for readiness: signals and deaths wake the loop. What the processes are, when they
are ready and what a reload reads is left to the caller; the web application is never imported here.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Protocol, Self

from gateway.storage.child import spawn
from gateway.storage.embedded import EmbeddedPostgres, EmbeddedUnavailable

STOP_SECONDS = 10.0
"""How long the processes have between SIGTERM and SIGKILL."""
_FIRST_DELAY = 0.1
_LAST_DELAY = 5.0
_LONG_LIFE = 30.0
_READY_POLL = 0.1

_GUARD = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
def alive(group, number=0):
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
deadline = time.monotonic() + float(sys.argv[1])
while (groups := set(filter(alive, groups))) and time.monotonic() < deadline:
    time.sleep(0.02)
for group in groups:
    alive(group, signal.SIGKILL)
"""


class Log(Protocol):
    """One event and its fields, as structlog takes them."""

    def info(self, event: str, **fields: object) -> object: ...
    def warning(self, event: str, **fields: object) -> object: ...
    def error(self, event: str, **fields: object) -> object: ...


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A process to keep alive; on SIGTERM it ends itself and its own children."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Added to the supervisor's environment; may hold a DSN with its password."""


def run(
    processes: Sequence[ProcessSpec],
    *,
    ready: Callable[[], bool],
    on_ready: Callable[[], None],
    on_reload: Callable[[], None] | None = None,
    database: EmbeddedPostgres | None,
    log: Log,
) -> int:
    """Run until a signal (0) or the loss of the database (1); `database`, where given, has been started.

    `ready` is asked until it says yes, then `on_ready` is called, once. `on_reload` may raise to refuse a
    reload: the refusal is logged and SIGHUP is not forwarded. To be called in the main thread.
    """
    keeper = _Keeper(database, log=log) if database is not None else None
    announced = False
    with _Signals() as signals, _Guard() as guard:
        children = [_Child(spec, guard=guard, log=log) for spec in processes]
        try:
            while signals.stop is None:
                due = [keeper.tend()] if keeper is not None else []
                due += [child.tend() for child in children]
                if signals.take_reload():
                    _reload(children, on_reload=on_reload, log=log)
                if not announced:
                    if announced := ready():
                        log.info("ready")
                        on_ready()
                    else:
                        due.append(time.monotonic() + _READY_POLL)
                signals.wait(min((moment for moment in due if moment is not None), default=None))
            log.info("stopping", signal=signals.stop.name)
            return 0
        except _DatabaseLost:
            return 1
        finally:
            _stop(children, signals=signals)
            if database is not None:
                database.stop()
                log.info("database_stopped")


class _DatabaseLost(Exception):
    """The database could not be started again."""


class _Signals:
    """Turns signals and deaths of children into a wait that ends; only sets flags, acts on nothing."""

    def __enter__(self) -> Self:
        self.stop: signal.Signals | None = None
        self._reload = False
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._old_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
        self._old = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_fd)
        self._reader.close()
        self._writer.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self.stop = signal.Signals(number)
        elif number == signal.SIGHUP:
            self._reload = True

    def take_reload(self) -> bool:
        asked, self._reload = self._reload, False
        return asked

    def wait(self, until: float | None) -> None:
        """Until a signal, the death of a child, or the moment `until` (monotonic)."""
        timeout = None if until is None else max(0.0, until - time.monotonic())
        if select.select([self._reader], [], [], timeout)[0]:
            self._reader.recv(4096)


class _Guard:
    """Outlives a killed supervisor: the lines of its input name the groups, its end that nobody is left."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603 - the list is ours, no shell reads it
            [sys.executable, "-I", "-S", "-c", _GUARD, str(STOP_SECONDS)],
            stdin=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def watch(self, group: int) -> None:
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # somebody killed the guard: the kernel's signals remain
            self._process.stdin.write(line.encode())


class _Pace:
    """When the next start may be: the delay doubles with every short life and a long one resets it."""

    def __init__(self) -> None:
        self.due = self._begun = time.monotonic()
        self._delay = _FIRST_DELAY

    def begin(self) -> None:
        self._begun = time.monotonic()

    def end(self) -> float:
        now = time.monotonic()
        if now - self._begun >= _LONG_LIFE:
            self._delay = _FIRST_DELAY
        delay, self._delay = self._delay, min(2 * self._delay, _LAST_DELAY)
        self.due = now + delay
        return delay

    @property
    def exhausted(self) -> bool:
        return self._delay >= _LAST_DELAY


class _Child:
    """One process of the list: at most one alive at a time, and nothing left of its group after its death."""

    def __init__(self, spec: ProcessSpec, *, guard: _Guard, log: Log) -> None:
        self._spec = spec
        self._guard = guard
        self._log = log
        self._pace = _Pace()
        self._process: subprocess.Popen[bytes] | None = None

    def tend(self) -> float | None:
        """Buries the dead and starts what is due; the moment of the next start, or None while alive."""
        if self._process is not None and not self.alive:
            code = self.bury()
            delay = self._pace.end()
            self._log.warning("process_died", name=self._spec.name, code=code, restart_in=delay)
        if self._process is None and time.monotonic() >= self._pace.due:
            self._begin()
        return self._pace.due if self._process is None else None

    def _begin(self) -> None:
        environment = {**os.environ, **self._spec.env}
        try:
            self._process = spawn(self._spec.argv, death_signal=signal.SIGTERM, env=environment)
        except OSError as error:  # no memory, no process slot: as transient as a death
            delay = self._pace.end()
            self._log.error("process_not_started", name=self._spec.name, error=str(error), restart_in=delay)
            return
        self._guard.watch(self._process.pid)
        self._pace.begin()
        self._log.info("process_started", name=self._spec.name, pid=self._process.pid)

    @property
    def alive(self) -> bool:
        """Asked without reaping: until it is reaped its number cannot name another process or group."""
        if self._process is None:
            return False
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def send(self, number: signal.Signals) -> None:
        if self._process is not None:
            os.kill(self._process.pid, number)

    def bury(self) -> int | None:
        """Kills what is left of the process group, then reaps its leader: its exit code, None without one."""
        if self._process is None:
            return None
        if self.alive:
            self._log.warning("process_killed", name=self._spec.name, pid=self._process.pid)
        os.killpg(self._process.pid, signal.SIGKILL)
        self._guard.forget(self._process.pid)
        code = self._process.wait()
        self._process = None
        return code


class _Keeper:
    """Starts the database again when it has died; gives up when the delay has reached its end."""

    def __init__(self, database: EmbeddedPostgres, *, log: Log) -> None:
        self._database = database
        self._log = log
        self._pace = _Pace()
        self._alive = True

    def tend(self) -> float | None:
        if self._alive and (code := self._database.poll()) is not None:
            self._alive = False
            self._log.error("database_died", code=code, restart_in=self._pace.end())
        if not self._alive and time.monotonic() >= self._pace.due:
            self._begin()
        return None if self._alive else self._pace.due

    def _begin(self) -> None:
        try:
            self._database.start()
        except EmbeddedUnavailable as error:
            if self._pace.exhausted:
                self._log.error("database_lost", error=str(error))
                raise _DatabaseLost from error
            self._log.error("database_not_started", error=str(error), restart_in=self._pace.end())
            return
        self._alive = True
        self._pace.begin()
        self._log.info("database_started")


def _reload(children: Sequence[_Child], *, on_reload: Callable[[], None] | None, log: Log) -> None:
    try:
        if on_reload is not None:
            on_reload()
    except Exception as error:  # whatever is wrong with the new configuration, the old one keeps serving
        log.error("reload_refused", error=str(error))
        return
    for child in children:
        child.send(signal.SIGHUP)
    log.info("reload_forwarded")


def _stop(children: Sequence[_Child], *, signals: _Signals) -> None:
    for child in children:
        child.send(signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while any(child.alive for child in children) and time.monotonic() < deadline:
        signals.wait(deadline)
    for child in children:
        child.bury()
