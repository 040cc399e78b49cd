"""Managing devices: the bank's operations and the device's own, on the real store and the device face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from storage_fixture import World, as_superuser, at_once
from walk import NO, PIN, Walk

from gateway.authenticator.authenticator import Authenticator
from gateway.authenticator.client import Client
from gateway.authenticator.errors import GatewayRefused
from gateway.core.canonical import b64
from gateway.core.certpath import issuer_key_id, load_certificate
from gateway.core.device_order import Purpose, order_bytes
from gateway.core.errors import (
    DeviceLocked,
    DeviceRevoked,
    GatewayError,
    InvalidValue,
    MethodLocked,
    NoActiveDevice,
    NotFound,
    TextNotDisplayable,
    TextTooLong,
)
from gateway.core.keys import sign_p256
from gateway.core.model import (
    GATEWAYS_REASONS,
    BindingState,
    Caller,
    Factor,
    LockReason,
    format_time,
    whole_seconds,
)
from gateway.core.transaction import State
from gateway.ports import Tenants
from gateway.services import devices
from gateway.services.devices import DeviceView
from gateway.storage.embedded import Connections

WITHOUT_PIN = "consent-device"


@dataclass
class Bank:
    """The relying party's calls."""

    walk: Walk

    def ask(self, operation: str, *, by: Caller | None = None, **arguments: Any) -> Any:
        function = getattr(devices, operation)
        return function(self.walk.gateway, by or self.walk.caller, at=self.walk.clock.now(), **arguments)

    def get(self, phone: Authenticator) -> DeviceView:
        view = self.ask("get_device", device_id=phone.device.binding_id)
        assert isinstance(view, DeviceView)
        return view

    def lock(self, phone: Authenticator, *, method: str | None = None, reason: str = "lost") -> DeviceView:
        return self.ask(  # type: ignore[no-any-return]
            "lock_device", device_id=phone.device.binding_id, method=method, reason=reason
        )

    def unlock(self, phone: Authenticator, *, method: str | None = None) -> DeviceView:
        return self.ask("unlock_device", device_id=phone.device.binding_id, method=method)  # type: ignore[no-any-return]

    def revoke(self, phone: Authenticator, *, reason: str = "lost") -> DeviceView:
        return self.ask("revoke_device", device_id=phone.device.binding_id, reason=reason)  # type: ignore[no-any-return]

    def history(self, phone: Authenticator) -> list[tuple[str, str, str]]:
        page = self.ask("get_device_history", device_id=phone.device.binding_id, after=None)
        return [(entry.event, entry.state, entry.reason) for entry in page.entries]


@pytest.fixture
def bank(walk: Walk) -> Bank:
    return Bank(walk)


@pytest.fixture
def phone(walk: Walk) -> Authenticator:
    return walk.phone()


def code(action: Callable[[], object]) -> str:
    with pytest.raises(GatewayRefused) as answer:
        action()
    return answer.value.code


def wrong_pins(walk: Walk, phone: Authenticator, count: int) -> UUID:
    transaction_id = walk.claimed(phone)
    for _ in range(count):
        assert code(lambda: phone.approve(transaction_id, pin="000000")) == "ASSERTION_REFUSED"
    return transaction_id


# list and get


def test_a_subject_s_devices_in_the_order_of_their_activation(walk: Walk, bank: Bank) -> None:
    first, second, other = walk.phone(), walk.phone(), walk.phone("customer-2")
    walk.approved(second)
    bank.revoke(first)
    listed = bank.ask("list_devices", external_ref="customer-1")
    assert [view.binding.id for view in listed] == [first.device.binding_id, second.device.binding_id]
    assert [view.binding.state for view in listed] == [BindingState.REVOKED, BindingState.ACTIVE]
    used = walk.store.last_used(walk.tenant, [second.device.binding_id, other.device.binding_id])
    assert [view.last_used_at for view in listed] == [None, used[second.device.binding_id]]
    assert listed[1] == bank.get(second)
    walk.register("customer-3")
    assert bank.ask("list_devices", external_ref="customer-3") == ()


