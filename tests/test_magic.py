"""Magic references: each outcome and each fault, over SOAP, from a sandbox as it is run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from live import Fault, Live, eventually, live_gateway

from gateway.core.errors import leaves
from gateway.magic import FAULT, OUTCOMES, PREFIX

DOCUMENTED = (Path(__file__).parents[1] / "docs" / "operations.md").read_text(encoding="utf-8")
ENDS = {
    "approved": "COMPLETED",
    "rejected-not-me": "REJECTED",
    "rejected-cancelled": "REJECTED",
    "blocked": "BLOCKED",
    "failed": "FAILED",
}


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with live_gateway() as gateway:
        yield gateway


def test_the_table_is_in_the_documentation() -> None:
    told = dict(re.findall(rf"^\| `{PREFIX}([a-z-]+)` \| (.+) \|$", DOCUMENTED, re.MULTILINE))
    assert told == OUTCOMES
    assert f"`{FAULT}CODE`" in DOCUMENTED


@pytest.mark.parametrize("word", ENDS)
def test_a_name_ends_as_it_says(live: Live, word: str) -> None:
    for _ in range(2):  # with a new phone, and with one that is known
        transaction = live.start_consent(f"{PREFIX}{word}")
        eventually(lambda which=transaction: live.state(which, wait=5) == ENDS[word])


def test_what_is_never_answered_waits(live: Live) -> None:
    transaction = live.start_consent(f"{PREFIX}expired")
    assert live.state(transaction, wait=1) in ("REQUESTED", "PENDING")


def test_a_locked_phone_is_replaced_at_the_next_start(live: Live) -> None:
    for _ in range(2):
        transaction = live.start_consent(f"{PREFIX}locked")
        eventually(lambda which=transaction: live.state(which) == "PENDING")


@pytest.mark.parametrize("code", [leaf.code for leaf in leaves()])
def test_a_name_ends_in_its_fault(live: Live, code: str) -> None:
    with pytest.raises(Fault) as raised:
        live.start_consent(f"{FAULT}{code}")
    assert raised.value.code == code


@pytest.mark.parametrize("reference", [f"{PREFIX}unheard-of", f"{FAULT}UNHEARD_OF", "approved"])
def test_other_names_are_subjects_like_any_other(live: Live, reference: str) -> None:
    with pytest.raises(Fault, match="NOT_FOUND"):
        live.start_consent(reference)
