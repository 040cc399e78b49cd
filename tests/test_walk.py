"""The consent walk through services, device face and database, and what may go wrong on its way."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import cache
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from storage_fixture import as_superuser
from walk import NO, PIN, TEXT, Walk

from gateway.authenticator.authenticator import Authenticator
from gateway.authenticator.errors import GatewayRefused
from gateway.authenticator.pin import pin_key
from gateway.core import xades
from gateway.core.conclusion import Indication
from gateway.core.errors import (
    ActivationRefused,
    AssertionRefused,
    DeviceLocked,
    EvidenceNotReady,
    GatewayError,
    InvalidValue,
    NoActiveDevice,
    NotFound,
    NotPermitted,
    ProfileNotAvailable,
    RequestIdReused,
    SealUnavailable,
    TextNotDisplayable,
    TextNotMarkdown,
    TextTooLong,
    TransactionClaimed,
    TransactionExpired,
    TransactionNotPending,
)
from gateway.core.keys import sign_p256
from gateway.core.model import BindingState, Caller, Decision, RawAssertion, RegistrationState, whole_seconds
from gateway.core.shown import MARKDOWN
from gateway.core.statement import compose
from gateway.core.transaction import Event, State
from gateway.core.verifier import verify_evidence
from gateway.services import enrolment, evidence, transactions
from gateway.storage.embedded import Connections
from gateway.worker import Worker

RACES = 200
Events = Callable[[UUID], Counter[str]]


@pytest.fixture
def phone(walk: Walk) -> Authenticator:
    return walk.phone()


def worker(walk: Walk, push: object = None) -> Worker:
    return Worker(walk.gateway, walk.store, push, holder=secrets.token_hex(4))  # type: ignore[arg-type]


@cache
def derived(pin: str, secret: bytes) -> EllipticCurvePrivateKey:
    """Derived once for each phone: the derivation is slow on purpose."""
    return pin_key(pin, secret=secret)


def assertion(
    walk: Walk,
    phone: Authenticator,
    transaction_id: UUID,
    *,
    decision: Decision = Decision.APPROVED,
    pin: str = PIN,
) -> RawAssertion:
    """What the phone would send, made here once so that a race can send it at the same moment."""
    content = walk.get(transaction_id).content
    when = whole_seconds(walk.clock.now())
    certificate = phone.device.certificates[0]
    statement = compose(content, binding_id=phone.device.binding_id, decision=decision)
    info = xades.device_signed_info(statement, certificate=certificate, signing_time=when)
    knowledge = sign_p256(derived(pin, phone.device.pin_secret), info)
    return RawAssertion(decision, when, sign_p256(phone.device.signing, info), knowledge)


def decide(walk: Walk, phone: Authenticator, transaction_id: UUID, answer: RawAssertion) -> State:
    device = walk.store.binding(walk.tenant, phone.device.binding_id)
    assert device is not None
    done = transactions.decide(
        walk.gateway, device, transaction_id=transaction_id, assertion=answer, at=walk.clock.now()
    )
    return done.state


@pytest.fixture
def events(database: Connections) -> Callable[[UUID], Counter[str]]:
    """The names of a transaction's events, as the database has them."""
    query = "SELECT name FROM event WHERE entity_id = %s::uuid"
    return lambda transaction_id: Counter(
        name for (name,) in as_superuser(database, query, (str(transaction_id),))
    )


def document(walk: Walk, transaction_id: UUID) -> bytes:
    return evidence.get_evidence(
        walk.gateway, walk.caller, transaction_id=transaction_id, at=walk.clock.now()
    ).document


# the way as it should be


def test_approval_becomes_evidence_that_is_valid(walk: Walk, phone: Authenticator) -> None:
    started = walk.start()
    assert started.state is State.REQUESTED
    assert [w.id for w in phone.waiting()] == [started.id]
    assert phone.claim(started.id).content.texts[0].text == TEXT
    assert phone.approve(started.id, pin=PIN).state == "COMPLETED"
    final = walk.get(started.id)
    assert (final.state, final.amr, final.decision) == (State.COMPLETED, ("swk", "pin"), Decision.APPROVED)
    sealed = document(walk, started.id)
    conclusion = verify_evidence(sealed, trust=walk.gateway.trust, at=walk.clock.now())
    assert conclusion.indication is Indication.TOTAL_PASSED, conclusion.explanation
    assert conclusion.evidence is not None
    assert conclusion.evidence.content.texts[0].text == TEXT
    assert document(walk, started.id) == sealed
    assert phone.waiting() == ()