def test_the_tries_that_failed_are_told_to_the_bank(walk: Walk, bank: Bank, phone: Authenticator) -> None:
    wrong_pins(walk, phone, 2)
    assert bank.get(phone).binding.failures == 2
    assert bank.get(phone).last_used_at is None


BY_ID: dict[str, dict[str, Any]] = {
    "get_device": {},
    "rename_device": {"name": "New"},
    "lock_device": {"method": None, "reason": "lost"},
    "unlock_device": {"method": None},
    "revoke_device": {"reason": "lost"},
    "get_device_history": {"after": None},
    "start_pin_reset": {"request_id": "r-1"},
}


def told(action: Callable[[], object]) -> tuple[type[GatewayError], str, str | None]:
    with pytest.raises(GatewayError) as caught:
        action()
    return type(caught.value), caught.value.message, caught.value.field


@pytest.mark.parametrize("operation", BY_ID)
def test_a_foreign_device_is_like_one_that_never_was(
    walk: Walk, bank: Bank, phone: Authenticator, operation: str
) -> None:
    walk.phone("customer-2")
    before = bank.history(phone)
    answers = [
        told(lambda i=id_: bank.ask(operation, by=walk.stranger, device_id=i, **BY_ID[operation]))
        for id_ in (phone.device.binding_id, uuid4())
    ]
    assert answers[0] == answers[1]
    assert answers[0][0] is NotFound
    assert bank.history(phone) == before
    assert bank.get(phone).binding.state is BindingState.ACTIVE


def test_a_foreign_subject_and_reset_are_like_those_that_never_were(walk: Walk, bank: Bank) -> None:
    phone = walk.phone("only-here")
    walk.phone("customer-2")
    reset = bank.ask("start_pin_reset", request_id="r", device_id=phone.device.binding_id)
    for operation, name, known, unknown in (
        ("list_devices", "external_ref", "only-here", "nowhere"),
        ("get_pin_reset", "pin_reset_id", reset.id, uuid4()),
    ):
        answers = [
            told(lambda v=value, o=operation, n=name: bank.ask(o, by=walk.stranger, **{n: v}))
            for value in (known, unknown)
        ]
        assert answers[0] == answers[1]
        assert answers[0][0] is NotFound
        bank.ask(operation, **{name: known})


# rename


def test_a_device_is_renamed_by_the_bank_and_by_itself(bank: Bank, phone: Authenticator) -> None:
    renamed = bank.ask("rename_device", device_id=phone.device.binding_id, name="Zoë's phone")
    assert renamed.binding.name == phone.status().name == "Zoë's phone"
    assert phone.rename("Mine").name == bank.get(phone).binding.name == "Mine"
    bank.ask("rename_device", device_id=phone.device.binding_id, name="Mine")
    assert bank.history(phone) == [
        ("BIND", "ACTIVE", ""),
        ("RENAME", "ACTIVE", "caller"),
        ("RENAME", "ACTIVE", "subject"),
    ]


@pytest.mark.parametrize("name", ["a​b", "a\nb"])
def test_a_name_can_be_shown(bank: Bank, phone: Authenticator, name: str) -> None:
    with pytest.raises(TextNotDisplayable):
        bank.ask("rename_device", device_id=phone.device.binding_id, name=name)
    assert code(lambda: phone.rename(name)) == "TEXT_NOT_DISPLAYABLE"
    assert bank.get(phone).binding.name == "Phone"


@pytest.mark.parametrize("external_ref", ["", "two words"])
def test_a_subject_is_named_plainly(bank: Bank, phone: Authenticator, external_ref: str) -> None:
    with pytest.raises(InvalidValue):
        bank.ask("list_devices", external_ref=external_ref)


def test_a_name_is_short(bank: Bank, phone: Authenticator) -> None:
    with pytest.raises(TextTooLong):
        bank.ask("rename_device", device_id=phone.device.binding_id, name="x" * 65)
    bank.ask("rename_device", device_id=phone.device.binding_id, name="x" * 64)
    assert bank.get(phone).binding.name == "x" * 64


# lock and unlock


