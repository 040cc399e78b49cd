"""The reference authenticator: activates, shows what waits, and signs what was shown.

The law: what you see is what you sign. The statement is composed here, from the very fields that were
shown, and only after they were (RTS (EU) 2018/389 article 5); a content that is not for this binding's
relying party and subject, or that holds anything which cannot be shown, is refused. The signature is the
XAdES B-B signature of ``docs/device-protocol.md``; for an approval under a PIN, the PIN's key signs the same
bytes, and is forgotten. How a content is put on a screen is left to the caller.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec

from gateway.authenticator import shape
from gateway.authenticator.client import Client, Transport, http_transport
from gateway.authenticator.errors import CannotShow, FactorMissing, NotShown, NotTrusted, PinUnusable
from gateway.authenticator.keystore import Device
from gateway.authenticator.pin import SECRET_BYTES, pin_key
from gateway.authenticator.trust import check_certificates
from gateway.core import statement, xades
from gateway.core.activation import (
    RECOVERY_ALPHABET,
    RECOVERY_LENGTH,
    b64url,
    parse_artifact_link,
    parse_link,
    proof_bytes,
    recovery_digest,
)
from gateway.core.canonical import b64, unb64
from gateway.core.client import Client as AppClient
from gateway.core.errors import GatewayError
from gateway.core.keys import sign_p256, spki_of
from gateway.core.model import (
    Decision,
    DeviceKeys,
    Factor,
    Notice,
    RelyingParty,
    format_time,
    parse_time,
    utc_now,
    whole_seconds,
)
from gateway.core.text import displayable

PLATFORM: Final = "reference"
_MAX_TEXT: Final = 200_000
"""Code points: the most that any signature profile allows."""
_MAX_LINE: Final = 200
_MEDIA_TYPE: Final = "text/plain"
_FACTORS: Final = frozenset({Factor.DEVICE, Factor.PIN})


@dataclass(frozen=True, slots=True)
class Waiting:
    """That something waits; what it is, only a claim tells."""

    id: UUID
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Shown:
    """What has to be shown, whole, before anybody decides."""

    content: statement.Content
    factors: frozenset[str]
    """What an approval has to prove."""

    @property
    def needs_pin(self) -> bool:
        return Factor.PIN in self.factors


class Authenticator:
    def __init__(
        self,
        device: Device,
        *,
        transport: Transport = http_transport,
        clock: Callable[[], datetime] = utc_now,
        app: AppClient | None = None,
    ) -> None:
        self.device = device
        self.recovery_code: str | None = None
        """To be shown once, after an activation that left one; kept nowhere."""
        self._client = Client(device.gateway_url, device.relying_party.id, transport, app)
        self._clock = clock
        self._shown: dict[UUID, Shown] = {}

    @staticmethod
    def register(link: str, *, transport: Transport = http_transport) -> str:
        """The activation link for the link that the bank's own app or site has opened; it serves once."""
        try:
            target = parse_artifact_link(link)
        except ValueError as error:
            raise NotTrusted("This is no registration link.") from error
        client = Client(target.gateway_url, target.relying_party, transport)
        answer = shape.require(client.register(b64url(target.artifact)), shape.REGISTRATION)
        activation: str = answer["activationLink"]
        try:
            opened = parse_link(activation)
        except ValueError as error:
            raise NotTrusted("The gateway's answer to the registration is malformed.") from error
        if (opened.relying_party, opened.gateway_url, opened.device_ca_key) != (
            target.relying_party,
            target.gateway_url,
            target.device_ca_key,
        ):
            raise NotTrusted("The gateway answered with the activation of somebody else.")
        return activation

    @classmethod
    def activate(
        cls,
        link: str,
        *,
        code: str | None = None,
        recovery_code: str | None = None,
        pin: str,
        name: str,
        replaces: Device | None = None,
        leave_recovery: bool = False,
        app: AppClient | None = None,
        push_target: str | None = None,
        transport: Transport = http_transport,
        clock: Callable[[], datetime] = utc_now,
    ) -> Authenticator:
        """Binds a new device with the QR code's link and the code from the other channel, or a recovery code.

        The caller keeps ``authenticator.device``; without it, the binding is lost. The binding of the device
        that it ``replaces`` is revoked with it. Where it leaves a recovery code, the answer has it.
        """
        try:
            target = parse_link(link)
        except ValueError as error:
            raise NotTrusted("This is no activation link.") from error
        pin_secret = secrets.token_bytes(SECRET_BYTES)
        signing, transport_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        signers = (signing, transport_key, pin_key(pin, secret=pin_secret))
        keys = DeviceKeys(*(spki_of(key.public_key()) for key in signers))
        new_code = "".join(secrets.choice(RECOVERY_ALPHABET) for _ in range(RECOVERY_LENGTH))
        left = recovery_digest(new_code) if leave_recovery else None
        data = proof_bytes(
            relying_party=target.relying_party,
            activation_id=target.activation_id,
            keys=keys,
            former=None if replaces is None else replaces.binding_id,
            recovery_digest=left,
        )
        proofs = [sign_p256(key, data) for key in signers]
        roles = ("signing", "transport", "pin")
        message: dict[str, Any] = {
            "name": name,
            "platform": PLATFORM,
            "keys": {role: b64(getattr(keys, role)) for role in roles},
            "proofs": {role: b64(proof) for role, proof in zip(roles, proofs, strict=True)},
            "attestation": {"format": "none"},
        }
        if code is not None:
            message["code"] = code.upper()
        if recovery_code is not None:
            message["recoveryCode"] = "".join(recovery_code.upper().replace("-", "").split())
        if push_target is not None:
            message["pushTarget"] = push_target
        if replaces is not None:
            proof = b64(sign_p256(replaces.transport, data))
            message["former"] = {"bindingId": str(replaces.binding_id), "proof": proof}
        if left is not None:
            message["recoveryDigest"] = b64(left)
        if app is not None:
            message["client"] = {"name": app.name, "version": app.version}
        client = Client(target.gateway_url, target.relying_party, transport)
        answer = shape.require(client.activate(target.activation_id, message), shape.ACTIVATION)
        try:
            device = Device(
                gateway_url=target.gateway_url,
                relying_party=RelyingParty(answer["relyingParty"]["id"], answer["relyingParty"]["name"]),
                binding_id=UUID(answer["bindingId"]),
                subject=answer["subject"],
                certificates=tuple(unb64(certificate) for certificate in answer["certificates"]),
                signing=signing,
                transport=transport_key,
                pin_secret=pin_secret,
            )
        except ValueError as error:
            raise NotTrusted("The gateway's answer to the activation is malformed.") from error
        if device.relying_party.id != target.relying_party:
            raise NotTrusted("The gateway activated for another relying party.")
        check_certificates(
            device.certificates,
            expected_ca_key=target.device_ca_key,
            expected_key=signing.public_key(),
            expected_binding=device.binding_id,
            at=clock(),
        )
        made = cls(device, transport=transport, clock=clock, app=app)
        if left is not None and answer.get("recovery") is True:
            made.recovery_code = new_code
        return made

    def notices(self) -> tuple[Notice, ...]:
        """What this device has to show of the subject's other devices, oldest first."""
        answer = shape.require(self._ask("GET", "notices"), shape.NOTICE_LIST)
        try:
            return tuple(
                Notice(UUID(item["id"]), item["kind"], parse_time(item["at"]), _name(item))
                for item in answer["notices"]
            )
        except ValueError as error:
            raise NotTrusted("The gateway's list is malformed.") from error

    def saw(self, notice_id: UUID) -> None:
        """Says that a notice was shown: it is not listed again."""
        self._ask("POST", f"notices/{notice_id}/seen")

    def waiting(self) -> tuple[Waiting, ...]:
        """What waits for this device's subject, oldest first."""
        answer = shape.require(self._ask("GET", "transactions"), shape.TRANSACTION_LIST)
        try:
            return tuple(
                Waiting(UUID(item["id"]), parse_time(item["createdAt"]), parse_time(item["expiresAt"]))
                for item in answer["transactions"]
            )
        except ValueError as error:
            raise NotTrusted("The gateway's list is malformed.") from error

    def claim(self, transaction_id: UUID) -> Shown:
        """Takes a transaction for this device and gives what is to be shown."""
        claim = self._ask("POST", f"transactions/{transaction_id}/claim")
        answer = shape.require(claim, shape.CLAIMED)
        try:
            content = statement.from_fields(answer["fields"])
            if statement.to_fields(content) != answer["fields"]:
                raise ValueError("not the fields in their one spelling, or more than the fields")
        except ValueError as error:
            raise NotTrusted("The gateway's fields are malformed.") from error
        self._check(content, transaction_id=transaction_id)
        shown = Shown(content, factors=frozenset(answer["factors"]))
        self._shown[transaction_id] = shown
        return shown

    def state(self, transaction_id: UUID) -> str:
        """The state of a transaction that this device has claimed."""
        return self._state("GET", f"transactions/{transaction_id}")

    def approve(self, transaction_id: UUID, *, pin: str | None) -> str:
        """Signs the approval of what ``claim`` gave; answers the transaction's state."""
        shown = self._shown_before(transaction_id)
        if not shown.factors <= _FACTORS:
            raise FactorMissing("This approval asks for a factor that this authenticator does not have.")
        if not shown.needs_pin:
            return self._decide(shown, decision=Decision.APPROVED)
        if pin is None:
            raise PinUnusable("This approval needs the PIN.")
        key = pin_key(pin, secret=self.device.pin_secret)
        return self._decide(shown, decision=Decision.APPROVED, knowledge=key)

    def reject(self, transaction_id: UUID, *, decision: Decision) -> str:
        """Signs one of the two rejections of what ``claim`` gave; answers the transaction's state."""
        if decision is Decision.APPROVED:
            raise ValueError("an approval is no rejection")
        return self._decide(self._shown_before(transaction_id), decision=decision)

    def _shown_before(self, transaction_id: UUID) -> Shown:
        try:
            return self._shown[transaction_id]
        except KeyError:
            raise NotShown("The transaction was not shown: claim it first.") from None

    def _decide(
        self, shown: Shown, *, decision: Decision, knowledge: ec.EllipticCurvePrivateKey | None = None
    ) -> str:
        signing_time = whole_seconds(self._clock())
        composed = statement.compose(shown.content, binding_id=self.device.binding_id, decision=decision)
        info = xades.device_signed_info(
            composed, certificate=self.device.certificates[0], signing_time=signing_time
        )
        message = {
            "decision": decision,
            "signingTime": format_time(signing_time),
            "signature": b64(sign_p256(self.device.signing, info)),
        }
        if knowledge is not None:
            message["pinSignature"] = b64(sign_p256(knowledge, info))
        path = f"transactions/{shown.content.transaction_id}/assertion"
        return self._state("POST", path, message=message)

    def _state(self, method: str, path: str, *, message: dict[str, Any] | None = None) -> str:
        state: str = shape.require(self._ask(method, path, message=message), shape.STATE)["state"]
        return state

    def _ask(self, method: str, path: str, *, message: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._client.signed(
            method,
            path,
            key=self.device.transport,
            key_id=self.device.binding_id,
            at=self._clock(),
            message=message,
        )

    def _check(self, content: statement.Content, *, transaction_id: UUID) -> None:
        if content.transaction_id != transaction_id:
            raise NotTrusted("The gateway answered with another transaction.")
        if content.relying_party.id != self.device.relying_party.id or content.subject != self.device.subject:
            raise NotTrusted("The transaction is for another relying party or subject.")
        if not content.texts or content.payment is not None or content.documents:
            raise CannotShow("This authenticator shows texts, and nothing else.")
        _check_shown(content.relying_party.name, field="relying party", multiline=False)
        for shown in content.texts:
            if shown.media_type != _MEDIA_TYPE:
                raise CannotShow("This authenticator shows plain text, and nothing else.")
            _check_shown(shown.title, field="title", multiline=False)
            _check_shown(shown.text, field="text", multiline=True)


def _name(notice: dict[str, Any]) -> str | None:
    """A name that can be shown; None for none, or one that cannot."""
    name = notice.get("name")
    try:
        return displayable(name, field="name", max_length=64, multiline=False) if name else None
    except (GatewayError, TypeError):
        return None


def _check_shown(text: str, *, field: str, multiline: bool) -> None:
    limit = _MAX_TEXT if multiline else _MAX_LINE
    try:
        as_shown = displayable(text, field=field, max_length=limit, multiline=multiline)
    except GatewayError as error:
        raise CannotShow(f"The {field} cannot be shown faithfully. {error.message}") from error
    if as_shown != text:
        raise CannotShow(f"The {field} would be shown otherwise than it is signed.")