@pytest.mark.parametrize("decision", NO)
def test_a_signed_refusal_is_evidence_and_needs_no_pin(
    walk: Walk, phone: Authenticator, decision: Decision
) -> None:
    transaction_id = walk.claimed(phone)
    assert phone.reject(transaction_id, decision=decision).state == "REJECTED"
    assert walk.get(transaction_id).decision is decision
    conclusion = verify_evidence(
        document(walk, transaction_id), trust=walk.gateway.trust, at=walk.clock.now()
    )
    assert (conclusion.indication, conclusion.decision) == (Indication.TOTAL_PASSED, decision)
    assert conclusion.evidence is not None
    assert [factor.method for factor in conclusion.evidence.factors] == ["swk"]


def test_registration_shows_its_halves_only_while_it_is_open(walk: Walk) -> None:
    opened = walk.register()
    assert opened.activation is not None
    assert opened.activation.code not in opened.activation.qr_payload
    activation = opened.activation
    phone = Authenticator.activate(
        activation.qr_payload, code=activation.code, pin=PIN, name="Phone", transport=walk.transport
    )
    closed = enrolment.get_registration(
        walk.gateway, walk.caller, registration_id=opened.id, at=walk.clock.now()
    )
    assert closed.state is RegistrationState.ACTIVATED
    assert closed.activation is None
    assert closed.binding_id == phone.device.binding_id


# repeated requests


def test_repeated_start_answers_the_same_transaction(walk: Walk, phone: Authenticator) -> None:
    first = walk.start(request_id="r-1")
    assert walk.start(request_id="r-1").id == first.id
    for change in ({"text": "other"}, {"title": "other"}, {"locale": "de"}, {"lifetime_seconds": 60}):
        with pytest.raises(RequestIdReused):
            walk.start(request_id="r-1", **change)


def test_repeated_start_answers_even_when_the_device_is_locked_since(
    walk: Walk, phone: Authenticator
) -> None:
    first = walk.start(request_id="r-1")
    lock(walk, phone)
    assert walk.start(request_id="r-1").id == first.id
    with pytest.raises(DeviceLocked):
        walk.start(request_id="r-2")


def test_parallel_starts_under_one_request_id_are_one(walk: Walk, phone: Authenticator) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = {t.id for t in pool.map(lambda _: walk.start(request_id="r-1"), range(24))}
    assert len(ids) == 1


def test_repeated_registration_answers_the_same_activation(walk: Walk) -> None:
    def register(reference: str) -> enrolment.RegistrationView:
        return enrolment.start_registration(
            walk.gateway,
            walk.caller,
            request_id="r",
            external_ref=reference,
            attributes=(),
            at=walk.clock.now(),
        )

    assert register("customer-1") == register("customer-1")
    with pytest.raises(RequestIdReused):
        register("customer-2")


def test_repeated_claim_and_repeated_approval_answer_the_same(
    walk: Walk, phone: Authenticator, events: Events
) -> None:
    transaction_id = walk.claimed(phone)
    phone.claim(transaction_id)
    answer = assertion(walk, phone, transaction_id)
    assert decide(walk, phone, transaction_id, answer) is State.COMPLETED
    assert decide(walk, phone, transaction_id, answer) is State.COMPLETED
    assert events(transaction_id)["APPROVE"] == 1
    with pytest.raises(TransactionNotPending):
        decide(walk, phone, transaction_id, replace(answer, decision=Decision.REJECTED_NOT_ME))


# races