def test_a_locked_device_does_nothing_more(walk: Walk, bank: Bank, phone: Authenticator) -> None:
    claimed, waiting = walk.claimed(phone), walk.start().id
    locked = bank.lock(phone)
    assert locked.binding.state is BindingState.LOCKED
    assert phone.waiting() == ()
    for action in (
        lambda: phone.claim(waiting),
        lambda: phone.approve(claimed, pin=PIN),
        lambda: phone.reject(claimed, decision=NO[0]),
        lambda: phone.state(claimed),
        lambda: phone.rename("New"),
        lambda: phone.change_pin(old_pin=PIN, new_pin="314159"),
    ):
        assert code(action) == "DEVICE_LOCKED"
    with pytest.raises(DeviceLocked):
        walk.start()
    assert phone.status().state == "LOCKED"
    assert walk.get(claimed).state is State.PENDING
    assert bank.unlock(phone).binding.state is BindingState.ACTIVE
    assert phone.approve(claimed, pin=PIN).state == "COMPLETED"


def test_what_is_so_already_is_answered_again(bank: Bank, phone: Authenticator) -> None:
    assert bank.unlock(phone).binding.state is BindingState.ACTIVE
    assert bank.lock(phone, reason="lost") == bank.lock(phone, reason="stolen")
    assert bank.unlock(phone) == bank.unlock(phone)
    assert bank.lock(phone, method="pin") == bank.lock(phone, method="pin")
    assert bank.unlock(phone, method="pin") == bank.unlock(phone, method="pin")
    assert bank.revoke(phone, reason="stolen") == bank.revoke(phone, reason="lost")
    assert bank.history(phone) == [
        ("BIND", "ACTIVE", ""),
        ("LOCK", "LOCKED", "lost"),
        ("UNLOCK", "ACTIVE", "caller"),
        ("LOCKPIN", "ACTIVE", "lost"),
        ("UNLOCKPIN", "ACTIVE", "caller"),
        ("REVOKE", "REVOKED", "stolen"),
    ]


@pytest.mark.rts("4(4)")
def test_after_too_many_failures_the_bank_opens_the_way_back(
    walk: Walk, bank: Bank, phone: Authenticator, database: Connections
) -> None:
    transaction_id = wrong_pins(walk, phone, 3)
    assert bank.get(phone).binding.state is BindingState.LOCKED
    assert bank.history(phone)[-1] == ("LOCK", "LOCKED", "failures")
    assert code(lambda: phone.approve(transaction_id, pin=PIN)) == "DEVICE_LOCKED"
    assert bank.unlock(phone).binding.failures == 0
    assert failures_of_subject(database, phone) == 0
    assert phone.approve(transaction_id, pin=PIN).state == "COMPLETED"


def failures_of_subject(database: Connections, phone: Authenticator) -> int:
    query = (
        "SELECT s.failures FROM subject s JOIN binding b ON (b.relying_party, b.subject_id) ="
        " (s.relying_party, s.id) WHERE b.id = %s::uuid"
    )
    ((count,),) = as_superuser(database, query, (str(phone.device.binding_id),))
    return int(count)


@pytest.mark.parametrize("reason", sorted(set(LockReason) - GATEWAYS_REASONS))
def test_each_reason_ends_in_the_history(bank: Bank, phone: Authenticator, reason: str) -> None:
    bank.lock(phone, reason=reason)
    bank.revoke(phone, reason=reason)
    assert bank.history(phone)[1:] == [("LOCK", "LOCKED", reason), ("REVOKE", "REVOKED", reason)]


@pytest.mark.parametrize("reason", [*sorted(GATEWAYS_REASONS), "", "Lost", "unheard-of"])
def test_no_other_reason_is_taken(bank: Bank, phone: Authenticator, reason: str) -> None:
    for action in (bank.lock, bank.revoke):
        with pytest.raises(InvalidValue) as caught:
            action(phone, reason=reason)
        assert caught.value.field == "reason"
    assert len(bank.history(phone)) == 1


@pytest.mark.parametrize("method", ["", "PIN", "device", "biometric"])
def test_no_other_method_is_taken(bank: Bank, phone: Authenticator, method: str) -> None:
    for action in (bank.lock, bank.unlock):
        with pytest.raises(InvalidValue) as caught:
            action(phone, method=method)
        assert caught.value.field == "method"


