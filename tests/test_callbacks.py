"""Callbacks, from the event to a bank's real HTTPS server: what it gets, and in which order."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from bank_events import (  # noqa: F401
    EventBank,
    Received,
    event_bank,
    made_bank,
    made_key,
    made_sandbox,
    sender,
    wait,
    with_callback,
)
from http_message_signatures import HTTPMessageSignaturesException
from live import eventually
from storage_fixture import NOW, World, as_superuser, at_once, make_store, sql
from walk import PIN, Clock, Walk

from gateway import config, metrics
from gateway.composition import CONFIGURATION_VARIABLE, DSN_VARIABLE, build_gateway
from gateway.config import load
from gateway.core.activation import LOWER_UUID
from gateway.core.callback import TYPES, USUAL, Callback
from gateway.core.errors import DeviceNotAuthenticated
from gateway.core.httpsig import CALLBACK_TAG, SignedRequest, sign_callback, verify
from gateway.core.model import BindingState, Decision, RegistrationState, utc_now
from gateway.core.transaction import Event, State
from gateway.outbound.callback import CallbackKey
from gateway.rates import Cells
from gateway.services.callbacks import AT_ONCE, LEASE_SECONDS, CallbackRules, Deliveries, pause_after
from gateway.services.transactions import cancel_transaction
from gateway.storage.embedded import Connections
from gateway.worker import Worker
from gateway.wsgi import build_application

PAGE = (Path(__file__).parents[1] / "docs" / "callbacks.md").read_text(encoding="utf-8")
RETRY = timedelta(days=3)


@pytest.fixture
def world(database: Connections) -> World:
    return World(make_store(database))


def rules(bank: EventBank, key: CallbackKey, *, wanted: tuple[str, ...] = USUAL) -> CallbackRules:
    return CallbackRules(sender(bank, key), wanted, RETRY)


@dataclass
class Post:
    """What delivers for some relying parties; its clock starts at NOW and moves when the test says so."""

    world: World
    of: Mapping[str, CallbackRules]
    now: datetime = NOW
    deliveries: Deliveries = field(init=False)

    def __post_init__(self) -> None:
        clock: Any = type("Fixed", (), {"now": lambda _: self.now})()
        self.deliveries = Deliveries(self.world.store, rules=self.of, clock=clock)

    def round(self, relying_party: str | None = None, *, after: float = 0) -> int:
        """One round to its end."""
        self.now += timedelta(seconds=after)
        begun = self.deliveries.begin(relying_party or self.world.rp, at=self.now)
        assert self.deliveries.rest(seconds=20)
        return begun

    def all(self) -> None:
        while self.round():
            pass


@pytest.fixture
def post(world: World, bank: EventBank, key: CallbackKey) -> Post:
    return Post(world, {world.rp: rules(bank, key)})


def cancelled(world: World) -> UUID:
    """A transaction with one event that is told."""
    _, subject = world.register()
    transaction = world.start(subject)
    assert world.store.finish(transaction, event=Event.CANCEL, reason="", at=NOW)
    return transaction.id


def jwks(sandbox: Path, database: Connections) -> dict[str, Any]:
    status, body = get(sandbox, database, "/callbacks/keys")
    assert status == 200
    return dict(json.loads(body))


def get(sandbox: Path, database: Connections, path: str) -> tuple[int, bytes]:
    configuration = load(sandbox)
    gateway = build_gateway(configuration, make_store(database))
    statuses: list[int] = []
    application = build_application(configuration, gateway, cells=Cells())
    answered = application(
        {"PATH_INFO": path, "REQUEST_METHOD": "GET"}, lambda s, _: statuses.append(int(s[:3]))
    )
    return statuses[0], b"".join(answered)


@dataclass
class Came:
    """A request as the page's sample takes it."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


def came(received: Received) -> Came:
    return Came("POST", received.url, dict(received.headers), received.raw)


def sample() -> Any:
    """The verification that the page prints."""
    [source] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    space: dict[str, Any] = {}
    exec(source, space)
    return space["verified_event"]


# what a bank is told