@pytest.mark.rts("4(1)")
def test_of_two_that_race_one_wins(walk: Walk, phone: Authenticator, events: Events) -> None:
    """An approval against a rejection of the same transaction, at the same moment, many times."""
    wins: Counter[str] = Counter()
    with ThreadPoolExecutor(2) as pool:
        for _ in range(RACES):
            transaction_id = walk.claimed(phone)
            answers = [
                assertion(walk, phone, transaction_id),
                assertion(walk, phone, transaction_id, decision=Decision.REJECTED_CANCELLED),
            ]
            start = threading.Barrier(2)

            def race(
                answer: RawAssertion, at: threading.Barrier = start, which: UUID = transaction_id
            ) -> str:
                at.wait()
                try:
                    return decide(walk, phone, which, answer).value
                except (TransactionNotPending, DeviceLocked) as refused:
                    return refused.code

            results = list(pool.map(race, answers))
            final = walk.get(transaction_id).state
            assert final in (State.COMPLETED, State.REJECTED)
            assert results.count(final.value) == 1, results
            happened = events(transaction_id)
            assert happened["APPROVE"] + happened["REJECT"] == 1
            wins[final.value] += 1
    assert wins.total() == RACES
    assert walk.store.binding(walk.tenant, phone.device.binding_id).failures == 0  # type: ignore[union-attr]


def test_two_that_seal_leave_one_evidence(walk: Walk, phone: Authenticator, events: Events) -> None:
    transaction_id = approve_without_seal(walk, phone)
    approved = walk.get(transaction_id)
    assert approved.state is State.APPROVED
    with ThreadPoolExecutor(4) as pool:
        sealed = list(
            pool.map(lambda _: evidence.complete(walk.gateway, approved, at=walk.clock.now()), range(4))
        )
    assert sealed.count(True) == 1
    assert events(transaction_id)["SEAL"] == 1


# what is unfinished is finished


def approve_without_seal(walk: Walk, phone: Authenticator) -> UUID:
    """An approval whose process had no seal key when it was committed."""
    transaction_id = walk.claimed(phone)
    good = walk.gateway.seal_key

    class Away:
        chain = good.chain

        def sign(self, data: bytes) -> bytes:
            raise SealUnavailable()

    walk.reload(seal_key=Away())
    assert phone.approve(transaction_id, pin=PIN).state == "APPROVED"
    walk.reload(seal_key=good)
    return transaction_id


def test_worker_seals_what_was_left_approved(walk: Walk, phone: Authenticator) -> None:
    transaction_id = approve_without_seal(walk, phone)
    with pytest.raises(EvidenceNotReady):
        document(walk, transaction_id)
    walk.clock.ahead = timedelta(seconds=5)
    hand = worker(walk)
    assert hand.seal(walk.tenant, walk.clock.now()) == 1
    assert hand.seal(walk.tenant, walk.clock.now()) == 0
    assert walk.get(transaction_id).state is State.COMPLETED
    conclusion = verify_evidence(
        document(walk, transaction_id), trust=walk.gateway.trust, at=walk.clock.now()
    )
    assert conclusion.indication is Indication.TOTAL_PASSED


def test_what_our_verifier_does_not_pass_is_never_stored(walk: Walk, phone: Authenticator) -> None:
    """A seal key whose certificate is for devices: the evidence is refused, and the approval kept."""
    transaction_id = walk.claimed(phone)
    good = walk.gateway.seal_key

    class Wrong:
        chain = (phone.device.certificates[0], *phone.device.certificates[1:])

        def sign(self, data: bytes) -> bytes:
            return sign_p256(phone.device.signing, data)

    walk.reload(seal_key=Wrong())
    assert phone.approve(transaction_id, pin=PIN).state == "APPROVED"
    with pytest.raises(EvidenceNotReady):
        document(walk, transaction_id)
    walk.reload(seal_key=good)
    walk.clock.ahead = timedelta(seconds=5)
    assert worker(walk).seal(walk.tenant, walk.clock.now()) == 1


# time