def offer_without_pin(walk: Walk) -> None:
    """Another profile beside the walk's own, for the same kind."""
    plain = replace(walk.profile, id=WITHOUT_PIN, factors=(Factor.DEVICE,))
    profiles = {walk.profile.id: walk.profile, plain.id: plain}
    parties = walk.gateway.tenants.relying_parties
    walk.reload(profiles=profiles, tenants=Tenants(parties, dict.fromkeys(parties, tuple(profiles))))


def test_a_locked_method_takes_what_needs_it_and_nothing_else(
    walk: Walk, bank: Bank, phone: Authenticator
) -> None:
    offer_without_pin(walk)
    claimed, refused = walk.claimed(phone), walk.claimed(phone)
    with_pin, plain = walk.start().id, walk.start(profile=WITHOUT_PIN).id
    locked = bank.lock(phone, method="pin", reason="fraud").binding
    assert (locked.state, locked.locked_methods) == (BindingState.ACTIVE, {Factor.PIN})
    assert phone.status().locked_methods == ("pin",)
    assert [waiting.id for waiting in phone.waiting()] == [plain]
    assert code(lambda: phone.claim(with_pin)) == "METHOD_LOCKED"
    assert code(lambda: phone.approve(claimed, pin=PIN)) == "METHOD_LOCKED"
    assert code(lambda: phone.change_pin(old_pin=PIN, new_pin="314159")) == "METHOD_LOCKED"
    with pytest.raises(MethodLocked):
        walk.start()
    assert phone.reject(refused, decision=NO[0]).state == "REJECTED"
    phone.claim(plain)
    assert phone.approve(plain, pin=None).state == "COMPLETED"
    other = walk.phone()
    assert [waiting.id for waiting in other.waiting()] == [with_pin]
    bank.unlock(phone, method="pin")
    assert phone.approve(claimed, pin=PIN).state == "COMPLETED"


def test_a_method_and_its_device_are_locked_apart(bank: Bank, phone: Authenticator) -> None:
    bank.lock(phone, method="pin")
    bank.lock(phone)
    assert bank.unlock(phone).binding.locked_methods == {Factor.PIN}
    bank.lock(phone)
    unlocked = bank.unlock(phone, method="pin").binding
    assert (unlocked.state, unlocked.locked_methods) == (BindingState.LOCKED, frozenset())


def test_a_decision_and_a_lock_of_its_method_exclude_each_other(
    walk: Walk, bank: Bank, phone: Authenticator
) -> None:
    """The store itself refuses what the service has let pass before the lock."""
    transaction = walk.get(walk.claimed(phone))
    bank.lock(phone, method="pin")
    assert not World(walk.store, walk.tenant).decide(transaction)
    assert World(walk.store, walk.tenant).decide(transaction, amr=("swk",))


