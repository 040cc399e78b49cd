"""Every code of the catalogue, provoked from outside wherever somebody outside can provoke it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID
from xml.sax.saxutils import escape

import pytest
from live import NS, SOAP, WSSE
from lxml import etree
from operation_pages import faults_of, faults_of_the_gate
from soap_support import make_rates
from storage_fixture import make_store
from walk import PIN, URL, Walk, through

from gateway.authenticator.attestor import UnsafeAttestor
from gateway.authenticator.authenticator import Authenticator
from gateway.authenticator.errors import GatewayRefused
from gateway.config import OPERATIONS, Web
from gateway.core.client import ClientRule, ClientRules
from gateway.core.errors import GatewayError, PushUnavailable, SealUnavailable, leaves
from gateway.core.rate import Rate
from gateway.core.transaction import State
from gateway.outbound.push import HttpPushSender
from gateway.rates import Rates
from gateway.sandbox import make_attestation_pki
from gateway.server import Server
from gateway.services import devices, evidence
from gateway.soap.application import soap_app
from gateway.soap.security import CallerCredential, UsernameTokenAuthenticator
from gateway.storage.embedded import Connections
from gateway.storage.pool import Pool
from gateway.web import CODE_STATUS

SECRET = secrets.token_urlsafe(32)
TRANSPORT = {"METHOD_NOT_ALLOWED": 405, "MESSAGE_TOO_LARGE": 413, "UNSUPPORTED_MEDIA_TYPE": 415}
"""What HTTP itself has a status for."""


@dataclass
class Bank:
    """A bank's SOAP calls into a walk's gateway."""

    walk: Walk
    rights: frozenset[str] = OPERATIONS
    rates: Rates = field(default_factory=make_rates)
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "text/xml; charset=utf-8"})

    def post(self, body: bytes, **headers: str) -> str:
        """The fault's code."""
        credential = CallerCredential(
            "core", self.walk.tenant, self.rights, hashlib.sha256(SECRET.encode()).digest()
        )
        app = soap_app(
            self.walk.gateway,
            authenticator=UsernameTokenAuthenticator({"core": credential}),
            rates=self.rates,
            max_bytes=200_000,
            address=f"{URL}/soap/v1",
        )
        method = headers.pop("method", "POST")
        status, answer = through(app, method, f"{URL}/soap/v1", {**self.headers, **headers}, body)
        detail = etree.fromstring(answer).find(f".//{{{NS}}}GatewayFault")
        assert detail is not None, answer
        code = str(detail.findtext(f"{{{NS}}}code"))
        assert status == TRANSPORT.get(code, 500), "SOAP 1.1 faults are 500"
        assert detail.findtext(f"{{{NS}}}group") == group_of(code)
        assert len(str(detail.findtext(f"{{{NS}}}correlationId"))) == 32
        return code

    def call(
        self, operation: str, inner: str = "", *, secret: str = SECRET, header: str = "", **headers: str
    ) -> str:
        code = self.post(envelope(operation, inner, secret=secret, header=header).encode(), **headers)
        if operation in OPERATIONS:
            assert code in faults_of(operation) | faults_of_the_gate(), (
                f"docs/soap/{operation}.md misses {code}"
            )
        return code

    def start(self, **changes: str) -> str:
        asked = {
            "requestId": secrets.token_hex(8),
            "externalRef": "customer-1",
            "locale": "en",
            "content": "C",
            "media_type": "text/plain",
        }
        asked |= changes
        profile = f"<profile>{asked['profile']}</profile>" if "profile" in asked else ""
        return self.call(
            "StartConsentSignature",
            f"<requestId>{asked['requestId']}</requestId><externalRef>{asked['externalRef']}</externalRef>"
            f"{profile}<locale>{asked['locale']}</locale><preContext><title>T</title>"
            f"<content>{escape(asked['content'])}</content><mediaType>{asked['media_type']}</mediaType></preContext>",
        )

    def about(self, operation: str, transaction_id: object) -> str:
        return self.call(operation, f"<transactionId>{transaction_id}</transactionId>")