def test_expiry_is_seen_on_read(walk: Walk, phone: Authenticator, events: Events) -> None:
    transaction_id = walk.claimed(phone)
    walk.clock.stopped = walk.get(transaction_id).expires_at
    walk.clock.ahead = timedelta(seconds=-1)
    assert walk.get(transaction_id).state is State.PENDING
    walk.clock.ahead = timedelta(seconds=1)
    assert walk.get(transaction_id).state is State.EXPIRED
    assert events(transaction_id)["EXPIRE"] == 1
    with pytest.raises(TransactionExpired):
        cancel(walk, transaction_id)
    with pytest.raises(GatewayRefused, match=r"TRANSACTION_(NOT_PENDING|EXPIRED)"):
        phone.approve(transaction_id, pin=PIN)


def test_expiry_by_the_worker(walk: Walk, phone: Authenticator) -> None:
    first, second = walk.start().id, walk.claimed(phone)
    late = walk.clock.now() + timedelta(seconds=301)
    assert worker(walk).expire(walk.tenant, late) == 2
    assert worker(walk).expire(walk.tenant, late) == 0
    assert walk.get(first).state is walk.get(second).state is State.EXPIRED


def test_a_wait_ends_with_the_change(walk: Walk, phone: Authenticator) -> None:
    transaction_id = walk.claimed(phone)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(walk.get, transaction_id, wait_seconds=30)
        assert phone.approve(transaction_id, pin=PIN).state == "COMPLETED"
        assert waiting.result(timeout=10).state in (State.APPROVED, State.COMPLETED)


def test_a_wait_on_a_final_state_answers_at_once(walk: Walk, phone: Authenticator) -> None:
    transaction_id = walk.approved(phone)
    assert walk.get(transaction_id, wait_seconds=30).state is State.COMPLETED


# cancelling


def cancel(walk: Walk, transaction_id: UUID) -> State:
    return transactions.cancel_transaction(
        walk.gateway, walk.caller, transaction_id=transaction_id, at=walk.clock.now()
    ).state


def test_cancel_withdraws_and_repeats(walk: Walk, phone: Authenticator) -> None:
    transaction_id = walk.claimed(phone)
    assert cancel(walk, transaction_id) is State.CANCELLED
    assert cancel(walk, transaction_id) is State.CANCELLED
    with pytest.raises(GatewayRefused, match="TRANSACTION_NOT_PENDING"):
        phone.approve(transaction_id, pin=PIN)
    done = walk.approved(phone)
    with pytest.raises(TransactionNotPending):
        cancel(walk, done)


# tries


def lock(walk: Walk, phone: Authenticator) -> UUID:
    transaction_id = walk.claimed(phone)
    for _ in range(3):
        with pytest.raises(GatewayRefused, match="ASSERTION_REFUSED"):
            phone.approve(transaction_id, pin="000000")
    return transaction_id


@pytest.mark.rts("4(3)(b)")
def test_three_wrong_pins_lock_and_the_right_one_comes_too_late(walk: Walk, phone: Authenticator) -> None:
    transaction_id = lock(walk, phone)
    with pytest.raises(GatewayRefused, match="DEVICE_LOCKED"):
        phone.approve(transaction_id, pin=PIN)
    assert walk.store.binding(walk.tenant, phone.device.binding_id).state is BindingState.LOCKED  # type: ignore[union-attr]
    with pytest.raises(DeviceLocked):
        walk.start()


def test_the_right_pin_clears_failures_and_evidence_counts_them(walk: Walk, phone: Authenticator) -> None:
    transaction_id = walk.claimed(phone)
    for _ in range(2):
        with pytest.raises(GatewayRefused, match="ASSERTION_REFUSED"):
            phone.approve(transaction_id, pin="000000")
    assert phone.approve(transaction_id, pin=PIN).state == "COMPLETED"
    assert walk.store.binding(walk.tenant, phone.device.binding_id).failures == 0  # type: ignore[union-attr]
    assert b"<ev:FailedAttempts>2</ev:FailedAttempts>" in document(walk, transaction_id)


@pytest.mark.rts("4(3)(b)")
def test_saying_no_does_not_wash_failed_pins_away(walk: Walk, phone: Authenticator) -> None:
    for _ in range(2):
        transaction_id = walk.claimed(phone)
        with pytest.raises(GatewayRefused, match="ASSERTION_REFUSED"):
            phone.approve(transaction_id, pin="000000")
        assert phone.reject(transaction_id, decision=Decision.REJECTED_CANCELLED).state == "REJECTED"
    assert walk.store.binding(walk.tenant, phone.device.binding_id).failures == 2  # type: ignore[union-attr]


