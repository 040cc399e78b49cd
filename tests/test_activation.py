"""Registration and activation over a real Postgres: two halves, once, by whoever may, and what it ends."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography import x509
from device_harness import validator
from storage_fixture import as_superuser, at_once
from walk import PIN, URL, Walk

from gateway.authenticator.authenticator import Authenticator
from gateway.authenticator.errors import GatewayRefused, GatewayUnreachable, NotTrusted
from gateway.core import httpsig
from gateway.core.activation import b64url, code_alphabet, parse_artifact_link
from gateway.core.client import Client, ClientRule, ClientRules, parse_client, version_key
from gateway.core.errors import DeviceLimitReached, InvalidValue, RequestIdReused
from gateway.core.keys import sign_p256
from gateway.core.model import BindingState, LockReason, RegistrationPurpose, RegistrationState
from gateway.services import enrolment
from gateway.storage.embedded import Connections

NOBODY = "ACTIVATION_REFUSED"


def start(walk: Walk, purpose: str | None = None, *, reference: str = "customer-1") -> Any:
    return enrolment.start_registration(
        walk.gateway,
        walk.caller,
        request_id=secrets.token_hex(8),
        external_ref=reference,
        attributes=(),
        purpose=purpose,
        at=walk.clock.now(),
    )


def issue(walk: Walk, *, request_id: str | None = None, purpose: str | None = None) -> Any:
    return enrolment.issue_artifact(
        walk.gateway,
        walk.caller,
        request_id=request_id or secrets.token_hex(8),
        external_ref="customer-1",
        attributes=(),
        purpose=purpose,
        at=walk.clock.now(),
    )


def look(walk: Walk, registration_id: UUID) -> Any:
    return enrolment.get_registration(
        walk.gateway, walk.caller, registration_id=registration_id, at=walk.clock.now()
    )


def activate(walk: Walk, opened: Any, **changes: Any) -> Authenticator:
    asked = {
        "link": opened.activation.qr_payload,
        "code": opened.activation.code,
        "pin": PIN,
        "name": "Phone",
        "transport": walk.transport,
        "clock": walk.clock.now,
    } | changes
    return Authenticator.activate(asked.pop("link"), **asked)


def refused(walk: Walk, opened: Any, **changes: Any) -> str:
    with pytest.raises(GatewayRefused) as caught:
        activate(walk, opened, **changes)
    return caught.value.code


def state(walk: Walk, phone: Authenticator) -> BindingState:
    found = walk.store.binding(walk.tenant, phone.device.binding_id)
    assert found is not None
    return found.state


def events(database: Connections, entity_id: UUID) -> list[tuple[str, str]]:
    """(name, reason), in the order of their ids, which is that of time."""
    return as_superuser(  # type: ignore[return-value]
        database, "SELECT name, reason FROM event WHERE entity_id = %s::uuid ORDER BY id", (str(entity_id),)
    )


def wrong(walk: Walk, code: str) -> str:
    alphabet = walk.gateway.activation.code_alphabet
    return alphabet[(alphabet.index(code[0]) + 1) % len(alphabet)] + code[1:]


def listed(walk: Walk, phone: Authenticator) -> bool:
    crl = x509.load_der_x509_crl(walk.gateway.device_ca.crl(at=walk.clock.now()))
    certificate = x509.load_der_x509_certificate(phone.device.certificates[0])
    return crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None


def post(walk: Walk, path: str, message: Mapping[str, Any], *, tenant: str | None = None) -> tuple[int, Any]:
    status, body = walk.transport(
        "POST",
        f"{URL}/device/v1/{tenant or walk.tenant}/{path}",
        {"content-type": "application/json"},
        json.dumps(message).encode(),
    )
    answer = json.loads(body)
    answer.pop("correlationId", None)
    return status, answer


# codes


@pytest.mark.parametrize(
    ("text", "length", "alphabet"),
    [
        ("digits", 4, "0123456789"),
        ("digits", 12, "0123456789"),
        ("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 4, "0123456789ABCDEFGHJKMNPQRSTVWXYZ"),
        ("ABCD", 7, "ABCD"),
    ],
)
def test_alphabets_that_serve(text: str, length: int, alphabet: str) -> None:
    assert code_alphabet(text, length=length) == alphabet


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("digits", 3),
        ("digits", 13),
        ("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 3),  # 32768 codes
        ("ABCD", 6),  # 4096 codes
        ("AB", 12),  # 4096 codes
        ("AABCDEFGH", 8),
        ("abcdefghjk", 8),
        ("0123456789O", 8),
        ("1I23456789", 8),
        ("ILMNPQRSTU", 8),
        ("ABCDEFGHÄ", 8),
        ("ABCDEFG-", 8),
        ("A", 12),
        ("", 12),
    ],
)
def test_alphabets_that_could_be_guessed_or_misread_are_refused(text: str, length: int) -> None:
    with pytest.raises(ValueError):
        code_alphabet(text, length=length)


def test_a_code_is_of_the_configured_alphabet_and_length_and_is_typed_in_any_case(walk: Walk) -> None:
    rules = replace(walk.gateway.activation, code_alphabet="ACDEFGHJKMNPQRTUVWXY", code_length=9)
    walk.reload(activation=rules)
    codes = []
    for _ in range(50):
        code = start(walk).activation.code
        assert len(code) == 9
        assert set(code) <= set(rules.code_alphabet)
        codes.append(code)
    assert {character for code in codes for character in code} == set(rules.code_alphabet)
    opened = start(walk)
    assert activate(walk, opened, code=opened.activation.code.lower()).waiting() == ()


def test_a_code_of_digits_is_the_one_that_it_was(walk: Walk) -> None:
    """Open activations outlive an update."""
    rules = replace(walk.gateway.activation, secret=bytes(32))
    for number in range(20):
        mac = hmac.digest(bytes(32), b"activation-code:" + UUID(int=number).bytes, hashlib.sha256)
        assert rules.code(UUID(int=number)) == str(int.from_bytes(mac, "big") % 10**6).zfill(6)


# each half alone


@pytest.mark.rts("24-27")
def test_each_half_alone_never_activates(walk: Walk, database: Connections) -> None:
    """The link without the code, the code without the link, and no half of another registration's."""
    mine, other = start(walk), start(walk, reference="customer-2")
    assert refused(walk, mine, code=other.activation.code) == NOBODY  # or one in a million
    elsewhere = mine.activation.qr_payload.replace(str(mine.activation.id), str(uuid4()))
    assert refused(walk, mine, link=elsewhere) == NOBODY
    foreign = mine.activation.qr_payload.replace(f"rp={walk.tenant}&", f"rp={walk.other}&")
    assert refused(walk, mine, link=foreign) == NOBODY
    assert refused(walk, mine, code=None, recovery_code="A" * 26) == NOBODY
    assert walk.store.registration(walk.tenant, mine.id).failures == 2  # type: ignore[union-attr]
    assert activate(walk, mine).waiting() == ()


