"""Transactions: wait, claim, decide, cancel, expire.

The law: nothing is answered that is not committed. Of two that race for one transaction one wins, in the
database. A try is reserved before a PIN or a number is judged, and only under a proven possession, so that
nobody can lock somebody else out (RTS (EU) 2018/389 articles 4(1) and 4(3)(b)). A decision is committed
before anything is sealed. How a transaction begins is left to ``starts``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import structlog

from gateway.core.assertion import PossessionNotProven, verify_factors, verify_possession
from gateway.core.errors import (
    AssertionRefused,
    Conflict,
    DeviceLocked,
    InvalidValue,
    MethodLocked,
    NotFound,
    TransactionClaimed,
    TransactionNotPending,
)
from gateway.core.model import (
    BindingState,
    Caller,
    Channel,
    Decision,
    DeviceBinding,
    Factor,
    FailedTry,
    RawAssertion,
)
from gateway.core.profile import SignatureProfile, acr_of, parse_profile
from gateway.core.transaction import FINAL, Event, State, Transaction, advance
from gateway.services.authorisation import code_of, match_number, numbers_match
from gateway.services.context import Gateway, usable
from gateway.services.evidence import complete

MAX_WAIT_SECONDS = 30
_ATTEMPTS = 5

log = structlog.get_logger("gateway")


def get_transaction(
    gw: Gateway, caller: Caller, *, transaction_id: UUID, wait_seconds: int, at: datetime
) -> Transaction:
    """The transaction now, or as soon as its state has changed within ``wait_seconds`` (0 to 30)."""
    caller.require("GetTransaction")
    if not 0 <= wait_seconds <= MAX_WAIT_SECONDS:
        raise InvalidValue(f"0 to {MAX_WAIT_SECONDS}.", field="waitSeconds")
    transaction = load(gw, caller.relying_party, transaction_id, at=at)
    if wait_seconds and transaction.state not in FINAL:
        until_end = max(0, int((transaction.expires_at - at).total_seconds()) + 1)
        undecided = transaction.state in (State.REQUESTED, State.PENDING)
        gw.waits.wait(
            caller.relying_party,
            caller.id,
            transaction_id,
            state=transaction.state,
            seconds=min(wait_seconds, until_end) if undecided else wait_seconds,
        )
        transaction = load(gw, caller.relying_party, transaction_id, at=gw.clock.now())
    return replace(
        transaction,
        authentication_code=code_of(gw, transaction, at=gw.clock.now()),
        match_number=match_number(gw, transaction),
    )


def cancel_transaction(gw: Gateway, caller: Caller, *, transaction_id: UUID, at: datetime) -> Transaction:
    """Withdraws a transaction that nobody has decided; repeated, it answers the same."""
    caller.require("CancelTransaction")
    for _ in range(_ATTEMPTS):
        transaction = load(gw, caller.relying_party, transaction_id, at=at)
        if transaction.state is State.CANCELLED:
            return transaction
        advance(transaction, Event.CANCEL, at=at)
        if gw.store.finish(transaction, event=Event.CANCEL, reason="caller", at=at):
            return load(gw, caller.relying_party, transaction_id, at=at)
    raise Conflict()


def list_waiting(gw: Gateway, device: DeviceBinding, *, at: datetime) -> Sequence[Transaction]:
    """What waits for this device's subject, oldest first; nothing for a locked device."""
    if device.state is not BindingState.ACTIVE:
        return ()
    waiting = gw.store.waiting_for(device.relying_party, device.id, at=at)
    return [transaction for transaction in waiting if _offered(device, transaction)]


def claim(gw: Gateway, device: DeviceBinding, *, transaction_id: UUID, at: datetime) -> Transaction:
    """Fixes the binding that decides; repeated by the same device, it answers the same."""
    for _ in range(_ATTEMPTS):
        transaction = _for_device(gw, device, transaction_id, at=at)
        if transaction.binding_id not in (None, device.id):
            raise TransactionClaimed()
        advance(transaction, Event.CLAIM, at=at)
        if not _offered(device, transaction):
            raise MethodLocked()
        if gw.store.claim(transaction, binding_id=device.id, at=at):
            return _for_device(gw, device, transaction_id, at=at)
    raise Conflict()


def fetch(gw: Gateway, device: DeviceBinding, *, transaction_id: UUID, at: datetime) -> Transaction:
    """The transaction that this device has claimed; unclaimed or foreign: NotFound."""
    transaction = _for_device(gw, device, transaction_id, at=at)
    if transaction.binding_id != device.id:
        raise NotFound()
    return transaction