@pytest.mark.rts("4(3)(b)")
def test_racing_wrong_pins_count_no_more_than_the_limit(walk: Walk, phone: Authenticator) -> None:
    transaction_id = walk.claimed(phone)
    answer = assertion(walk, phone, transaction_id, pin="000000")

    def attempt(_: int) -> str:
        with pytest.raises(GatewayError) as refused:
            decide(walk, phone, transaction_id, answer)
        return refused.value.code

    with ThreadPoolExecutor(8) as pool:
        results = Counter(pool.map(attempt, range(20)))
    assert results == {"ASSERTION_REFUSED": 3, "DEVICE_LOCKED": 17}


def test_without_possession_no_try_is_burnt(walk: Walk, phone: Authenticator) -> None:
    transaction_id = walk.claimed(phone)
    answer = assertion(walk, phone, transaction_id)
    forged = replace(answer, signature=bytes(64))
    for _ in range(10):
        with pytest.raises(AssertionRefused):
            decide(walk, phone, transaction_id, forged)
    history = walk.store.history(walk.tenant, phone.device.binding_id, after=None, limit=99)
    assert [entry.reason for entry in history if entry.event == "FAILTRY"] == ["possession"] * 10
    assert decide(walk, phone, transaction_id, answer) is State.COMPLETED


@pytest.mark.parametrize("seconds", [-200, 200])
def test_a_signing_time_far_from_now_is_refused(walk: Walk, phone: Authenticator, seconds: int) -> None:
    transaction_id = walk.claimed(phone)
    walk.clock.ahead = timedelta(seconds=seconds)
    skewed = assertion_at(walk, phone, transaction_id)
    walk.clock.ahead = timedelta()
    with pytest.raises(AssertionRefused):
        decide(walk, phone, transaction_id, skewed)


def assertion_at(walk: Walk, phone: Authenticator, transaction_id: UUID) -> RawAssertion:
    ahead, walk.clock.ahead = walk.clock.ahead, timedelta()
    content = walk.get(transaction_id).content
    walk.clock.ahead = ahead
    when = whole_seconds(walk.clock.now())
    statement = compose(content, binding_id=phone.device.binding_id, decision=Decision.APPROVED)
    info = xades.device_signed_info(statement, certificate=phone.device.certificates[0], signing_time=when)
    knowledge = sign_p256(derived(PIN, phone.device.pin_secret), info)
    return RawAssertion(Decision.APPROVED, when, sign_p256(phone.device.signing, info), knowledge)


# activation


def activate(walk: Walk, view: enrolment.RegistrationView, *, code: str) -> Authenticator:
    assert view.activation is not None
    return Authenticator.activate(
        view.activation.qr_payload, code=code, pin=PIN, name="Phone", transport=walk.transport
    )


def wrong(code: str) -> str:
    return str((int(code) + 1) % 10**6).zfill(6)


@pytest.mark.rts("24", "4(3)(b)")
def test_three_wrong_codes_end_the_activation(walk: Walk) -> None:
    view = walk.register()
    assert view.activation is not None
    for _ in range(3):
        with pytest.raises(GatewayRefused, match="ACTIVATION_REFUSED"):
            activate(walk, view, code=wrong(view.activation.code))
    with pytest.raises(GatewayRefused, match="ACTIVATION_REFUSED"):
        activate(walk, view, code=view.activation.code)
    seen = enrolment.get_registration(walk.gateway, walk.caller, registration_id=view.id, at=walk.clock.now())
    assert seen.state is RegistrationState.BLOCKED