@pytest.mark.rts("24-27")
@pytest.mark.rts("4(3)(b)")
def test_fifty_wrong_codes_at_once_count_as_three(walk: Walk, database: Connections) -> None:
    opened = start(walk)
    message: dict[str, Any] = {}

    def keep(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        message.update(json.loads(body))
        return 403, b"{}"

    with pytest.raises(GatewayRefused):
        activate(walk, opened, transport=keep)
    guess = message | {"code": wrong(walk, opened.activation.code)}
    path = f"activations/{opened.activation.id}"
    answers = at_once(*[lambda: post(walk, path, guess)] * 50)
    assert {(status, answer["code"]) for status, answer in answers} == {(403, NOBODY)}
    assert len({json.dumps(answer) for _, answer in answers}) == 1
    standing = walk.store.registration(walk.tenant, opened.id)
    assert standing is not None
    assert (standing.failures, standing.state) == (3, RegistrationState.BLOCKED)
    print(f"50 wrong codes at once: {standing.failures} counted, {standing.state}")
    assert post(walk, path, message) == answers[0], "the right code comes too late, and is told nothing else"
    steps = [name for name, _ in events(database, opened.id)]
    assert (steps[0], Counter(steps)) == ("START", {"START": 1, "FAILTRY": 3, "BLOCK": 1})


@pytest.mark.rts("24-27")
def test_twenty_activations_at_once_bind_one_device(walk: Walk) -> None:
    opened = start(walk)

    def one() -> str:
        try:
            return str(activate(walk, opened).device.binding_id)
        except GatewayRefused as error:
            return error.code

    answers = at_once(*[one] * 20)
    bound = [answer for answer in answers if answer != NOBODY]
    assert len(bound) == 1
    print(f"20 activations at once: {len(bound)} bound, {answers.count(NOBODY)} refused")


# an answer that was lost


def lossy(walk: Walk, *, times: int = 1) -> Any:
    """A transport that does what is asked and loses the answer."""
    left = [times]

    def send(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        answer = walk.transport(method, url, headers, body)
        if left[0]:
            left[0] -= 1
            raise GatewayUnreachable("lost")
        return answer

    return send


def test_a_lost_answer_is_given_again_to_the_very_same_request(walk: Walk) -> None:
    opened = start(walk)
    phone = activate(walk, opened, transport=lossy(walk), leave_recovery=True)
    assert phone.device.binding_id == look(walk, opened.id).binding_id
    assert phone.recovery_code is not None
    assert walk.approved(phone)


def test_anything_different_is_refused_after_an_activation(walk: Walk) -> None:
    opened = start(walk)
    sent: list[bytes] = []

    def keep(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        sent.append(body)
        return walk.transport(method, url, headers, body)

    phone = activate(walk, opened, transport=keep)
    message = json.loads(sent[0])
    path = f"activations/{opened.activation.id}"
    status, first = post(walk, path, message)
    assert (status, first["bindingId"]) == (201, str(phone.device.binding_id))
    another = json.loads(json.dumps(message))
    another["proofs"]["pin"] = message["proofs"]["signing"]
    for changed in (
        message | {"code": wrong(walk, message["code"])},
        message | {"name": "Another"},
        message | {"platform": "another"},
        message | {"pushTarget": "token"},
        message | {"client": {"name": "app", "version": "1"}},
        another,
    ):
        assert post(walk, path, changed)[1]["code"] == NOBODY
    assert post(walk, path, message, tenant=walk.other)[1]["code"] == NOBODY
    assert post(walk, path, message)[0] == 201, "no failure is counted once it is over"
    walk.clock.ahead = timedelta(seconds=3601)
    assert post(walk, path, message)[1]["code"] == NOBODY
    walk.clock.ahead = timedelta()
    assert walk.store.revoke(walk.tenant, phone.device.binding_id, at=walk.clock.now())
    assert post(walk, path, message)[1]["code"] == NOBODY


def test_of_an_activation_no_code_is_kept(walk: Walk, database: Connections) -> None:
    rules = replace(walk.gateway.activation, code_alphabet="ACDEFGHJKMNPQRTUVWXY", code_length=12)
    walk.reload(activation=rules)
    opened, issued = start(walk), issue(walk)
    phone = activate(walk, opened, leave_recovery=True)
    secret = [opened.activation.code, issued.artifact, phone.recovery_code]
    secret.append(parse_artifact_link(issued.link).artifact.hex())
    for table in ("registration", "binding", "recovery", "event", "subject"):
        dumped = as_superuser(
            database, f"SELECT r::text FROM {table} r WHERE relying_party = %s", (walk.tenant,)
        )
        assert dumped
        for (row,) in dumped:
            for value in secret:
                assert value is not None
                assert value not in row
                assert value.encode().hex() not in row


# app-initiated


@pytest.mark.rts("24-27")
def test_an_artifact_gives_the_app_the_first_half_and_the_bank_the_second(
    walk: Walk, database: Connections
) -> None:
    issued = issue(walk)
    assert issued.registration.state is RegistrationState.ISSUED
    assert issued.registration.activation is None
    assert look(walk, issued.registration.id).activation is None, "no code before the app has begun"
    link = Authenticator.register(issued.link, transport=walk.transport)
    seen = look(walk, issued.registration.id)
    assert (seen.state, seen.activation.qr_payload) == (RegistrationState.PENDING, link)
    assert seen.activation.code not in link
    phone = activate(walk, seen, link=link)
    assert look(walk, seen.id).binding_id == phone.device.binding_id
    assert [name for name, _ in events(database, seen.id)] == ["START", "REDEEM", "ACTIVATE"]


@pytest.mark.rts("24-27")
def test_an_artifact_serves_once_however_many_race(walk: Walk) -> None:
    issued = issue(walk)
    answers = at_once(*[lambda: post(walk, "registrations", {"artifact": issued.artifact})] * 20)
    validator("registrationResponse").validate(next(answer for status, answer in answers if status == 201))
    statuses = [status for status, _ in answers]
    assert (statuses.count(201), statuses.count(403)) == (1, 19)
    print(f"20 redemptions of one artifact at once: {statuses.count(201)} registration")


@pytest.mark.rts("24-27")
def test_wrong_used_expired_and_foreign_artifacts_are_one_refusal(walk: Walk) -> None:
    used, expired, foreign = issue(walk), issue(walk), issue(walk)
    assert post(walk, "registrations", {"artifact": used.artifact})[0] == 201
    answers = [
        post(walk, "registrations", {"artifact": used.artifact}),
        post(walk, "registrations", {"artifact": b64url(secrets.token_bytes(32))}),
        post(walk, "registrations", {"artifact": foreign.artifact}, tenant=walk.other),
        post(walk, "registrations", {"artifact": foreign.artifact}, tenant="no-such-bank"),
    ]
    walk.clock.ahead = timedelta(seconds=301)
    answers.append(post(walk, "registrations", {"artifact": expired.artifact}))
    assert look(walk, expired.registration.id).state is RegistrationState.EXPIRED
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][1]["code"] == NOBODY
    walk.clock.ahead = timedelta()
    assert post(walk, "registrations", {"artifact": foreign.artifact})[0] == 201, "nobody else spent it"


def test_an_issue_that_is_repeated_answers_the_same_artifact(walk: Walk) -> None:
    first = issue(walk, request_id="r")
    assert issue(walk, request_id="r") == first
    with pytest.raises(RequestIdReused):
        issue(walk, request_id="r", purpose="re-activation")
    with pytest.raises(RequestIdReused):
        enrolment.start_registration(
            walk.gateway,
            walk.caller,
            request_id="r",
            external_ref="customer-1",
            attributes=(),
            at=walk.clock.now(),
        )
    assert walk.gateway.activation.artifact(uuid4()) != walk.gateway.activation.artifact(uuid4())


def test_the_app_believes_only_the_gateway_that_the_bank_named(walk: Walk) -> None:
    issued = issue(walk)
    other = start(walk).activation.qr_payload.replace(
        "http%3A%2F%2F127.0.0.1%3A1", "http%3A%2F%2F127.0.0.1%3A2"
    )

    def liar(*_: Any) -> tuple[int, bytes]:
        return 201, json.dumps({"activationLink": other, "expiresAt": "2026-03-02T09:30:00Z"}).encode()

    with pytest.raises(NotTrusted):
        Authenticator.register(issued.link, transport=liar)
    with pytest.raises(NotTrusted):
        Authenticator.register(issued.link + "&x=1", transport=liar)


# re-activation


@pytest.mark.rts("24-27")
@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("purpose", [None, "re-activation"])
def test_a_replaced_device_is_revoked_with_the_activation(
    walk: Walk, database: Connections, purpose: str | None, locked: bool
) -> None:
    former = walk.phone()
    if locked:
        for _ in range(3):
            walk.store.reserve_try(walk.tenant, former.device.binding_id, max_failures=3)
        walk.store.lock_if_spent(walk.tenant, former.device.binding_id, max_failures=3, at=walk.clock.now())
        assert state(walk, former) is BindingState.LOCKED
    phone = activate(walk, start(walk, purpose), replaces=former.device)
    assert (state(walk, former), state(walk, phone)) == (BindingState.REVOKED, BindingState.ACTIVE)
    assert (listed(walk, former), listed(walk, phone)) == (True, False)
    assert events(database, former.device.binding_id)[-1] == ("REVOKE", "replaced")
    assert phone.notices() == ()
    assert walk.approved(phone), "the subject's failures began anew"
    with pytest.raises(GatewayRefused) as caught:
        former.waiting()
    assert caught.value.code == "DEVICE_NOT_AUTHENTICATED"


@pytest.mark.rts("24-27")
def test_one_device_is_replaced_once_however_many_race(walk: Walk) -> None:
    former = walk.phone()
    opened = [start(walk, "re-activation") for _ in range(6)]

    def one(each: Any) -> str:
        try:
            return str(activate(walk, each, replaces=former.device).device.binding_id)
        except GatewayRefused as error:
            return error.code

    answers = at_once(*[lambda each=each: one(each) for each in opened])
    assert answers.count(NOBODY) == 5
    print(f"6 replacements of one device at once: {6 - answers.count(NOBODY)} bound")


@pytest.mark.rts("24-27")
def test_who_does_not_have_the_former_key_replaces_nothing(
    walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no certificate is issued."""
    mine, stranger = walk.phone(), walk.phone("customer-2")
    gone = walk.phone()
    assert walk.store.revoke(walk.tenant, gone.device.binding_id, at=walk.clock.now())
    key = stranger.device.transport
    monkeypatch.setattr(walk.gateway.device_ca, "issue", lambda *_, **__: pytest.fail("issued"))
    for former in (
        None,  # named nothing
        replace(mine.device, transport=key),  # without its key
        replace(mine.device, transport=mine.device.signing),  # with another of its keys
        stranger.device,  # another subject's, with its key
        replace(mine.device, binding_id=uuid4()),  # nobody's
        gone.device,
    ):
        assert refused(walk, start(walk, "re-activation"), replaces=former) == NOBODY
    assert state(walk, mine) is state(walk, stranger) is BindingState.ACTIVE


@pytest.mark.rts("24-27")
def test_a_former_binding_cannot_be_put_into_nor_taken_out_of_a_request(walk: Walk) -> None:
    former, other, opened = walk.phone(), walk.phone(), start(walk)
    sent: list[bytes] = []

    def keep(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        sent.append(body)
        raise GatewayUnreachable("never sent")

    for replaces in (former.device, None):
        with pytest.raises(GatewayUnreachable):
            activate(walk, opened, replaces=replaces, leave_recovery=True, transport=keep)
    extended, plain = json.loads(sent[0]), json.loads(sent[-1])
    changed = [
        {name: value for name, value in extended.items() if name != "former"},
        {name: value for name, value in extended.items() if name != "recoveryDigest"},
        extended | {"former": extended["former"] | {"bindingId": str(other.device.binding_id)}},
        extended | {"recoveryDigest": "A" * 43 + "="},
        plain | {"former": extended["former"]},
    ]
    for message in changed:
        opened = start(walk)
        assert (
            post(walk, f"activations/{opened.activation.id}", message | {"code": opened.activation.code})[0]
            == 403
        )
    assert state(walk, former) is state(walk, other) is BindingState.ACTIVE


# recovery


@pytest.mark.rts("24-27")
def test_a_recovery_code_serves_once_in_the_place_of_the_code_and_ends_every_other_device(
    walk: Walk, database: Connections
) -> None:
    lost = activate(walk, start(walk), leave_recovery=True)
    second = walk.phone()
    code = lost.recovery_code
    assert code is not None
    opened = start(walk, "recovery")
    assert opened.activation.code is None
    spelled = "-".join(code[i : i + 4] for i in range(0, 26, 4)).lower()
    phone = activate(walk, opened, recovery_code=spelled)
    assert [state(walk, each) for each in (lost, second, phone)] == ["REVOKED", "REVOKED", "ACTIVE"]
    assert listed(walk, lost)
    assert listed(walk, second)
    for each in (lost, second):
        assert events(database, each.device.binding_id)[-1] == ("REVOKE", "lost")
    assert events(database, phone.device.binding_id) == [("BIND", "recovery")]
    assert walk.approved(phone)
    assert refused(walk, start(walk, "recovery"), recovery_code=code) == NOBODY
    assert state(walk, phone) is BindingState.ACTIVE


@pytest.mark.rts("24-27")
def test_a_recovery_code_is_no_code_and_a_code_no_recovery_code(walk: Walk) -> None:
    lost = activate(walk, start(walk), leave_recovery=True)
    other = activate(walk, start(walk, reference="customer-2"), leave_recovery=True)
    assert refused(walk, start(walk), code=None, recovery_code=lost.recovery_code) == NOBODY
    opened = start(walk, "recovery")
    code = walk.gateway.activation.code(opened.id)
    assert refused(walk, opened, code=code) == NOBODY
    assert refused(walk, opened, recovery_code=other.recovery_code) == NOBODY
    assert state(walk, lost) is BindingState.ACTIVE
    assert refused(walk, opened, recovery_code="A" * 26) == NOBODY
    assert refused(walk, opened, recovery_code=lost.recovery_code) == NOBODY, "three tries, and it is blocked"
    assert look(walk, opened.id).state is RegistrationState.BLOCKED
    assert activate(walk, start(walk, "recovery"), recovery_code=lost.recovery_code)


@pytest.mark.rts("24-27")
def test_a_recovery_code_that_many_use_at_once_binds_one_device(walk: Walk) -> None:
    lost = activate(walk, start(walk), leave_recovery=True)
    opened = [start(walk, "recovery") for _ in range(6)]

    def one(each: Any) -> str:
        try:
            return str(activate(walk, each, recovery_code=lost.recovery_code).device.binding_id)
        except GatewayRefused as error:
            return error.code

    answers = at_once(*[lambda each=each: one(each) for each in opened])
    assert answers.count(NOBODY) == 5
    print(f"6 uses of one recovery code at once: {6 - answers.count(NOBODY)} bound")


def test_the_newest_recovery_code_counts_alone(walk: Walk) -> None:
    first = activate(walk, start(walk), leave_recovery=True)
    newest = activate(walk, start(walk), leave_recovery=True)
    walk.phone()
    assert refused(walk, start(walk, "recovery"), recovery_code=first.recovery_code) == NOBODY
    found = activate(walk, start(walk, "recovery"), recovery_code=newest.recovery_code, leave_recovery=True)
    assert found.recovery_code not in (None, first.recovery_code, newest.recovery_code)
    assert activate(walk, start(walk, "recovery"), recovery_code=found.recovery_code)


def test_a_recovery_whose_answer_was_lost_is_answered_again(walk: Walk) -> None:
    lost = activate(walk, start(walk), leave_recovery=True)
    opened = start(walk, "recovery")
    phone = activate(walk, opened, recovery_code=lost.recovery_code, transport=lossy(walk))
    assert look(walk, opened.id).binding_id == phone.device.binding_id


def test_without_recovery_codes_there_is_no_recovery(walk: Walk) -> None:
    kept = activate(walk, start(walk), leave_recovery=True)
    opened = start(walk, "recovery")
    walk.reload(activation=replace(walk.gateway.activation, recovery_codes=False))
    assert refused(walk, opened, recovery_code=kept.recovery_code) == NOBODY
    assert activate(walk, start(walk), leave_recovery=True).recovery_code is None
    with pytest.raises(InvalidValue):
        start(walk, "recovery")
    with pytest.raises(InvalidValue):
        start(walk, "anything")
    assert start(walk, "re-activation").purpose is RegistrationPurpose.REACTIVATION


def test_who_leaves_no_recovery_code_is_told_of_none(walk: Walk) -> None:
    told: list[Any] = []

    def hearing(*request: Any) -> tuple[int, bytes]:
        status, body = walk.transport(*request)
        told.append(json.loads(body).get("recovery", False))
        return status, body

    activate(walk, start(walk), transport=hearing)
    activate(walk, start(walk), transport=hearing, leave_recovery=True)
    assert told == [False, True]


# alerts


@pytest.mark.rts("24-27")
def test_a_new_device_alerts_the_others_of_its_subject(walk: Walk, database: Connections) -> None:
    first = walk.phone()
    walk.phone("customer-2")
    locked, gone = walk.phone(), walk.phone()
    for phone in (first, locked, gone):
        for told in phone.notices():
            phone.saw(told.id)
    walk.store.reserve_try(walk.tenant, locked.device.binding_id, max_failures=1)
    walk.store.lock_if_spent(walk.tenant, locked.device.binding_id, max_failures=1, at=walk.clock.now())
    walk.store.revoke(walk.tenant, gone.device.binding_id, at=walk.clock.now())
    stranger = walk.phone("customer-2")
    new = activate(walk, start(walk), name="Zoë's tablet")
    validator("noticeList").validate(first._ask("GET", "notices"))
    (told,) = first.notices()
    assert (told.kind, told.name) == ("new-device", "Zoë's tablet")
    assert locked.notices() == new.notices() == stranger.notices() == ()
    assert events(database, new.device.binding_id) == [("BIND", "")]
    assert events(database, first.device.binding_id)[-1] == ("ALERT", "new-device")
    assert ("ALERT", "new-device") not in events(database, stranger.device.binding_id)
    first.saw(told.id)
    first.saw(told.id)
    assert first.notices() == ()
    activate(walk, start(walk))
    (unseen,) = first.notices()
    walk.store.lock(walk.tenant, first.device.binding_id, reason=LockReason.LOST, at=walk.clock.now())
    with pytest.raises(GatewayRefused) as caught:
        first.saw(unseen.id)
    assert caught.value.code == "DEVICE_LOCKED"
    walk.store.unlock(walk.tenant, first.device.binding_id, reason=LockReason.CALLER, at=walk.clock.now())
    assert first.notices() == (unseen,), "it is still to be shown"
    for phone, notice_id in ((stranger, told.id), (new, told.id), (first, uuid4())):
        with pytest.raises(GatewayRefused) as caught:
            phone.saw(notice_id)
        assert caught.value.code == "NOT_FOUND"


def test_the_alerted_devices_are_woken_and_nothing_is_said(walk: Walk) -> None:
    one = activate(walk, start(walk), push_target="one")
    activate(walk, start(walk))  # has no push target
    (first,) = walk.store.take_wakes(walk.tenant, at=walk.clock.now(), lease_seconds=1, limit=9)
    assert (first.push_targets, first.transaction_id) == (("one",), None)
    activate(walk, start(walk), push_target="three")
    wakes = walk.store.take_wakes(walk.tenant, at=walk.clock.now(), lease_seconds=1, limit=9)
    assert [wake.push_targets for wake in wakes] == [("one",)], "and the new one itself is not"
    walk.store.wake_sent(wakes[0], at=walk.clock.now())
    later = walk.clock.now() + timedelta(seconds=5)
    assert len(walk.store.take_wakes(walk.tenant, at=later, lease_seconds=1, limit=9)) == 1
    for told in one.notices():
        one.saw(told.id)
    later += timedelta(seconds=5)
    assert walk.store.take_wakes(walk.tenant, at=later, lease_seconds=1, limit=9) == [], (
        "it was seen meanwhile"
    )


# limits


def limited(walk: Walk, devices: int) -> None:
    walk.reload(activation=replace(walk.gateway.activation, max_devices=devices))


def test_a_subject_has_no_more_devices_than_it_may(walk: Walk) -> None:
    limited(walk, 2)
    request_id = secrets.token_hex(8)

    def first() -> Any:
        return enrolment.start_registration(
            walk.gateway, walk.caller, request_id=request_id, external_ref="customer-1", attributes=(),
            at=walk.clock.now(),
        )  # fmt: skip

    opened, early = first(), [start(walk) for _ in range(3)]
    phone = activate(walk, opened)
    activate(walk, early[0])
    with pytest.raises(DeviceLimitReached):
        start(walk)
    with pytest.raises(DeviceLimitReached):
        issue(walk)
    assert start(walk, reference="customer-2").state is RegistrationState.PENDING
    assert first().id == opened.id, "what was started is answered"
    assert refused(walk, early[1]) == "DEVICE_LIMIT_REACHED"
    assert refused(walk, early[2], code=wrong(walk, early[2].activation.code)) == NOBODY, "told to no guesser"
    assert activate(walk, start(walk, "re-activation"), replaces=phone.device)
    with pytest.raises(DeviceLimitReached):
        start(walk)
    limited(walk, 3)
    assert activate(walk, start(walk))


def test_activations_that_race_keep_the_limit(walk: Walk) -> None:
    limited(walk, 3)
    opened = [start(walk) for _ in range(12)]

    def one(each: Any) -> str:
        try:
            return str(activate(walk, each).device.binding_id)
        except GatewayRefused as error:
            return error.code

    answers = at_once(*[lambda each=each: one(each) for each in opened])
    assert answers.count("DEVICE_LIMIT_REACHED") == 9
    registration = walk.store.registration(walk.tenant, opened[0].id)
    assert registration is not None
    assert len(walk.store.bindings_of(walk.tenant, registration.subject_id)) == 3
    print(f"12 activations at once of a subject who may have 3 devices: {12 - 9} bound")


def test_a_locked_device_counts_and_a_revoked_one_does_not(walk: Walk) -> None:
    limited(walk, 1)
    phone = walk.phone()
    walk.store.reserve_try(walk.tenant, phone.device.binding_id, max_failures=1)
    walk.store.lock_if_spent(walk.tenant, phone.device.binding_id, max_failures=1, at=walk.clock.now())
    with pytest.raises(DeviceLimitReached):
        start(walk)
    assert walk.store.revoke(walk.tenant, phone.device.binding_id, at=walk.clock.now())
    assert activate(walk, start(walk))


# what happens between a try and its commit


def once_before(monkeypatch: pytest.MonkeyPatch, walk: Walk, happens: Callable[[], object]) -> None:
    """Something happens in the last moment before a device is bound."""
    bind = walk.store.activate

    def late(*args: Any, **kwargs: Any) -> bool:
        monkeypatch.setattr(walk.store, "activate", bind)
        happens()
        return bind(*args, **kwargs)

    monkeypatch.setattr(walk.store, "activate", late)


def test_a_request_that_raced_itself_is_answered(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    bind = walk.store.activate

    def twice(*args: Any, **kwargs: Any) -> bool:
        assert bind(*args, **kwargs)
        return bind(*args, **kwargs)

    monkeypatch.setattr(walk.store, "activate", twice)
    opened = start(walk)
    assert look(walk, opened.id).binding_id is None
    assert activate(walk, opened).device.binding_id == look(walk, opened.id).binding_id


def test_a_former_device_that_is_revoked_meanwhile_is_not_replaced(
    walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no limit is told: the revoked ones do not count."""
    limited(walk, 1)
    assert walk.store.revoke(walk.tenant, walk.phone().device.binding_id, at=walk.clock.now())
    former = walk.phone()
    gone = lambda: walk.store.revoke(walk.tenant, former.device.binding_id, at=walk.clock.now())  # noqa: E731
    once_before(monkeypatch, walk, gone)
    assert refused(walk, start(walk, "re-activation"), replaces=former.device) == NOBODY


def test_a_recovery_code_that_is_spent_meanwhile_binds_nothing(
    walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no limit is told: a recovery has none."""
    limited(walk, 1)
    code = activate(walk, start(walk), leave_recovery=True).recovery_code
    first, second = start(walk, "recovery"), start(walk, "recovery")
    once_before(monkeypatch, walk, lambda: activate(walk, second, recovery_code=code))
    assert refused(walk, first, recovery_code=code) == NOBODY


def test_a_registration_that_is_gone_meanwhile_binds_nothing(
    walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk.store, "activate", lambda *_, **__: False)
    monkeypatch.setattr(walk.store, "registration", lambda *_: None)
    opened = start(walk)
    assert refused(walk, opened) == NOBODY


# client versions


RULES = ClientRules({"bank-app": ClientRule("1.4.0", frozenset({"1.5.2", "1.10"}))})


@pytest.mark.parametrize(
    "text", ["bank-app/1.4", "bank-app/1.4.0.0", "bank-app/1.9", "bank-app/1.10.1", "bank-app/2"]
)
def test_clients_that_are_accepted(text: str) -> None:
    RULES.require(parse_client(text))
    ClientRules().require(None)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "bank-app/1.3.9",
        "bank-app/1.5.2",
        "bank-app/1.5.2.0",
        "bank-app/1.10.0",
        "other/9",
        "Bank-app/9",
    ],
)
def test_clients_that_are_not(walk: Walk, text: str | None) -> None:
    client = None if text is None else parse_client(text)
    opened, former = start(walk), walk.phone()
    walk.reload(clients=RULES)
    assert refused(walk, opened, app=client) == "CLIENT_NOT_ACCEPTED"
    assert walk.store.registration(walk.tenant, opened.id).failures == 0  # type: ignore[union-attr]
    phone = Authenticator(former.device, transport=walk.transport, clock=walk.clock.now, app=client)
    with pytest.raises(GatewayRefused) as caught:
        phone.waiting()
    assert caught.value.code == "CLIENT_NOT_ACCEPTED"


@pytest.mark.parametrize(
    "text", ["", "app", "app/", "/1", "app/1.", "app/1.2.3.4.5", "app/v1", "a b/1", "app/1/2", "app/1\n"]
)
def test_what_is_no_client(text: str) -> None:
    with pytest.raises(ValueError):
        parse_client(text)
    with pytest.raises(ValueError):
        version_key(text)


def test_the_client_is_noted_where_it_changes(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    walk.reload(clients=RULES)
    phone = activate(walk, start(walk), app=Client("bank-app", "1.4.0"))

    def noted() -> tuple[str | None, str | None]:
        found = walk.store.binding(walk.tenant, phone.device.binding_id)
        assert found is not None
        return found.client_name, found.client_version

    assert noted() == ("bank-app", "1.4.0")
    with monkeypatch.context() as patched:
        patched.setattr(walk.store, "note_client", lambda *_, **__: pytest.fail("nothing has changed"))
        assert phone.waiting() == ()
    newer = Authenticator(
        phone.device, transport=walk.transport, clock=walk.clock.now, app=Client("bank-app", "1.6")
    )
    assert newer.waiting() == ()
    assert noted() == ("bank-app", "1.6")


@pytest.mark.parametrize("change", ["other", "added", "removed"])
def test_a_client_that_was_not_signed_is_not_believed(walk: Walk, change: str) -> None:
    phone = walk.phone()
    url = f"{URL}/device/v1/{walk.tenant}/transactions"
    headers = httpsig.sign(
        method="GET",
        url=url,
        body=b"",
        key_id=phone.device.binding_id,
        nonce=secrets.token_urlsafe(16),
        at=walk.clock.now(),
        signer=lambda base: sign_p256(phone.device.transport, base),
        client=None if change == "added" else Client("bank-app", "1.0"),
    )
    assert walk.transport("GET", url, headers, b"")[0] == 200
    headers = httpsig.sign(
        method="GET",
        url=url,
        body=b"",
        key_id=phone.device.binding_id,
        nonce=secrets.token_urlsafe(16),
        at=walk.clock.now(),
        signer=lambda base: sign_p256(phone.device.transport, base),
        client=None if change == "added" else Client("bank-app", "1.0"),
    )
    if change == "removed":
        del headers["mobileid-client"]
    else:
        headers["mobileid-client"] = "bank-app/1.1"
    assert walk.transport("GET", url, headers, b"")[0] == 401


def test_what_is_asked_for_is_one_of_three(walk: Walk) -> None:
    assert start(walk).purpose is RegistrationPurpose.NEW_DEVICE
    assert start(walk, "new-device").purpose is RegistrationPurpose.NEW_DEVICE
    assert issue(walk, purpose="re-activation").registration.purpose is RegistrationPurpose.REACTIVATION
