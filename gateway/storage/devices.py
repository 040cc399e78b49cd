"""The queries of managed devices: rename, lock, unlock, revoke, history; the PIN's change and reset.

The law (RTS (EU) 2018/389 articles 4(4), 24 and 27): whatever changes a binding takes its subject's row lock
first, in a statement of its own: it is ordered with every try and every decision. A lock, and a revocation,
ends what would lift it: the PIN resets that were begun before. A revocation puts the certificate on the
revocation list and ends what only this device could still have decided, in the same database transaction.
The PIN's old key is overwritten by the statement that takes the new one. Who may do what is left to the
services.
"""

# ruff: noqa: S608 - statements are put together of our own constants; every value is a parameter

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from gateway.core.model import DeviceBinding, DeviceEvent, HistoryEntry, LockReason, PinReset, uuid7
from gateway.core.transaction import Event, State
from gateway.storage import rows
from gateway.storage.queries import EVENT, LOCK_SUBJECT_OF_BINDING, NOT_ERASED, RECORDED, Queries

_END_PIN_RESETS = """UPDATE pin_reset SET state = 'CANCELLED'
    WHERE relying_party = %(rp)s AND binding_id = %(binding)s AND state = 'PENDING';
"""
_FAILED = "b.state = 'LOCKED' AND b.lock_reason = 'failures'"
"""Locked by its tries alone: a PIN reset is the way back, and a lock with another reason shuts that."""
_REVOKE = f"""WITH moved AS (
    UPDATE binding SET state = 'REVOKED', lock_reason = NULL
    WHERE relying_party = %(rp)s AND id = %(binding)s AND state IN ('ACTIVE', 'LOCKED')
    RETURNING relying_party, id, subject_id, state, certificate_sha256
), listed AS (
    INSERT INTO revoked_certificate (issuer, serial, revoked_at)
    SELECT c.issuer, c.serial, %(at)s FROM moved m JOIN certificate c
        ON c.relying_party = m.relying_party AND c.sha256 = m.certificate_sha256
    ON CONFLICT DO NOTHING
), ended AS (
    UPDATE transaction t SET state = %(ended)s FROM moved m
    WHERE t.relying_party = m.relying_party AND t.subject_id = m.subject_id
        AND t.state IN ('REQUESTED', 'PENDING') AND t.expires_at > %(at)s
        AND (t.binding_id = m.id OR t.binding_id IS NULL AND NOT EXISTS (
            SELECT 1 FROM binding o WHERE o.relying_party = m.relying_party AND o.subject_id = m.subject_id
                AND o.id <> m.id AND o.state <> 'REVOKED'))
    RETURNING t.relying_party, t.id, t.state
), told AS (
    {EVENT} SELECT relying_party,   -- an id for each: this call's millisecond, and random bits
        overlay(gen_random_uuid()::text PLACING left(%(event)s::text, 15) FROM 1)::uuid,
        'transaction', id, %(end)s, state, 'device-revoked', %(at)s FROM ended
)"""
_START_PIN_RESET = f"""WITH r AS (
    INSERT INTO pin_reset (relying_party, id, binding_id, subject_id, state, created_at, expires_at,
        request_index, request_digest)
    SELECT b.relying_party, %(id)s, b.id, b.subject_id, %(state)s, %(created_at)s, %(expires_at)s,
        %(request_index)s, %(request_digest)s
    FROM binding b WHERE b.relying_party = %(rp)s AND b.id = %(binding)s AND b.subject_id = %(subject)s
        AND (b.state = 'ACTIVE' OR {_FAILED}) AND {NOT_ERASED}
    ON CONFLICT DO NOTHING RETURNING relying_party, id, binding_id
), ended AS (
    UPDATE pin_reset p SET state = 'CANCELLED' FROM r
    WHERE p.relying_party = r.relying_party AND p.binding_id = r.binding_id AND p.state = 'PENDING'
)
{EVENT} SELECT b.relying_party, %(event)s, 'binding', b.id, %(event_name)s, b.state, %(reason)s, %(at)s
    FROM r JOIN binding b ON b.relying_party = r.relying_party AND b.id = r.binding_id;
SELECT k.wrapped, p.request_digest, {rows.PIN_RESET}
FROM pin_reset p JOIN subject_key k USING (relying_party, subject_id)
WHERE p.relying_party = %(rp)s AND p.request_index = %(request_index)s"""
_RESET_PIN = f"""WITH moved AS (
    UPDATE binding b SET pin_key = %(pin_key)s, pin_version = b.pin_version + 1, failures = 0,
        locked_methods = array_remove(b.locked_methods, 'pin'), state = 'ACTIVE', lock_reason = NULL
    FROM pin_reset p
    WHERE p.relying_party = %(rp)s AND p.id = %(id)s AND p.state = 'PENDING' AND p.expires_at > %(at)s
        AND b.relying_party = p.relying_party AND b.id = p.binding_id AND b.id = %(binding)s
        AND (b.state = 'ACTIVE' OR {_FAILED}) AND {NOT_ERASED}
    RETURNING b.relying_party, b.id, b.subject_id, b.state
), done AS (
    UPDATE pin_reset p SET state = 'COMPLETED' FROM moved m
    WHERE p.relying_party = m.relying_party AND p.id = %(id)s
), s AS (
    UPDATE subject SET failures = 0 FROM moved m
    WHERE subject.relying_party = m.relying_party AND subject.id = m.subject_id
)"""