def test_a_walk_is_told_to_the_bank_and_every_signature_holds(
    walk: Walk, bank: EventBank, key: CallbackKey, sandbox: Path, database: Connections
) -> None:
    """By the page's own sample, with the key as it is published."""
    worker = Worker(walk.gateway, walk.store, None, "test", callbacks={walk.tenant: rules(bank, key)})
    phone = walk.phone()
    signed, refused, withdrawn = (walk.claimed(phone) for _ in range(3))
    phone.approve(signed, pin=PIN)
    phone.reject(refused, decision=Decision.REJECTED_NOT_ME)
    cancel_transaction(walk.gateway, walk.caller, transaction_id=withdrawn, at=walk.clock.now())
    while worker.call_back(walk.tenant, walk.clock.now()):
        assert worker.deliveries.rest(seconds=20)
    published, check = jwks(sandbox, database), sample()
    events = [check(came(received), published) for received in bank.received]
    told = Counter(event["type"] for event in events)
    assert told["transaction.COMPLETED"] == told["transaction.CANCELLED"] == 1
    refusals = [event["event"] for event in events if event["type"] == "transaction.REJECTED"]
    assert refusals == ["REJECT", "SEAL"], "the refusal, then its evidence"
    assert told["registration.ACTIVATED"] == told["binding.ACTIVE"] == 1
    assert told.keys() <= set(USUAL)
    [completed] = [event for event in events if event["type"] == "transaction.COMPLETED"]
    assert completed == {
        "eventId": completed["eventId"],
        "type": "transaction.COMPLETED",
        "relyingParty": walk.tenant,
        "transactionId": str(signed),
        "event": "SEAL",
        "state": "COMPLETED",
        "sequence": completed["sequence"],
        "at": completed["at"],
    }
    [bound] = [event for event in events if event["type"] == "binding.ACTIVE"]
    assert bound["deviceId"] == str(phone.device.binding_id)
    assert walk.store.callback_backlog(walk.tenant).pending == 0


def test_nothing_personal_is_sent(post: Post, bank: EventBank) -> None:
    """Every member is an id, a word of ours, a number or a time, and no header says more."""
    subject, device = post.world.bind()
    transaction = post.world.approved(subject, device)
    post.world.store.complete(transaction, evidence=post.world.evidence(transaction), at=NOW)
    post.world.store.revoke(post.world.rp, device.id, at=NOW)
    post.all()
    assert len(bank.received) >= 4
    plain = rf"{LOWER_UUID}|[a-z]+\.[A-Z]+|{post.world.rp}|[A-Z]{{1,20}}|[0-9-]+T[0-9:]+Z|[0-9]+"
    for received in bank.received:
        assert all(re.fullmatch(plain, str(value)) for value in received.body.values())
        assert str(subject.id) not in received.raw.decode()
        assert set(received.headers) == {
            "host",
            "accept-encoding",
            "content-length",
            "content-type",
            "connection",
            "content-digest",
            "signature-input",
            "signature",
        }


def test_an_erased_subjects_events_are_told_all_the_same(
    post: Post, bank: EventBank, database: Connections
) -> None:
    cancelled(post.world)
    as_superuser(database, "DELETE FROM subject_key WHERE relying_party = %s", (post.world.rp,))
    post.all()
    assert bank.types() == ["transaction.CANCELLED"]


def test_every_state_is_told_or_only_begins(world: World, database: Connections) -> None:
    """The outbox takes what can be asked for, and nothing else."""
    possible = [
        *(("transaction", str(state)) for state in State),
        *(("registration", str(state)) for state in RegistrationState),
        *(("binding", str(state)) for state in BindingState),
    ]
    kept = set()
    for entity, state in possible:
        id_ = uuid4()
        [(count,)] = sql(
            database.app_dsn,
            f"SELECT set_config('gateway.relying_party', '{world.rp}', true);"
            f" INSERT INTO event VALUES ('{world.rp}', '{id_}', '{entity}', '{uuid4()}', 'X', '{state}', '',"
            f" now()); SELECT count(*) FROM callback WHERE event_id = '{id_}'",
        )
        if count:
            kept.add(f"{entity}.{state}")
    assert kept == set(TYPES)


def test_the_page_names_every_type() -> None:
    assert [name for name in TYPES if f"`{name}`" not in PAGE] == []


