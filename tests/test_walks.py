"""Every walk of the demonstration, before one gateway as it is run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from live import Live, live_gateway

from gateway.core.certpath import parse_trust
from gateway.core.conclusion import Indication
from gateway.core.model import Decision, utc_now
from gateway.core.verifier import verify_evidence
from gateway.demo import bank_of
from gateway.walks import WALKS, WalkFailed, arrive

LEAVES = {
    "consent": Decision.APPROVED,
    "registration": None,
    "authentication": None,
    "payment": None,
    "text": Decision.APPROVED,
    "refusal": Decision.REJECTED_NOT_ME,
}


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with live_gateway() as gateway:
        yield gateway


@pytest.mark.parametrize("name", WALKS)
def test_a_walk_ends_in_what_it_promises(live: Live, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    scene = arrive(bank_of(live.folder, base=live.url), title="Mortgage", text="I borrow € 348.500,00.")
    document = WALKS[name](scene)
    said = capsys.readouterr().out
    assert scene.reference in said
    if LEAVES[name] is None:
        assert document is None
        return
    assert document is not None
    trust = parse_trust((live.folder / "keys" / "trust.pem").read_bytes())
    conclusion = verify_evidence(document, trust=trust, at=utc_now())
    assert conclusion.indication is Indication.TOTAL_PASSED, conclusion.explanation
    assert conclusion.decision is LEAVES[name]


def test_a_walk_that_goes_wrong_says_so(live: Live) -> None:
    scene = arrive(bank_of(live.folder, base=live.url), title="Mortgage", text="I borrow € 348.500,00.")
    started = scene.start("StartAuthentication")
    scene.bank.CancelTransaction(transactionId=started.transactionId)
    with pytest.raises(WalkFailed, match="did not reach the phone"):
        scene.approved(started)
