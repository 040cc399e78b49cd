"""``verify_evidence``: the one judgement of an evidence document, offline, at a given time.

The law: the order of ETSI EN 319 102-1, with these steps, numbered the same in every check:
 0  the bytes: size, plain XML;
 1  the shape: the document is exactly what the values read from it compose to, so it has one seal,
    one device signature, the expected References and transforms, and nothing else;
 2  the seal's certificate is bound by SigningCertificateV2 and is for sealing;
 3  the time to judge by: without a time-stamp, the time of verification;
 4  the seal's path, key usage and revocation at that time;
 5  the seal's digests and signature;
 6  from here on only what was signed is read;
 7  the device's signature by the same steps, over the statement, at its signing time or the gateway's
    decision, whichever is later; the device CA, whose key the gateway holds, is not above the seal;
 8  binding, times and attestation: statement and evidence agree wherever both speak, and the attestation's
    object proves, by its maker's root when the device was bound, what the evidence says of the key;
 9  the profile: known, equal, and satisfied by the factors.
The first finding ends it. Doubt is never TOTAL-PASSED. Nothing is fetched; the trust is an argument.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, TypeAlias, TypeVar

from cryptography import x509
from cryptography.x509.oid import NameOID

from gateway.core import attestation, certpath, xades
from gateway.core.assertion import FACTORS, spki_of_certificate
from gateway.core.attestation.policy import AttestationPolicy
from gateway.core.certpath import Role, TrustStore
from gateway.core.conclusion import REMEDY, Check, Conclusion, Finding, Indication, SubIndication
from gateway.core.evidence import Evidence, UnverifiedEvidence, attach_seal, parse
from gateway.core.model import Decision, Factor, Kind, format_time
from gateway.core.profile import SignatureProfile, acr_of, parse_profile, profile_digest
from gateway.core.shown import MEDIA_TYPES
from gateway.core.statement import NONCE_BYTES
from gateway.core.xmldsig import (
    Node,
    UnverifiedSignature,
    parse_document,
    signing_certificate,
    verify_digests,
    verify_value,
)

_T = TypeVar("_T")
_Path: TypeAlias = tuple[x509.Certificate, ...]
POLICIES: Final = {xades.POLICY_ID: xades.POLICY_DIGEST}
"""Seal policies that this verifier implements."""
CLOCK_SKEW: Final = timedelta(seconds=60)
"""How far the clocks of gateway and auditor may differ."""
AMR: Final = {Factor.DEVICE: ("hwk", "swk"), Factor.PIN: ("pin",), Factor.BIOMETRIC: ("user",)}
"""The ``amr`` words that prove a factor; ``swk`` only where the profile does not ask for hardware."""
SHA256_BYTES: Final = 32
_PROVEN: Final = "the seal and the device's signature are valid, and the document agrees with itself"
_REFUSED: Final = "this proves a refusal"


def verify_evidence(data: bytes, *, trust: TrustStore, at: datetime) -> Conclusion:
    """Judges a document; raises UnreadableDocument where there is nothing to judge (step 0)."""
    root = parse_document(data)
    return _Verification(root=root, trust=trust, at=at).run()


@dataclass(slots=True)
class _Verification:
    """One run: made for one document, used once."""

    root: Node
    trust: TrustStore
    at: datetime
    checks: list[Check] = field(default_factory=lambda: [Check(0, "bytes", True, "plain, bounded XML")])

    def run(self) -> Conclusion:
        try:
            read, unsealed = self._step(1, "shape", self._shape)
            seal_path = self._seal(read, unsealed)
            evidence = read.evidence
            self.checks.append(Check(6, "scope", True, "from here on only what the seal covers is read"))
            self._device(read, seal_path)
            self._step(8, "agreement", lambda: _agree(evidence), "statement and evidence agree")
            self._step(8, "attestation", lambda: _attested(evidence, trust=self.trust), "proves what is said")
            self._step(8, "times", lambda: _times(read), "in order, and within the transaction's life")
            self._step(9, "profile", lambda: _satisfied(evidence, _known_profile(evidence)))
        except Finding as finding:
            sub = finding.sub_indication
            return Conclusion(sub.indication, sub, finding.says, REMEDY[sub], tuple(self.checks), None)
        return Conclusion(
            Indication.TOTAL_PASSED,
            None,
            _PROVEN if evidence.decision is Decision.APPROVED else f"{_REFUSED}: {_PROVEN}",
            "",
            tuple(self.checks),
            evidence,
        )

    def _step(self, number: int, name: str, action: Callable[[], _T], says: str = "holds") -> _T:
        try:
            result = action()
        except Finding as finding:
            self.checks.append(Check(number, name, False, finding.says))
            raise
        self.checks.append(Check(number, name, True, says))
        return result

    # 1

    def _shape(self) -> tuple[UnverifiedEvidence, bytes]:
        """What was read, and the unsealed document that it composes to."""
        read = parse(self.root)
        unsealed = read.unsealed()
        if attach_seal(unsealed, seal=read.seal.xml()) != self.root.canonical():
            raise Finding(
                SubIndication.FORMAT_FAILURE, "the document has more, less or other markup than evidence has"
            )
        return read, unsealed

    # 2 to 5

    def _seal(self, read: UnverifiedEvidence, unsealed: bytes) -> _Path:
        seal = read.seal
        certificate = self._step(
            2, "seal certificate", lambda: signing_certificate(seal), "bound by the seal"
        )
        self._step(2, "seal role", lambda: certpath.check_role(certificate, role=Role.SEAL), "is for sealing")
        self._step(2, "seal policy", lambda: _known_policy(seal), f"known: {seal.policy and seal.policy[0]}")
        self._step(
            3,
            "time",
            lambda: _sealed_by(seal, certificate, at=self.at),
            f"no time-stamp: judged at {format_time(self.at)}; sealed at {format_time(seal.signing_time)}",
        )
        path = self._step(
            4,
            "seal path",
            lambda: certpath.check_path(
                _chain(certificate, seal), trust=self.trust, crls=(), role=Role.SEAL, at=self.at
            ),
            "leads to an anchor, not revoked",
        )
        self._step(5, "seal digests", lambda: verify_digests(seal, data=unsealed), "all equal")
        self._step(
            5, "seal signature", lambda: verify_value(seal, certificate=certificate), "by the seal's key"
        )
        return path

    # 7

    def _device(self, read: UnverifiedEvidence, seal_path: _Path) -> None:
        evidence, signature = read.evidence, read.evidence.device_signature
        certificate = self._step(
            7, "device certificate", lambda: signing_certificate(signature), "bound by the device's signature"
        )
        self._step(
            7, "device role", lambda: certpath.check_role(certificate, role=Role.DEVICE), "is for devices"
        )
        crl = self._step(
            7, "device CRL", lambda: _crl_in_force(evidence, at=read.seal.signing_time), "was in force"
        )
        # The device's clock and the gateway's: the later one, so that neither hides a revocation.
        signed_at = max(signature.signing_time, evidence.decided_at)
        path = self._step(
            7,
            "device path",
            lambda: certpath.check_path(
                _chain(certificate, signature), trust=self.trust, crls=(crl,), role=Role.DEVICE, at=signed_at
            ),
            "leads to an anchor, not revoked when it signed",
        )
        self._step(7, "device CA", lambda: _apart(path, seal_path, crl), "gave the CRL, and no seal")
        self._step(
            7, "device time", lambda: _within_life(signature, certificate), "in its certificate's life"
        )
        self._step(
            7,
            "device digests",
            lambda: verify_digests(signature, data=evidence.statement()),
            "the statement is what the device signed",
        )
        self._step(
            7,
            "device signature",
            lambda: verify_value(signature, certificate=certificate),
            "by the device's signing key",
        )
        self._step(7, "device name", lambda: _named(certificate, evidence), "is the binding's")


def _chain(certificate: x509.Certificate, signature: UnverifiedSignature) -> _Path:
    return certificate, *(certpath.load_certificate(der) for der in signature.chain[1:])


def _sealed_by(seal: UnverifiedSignature, certificate: x509.Certificate, *, at: datetime) -> None:
    if seal.signing_time - at > CLOCK_SKEW:
        raise Finding(
            SubIndication.SIG_CONSTRAINTS_FAILURE,
            "the seal's signing time lies after the time of verification",
        )
    _within_life(seal, certificate)


def _within_life(signature: UnverifiedSignature, certificate: x509.Certificate) -> None:
    if not certificate.not_valid_before_utc <= signature.signing_time <= certificate.not_valid_after_utc:
        raise Finding(
            SubIndication.SIG_CONSTRAINTS_FAILURE, "the signing time is outside the certificate's life"
        )


def _crl_in_force(evidence: Evidence, *, at: datetime) -> x509.CertificateRevocationList:
    crl = certpath.load_crl(evidence.device_crl)
    if crl.next_update_utc is None or not (
        crl.last_update_utc - at <= CLOCK_SKEW and at < crl.next_update_utc
    ):
        raise Finding(SubIndication.TRY_LATER, "the device CA's CRL was not in force when it was sealed")
    return crl


def _apart(path: _Path, seal_path: _Path, crl: x509.CertificateRevocationList) -> None:
    """The CRL is the device CA's own; and that CA, whose key the gateway holds, is not above the seal."""
    if not certpath.is_issued_by(crl, issuer=path[1]):
        raise Finding(SubIndication.TRY_LATER, "the CRL that was sealed is not the device CA's")
    if path[1] in seal_path:
        raise Finding(
            SubIndication.CHAIN_CONSTRAINTS_FAILURE, "the seal's certificate comes from the device CA"
        )


