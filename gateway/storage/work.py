"""The queries of the worker and of the device CA: leases, what is due, the outbox, the revocation list.

The law: each method is one message. A lease, and an entry of the outbox, is given to one holder until a time;
times are the caller's. What another has locked is skipped, never waited for. When to ask is left to the
worker.
"""

# ruff: noqa: S608 - statements are put together of our own constants; every value is a parameter

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from gateway.core.model import uuid7
from gateway.core.transaction import Event, State, next_state
from gateway.ports import Crl, Wake
from gateway.storage import rows
from gateway.storage.queries import Queries

_HAS_KEY = (
    "EXISTS (SELECT 1 FROM subject_key k"
    " WHERE k.relying_party = transaction.relying_party AND k.subject_id = transaction.subject_id)"
)
"""What an erased subject left is nobody's work."""
_NOTICE_WAKES = timedelta(days=1)
"""How long a device is woken for a notice that it has not seen."""


class WorkQueries(Queries):
    """WorkStore and CrlStore."""

    # leases

    def lease(self, name: str, *, holder: str, at: datetime, seconds: int) -> bool:
        taken = self._pool.run(
            None,
            "INSERT INTO lease (name, holder, expires_at) VALUES (%(name)s, %(holder)s, %(end)s)"
            " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at"
            " WHERE lease.holder = excluded.holder OR lease.expires_at <= %(at)s RETURNING 1",
            {"name": name, "holder": holder, "at": at, "end": at + timedelta(seconds=seconds)},
        )
        return bool(taken)

    # what is due

    def overdue(self, relying_party: str, *, at: datetime, limit: int) -> Sequence[UUID]:
        found = self._pool.run(
            relying_party,
            "SELECT id FROM transaction WHERE relying_party = %(rp)s"
            " AND state IN ('REQUESTED', 'PENDING') AND expires_at <= %(at)s"
            f" AND {_HAS_KEY}"
            " ORDER BY expires_at LIMIT %(limit)s",
            {"at": at, "limit": limit},
        )
        return [id_ for (id_,) in found]

    def unsealed(self, relying_party: str, *, before: datetime, limit: int) -> Sequence[UUID]:
        found = self._pool.run(
            relying_party,
            "SELECT id FROM transaction WHERE relying_party = %(rp)s"
            " AND (state = 'APPROVED' OR state = 'REJECTED' AND leaves_evidence) AND evidence_id IS NULL"
            " AND decided_at < %(before)s"
            f" AND {_HAS_KEY} ORDER BY decided_at LIMIT %(limit)s",
            {"before": before, "limit": limit},
        )
        return [id_ for (id_,) in found]

    def backlog(self, relying_party: str) -> Mapping[str, int]:
        counted = self._pool.run(
            relying_party,
            "SELECT state, count(*) FROM transaction WHERE relying_party = %(rp)s"
            " AND state IN ('REQUESTED', 'PENDING', 'APPROVED') GROUP BY state"
            " UNION ALL SELECT 'WAKES', count(*) FROM wake WHERE relying_party = %(rp)s",
        )
        return {"REQUESTED": 0, "PENDING": 0, "APPROVED": 0} | {
            str(name): int(number) for name, number in counted
        }

    def knows_message(self, relying_party: str, caller: str, key: bytes) -> bool:
        found = self._pool.run(
            relying_party,
            "SELECT 1 FROM message WHERE relying_party = %(rp)s AND caller = %(caller)s AND sha256 = %(key)s",
            {"caller": caller, "key": key},
        )
        return bool(found)

    def remember_message(self, relying_party: str, caller: str, key: bytes, *, expires_at: datetime) -> bool:
        first = self._pool.run(
            relying_party,
            """INSERT INTO message (relying_party, caller, sha256, seen_by, expires_at)
            VALUES (%(rp)s, %(caller)s, %(key)s, %(call)s, %(expires_at)s) ON CONFLICT DO NOTHING;
            SELECT 1 FROM message WHERE relying_party = %(rp)s AND caller = %(caller)s
                AND sha256 = %(key)s AND seen_by = %(call)s""",
            {"caller": caller, "key": key, "call": uuid7(expires_at), "expires_at": expires_at},
        )
        return bool(first)

    def forget_nonces(self, relying_party: str, *, at: datetime) -> int:
        counted = self._pool.run(
            relying_party,
            "WITH gone AS (DELETE FROM nonce WHERE relying_party = %(rp)s AND expires_at <= %(at)s"
            " RETURNING 1), old AS (DELETE FROM message WHERE relying_party = %(rp)s AND expires_at <= %(at)s"
            " RETURNING 1) SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM old)",
            {"at": at},
        )
        return int(counted[0][0])

    # the outbox

    def take_wakes(
        self, relying_party: str, *, at: datetime, lease_seconds: int, limit: int
    ) -> Sequence[Wake]:
        """``attempts`` counts this one. An entry goes where its transaction no longer waits to be notified,
        or its device has seen its notices."""
        found = self._pool.run(
            relying_party,
            """WITH due AS (
                SELECT w.relying_party, w.id, COALESCE(t.subject_id, a.subject_id) AS subject_id,
                    CASE WHEN w.binding_id IS NULL THEN t.state = 'REQUESTED' AND t.expires_at > %(at)s
                    ELSE EXISTS (SELECT 1 FROM notice n
                        WHERE n.relying_party = w.relying_party AND n.binding_id = w.binding_id
                            AND n.seen_at IS NULL AND n.at > %(notices_since)s) END AS alive
                FROM wake w LEFT JOIN transaction t
                    ON t.relying_party = w.relying_party AND t.id = w.transaction_id
                LEFT JOIN binding a ON a.relying_party = w.relying_party AND a.id = w.binding_id
                WHERE w.relying_party = %(rp)s AND w.due_at <= %(at)s
                ORDER BY w.due_at LIMIT %(limit)s FOR UPDATE OF w SKIP LOCKED
            ), gone AS (
                DELETE FROM wake w USING due d
                WHERE w.relying_party = d.relying_party AND w.id = d.id AND NOT d.alive
            ), taken AS (
                UPDATE wake w SET attempts = w.attempts + 1, due_at = %(again)s FROM due d
                WHERE w.relying_party = d.relying_party AND w.id = d.id AND d.alive
                RETURNING w.relying_party, w.id, w.transaction_id, w.binding_id, w.attempts, d.subject_id
            )
            SELECT n.id, n.transaction_id, n.attempts, k.subject_id, k.wrapped, b.id, b.push_target
            FROM taken n JOIN subject_key k USING (relying_party, subject_id)
            LEFT JOIN binding b ON b.relying_party = n.relying_party AND b.subject_id = n.subject_id
                AND b.state = 'ACTIVE' AND b.push_target IS NOT NULL
                AND (n.binding_id IS NULL OR b.id = n.binding_id)
            ORDER BY n.id, b.id""",
            {
                "at": at,
                "again": at + timedelta(seconds=lease_seconds),
                "limit": limit,
                "notices_since": at - _NOTICE_WAKES,
            },
        )
        entries: dict[UUID, tuple[UUID | None, int, list[str]]] = {}
        for id_, transaction_id, attempts, subject_id, wrapped, binding_id, sealed in found:
            _, _, targets = entries.setdefault(id_, (transaction_id, attempts, []))
            if sealed is not None:
                key = self._vault.reading(relying_party, subject_id=subject_id, wrapped=wrapped)
                targets.append(rows.read_push_target(key, binding_id=binding_id, sealed=sealed))
        return [
            Wake(relying_party, id_, transaction_id, attempts, tuple(targets))
            for id_, (transaction_id, attempts, targets) in entries.items()
        ]

    def wake_sent(self, wake: Wake, *, at: datetime) -> None:
        self._moved(
            wake.relying_party,
            """DELETE FROM wake WHERE relying_party = %(rp)s AND id = %(wake)s;
            WITH moved AS (
                UPDATE transaction SET state = %(to)s
                WHERE relying_party = %(rp)s AND id = %(id)s AND state = %(from)s
                RETURNING relying_party, id, state
            )""",
            {
                "wake": wake.id,
                "id": wake.transaction_id,
                "from": str(State.REQUESTED),
                "to": str(next_state(State.REQUESTED, Event.NOTIFY)),
            },
            entity="transaction",
            event=Event.NOTIFY,
            at=at,
        )

    def wake_failed(self, wake: Wake, *, retry_at: datetime) -> None:
        self._pool.run(
            wake.relying_party,
            "UPDATE wake SET due_at = %(retry_at)s WHERE relying_party = %(rp)s AND id = %(id)s",
            {"id": wake.id, "retry_at": retry_at},
        )

    # the revocation list

    def latest_crl(self, issuer: bytes) -> Crl | None:
        found = self._pool.run(
            None,
            "SELECT number, der, this_update, next_update FROM crl WHERE issuer = %(issuer)s"
            " ORDER BY number DESC LIMIT 1",
            {"issuer": issuer},
        )
        return Crl(issuer, int(found[0][0]), *found[0][1:]) if found else None

    def add_crl(self, crl: Crl) -> bool:
        """True too where this very CRL is there already."""
        standing = self._pool.run(
            None,
            "INSERT INTO crl (issuer, number, der, this_update, next_update)"
            " VALUES (%(issuer)s, %(number)s, %(der)s, %(this_update)s, %(next_update)s)"
            " ON CONFLICT DO NOTHING;\n"
            "SELECT 1 FROM crl WHERE issuer = %(issuer)s AND number = %(number)s AND der = %(der)s",
            {
                "issuer": crl.issuer,
                "number": crl.number,
                "der": crl.der,
                "this_update": crl.this_update,
                "next_update": crl.next_update,
            },
        )
        return bool(standing)

    def revoked(self, issuer: bytes) -> Sequence[tuple[int, datetime]]:
        found = self._pool.run(
            None,
            "SELECT serial, revoked_at FROM revoked_certificate WHERE issuer = %(issuer)s"
            " ORDER BY revoked_at, serial",
            {"issuer": issuer},
        )
        return [(int(serial), revoked_at) for serial, revoked_at in found]
