"""The life of a transaction: every pair of the table, and time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from sim import NOW, PROFILE, World

from gateway.core.errors import TransactionExpired, TransactionNotPending
from gateway.core.model import uuid7
from gateway.core.transaction import FINAL, TRANSITIONS, Event, State, Transaction, advance, next_state

TABLE = {
    "REQUESTED": {
        "NOTIFY": "PENDING",
        "CLAIM": "PENDING",
        "CANCEL": "CANCELLED",
        "EXPIRE": "EXPIRED",
        "BLOCK": "BLOCKED",
    },
    "PENDING": {
        "CLAIM": "PENDING",
        "APPROVE": "APPROVED",
        "REJECT": "REJECTED",
        "CANCEL": "CANCELLED",
        "EXPIRE": "EXPIRED",
        "BLOCK": "BLOCKED",
    },
    "APPROVED": {"SEAL": "COMPLETED", "COMPLETE": "COMPLETED", "FAIL": "FAILED"},
    "REJECTED": {"SEAL": "REJECTED"},
}
"""Written out by hand from the design, not derived from the code."""


def transaction(state: State) -> Transaction:
    content = World().content()
    return Transaction(
        relying_party="demo-bank",
        id=content.transaction_id,
        subject_id=uuid7(NOW),
        kind=content.kind,
        state=state,
        profile_id=PROFILE.id,
        profile_document=PROFILE.document(),
        content=content,
        created_at=content.created_at,
        expires_at=content.expires_at,
    )


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_pair(state: State, event: Event) -> None:
    expected = TABLE.get(state, {}).get(event)
    if expected is None:
        with pytest.raises(TransactionNotPending):
            next_state(state, event)
    else:
        assert next_state(state, event) is State(expected)


def test_no_way_leads_out_of_a_final_state() -> None:
    assert all(to is state for (state, _), to in TRANSITIONS.items() if state in FINAL)
    assert {state for state, _ in TRANSITIONS} | FINAL == set(State)


@pytest.mark.parametrize("state", [State.REQUESTED, State.PENDING])
def test_time_over_allows_expiry_alone(state: State) -> None:
    waiting = transaction(state)
    end = waiting.expires_at
    assert waiting.state_at(end - timedelta(seconds=1)) is state
    assert waiting.state_at(end) is State.EXPIRED
    with pytest.raises(TransactionNotPending):
        advance(waiting, Event.EXPIRE, at=end - timedelta(seconds=1))
    assert advance(waiting, Event.EXPIRE, at=end).state is State.EXPIRED
    with pytest.raises(TransactionExpired):
        advance(waiting, Event.CANCEL, at=end)


def test_what_is_approved_does_not_expire() -> None:
    approved = transaction(State.APPROVED)
    late = approved.expires_at + timedelta(days=1)
    assert approved.state_at(late) is State.APPROVED
    assert advance(approved, Event.SEAL, at=late) == replace(approved, state=State.COMPLETED)