def envelope(
    operation: str, inner: str, *, secret: str = SECRET, header: str = "", namespace: str = SOAP
) -> str:
    return (
        f'<s:Envelope xmlns:s="{namespace}"><s:Header>{header}<w:Security xmlns:w="{WSSE}"><w:UsernameToken>'
        f"<w:Username>core</w:Username><w:Password>{secret}</w:Password></w:UsernameToken></w:Security></s:Header>"
        f'<s:Body><{operation} xmlns="{NS}">{inner}</{operation}></s:Body></s:Envelope>'
    )


def group_of(code: str) -> str:
    return next(leaf.group for leaf in leaves() if leaf.code == code)


def refused(action: Callable[[], object]) -> str:
    """The code that the device face answered."""
    with pytest.raises(GatewayRefused) as answer:
        action()
    return answer.value.code


def too_late(bank: Bank) -> str:
    transaction_id = bank.walk.claimed(bank.walk.phone())
    bank.walk.clock.ahead = timedelta(seconds=400)
    return bank.about("CancelTransaction", transaction_id)


def claimed_twice(bank: Bank) -> str:
    first, second = bank.walk.phone(), bank.walk.phone()
    transaction_id = bank.walk.claimed(first)
    return refused(lambda: second.claim(transaction_id))


def reused(bank: Bank) -> str:
    bank.walk.phone()
    bank.walk.start(request_id="r-1")
    return bank.start(requestId="r-1")


def locked(bank: Bank) -> str:
    phone = bank.walk.phone()
    transaction_id = bank.walk.claimed(phone)
    for _ in range(3):
        refused(lambda: phone.approve(transaction_id, pin="000000"))
    return bank.start()


def pin_locked(bank: Bank) -> str:
    device_id = bank.walk.phone().device.binding_id
    devices.lock_device(
        bank.walk.gateway,
        bank.walk.caller,
        device_id=device_id,
        method="pin",
        reason="lost",
        at=bank.walk.clock.now(),
    )
    return bank.start()


def revoked(bank: Bank) -> str:
    phone = bank.walk.phone()
    phone.revoke()
    return bank.call("UnlockDevice", f"<deviceId>{phone.device.binding_id}</deviceId>")


def wrong_old_pin(bank: Bank) -> str:
    phone = bank.walk.phone()
    return refused(lambda: phone.change_pin(old_pin="000000", new_pin="314159"))


def activation(bank: Bank) -> str:
    opened = bank.walk.register().activation
    assert opened is not None
    code = str((int(opened.code) + 1) % 10**6).zfill(6)
    return refused(
        lambda: Authenticator.activate(
            opened.qr_payload, code=code, pin=PIN, name="P", transport=bank.walk.transport
        )
    )


def believed_by_nobody(bank: Bank) -> str:
    _, ca = make_attestation_pki(at=bank.walk.clock.now())
    with pytest.warns(UserWarning, match="UnsafeAttestor"):
        attestor = UnsafeAttestor(ca.key, [ca.certificate])
    return refused(lambda: bank.walk.phone(attestor=attestor))


def one_too_many(bank: Bank) -> str:
    bank.walk.reload(activation=replace(bank.walk.gateway.activation, max_devices=1))
    bank.walk.phone()
    asked = "<requestId>r</requestId><externalRef>customer-1</externalRef>"
    return bank.call("StartRegistration", asked)


def unknown_app(bank: Bank) -> str:
    phone = bank.walk.phone()
    bank.walk.reload(clients=ClientRules({"bank-app": ClientRule("1.0")}))
    return refused(phone.waiting)


def unsigned(bank: Bank) -> str:
    status, answer = through(
        bank.walk.devices, "GET", f"{URL}/device/v1/{bank.walk.tenant}/transactions", {}, b""
    )
    problem = json.loads(answer)
    assert status == problem["status"] == 401
    return str(problem["code"])


def too_many(bank: Bank) -> str:
    walk = bank.walk
    walk.reload(profiles={walk.profile.id: replace(walk.profile, max_waiting=1)})
    walk.phone()
    walk.start()
    return bank.start()


def no_code(bank: Bank) -> str:
    walk = bank.walk
    done = walk.approved(walk.phone())
    return bank.call(
        "RedeemAuthenticationCode",
        f"<requestId>r</requestId><transactionId>{done}</transactionId><authenticationCode>a</authenticationCode>",
    )


