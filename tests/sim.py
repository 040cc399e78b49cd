"""A simulated world without a database: a PKI, a bank, a subject, a device, and what they sign.

It drives the real core and the real sealing service. ``evidence`` gives a sealed document; every field
of it can be replaced before the device signs (``content``, ``decision``) or after it and before the
genuine seal (``change``), so that a vector differs from a good document in one thing only.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.core import certpath, xades
from gateway.core.assertion import FACTORS
from gateway.core.certpath import TrustStore, parse_trust
from gateway.core.evidence import Evidence, compose_unsealed
from gateway.core.keys import sign_p256
from gateway.core.model import (
    Attestation,
    Channel,
    Decision,
    Factor,
    IdentityAttribute,
    Kind,
    RelyingParty,
    uuid7,
)
from gateway.core.profile import SignatureProfile, profile_digest
from gateway.core.statement import Content, ShownText, compose
from gateway.core.text import UNICODE_VERSION
from gateway.core.xmldsig import UnverifiedSignature
from gateway.outbound.device_ca import FileDeviceCA
from gateway.ports import Crl
from gateway.sandbox import Issuer, Pki, make_pki
from gateway.services.evidence import seal

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
PROFILE = SignatureProfile(
    id="consent-pin",
    kind=Kind.CONSENT_SIGNATURE,
    factors=(Factor.DEVICE, Factor.PIN),
    lifetime_seconds=300,
    signing_time_skew_seconds=120,
    max_text_length=50_000,
    max_failures=3,
    released_attributes=("name",),
    hardware_key=False,
    algorithms=("ES256",),
    channels=(Channel.BACKEND,),
    evidence=True,
    code_lifetime_seconds=300,
    number_matching=False,
    not_me_locks=False,
    max_waiting=50,
    max_starts=1000,
)


class MemoryCrls:
    """The CRL store of the simulated device CA."""

    def __init__(self) -> None:
        self.crls: list[Crl] = []
        self.entries: list[tuple[int, datetime]] = []

    def latest_crl(self, issuer: bytes) -> Crl | None:
        return self.crls[-1] if self.crls else None

    def add_crl(self, crl: Crl) -> bool:
        self.crls.append(crl)
        return True

    def revoked(self, issuer: bytes) -> Sequence[tuple[int, datetime]]:
        return self.entries


class MemoryDeviceCA(FileDeviceCA):
    """The real device CA over a key that is not in a file."""

    def __init__(self, issuer: Issuer, store: MemoryCrls) -> None:
        self.key, self.certificates = issuer.key, [issuer.certificate]
        self._store = store


class MemorySealKey:
    def __init__(self, issuer: Issuer, *above: Issuer) -> None:
        self._key = issuer.key
        self.chain = [certpath.der(c.certificate) for c in (issuer, *above)]

    def sign(self, data: bytes) -> bytes:
        return sign_p256(self._key, data)


@dataclass
class World:
    at: datetime = NOW
    pki: Pki = field(default_factory=lambda: make_pki(at=NOW - timedelta(days=30)))
    crls: MemoryCrls = field(default_factory=MemoryCrls)
    device_key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    binding_id: UUID = field(default_factory=lambda: uuid7(NOW - timedelta(days=7)))

    @property
    def bound_at(self) -> datetime:
        return self.at - timedelta(days=7)

    @cached_property
    def device_ca(self) -> MemoryDeviceCA:
        return MemoryDeviceCA(self.pki.device_ca, self.crls)

    @cached_property
    def seal_key(self) -> MemorySealKey:
        return MemorySealKey(self.pki.seal)

    @cached_property
    def device_certificate(self) -> bytes:
        return self.device_ca.issue(
            self.device_key.public_key(), binding_id=self.binding_id, at=self.bound_at
        )

    @property
    def trust(self) -> TrustStore:
        return parse_trust(self.pki.trust_pem())

    def revoke(self, *, at: datetime) -> None:
        serial = x509.load_der_x509_certificate(self.device_certificate).serial_number
        self.crls.entries.append((serial, at))

    def content(self, **changes: object) -> Content:
        created = self.at - timedelta(seconds=60)
        content = Content(
            unicode_version=UNICODE_VERSION,
            transaction_id=uuid7(created),
            kind=Kind.CONSENT_SIGNATURE,
            created_at=created,
            expires_at=created + timedelta(seconds=300),
            nonce=secrets.token_bytes(32),
            relying_party=RelyingParty("demo-bank", "Demo Bank"),
            subject="s-5f1d7a",
            locale="en",
            texts=(ShownText("Mortgage", "I borrow € 348.500,00.\nAgreed & accepted.", "text/plain"),),
        )
        return replace(content, **changes)  # type: ignore[arg-type]

    def device_signature(
        self,
        content: Content,
        *,
        decision: Decision = Decision.APPROVED,
        signing_time: datetime | None = None,
    ) -> UnverifiedSignature:
        """The device's genuine signature over the statement of this content and decision."""
        when = signing_time or self.at - timedelta(seconds=20)
        statement = compose(content, binding_id=self.binding_id, decision=decision)
        properties = xades.device_signed_properties(certificate=self.device_certificate, signing_time=when)
        info = xades.device_signed_info(statement, certificate=self.device_certificate, signing_time=when)
        return UnverifiedSignature(
            shape=xades.DEVICE,
            algorithm=xades.ECDSA_SHA256,
            data_digest=xades.sha256(statement),
            key_info_digest=None,
            properties_digest=xades.sha256(properties),
            value=sign_p256(self.device_key, info),
            chain=(self.device_certificate, *self.device_ca.chain),
            signing_time=when,
            certificate_digest=xades.sha256(self.device_certificate),
            policy=None,
        )

    def model(
        self,
        *,
        content: Content | None = None,
        decision: Decision = Decision.APPROVED,
        profile: SignatureProfile = PROFILE,
        signing_time: datetime | None = None,
    ) -> Evidence:
        """A good evidence, not sealed yet."""
        shown = content or self.content()
        document = profile.document()
        return Evidence(
            id=uuid7(self.at),
            content=shown,
            binding_id=self.binding_id,
            decision=decision,
            device_signature=self.device_signature(shown, decision=decision, signing_time=signing_time),
            device_crl=self.device_ca.crl(at=self.at),
            transaction_id=shown.transaction_id,
            relying_party_id=shown.relying_party.id,
            external_ref="customer-4711",
            pseudonym=shown.subject,
            attributes=(IdentityAttribute("name", "Zoë Ångström-Şahin"),),
            device_binding_id=self.binding_id,
            platform="test",
            bound_at=self.bound_at,
            attestation=Attestation("none", "software"),
            acr=profile.acr,
            factors=(FACTORS["swk"], FACTORS["pin"]),
            failed_attempts=0,
            channel="backend",
            profile_id=profile.id,
            profile_digest=profile_digest(document),
            profile_document=document,
            claimed_at=self.at - timedelta(seconds=40),
            decided_at=self.at - timedelta(seconds=20),
            software="mobileid-gateway test",
        )

    def evidence(self, change: Callable[[Evidence], Evidence] = lambda e: e, **made: object) -> bytes:
        """A document sealed with the genuine key; ``change`` edits it after the device signed."""
        model = change(self.model(**made))  # type: ignore[arg-type]
        return seal(compose_unsealed(model), key=self.seal_key, at=self.at)
