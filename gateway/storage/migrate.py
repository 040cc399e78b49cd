"""Bringing the schema to this version, and checking that it is there.

The law: files are numbered without a gap, each is applied once, whole, in a transaction of its own, under
one lock; the SHA-256 of what was applied is kept. An applied file that has changed since, and a database that
knows more files than we do, are refused. The application's role can pass no row-level security: it is no
superuser, does not bypass, owns nothing. What the schema says is left to the files.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import psycopg2.extensions
from psycopg2.sql import SQL, Identifier

from gateway.core.errors import MisuseError, StoreUnavailable

FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x6D6F62696C656964
"""The advisory lock's number: ``mobileid``."""
_NAME = re.compile(r"([0-9]{4})_[a-z0-9_]+\.sql\Z")
_APP_ROLE = ':"app_role"'


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    text: str
    sha256: str


def migrate(owner_dsn: str, *, app_role: str = "gateway_app", folder: Path = FOLDER) -> list[str]:
    """Applies what is missing; answers the names of the files that it applied."""
    files = _files(folder)
    applied: list[str] = []
    try:
        with closing(psycopg2.connect(owner_dsn)) as connection:
            role = Identifier(app_role).as_string(connection)
            while True:
                with connection, connection.cursor() as cursor:  # one transaction
                    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                    cursor.execute(
                        "CREATE TABLE IF NOT EXISTS schema_migration (name text PRIMARY KEY,"
                        " sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
                    )
                    cursor.execute(SQL("GRANT SELECT ON schema_migration TO {}").format(Identifier(app_role)))
                    missing = _missing(cursor, files)
                    if not missing:
                        return applied
                    cursor.execute(missing[0].text.replace(_APP_ROLE, role))
                    cursor.execute(
                        "INSERT INTO schema_migration (name, sha256) VALUES (%s, %s)",
                        (missing[0].name, missing[0].sha256),
                    )
                applied.append(missing[0].name)
    except psycopg2.OperationalError as error:
        raise StoreUnavailable() from error
    except psycopg2.Error as error:
        raise MisuseError("the schema could not be brought to this version") from error


def check(app_dsn: str, *, folder: Path = FOLDER) -> None:
    """Raises MisuseError unless the schema is this version's and the role is a safe one."""
    files = _files(folder)
    try:
        with closing(psycopg2.connect(app_dsn)) as connection, connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('schema_migration') IS NULL")
            if cursor.fetchall() == [(True,)] or _missing(cursor, files):
                raise MisuseError("the database is older than this version: run migrate")
            cursor.execute(
                "SELECT 1 FROM pg_roles WHERE pg_has_role(current_user, oid, 'MEMBER') AND (rolsuper"
                " OR rolbypassrls OR oid IN (SELECT relowner FROM pg_class WHERE oid = 'evidence'::regclass))"
            )
            if cursor.fetchall():
                raise MisuseError("the application's role could pass row-level security: use one that cannot")
    except psycopg2.OperationalError as error:
        raise StoreUnavailable() from error
    except psycopg2.Error as error:
        raise MisuseError("the schema could not be checked with this role") from error


def _files(folder: Path) -> list[_File]:
    files = []
    for number, path in enumerate(sorted(folder.glob("*.sql")), start=1):
        match = _NAME.match(path.name)
        if not match or int(match[1]) != number:
            raise MisuseError("migrations are numbered from 0001 without a gap")
        data = path.read_bytes()
        files.append(_File(path.name, data.decode(), hashlib.sha256(data).hexdigest()))
    if not files:
        raise MisuseError("there are no migrations")
    return files


def _missing(cursor: psycopg2.extensions.cursor, files: list[_File]) -> list[_File]:
    cursor.execute("SELECT name, sha256 FROM schema_migration ORDER BY name")
    rows = cursor.fetchall()
    if len(rows) > len(files):
        raise MisuseError("the database is newer than this version")
    for file, (name, sha256) in zip(files, rows, strict=False):
        if (file.name, file.sha256) != (name, sha256):
            raise MisuseError(f"{file.name} is not what was applied as {name}")
    return files[len(rows) :]
