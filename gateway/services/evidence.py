"""Evidence: compose, seal, verify by our own verifier, store, fetch.

The law: what our verifier does not pass is never stored. Sealing follows the committed approval and may
be repeated by anybody at any time; the guarded update lets exactly one evidence come of it. A proof
that the verifier calls failed ends the transaction as FAILED; one that it cannot decide is tried again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

import structlog
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.core import xades
from gateway.core.assertion import FACTORS
from gateway.core.certpath import load_certificate
from gateway.core.conclusion import Conclusion, Indication
from gateway.core.errors import EvidenceNotReady, MisuseError, NotFound, SealUnavailable
from gateway.core.evidence import Evidence, attach_seal, compose_unsealed
from gateway.core.model import Caller, DeviceBinding, RawAssertion, uuid7, whole_seconds
from gateway.core.profile import parse_profile, profile_digest
from gateway.core.statement import compose as compose_statement
from gateway.core.transaction import Event, State, Transaction
from gateway.core.verifier import verify_evidence as judge
from gateway.core.xmldsig import UnverifiedSignature
from gateway.ports import SealKey, StoredEvidence
from gateway.services.context import SOFTWARE, Gateway

DEVICE_STEP = 7
"""The verifier's first step that judges what the device signed."""

log = structlog.get_logger("gateway")


def get_evidence(gw: Gateway, caller: Caller, *, transaction_id: UUID, at: datetime) -> StoredEvidence:
    """The stored bytes of the highest level, never re-serialised."""
    caller.require("GetEvidence")
    stored = gw.store.evidence(caller.relying_party, transaction_id)
    if stored is None:
        if gw.store.transaction(caller.relying_party, transaction_id) is None:
            raise NotFound()
        raise EvidenceNotReady()
    return stored


def verify_evidence(gw: Gateway, caller: Caller, *, document: bytes, at: datetime) -> Conclusion:
    """Judges any document against this gateway's own anchors; it stores and reveals nothing."""
    caller.require("VerifyEvidence")
    return judge(document, trust=gw.trust, at=at)


def complete(gw: Gateway, transaction: Transaction, *, at: datetime) -> bool:
    """Seals the evidence of a decision, or completes an approval that leaves none; False where it was done
    already.

    Raises UnavailableError where it cannot be done now: nothing is lost, the worker tries again.
    """
    if transaction.state not in (State.APPROVED, State.REJECTED) or transaction.evidence_id is not None:
        return False
    if not parse_profile(transaction.profile_document).evidence:
        approved = transaction.state is State.APPROVED
        return approved and gw.store.finish(transaction, event=Event.COMPLETE, reason="", at=at)
    if transaction.binding_id is None:
        raise MisuseError("decided without a binding")
    tenant = transaction.relying_party
    binding = gw.store.binding(tenant, transaction.binding_id)
    assertion = gw.store.assertion(tenant, transaction.id)
    if binding is None or assertion is None:
        if transaction.state is State.REJECTED:
            return False
        return gw.store.finish(transaction, event=Event.FAIL, reason="erased", at=at)
    evidence = compose(gw, transaction, binding=binding, assertion=assertion, at=at)
    document = seal(compose_unsealed(evidence), key=gw.seal_key, at=at)
    conclusion = judge(document, trust=gw.trust, at=at)
    if conclusion.indication is not Indication.TOTAL_PASSED:
        log.error(
            "evidence_refused",
            transaction=str(transaction.id),
            indication=conclusion.indication,
            sub_indication=conclusion.sub_indication,
            says=conclusion.explanation,
        )
        # What the device signed cannot be mended later; our own seal's trouble can.
        failed = conclusion.indication is Indication.TOTAL_FAILED
        if transaction.state is State.APPROVED and failed and conclusion.checks[-1].step >= DEVICE_STEP:
            return gw.store.finish(transaction, event=Event.FAIL, reason="not-verified", at=at)
        raise SealUnavailable()
    stored = StoredEvidence(tenant, evidence.id, transaction.id, "B-B", document, whole_seconds(at))
    return gw.store.complete(transaction, evidence=stored, at=at)


def compose(
    gw: Gateway,
    transaction: Transaction,
    *,
    binding: DeviceBinding,
    assertion: RawAssertion,
    at: datetime,
) -> Evidence:
    """The evidence of a decided transaction, the device's signature with its chain and CRL inside."""
    if transaction.claimed_at is None or transaction.decided_at is None or transaction.acr is None:
        raise MisuseError("evidence of an undecided transaction")
    content = transaction.content
    statement = compose_statement(content, binding_id=binding.id, decision=assertion.decision)
    profile = parse_profile(transaction.profile_document)
    return Evidence(
        id=uuid7(at),
        content=content,
        binding_id=binding.id,
        decision=assertion.decision,
        device_signature=device_signature(gw, statement, binding=binding, assertion=assertion),
        device_crl=gw.device_ca.crl(at=at),
        transaction_id=transaction.id,
        relying_party_id=transaction.relying_party,
        external_ref=transaction.external_ref,
        pseudonym=content.subject,
        attributes=transaction.attributes,
        device_binding_id=binding.id,
        platform=binding.platform,
        bound_at=binding.bound_at,
        attestation=binding.attestation,
        acr=transaction.acr,
        factors=tuple(FACTORS[method] for method in transaction.amr),
        failed_attempts=transaction.failed_attempts,
        channel=transaction.channel,
        profile_id=profile.id,
        profile_digest=profile_digest(transaction.profile_document),
        profile_document=transaction.profile_document,
        claimed_at=transaction.claimed_at,
        decided_at=transaction.decided_at,
        software=SOFTWARE,
    )


def device_signature(
    gw: Gateway, statement: bytes, *, binding: DeviceBinding, assertion: RawAssertion
) -> UnverifiedSignature:
    """The XAdES B-B signature that a device made over a statement, with its chain."""
    properties = xades.device_signed_properties(
        certificate=binding.certificate, signing_time=assertion.signing_time
    )
    return UnverifiedSignature(
        shape=xades.DEVICE,
        algorithm=xades.ECDSA_SHA256,
        data_digest=xades.sha256(statement),
        key_info_digest=None,
        properties_digest=xades.sha256(properties),
        value=assertion.signature,
        chain=(binding.certificate, *gw.device_ca.chain),
        signing_time=assertion.signing_time,
        certificate_digest=xades.sha256(binding.certificate),
        policy=None,
    )


def seal(unsealed: bytes, *, key: SealKey, at: datetime) -> bytes:
    """The document with the gateway's XAdES B-B seal (EN 319 132-1 clause 6) as its last child."""
    chain = tuple(key.chain)
    uses_rsa = isinstance(load_certificate(chain[0]).public_key(), rsa.RSAPublicKey)
    blank = UnverifiedSignature(
        shape=xades.SEAL,
        algorithm=xades.RSA_SHA256 if uses_rsa else xades.ECDSA_SHA256,
        data_digest=xades.sha256(unsealed),
        key_info_digest=xades.sha256(xades.key_info(xades.SEAL, chain=chain)),
        properties_digest=b"",
        value=b"",
        chain=chain,
        signing_time=whole_seconds(at),
        certificate_digest=xades.sha256(chain[0]),
        policy=(xades.POLICY_ID, xades.POLICY_DIGEST),
    )
    unsigned = replace(blank, properties_digest=xades.sha256(blank.properties()))
    return attach_seal(unsealed, seal=replace(unsigned, value=key.sign(unsigned.info())).xml())
