"""A small blocking pool of Postgres connections that sends one message an operation.

The law: a message is the tenant's setting and the statements of one operation, sent at once on an autocommit
connection: Postgres makes one transaction of it (PostgreSQL documentation, 55.2.2.1). Nothing of a session
is kept, and nothing is prepared, so a pooler in transaction mode may stand between. What rolled back
(40001, 40P01) is sent again; a message whose connection broke is sent again once on a fresh one, so it must
be one that may be repeated: it carries ids of ours. A warning with a commit is doubt (the wait for the
synchronous standby was cancelled: what is reported as done may be lost) and is never answered as done.

No error of psycopg2 passes. Which statements are sent is left to the stores.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import psycopg2.extras

from gateway.core.errors import Conflict, MisuseError, Overloaded, StoreUnavailable

psycopg2.extras.register_uuid()  # type: ignore[no-untyped-call]

Row = tuple[Any, ...]

_HEAD = (
    "SELECT set_config('gateway.relying_party', %(rp)s, true),"
    " set_config('statement_timeout', %(statement_timeout)s, true);\n"
)
STATEMENT_TIMEOUT = "5s"
"""Of each statement: a row that somebody else holds must not hold every worker."""
ROLLBACKS = 3
"""How often a message that Postgres rolled back is sent again."""
_ROLLED_BACK = frozenset({"40001", "40P01"})  # serialization_failure, deadlock_detected
_READ_ONLY = "25006"  # the server was the primary when we connected
_HARMLESS = ("NOTICE", "INFO", "LOG", "DEBUG")


class _Held:
    """What one process holds; after a fork the child begins anew and leaves its parent's sockets alone."""

    def __init__(self, size: int) -> None:
        self.pid = os.getpid()
        self.slots = threading.BoundedSemaphore(size)
        self.idle: list[tuple[psycopg2.extensions.connection, float]] = []


class Pool:
    def __init__(
        self, dsn: str, *, size: int = 8, wait_seconds: float = 2.0, max_age_seconds: float = 600.0
    ) -> None:
        self._dsn = dsn
        self._size = size
        self._wait_seconds = wait_seconds
        self._max_age_seconds = max_age_seconds
        self._held = _Held(size)

    def run(
        self,
        relying_party: str | None,
        sql: str,
        params: Mapping[str, Any] | None = None,
        *,
        once: bool = False,
    ) -> list[Row]:
        """The rows of the last statement; ``%(rp)s`` stands for the relying party in every statement.

        ``once``: not sent again where the connection broke, because to do it twice would be worse.
        Raises Overloaded, StoreUnavailable, Conflict (a unique key is taken), or MisuseError.
        """
        values = {**(params or {}), "rp": relying_party or "", "statement_timeout": STATEMENT_TIMEOUT}
        held = self._held
        if held.pid != os.getpid():
            held = self._held = _Held(self._size)
        if not held.slots.acquire(timeout=self._wait_seconds):
            raise Overloaded()
        try:
            rolled_back, fresh = 0, False
            while True:
                connection, born = self._take(held, fresh=fresh)
                try:
                    return _send(connection, _HEAD + sql, values)
                except psycopg2.Error as error:
                    if error.pgcode == _READ_ONLY:
                        connection.close()
                    if error.pgcode in _ROLLED_BACK and rolled_back < ROLLBACKS:
                        rolled_back += 1
                    elif connection.closed and not fresh and not once:
                        fresh = True
                    else:
                        raise _typed(error, lost=bool(connection.closed)) from error
                except ValueError as error:  # a value that no SQL literal can hold
                    raise MisuseError("a parameter cannot be sent") from error
                finally:
                    _put_back(held, connection, born)
                time.sleep(secrets.randbelow(10_000) / 1_000_000 * 2**rolled_back)  # those that collided part
        finally:
            held.slots.release()

    def close(self) -> None:
        """Closes what is idle; a pool that is used again connects again."""
        while self._held.idle:
            self._held.idle.pop()[0].close()

    def _take(self, held: _Held, *, fresh: bool) -> tuple[psycopg2.extensions.connection, float]:
        while not fresh:
            try:
                connection, born = held.idle.pop()
            except IndexError:
                break
            if time.monotonic() - born < self._max_age_seconds:
                return connection, born
            connection.close()
        try:
            connection = psycopg2.connect(self._dsn, client_encoding="UTF8", application_name="gateway")
            connection.autocommit = True
        except psycopg2.Error as error:
            raise StoreUnavailable() from error
        return connection, time.monotonic()


def _send(connection: psycopg2.extensions.connection, message: str, values: Mapping[str, Any]) -> list[Row]:
    del connection.notices[:]
    with connection.cursor() as cursor:
        cursor.execute(message, values)
        rows = cursor.fetchall() if cursor.description else []
    if not all(notice.startswith(_HARMLESS) for notice in connection.notices):
        raise StoreUnavailable()
    return [tuple(map(_value, row)) for row in rows]


def _value(value: Any) -> Any:
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return value


def _put_back(held: _Held, connection: psycopg2.extensions.connection, born: float) -> None:
    """Keeps what is whole: whatever was interrupted half-way is closed."""
    if connection.closed:
        return
    if connection.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_IDLE:
        held.idle.append((connection, born))
    else:
        connection.close()


def _typed(error: psycopg2.Error, *, lost: bool) -> Exception:
    if isinstance(error, psycopg2.errors.UniqueViolation):
        return Conflict()
    if lost or isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return StoreUnavailable()
    return MisuseError(f"the database refused a statement: {error.pgcode}")
