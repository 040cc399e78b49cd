"""The pool: what is taken comes back, what is broken goes, what is doubtful is not answered as done."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import psycopg2
import pytest
from psycopg2.extensions import make_dsn
from sim import PROFILE
from storage_fixture import NOW, World, as_superuser, at_once, make_store, until

from gateway.core.errors import Conflict, MisuseError, Overloaded, StoreUnavailable
from gateway.storage import pool as pool_module
from gateway.storage.embedded import Connections
from gateway.storage.pool import Pool

PID = "SELECT pg_backend_pid()"


@pytest.fixture
def pool(database: Connections) -> Iterator[Pool]:
    pool = Pool(database.app_dsn, size=2, wait_seconds=0.05)
    yield pool
    pool.close()


@contextmanager
def advisory_lock(database: Connections, number: int) -> Iterator[Callable[[], bool]]:
    """Held by another session; yields whether somebody waits for it."""
    with closing(psycopg2.connect(database.superuser_dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (number,))
        yield (
            lambda: (
                as_superuser(
                    database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                )
                != [(0,)]
            )
        )


def test_one_message_is_one_transaction_with_its_tenant(pool: Pool) -> None:
    seen = pool.run(
        "bank", "SELECT %(x)s; SELECT current_setting('gateway.relying_party'), %(rp)s, %(x)s", {"x": 1}
    )
    assert seen == [("bank", "bank", 1)]
    assert pool.run(None, "SELECT current_setting('gateway.relying_party')") == [("",)]
    twice = "INSERT INTO lease VALUES ('twice', 'me', now()); "
    with pytest.raises(Conflict):
        pool.run(None, twice * 2)
    assert pool.run(None, "SELECT * FROM lease WHERE name = 'twice'") == [], "all of it, or nothing"


def test_values_come_back_as_ours(pool: Pool) -> None:
    (row,) = pool.run(None, "SELECT %(b)s::bytea, %(t)s", {"b": b"\x00\xff", "t": NOW})
    assert row == (b"\x00\xff", NOW)
    assert type(row[0]) is bytes
    assert row[1].tzinfo is NOW.tzinfo
    assert pool.run(None, "UPDATE lease SET holder = '' WHERE false") == []


def test_connections_are_kept_and_shared(pool: Pool) -> None:
    assert pool.run(None, PID) == pool.run(None, PID)


def test_more_than_it_holds_are_told_to_come_back(pool: Pool, database: Connections) -> None:
    with ThreadPoolExecutor(2) as threads:
        with advisory_lock(database, 1) as awaited:
            held = [threads.submit(pool.run, None, "SELECT pg_advisory_xact_lock(1)") for _ in range(2)]
            until(awaited)
            until(lambda: not pool._held.slots._value)
            with pytest.raises(Overloaded):
                pool.run(None, "SELECT 1")
        for future in held:
            future.result()
    assert pool.run(None, "SELECT 1") == [(1,)]


def test_waiting_in_line_is_enough(database: Connections) -> None:
    pool = Pool(database.app_dsn, size=1, wait_seconds=10)
    assert at_once(*[lambda: pool.run(None, "SELECT pg_sleep(0.01), 1")] * 10) == [[("", 1)]] * 10
    pool.close()


def test_a_statement_ends_in_time(pool: Pool, database: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "STATEMENT_TIMEOUT", "50ms")
    with advisory_lock(database, 2), pytest.raises(StoreUnavailable):
        pool.run(None, "SELECT pg_advisory_xact_lock(2)")
    assert pool.run(None, "SELECT 1") == [(1,)]


def test_a_connection_that_died_is_replaced(pool: Pool, database: Connections) -> None:
    (before,) = pool.run(None, PID)
    as_superuser(database, "SELECT pg_terminate_backend(%s)", before)
    (after,) = pool.run(None, PID)
    assert after != before


def test_when_every_connection_has_died_no_operation_is_lost(database: Connections) -> None:
    """As after a restart: the second attempt is on a fresh connection, not on the next dead one."""
    pool = Pool(database.app_dsn, size=4)
    pids = [row[0] for (row,) in at_once(*[lambda: pool.run(None, f"{PID}, pg_sleep(0.05)")] * 4)]
    assert len(set(pids)) == 4
    as_superuser(database, "SELECT pg_terminate_backend(pid) FROM unnest(%s) pid", (pids,))
    until(lambda: not as_superuser(database, "SELECT 1 FROM pg_stat_activity WHERE pid = ANY(%s)", (pids,)))
    for _ in pids:
        assert pool.run(None, "SELECT 1") == [(1,)]
    pool.close()


def test_a_connection_that_dies_twice_is_a_store_that_is_away(pool: Pool) -> None:
    with pytest.raises(StoreUnavailable) as raised:
        pool.run(None, "SELECT pg_terminate_backend(pg_backend_pid())")
    assert isinstance(raised.value.__cause__, psycopg2.Error)
    assert pool.run(None, "SELECT 1") == [(1,)]


def test_what_must_not_be_repeated_is_not(pool: Pool, database: Connections) -> None:
    (before,) = pool.run(None, PID)
    as_superuser(database, "SELECT pg_terminate_backend(%s)", before)
    with pytest.raises(StoreUnavailable):
        pool.run(None, PID, once=True)
    assert pool.run(None, PID, once=True) != [before]


def test_a_server_that_has_become_read_only_is_left(pool: Pool, database: Connections) -> None:
    (before,) = pool.run(None, PID)
    with pytest.raises(StoreUnavailable):
        pool.run(None, "SET LOCAL transaction_read_only = on; UPDATE lease SET holder = ''")
    (after,) = pool.run(None, PID)
    assert after != before


def test_an_aged_connection_is_replaced(database: Connections) -> None:
    pool = Pool(database.app_dsn, max_age_seconds=0)
    (before,) = pool.run(None, PID)
    assert pool.run(None, PID) != [before]
    until(lambda: not as_superuser(database, "SELECT 1 FROM pg_stat_activity WHERE pid = %s", before))
    pool.close()


def test_no_server(tmp_path: object) -> None:
    pool = Pool(make_dsn(host=str(tmp_path), dbname="gateway", connect_timeout=1))
    for _ in range(20):  # more often than it has places
        with pytest.raises(StoreUnavailable):
            pool.run(None, "SELECT 1")


def test_a_child_leaves_its_parents_connections_alone(pool: Pool) -> None:
    (before,) = pool.run(None, PID)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            (own,) = pool.run(None, PID)
            os.write(writer, str(own[0]).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        of_child = int(pipe.read())
    assert os.waitpid(child, 0)[1] == 0
    assert of_child != before[0]
    assert pool.run(None, PID) == [before], "and it still works"


def test_our_own_faults_are_misuse(pool: Pool) -> None:
    for statement in ("SELEKT 1", "SELECT no_such_column", "SELECT 1/0", "DELETE FROM evidence"):
        with pytest.raises(MisuseError) as raised:
            pool.run(None, statement)
        assert isinstance(raised.value.__cause__, psycopg2.Error)
    with pytest.raises(MisuseError):
        pool.run(None, "SELECT %(x)s", {"x": "\0"})
    with pytest.raises(MisuseError):
        pool.run(None, "SELECT %(x)s", {"x": object()})
    assert pool.run(None, "SELECT 1") == [(1,)]


def test_a_deadlock_is_tried_again(database: Connections) -> None:
    pool = Pool(database.app_dsn)
    both_hold = threading.Barrier(2)

    def lock(first: int, second: int) -> list[tuple[object, ...]]:
        both_hold.wait()
        return pool.run(
            None,
            "SELECT pg_advisory_xact_lock(%(first)s); SELECT pg_sleep(0.2);"
            " SELECT pg_advisory_xact_lock(%(second)s); SELECT 1",
            {"first": first, "second": second},
        )

    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    ((before,),) = as_superuser(database, deadlocks)
    assert at_once(lambda: lock(11, 12), lambda: lock(12, 11)) == [[(1,)], [(1,)]]
    until(lambda: as_superuser(database, deadlocks)[0][0] > before)
    pool.close()


def test_what_always_rolls_back_ends(database: Connections) -> None:
    pool = Pool(database.owner_dsn)  # who may make a sequence: it counts what rolls back too
    counted = "SELECT nextval('tries')"
    pool.run(None, "CREATE TEMP SEQUENCE tries")
    with pytest.raises(StoreUnavailable):
        pool.run(
            None,
            counted + "; DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$",
        )
    assert pool.run(None, counted) == [(1 + pool_module.ROLLBACKS + 1,)]
    pool.close()


def test_a_commit_that_no_standby_confirmed_is_doubt(database: Connections) -> None:
    """Postgres reports it as success, with a warning only."""
    world = World(make_store(database))
    _, subject = world.register()
    transaction = world.request(subject)

    def start() -> object:
        return world.store.start_transaction(
            transaction, profile=PROFILE, request_id="r", request_digest=b"d"
        )

    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND usename = 'gateway_app'"
    as_superuser(database, "ALTER SYSTEM SET synchronous_standby_names = 'absent'")
    as_superuser(database, "SELECT pg_reload_conf()")
    try:
        until(lambda: as_superuser(database, "SHOW synchronous_standby_names") == [("absent",)])
        with ThreadPoolExecutor(1) as threads:
            future = threads.submit(start)
            until(lambda: bool(as_superuser(database, waiting)))
            as_superuser(database, f"SELECT pg_cancel_backend(pid) FROM ({waiting}) w")
            with pytest.raises(StoreUnavailable):
                future.result()
    finally:
        as_superuser(database, "SET synchronous_commit = local; SELECT 1")
        as_superuser(database, "ALTER SYSTEM RESET synchronous_standby_names")
        as_superuser(database, "SELECT pg_reload_conf()")
    until(lambda: as_superuser(database, "SHOW synchronous_standby_names") == [("",)])
    assert start() == (transaction, b"d"), "repeated with the same id it finds itself"
