"""Guards of the use cases that no walk holds: each falls when one is taken away (``make sabotage``)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from storage_fixture import as_superuser, until
from test_walk import assertion, decide
from walk import PIN, Walk

from gateway.authenticator.authenticator import Authenticator
from gateway.core.activation import (
    ActivationRequest,
    KeyProofs,
    UnverifiedAttestation,
    parse_artifact_link,
)
from gateway.core.conclusion import Check, Conclusion, Indication
from gateway.core.errors import (
    ActivationRefused,
    AssertionRefused,
    Conflict,
    DeviceLocked,
    EvidenceNotReady,
    GatewayError,
    InvalidValue,
    MisuseError,
    NoActiveDevice,
    NotFound,
    SealUnavailable,
    TextNotDisplayable,
    TextTooLong,
    TransactionExpired,
    TransactionNotPending,
)
from gateway.core.model import (
    BindingState,
    Decision,
    DeviceBinding,
    DeviceKeys,
    Factor,
    IdentityAttribute,
    Kind,
)
from gateway.core.transaction import State, Transaction
from gateway.ports import Tenants
from gateway.services import enrolment, evidence, transactions
from gateway.services.waits import Waits
from gateway.storage.embedded import Connections
from gateway.storage.pool import Pool


@pytest.fixture
def phone(walk: Walk) -> Authenticator:
    return walk.phone()


def binding_of(walk: Walk, phone: Authenticator) -> DeviceBinding:
    found = walk.store.binding(walk.tenant, phone.device.binding_id)
    assert found is not None
    return found


def erase(database: Connections, subject_id: UUID) -> None:
    """Nothing of the subject can be read from now on."""
    as_superuser(database, "DELETE FROM subject_key WHERE subject_id = %s::uuid", (str(subject_id),))


# enrolment


def activated(walk: Walk, view: enrolment.RegistrationView | None = None, **changes: Any) -> None:
    """Asks with proofs that prove nothing: for what is refused before they are looked at."""
    request = ActivationRequest(
        activation_id=view.activation.id if view and view.activation else uuid4(),
        code=view.activation.code if view and view.activation else "000000",
        name="Phone",
        platform="test",
        keys=DeviceKeys(b"", b"", b""),
        proofs=KeyProofs(b"", b"", b""),
        push_target=None,
        attestation=UnverifiedAttestation("none"),
    )
    asked = replace(request, **changes)
    enrolment.activate(walk.gateway, walk.tenant, request=asked, at=walk.clock.now())


def enrol(walk: Walk, view: enrolment.RegistrationView) -> Authenticator:
    assert view.activation is not None
    return Authenticator.activate(
        view.activation.qr_payload,
        code=view.activation.code,
        pin=PIN,
        name="Phone",
        transport=walk.transport,
        clock=walk.clock.now,
    )


def test_who_is_no_relying_party_any_more_activates_nothing(walk: Walk) -> None:
    """Its registration is still there, and counts no try."""
    view = walk.register()
    tenants = walk.gateway.tenants
    walk.reload(tenants=Tenants({}, {}))
    with pytest.raises(ActivationRefused):
        activated(walk, view)
    walk.reload(tenants=tenants)
    standing = walk.store.registration(walk.tenant, view.id)
    assert standing is not None
    assert standing.failures == 0


def test_an_artifact_of_who_is_no_relying_party_any_more_opens_nothing(walk: Walk) -> None:
    issued = enrolment.issue_artifact(
        walk.gateway, walk.caller, request_id="r", external_ref="c", attributes=(), at=walk.clock.now()
    )
    artifact = parse_artifact_link(issued.link).artifact
    tenants = walk.gateway.tenants

    def redeem() -> enrolment.Redeemed:
        return enrolment.redeem_artifact(walk.gateway, walk.tenant, artifact=artifact, at=walk.clock.now())

    walk.reload(tenants=Tenants({}, {}))
    with pytest.raises(ActivationRefused):
        redeem()
    walk.reload(tenants=tenants)
    assert redeem().expires_at > walk.clock.now()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"name": "x" * 65}, TextTooLong),
        ({"name": "two\nlines"}, TextNotDisplayable),
        ({"name": "e\u202e"}, TextNotDisplayable),
        ({"platform": "a\tb"}, InvalidValue),
        ({"platform": "x" * 65}, InvalidValue),
        ({"name": "x" * 64, "platform": "x" * 64}, ActivationRefused),
    ],
    ids=repr,
)
def test_a_device_is_named_plainly(walk: Walk, change: dict[str, str], error: type[GatewayError]) -> None:
    with pytest.raises(error):
        activated(walk, **change)


def test_a_subject_that_is_erased_meanwhile_is_not_bound(
    walk: Walk, database: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = walk.register()
    reserve = walk.store.reserve_activation_try

    def erased_afterwards(*args: Any, **kwargs: Any) -> Any:
        registration = reserve(*args, **kwargs)
        erase(database, registration.subject_id)
        return registration

    monkeypatch.setattr(walk.store, "reserve_activation_try", erased_afterwards)
    with pytest.raises(Exception, match=ActivationRefused.code):
        enrol(walk, view)


def test_an_activation_that_comes_second_is_refused(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its code was right, and another device was bound between the try and the commit."""
    view = walk.register()
    activate = walk.store.activate

    def after_another(registration: Any, *, binding: DeviceBinding, **kwargs: Any) -> bool:
        monkeypatch.setattr(walk.store, "activate", activate)
        enrol(walk, view)
        return activate(registration, binding=binding, **kwargs)

    monkeypatch.setattr(walk.store, "activate", after_another)
    with pytest.raises(Exception, match=ActivationRefused.code):
        enrol(walk, view)


