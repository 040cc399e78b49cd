"""Rules of the RTS (EU) 2018/389 that no test of a single module shows: across faces, devices and steps."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise, permutations
from typing import Any
from uuid import UUID

import psycopg2
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from sim import PROFILE
from storage_fixture import NOW, World, as_superuser, at_once, make_store
from test_core_assertion import CONTENT, answer, judge
from test_kinds import PAYMENT, kinds, redeem
from test_storage_protection import _dump, _spellings
from walk import PIN, URL, Walk

from gateway.authenticator.authenticator import Authenticator
from gateway.authenticator.errors import GatewayRefused
from gateway.authenticator.pin import pin_key
from gateway.core import httpsig, xades
from gateway.core.assertion import PossessionNotProven
from gateway.core.canonical import b64, unb64
from gateway.core.keys import sign_p256, spki_of
from gateway.core.model import BindingState, Decision, Kind, format_time, whole_seconds
from gateway.core.statement import Content, Payee, Payment, ShownText, compose
from gateway.core.transaction import Event, State
from gateway.services.evidence import get_evidence
from gateway.storage.embedded import Connections

RACES = 1000
RACING = 20
WRONG = "000000"


@cache
def derived(pin: str, secret: bytes) -> EllipticCurvePrivateKey:
    """Derived once for each phone: the derivation is slow on purpose."""
    return pin_key(pin, secret=secret)


@pytest.fixture
def phone(walk: Walk) -> Authenticator:
    return walk.phone()


def assertion(walk: Walk, phone: Authenticator, transaction_id: UUID, **changes: Any) -> dict[str, Any]:
    """An approval as the phone would send it, but for what is changed."""
    device = phone.device
    at = whole_seconds(changes.pop("at", walk.clock.now()))
    content = changes.pop("content", None) or walk.get(transaction_id).content
    statement = compose(
        content,
        binding_id=changes.pop("binding_id", device.binding_id),
        decision=changes.pop("signed_decision", Decision.APPROVED),
    )
    info = xades.device_signed_info(statement, certificate=device.certificates[0], signing_time=at)
    pin = changes.pop("pin", None) or derived(PIN, device.pin_secret)
    message = {
        "decision": str(Decision.APPROVED),
        "signingTime": format_time(at),
        "signature": b64(sign_p256(changes.pop("signer", device.signing), info)),
        "pinSignature": b64(sign_p256(pin, info)),
    }
    return message | changes


def post(
    walk: Walk, phone: Authenticator, transaction_id: UUID, message: Mapping[str, Any]
) -> tuple[int, dict[str, Any]]:
    """Status and answer of the device face, the correlation id masked."""
    url = f"{URL}/device/v1/{walk.tenant}/transactions/{transaction_id}/assertion"
    body = json.dumps(message).encode()
    headers = httpsig.sign(
        method="POST",
        url=url,
        body=body,
        key_id=phone.device.binding_id,
        nonce=secrets.token_urlsafe(16),
        at=walk.clock.now(),
        signer=lambda base: sign_p256(phone.device.transport, base),
    )
    headers = {**headers, "Content-Type": "application/json"}
    status, data = walk.transport("POST", url, headers, body)
    told: dict[str, Any] = json.loads(data)
    if "correlationId" in told:
        assert len(told["correlationId"]) == 32
        told["correlationId"] = ""
    return status, told


# 4(1): accepted once


@pytest.mark.rts("4(1)")
def test_of_an_approval_a_cancellation_and_an_expiry_one_wins(database: Connections) -> None:
    world = World(make_store(database))
    bound = [world.bind() for _ in range(2)]
    wins: Counter[str] = Counter()
    for number in range(RACES):
        subject, device = bound[number % 2]
        # Each at a time of its own: no subject starts too many in ten minutes.
        pending = world.pending(subject, device, at=NOW + number * timedelta(seconds=2))
        ends = {
            State.APPROVED: lambda t=pending: world.decide(t),
            State.CANCELLED: lambda t=pending: world.store.finish(
                t, event=Event.CANCEL, reason="caller", at=t.created_at
            ),
            State.EXPIRED: lambda t=pending: world.store.finish(
                t, event=Event.EXPIRE, reason="time", at=t.expires_at
            ),
        }
        order = list(permutations(ends))[number % 6]
        won = at_once(*(ends[state] for state in order))
        assert won.count(True) == 1, won
        state = order[won.index(True)]
        assert world.load(pending).state is state
        wins[str(state)] += 1
    recorded = as_superuser(
        database,
        "SELECT name, count(*) FROM event WHERE relying_party = %s"
        " AND name IN ('APPROVE', 'CANCEL', 'EXPIRE') GROUP BY name",
        (world.rp,),
    )
    print(f"{RACES} races of approval, cancellation and expiry: {dict(wins)}")
    names = {"APPROVE": "APPROVED", "CANCEL": "CANCELLED", "EXPIRE": "EXPIRED"}
    assert {names[name]: count for name, count in recorded} == wins
    assert wins.total() == RACES


# 4(3)(a): which element failed is not told


FAILING: dict[str, Any] = {
    "knowledge: another PIN": lambda phone: {"pin": derived(WRONG, phone.device.pin_secret)},
    "knowledge: none": lambda phone: {"pinSignature": None},
    "knowledge: the signing key": lambda phone: {"pin": phone.device.signing},
    "knowledge: no signature": lambda phone: {"pinSignature": b64(bytes(64))},
    "possession: the transport key": lambda phone: {"signer": phone.device.transport},
    "possession: the PIN's key": lambda phone: {"signer": derived(PIN, phone.device.pin_secret)},
    "possession: no signature": lambda phone: {"signature": b64(bytes(64))},
    "possession: another device": lambda phone: {"binding_id": UUID(int=1)},
    "possession: another decision": lambda phone: {"signed_decision": Decision.REJECTED_NOT_ME},
    "possession: another content": lambda phone: {"content": CONTENT},
    "possession: another time": lambda phone: {"at": phone._clock() - timedelta(seconds=200)},
    "both": lambda phone: {
        "signer": phone.device.transport,
        "pin": derived(WRONG, phone.device.pin_secret),
    },
}
"""Each element failing in each way, one at a time, and both."""


@pytest.mark.rts("4(3)(a)")
def test_which_element_failed_is_not_told(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by the answer, nor by how often the database was asked on the way to it."""
    pool, asked = walk.store._pool, Counter[str]()
    run = pool.run
    told: dict[str, tuple[int, dict[str, Any]]] = {}

    def counting(*arguments: Any, **named: Any) -> Any:
        asked[name] += 1
        return run(*arguments, **named)

    for number, (name, changes) in enumerate(FAILING.items()):
        phone = walk.phone(f"customer-{number}")
        transaction_id = walk.claimed(phone, f"customer-{number}")
        message = assertion(walk, phone, transaction_id, **changes(phone))
        with monkeypatch.context() as patched:
            patched.setattr(pool, "run", counting)
            told[name] = post(walk, phone, transaction_id, message)
        assert walk.get(transaction_id).state is State.PENDING
    first = told["knowledge: another PIN"]
    assert first[0] == 403
    assert first[1]["code"] == "ASSERTION_REFUSED"
    assert {name for name, answer in told.items() if answer != first} == set()
    print(f"{len(told)} failures, one answer, {set(asked.values())} messages to the database each")
    assert len(set(asked.values())) == 1, asked


