"""The device face over the real store: replays that race, revocation, and whose transactions are whose."""

from __future__ import annotations

import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
from walk import URL, Walk

from gateway.authenticator.authenticator import Authenticator
from gateway.authenticator.errors import GatewayRefused
from gateway.core import httpsig
from gateway.core.keys import sign_p256

RACING = 12


def signed(
    walk: Walk, phone: Authenticator, *, relying_party: str | None = None
) -> tuple[str, dict[str, str]]:
    """The URL and the header fields of a request for what waits."""
    url = f"{URL}/device/v1/{relying_party or walk.tenant}/transactions"
    headers = httpsig.sign(
        method="GET",
        url=url,
        body=b"",
        key_id=phone.device.binding_id,
        nonce=secrets.token_urlsafe(16),
        at=walk.clock.now(),
        signer=lambda base: sign_p256(phone.device.transport, base),
    )
    return url, headers


def masked(data: bytes) -> dict[str, object]:
    return {name: value for name, value in json.loads(data).items() if name != "correlationId"}


@pytest.mark.rts("7")
def test_of_one_request_sent_many_times_at_once_one_is_answered(walk: Walk) -> None:
    phone = walk.phone()
    for _ in range(5):
        url, headers = signed(walk, phone)
        with ThreadPoolExecutor(RACING) as pool:
            made = [pool.submit(walk.transport, "GET", url, headers, b"") for _ in range(RACING)]
        statuses = sorted(future.result()[0] for future in made)
        assert statuses == [200] + [401] * (RACING - 1)


@pytest.mark.rts("4(3)(a)")
def test_revoked_unknown_foreign_and_replayed_are_one_answer(walk: Walk) -> None:
    phone = walk.phone()
    url, headers = signed(walk, phone)
    assert walk.transport("GET", url, headers, b"")[0] == 200
    answers = [walk.transport("GET", url, headers, b"")]
    foreign, foreign_headers = signed(walk, phone, relying_party=walk.other)
    answers.append(walk.transport("GET", foreign, foreign_headers, b""))
    nobody, nobodys_headers = signed(walk, phone, relying_party="no-such-bank")
    answers.append(walk.transport("GET", nobody, nobodys_headers, b""))
    url, headers = signed(walk, phone)
    assert walk.store.revoke(walk.tenant, phone.device.binding_id, at=walk.clock.now())
    answers.append(walk.transport("GET", url, headers, b""))
    assert {status for status, _ in answers} == {401}
    assert all(masked(data) == masked(answers[0][1]) for _, data in answers)


def refusal(phone: Authenticator, transaction_id: UUID) -> str:
    with pytest.raises(GatewayRefused) as caught:
        phone.claim(transaction_id)
    return str(caught.value).partition("(")[0]


def test_the_transaction_of_another_subject_is_as_unknown_as_none_at_all(walk: Walk) -> None:
    phone, other = walk.phone("customer-1"), walk.phone("customer-2")
    started = walk.start("customer-1")
    assert refusal(other, started.id) == refusal(other, uuid4())
    assert other.waiting() == ()
    assert [waiting.id for waiting in phone.waiting()] == [started.id]


def test_what_one_device_has_claimed_another_of_the_same_subject_cannot(walk: Walk) -> None:
    first, second = walk.phone(), walk.phone()
    transaction_id = walk.claimed(first)
    assert refusal(second, transaction_id).startswith("TRANSACTION_CLAIMED")
    with pytest.raises(GatewayRefused) as caught:
        second.state(transaction_id)
    assert caught.value.code == "NOT_FOUND"
