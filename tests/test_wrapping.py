"""Every wrapped message ends as one fault, soon, and nothing of it is executed."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import opinions
import pytest
from lxml import etree
from opinions import REASONS, VALID, Judged
from signed_bank import BANK, OTHER, Bank, credential
from wrapping import AXES, ID, TARGETS, Variant, body_product, build, honest, pairs, unchanged

from gateway.core import wssecurity
from gateway.core.wssecurity import UnverifiedMessage, parse_message
from gateway.soap.envelope import SoapVersion

AT_THE_GATE = {
    "MALFORMED_MESSAGE": "a DOCTYPE, a comment, or no envelope with one Body that holds one element",
    "HEADER_NOT_UNDERSTOOD": "a block that must be understood",
    "ADDRESSING_NOT_SUPPORTED": "an Action that holds an element",
}
"""What is refused before anybody asks who calls."""


@pytest.fixture(scope="module")
def judged() -> list[Judged]:
    return list(opinions.judge_all())


@pytest.mark.parametrize("version", SoapVersion)
@pytest.mark.parametrize("target", TARGETS)
def test_what_the_forger_wants_is_executed_where_it_is_signed(
    monkeypatch: pytest.MonkeyPatch, target: str, version: SoapVersion
) -> None:
    """So the tests below can fail."""
    bank = Bank(monkeypatch, credential("core", BANK), credential("other", OTHER))
    assert bank.code(honest(target, version.name), version=version) == "OK"
    assert bank.executed == 1
    alone = bank.code(unchanged(target, version.name), version=version)
    assert (alone == "OK") == (target in ("Body", "MessageID"))


def test_no_wrapped_message_is_executed(judged: list[Judged]) -> None:
    assert not [str(each.variant) for each in judged if each.executed or each.code == "OK"]


def test_who_finds_what_is_signed_by_its_id_executes_what_is_forged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variants are attacks: a gateway with this one carelessness falls for many of them."""

    def careless(security: Any, *, envelope: Any, body: Any, addressing: Any) -> UnverifiedMessage:
        named = {element.get(ID): element for element in envelope.iter() if element.get(ID)}
        body = named.get("part-1", body)
        return parse_message(security, envelope=etree.Element("all"), body=body, addressing=addressing)

    monkeypatch.setattr(wssecurity, "parse_message", careless)
    bank = Bank(monkeypatch, credential("core", BANK))
    fallen = set()
    for variant in body_product():
        bank.store.seen.clear()
        bank.services.asked.clear()
        bank.post(build(variant))
        if any("somebody-else" in str(arguments) for _, _, arguments in bank.services.asked):
            fallen.add(variant)
    assert len(fallen) >= 100
    assert {each.place for each in fallen} == {"header", "block", "block-for-another"}


def test_each_ends_as_one_fault(judged: list[Judged]) -> None:
    odd = [
        (str(each.variant), each.code, each.faults)
        for each in judged
        if each.faults != 1 or each.code not in {"NOT_AUTHENTICATED", *AT_THE_GATE}
    ]
    assert not odd


def test_each_ends_below_a_second(judged: list[Judged]) -> None:
    assert not [(str(each.variant), each.seconds) for each in judged if each.seconds >= 1]


def test_the_variants_are_as_many_as_they_are_said_to_be(judged: list[Judged]) -> None:
    """Counted by their bytes: none twice."""
    by_target = Counter(each.variant.target for each in judged)
    assert by_target["Body"] >= 280
    assert all(by_target[target] >= 50 for target in TARGETS)
    assert len({each.variant for each in judged}) == len(judged)


def test_of_the_body_every_place_id_and_namespace_meet() -> None:
    met = {(each.place, each.ids, each.names) for each in body_product()}
    assert met == set(itertools.product(AXES["place"], AXES["ids"], AXES["names"]))


def test_every_two_values_of_any_two_axes_meet() -> None:
    chosen = list(pairs())
    for one, other in itertools.combinations(AXES, 2):
        met = {(getattr(each, one), getattr(each, other)) for each in chosen}
        assert met == set(itertools.product(AXES[one], AXES[other])), (one, other)


def test_a_variant_is_what_it_says() -> None:
    data = build(Variant("Body", "object", "last", "same-as-Id", "default"))
    assert data.count(b"somebody-else") == 1
    assert data.index(b"<ds:Object>") < data.index(b"customer-4711") < data.index(b"somebody-else")
    assert b' Id="part-1"' in data


def test_the_judges_accept_what_is_signed() -> None:
    assert {opinion[2:] for opinion in opinions.honest_opinions()} == {(VALID, VALID)}


def test_where_a_judge_disagrees_the_reason_is_known(judged: list[Judged]) -> None:
    disagreeing = [each for each in judged if VALID in (each.libxmlsec, each.signxml)]
    assert len(disagreeing) > 100, "a signature verifies wherever what it signs has been put"
    assert not [(str(each.variant), each.reason) for each in disagreeing if each.reason not in REASONS]


def test_the_report_tells_what_was_found(judged: list[Judged]) -> None:
    written = opinions.REPORT.read_text(encoding="utf-8")
    assert written == opinions.report(judged), "run: python tests/opinions.py"
