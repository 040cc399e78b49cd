"""A bank that signs: the face with its pinned callers, what its services were asked, what was remembered."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from lxml import etree
from signed import Signer, sign, signer
from soap_support import (
    ADDRESS,
    CREDENTIAL,
    MAX_BYTES,
    NOW,
    REQUESTS,
    SOAP11,
    Gw,
    Services,
    call,
    make_rates,
)

from gateway.config import OPERATIONS
from gateway.rates import Rates
from gateway.soap.application import soap_app
from gateway.soap.envelope import TNS, SoapVersion
from gateway.soap.security import AnyAuthenticator, Authentication, CallerCredential, MessageRules

BANK, OTHER, STRANGER, GATEWAY = signer("bank"), signer("other"), signer("stranger"), signer("gateway")
RULES = MessageRules(window=timedelta(minutes=5), skew=timedelta(seconds=60))


@dataclass
class Remembered:
    """Who remembers messages: the store's law, in memory."""

    seen: set[tuple[str, str, bytes]] = field(default_factory=set)
    until: list[datetime] = field(default_factory=list)

    def knows_message(self, relying_party: str, caller: str, key: bytes) -> bool:
        return (relying_party, caller, key) in self.seen

    def remember_message(self, relying_party: str, caller: str, key: bytes, *, expires_at: datetime) -> bool:
        self.until.append(expires_at)
        new = (relying_party, caller, key) not in self.seen
        self.seen.add((relying_party, caller, key))
        return new


class Bank:
    """The face with callers of several ways, and what its services were asked."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        *credentials: CallerCredential,
        rates: Rates | None = None,
        rules: MessageRules = RULES,
    ) -> None:
        self.services = Services()
        self.services.install(monkeypatch)
        self.store = Remembered()
        gw = Gw()
        gw.store = self.store
        self.app = soap_app(
            gw,  # type: ignore[arg-type]
            authenticator=AnyAuthenticator(credentials, rules=rules),
            rates=rates or make_rates(),
            max_bytes=4 * MAX_BYTES,
            address=ADDRESS,
            message_key=GATEWAY.message_key(),
        )

    def post(self, message: etree._Element | bytes, *, version: SoapVersion = SOAP11, **headers: str) -> Any:
        data = message if isinstance(message, bytes) else etree.tostring(message)
        return call(self.app, data, headers={"Content-Type": version.content_type, **headers})

    def code(self, message: etree._Element | bytes, **kind: Any) -> str:
        """OK, or the fault's code."""
        answer = self.post(message, **kind)
        code = etree.fromstring(answer.body).findtext(f".//{{{TNS}}}code")
        assert (code is None) == (answer.status == 200)
        return code or "OK"

    @property
    def executed(self) -> int:
        return len(self.services.asked)


def credential(name: str, *by: Signer, way: Authentication = Authentication.X509) -> CallerCredential:
    certificates = tuple(each.certificate for each in by)
    secret = CREDENTIAL.secret_sha256 if "username" in way else None
    return CallerCredential(name, "demo-bank", frozenset(OPERATIONS), secret, way, certificates)


def good(**changes: Any) -> etree._Element:
    return sign(REQUESTS["StartConsentSignature"], BANK, at=NOW, **changes)
