"""Registration and activation: how a phone is bound to a subject, once.

The law (RTS (EU) 2018/389 article 24): activation needs two halves, the id from the QR code and the
code from the other channel, and proof that the device holds each key. A try is counted before it is
judged; what was wrong is never told. An artifact that the bank issued into its own authenticated session
gives the app the first half, once, and never the second. A recovery code stands in for the second half
alone, and only where the bank has opened a registration for it: neither a stolen code nor the bank's link
binds by itself (articles 24 and 25), and the way back from a lost device is the way in (article 26). What a
new binding replaces is revoked with it (article 27). A subject has a bounded number of devices.

The very request that activated, sent again because its answer was lost, is answered again: of its code
nothing is kept, it is derived anew and compared.
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

import structlog
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.core import attestation
from gateway.core.activation import (
    ActivationLink,
    ActivationRequest,
    ArtifactLink,
    artifact_digest,
    b64url,
    recovery_digest,
    verify_former,
    verify_proofs,
)
from gateway.core.canonical import b64
from gateway.core.certpath import load_certificate
from gateway.core.conclusion import Finding
from gateway.core.errors import (
    ActivationRefused,
    AttestationRefused,
    DeviceLimitReached,
    InvalidValue,
    NotFound,
    RequestIdReused,
)
from gateway.core.model import (
    Attestation,
    BindingState,
    Caller,
    DeviceBinding,
    FailedTry,
    IdentityAttribute,
    Registration,
    RegistrationPurpose,
    RegistrationState,
    RelyingParty,
    Subject,
    uuid7,
    whole_seconds,
)
from gateway.core.text import displayable
from gateway.ports import ActivationPart, RecoveryCode
from gateway.services.context import Gateway

log = structlog.get_logger("gateway")

MAX_ATTRIBUTES = 16
_REFERENCE = re.compile(r"[\x21-\x7e]{1,128}\Z")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")
_ATTRIBUTE_NAME = re.compile(r"[a-z0-9-]{1,64}\Z")
_PLATFORM = re.compile(r"[A-Za-z0-9 ._/()-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class Activation:
    """What the relying party hands to the subject, each half on its own channel."""

    id: UUID
    code: str | None
    """None for a recovery: the subject has the second half."""
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
    purpose: RegistrationPurpose = RegistrationPurpose.NEW_DEVICE


@dataclass(frozen=True, slots=True)
class IssuedArtifact:
    """What the relying party hands to the app in a session of its own; whoever has it can redeem it, once."""

    registration: RegistrationView
    artifact: str
    """256 bits as base64url."""
    link: str


@dataclass(frozen=True, slots=True)
class Redeemed:
    """What the app gets for an artifact: the half that the QR code carries otherwise."""

    link: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Activated:
    binding: DeviceBinding
    certificates: tuple[bytes, ...]
    subject: str
    relying_party: RelyingParty
    recovery: bool
    """Whether the recovery code that the device left will be accepted."""


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
    purpose: str | None = None,
    at: datetime,
) -> RegistrationView:
    """Makes a subject known, if it is not, and opens an activation for one device."""
    caller.require("StartRegistration")
    registration = _open(
        gw,
        caller,
        state=RegistrationState.PENDING,
        request_id=request_id,
        external_ref=external_ref,
        attributes=attributes,
        purpose=purpose,
        at=at,
    )
    return _view(gw, registration, at=at)


def issue_artifact(
    gw: Gateway,
    caller: Caller,
    *,
    request_id: str,
    external_ref: str,
    attributes: tuple[IdentityAttribute, ...],
    purpose: str | None = None,
    at: datetime,
) -> IssuedArtifact:
    """As start_registration, but the app begins: with an artifact that the bank hands to it."""
    caller.require("IssueRegistrationArtifact")
    registration = _open(
        gw,
        caller,
        state=RegistrationState.ISSUED,
        request_id=request_id,
        external_ref=external_ref,
        attributes=attributes,
        purpose=purpose,
        at=at,
    )
    artifact = gw.activation.artifact(registration.id)
    link = ArtifactLink(caller.relying_party, artifact, gw.public_url, _device_ca_key(gw))
    return IssuedArtifact(_view(gw, registration, at=at), b64url(artifact), link.text())


def redeem_artifact(gw: Gateway, relying_party: str, *, artifact: bytes, at: datetime) -> Redeemed:
    """Opens the activation of an artifact; a wrong, used, expired or foreign one: ActivationRefused."""
    if relying_party not in gw.tenants.relying_parties:
        raise ActivationRefused()
    end = whole_seconds(at) + timedelta(seconds=gw.activation.lifetime_seconds)
    registration = gw.store.redeem_artifact(relying_party, artifact_digest(artifact), expires_at=end, at=at)
    if registration is None:
        raise ActivationRefused()
    return Redeemed(_link(gw, registration), registration.expires_at)


def _open(
    gw: Gateway,
    caller: Caller,
    *,
    state: RegistrationState,
    request_id: str,
    external_ref: str,
    attributes: tuple[IdentityAttribute, ...],
    purpose: str | None,
    at: datetime,
) -> Registration:
    request_id_of(request_id)
    external_ref_of(external_ref)
    attributes = _attributes(attributes)
    asked = _purpose(gw, purpose)
    digest = request_digest(
        externalRef=external_ref,
        attributes=sorted((a.name, a.value) for a in attributes),
        purpose=asked,
        first=state,
    )
    tenant, created = caller.relying_party, whole_seconds(at)
    issued = state is RegistrationState.ISSUED
    rules = gw.activation
    lifetime = rules.artifact_lifetime_seconds if issued else rules.lifetime_seconds
    registration = Registration(
        relying_party=tenant,
        id=uuid7(at),
        subject_id=uuid7(at),
        activation_id=UUID(bytes=secrets.token_bytes(16)),
        state=state,
        failures=0,
        created_at=created,
        expires_at=created + timedelta(seconds=lifetime),
        purpose=asked,
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
        registration,
        subject=subject,
        request_id=request_id,
        request_digest=digest,
        max_devices=rules.max_devices,
        artifact_sha256=artifact_digest(rules.artifact(registration.id)) if issued else None,
    )
    if not hmac.compare_digest(known, digest):
        raise RequestIdReused(field="requestId")
    return standing


def get_registration(gw: Gateway, caller: Caller, *, registration_id: UUID, at: datetime) -> RegistrationView:
    caller.require("GetRegistration")
    registration = gw.store.registration(caller.relying_party, registration_id)
    if registration is None:
        raise NotFound()
    return _view(gw, registration, at=at)


def activate(gw: Gateway, relying_party: str, *, request: ActivationRequest, at: datetime) -> Activated:
    """Binds the device; raises ActivationRefused, whatever was wrong.

    ClientNotAccepted says nothing of the activation; AttestationRefused and DeviceLimitReached only to who
    has both halves.
    """
    if relying_party not in gw.tenants.relying_parties:
        raise ActivationRefused()
    name = displayable(request.name, field="name", max_length=64, multiline=False)
    if not _PLATFORM.match(request.platform):
        raise InvalidValue("1 to 64 plain ASCII characters.", field="platform")
    gw.clients.require(request.client)
    registration = gw.store.reserve_activation_try(
        relying_party, request.activation_id, max_failures=gw.activation.max_failures, at=at
    )
    if registration is None:
        return _again(gw, request, relying_party=relying_party, at=at)
    try:
        return _bind(gw, registration, request=request, name=name, at=at)
    except (ActivationRefused, AttestationRefused, DeviceLimitReached):
        gw.store.failed_try(relying_party, registration.id, reason=FailedTry.ACTIVATION, at=at)
        if registration.failures >= gw.activation.max_failures:
            gw.store.block_registration(relying_party, registration.id, at=at)
        raise


def _bind(
    gw: Gateway, registration: Registration, *, request: ActivationRequest, name: str, at: datetime
) -> Activated:
    """Judges a request whose try is counted, and binds its device."""
    relying_party = registration.relying_party
    subject = gw.store.subject(relying_party, registration.subject_id)
    keys = verify_proofs(request, relying_party=relying_party)
    spent = _second_half(gw, registration, request=request)
    _judge_former(gw, registration, request=request)
    if subject is None:
        raise ActivationRefused()
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
        attestation=_judge_attestation(gw, request, relying_party=relying_party, at=at),
        failures=0,
        bound_at=whole_seconds(at),
        client_name=request.client.name if request.client else None,
        client_version=request.client.version if request.client else None,
    )
    left = request.recovery_digest if gw.activation.recovery_codes else None
    part = ActivationPart(
        digest=_digest(request),
        former=request.former.id if request.former else None,
        spent=spent,
        recovery=None if left is None else RecoveryCode(uuid7(at), left),
    )
    limit = gw.activation.max_devices
    if not gw.store.activate(
        registration,
        binding=binding,
        push_target=request.push_target,
        part=part,
        max_devices=limit,
        at=at,
    ):
        return _not_bound(gw, registration, request=request, at=at)
    return _activated(gw, binding, subject=subject, request=request)


def _not_bound(
    gw: Gateway, registration: Registration, *, request: ActivationRequest, at: datetime
) -> Activated:
    """Both halves were right, and yet it was not bound: by this very request a moment ago, or not at all."""
    standing = gw.store.registration(registration.relying_party, registration.id)
    if standing is not None and standing.state_at(at) is RegistrationState.PENDING:
        living = [
            binding
            for binding in gw.store.bindings_of(registration.relying_party, registration.subject_id)
            if binding.state is not BindingState.REVOKED
        ]
        limited = registration.purpose is not RegistrationPurpose.RECOVERY
        if limited and len(living) >= gw.activation.max_devices:
            raise DeviceLimitReached()
        raise ActivationRefused()
    return _again(gw, request, relying_party=registration.relying_party, at=at)


def _again(gw: Gateway, request: ActivationRequest, *, relying_party: str, at: datetime) -> Activated:
    """The answer of an activation that was lost on its way: for the same request, until its time is over."""
    found = gw.store.activated(relying_party, request.activation_id)
    if found is None:
        raise ActivationRefused()
    registration, binding, digest = found
    subject = gw.store.subject(relying_party, registration.subject_id)
    verify_proofs(request, relying_party=relying_party)
    same = hmac.compare_digest(digest, _digest(request))
    if registration.purpose is not RegistrationPurpose.RECOVERY:
        _second_half(gw, registration, request=request)
    if not same or subject is None or binding.state is BindingState.REVOKED or at >= registration.expires_at:
        raise ActivationRefused()
    return _activated(gw, binding, subject=subject, request=request)


def _activated(
    gw: Gateway, binding: DeviceBinding, *, subject: Subject, request: ActivationRequest
) -> Activated:
    return Activated(
        binding=binding,
        certificates=(binding.certificate, *gw.device_ca.chain),
        subject=subject.pseudonym,
        relying_party=gw.relying_party(binding.relying_party),
        recovery=gw.activation.recovery_codes and request.recovery_digest is not None,
    )


def _second_half(gw: Gateway, registration: Registration, *, request: ActivationRequest) -> UUID | None:
    """The id of the recovery code that the request spends, where it does; raises ActivationRefused."""
    if registration.purpose is not RegistrationPurpose.RECOVERY:
        given, expected = request.code or "", gw.activation.code(registration.id)
        if not hmac.compare_digest(given.encode(), expected.encode()):
            raise ActivationRefused()
        return None
    kept = gw.store.recovery_code(registration.relying_party, registration.subject_id)
    digest = recovery_digest(request.recovery_code or "")
    if kept is None or not gw.activation.recovery_codes or not hmac.compare_digest(kept.digest, digest):
        raise ActivationRefused()
    return kept.id


def _judge_former(gw: Gateway, registration: Registration, *, request: ActivationRequest) -> None:
    """Raises ActivationRefused unless the binding that is to be replaced, if any, is the subject's, is not
    revoked, and the device has its key."""
    if request.former is None:
        if registration.purpose is RegistrationPurpose.REACTIVATION:
            raise ActivationRefused()
        return
    former = gw.store.binding(registration.relying_party, request.former.id)
    if former is None or former.subject_id != registration.subject_id or former.state is BindingState.REVOKED:
        raise ActivationRefused()
    verify_former(request, former_keys=former.keys, relying_party=registration.relying_party)


def _judge_attestation(
    gw: Gateway, request: ActivationRequest, *, relying_party: str, at: datetime
) -> Attestation:
    """At the second that evidence names as that of the binding: there it is judged again."""
    sent = request.attestation
    try:
        return attestation.judge(
            sent.format,
            sent.object,
            relying_party=relying_party,
            activation_id=request.activation_id,
            transport_key=request.keys.transport,
            expected_key=request.keys.signing,
            policy=gw.attestation,
            at=whole_seconds(at),
        )
    except Finding as finding:
        log.warning(
            "attestation_refused",
            relying_party=relying_party,
            format=sent.format,
            sub_indication=finding.sub_indication,
            says=finding.says,
        )
        raise AttestationRefused() from finding


def _digest(request: ActivationRequest) -> bytes:
    """Of all that a request asks for, but its activation code: that is never kept, not even so."""
    return request_digest(
        keys=[b64(key) for key in (request.keys.signing, request.keys.transport, request.keys.pin)],
        name=request.name,
        platform=request.platform,
        pushTarget=request.push_target,
        attestation=[request.attestation.format, b64(request.attestation.object)],
        former=request.former.id if request.former else None,
        recoveryCode=recovery_digest(request.recovery_code).hex() if request.recovery_code else None,
        recoveryDigest=request.recovery_digest.hex() if request.recovery_digest else None,
        client=request.client.text() if request.client else None,
    )


def _purpose(gw: Gateway, word: str | None) -> RegistrationPurpose:
    if word is None:
        return RegistrationPurpose.NEW_DEVICE
    try:
        purpose = RegistrationPurpose(word)
    except ValueError:
        raise InvalidValue("new-device, re-activation or recovery.", field="purpose") from None
    if purpose is RegistrationPurpose.RECOVERY and not gw.activation.recovery_codes:
        raise InvalidValue("There are no recovery codes here.", field="purpose")
    return purpose


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
    recovers = registration.purpose is RegistrationPurpose.RECOVERY
    return RegistrationView(
        id=registration.id,
        state=state,
        created_at=registration.created_at,
        expires_at=registration.expires_at,
        activation=Activation(
            id=registration.activation_id,
            code=None if recovers else gw.activation.code(registration.id),
            qr_payload=_link(gw, registration),
        )
        if state is RegistrationState.PENDING
        else None,
        binding_id=registration.binding_id,
        purpose=registration.purpose,
    )


def _link(gw: Gateway, registration: Registration) -> str:
    return ActivationLink(
        relying_party=registration.relying_party,
        activation_id=registration.activation_id,
        gateway_url=gw.public_url,
        device_ca_key=_device_ca_key(gw),
    ).text()


def _device_ca_key(gw: Gateway) -> bytes:
    """SHA-256 of the device CA's key, as links name it."""
    ca = load_certificate(gw.device_ca.chain[0]).public_key()
    return hashlib.sha256(ca.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