def wrong_pin(bank: Bank) -> str:
    phone = bank.walk.phone()
    transaction_id = bank.walk.claimed(phone)
    return refused(lambda: phone.approve(transaction_id, pin="000000"))


class Losing:
    """A store whose guarded updates are always lost to somebody else."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def finish(self, *args: object, **keywords: object) -> bool:
        return False


def lost(bank: Bank) -> str:
    transaction_id = bank.walk.claimed(bank.walk.phone())
    bank.walk.reload(store=Losing(bank.walk.store))
    return bank.about("CancelTransaction", transaction_id)


def no_database(bank: Bank) -> str:
    store = make_store(Connections("", "", ""), dsn="host=/nowhere dbname=gateway connect_timeout=1")
    bank.walk.reload(store=store)
    return bank.about("GetTransaction", UUID(int=1))


class Full:
    """A store all of whose connections are taken."""

    def transaction(self, relying_party: str, transaction_id: UUID) -> None:
        pool = Pool("host=/nowhere", size=1, wait_seconds=0.05)
        assert pool._held.slots.acquire(timeout=1)
        pool.run(relying_party, "SELECT 1")


def no_connection(bank: Bank) -> str:
    bank.walk.reload(store=Full())
    return bank.about("GetTransaction", UUID(int=1))


def too_often(bank: Bank) -> str:
    bank.rates = make_rates(caller=Rate(1, 1))
    bank.about("GetTransaction", UUID(int=1))
    return bank.about("GetTransaction", UUID(int=1))


def broken(bank: Bank) -> str:
    bank.walk.reload(store=None)
    return bank.about("GetTransaction", UUID(int=1))


def no_seal(bank: Bank) -> str:
    """Nobody outside ever sees it: the approval stands, and the worker seals later."""
    phone = bank.walk.phone()
    transaction_id = bank.walk.claimed(phone)
    good = bank.walk.gateway.seal_key

    class Away:
        chain = good.chain

        def sign(self, data: bytes) -> bytes:
            raise SealUnavailable()

    bank.walk.reload(seal_key=Away())
    assert phone.approve(transaction_id, pin=PIN).state == "APPROVED"
    approved = bank.walk.get(transaction_id)
    assert approved.state is State.APPROVED
    with pytest.raises(SealUnavailable) as caught:
        evidence.complete(bank.walk.gateway, approved, at=bank.walk.clock.now())
    return caught.value.code


def stalled(bank: Bank) -> str:
    """A body that never ends, at the web server's door."""

    class Endless:
        def __init__(self) -> None:
            self.answered: list[Any] = []

        def response_bytes(self, *answer: Any) -> None:
            self.answered.append(answer)

        async def __aiter__(self) -> Any:
            while True:
                yield b"<"
                await asyncio.sleep(0.01)

    web = Web(workers=1, threads=140, max_request_bytes=65536, max_device_request_bytes=4096)
    exchange = Endless()
    server = Server(lambda environ, start: [], web=web, body_seconds=0.05)
    scope = SimpleNamespace(method="POST", path="/soap/v1", query_string="", headers={})
    asyncio.run(server.__rsgi__(scope, exchange))  # type: ignore[arg-type]
    [(status, _, body)] = exchange.answered
    assert status == 408
    return str(json.loads(body)["code"])


def no_relay(bank: Bank) -> str:
    """Nobody outside ever sees it: the worker sends again."""
    with pytest.raises(PushUnavailable) as refused:
        HttpPushSender("http://127.0.0.1:1/").send("token", wake_id=UUID(int=1))
    return refused.value.code


