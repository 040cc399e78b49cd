"""The evidence document: its model, its one spelling, and how it is read back.

The law: ``compose_unsealed`` gives the exclusive canonical form of the whole document without the
seal, version 1 of which never changes; ``parse`` reads a document by position into the same model, so
that what was read can be composed again and compared with what was signed. The schema is
``schemas/evidence-v1.xsd``. Which values may stand in it is left to the services; what they prove to
``verifier``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from gateway.core import xades
from gateway.core.canonical import b64, element, leaf
from gateway.core.conclusion import Finding, SubIndication
from gateway.core.model import (
    Attestation,
    AttestedKey,
    Decision,
    IdentityAttribute,
    Kind,
    RelyingParty,
    format_time,
)
from gateway.core.statement import (
    NAMESPACE,
    AttachedDocument,
    Content,
    Payee,
    Payment,
    ShownText,
    compose,
)
from gateway.core.xmldsig import Node, UnverifiedSignature, parse_signature

EVIDENCE_NAMESPACE: Final = "urn:mobileid-gateway:evidence:1"
VERSION: Final = "1"
_EV: Final = f"{{{EVIDENCE_NAMESPACE}}}"
_ST: Final = f"{{{NAMESPACE}}}"
_DS: Final = f"{{{xades.DS}}}"
_END: Final = "</ev:Evidence>"


@dataclass(frozen=True, slots=True)
class VerifiedFactor:
    method: str
    """RFC 8176 ``amr`` word."""
    verified_by: str
    """``gateway`` or ``device``."""
    how: str
    """One word for the way: ``signing-key-signature``, ``derived-key-signature``."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that one evidence document says, but its seal."""

    id: UUID
    content: Content
    binding_id: UUID
    decision: Decision
    device_signature: UnverifiedSignature
    device_crl: bytes
    """DER: the device CA's CRL in force when the evidence was sealed."""
    transaction_id: UUID
    relying_party_id: str
    external_ref: str
    pseudonym: str
    attributes: tuple[IdentityAttribute, ...]
    """Those that the signature profile releases."""
    device_binding_id: UUID
    platform: str
    bound_at: datetime
    attestation: Attestation
    acr: str
    factors: tuple[VerifiedFactor, ...]
    failed_attempts: int
    """Tries that failed on this binding right before the one that succeeded."""
    channel: str
    """``backend`` or ``app``: who started the transaction."""
    profile_id: str
    profile_digest: bytes
    profile_document: bytes
    claimed_at: datetime
    decided_at: datetime
    software: str

    def statement(self) -> bytes:
        return compose(self.content, binding_id=self.binding_id, decision=self.decision)


def compose_proof(statement: bytes, *, signature: UnverifiedSignature, crl: bytes) -> bytes:
    """What a device signed, for a dispute about a decision that left no evidence document.

    Statement, the device's XAdES B-B signature over it, and its CA's CRL: nothing here is sealed.
    """
    return element(
        "ev:Proof",
        statement.decode(),
        element("ev:DeviceSignature", signature.xml(), leaf("ev:CRL", b64(crl))),
        xmlns_ev=EVIDENCE_NAMESPACE,
        Version=VERSION,
    ).encode()


@dataclass(frozen=True, slots=True)
class UnverifiedEvidence:
    """A document as read: nothing in it is proven yet."""

    evidence: Evidence
    seal: UnverifiedSignature

    def unsealed(self) -> bytes:
        return compose_unsealed(self.evidence)