class DeviceQueries(Queries):
    """What Store has of managed devices."""

    def last_used(self, relying_party: str, binding_ids: Sequence[UUID]) -> Mapping[UUID, datetime]:
        found = self._pool.run(
            relying_party,
            """SELECT u.id, max(t.decided_at) FROM unnest(%(ids)s::uuid[]) AS u (id)
            JOIN transaction t ON t.relying_party = %(rp)s AND t.binding_id = u.id
            WHERE t.decided_at IS NOT NULL GROUP BY u.id""",
            {"ids": list(binding_ids)},
        )
        return dict(found)

    def rename(self, binding: DeviceBinding, *, name: str, reason: LockReason, at: datetime) -> bool:
        relying_party, subject_id = binding.relying_party, binding.subject_id
        key = self._vault.writing(relying_party, subject_id=subject_id)
        if key is None:
            return False
        return self._moved(
            relying_party,
            f"""WITH moved AS (
                UPDATE binding SET name = %(name)s
                WHERE relying_party = %(rp)s AND id = %(binding)s AND state <> 'REVOKED' AND {NOT_ERASED}
                    AND NOT EXISTS ({RECORDED})
                RETURNING relying_party, id, state
            )""",
            {
                "binding": binding.id,
                "subject": subject_id,
                "name": rows.seal_name(key, binding_id=binding.id, name=name),
            },
            entity="binding",
            event=DeviceEvent.RENAME,
            at=at,
            reason=reason,
        )

    def lock(self, relying_party: str, binding_id: UUID, *, reason: LockReason, at: datetime) -> bool:
        return self._moved(
            relying_party,
            LOCK_SUBJECT_OF_BINDING
            + _END_PIN_RESETS
            + f"""WITH moved AS (
                UPDATE binding b SET state = 'LOCKED', lock_reason = %(reason)s
                WHERE b.relying_party = %(rp)s AND b.id = %(binding)s AND (b.state = 'ACTIVE' OR {_FAILED})
                RETURNING b.relying_party, b.id, b.state
            )""",
            {"binding": binding_id},
            entity="binding",
            event=DeviceEvent.LOCK,
            at=at,
            reason=reason,
        )

    def unlock(self, relying_party: str, binding_id: UUID, *, reason: LockReason, at: datetime) -> bool:
        return self._unlocked(
            relying_party,
            binding_id,
            change="state = 'ACTIVE', lock_reason = NULL",
            guard="state = 'LOCKED'",
            event=DeviceEvent.UNLOCK,
            reason=reason,
            at=at,
        )

    def lock_pin(self, relying_party: str, binding_id: UUID, *, reason: LockReason, at: datetime) -> bool:
        return self._moved(
            relying_party,
            LOCK_SUBJECT_OF_BINDING
            + _END_PIN_RESETS
            + """WITH moved AS (
                UPDATE binding SET locked_methods = array_append(locked_methods, 'pin')
                WHERE relying_party = %(rp)s AND id = %(binding)s AND state <> 'REVOKED'
                    AND NOT 'pin' = ANY(locked_methods)
                RETURNING relying_party, id, state
            )""",
            {"binding": binding_id},
            entity="binding",
            event=DeviceEvent.LOCK_PIN,
            at=at,
            reason=reason,
        )

    def unlock_pin(self, relying_party: str, binding_id: UUID, *, reason: LockReason, at: datetime) -> bool:
        return self._unlocked(
            relying_party,
            binding_id,
            change="locked_methods = array_remove(locked_methods, 'pin')",
            guard="state <> 'REVOKED' AND 'pin' = ANY(locked_methods)",
            event=DeviceEvent.UNLOCK_PIN,
            reason=reason,
            at=at,
        )

    def _unlocked(
        self,
        relying_party: str,
        binding_id: UUID,
        *,
        change: str,
        guard: str,
        event: DeviceEvent,
        reason: LockReason,
        at: datetime,
    ) -> bool:
        return self._moved(
            relying_party,
            LOCK_SUBJECT_OF_BINDING
            + f"""WITH moved AS (
                UPDATE binding SET {change}, failures = 0
                WHERE relying_party = %(rp)s AND id = %(binding)s AND {guard}
                RETURNING relying_party, id, subject_id, state
            ), s AS (
                UPDATE subject SET failures = 0 FROM moved m
                WHERE subject.relying_party = m.relying_party AND subject.id = m.subject_id
            )""",
            {"binding": binding_id},
            entity="binding",
            event=event,
            at=at,
            reason=reason,
        )

    def revoke(
        self,
        relying_party: str,
        binding_id: UUID,
        *,
        at: datetime,
        reason: LockReason = LockReason.CALLER,
    ) -> bool:
        return self._moved(
            relying_party,
            LOCK_SUBJECT_OF_BINDING + _END_PIN_RESETS + _REVOKE,
            {"binding": binding_id, "ended": str(State.BLOCKED), "end": str(Event.BLOCK)},
            entity="binding",
            event=DeviceEvent.REVOKE,
            at=at,
            reason=reason,
        )

    def history(
        self, relying_party: str, binding_id: UUID, *, after: UUID | None, limit: int
    ) -> Sequence[HistoryEntry]:
        found = self._pool.run(
            relying_party,
            """SELECT id, name, state, reason, at FROM event
            WHERE relying_party = %(rp)s AND entity_id = %(binding)s AND entity = 'binding'
                AND id > %(after)s ORDER BY id LIMIT %(limit)s""",
            {"binding": binding_id, "after": after or UUID(int=0), "limit": limit},
        )
        return [HistoryEntry(*row) for row in found]

    # the PIN

    def change_pin(self, binding: DeviceBinding, *, pin_key: bytes, at: datetime) -> bool:
        relying_party, subject_id = binding.relying_party, binding.subject_id
        key = self._vault.writing(relying_party, subject_id=subject_id)
        if key is None:
            return False
        return self._moved(
            relying_party,
            LOCK_SUBJECT_OF_BINDING
            + f"""WITH moved AS (
                UPDATE binding SET pin_key = %(pin_key)s, pin_version = pin_version + 1, failures = 0
                WHERE relying_party = %(rp)s AND id = %(binding)s AND state = 'ACTIVE'
                    AND pin_version = %(version)s AND NOT 'pin' = ANY(locked_methods) AND {NOT_ERASED}
                RETURNING relying_party, id, subject_id, state
            ), s AS (
                UPDATE subject SET failures = 0 FROM moved m
                WHERE subject.relying_party = m.relying_party AND subject.id = m.subject_id
            )""",
            {
                "binding": binding.id,
                "subject": subject_id,
                "version": binding.pin_version,
                "pin_key": rows.seal_pin_key(key, binding_id=binding.id, pin_key=pin_key),
            },
            entity="binding",
            event=DeviceEvent.CHANGE_PIN,
            at=at,
            reason=LockReason.SUBJECT,
        )

    def start_pin_reset(
        self, reset: PinReset, *, request_id: str, request_digest: bytes, at: datetime
    ) -> tuple[PinReset, bytes] | None:
        relying_party = reset.relying_party
        key = self._vault.writing(relying_party, subject_id=reset.subject_id)
        if key is None:
            return None
        found = self._pool.run(
            relying_party,
            LOCK_SUBJECT_OF_BINDING + _START_PIN_RESET,
            {
                "id": reset.id,
                "binding": reset.binding_id,
                "subject": reset.subject_id,
                "state": str(reset.state),
                "created_at": reset.created_at,
                "expires_at": reset.expires_at,
                "request_index": self._request_index(relying_party, "PIN reset request", request_id),
                "request_digest": rows.seal_digest(
                    key, table="pin_reset", id_=reset.id, digest=request_digest
                ),
                "event": uuid7(at),
                "at": at,
                "event_name": str(DeviceEvent.START_PIN_RESET),
                "reason": str(LockReason.CALLER),
            },
        )
        for wrapped, digest, *row in found:
            standing = rows.read_pin_reset(relying_party, row=tuple(row))
            key = self._vault.reading(relying_party, subject_id=standing.subject_id, wrapped=wrapped)
            return standing, rows.read_digest(key, table="pin_reset", id_=standing.id, sealed=digest)
        return None

    def pin_reset(self, relying_party: str, pin_reset_id: UUID) -> PinReset | None:
        found = self._pool.run(
            relying_party,
            f"SELECT {rows.PIN_RESET} FROM pin_reset p JOIN subject_key k USING (relying_party, subject_id)"
            " WHERE p.relying_party = %(rp)s AND p.id = %(id)s",
            {"id": pin_reset_id},
        )
        return rows.read_pin_reset(relying_party, row=found[0]) if found else None

    def reserve_pin_reset_try(
        self, relying_party: str, binding_id: UUID, *, max_failures: int, at: datetime
    ) -> PinReset | None:
        found = self._pool.run(
            relying_party,
            f"""UPDATE pin_reset p SET failures = p.failures + 1 FROM subject_key k
            WHERE p.relying_party = %(rp)s AND p.binding_id = %(binding)s AND p.state = 'PENDING'
                AND p.expires_at > %(at)s AND p.failures < %(max)s
                AND k.relying_party = p.relying_party AND k.subject_id = p.subject_id
            RETURNING {rows.PIN_RESET}""",
            {"binding": binding_id, "at": at, "max": max_failures},
        )
        return rows.read_pin_reset(relying_party, row=found[0]) if found else None

    def block_pin_reset(self, reset: PinReset, *, at: datetime) -> bool:
        return self._moved(
            reset.relying_party,
            """WITH r AS (
                UPDATE pin_reset SET state = 'BLOCKED'
                WHERE relying_party = %(rp)s AND id = %(id)s AND state = 'PENDING'
                RETURNING relying_party, binding_id
            ), moved AS (
                SELECT b.relying_party, b.id, b.state FROM r JOIN binding b
                    ON b.relying_party = r.relying_party AND b.id = r.binding_id
            )""",
            {"id": reset.id},
            entity="binding",
            event=DeviceEvent.BLOCK_PIN_RESET,
            at=at,
            reason=LockReason.FAILURES,
        )

    def reset_pin(self, reset: PinReset, *, pin_key: bytes, at: datetime) -> bool:
        relying_party = reset.relying_party
        key = self._vault.writing(relying_party, subject_id=reset.subject_id)
        if key is None:
            return False
        return self._moved(
            relying_party,
            LOCK_SUBJECT_OF_BINDING + _RESET_PIN,
            {
                "id": reset.id,
                "binding": reset.binding_id,
                "subject": reset.subject_id,
                "pin_key": rows.seal_pin_key(key, binding_id=reset.binding_id, pin_key=pin_key),
            },
            entity="binding",
            event=DeviceEvent.RESET_PIN,
            at=at,
            reason=LockReason.SUBJECT,
        )
