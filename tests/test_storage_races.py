"""Races in the identity store: whatever runs at once, one wins and nothing is counted wrongly."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from uuid import UUID, uuid4

import psycopg2
import pytest
from lost_answers import LostAnswers
from sim import PROFILE
from storage_fixture import NOW, PART, World, as_superuser, at_once, make_store, until

from gateway.core.errors import StoreUnavailable
from gateway.core.model import BindingState, Decision, RegistrationState
from gateway.core.transaction import Event, State
from gateway.ports import Crl
from gateway.storage.embedded import Connections


@pytest.fixture
def world(database: Connections) -> World:
    return World(make_store(database))


@pytest.mark.rts("4(1)")
def test_of_two_decisions_one_wins(world: World, database: Connections) -> None:
    """RTS article 4(1): accepted once."""
    subject, device = world.bind()
    for _ in range(200):
        transaction = world.pending(subject, device)
        approved, rejected = at_once(
            lambda t=transaction: world.decide(t),
            lambda t=transaction: world.decide(t, decision=Decision.REJECTED_NOT_ME),
        )
        assert approved is not rejected
        state = State.APPROVED if approved else State.REJECTED
        assert world.store.transaction_states(world.rp, [transaction.id])[transaction.id] is state
    counted = as_superuser(
        database,
        "SELECT count(*) FROM event WHERE relying_party = %s AND name IN ('APPROVE', 'REJECT')",
        (world.rp,),
    )
    assert counted == [(200,)]


def test_a_decision_and_an_expiry_exclude_each_other(world: World) -> None:
    subject, device = world.bind()
    for _ in range(30):
        transaction = world.pending(subject, device)
        decided, cancelled = at_once(
            lambda t=transaction: world.decide(t),
            lambda t=transaction: world.store.finish(t, event=Event.CANCEL, reason="caller", at=NOW),
        )
        assert decided is not cancelled


@pytest.mark.rts("4(3)(b)")
def test_twenty_tries_at_once_count_as_three(world: World, database: Connections) -> None:
    """RTS article 4(3)(b)."""
    subject, device = world.bind()
    _, other = world.bind(subject)
    tries = [
        lambda d=d: world.store.reserve_try(world.rp, d.id, max_failures=3) for d in (device, other) * 10
    ]
    assert sum(counted is not None for counted in at_once(*tries)) == 3
    own, of_subject = world.failures(database, device)
    assert (own + world.failures(database, other)[0], of_subject) == (3, 3)


def test_tries_and_their_return_at_once_leave_no_trace(world: World, database: Connections) -> None:
    subject, device = world.bind()
    _, other = world.bind(subject)

    def one(device_id: object) -> None:
        if world.store.reserve_try(world.rp, device_id, max_failures=5):  # type: ignore[arg-type]
            world.store.release_try(world.rp, device_id)  # type: ignore[arg-type]

    at_once(*[lambda d=d: one(d.id) for d in (device, other) * 8])
    assert world.failures(database, device) == world.failures(database, other) == (0, 0)


@pytest.mark.rts("4(3)(b)", "24")
def test_twenty_activation_tries_at_once_count_as_three(world: World) -> None:
    registration, _ = world.register()
    found = at_once(
        *[
            lambda: world.store.reserve_activation_try(
                world.rp, registration.activation_id, max_failures=3, at=NOW
            )
        ]
        * 20
    )
    assert sorted(r.failures for r in found if r is not None) == [1, 2, 3]


@pytest.mark.rts("24")
def test_one_registration_activates_once(world: World) -> None:
    registration, subject = world.register()
    devices = [world.device(subject) for _ in range(6)]
    done = at_once(
        *[
            lambda d=d: world.store.activate(
                registration, binding=d, push_target=None, part=PART, max_devices=99, at=NOW
            )
            for d in devices
        ]
    )
    assert done.count(True) == 1
    assert world.store.bindings_of(world.rp, subject.id) == [devices[done.index(True)]]


def test_parallel_starts_with_one_request_id_are_one_transaction(world: World, database: Connections) -> None:
    _, subject = world.register()
    for _ in range(10):
        request_id = str(uuid4())
        standing = at_once(
            *[
                lambda r=request_id: world.store.start_transaction(
                    world.request(subject), profile=PROFILE, request_id=r, request_digest=b"d"
                )
            ]
            * 6
        )
        assert len({transaction.id for transaction, _ in standing}) == 1
    for table in ("transaction", "event", "wake"):
        counted = as_superuser(
            database,
            f"SELECT count(*) FROM {table} WHERE relying_party = %s"
            + (" AND entity = 'transaction'" if table == "event" else ""),
            (world.rp,),
        )
        assert counted == [(10,)], table


def test_parallel_registrations_of_one_new_ref_are_one_subject(world: World, database: Connections) -> None:
    for _ in range(10):
        ref = str(uuid4())
        standing = at_once(*[lambda r=ref: world.register(ref=r)] * 6)
        assert len({subject.id for _, subject in standing}) == 1
        assert len({registration.id for registration, _ in standing}) == 6
        assert {registration.subject_id for registration, _ in standing} == {standing[0][1].id}
    counted = as_superuser(database, "SELECT count(*) FROM subject WHERE relying_party = %s", (world.rp,))
    assert counted == [(10,)]


def test_parallel_registrations_with_one_request_id_leave_one_subject(
    world: World, database: Connections
) -> None:
    standing = at_once(*[lambda: world.register(request_id="r")] * 8)  # each another externalRef
    assert len({registration.id for registration, _ in standing}) == 1
    assert len({subject.id for _, subject in standing}) == 1
    counted = as_superuser(database, "SELECT count(*) FROM subject WHERE relying_party = %s", (world.rp,))
    assert counted == [(1,)]


def test_one_device_claims(world: World) -> None:
    subject, device = world.bind()
    _, other = world.bind(subject)
    for _ in range(20):
        transaction = world.start(subject)
        claims = [
            lambda d=d, t=transaction: world.store.claim(t, binding_id=d.id, at=NOW)
            for d in (device, device, other, other)
        ]
        first, again, second, second_again = at_once(*claims)
        assert first is again is not second is second_again
        assert world.load(transaction).binding_id == (device.id if first else other.id)


def test_two_completions_leave_one_evidence(world: World, database: Connections) -> None:
    subject, device = world.bind()
    for _ in range(20):
        transaction = world.approved(subject, device)
        given = [world.evidence(transaction, document) for document in (b"one", b"two")]
        done = at_once(
            *[lambda e=e, t=transaction: world.store.complete(t, evidence=e, at=NOW) for e in given]
        )
        assert sorted(done) == [False, True]
        assert world.store.evidence(world.rp, transaction.id) == given[done.index(True)]
    counted = as_superuser(database, "SELECT count(*) FROM evidence WHERE relying_party = %s", (world.rp,))
    assert counted == [(20,)]


@pytest.mark.rts("27")
def test_a_revoked_device_does_not_decide_afterwards(world: World) -> None:
    subject, _ = world.bind()
    for _ in range(20):
        _, device = world.bind(subject)
        transaction = world.pending(subject, device)
        decided, revoked = at_once(
            lambda t=transaction: world.decide(t),
            lambda d=device: world.store.revoke(world.rp, d.id, at=NOW),
        )
        assert revoked
        assert not world.decide(transaction)
        assert world.load(transaction).state is (State.APPROVED if decided else State.BLOCKED)


def test_each_wake_is_taken_once(world: World) -> None:
    _, subject = world.register()
    started = {world.start(subject).id for _ in range(20)}
    taken = at_once(*[lambda: world.store.take_wakes(world.rp, at=NOW, lease_seconds=60, limit=5)] * 6)
    ids = [wake.transaction_id for wakes in taken for wake in wakes]
    assert len(ids) == len(set(ids))
    rest = world.store.take_wakes(world.rp, at=NOW, lease_seconds=60, limit=99)
    assert {*ids, *(wake.transaction_id for wake in rest)} == started


def test_one_of_many_takes_the_lease_and_one_number_one_crl(world: World) -> None:
    name = str(uuid4())
    holders = [lambda h=h: world.store.lease(name, holder=h, at=NOW, seconds=9) for h in "abcdef"]
    assert at_once(*holders).count(True) == 1
    number = uuid4().int >> 8
    crls = [
        lambda d=d: world.store.add_crl(Crl(b"ca", number, d, NOW, NOW.replace(year=2027)))
        for d in (b"a", b"b", b"c")
    ]
    assert at_once(*crls).count(True) == 1


@pytest.mark.rts("7")
def test_one_of_many_sees_a_nonce_first(world: World) -> None:
    _, device = world.bind()
    seen = at_once(*[lambda: world.store.remember_nonce(world.rp, device.id, "n", expires_at=NOW)] * 8)
    assert seen.count(True) == 1


def test_one_of_many_sees_a_message_first_and_each_caller_has_its_own(world: World) -> None:
    seen = at_once(*[lambda: world.store.remember_message(world.rp, "core", b"m" * 32, expires_at=NOW)] * 8)
    assert seen.count(True) == 1
    assert world.store.knows_message(world.rp, "core", b"m" * 32)
    assert not world.store.knows_message(world.rp, "another", b"m" * 32)
    assert not world.store.knows_message(world.rp, "core", b"n" * 32)
    assert world.store.remember_message(world.rp, "another", b"m" * 32, expires_at=NOW)
    assert world.store.forget_nonces(world.rp, at=NOW) == 2
    assert world.store.remember_message(world.rp, "core", b"m" * 32, expires_at=NOW)


# What another session is in the middle of, step by step.


@contextmanager
def in_the_middle(database: Connections, statement: str, *ids: UUID) -> Iterator[Callable[[], None]]:
    """A transaction that has run the statement; yields how to wait until somebody stands behind it."""
    with closing(psycopg2.connect(database.superuser_dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(statement, tuple(map(str, ids)))

        def somebody_waits() -> None:
            until(
                lambda: bool(
                    as_superuser(
                        database,
                        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                        " AND usename = 'gateway_app'",
                    )
                )
            )

        yield somebody_waits
        connection.commit()


@pytest.mark.rts("4(3)(b)")
def test_a_try_sees_the_one_before_it(world: World, database: Connections) -> None:
    """Also one on another device of the subject."""
    subject, device = world.bind()
    with ThreadPoolExecutor(1) as threads:
        with in_the_middle(
            database, "UPDATE subject SET failures = 3 WHERE id = %s::uuid", subject.id
        ) as somebody_waits:
            tried = threads.submit(world.store.reserve_try, world.rp, device.id, max_failures=3)
            somebody_waits()
        assert tried.result() is None
    assert world.failures(database, device) == (0, 3)


@pytest.mark.rts("27")
def test_a_decision_sees_the_revocation_before_it(world: World, database: Connections) -> None:
    subject, device = world.bind()
    transaction = world.pending(subject, device)
    with ThreadPoolExecutor(1) as threads:
        with in_the_middle(
            database,
            "SELECT 1 FROM subject WHERE id = %s::uuid FOR NO KEY UPDATE;"
            " UPDATE binding SET state = 'REVOKED' WHERE id = %s::uuid",
            subject.id,
            device.id,
        ) as somebody_waits:
            decided = threads.submit(world.decide, transaction)
            somebody_waits()
        assert decided.result() is False
    assert world.load(transaction) == transaction


def test_a_wake_that_another_is_taking_is_skipped(world: World, database: Connections) -> None:
    _, subject = world.register()
    taken, free = world.start(subject), world.start(subject)
    with in_the_middle(database, "SELECT 1 FROM wake WHERE transaction_id = %s::uuid FOR UPDATE", taken.id):
        (wake,) = world.store.take_wakes(world.rp, at=NOW, lease_seconds=5, limit=9)
    assert wake.transaction_id == free.id


# A server that did it, and a connection that broke before it could say so.


@pytest.fixture
def lost(database: Connections) -> Iterator[LostAnswers]:
    with LostAnswers(database.app_dsn) as proxy:
        yield proxy


def test_what_is_repeated_after_a_lost_answer_finds_what_it_did(
    world: World, database: Connections, lost: LostAnswers
) -> None:
    near, far = world, World(make_store(database, dsn=lost.dsn), world.rp)
    with lost.next_answer():
        registration, subject = far.register(ref="K-1")
    assert near.events(database, registration.id) == [("START", "PENDING")]
    artifact = secrets.token_bytes(32)
    issued = replace(near.registration(), state=RegistrationState.ISSUED)
    near.store.start_registration(
        issued,
        subject=subject,
        request_id="artifact",
        request_digest=b"d",
        max_devices=9,
        artifact_sha256=artifact,
    )
    with lost.next_answer():
        assert far.store.redeem_artifact(far.rp, artifact, expires_at=NOW.replace(year=2027), at=NOW)
    assert far.store.redeem_artifact(far.rp, artifact, expires_at=NOW.replace(year=2027), at=NOW) is None
    device = near.device(subject)
    with lost.next_answer():
        assert far.store.activate(
            registration, binding=device, push_target=None, part=PART, max_devices=99, at=NOW
        )
    with lost.next_answer():
        transaction = far.start(subject)
    assert len(near.store.take_wakes(near.rp, at=NOW, lease_seconds=1, limit=9)) == 1
    with lost.next_answer():
        assert far.store.claim(transaction, binding_id=device.id, at=NOW)
    with lost.next_answer():
        assert far.decide(near.load(transaction))
    approved = near.load(transaction)
    with lost.next_answer():
        assert far.store.complete(approved, evidence=near.evidence(approved), at=NOW)
    assert [name for name, _ in near.events(database, transaction.id)] == [
        "START",
        "CLAIM",
        "APPROVE",
        "SEAL",
    ]
    withdrawn = near.start(subject)
    with lost.next_answer():
        assert far.store.finish(withdrawn, event=Event.CANCEL, reason="", at=NOW)
    with lost.next_answer():
        assert far.store.remember_nonce(far.rp, device.id, "n", expires_at=NOW)
    with lost.next_answer():
        assert not far.store.knows_message(far.rp, "core", b"m" * 32)
        assert far.store.remember_message(far.rp, "core", b"m" * 32, expires_at=NOW)
    with lost.next_answer():
        assert far.store.add_crl(Crl(b"ca", uuid4().int >> 8, b"der", NOW, NOW.replace(year=2027)))
    with lost.next_answer():
        assert far.store.revoke(far.rp, device.id, at=NOW)
    found = near.store.binding(near.rp, device.id)
    assert found is not None
    assert found.state is BindingState.REVOKED
    assert lost.count == 12


def test_a_try_is_never_given_back_twice(world: World, database: Connections, lost: LostAnswers) -> None:
    _, device = world.bind()
    for _ in range(3):
        world.store.reserve_try(world.rp, device.id, max_failures=5)
    far = make_store(database, dsn=lost.dsn)
    with lost.next_answer(), pytest.raises(StoreUnavailable):
        far.release_try(world.rp, device.id)
    assert world.failures(database, device) == (2, 2)
    with lost.next_answer():
        assert far.reserve_try(world.rp, device.id, max_failures=5)
    assert world.failures(database, device) == (4, 4), "counted twice: that way no failure is lost"


def test_everything_at_once_on_one_subject(world: World) -> None:
    """No deadlock comes to the surface."""
    subject, device = world.bind()
    stop = threading.Event()

    def tries() -> None:
        while not stop.is_set():
            if world.store.reserve_try(world.rp, device.id, max_failures=5):
                world.store.release_try(world.rp, device.id)

    def walks() -> None:
        for _ in range(15):
            transaction = world.approved(subject, device)
            assert world.store.complete(transaction, evidence=world.evidence(transaction), at=NOW)

    def registers() -> None:
        for _ in range(15):
            _, other = world.bind(subject)
            assert world.store.revoke(world.rp, other.id, at=NOW)

    def work() -> None:
        try:
            at_once(walks, walks, registers)
        finally:
            stop.set()

    at_once(tries, tries, work)
    assert world.store.subject(world.rp, subject.id) == subject
