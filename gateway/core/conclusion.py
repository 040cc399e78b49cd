"""What a verification ends in: indication and sub-indication as in ETSI EN 319 102-1 clause 5.1.

The law: a sub-indication belongs to one indication; only TOTAL-PASSED has none. Undecidable is
INDETERMINATE, with a sentence that says why and one that says what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.core.evidence import Evidence
    from gateway.core.model import Decision


class Indication(StrEnum):
    TOTAL_PASSED = "TOTAL-PASSED"
    TOTAL_FAILED = "TOTAL-FAILED"
    INDETERMINATE = "INDETERMINATE"


class SubIndication(StrEnum):
    """EN 319 102-1 clause 5.1.3, tables 5 and 6: those that this verifier can give."""

    FORMAT_FAILURE = "FORMAT_FAILURE"
    HASH_FAILURE = "HASH_FAILURE"
    SIG_CRYPTO_FAILURE = "SIG_CRYPTO_FAILURE"
    REVOKED = "REVOKED"
    SIG_CONSTRAINTS_FAILURE = "SIG_CONSTRAINTS_FAILURE"
    CHAIN_CONSTRAINTS_FAILURE = "CHAIN_CONSTRAINTS_FAILURE"
    CRYPTO_CONSTRAINTS_FAILURE = "CRYPTO_CONSTRAINTS_FAILURE"
    POLICY_PROCESSING_ERROR = "POLICY_PROCESSING_ERROR"
    SIGNATURE_POLICY_NOT_AVAILABLE = "SIGNATURE_POLICY_NOT_AVAILABLE"
    NO_SIGNING_CERTIFICATE_FOUND = "NO_SIGNING_CERTIFICATE_FOUND"
    NO_CERTIFICATE_CHAIN_FOUND = "NO_CERTIFICATE_CHAIN_FOUND"
    OUT_OF_BOUNDS_NO_POE = "OUT_OF_BOUNDS_NO_POE"
    NOT_YET_VALID = "NOT_YET_VALID"
    TRY_LATER = "TRY_LATER"

    @property
    def indication(self) -> Indication:
        return Indication.TOTAL_FAILED if self in _FAILED else Indication.INDETERMINATE


_FAILED = {
    SubIndication.FORMAT_FAILURE,
    SubIndication.HASH_FAILURE,
    SubIndication.SIG_CRYPTO_FAILURE,
    SubIndication.REVOKED,
    SubIndication.NOT_YET_VALID,
}

REMEDY = {
    SubIndication.FORMAT_FAILURE: "Obtain the document again, exactly as the gateway stored it.",
    SubIndication.HASH_FAILURE: "Content was changed after it was signed: obtain the document again.",
    SubIndication.SIG_CRYPTO_FAILURE: "The signature is not by the named key: do not rely on it.",
    SubIndication.REVOKED: "The key was revoked before it signed: do not rely on it.",
    SubIndication.SIG_CONSTRAINTS_FAILURE: "Do not rely on it; ask the operator how it came to be.",
    SubIndication.CHAIN_CONSTRAINTS_FAILURE: "The certificate is not for this role: do not rely on it.",
    SubIndication.CRYPTO_CONSTRAINTS_FAILURE: "An algorithm or key is not accepted: do not rely on it.",
    SubIndication.POLICY_PROCESSING_ERROR: "Use a verifier that knows the named policy or profile.",
    SubIndication.SIGNATURE_POLICY_NOT_AVAILABLE: "The seal must name its policy: do not rely on it.",
    SubIndication.NO_SIGNING_CERTIFICATE_FOUND: "The signature must bind its certificate: do not rely on it.",
    SubIndication.NO_CERTIFICATE_CHAIN_FOUND: (
        "Check that the trust file holds the anchor of this gateway, and the file of roots the attestation's."
    ),
    SubIndication.OUT_OF_BOUNDS_NO_POE: "Verify with a level that has a time-stamp, or at an earlier time.",
    SubIndication.NOT_YET_VALID: "Check the clock, or the time that was asked for.",
    SubIndication.TRY_LATER: "Add a current CRL of the issuer to the trust file.",
}


class Finding(Exception):
    """The first thing found wrong: ends a verification with a sub-indication and a sentence."""

    def __init__(self, sub_indication: SubIndication, says: str) -> None:
        super().__init__(says)
        self.sub_indication = sub_indication
        self.says = says


@dataclass(frozen=True, slots=True)
class Check:
    """One step of a verification and what it found; steps carry the numbers of the verifier."""

    step: int
    name: str
    passed: bool
    says: str


@dataclass(frozen=True, slots=True)
class Conclusion:
    indication: Indication
    sub_indication: SubIndication | None
    explanation: str
    remedy: str
    checks: tuple[Check, ...]
    evidence: Evidence | None
    """What the verified bytes say: present only with TOTAL-PASSED."""

    @property
    def decision(self) -> Decision | None:
        """What was decided, where that is proven: a refusal passes too."""
        return None if self.evidence is None else self.evidence.decision
