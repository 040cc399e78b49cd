"""What the services need from the world, as protocols.

The law: each store method that writes is one message to the database and one database transaction (one
that encrypts may read the subject's key before it): it has been committed when it returns, and it
changed nothing when it raises. Every method of a store names the
relying party first and sees no other's rows. A repeated write with the same ids finds the first one.
An unreachable store raises StoreUnavailable; no other foreign exception passes. How any of it is
done is left to storage and outbound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from gateway.core.callback import Callback
from gateway.core.model import (
    DeviceBinding,
    FailedTry,
    HistoryEntry,
    LockReason,
    Notice,
    PinReset,
    RawAssertion,
    Registration,
    RelyingParty,
    Subject,
)
from gateway.core.profile import SignatureProfile
from gateway.core.transaction import Event, State, Transaction


@dataclass(frozen=True, slots=True)
class StoredEvidence:
    """One level of one evidence: the bytes that were sealed, never re-serialised."""

    relying_party: str
    id: UUID
    transaction_id: UUID
    level: str
    """``B-B``; later ``B-T``, ``B-LT``, ``B-LTA``."""
    document: bytes
    sealed_at: datetime


@dataclass(frozen=True, slots=True)
class Wake:
    """One entry of the outbox: wake the subject's devices; the push carries ``id`` and nothing else."""

    relying_party: str
    id: UUID
    transaction_id: UUID | None
    """None where it is for one device's notices."""
    attempts: int
    push_targets: tuple[str, ...]
    """Of the subject's active devices, or of the one device; read when the entry is taken."""


@dataclass(frozen=True, slots=True)
class RecoveryCode:
    """What is known of a subject's recovery code."""

    id: UUID
    """Spent by naming it: a newer code has another."""
    digest: bytes


@dataclass(frozen=True, slots=True)
class ActivationPart:
    """What an activation does beside binding the device."""

    digest: bytes
    """SHA-256 of the request but for its code: the very same one, sent again, is answered again."""
    former: UUID | None
    """The binding that is replaced."""
    spent: UUID | None
    """The recovery code that was used."""
    recovery: RecoveryCode | None
    """The recovery code that the device leaves, in the place of any before it."""


@dataclass(frozen=True, slots=True)
class CallbackBacklog:
    pending: int
    dead: int
    """Given up: kept until somebody looks."""
    oldest: datetime | None
    """When the oldest event happened that its bank does not know yet."""