def compose_unsealed(evidence: Evidence) -> bytes:
    """The document without its seal: the bytes whose digest the seal's first Reference holds."""
    return element(
        "ev:Evidence",
        leaf("ev:Id", str(evidence.id)),
        evidence.statement().decode(),
        element(
            "ev:DeviceSignature",
            evidence.device_signature.xml(),
            leaf("ev:CRL", b64(evidence.device_crl)),
        ),
        leaf("ev:Transaction", str(evidence.transaction_id)),
        leaf("ev:RelyingParty", evidence.relying_party_id),
        element(
            "ev:Subject",
            leaf("ev:ExternalRef", evidence.external_ref),
            leaf("ev:Pseudonym", evidence.pseudonym),
            *(leaf("ev:Attribute", a.value, Name=a.name) for a in evidence.attributes),
        ),
        element(
            "ev:Device",
            leaf("ev:Binding", str(evidence.device_binding_id)),
            leaf("ev:Platform", evidence.platform),
            leaf("ev:BoundAt", format_time(evidence.bound_at)),
            element(
                "ev:Attestation",
                leaf("ev:Format", evidence.attestation.format),
                leaf("ev:Verdict", evidence.attestation.verdict),
                *_attested_key(evidence.attestation.key),
                leaf("ev:Object", b64(evidence.attestation.object)),
            ),
        ),
        element(
            "ev:Authentication",
            leaf("ev:Acr", evidence.acr),
            *(
                element(
                    "ev:Factor",
                    leaf("ev:Amr", factor.method),
                    leaf("ev:VerifiedBy", factor.verified_by),
                    leaf("ev:How", factor.how),
                )
                for factor in evidence.factors
            ),
            leaf("ev:FailedAttempts", str(evidence.failed_attempts)),
        ),
        leaf("ev:Channel", evidence.channel),
        element(
            "ev:Profile",
            leaf("ev:Id", evidence.profile_id),
            leaf("ev:Digest", b64(evidence.profile_digest)),
            leaf("ev:Document", b64(evidence.profile_document)),
        ),
        element(
            "ev:Times",
            leaf("ev:Claimed", format_time(evidence.claimed_at)),
            leaf("ev:Decided", format_time(evidence.decided_at)),
        ),
        leaf("ev:Software", evidence.software),
        xmlns_ev=EVIDENCE_NAMESPACE,
        Version=VERSION,
    ).encode()


def _attested_key(key: AttestedKey | None) -> tuple[str, ...]:
    if key is None:
        return ()
    return (
        leaf("ev:Level", key.level),
        leaf("ev:UserVerification", key.user_verification),
        leaf("ev:Activation", str(key.activation_id)),
        leaf("ev:TransportKey", b64(key.transport_key)),
    )


def attach_seal(unsealed: bytes, *, seal: str) -> bytes:
    """The document with its seal as the root's last child."""
    return unsealed[: -len(_END)] + seal.encode() + _END.encode()


def parse(root: Node) -> UnverifiedEvidence:
    """Reads a document by position; raises Finding where it is not of this shape."""
    if root.tag != f"{_EV}Evidence":
        raise Finding(SubIndication.FORMAT_FAILURE, "the root is not an Evidence element")
    if root.attribute("Version") != VERSION:
        raise Finding(SubIndication.FORMAT_FAILURE, "the evidence's version is not known here")
    evidence_id = root.convert(f"{_EV}Id", UUID)
    content, binding_id, decision = _statement(root.child(f"{_ST}Statement"))
    device = root.child(f"{_EV}DeviceSignature")
    device_signature = parse_signature(device.child(f"{_DS}Signature"), shape=xades.DEVICE)
    device_crl = device.data(f"{_EV}CRL")
    transaction_id = root.convert(f"{_EV}Transaction", UUID)
    relying_party_id = root.text(f"{_EV}RelyingParty")
    subject = root.child(f"{_EV}Subject")
    external_ref, pseudonym = subject.text(f"{_EV}ExternalRef"), subject.text(f"{_EV}Pseudonym")
    attributes = tuple(
        IdentityAttribute(a.attribute("Name"), a.content()) for a in subject.each(f"{_EV}Attribute")
    )
    bound = root.child(f"{_EV}Device")
    device_binding_id = bound.convert(f"{_EV}Binding", UUID)
    platform, bound_at = bound.text(f"{_EV}Platform"), bound.time(f"{_EV}BoundAt")
    attested = bound.child(f"{_EV}Attestation")
    format_, verdict = attested.text(f"{_EV}Format"), attested.text(f"{_EV}Verdict")
    key = None
    if attested.peek() == f"{_EV}Level":
        level, user_verification = attested.text(f"{_EV}Level"), attested.text(f"{_EV}UserVerification")
        activation_id = attested.convert(f"{_EV}Activation", UUID)
        key = AttestedKey(level, user_verification, activation_id, attested.data(f"{_EV}TransportKey"))
    attestation = Attestation(format_, verdict, attested.data(f"{_EV}Object"), key)
    authentication = root.child(f"{_EV}Authentication")
    acr = authentication.text(f"{_EV}Acr")
    factors = tuple(
        VerifiedFactor(f.text(f"{_EV}Amr"), f.text(f"{_EV}VerifiedBy"), f.text(f"{_EV}How"))
        for f in authentication.each(f"{_EV}Factor")
    )
    failed_attempts = authentication.convert(f"{_EV}FailedAttempts", _count)
    channel = root.text(f"{_EV}Channel")
    profile = root.child(f"{_EV}Profile")
    profile_id = profile.text(f"{_EV}Id")
    profile_digest, profile_document = profile.data(f"{_EV}Digest"), profile.data(f"{_EV}Document")
    times = root.child(f"{_EV}Times")
    claimed_at, decided_at = times.time(f"{_EV}Claimed"), times.time(f"{_EV}Decided")
    software = root.text(f"{_EV}Software")
    seal = parse_signature(root.child(f"{_DS}Signature"), shape=xades.SEAL)
    return UnverifiedEvidence(
        evidence=Evidence(
            id=evidence_id,
            content=content,
            binding_id=binding_id,
            decision=decision,
            device_signature=device_signature,
            device_crl=device_crl,
            transaction_id=transaction_id,
            relying_party_id=relying_party_id,
            external_ref=external_ref,
            pseudonym=pseudonym,
            attributes=attributes,
            device_binding_id=device_binding_id,
            platform=platform,
            bound_at=bound_at,
            attestation=attestation,
            acr=acr,
            factors=factors,
            failed_attempts=failed_attempts,
            channel=channel,
            profile_id=profile_id,
            profile_digest=profile_digest,
            profile_document=profile_document,
            claimed_at=claimed_at,
            decided_at=decided_at,
            software=software,
        ),
        seal=seal,
    )


