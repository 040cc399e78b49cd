"""The bank and its customers: each call, and the entry that its answer makes in the ledger.

The law: the bank speaks SOAP over HTTP, the phone is the reference authenticator over the device face. An
answer is booked where it comes; a refusal must be the one that was foreseen, or the day has failed. The bank
waits until a wake-up has gone, so that it knows of it. Which acts make up a day is left to ``acts``.
"""

from __future__ import annotations

import base64
import random
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID
from xml.sax.saxutils import escape

from ledger import Ledger
from live import Fault, Live, text

from gateway.authenticator.authenticator import Authenticator
from gateway.authenticator.client import http_transport
from gateway.authenticator.errors import GatewayRefused
from gateway.core.certpath import parse_trust
from gateway.core.conclusion import Indication
from gateway.core.model import Decision, Kind
from gateway.core.statement import Payee, Payment, ShownText
from gateway.core.verifier import verify_evidence

PIN: Final = "271828"
PATIENCE_SECONDS: Final = 30.0
SIGNED: Final = frozenset({Kind.CONSENT_SIGNATURE, Kind.TEXT_SIGNATURE})
"""Kinds whose decision leaves evidence."""
START: Final = {
    Kind.AUTHENTICATION: "StartAuthentication",
    Kind.AUTHORISATION: "StartAuthorisation",
    Kind.CONSENT_SIGNATURE: "StartConsentSignature",
    Kind.TEXT_SIGNATURE: "StartTextSignature",
}


class DayFailed(Exception):
    """What was answered otherwise than it had to be, in one sentence."""


