"""What all queries of the identity store share: the pool, the subjects' keys, the guarded transition.

The law: a row whose subject has no key any more is not read. The key of a subject that was read lately is
remembered for writing alone: reading always asks the database, and a statement that writes asks whether the
key is there, so an erased subject stays erased. A transition is an update guarded on the state that it
leaves, and its event, in one message; what is repeated because its answer was lost finds what it did.
What a row says is left to rows.
"""

# ruff: noqa: S608 - statements are put together of our own constants; every value is a parameter

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from gateway.core.model import uuid7
from gateway.core.transaction import Transaction
from gateway.storage import rows
from gateway.storage.envelope import BlindIndex, KeyRing, SubjectKey
from gateway.storage.pool import Pool

REMEMBERED = 4096
"""Subjects whose key a process keeps for writing."""

TRANSACTIONS = (
    f"SELECT {rows.KEY}, {rows.TRANSACTION}"
    " FROM transaction t JOIN subject_key k USING (relying_party, subject_id)"
    " WHERE t.relying_party = %(rp)s AND "
)
EVENT = "INSERT INTO event (relying_party, id, entity, entity_id, name, state, reason, at) "
RECORDED = "SELECT 1 FROM event WHERE relying_party = %(rp)s AND id = %(event)s"
"""Did this very call move it? A call that is repeated because its answer was lost finds its own event."""
LOCK_SUBJECT_OF_BINDING = """SELECT 1 FROM subject s
    JOIN binding b ON b.relying_party = s.relying_party AND b.subject_id = s.id
    WHERE b.relying_party = %(rp)s AND b.id = %(binding)s FOR NO KEY UPDATE OF s;
"""
"""A statement of its own: the next one sees what the last holder left."""
NOT_ERASED = (
    "EXISTS (SELECT 1 FROM subject_key k WHERE k.relying_party = %(rp)s AND k.subject_id = %(subject)s)"
)


class Vault:
    """The keys: unwraps them for reading, remembers and fetches them for writing."""

    def __init__(self, pool: Pool, *, keyring: KeyRing, index_secret: bytes) -> None:
        self._pool = pool
        self._keyring = keyring
        self._index = BlindIndex(index_secret)
        self._keys: OrderedDict[tuple[str, UUID], SubjectKey] = OrderedDict()
        self._lock = threading.Lock()

    def index(self, value: str, *, relying_party: str, purpose: str) -> bytes:
        return self._index.of(value, relying_party=relying_party, purpose=purpose)

    def new(self, relying_party: str, *, subject_id: UUID) -> tuple[SubjectKey, bytes]:
        return self._keyring.new_subject_key(relying_party, subject_id=subject_id)

    def reading(self, relying_party: str, *, subject_id: UUID, wrapped: bytes) -> SubjectKey:
        """The key that a row came with."""
        key = self._keyring.unwrap(wrapped, relying_party=relying_party, subject_id=subject_id)
        with self._lock:
            self._keys[relying_party, subject_id] = key
            self._keys.move_to_end((relying_party, subject_id))
            if len(self._keys) > REMEMBERED:
                self._keys.popitem(last=False)
        return key

    def writing(self, relying_party: str, *, subject_id: UUID) -> SubjectKey | None:
        """None where the subject is unknown or erased. Its statement still asks whether the key is there."""
        with self._lock:
            key = self._keys.get((relying_party, subject_id))
        if key is not None:
            return key
        found = self._pool.run(
            relying_party,
            f"SELECT {rows.KEY} FROM subject_key k"
            " WHERE k.relying_party = %(rp)s AND k.subject_id = %(subject)s",
            {"subject": subject_id},
        )
        if not found:
            return None
        return self.reading(relying_party, subject_id=found[0][0], wrapped=found[0][1])


class Queries:
    def __init__(self, pool: Pool, *, keyring: KeyRing, index_secret: bytes) -> None:
        self._pool = pool
        self._vault = Vault(pool, keyring=keyring, index_secret=index_secret)

    def _transactions(self, relying_party: str, where: str, params: Mapping[str, Any]) -> list[Transaction]:
        return [
            rows.read_transaction(
                self._vault.reading(relying_party, subject_id=subject_id, wrapped=wrapped),
                subject_id=subject_id,
                row=tuple(row),
            )
            for subject_id, wrapped, *row in self._pool.run(relying_party, TRANSACTIONS + where, params)
        ]

    def _moved(
        self,
        relying_party: str,
        sql: str,
        params: Mapping[str, Any],
        *,
        entity: str,
        event: str,
        at: datetime,
        reason: str = "",
        holds: str = RECORDED,
    ) -> bool:
        """Runs a guarded update that ends in ``WITH moved AS (.. RETURNING relying_party, id, state)``, with
        an event for what moved; answers whether ``holds`` finds a row afterwards."""
        message = (
            f"{sql} {EVENT} SELECT relying_party, %(event)s, %(entity)s, id, %(event_name)s, state,"
            f" %(reason)s, %(at)s FROM moved;\n{holds}"
        )
        events = {"event": uuid7(at), "event_name": event, "entity": entity, "reason": reason, "at": at}
        return bool(self._pool.run(relying_party, message, {**params, **events}))

    def _request_index(self, relying_party: str, purpose: str, request_id: str) -> bytes:
        """A request id is the caller's own word: it may name a person."""
        return self._vault.index(request_id, relying_party=relying_party, purpose=purpose)
