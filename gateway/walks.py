"""The walks of the demonstration: what bank and phone do, step by step, and what each step proved.

The law: the bank speaks SOAP through zeep, the phone the device protocol; nothing is looked up behind their
backs. A walk that leaves evidence answers it. Starting and stopping what is walked on, and judging the
evidence, are left to ``demo``.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from gateway.authenticator.authenticator import Authenticator, Shown
from gateway.core.model import Decision
from gateway.core.shown import as_text

PIN: Final = "271828"
PAYMENT: Final = {
    "total": "1250.00",
    "currency": "EUR",
    "payee": [{"name": "Garage Müller", "account": "DE89370400440532013000", "amount": "1250.00"}],
}
AFTER: Final = {"title": "Done", "content": "Thank you. You can close this app.", "mediaType": "text/plain"}
TERMS: Final = (
    {"title": "Card terms", "content": "I have read the card terms of May 2026.", "mediaType": "text/plain"},
    {"title": "Fees", "content": "I pay € 25.00 a year for the card.", "mediaType": "text/plain"},
)


class WalkFailed(Exception):
    """Which step did not do what it must, in one sentence."""


@dataclass(frozen=True, slots=True)
class Scene:
    bank: Any
    """The operations of the gateway, as a zeep client has them."""
    phone: Authenticator
    reference: str
    title: str
    text: str

    def start(self, operation: str, **about: Any) -> Any:
        """The transaction that a start answers."""
        common = {"requestId": secrets.token_hex(8), "externalRef": self.reference, "locale": "en"}
        started = getattr(self.bank, operation)(**common, **about)
        say("Bank", f"{operation}: transaction {started.transactionId}", f"{started.state}, committed first")
        return started

    def shown(self, started: Any) -> Shown:
        transaction = UUID(started.transactionId)
        if transaction not in {item.id for item in self.phone.waiting()}:
            raise WalkFailed("The transaction did not reach the phone: see the gateway's log.")
        shown = self.phone.claim(transaction)
        say("Phone", "shows:", "fields, not markup, come to the phone")
        print(*(f"      | {line}" for line in drawn(shown)), sep="\n")
        return shown

    def approved(self, started: Any) -> Any:
        """The completed transaction, as the bank sees it."""
        self.shown(started)
        decided = self.phone.approve(UUID(started.transactionId), pin=PIN)
        say(
            "Phone",
            f"approved with its PIN: {decided.state}",
            "it composed the statement itself, from what it showed, and signed exactly those bytes",
        )
        if decided.post_context is not None:
            say(
                "Phone",
                f"shows afterwards: {as_text(decided.post_context)}",
                "the post-context, which nobody signs",
            )
        final = self.bank.GetTransaction(transactionId=started.transactionId, waitSeconds=20)
        if final.state != "COMPLETED":
            raise WalkFailed(f"The transaction ended as {final.state}: see the gateway's log.")
        say("Bank", f"sees {final.state}, acr {final.acr}, amr {', '.join(final.amr)}", "SOAP GetTransaction")
        return final

    def evidence(self, started: Any) -> bytes:
        found = self.bank.GetEvidence(transactionId=started.transactionId)
        say(
            "Auditor",
            f"fetched evidence {found.evidenceId}, level {found.level}, {len(found.document)} bytes",
            "the gateway's own verifier passed it before it was stored",
        )
        return bytes(found.document)

    def redeemed(self, final: Any, *, payment: Any = None) -> None:
        """The code serves once, and for nothing but what was approved."""
        once = {
            "requestId": secrets.token_hex(8),
            "transactionId": final.transactionId,
            "authenticationCode": final.authenticationCode,
        }
        if payment is not None:
            payee = {**payment["payee"][0], "amount": "1250.01"}
            changed = {**payment, "total": "1250.01", "payee": [payee]}
            self.refused("a cent more", once | {"payment": changed})
            once["payment"] = payment
        done = self.bank.RedeemAuthenticationCode(**once)
        say("Bank", f"redeemed the authentication code at {done.redeemedAt}", "compared and consumed in one")
        self.refused("a second time", once | {"requestId": secrets.token_hex(8)})

    def refused(self, what: str, request: dict[str, Any]) -> None:
        from zeep.exceptions import Fault

        try:
            self.bank.RedeemAuthenticationCode(**request)
        except Fault as fault:
            code = fault.detail.findtext(".//{*}code")
            if code != "CODE_REFUSED":
                raise WalkFailed(f"{what} ended as {code}.") from None
            say("Bank", f"tried it for {what}: {code}", "RTS articles 4(1) and 5(1)")
        else:
            raise WalkFailed(f"The code was taken for {what}.")


def drawn(shown: Shown) -> list[str]:
    """What a phone shows, at most six lines of each text."""
    content = shown.content
    lines = [f"{content.relying_party.name} asks: {content.kind}"]
    if content.payment is not None:
        lines.append(f"{content.payment.total} {content.payment.currency}")
        lines += [f"to {payee.name}, {payee.account}" for payee in content.payment.payees]
    for text in content.texts:
        rows = as_text(text).splitlines()
        lines += [f"{text.title}:", *rows[:6]] + (
            [f"... {len(rows) - 6} more lines"] if len(rows) > 6 else []
        )
    return lines


def say(who: str, what: str, proven: str) -> None:
    print(f"{who:>8}  {what}\n          · {proven}", flush=True)


def arrive(bank: Any, *, title: str, text: str) -> Scene:
    """Registers a person and binds their phone."""
    reference = f"customer-{secrets.token_hex(4)}"
    registration = bank.StartRegistration(
        requestId=secrets.token_hex(8),
        externalRef=reference,
        attribute=[{"name": "name", "value": "Zoë Ångström-Şahin"}],
    )
    say("Bank", f"registered {reference}", "SOAP StartRegistration, UsernameToken")
    activation = registration.activation
    phone = Authenticator.activate(
        activation.qrPayload, code=activation.activationCode, pin=PIN, name="Demo phone"
    )
    say(
        "Phone",
        f"activated as binding {phone.device.binding_id}",
        "both halves of the activation, possession of three keys, and the device CA named in the QR code",
    )
    seen = bank.GetRegistration(registrationId=registration.registrationId)
    if seen.state != "ACTIVATED":
        raise WalkFailed(f"The registration ended as {seen.state}: see the gateway's log.")
    say("Bank", f"sees {seen.state}, device {seen.deviceId}", "SOAP GetRegistration")
    return Scene(bank, phone, reference, title, text)


def consent(scene: Scene) -> bytes:
    shown = {"title": scene.title, "content": scene.text, "mediaType": "text/plain"}
    started = scene.start("StartConsentSignature", preContext=shown)
    scene.approved(started)
    return scene.evidence(started)


def registration(scene: Scene) -> None:
    return None


def authentication(scene: Scene) -> None:
    scene.redeemed(scene.approved(scene.start("StartAuthentication", postContext=AFTER)))


def payment(scene: Scene) -> None:
    final = scene.approved(scene.start("StartAuthorisation", payment=PAYMENT, postContext=AFTER))
    scene.redeemed(final, payment=PAYMENT)
    proof = scene.bank.GetAuthorisationProof(transactionId=final.transactionId)
    say("Auditor", f"fetched {len(proof)} bytes of proof", "what the phone signed, for a dispute")


def text(scene: Scene) -> bytes:
    started = scene.start("StartTextSignature", text=list(TERMS))
    scene.approved(started)
    return scene.evidence(started)


def refusal(scene: Scene) -> bytes:
    shown = {"title": scene.title, "content": scene.text, "mediaType": "text/plain"}
    started = scene.start("StartConsentSignature", preContext=shown)
    scene.shown(started)
    decided = scene.phone.reject(UUID(started.transactionId), decision=Decision.REJECTED_NOT_ME)
    say("Phone", f"said that it was not me: {decided.state}", "signed too, and no PIN is needed to say no")
    final = scene.bank.GetTransaction(transactionId=started.transactionId, waitSeconds=20)
    say("Bank", f"sees {final.state}, {final.decision}", "not me is told from changed my mind")
    return scene.evidence(started)


WALKS: Final[Mapping[str, Callable[[Scene], bytes | None]]] = {
    "consent": consent,
    "registration": registration,
    "authentication": authentication,
    "payment": payment,
    "text": text,
    "refusal": refusal,
}
