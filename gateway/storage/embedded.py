"""Runs a real PostgreSQL server for this gateway alone, as a foreground child of the process that starts it.

The law: a start is idempotent after a crash anywhere, so whatever takes more than one step is made under a
temporary name and renamed (the cluster, the password file, the database). Two locks keep two servers off one
cluster: `lock` belongs to the starting process and refuses a second one at once; `server.lock` is inherited
by PostgreSQL itself, so that it is free exactly when the last process of an earlier server has gone. The
server listens on a unix socket in a private folder and nowhere else, fsync stays on, and every role has a
random password. As root the server runs as an unprivileged user that can write its cluster and its socket
folder only: what root writes lies in folders that root owns.

Files: <data>/lock, <data>/server/{cluster, passwords.json, postgres.log, server.lock, socket}. Where that
user cannot reach <data>, `server` is a link to a folder below RELOCATED, named by the hash of <data>.

Linux only (PR_SET_PDEATHSIG). Tables and grants are left to the migrations, restarts to the supervisor.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import encrypt_password, make_dsn

from gateway.core.errors import MisuseError
from gateway.storage.binaries import (
    EmbeddedUnavailable,
    find_binaries,
    reachable,
    readable_binaries,
    relocated,
    saying,
)
from gateway.storage.child import User, spawn

__all__ = [
    "Connections",
    "DataInUse",
    "EmbeddedPostgres",
    "EmbeddedUnavailable",
    "ServerFailed",
    "find_binaries",
]

SUPERUSER, OWNER, APP = "postgres", "gateway_owner", "gateway_app"
DATABASE = "gateway"

_PORT = 5432  # names the socket file; no port is opened
_SOCKET_FOLDER = re.compile(r"[\w/.+-]{1,93}", re.ASCII)
# sun_path holds 107 bytes (unix(7)), "/.s.PGSQL.5432" takes 14; libpq reads a comma as a list of hosts.
_TMP = Path("/tmp")  # noqa: S108 - only for folders of mkdtemp; TMPDIR may be too long
_ENV = {"LC_ALL": "C", "TZ": "UTC"}
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(_PORT),
    "shared_buffers": "64MB",
    "max_connections": "200",
    "fsync": "on",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_checkpoints": "off",
    # Statements and DETAIL lines carry values of rows; they do not belong in a log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}

_INITDB_SECONDS = 120.0
_READY_SECONDS = 120.0
_ORPHAN_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.02
_LOG_BYTES = 16 * 1024 * 1024
_LOG_LINES = 10


class DataInUse(EmbeddedUnavailable):
    """Another process works on the same data."""


class ServerFailed(EmbeddedUnavailable):
    """PostgreSQL ended or did not become ready; the message carries the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Connections:
    """How to connect, by role; never shown, for each holds a password."""

    owner_dsn: str = field(repr=False)
    """Owns the database and runs the migrations."""
    app_dsn: str = field(repr=False)
    """What the gateway works with: no superuser, no bypass of row-level security, no CREATE."""
    superuser_dsn: str = field(repr=False)
    """For backup and repair."""


