"""The life of a transaction: one table from (state, event) to state.

The law: a pair that is absent from TRANSITIONS does not happen. In SQL every transition is a guarded
update on the state it leaves, so of two that race exactly one wins. Who may cause an event, and what
is stored with it, is left to the services.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from gateway.core.errors import TransactionExpired, TransactionNotPending
from gateway.core.model import Channel, Decision, IdentityAttribute, Kind
from gateway.core.statement import Content, ShownText


class State(StrEnum):
    REQUESTED = "REQUESTED"  # the gateway moves next: notify the device
    PENDING = "PENDING"  # the subject moves next: decide
    APPROVED = "APPROVED"  # the gateway moves next: seal
    COMPLETED = "COMPLETED"  # final
    REJECTED = "REJECTED"  # final: the subject said no; its evidence may follow
    EXPIRED = "EXPIRED"  # final: nobody decided in time
    CANCELLED = "CANCELLED"  # final: the relying party withdrew it
    FAILED = "FAILED"  # final: approved, but evidence could not be made
    BLOCKED = "BLOCKED"  # final: a risk or attestation rule said no


FINAL = frozenset(
    {State.COMPLETED, State.REJECTED, State.EXPIRED, State.CANCELLED, State.FAILED, State.BLOCKED}
)


class Event(StrEnum):
    NOTIFY = "NOTIFY"  # the wake-up left the outbox
    CLAIM = "CLAIM"  # a device took it: the binding is fixed
    APPROVE = "APPROVE"  # a verified assertion: approved
    REJECT = "REJECT"  # a verified assertion: rejected
    CANCEL = "CANCEL"  # the relying party
    EXPIRE = "EXPIRE"  # time
    BLOCK = "BLOCK"  # a risk or attestation rule
    SEAL = "SEAL"  # evidence is stored
    COMPLETE = "COMPLETE"  # approved, and no evidence is to be stored
    FAIL = "FAIL"  # evidence cannot be made


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.REQUESTED, Event.NOTIFY): State.PENDING,
    (State.REQUESTED, Event.CLAIM): State.PENDING,
    (State.REQUESTED, Event.CANCEL): State.CANCELLED,
    (State.REQUESTED, Event.EXPIRE): State.EXPIRED,
    (State.REQUESTED, Event.BLOCK): State.BLOCKED,
    (State.PENDING, Event.CLAIM): State.PENDING,
    (State.PENDING, Event.APPROVE): State.APPROVED,
    (State.PENDING, Event.REJECT): State.REJECTED,
    (State.PENDING, Event.CANCEL): State.CANCELLED,
    (State.PENDING, Event.EXPIRE): State.EXPIRED,
    (State.PENDING, Event.BLOCK): State.BLOCKED,
    (State.APPROVED, Event.SEAL): State.COMPLETED,
    (State.APPROVED, Event.COMPLETE): State.COMPLETED,
    (State.REJECTED, Event.SEAL): State.REJECTED,
    (State.APPROVED, Event.FAIL): State.FAILED,
}


@dataclass(frozen=True, slots=True)
class Transaction:
    relying_party: str
    id: UUID
    subject_id: UUID
    kind: Kind
    state: State
    profile_id: str
    profile_document: bytes
    """The signature profile in force at the start: what profile.document() gave."""
    content: Content
    created_at: datetime
    expires_at: datetime
    binding_id: UUID | None = None
    """Fixed by the device that claims."""
    claimed_at: datetime | None = None
    decided_at: datetime | None = None
    decision: Decision | None = None
    evidence_id: UUID | None = None
    acr: str | None = None
    amr: tuple[str, ...] = ()
    external_ref: str = ""
    """How the relying party named the subject at the start."""
    attributes: tuple[IdentityAttribute, ...] = ()
    """As registered at the start: what evidence says of the subject, whatever was registered since."""
    failed_attempts: int = 0
    """Tries that failed on the binding right before the decision."""
    channel: Channel = Channel.BACKEND
    post_context: ShownText | None = None
    """Shown after an approval; no part of what is signed."""
    redeemed_at: datetime | None = None
    authentication_code: str | None = None
    """In an answer alone: stands for the approval until it is redeemed, once."""
    match_number: str | None = None
    """In an answer to the relying party alone, while a device still has to send it."""

    def state_at(self, at: datetime) -> State:
        """The state as seen at a time: one that still waits past its end is EXPIRED."""
        if self.state in (State.REQUESTED, State.PENDING) and at >= self.expires_at:
            return State.EXPIRED
        return self.state


def next_state(state: State, event: Event) -> State:
    """The table, or TransactionNotPending for a pair that is absent from it."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise TransactionNotPending() from None


def advance(transaction: Transaction, event: Event, *, at: datetime) -> Transaction:
    """The transaction after an event; time over makes TransactionExpired of all but EXPIRE."""
    if event is Event.EXPIRE and at < transaction.expires_at:
        raise TransactionNotPending()
    if event is not Event.EXPIRE and transaction.state_at(at) is State.EXPIRED:
        raise TransactionExpired()
    return replace(transaction, state=next_state(transaction.state, event))
