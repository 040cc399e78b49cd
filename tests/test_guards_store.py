"""Guards of the store: each test falls when one condition is gone that nothing else holds.

Whatever is done to one row is done among neighbours that differ from it in nothing but their ids.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest
from cryptography import x509
from sim import PROFILE
from storage_fixture import (
    INDEX_SECRET,
    KEYS,
    NOW,
    PART,
    World,
    answer,
    as_superuser,
    ca_id,
    make_store,
    until,
)

from gateway.core.errors import Conflict, MisuseError, RequestIdReused
from gateway.core.model import Decision, DeviceBinding, FailedTry, IdentityAttribute, Registration, Subject
from gateway.core.transaction import Event, State, Transaction
from gateway.ports import Crl
from gateway.storage.embedded import Connections
from gateway.storage.pool import Pool
from gateway.storage.queries import Vault

SECOND = timedelta(seconds=1)


@dataclass
class Home:
    """One subject with a device, and of each kind of thing two."""

    world: World

    def __post_init__(self) -> None:
        world = self.world
        self.subject, self.device = world.bind(push_target=f"token-{uuid4()}")
        _, self.second = world.bind(self.subject)
        for device in (self.device, self.second):
            assert world.store.reserve_try(world.rp, device.id, max_failures=5)
        self.registrations = [world.register(ref=self.subject.external_ref)[0] for _ in range(2)]
        self.started = [world.start(self.subject) for _ in range(2)]
        self.pending = [world.pending(self.subject, self.device) for _ in range(2)]
        self.approved = [self.load(world.pending(self.subject, self.device), amr=("swk",)) for _ in range(2)]

    def load(self, transaction: Transaction, *, amr: tuple[str, ...]) -> Transaction:
        assert self.world.decide(transaction, amr=amr)
        return self.world.load(transaction)


@dataclass
class Street:
    world: World

    def __post_init__(self) -> None:
        self.before, self.mine, self.after = (Home(self.world) for _ in range(3))


@pytest.fixture
def world(database: Connections) -> World:
    return World(make_store(database))


@pytest.fixture
def street(world: World) -> Street:
    return Street(world)


def erase(database: Connections, subject: Subject) -> None:
    as_superuser(database, "DELETE FROM subject_key WHERE subject_id = %s::uuid", (str(subject.id),))


# what is changed


TABLES = ("subject", "registration", "binding", "transaction", "wake", "evidence", "nonce", "subject_key")


def rows_of(database: Connections, world: World) -> set[str]:
    found: set[str] = set()
    for table in TABLES:
        query = f"SELECT to_jsonb(x)::text FROM {table} x WHERE relying_party = %s"
        found |= {f"{table} {row}" for (row,) in as_superuser(database, query, (world.rp,))}
    return found


Change = Callable[[World, Home], object]


def take_one(world: World, home: Home) -> Any:
    wakes = world.store.take_wakes(world.rp, at=NOW, lease_seconds=5, limit=99)
    return next(wake for wake in wakes if wake.transaction_id == home.started[0].id)


def changes() -> dict[str, tuple[Change, Callable[[Home], list[Any]]]]:
    """By name: what is done, and whose rows it may change."""

    def of(world: World) -> dict[str, Any]:
        return {"relying_party": world.rp, "at": NOW}

    return {
        "register-again": (
            lambda w, h: w.register(ref=h.subject.external_ref, attributes=(IdentityAttribute("a", "b"),)),
            lambda h: [h.subject],
        ),
        "try-activation": (
            lambda w, h: w.store.reserve_activation_try(
                w.rp, h.registrations[0].activation_id, max_failures=3, at=NOW
            ),
            lambda h: [h.registrations[0]],
        ),
        "activate": (
            lambda w, h: w.store.activate(
                h.registrations[0],
                binding=w.device(h.subject),
                push_target=None,
                part=PART,
                max_devices=9,
                at=NOW,
            ),
            lambda h: [h.registrations[0], h.subject],
        ),
        "block": (
            lambda w, h: w.store.block_registration(
                at=NOW, relying_party=w.rp, registration_id=h.registrations[0].id
            ),
            lambda h: [h.registrations[0]],
        ),
        "try": (
            lambda w, h: w.store.reserve_try(w.rp, h.device.id, max_failures=5),
            lambda h: [h.device, h.subject],
        ),
        "try-back": (
            lambda w, h: w.store.release_try(w.rp, h.device.id) is None,
            lambda h: [h.device, h.subject],
        ),
        "lock": (
            lambda w, h: w.store.lock_if_spent(max_failures=1, binding_id=h.device.id, **of(w)),
            lambda h: [h.device],
        ),
        "revoke": (
            lambda w, h: w.store.revoke(binding_id=h.device.id, **of(w)),
            lambda h: [h.device, *h.pending],
        ),
        "claim": (
            lambda w, h: w.store.claim(h.started[0], binding_id=h.device.id, at=NOW),
            lambda h: [h.started[0]],
        ),
        "decide": (
            lambda w, h: w.decide(h.pending[0]),
            lambda h: [h.pending[0], h.device, h.subject],
        ),
        "cancel": (
            lambda w, h: w.store.finish(h.started[0], event=Event.CANCEL, reason="", at=NOW),
            lambda h: [h.started[0]],
        ),
        "complete": (
            lambda w, h: w.store.complete(h.approved[0], evidence=w.evidence(h.approved[0]), at=NOW),
            lambda h: [h.approved[0]],
        ),
    }


@pytest.mark.parametrize("name", sorted(changes()))
def test_a_change_of_one_leaves_its_neighbours_alone(
    street: Street, database: Connections, name: str
) -> None:
    change, its_own = changes()[name]
    before = rows_of(database, street.world)
    assert change(street.world, street.mine)
    gone = before - rows_of(database, street.world)
    changed = {json.loads(row.partition(" ")[2])["id"] for row in gone}
    assert changed == {str(row.id) for row in its_own(street.mine)}


@pytest.mark.parametrize("end", ["wake_sent", "wake_failed"])
def test_a_wake_of_one_leaves_its_neighbours_alone(street: Street, database: Connections, end: str) -> None:
    wake = take_one(street.world, street.mine)
    before = rows_of(database, street.world)
    if end == "wake_sent":
        street.world.store.wake_sent(wake, at=NOW)
    else:
        street.world.store.wake_failed(wake, retry_at=NOW + 60 * SECOND)
    gone = before - rows_of(database, street.world)
    changed = {json.loads(row.partition(" ")[2])["id"] for row in gone}
    own = {str(wake.id), str(wake.transaction_id)} if end == "wake_sent" else {str(wake.id)}
    assert changed == own


def test_a_revocation_lists_one_certificate(street: Street) -> None:
    mine, store = street.mine, street.world.store
    listed = {serial for serial, _ in store.revoked(ca_id())}
    assert store.revoke(street.world.rp, mine.device.id, at=NOW)
    serial = x509.load_der_x509_certificate(mine.device.certificate).serial_number
    assert {serial for serial, _ in store.revoked(ca_id())} - listed == {serial}
    assert store.revoked(b"another ca") == []


def test_a_failed_try_leaves_one_event_and_changes_nothing(street: Street, database: Connections) -> None:
    world, mine = street.world, street.mine
    before = rows_of(database, world)
    world.store.failed_try(world.rp, mine.device.id, reason=FailedTry.APPROVAL, at=NOW)
    world.store.failed_try(world.rp, mine.registrations[0].id, reason=FailedTry.ACTIVATION, at=NOW)
    assert rows_of(database, world) == before
    found = as_superuser(
        database,
        "SELECT entity, entity_id, state, reason, EXISTS (SELECT 1 FROM callback c WHERE c.event_id = e.id)"
        " FROM event e WHERE relying_party = %s AND name = 'FAILTRY' ORDER BY entity",
        (world.rp,),
    )
    assert found == [
        ("binding", mine.device.id, "ACTIVE", "approval", False),
        ("registration", mine.registrations[0].id, "PENDING", "activation", False),
    ], "and no callback tells the bank of it"


# what is read


def test_each_is_read_as_itself(street: Street) -> None:
    world, store = street.world, street.world.store
    for home in (street.before, street.mine, street.after):
        for registration in home.registrations:
            assert store.registration(world.rp, registration.id) == registration
        for device in (home.device, home.second):
            assert store.binding(world.rp, device.id) == replace(device, failures=1)
        assert {device.id for device in store.bindings_of(world.rp, home.subject.id)} == {
            home.device.id,
            home.second.id,
        }
        assert store.subject(world.rp, home.subject.id) == home.subject
        assert store.subject_by_ref(world.rp, home.subject.external_ref) == home.subject
        for transaction in (*home.started, *home.pending, *home.approved):
            assert store.transaction(world.rp, transaction.id) == transaction
            states = store.transaction_states(world.rp, [transaction.id])
            assert states == {transaction.id: transaction.state}
        waits = {transaction.id for transaction in store.waiting_for(world.rp, home.device.id, at=NOW)}
        assert waits == {transaction.id for transaction in (*home.started, *home.pending)}


def test_each_assertion_and_evidence_is_of_its_transaction(street: Street) -> None:
    world, store = street.world, street.world.store
    for home in (street.before, street.mine):
        for transaction in home.approved:
            evidence = world.evidence(transaction, str(transaction.id).encode())
            assert store.complete(transaction, evidence=evidence, at=NOW)
    for home in (street.before, street.mine):
        read = [store.assertion(world.rp, transaction.id) for transaction in home.approved]
        assert read[0] is not None
        assert read[0] != read[1]
        for transaction in home.approved:
            found = store.evidence(world.rp, transaction.id)
            assert found is not None
            assert found.document == str(transaction.id).encode()
        assert store.assertion(world.rp, home.pending[0].id) is None


def test_who_has_not_read_a_key_fetches_the_right_one(world: World, database: Connections) -> None:
    subjects = [world.register()[1] for _ in range(2)]
    for subject in subjects:
        fresh = World(make_store(database), world.rp)
        assert World(make_store(database), world.rp).load(fresh.start(subject)).subject_id == subject.id


def test_only_so_many_keys_are_remembered(world: World, database: Connections) -> None:
    asked: list[str] = []

    class Asked(Pool):
        def run(self, *args: Any, **kwargs: Any) -> Any:
            asked.append(args[1])
            return super().run(*args, **kwargs)

    vault = Vault(Asked(database.app_dsn, size=1), keyring=KEYS, index_secret=INDEX_SECRET)

    def read(subject_id: UUID) -> None:
        _, wrapped = vault.new(world.rp, subject_id=subject_id)
        vault.reading(world.rp, subject_id=subject_id, wrapped=wrapped)

    first, second = uuid4(), uuid4()
    for subject_id in (first, second, *(uuid4() for _ in range(4095))):
        read(subject_id)
    assert vault.writing(world.rp, subject_id=second) is not None
    assert asked == []
    assert vault.writing(world.rp, subject_id=first) is None, "forgotten, and nowhere in the database"
    assert len(asked) == 1


# erased meanwhile


@contextmanager
def between(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> Iterator[None]:
    """Something happens after the first message of what is done."""
    run, messages = Pool.run, [0]

    def counted(self: Pool, *args: Any, **kwargs: Any) -> Any:
        messages[0] += 1
        if messages[0] == 2:
            happens()
        return run(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(Pool, "run", counted)
        yield


def test_who_is_erased_while_registering_again_is_somebody_new(
    world: World, database: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, known = world.register()
    with between(monkeypatch, lambda: erase(database, known)):
        _, again = world.register(ref=known.external_ref)
    assert again.id != known.id


def test_a_ref_that_is_taken_each_time_is_a_conflict(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Pool.run

    def taken(self: Pool, relying_party: str | None, sql: str, *args: Any, **kwargs: Any) -> Any:
        if "INSERT INTO registration" in sql:
            raise Conflict()
        return run(self, relying_party, sql, *args, **kwargs)

    monkeypatch.setattr(Pool, "run", taken)
    with pytest.raises(Conflict):
        world.register()


def test_a_request_id_that_an_erased_subject_used_is_used_up(world: World, database: Connections) -> None:
    (_, gone), (_, other) = world.register(), world.register()
    world.store.start_transaction(
        world.request(gone), profile=PROFILE, request_id="r", request_digest=b"d" * 32
    )
    erase(database, gone)
    with pytest.raises(RequestIdReused):
        world.store.start_transaction(
            world.request(other), profile=PROFILE, request_id="r", request_digest=b"d" * 32
        )


def test_what_an_erased_subject_left_is_nobodys_work(street: Street, database: Connections) -> None:
    mine, store, rp = street.mine, street.world.store, street.world.rp
    erase(database, mine.subject)
    late = NOW + timedelta(days=1)
    own = {row.id for row in (*mine.started, *mine.pending, *mine.approved)}
    for left in (store.overdue(rp, at=late, limit=99), store.unsealed(rp, before=late, limit=99)):
        assert left
        assert not own & set(left)


# locks


LOCKING: dict[str, Callable[[World, Home], object]] = {
    name: changes()[name][0] for name in ("activate", "try", "try-back", "lock", "revoke", "decide")
}
"""What takes the subject's row lock first."""