@pytest.mark.parametrize("operation", ["lock", "unlock"])
def test_a_device_that_is_revoked_meanwhile_is_told_as_revoked(
    walk: Walk, bank: Bank, phone: Authenticator, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    asked = getattr(walk.store, operation)

    def late(*args: Any, **kwargs: Any) -> Any:
        bank.revoke(phone)
        return asked(*args, **kwargs)

    monkeypatch.setattr(walk.store, operation, late)
    with pytest.raises(DeviceRevoked):
        getattr(bank, operation)(phone)


def test_a_device_that_is_erased_meanwhile_is_of_nobody(
    walk: Walk, phone: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = walk.store.binding(walk.tenant, phone.device.binding_id)
    assert device is not None
    monkeypatch.setattr(walk.store, "binding", lambda *_: None)
    with pytest.raises(NotFound):
        devices.lock_own(walk.gateway, device, at=walk.clock.now())


def test_the_bank_s_lock_takes_the_place_of_one_by_failures(
    walk: Walk, bank: Bank, phone: Authenticator
) -> None:
    wrong_pins(walk, phone, 3)
    bank.lock(phone, reason="fraud")
    bank.lock(phone, reason="stolen")
    assert bank.get(phone).binding.lock_reason is LockReason.FRAUD
    assert bank.history(phone)[-2:] == [("LOCK", "LOCKED", "failures"), ("LOCK", "LOCKED", "fraud")]


# revoke


@pytest.mark.rts("27")
def test_a_revoked_device_is_refused_everywhere_at_once(walk: Walk, bank: Bank, phone: Authenticator) -> None:
    claimed = walk.claimed(phone)
    assert bank.revoke(phone).binding.state is BindingState.REVOKED
    for action in (
        phone.waiting,
        phone.status,
        phone.lock,
        phone.revoke,
        lambda: phone.claim(claimed),
        lambda: phone.approve(claimed, pin=PIN),
        lambda: phone.reject(claimed, decision=NO[0]),
        lambda: phone.rename("New"),
        lambda: phone.change_pin(old_pin=PIN, new_pin="314159"),
        lambda: phone.reset_pin(code="000000", new_pin="314159"),
    ):
        assert code(action) == "DEVICE_NOT_AUTHENTICATED"
    device_id = phone.device.binding_id
    for operation in ("rename_device", "lock_device", "unlock_device", "start_pin_reset"):
        with pytest.raises(DeviceRevoked):
            bank.ask(operation, device_id=device_id, **BY_ID[operation])
    for method in (None, "pin"):
        with pytest.raises(DeviceRevoked):
            bank.lock(phone, method=method)
        with pytest.raises(DeviceRevoked):
            bank.unlock(phone, method=method)
    with pytest.raises(NoActiveDevice):
        walk.start()
    certificate = load_certificate(phone.device.certificates[0])
    listed = [serial for serial, _ in walk.store.revoked(issuer_key_id(certificate))]
    assert listed.count(certificate.serial_number) == 1


def test_a_locked_device_can_be_revoked(bank: Bank, phone: Authenticator) -> None:
    bank.lock(phone)
    assert bank.revoke(phone).binding.state is BindingState.REVOKED


def test_a_revocation_ends_what_only_this_device_could_decide(
    walk: Walk, bank: Bank, phone: Authenticator, database: Connections
) -> None:
    second, stranger = walk.phone(), walk.phone("customer-2")
    approved = walk.approved(phone)
    by_first, by_second, free = walk.claimed(phone), walk.claimed(second), walk.start().id
    elsewhere = walk.claimed(stranger, "customer-2")
    bank.revoke(phone)
    states = [walk.get(id_).state for id_ in (approved, by_first, by_second, free, elsewhere)]
    pending = State.PENDING
    assert states == [State.COMPLETED, State.BLOCKED, pending, State.REQUESTED, pending]
    bank.lock(second)
    bank.revoke(second)
    states = [walk.get(id_).state for id_ in (by_second, free, elsewhere)]
    assert states == [State.BLOCKED, State.BLOCKED, pending]
    query = "SELECT name, state, reason FROM event WHERE entity_id = %s::uuid ORDER BY id DESC LIMIT 1"
    for id_ in (by_first, by_second, free):
        assert as_superuser(database, query, (str(id_),)) == [("BLOCK", "BLOCKED", "device-revoked")]


def test_one_of_many_revocations_is_the_one(bank: Bank, phone: Authenticator) -> None:
    answers = at_once(*(lambda: bank.revoke(phone).binding.state for _ in range(8)))
    assert set(answers) == {BindingState.REVOKED}
    assert [event for event, _, _ in bank.history(phone)] == ["BIND", "REVOKE"]


# history


def test_the_history_comes_in_pages_oldest_first(walk: Walk, bank: Bank, phone: Authenticator) -> None:
    other = walk.phone()
    bank.lock(other)
    binding = bank.get(phone).binding
    for number in range(devices.HISTORY_PAGE + 4):
        at = walk.clock.now() + timedelta(milliseconds=10 * (number + 1))
        assert walk.store.rename(binding, name=f"n{number}", reason=LockReason.CALLER, at=at)
    first = bank.ask("get_device_history", device_id=binding.id, after=None)
    assert len(first.entries) == devices.HISTORY_PAGE
    assert first.next == first.entries[-1].id
    last = bank.ask("get_device_history", device_id=binding.id, after=first.next)
    assert (len(last.entries), last.next) == (6, None)
    entries = [*first.entries, *last.entries]
    assert [entry.event for entry in entries] == ["BIND", "ALERT"] + ["RENAME"] * (devices.HISTORY_PAGE + 4)
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)


# the device itself


def test_a_device_reaches_itself_alone(walk: Walk, bank: Bank, phone: Authenticator) -> None:
    second, foreign = walk.phone(), Walk(walk.store).phone()
    for other in (second.device.binding_id, foreign.device.binding_id, uuid4()):
        client = Client(phone.device.gateway_url, phone.device.relying_party.id, walk.transport)
        for method, verb, message in (
            ("GET", "", None),
            ("POST", "/name", {"name": "New"}),
            ("POST", "/lock", None),
            ("POST", "/revocation", phone._order(Purpose.REVOCATION)),
        ):
            refused = code(
                lambda m=method, v=verb, b=message, o=other, c=client: c.signed(
                    m,
                    f"devices/{o}{v}",
                    key=phone.device.transport,
                    key_id=phone.device.binding_id,
                    at=walk.clock.now(),
                    message=b,
                )
            )
            assert refused == "NOT_FOUND"
    assert bank.history(second) == [("BIND", "ACTIVE", "")]
    assert bank.history(phone) == [("BIND", "ACTIVE", ""), ("ALERT", "ACTIVE", "new-device")]


def test_the_panic_button_locks_and_only_the_bank_unlocks(bank: Bank, phone: Authenticator) -> None:
    assert phone.lock().state == "LOCKED"
    assert phone.lock().state == "LOCKED"
    assert bank.history(phone)[1:] == [("LOCK", "LOCKED", "subject")]
    with pytest.raises(DeviceLocked):
        bank.ask("start_pin_reset", request_id="r", device_id=phone.device.binding_id)
    assert bank.unlock(phone).binding.state is BindingState.ACTIVE


@pytest.mark.parametrize("locked", [False, True])
def test_a_person_removes_their_phone(bank: Bank, phone: Authenticator, locked: bool) -> None:
    if locked:
        phone.lock()
    assert phone.revoke().state == "REVOKED"
    assert bank.history(phone)[-1] == ("REVOKE", "REVOKED", "subject")
    assert code(phone.status) == "DEVICE_NOT_AUTHENTICATED"


def revocation(phone: Authenticator, **changes: Any) -> dict[str, str]:
    """A revocation as the phone would make it, but for what is changed."""
    at = changes.pop("at", phone._clock())
    signer = changes.pop("signer", phone.device.signing)
    said = changes.pop("said", at)
    asked = {
        "purpose": Purpose.REVOCATION,
        "relying_party": phone.device.relying_party.id,
        "binding_id": phone.device.binding_id,
        "at": whole_seconds(at),
        **changes,
    }
    data = order_bytes(asked.pop("purpose"), **asked)
    return {"signingTime": format_time(said), "signature": b64(sign_p256(signer, data))}


MINUTE = timedelta(seconds=63)
WRONG: dict[str, Callable[[Authenticator], dict[str, str]]] = {
    "transport key": lambda phone: revocation(phone, signer=phone.device.transport),
    "another purpose": lambda phone: revocation(phone, purpose=Purpose.PIN_CHANGE),
    "another device": lambda phone: revocation(phone, binding_id=UUID(int=1)),
    "another bank": lambda phone: revocation(phone, relying_party="other-bank"),
    "another time": lambda phone: revocation(phone, said=phone._clock() + timedelta(seconds=2)),
    "an old one": lambda phone: revocation(phone, at=phone._clock() - MINUTE),
    "one to come": lambda phone: revocation(phone, at=phone._clock() + MINUTE),
    "no signature": lambda phone: {**revocation(phone), "signature": b64(bytes(64))},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_silent_access_to_the_phone_does_not_remove_it(bank: Bank, phone: Authenticator, wrong: str) -> None:
    assert code(lambda: phone._device("POST", "revocation", message=WRONG[wrong](phone))) == "PROOF_REFUSED"
    assert bank.get(phone).binding.state is BindingState.ACTIVE
    phone._device("POST", "revocation", message=revocation(phone))
    assert bank.get(phone).binding.state is BindingState.REVOKED
