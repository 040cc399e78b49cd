"""The identity store in Postgres: transactions and evidence, and with them the whole store.

The law (RTS (EU) 2018/389 article 4(1)): each method that writes is one message and so one database
transaction; where it seals for a subject that this process has not read lately, a message that reads the key
goes before. Of two that race for a transition one wins; exactly one evidence comes of an approval. A decision
takes the subject's row lock first: it is ordered with every try and with the end of its binding.

Enrolment and tries are left to enrolment, managed devices to devices, what the worker asks to work, what a
row says to rows.
"""

# ruff: noqa: S608 - statements are put together of our own constants; every value is a parameter

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from gateway.core.errors import MisuseError, NotFound, RequestIdReused, TransactionLimitReached
from gateway.core.model import Factor, RawAssertion, uuid7
from gateway.core.profile import STARTS_SECONDS, SignatureProfile
from gateway.core.transaction import TRANSITIONS, Event, State, Transaction, next_state
from gateway.ports import StoredEvidence
from gateway.storage import rows
from gateway.storage.callbacks import CallbackQueries
from gateway.storage.devices import DeviceQueries
from gateway.storage.enrolment import EnrolmentQueries
from gateway.storage.pool import Row
from gateway.storage.queries import EVENT, NOT_ERASED
from gateway.storage.work import WorkQueries

_CLAIMABLE = [str(state) for state, event in TRANSITIONS if event is Event.CLAIM]
_ELSEWHERE = frozenset({Event.NOTIFY, Event.CLAIM, Event.APPROVE, Event.REJECT, Event.SEAL})
"""Events that come with more than a reason, each by its own method."""
_START_TRANSACTION = f"""SELECT 1 FROM subject
    WHERE relying_party = %(rp)s AND id = %(subject)s FOR NO KEY UPDATE;
WITH t AS (
    INSERT INTO transaction (relying_party, id, subject_id, kind, state, profile_id, profile_document,
        content, created_at, expires_at, request_index, request_digest, channel, leaves_evidence, binding_id,
        claimed_at)
    SELECT %(rp)s, %(id)s, %(subject)s, %(kind)s, %(state)s, %(profile_id)s, %(profile_document)s,
        %(content)s, %(created_at)s, %(expires_at)s, %(request_index)s, %(request_digest)s, %(channel)s,
        %(leaves_evidence)s, %(binding)s, %(claimed_at)s
    WHERE {NOT_ERASED} AND (
            SELECT count(*) FROM transaction o WHERE o.relying_party = %(rp)s
            AND o.subject_id = %(subject)s AND o.state IN ('REQUESTED', 'PENDING')
            AND o.expires_at > %(created_at)s) < %(max_waiting)s
        AND (SELECT count(*) FROM transaction o WHERE o.relying_party = %(rp)s
            AND o.subject_id = %(subject)s AND o.created_at > %(since)s) < %(max_starts)s
        AND (%(binding)s::uuid IS NULL OR EXISTS (SELECT 1 FROM binding b WHERE b.relying_party = %(rp)s
            AND b.id = %(binding)s AND b.subject_id = %(subject)s AND b.state = 'ACTIVE'))
    ON CONFLICT DO NOTHING RETURNING relying_party, id, state, binding_id
), w AS (
    INSERT INTO wake (relying_party, id, transaction_id, due_at)
    SELECT relying_party, %(wake)s, id, %(created_at)s FROM t WHERE t.binding_id IS NULL
)
{EVENT} SELECT relying_party, %(event)s, 'transaction', id, 'START', state, '', %(created_at)s FROM t;
"""
_STARTED = f"""SELECT k.subject_id, k.wrapped, t.request_digest, {rows.TRANSACTION}
FROM transaction t LEFT JOIN subject_key k USING (relying_party, subject_id)
WHERE t.relying_party = %(rp)s AND t.request_index = %(request_index)s"""
_DECIDE = f"""SELECT 1 FROM subject WHERE relying_party = %(rp)s AND id = %(subject)s FOR NO KEY UPDATE;
WITH moved AS (
    UPDATE transaction SET state = %(to)s, decided_at = %(at)s, decision = %(decision)s,
        assertion = %(assertion)s, acr = %(acr)s, amr = %(amr)s, failed_attempts = %(failed_attempts)s
    WHERE relying_party = %(rp)s AND id = %(id)s AND state = %(from)s AND expires_at > %(at)s
        AND binding_id = %(binding)s AND {NOT_ERASED} AND EXISTS (
            SELECT 1 FROM binding b
            WHERE b.relying_party = %(rp)s AND b.id = %(binding)s AND b.state = 'ACTIVE'
                AND NOT (%(pin)s AND 'pin' = ANY(b.locked_methods)))
    RETURNING relying_party, id, subject_id, binding_id, state
), b AS (
    UPDATE binding SET failures = 0 FROM moved m
    WHERE %(pin)s AND binding.relying_party = m.relying_party AND binding.id = m.binding_id
), s AS (
    UPDATE subject SET failures = 0 FROM moved m
    WHERE %(pin)s AND subject.relying_party = m.relying_party AND subject.id = m.subject_id
), l AS (
    UPDATE binding SET state = 'LOCKED', lock_reason = 'not-me' FROM moved m
    WHERE %(lock)s AND binding.relying_party = m.relying_party AND binding.id = m.binding_id
    RETURNING binding.relying_party, binding.id, binding.state
), e AS (
    {EVENT} SELECT relying_party, %(lock_event)s, 'binding', id, 'LOCK', state, 'not-me', %(at)s FROM l
)"""


