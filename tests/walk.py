"""A whole gateway for a test: the real services, store and faces in this process, on a real Postgres.

Each has relying parties of its own, so tests share one database and see nothing of each other. The phone is
the reference authenticator, spoken to through the device face; time moves when the test says so.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sim import PROFILE, MemoryDeviceCA, MemorySealKey

from gateway.authenticator.attestor import UnsafeAttestor
from gateway.authenticator.authenticator import Authenticator
from gateway.config import OPERATIONS
from gateway.core.certpath import parse_trust
from gateway.core.client import ClientRules
from gateway.core.model import Caller, Decision, Kind, RelyingParty, utc_now
from gateway.core.profile import SignatureProfile
from gateway.core.statement import ShownText
from gateway.core.transaction import Transaction
from gateway.device.application import device_app
from gateway.ports import Tenants
from gateway.sandbox import Pki, make_pki
from gateway.services import enrolment, starts, transactions
from gateway.services.context import ActivationRules, Gateway
from gateway.services.starts import Asked
from gateway.services.waits import Waits
from gateway.storage.postgres import PostgresStore

URL = "http://127.0.0.1:1"
PIN = "271828"
TEXT = "I borrow € 348.500,00 from Demo Bank.\nAgreed & accepted: Zoë Ångström-Şahin."


@dataclass
class Clock:
    """The system's clock, and what a test adds to it; or one that stands, for a very moment."""

    ahead: timedelta = timedelta()
    stopped: datetime | None = None

    def now(self) -> datetime:
        return (self.stopped or utc_now()) + self.ahead


@dataclass
class Walk:
    store: PostgresStore
    profile: SignatureProfile = PROFILE
    pki: Pki = field(default_factory=lambda: make_pki(at=utc_now()))
    clock: Clock = field(default_factory=Clock)
    tenant: str = field(default_factory=lambda: f"bank-{secrets.token_hex(6)}")

    def __post_init__(self) -> None:
        self.other = f"{self.tenant}-other"
        parties = {t: RelyingParty(t, f"Bank {t}") for t in (self.tenant, self.other)}
        self.gateway = Gateway(
            store=self.store,
            tenants=Tenants(parties, dict.fromkeys(parties, (self.profile.id,))),
            profiles={self.profile.id: self.profile},
            device_ca=MemoryDeviceCA(self.pki.device_ca, self.store),  # type: ignore[arg-type]
            seal_key=MemorySealKey(self.pki.seal),
            trust=parse_trust(self.pki.trust_pem()),
            activation=ActivationRules(
                code_length=6,
                code_alphabet="0123456789",
                lifetime_seconds=3600,
                max_failures=3,
                artifact_lifetime_seconds=300,
                max_devices=5,
                recovery_codes=True,
                secret=secrets.token_bytes(32),
            ),
            clients=ClientRules(),
            clock=self.clock,
            waits=Waits(self.store),
            public_url=URL,
        )
        self.caller = Caller("core", self.tenant, OPERATIONS)
        self.stranger = Caller("core", self.other, OPERATIONS)
        self.devices = device_app(self.gateway, admit=lambda environ: None, max_bytes=262_144)

    def reload(self, **changes: Any) -> None:
        """The same gateway with other parts."""
        self.gateway = replace(self.gateway, **changes)
        self.devices = device_app(self.gateway, admit=lambda environ: None, max_bytes=262_144)

    # the bank

    def register(self, reference: str = "customer-1") -> enrolment.RegistrationView:
        return enrolment.start_registration(
            self.gateway,
            self.caller,
            request_id=secrets.token_hex(8),
            external_ref=reference,
            attributes=(),
            at=self.clock.now(),
        )

    def start(self, reference: str = "customer-1", **changes: Any) -> Transaction:
        """A consent signature; changed are fields of what is asked, or of its text."""
        of_text = {key: changes.pop(key) for key in ("title", "text", "media_type") if key in changes}
        text = ShownText(**({"title": "Mortgage", "text": TEXT, "media_type": "text/plain"} | of_text))
        return self.start_kind(Kind.CONSENT_SIGNATURE, reference, **({"texts": (text,)} | changes))

    def start_kind(self, kind: Kind, reference: str = "customer-1", **asked: Any) -> Transaction:
        """What is asked is filled up with what every start has."""
        at = asked.pop("at", None) or self.clock.now()
        reference = asked.pop("external_ref", reference)
        whole = Asked(**({"request_id": secrets.token_hex(8), "locale": "en"} | asked))
        return STARTS[kind](self.gateway, self.caller, external_ref=reference, asked=whole, at=at)

    def get(self, transaction_id: UUID, *, wait_seconds: int = 0) -> Transaction:
        return transactions.get_transaction(
            self.gateway,
            self.caller,
            transaction_id=transaction_id,
            wait_seconds=wait_seconds,
            at=self.clock.now(),
        )

    # the subject

    def phone(self, reference: str = "customer-1", attestor: UnsafeAttestor | None = None) -> Authenticator:
        """A freshly activated one."""
        activation = self.register(reference).activation
        assert activation is not None
        return Authenticator.activate(
            activation.qr_payload,
            code=activation.code,
            pin=PIN,
            name="Phone",
            attestor=attestor,
            transport=self.transport,
            clock=self.clock.now,
        )

    def claimed(self, phone: Authenticator, reference: str = "customer-1") -> UUID:
        """A transaction that this phone has taken and shown."""
        started = self.start(reference)
        phone.claim(started.id)
        return started.id

    def approved(self, phone: Authenticator, reference: str = "customer-1") -> UUID:
        transaction_id = self.claimed(phone, reference)
        assert phone.approve(transaction_id, pin=PIN).state == "COMPLETED"
        return transaction_id

    def transport(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        return through(self.devices, method, url, headers, body)


def through(
    app: Callable[..., Iterable[bytes]], method: str, url: str, headers: Mapping[str, str], body: bytes
) -> tuple[int, bytes]:
    """One request through a WSGI callable."""
    target = urlsplit(url)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": target.path,
        "QUERY_STRING": target.query,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    seen: list[str] = []
    parts = app(environ, lambda status, fields: seen.append(status))
    return int(seen[0][:3]), b"".join(parts)


STARTS = {
    Kind.AUTHENTICATION: starts.start_authentication,
    Kind.AUTHORISATION: starts.start_authorisation,
    Kind.CONSENT_SIGNATURE: starts.start_consent_signature,
    Kind.TEXT_SIGNATURE: starts.start_text_signature,
}
NO = (Decision.REJECTED_NOT_ME, Decision.REJECTED_CANCELLED)
