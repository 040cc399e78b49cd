"""What a row of the identity store says, as the values of core, and what a value leaves in a row.

The law: what is personal, or was shown, crosses here sealed under its subject's key, at its own table, column
and row. A function that reads takes the columns that the constant of its noun names, in that order. Which
statements carry the rows, and where the keys come from, is left to the stores.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from gateway.core.canonical import b64, unb64
from gateway.core.model import (
    Attestation,
    AttestedKey,
    BindingState,
    Channel,
    Decision,
    DeviceBinding,
    DeviceKeys,
    Factor,
    IdentityAttribute,
    Kind,
    LockReason,
    PinReset,
    PinResetState,
    RawAssertion,
    Registration,
    RegistrationPurpose,
    RegistrationState,
    Subject,
)
from gateway.core.statement import ShownText, from_fields, to_fields
from gateway.core.transaction import State, Transaction
from gateway.ports import StoredEvidence
from gateway.storage.envelope import SubjectKey
from gateway.storage.pool import Row

# The columns that the functions below read. k is subject_key, the others are named by their first letter.
KEY = "k.subject_id, k.wrapped"
SUBJECT = "s.pseudonym, s.external_ref, s.attributes, s.created_at"
REGISTRATION = (
    "r.id, r.subject_id, r.activation_id, r.state, r.failures, r.created_at, r.expires_at, r.binding_id,"
    " r.purpose"
)
BINDING = (
    "b.id, b.name, b.platform, b.state, b.signing_key, b.transport_key, b.pin_key, c.der,"
    " b.attestation_format, b.attestation_verdict, b.attestation_object, b.failures, b.bound_at,"
    " b.lock_reason, b.locked_methods, b.pin_version, b.client_name, b.client_version,"
    " b.attestation_level, b.attestation_user_verification, b.activation_id"
)
PIN_RESET = "p.id, p.binding_id, p.subject_id, p.state, p.failures, p.created_at, p.expires_at"
TRANSACTION = (
    "t.id, t.kind, t.state, t.profile_id, t.profile_document, t.content, t.created_at, t.expires_at,"
    " t.binding_id, t.claimed_at, t.decided_at, t.decision, t.evidence_id, t.acr, t.amr, t.failed_attempts,"
    " t.channel, t.redeemed_at"
)
EVIDENCE = "v.id, v.transaction_id, v.level, v.document, v.sealed_at"


def to_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def seal_ref(key: SubjectKey, *, subject_id: UUID, external_ref: str) -> bytes:
    return key.seal(external_ref.encode(), table="subject", column="external_ref", row=str(subject_id))


def seal_attributes(key: SubjectKey, *, subject_id: UUID, attributes: Iterable[IdentityAttribute]) -> bytes:
    fields = to_json([[attribute.name, attribute.value] for attribute in attributes])
    return key.seal(fields, table="subject", column="attributes", row=str(subject_id))


def read_subject(key: SubjectKey, *, subject_id: UUID, row: Row) -> Subject:
    pseudonym, external_ref, attributes, created_at = row
    place = {"table": "subject", "row": str(subject_id)}
    return Subject(
        relying_party=key.relying_party,
        id=subject_id,
        external_ref=key.open(external_ref, column="external_ref", **place).decode(),
        pseudonym=pseudonym,
        attributes=tuple(
            IdentityAttribute(name, value)
            for name, value in json.loads(key.open(attributes, column="attributes", **place))
        ),
        created_at=created_at,
    )


def read_registration(relying_party: str, *, row: Row) -> Registration:
    id_, subject_id, activation_id, state, failures, created_at, expires_at, binding_id, purpose = row
    return Registration(
        relying_party=relying_party,
        id=id_,
        subject_id=subject_id,
        activation_id=activation_id,
        state=RegistrationState(state),
        failures=failures,
        created_at=created_at,
        expires_at=expires_at,
        binding_id=binding_id,
        purpose=RegistrationPurpose(purpose),
    )


def seal_binding(key: SubjectKey, *, binding: DeviceBinding, push_target: str | None) -> dict[str, Any]:
    """The parameters of a new binding's row, but for its certificate's serial number."""
    place = {"table": "binding", "row": str(binding.id)}
    attested = binding.attestation.key
    return {
        "binding": binding.id,
        "name": seal_name(key, binding_id=binding.id, name=binding.name),
        "platform": binding.platform,
        "state": str(binding.state),
        "signing_key": binding.keys.signing,
        "transport_key": binding.keys.transport,
        "pin_key": seal_pin_key(key, binding_id=binding.id, pin_key=binding.keys.pin),
        "push_target": None
        if push_target is None
        else key.seal(push_target.encode(), column="push_target", **place),
        "certificate": binding.certificate,
        "sha256": hashlib.sha256(binding.certificate).digest(),
        "attestation_format": binding.attestation.format,
        "attestation_verdict": binding.attestation.verdict,
        "attestation_object": key.seal(binding.attestation.object, column="attestation_object", **place),
        "attestation_level": attested.level if attested else None,
        "attestation_user_verification": attested.user_verification if attested else None,
        "activation_id": attested.activation_id if attested else None,
        "bound_at": binding.bound_at,
        "client_name": binding.client_name,
        "client_version": binding.client_version,
    }


def read_binding(key: SubjectKey, *, subject_id: UUID, row: Row) -> DeviceBinding:
    id_, name, platform, state, signing, transport, pin, certificate, *rest = row
    format_, verdict, object_, failures, bound_at, lock_reason, locked_methods, pin_version, *app = rest
    client_name, client_version, level, user_verification, activation_id = app
    attested = None if level is None else AttestedKey(level, user_verification, activation_id, transport)
    place = {"table": "binding", "row": str(id_)}
    return DeviceBinding(
        relying_party=key.relying_party,
        id=id_,
        subject_id=subject_id,
        name=key.open(name, column="name", **place).decode(),
        platform=platform,
        state=BindingState(state),
        keys=DeviceKeys(signing, transport, key.open(pin, column="pin_key", **place)),
        certificate=certificate,
        attestation=Attestation(
            format_, verdict, key.open(object_, column="attestation_object", **place), attested
        ),
        failures=failures,
        bound_at=bound_at,
        lock_reason=None if lock_reason is None else LockReason(lock_reason),
        locked_methods=frozenset(map(Factor, locked_methods)),
        pin_version=pin_version,
        client_name=client_name,
        client_version=client_version,
    )


def seal_name(key: SubjectKey, *, binding_id: UUID, name: str) -> bytes:
    return key.seal(name.encode(), table="binding", column="name", row=str(binding_id))


def seal_pin_key(key: SubjectKey, *, binding_id: UUID, pin_key: bytes) -> bytes:
    return key.seal(pin_key, table="binding", column="pin_key", row=str(binding_id))


def read_pin_reset(relying_party: str, *, row: Row) -> PinReset:
    id_, binding_id, subject_id, state, failures, created_at, expires_at = row
    return PinReset(
        relying_party=relying_party,
        id=id_,
        binding_id=binding_id,
        subject_id=subject_id,
        state=PinResetState(state),
        failures=failures,
        created_at=created_at,
        expires_at=expires_at,
    )


def read_name(key: SubjectKey, *, binding_id: UUID, sealed: bytes) -> str:
    return key.open(sealed, table="binding", column="name", row=str(binding_id)).decode()


def read_push_target(key: SubjectKey, *, binding_id: UUID, sealed: bytes) -> str:
    return key.open(sealed, table="binding", column="push_target", row=str(binding_id)).decode()


def seal_content(key: SubjectKey, *, transaction: Transaction) -> bytes:
    attributes = [[attribute.name, attribute.value] for attribute in transaction.attributes]
    subject = {"externalRef": transaction.external_ref, "attributes": attributes}
    post = transaction.post_context
    shown_after = None if post is None else [post.title, post.text, post.media_type]
    fields = to_json(
        {"content": to_fields(transaction.content), "subject": subject, "postContext": shown_after}
    )
    return key.seal(fields, table="transaction", column="content", row=str(transaction.id))


def read_transaction(key: SubjectKey, *, subject_id: UUID, row: Row) -> Transaction:
    id_, kind, state, profile_id, profile_document, content, created_at, expires_at, *rest = row
    binding_id, claimed_at, decided_at, decision, evidence_id, acr, amr, *rest = rest
    failed_attempts, channel, redeemed_at = rest
    fields = json.loads(key.open(content, table="transaction", column="content", row=str(id_)))
    return Transaction(
        relying_party=key.relying_party,
        id=id_,
        subject_id=subject_id,
        kind=Kind(kind),
        state=State(state),
        profile_id=profile_id,
        profile_document=profile_document,
        content=from_fields(fields["content"]),
        created_at=created_at,
        expires_at=expires_at,
        binding_id=binding_id,
        claimed_at=claimed_at,
        decided_at=decided_at,
        decision=None if decision is None else Decision(decision),
        evidence_id=evidence_id,
        acr=acr,
        amr=tuple(amr),
        external_ref=fields["subject"]["externalRef"],
        attributes=tuple(IdentityAttribute(*pair) for pair in fields["subject"]["attributes"]),
        failed_attempts=failed_attempts,
        channel=Channel(channel),
        post_context=None if fields["postContext"] is None else ShownText(*fields["postContext"]),
        redeemed_at=redeemed_at,
    )


def seal_assertion(key: SubjectKey, *, transaction_id: UUID, assertion: RawAssertion) -> bytes:
    """Without the PIN signature: with the phone's secret it would let a thief try PINs."""
    fields = to_json(
        {
            "decision": str(assertion.decision),
            "signingTime": assertion.signing_time.isoformat(),
            "signature": b64(assertion.signature),
        }
    )
    return key.seal(fields, table="transaction", column="assertion", row=str(transaction_id))