@contextmanager
def held(database: Connections, *subjects: Subject) -> Iterator[None]:
    """Somebody else is at work on these subjects."""
    with closing(psycopg2.connect(database.superuser_dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM subject WHERE id = ANY(%s::uuid[]) FOR NO KEY UPDATE",
            ([str(subject.id) for subject in subjects],),
        )
        yield


@pytest.mark.parametrize("name", sorted(LOCKING))
def test_nobody_waits_for_a_neighbour(street: Street, database: Connections, name: str) -> None:
    with held(database, street.before.subject, street.after.subject):
        assert LOCKING[name](street.world, street.mine)


@pytest.mark.parametrize("name", sorted(LOCKING))
def test_the_subject_is_locked_before_anything_else(street: Street, database: Connections, name: str) -> None:
    """Who waits for it holds nothing that the one it waits for may want."""
    mine = street.mine
    with ThreadPoolExecutor(1) as threads:
        with held(database, mine.subject):
            done = threads.submit(LOCKING[name], street.world, mine)
            until(
                lambda: bool(
                    as_superuser(
                        database,
                        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                        " AND usename = 'gateway_app'",
                    )
                )
            )
            for table in ("registration", "binding", "transaction"):
                as_superuser(
                    database,
                    f"SELECT 1 FROM {table} WHERE subject_id = %s::uuid FOR UPDATE NOWAIT",
                    (str(mine.subject.id),),
                )
        assert done.result()


# what must hold


def test_a_registration_is_activated_for_its_own_subject_alone(street: Street) -> None:
    registration: Registration = street.mine.registrations[0]
    other = street.after.subject
    wrong = replace(registration, subject_id=other.id)
    device = street.world.device(other)
    assert not street.world.store.activate(
        wrong, binding=device, push_target=None, part=PART, max_devices=9, at=NOW
    )


def test_tries_of_a_neighbour_are_nobody_elses(street: Street) -> None:
    world, store = street.world, street.world.store
    for _ in range(2):
        assert store.reserve_try(world.rp, street.mine.device.id, max_failures=4)
    assert store.reserve_try(world.rp, street.mine.second.id, max_failures=4) is None, "4 of the subject"
    assert not store.lock_if_spent(world.rp, street.after.device.id, max_failures=4, at=NOW)
    assert store.lock_if_spent(world.rp, street.mine.second.id, max_failures=4, at=NOW)


def test_a_new_device_gives_a_spent_one_no_more_tries(world: World) -> None:
    """The subject's count begins anew, the device's own does not; nobody had locked it yet."""
    subject, device = world.bind()
    for _ in range(2):
        assert world.store.reserve_try(world.rp, device.id, max_failures=2)
    _, fresh = world.bind(subject)
    assert world.store.reserve_try(world.rp, device.id, max_failures=2) is None
    assert world.store.reserve_try(world.rp, fresh.id, max_failures=2)


def test_an_active_device_does_not_stand_for_one_that_is_not(street: Street) -> None:
    world, mine = street.world, street.mine
    assert world.store.revoke(world.rp, mine.device.id, at=NOW)
    assert not world.decide(mine.pending[0])
    assert not world.store.claim(mine.started[0], binding_id=mine.device.id, at=NOW)


def test_only_what_waits_is_claimed(street: Street) -> None:
    world, mine = street.world, street.mine

    def claimed(transaction: Transaction, device: DeviceBinding, *, after: timedelta = timedelta()) -> bool:
        return world.store.claim(transaction, binding_id=device.id, at=NOW + after)

    assert world.store.finish(mine.started[0], event=Event.CANCEL, reason="", at=NOW)
    assert not claimed(mine.started[0], mine.device), "it was withdrawn"
    assert claimed(mine.pending[0], mine.device), "its own"
    assert not claimed(mine.pending[0], mine.second), "another's"
    assert claimed(mine.started[1], mine.second)
    assert not claimed(mine.started[1], mine.device), "that it has claimed others changes nothing"
    assert not claimed(mine.pending[0], mine.device, after=timedelta(minutes=5)), "its time is over"
    as_read = mine.pending[1]
    assert world.decide(as_read, decision=Decision.REJECTED_NOT_ME, amr=("swk",))
    assert not claimed(as_read, mine.device), "decided since it was read"


@pytest.mark.parametrize("event", [Event.CLAIM, Event.NOTIFY, Event.APPROVE, Event.REJECT])
def test_what_has_a_method_of_its_own_is_refused_before_the_database_is_asked(
    street: Street, event: Event
) -> None:
    with pytest.raises(MisuseError, match="a method of its own"):
        street.world.store.finish(street.mine.started[0], event=event, reason="", at=NOW)


def test_a_decision_that_is_none_is_refused_before_the_database_is_asked(street: Street) -> None:
    with pytest.raises(MisuseError, match="approves or rejects"):
        street.world.store.decide(
            street.mine.approved[0],
            event=Event.FAIL,
            assertion=answer(),
            acr="",
            amr=(),
            failed_attempts=0,
            lock=False,
            at=NOW,
        )


def test_what_is_left_to_seal_was_decided(street: Street) -> None:
    world, mine = street.world, street.mine
    assert world.decide(mine.pending[0], decision=Decision.REJECTED_NOT_ME, amr=("swk",))
    left = set(world.store.unsealed(world.rp, before=NOW + SECOND, limit=99))
    homes = (street.before, street.mine, street.after)
    assert left == {row.id for home in homes for row in home.approved} | {mine.pending[0].id}


def test_the_backlog_is_what_is_not_finished(world: World) -> None:
    home = Home(world)
    assert world.store.complete(home.approved[0], evidence=world.evidence(home.approved[0]), at=NOW)
    assert world.store.finish(home.started[0], event=Event.CANCEL, reason="", at=NOW)
    assert world.store.backlog(world.rp) == {
        State.REQUESTED: 1,
        State.PENDING: 2,
        State.APPROVED: 1,
        "WAKES": 7,  # one of them for the first device, which is told of the second
    }


def test_a_wake_that_is_over_takes_no_other_with_it(street: Street) -> None:
    world, mine = street.world, street.mine
    assert world.store.finish(mine.started[0], event=Event.CANCEL, reason="", at=NOW)
    wakes = world.store.take_wakes(world.rp, at=NOW, lease_seconds=5, limit=99)
    homes = (street.before, street.mine, street.after)
    alive = {row.id for home in homes for row in home.started} - {mine.started[0].id}
    assert {wake.transaction_id for wake in wakes} - {None} == alive
    again = world.store.take_wakes(world.rp, at=NOW + 5 * SECOND, lease_seconds=5, limit=99)
    assert {wake.transaction_id for wake in again} - {None} == alive


def test_a_wake_that_is_over_takes_none_with_it_that_is_leased(world: World) -> None:
    take, (_, subject) = world.store.take_wakes, world.register()
    leased = world.start(subject)
    assert len(take(world.rp, at=NOW, lease_seconds=60, limit=9)) == 1
    over = world.start(subject)
    assert world.store.finish(over, event=Event.CANCEL, reason="", at=NOW)
    assert take(world.rp, at=NOW, lease_seconds=60, limit=9) == []
    (wake,) = take(world.rp, at=NOW + 60 * SECOND, lease_seconds=60, limit=9)
    assert wake.transaction_id == leased.id


def test_a_wake_names_its_own_subjects_devices(street: Street) -> None:
    wakes = street.world.store.take_wakes(street.world.rp, at=NOW, lease_seconds=5, limit=99)
    targets = {wake.push_targets for wake in wakes}
    assert len(targets) == 3
    assert all(len(each) == 1 for each in targets)


def test_a_crl_is_there_only_as_it_is(world: World) -> None:
    """Its issuer, its number and its bytes: two of them are not enough."""
    one, another = f"ca {uuid4()}".encode(), f"ca {uuid4()}".encode()
    first = Crl(one, 1, b"first", NOW, NOW + SECOND)
    for crl in (first, replace(first, issuer=another, der=b"other"), replace(first, number=2, der=b"second")):
        assert world.store.add_crl(crl)
    assert not world.store.add_crl(replace(first, issuer=another))
    assert not world.store.add_crl(replace(first, number=2))
    assert not world.store.add_crl(replace(first, der=b"second"))
