"""What one vector is, and short names for what must be found.

The law: a vector has one defect and one expected conclusion; a trust file is named once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import forge as f
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.core.conclusion import SubIndication as Sub

FORMAT, HASH, CRYPTO = Sub.FORMAT_FAILURE, Sub.HASH_FAILURE, Sub.SIG_CRYPTO_FAILURE
SIG, CHAIN, ALGORITHM = (
    Sub.SIG_CONSTRAINTS_FAILURE,
    Sub.CHAIN_CONSTRAINTS_FAILURE,
    Sub.CRYPTO_CONSTRAINTS_FAILURE,
)
POLICY, NO_POLICY = Sub.POLICY_PROCESSING_ERROR, Sub.SIGNATURE_POLICY_NOT_AVAILABLE
NO_CERTIFICATE, NO_PATH = Sub.NO_SIGNING_CERTIFICATE_FOUND, Sub.NO_CERTIFICATE_CHAIN_FOUND
EXPIRED, TOO_EARLY, LATER, REVOKED = (
    Sub.OUT_OF_BOUNDS_NO_POE,
    Sub.NOT_YET_VALID,
    Sub.TRY_LATER,
    Sub.REVOKED,
)
UNREADABLE = "UnreadableDocument"
DER = Encoding.DER
SEC = f.SECOND


@dataclass(frozen=True, slots=True)
class Vector:
    name: str
    data: bytes
    found: Sub | str | None
    """The sub-indication; None where it must pass; UNREADABLE where there is nothing to judge."""
    step: int | None
    defect: str
    trust: str = "trust"
    at: datetime = f.AT
    roots: str | None = None
    """The roots of attestations, if the verifier has any."""


TRUSTS: dict[str, bytes] = {"trust": f.TRUST}


def trust(name: str, *parts: f.Holder | x509.CertificateRevocationList) -> str:
    TRUSTS[name] = f.pem(*parts)
    return name