def test_the_pages_configuration_is_one(sandbox: Path, tmp_path: Path) -> None:
    [table] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    folder = with_callback(sandbox, tmp_path, table)
    (folder / "keys" / "bank-ca.pem").write_bytes((folder / "keys" / "trust.pem").read_bytes())
    [party] = load(folder).gateway.relying_party
    assert party.callback is not None
    assert party.callback.retry_seconds == 259_200


def test_what_is_not_wanted_is_dropped_and_holds_nothing_up(
    world: World, bank: EventBank, key: CallbackKey
) -> None:
    subject, device = world.bind()
    transaction = world.approved(subject, device)
    world.store.complete(transaction, evidence=world.evidence(transaction), at=NOW)
    post = Post(world, {world.rp: rules(bank, key, wanted=("transaction.COMPLETED",))})
    post.all()
    assert bank.types() == ["transaction.COMPLETED"]
    assert world.store.callback_backlog(world.rp).pending == 0


def test_a_relying_party_without_callback_keeps_nothing(world: World) -> None:
    cancelled(world)
    assert world.store.callback_backlog(world.rp).pending == 1
    other = World(world.store)
    cancelled(other)
    assert Post(world, {}).round() == 1
    assert other.store.callback_backlog(other.rp).pending == 1
    assert world.store.callback_backlog(world.rp).pending == 0


# the signature


@pytest.fixture
def genuine(post: Post, bank: EventBank) -> Came:
    bank.received.clear()
    post.deliveries = Deliveries(post.world.store, rules=post.of, clock=Clock())
    cancelled(post.world)
    post.round()
    [received] = bank.received
    return came(received)


def test_what_was_changed_on_its_way_does_not_hold(
    genuine: Came, sandbox: Path, database: Connections
) -> None:
    published, check = jwks(sandbox, database), sample()
    assert check(genuine, published)["type"] == "transaction.CANCELLED"
    changed = {
        "body": replace(genuine, body=genuine.body.replace(b"CANCELLED", b"COMPLETED")),
        "url": replace(genuine, url=genuine.url.replace("gateway", "another")),
        "method": replace(genuine, method="PUT"),
        "digest": replace(genuine, headers={**genuine.headers, "content-digest": "sha-256=:AAAA:"}),
        "unsigned": replace(genuine, headers={}),
    }
    for name, old, new in (
        ("created", r"created=\d+", "created=1"),
        ("expires", r"expires=\d+", "expires=9999999999"),
        ("nonce", r'nonce="."', 'nonce="_"'),
        ("tag", CALLBACK_TAG, "mobileid-gateway"),
        ("keyid", r'keyid="..', 'keyid="__'),
        ("less", ' "content-digest"', ""),
    ):
        inputs = re.sub(old.replace('nonce="."', 'nonce="[^"]'), new, genuine.headers["signature-input"])
        assert inputs != genuine.headers["signature-input"], name
        changed[name] = replace(genuine, headers={**genuine.headers, "signature-input": inputs})
    for name, request in changed.items():
        with pytest.raises(HTTPMessageSignaturesException):
            pytest.fail(f"{name} holds: {check(request, published)}")


def test_each_attempt_is_signed_anew_over_the_same_body(post: Post, bank: EventBank) -> None:
    bank.answer = lambda received: 200 if len(bank.received) > 1 else 500
    cancelled(post.world)
    post.round()
    post.round(after=10)
    first, second = bank.received
    assert first.raw == second.raw
    assert first.headers["signature"] != second.headers["signature"]
    created = [int(re.findall(r"created=(\d+)", r.headers["signature-input"])[0]) for r in (first, second)]
    assert created == [NOW.timestamp(), NOW.timestamp() + 10]


def test_a_callback_is_no_devices_request(genuine: Came, key: CallbackKey) -> None:
    """Though it were by a device's key, and its keyid an id."""
    id_ = str(uuid4())
    headers = sign_callback(
        url=genuine.url, body=genuine.body, key_id=id_, nonce="A" * 22, at=NOW, signer=key.sign
    )
    with pytest.raises(DeviceNotAuthenticated):
        verify(SignedRequest("POST", genuine.url, genuine.body, headers), key=key.public, at=NOW)


