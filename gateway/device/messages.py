"""The messages of the device face: strict JSON in, plain JSON objects out.

The law: a body is one JSON object (RFC 8259, RFC 7493: UTF-8, no member twice, no NaN, no lone surrogate)
of exactly the shape that ``schemas/device-v1.json`` publishes; a member that is not in it is refused, and
so is a value in any but its one spelling. A refusal names the member of the published shape, never
anything from the input. What the values mean is left to the services.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from gateway.core.activation import (
    CODE,
    LOWER_UUID,
    RECOVERY_CODE,
    ActivationRequest,
    FormerBinding,
    KeyProofs,
    UnverifiedAttestation,
)
from gateway.core.attestation import MAX_OBJECT_BYTES, NONE
from gateway.core.canonical import b64, unb64
from gateway.core.client import CLIENT_NAME, CLIENT_VERSION, Client
from gateway.core.device_order import DeviceOrder, NewPinOrder
from gateway.core.errors import MalformedMessage, SchemaInvalid
from gateway.core.model import (
    Channel,
    Decision,
    DeviceBinding,
    DeviceKeys,
    Kind,
    Notice,
    RawAssertion,
    RelyingParty,
    format_time,
    parse_time,
)
from gateway.core.payment import MAX_PAYEES
from gateway.core.profile import parse_profile
from gateway.core.statement import Payee, ShownText, to_fields
from gateway.core.transaction import Transaction
from gateway.services.starts import MAX_TEXTS, Asked, AskedPayment

MAX_BRACKETS: Final = 400
"""``[`` and ``{`` in a body, those in strings included: bounds the depth before a parser recurses."""
MAX_NAME: Final = 64
"""Code points of a device's name."""

_BASE64 = r"^(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$"
"""RFC 4648 section 4 in its one spelling."""
_Key = Annotated[str, StringConstraints(max_length=1000, pattern=_BASE64)]
"""DER as base64."""
_Object = Annotated[str, StringConstraints(max_length=-(-MAX_OBJECT_BYTES // 3) * 4, pattern=_BASE64)]
"""An attestation object as base64; its format says more."""
_Signature = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{85}[AQgw]==$")]
"""r || s, 64 bytes as base64 in its one spelling."""


_Digest = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$")]
"""32 bytes as base64 in its one spelling."""


class _Message(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Keys(_Message):
    signing: _Key
    transport: _Key
    pin: _Key


class _Proofs(_Message):
    signing: _Signature
    transport: _Signature
    pin: _Signature


class _Attestation(_Message):
    format: Literal["none", "android-key"]
    object: _Object | None = None


class _Former(_Message):
    bindingId: Annotated[str, StringConstraints(pattern=f"^{LOWER_UUID}$")]
    proof: _Signature


class _Client(_Message):
    name: Annotated[str, StringConstraints(pattern=f"^{CLIENT_NAME}$")]
    version: Annotated[str, StringConstraints(pattern=f"^{CLIENT_VERSION}$")]


class _Registration(_Message):
    artifact: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$")]


class _Activation(_Message):
    code: Annotated[str, StringConstraints(pattern=f"^{CODE}$")] | None = None
    recoveryCode: Annotated[str, StringConstraints(pattern=f"^{RECOVERY_CODE}$")] | None = None
    name: Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME)]
    platform: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 ._/()-]{1,64}$")]
    keys: _Keys
    proofs: _Proofs
    pushTarget: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,512}$")] | None = None
    attestation: _Attestation
    former: _Former | None = None
    recoveryDigest: _Digest | None = None
    client: _Client | None = None


class _Assertion(_Message):
    decision: Annotated[str, StringConstraints(pattern="^(?:" + "|".join(Decision) + ")$")]
    signingTime: Annotated[str, StringConstraints(pattern=r"^[0-9-]{10}T[0-9:]{8}Z$")]
    signature: _Signature
    pinSignature: _Signature | None = None
    matchNumber: Annotated[str, StringConstraints(pattern=r"^[0-9]{2}$")] | None = None


_Words = Annotated[str, StringConstraints(min_length=1, max_length=200_000)]
"""What they may be is the services' to say."""
_Amount = Annotated[str, StringConstraints(pattern=r"^(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,4})?$")]


class _Text(_Message):
    title: _Words
    text: _Words
    mediaType: Annotated[str, StringConstraints(min_length=1, max_length=127)]


class _Payee(_Message):
    name: _Words
    account: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9/.:-]{1,64}$")]
    amount: _Amount


class _Payment(_Message):
    total: _Amount
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    payees: Annotated[list[_Payee], Field(min_length=1, max_length=MAX_PAYEES)]


class _Start(_Message):
    requestId: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]
    kind: Annotated[str, StringConstraints(pattern="^(?:" + "|".join(Kind) + ")$")]
    profile: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None
    locale: Annotated[str, StringConstraints(max_length=35)]
    texts: Annotated[list[_Text], Field(max_length=MAX_TEXTS)] = []
    payment: _Payment | None = None


