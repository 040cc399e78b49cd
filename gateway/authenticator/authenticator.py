"""The reference authenticator: activates, shows what waits, and signs what was shown.

The law: what you see is what you sign. The statement is composed here, from the very fields that were
shown, and only after they were (RTS (EU) 2018/389 article 5); a content that is not for this binding's
relying party and subject, or that holds anything which cannot be shown, is refused. The signature is the
XAdES B-B signature of ``docs/device-protocol.md``; for an approval under a PIN, the PIN's key signs the same
bytes, and is forgotten. How a content is put on a screen is left to the caller.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec

from gateway.authenticator import shape
from gateway.authenticator.attestor import UnsafeAttestor
from gateway.authenticator.client import Client, Transport, http_transport
from gateway.authenticator.errors import (
    CannotShow,
    FactorMissing,
    GatewayUnreachable,
    NotShown,
    NotTrusted,
    PinUnusable,
)
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
from gateway.core.attestation import challenge
from gateway.core.canonical import b64, unb64
from gateway.core.client import Client as AppClient
from gateway.core.device_order import Purpose, order_bytes
from gateway.core.errors import GatewayError
from gateway.core.keys import sign_p256, spki_of
from gateway.core.model import (
    Decision,
    DeviceKeys,
    Factor,
    Kind,
    Notice,
    RelyingParty,
    format_time,
    parse_time,
    utc_now,
    whole_seconds,
)
from gateway.core.shown import shown_text
from gateway.core.text import displayable

PLATFORM: Final = "reference"
_MAX_TEXT: Final = 200_000
"""Code points: the most that any signature profile allows."""
_MAX_LINE: Final = 200
_ATTEMPTS: Final = 3
"""How often a change of PIN is sent, where no answer comes."""
_WORD: Final = re.compile(r"[A-Za-z_-]{1,40}")
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
    needs_number: bool
    """An approval needs the two digits that the relying party shows on its own screen."""

    @property
    def needs_pin(self) -> bool:
        return Factor.PIN in self.factors


@dataclass(frozen=True, slots=True)
class Decided:
    state: str
    post_context: statement.ShownText | None = None
    """To be shown now; nobody signed it."""
    authentication_code: str | None = None
    """Of what this device started itself: for the relying party's backend."""