PROVOKED: Mapping[str, Callable[[Bank], str]] = {
    "MALFORMED_MESSAGE": lambda bank: bank.post(b"<"),
    "SCHEMA_INVALID": lambda bank: bank.call("GetTransaction"),
    "MESSAGE_TOO_LARGE": lambda bank: bank.post(b" " * 200_001),
    "REQUEST_TIMEOUT": stalled,
    "UNSUPPORTED_MEDIA_TYPE": lambda bank: bank.post(b"{}", **{"Content-Type": "application/json"}),
    "METHOD_NOT_ALLOWED": lambda bank: bank.post(b"", method="PUT"),
    "UNKNOWN_OPERATION": lambda bank: bank.call("Nothing"),
    "ACTION_MISMATCH": lambda bank: bank.call("Heartbeat", SOAPAction=f'"{NS}:GetTransaction"'),
    "HEADER_NOT_UNDERSTOOD": lambda bank: bank.call(
        "Heartbeat", header='<x:New xmlns:x="urn:x" s:mustUnderstand="1"/>'
    ),
    "ADDRESSING_NOT_SUPPORTED": lambda bank: bank.call(
        "Heartbeat",
        header='<a:To xmlns:a="http://www.w3.org/2005/08/addressing">https://elsewhere.example</a:To>',
    ),
    "VERSION_MISMATCH": lambda bank: bank.post(envelope("Heartbeat", "", namespace="urn:soap:9").encode()),
    "INVALID_VALUE": lambda bank: (bank.walk.phone(), bank.start(content="\u2800"))[1],
    "TEXT_NOT_DISPLAYABLE": lambda bank: (bank.walk.phone(), bank.start(content="a\u200bb"))[1],
    "TEXT_NOT_MARKDOWN": lambda bank: (
        bank.walk.phone(),
        bank.start(content="# a\nb", media_type="text/markdown; variant=mobileid-1"),
    )[1],
    "TEXT_TOO_LONG": lambda bank: (bank.walk.phone(), bank.start(content="x" * 50_001))[1],
    "REQUEST_ID_REUSED": reused,
    "NOT_FOUND": lambda bank: bank.about("GetTransaction", UUID(int=1)),
    "UNREADABLE_DOCUMENT": lambda bank: bank.call(
        "VerifyEvidence", f"<document>{base64.b64encode(b'not xml').decode()}</document>"
    ),
    "TRANSACTION_NOT_PENDING": lambda bank: bank.about(
        "CancelTransaction", bank.walk.approved(bank.walk.phone())
    ),
    "TRANSACTION_EXPIRED": too_late,
    "TRANSACTION_CLAIMED": claimed_twice,
    "EVIDENCE_NOT_READY": lambda bank: bank.about("GetEvidence", bank.walk.claimed(bank.walk.phone())),
    "NO_ACTIVE_DEVICE": lambda bank: (bank.walk.register(), bank.start())[1],
    "DEVICE_LOCKED": locked,
    "TRANSACTION_LIMIT_REACHED": too_many,
    "METHOD_LOCKED": pin_locked,
    "DEVICE_REVOKED": revoked,
    "DEVICE_LIMIT_REACHED": one_too_many,
    "CONFLICT": lost,
    "NOT_AUTHENTICATED": lambda bank: bank.call("Heartbeat", secret="wrong"),
    "NOT_PERMITTED": lambda bank: Bank(bank.walk, rights=frozenset()).call("Heartbeat"),
    "PROFILE_NOT_AVAILABLE": lambda bank: (bank.walk.phone(), bank.start(profile="unheard-of"))[1],
    "ACTIVATION_REFUSED": activation,
    "ATTESTATION_REFUSED": believed_by_nobody,
    "CLIENT_NOT_ACCEPTED": unknown_app,
    "DEVICE_NOT_AUTHENTICATED": unsigned,
    "CODE_REFUSED": no_code,
    "ASSERTION_REFUSED": wrong_pin,
    "PROOF_REFUSED": wrong_old_pin,
    "STORE_UNAVAILABLE": no_database,
    "SEAL_UNAVAILABLE": no_seal,
    "PUSH_UNAVAILABLE": no_relay,
    "OVERLOADED": no_connection,
    "RATE_EXCEEDED": too_often,
    "INTERNAL": broken,
}


def test_the_whole_catalogue_is_provoked() -> None:
    codes = [leaf.code for leaf in leaves()]
    assert len(set(codes)) == len(codes)
    assert set(PROVOKED) == set(codes)
    assert set(CODE_STATUS) <= set(codes)
    assert all(leaf.sentence.endswith(".") and leaf.remedy for leaf in leaves())
    assert all(issubclass(leaf, GatewayError) for leaf in leaves())


@pytest.mark.parametrize("code", PROVOKED)
def test_code(walk: Walk, code: str) -> None:
    assert PROVOKED[code](Bank(walk)) == code