class _Name(_Message):
    name: Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME)]


class _Order(_Message):
    signingTime: Annotated[str, StringConstraints(pattern=r"^[0-9-]{10}T[0-9:]{8}Z$")]
    signature: _Signature


class _NewPin(_Order):
    pin: _Key
    pinProof: _Signature


class _PinChange(_NewPin):
    oldPinSignature: _Signature


class _PinReset(_NewPin):
    code: Annotated[str, StringConstraints(pattern=r"^[!-~]{4,64}$")]


_AnyMessage = TypeVar("_AnyMessage", bound=_Message)


def parse_registration(body: bytes) -> bytes:
    """The artifact."""
    message = _parse(body, shape=_Registration)
    return base64.urlsafe_b64decode(message.artifact + "=")


def parse_activation(body: bytes, *, activation_id: UUID) -> ActivationRequest:
    message = _parse(body, shape=_Activation)
    if (message.code is None) == (message.recoveryCode is None):
        raise SchemaInvalid(field="code")
    attested = message.attestation
    if (attested.format == NONE) != (attested.object is None):
        raise SchemaInvalid(field="attestation.object")
    keys, proofs, former, client = message.keys, message.proofs, message.former, message.client
    return ActivationRequest(
        activation_id=activation_id,
        code=message.code,
        name=message.name,
        platform=message.platform,
        keys=DeviceKeys(signing=unb64(keys.signing), transport=unb64(keys.transport), pin=unb64(keys.pin)),
        proofs=KeyProofs(
            signing=unb64(proofs.signing), transport=unb64(proofs.transport), pin=unb64(proofs.pin)
        ),
        push_target=message.pushTarget,
        attestation=UnverifiedAttestation(attested.format, unb64(attested.object or "")),
        former=None if former is None else FormerBinding(UUID(former.bindingId), unb64(former.proof)),
        recovery_code=message.recoveryCode,
        recovery_digest=None if message.recoveryDigest is None else unb64(message.recoveryDigest),
        client=None if client is None else Client(client.name, client.version),
    )


def parse_assertion(body: bytes) -> RawAssertion:
    message = _parse(body, shape=_Assertion)
    return RawAssertion(
        decision=Decision(message.decision),
        signing_time=_time(message.signingTime),
        signature=unb64(message.signature),
        pin_signature=None if message.pinSignature is None else unb64(message.pinSignature),
        match_number=message.matchNumber,
    )


def parse_start(body: bytes) -> tuple[Kind, Asked]:
    message = _parse(body, shape=_Start)
    payment = message.payment
    return Kind(message.kind), Asked(
        request_id=message.requestId,
        locale=message.locale,
        texts=tuple(ShownText(text.title, text.text, text.mediaType) for text in message.texts),
        payment=None
        if payment is None
        else AskedPayment(
            payment.total,
            payment.currency,
            tuple(Payee(payee.name, payee.account, payee.amount) for payee in payment.payees),
        ),
        profile=message.profile,
    )