def decide(
    gw: Gateway, device: DeviceBinding, *, transaction_id: UUID, assertion: RawAssertion, at: datetime
) -> Transaction:
    """Takes a device's answer; raises AssertionRefused, whatever element of it failed."""
    transaction = fetch(gw, device, transaction_id=transaction_id, at=at)
    if transaction.decision is assertion.decision:
        # the answer to the first one was lost on its way
        return _for_its_device(gw, transaction, at=at)
    approved = assertion.decision is Decision.APPROVED
    event = Event.APPROVE if approved else Event.REJECT
    advance(transaction, event, at=at)
    if approved and not _offered(device, transaction):
        raise MethodLocked()
    profile = parse_profile(transaction.profile_document)
    numbered = profile.number_matching and transaction.channel is Channel.BACKEND
    tried = approved and (Factor.PIN in profile.factors or numbered)
    unproven = None
    try:
        possession = verify_possession(
            assertion, expected_content=transaction.content, binding=device, profile=profile, at=at
        )
    except PossessionNotProven as error:
        possession, unproven = error.possession, error
    # Without possession nothing is counted, and all else goes the very way of a wrong PIN: time does not
    # tell which element failed (RTS (EU) 2018/389 article 4(3)(a)).
    feigned = unproven is not None
    failures = _reserve(gw, device, profile, feigned=feigned, at=at) if tried else device.failures
    try:
        verified = verify_factors(assertion, possession=possession, binding=device, profile=profile)
        if unproven is not None:
            raise AssertionRefused()
        if approved and numbered and not numbers_match(gw, transaction, assertion.match_number):
            raise AssertionRefused()
    except AssertionRefused:
        why = FailedTry.POSSESSION if feigned else FailedTry.APPROVAL
        gw.store.failed_try(device.relying_party, device.id, reason=why, at=at)
        if tried:
            gw.store.lock_if_spent(device.relying_party, device.id, max_failures=profile.max_failures, at=at)
        raise
    if not gw.store.decide(
        transaction,
        event=event,
        assertion=assertion,
        acr=acr_of(verified.factors),
        amr=tuple(factor.method for factor in verified.factors),
        failed_attempts=failures,
        lock=profile.not_me_locks and assertion.decision is Decision.REJECTED_NOT_ME,
        at=at,
    ):
        if tried:
            gw.store.release_try(device.relying_party, device.id)
        load(gw, device.relying_party, transaction_id, at=at)
        raise TransactionNotPending()
    decided = load(gw, device.relying_party, transaction_id, at=at)
    try:
        if complete(gw, decided, at=gw.clock.now()):
            decided = load(gw, device.relying_party, transaction_id, at=at)
    except Exception as error:  # the decision stands, whatever goes wrong now: the worker tries again
        log.warning("seal_postponed", transaction=str(transaction_id), type=type(error).__name__)
    return _for_its_device(gw, decided, at=gw.clock.now())


def _for_its_device(gw: Gateway, decided: Transaction, *, at: datetime) -> Transaction:
    """With the code where the app began: it hands it to the relying party's backend, which finishes."""
    if decided.channel is not Channel.APP:
        return decided
    return replace(decided, authentication_code=code_of(gw, decided, at=at))


def _reserve(
    gw: Gateway, device: DeviceBinding, profile: SignatureProfile, *, feigned: bool, at: datetime
) -> int:
    """Counts a try before the PIN is judged; how many had failed right before it."""
    limit = profile.max_failures
    counted = gw.store.reserve_try(device.relying_party, device.id, max_failures=limit, feigned=feigned)
    if counted is None:
        # Spent, be it by tries that ended in a crash: then it is locked, and the bank can see it.
        gw.store.lock_if_spent(device.relying_party, device.id, max_failures=limit, at=at)
        raise DeviceLocked()
    return counted - 1


def expire(gw: Gateway, transaction: Transaction, *, at: datetime) -> bool:
    """EXPIRED for one past its end; False where somebody was faster."""
    advance(transaction, Event.EXPIRE, at=at)
    return gw.store.finish(transaction, event=Event.EXPIRE, reason="time", at=at)


def load(gw: Gateway, relying_party: str, transaction_id: UUID, *, at: datetime) -> Transaction:
    """The transaction as it stands, expired on read where its time is over; NotFound without."""
    for _ in range(_ATTEMPTS):
        transaction = gw.store.transaction(relying_party, transaction_id)
        if transaction is None:
            raise NotFound()
        if transaction.state_at(at) is transaction.state:
            return transaction
        expire(gw, transaction, at=at)
    raise Conflict()


def _for_device(gw: Gateway, device: DeviceBinding, transaction_id: UUID, *, at: datetime) -> Transaction:
    if not usable(gw, device, at=at):
        raise DeviceLocked()
    transaction = load(gw, device.relying_party, transaction_id, at=at)
    if transaction.subject_id != device.subject_id:
        raise NotFound()
    return transaction


def _offered(device: DeviceBinding, transaction: Transaction) -> bool:
    """Whether the device can decide it: no factor that its profile needs is locked."""
    return device.offers(parse_profile(transaction.profile_document).factors)