class Bank:
    def __init__(self, live: Live, ledger: Ledger) -> None:
        self._live, self.ledger = live, ledger
        self._trust = parse_trust((live.folder / "keys" / "trust.pem").read_bytes())
        self.waits_for_its_end: list[str] = []
        """Transactions that nobody decides."""

    def ask(self, operation: str, **fields: Any) -> Any:
        self.ledger.called()
        return self._live.call(operation, _xml(fields))

    def refused(self, code: str, operation: str, **fields: Any) -> None:
        try:
            self.ask(operation, **fields)
        except Fault as fault:
            self.ledger.refuse(operation, _same(fault.code, code, what=operation))
        else:
            raise DayFailed(f"{operation} was accepted where {code} was due.")

    # transactions

    def start(self, kind: Kind, fields: Mapping[str, Any]) -> str:
        """Started for the first time, and its wake-up gone."""
        found = self.ask(START[kind], **fields)
        id_ = text(found, "transactionId")
        self.started(id_, text(found, "state"))
        return id_

    def started(self, id_: str, state: str) -> None:
        self.ledger.book("transaction", id_, "START", state)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while state == "REQUESTED":
            if time.monotonic() > deadline:
                raise DayFailed(f"The wake-up of {id_} never went.")
            state = text(self.look(id_, wait=5), "state")
        self.ledger.book("transaction", id_, "NOTIFY", _same(state, "PENDING", what=id_))

    def look(self, id_: str, *, wait: int = 0) -> Any:
        found = self.ask("GetTransaction", transactionId=id_, waitSeconds=wait)
        self.ledger.see("transaction", id_, text(found, "state"))
        return found

    def approved(self, id_: str, kind: Kind) -> Any:
        """What the bank sees of an approval, with its evidence where it leaves some."""
        found = self.look(id_, wait=20)
        _same(text(found, "state"), "COMPLETED", what=id_)
        if kind in SIGNED:
            self.evidence(id_, state="COMPLETED", decision=Decision.APPROVED)
        else:
            self.ledger.book("transaction", id_, "COMPLETE", "COMPLETED")
        return found

    def rejected(self, id_: str, kind: Kind, decision: Decision) -> None:
        found = self.look(id_)
        _same(text(found, "state"), "REJECTED", what=id_)
        _same(text(found, "decision"), str(decision), what=id_)
        if kind in SIGNED:
            self.evidence(id_, state="REJECTED", decision=decision)
        else:
            self.refused("EVIDENCE_NOT_READY", "GetEvidence", transactionId=id_)

    def evidence(self, id_: str, *, state: str, decision: Decision) -> None:
        """Fetched, and judged as an auditor does, without the gateway."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                found = self.ask("GetEvidence", transactionId=id_)
                break
            except Fault as fault:
                _same(fault.code, "EVIDENCE_NOT_READY", what=id_)
                if time.monotonic() > deadline:
                    raise DayFailed(f"The evidence of {id_} never came.") from None
                time.sleep(0.2)
        self.ledger.book("transaction", id_, "SEAL", state)
        document = base64.b64decode(text(found, "document"))
        concluded = verify_evidence(document, trust=self._trust, at=datetime.now(UTC))
        if concluded.indication is not Indication.TOTAL_PASSED or concluded.decision is not decision:
            raise DayFailed(f"The evidence of {id_} is {concluded.indication}: {concluded.explanation}")
        self.ledger.evidence.add(id_)

    def cancel(self, id_: str) -> None:
        found = self.ask("CancelTransaction", transactionId=id_)
        self.ledger.book("transaction", id_, "CANCEL", text(found, "state"), "caller")

    def redeem(self, id_: str, code: str, payment: Mapping[str, Any] | None) -> None:
        """Once, for what was approved, and for nothing else."""
        once = {"requestId": secrets.token_hex(8), "transactionId": id_, "authenticationCode": code}
        if payment is not None:
            for change in ({"account": "CH9300762011623852957"}, {"name": "Somebody Else"}):
                payees = [{**payment["payee"][0], **change}, *payment["payee"][1:]]
                other = once | {"payment": {**payment, "payee": payees}}
                self.refused("CODE_REFUSED", "RedeemAuthenticationCode", **other)
            self.refused("CODE_REFUSED", "RedeemAuthenticationCode", **once)
            once["payment"] = dict(payment)
        found = self.ask("RedeemAuthenticationCode", **once)
        self.redeemed(id_, found)
        again = self.ask("RedeemAuthenticationCode", **once)
        _same(text(again, "redeemedAt"), text(found, "redeemedAt"), what=id_)
        other = once | {"requestId": secrets.token_hex(8)}
        self.refused("CODE_REFUSED", "RedeemAuthenticationCode", **other)

    def redeemed(self, id_: str, answer: Any) -> None:
        self.ledger.book("transaction", id_, "REDEEM", text(answer, "state"))
        self.ledger.redeemed.add(id_)

    # devices

    def device(self, phone: Phone) -> str:
        found = self.ask("GetDevice", deviceId=phone.id)
        phone.state = text(found, "state")
        self.ledger.see("binding", phone.id, phone.state)
        return phone.state

    def order(self, operation: str, phone: Phone, event: str, because: str, **fields: Any) -> None:
        """An operation on a device, which leaves an event of its history."""
        found = self.ask(operation, deviceId=phone.id, **fields)
        phone.state = text(found, "state")
        self.ledger.book("binding", phone.id, event, phone.state, because)

    def unlock(self, phone: Phone, *, method: str | None = None) -> None:
        self.order(
            "UnlockDevice", phone, "UNLOCK" if method is None else "UNLOCKPIN", "caller", method=method
        )

    def spent(self, phone: Phone) -> None:
        """After the last failure the bank sees the lock."""
        _same(self.device(phone), "LOCKED", what=phone.id)
        self.ledger.book("binding", phone.id, "LOCK", "LOCKED", "failures")

    def pin_reset(self, phone: Phone) -> tuple[str, str]:
        """Its id and its code."""
        found = self.ask("StartPinReset", requestId=secrets.token_hex(8), deviceId=phone.id)
        id_ = text(found, "pinResetId")
        self.ledger.book("binding", phone.id, "STARTPINRESET", phone.state, "caller")
        self.ledger.see("pin_reset", id_, text(found, "state"))
        return id_, text(found, "resetCode")


@dataclass
class Phone:
    app: Authenticator
    pin: str = PIN
    state: str = "ACTIVE"

    @property
    def id(self) -> str:
        return str(self.app.device.binding_id)


@dataclass
class Person:
    bank: Bank
    reference: str
    chance: random.Random
    phones: list[Phone] = field(default_factory=list)
    recovery: str | None = None
    """The newest code alone serves, whatever has become of the phone that left it."""

    @property
    def ledger(self) -> Ledger:
        return self.bank.ledger

    def transport(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        self.ledger.called()
        return http_transport(method, url, headers, body)

    def phone(self) -> Phone:
        """One that can decide: a new one where there is none."""
        ready = [phone for phone in self.phones if phone.state == "ACTIVE"]
        return ready[0] if ready else self.activated(*self.opened())

    # registration

    def opened(self, *, purpose: str | None = None, by_app: bool = False) -> tuple[str, str, str]:
        """A registration's id, link and code."""
        fields = {
            "requestId": secrets.token_hex(8),
            "externalRef": self.reference,
            "attribute": {"name": "name", "value": "Zoë Ångström-Şahin"},
            "purpose": purpose,
        }
        found = self.bank.ask("IssueRegistrationArtifact" if by_app else "StartRegistration", **fields)
        id_ = text(found, "registrationId")
        self.ledger.book("registration", id_, "START", text(found, "state"))
        if not by_app:
            return id_, text(found, "qrPayload"), text(found, "activationCode")
        artifact = text(found, "deepLink")
        link = Authenticator.register(artifact, transport=self.transport)
        self.ledger.book("registration", id_, "REDEEM", "PENDING")
        self.no(
            "ACTIVATION_REFUSED",
            "artifact",
            lambda: Authenticator.register(artifact, transport=self.transport),
        )
        return id_, link, text(self.bank.ask("GetRegistration", registrationId=id_), "activationCode")

    def activated(
        self,
        registration: str,
        link: str,
        code: str,
        *,
        replaces: Phone | None = None,
        recovery: str | None = None,
    ) -> Phone:
        app = Authenticator.activate(
            link,
            code=None if recovery else code,
            recovery_code=recovery,
            pin=PIN,
            name="Phone",
            replaces=replaces.app.device if replaces else None,
            leave_recovery=True,
            transport=self.transport,
        )
        phone = Phone(app)
        seen = self.bank.ask("GetRegistration", registrationId=registration)
        _same(text(seen, "state"), "ACTIVATED", what=registration)
        self.ledger.book("registration", registration, "ACTIVATE", "ACTIVATED")
        purpose = "re-activation" if replaces else "recovery" if recovery else ""
        self.ledger.book("binding", phone.id, "BIND", "ACTIVE", purpose)
        for other in list(self.phones):
            if self.bank.device(other) == "REVOKED":
                self.ledger.book("binding", other.id, "REVOKE", "REVOKED", "lost" if recovery else "replaced")
                self.phones.remove(other)
            elif other.state == "ACTIVE":
                for notice in other.app.notices():
                    self.ledger.book("binding", other.id, "ALERT", "ACTIVE", notice.kind)
                    other.app.saw(notice.id)
        self.phones.append(phone)
        self.recovery = app.recovery_code
        return phone

    def guessed(self, registration: str, link: str, code: str, *, times: int) -> None:
        """Wrong codes, each counted."""
        for _ in range(times):
            self.no("ACTIVATION_REFUSED", "activation", lambda: self._activate(link, code))
            self.ledger.book("registration", registration, "FAILTRY", "PENDING", "activation")

    def _activate(self, link: str, code: str) -> Authenticator:
        return Authenticator.activate(link, code=code, pin=PIN, name="Phone", transport=self.transport)

    def too_late(self, link: str, code: str) -> None:
        """The right code, where nothing can be activated any more."""
        self.no("ACTIVATION_REFUSED", "activation too late", lambda: self._activate(link, code))

    # deciding

    def asked(self, **about: Any) -> dict[str, Any]:
        """What every start says, in the schema's order, and what it is about."""
        after = {key: about.pop(key) for key in ("postContext", "lifetimeSeconds") if key in about}
        profile = {"profile": about.pop("profile")} if "profile" in about else {}
        head = {"requestId": secrets.token_hex(8), "externalRef": self.reference}
        return {**head, **profile, "locale": "en", **about, **after}

    def claim(self, id_: str, phone: Phone) -> None:
        phone.app.claim(UUID(id_))
        self.ledger.book("transaction", id_, "CLAIM", "PENDING")

    def approve(self, id_: str, phone: Phone) -> str | None:
        decided = phone.app.approve(UUID(id_), pin=phone.pin)
        if decided.state not in ("APPROVED", "COMPLETED"):
            raise DayFailed(f"{id_} was approved, and is {decided.state}.")
        self.ledger.book("transaction", id_, "APPROVE", "APPROVED")
        return decided.authentication_code

    def reject(self, id_: str, phone: Phone, decision: Decision) -> None:
        decided = phone.app.reject(UUID(id_), decision=decision)
        self.ledger.book("transaction", id_, "REJECT", decided.state)

    def mistyped(self, id_: str, phone: Phone, *, times: int) -> None:
        """Wrong PINs, each counted."""
        for _ in range(times):
            self.no("ASSERTION_REFUSED", "approval", lambda: phone.app.approve(UUID(id_), pin="000000"))
            self.ledger.book("binding", phone.id, "FAILTRY", phone.state, "approval")

    def no(self, code: str, what: str, action: Callable[[], object]) -> None:
        """The phone is refused, with this code."""
        try:
            action()
        except GatewayRefused as error:
            self.ledger.refuse(f"phone: {what}", _same(error.code, code, what=what))
        else:
            raise DayFailed(f"{what} was accepted where {code} was due.")


def payment_of(payment: Mapping[str, Any]) -> Payment:
    payees = tuple(Payee(p["name"], p["account"], p["amount"]) for p in payment["payee"])
    return Payment(payment["total"], payment["currency"], payees)


def shown_of(content: Mapping[str, str]) -> ShownText:
    return ShownText(content["title"], content["content"], content["mediaType"])


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Begun together; what each gave, or its refusal's code."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        gate.wait()
        try:
            return call()
        except (Fault, GatewayRefused) as refused:
            return refused

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def _same(found: str, expected: str, *, what: str) -> str:
    if found != expected:
        raise DayFailed(f"{what}: {found} was answered where {expected} was due.")
    return found


def _xml(fields: Mapping[str, Any]) -> str:
    """Elements in their order; None is left out, a list is repeated."""
    parts = []
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                inner = _xml(one) if isinstance(one, Mapping) else escape(str(one))
                parts.append(f"<{name}>{inner}</{name}>")
    return "".join(parts)