@pytest.mark.rts("24")
def test_an_activation_serves_once_and_in_its_time(walk: Walk) -> None:
    view = walk.register()
    assert view.activation is not None
    activate(walk, view, code=view.activation.code)
    with pytest.raises(GatewayRefused, match="ACTIVATION_REFUSED"):
        activate(walk, view, code=view.activation.code)
    late = walk.register("customer-2")
    assert late.activation is not None
    walk.clock.ahead = timedelta(seconds=3601)
    with pytest.raises(GatewayRefused, match="ACTIVATION_REFUSED"):
        activate(walk, late, code=late.activation.code)


@pytest.mark.rts("24", "4(3)(b)")
def test_racing_codes_count_no_more_than_the_limit(walk: Walk) -> None:
    view = walk.register()
    assert view.activation is not None
    code = wrong(view.activation.code)

    def attempt(_: int) -> None:
        with pytest.raises(GatewayRefused, match="ACTIVATION_REFUSED"):
            activate(walk, view, code=code)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(attempt, range(8)))
    registration = walk.store.registration(walk.tenant, view.id)
    assert registration is not None
    assert (registration.failures, registration.state) == (3, RegistrationState.BLOCKED)


def test_an_unknown_tenant_is_refused_as_a_wrong_code(walk: Walk) -> None:
    view = walk.register()
    assert view.activation is not None
    link = view.activation.qr_payload.replace(walk.tenant, "nobody")
    with pytest.raises(GatewayRefused, match="ACTIVATION_REFUSED"):
        Authenticator.activate(
            link, code=view.activation.code, pin=PIN, name="Phone", transport=walk.transport
        )


# who may see what


def test_foreign_and_unknown_are_one_answer(walk: Walk, phone: Authenticator) -> None:
    mine = walk.approved(phone)
    unknown = UUID(int=mine.int ^ 1)
    for transaction_id in (mine, unknown):
        for ask in (
            lambda t: transactions.get_transaction(
                walk.gateway, walk.stranger, transaction_id=t, wait_seconds=0, at=walk.clock.now()
            ),
            lambda t: transactions.cancel_transaction(
                walk.gateway, walk.stranger, transaction_id=t, at=walk.clock.now()
            ),
            lambda t: evidence.get_evidence(
                walk.gateway, walk.stranger, transaction_id=t, at=walk.clock.now()
            ),
        ):
            with pytest.raises(NotFound) as refused:
                ask(transaction_id)
            assert refused.value.message == NotFound.sentence
    with pytest.raises(NotFound):
        enrolment.get_registration(
            walk.gateway, walk.stranger, registration_id=walk.register().id, at=walk.clock.now()
        )


def test_another_subjects_transaction_is_not_there(walk: Walk, phone: Authenticator) -> None:
    neighbour = walk.phone("customer-2")
    started = walk.start()
    assert neighbour.waiting() == ()
    with pytest.raises(GatewayRefused, match="NOT_FOUND"):
        neighbour.claim(started.id)


def test_the_second_device_sees_that_the_first_has_it(walk: Walk, phone: Authenticator) -> None:
    second = walk.phone()
    transaction_id = walk.claimed(phone)
    assert second.waiting() == ()
    with pytest.raises(GatewayRefused, match=TransactionClaimed.code):
        second.claim(transaction_id)


@pytest.mark.parametrize(
    "operation", sorted(Walk.__dataclass_fields__ and {"GetTransaction", "StartConsentSignature"})
)
def test_without_the_right_nothing_is_done(walk: Walk, operation: str) -> None:
    poor = Caller("poor", walk.tenant, walk.caller.rights - {operation})
    with pytest.raises(NotPermitted):
        poor.require(operation)
    walk.caller = poor
    with pytest.raises(NotPermitted):
        walk.start() if operation == "StartConsentSignature" else walk.get(UUID(int=1))


# what is asked


