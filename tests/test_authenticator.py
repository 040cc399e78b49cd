"""The reference authenticator against the real gateway, and against one that lies.

A lying gateway is the real one with its answer changed on the way: what is refused must be refused by the
authenticator itself, and nothing may have been signed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from device_harness import validator
from walk import PIN, TEXT, Walk

from gateway.authenticator.authenticator import Authenticator
from gateway.authenticator.client import http_transport
from gateway.authenticator.errors import (
    CannotShow,
    FactorMissing,
    GatewayRefused,
    GatewayUnreachable,
    NotShown,
    NotTrusted,
    PinUnusable,
)
from gateway.core.canonical import b64, unb64
from gateway.core.certpath import Role
from gateway.core.keys import parse_p256
from gateway.core.model import Decision, Factor, utc_now
from gateway.core.shown import MARKDOWN
from gateway.sandbox import Issuer, key_usage, make_pki
from gateway.storage.postgres import PostgresStore

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def bank(walk: Walk) -> Walk:
    return walk


class Wire:
    """The way to the gateway: notes what passes, and changes answers where the test says so."""

    def __init__(self, bank: Walk) -> None:
        self._bank = bank
        self.passed: list[tuple[str, str, bytes]] = []
        self.change: Change | None = None

    def __call__(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        self.passed.append((method, url, body))
        status, data = self._bank.transport(method, url, headers, body)
        answer = json.loads(data)
        if self.change is not None:
            self.change(answer)
        return status, json.dumps(answer).encode()

    @property
    def assertions(self) -> int:
        return sum(url.endswith("/assertion") for _, url, _ in self.passed)


@pytest.fixture
def wire(bank: Walk) -> Wire:
    return Wire(bank)


@pytest.fixture
def phone(bank: Walk, wire: Wire) -> Authenticator:
    made = bank.phone()
    return Authenticator(made.device, transport=wire, clock=bank.clock.now)


def activate(bank: Walk, wire: Wire, **changes: str) -> Authenticator:
    activation = bank.register().activation
    assert activation is not None
    asked = {"code": activation.code, "pin": PIN, "name": "Phone", "link": activation.qr_payload, **changes}
    return Authenticator.activate(asked.pop("link"), transport=wire, clock=bank.clock.now, **asked)


@pytest.mark.rts("5(1)(a)")
def test_what_was_shown_is_what_the_bank_asked_and_what_was_signed(bank: Walk, phone: Authenticator) -> None:
    started = bank.start()
    (waiting,) = phone.waiting()
    assert (waiting.id, waiting.expires_at) == (started.id, started.expires_at)
    shown = phone.claim(started.id)
    assert shown.content == started.content
    assert [(t.title, t.text) for t in shown.content.texts] == [("Mortgage", TEXT)]
    assert shown.needs_pin
    assert phone.state(started.id) == "PENDING"
    assert phone.approve(started.id, pin=PIN).state == "COMPLETED"
    assert phone.state(started.id) == "COMPLETED"
    assert bank.get(started.id).decision is Decision.APPROVED
    assert phone.waiting() == ()


@pytest.mark.parametrize(
    "change",
    [
        {"bindingId": str(UUID(int=1))},
        {"state": "ACTIVE\x1b[2J"},
        {"lockedMethods": ["pin\n"]},
        {"boundAt": "today"},
        {"lockedMethods": [1]},
        {"name": "Phone\x1b[2J"},
        {"name": "a\u202eb"},
    ],
)
def test_a_lie_about_the_device_is_not_repeated(
    phone: Authenticator, wire: Wire, change: dict[str, Any]
) -> None:
    assert phone.status().name == "Phone"
    wire.change = lambda answer: answer.update(change)
    with pytest.raises((NotTrusted, CannotShow)):
        phone.status()


@pytest.mark.parametrize("decision", [Decision.REJECTED_NOT_ME, Decision.REJECTED_CANCELLED])
def test_a_rejection_needs_no_pin(bank: Walk, phone: Authenticator, decision: Decision) -> None:
    transaction_id = bank.claimed(phone)
    assert phone.reject(transaction_id, decision=decision).state == "REJECTED"
    assert bank.get(transaction_id).decision is decision


def test_an_approval_is_no_rejection(bank: Walk, phone: Authenticator) -> None:
    with pytest.raises(ValueError):
        phone.reject(bank.claimed(phone), decision=Decision.APPROVED)


@pytest.mark.rts("4(3)(b)")
def test_a_wrong_pin_is_found_by_the_gateway_alone_and_counts(bank: Walk, phone: Authenticator) -> None:
    transaction_id = bank.claimed(phone)
    for _ in range(3):
        with pytest.raises(GatewayRefused) as caught:
            phone.approve(transaction_id, pin="271829")
        assert caught.value.code == "ASSERTION_REFUSED"
    with pytest.raises(GatewayRefused) as caught:
        phone.approve(transaction_id, pin=PIN)
    assert caught.value.code == "DEVICE_LOCKED"
    assert phone.waiting() == ()


def test_nobody_decides_on_what_was_not_shown(bank: Walk, phone: Authenticator, wire: Wire) -> None:
    started = bank.start()
    with pytest.raises(NotShown):
        phone.approve(started.id, pin=PIN)
    with pytest.raises(NotShown):
        phone.reject(started.id, decision=Decision.REJECTED_NOT_ME)
    assert wire.passed == []


@pytest.mark.rts("4(1)")
def test_an_approval_needs_the_pin(bank: Walk, phone: Authenticator, wire: Wire) -> None:
    transaction_id = bank.claimed(phone)
    for pin in (None, "", "123", "12345a", "1" * 13, "١٢٣٤"):
        with pytest.raises(PinUnusable):
            phone.approve(transaction_id, pin=pin)
    assert wire.assertions == 0


def test_the_messages_are_those_of_the_published_schema(bank: Walk, wire: Wire) -> None:
    seen: list[dict[str, Any]] = []
    wire.change = seen.append
    phone = activate(bank, wire)
    transaction_id = bank.start().id
    phone.waiting()
    phone.claim(transaction_id)
    phone.state(transaction_id)
    phone.approve(transaction_id, pin=PIN)
    answers = (
        "activationResponse",
        "transactionList",
        "claimedTransaction",
        "claimedTransaction",
        "assertionResponse",
    )
    for name, answer in zip(answers, seen, strict=True):
        validator(name).validate(answer)
    for _, url, body in wire.passed:
        if body:
            name = "activationRequest" if "/activations/" in url else "assertionRequest"
            validator(name).validate(json.loads(body))


@pytest.mark.rts("6")
def test_the_pin_and_its_key_never_pass_the_wire_and_are_not_kept(bank: Walk, wire: Wire) -> None:
    phone = activate(bank, wire)
    phone.approve(bank.claimed(phone), pin=PIN)
    passed = b"".join(body for _, _, body in wire.passed)
    assert PIN.encode() not in passed
    assert b64(phone.device.pin_secret).encode() not in passed
    pin_key = json.loads(wire.passed[0][2])["keys"]["pin"]
    assert pin_key not in repr(vars(phone)) + repr(phone.device)


def _set(path: str, value: Any) -> Change:
    """Changes one member of an answer; the number of a list's item is a part of the path."""

    def change(answer: dict[str, Any]) -> None:
        *above, last = path.split(".")
        holder: Any = answer
        for part in above:
            holder = holder[int(part)] if part.isdigit() else holder[part]
        holder[int(last) if last.isdigit() else last] = value

    return change