def _statement(node: Node) -> tuple[Content, UUID, Decision]:
    unicode_version = node.text(f"{_ST}UnicodeVersion")
    transaction_id = node.convert(f"{_ST}Transaction", UUID)
    kind = node.convert(f"{_ST}Kind", Kind)
    created_at, expires_at = node.time(f"{_ST}Created"), node.time(f"{_ST}Expires")
    nonce = node.data(f"{_ST}Nonce")
    party = node.child(f"{_ST}RelyingParty")
    relying_party = RelyingParty(party.text(f"{_ST}Id"), party.text(f"{_ST}Name"))
    subject = node.text(f"{_ST}Subject")
    binding_id = node.convert(f"{_ST}Binding", UUID)
    shown = node.child(f"{_ST}Shown")
    locale = shown.text(f"{_ST}Locale")
    texts = tuple(_text(t) for t in shown.each(f"{_ST}Text"))
    payment = _payment(shown.child(f"{_ST}Payment")) if shown.peek() == f"{_ST}Payment" else None
    documents = tuple(
        AttachedDocument(d.text(f"{_ST}Name"), d.text(f"{_ST}MediaType"), d.data(f"{_ST}Digest"))
        for d in shown.each(f"{_ST}Document")
    )
    content = Content(
        unicode_version=unicode_version,
        transaction_id=transaction_id,
        kind=kind,
        created_at=created_at,
        expires_at=expires_at,
        nonce=nonce,
        relying_party=relying_party,
        subject=subject,
        locale=locale,
        texts=texts,
        payment=payment,
        documents=documents,
    )
    return content, binding_id, node.convert(f"{_ST}Decision", Decision)


def _text(node: Node) -> ShownText:
    title, media_type = node.text(f"{_ST}Title"), node.text(f"{_ST}MediaType")
    return ShownText(title=title, text=node.text(f"{_ST}Content"), media_type=media_type)


def _payment(node: Node) -> Payment:
    total, currency = node.text(f"{_ST}Total"), node.text(f"{_ST}Currency")
    payees = tuple(
        Payee(p.text(f"{_ST}Name"), p.text(f"{_ST}Account"), p.text(f"{_ST}Amount"))
        for p in node.each(f"{_ST}Payee")
    )
    try:
        return Payment(total, currency, payees)
    except ValueError as error:
        raise Finding(SubIndication.FORMAT_FAILURE, str(error)) from error


def _count(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 6):
        raise ValueError("not a count")
    return int(value)