@dataclass(frozen=True, slots=True)
class Crl:
    issuer: bytes
    """Key identifier of the CA (RFC 5280 section 4.2.1.1): a new CA starts with none."""
    number: int
    der: bytes
    this_update: datetime
    next_update: datetime


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware, UTC."""
        ...


class Store(Protocol):
    """Postgres."""

    # subjects and registrations
    def start_registration(
        self,
        registration: Registration,
        *,
        subject: Subject,
        request_id: str,
        request_digest: bytes,
        max_devices: int,
        artifact_sha256: bytes | None = None,
    ) -> tuple[Registration, Subject, bytes]:
        """Stores subject (unless the externalRef is known: then its attributes are replaced when any
        are given) and registration with an event; answers what now stands under the request id: the
        given registration, or the one of an earlier call with its request digest. Raises
        DeviceLimitReached where a new device is asked for beyond ``max_devices``."""
        ...

    def redeem_artifact(
        self, relying_party: str, artifact_sha256: bytes, *, expires_at: datetime, at: datetime
    ) -> Registration | None:
        """ISSUED -> PENDING until ``expires_at``; None where there is no such artifact, or no more."""
        ...

    def registration(self, relying_party: str, registration_id: UUID) -> Registration | None: ...

    def reserve_activation_try(
        self, relying_party: str, activation_id: UUID, *, max_failures: int, at: datetime
    ) -> Registration | None:
        """Counts one failure in advance, atomically; None where the id is unknown, over, or used up.
        The one that reaches max_failures is still given back; a later one is not."""
        ...

    def activate(
        self,
        registration: Registration,
        *,
        binding: DeviceBinding,
        push_target: str | None,
        part: ActivationPart,
        max_devices: int,
        at: datetime,
    ) -> bool:
        """PENDING -> ACTIVATED with the new binding and its certificate, and the try given back; in one with
        it, whatever is replaced is REVOKED and on the revocation list: the former binding, or for a recovery
        all of the subject; else each other ACTIVE one gets a notice. False, and nothing changed, where the
        registration is no longer PENDING, what is to be replaced or spent is no longer there, or the subject
        would have more than ``max_devices``."""
        ...

    def activated(
        self, relying_party: str, activation_id: UUID
    ) -> tuple[Registration, DeviceBinding, bytes] | None:
        """What an activation left, and the digest of its request; None where nothing was activated."""
        ...

    def recovery_code(self, relying_party: str, subject_id: UUID) -> RecoveryCode | None:
        """The one that can be used."""
        ...

    def block_registration(self, relying_party: str, registration_id: UUID, *, at: datetime) -> bool:
        """PENDING -> BLOCKED after the last try failed."""
        ...

    def subject(self, relying_party: str, subject_id: UUID) -> Subject | None: ...

    def subject_by_ref(self, relying_party: str, external_ref: str) -> Subject | None: ...

    # device bindings
    def binding(self, relying_party: str, binding_id: UUID) -> DeviceBinding | None: ...

    def bindings_of(self, relying_party: str, subject_id: UUID) -> Sequence[DeviceBinding]: ...

    def note_client(
        self, relying_party: str, binding_id: UUID, *, client_name: str, client_version: str
    ) -> None:
        """What app the binding's device was last seen with."""
        ...

    def notices(self, relying_party: str, binding_id: UUID) -> Sequence[Notice]:
        """What this binding was told and has not seen, oldest first."""
        ...

    def notice_seen(self, relying_party: str, binding_id: UUID, notice_id: UUID, *, at: datetime) -> bool:
        """Repeated: True; False where this binding was told no such thing."""
        ...

    def knows_message(self, relying_party: str, caller: str, key: bytes) -> bool:
        """Whether a signed message of this caller, named by 32 bytes, is remembered."""
        ...

    def remember_message(self, relying_party: str, caller: str, key: bytes, *, expires_at: datetime) -> bool:
        """False where a signed message of this caller, named by 32 bytes, was seen before."""
        ...

    def remember_nonce(
        self, relying_party: str, binding_id: UUID, nonce: str, *, expires_at: datetime
    ) -> bool:
        """False where the nonce of this binding's request signature was seen before."""
        ...

    def reserve_try(
        self, relying_party: str, binding_id: UUID, *, max_failures: int, feigned: bool = False
    ) -> int | None:
        """Counts one failure of the binding and of its subject in advance, atomically: the binding's failures
        with this one; None where either already has max_failures or the binding is not ACTIVE. A feigned one
        costs the same time and counts nothing."""
        ...

    def release_try(self, relying_party: str, binding_id: UUID) -> None:
        """Takes one reserved try back: possession was not proven, so nobody's try was burnt."""
        ...

    def lock_if_spent(self, relying_party: str, binding_id: UUID, *, max_failures: int, at: datetime) -> bool:
        """ACTIVE -> LOCKED where max_failures is reached."""
        ...

    def failed_try(self, relying_party: str, entity_id: UUID, *, reason: FailedTry, at: datetime) -> None:
        """The event of a try that failed, of a registration for ACTIVATION, else of a binding. It stands
        before what the failure leads to at the same time."""
        ...

    # managed devices: each answers whether this very call moved something
    def last_used(self, relying_party: str, binding_ids: Sequence[UUID]) -> Mapping[UUID, datetime]:
        """When each last decided a transaction; one that never did is absent."""
        ...

    def rename(self, binding: DeviceBinding, *, name: str, reason: LockReason, at: datetime) -> bool:
        """Of one that is not REVOKED."""
        ...

    def lock(self, relying_party: str, binding_id: UUID, *, reason: LockReason, at: datetime) -> bool:
        """ACTIVE, or LOCKED by failures alone, -> LOCKED; pending PIN resets end."""
        ...

    def unlock(self, relying_party: str, binding_id: UUID, *, reason: LockReason, at: datetime) -> bool:
        """LOCKED -> ACTIVE with no failures of the binding or its subject. Locked methods stay locked."""
        ...

    def lock_pin(self, relying_party: str, binding_id: UUID, *, reason: LockReason, at: datetime) -> bool:
        """The method ``pin`` of one that is not REVOKED; pending PIN resets end."""
        ...

    def unlock_pin(self, relying_party: str, binding_id: UUID, *, reason: LockReason, at: datetime) -> bool:
        """The method, with no failures of the binding or its subject; a LOCKED binding stays so."""
        ...

    def revoke(
        self,
        relying_party: str,
        binding_id: UUID,
        *,
        at: datetime,
        reason: LockReason = LockReason.CALLER,
    ) -> bool:
        """ACTIVE or LOCKED -> REVOKED with the certificate's serial number on the revocation list, in one
        with the end of its PIN resets and of each undecided transaction that it had claimed, or that no
        other device of the subject could take: those become BLOCKED."""
        ...

    def history(
        self, relying_party: str, binding_id: UUID, *, after: UUID | None, limit: int
    ) -> Sequence[HistoryEntry]:
        """The binding's events, oldest first; those past ``after``, at most ``limit``."""
        ...

    def change_pin(self, binding: DeviceBinding, *, pin_key: bytes, at: datetime) -> bool:
        """Overwrites the PIN's key with no failures of binding and subject; False where the binding is not
        ACTIVE, its method ``pin`` is locked, or its PIN is no longer the one of the given value."""
        ...

    def start_pin_reset(
        self, reset: PinReset, *, request_id: str, request_digest: bytes, at: datetime
    ) -> tuple[PinReset, bytes] | None:
        """Stores the reset and cancels the binding's pending ones; answers what now stands under the request
        id and its request digest. None where nothing does: the binding is neither ACTIVE nor LOCKED by
        failures, or is unknown."""
        ...

    def pin_reset(self, relying_party: str, pin_reset_id: UUID) -> PinReset | None: ...

    def reserve_pin_reset_try(
        self, relying_party: str, binding_id: UUID, *, max_failures: int, at: datetime
    ) -> PinReset | None:
        """Counts one failure of the binding's pending reset in advance, atomically; None where there is
        none, or it is over or used up. The one that reaches max_failures is still given back."""
        ...

    def block_pin_reset(self, reset: PinReset, *, at: datetime) -> bool:
        """PENDING -> BLOCKED after the last try failed."""
        ...

    def reset_pin(self, reset: PinReset, *, pin_key: bytes, at: datetime) -> bool:
        """PENDING -> COMPLETED with the PIN's key overwritten, the method ``pin`` and what failures had
        locked open, and no failures of binding and subject, in one."""
        ...

    # transactions
    def start_transaction(
        self, transaction: Transaction, *, profile: SignatureProfile, request_id: str, request_digest: bytes
    ) -> tuple[Transaction, bytes]:
        """Stores transaction, event and, unless a device has it already, wake-up; answers what now stands
        under the request id and its request digest: the given one, or that of an earlier call. Raises
        TransactionLimitReached where the subject has more than the profile allows."""
        ...

    def started(self, relying_party: str, request_id: str) -> tuple[Transaction, bytes] | None:
        """What an earlier start under this request id left, and its request digest."""
        ...

    def transaction(self, relying_party: str, transaction_id: UUID) -> Transaction | None: ...

    def transaction_states(
        self, relying_party: str, transaction_ids: Sequence[UUID]
    ) -> Mapping[UUID, State]: ...

    def waiting_for(self, relying_party: str, binding_id: UUID, *, at: datetime) -> Sequence[Transaction]:
        """Those of the binding's subject that REQUESTED or PENDING, unexpired, unclaimed or claimed by this
        binding; oldest first."""
        ...

    def claim(self, transaction: Transaction, *, binding_id: UUID, at: datetime) -> bool:
        """Guarded on the state, on time, and on no other binding having claimed; repeated: True."""
        ...

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
        """PENDING -> APPROVED or REJECTED with the raw assertion (without its PIN signature), in one with
        the failures of binding and subject: back to zero where ``amr`` has ``pin``, else untouched (or a
        thief could wash failed PIN tries away by saying no), and with ``lock`` the binding LOCKED. False,
        and nothing changed, where it was no longer PENDING."""
        ...

    def redeem(
        self, relying_party: str, transaction_id: UUID, *, request_id: str, since: datetime, at: datetime
    ) -> bool:
        """Consumes the code of a COMPLETED transaction that was decided at ``since`` or later, once; True
        again for the same request id."""
        ...

    def finish(self, transaction: Transaction, *, event: Event, reason: str, at: datetime) -> bool:
        """Any other transition of the table, guarded on the state it leaves; reason is a code word."""
        ...

    def assertion(self, relying_party: str, transaction_id: UUID) -> RawAssertion | None: ...

    # evidence
    def complete(self, transaction: Transaction, *, evidence: StoredEvidence, at: datetime) -> bool:
        """APPROVED -> COMPLETED, or of a refusal REJECTED as before, with the evidence row, in one; False
        where it was no longer in that state or has its evidence."""
        ...

    def evidence(self, relying_party: str, transaction_id: UUID) -> StoredEvidence | None:
        """The highest level."""
        ...