LIES = {
    "other-transaction": (_set("fields.transactionId", str(uuid4())), NotTrusted),
    "other-relying-party": (_set("fields.relyingParty.id", "other-bank"), NotTrusted),
    "other-subject": (_set("fields.subject", "s-" + "0" * 32), NotTrusted),
    "member-more": (_set("fields.more", "x"), NotTrusted),
    "inner-member-more": (_set("fields.texts.0.more", "x"), NotTrusted),
    "text-is-a-number": (_set("fields.texts.0.text", 7), NotTrusted),
    "text-is-a-list": (_set("fields.texts.0.text", ["a"]), NotTrusted),
    "text-is-a-dict": (_set("fields.texts", {"title": "a"}), NotTrusted),
    "locale-is-null": (_set("fields.locale", None), NotTrusted),
    "texts-missing": (_set("fields.texts", None), NotTrusted),
    "nonce-short": (_set("fields.nonce", "AAAA"), NotTrusted),
    "time-without-zone": (_set("fields.expiresAt", "2026-03-02T09:30:00"), NotTrusted),
    "kind-unknown": (_set("fields.kind", "gift"), NotTrusted),
    "id-other-spelling": (_set("fields.transactionId", "{" + str(UUID(int=1)) + "}"), NotTrusted),
    "factors-no-list": (_set("factors", 7), NotTrusted),
    "no-fields": (_set("fields", None), NotTrusted),
    "nothing-to-show": (_set("fields.texts", []), CannotShow),
    "html": (_set("fields.texts.0.mediaType", "text/html"), CannotShow),
    "markdown-of-no-variant": (_set("fields.texts.0.mediaType", "text/markdown"), CannotShow),
    "markdown-outside-of-the-grammar": (
        _set("fields.texts", [{"title": "A", "text": "a <b>", "mediaType": MARKDOWN}]),
        CannotShow,
    ),
    "zero-width": (_set("fields.texts.0.text", "pay\u200b me"), CannotShow),
    "bidi-override": (_set("fields.texts.0.text", "pay \u202e001"), CannotShow),
    "escape-sequence": (_set("fields.texts.0.text", "pay\x1b[2K 1"), CannotShow),
    "not-nfc": (_set("fields.texts.0.text", "e\u0301"), CannotShow),
    "carriage-return": (_set("fields.texts.0.text", "one\r\ntwo"), CannotShow),
    "lone-surrogate": (_set("fields.texts.0.text", "\ud800"), CannotShow),
    "blank": (_set("fields.texts.0.text", " \n "), CannotShow),
    "title-of-two-lines": (_set("fields.texts.0.title", "one\ntwo"), CannotShow),
    "bank-name-invisible": (_set("fields.relyingParty.name", "Bank\u2060"), CannotShow),
    "payment": (
        _set(
            "fields.payment",
            {"total": "1", "currency": "EUR", "payees": [{"name": "A", "account": "B", "amount": "1"}]},
        ),
        CannotShow,
    ),
    "document": (
        _set(
            "fields.documents", [{"name": "a.pdf", "mediaType": "application/pdf", "digest": b64(bytes(32))}]
        ),
        CannotShow,
    ),
}


