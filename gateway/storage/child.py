"""Starts a process that cannot outlive the one that started it.

The law (prctl(2), PR_SET_PDEATHSIG): the kernel sends the chosen signal when the *thread* that started the
child ends, forgets the choice when the child changes its user, and says nothing when the parent ended before
the choice was made. So only the main thread may start a child; the user is dropped first, the signal chosen
second, the parent looked for third, and only then is the program executed. A small interpreter does this
in a fresh process: code between fork and exec may deadlock where the parent has threads.

The child has a session and a process group of its own: Ctrl-C on the terminal reaches the parent alone.
What is started, and when it is stopped, is left to the caller.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from gateway.core.errors import MisuseError

_BIND = """
import ctypes, os, sys
parent, death_signal, uid, gid = map(int, sys.argv[1:5])
program = sys.argv[5:]
if uid >= 0:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
PR_SET_PDEATHSIG = 1
if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, *map(ctypes.c_ulong, (death_signal, 0, 0, 0))) != 0:
    sys.exit("prctl refused PR_SET_PDEATHSIG")
if os.getppid() != parent:
    sys.exit("the parent process has ended")
try:
    os.execvp(program[0], program)
except OSError as error:
    sys.exit(f"{program[0]}: {error.strerror}")
"""


@dataclass(frozen=True, slots=True)
class User:
    """The user that a child runs as; supplementary groups are dropped."""

    uid: int
    gid: int


def spawn(
    argv: Sequence[str],
    *,
    death_signal: signal.Signals,
    env: Mapping[str, str],
    user: User | None = None,
    cwd: str | None = None,
    stdout: IO[bytes] | int | None = None,
    stderr: IO[bytes] | int | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `argv`; `death_signal` reaches it when this process ends, however it ends."""
    if threading.current_thread() is not threading.main_thread():
        raise MisuseError("A child that dies with its parent must be started by the main thread.")
    uid, gid = (user.uid, user.gid) if user is not None else (-1, -1)
    numbers = (str(number) for number in (os.getpid(), int(death_signal), uid, gid))
    return subprocess.Popen(  # noqa: S603 - the list is ours, no shell reads it
        [sys.executable, "-I", "-S", "-c", _BIND, *numbers, *argv],
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        pass_fds=pass_fds,
        start_new_session=True,
    )