def read_assertion(key: SubjectKey, *, transaction_id: UUID, sealed: bytes) -> RawAssertion:
    fields = json.loads(key.open(sealed, table="transaction", column="assertion", row=str(transaction_id)))
    return RawAssertion(
        decision=Decision(fields["decision"]),
        signing_time=datetime.fromisoformat(fields["signingTime"]),
        signature=unb64(fields["signature"]),
        pin_signature=None,
    )


def seal_digest(key: SubjectKey, *, table: str, id_: UUID, digest: bytes) -> bytes:
    """A request's digest is sealed: whoever guesses a short content could check the guess against it."""
    return key.seal(digest, table=table, column="request_digest", row=str(id_))


def read_digest(key: SubjectKey, *, table: str, id_: UUID, sealed: bytes) -> bytes:
    return key.open(sealed, table=table, column="request_digest", row=str(id_))


def seal_activation(key: SubjectKey, *, registration_id: UUID, digest: bytes) -> bytes:
    return key.seal(digest, table="registration", column="activation_digest", row=str(registration_id))


def read_activation(key: SubjectKey, *, registration_id: UUID, sealed: bytes) -> bytes:
    return key.open(sealed, table="registration", column="activation_digest", row=str(registration_id))


def seal_recovery(key: SubjectKey, *, recovery_id: UUID, digest: bytes) -> bytes:
    return key.seal(digest, table="recovery", column="digest", row=str(recovery_id))


def read_recovery(key: SubjectKey, *, recovery_id: UUID, sealed: bytes) -> bytes:
    return key.open(sealed, table="recovery", column="digest", row=str(recovery_id))


def seal_document(key: SubjectKey, *, evidence: StoredEvidence) -> bytes:
    return key.seal(
        evidence.document, table="evidence", column="document", row=f"{evidence.id}/{evidence.level}"
    )


def read_evidence(key: SubjectKey, *, row: Row) -> StoredEvidence:
    id_, transaction_id, level, document, sealed_at = row
    return StoredEvidence(
        relying_party=key.relying_party,
        id=id_,
        transaction_id=transaction_id,
        level=level,
        document=key.open(document, table="evidence", column="document", row=f"{id_}/{level}"),
        sealed_at=sealed_at,
    )