@pytest.mark.rts("5(2)")
@pytest.mark.parametrize("name", sorted(LIES))
def test_a_lying_gateway_gets_no_signature(bank: Walk, phone: Authenticator, wire: Wire, name: str) -> None:
    change, error = LIES[name]
    started = bank.start()
    wire.change = change
    with pytest.raises(error):
        phone.claim(started.id)
    wire.change = None
    with pytest.raises(NotShown):
        phone.approve(started.id, pin=PIN)
    assert wire.assertions == 0


@pytest.mark.rts("5(2)")
def test_a_text_that_was_changed_on_the_way_is_signed_as_shown_and_so_refused(
    bank: Walk, phone: Authenticator, wire: Wire
) -> None:
    started = bank.start()
    wire.change = _set("fields.texts.0.text", TEXT.replace("348.500", "340.500"))
    shown = phone.claim(started.id)
    assert "340.500" in shown.content.texts[0].text
    wire.change = None
    with pytest.raises(GatewayRefused) as caught:
        phone.approve(started.id, pin=PIN)
    assert caught.value.code == "ASSERTION_REFUSED"
    assert bank.get(started.id).decision is None


def test_a_factor_that_it_does_not_have_stops_an_approval_but_no_rejection(
    bank: Walk, phone: Authenticator, wire: Wire
) -> None:
    started = bank.start()
    wire.change = _set("factors", ["device", "pin", "biometric"])
    phone.claim(started.id)
    wire.change = None
    with pytest.raises(FactorMissing):
        phone.approve(started.id, pin=PIN)
    assert phone.reject(started.id, decision=Decision.REJECTED_CANCELLED).state == "REJECTED"


def test_without_the_pin_among_the_factors_none_is_used(store: PostgresStore) -> None:
    bank = Walk(store)
    profile = replace(bank.profile, factors=(Factor.DEVICE,))
    bank = Walk(store, profile=profile)
    wire = Wire(bank)
    phone = activate(bank, wire)
    transaction_id = bank.start().id
    assert not phone.claim(transaction_id).needs_pin
    assert phone.approve(transaction_id, pin=None).state == "COMPLETED"
    assert "pinSignature" not in json.loads(wire.passed[-1][2])


ACTIVATION_LIES = {
    "other-relying-party": _set("relyingParty.id", "other-bank"),
    "other-binding": _set("bindingId", str(uuid4())),
    "no-certificates": _set("certificates", []),
    "not-a-certificate": _set("certificates.0", "AAAA"),
    "the-ca-as-the-device": lambda answer: answer["certificates"].pop(0),
    "without-the-ca": lambda answer: answer["certificates"].pop(1),
    "another-ca-in-its-place": _set(
        "certificates.1", b64(make_pki(at=utc_now()).device_ca.certificate.public_bytes(Encoding.DER))
    ),
    "a-seal-for-a-device": _set(
        "certificates.0", b64(make_pki(at=utc_now()).seal.certificate.public_bytes(Encoding.DER))
    ),
    "subject-missing": lambda answer: answer.pop("subject"),
    "subject-a-number": _set("subject", 7),
}


@pytest.mark.parametrize("name", sorted(ACTIVATION_LIES))
def test_an_activation_that_is_not_by_the_gateway_of_the_link_is_not_believed(
    bank: Walk, wire: Wire, name: str
) -> None:
    wire.change = ACTIVATION_LIES[name]
    with pytest.raises(NotTrusted):
        activate(bank, wire)


def test_a_certificate_of_another_device_is_not_believed(bank: Walk, wire: Wire) -> None:
    other = activate(bank, wire).device
    wire.change = lambda answer: answer.update(
        certificates=[b64(c) for c in other.certificates], bindingId=str(other.binding_id)
    )
    with pytest.raises(NotTrusted):
        activate(bank, wire)