def test_only_the_keys_are_published(sandbox: Path, database: Connections, key: CallbackKey) -> None:
    [jwk] = jwks(sandbox, database)["keys"]
    members = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(members.encode()).digest()).decode().rstrip("=")
    assert jwk["kid"] == key.id == thumbprint
    assert set(jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert get(sandbox, database, "/callbacks/other")[0] == 404


# order, repetition, and the end of patience


def test_a_later_event_waits_for_the_earlier_one(post: Post, bank: EventBank) -> None:
    world = post.world
    _, device = world.bind()
    post.all()
    bank.received.clear()
    assert world.store.lock_if_spent(world.rp, device.id, max_failures=0, at=NOW)
    assert world.store.revoke(world.rp, device.id, at=NOW)
    bank.answer = lambda received: 503
    for _ in range(4):
        post.round(after=10)
    assert set(bank.types()) == {"binding.LOCKED"}
    assert len(bank.received) == 4
    bank.answer = lambda received: 204
    post.round(after=600)
    post.all()
    assert bank.types()[-2:] == ["binding.LOCKED", "binding.REVOKED"]
    assert [r.body["sequence"] for r in bank.received[-2:]] == [2, 3]


def test_one_that_is_refused_keeps_no_other_entity(post: Post, bank: EventBank) -> None:
    stuck, good = cancelled(post.world), cancelled(post.world)
    bank.answer = lambda received: 500 if received.body["transactionId"] == str(stuck) else 200
    post.all()
    assert sorted(r.body["transactionId"] for r in bank.received) == sorted([str(stuck), str(good)])
    assert post.world.store.callback_backlog(post.world.rp).pending == 1


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410, 429, 500, 503])
def test_whatever_is_not_2xx_comes_again(post: Post, bank: EventBank, status: int) -> None:
    bank.answer = lambda received: status
    cancelled(post.world)
    post.round()
    assert post.round(after=0.4) == 0, "the pause is at least half a second"
    bank.answer = lambda received: 202
    assert post.round(after=2) == 1
    assert len({event_id for _, event_id in bank.told}) == 1
    assert len(bank.told) == 2
    assert post.world.store.callback_backlog(post.world.rp).pending == 0


def test_pauses_grow_to_five_minutes_and_are_spread() -> None:
    for attempts, pause in ((1, 1), (2, 2), (5, 16), (9, 256), (10, 300), (10_000, 300)):
        seen = {pause_after(attempts) for _ in range(50)}
        assert len(seen) > 5
        assert all(pause * 0.5 <= one <= pause * 1.5 for one in seen)


def test_it_is_given_up_kept_counted_and_the_next_one_follows(post: Post, bank: EventBank) -> None:
    world = post.world
    _, device = world.bind()
    post.all()
    assert world.store.lock_if_spent(world.rp, device.id, max_failures=0, at=NOW)
    bank.answer = lambda received: 500
    post.round()
    post.round(after=RETRY.total_seconds() - 60)
    backlog = world.store.callback_backlog(world.rp)
    assert (backlog.pending, backlog.dead, backlog.oldest) == (1, 0, NOW)
    post.round(after=600)
    backlog = world.store.callback_backlog(world.rp)
    assert (backlog.pending, backlog.dead, backlog.oldest) == (0, 1, None)
    bank.received.clear()
    bank.answer = lambda received: 200
    assert world.store.revoke(world.rp, device.id, at=post.now)
    post.round(after=600)
    post.all()
    assert bank.types() == ["binding.REVOKED"]
    assert world.store.callback_backlog(world.rp).dead == 1


def test_an_operator_sends_or_forgets_what_was_given_up(
    post: Post, bank: EventBank, database: Connections
) -> None:
    """With the very statements of the page."""
    [block] = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    head, again, forget = (line.split("--")[0].strip() for line in block.strip().splitlines())
    bank.answer = lambda received: 500
    cancelled(post.world), cancelled(post.world)
    post.round()
    post.round(after=RETRY.total_seconds() + 1)
    assert post.world.store.callback_backlog(post.world.rp).dead == 2
    bank.answer = lambda received: 200 if received.body["transactionId"] == first else 500
    first = bank.received[0].body["transactionId"]
    sql(database.app_dsn, head.replace("demo-bank", post.world.rp) + again)
    post.round(after=LEASE_SECONDS)
    assert post.world.store.callback_backlog(post.world.rp).dead == 1
    sql(database.app_dsn, head.replace("demo-bank", post.world.rp) + forget)
    assert post.world.store.callback_backlog(post.world.rp).dead == 0


