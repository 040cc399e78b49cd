"""Vectors of evidence that rests on an attestation: what it says of the key is what its object proves.

The law: the device signs what it shows and the seal is genuine; the objects are those of
``tests/vectors/attestation``, whose root the index names where the verifier has it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import forge as f
from vector import NO_PATH, SIG, TRUSTS, Vector

sys.path.insert(0, str(f.HERE.parent / "attestation"))

import make_attestations as m

from gateway.core.assertion import FACTORS
from gateway.core.attestation import judge
from gateway.core.attestation.policy import AttestationPolicy
from gateway.core.evidence import Evidence
from gateway.core.model import Attestation, Factor

PROFILE = replace(f.PROFILE, factors=(Factor.DEVICE, Factor.BIOMETRIC), hardware_key=True)
ROOTS = "../attestation/roots.pem"
TRUSTS["trust-attested"] = f.TRUST


def said(data: bytes) -> Attestation:
    return judge(
        "android-key",
        data,
        relying_party=m.PARTY,
        activation_id=m.ACTIVATION,
        transport_key=m.TRANSPORT_KEY,
        expected_key=m.KEY,
        policy=AttestationPolicy((m.ROOT.certificate,)),
        at=m.AT,
    )


def model(attestation: Attestation, **changes: Any) -> Evidence:
    factors = (FACTORS["hwk"], FACTORS["user"])
    return f.model(profile=PROFILE, **{"attestation": attestation, "factors": factors, **changes})


def attested() -> Iterator[Vector]:
    good = said(m.Phone().attest())
    credential = said(m.described(user_auth_type=3))
    software = said(m.described(level=0, keystore_level=0))
    assert good.key is not None

    def key(**changes: Any) -> Attestation:
        assert good.key is not None
        return replace(good, key=replace(good.key, **changes))

    def vector(name: str, made: Evidence, step: int, says: str) -> Vector:
        return Vector(name, f.seal(made), SIG, step, says, "trust-attested", roots=ROOTS)

    yield Vector(
        "good-attested", f.seal(model(good)), None, None, "nothing is wrong", "trust-attested", roots=ROOTS
    )
    yield Vector(
        "attested-root-missing",
        f.seal(model(good)),
        NO_PATH,
        8,
        "nothing is wrong, but that the verifier has no root for it",
        "trust-attested",
    )
    for name, attestation, says in (
        ("level", key(level="strongbox"), "a level that is not proven"),
        ("user-verification", key(user_verification="credential"), "another user verification"),
        ("activation", key(activation_id=UUID(int=1)), "the challenge of another activation"),
        ("transport-key", key(transport_key=m.KEY), "the challenge of another transport key"),
        ("challenge-missing", replace(good, key=None), "nothing to make the challenge of"),
        ("verdict-below", replace(good, verdict="software"), "a verdict below what is proven"),
        ("verdict-above", replace(software, verdict="hardware"), "a verdict above what is proven"),
        ("format-none", replace(good, format="none"), "an object of no format"),
    ):
        yield vector(f"attested-{name}", model(attestation), 8, says)
    for name, made, says in (
        ("biometric-by-credential", model(credential), "the screen lock opens the key too"),
        (
            "biometric-by-software",
            model(software, factors=(FACTORS["swk"], FACTORS["user"])),
            "a biometric by a key in software",
        ),
        (
            "software",
            model(software, factors=(FACTORS["swk"], FACTORS["pin"])),
            "the profile asks for what is not proven",
        ),
        ("hardware-as-software", model(good, factors=(FACTORS["swk"], FACTORS["user"])), "hardware, as swk"),
        ("biometric-missing", model(good, factors=(FACTORS["hwk"],)), "a factor is missing"),
    ):
        yield vector(f"attested-{name}", made, 9, says)
