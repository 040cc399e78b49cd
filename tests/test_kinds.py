"""Every kind of transaction, from both channels: what is asked, signed, answered, and redeemed."""

from __future__ import annotations

import secrets
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import xmlsec
from lxml import etree
from sim import PROFILE
from storage_fixture import as_superuser
from walk import NO, PIN, Walk

from gateway.authenticator.authenticator import Authenticator
from gateway.authenticator.errors import FactorMissing, GatewayRefused
from gateway.core.conclusion import Indication
from gateway.core.errors import (
    CodeRefused,
    DeviceLocked,
    EvidenceNotReady,
    GatewayError,
    InvalidValue,
    MethodLocked,
    MisuseError,
    NotFound,
    NotPermitted,
    ProfileNotAvailable,
    RequestIdReused,
    TextNotDisplayable,
    TextTooLong,
    TransactionLimitReached,
)
from gateway.core.evidence import EVIDENCE_NAMESPACE
from gateway.core.model import BindingState, Channel, Decision, DeviceBinding, Factor, Kind
from gateway.core.profile import SignatureProfile
from gateway.core.statement import NAMESPACE, Payee, Payment, ShownText
from gateway.core.transaction import State, Transaction
from gateway.core.verifier import verify_evidence
from gateway.ports import Tenants
from gateway.services import authorisation, evidence, starts
from gateway.services.starts import Asked, AskedPayment
from gateway.storage.embedded import Connections
from gateway.storage.postgres import PostgresStore

PAYEE = Payee("Garage Müller", "CH9300762011623852957", "348.50")
PAYMENT = AskedPayment("348.50", "EUR", (PAYEE,))
BATCH = AskedPayment(
    "30.00", "CHF", (Payee("A", "CH1", "10.00"), Payee("B", "CH2", "15.00"), Payee("C", "CH3", "5.00"))
)
TEXT = ShownText("Limit", "Raise my limit to € 5.000.", "text/plain")


def profiles(**changes: Any) -> dict[str, SignatureProfile]:
    """One of each kind, for both channels; the first two leave no evidence."""
    both = (Channel.BACKEND, Channel.APP)
    return {
        str(kind): replace(
            PROFILE,
            id=str(kind),
            kind=kind,
            channels=both,
            evidence=kind not in (Kind.AUTHENTICATION, Kind.AUTHORISATION),
            **changes,
        )
        for kind in Kind
        if kind is not Kind.DOCUMENT_SIGNATURE
    }


def kinds(walk: Walk, **changes: Any) -> Walk:
    """The walk with a profile of each kind for both its tenants."""
    made = profiles(**changes)
    names = dict.fromkeys((walk.tenant, walk.other), tuple(made))
    walk.reload(profiles=made, tenants=Tenants(walk.gateway.tenants.relying_parties, names))
    return walk


@pytest.fixture
def bank(walk: Walk) -> Walk:
    return kinds(walk)


@pytest.fixture
def phone(bank: Walk) -> Authenticator:
    return bank.phone()


ABOUT: dict[Kind, dict[str, Any]] = {
    Kind.AUTHENTICATION: {},
    Kind.AUTHORISATION: {"payment": PAYMENT},
    Kind.CONSENT_SIGNATURE: {"texts": (TEXT,)},
    Kind.TEXT_SIGNATURE: {"texts": (TEXT, replace(TEXT, title="Terms", text="All of them.\nRead them."))},
}


def approve(bank: Walk, phone: Authenticator, kind: Kind, **changes: Any) -> Transaction:
    started = bank.start_kind(kind, **(ABOUT[kind] | changes))
    phone.claim(started.id)
    assert phone.approve(started.id, pin=PIN).state == "COMPLETED"
    return bank.get(started.id)


