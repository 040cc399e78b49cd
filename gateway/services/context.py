"""What every use case is given: the ports, the tenants' configuration, and nothing that changes.

The law: built once by the composition root; a service takes it first, then the caller, then keywords.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from gateway import __version__
from gateway.core.attestation.policy import AttestationPolicy
from gateway.core.certpath import TrustStore, load_certificate
from gateway.core.client import ClientRules
from gateway.core.errors import GatewayError, MisuseError, ProfileNotAvailable
from gateway.core.model import BindingState, Caller, DeviceBinding, Kind, RelyingParty
from gateway.core.profile import SignatureProfile, reaches
from gateway.core.transaction import Transaction
from gateway.ports import Clock, DeviceCA, SealKey, Store, Tenants
from gateway.services.waits import Waits

SOFTWARE = f"mobileid-gateway {__version__}"


@dataclass(frozen=True, slots=True)
class ActivationRules:
    """How activation codes are, and who may activate what; the bounds are held by the configuration."""

    code_length: int
    code_alphabet: str
    """Different digits and capitals, each of which stands for its place in this order."""
    lifetime_seconds: int
    max_failures: int
    artifact_lifetime_seconds: int
    max_devices: int
    """Of one subject, ACTIVE and LOCKED."""
    recovery_codes: bool
    """Whether devices leave a recovery code, and registrations for recovery are opened."""
    secret: bytes
    """32 bytes: codes and artifacts are derived from it, so that none is ever stored."""

    def code(self, registration_id: UUID) -> str:
        """The code of a registration: HMAC-SHA-256 of its id, as a number in the alphabet's own base."""
        mac = hmac.digest(self.secret, b"activation-code:" + registration_id.bytes, hashlib.sha256)
        rest, base = int.from_bytes(mac, "big"), len(self.code_alphabet)
        code = ""
        for _ in range(self.code_length):
            rest, place = divmod(rest, base)
            code = self.code_alphabet[place] + code
        return code

    def artifact(self, registration_id: UUID) -> bytes:
        """The artifact of a registration: 256 bits that nobody without the secret can tell from random."""
        return hmac.digest(self.secret, b"registration-artifact:" + registration_id.bytes, hashlib.sha256)


class Magic(Protocol):
    """Subjects that a sandbox answers for by itself."""

    def prepare(self, gw: Gateway, *, relying_party: str, external_ref: str, at: datetime) -> None:
        """Raises the fault that a name asks for, or sees to it that the name has a phone."""
        ...

    def play(self, gw: Gateway, transaction: Transaction) -> None:
        """Begins what the name does with a transaction, and waits for none of it."""
        ...


@dataclass(frozen=True, slots=True)
class Gateway:
    store: Store
    tenants: Tenants
    profiles: Mapping[str, SignatureProfile]
    """All signature profiles by id; ``tenants`` says who may use which."""
    device_ca: DeviceCA
    seal_key: SealKey
    trust: TrustStore
    activation: ActivationRules
    clients: ClientRules
    clock: Clock
    waits: Waits
    public_url: str
    """Base URL as devices see it, without a slash at its end."""
    attestation: AttestationPolicy = field(default_factory=AttestationPolicy)
    """Whose attestations of keys are believed at an activation: nobody's, unless it is configured."""
    magic: Magic | None = None
    """Answers for certain names; only in a sandbox."""

    def relying_party(self, relying_party_id: str) -> RelyingParty:
        """Raises MisuseError: callers' relying parties were checked when configuration was read."""
        try:
            return self.tenants.relying_parties[relying_party_id]
        except KeyError:
            raise MisuseError("a caller of an unknown relying party") from None

    def profile(
        self, relying_party_id: str, *, kind: Kind, profile_id: str | None, acr: str | None = None
    ) -> SignatureProfile:
        """The named profile, or the relying party's first for the kind that reaches the level ``acr``;
        ProfileNotAvailable without."""
        for candidate in self.tenants.profiles[relying_party_id]:
            profile = self.profiles[candidate]
            if profile.kind is kind and profile_id in (None, profile.id) and reaches(profile.acr, acr):
                return profile
        raise ProfileNotAvailable(field="profile" if acr is None else "acr")


def usable(gw: Gateway, binding: DeviceBinding, *, at: datetime) -> bool:
    """ACTIVE, and evidence of its signature could be made: its certificate is in force and of our CA."""
    if binding.state is not BindingState.ACTIVE:
        return False
    certificate = load_certificate(binding.certificate)
    in_force = certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc
    return in_force and gw.device_ca.issued(binding.certificate)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    time: datetime
    version: str
    database: bool


def heartbeat(gw: Gateway, caller: Caller, *, at: datetime) -> Heartbeat:
    """Says that the gateway answers and whether its database does."""
    caller.require("Heartbeat")
    try:
        gw.store.transaction_states(caller.relying_party, [UUID(int=0)])
    except GatewayError:
        return Heartbeat(at, __version__, False)
    return Heartbeat(at, __version__, True)