def certificate(bank: Walk, key: bytes, binding_id: str, *, issuer: Issuer, role: Role | None) -> bytes:
    """For any key and binding, by any issuer, with any role."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, binding_id)]))
        .issuer_name(bank.pki.device_ca.certificate.subject)
        .public_key(parse_p256(key))
        .serial_number(x509.random_serial_number())
        .not_valid_before(bank.clock.now() - timedelta(minutes=5))
        .not_valid_after(bank.clock.now() + timedelta(days=1))
        .add_extension(key_usage(is_ca=False), critical=True)
    )
    if role is not None:
        policy = x509.PolicyInformation(role.value, None)
        builder = builder.add_extension(x509.CertificatePolicies([policy]), critical=False)
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("role", "genuine", "believed"),
    [
        (Role.DEVICE, True, True),
        (Role.DEVICE, False, False),
        (Role.SEAL, True, False),
        (None, True, False),
    ],
)
def test_a_certificate_counts_by_its_issuers_signature_and_its_role(
    bank: Walk, wire: Wire, role: Role | None, genuine: bool, believed: bool
) -> None:
    issuer = bank.pki.device_ca if genuine else make_pki(at=utc_now()).device_ca

    def change(answer: dict[str, Any]) -> None:
        key = unb64(json.loads(wire.passed[-1][2])["keys"]["signing"])
        made = certificate(bank, key, answer["bindingId"], issuer=issuer, role=role)
        answer["certificates"][0] = b64(made)

    wire.change = change
    if believed:
        assert activate(bank, wire)
    else:
        with pytest.raises(NotTrusted):
            activate(bank, wire)


def test_a_gateway_whose_key_the_link_does_not_name_is_not_believed(bank: Walk, wire: Wire) -> None:
    activation = bank.register().activation
    assert activation is not None
    forged = activation.qr_payload[:-43] + "A" * 43
    with pytest.raises(NotTrusted):
        activate(bank, wire, link=forged, code=activation.code)


def test_a_certificate_out_of_its_time_is_not_believed(bank: Walk, wire: Wire) -> None:
    activation = bank.register().activation
    assert activation is not None
    with pytest.raises(NotTrusted):
        Authenticator.activate(
            activation.qr_payload,
            code=activation.code,
            pin=PIN,
            name="Phone",
            transport=wire,
            clock=lambda: bank.clock.now() + timedelta(days=3660),
        )


@pytest.mark.rts("24")
def test_each_half_alone_activates_nothing(bank: Walk, wire: Wire) -> None:
    activation = bank.register().activation
    assert activation is not None
    wrong = f"{(int(activation.code) + 1) % 10**6:06}"
    with pytest.raises(GatewayRefused) as caught:
        activate(bank, wire, link=activation.qr_payload, code=wrong)
    assert caught.value.code == "ACTIVATION_REFUSED"
    other = activation.qr_payload.replace(str(activation.id), str(uuid4()))
    with pytest.raises(GatewayRefused) as caught:
        activate(bank, wire, link=other, code=activation.code)
    assert caught.value.code == "ACTIVATION_REFUSED"


@pytest.mark.rts("24")
def test_an_activation_serves_once(bank: Walk, wire: Wire) -> None:
    activation = bank.register().activation
    assert activation is not None
    activate(bank, wire, link=activation.qr_payload, code=activation.code)
    with pytest.raises(GatewayRefused) as caught:
        activate(bank, wire, link=activation.qr_payload, code=activation.code)
    assert caught.value.code == "ACTIVATION_REFUSED"


def test_no_link_no_request(bank: Walk, wire: Wire) -> None:
    with pytest.raises(NotTrusted):
        activate(bank, wire, link="https://gateway.example/")
    assert wire.passed == []


@pytest.mark.parametrize("data", [b"", b"<html>", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_an_answer_that_is_no_object_is_not_believed(phone: Authenticator, data: bytes) -> None:
    liar = Authenticator(phone.device, transport=lambda *_: (200, data))
    with pytest.raises(NotTrusted):
        liar.waiting()


def test_a_problem_document_cannot_write_to_the_terminal(phone: Authenticator) -> None:
    problem = json.dumps({"code": "\x1b[2J", "title": "a\nb", "correlationId": 7}).encode()
    liar = Authenticator(phone.device, transport=lambda *_: (400, problem))
    with pytest.raises(GatewayRefused) as caught:
        liar.waiting()
    assert str(caught.value) == "unknown: unknown (correlation id unknown)"


def test_plain_http_goes_to_this_machine_only() -> None:
    with pytest.raises(NotTrusted):
        http_transport("GET", "http://gateway.example/x", {}, b"")
    with pytest.raises(GatewayUnreachable):
        http_transport("GET", "http://127.0.0.1:1/x", {}, b"")