def redeem(bank: Walk, done: Transaction, **changes: Any) -> Transaction:
    asked: dict[str, Any] = {
        "request_id": secrets.token_hex(8),
        "transaction_id": done.id,
        "code": done.authentication_code,
        "payment": PAYMENT if done.content.payment else None,
        "at": bank.clock.now(),
    }
    caller = changes.pop("caller", bank.caller)
    return authorisation.redeem_authentication_code(bank.gateway, caller, **(asked | changes))


@pytest.mark.parametrize("kind", ABOUT)
def test_each_kind_from_the_bank_to_its_result(bank: Walk, phone: Authenticator, kind: Kind) -> None:
    done = approve(bank, phone, kind)
    assert (done.state, done.kind, done.channel) == (State.COMPLETED, kind, Channel.BACKEND)
    assert (done.acr, done.amr) == ("urn:mobileid-gateway:acr:sca", ("swk", "pin"))
    assert (done.authentication_code is not None) == (kind in authorisation.REDEEMED)
    if done.evidence_id is None:
        with pytest.raises(EvidenceNotReady):
            evidence.get_evidence(bank.gateway, bank.caller, transaction_id=done.id, at=bank.clock.now())
    else:
        assert_proven(bank, done, decision=Decision.APPROVED)


def assert_proven(bank: Walk, done: Transaction, *, decision: Decision) -> None:
    at = bank.clock.now()
    stored = evidence.get_evidence(bank.gateway, bank.caller, transaction_id=done.id, at=at)
    conclusion = verify_evidence(stored.document, trust=bank.gateway.trust, at=at)
    assert conclusion.indication is Indication.TOTAL_PASSED, conclusion.explanation
    assert conclusion.decision is decision
    assert conclusion.evidence is not None
    assert conclusion.evidence.content.texts == done.content.texts
    assert conclusion.evidence.channel == done.channel


@pytest.mark.parametrize("kind", ABOUT)
def test_each_kind_from_the_app_to_its_result(bank: Walk, phone: Authenticator, kind: Kind) -> None:
    """The app begins under a profile that is granted to apps; the bank's backend finishes it."""
    about = ABOUT[kind]
    payment = Payment("348.50", "EUR", (PAYEE,)) if "payment" in about else None
    shown = phone.start(kind, locale="en", texts=about.get("texts", ()), payment=payment, request_id="a-1")
    id_ = shown.content.transaction_id
    decided = phone.approve(id_, pin=PIN)
    assert decided.state == "COMPLETED"
    done = bank.get(id_)
    assert (done.state, done.channel, done.external_ref) == (State.COMPLETED, Channel.APP, "customer-1")
    assert decided.authentication_code == done.authentication_code
    if kind in authorisation.REDEEMED:
        assert redeem(bank, done, code=decided.authentication_code).redeemed_at is not None
    else:
        assert_proven(bank, done, decision=Decision.APPROVED)
    again = phone.start(kind, locale="en", texts=about.get("texts", ()), payment=payment, request_id="a-1")
    assert again.content.transaction_id == id_
    with pytest.raises(GatewayRefused, match="REQUEST_ID_REUSED"):
        phone.start(kind, locale="de", texts=about.get("texts", ()), payment=payment, request_id="a-1")


def test_an_app_starts_only_what_is_granted_to_apps(walk: Walk) -> None:
    bank = kinds(walk)
    phone = bank.phone()
    granted = {name: replace(p, channels=(Channel.BACKEND,)) for name, p in bank.gateway.profiles.items()}
    bank.reload(profiles=granted)
    with pytest.raises(GatewayRefused, match="PROFILE_NOT_AVAILABLE"):
        phone.start(Kind.AUTHENTICATION, locale="en")
    bank.reload(profiles={n: replace(p, channels=(Channel.APP,)) for n, p in granted.items()})
    with pytest.raises(ProfileNotAvailable):
        bank.start_kind(Kind.AUTHENTICATION)
    with pytest.raises(GatewayRefused, match="SCHEMA_INVALID"):
        phone.start("dance", locale="en")  # type: ignore[arg-type]