class WorkStore(Protocol):
    """What the worker asks of Postgres; a lease is a row with a holder and an end."""

    def lease(self, name: str, *, holder: str, at: datetime, seconds: int) -> bool:
        """Takes or renews; False where another holds it."""
        ...

    def overdue(self, relying_party: str, *, at: datetime, limit: int) -> Sequence[UUID]:
        """REQUESTED or PENDING past their end."""
        ...

    def unsealed(self, relying_party: str, *, before: datetime, limit: int) -> Sequence[UUID]:
        """APPROVED, or REJECTED without the evidence of it, since before the given time."""
        ...

    def take_wakes(
        self, relying_party: str, *, at: datetime, lease_seconds: int, limit: int
    ) -> Sequence[Wake]:
        """Due entries, each leased to the caller: not due again before the lease ends."""
        ...

    def wake_sent(self, wake: Wake, *, at: datetime) -> None:
        """Removes the entry and moves its transaction REQUESTED -> PENDING where it still is."""
        ...

    def wake_failed(self, wake: Wake, *, retry_at: datetime) -> None: ...

    def backlog(self, relying_party: str) -> Mapping[str, int]:
        """How many transactions stand in each state that is not final, and under ``WAKES`` how many
        wake-ups were not sent yet."""
        ...

    def forget_nonces(self, relying_party: str, *, at: datetime) -> int: ...

    def take_callbacks(
        self, relying_party: str, *, wanted: Sequence[str], at: datetime, lease_seconds: int, limit: int
    ) -> tuple[Sequence[Callback], int]:
        """Due entries of wanted types, each leased to the caller and the first of its entity; and how many
        others were dropped, of types that are not wanted. Together at most ``limit``."""
        ...

    def drop_callbacks(self, relying_party: str, *, limit: int) -> int:
        """Of one that is told nothing: whatever there is, the dead too."""
        ...

    def callback_accepted(self, callback: Callback) -> None:
        """Removes the entry."""
        ...

    def callback_failed(self, callback: Callback, *, retry_at: datetime) -> None:
        """Nothing happens where somebody else took it since; likewise callback_died."""
        ...

    def callback_died(self, callback: Callback, *, at: datetime) -> None:
        """It is kept, never sent again, and holds up no later one."""
        ...

    def callback_backlog(self, relying_party: str) -> CallbackBacklog: ...


