"""What may not be told apart is not told by time: answers of two kinds, interleaved, ranked by their latency.

AUC is the probability that an answer of the one kind took longer than one of the other (Mann and Whitney):
0.5 tells nothing. Over 2,000 pairs its standard error is 0.009, so 0.55 is more than five of them away.
"""

from __future__ import annotations

import gc
import random
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from test_kinds import PAYMENT, TEXT, approve, kinds, redeem
from test_walk import assertion, decide
from walk import Walk

from gateway.authenticator.errors import GatewayRefused
from gateway.core.errors import GatewayError
from gateway.core.model import Kind, RawAssertion
from gateway.services import authorisation, evidence, starts, transactions
from gateway.services.starts import Asked

PAIRS = 2_000
MOST = 0.05
"""How far from 0.5."""
ROUNDS = 3


def auc(one: Sequence[float], other: Sequence[float]) -> float:
    ranked = sorted(other)
    wins = sum(bisect_left(ranked, value) + bisect_right(ranked, value) for value in one)
    return wins / (2 * len(one) * len(other))


def told_apart(
    one: Callable[[], str],
    other: Callable[[], str],
    *,
    pairs: int = PAIRS,
    after: Callable[[], None] = lambda: None,
) -> float:
    """The AUC of two actions in random order; both end in the same code. ``after`` each one, untimed."""
    taken: tuple[list[float], list[float]] = ([], [])
    codes: set[str] = set()
    order = random.Random(7)
    gc.collect()
    gc.disable()
    try:
        turns = [(one, 0), (other, 1)] * pairs
        order.shuffle(turns)
        for action, which in turns:
            began = time.perf_counter_ns()
            codes.add(action())
            taken[which].append(time.perf_counter_ns() - began)
            after()
    finally:
        gc.enable()
    assert len(codes) == 1, codes
    return auc(*taken)


def steadily(measure: Callable[[], float], *, what: str) -> float:
    """The AUC nearest to 0.5 of at most ROUNDS: what else a machine does comes and goes, a leak stays."""
    found: list[float] = []
    while len(found) < ROUNDS and not any(abs(one - 0.5) < MOST for one in found):
        found.append(measure())
    print(f"{what}: AUC {', '.join(f'{one:.3f}' for one in found)} over {PAIRS} pairs each")
    return min(found, key=lambda one: abs(one - 0.5))


def code_of(action: Callable[[], object]) -> str:
    try:
        action()
    except (GatewayError, GatewayRefused) as error:
        return f"{error.code}: {getattr(error, 'message', '')}"
    return "OK"


def test_auc_is_what_it_says() -> None:
    assert auc([1, 2, 3], [1, 2, 3]) == 0.5
    assert auc([2, 3], [0, 1]) == 1.0
    assert auc([0, 1], [2, 3]) == 0.0
    assert abs(steadily(lambda: 0.91, what="a leak") - 0.5) > MOST, "a leak stays"
    slow = told_apart(lambda: (time.sleep(0.0002), "x")[1], lambda: "x", pairs=50)
    assert slow > 0.9, "a difference is found where there is one"


@pytest.fixture
def bank(walk: Walk) -> Walk:
    return kinds(walk)


@pytest.mark.parametrize("operation", ["get", "cancel", "evidence", "proof", "redeem"])
def test_foreign_and_unknown_transactions_are_one(bank: Walk, operation: str) -> None:
    done = approve(bank, bank.phone(), Kind.AUTHORISATION)
    at = bank.clock.now()

    def ask(id_: UUID) -> str:
        gw, by = bank.gateway, bank.stranger
        return code_of(
            {
                "get": lambda: transactions.get_transaction(
                    gw, by, transaction_id=id_, wait_seconds=0, at=at
                ),
                "cancel": lambda: transactions.cancel_transaction(gw, by, transaction_id=id_, at=at),
                "evidence": lambda: evidence.get_evidence(gw, by, transaction_id=id_, at=at),
                "proof": lambda: authorisation.get_authorisation_proof(gw, by, transaction_id=id_, at=at),
                "redeem": lambda: redeem(bank, replace(done, id=id_), caller=by),
            }[operation]
        )

    def measure() -> float:
        foreign, unknown = (iter([one or uuid4() for _ in range(PAIRS)]) for one in (done.id, None))
        return told_apart(lambda: ask(next(foreign)), lambda: ask(next(unknown)))

    assert abs(steadily(measure, what=operation) - 0.5) < MOST


def test_foreign_and_unknown_subjects_are_one(bank: Walk) -> None:
    bank.phone("customer-of-the-bank")
    at = bank.clock.now()

    def ask(reference: str) -> str:
        asked = Asked("r-1", "en", texts=(TEXT,))
        start = lambda: starts.start_consent_signature(  # noqa: E731
            bank.gateway, bank.stranger, external_ref=reference, asked=asked, at=at
        )
        return code_of(start)

    def measure() -> float:
        return told_apart(lambda: ask("customer-of-the-bank"), lambda: ask("customer-of-nobody-x"))

    assert abs(steadily(measure, what="start") - 0.5) < MOST


@pytest.mark.rts("4(3)(a)")
def test_time_does_not_tell_which_element_failed(bank: Walk) -> None:
    """A wrong PIN, and a signature that is not by the device's key: one fault, one latency class."""
    phone = bank.phone()
    transaction = bank.start_kind(Kind.AUTHORISATION, payment=PAYMENT)
    phone.claim(transaction.id)
    right = assertion(bank, phone, transaction.id)
    assert right.pin_signature is not None
    no_knowledge = replace(right, pin_signature=right.signature)
    no_possession = replace(right, signature=right.pin_signature)

    def ask(answer: RawAssertion) -> str:
        return code_of(lambda: decide(bank, phone, transaction.id, answer))

    def none_spent() -> None:
        (binding,) = bank.store.bindings_of(bank.tenant, transaction.subject_id)
        if not binding.failures:
            bank.store.reserve_try(bank.tenant, binding.id, max_failures=3)
        for _ in range(binding.failures or 1):
            bank.store.release_try(bank.tenant, binding.id)

    def measure() -> float:
        return told_apart(lambda: ask(no_knowledge), lambda: ask(no_possession), after=none_spent)

    assert abs(steadily(measure, what="elements") - 0.5) < MOST