class PostgresStore(EnrolmentQueries, DeviceQueries, WorkQueries, CallbackQueries):
    """Store, WorkStore and CrlStore over one pool."""

    # transactions

    def start_transaction(
        self, transaction: Transaction, *, profile: SignatureProfile, request_id: str, request_digest: bytes
    ) -> tuple[Transaction, bytes]:
        """Raises NotFound for a subject that is unknown or erased, TransactionLimitReached, and
        RequestIdReused where what the request id began has been erased since."""
        relying_party, subject_id = transaction.relying_party, transaction.subject_id
        key = self._vault.writing(relying_party, subject_id=subject_id)
        if key is None:
            raise NotFound()
        found = self._pool.run(
            relying_party,
            _START_TRANSACTION + _STARTED,
            {
                "id": transaction.id,
                "subject": subject_id,
                "kind": str(transaction.kind),
                "state": str(transaction.state),
                "profile_id": transaction.profile_id,
                "profile_document": transaction.profile_document,
                "content": rows.seal_content(key, transaction=transaction),
                "created_at": transaction.created_at,
                "expires_at": transaction.expires_at,
                "request_index": self._request_index(relying_party, "transaction request", request_id),
                "request_digest": rows.seal_digest(
                    key, table="transaction", id_=transaction.id, digest=request_digest
                ),
                "channel": str(transaction.channel),
                "leaves_evidence": profile.evidence,
                "binding": transaction.binding_id,
                "claimed_at": transaction.claimed_at,
                "max_waiting": profile.max_waiting,
                "max_starts": profile.max_starts,
                "since": transaction.created_at - timedelta(seconds=STARTS_SECONDS),
                "wake": uuid7(transaction.created_at),
                "event": uuid7(transaction.created_at),
            },
        )
        if not found:
            # The limits kept it out, or the subject was erased, or the binding locked, at this very moment.
            if self.subject(relying_party, subject_id) is None:
                raise NotFound()
            raise TransactionLimitReached()
        standing = self._started(relying_party, found[0])
        if standing is None:
            raise RequestIdReused(field="requestId")
        return standing

    def started(self, relying_party: str, request_id: str) -> tuple[Transaction, bytes] | None:
        index = self._request_index(relying_party, "transaction request", request_id)
        found = self._pool.run(relying_party, _STARTED, {"request_index": index})
        return self._started(relying_party, found[0]) if found else None

    def _started(self, relying_party: str, row: Row) -> tuple[Transaction, bytes] | None:
        subject_id, wrapped, digest, *columns = row
        if wrapped is None:
            return None
        key = self._vault.reading(relying_party, subject_id=subject_id, wrapped=wrapped)
        standing = rows.read_transaction(key, subject_id=subject_id, row=tuple(columns))
        return standing, rows.read_digest(key, table="transaction", id_=standing.id, sealed=digest)

    def transaction(self, relying_party: str, transaction_id: UUID) -> Transaction | None:
        found = self._transactions(relying_party, "t.id = %(id)s", {"id": transaction_id})
        return found[0] if found else None

    def transaction_states(self, relying_party: str, transaction_ids: Sequence[UUID]) -> Mapping[UUID, State]:
        found = self._pool.run(
            relying_party,
            """SELECT t.id, t.state FROM transaction t JOIN subject_key k USING (relying_party, subject_id)
            WHERE t.relying_party = %(rp)s AND t.id = ANY(%(ids)s::uuid[])""",
            {"ids": list(transaction_ids)},
        )
        return {id_: State(state) for id_, state in found}

    def waiting_for(self, relying_party: str, binding_id: UUID, *, at: datetime) -> Sequence[Transaction]:
        return self._transactions(
            relying_party,
            """t.subject_id = (SELECT b.subject_id FROM binding b
                WHERE b.relying_party = %(rp)s AND b.id = %(binding)s AND b.state = 'ACTIVE')
            AND t.state IN ('REQUESTED', 'PENDING') AND t.expires_at > %(at)s
            AND (t.binding_id IS NULL OR t.binding_id = %(binding)s) ORDER BY t.created_at, t.id
            LIMIT 50""",
            {"binding": binding_id, "at": at},
        )

    def claim(self, transaction: Transaction, *, binding_id: UUID, at: datetime) -> bool:
        """Also False for a binding that is not ACTIVE, or not of the transaction's subject."""
        return self._moved(
            transaction.relying_party,
            """WITH moved AS (
                UPDATE transaction t SET state = %(to)s, binding_id = %(binding)s, claimed_at = %(at)s
                WHERE t.relying_party = %(rp)s AND t.id = %(id)s AND t.state = ANY(%(claimable)s)
                    AND t.binding_id IS NULL AND t.expires_at > %(at)s AND EXISTS (
                        SELECT 1 FROM binding b WHERE b.relying_party = %(rp)s AND b.id = %(binding)s
                            AND b.subject_id = t.subject_id AND b.state = 'ACTIVE')
                RETURNING t.relying_party, t.id, t.state
            )""",
            {
                "id": transaction.id,
                "binding": binding_id,
                "claimable": _CLAIMABLE,
                "to": str(next_state(transaction.state, Event.CLAIM)),
            },
            entity="transaction",
            event=Event.CLAIM,
            at=at,
            holds="SELECT 1 FROM transaction WHERE relying_party = %(rp)s AND id = %(id)s AND state = %(to)s"
            " AND binding_id = %(binding)s AND expires_at > %(at)s",
        )

    def decide(
        self,
        transaction: Transaction,
        *,
        event: Event,
        assertion: RawAssertion,
        acr: str,
        amr: tuple[str, ...],
        failed_attempts: int,
        lock: bool,
        at: datetime,
    ) -> bool:
        """Also False past the end, and for a binding that did not claim or is no longer ACTIVE."""
        if event not in (Event.APPROVE, Event.REJECT):
            raise MisuseError("a decision approves or rejects")
        relying_party, subject_id = transaction.relying_party, transaction.subject_id
        key = self._vault.writing(relying_party, subject_id=subject_id)
        if key is None:
            return False
        return self._moved(
            relying_party,
            _DECIDE,
            {
                "id": transaction.id,
                "subject": subject_id,
                "binding": transaction.binding_id,
                "from": str(transaction.state),
                "to": str(next_state(transaction.state, event)),
                "decision": str(assertion.decision),
                "assertion": rows.seal_assertion(key, transaction_id=transaction.id, assertion=assertion),
                "acr": acr,
                "amr": list(amr),
                "pin": str(Factor.PIN) in amr,
                "failed_attempts": failed_attempts,
                "lock": lock,
                "lock_event": uuid7(at),
            },
            entity="transaction",
            event=event,
            at=at,
        )

    def redeem(
        self, relying_party: str, transaction_id: UUID, *, request_id: str, since: datetime, at: datetime
    ) -> bool:
        index = self._request_index(relying_party, "redemption request", request_id)
        return self._moved(
            relying_party,
            """WITH moved AS (
                UPDATE transaction SET redeemed_at = %(at)s, redeemed_by = %(index)s
                WHERE relying_party = %(rp)s AND id = %(id)s AND state = 'COMPLETED'
                    AND redeemed_at IS NULL AND decided_at >= %(since)s
                RETURNING relying_party, id, state
            )""",
            {"id": transaction_id, "index": index, "since": since},
            entity="transaction",
            event="REDEEM",
            at=at,
            holds="SELECT 1 FROM transaction WHERE relying_party = %(rp)s AND id = %(id)s"
            " AND redeemed_by = %(index)s",
        )

    def finish(self, transaction: Transaction, *, event: Event, reason: str, at: datetime) -> bool:
        """EXPIRE only past the end. Needs no key: an erased subject's transaction can end."""
        if event in _ELSEWHERE:
            raise MisuseError("this transition has a method of its own")
        return self._moved(
            transaction.relying_party,
            """WITH moved AS (
                UPDATE transaction SET state = %(to)s
                WHERE relying_party = %(rp)s AND id = %(id)s AND state = %(from)s
                    AND (%(to)s <> 'EXPIRED' OR expires_at <= %(at)s)
                RETURNING relying_party, id, state
            )""",
            {
                "id": transaction.id,
                "from": str(transaction.state),
                "to": str(next_state(transaction.state, event)),
            },
            entity="transaction",
            event=event,
            at=at,
            reason=reason,
        )

    def assertion(self, relying_party: str, transaction_id: UUID) -> RawAssertion | None:
        found = self._pool.run(
            relying_party,
            f"SELECT {rows.KEY}, t.assertion FROM transaction t JOIN subject_key k"
            " USING (relying_party, subject_id)"
            " WHERE t.relying_party = %(rp)s AND t.id = %(id)s AND t.assertion IS NOT NULL",
            {"id": transaction_id},
        )
        for subject_id, wrapped, sealed in found:
            key = self._vault.reading(relying_party, subject_id=subject_id, wrapped=wrapped)
            return rows.read_assertion(key, transaction_id=transaction_id, sealed=sealed)
        return None

    # evidence

    def complete(self, transaction: Transaction, *, evidence: StoredEvidence, at: datetime) -> bool:
        relying_party, subject_id = transaction.relying_party, transaction.subject_id
        if (evidence.relying_party, evidence.transaction_id) != (relying_party, transaction.id):
            raise MisuseError("evidence is of the transaction that it completes")
        key = self._vault.writing(relying_party, subject_id=subject_id)
        if key is None:
            return False
        return self._moved(
            relying_party,
            f"""WITH moved AS (
                UPDATE transaction SET state = %(to)s, evidence_id = %(evidence)s
                WHERE relying_party = %(rp)s AND id = %(id)s AND state = %(from)s
                    AND evidence_id IS NULL AND {NOT_ERASED}
                RETURNING relying_party, id, subject_id, state
            ), v AS (
                INSERT INTO evidence (relying_party, id, level, transaction_id, subject_id, document,
                    sealed_at)
                SELECT relying_party, %(evidence)s, %(level)s, id, subject_id, %(document)s, %(sealed_at)s
                FROM moved
            )""",
            {
                "id": transaction.id,
                "subject": subject_id,
                "from": str(transaction.state),
                "to": str(next_state(transaction.state, Event.SEAL)),
                "evidence": evidence.id,
                "level": evidence.level,
                "document": rows.seal_document(key, evidence=evidence),
                "sealed_at": evidence.sealed_at,
            },
            entity="transaction",
            event=Event.SEAL,
            at=at,
        )

    def evidence(self, relying_party: str, transaction_id: UUID) -> StoredEvidence | None:
        found = self._pool.run(
            relying_party,
            f"""SELECT {rows.KEY}, {rows.EVIDENCE} FROM evidence v
            JOIN subject_key k USING (relying_party, subject_id)
            WHERE v.relying_party = %(rp)s AND v.transaction_id = %(id)s
            ORDER BY array_position(ARRAY['B-B', 'B-T', 'B-LT', 'B-LTA'], v.level) DESC LIMIT 1""",
            {"id": transaction_id},
        )
        for subject_id, wrapped, *row in found:
            key = self._vault.reading(relying_party, subject_id=subject_id, wrapped=wrapped)
            return rows.read_evidence(key, row=tuple(row))
        return None
