"""The nouns of the gateway as frozen values.

The law: a value of these types is complete and typed; nothing here reads a clock, a socket or SQL.
Times are aware and UTC, cut to whole seconds wherever they enter a statement. How values are stored
is left to storage, how they are spoken to the faces.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from gateway.core.errors import NotPermitted


class Kind(StrEnum):
    """What a transaction asks for; the value stands in the statement."""

    AUTHENTICATION = "authentication"
    AUTHORISATION = "authorisation"
    CONSENT_SIGNATURE = "consent-signature"
    DOCUMENT_SIGNATURE = "document-signature"
    TEXT_SIGNATURE = "text-signature"


class Decision(StrEnum):
    """What the subject decided; the value stands in the statement."""

    APPROVED = "approved"
    REJECTED_NOT_ME = "rejected-not-me"
    REJECTED_CANCELLED = "rejected-cancelled"


class Channel(StrEnum):
    """Who started a transaction; the value stands in evidence."""

    BACKEND = "backend"
    APP = "app"


class Factor(StrEnum):
    """One authentication element, as a signature profile demands it."""

    DEVICE = "device"
    """Possession, by a signature of the signing key."""
    PIN = "pin"
    """Knowledge, by a signature of the PIN-derived key."""
    BIOMETRIC = "biometric"
    """Inherence, as the signing key's attested properties require it."""


class BindingState(StrEnum):
    ACTIVE = "ACTIVE"  # the subject may decide with it
    LOCKED = "LOCKED"  # too many failures, or the bank: re-activation or unlock moves next
    REVOKED = "REVOKED"  # final


class LockReason(StrEnum):
    """Why a device was locked or revoked; the word stands in its history."""

    CALLER = "caller"  # the relying party, without saying more
    LOST = "lost"
    STOLEN = "stolen"
    SUBJECT = "subject"  # the person asked for it, or did it on the device
    FRAUD = "fraud"
    REPLACED = "replaced"  # another device has taken its place
    FAILURES = "failures"  # the gateway: too many failed tries
    NOT_ME = "not-me"  # the gateway: a signed rejection said so


GATEWAYS_REASONS = frozenset({LockReason.FAILURES, LockReason.NOT_ME})
"""Those that no caller gives."""


class DeviceEvent(StrEnum):
    """What may stand in a device's history."""

    BIND = "BIND"  # activated
    ALERT = "ALERT"  # told of another device that was activated
    RENAME = "RENAME"
    LOCK = "LOCK"
    UNLOCK = "UNLOCK"
    LOCK_PIN = "LOCKPIN"  # the method alone
    UNLOCK_PIN = "UNLOCKPIN"
    CHANGE_PIN = "CHANGEPIN"  # by the person, who knew the old one
    START_PIN_RESET = "STARTPINRESET"
    BLOCK_PIN_RESET = "BLOCKPINRESET"  # too many wrong codes
    RESET_PIN = "RESETPIN"  # the device has a new PIN, and what failures had locked is open
    REVOKE = "REVOKE"
    FAIL_TRY = "FAILTRY"  # what should have proven the person or the device was wrong


class FailedTry(StrEnum):
    """What a failed try was for; the word stands beside FAILTRY. All but the last are counted."""

    ACTIVATION = "activation"  # in the history of a registration: a wrong code, or a proof
    APPROVAL = "approval"  # a wrong PIN or number
    PIN_CHANGE = "pin-change"  # a wrong old PIN
    PIN_RESET = "pin-reset"  # a wrong code, or one that nobody offered
    POSSESSION = "possession"  # not signed by the device's signing key: nobody's try was burnt


class PinResetState(StrEnum):
    PENDING = "PENDING"  # the subject moves next: the code and a new PIN on the device
    COMPLETED = "COMPLETED"  # final: the device has a new PIN
    EXPIRED = "EXPIRED"  # final
    BLOCKED = "BLOCKED"  # final: too many failures
    CANCELLED = "CANCELLED"  # final: a later reset, a lock or a revocation ended it


class RegistrationPurpose(StrEnum):
    """What a registration is opened for."""

    NEW_DEVICE = "new-device"
    """One more device, or the replacement of one whose app still has its keys."""
    REACTIVATION = "re-activation"
    """The replacement of a device whose app still has its keys, and nothing else."""
    RECOVERY = "recovery"
    """The first device after all were lost: a recovery code stands in for the activation code."""


class RegistrationState(StrEnum):
    ISSUED = "ISSUED"  # the app moves next: redeem the artifact
    PENDING = "PENDING"  # the subject moves next: activate
    ACTIVATED = "ACTIVATED"  # final: a device binding exists
    EXPIRED = "EXPIRED"  # final
    BLOCKED = "BLOCKED"  # final: too many failures


@dataclass(frozen=True, slots=True)
class RelyingParty:
    id: str
    """The tenant: 1 to 40 of ``a-z0-9-``; first part of every key."""
    name: str
    """As shown to subjects and written into statements."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, after authentication: the one result of every way to authenticate."""

    id: str
    relying_party: str
    rights: frozenset[str]
    """Names of operations, as in the WSDL."""

    def require(self, operation: str) -> None:
        """Raises NotPermitted unless the operation was granted by name."""
        if operation not in self.rights:
            raise NotPermitted()


@dataclass(frozen=True, slots=True)
class IdentityAttribute:
    name: str
    """For instance ``name`` or ``national-id``: 1 to 64 of ``a-z0-9-``."""
    value: str