class EmbeddedPostgres:
    """One PostgreSQL server on one data folder; started by the main thread, which must outlive it."""

    def __init__(self, data: Path, *, bindir: Path | None = None) -> None:
        self._data = data.absolute()
        self._bindir = bindir
        self._lock: int | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._socket: Path | None = None  # kept for a restart: the workers hold DSNs that name it
        self._socket_entry: Path | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def connections(self) -> Connections:
        if self._server is None:
            raise MisuseError("The embedded PostgreSQL has not been started.")
        return self._connections

    def start(self) -> Connections:
        """Start, or start again after the server has died; the DSNs of one object never change."""
        if self._server is not None and self.poll() is None:
            raise MisuseError("The embedded PostgreSQL is already running.")
        try:
            return self._start()
        except BaseException as error:
            self.stop()
            if isinstance(error, OSError | psycopg2.Error):
                raise EmbeddedUnavailable(f"PostgreSQL cannot start on {self._data}: {error}") from error
            raise

    def poll(self) -> int | None:
        """The exit code of the server, or None while it runs."""
        if self._server is None:
            raise MisuseError("The embedded PostgreSQL has not been started.")
        return self._server.poll()

    def stop(self) -> None:
        """Stop the server (fast shutdown: clients are cut off, nothing committed is lost)."""
        if self._server is not None:
            _end(self._server)
            self._server = None
        self._drop_socket()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _start(self) -> Connections:
        bindir = find_binaries(self._bindir)
        self._take_lock()
        user = _server_user()
        home = self._home(user)
        if user is not None:
            with suppress(FileNotFoundError):  # the owner of an existing cluster stays
                made_by = (home / "cluster").stat()
                user = User(made_by.st_uid, made_by.st_gid)
            bindir = readable_binaries(bindir, user=user)
        with _server_lock(home) as lock:
            _refuse_foreign_server(home / "cluster")
            passwords = _passwords(home)
            with _open_log(home) as log:
                before = os.fstat(log).st_size
                if not (home / "cluster").exists():
                    _initdb(bindir, home, password=passwords[SUPERUSER], user=user, log=log, lock=lock)
                folder = self._make_socket(home, user)
                settings = _SETTINGS | {"unix_socket_directories": str(folder)}
                self._server = spawn(
                    [str(bindir / "postgres"), "-D", str(home / "cluster")]
                    + [part for name, value in settings.items() for part in ("-c", f"{name}={value}")],
                    death_signal=signal.SIGINT,
                    env=_ENV,
                    user=user,
                    cwd="/",
                    stdout=log,
                    stderr=log,
                    pass_fds=(lock,),
                )
        owner, app, superuser = (
            make_dsn(host=str(folder), port=_PORT, dbname=DATABASE, user=role, password=passwords[role])
            for role in (OWNER, APP, SUPERUSER)
        )
        self._connections = Connections(owner_dsn=owner, app_dsn=app, superuser_dsn=superuser)
        with closing(self._wait_until_ready(home, before=before)) as connection:
            _provision(connection, passwords=passwords)
        return self._connections

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        with saying(f"The data folder {self._data} cannot be used; choose another one"):
            self._data.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            lock = os.open(self._data / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if not _flock(lock):
            os.close(lock)
            raise DataInUse(f"Another gateway runs on {self._data}; stop it or choose another data folder.")
        self._lock = lock

    def _home(self, user: User | None) -> Path:
        """The folder `server`: real, or a link to where the server's user can reach it."""
        entry = self._data.resolve() / "server"
        if not os.path.lexists(entry):
            near = user is None or reachable(entry.parent, user=user)
            # A name that was never used: whoever removed the asked-for folder wants an empty database.
            home = entry if near else relocated() / f"data-{secrets.token_hex(8)}"
            home.mkdir(mode=0o711)
            if home != entry:
                entry.symlink_to(home)
        home = entry.resolve()
        if not home.exists():
            raise EmbeddedUnavailable(f"{entry} names {home}, which is gone; restore it, or remove {entry}.")
        if home.stat().st_uid != os.geteuid():
            raise EmbeddedUnavailable(f"{home} belongs to another user; run the gateway as that user.")
        home.chmod(0o711)  # whatever the umask was
        if user is not None and not reachable(home, user=user):
            raise EmbeddedUnavailable(
                f"User {user.uid} cannot reach {home}; open the folders above or move it."
            )
        return home

    def _make_socket(self, home: Path, user: User | None) -> Path:
        self._socket_entry = entry = home / "socket"
        _drop(entry)
        if self._socket is not None:
            self._socket.mkdir(mode=0o700)
        elif _SOCKET_FOLDER.fullmatch(str(entry)):
            self._socket = entry
            entry.mkdir(mode=0o700)
        else:
            self._socket = Path(tempfile.mkdtemp(prefix="mobileid-gateway-", dir=_socket_base(user)))
        if self._socket != entry:
            entry.symlink_to(self._socket)  # so that the start after a crash finds and removes it
        _give(self._socket, user)
        return self._socket

    def _drop_socket(self) -> None:
        if self._socket_entry is not None:
            _drop(self._socket_entry)
            self._socket_entry = None

    def _wait_until_ready(self, home: Path, *, before: int) -> Connection:
        assert self._server is not None
        dsn = make_dsn(self._connections.superuser_dsn, dbname="postgres", connect_timeout=5)
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            if (code := self._server.poll()) is not None:
                raise ServerFailed(_failure(f"PostgreSQL ended with code {code}", home, before=before))
            try:
                return psycopg2.connect(dsn)
            except psycopg2.OperationalError as error:
                if time.monotonic() > deadline:
                    sentence = f"PostgreSQL was not ready after {_READY_SECONDS:.0f} s"
                    raise ServerFailed(_failure(sentence, home, before=before)) from error
            time.sleep(_POLL_SECONDS)


def _end(server: subprocess.Popen[bytes]) -> None:
    for number, seconds in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGQUIT, 10.0), (signal.SIGKILL, None)):
        server.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            server.wait(seconds)
            return