def test_the_source_of_markdown_is_what_is_signed(walk: Walk, phone: Authenticator) -> None:
    source = "# Mortgage\n\nI borrow **348.500 €**."
    started = walk.start(text=source.replace("\n", "\r\n"), media_type=MARKDOWN)
    (shown,) = phone.claim(started.id).content.texts
    assert (shown.text, shown.media_type) == (source, MARKDOWN)
    assert phone.approve(started.id, pin=PIN).state == "COMPLETED"
    sealed = document(walk, started.id)
    assert f"<MediaType>{MARKDOWN}</MediaType><Content>{source}</Content>".encode() in sealed
    conclusion = verify_evidence(sealed, trust=walk.gateway.trust, at=walk.clock.now())
    assert conclusion.indication is Indication.TOTAL_PASSED, conclusion.explanation


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"text": "pay\u202e100"}, TextNotDisplayable),
        ({"text": "x" * 50_001}, TextTooLong),
        ({"title": "two\nlines"}, TextNotDisplayable),
        ({"text": " "}, InvalidValue),
        ({"locale": "english"}, InvalidValue),
        ({"media_type": "text/html"}, InvalidValue),
        ({"media_type": "text/markdown"}, InvalidValue),
        ({"media_type": MARKDOWN, "text": "a <b>"}, TextNotMarkdown),
        ({"lifetime_seconds": 29}, InvalidValue),
        ({"lifetime_seconds": 301}, InvalidValue),
        ({"request_id": "two words"}, InvalidValue),
        ({"external_ref": "two words"}, InvalidValue),
        ({"external_ref": "nobody"}, NotFound),
        ({"profile": "unheard-of"}, ProfileNotAvailable),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value.code,
)
def test_a_start_that_cannot_be(
    walk: Walk, phone: Authenticator, change: dict[str, object], error: type[GatewayError]
) -> None:
    with pytest.raises(error):
        walk.start(**change)


def test_a_subject_without_a_device_cannot_be_asked(walk: Walk) -> None:
    walk.register("customer-9")
    with pytest.raises(NoActiveDevice):
        walk.start("customer-9")


def test_wrong_activation_is_one_error(walk: Walk) -> None:
    view = walk.register()
    assert view.activation is not None
    with pytest.raises(GatewayRefused) as refused:
        activate(walk, view, code=wrong(view.activation.code))
    assert refused.value.code == ActivationRefused.code


# the outbox


class Relay:
    def __init__(self, *, failing: int = 0) -> None:
        self.sent: list[tuple[str, UUID]] = []
        self.failing = failing

    def send(self, target: str, *, wake_id: UUID) -> None:
        if self.failing:
            self.failing -= 1
            raise SealUnavailable()
        self.sent.append((target, wake_id))


@pytest.mark.rts("5(2)")
def test_a_wake_up_is_sent_once_and_notifies(walk: Walk, events: Events) -> None:
    activation = walk.register().activation
    assert activation is not None
    Authenticator.activate(
        activation.qr_payload,
        code=activation.code,
        pin=PIN,
        name="Phone",
        push_target="token-1",
        transport=walk.transport,
    )
    started = walk.start()
    relay = Relay(failing=1)
    hand = worker(walk, relay)
    now = walk.clock.now()
    assert hand.wake(walk.tenant, now) == 1
    assert relay.sent == []
    assert walk.get(started.id).state is State.REQUESTED
    assert hand.wake(walk.tenant, now + timedelta(seconds=5)) == 1
    assert [target for target, _ in relay.sent] == ["token-1"]
    assert started.id not in [wake for _, wake in relay.sent]
    assert walk.get(started.id).state is State.PENDING
    assert hand.wake(walk.tenant, now + timedelta(seconds=60)) == 0
    assert events(started.id)["NOTIFY"] == 1


def test_one_lease_one_worker(walk: Walk) -> None:
    now = walk.clock.now()
    name = f"job-{walk.tenant}"
    assert walk.store.lease(name, holder="a", at=now, seconds=10)
    assert not walk.store.lease(name, holder="b", at=now + timedelta(seconds=9), seconds=10)
    assert walk.store.lease(name, holder="a", at=now + timedelta(seconds=9), seconds=10)
    assert walk.store.lease(name, holder="b", at=now + timedelta(seconds=20), seconds=10)


@pytest.mark.rts("29")
def test_every_transition_is_an_event(walk: Walk, phone: Authenticator, events: Events) -> None:
    transaction_id = walk.approved(phone)
    assert events(transaction_id) == {"START": 1, "CLAIM": 1, "APPROVE": 1, "SEAL": 1}
    assert Event.SEAL in Event
