"""``verify_assertion``: does a device's answer prove the decision that it states?

The law (RTS (EU) 2018/389 articles 4, 5 and 9): the gateway composes the statement itself from what it
stored, so the answer is bound to that content, subject, relying party, device and decision or it fails.
Every element that the profile requires is checked whatever the others gave, and the answer is one
refusal that does not tell which; only ``possession`` tells the services, and nobody else, whether a
try may count. Counting and state are left to the services.
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


class PossessionNotProven(AssertionRefused):
    """The signing key did not sign: not the subject's device, so nobody's try is burnt."""


@dataclass(frozen=True, slots=True)
class VerifiedAssertion:
    decision: Decision
    signing_time: datetime
    signature: bytes
    factors: tuple[VerifiedFactor, ...]


def verify_assertion(
    assertion: RawAssertion,
    *,
    expected_content: Content,
    binding: DeviceBinding,
    profile: SignatureProfile,
    at: datetime,
) -> VerifiedAssertion:
    """The verified decision; raises PossessionNotProven, or AssertionRefused for all else.

    A rejection needs possession alone: nobody must know a PIN to say no.
    """
    statement = compose(expected_content, binding_id=binding.id, decision=assertion.decision)
    info = xades.device_signed_info(
        statement, certificate=binding.certificate, signing_time=assertion.signing_time
    )
    possession = _signed(binding.keys.signing, assertion.signature, info)
    knowledge = assertion.pin_signature is not None and _signed(
        binding.keys.pin, assertion.pin_signature, info
    )
    if not possession:
        raise PossessionNotProven()
    required = set(profile.factors) if assertion.decision is Decision.APPROVED else {Factor.DEVICE}
    hardware = binding.attestation.verdict == "hardware"
    skew = timedelta(seconds=profile.signing_time_skew_seconds)
    in_time = (
        expected_content.created_at - skew <= assertion.signing_time <= expected_content.expires_at + skew
        and abs(assertion.signing_time - at) <= skew + timedelta(seconds=1)
    )
    certified = spki_of_certificate(binding.certificate) == binding.keys.signing
    if (
        (Factor.PIN in required and not knowledge)
        or (Factor.BIOMETRIC in required and not hardware)
        or (profile.hardware_key and not hardware)
        or not in_time
        or not certified
    ):
        raise AssertionRefused()
    methods = ["hwk" if hardware else "swk"]
    methods += [word for factor, word in _AMR.items() if factor in required]
    return VerifiedAssertion(
        assertion.decision, assertion.signing_time, assertion.signature, tuple(FACTORS[m] for m in methods)
    )


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
