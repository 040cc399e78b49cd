"""Signature profiles: what must hold for a class of transactions. Closed by default.

The law: a profile states every rule; nothing is implied by absence. ``document()`` is its one
canonical spelling: it is kept with the transaction, sealed into evidence, and its SHA-256 names the
profile for ever. Which relying party may use which profile is left to configuration.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sized
from dataclasses import asdict, dataclass
from typing import Any

from gateway.core.model import Factor, Kind

MAX_FAILURES_CEILING = 5
"""Consecutive failures: RTS (EU) 2018/389 article 4(3)(b)."""
LIFETIME_CEILING_SECONDS = 1800
LIFETIME_FLOOR_SECONDS = 30


@dataclass(frozen=True, slots=True)
class SignatureProfile:
    id: str
    kind: Kind
    factors: tuple[Factor, ...]
    """All of them must be verified for an approval; DEVICE is always among them."""
    lifetime_seconds: int
    """From start to the last moment of a decision; a caller may ask for less."""
    signing_time_skew_seconds: int
    """How far the device's SigningTime may lie outside created..expires."""
    max_text_length: int
    """Code points of the shown text."""
    max_failures: int
    released_attributes: tuple[str, ...]
    """Names of the identity attributes that evidence shows."""
    hardware_key: bool
    """The signing key's attestation verdict must be ``hardware``."""

    def __post_init__(self) -> None:
        if Factor.DEVICE not in self.factors or len(set(self.factors)) != len(self.factors):
            raise ValueError("factors: DEVICE is always required, and each factor stands once")
        if not 1 <= self.max_failures <= MAX_FAILURES_CEILING:
            raise ValueError("max_failures: 1 to 5 (RTS article 4(3)(b))")
        if not LIFETIME_FLOOR_SECONDS <= self.lifetime_seconds <= LIFETIME_CEILING_SECONDS:
            raise ValueError("lifetime_seconds: 30 to 1800")
        if not 0 <= self.signing_time_skew_seconds <= 300:
            raise ValueError("signing_time_skew_seconds: 0 to 300")
        if not 1 <= self.max_text_length <= 200_000:
            raise ValueError("max_text_length: 1 to 200000")

    def document(self) -> bytes:
        """Canonical JSON: UTF-8, sorted keys, no blanks."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @property
    def acr(self) -> str:
        """The authentication context class that an approval under this profile reaches."""
        return acr_of(self.factors)


def acr_of(factors: Sized) -> str:
    """The authentication context class of so many verified factors."""
    return f"urn:mobileid-gateway:acr:{'sca' if len(factors) > 1 else 'single'}"


def parse_profile(document: bytes) -> SignatureProfile:
    """The profile of a canonical document; raises ValueError for any other bytes."""
    try:
        fields: dict[str, Any] = json.loads(document)
        profile = SignatureProfile(
            **{
                **fields,
                "kind": Kind(fields["kind"]),
                "factors": tuple(Factor(f) for f in fields["factors"]),
                "released_attributes": tuple(fields["released_attributes"]),
            }
        )
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError("not a profile document") from error
    counts = (
        *(profile.lifetime_seconds, profile.signing_time_skew_seconds),
        *(profile.max_text_length, profile.max_failures),
    )
    words = (profile.id, *profile.released_attributes)
    if {type(c) for c in counts} != {int} or {type(w) for w in words} != {str}:
        raise ValueError("a number or a word is not one")
    if type(profile.hardware_key) is not bool:
        raise ValueError("hardware_key is true or false")
    if profile.document() != document:
        raise ValueError("not the canonical profile document")
    return profile


def profile_digest(document: bytes) -> bytes:
    """SHA-256 of a profile document, 32 bytes."""
    return hashlib.sha256(document).digest()
