"""Does a device's answer prove the decision that it states? First possession, then all factors.

The law (RTS (EU) 2018/389 articles 4, 5 and 9): the gateway composes the statement itself from what it
stored, so the answer is bound to that content, subject, relying party, device and decision or it fails.
Outside it is one refusal that does not tell which element failed; PossessionNotProven tells the services,
and nobody else, that no PIN was tried. What could not become evidence is refused here: a certificate
that is not valid, or not for this key. Counting and state are left to the services.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.core import xades
from gateway.core.certpath import load_certificate
from gateway.core.errors import AssertionRefused
from gateway.core.evidence import VerifiedFactor
from gateway.core.keys import SignatureInvalid, parse_p256, spki_of, verify_p256
from gateway.core.model import Decision, DeviceBinding, Factor, RawAssertion
from gateway.core.profile import SignatureProfile
from gateway.core.statement import Content, compose

FACTORS: Final = {
    "hwk": VerifiedFactor("hwk", "gateway", "signing-key-signature"),
    "swk": VerifiedFactor("swk", "gateway", "signing-key-signature"),
    "pin": VerifiedFactor("pin", "gateway", "derived-key-signature"),
    "user": VerifiedFactor("user", "device", "attested-key-property"),
}
"""By RFC 8176 ``amr`` word: who verifies a factor here, and how."""


_AMR: Final = {Factor.PIN: "pin", Factor.BIOMETRIC: "user"}


@dataclass(frozen=True, slots=True)
class VerifiedPossession:
    decision: Decision
    info: bytes
    """The SignedInfo that the signing key signed, and that the PIN's key has to sign too."""
    factor: VerifiedFactor


class PossessionNotProven(AssertionRefused):
    """The signing key did not sign: not the subject's device, so nobody's try is burnt.

    ``possession`` is what would have been proven: for work that time must not tell from the real one's.
    """

    def __init__(self, possession: VerifiedPossession) -> None:
        super().__init__()
        self.possession = possession


@dataclass(frozen=True, slots=True)
class VerifiedAssertion:
    decision: Decision
    factors: tuple[VerifiedFactor, ...]


def verify_possession(
    assertion: RawAssertion,
    *,
    expected_content: Content,
    binding: DeviceBinding,
    profile: SignatureProfile,
    at: datetime,
) -> VerifiedPossession:
    """The decision as the device's signing key signed it; raises PossessionNotProven.

    It tells nothing of the PIN, so it is asked before a try is counted. A rejection needs no more.
    """
    statement = compose(expected_content, binding_id=binding.id, decision=assertion.decision)
    info = xades.device_signed_info(
        statement, certificate=binding.certificate, signing_time=assertion.signing_time
    )
    certificate = load_certificate(binding.certificate)
    hardware = binding.attestation.verdict == "hardware"
    skew = timedelta(seconds=profile.signing_time_skew_seconds)
    signed_at = assertion.signing_time
    holds = (
        _signed(binding.keys.signing, assertion.signature, info),
        spki_of_certificate(binding.certificate) == binding.keys.signing,
        expected_content.created_at - skew <= signed_at <= expected_content.expires_at + skew,
        abs(signed_at - at) <= skew + timedelta(seconds=1),
        certificate.not_valid_before_utc <= signed_at <= certificate.not_valid_after_utc,
        certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc,
        hardware or not profile.hardware_key,
    )
    possession = VerifiedPossession(assertion.decision, info, FACTORS["hwk" if hardware else "swk"])
    if not all(holds):
        raise PossessionNotProven(possession)
    return possession


def verify_factors(
    assertion: RawAssertion,
    *,
    possession: VerifiedPossession,
    binding: DeviceBinding,
    profile: SignatureProfile,
) -> VerifiedAssertion:
    """All factors that the profile requires of an approval; raises AssertionRefused, whichever is missing."""
    factors = [possession.factor]
    if possession.decision is Decision.APPROVED:
        knowledge = assertion.pin_signature is not None and _signed(
            binding.keys.pin, assertion.pin_signature, possession.info
        )
        proven = {
            Factor.DEVICE: True,
            Factor.PIN: knowledge,
            Factor.BIOMETRIC: binding.attestation.proves_biometric,
        }
        if not all(proven[factor] for factor in profile.factors):
            raise AssertionRefused()
        factors += [FACTORS[word] for factor, word in _AMR.items() if factor in profile.factors]
    return VerifiedAssertion(possession.decision, tuple(factors))


def spki_of_certificate(certificate: bytes) -> bytes:
    """The DER SubjectPublicKeyInfo that a DER device certificate certifies."""
    key = load_certificate(certificate).public_key()
    return spki_of(key)  # type: ignore[arg-type]


def _signed(spki: bytes, signature: bytes, data: bytes) -> bool:
    try:
        verify_p256(parse_p256(spki), signature, data=data)
    except (SignatureInvalid, ValueError):
        return False
    return True
