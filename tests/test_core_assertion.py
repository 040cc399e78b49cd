"""A device's answer: bound to content, subject, device and decision, and every factor checked."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from sim import NOW, PROFILE, World

from gateway.core import xades
from gateway.core.assertion import (
    FACTORS,
    PossessionNotProven,
    VerifiedAssertion,
    verify_factors,
    verify_possession,
)
from gateway.core.errors import AssertionRefused
from gateway.core.keys import sign_p256, spki_of
from gateway.core.model import (
    Attestation,
    AttestedKey,
    BindingState,
    Decision,
    DeviceBinding,
    DeviceKeys,
    Factor,
    RawAssertion,
    uuid7,
)
from gateway.core.statement import Content, compose

WORLD = World()
PIN_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
CONTENT = WORLD.content()
SIGNED_AT = NOW - timedelta(seconds=20)
BINDING = DeviceBinding(
    relying_party="demo-bank",
    id=WORLD.binding_id,
    subject_id=uuid7(NOW),
    name="phone",
    platform="test",
    state=BindingState.ACTIVE,
    keys=DeviceKeys(
        signing=spki_of(WORLD.device_key.public_key()),
        transport=spki_of(OTHER_KEY.public_key()),
        pin=spki_of(PIN_KEY.public_key()),
    ),
    certificate=WORLD.device_certificate,
    attestation=Attestation("none", "software"),
    failures=0,
    bound_at=WORLD.bound_at,
)


def attested(user_verification: str, verdict: str = "hardware") -> DeviceBinding:
    key = AttestedKey("tee", user_verification, uuid7(NOW), BINDING.keys.transport)
    return replace(BINDING, attestation=Attestation("android-key", verdict, b"object", key))


HARDWARE = attested("biometric")


def answer(
    content: Content = CONTENT,
    *,
    decision: Decision = Decision.APPROVED,
    key: ec.EllipticCurvePrivateKey = WORLD.device_key,
    pin: ec.EllipticCurvePrivateKey | None = PIN_KEY,
    signed_at: Any = SIGNED_AT,
    certificate: bytes = BINDING.certificate,
) -> RawAssertion:
    statement = compose(content, binding_id=BINDING.id, decision=decision)
    info = xades.device_signed_info(statement, certificate=certificate, signing_time=signed_at)
    return RawAssertion(decision, signed_at, sign_p256(key, info), pin and sign_p256(pin, info))


def judge(
    assertion: RawAssertion,
    content: Content = CONTENT,
    *,
    binding: DeviceBinding = BINDING,
    at: Any = NOW,
    **profile: Any,
) -> VerifiedAssertion:
    rules = replace(PROFILE, **profile)
    possession = verify_possession(assertion, expected_content=content, binding=binding, profile=rules, at=at)
    return verify_factors(assertion, possession=possession, binding=binding, profile=rules)


def test_an_approval_by_device_and_pin() -> None:
    verified = judge(answer())
    assert verified.decision is Decision.APPROVED
    assert verified.factors == (FACTORS["swk"], FACTORS["pin"])


@pytest.mark.parametrize("decision", [Decision.REJECTED_NOT_ME, Decision.REJECTED_CANCELLED])
def test_nobody_needs_a_pin_to_say_no(decision: Decision) -> None:
    verified = judge(answer(decision=decision, pin=None))
    assert (verified.decision, verified.factors) == (decision, (FACTORS["swk"],))


@pytest.mark.rts("4(2)", "5(1)(b)-(d)")
@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": bytes(32)},
        {"subject": "s-000000"},
        {"texts": ()},
        {"locale": "de"},
        {"transaction_id": uuid7(NOW)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_signature_over_other_content_proves_nothing(changes: dict[str, Any]) -> None:
    with pytest.raises(PossessionNotProven):
        judge(answer(), replace(CONTENT, **changes))


@pytest.mark.rts("4(2)")
def test_a_decision_cannot_be_turned_round() -> None:
    rejected = answer(decision=Decision.REJECTED_NOT_ME)
    with pytest.raises(PossessionNotProven):
        judge(replace(rejected, decision=Decision.APPROVED))


@pytest.mark.rts("9")
@pytest.mark.parametrize("key", [OTHER_KEY, PIN_KEY], ids=["transport key", "PIN key"])
def test_another_key_of_the_same_device_is_not_possession(key: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(PossessionNotProven):
        judge(answer(key=key))


@pytest.mark.rts("4(2)")
def test_another_binding() -> None:
    with pytest.raises(PossessionNotProven):
        judge(answer(), binding=replace(BINDING, id=uuid7(NOW)))


@pytest.mark.rts("4(1)", "9")
@pytest.mark.parametrize("pin", [None, OTHER_KEY, WORLD.device_key], ids=["none", "another", "signing key"])
def test_a_pin_that_is_not_proven_is_refused_and_counts(pin: Any) -> None:
    with pytest.raises(AssertionRefused) as refused:
        judge(answer(pin=pin))
    assert not isinstance(refused.value, PossessionNotProven)


@pytest.mark.rts("4(3)(a)")
def test_both_refusals_look_the_same_outside() -> None:
    def refusal(assertion: RawAssertion) -> tuple[str, str]:
        with pytest.raises(AssertionRefused) as refused:
            judge(assertion)
        return refused.value.code, refused.value.message

    assert refusal(answer(pin=OTHER_KEY)) == refusal(answer(key=OTHER_KEY))


@pytest.mark.rts("4(2)")
@pytest.mark.parametrize("signature", [b"", bytes(64), b"\xff" * 64, bytes(63)], ids=len)
def test_malformed_signatures(signature: bytes) -> None:
    with pytest.raises(PossessionNotProven):
        judge(replace(answer(), signature=signature))
    with pytest.raises(AssertionRefused):
        judge(replace(answer(), pin_signature=signature))


@pytest.mark.parametrize("seconds", [-122, 122])
def test_a_clock_too_far_off(seconds: int) -> None:
    with pytest.raises(AssertionRefused):
        judge(answer(signed_at=NOW + timedelta(seconds=seconds)))


def test_a_signing_time_outside_the_transaction() -> None:
    early = CONTENT.created_at - timedelta(seconds=121)
    with pytest.raises(AssertionRefused):
        judge(answer(signed_at=early), at=early)
    judge(answer(signed_at=early + timedelta(seconds=1)), at=early)


@pytest.mark.parametrize(
    ("begins", "ends", "signed", "good"),
    [
        (-30, 30, -20, True),
        (-10, 30, -20, False),
        (-30, -10, -20, False),
        (-30, 10, 20, False),
        (10, 30, 20, False),
    ],
    ids=["good", "signed before it", "judged after it", "signed after it", "judged before it"],
)
def test_the_certificate_is_in_force_when_signed_and_when_judged(
    begins: int, ends: int, signed: int, good: bool
) -> None:
    """Seconds from the moment of judging."""
    name = x509.Name([])
    certificate = (
        x509.CertificateBuilder(name, name, WORLD.device_key.public_key(), 1)
        .not_valid_before(NOW + timedelta(seconds=begins))
        .not_valid_after(NOW + timedelta(seconds=ends))
        .sign(OTHER_KEY, SHA256())
        .public_bytes(Encoding.DER)
    )
    binding = replace(BINDING, certificate=certificate)
    assertion = answer(signed_at=NOW + timedelta(seconds=signed), certificate=certificate)
    with nullcontext() if good else pytest.raises(PossessionNotProven):
        judge(assertion, binding=binding)


@pytest.mark.rts("7")
def test_hardware_is_required_where_the_profile_says_so() -> None:
    with pytest.raises(AssertionRefused):
        judge(answer(), hardware_key=True)
    assert judge(answer(), binding=HARDWARE, hardware_key=True).factors[0] == FACTORS["hwk"]


@pytest.mark.rts("8")
def test_a_biometric_needs_an_attested_key() -> None:
    factors = (Factor.DEVICE, Factor.BIOMETRIC)
    with pytest.raises(AssertionRefused):
        judge(answer(pin=None), factors=factors)
    verified = judge(answer(pin=None), binding=HARDWARE, factors=factors)
    assert verified.factors == (FACTORS["hwk"], FACTORS["user"])


@pytest.mark.rts("8")
@pytest.mark.parametrize("opens", ["", "credential", "biometric-or-credential"])
def test_what_something_else_opens_too_is_no_biometric(opens: str) -> None:
    binding = attested(opens)
    assert judge(answer(), binding=binding, hardware_key=True).factors == (FACTORS["hwk"], FACTORS["pin"])
    with pytest.raises(AssertionRefused):
        judge(answer(pin=None), binding=binding, factors=(Factor.DEVICE, Factor.BIOMETRIC))


@pytest.mark.rts("8")
def test_a_biometric_that_software_demands_is_none() -> None:
    with pytest.raises(AssertionRefused):
        judge(
            answer(pin=None),
            binding=attested("biometric", "software"),
            factors=(Factor.DEVICE, Factor.BIOMETRIC),
        )


def test_the_certificate_must_be_for_the_signing_key() -> None:
    keys = replace(BINDING.keys, signing=spki_of(OTHER_KEY.public_key()))
    with pytest.raises(AssertionRefused):
        judge(answer(key=OTHER_KEY), binding=replace(BINDING, keys=keys))
