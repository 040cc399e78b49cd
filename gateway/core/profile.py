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
from functools import lru_cache
from typing import Any

from gateway.core.model import Channel, Factor, Kind

STARTS_SECONDS = 600
"""The time over which a profile limits the starts for one subject."""
MAX_FAILURES_CEILING = 5
"""Consecutive failures: RTS (EU) 2018/389 article 4(3)(b)."""
LIFETIME_CEILING_SECONDS = 1800
LIFETIME_FLOOR_SECONDS = 30
CODE_LIFETIME_CEILING_SECONDS = 300
"""From the approval to the redemption of its code: RTS (EU) 2018/389 article 4(3)(d)."""
ALGORITHMS = frozenset({"ES256"})
"""RFC 7518 section 3.1: what a signing key may sign with."""
MAY_LEAVE_NO_EVIDENCE = frozenset({Kind.AUTHENTICATION, Kind.AUTHORISATION})


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
    algorithms: tuple[str, ...]
    """Of the device's signature, out of ALGORITHMS."""
    channels: tuple[Channel, ...]
    """Who may start such a transaction."""
    evidence: bool
    """A decision leaves an evidence document; signatures always do."""
    code_lifetime_seconds: int
    """How long after the approval its authentication code may be redeemed."""
    number_matching: bool
    """An approval needs the number that the relying party shows on its own screen."""
    not_me_locks: bool
    """A rejection as "not me" locks the device that made it."""
    max_waiting: int
    """Transactions that may wait for one subject, of any kind, when one more is started."""
    max_starts: int
    """Transactions of one subject within STARTS_SECONDS, of any kind, the new one included."""

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
        if not self.algorithms or not set(self.algorithms) <= ALGORITHMS:
            raise ValueError(f"algorithms: of {', '.join(sorted(ALGORITHMS))}")
        if not self.channels or len(set(self.channels)) != len(self.channels):
            raise ValueError("channels: backend, app, or both, each once")
        if not self.evidence and self.kind not in MAY_LEAVE_NO_EVIDENCE:
            raise ValueError("evidence: a signature always leaves evidence")
        if not 30 <= self.code_lifetime_seconds <= CODE_LIFETIME_CEILING_SECONDS:
            raise ValueError("code_lifetime_seconds: 30 to 300 (RTS article 4(3)(d))")
        if not 1 <= self.max_waiting <= 50:
            raise ValueError("max_waiting: 1 to 50")
        if not 1 <= self.max_starts <= 1000:
            raise ValueError("max_starts: 1 to 1000")

    def document(self) -> bytes:
        """Canonical JSON: UTF-8, sorted keys, no blanks."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @property
    def acr(self) -> str:
        """The authentication context class that an approval under this profile reaches."""
        return acr_of(self.factors)


ACR = ("urn:mobileid-gateway:acr:single", "urn:mobileid-gateway:acr:sca")
"""The authentication context classes, the lowest first: one factor, or two of different categories."""


def acr_of(factors: Sized) -> str:
    """The authentication context class of so many verified factors."""
    return ACR[1] if len(factors) > 1 else ACR[0]


def reaches(acr: str, demanded: str | None) -> bool:
    """Whether a level is at least the one that is demanded; one that is unknown is never reached."""
    return demanded is None or demanded in ACR[: ACR.index(acr) + 1]


@lru_cache(maxsize=256)
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
                "algorithms": tuple(fields["algorithms"]),
                "channels": tuple(Channel(c) for c in fields["channels"]),
            }
        )
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError("not a profile document") from error
    counts = (
        *(profile.lifetime_seconds, profile.signing_time_skew_seconds),
        *(profile.max_text_length, profile.max_failures, profile.code_lifetime_seconds),
        *(profile.max_waiting, profile.max_starts),
    )
    words = (profile.id, *profile.released_attributes, *profile.algorithms)
    switches = (profile.hardware_key, profile.evidence, profile.number_matching, profile.not_me_locks)
    if {type(c) for c in counts} != {int} or {type(w) for w in words} != {str}:
        raise ValueError("a number or a word is not one")
    if {type(s) for s in switches} != {bool}:
        raise ValueError("a switch is true or false")
    if profile.document() != document:
        raise ValueError("not the canonical profile document")
    return profile


def profile_digest(document: bytes) -> bytes:
    """SHA-256 of a profile document, 32 bytes."""
    return hashlib.sha256(document).digest()