@dataclass(frozen=True, slots=True)
class Subject:
    relying_party: str
    id: UUID
    external_ref: str
    """How the relying party names the person."""
    pseudonym: str
    """How statements name the person: random, says nothing."""
    attributes: tuple[IdentityAttribute, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Registration:
    relying_party: str
    id: UUID
    subject_id: UUID
    activation_id: UUID
    """128 random bits: the half that travels in the QR code."""
    state: RegistrationState
    failures: int
    created_at: datetime
    expires_at: datetime
    binding_id: UUID | None = None
    purpose: RegistrationPurpose = RegistrationPurpose.NEW_DEVICE

    def state_at(self, at: datetime) -> RegistrationState:
        """The state as seen at a time: an ISSUED or PENDING one past its end is EXPIRED."""
        waits = self.state in (RegistrationState.ISSUED, RegistrationState.PENDING)
        if waits and at >= self.expires_at:
            return RegistrationState.EXPIRED
        return self.state


@dataclass(frozen=True, slots=True)
class DeviceKeys:
    """The public keys of one binding, each a DER SubjectPublicKeyInfo of a P-256 key."""

    signing: bytes
    transport: bytes
    pin: bytes


@dataclass(frozen=True, slots=True)
class AttestedKey:
    """What an attestation object says of the signing key, and what its challenge was made of."""

    level: str
    """``software``, ``tee`` or ``strongbox``."""
    user_verification: str
    """What the key demands for each use: ``biometric``, ``credential`` (the phone's own lock),
    ``biometric-or-credential``, or nothing."""
    activation_id: UUID
    transport_key: bytes
    """The binding's, DER."""


@dataclass(frozen=True, slots=True)
class Attestation:
    """What is known of the origin of the signing key."""

    format: str
    """``none``, or the name of an attestation format."""
    verdict: str
    """``software``: no proof of hardware; ``hardware``: proven by the object."""
    object: bytes = b""
    """The raw attestation object, as it came."""
    key: AttestedKey | None = None
    """None where there is no attestation."""

    @property
    def proves_biometric(self) -> bool:
        """Hardware lets the key sign once for each biometric, and for nothing else that opens it."""
        return (
            self.verdict == "hardware" and self.key is not None and self.key.user_verification == "biometric"
        )


@dataclass(frozen=True, slots=True)
class DeviceBinding:
    relying_party: str
    id: UUID
    subject_id: UUID
    name: str
    platform: str
    state: BindingState
    keys: DeviceKeys
    certificate: bytes
    """DER: the device CA's certificate for the signing key."""
    attestation: Attestation
    failures: int
    """Consecutive failed tries, reserved ones included."""
    bound_at: datetime
    lock_reason: LockReason | None = None
    """While LOCKED."""
    locked_methods: frozenset[Factor] = frozenset()
    """Factors that are locked alone: what needs none of them goes on."""
    pin_version: int = 0
    """Counts the PIN's keys: one more with each change and reset."""

    client_name: str | None = None
    client_version: str | None = None
    """Of the app that sent the last request; both or none."""

    def offers(self, factors: Iterable[Factor]) -> bool:
        """Whether none of them is locked."""
        return self.locked_methods.isdisjoint(factors)


@dataclass(frozen=True, slots=True)
class PinReset:
    """One offer to set a new PIN on one device, with a code from another channel."""

    relying_party: str
    id: UUID
    binding_id: UUID
    subject_id: UUID
    state: PinResetState
    failures: int
    created_at: datetime
    expires_at: datetime

    def state_at(self, at: datetime) -> PinResetState:
        """The state as seen at a time: a PENDING one past its end is EXPIRED."""
        if self.state is PinResetState.PENDING and at >= self.expires_at:
            return PinResetState.EXPIRED
        return self.state


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One event of a device, as it was recorded."""

    id: UUID
    """UUIDv7: orders the entries."""
    event: str
    """Usually a DeviceEvent."""
    state: str
    """The device's, once it had happened."""
    reason: str
    """A code word, or empty."""
    at: datetime


@dataclass(frozen=True, slots=True)
class Notice:
    """What a device is told that concerns its subject's other devices."""

    id: UUID
    kind: str
    """``new-device``: another device was bound to the subject."""
    at: datetime
    name: str | None
    """How the subject called that device."""


@dataclass(frozen=True, slots=True)
class RawAssertion:
    """A device's answer exactly as it came; nothing in it is verified yet."""

    decision: Decision
    signing_time: datetime
    signature: bytes
    """r || s, 64 bytes, by the signing key over SignedInfo."""
    pin_signature: bytes | None
    """r || s, 64 bytes, by the PIN-derived key over the same SignedInfo. Never stored."""
    match_number: str | None = None
    """What the subject typed where the profile demands number matching. Never stored."""


def uuid7(at: datetime, *, first: bool = False) -> UUID:
    """A UUIDv7 (RFC 9562 section 5.7) of the given time and 73 random bits and more.

    The ``first`` of a millisecond lies before all others: for an event that leads to another at once.
    """
    milliseconds = int(at.timestamp() * 1000) & (1 << 48) - 1
    rand_a = 0 if first else 1 + secrets.randbelow(0xFFF)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | secrets.randbits(62))


def utc_now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def whole_seconds(at: datetime) -> datetime:
    """The same instant cut to whole seconds: the precision of statements."""
    return at.astimezone(UTC).replace(microsecond=0)


def format_time(at: datetime) -> str:
    """``YYYY-MM-DDThh:mm:ssZ``: the one spelling of a time in statements and evidence."""
    return whole_seconds(at).replace(tzinfo=None).isoformat() + "Z"


def parse_time(text: str) -> datetime:
    """Raises ValueError for every spelling but format_time's."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    if format_time(at) != text:
        raise ValueError("not the canonical spelling of a time")
    return at
