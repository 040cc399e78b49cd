"""Each method of the identity store, against a real Postgres."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from cryptography import x509
from sim import PROFILE
from storage_fixture import NOW, PART, World, answer, as_superuser, ca_id, make_store

from gateway.core.errors import MisuseError, NotFound, TransactionNotPending
from gateway.core.model import (
    BindingState,
    Decision,
    IdentityAttribute,
    Kind,
    RegistrationPurpose,
    RegistrationState,
)
from gateway.core.transaction import Event, State
from gateway.ports import Crl, CrlStore, RecoveryCode, Store, StoredEvidence, WorkStore
from gateway.storage.embedded import Connections

SECOND = timedelta(seconds=1)


@pytest.fixture
def world(database: Connections) -> World:
    return World(make_store(database))


def test_the_store_keeps_the_ports(world: World) -> None:
    store: Store = world.store
    work: WorkStore = world.store
    crls: CrlStore = world.store
    assert store is work is crls


# registrations and subjects


def test_registration_is_read_as_it_was_stored(world: World, database: Connections) -> None:
    given = world.registration()
    person = world.person(given, ref="K-1", attributes=(IdentityAttribute("name", "Zoë ☃"),))
    stored = world.store.start_registration(
        given, subject=person, request_id="r", request_digest=b"\x00\xff" * 16, max_devices=99
    )
    assert stored == (given, person, b"\x00\xff" * 16)
    assert world.store.registration(world.rp, given.id) == given
    assert world.store.subject(world.rp, person.id) == person
    assert world.store.subject_by_ref(world.rp, "K-1") == person
    assert world.store.subject_by_ref(world.rp, "K-2") is None
    assert world.store.subject(world.rp, uuid4()) is None
    assert world.store.registration(world.rp, uuid4()) is None
    assert world.events(database, given.id) == [("START", "PENDING")]


def test_a_repeated_request_id_answers_the_first_registration_and_changes_nothing(world: World) -> None:
    first, subject = world.register(ref="K-1", request_id="r", digest=b"1" * 32)
    again = world.registration()
    other = world.person(again, ref="K-2", attributes=(IdentityAttribute("name", "Eve"),))
    assert world.store.start_registration(
        again, subject=other, request_id="r", request_digest=b"2" * 32, max_devices=99
    ) == (
        first,
        subject,
        b"1" * 32,
    )
    assert world.store.subject_by_ref(world.rp, "K-2") is None
    same = world.person(again, ref="K-1", attributes=(IdentityAttribute("name", "Eve"),))
    world.store.start_registration(
        again, subject=same, request_id="r", request_digest=b"2" * 32, max_devices=99
    )
    assert world.store.subject(world.rp, subject.id) == subject


def test_a_known_ref_keeps_its_subject_and_takes_the_attributes_that_are_given(world: World) -> None:
    _, first = world.register(ref="K-1")
    second, kept = world.register(ref="K-1", attributes=())
    assert kept == first
    assert second.subject_id == first.id
    _, replaced = world.register(ref="K-1", attributes=(IdentityAttribute("name", "Ada Married"),))
    assert replaced == replace(first, attributes=(IdentityAttribute("name", "Ada Married"),))


def test_activation_tries_are_counted_up_to_the_last_one(world: World) -> None:
    registration, _ = world.register()
    reserve = lambda: world.store.reserve_activation_try(  # noqa: E731
        world.rp, registration.activation_id, max_failures=2, at=NOW
    )
    assert reserve() == replace(registration, failures=1)
    assert reserve() == replace(registration, failures=2)
    assert reserve() is None
    assert world.store.reserve_activation_try(world.rp, uuid4(), max_failures=2, at=NOW) is None


@pytest.mark.rts("24")
def test_no_activation_try_past_the_end_or_after_a_block(world: World, database: Connections) -> None:
    registration, _ = world.register()
    try_ = world.store.reserve_activation_try
    assert try_(world.rp, registration.activation_id, max_failures=2, at=registration.expires_at) is None
    assert world.store.block_registration(world.rp, registration.id, at=NOW)
    assert not world.store.block_registration(world.rp, registration.id, at=NOW)
    assert try_(world.rp, registration.activation_id, max_failures=2, at=NOW) is None
    assert world.events(database, registration.id)[1:] == [("BLOCK", "BLOCKED")]


def test_activation_binds_the_device_once(world: World, database: Connections) -> None:
    registration, subject = world.register()
    world.store.reserve_activation_try(world.rp, registration.activation_id, max_failures=3, at=NOW)
    device = world.device(subject)
    assert world.store.activate(
        registration, binding=device, push_target="token", part=PART, max_devices=99, at=NOW
    )
    assert world.store.binding(world.rp, device.id) == device
    assert world.store.registration(world.rp, registration.id) == replace(
        registration, state=RegistrationState.ACTIVATED, binding_id=device.id
    )
    other = world.device(subject)
    assert not world.store.activate(
        registration, binding=other, push_target=None, part=PART, max_devices=99, at=NOW
    )
    assert world.store.bindings_of(world.rp, subject.id) == [device]
    assert world.store.binding(world.rp, other.id) is None
    assert world.events(database, registration.id)[1:] == [("ACTIVATE", "ACTIVATED")]
    assert world.events(database, device.id) == [("BIND", "ACTIVE")]


def test_activation_past_the_end_or_for_another_subject_is_refused(world: World) -> None:
    registration, subject = world.register()
    device = world.device(subject)
    assert not world.store.activate(
        registration, binding=device, push_target=None, part=PART, max_devices=99, at=registration.expires_at
    )
    _, stranger = world.register()
    with pytest.raises(MisuseError):
        world.store.activate(
            registration, binding=world.device(stranger), push_target=None, part=PART, max_devices=99, at=NOW
        )


# tries, locks, revocation, nonces


def test_a_nonce_is_new_once_for_each_binding(world: World) -> None:
    subject, device = world.bind()
    _, other = world.bind(subject)
    remember = world.store.remember_nonce
    assert remember(world.rp, device.id, "n\0", expires_at=NOW)
    assert not remember(world.rp, device.id, "n\0", expires_at=NOW)
    assert remember(world.rp, other.id, "n\0", expires_at=NOW + SECOND)
    assert world.store.forget_nonces(world.rp, at=NOW) == 1
    assert remember(world.rp, device.id, "n\0", expires_at=NOW)
    assert not remember(world.rp, other.id, "n\0", expires_at=NOW)


@pytest.mark.rts("4(3)(b)")
def test_tries_count_for_the_device_and_for_the_subject(world: World, database: Connections) -> None:
    """RTS article 4(3)(b): over all devices of one subject."""
    subject, device = world.bind()
    _, other = world.bind(subject)
    assert world.store.reserve_try(world.rp, device.id, max_failures=3)
    assert world.store.reserve_try(world.rp, other.id, max_failures=3)
    assert world.store.reserve_try(world.rp, device.id, max_failures=3)
    assert not world.store.reserve_try(world.rp, other.id, max_failures=3)
    assert world.failures(database, device) == (2, 3)
    assert world.failures(database, other) == (1, 3)
    world.store.release_try(world.rp, other.id)
    assert world.failures(database, other) == (0, 2)
    world.store.release_try(world.rp, other.id)
    assert world.failures(database, other) == (0, 2), "it had none to give back"
    found = world.store.binding(world.rp, device.id)
    assert found is not None
    assert found.failures == 2


@pytest.mark.rts("4(3)(b)")
def test_a_spent_device_locks_and_counts_no_more(world: World, database: Connections) -> None:
    _, device = world.bind()
    assert world.store.reserve_try(world.rp, device.id, max_failures=2)
    assert not world.store.lock_if_spent(world.rp, device.id, max_failures=2, at=NOW)
    assert world.store.reserve_try(world.rp, device.id, max_failures=2)
    assert world.store.lock_if_spent(world.rp, device.id, max_failures=2, at=NOW)
    assert not world.store.lock_if_spent(world.rp, device.id, max_failures=2, at=NOW)
    found = world.store.binding(world.rp, device.id)
    assert found is not None
    assert found.state is BindingState.LOCKED
    assert not world.store.reserve_try(world.rp, device.id, max_failures=5)
    assert world.events(database, device.id)[1:] == [("LOCK", "LOCKED")]


@pytest.mark.rts("4(4)")
def test_a_new_activation_is_the_way_back_from_a_lock(world: World, database: Connections) -> None:
    """RTS article 4(4)."""
    subject, device = world.bind()
    for _ in range(2):
        world.store.reserve_try(world.rp, device.id, max_failures=2)
    world.store.lock_if_spent(world.rp, device.id, max_failures=2, at=NOW)
    _, fresh = world.bind(subject)
    assert world.failures(database, fresh) == (0, 0)
    assert world.store.reserve_try(world.rp, fresh.id, max_failures=2)
    assert not world.store.reserve_try(world.rp, device.id, max_failures=2), "the old one stays locked"


@pytest.mark.rts("27")
def test_revocation_lists_the_certificate(world: World, database: Connections) -> None:
    subject, device = world.bind()
    transaction = world.pending(subject, device)
    serial = x509.load_der_x509_certificate(device.certificate).serial_number
    assert world.store.revoke(world.rp, device.id, at=NOW)
    assert not world.store.revoke(world.rp, device.id, at=NOW + SECOND)
    assert [entry for entry in world.store.revoked(ca_id()) if entry[0] == serial] == [(serial, NOW)]
    assert world.events(database, device.id)[1:] == [("REVOKE", "REVOKED")]
    assert not world.store.reserve_try(world.rp, device.id, max_failures=3)
    assert not world.decide(transaction), "it refuses everywhere at once"
    assert world.store.waiting_for(world.rp, device.id, at=NOW) == []
    assert not world.store.claim(world.start(subject), binding_id=device.id, at=NOW)


# transactions


def test_transaction_is_read_as_it_was_stored(world: World, database: Connections) -> None:
    _, subject = world.register()
    given = world.request(subject)
    assert world.store.started(world.rp, "r") is None
    assert world.store.start_transaction(
        given, profile=PROFILE, request_id="r", request_digest=b"1" * 32
    ) == (
        given,
        b"1" * 32,
    )
    assert world.store.transaction(world.rp, given.id) == given
    assert world.store.transaction(world.rp, uuid4()) is None
    assert world.store.started(world.rp, "r") == (given, b"1" * 32)
    again = world.store.start_transaction(
        world.request(subject), profile=PROFILE, request_id="r", request_digest=b"2" * 32
    )
    assert again == (given, b"1" * 32)
    assert world.store.transaction_states(world.rp, [given.id, uuid4()]) == {given.id: State.REQUESTED}
    assert world.store.transaction_states(world.rp, []) == {}
    assert world.events(database, given.id) == [("START", "REQUESTED")]
    assert len(world.store.take_wakes(world.rp, at=NOW, lease_seconds=5, limit=9)) == 1


def test_no_transaction_for_an_unknown_subject(world: World) -> None:
    subject = world.person(world.registration(), ref="K-1")
    with pytest.raises(NotFound):
        world.store.start_transaction(
            world.request(subject), profile=PROFILE, request_id="r", request_digest=b""
        )


def test_what_waits_for_a_device(world: World) -> None:
    subject, device = world.bind()
    _, other = world.bind(subject)
    stranger, strange_device = world.bind()
    later = world.start(subject, at=NOW + SECOND)
    first = world.start(subject)
    claimed = world.pending(subject, device, at=NOW + 2 * SECOND)
    world.start(stranger)
    world.start(subject, at=NOW - timedelta(minutes=5))  # is over
    at = NOW + 3 * SECOND
    assert world.store.waiting_for(world.rp, device.id, at=at) == [first, later, claimed]
    assert world.store.waiting_for(world.rp, other.id, at=at) == [first, later]
    assert len(world.store.waiting_for(world.rp, strange_device.id, at=at)) == 1
    assert world.store.waiting_for(world.rp, uuid4(), at=at) == []


def test_a_claim_fixes_the_binding(world: World, database: Connections) -> None:
    subject, device = world.bind()
    _, other = world.bind(subject)
    _, stranger = world.bind()
    transaction = world.start(subject)
    assert not world.store.claim(transaction, binding_id=device.id, at=transaction.expires_at)
    assert not world.store.claim(transaction, binding_id=stranger.id, at=NOW)
    assert world.store.claim(transaction, binding_id=device.id, at=NOW)
    assert world.store.claim(transaction, binding_id=device.id, at=NOW + SECOND), "repeated"
    assert not world.store.claim(transaction, binding_id=other.id, at=NOW)
    assert world.load(transaction) == replace(
        transaction, state=State.PENDING, binding_id=device.id, claimed_at=NOW
    )
    assert world.events(database, transaction.id)[1:] == [("CLAIM", "PENDING")]


def test_a_notified_transaction_can_be_claimed_by_who_read_it_before(world: World) -> None:
    subject, device = world.bind()
    transaction = world.start(subject)
    (wake,) = world.store.take_wakes(world.rp, at=NOW, lease_seconds=5, limit=1)
    world.store.wake_sent(wake, at=NOW)
    assert world.store.claim(transaction, binding_id=device.id, at=NOW)


@pytest.mark.parametrize(
    ("decision", "state"),
    [
        (Decision.APPROVED, State.APPROVED),
        (Decision.REJECTED_NOT_ME, State.REJECTED),
        (Decision.REJECTED_CANCELLED, State.REJECTED),
    ],
)
def test_a_decision_is_kept_with_its_assertion(
    world: World, database: Connections, decision: Decision, state: State
) -> None:
    subject, device = world.bind()
    transaction = world.pending(subject, device)
    event = Event.APPROVE if decision is Decision.APPROVED else Event.REJECT
    given = answer(decision)
    assert world.store.assertion(world.rp, transaction.id) is None
    decide = lambda: world.store.decide(  # noqa: E731
        transaction,
        event=event,
        assertion=given,
        acr="urn:acr",
        amr=("swk", "pin"),
        failed_attempts=2,
        lock=False,
        at=NOW + SECOND,
    )
    assert decide()
    assert not decide()
    assert world.load(transaction) == replace(
        transaction,
        state=state,
        decided_at=NOW + SECOND,
        decision=decision,
        acr="urn:acr",
        amr=("swk", "pin"),
        failed_attempts=2,
    )
    assert world.store.assertion(world.rp, transaction.id) == replace(given, pin_signature=None)
    assert world.events(database, transaction.id)[2:] == [(event, state)]


def test_only_a_verified_pin_sets_the_failures_back(world: World, database: Connections) -> None:
    """Else a thief who has the phone alone would wash failed PIN tries away by saying no."""
    subject, device = world.bind()
    for _ in range(3):
        world.store.reserve_try(world.rp, device.id, max_failures=5)
    refused = world.pending(subject, device)
    assert world.decide(refused, decision=Decision.REJECTED_NOT_ME, amr=("swk",))
    assert world.failures(database, device) == (3, 3), "saying no washes nothing away"
    assert not world.decide(refused, amr=("swk", "pin"))
    assert world.failures(database, device) == (3, 3), "a decision that loses changes nothing"
    assert world.decide(world.pending(subject, device), amr=("swk", "pin"))
    assert world.failures(database, device) == (0, 0)


def test_no_decision_past_the_end_nor_by_an_unclaimed_or_other_device(world: World) -> None:
    subject, device = world.bind()
    _, other = world.bind(subject)
    transaction = world.pending(subject, device)
    assert not world.decide(transaction, at=transaction.expires_at)
    assert not world.decide(replace(transaction, binding_id=other.id))
    assert not world.decide(replace(transaction, binding_id=None))
    with pytest.raises(TransactionNotPending):
        world.decide(world.start(subject))
    with pytest.raises(MisuseError):
        world.store.decide(
            transaction,
            event=Event.SEAL,
            assertion=answer(),
            acr="",
            amr=(),
            failed_attempts=0,
            lock=False,
            at=NOW,
        )
    assert world.load(transaction) == transaction


@pytest.mark.parametrize(("event", "state"), [(Event.CANCEL, State.CANCELLED), (Event.BLOCK, State.BLOCKED)])
def test_a_transaction_can_end_otherwise(
    world: World, database: Connections, event: Event, state: State
) -> None:
    _, subject = world.register()
    transaction = world.start(subject)
    assert world.store.finish(transaction, event=event, reason="because-of", at=NOW)
    assert not world.store.finish(transaction, event=event, reason="because-of", at=NOW)
    assert world.load(transaction) == replace(transaction, state=state)
    assert world.events(database, transaction.id)[1:] == [(event, state)]
    with pytest.raises(TransactionNotPending):
        world.store.finish(world.load(transaction), event=Event.CANCEL, reason="", at=NOW)


def test_expiry_waits_for_the_end(world: World) -> None:
    _, subject = world.register()
    transaction = world.start(subject)
    early = transaction.expires_at - SECOND
    assert not world.store.finish(transaction, event=Event.EXPIRE, reason="time", at=early)
    assert world.store.finish(transaction, event=Event.EXPIRE, reason="time", at=transaction.expires_at)
    assert world.load(transaction).state is State.EXPIRED


def test_what_signs_is_not_completed_without_evidence(world: World) -> None:
    subject, device = world.bind()
    signed = world.approved(subject, device)
    with pytest.raises(MisuseError):
        world.store.finish(signed, event=Event.COMPLETE, reason="", at=NOW)
    assert world.load(signed) == signed
    authorised = world.approved(subject, device, kind=Kind.AUTHORISATION)
    assert world.store.finish(authorised, event=Event.COMPLETE, reason="", at=NOW)
    assert world.load(authorised).state is State.COMPLETED
    for event in (Event.SEAL, Event.CLAIM, Event.NOTIFY, Event.APPROVE, Event.REJECT):
        with pytest.raises(MisuseError):
            world.store.finish(world.pending(subject, device), event=event, reason="", at=NOW)


# evidence


def test_evidence_is_stored_with_the_completion(world: World, database: Connections) -> None:
    subject, device = world.bind()
    transaction = world.approved(subject, device)
    evidence = world.evidence(transaction, b"\x00\xff<Evidence/>")
    assert world.store.evidence(world.rp, transaction.id) is None
    assert world.store.complete(transaction, evidence=evidence, at=NOW)
    assert not world.store.complete(transaction, evidence=world.evidence(transaction), at=NOW)
    assert world.store.evidence(world.rp, transaction.id) == evidence
    assert world.load(transaction) == replace(transaction, state=State.COMPLETED, evidence_id=evidence.id)
    assert world.events(database, transaction.id)[3:] == [("SEAL", "COMPLETED")]


def test_no_evidence_for_what_was_not_approved_or_for_another(world: World) -> None:
    subject, device = world.bind()
    pending = world.pending(subject, device)
    with pytest.raises(TransactionNotPending):
        world.store.complete(pending, evidence=world.evidence(pending), at=NOW)
    rejected = replace(pending, state=State.APPROVED)  # as a caller that is wrong would have it
    assert not world.store.complete(rejected, evidence=world.evidence(rejected), at=NOW)
    assert world.store.evidence(world.rp, pending.id) is None
    approved = world.approved(subject, device)
    with pytest.raises(MisuseError):
        world.store.complete(approved, evidence=world.evidence(pending), at=NOW)


def test_the_highest_level_is_read(world: World, database: Connections) -> None:
    subject, device = world.bind()
    transaction = world.approved(subject, device)
    evidence = world.evidence(transaction)
    assert world.store.complete(transaction, evidence=evidence, at=NOW)
    key = world.store._vault.writing(world.rp, subject_id=subject.id)
    assert key is not None
    for level in ("B-LTA", "B-LT", "B-T"):
        document = level.encode()
        as_superuser(
            database,
            "INSERT INTO evidence VALUES (%s, %s::uuid, %s, %s::uuid, %s::uuid, %s, %s)",
            (
                world.rp,
                str(evidence.id),
                level,
                str(transaction.id),
                str(subject.id),
                key.seal(document, table="evidence", column="document", row=f"{evidence.id}/{level}"),
                NOW,
            ),
        )
    assert world.store.evidence(world.rp, transaction.id) == StoredEvidence(
        world.rp, evidence.id, transaction.id, "B-LTA", b"B-LTA", NOW
    )


# the worker


def test_a_lease_has_one_holder_until_its_end(world: World) -> None:
    name, lease = f"work-{uuid4()}", world.store.lease
    assert lease(name, holder="a", at=NOW, seconds=10)
    assert not lease(name, holder="b", at=NOW + 9 * SECOND, seconds=10)
    assert lease(name, holder="a", at=NOW + 9 * SECOND, seconds=10), "renewed"
    assert not lease(name, holder="b", at=NOW + 18 * SECOND, seconds=10)
    assert lease(name, holder="b", at=NOW + 19 * SECOND, seconds=10)
    assert not lease(name, holder="a", at=NOW + 19 * SECOND, seconds=10)


def test_overdue_and_unsealed(world: World) -> None:
    subject, device = world.bind()
    first = world.start(subject)
    second = world.pending(subject, device, at=NOW + SECOND)
    decided = world.approved(subject, device)
    assert world.store.overdue(world.rp, at=first.expires_at, limit=9) == [first.id]
    assert world.store.overdue(world.rp, at=second.expires_at, limit=9) == [first.id, second.id]
    assert world.store.overdue(world.rp, at=second.expires_at, limit=1) == [first.id]
    assert world.store.unsealed(world.rp, before=NOW, limit=9) == []
    assert world.store.unsealed(world.rp, before=NOW + SECOND, limit=9) == [decided.id]
    assert world.store.unsealed(world.rp, before=NOW + SECOND, limit=0) == []


def test_a_wake_is_leased_and_names_the_active_devices(world: World) -> None:
    subject, _ = world.bind(push_target="token-1")
    world.bind(subject, push_target="token-2")
    world.bind(subject)
    _, gone = world.bind(subject, push_target="token-3")
    world.store.revoke(world.rp, gone.id, at=NOW)
    take = world.store.take_wakes
    for alert in take(world.rp, at=NOW, lease_seconds=5, limit=9):
        world.store.wake_sent(alert, at=NOW)
    transaction = world.start(subject)
    assert take(world.rp, at=NOW - SECOND, lease_seconds=5, limit=9) == []
    (wake,) = take(world.rp, at=NOW, lease_seconds=5, limit=9)
    assert (wake.transaction_id, wake.attempts) == (transaction.id, 1)
    assert sorted(wake.push_targets) == ["token-1", "token-2"]
    assert take(world.rp, at=NOW + 4 * SECOND, lease_seconds=5, limit=9) == []
    assert take(world.rp, at=NOW + 5 * SECOND, lease_seconds=5, limit=9) == [replace(wake, attempts=2)]
    world.store.wake_failed(wake, retry_at=NOW + 60 * SECOND)
    assert take(world.rp, at=NOW + 59 * SECOND, lease_seconds=5, limit=9) == []
    assert len(take(world.rp, at=NOW + 60 * SECOND, lease_seconds=5, limit=9)) == 1


def test_a_wake_that_was_sent_notifies_and_goes(world: World, database: Connections) -> None:
    _, subject = world.register()
    transaction = world.start(subject)
    (wake,) = world.store.take_wakes(world.rp, at=NOW, lease_seconds=5, limit=9)
    assert wake.push_targets == ()
    world.store.wake_sent(wake, at=NOW)
    world.store.wake_sent(wake, at=NOW)
    assert world.load(transaction).state is State.PENDING
    assert world.events(database, transaction.id)[1:] == [("NOTIFY", "PENDING")]
    assert world.store.take_wakes(world.rp, at=NOW + 60 * SECOND, lease_seconds=5, limit=9) == []


def test_nobody_is_woken_for_what_has_ended_or_is_claimed(world: World, database: Connections) -> None:
    subject, device = world.bind()
    cancelled, over = world.start(subject), world.start(subject)
    world.pending(subject, device)
    world.store.finish(cancelled, event=Event.CANCEL, reason="caller", at=NOW)
    assert world.store.take_wakes(world.rp, at=over.expires_at, lease_seconds=5, limit=9) == []
    assert as_superuser(database, "SELECT count(*) FROM wake WHERE relying_party = %s", (world.rp,)) == [(0,)]


def test_the_newest_crl_stands(world: World) -> None:
    latest = world.store.latest_crl(b"ca")
    number = (latest.number if latest else 0) + 2**100
    crl = Crl(b"ca", number, b"der", NOW, NOW + SECOND)
    assert world.store.add_crl(crl)
    assert world.store.add_crl(crl), "this very one"
    assert not world.store.add_crl(replace(crl, der=b"other"))
    assert world.store.latest_crl(b"ca") == crl
    assert world.store.add_crl(replace(crl, number=number + 1))
    assert world.store.latest_crl(b"ca") == replace(crl, number=number + 1)


def test_one_cas_crls_are_nobody_elses(world: World) -> None:
    crl = Crl(b"one ca", 1, b"der", NOW, NOW + SECOND)
    assert world.store.add_crl(crl)
    assert world.store.latest_crl(b"another") is None
    assert world.store.add_crl(replace(crl, issuer=b"another"))
    assert world.store.revoked(b"another") == []


def test_a_recovery_spends_the_code_that_stands_and_no_other(world: World) -> None:
    kept = RecoveryCode(uuid4(), b"r" * 32)
    subject, device = world.bind(part=replace(PART, recovery=kept))
    opened = replace(world.registration(), purpose=RegistrationPurpose.RECOVERY)
    registration, _, _ = world.store.start_registration(
        opened, subject=subject, request_id="r", request_digest=b"d", max_devices=1
    )

    def bind(spent: UUID | None) -> bool:
        return world.store.activate(
            registration,
            binding=world.device(subject),
            push_target=None,
            part=replace(PART, spent=spent),
            max_devices=1,
            at=NOW,
        )

    assert world.store.recovery_code(world.rp, subject.id) == kept
    assert not bind(None)
    assert not bind(uuid4())
    assert world.store.bindings_of(world.rp, subject.id) == [device]
    assert bind(kept.id)
    assert world.store.recovery_code(world.rp, subject.id) is None