@pytest.mark.parametrize(
    ("attributes", "error"),
    [
        ([("name", "x"), ("name", "y")], InvalidValue),
        ([("Name", "x")], InvalidValue),
        ([("a" * 65, "x")], InvalidValue),
        ([("name", "x" * 257)], TextTooLong),
        ([("name", "two\nlines")], TextNotDisplayable),
        ([("name", "e\u202e")], TextNotDisplayable),
        ([("a" * 64, "x" * 256), ("name", "Zoë")], None),
    ],
    ids=repr,
)
def test_attributes_are_plain_and_each_stands_once(
    walk: Walk, attributes: list[tuple[str, str]], error: type[GatewayError] | None
) -> None:
    with pytest.raises(error) if error else nullcontext():
        enrolment.start_registration(
            walk.gateway,
            walk.caller,
            request_id="r",
            external_ref="customer-1",
            attributes=tuple(IdentityAttribute(name, value) for name, value in attributes),
            at=walk.clock.now(),
        )


def test_an_answer_is_not_repeated_to_a_subject_that_is_erased_meanwhile(
    walk: Walk, database: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind, activated_as = walk.store.activate, walk.store.activated

    def twice(*args: Any, **kwargs: Any) -> bool:
        assert bind(*args, **kwargs)
        return bind(*args, **kwargs)

    def erased_afterwards(*args: Any) -> Any:
        found = activated_as(*args)
        assert found is not None
        erase(database, found[0].subject_id)
        return found

    monkeypatch.setattr(walk.store, "activate", twice)
    monkeypatch.setattr(walk.store, "activated", erased_afterwards)
    with pytest.raises(Exception, match=ActivationRefused.code):
        enrol(walk, walk.register())


# evidence


def approved(walk: Walk, phone: Authenticator) -> Transaction:
    """Approved, and not sealed yet."""
    good, transaction_id = walk.gateway.seal_key, walk.claimed(phone)
    walk.reload(seal_key=None)
    assert phone.approve(transaction_id, pin=PIN).state == "APPROVED"
    walk.reload(seal_key=good)
    return walk.get(transaction_id)


def complete(walk: Walk, transaction: Transaction) -> bool:
    return evidence.complete(walk.gateway, transaction, at=walk.clock.now())


def test_evidence_of_nothing_is_not_found(walk: Walk, phone: Authenticator) -> None:
    """What another bank has is nothing; what has none yet is another answer."""
    transaction_id = walk.start().id
    for caller, asked, error in (
        (walk.caller, uuid4(), NotFound),
        (walk.stranger, transaction_id, NotFound),
        (walk.caller, transaction_id, EvidenceNotReady),
    ):
        with pytest.raises(error):
            evidence.get_evidence(walk.gateway, caller, transaction_id=asked, at=walk.clock.now())


def test_what_is_complete_is_not_completed_again(walk: Walk, phone: Authenticator) -> None:
    transaction = walk.get(walk.approved(phone))
    assert complete(walk, transaction) is False


def rejected(walk: Walk, phone: Authenticator) -> Transaction:
    """Rejected, and not sealed yet."""
    good, transaction_id = walk.gateway.seal_key, walk.claimed(phone)
    walk.reload(seal_key=None)
    assert phone.reject(transaction_id, decision=Decision.REJECTED_CANCELLED).state == "REJECTED"
    walk.reload(seal_key=good)
    return walk.get(transaction_id)


def test_what_is_sealed_is_not_sealed_again(walk: Walk, phone: Authenticator) -> None:
    transaction = rejected(walk, phone)
    assert complete(walk, transaction) is True
    walk.reload(seal_key=None)
    assert complete(walk, walk.get(transaction.id)) is False


def test_what_is_undecided_is_not_completed(walk: Walk, phone: Authenticator) -> None:
    transaction_id = walk.claimed(phone)
    assert complete(walk, walk.get(transaction_id)) is False
    assert walk.get(transaction_id).state is State.PENDING


def test_a_rejection_stays_one_whatever_becomes_of_its_evidence(
    walk: Walk, phone: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the proof fails it is tried again; erased or without evidence, nothing is left to do."""
    transaction = rejected(walk, phone)
    with monkeypatch.context() as patched:
        failed = Conclusion(Indication.TOTAL_FAILED, None, "", "", (Check(7, "", False, ""),), None)
        patched.setattr(evidence, "judge", lambda *_, **__: failed)
        with pytest.raises(SealUnavailable):
            complete(walk, transaction)
    with monkeypatch.context() as patched:
        patched.setattr(walk.store, "assertion", lambda *_: None)
        assert complete(walk, transaction) is False
    leaves_none = replace(walk.profile, kind=Kind.AUTHENTICATION, evidence=False)
    assert complete(walk, replace(transaction, profile_document=leaves_none.document())) is False
    assert walk.get(transaction.id).state is State.REJECTED


def test_what_nobody_approved_has_no_evidence(walk: Walk, phone: Authenticator) -> None:
    transaction = approved(walk, phone)
    with pytest.raises(MisuseError):
        complete(walk, replace(transaction, binding_id=None))
    assertion = walk.store.assertion(walk.tenant, transaction.id)
    assert assertion is not None
    for name in ("claimed_at", "decided_at", "acr"):
        with pytest.raises(MisuseError):
            evidence.compose(
                walk.gateway,
                replace(transaction, **{name: None}),
                binding=binding_of(walk, phone),
                assertion=assertion,
                at=walk.clock.now(),
            )


@pytest.mark.parametrize("gone", ["binding", "assertion"])
def test_what_was_erased_before_its_seal_fails(
    walk: Walk, phone: Authenticator, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    """The two are read one after the other: either may be the first that is not there."""
    transaction = approved(walk, phone)
    with monkeypatch.context() as patched:
        patched.setattr(walk.store, gone, lambda *_: None)
        assert complete(walk, transaction)
    assert walk.get(transaction.id).state is State.FAILED


@pytest.mark.parametrize(
    ("indication", "step", "final"),
    [
        (Indication.TOTAL_FAILED, 7, True),
        (Indication.TOTAL_FAILED, 6, False),
        (Indication.INDETERMINATE, 7, False),
    ],
)
def test_only_a_proof_that_failed_ends_a_transaction(
    walk: Walk,
    phone: Authenticator,
    monkeypatch: pytest.MonkeyPatch,
    indication: Indication,
    step: int,
    final: bool,
) -> None:
    """What cannot be decided, or is wrong with our own seal, is tried again."""
    transaction = approved(walk, phone)
    check = Check(step, "", False, "")
    monkeypatch.setattr(
        evidence, "judge", lambda *_, **__: Conclusion(indication, None, "", "", (check,), None)
    )
    with nullcontext() if final else pytest.raises(SealUnavailable):
        assert complete(walk, transaction)
    assert walk.get(transaction.id).state is (State.FAILED if final else State.APPROVED)


# transactions


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"title": "x" * 201}, TextTooLong),
        ({"title": "x" * 200}, None),
        ({"title": "e\u202e"}, TextNotDisplayable),
        ({"lifetime_seconds": 30}, None),
    ],
    ids=repr,
)
def test_what_is_asked_is_bounded(
    walk: Walk, phone: Authenticator, change: dict[str, Any], error: type[GatewayError] | None
) -> None:
    with pytest.raises(error) if error else nullcontext():
        walk.start(**change)


@pytest.mark.parametrize("change", [{"request_id": "two words"}, {"external_ref": "two words"}])
def test_a_start_is_named_plainly(walk: Walk, phone: Authenticator, change: dict[str, str]) -> None:
    with pytest.raises(InvalidValue):
        walk.start(**change)


@pytest.mark.parametrize("seconds", [-1, 31])
def test_nobody_waits_longer_than_half_a_minute(walk: Walk, phone: Authenticator, seconds: int) -> None:
    with pytest.raises(InvalidValue):
        walk.get(walk.approved(phone), wait_seconds=seconds)


@pytest.mark.parametrize(("seconds", "final"), [(0, False), (30, True)])
def test_who_need_not_wait_takes_no_place_in_the_line(
    walk: Walk, phone: Authenticator, seconds: int, final: bool
) -> None:
    transaction_id = walk.approved(phone) if final else walk.claimed(phone)
    walk.reload(waits=None)
    assert walk.get(transaction_id, wait_seconds=seconds).id == transaction_id


def test_what_is_over_cannot_be_withdrawn(walk: Walk, phone: Authenticator) -> None:
    transaction_id = walk.claimed(phone)
    walk.clock.ahead = timedelta(seconds=301)
    with pytest.raises(TransactionExpired):
        cancel(walk, transaction_id)


def cancel(walk: Walk, transaction_id: UUID) -> Transaction:
    return transactions.cancel_transaction(
        walk.gateway, walk.caller, transaction_id=transaction_id, at=walk.clock.now()
    )


def test_who_loses_every_race_is_told(
    walk: Walk, phone: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store never takes the change, and the state that is read never says why."""
    transaction_id, device = walk.start().id, binding_of(walk, phone)
    monkeypatch.setattr(walk.store, "claim", lambda *_, **__: False)
    monkeypatch.setattr(walk.store, "finish", lambda *_, **__: False)
    with pytest.raises(Conflict):
        transactions.claim(walk.gateway, device, transaction_id=transaction_id, at=walk.clock.now())
    with pytest.raises(Conflict):
        cancel(walk, transaction_id)
    walk.clock.ahead = timedelta(seconds=301)
    with pytest.raises(Conflict):
        walk.get(transaction_id)


def test_what_has_ended_is_neither_claimed_nor_decided(walk: Walk, phone: Authenticator) -> None:
    transaction_id = walk.claimed(phone)
    answer = assertion(walk, phone, transaction_id)
    assert cancel(walk, transaction_id).state is State.CANCELLED
    with pytest.raises(TransactionNotPending):
        decide(walk, phone, transaction_id, replace(answer, signature=bytes(64)))
    done, over = walk.approved(phone), walk.start().id
    device = binding_of(walk, phone)

    def claim(transaction_id: UUID) -> Transaction:
        return transactions.claim(walk.gateway, device, transaction_id=transaction_id, at=walk.clock.now())

    with pytest.raises(TransactionNotPending):
        claim(done)
    walk.clock.ahead = timedelta(seconds=301)
    with pytest.raises(TransactionExpired):
        claim(over)


def test_only_who_has_claimed_it_sees_and_decides_it(walk: Walk, phone: Authenticator) -> None:
    """Not another device of the subject, and nobody before the claim."""
    second = binding_of(walk, walk.phone())
    free, taken = walk.start().id, walk.claimed(phone)
    for transaction_id in (free, taken):
        with pytest.raises(NotFound):
            transactions.fetch(walk.gateway, second, transaction_id=transaction_id, at=walk.clock.now())
    with pytest.raises(NotFound):
        transactions.decide(
            walk.gateway,
            second,
            transaction_id=taken,
            assertion=assertion(walk, phone, taken),
            at=walk.clock.now(),
        )


def test_a_wrong_possession_costs_as_many_messages_as_a_wrong_pin(
    walk: Walk, phone: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time does not tell which element failed (RTS (EU) 2018/389 article 4(3)(a))."""
    transaction_id = walk.claimed(phone)
    wrong_pin = assertion(walk, phone, transaction_id, pin="000000")
    forged = replace(wrong_pin, signature=bytes(64))
    sent: list[str] = []
    run = Pool.run

    def counting(self: Pool, relying_party: str | None, sql: str, *args: Any, **kwargs: Any) -> Any:
        sent.append(sql)
        return run(self, relying_party, sql, *args, **kwargs)

    monkeypatch.setattr(Pool, "run", counting)
    costs = []
    for answer in (forged, wrong_pin):
        sent.clear()
        with pytest.raises(AssertionRefused):
            decide(walk, phone, transaction_id, answer)
        costs.append(len(sent))
    assert costs[0] == costs[1]


def test_without_a_pin_no_try_is_counted(walk: Walk) -> None:
    """Neither for what the profile does not ask, nor for a rejection."""
    phone = walk.phone()
    assert phone.reject(walk.claimed(phone), decision=Decision.REJECTED_CANCELLED).state == "REJECTED"
    assert binding_of(walk, phone).failures == 0
    easy = replace(walk.profile, factors=(Factor.DEVICE,))
    walk.reload(profiles={easy.id: easy})
    for _ in range(easy.max_failures + 1):
        transaction_id = walk.claimed(phone)
        answer = replace(assertion(walk, phone, transaction_id), pin_signature=None)
        assert decide(walk, phone, transaction_id, answer) is State.COMPLETED
    assert binding_of(walk, phone).failures == 0


def test_a_decision_that_comes_too_late_gives_its_try_back(
    walk: Walk, phone: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction_id = walk.claimed(phone)
    answer = assertion(walk, phone, transaction_id)
    before(monkeypatch, walk, "decide", lambda: cancel(walk, transaction_id))
    with pytest.raises(TransactionNotPending):
        decide(walk, phone, transaction_id, answer)
    assert binding_of(walk, phone).failures == 0
    assert walk.get(transaction_id).state is State.CANCELLED


def test_a_decision_of_a_subject_that_is_erased_meanwhile_is_of_nothing(
    walk: Walk, phone: Authenticator, database: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction_id = walk.claimed(phone)
    answer = assertion(walk, phone, transaction_id)
    before(monkeypatch, walk, "decide", lambda: erase(database, walk.get(transaction_id).subject_id))
    with pytest.raises(NotFound):
        decide(walk, phone, transaction_id, answer)


def before(monkeypatch: pytest.MonkeyPatch, walk: Walk, method: str, happens: Callable[[], object]) -> None:
    """Something happens in the last moment before the store is asked."""
    asked = getattr(walk.store, method)

    def late(*args: Any, **kwargs: Any) -> Any:
        happens()
        return asked(*args, **kwargs)

    monkeypatch.setattr(walk.store, method, late)


def test_a_device_whose_tries_ended_in_a_crash_is_locked(walk: Walk, phone: Authenticator) -> None:
    """Its tries were counted, and nobody was left to lock it."""
    transaction_id = walk.claimed(phone)
    for _ in range(walk.profile.max_failures):
        walk.store.reserve_try(walk.tenant, phone.device.binding_id, max_failures=walk.profile.max_failures)
    answer = assertion(walk, phone, transaction_id)
    assert binding_of(walk, phone).state is BindingState.ACTIVE
    with pytest.raises(DeviceLocked):
        decide(walk, phone, transaction_id, answer)
    assert binding_of(walk, phone).state is BindingState.LOCKED


@pytest.mark.parametrize("days", [-3, 36_500])
def test_a_device_out_of_its_certificates_time_cannot_be_asked(
    walk: Walk, phone: Authenticator, days: int
) -> None:
    walk.clock.ahead = timedelta(days=days)
    with pytest.raises(NoActiveDevice):
        walk.start()


def test_a_device_of_another_ca_cannot_be_asked(
    walk: Walk, phone: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction_id = walk.claimed(phone)
    monkeypatch.setattr(walk.gateway.device_ca, "issued", lambda _: False)
    with pytest.raises(NoActiveDevice):
        walk.start()
    device = binding_of(walk, phone)
    with pytest.raises(DeviceLocked):
        transactions.fetch(walk.gateway, device, transaction_id=transaction_id, at=walk.clock.now())


def test_what_is_not_over_does_not_expire(walk: Walk, phone: Authenticator) -> None:
    transaction = walk.get(walk.claimed(phone))
    with pytest.raises(TransactionNotPending):
        transactions.expire(walk.gateway, transaction, at=walk.clock.now())


# waiting


class Unchanging:
    """Stands where the store does; says of every transaction the state that it has."""

    def __init__(self) -> None:
        self.state = State.PENDING

    def transaction_states(self, relying_party: str, ids: Sequence[UUID]) -> Mapping[UUID, State]:
        return dict.fromkeys(ids, self.state)


@pytest.mark.parametrize(("callers", "each"), [(1, 32), (4, 32)])
def test_beyond_so_many_nobody_waits(callers: int, each: int) -> None:
    """32 of one caller, 128 of a process; who waited once may wait again."""
    store = Unchanging()
    waits = Waits(store)  # type: ignore[arg-type]
    waiting = threading.Semaphore(0)

    def wait(caller: str, seconds: int) -> None:
        waits.wait("bank", caller, uuid4(), state=State.PENDING, seconds=seconds)
        waiting.release()

    threads = [
        threading.Thread(target=wait, args=(f"caller-{number % callers}", 60))
        for number in range(callers * each)
    ]
    try:
        for thread in threads:
            thread.start()
        until(lambda: waits._callers.total() == len(threads))
        extra = threading.Thread(target=wait, args=("caller-0" if callers == 1 else "another", 60))
        extra.start()
        assert waiting.acquire(timeout=10), "it waits in line"
        assert waits._callers.total() == len(threads), "it was not the one that ended"
    finally:
        store.state = State.COMPLETED
        for thread in threads:
            thread.join(30)
    assert waits._callers.total() == 0
