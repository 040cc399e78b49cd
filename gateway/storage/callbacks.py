"""The queries of the outbox of callbacks: what is due, who has it, what became of it.

The law: each method is one message. An entry is given to one holder until a time, and only where no earlier
one of its entity still waits. What was accepted is gone; what was given up stays, and holds nobody up. That
an event leaves its entry is the schema's (migration of the table ``callback``).
"""

# ruff: noqa: S608 - statements are put together of our own constants; every value is a parameter

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from gateway.core.callback import Callback
from gateway.ports import CallbackBacklog
from gateway.storage.queries import Queries

_THIS = " WHERE relying_party = %(rp)s AND event_id = %(event)s"


class CallbackQueries(Queries):
    """The part of WorkStore that is about callbacks."""

    def take_callbacks(
        self, relying_party: str, *, wanted: Sequence[str], at: datetime, lease_seconds: int, limit: int
    ) -> tuple[Sequence[Callback], int]:
        found = self._pool.run(
            relying_party,
            """WITH due AS (
                SELECT c.relying_party, c.event_id, e.entity || '.' || e.state = ANY(%(wanted)s) AS wanted
                FROM callback c JOIN event e ON e.relying_party = c.relying_party AND e.id = c.event_id
                WHERE c.relying_party = %(rp)s AND c.due_at <= %(at)s AND c.died_at IS NULL
                    AND c.sequence = (  -- not NOT EXISTS: that reads the whole of a long backlog
                        SELECT min(b.sequence) FROM callback b WHERE b.relying_party = c.relying_party
                            AND b.entity_id = c.entity_id AND b.died_at IS NULL)
                ORDER BY c.due_at LIMIT %(limit)s FOR UPDATE OF c SKIP LOCKED
            ), gone AS (
                DELETE FROM callback c USING due d
                WHERE c.relying_party = d.relying_party AND c.event_id = d.event_id AND NOT d.wanted
                RETURNING c.event_id
            ), taken AS (
                UPDATE callback c SET attempts = c.attempts + 1, due_at = %(again)s FROM due d
                WHERE c.relying_party = d.relying_party AND c.event_id = d.event_id
                    AND d.event_id NOT IN (SELECT g.event_id FROM gone g)
                RETURNING c.relying_party, c.event_id, c.sequence, c.attempts
            )
            SELECT t.event_id, e.entity, e.entity_id, e.name, e.state, e.at, t.sequence, t.attempts
            FROM due d JOIN event e ON e.relying_party = d.relying_party AND e.id = d.event_id
            LEFT JOIN taken t ON t.relying_party = d.relying_party AND t.event_id = d.event_id
            ORDER BY d.event_id""",
            {
                "wanted": list(wanted),
                "at": at,
                "again": at + timedelta(seconds=lease_seconds),
                "limit": limit,
            },
        )
        taken = [Callback(relying_party, *row) for row in found if row[0] is not None]
        return taken, len(found) - len(taken)

    def drop_callbacks(self, relying_party: str, *, limit: int) -> int:
        gone = self._pool.run(
            relying_party,
            """DELETE FROM callback WHERE relying_party = %(rp)s AND event_id IN (
                SELECT c.event_id FROM callback c WHERE c.relying_party = %(rp)s LIMIT %(limit)s)
            RETURNING 1""",
            {"limit": limit},
        )
        return len(gone)

    def callback_accepted(self, callback: Callback) -> None:
        self._pool.run(callback.relying_party, "DELETE FROM callback" + _THIS, {"event": callback.event_id})

    def callback_failed(self, callback: Callback, *, retry_at: datetime) -> None:
        self._pool.run(
            callback.relying_party,
            "UPDATE callback SET due_at = %(retry_at)s" + _THIS + " AND attempts = %(attempts)s",
            {"event": callback.event_id, "attempts": callback.attempts, "retry_at": retry_at},
        )

    def callback_died(self, callback: Callback, *, at: datetime) -> None:
        self._pool.run(
            callback.relying_party,
            "UPDATE callback SET died_at = %(at)s" + _THIS + " AND attempts = %(attempts)s",
            {"event": callback.event_id, "attempts": callback.attempts, "at": at},
        )

    def callback_backlog(self, relying_party: str) -> CallbackBacklog:
        counted = self._pool.run(
            relying_party,
            """SELECT count(*) - count(b.died_at), count(b.died_at), (
                SELECT e.at FROM callback c
                JOIN event e ON e.relying_party = c.relying_party AND e.id = c.event_id
                WHERE c.relying_party = %(rp)s AND c.died_at IS NULL ORDER BY c.event_id LIMIT 1)
            FROM callback b WHERE b.relying_party = %(rp)s""",
        )
        return CallbackBacklog(*counted[0])
