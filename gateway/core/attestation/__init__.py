"""What an attestation of a signing key proves: judged at activation, and again whenever evidence is.

The law: an object proves something for one activation alone, whose challenge it answers, and for the very
key that is bound; a format that is not known here proves nothing. The challenge is made of what the device
knows before it has the signing key: relying party, activation and transport key. The attestation names the
signing key itself. The PIN's key is left out on purpose: a challenge stands in evidence, and any value made
of that key lets whoever has the phone try PINs offline. Each format judges its own object, in a file of its
own; whether a verdict suffices is left to the signature profile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from gateway.core.attestation import android_key
from gateway.core.attestation.policy import AttestationPolicy
from gateway.core.canonical import b64
from gateway.core.conclusion import Finding, SubIndication
from gateway.core.model import Attestation, AttestedKey

CHALLENGE_DOMAIN: Final = "mobileid-gateway:attestation-challenge:1"
MAX_OBJECT_BYTES: Final = 16_384
"""Of an object: four times what phones send."""
NONE: Final = "none"
"""The format of no attestation."""
FORMATS: Final[Mapping[str, Callable[..., tuple[str, str]]]] = {"android-key": android_key.judge}
"""Of each format its judge, which gives level and user verification."""


def challenge(*, relying_party: str, activation_id: UUID, transport_key: bytes) -> bytes:
    """What the device asks its hardware to attest: 32 bytes."""
    lines = (
        CHALLENGE_DOMAIN,
        f"relying-party {relying_party}",
        f"activation {activation_id}",
        f"transport {b64(transport_key)}",
    )
    return hashlib.sha256("".join(line + "\n" for line in lines).encode("ascii")).digest()


def judge(
    format_: str,
    object_: bytes,
    *,
    relying_party: str,
    activation_id: UUID | None,
    transport_key: bytes,
    expected_key: bytes,
    policy: AttestationPolicy,
    at: datetime,
) -> Attestation:
    """What is proven of the signing key ``expected_key`` (DER); raises Finding for what is not genuine."""
    if format_ == NONE and not object_:
        return Attestation(NONE, "software")
    if format_ not in FORMATS or activation_id is None:
        raise Finding(SubIndication.SIG_CONSTRAINTS_FAILURE, "an attestation of no format that is known here")
    if len(object_) > MAX_OBJECT_BYTES:
        raise Finding(SubIndication.FORMAT_FAILURE, "the attestation is too large")
    level, user_verification = FORMATS[format_](
        object_,
        expected_challenge=challenge(
            relying_party=relying_party, activation_id=activation_id, transport_key=transport_key
        ),
        expected_key=expected_key,
        policy=policy,
        at=at,
    )
    verdict = "software" if level == "software" else "hardware"
    key = AttestedKey(level, user_verification, activation_id, transport_key)
    return Attestation(format_, verdict, object_, key)
