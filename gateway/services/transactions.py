"""Transactions: start, wait, claim, decide, cancel, expire.

The law: nothing is answered that is not committed. A start is idempotent by the caller's request id.
Of two that race for one transaction one wins, in the database. A try is reserved before a PIN is
judged, and only under a proven possession, so that nobody can lock somebody else
out (RTS (EU) 2018/389 articles 4(1) and 4(3)(b)). An approval is committed before anything is sealed.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from gateway.core import statement
from gateway.core.assertion import PossessionNotProven, verify_factors, verify_possession
from gateway.core.certpath import load_certificate
from gateway.core.errors import (
    AssertionRefused,
    Conflict,
    DeviceLocked,
    GatewayError,
    InvalidValue,
    NoActiveDevice,
    NotFound,
    RequestIdReused,
    TransactionClaimed,
    TransactionNotPending,
)
from gateway.core.model import (
    BindingState,
    Caller,
    Decision,
    DeviceBinding,
    Factor,
    Kind,
    RawAssertion,
    Subject,
    uuid7,
    whole_seconds,
)
from gateway.core.profile import LIFETIME_FLOOR_SECONDS, SignatureProfile, acr_of, parse_profile
from gateway.core.statement import Content, ShownText
from gateway.core.text import UNICODE_VERSION, displayable
from gateway.core.transaction import FINAL, Event, State, Transaction, advance
from gateway.services.context import Gateway
from gateway.services.enrolment import external_ref_of, request_digest, request_id_of
from gateway.services.evidence import complete

MAX_WAIT_SECONDS = 30
MAX_TITLE_LENGTH = 200
MEDIA_TYPES = frozenset({"text/plain"})
_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?\Z")
_ATTEMPTS = 5

log = structlog.get_logger("gateway")


def start_consent_signature(
    gw: Gateway,
    caller: Caller,
    *,
    request_id: str,
    external_ref: str,
    profile: str | None,
    locale: str,
    title: str,
    text: str,
    media_type: str,
    lifetime_seconds: int | None,
    at: datetime,
) -> Transaction:
    """Asks a subject to consent to a text; answers the transaction as it was first stored."""
    caller.require("StartConsentSignature")
    request_id_of(request_id)
    external_ref_of(external_ref)
    chosen = gw.profile(caller.relying_party, kind=Kind.CONSENT_SIGNATURE, profile_id=profile)
    digest = request_digest(
        kind=Kind.CONSENT_SIGNATURE,
        externalRef=external_ref,
        profile=profile,
        locale=locale,
        title=title,
        text=text,
        mediaType=media_type,
        lifetimeSeconds=lifetime_seconds,
    )
    if not _LOCALE.match(locale):
        raise InvalidValue("A language tag such as en, de-CH or zh-Hant-TW.", field="locale")
    if media_type not in MEDIA_TYPES:
        raise InvalidValue("text/plain is accepted.", field="preContext.mediaType")
    shown = ShownText(
        title=displayable(title, field="preContext.title", max_length=MAX_TITLE_LENGTH, multiline=False),
        text=displayable(text, field="preContext.content", max_length=chosen.max_text_length),
        media_type=media_type,
    )
    subject = gw.store.subject_by_ref(caller.relying_party, external_ref)
    if subject is None:
        raise NotFound(field="externalRef")
    try:
        _require_device(gw, subject, at=at)
    except GatewayError:
        earlier = gw.store.started(caller.relying_party, request_id)
        if earlier is None:
            raise
        return _same(earlier, digest)
    created = whole_seconds(at)
    content = Content(
        unicode_version=UNICODE_VERSION,
        transaction_id=uuid7(at),
        kind=Kind.CONSENT_SIGNATURE,
        created_at=created,
        expires_at=created + timedelta(seconds=_lifetime(chosen, lifetime_seconds)),
        nonce=secrets.token_bytes(statement.NONCE_BYTES),
        relying_party=gw.relying_party(caller.relying_party),
        subject=subject.pseudonym,
        locale=locale,
        texts=(shown,),
    )
    transaction = Transaction(
        relying_party=caller.relying_party,
        id=content.transaction_id,
        subject_id=subject.id,
        kind=content.kind,
        state=State.REQUESTED,
        profile_id=chosen.id,
        profile_document=chosen.document(),
        content=content,
        created_at=content.created_at,
        expires_at=content.expires_at,
        external_ref=subject.external_ref,
        attributes=tuple(a for a in subject.attributes if a.name in chosen.released_attributes),
    )
    return _same(
        gw.store.start_transaction(transaction, request_id=request_id, request_digest=digest), digest
    )


def get_transaction(
    gw: Gateway, caller: Caller, *, transaction_id: UUID, wait_seconds: int, at: datetime
) -> Transaction:
    """The transaction now, or as soon as its state has changed within ``wait_seconds`` (0 to 30)."""
    caller.require("GetTransaction")
    if not 0 <= wait_seconds <= MAX_WAIT_SECONDS:
        raise InvalidValue(f"0 to {MAX_WAIT_SECONDS}.", field="waitSeconds")
    transaction = _load(gw, caller.relying_party, transaction_id, at=at)
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
        transaction = _load(gw, caller.relying_party, transaction_id, at=gw.clock.now())
    return transaction


def cancel_transaction(gw: Gateway, caller: Caller, *, transaction_id: UUID, at: datetime) -> Transaction:
    """Withdraws a transaction that nobody has decided; repeated, it answers the same."""
    caller.require("CancelTransaction")
    for _ in range(_ATTEMPTS):
        transaction = _load(gw, caller.relying_party, transaction_id, at=at)
        if transaction.state is State.CANCELLED:
            return transaction
        advance(transaction, Event.CANCEL, at=at)
        if gw.store.finish(transaction, event=Event.CANCEL, reason="caller", at=at):
            return _load(gw, caller.relying_party, transaction_id, at=at)
    raise Conflict()


def list_waiting(gw: Gateway, device: DeviceBinding, *, at: datetime) -> Sequence[Transaction]:
    """What waits for this device's subject, oldest first; nothing for a locked device."""
    if device.state is not BindingState.ACTIVE:
        return ()
    return gw.store.waiting_for(device.relying_party, device.id, at=at)


