"""Managed devices in the store: races, answers that got lost, and what an older database had locked."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from lost_answers import LostAnswers
from psycopg2 import errors
from storage_fixture import NOW, World, as_superuser, at_once, empty_database, make_store

from gateway.core.model import BindingState, DeviceBinding, LockReason, PinResetState
from gateway.core.transaction import State
from gateway.storage.embedded import Connections
from gateway.storage.migrate import FOLDER, migrate

HOW = {"reason": LockReason.LOST, "at": NOW}


@pytest.fixture
def world(database: Connections) -> World:
    return World(make_store(database))


@pytest.fixture
def lost(database: Connections) -> Iterator[LostAnswers]:
    with LostAnswers(database.app_dsn) as proxy:
        yield proxy


def load(world: World, device: DeviceBinding) -> DeviceBinding:
    found = world.store.binding(world.rp, device.id)
    assert found is not None
    return found


def test_what_is_repeated_after_a_lost_answer_finds_what_it_did(
    world: World, database: Connections, lost: LostAnswers
) -> None:
    subject, device = world.bind()
    waiting = world.start(subject)
    far = World(make_store(database, dsn=lost.dsn), world.rp)
    with lost.next_answer():
        assert far.store.rename(device, name="New", **HOW)  # type: ignore[arg-type]
    for change in (far.store.lock, far.store.unlock, far.store.lock_pin, far.store.unlock_pin):
        with lost.next_answer():
            assert change(far.rp, device.id, **HOW)  # type: ignore[arg-type]
    with lost.next_answer():
        assert far.store.change_pin(device, pin_key=b"new", at=NOW)
    with lost.next_answer():
        reset = far.start_pin_reset(device, request_id="r")
    assert reset is not None
    assert reset.state is PinResetState.PENDING
    with lost.next_answer():
        assert far.store.reset_pin(reset, pin_key=b"newer", at=NOW)
    blocked = far.start_pin_reset(device)
    assert blocked is not None
    with lost.next_answer():
        assert far.store.block_pin_reset(blocked, at=NOW)
    with lost.next_answer():
        assert far.store.revoke(far.rp, device.id, at=NOW)
    assert [name for name, _ in world.events(database, device.id)] == [
        *("BIND", "RENAME", "LOCK", "UNLOCK", "LOCKPIN", "UNLOCKPIN", "CHANGEPIN"),
        *("STARTPINRESET", "RESETPIN", "STARTPINRESET", "BLOCKPINRESET", "REVOKE"),
    ]
    assert world.events(database, waiting.id) == [("START", "REQUESTED"), ("BLOCK", "BLOCKED")]
    found = load(world, device)
    assert (found.name, found.keys.pin, found.pin_version) == ("New", b"newer", 2)
    assert found.state is BindingState.REVOKED


@pytest.mark.rts("27")
def test_a_claim_and_a_revocation_leave_nothing_that_is_approved(world: World) -> None:
    """A claim that comes too late waits for its end: nobody can decide it."""
    subject, _ = world.bind()
    for _ in range(20):
        _, device = world.bind(subject)
        transaction = world.start(subject)
        _, revoked = at_once(
            lambda t=transaction, d=device: world.store.claim(t, binding_id=d.id, at=NOW),
            lambda d=device: world.store.revoke(world.rp, d.id, at=NOW),
        )
        assert revoked
        assert world.load(transaction).state in (State.REQUESTED, State.PENDING, State.BLOCKED)
        assert not world.decide(replace(transaction, state=State.PENDING, binding_id=device.id))


def test_of_a_reset_and_a_lock_the_lock_stands(world: World) -> None:
    for _ in range(20):
        _, device = world.bind()
        reset = world.start_pin_reset(device)
        assert reset is not None
        at_once(
            lambda r=reset: world.store.reset_pin(r, pin_key=b"new", at=NOW),
            lambda d=device: world.store.lock(world.rp, d.id, **HOW),  # type: ignore[arg-type]
        )
        found = load(world, device)
        assert (found.state, found.lock_reason) == (BindingState.LOCKED, LockReason.LOST)
        assert not world.store.reset_pin(reset, pin_key=b"newer", at=NOW)


def test_of_two_completions_of_a_reset_one_wins(world: World) -> None:
    _, device = world.bind()
    reset = world.start_pin_reset(device)
    assert reset is not None
    keys = [f"key {n}".encode() for n in range(8)]
    won = at_once(*(lambda k=k: world.store.reset_pin(reset, pin_key=k, at=NOW) for k in keys))
    assert won.count(True) == 1
    found = load(world, device)
    assert (found.keys.pin, found.pin_version) == (keys[won.index(True)], 1)


def test_parallel_starts_leave_one_reset_that_waits(world: World, database: Connections) -> None:
    _, device = world.bind()
    started = at_once(*(lambda: world.start_pin_reset(device) for _ in range(8)))
    assert len({reset.id for reset in started if reset}) == 8
    states = as_superuser(
        database,
        "SELECT state, count(*) FROM pin_reset WHERE binding_id = %s::uuid GROUP BY 1 ORDER BY 1",
        (str(device.id),),
    )
    assert states == [("CANCELLED", 7), ("PENDING", 1)]


def test_everything_at_once_on_one_subject(world: World) -> None:
    """No deadlock comes to the surface."""
    subject, device = world.bind()

    def locks() -> None:
        for _ in range(15):
            world.store.lock(world.rp, device.id, **HOW)  # type: ignore[arg-type]
            world.store.unlock(world.rp, device.id, **HOW)  # type: ignore[arg-type]

    def resets() -> None:
        for _ in range(15):
            if reset := world.start_pin_reset(device):
                world.store.reset_pin(reset, pin_key=b"new", at=NOW)

    def tries() -> None:
        for _ in range(15):
            if world.store.reserve_try(world.rp, device.id, max_failures=5):
                world.store.release_try(world.rp, device.id)

    def walks() -> None:
        for _ in range(15):
            transaction = world.start(subject)
            if world.store.claim(transaction, binding_id=device.id, at=NOW):
                world.decide(world.load(transaction))

    def revokes() -> None:
        for _ in range(15):
            _, other = world.bind(subject)
            assert world.store.revoke(world.rp, other.id, at=NOW)

    at_once(locks, resets, tries, walks, revokes)
    assert load(world, device).state is not BindingState.REVOKED


@pytest.mark.parametrize(
    "change",
    [
        "state = 'LOCKED'",
        "lock_reason = 'lost'",
        "state = 'LOCKED', lock_reason = 'Not a word'",
        "locked_methods = ARRAY['device']",
    ],
)
def test_a_state_without_what_it_needs_cannot_stand(world: World, database: Connections, change: str) -> None:
    _, device = world.bind()
    with pytest.raises(errors.CheckViolation):
        as_superuser(database, f"UPDATE binding SET {change} WHERE id = %s::uuid", (str(device.id),))


def test_what_an_older_version_locked_was_locked_by_failures(database: Connections, tmp_path: Path) -> None:
    (here,) = FOLDER.glob("*_devices.sql")
    for file in FOLDER.glob("*.sql"):
        if file.name < here.name:
            shutil.copy(file, tmp_path)
    der = b"certificate"
    with empty_database(database) as older:
        migrate(older.owner_dsn, folder=tmp_path)
        for bank in ("bank-a", "bank-b"):
            id_ = str(uuid4())
            as_superuser(older, f"INSERT INTO subject VALUES ('{bank}', '{id_}', 's', '', '', 0, now())")
            as_superuser(
                older,
                f"INSERT INTO certificate VALUES ('{bank}', %s, '', 1, %s)",
                (hashlib.sha256(der).digest(), der),
            )
            for state in ("LOCKED", "ACTIVE"):
                as_superuser(
                    older,
                    "INSERT INTO binding (relying_party, id, subject_id, name, platform, state, signing_key,"
                    " transport_key, pin_key, certificate_sha256, attestation_format, attestation_verdict,"
                    f" attestation_object, bound_at) VALUES ('{bank}', gen_random_uuid(), '{id_}', '', '',"
                    f" '{state}', '', '', '', %s, 'none', 'software', '', now())",
                    (hashlib.sha256(der).digest(),),
                )
        migrate(older.owner_dsn)
        found = as_superuser(
            older, "SELECT state, lock_reason, count(*) FROM binding GROUP BY 1, 2 ORDER BY 1"
        )
        assert found == [("ACTIVE", None, 2), ("LOCKED", "failures", 2)]
        forced = as_superuser(older, "SELECT relforcerowsecurity FROM pg_class WHERE relname = 'binding'")
        assert forced == [(True,)]
