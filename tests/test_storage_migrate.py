"""Migrations: once, whole, in order, and never onto something else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from storage_fixture import World, as_superuser, at_once, empty_database, make_store, sql

from gateway.core.errors import MisuseError, StoreUnavailable
from gateway.storage import migrate as migrate_module
from gateway.storage.embedded import Connections
from gateway.storage.migrate import check, migrate

FIRST = "0001_identity_store.sql"
NAMES = sorted(path.name for path in migrate_module.FOLDER.glob("*.sql"))


@pytest.fixture
def empty(database: Connections) -> Iterator[Connections]:
    with empty_database(database) as connections:
        yield connections


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(migrate_module.FOLDER, tmp_path / "migrations"))


def next_file(folder: Path, text: str) -> str:
    name = f"{len(NAMES) + 1:04}_next.sql"
    (folder / name).write_text(text)
    return name


def test_applied_once_and_then_checked(empty: Connections) -> None:
    with pytest.raises(MisuseError, match="run migrate"):
        check(empty.app_dsn)
    assert migrate(empty.owner_dsn) == NAMES
    assert migrate(empty.owner_dsn) == []
    check(empty.app_dsn)
    _, subject = World(make_store(empty)).register()
    assert subject


def test_several_at_once_apply_it_once(empty: Connections) -> None:
    done = at_once(*[lambda: migrate(empty.owner_dsn)] * 4)
    assert sorted(name for names in done for name in names) == NAMES


def test_a_changed_file_is_refused(empty: Connections, folder: Path) -> None:
    migrate(empty.owner_dsn, folder=folder)
    with (folder / FIRST).open("a") as file:
        file.write("-- a harmless comment\n")
    for act in (migrate, check):
        with pytest.raises(MisuseError, match="not what was applied"):
            act(empty.owner_dsn, folder=folder)


def test_a_newer_database_is_refused(empty: Connections, folder: Path) -> None:
    next_file(folder, "CREATE TABLE later (n int)")
    migrate(empty.owner_dsn, folder=folder)
    for act in (migrate, check):
        with pytest.raises(MisuseError, match="newer"):
            act(empty.owner_dsn)


def test_an_older_database_is_brought_forward(empty: Connections, folder: Path) -> None:
    migrate(empty.owner_dsn)
    name = next_file(folder, 'CREATE TABLE later (n int); GRANT SELECT ON later TO :"app_role"')
    with pytest.raises(MisuseError, match="run migrate"):
        check(empty.app_dsn, folder=folder)
    assert migrate(empty.owner_dsn, folder=folder) == [name]
    check(empty.app_dsn, folder=folder)
    assert sql(empty.app_dsn, "SELECT count(*) FROM later") == [(0,)]


def test_a_file_that_fails_leaves_nothing(empty: Connections, folder: Path) -> None:
    name = next_file(folder, "CREATE TABLE later (n int); SELECT 1/0")
    with pytest.raises(MisuseError):
        migrate(empty.owner_dsn, folder=folder)
    check(empty.app_dsn)  # the files before it stand
    assert sql(empty.owner_dsn, "SELECT to_regclass('later')") == [(None,)]
    (folder / name).write_text("CREATE TABLE later (n int)")
    assert migrate(empty.owner_dsn, folder=folder) == [name]


@pytest.mark.parametrize("name", ["9999_gap.sql", "2_short.sql", "0002-dash.sql", "0001_twice.sql"])
def test_files_out_of_order_are_refused(empty: Connections, folder: Path, name: str) -> None:
    (folder / name).write_text("SELECT 1")
    with pytest.raises(MisuseError, match="numbered"):
        migrate(empty.owner_dsn, folder=folder)


def test_no_files_is_no_schema(empty: Connections, tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="no migrations"):
        migrate(empty.owner_dsn, folder=tmp_path)


def test_a_role_that_could_pass_row_level_security_is_refused(
    database: Connections, empty: Connections
) -> None:
    migrate(empty.owner_dsn)
    for dsn in (empty.owner_dsn, empty.superuser_dsn):
        with pytest.raises(MisuseError, match="row-level security"):
            check(dsn)
    as_superuser(database, "ALTER ROLE gateway_app BYPASSRLS")
    try:
        with pytest.raises(MisuseError, match="row-level security"):
            check(empty.app_dsn)
    finally:
        as_superuser(database, "ALTER ROLE gateway_app NOBYPASSRLS")
    as_superuser(database, "GRANT gateway_owner TO gateway_app")
    try:
        with pytest.raises(MisuseError, match="row-level security"):
            check(empty.app_dsn)
    finally:
        as_superuser(database, "REVOKE gateway_owner FROM gateway_app")
    check(empty.app_dsn)


def test_another_name_of_the_role(database: Connections, empty: Connections) -> None:
    role = 'odd "role'
    as_superuser(database, 'CREATE ROLE "odd ""role"')
    try:
        migrate(empty.owner_dsn, app_role=role)
        granted = sql(empty.owner_dsn, "SELECT has_table_privilege(%s, 'evidence', 'INSERT')", (role,))
        assert granted == [(True,)]
        with pytest.raises(MisuseError):
            check(empty.app_dsn)
    finally:
        as_superuser(empty, 'DROP OWNED BY "odd ""role"')
        as_superuser(database, 'DROP ROLE "odd ""role"')


def test_no_server(tmp_path: Path) -> None:
    for act in (migrate, check):
        with pytest.raises(StoreUnavailable):
            act(f"host={tmp_path} dbname=gateway connect_timeout=1")


def test_the_schema_needs_no_extension(empty: Connections) -> None:
    migrate(empty.owner_dsn)
    assert as_superuser(empty, "SELECT extname FROM pg_extension") == [("plpgsql",)]
    assert as_superuser(empty, "SELECT count(*) FROM pg_class WHERE relkind = 'S'") == [(0,)]