# Users and folders.


def _server_user() -> User | None:
    """Whom the server runs as: ourselves, or as root (which PostgreSQL refuses) postgres or nobody."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return User(entry.pw_uid, entry.pw_gid)
    raise EmbeddedUnavailable(
        "There is neither a user postgres nor nobody; run the gateway as an ordinary user."
    )


def _socket_base(user: User | None) -> Path:
    """XDG_RUNTIME_DIR where it is short and fit for the server's user, else /tmp."""
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or _TMP)
    fit = (
        runtime.is_dir()
        and os.access(runtime, os.W_OK)
        and re.fullmatch(r"[\w/.+-]{1,60}", str(runtime), re.ASCII)
    )
    return runtime if fit and (user is None or reachable(runtime, user=user)) else _TMP


def _give(path: Path, user: User | None) -> None:
    if user is not None:
        os.chown(path, user.uid, user.gid, follow_symlinks=False)


def _drop(entry: Path) -> None:
    """Remove a folder, or a link and the folder that it names."""
    if entry.is_symlink():
        shutil.rmtree(entry.readlink(), ignore_errors=True)
        entry.unlink()
    elif entry.exists():
        shutil.rmtree(entry)


# Locks.


def _flock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _server_lock(home: Path) -> Iterator[int]:
    """Waits until the last process of an earlier server has gone; whoever inherits the lock keeps it."""
    lock = os.open(home / "server.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _ORPHAN_SECONDS
        while not _flock(lock):
            if time.monotonic() > deadline:
                raise DataInUse(f"Processes of an earlier server still work on {home}; stop them first.")
            time.sleep(_POLL_SECONDS)
        yield lock
    finally:
        os.close(lock)


def _refuse_foreign_server(cluster: Path) -> None:
    """Removes a postmaster.pid whose number belongs to nobody, or by now to another program.

    PostgreSQL itself refuses to start when the number is in use at all, as it often is after the restart of a
    container.
    """
    try:
        text = (cluster / "postmaster.pid").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    number = text.partition("\n")[0].strip()
    with suppress(OSError):  # no such process, or one of a user who cannot enter the cluster
        if number.isdecimal() and Path(f"/proc/{number}/cwd").readlink() == cluster:
            raise DataInUse(f"A PostgreSQL server (process {number}) runs on {cluster}; stop it first.")
    (cluster / "postmaster.pid").unlink()


# The cluster.


def _passwords(home: Path) -> dict[str, str]:
    file = home / "passwords.json"
    if not file.exists():
        if (home / "cluster").exists():
            raise EmbeddedUnavailable(f"{file} is missing; restore it, the data cannot be opened without it.")
        text = json.dumps({role: secrets.token_urlsafe(32) for role in (SUPERUSER, OWNER, APP)})
        _write_private(home / "passwords.json.new", text)
        (home / "passwords.json.new").rename(file)
        _sync(home)
    passwords: dict[str, str] = json.loads(file.read_text(encoding="ascii"))
    return passwords


def _write_private(path: Path, text: str, *, user: User | None = None) -> None:
    path.unlink(missing_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "w", encoding="ascii") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(file)
    _give(path, user)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _initdb(bindir: Path, home: Path, *, password: str, user: User | None, log: int, lock: int) -> None:
    before = os.fstat(log).st_size
    making, password_file = home / "cluster.new", home / "initdb.password"
    _drop(making)
    making.mkdir(mode=0o700)
    _give(making, user)
    _write_private(password_file, password, user=user)
    try:
        initdb = spawn(
            [
                str(bindir / "initdb"),
                f"--pgdata={making}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--data-checksums",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
            ],
            death_signal=signal.SIGINT,
            env=_ENV,
            user=user,
            cwd="/",
            stdout=log,
            stderr=log,
            pass_fds=(lock,),
        )
        try:
            code: int | None = initdb.wait(_INITDB_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(initdb)
    finally:
        password_file.unlink()
    if code != 0:
        raise ServerFailed(_failure(f"initdb ended with code {code}", home, before=before))
    making.rename(home / "cluster")
    _sync(home)


def _provision(connection: Connection, *, passwords: dict[str, str]) -> None:
    """Roles and database, once: the database gets its name last, so the name says that all is done."""
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
        if cursor.fetchone() is not None:
            return
        for role in (OWNER, APP):
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
            verb = sql.SQL("CREATE" if cursor.fetchone() is None else "ALTER")
            command = sql.SQL(
                "{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD %s"
            )
            verifier = encrypt_password(passwords[role], role, connection, "scram-sha-256")
            cursor.execute(command.format(verb, sql.Identifier(role)), (verifier,))
        making = f"{DATABASE}_new"
        cursor.execute(f"DROP DATABASE IF EXISTS {making}")
        cursor.execute(f"CREATE DATABASE {making} OWNER {OWNER}")
        cursor.execute(f"REVOKE ALL ON DATABASE {making}, postgres, template1 FROM PUBLIC")
        cursor.execute(f"GRANT CONNECT ON DATABASE {making} TO {APP}")
        dsn = make_dsn(connection.dsn, dbname=making, password=passwords[SUPERUSER])
        with closing(psycopg2.connect(dsn)) as new:
            new.autocommit = True
            with new.cursor() as inside:  # before PostgreSQL 15 everybody may create in public
                inside.execute(f"ALTER SCHEMA public OWNER TO {OWNER}")
                inside.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        cursor.execute(f"ALTER DATABASE {making} RENAME TO {DATABASE}")


# The server's log.


@contextmanager
def _open_log(home: Path) -> Iterator[int]:
    path = home / "postgres.log"
    with suppress(FileNotFoundError):
        if path.stat().st_size > _LOG_BYTES:
            path.rename(home / "postgres.log.1")
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield log
    finally:
        os.close(log)


def _failure(sentence: str, home: Path, *, before: int) -> str:
    """The sentence, the version of the data, and what the server's log says since `before` (an offset)."""
    path = home / "postgres.log"
    with path.open("rb") as log:
        log.seek(before)
        lines = log.read().decode("utf-8", "replace").splitlines()[-_LOG_LINES:]
    version = home / "cluster" / "PG_VERSION"
    of = f" on data of PostgreSQL {version.read_text(encoding='ascii').strip()}" if version.exists() else ""
    return "\n".join((f"{sentence}{of}; its log {path} ends:", *lines))