class CrlStore(Protocol):
    def latest_crl(self, issuer: bytes) -> Crl | None: ...

    def add_crl(self, crl: Crl) -> bool:
        """False where the number is taken."""
        ...

    def revoked(self, issuer: bytes) -> Sequence[tuple[int, datetime]]:
        """Serial number and time of each revoked device certificate of this CA."""
        ...


class SealKey(Protocol):
    """The key that seals evidence; a file, or an HSM."""

    @property
    def chain(self) -> Sequence[bytes]:
        """DER certificates, the seal's own first, without the anchor."""
        ...

    def sign(self, data: bytes) -> bytes:
        """ECDSA P-256 SHA-256 over data as r || s; raises SealUnavailable."""
        ...


class DeviceCA(Protocol):
    @property
    def chain(self) -> Sequence[bytes]:
        """DER certificates from the device CA's own upwards, without the anchor."""
        ...

    def issued(self, certificate: bytes) -> bool:
        """Whether this very CA issued a DER certificate: evidence cannot be made for another CA's."""
        ...

    def issue(self, key: EllipticCurvePublicKey, *, binding_id: UUID, at: datetime) -> bytes:
        """A DER certificate for a device's signing key; its subject is the binding's id."""
        ...

    def crl(self, *, at: datetime) -> bytes:
        """A DER CRL in force at the given time, of all that is revoked by then."""
        ...


class PushSender(Protocol):
    def send(self, target: str, *, wake_id: UUID) -> None:
        """Raises UnavailableError where the push service did not take it."""
        ...


class CallbackSender(Protocol):
    def send(self, callback: Callback, *, at: datetime) -> str | None:
        """None where the bank accepted it, else a code word that says why not."""
        ...


@dataclass(frozen=True, slots=True)
class Tenants:
    """The relying parties and what each may use: configuration, as the services see it."""

    relying_parties: Mapping[str, RelyingParty]
    profiles: Mapping[str, tuple[str, ...]]
    """Ids of the signature profiles that each relying party may use."""
