"""No signature serves twice: one made for one kind, subject, bank, device or decision, tried for every other.

The hardest case on purpose: one person holds all the keys, so every context has the same signing key and PIN
key, and transaction id, nonce, times and shown text are the same too. What separates is the statement.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sim import NOW, PROFILE, World

from gateway.core import xades
from gateway.core.assertion import PossessionNotProven, VerifiedPossession, verify_factors, verify_possession
from gateway.core.errors import AssertionRefused
from gateway.core.keys import sign_p256, spki_of
from gateway.core.model import (
    Attestation,
    BindingState,
    Decision,
    DeviceBinding,
    DeviceKeys,
    Kind,
    RawAssertion,
    RelyingParty,
)
from gateway.core.statement import Content, compose

WORLD = World()
PIN_KEY = ec.generate_private_key(ec.SECP256R1())
SIGNED_AT = NOW - timedelta(seconds=20)
CONTENT = WORLD.content()
CERTIFICATES = {
    UUID(int=number): WORLD.device_ca.issue(
        WORLD.device_key.public_key(), binding_id=UUID(int=number), at=WORLD.bound_at
    )
    for number in (1, 2)
}


@dataclass(frozen=True, slots=True)
class Context:
    kind: Kind
    subject: str
    bank: str
    device: UUID
    decision: Decision

    @property
    def content(self) -> Content:
        bank = RelyingParty(self.bank, "Bank")
        return replace(CONTENT, kind=self.kind, subject=self.subject, relying_party=bank)

    @property
    def binding(self) -> DeviceBinding:
        keys = (WORLD.device_key, WORLD.device_key, PIN_KEY)
        return DeviceBinding(
            relying_party=self.bank,
            id=self.device,
            subject_id=UUID(int=9),
            name="Phone",
            platform="test",
            state=BindingState.ACTIVE,
            keys=DeviceKeys(*(spki_of(key.public_key()) for key in keys)),
            certificate=CERTIFICATES[self.device],
            attestation=Attestation("none", "software"),
            failures=0,
            bound_at=WORLD.bound_at,
        )

    def signed(self) -> RawAssertion:
        statement = compose(self.content, binding_id=self.device, decision=self.decision)
        info = xades.device_signed_info(
            statement, certificate=CERTIFICATES[self.device], signing_time=SIGNED_AT
        )
        pin = sign_p256(PIN_KEY, info) if self.decision is Decision.APPROVED else None
        return RawAssertion(self.decision, SIGNED_AT, sign_p256(WORLD.device_key, info), pin)

    def possession(self, assertion: RawAssertion) -> VerifiedPossession:
        return verify_possession(
            replace(assertion, decision=self.decision),
            expected_content=self.content,
            binding=self.binding,
            profile=PROFILE,
            at=SIGNED_AT,
        )


CONTEXTS = [
    Context(*values) for values in product(Kind, ("s-1", "s-2"), ("bank-1", "bank-2"), CERTIFICATES, Decision)
]


@pytest.mark.rts("4(2)", "5(1)(b)-(d)")
@pytest.mark.parametrize("kind", Kind)
def test_a_signature_serves_its_own_context_alone(kind: Kind) -> None:
    mine = [context for context in CONTEXTS if context.kind is kind]
    accepted = refused = 0
    for made_for in mine:
        assertion = made_for.signed()
        for tried_as in CONTEXTS:
            try:
                tried_as.possession(assertion)
            except PossessionNotProven:
                refused += 1
            else:
                accepted += 1
                assert tried_as == made_for
    print(f"{kind}: {len(mine)} signatures tried {accepted + refused} times, {accepted} accepted")
    assert (accepted, refused) == (len(mine), len(mine) * (len(CONTEXTS) - 1))


@pytest.mark.rts("4(2)", "9")
def test_a_pin_signature_serves_its_own_context_alone() -> None:
    """Also where possession is proven afresh: the PIN's proof is for the same bytes or for nothing."""
    approvals = [context for context in CONTEXTS if context.decision is Decision.APPROVED]
    accepted = 0
    for made_for, tried_as in product(approvals, approvals):
        mixed = replace(tried_as.signed(), pin_signature=PINS[made_for])
        possession = tried_as.possession(mixed)
        try:
            verify_factors(mixed, possession=possession, binding=tried_as.binding, profile=PROFILE)
        except AssertionRefused:
            assert made_for != tried_as
        else:
            accepted += 1
            assert made_for == tried_as
    print(f"{len(approvals) ** 2} pairs, {accepted} accepted")
    assert accepted == len(approvals)


PINS = {context: context.signed().pin_signature for context in CONTEXTS}