def parse_name(body: bytes) -> str:
    return _parse(body, shape=_Name).name


def parse_revocation(body: bytes) -> DeviceOrder:
    message = _parse(body, shape=_Order)
    return DeviceOrder(_time(message.signingTime), unb64(message.signature))


def parse_pin_change(body: bytes) -> tuple[NewPinOrder, bytes]:
    """The order, and the signature over it by the old PIN's key."""
    message = _parse(body, shape=_PinChange)
    return _new_pin(message), unb64(message.oldPinSignature)


def parse_pin_reset(body: bytes) -> tuple[NewPinOrder, str]:
    """The order, and the code from the other channel."""
    message = _parse(body, shape=_PinReset)
    return _new_pin(message), message.code


def _new_pin(message: _NewPin) -> NewPinOrder:
    return NewPinOrder(
        _time(message.signingTime), unb64(message.signature), unb64(message.pin), unb64(message.pinProof)
    )


def _time(text: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError as error:
        raise SchemaInvalid(field="signingTime") from error


def _parse(body: bytes, *, shape: type[_AnyMessage]) -> _AnyMessage:
    if body.count(b"[") + body.count(b"{") > MAX_BRACKETS:
        raise MalformedMessage()
    try:
        text = body.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_no_member_twice, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage() from error
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        # The last part of an unknown member's place is its name: that is input, and is not told.
        place = first["loc"][:-1] if first["type"] == "extra_forbidden" else first["loc"]
        raise SchemaInvalid(field=".".join(str(part) for part in place) or None) from error


def _no_member_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _no_constant(name: str) -> Any:
    raise ValueError("not a JSON value")


def registered(*, link: str, expires_at: datetime) -> dict[str, Any]:
    return {"activationLink": link, "expiresAt": format_time(expires_at)}


def notice(told: Notice) -> dict[str, str]:
    named = {} if told.name is None else {"name": told.name}
    return {"id": str(told.id), "kind": told.kind, "at": format_time(told.at), **named}


def activated(
    *,
    binding_id: UUID,
    certificates: tuple[bytes, ...],
    subject: str,
    relying_party: RelyingParty,
    recovery: bool,
) -> dict[str, Any]:
    return {
        "bindingId": str(binding_id),
        "certificates": [b64(certificate) for certificate in certificates],
        "subject": subject,
        "relyingParty": {"id": relying_party.id, "name": relying_party.name},
        "recovery": recovery,
    }


def waiting(transaction: Transaction) -> dict[str, str]:
    """What a device may know before it claims: that something waits, and how long."""
    return {
        "id": str(transaction.id),
        "createdAt": format_time(transaction.created_at),
        "expiresAt": format_time(transaction.expires_at),
    }


def device(binding: DeviceBinding) -> dict[str, Any]:
    """What a device is told of itself: never how many tries are left."""
    return {
        "bindingId": str(binding.id),
        "name": binding.name,
        "platform": binding.platform,
        "state": binding.state,
        "lockedMethods": sorted(binding.locked_methods),
        "boundAt": format_time(binding.bound_at),
    }


def claimed(transaction: Transaction) -> dict[str, Any]:
    """All that a device needs to show a transaction and to answer it."""
    profile = parse_profile(transaction.profile_document)
    return {
        "state": transaction.state,
        "factors": list(profile.factors),
        "numberMatching": profile.number_matching and transaction.channel is Channel.BACKEND,
        "fields": to_fields(transaction.content),
    }


def decided(transaction: Transaction) -> dict[str, Any]:
    """The state; after an approval what is to be shown, and what an app hands to the bank's backend."""
    answer: dict[str, Any] = {"state": transaction.state}
    post, code = transaction.post_context, transaction.authentication_code
    if post is not None and transaction.decision is Decision.APPROVED:
        answer["postContext"] = {"title": post.title, "text": post.text, "mediaType": post.media_type}
    if code is not None:
        answer["authenticationCode"] = code
    return answer