def _named(certificate: x509.Certificate, evidence: Evidence) -> None:
    if [(a.oid, a.value) for a in certificate.subject] != [(NameOID.COMMON_NAME, str(evidence.binding_id))]:
        raise Finding(
            SubIndication.SIG_CONSTRAINTS_FAILURE, "the device's certificate is for another binding"
        )


def _known_profile(evidence: Evidence) -> SignatureProfile:
    if profile_digest(evidence.profile_document) != evidence.profile_digest:
        raise Finding(SubIndication.POLICY_PROCESSING_ERROR, "the profile is not the one that is named")
    try:
        return parse_profile(evidence.profile_document)
    except ValueError as error:
        raise Finding(SubIndication.POLICY_PROCESSING_ERROR, "the profile cannot be read") from error


def _known_policy(seal: UnverifiedSignature) -> None:
    if seal.policy is None or POLICIES.get(seal.policy[0]) != seal.policy[1]:
        raise Finding(
            SubIndication.POLICY_PROCESSING_ERROR, "the seal's signature policy is not one that is known here"
        )


def _agree(evidence: Evidence) -> None:
    content = evidence.content
    for name, stated, said in (
        ("transaction", content.transaction_id, evidence.transaction_id),
        ("relying party", content.relying_party.id, evidence.relying_party_id),
        ("subject", content.subject, evidence.pseudonym),
        ("device binding", evidence.binding_id, evidence.device_binding_id),
    ):
        if stated != said:
            raise Finding(
                SubIndication.SIG_CONSTRAINTS_FAILURE, f"statement and evidence name different values: {name}"
            )
    if len(content.nonce) != NONCE_BYTES:
        raise Finding(SubIndication.SIG_CONSTRAINTS_FAILURE, f"the nonce has not {NONCE_BYTES} bytes")
    if any(len(document.digest) != SHA256_BYTES for document in content.documents):
        raise Finding(SubIndication.SIG_CONSTRAINTS_FAILURE, "a document's digest is not a SHA-256")
    shown = content.texts or content.payment or content.documents
    if not shown and content.kind is not Kind.AUTHENTICATION:
        raise Finding(SubIndication.SIG_CONSTRAINTS_FAILURE, "nothing was shown that could be approved")
    if any(text.media_type not in MEDIA_TYPES for text in content.texts):
        raise Finding(SubIndication.SIG_CONSTRAINTS_FAILURE, "a text is of a media type that was never shown")