def test_what_an_app_starts_is_judged_as_what_a_bank_starts(
    bank: Walk, phone: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = bank.store.binding(bank.tenant, phone.device.binding_id)
    assert device is not None

    def start(device: DeviceBinding = device, *, request_id: str = "r-1") -> Transaction:
        asked = Asked(request_id=request_id, locale="en")
        kind, at = Kind.AUTHENTICATION, bank.clock.now()
        return starts.start_from_device(bank.gateway, device, kind=kind, asked=asked, at=at)

    assert start().state is State.PENDING
    with pytest.raises(InvalidValue):
        start(request_id="two words")
    with pytest.raises(DeviceLocked):
        start(replace(device, state=BindingState.LOCKED))
    with pytest.raises(MethodLocked):
        start(replace(device, locked_methods=frozenset({Factor.PIN})))
    monkeypatch.setattr(bank.store, "subject", lambda *_: None)  # it was erased meanwhile
    with pytest.raises(NotFound):
        start(request_id="r-2")


def test_two_phones_may_use_the_same_request_id(bank: Walk) -> None:
    first, second = bank.phone("customer-1"), bank.phone("customer-2")
    ids = {
        phone.start(Kind.AUTHENTICATION, locale="en", request_id="r-1").content.transaction_id
        for phone in (first, second)
    }
    assert len(ids) == 2


@pytest.mark.parametrize("kind", ABOUT)
def test_the_right_is_granted_by_name(bank: Walk, phone: Authenticator, kind: Kind) -> None:
    operation = f"Start{''.join(part.capitalize() for part in kind.split('-'))}"
    bank.caller = replace(bank.caller, rights=bank.caller.rights - {operation})
    with pytest.raises(NotPermitted):
        bank.start_kind(kind, **ABOUT[kind])


# what is asked


@pytest.mark.rts("5(1)(b)-(d)")
@pytest.mark.parametrize(
    ("payment", "field"),
    [
        (replace(PAYMENT, total="348.5"), None),  # as much, spelled otherwise: the sum is a number
        (replace(PAYMENT, total="348.51"), "payment.total"),
        (replace(PAYMENT, total="0348.50"), "payment.total"),
        (replace(PAYMENT, total="+348.50"), "payment.total"),
        (replace(PAYMENT, total="348,50"), "payment.total"),
        (replace(PAYMENT, total="3.485e2"), "payment.total"),
        (replace(PAYMENT, total="٣٤٨.٥٠"), "payment.total"),
        (replace(PAYMENT, currency="eur"), "payment.currency"),
        (replace(PAYMENT, currency="EURO"), "payment.currency"),
        (replace(PAYMENT, payees=()), "payment.payee"),
        (AskedPayment("0", "EUR", (replace(PAYEE, amount="0"),)), "payment.total"),
        (AskedPayment("1", "EUR", (PAYEE,) * 101), "payment.payee"),
        (replace(PAYMENT, payees=(replace(PAYEE, amount="-348.50"),)), "payment.payee.amount"),
        (replace(PAYMENT, payees=(replace(PAYEE, account="CH93 0076"),)), "payment.payee.account"),
        (replace(PAYMENT, payees=(replace(PAYEE, account=""),)), "payment.payee.account"),
        pytest.param(
            replace(BATCH, payees=BATCH.payees[:2]), "payment.total", marks=pytest.mark.rts("5(3)(b)")
        ),
    ],
)
def test_a_payment_is_exact(
    bank: Walk, phone: Authenticator, payment: AskedPayment, field: str | None
) -> None:
    if field is None:
        assert bank.start_kind(Kind.AUTHORISATION, payment=payment).content.payment is not None
        return
    with pytest.raises(InvalidValue) as refused:
        bank.start_kind(Kind.AUTHORISATION, payment=payment)
    assert refused.value.field == field


@pytest.mark.rts("5(1)(a)", "5(2)")
@pytest.mark.parametrize(
    "name", ["Garage\u202eMüller", "Garage\u200bMüller", "Garage\nMüller", "Mu\u0308ller"]
)
def test_a_payee_is_shown_faithfully_or_not_at_all(bank: Walk, phone: Authenticator, name: str) -> None:
    payment = replace(PAYMENT, payees=(replace(PAYEE, name=name),))
    with pytest.raises(TextNotDisplayable) as refused:
        bank.start_kind(Kind.AUTHORISATION, payment=payment)
    assert refused.value.field == "payment.payee.name"


def test_so_many_payees_with_so_long_a_name(bank: Walk, phone: Authenticator) -> None:
    one = replace(PAYEE, name="x" * 140, amount="1.00")
    batch = AskedPayment("100.00", "EUR", (one,) * 100)
    assert bank.start_kind(Kind.AUTHORISATION, payment=batch).content.payment is not None
    longer = replace(batch, payees=(replace(one, name="x" * 141), *batch.payees[1:]))
    with pytest.raises(TextTooLong):
        bank.start_kind(Kind.AUTHORISATION, payment=longer)


@pytest.mark.parametrize(
    ("kind", "about"),
    [
        (Kind.AUTHENTICATION, {"payment": PAYMENT}),
        (Kind.CONSENT_SIGNATURE, {"payment": PAYMENT, "texts": (TEXT,)}),
        (Kind.TEXT_SIGNATURE, {"payment": PAYMENT, "texts": (TEXT,)}),
        (Kind.AUTHORISATION, {}),
        (Kind.CONSENT_SIGNATURE, {}),
        (Kind.TEXT_SIGNATURE, {}),
        (Kind.CONSENT_SIGNATURE, {"texts": (TEXT, TEXT)}),
        (Kind.TEXT_SIGNATURE, {"texts": (TEXT,) * 21}),
    ],
)
def test_each_kind_is_about_its_own(bank: Walk, phone: Authenticator, kind: Kind, about: Any) -> None:
    with pytest.raises(InvalidValue):
        bank.start_kind(kind, **about)


def test_the_caller_may_demand_a_level(walk: Walk) -> None:
    bank = kinds(walk)
    bank.phone()
    strong = bank.gateway.profiles["authentication"]
    weak = replace(strong, id="possession", factors=(Factor.DEVICE,))
    names = ("possession", *bank.gateway.tenants.profiles[bank.tenant])
    bank.reload(
        profiles={**bank.gateway.profiles, "possession": weak},
        tenants=Tenants(bank.gateway.tenants.relying_parties, {bank.tenant: names, bank.other: names}),
    )
    single, sca = (f"urn:mobileid-gateway:acr:{level}" for level in ("single", "sca"))
    chosen = lambda **asked: bank.start_kind(Kind.AUTHENTICATION, **asked).profile_id  # noqa: E731
    assert chosen() == chosen(acr=single) == "possession"
    assert chosen(acr=sca) == "authentication"
    for asked in ({"acr": "urn:other"}, {"acr": sca, "profile": "possession"}):
        with pytest.raises(ProfileNotAvailable):
            chosen(**asked)


def test_what_comes_after_is_shown_after_an_approval_alone(bank: Walk, phone: Authenticator) -> None:
    after = ShownText("Thank you", "We have it.", "text/plain")
    for decided, shown in (
        (lambda id_: phone.approve(id_, pin=PIN), after),
        (lambda id_: phone.reject(id_, decision=NO[1]), None),
    ):
        started = bank.start_kind(Kind.CONSENT_SIGNATURE, texts=(TEXT,), post_context=after)
        phone.claim(started.id)
        assert decided(started.id).post_context == shown
    with pytest.raises(TextNotDisplayable) as refused:
        bank.start_kind(
            Kind.AUTHENTICATION, post_context=ShownText("Thank\u200byou", "We have it.", "text/plain")
        )
    assert refused.value.field == "postContext.title"


# the authentication code


@pytest.mark.rts("4(1)")
def test_a_code_is_redeemed_once(bank: Walk, phone: Authenticator, database: Connections) -> None:
    done = approve(bank, phone, Kind.AUTHORISATION)
    once = redeem(bank, done, request_id="r-1")
    assert once.redeemed_at is not None
    assert once.authentication_code is None
    assert bank.get(done.id).authentication_code is None
    assert redeem(bank, done, request_id="r-1") == once, "the answer was lost on its way"
    with pytest.raises(CodeRefused):
        redeem(bank, done, request_id="r-2")
    events = as_superuser(
        database, "SELECT count(*) FROM event WHERE entity_id = %s AND name = 'REDEEM'", (done.id,)
    )
    assert events == [(1,)]


@pytest.mark.rts("4(1)")
def test_of_50_redemptions_at_once_one_succeeds(bank: Walk, phone: Authenticator) -> None:
    done = approve(bank, phone, Kind.AUTHORISATION)

    def try_it(number: int) -> str:
        try:
            return redeem(bank, done, request_id=f"r-{number}").state
        except GatewayError as error:
            return error.code

    with ThreadPoolExecutor(16) as threads:
        counted = Counter(threads.map(try_it, range(50)))
    print(f"50 redemptions at once: {dict(counted)}")
    assert counted == {"COMPLETED": 1, "CODE_REFUSED": 49}


@pytest.mark.rts("4(1)", "5(1)(b)-(d)", "5(3)(b)")
@pytest.mark.parametrize(
    "payment",
    [
        None,
        replace(BATCH, total="30.0"),
        replace(BATCH, total="30"),
        replace(BATCH, currency="EUR"),
        replace(BATCH, payees=BATCH.payees[::-1]),
        replace(BATCH, payees=BATCH.payees[:2]),
        replace(BATCH, payees=(*BATCH.payees, Payee("D", "CH4", "0.00"))),
        replace(BATCH, payees=(replace(BATCH.payees[0], name="\u0410"), *BATCH.payees[1:])),
        replace(BATCH, payees=(replace(BATCH.payees[0], name="A "), *BATCH.payees[1:])),
        replace(BATCH, payees=(replace(BATCH.payees[0], account="CH9"), *BATCH.payees[1:])),
        replace(BATCH, payees=(replace(BATCH.payees[0], account="ch1"), *BATCH.payees[1:])),
        replace(
            BATCH,
            payees=(
                replace(BATCH.payees[0], amount="15.00"),
                replace(BATCH.payees[1], amount="10.00"),
                BATCH.payees[2],
            ),
        ),
    ],
    ids=str,
)
def test_a_code_is_for_its_own_payment(bank: Walk, phone: Authenticator, payment: Any) -> None:
    """Amounts are compared as they are spelled, names and accounts character by character."""
    done = approve(bank, phone, Kind.AUTHORISATION, payment=BATCH)
    with pytest.raises(CodeRefused):
        redeem(bank, done, payment=payment)
    assert redeem(bank, done, payment=BATCH).redeemed_at is not None


@pytest.mark.rts("4(2)")
def test_a_code_is_for_its_own_transaction_and_bank(bank: Walk, phone: Authenticator) -> None:
    one, two = (approve(bank, phone, Kind.AUTHORISATION) for _ in range(2))
    login = approve(bank, phone, Kind.AUTHENTICATION)
    consent = approve(bank, phone, Kind.CONSENT_SIGNATURE)
    codes = {done.authentication_code for done in (one, two, login)}
    assert len(codes) == 3
    for refused in (
        lambda: redeem(bank, one, code=two.authentication_code),
        lambda: redeem(bank, one, code=login.authentication_code),
        lambda: redeem(bank, one, code=""),
        lambda: redeem(bank, one, code="é"),
        lambda: redeem(bank, consent, code=one.authentication_code),
        lambda: redeem(bank, login, payment=PAYMENT),
    ):
        with pytest.raises(CodeRefused):
            refused()
    for unknown in (
        lambda: redeem(bank, one, caller=bank.stranger),
        lambda: redeem(bank, replace(one, id=UUID(int=1))),
    ):
        with pytest.raises(NotFound):
            unknown()
    assert redeem(bank, login).redeemed_at is not None


@pytest.mark.rts("4(1)")
def test_no_code_before_an_approval_or_after_a_refusal(bank: Walk, phone: Authenticator) -> None:
    started = bank.start_kind(Kind.AUTHORISATION, payment=PAYMENT)
    pending = bank.get(started.id)
    assert pending.authentication_code is None
    with pytest.raises(CodeRefused):
        redeem(bank, pending, code="a")
    phone.claim(started.id)
    phone.reject(started.id, decision=NO[0])
    refused = bank.get(started.id)
    assert refused.authentication_code is None
    with pytest.raises(CodeRefused):
        redeem(bank, refused, code="a")


def test_what_is_worth_evidence_is_worth_no_code(
    bank: Walk, phone: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the code that it would have."""
    done = approve(bank, phone, Kind.CONSENT_SIGNATURE)
    with monkeypatch.context() as patched:
        patched.setattr(authorisation, "REDEEMED", frozenset(Kind))
        code = authorisation.code_of(bank.gateway, done, at=bank.clock.now())
    assert code is not None
    with pytest.raises(CodeRefused):
        redeem(bank, done, code=code, payment=None)


def test_a_redemption_is_named_plainly(bank: Walk, phone: Authenticator) -> None:
    done = approve(bank, phone, Kind.AUTHORISATION)
    with pytest.raises(InvalidValue):
        redeem(bank, done, request_id="two words")
    assert bank.get(done.id).redeemed_at is None


def test_what_no_device_decided_has_no_code(bank: Walk, phone: Authenticator) -> None:
    done, at = approve(bank, phone, Kind.AUTHORISATION), bank.clock.now()
    assert authorisation.code_of(bank.gateway, replace(done, decided_at=None), at=at) is None
    with pytest.raises(MisuseError):
        authorisation.code_of(bank.gateway, replace(done, binding_id=None), at=at)


def test_a_redemption_of_a_subject_that_is_erased_meanwhile_is_of_nothing(
    bank: Walk, phone: Authenticator, database: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = approve(bank, phone, Kind.AUTHORISATION)
    asked = bank.store.redeem

    def erased_afterwards(*args: Any, **kwargs: Any) -> bool:
        redeemed = asked(*args, **kwargs)
        as_superuser(database, "DELETE FROM subject_key WHERE subject_id = %s::uuid", (str(done.subject_id),))
        return redeemed

    monkeypatch.setattr(bank.store, "redeem", erased_afterwards)
    with pytest.raises(NotFound):
        redeem(bank, done)


@pytest.mark.rts("4(3)(d)")
def test_a_code_serves_for_five_minutes(bank: Walk, phone: Authenticator) -> None:
    done, late = (approve(bank, phone, Kind.AUTHORISATION) for _ in range(2))
    assert done.decided_at is not None
    assert late.decided_at is not None
    bank.clock.stopped = done.decided_at + timedelta(seconds=299)
    assert bank.get(done.id).authentication_code is not None
    assert redeem(bank, done, at=done.decided_at + timedelta(seconds=299)).redeemed_at is not None
    bank.clock.stopped = late.decided_at + timedelta(seconds=301)
    assert bank.get(late.id).authentication_code is None
    with pytest.raises(CodeRefused):
        redeem(bank, late, at=late.decided_at + timedelta(seconds=301))


# the proof of what leaves no evidence


@pytest.mark.parametrize("decision", [Decision.APPROVED, *NO])
def test_an_authorisation_is_proven_by_what_the_device_signed(
    bank: Walk, phone: Authenticator, decision: Decision
) -> None:
    started = bank.start_kind(Kind.AUTHORISATION, payment=PAYMENT)
    proof = lambda caller=bank.caller: authorisation.get_authorisation_proof(  # noqa: E731
        bank.gateway, caller, transaction_id=started.id, at=bank.clock.now()
    )
    with pytest.raises(EvidenceNotReady):
        proof()
    phone.claim(started.id)
    with pytest.raises(EvidenceNotReady):
        proof()
    if decision is Decision.APPROVED:
        phone.approve(started.id, pin=PIN)
    else:
        phone.reject(started.id, decision=decision)
    root = etree.fromstring(proof())
    st, ev = f"{{{NAMESPACE}}}", f"{{{EVIDENCE_NAMESPACE}}}"
    assert root.tag == f"{ev}Proof"
    assert root.findtext(f"{st}Statement/{st}Decision") == decision
    assert root.findtext(f"{st}Statement/{st}Shown/{st}Payment/{st}Total") == "348.50"
    (binding,) = bank.store.bindings_of(bank.tenant, bank.get(started.id).subject_id)
    xmlsec.tree.add_ids(root, ["Id"])
    judge = xmlsec.SignatureContext()
    judge.key = xmlsec.Key.from_memory(binding.certificate, xmlsec.constants.KeyDataFormatCertDer)
    judge.verify(xmlsec.tree.find_node(root, xmlsec.constants.NodeSignature))
    root.find(f".//{st}Total").text = "348.51"  # type: ignore[union-attr]
    with pytest.raises(xmlsec.VerificationError):
        judge = xmlsec.SignatureContext()
        judge.key = xmlsec.Key.from_memory(binding.certificate, xmlsec.constants.KeyDataFormatCertDer)
        judge.verify(xmlsec.tree.find_node(root, xmlsec.constants.NodeSignature))
    with pytest.raises(NotFound):
        proof(bank.stranger)
    bank.reload(store=Erased(bank.store))
    with pytest.raises(NotFound):
        proof()


class Erased:
    """A store that reads no binding any more: its subject was erased after the transaction was read."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return (lambda *_: None) if name == "binding" else getattr(self._store, name)


def test_what_leaves_evidence_has_no_other_proof(bank: Walk, phone: Authenticator) -> None:
    done = approve(bank, phone, Kind.CONSENT_SIGNATURE)
    with pytest.raises(EvidenceNotReady):
        authorisation.get_authorisation_proof(
            bank.gateway, bank.caller, transaction_id=done.id, at=bank.clock.now()
        )


# number matching, "not me", and too much at once


def test_an_approval_needs_the_number_where_it_is_demanded(walk: Walk) -> None:
    bank = kinds(walk, number_matching=True)
    phone = bank.phone()
    started = bank.start_kind(Kind.AUTHORISATION, payment=PAYMENT)
    number = bank.get(started.id).match_number
    assert number is not None
    assert phone.claim(started.id).needs_number
    with pytest.raises(FactorMissing):
        phone.approve(started.id, pin=PIN)
    wrong = f"{10 + (int(number) - 9) % 90}"
    with pytest.raises(GatewayRefused, match="ASSERTION_REFUSED"):
        phone.approve(started.id, pin=PIN, number=wrong)
    assert phone.approve(started.id, pin=PIN, number=number).state == "COMPLETED"
    done = bank.get(started.id)
    assert done.match_number is None
    assert done.failed_attempts == 1, "a wrong number counts as a try"
    mine = phone.start(Kind.AUTHENTICATION, locale="en")
    assert not mine.needs_number, "on one's own device there is no other screen"
    assert bank.get(mine.content.transaction_id).match_number is None
    assert phone.approve(mine.content.transaction_id, pin=PIN).state == "COMPLETED"
    unwanted = bank.start_kind(Kind.AUTHORISATION, payment=PAYMENT)
    phone.claim(unwanted.id)
    assert phone.reject(unwanted.id, decision=NO[1]).state == "REJECTED", "to refuse needs no number"
    plain = kinds(walk).start_kind(Kind.AUTHORISATION, payment=PAYMENT)
    assert bank.get(plain.id).match_number is None, "nobody is shown a number that nobody asks for"


def test_wrong_numbers_lock_like_wrong_pins(walk: Walk) -> None:
    bank = kinds(walk, number_matching=True, factors=(Factor.DEVICE,))
    phone = bank.phone()
    started = bank.start_kind(Kind.AUTHORISATION, payment=PAYMENT)
    number = bank.get(started.id).match_number
    phone.claim(started.id)
    for _ in range(PROFILE.max_failures):
        with pytest.raises(GatewayRefused, match="ASSERTION_REFUSED"):
            phone.approve(started.id, pin=None, number="00")
    with pytest.raises(GatewayRefused, match="DEVICE_LOCKED"):
        phone.approve(started.id, pin=None, number=number)


@pytest.mark.parametrize("locks", [True, False])
def test_not_me_locks_where_the_profile_says_so(walk: Walk, database: Connections, locks: bool) -> None:
    bank = kinds(walk, not_me_locks=locks)
    phone = bank.phone()
    for decision, locked in ((NO[1], False), (NO[0], locks)):
        started = bank.start_kind(Kind.AUTHENTICATION)
        phone.claim(started.id)
        assert phone.reject(started.id, decision=decision).state == "REJECTED"
        (binding,) = bank.store.bindings_of(bank.tenant, started.subject_id)
        assert (binding.state == "LOCKED") is locked
    reasons = as_superuser(
        database, "SELECT reason FROM event WHERE entity_id = %s AND name = 'LOCK'", (binding.id,)
    )
    assert reasons == ([("not-me",)] if locks else [])


def test_so_much_may_wait_and_no_more(walk: Walk) -> None:
    bank = kinds(walk, max_waiting=3)
    phone = bank.phone()
    bank.phone("customer-2")
    waiting = [bank.start_kind(Kind.AUTHENTICATION, request_id=f"r-{n}") for n in range(3)]
    with pytest.raises(TransactionLimitReached):
        bank.start_kind(Kind.AUTHENTICATION)
    with pytest.raises(GatewayRefused, match="TRANSACTION_LIMIT_REACHED"):
        phone.start(Kind.AUTHENTICATION, locale="en")
    assert bank.start_kind(Kind.AUTHENTICATION, request_id="r-1") == waiting[1], "a repetition starts nothing"
    with pytest.raises(RequestIdReused):
        bank.start_kind(Kind.AUTHENTICATION, request_id="r-1", locale="de")
    assert bank.start_kind(Kind.AUTHENTICATION, "customer-2").state is State.REQUESTED
    assert [item.id for item in phone.waiting()] == [one.id for one in waiting], "oldest first"
    phone.claim(waiting[0].id)
    phone.approve(waiting[0].id, pin=PIN)
    bank.start_kind(Kind.AUTHENTICATION)
    bank.clock.ahead += timedelta(seconds=301)
    bank.start_kind(Kind.AUTHENTICATION)


def test_so_many_are_started_in_ten_minutes_and_no_more(walk: Walk) -> None:
    bank = kinds(walk, max_starts=3)
    phone = bank.phone()
    for _ in range(3):
        approve(bank, phone, Kind.AUTHENTICATION)
    with pytest.raises(TransactionLimitReached):
        bank.start_kind(Kind.AUTHENTICATION)
    bank.clock.ahead += timedelta(seconds=601)
    assert bank.start_kind(Kind.AUTHENTICATION).state is State.REQUESTED


def test_racing_starts_keep_the_limit(walk: Walk) -> None:
    bank = kinds(walk, max_waiting=5)
    bank.phone()

    def start(_: int) -> str:
        try:
            return bank.start_kind(Kind.AUTHENTICATION).state
        except GatewayError as error:
            return error.code

    with ThreadPoolExecutor(8) as threads:
        counted = Counter(threads.map(start, range(24)))
    print(f"24 starts at once, 5 may wait: {dict(counted)}")
    assert counted == {"REQUESTED": 5, "TRANSACTION_LIMIT_REACHED": 19}