# 4(3)(b): five at most, here three, over all that a subject has


@pytest.mark.rts("4(3)(b)")
def test_twenty_wrong_pins_at_once_over_two_devices_count_as_the_limit(
    walk: Walk, database: Connections
) -> None:
    """Of one subject, through the device face; another subject's tries are their own."""
    phones = [walk.phone(), walk.phone()]
    other = walk.phone("customer-2")
    claimed = [walk.claimed(phone) for phone in phones]
    guesses = [
        (
            phone,
            transaction_id,
            assertion(walk, phone, transaction_id, pin=derived(WRONG, phone.device.pin_secret)),
        )
        for phone, transaction_id in zip(phones, claimed, strict=True)
    ] * (RACING // 2)
    codes = Counter(
        told["code"] for _, told in at_once(*(lambda g=guess: post(walk, *g) for guess in guesses))
    )
    print(f"{RACING} wrong PINs at once over two devices: {dict(codes)}")
    assert codes == {"ASSERTION_REFUSED": PROFILE.max_failures, "DEVICE_LOCKED": RACING - 3}
    for phone, transaction_id in zip(phones, claimed, strict=True):
        with pytest.raises(GatewayRefused, match="DEVICE_LOCKED"):
            phone.approve(transaction_id, pin=PIN)
    counted = as_superuser(
        database,
        "SELECT s.failures, (SELECT sum(failures) FROM binding b WHERE b.subject_id = s.id) FROM subject s"
        " JOIN binding b ON b.subject_id = s.id WHERE b.id = %s",
        (str(phones[0].device.binding_id),),
    )
    assert counted == [(3, 3)]
    assert walk.approved(other, "customer-2")


@pytest.mark.rts("4(3)(b)")
def test_no_profile_allows_a_sixth_try() -> None:
    assert replace(PROFILE, max_failures=5).max_failures == 5
    for failures in (0, 6, 1_000_000):
        with pytest.raises(ValueError, match="max_failures"):
            replace(PROFILE, max_failures=failures)


@pytest.mark.rts("4(3)(b)")
def test_the_right_pin_on_one_device_gives_another_no_more_tries(database: Connections) -> None:
    """It ends what counts for the subject; the other device's own failures stand, whatever races."""
    world = World(make_store(database))
    subject, device = world.bind()
    _, other = world.bind(subject)
    for _ in range(2):
        assert world.store.reserve_try(world.rp, device.id, max_failures=3)
    assert world.decide(world.pending(subject, other))
    assert world.failures(database, device) == (2, 0)
    tries = [lambda: world.store.reserve_try(world.rp, device.id, max_failures=3)] * RACING
    assert sum(counted is not None for counted in at_once(*tries)) == 1
    assert world.failures(database, device) == (3, 1)


@pytest.mark.rts("4(3)(d)")
def test_no_profile_gives_a_code_more_than_five_minutes() -> None:
    assert replace(PROFILE, code_lifetime_seconds=300).code_lifetime_seconds == 300
    with pytest.raises(ValueError, match="code_lifetime_seconds"):
        replace(PROFILE, code_lifetime_seconds=301)


# 4(4): told before anything is for good, and a way back


@pytest.mark.rts("4(4)")
def test_failures_lock_for_a_time_tell_the_bank_and_leave_a_way_back(
    walk: Walk, phone: Authenticator, database: Connections
) -> None:
    transaction_id = walk.claimed(phone)
    device_id = phone.device.binding_id

    def events() -> list[tuple[str, str]]:
        found = as_superuser(
            database, "SELECT name, state FROM event WHERE entity_id = %s ORDER BY at, id", (str(device_id),)
        )
        return [(name, state) for name, state in found]

    wrong = derived(WRONG, phone.device.pin_secret)
    for number in range(RACING):
        message = assertion(walk, phone, transaction_id, pin=wrong)
        status, told = post(walk, phone, transaction_id, message)
        assert (status, told["code"]) == (
            (403, "ASSERTION_REFUSED") if number < 3 else (409, "DEVICE_LOCKED")
        ), number
        # The bank hears of the lock with the last failure, not before it and once.
        failed = [("FAILTRY", "ACTIVE")] * min(number + 1, 3)
        assert events() == [("BIND", "ACTIVE"), *failed, *([("LOCK", "LOCKED")] if number >= 2 else [])]
    found = walk.store.binding(walk.tenant, device_id)
    assert found is not None
    assert found.state is BindingState.LOCKED, "however many failures there are: never for good"
    again = walk.phone()
    assert walk.approved(again)


# 5: what was shown is what counts


PAID = replace(
    CONTENT,
    kind=Kind.AUTHORISATION,
    texts=(ShownText("Rent", "For March.\nAgreed.", "text/plain"),),
    payment=Payment("30.00", "EUR", (Payee("Anna Älv", "CH1", "10.00"), Payee("Bo", "CH2", "20.00"))),
)
LOOKALIKE = {"A": "\u0410", "a": "\u0430", "e": "\u0435", "o": "\u043e", "n": "\u0578", "B": "\u0412"}


def one_changed(text: str) -> Iterator[str]:
    """The text with each of its characters in turn replaced by another one, and by one that looks alike;
    with one more, visible or not, at each place; and without one."""
    for place, char in enumerate(text):
        before, after = text[:place], text[place + 1 :]
        other = str((int(char) + 1) % 10) if char.isdigit() else "y" if char == "x" else "x"
        yield from (before + put + after for put in (other, "", char * 2) if put != char)
        if char in LOOKALIKE:
            yield before + LOOKALIKE[char] + after
        yield from (before + hidden + char + after for hidden in ("\u200b", "\u202e", " "))


def with_field(content: Content, path: str, value: str) -> Content:
    assert content.payment is not None
    payment, text = content.payment, content.texts[0]
    of, _, name = path.partition(".")
    if of == "payment":
        return replace(content, payment=replace(payment, **{name: value}))
    if of == "payee":
        changed = replace(payment.payees[0], **{name: value})
        return replace(content, payment=replace(payment, payees=(changed, *payment.payees[1:])))
    return replace(content, texts=(replace(text, **{name: value}),))


FIELDS = {
    "payment.total": "30.00",
    "payee.amount": "10.00",
    "payee.name": "Anna Älv",
    "payee.account": "CH1",
    "text.title": "Rent",
    "text.text": "For March.\nAgreed.",
}


def refused(made_for: Content, *, tried_as: Content) -> None:
    with pytest.raises(PossessionNotProven):
        judge(answer(made_for), tried_as)


@pytest.mark.rts("5(1)(a)", "5(1)(b)-(d)")
@pytest.mark.parametrize("path", FIELDS)
def test_one_changed_glyph_or_digit_is_not_what_was_signed(path: str) -> None:
    assert with_field(PAID, path, FIELDS[path]) == PAID
    assert judge(answer(PAID), PAID).decision is Decision.APPROVED
    tried = 0
    signed = answer(PAID)
    for changed in dict.fromkeys(one_changed(FIELDS[path])):
        try:
            other = with_field(PAID, path, changed)
        except ValueError:
            continue  # an amount that is none: it cannot even be asked for
        with pytest.raises(PossessionNotProven):
            judge(signed, other)
        tried += 1
    print(f"{path}: {tried} changes, none accepted")
    assert tried > len(FIELDS[path])


@pytest.mark.rts("5(1)(b)-(d)")
@pytest.mark.parametrize("total", ["30.0", "30", "30.000"])
def test_an_equal_amount_in_another_spelling_is_not_what_was_signed(total: str) -> None:
    refused(PAID, tried_as=with_field(PAID, "payment.total", total))


@pytest.mark.rts("5(3)(b)")
def test_a_batch_is_signed_with_its_total_and_every_payee() -> None:
    assert PAID.payment is not None
    one, two = PAID.payment.payees
    for payees in (
        (two, one),
        (one,),
        (one, two, two),
        (replace(one, name=two.name), replace(two, name=one.name)),
        (replace(one, account=two.account), replace(two, account=one.account)),
        (replace(one, amount=two.amount), replace(two, amount=one.amount)),
    ):
        refused(PAID, tried_as=replace(PAID, payment=replace(PAID.payment, payees=payees)))
    refused(PAID, tried_as=with_field(PAID, "payment.total", "31.00"))
    refused(PAID, tried_as=with_field(PAID, "payment.currency", "CHF"))


# 6, 7, 8: the PIN is nowhere


@pytest.mark.rts("6")
def test_the_pin_its_secret_and_its_proofs_are_nowhere(
    walk: Walk, database: Connections, capsys: pytest.CaptureFixture[str]
) -> None:
    """A life with right and wrong PINs; then the wire, every table, and what was logged."""
    pin, mistaken = (str(secrets.randbelow(9 * 10**11) + 10**11) for _ in range(2))
    wire: list[bytes] = []

    def transport(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        status, data = walk.transport(method, url, headers, body)
        wire.extend((repr((method, url, dict(headers))).encode(), body, data))
        return status, data

    activation = walk.register().activation
    assert activation is not None
    phone = Authenticator.activate(
        activation.qr_payload, code=activation.code, pin=pin, name="Phone", transport=transport
    )
    transaction_id = walk.claimed(phone)
    with structlog.testing.capture_logs() as logged, pytest.raises(GatewayRefused):
        phone.approve(transaction_id, pin=mistaken)
    with structlog.testing.capture_logs() as more:
        phone.approve(transaction_id, pin=pin)
    device = phone.device
    scalars = {
        f"the private key of {name}": derived(of, device.pin_secret)
        .private_numbers()
        .private_value.to_bytes(32, "big")
        for name, of in (("the PIN", pin), ("a wrong one", mistaken))
    }
    secret = {"the PIN": pin.encode(), "a wrong one": mistaken.encode(), "the secret": device.pin_secret}
    public = spki_of(derived(pin, device.pin_secret).public_key())
    passed = b"\n".join(wire)
    assert b64(public).encode() in passed, "the scan finds what is there"
    proofs = [json.loads(body)["pinSignature"].encode() for body in wire if b'"pinSignature"' in body]
    assert len(proofs) == 2
    dump = _dump(database)
    said = repr([*logged, *more, capsys.readouterr()]).encode()
    assert b"ASSERTION_REFUSED" in said
    assert walk.tenant.encode() in dump
    for name, value in (secret | scalars).items():
        for spelling in _spellings(value):
            assert spelling not in passed, f"{name}, on the wire"
            assert spelling not in dump, f"{name}, in the database"
            assert spelling not in said, f"{name}, in the log"
    for kept in (public, *(unb64(proof.decode()) for proof in proofs)):
        for spelling in _spellings(kept):
            assert spelling not in dump, "the PIN's public key, and its proofs, are kept encrypted"
            assert spelling not in said
    stored = get_evidence(
        walk.gateway, walk.caller, transaction_id=transaction_id, at=walk.clock.now()
    ).document
    assert all(proof not in stored for proof in proofs), "a proof of the PIN is no evidence"


# 22, 29: every step, in order, at its time


@pytest.mark.rts("29")
def test_every_step_leaves_its_event_in_order_and_in_one_time(walk: Walk, database: Connections) -> None:
    bank = kinds(walk)
    began = bank.clock.now()
    phone = bank.phone()
    started = bank.start_kind(Kind.AUTHORISATION, payment=PAYMENT)
    phone.claim(started.id)
    with pytest.raises(GatewayRefused):
        phone.approve(started.id, pin="000000")
    phone.approve(started.id, pin=PIN)
    redeem(bank, bank.get(started.id))
    refused_one = bank.start_kind(Kind.AUTHENTICATION)
    phone.claim(refused_one.id)
    phone.reject(refused_one.id, decision=Decision.REJECTED_CANCELLED)
    late = bank.start_kind(Kind.AUTHENTICATION)
    bank.clock.ahead = timedelta(seconds=301)
    assert bank.get(late.id).state is State.EXPIRED
    bank.store.revoke(bank.tenant, phone.device.binding_id, at=bank.clock.now())
    with closing(psycopg2.connect(database.superuser_dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SET TIME ZONE 'Asia/Kathmandu'")
        cursor.execute(
            "SELECT entity, entity_id::text, name, at FROM event WHERE relying_party = %s ORDER BY id",
            (bank.tenant,),
        )
        found: list[tuple[str, str, str, datetime]] = cursor.fetchall()
    steps: dict[str, list[str]] = {}
    for entity, entity_id, name, _ in found:
        steps.setdefault(f"{entity} {entity_id}", []).append(name)
    own = lambda t: steps[f"transaction {t.id}"]  # noqa: E731
    assert own(started) == ["START", "CLAIM", "APPROVE", "COMPLETE", "REDEEM"]
    assert own(refused_one) == ["START", "CLAIM", "REJECT"]
    assert own(late) == ["START", "EXPIRE"]
    assert steps[f"binding {phone.device.binding_id}"] == ["BIND", "FAILTRY", "REVOKE"]
    (registered,) = (names for place, names in steps.items() if place.startswith("registration"))
    assert registered == ["START", "ACTIVATE"]
    # One time base: absolute, whatever zone a reader's session is in, and never backwards.
    times = [at.astimezone(UTC) for *_, at in found]
    assert all(began - timedelta(seconds=1) <= at <= bank.clock.now() for at in times)
    assert all(b >= a - timedelta(seconds=1) for a, b in pairwise(times))