def claim(gw: Gateway, device: DeviceBinding, *, transaction_id: UUID, at: datetime) -> Transaction:
    """Fixes the binding that decides; repeated by the same device, it answers the same."""
    for _ in range(_ATTEMPTS):
        transaction = _for_device(gw, device, transaction_id, at=at)
        if transaction.binding_id not in (None, device.id):
            raise TransactionClaimed()
        advance(transaction, Event.CLAIM, at=at)
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
        return transaction  # the answer to the first one was lost on its way
    approved = assertion.decision is Decision.APPROVED
    event = Event.APPROVE if approved else Event.REJECT
    advance(transaction, event, at=at)
    profile = parse_profile(transaction.profile_document)
    try:
        possession = verify_possession(
            assertion, expected_content=transaction.content, binding=device, profile=profile, at=at
        )
    except PossessionNotProven:
        # As many messages as a wrong PIN costs: time does not tell which element failed (article 4(3)(a)).
        gw.store.binding(device.relying_party, device.id)
        gw.store.binding(device.relying_party, device.id)
        raise AssertionRefused() from None
    tried = approved and Factor.PIN in profile.factors
    failures = _reserve(gw, device, profile, at=at) if tried else device.failures
    try:
        verified = verify_factors(assertion, possession=possession, binding=device, profile=profile)
    except AssertionRefused:
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
        at=at,
    ):
        if tried:
            gw.store.release_try(device.relying_party, device.id)
        _load(gw, device.relying_party, transaction_id, at=at)
        raise TransactionNotPending()
    decided = _load(gw, device.relying_party, transaction_id, at=at)
    if approved:
        try:
            complete(gw, decided, at=gw.clock.now())
        except Exception as error:  # the approval stands, whatever goes wrong now: the worker tries again
            log.warning("seal_postponed", transaction=str(transaction_id), type=type(error).__name__)
        decided = _load(gw, device.relying_party, transaction_id, at=at)
    return decided


def _reserve(gw: Gateway, device: DeviceBinding, profile: SignatureProfile, *, at: datetime) -> int:
    """Counts a try before the PIN is judged; how many had failed right before it."""
    limit = profile.max_failures
    counted = gw.store.reserve_try(device.relying_party, device.id, max_failures=limit)
    if counted is None:
        # Spent, be it by tries that ended in a crash: then it is locked, and the bank can see it.
        gw.store.lock_if_spent(device.relying_party, device.id, max_failures=limit, at=at)
        raise DeviceLocked()
    return counted - 1


def expire(gw: Gateway, transaction: Transaction, *, at: datetime) -> bool:
    """EXPIRED for one past its end; False where somebody was faster."""
    advance(transaction, Event.EXPIRE, at=at)
    return gw.store.finish(transaction, event=Event.EXPIRE, reason="time", at=at)


def _load(gw: Gateway, relying_party: str, transaction_id: UUID, *, at: datetime) -> Transaction:
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
    if not _usable(gw, device, at=at):
        raise DeviceLocked()
    transaction = _load(gw, device.relying_party, transaction_id, at=at)
    if transaction.subject_id != device.subject_id:
        raise NotFound()
    return transaction


def _require_device(gw: Gateway, subject: Subject, *, at: datetime) -> None:
    bindings = gw.store.bindings_of(subject.relying_party, subject.id)
    if not any(_usable(gw, binding, at=at) for binding in bindings):
        locked = any(binding.state is BindingState.LOCKED for binding in bindings)
        raise DeviceLocked() if locked else NoActiveDevice()


def _usable(gw: Gateway, binding: DeviceBinding, *, at: datetime) -> bool:
    """ACTIVE, and evidence of its signature could be made: its certificate is in force and of our CA."""
    if binding.state is not BindingState.ACTIVE:
        return False
    certificate = load_certificate(binding.certificate)
    in_force = certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc
    return in_force and gw.device_ca.issued(binding.certificate)


def _lifetime(profile: SignatureProfile, asked: int | None) -> int:
    if asked is None:
        return profile.lifetime_seconds
    if not LIFETIME_FLOOR_SECONDS <= asked <= profile.lifetime_seconds:
        raise InvalidValue(
            f"{LIFETIME_FLOOR_SECONDS} to {profile.lifetime_seconds}.", field="lifetimeSeconds"
        )
    return asked


def _same(standing: tuple[Transaction, bytes], digest: bytes) -> Transaction:
    transaction, known = standing
    if not hmac.compare_digest(known, digest):
        raise RequestIdReused(field="requestId")
    return transaction
