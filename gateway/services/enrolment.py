"""Registration and activation: how a phone is bound to a subject, once.

The law (RTS (EU) 2018/389 article 24): activation needs two halves, the id from the QR code and the
code from the other channel, and proof that the device holds each key. A try is counted before it is
judged; what was wrong is never told.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.core.activation import ActivationLink, ActivationRequest, verify_proofs
from gateway.core.certpath import load_certificate
from gateway.core.errors import ActivationRefused, InvalidValue, NotFound, RequestIdReused
from gateway.core.model import (
    BindingState,
    Caller,
    DeviceBinding,
    IdentityAttribute,
    Registration,
    RegistrationState,
    RelyingParty,
    Subject,
    uuid7,
    whole_seconds,
)
from gateway.core.text import displayable
from gateway.services.context import Gateway

MAX_ATTRIBUTES = 16
_REFERENCE = re.compile(r"[\x21-\x7e]{1,128}\Z")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")
_ATTRIBUTE_NAME = re.compile(r"[a-z0-9-]{1,64}\Z")
_PLATFORM = re.compile(r"[A-Za-z0-9 ._/()-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class Activation:
    """What the relying party hands to the subject, each half on its own channel."""

    id: UUID
    code: str
    qr_payload: str


@dataclass(frozen=True, slots=True)
class RegistrationView:
    id: UUID
    state: RegistrationState
    created_at: datetime
    expires_at: datetime
    activation: Activation | None
    """Only while PENDING."""
    binding_id: UUID | None


@dataclass(frozen=True, slots=True)
class Activated:
    binding: DeviceBinding
    certificates: tuple[bytes, ...]
    subject: str
    relying_party: RelyingParty


def request_id_of(value: str) -> str:
    if not _REQUEST_ID.match(value):
        raise InvalidValue("1 to 64 letters, digits or . _ : -", field="requestId")
    return value


def external_ref_of(value: str) -> str:
    if not _REFERENCE.match(value):
        raise InvalidValue("1 to 128 printable ASCII characters without blanks.", field="externalRef")
    return value


def request_digest(**content: object) -> bytes:
    """SHA-256 over the content of a request: what must be equal when its id is used again."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).digest()


def start_registration(
    gw: Gateway,
    caller: Caller,
    *,
    request_id: str,
    external_ref: str,
    attributes: tuple[IdentityAttribute, ...],
    at: datetime,
) -> RegistrationView:
    """Makes a subject known, if it is not, and opens an activation for one device."""
    caller.require("StartRegistration")
    request_id_of(request_id)
    external_ref_of(external_ref)
    attributes = _attributes(attributes)
    digest = request_digest(
        externalRef=external_ref, attributes=sorted((a.name, a.value) for a in attributes)
    )
    tenant, created = caller.relying_party, whole_seconds(at)
    registration = Registration(
        relying_party=tenant,
        id=uuid7(at),
        subject_id=uuid7(at),
        activation_id=UUID(bytes=secrets.token_bytes(16)),
        state=RegistrationState.PENDING,
        failures=0,
        created_at=created,
        expires_at=created + timedelta(seconds=gw.activation.lifetime_seconds),
    )
    subject = Subject(
        relying_party=tenant,
        id=registration.subject_id,
        external_ref=external_ref,
        pseudonym=f"s-{secrets.token_hex(16)}",
        attributes=attributes,
        created_at=created,
    )
    standing, _, known = gw.store.start_registration(
        registration, subject=subject, request_id=request_id, request_digest=digest
    )
    if not hmac.compare_digest(known, digest):
        raise RequestIdReused(field="requestId")
    return _view(gw, standing, at=at)


def get_registration(gw: Gateway, caller: Caller, *, registration_id: UUID, at: datetime) -> RegistrationView:
    caller.require("GetRegistration")
    registration = gw.store.registration(caller.relying_party, registration_id)
    if registration is None:
        raise NotFound()
    return _view(gw, registration, at=at)


def activate(gw: Gateway, relying_party: str, *, request: ActivationRequest, at: datetime) -> Activated:
    """Binds the device; raises ActivationRefused, whatever was wrong."""
    if relying_party not in gw.tenants.relying_parties:
        raise ActivationRefused()
    name = displayable(request.name, field="name", max_length=64, multiline=False)
    if not _PLATFORM.match(request.platform):
        raise InvalidValue("1 to 64 plain ASCII characters.", field="platform")
    registration = gw.store.reserve_activation_try(
        relying_party, request.activation_id, max_failures=gw.activation.max_failures, at=at
    )
    if registration is None:
        raise ActivationRefused()
    subject = gw.store.subject(relying_party, registration.subject_id)
    try:
        keys = verify_proofs(request, relying_party=relying_party)
        code = gw.activation.code(registration.id)
        if subject is None or not hmac.compare_digest(code.encode(), request.code.encode()):
            raise ActivationRefused()
    except ActivationRefused:
        if registration.failures >= gw.activation.max_failures:
            gw.store.block_registration(relying_party, registration.id, at=at)
        raise
    binding_id = uuid7(at)
    binding = DeviceBinding(
        relying_party=relying_party,
        id=binding_id,
        subject_id=subject.id,
        name=name,
        platform=request.platform,
        state=BindingState.ACTIVE,
        keys=request.keys,
        certificate=gw.device_ca.issue(keys.signing, binding_id=binding_id, at=at),
        attestation=request.attestation,
        failures=0,
        bound_at=whole_seconds(at),
    )
    if not gw.store.activate(registration, binding=binding, push_target=request.push_target, at=at):
        raise ActivationRefused()
    return Activated(
        binding=binding,
        certificates=(binding.certificate, *gw.device_ca.chain),
        subject=subject.pseudonym,
        relying_party=gw.relying_party(relying_party),
    )


def _attributes(attributes: tuple[IdentityAttribute, ...]) -> tuple[IdentityAttribute, ...]:
    names = [attribute.name for attribute in attributes]
    if len(names) > MAX_ATTRIBUTES or len(set(names)) != len(names):
        raise InvalidValue(f"At most {MAX_ATTRIBUTES}, each name once.", field="attribute")
    for name in names:
        if not _ATTRIBUTE_NAME.match(name):
            raise InvalidValue("A name is 1 to 64 of a-z, 0-9 and -.", field="attribute.name")
    return tuple(
        IdentityAttribute(
            a.name, displayable(a.value, field="attribute.value", max_length=256, multiline=False)
        )
        for a in attributes
    )


def _view(gw: Gateway, registration: Registration, *, at: datetime) -> RegistrationView:
    state = registration.state_at(at)
    ca = load_certificate(gw.device_ca.chain[0]).public_key()
    link = ActivationLink(
        relying_party=registration.relying_party,
        activation_id=registration.activation_id,
        gateway_url=gw.public_url,
        device_ca_key=hashlib.sha256(
            ca.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        ).digest(),
    )
    return RegistrationView(
        id=registration.id,
        state=state,
        created_at=registration.created_at,
        expires_at=registration.expires_at,
        activation=Activation(
            id=registration.activation_id,
            code=gw.activation.code(registration.id),
            qr_payload=link.text(),
        )
        if state is RegistrationState.PENDING
        else None,
        binding_id=registration.binding_id,
    )