def test_what_waits_and_what_died_is_measured(walk: Walk) -> None:
    walk.register()
    walk.phone()
    worker = Worker(walk.gateway, walk.store, None, "test")
    worker.measure(walk.tenant, walk.clock.now() + timedelta(seconds=60))
    value = metrics.PROCESS.get_sample_value
    labels = {"relying_party": walk.tenant}
    assert value("gateway_callbacks", labels | {"state": "pending"}) == 2
    assert value("gateway_callbacks", labels | {"state": "dead"}) == 0
    age = value("gateway_callbacks_oldest_seconds", labels)
    assert age is not None
    assert 59 < age < 70


def test_who_lost_the_lease_postpones_nothing(world: World, database: Connections) -> None:
    cancelled(world)

    def take(at: datetime) -> list[Callback]:
        taken, _ = world.store.take_callbacks(
            world.rp, wanted=USUAL, at=at, lease_seconds=LEASE_SECONDS, limit=10
        )
        return list(taken)

    [first] = take(NOW)
    later = NOW + timedelta(seconds=LEASE_SECONDS)
    assert take(later - timedelta(seconds=1)) == []
    [second] = take(later)
    assert (first.attempts, second.attempts) == (1, 2)
    world.store.callback_failed(first, retry_at=NOW)
    world.store.callback_died(first, at=NOW)
    assert take(later) == []
    assert world.store.callback_backlog(world.rp).dead == 0
    world.store.callback_failed(second, retry_at=later)
    assert len(take(later)) == 1


def test_of_many_takers_each_entry_has_one(world: World) -> None:
    for _ in range(40):
        cancelled(world)
    takes = [
        lambda: world.store.take_callbacks(world.rp, wanted=USUAL, at=NOW, lease_seconds=60, limit=5)[0]
    ] * 12
    taken = [callback.event_id for callbacks in at_once(*takes) for callback in callbacks]
    rest, _ = world.store.take_callbacks(world.rp, wanted=USUAL, at=NOW, lease_seconds=60, limit=99)
    taken += [callback.event_id for callback in rest]
    assert len(taken) == len(set(taken)) == 40


def test_two_workers_at_once_and_a_bank_that_fails_at_random(
    world: World, bank: EventBank, key: CallbackKey
) -> None:
    """Each is told, of one device in order, whatever fails; and nobody waits for a pause that is over."""
    dice = random.Random(7)
    bank.answer = lambda received: dice.choice((200, 200, 500, 302))
    for _ in range(12):
        _, device = world.bind()
        assert world.store.lock_if_spent(world.rp, device.id, max_failures=0, at=NOW)
        assert world.store.revoke(world.rp, device.id, at=NOW)
    posts = [Post(world, {world.rp: rules(bank, key)}) for _ in range(2)]
    for _ in range(40):
        at_once(*[lambda post=post: post.round(after=200) for post in posts])  # type: ignore[misc]
        if not world.store.callback_backlog(world.rp).pending:
            break
    backlog = world.store.callback_backlog(world.rp)
    assert (backlog.pending, backlog.dead) == (0, 0)
    came: dict[str, list[int]] = defaultdict(list)
    for received in bank.received:
        if "deviceId" in received.body:
            came[received.body["deviceId"]].append(received.body["sequence"])
    assert len(came) == 12
    for sequences in came.values():
        assert sequences == sorted(sequences)
        assert set(sequences) == {1, 2, 3}
    print(f"{len(bank.received)} requests for {12 * 4} events, each entity in order")


def test_an_event_that_is_rolled_back_is_never_told(world: World, database: Connections) -> None:
    """And of two that race for a decision the loser leaves no entry."""
    subject, device = world.bind()
    transaction = world.pending(subject, device)
    won = at_once(
        lambda: world.store.finish(transaction, event=Event.CANCEL, reason="", at=NOW),
        lambda: world.decide(transaction, decision=Decision.REJECTED_CANCELLED),
    )
    assert sorted(won) == [False, True]
    [(entries,)] = as_superuser(
        database, "SELECT count(*) FROM callback WHERE entity_id = %s::uuid", (str(transaction.id),)
    )
    assert entries == 1