@dataclass(frozen=True, slots=True)
class OwnDevice:
    """This device as the gateway has it."""

    name: str
    state: str
    locked_methods: tuple[str, ...]
    bound_at: datetime


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
        attestor: UnsafeAttestor | None = None,
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
            "attestation": {"format": "none"}
            if attestor is None
            else attestor.attestation(
                signing.public_key(),
                challenge=challenge(
                    relying_party=target.relying_party,
                    activation_id=target.activation_id,
                    transport_key=keys.transport,
                ),
                at=clock(),
            ),
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
                biometric=attestor is not None and attestor.biometric,
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
        return self._take(claim, transaction_id=transaction_id)

    def start(
        self,
        kind: Kind,
        *,
        locale: str,
        texts: Sequence[statement.ShownText] = (),
        payment: statement.Payment | None = None,
        profile: str | None = None,
        request_id: str | None = None,
    ) -> Shown:
        """Starts a transaction on this device, which has taken it; give ``request_id`` to repeat one."""
        message: dict[str, Any] = {
            "requestId": request_id or secrets.token_hex(16),
            "kind": kind,
            "locale": locale,
            "texts": [{"title": t.title, "text": t.text, "mediaType": t.media_type} for t in texts],
        }
        if payment is not None:
            payees = [{"name": p.name, "account": p.account, "amount": p.amount} for p in payment.payees]
            message["payment"] = {"total": payment.total, "currency": payment.currency, "payees": payees}
        if profile is not None:
            message["profile"] = profile
        return self._take(self._ask("POST", "transactions", message=message), transaction_id=None)

    def _take(self, answer: dict[str, Any], *, transaction_id: UUID | None) -> Shown:
        shape.require(answer, shape.CLAIMED)
        try:
            content = statement.from_fields(answer["fields"])
            if statement.to_fields(content) != answer["fields"]:
                raise ValueError("not the fields in their one spelling, or more than the fields")
        except ValueError as error:
            raise NotTrusted("The gateway's fields are malformed.") from error
        self._check(content, transaction_id=transaction_id)
        shown = Shown(content, factors=frozenset(answer["factors"]), needs_number=answer["numberMatching"])
        self._shown[content.transaction_id] = shown
        return shown

    def state(self, transaction_id: UUID) -> str:
        """The state of a transaction that this device has claimed."""
        answer = self._ask("GET", f"transactions/{transaction_id}")
        state: str = shape.require(answer, shape.STATE)["state"]
        return state

    def approve(self, transaction_id: UUID, *, pin: str | None, number: str | None = None) -> Decided:
        """Signs the approval of what ``claim`` or ``start`` gave."""
        shown = self._shown_before(transaction_id)
        if not shown.factors <= (_FACTORS | {Factor.BIOMETRIC} if self.device.biometric else _FACTORS):
            raise FactorMissing("This approval asks for a factor that this authenticator does not have.")
        if shown.needs_number and number is None:
            raise FactorMissing("This approval needs the number on the relying party's screen.")
        if not shown.needs_pin:
            return self._decide(shown, decision=Decision.APPROVED, number=number)
        if pin is None:
            raise PinUnusable("This approval needs the PIN.")
        key = pin_key(pin, secret=self.device.pin_secret)
        return self._decide(shown, decision=Decision.APPROVED, knowledge=key, number=number)

    def reject(self, transaction_id: UUID, *, decision: Decision) -> Decided:
        """Signs one of the two rejections of what ``claim`` or ``start`` gave."""
        if decision is Decision.APPROVED:
            raise ValueError("an approval is no rejection")
        return self._decide(self._shown_before(transaction_id), decision=decision)

    def status(self) -> OwnDevice:
        """This device as the gateway has it."""
        return self._device("GET")

    def rename(self, name: str) -> OwnDevice:
        return self._device("POST", "name", message={"name": name})

    def lock(self) -> OwnDevice:
        """The panic button: only the relying party unlocks."""
        return self._device("POST", "lock")

    def revoke(self) -> OwnDevice:
        """Removes this device, for ever; the caller then deletes its keys."""
        return self._device("POST", "revocation", message=self._order(Purpose.REVOCATION))

    def change_pin(self, *, old_pin: str, new_pin: str) -> OwnDevice:
        """Sets a new PIN; the caller keeps ``self.device``, whose secret for PINs is a new one.

        An answer that got lost is asked for again with the same keys: what was taken is answered again.
        """
        secret = secrets.token_bytes(SECRET_BYTES)
        old = pin_key(old_pin, secret=self.device.pin_secret)
        new = pin_key(new_pin, secret=secret)
        for left in reversed(range(_ATTEMPTS)):
            order = self._order(Purpose.PIN_CHANGE, new_pin=new, old_pin=old)
            try:
                found = self._device("POST", "pin", message=order)
                break
            except GatewayUnreachable:
                if not left:
                    raise
        self.device = replace(self.device, pin_secret=secret)
        return found

    def reset_pin(self, *, code: str, new_pin: str) -> OwnDevice:
        """Sets a new PIN with the code from the relying party; the caller keeps ``self.device``."""
        secret = secrets.token_bytes(SECRET_BYTES)
        order = self._order(Purpose.PIN_RESET, new_pin=pin_key(new_pin, secret=secret))
        found = self._device("POST", "pinreset", message={**order, "code": code})
        self.device = replace(self.device, pin_secret=secret)
        return found

    def _order(
        self,
        purpose: Purpose,
        *,
        new_pin: ec.EllipticCurvePrivateKey | None = None,
        old_pin: ec.EllipticCurvePrivateKey | None = None,
    ) -> dict[str, Any]:
        """What the person orders about this device, signed by every key that it takes."""
        at = whole_seconds(self._clock())
        key = None if new_pin is None else spki_of(new_pin.public_key())
        data = order_bytes(
            purpose,
            relying_party=self.device.relying_party.id,
            binding_id=self.device.binding_id,
            at=at,
            pin_key=key,
        )
        message = {"signingTime": format_time(at), "signature": b64(sign_p256(self.device.signing, data))}
        if new_pin is not None and key is not None:
            message |= {"pin": b64(key), "pinProof": b64(sign_p256(new_pin, data))}
        if old_pin is not None:
            message["oldPinSignature"] = b64(sign_p256(old_pin, data))
        return message

    def _device(self, method: str, verb: str = "", *, message: dict[str, Any] | None = None) -> OwnDevice:
        path = f"devices/{self.device.binding_id}" + (f"/{verb}" if verb else "")
        answer = shape.require(self._ask(method, path, message=message), shape.DEVICE)
        _check_line(answer["name"], field="name")
        try:
            if answer["bindingId"] != str(self.device.binding_id):
                raise ValueError("another device")
            if not all(_WORD.fullmatch(word) for word in (answer["state"], *answer["lockedMethods"])):
                raise ValueError("not a word")
            return OwnDevice(
                name=answer["name"],
                state=answer["state"],
                locked_methods=tuple(answer["lockedMethods"]),
                bound_at=parse_time(answer["boundAt"]),
            )
        except ValueError as error:
            raise NotTrusted("The gateway's answer about this device is malformed.") from error

    def _shown_before(self, transaction_id: UUID) -> Shown:
        try:
            return self._shown[transaction_id]
        except KeyError:
            raise NotShown("The transaction was not shown: claim it first.") from None

    def _decide(
        self,
        shown: Shown,
        *,
        decision: Decision,
        knowledge: ec.EllipticCurvePrivateKey | None = None,
        number: str | None = None,
    ) -> Decided:
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
        if number is not None and shown.needs_number:
            message["matchNumber"] = number
        path = f"transactions/{shown.content.transaction_id}/assertion"
        answer = shape.require(self._ask("POST", path, message=message), shape.STATE)
        post = answer.get("postContext")
        if post is not None:
            shape.require(post, shape.SHOWN_TEXT)
            post = statement.ShownText(post["title"], post["text"], post["mediaType"])
            _check_text(post)
        code = answer.get("authenticationCode")
        return Decided(answer["state"], post, code if isinstance(code, str) else None)

    def _ask(self, method: str, path: str, *, message: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._client.signed(
            method,
            path,
            key=self.device.transport,
            key_id=self.device.binding_id,
            at=self._clock(),
            message=message,
        )

    def _check(self, content: statement.Content, *, transaction_id: UUID | None) -> None:
        if transaction_id not in (None, content.transaction_id):
            raise NotTrusted("The gateway answered with another transaction.")
        if content.relying_party.id != self.device.relying_party.id or content.subject != self.device.subject:
            raise NotTrusted("The transaction is for another relying party or subject.")
        if content.documents:
            raise CannotShow("This authenticator shows texts and payments, and nothing else.")
        if content.payment is not None and content.kind is not Kind.AUTHORISATION:
            raise CannotShow("A payment is authorised, and nothing else.")
        if not content.texts and content.payment is None and content.kind is not Kind.AUTHENTICATION:
            raise CannotShow("There is nothing to decide.")
        _check_line(content.relying_party.name, field="relying party")
        for shown in content.texts:
            _check_text(shown)
        for payee in () if content.payment is None else content.payment.payees:
            _check_line(payee.name, field="payee")
            _check_line(payee.account, field="account")


def _name(notice: dict[str, Any]) -> str | None:
    """A name that can be shown; None for none, or one that cannot."""
    name = notice.get("name")
    try:
        return displayable(name, field="name", max_length=64, multiline=False) if name else None
    except (GatewayError, TypeError):
        return None


def _check_line(text: str, *, field: str) -> None:
    try:
        as_shown = displayable(text, field=field, max_length=_MAX_LINE, multiline=False)
    except GatewayError as error:
        raise CannotShow(f"The {field} cannot be shown faithfully. {error.message}") from error
    if as_shown != text:
        raise CannotShow(f"The {field} would be shown otherwise than it is signed.")


def _check_text(shown: statement.ShownText) -> None:
    try:
        as_shown = shown_text(
            shown.title, text=shown.text, media_type=shown.media_type, max_length=_MAX_TEXT, field="text"
        )
    except GatewayError as error:
        raise CannotShow(f"The text cannot be shown faithfully. {error.message}") from error
    if as_shown != shown:
        raise CannotShow("The text would be shown otherwise than it is signed.")
