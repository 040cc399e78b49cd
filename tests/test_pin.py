"""Change and reset of the PIN: who may, what counts as a try, and what a lock ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from storage_fixture import as_superuser, at_once
from test_devices import Bank, code, failures_of_subject, wrong_pins
from walk import PIN, Walk

from gateway.authenticator.authenticator import Authenticator
from gateway.authenticator.errors import GatewayRefused, GatewayUnreachable, PinUnusable
from gateway.authenticator.pin import pin_key
from gateway.core.canonical import b64, unb64
from gateway.core.device_order import NewPinOrder, Purpose, order_bytes
from gateway.core.errors import (
    DeviceLocked,
    GatewayError,
    InvalidValue,
    NotFound,
    ProfileNotAvailable,
    ProofRefused,
    RequestIdReused,
)
from gateway.core.keys import sign_p256, spki_of
from gateway.core.model import BindingState, Factor, PinResetState, format_time, whole_seconds
from gateway.device.messages import parse_pin_change, parse_pin_reset
from gateway.services import devices
from gateway.services.devices import PinResetView
from gateway.storage.embedded import Connections

NEW_PIN = "314159"
SECRET = bytes(range(32))
RACING = 20


@pytest.fixture
def bank(walk: Walk) -> Bank:
    return Bank(walk)


@pytest.fixture
def phone(walk: Walk) -> Authenticator:
    return walk.phone()


@cache
def derived(pin: str, secret: bytes) -> EllipticCurvePrivateKey:
    """Derived once: the derivation is slow on purpose."""
    return pin_key(pin, secret=secret)


def order(phone: Authenticator, kind: Purpose = Purpose.PIN_CHANGE, **changes: Any) -> dict[str, str]:
    """An order as the phone would send it, but for what is changed."""
    new = changes.pop("new", None) or derived(NEW_PIN, SECRET)
    at = changes.pop("at", phone._clock())
    said, prover = changes.pop("said", at), changes.pop("prover", new)
    old = changes.pop("old", None) or derived(PIN, phone.device.pin_secret)
    signer = changes.pop("signer", phone.device.signing)
    spki = spki_of(new.public_key())
    asked = {
        "relying_party": phone.device.relying_party.id,
        "binding_id": phone.device.binding_id,
        "at": whole_seconds(at),
        "pin_key": spki,
        **changes,
    }
    data = order_bytes(asked.pop("purpose", kind), **asked)
    message = {
        "signingTime": format_time(said),
        "signature": b64(sign_p256(signer, data)),
        "pin": b64(spki),
        "pinProof": b64(sign_p256(prover, data)),
    }
    if kind is Purpose.PIN_CHANGE:
        message["oldPinSignature"] = b64(sign_p256(old, data))
    return message


def change(phone: Authenticator, **changes: Any) -> str:
    """OK, or the code of the refusal."""
    try:
        phone._device("POST", "pin", message=order(phone, **changes))
    except GatewayRefused as refused:
        return refused.code
    return "OK"


def reset(phone: Authenticator, reset_code: str | None, **changes: Any) -> str:
    message = {**order(phone, Purpose.PIN_RESET, **changes), "code": reset_code or ""}
    try:
        phone._device("POST", "pinreset", message=message)
    except GatewayRefused as refused:
        return refused.code
    return "OK"


def start(bank: Bank, phone: Authenticator, request_id: str = "r-1") -> PinResetView:
    return bank.ask("start_pin_reset", request_id=request_id, device_id=phone.device.binding_id)  # type: ignore[no-any-return]


def wrong(reset_code: str | None) -> str:
    assert reset_code is not None
    return str((int(reset_code) + 1) % 10 ** len(reset_code)).zfill(len(reset_code))


# change


@pytest.mark.rts("6")
def test_the_new_pin_is_in_force_and_the_old_one_is_gone(
    walk: Walk, bank: Bank, phone: Authenticator
) -> None:
    before, key = phone.device, bank.get(phone).binding.keys.pin
    assert phone.change_pin(old_pin=PIN, new_pin=NEW_PIN).state == "ACTIVE"
    assert phone.device.pin_secret != before.pin_secret
    assert replace(phone.device, pin_secret=before.pin_secret) == before
    changed = bank.get(phone).binding
    assert changed.keys.pin != key
    assert (changed.pin_version, changed.failures) == (1, 0)
    assert bank.history(phone)[1:] == [("CHANGEPIN", "ACTIVE", "subject")]
    transaction_id = walk.claimed(phone)
    assert code(lambda: phone.approve(transaction_id, pin=PIN)) == "ASSERTION_REFUSED"
    with_old_secret = Authenticator(before, transport=walk.transport, clock=walk.clock.now)
    with_old_secret.claim(transaction_id)
    assert code(lambda: with_old_secret.approve(transaction_id, pin=PIN)) == "ASSERTION_REFUSED"
    assert phone.approve(transaction_id, pin=NEW_PIN).state == "COMPLETED"


def test_a_change_resets_the_tries(
    walk: Walk, bank: Bank, phone: Authenticator, database: Connections
) -> None:
    wrong_pins(walk, phone, 2)
    phone.change_pin(old_pin=PIN, new_pin=NEW_PIN)
    assert bank.get(phone).binding.failures == failures_of_subject(database, phone) == 0


@pytest.mark.rts("4(3)(b)")
def test_a_wrong_old_pin_is_a_try_like_any_other(
    walk: Walk, bank: Bank, phone: Authenticator, database: Connections
) -> None:
    wrong_pins(walk, phone, 1)
    for count in (2, 3):
        assert code(lambda: phone.change_pin(old_pin="000000", new_pin=NEW_PIN)) == "PROOF_REFUSED"
        assert bank.get(phone).binding.failures == failures_of_subject(database, phone) == count
    assert bank.history(phone)[1:] == [
        ("FAILTRY", "ACTIVE", "approval"),
        ("FAILTRY", "ACTIVE", "pin-change"),
        ("FAILTRY", "ACTIVE", "pin-change"),
        ("LOCK", "LOCKED", "failures"),
    ]
    assert code(lambda: phone.change_pin(old_pin=PIN, new_pin=NEW_PIN)) == "DEVICE_LOCKED"
    bank.unlock(phone)
    assert phone.change_pin(old_pin=PIN, new_pin=NEW_PIN).state == "ACTIVE"


NOT_POSSESSED: dict[str, Callable[[Authenticator], dict[str, Any]]] = {
    "no signing key": lambda phone: {"signer": phone.device.transport},
    "the old PIN alone": lambda phone: {"signer": derived(PIN, phone.device.pin_secret)},
    "new key not held": lambda phone: {"prover": phone.device.signing},
    "new key is the signing key": lambda phone: {"new": phone.device.signing},
    "new key is the transport key": lambda phone: {"new": phone.device.transport},
    "another purpose": lambda phone: {"purpose": Purpose.PIN_RESET},
    "another device": lambda phone: {"binding_id": UUID(int=1)},
    "another bank": lambda phone: {"relying_party": "other-bank"},
    "another key": lambda phone: {"pin_key": spki_of(derived("0000", SECRET).public_key())},
    "another time": lambda phone: {"said": phone._clock() + timedelta(seconds=2)},
    "an old one": lambda phone: {"at": phone._clock() - timedelta(seconds=63)},
    "one to come": lambda phone: {"at": phone._clock() + timedelta(seconds=63)},
}


@pytest.mark.rts("4(3)(a)")
@pytest.mark.parametrize("case", NOT_POSSESSED)
@pytest.mark.parametrize("spent", [0, 2])
def test_without_possession_nobody_s_try_is_burnt_and_nothing_is_told(
    walk: Walk, bank: Bank, phone: Authenticator, case: str, spent: int
) -> None:
    if spent:
        wrong_pins(walk, phone, spent)
    assert change(phone, **NOT_POSSESSED[case](phone)) == "PROOF_REFUSED"
    assert bank.get(phone).binding.failures == spent
    assert bank.get(phone).binding.pin_version == 0
    assert bank.history(phone)[-1] == ("FAILTRY", "ACTIVE", "possession")
    assert change(phone) == "OK"


@pytest.mark.rts("4(3)(a)")
@pytest.mark.parametrize("kind", [Purpose.PIN_CHANGE, Purpose.PIN_RESET])
def test_what_failed_is_not_told_and_costs_the_same_messages(
    walk: Walk, bank: Bank, phone: Authenticator, monkeypatch: pytest.MonkeyPatch, kind: Purpose
) -> None:
    opened = start(bank, phone)
    asked: list[int] = []
    pool = walk.store._pool
    run = pool.run
    monkeypatch.setattr(pool, "run", lambda *a, **k: (asked.append(1), run(*a, **k))[1])
    answers = []
    for changes in ({"old": derived("000000", SECRET)}, {"signer": phone.device.transport}):
        asked.clear()
        bodies: list[tuple[int, dict[str, Any]]] = []

        def watched(*request: Any, into: list[tuple[int, dict[str, Any]]] = bodies) -> tuple[int, bytes]:
            status, body = walk.transport(*request)
            into.append((status, json.loads(body) | {"correlationId": ""}))
            return status, body

        watching = Authenticator(phone.device, transport=watched, clock=walk.clock.now)
        if kind is Purpose.PIN_CHANGE:
            assert change(watching, **changes) == "PROOF_REFUSED"
        else:
            assert reset(watching, wrong(opened.code), **changes) == "PROOF_REFUSED"
        answers.append((len(asked), bodies))
    assert answers[0] == answers[1]


@pytest.mark.rts("4(3)(b)")
def test_racing_wrong_old_pins_count_as_at_most_the_allowed_tries(
    walk: Walk, bank: Bank, phone: Authenticator
) -> None:
    device = bank.get(phone).binding
    guesses = [made(order(phone, old=derived(f"{n:04}", SECRET))) for n in range(RACING)]

    def guess(order_: NewPinOrder, signature: bytes) -> str:
        try:
            devices.change_pin(
                walk.gateway, device, order=order_, pin_signature=signature, at=walk.clock.now()
            )
        except GatewayError as error:
            return error.code
        return "OK"

    answers = at_once(*(lambda g=g: guess(*g) for g in guesses))
    assert answers.count("PROOF_REFUSED") <= walk.profile.max_failures
    assert set(answers) == {"PROOF_REFUSED", "DEVICE_LOCKED"}
    locked = bank.get(phone).binding
    assert (locked.state, locked.failures) == (BindingState.LOCKED, walk.profile.max_failures)
    assert code(lambda: phone.change_pin(old_pin=PIN, new_pin=NEW_PIN)) == "DEVICE_LOCKED"


def made(message: Mapping[str, str]) -> tuple[NewPinOrder, bytes]:
    """As the device face reads it."""
    return parse_pin_change(json.dumps(message).encode())


def test_of_two_changes_one_wins(walk: Walk, bank: Bank, phone: Authenticator) -> None:
    device = bank.get(phone).binding
    keys = [derived(pin, SECRET) for pin in ("1111", "2222")]
    orders = [made(order(phone, new=key)) for key in keys]

    def run(order_: NewPinOrder, signature: bytes) -> str:
        try:
            devices.change_pin(
                walk.gateway, device, order=order_, pin_signature=signature, at=walk.clock.now()
            )
        except GatewayError as error:
            return error.code
        return "OK"

    answers = at_once(*(lambda o=o: run(*o) for o in orders))
    assert sorted(answers) == ["CONFLICT", "OK"]
    changed = bank.get(phone).binding
    assert changed.keys.pin == spki_of(keys[answers.index("OK")].public_key())
    assert (changed.pin_version, changed.failures) == (1, 0)


@pytest.mark.parametrize("lost", [1, 2])
def test_a_lost_answer_is_asked_for_again(walk: Walk, bank: Bank, phone: Authenticator, lost: int) -> None:
    left = [lost]

    def losing(*request: Any) -> tuple[int, bytes]:
        answer = walk.transport(*request)
        if left[0]:
            left[0] -= 1
            raise GatewayUnreachable("The gateway did not answer.")
        return answer

    far = Authenticator(phone.device, transport=losing, clock=walk.clock.now)
    far.change_pin(old_pin=PIN, new_pin=NEW_PIN)
    assert bank.history(phone)[1:] == [("CHANGEPIN", "ACTIVE", "subject")]
    assert bank.get(phone).binding.failures == 0
    transaction_id = walk.claimed(far)
    assert far.approve(transaction_id, pin=NEW_PIN).state == "COMPLETED"


def test_a_locked_device_is_told_nothing_of_its_order(bank: Bank, phone: Authenticator) -> None:
    bank.lock(phone)
    assert change(phone, signer=phone.device.transport) == "DEVICE_LOCKED"
    assert bank.get(phone).binding.failures == 0


def test_a_device_whose_tries_ended_in_a_crash_is_locked(
    walk: Walk, bank: Bank, phone: Authenticator
) -> None:
    """They were counted, and nobody was left to lock it."""
    for _ in range(walk.profile.max_failures):
        walk.store.reserve_try(walk.tenant, phone.device.binding_id, max_failures=walk.profile.max_failures)
    assert bank.get(phone).binding.state is BindingState.ACTIVE
    assert change(phone) == "DEVICE_LOCKED"
    assert bank.get(phone).binding.state is BindingState.LOCKED


@pytest.mark.parametrize(
    ("happens", "error"), [(Bank.lock, "DEVICE_LOCKED"), (Bank.revoke, "DEVICE_REVOKED")], ids=str
)
def test_a_device_that_is_locked_or_revoked_meanwhile_is_told_so(
    walk: Walk,
    bank: Bank,
    phone: Authenticator,
    monkeypatch: pytest.MonkeyPatch,
    happens: Callable[[Bank, Authenticator], object],
    error: str,
) -> None:
    """Its PIN was right, and the database did not take the new one."""
    asked = walk.store.change_pin

    def late(*args: Any, **kwargs: Any) -> bool:
        happens(bank, phone)
        return asked(*args, **kwargs)

    monkeypatch.setattr(walk.store, "change_pin", late)
    assert change(phone) == error
    assert bank.get(phone).binding.failures == 0, "a try that was none is given back"


def test_where_no_answer_comes_the_old_secret_stays(walk: Walk, phone: Authenticator) -> None:
    def gone(*request: Any) -> tuple[int, bytes]:
        raise GatewayUnreachable("The gateway did not answer.")

    far = Authenticator(phone.device, transport=gone, clock=walk.clock.now)
    with pytest.raises(GatewayUnreachable):
        far.change_pin(old_pin=PIN, new_pin=NEW_PIN)
    assert far.device == phone.device


def test_a_repeated_change_does_not_let_a_pin_be_guessed(
    walk: Walk, bank: Bank, phone: Authenticator
) -> None:
    """Who claims that a PIN is in force already is counted like who claims to know the old one."""
    for count in (1, 2, 3):
        guess = derived(f"000{count}", phone.device.pin_secret)
        assert change(phone, new=guess, old=guess) == "PROOF_REFUSED"
        assert bank.get(phone).binding.failures == count
    assert bank.get(phone).binding.state is BindingState.LOCKED


def test_without_a_profile_there_is_no_limit_to_keep_and_so_no_change(
    walk: Walk, phone: Authenticator
) -> None:
    tenants = replace(walk.gateway.tenants, profiles={walk.tenant: ()})
    walk.reload(tenants=tenants)
    assert code(lambda: phone.change_pin(old_pin=PIN, new_pin=NEW_PIN)) == ProfileNotAvailable.code


@pytest.mark.parametrize("pin", ["", "123", "1" * 13, "12a4"])
def test_a_new_pin_is_a_pin(phone: Authenticator, pin: str) -> None:
    with pytest.raises(PinUnusable):
        phone.change_pin(old_pin=PIN, new_pin=pin)


# reset


@pytest.mark.rts("27")
def test_the_phone_and_the_code_set_a_new_pin(walk: Walk, bank: Bank, phone: Authenticator) -> None:
    opened = start(bank, phone)
    assert opened.state is PinResetState.PENDING
    assert opened.code is not None
    before = phone.device.pin_secret
    phone.reset_pin(code=opened.code, new_pin=NEW_PIN)
    assert phone.device.pin_secret != before
    done = bank.ask("get_pin_reset", pin_reset_id=opened.id)
    assert (done.state, done.code) == (PinResetState.COMPLETED, None)
    assert bank.history(phone)[1:] == [
        ("STARTPINRESET", "ACTIVE", "caller"),
        ("RESETPIN", "ACTIVE", "subject"),
    ]
    transaction_id = walk.claimed(phone)
    assert code(lambda: phone.approve(transaction_id, pin=PIN)) == "ASSERTION_REFUSED"
    assert phone.approve(transaction_id, pin=NEW_PIN).state == "COMPLETED"
    assert reset(phone, opened.code) == "PROOF_REFUSED", "a code serves once"


@pytest.mark.rts("27")
def test_each_half_alone_sets_nothing(walk: Walk, bank: Bank, phone: Authenticator) -> None:
    second, stranger = walk.phone(), walk.phone("customer-2")
    opened = start(bank, phone)
    assert reset(phone, wrong(opened.code)) == "PROOF_REFUSED"
    assert reset(phone, opened.code, signer=phone.device.transport) == "PROOF_REFUSED"
    for other in (second, stranger, Walk(walk.store).phone()):
        assert code_of_other(walk, other, opened.code) in ("PROOF_REFUSED", "DEVICE_NOT_AUTHENTICATED")
        assert other.device.binding_id != phone.device.binding_id
    assert bank.get(phone).binding.pin_version == 0
    assert bank.ask("get_pin_reset", pin_reset_id=opened.id).state is PinResetState.PENDING
    assert reset(phone, opened.code) == "OK"


def code_of_other(walk: Walk, other: Authenticator, reset_code: str | None) -> str:
    return reset(Authenticator(other.device, transport=walk.transport, clock=walk.clock.now), reset_code)


@pytest.mark.rts("4(4)")
def test_a_reset_opens_what_failures_had_locked(
    walk: Walk, bank: Bank, phone: Authenticator, database: Connections
) -> None:
    transaction_id = wrong_pins(walk, phone, 3)
    assert bank.get(phone).binding.state is BindingState.LOCKED
    opened = start(bank, phone)
    assert reset(phone, opened.code, new=derived(NEW_PIN, phone.device.pin_secret)) == "OK"
    found = bank.get(phone).binding
    assert (found.state, found.failures, found.lock_reason) == (BindingState.ACTIVE, 0, None)
    assert failures_of_subject(database, phone) == 0
    assert phone.approve(transaction_id, pin=NEW_PIN).state == "COMPLETED"


def test_a_reset_opens_the_locked_method(bank: Bank, phone: Authenticator) -> None:
    bank.lock(phone, method="pin")
    opened = start(bank, phone)
    assert bank.get(phone).binding.locked_methods == {Factor.PIN}
    assert reset(phone, opened.code) == "OK"
    assert bank.get(phone).binding.locked_methods == frozenset()


def test_what_the_bank_has_locked_no_reset_opens(walk: Walk, bank: Bank, phone: Authenticator) -> None:
    for how in (
        lambda: bank.lock(phone),
        lambda: bank.lock(phone, method="pin"),
        lambda: phone.lock(),
        lambda: (wrong_pins(walk, phone, 3), bank.lock(phone, reason="fraud")),
    ):
        opened = start(bank, phone, request_id=f"r-{id(how)}")
        how()
        assert bank.ask("get_pin_reset", pin_reset_id=opened.id).state is PinResetState.CANCELLED
        assert reset(phone, opened.code) == "PROOF_REFUSED"
        if bank.get(phone).binding.state is BindingState.LOCKED:
            with pytest.raises(DeviceLocked):
                start(bank, phone, request_id=f"again-{id(how)}")
        bank.unlock(phone)
        bank.unlock(phone, method="pin")
    assert bank.get(phone).binding.pin_version == 0
    opened = start(bank, phone, request_id="last")
    bank.revoke(phone)
    assert bank.ask("get_pin_reset", pin_reset_id=opened.id).state is PinResetState.CANCELLED


@pytest.mark.rts("4(4)")
def test_wrong_codes_are_counted_and_end_the_reset(bank: Bank, phone: Authenticator) -> None:
    opened = start(bank, phone)
    for _ in range(3):
        assert reset(phone, wrong(opened.code)) == "PROOF_REFUSED"
    assert reset(phone, opened.code) == "PROOF_REFUSED"
    assert bank.ask("get_pin_reset", pin_reset_id=opened.id).state is PinResetState.BLOCKED
    failed = ("FAILTRY", "ACTIVE", "pin-reset")
    blocked = ("BLOCKPINRESET", "ACTIVE", "failures")
    assert bank.history(phone)[2:] == [failed, failed, failed, blocked, failed]
    assert bank.get(phone).binding.failures == 0, "a code is no PIN"
    again = start(bank, phone, request_id="r-2")
    assert again.code != opened.code
    assert reset(phone, again.code) == "OK"


@pytest.mark.rts("4(3)(b)")
def test_racing_codes_count_as_at_most_the_allowed_tries(
    walk: Walk, bank: Bank, phone: Authenticator
) -> None:
    opened = start(bank, phone)
    device = bank.get(phone).binding
    order_, _ = parse_pin_reset(json.dumps({**order(phone, Purpose.PIN_RESET), "code": "0000"}).encode())

    def guess() -> None:
        with pytest.raises(ProofRefused):
            devices.reset_pin(
                walk.gateway, device, order=order_, code=wrong(opened.code), at=walk.clock.now()
            )

    at_once(*[guess] * RACING)
    stored = walk.store.pin_reset(walk.tenant, opened.id)
    assert stored is not None
    assert (stored.state, stored.failures) == (PinResetState.BLOCKED, walk.gateway.activation.max_failures)
    assert [event for event, _, _ in bank.history(phone)].count("BLOCKPINRESET") == 1
    assert reset(phone, opened.code) == "PROOF_REFUSED"


@pytest.mark.parametrize("case", sorted(set(NOT_POSSESSED) - {"another purpose"}))
def test_a_reset_without_possession_counts_nothing(
    walk: Walk, bank: Bank, phone: Authenticator, case: str
) -> None:
    opened = start(bank, phone)
    for _ in range(3):
        assert reset(phone, opened.code, **NOT_POSSESSED[case](phone)) == "PROOF_REFUSED"
    for purpose in (Purpose.PIN_CHANGE, Purpose.REVOCATION):
        assert reset(phone, opened.code, purpose=purpose) == "PROOF_REFUSED"
    stored = walk.store.pin_reset(walk.tenant, opened.id)
    assert stored is not None
    assert stored.failures == 0
    assert reset(phone, opened.code) == "OK"


def test_a_code_has_its_time(walk: Walk, bank: Bank, phone: Authenticator) -> None:
    opened = start(bank, phone)
    walk.clock.ahead = timedelta(seconds=walk.gateway.activation.lifetime_seconds + 1)
    assert reset(phone, opened.code) == "PROOF_REFUSED"
    found = bank.ask("get_pin_reset", pin_reset_id=opened.id)
    assert (found.state, found.code) == (PinResetState.EXPIRED, None)


def test_a_later_reset_takes_the_place_of_an_earlier_one(bank: Bank, phone: Authenticator) -> None:
    first = start(bank, phone)
    second = start(bank, phone, request_id="r-2")
    assert start(bank, phone, request_id="r-1").state is PinResetState.CANCELLED
    assert start(bank, phone, request_id="r-2") == second
    assert reset(phone, first.code) == "PROOF_REFUSED"
    assert reset(phone, second.code) == "OK"


def test_a_start_is_named_plainly(bank: Bank, phone: Authenticator) -> None:
    with pytest.raises(InvalidValue):
        start(bank, phone, "two words")
    assert start(bank, phone).state is PinResetState.PENDING


def test_a_repeated_start_answers_the_same(walk: Walk, bank: Bank, phone: Authenticator) -> None:
    second = walk.phone()
    answers = at_once(*(lambda: start(bank, phone) for _ in range(8)))
    assert len({answer.id for answer in answers}) == 1
    assert {answer.code for answer in answers} == {answers[0].code}
    assert [event for event, _, _ in bank.history(phone)] == ["BIND", "ALERT", "STARTPINRESET"]
    with pytest.raises(RequestIdReused):
        start(bank, second)
    assert bank.history(second) == [("BIND", "ACTIVE", "")]


def test_two_banks_may_use_one_request_id(walk: Walk, bank: Bank, phone: Authenticator) -> None:
    elsewhere = Walk(walk.store)
    there = start(Bank(elsewhere), elsewhere.phone())
    here = start(bank, phone)
    assert here.id != there.id
    with pytest.raises(NotFound):
        bank.ask("get_pin_reset", pin_reset_id=there.id)


@pytest.mark.rts("22", "6")
def test_no_code_and_no_proof_stands_in_the_database_or_the_log(
    walk: Walk,
    bank: Bank,
    phone: Authenticator,
    database: Connections,
    capsys: pytest.CaptureFixture[str],
) -> None:
    walk.reload(activation=replace(walk.gateway.activation, code_length=12))
    opened = start(bank, phone)
    assert opened.code is not None
    message = {**order(phone, Purpose.PIN_RESET), "code": opened.code}
    phone._device("POST", "pinreset", message=message)
    assert change(phone, old=derived(NEW_PIN, SECRET), new=derived(PIN, SECRET)) == "OK"
    stored = "".join(
        row
        for table in ("pin_reset", "binding", "event")
        for (row,) in as_superuser(
            database, f"SELECT r::text FROM {table} r WHERE relying_party = %s", (walk.tenant,)
        )
    )
    captured = capsys.readouterr()
    for member in ("pin", "pinProof", "signature", "code"):
        assert message[member] not in captured.out + captured.err + stored
    for member in ("pin", "pinProof", "signature"):
        assert unb64(message[member]).hex() not in stored