# killed on the way


def test_killed_while_it_sends_it_is_sent_again(
    database: Connections, world: World, bank: EventBank, key: CallbackKey, sandbox: Path, tmp_path: Path
) -> None:
    """The worker's own process, kill -9 between the bank's getting it and its answer."""
    released = threading.Event()
    bank.answer = lambda received: wait(30, released)
    folder = with_callback(
        sandbox,
        tmp_path,
        f'[relying_party.callback]\nurl = "{bank.url()}"\nallowed_networks = ["127.0.0.0/8"]\n'
        f'ca_file = "{bank.ca_file}"\n',
    )
    file = folder / "gateway.toml"
    file.write_text(file.read_text().replace('id = "demo-bank"', f'id = "{world.rp}"'))
    for caller in folder.glob("callers/*.toml"):
        caller.write_text(caller.read_text().replace('"demo-bank"', f'"{world.rp}"'))
    checked = tmp_path / "configuration.json"
    checked.write_text(config.dump(load(folder)))
    world.bind()
    worker = subprocess.Popen(
        [sys.executable, "-m", "gateway.worker"],
        env={**os.environ, CONFIGURATION_VARIABLE: str(checked), DSN_VARIABLE: database.app_dsn},
        stdout=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: len(bank.received) == 2, seconds=30)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        released.set()
    assert world.store.callback_backlog(world.rp).pending == 2
    post = Post(world, {world.rp: rules(bank, key)}, now=utc_now())
    assert post.round() == 0, "the lease of the one that was killed"
    assert post.round(after=LEASE_SECONDS + 1) == 2
    assert list(Counter(bank.told).values()) == [2, 2]
    assert world.store.callback_backlog(world.rp).pending == 0


# two banks


def test_two_relying_parties_never_mix_and_a_slow_bank_keeps_nobody(
    database: Connections, key: CallbackKey, tmp_path: Path
) -> None:
    slow, quick = World(make_store(database)), World(make_store(database))
    with event_bank(tmp_path / "slow") as slow_bank, event_bank(tmp_path / "quick") as quick_bank:
        released = threading.Event()
        slow_bank.answer = lambda received: wait(30, released)
        post = Post(slow, {slow.rp: rules(slow_bank, key), quick.rp: rules(quick_bank, key)})
        for _ in range(AT_ONCE + 2):
            cancelled(slow)
        ours = {str(cancelled(quick)) for _ in range(3)}
        assert post.deliveries.begin(slow.rp, at=NOW) == AT_ONCE
        assert post.deliveries.begin(slow.rp, at=NOW) == 0, "all its places are taken"
        assert post.deliveries.begin(quick.rp, at=NOW) == 3
        eventually(lambda: quick.store.callback_backlog(quick.rp).pending == 0, seconds=10)
        assert slow.store.callback_backlog(slow.rp).pending == AT_ONCE + 2
        released.set()
        assert post.deliveries.rest(seconds=20)
        post.round(slow.rp)
        assert {r.body["transactionId"] for r in quick_bank.received} == ours
        assert {r.body["relyingParty"] for r in quick_bank.received} == {quick.rp}
        assert {r.body["relyingParty"] for r in slow_bank.received} == {slow.rp}
        assert len(slow_bank.received) == AT_ONCE + 2


def test_another_relying_party_neither_takes_nor_ends_an_entry(world: World) -> None:
    cancelled(world)
    other = World(world.store)
    at = {"wanted": USUAL, "at": NOW, "lease_seconds": 60, "limit": 10}
    assert other.store.take_callbacks(other.rp, **at) == ([], 0)  # type: ignore[arg-type]
    [entry], _ = world.store.take_callbacks(world.rp, **at)  # type: ignore[arg-type]
    foreign = replace(entry, relying_party=other.rp)
    other.store.callback_accepted(foreign)
    other.store.callback_died(foreign, at=NOW)
    backlog = world.store.callback_backlog(world.rp)
    assert (backlog.pending, backlog.dead) == (1, 0)
    assert other.store.callback_backlog(other.rp).pending == 0
