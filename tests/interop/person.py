"""The person with the phone, of one run of one program: the reference authenticator, and what to do with it.

The law: the person acts when the program says that it has something for them, and on nothing but that: what
stands on the bank's screen, and what their own phone then shows. What the phone shows must be, to the
character, what every program was given to send. What is to be decided otherwise says so in its title.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from gateway.authenticator.authenticator import Authenticator
from gateway.authenticator.errors import GatewayRefused
from gateway.core.model import Decision, Kind
from gateway.core.statement import Payee, Payment

CONSENT = Path(__file__).resolve().parent / "consent.txt"
PIN, NEW_PIN = "271828", "314159"
REJECT, LEAVE = "Reject this", "Leave this"
"""Titles that tell the person what to do; all else is approved."""
PAYMENT = Payment("1250.00", "EUR", (Payee("Garage Müller", "DE89370400440532013000", "1250.00"),))
SHOWN: Mapping[Kind, list[tuple[str, str]]] = {
    Kind.AUTHENTICATION: [],
    Kind.AUTHORISATION: [],
    Kind.CONSENT_SIGNATURE: [("Darlehen über € 348.500,00", CONSENT.read_text(encoding="utf-8"))],
    Kind.TEXT_SIGNATURE: [
        ("Kartenbedingungen", "Ich habe die Bedingungen gelesen."),
        ("Gebühren", "Ich zahle € 25,00 im Jahr."),
    ],
}
"""Titles and texts, as they stand in every program's source."""


class Person:
    def __init__(self) -> None:
        self.decided: dict[str, str] = {}
        """Decisions by transaction."""
        self.wrong: list[str] = []
        self._phones: dict[str, Authenticator] = {}
        """By registration: a person may have more than one."""
        self._links: dict[str, str] = {}
        """What the bank's app opened, by registration."""

    def hears(self, operation: str, response: Any) -> None:
        """What a program said that it was answered."""
        if operation == "IssueRegistrationArtifact":
            registration = response["registration"]
            self._links[registration["registrationId"]] = Authenticator.register(response["deepLink"])
        elif operation in ("StartRegistration", "GetRegistration"):
            self._activate(response.get("registration", response))
        elif operation == "StartPinReset":
            reset = response.get("pinReset", response)
            self._phone(reset["deviceId"]).reset_pin(code=reset["resetCode"], new_pin=NEW_PIN)
        elif operation.startswith("Start"):
            self._decide(response.get("transaction", response)["transactionId"])

    def _activate(self, registration: Any) -> None:
        name, activation = registration["registrationId"], registration.get("activation")
        if activation and name not in self._phones:
            link = self._links.get(name, activation["qrPayload"])
            self._phones[name] = Authenticator.activate(
                link, code=activation["activationCode"], pin=PIN, name=f"Phone {len(self._phones) + 1}"
            )

    def _phone(self, device: str) -> Authenticator:
        return next(p for p in self._phones.values() if str(p.device.binding_id) == device)

    def _decide(self, transaction: str) -> None:
        phone = next(iter(self._phones.values()))
        try:
            shown = phone.claim(UUID(transaction))
        except GatewayRefused as error:
            if error.code != "TRANSACTION_NOT_PENDING":
                raise
            return  # withdrawn before the phone looked
        texts = [(text.title, text.text) for text in shown.content.texts]
        titles = {title for title, _ in texts}
        if LEAVE in titles:
            return
        if REJECT in titles:
            self.decided[transaction] = Decision.REJECTED_CANCELLED
            phone.reject(UUID(transaction), decision=Decision.REJECTED_CANCELLED)
            return
        payment = PAYMENT if shown.content.kind is Kind.AUTHORISATION else None
        if (texts, shown.content.payment) != (SHOWN[shown.content.kind], payment):
            self.wrong.append(
                f"the phone was to show for {shown.content.kind}: {texts} {shown.content.payment}"
            )
        self.decided[transaction] = Decision.APPROVED
        phone.approve(UUID(transaction), pin=PIN)