def _attested(evidence: Evidence, *, trust: TrustStore) -> None:
    """The object is judged anew; who was revoked, and which apps are accepted, only the gateway knew."""
    said = evidence.attestation
    proven = attestation.judge(
        said.format,
        said.object,
        relying_party=evidence.relying_party_id,
        activation_id=said.key.activation_id if said.key else None,
        transport_key=said.key.transport_key if said.key else b"",
        expected_key=spki_of_certificate(evidence.device_signature.chain[0]),
        policy=AttestationPolicy(trust.attestation_roots),
        at=evidence.bound_at,
    )
    if proven != said:
        raise Finding(
            SubIndication.SIG_CONSTRAINTS_FAILURE, "the attestation does not prove what the evidence says"
        )


def _times(read: UnverifiedEvidence) -> None:
    evidence, content = read.evidence, read.evidence.content
    order = (
        ("bound", evidence.bound_at),
        ("claimed", evidence.claimed_at),
        ("decided", evidence.decided_at),
        ("sealed", read.seal.signing_time),
    )
    for (earlier, before), (later, after) in pairwise(order):
        if before - after > CLOCK_SKEW:
            raise Finding(SubIndication.SIG_CONSTRAINTS_FAILURE, f"it was {earlier} after it was {later}")
    for name, moment in (("claimed", evidence.claimed_at), ("decided", evidence.decided_at)):
        if not content.created_at <= moment <= content.expires_at:
            raise Finding(
                SubIndication.SIG_CONSTRAINTS_FAILURE, f"it was {name} outside the transaction's life"
            )


def _satisfied(evidence: Evidence, profile: SignatureProfile) -> None:
    skew = timedelta(seconds=profile.signing_time_skew_seconds)
    content, signed_at = evidence.content, evidence.device_signature.signing_time
    amr = {factor.method for factor in evidence.factors}
    genuine = [FACTORS[method] for method in sorted(amr) if method in FACTORS]
    approved = evidence.decision is Decision.APPROVED
    # A rejection proves possession and nothing else: no PIN is asked for to say no.
    required = profile.factors if approved else (Factor.DEVICE,)
    unproven = [f for f in required if not amr & set(AMR[f])]
    hardware = evidence.attestation.verdict == "hardware"
    released = {attribute.name for attribute in evidence.attributes}
    for holds, says in (
        (profile.id == evidence.profile_id, "the profile has another id"),
        (profile.kind is content.kind, "the profile is for another kind of transaction"),
        (
            sorted(evidence.factors, key=lambda f: f.method) == genuine,
            "a factor that is unknown, stands twice, or was not verified as it must be",
        ),
        (not unproven, "a factor that the profile requires was not verified"),
        (hardware or "hwk" not in amr, "a factor is claimed that no attestation proves"),
        (
            evidence.attestation.proves_biometric or "user" not in amr,
            "a biometric is claimed that the key does not demand",
        ),
        ("hwk" in amr or not profile.hardware_key, "the profile requires a hardware key"),
        (approved or len(amr) == 1, "a rejection proves possession alone"),
        (evidence.acr == acr_of(required), "the acr is not that of the factors"),
        (evidence.channel in profile.channels, "the profile is not for transactions that it started"),
        (profile.evidence, "the profile leaves no evidence"),
        (released <= set(profile.released_attributes), "an attribute that the profile does not release"),
        (len(released) == len(evidence.attributes), "an attribute stands twice"),
        (
            content.expires_at - content.created_at <= timedelta(seconds=profile.lifetime_seconds),
            "the transaction lived longer than the profile allows",
        ),
        (
            content.created_at - signed_at <= skew and signed_at - content.expires_at <= skew,
            "the device's signing time lies outside the transaction's life",
        ),
        (evidence.failed_attempts < profile.max_failures, "more failed tries than the profile allows"),
        (
            all(len(t.text) <= profile.max_text_length for t in content.texts),
            "a text is longer than the profile allows",
        ),
    ):
        if not holds:
            raise Finding(SubIndication.SIG_CONSTRAINTS_FAILURE, says)
