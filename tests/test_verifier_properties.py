"""What holds for every statement and every evidence: one spelling, read back as it was, no byte to spare."""

from __future__ import annotations

import string
import sys
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

sys.path.insert(0, str(Path(__file__).parent / "vectors" / "evidence"))

import forge as f

from gateway.core import xades
from gateway.core.certpath import parse_trust
from gateway.core.conclusion import Indication
from gateway.core.errors import UnreadableDocument
from gateway.core.evidence import (
    Evidence,
    UnverifiedEvidence,
    VerifiedFactor,
    attach_seal,
    compose_unsealed,
    parse,
)
from gateway.core.model import Attestation, AttestedKey, Decision, IdentityAttribute, Kind, RelyingParty
from gateway.core.statement import (
    AttachedDocument,
    Content,
    Payee,
    Payment,
    ShownText,
    compose,
    from_fields,
    to_fields,
)
from gateway.core.verifier import verify_evidence
from gateway.core.xmldsig import UnverifiedSignature, parse_document

TRUST = parse_trust(f.TRUST)
GOOD = f.seal(f.model())
NS = {"st": "urn:mobileid-gateway:statement:1", "ds": xades.DS, "xades": xades.XADES}
often = settings(deadline=None, database=None, max_examples=200)

# Any character that XML 1.0 has, and those strings with which one field could pass for two.
MARKUP = ["</Title>", "<Text>", "&lt;", "&amp;", "&#xD;", "]]>", "<!--", '"', "'", "\r", "\n", "\t", "", " "]
XML_CHARACTER = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")
WORDS = st.one_of(
    st.text(XML_CHARACTER, max_size=12),
    st.lists(st.one_of(st.sampled_from(MARKUP), st.text(XML_CHARACTER, max_size=2)), max_size=4).map("".join),
)
TIMES = st.integers(0, 4_000_000_000).map(lambda s: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=s))
AMOUNTS = st.decimals(0, 10**9, places=2).map(str)
PAYEES = st.builds(Payee, WORDS, WORDS, AMOUNTS)
PAYMENTS = st.builds(
    Payment,
    AMOUNTS,
    st.text(string.ascii_uppercase, min_size=3, max_size=3),
    st.lists(PAYEES, min_size=1, max_size=3).map(tuple),
)
CONTENTS = st.builds(
    Content,
    unicode_version=WORDS,
    transaction_id=st.uuids(),
    kind=st.sampled_from(Kind),
    created_at=TIMES,
    expires_at=TIMES,
    nonce=st.binary(min_size=32, max_size=32),
    relying_party=st.builds(RelyingParty, WORDS, WORDS),
    subject=WORDS,
    locale=WORDS,
    texts=st.lists(st.builds(ShownText, WORDS, WORDS, WORDS), max_size=3).map(tuple),
    payment=st.none() | PAYMENTS,
    documents=st.lists(st.builds(AttachedDocument, WORDS, WORDS, st.binary(max_size=40)), max_size=3).map(
        tuple
    ),
)
DECIDED = st.tuples(CONTENTS, st.uuids(), st.sampled_from(Decision))

KEYS = st.builds(AttestedKey, WORDS, WORDS, st.uuids(), st.binary(max_size=40))


@st.composite
def signatures(draw: st.DrawFn, shape: xades.Shape) -> UnverifiedSignature:
    return UnverifiedSignature(
        shape=shape,
        algorithm=draw(st.sampled_from(sorted(xades.SIGNATURE_ALGORITHMS))),
        data_digest=draw(st.binary(max_size=32)),
        key_info_digest=None if shape.key_info_id is None else draw(st.binary(max_size=32)),
        properties_digest=draw(st.binary(max_size=32)),
        value=draw(st.binary(max_size=64)),
        chain=tuple(draw(st.lists(st.binary(max_size=40), min_size=1, max_size=4))),
        signing_time=draw(TIMES),
        certificate_digest=draw(st.binary(max_size=32)),
        policy=(draw(WORDS), draw(st.binary(max_size=32))) if shape.has_policy else None,
    )


@st.composite
def documents(draw: st.DrawFn) -> UnverifiedEvidence:
    content, binding, decision = draw(DECIDED)
    evidence = Evidence(
        id=draw(st.uuids()),
        content=content,
        binding_id=binding,
        decision=decision,
        device_signature=draw(signatures(xades.DEVICE)),
        device_crl=draw(st.binary(max_size=40)),
        transaction_id=draw(st.uuids()),
        relying_party_id=draw(WORDS),
        external_ref=draw(WORDS),
        pseudonym=draw(WORDS),
        attributes=tuple(draw(st.lists(st.builds(IdentityAttribute, WORDS, WORDS), max_size=3))),
        device_binding_id=draw(st.uuids()),
        platform=draw(WORDS),
        bound_at=draw(TIMES),
        attestation=draw(st.builds(Attestation, WORDS, WORDS, st.binary(max_size=40), st.none() | KEYS)),
        acr=draw(WORDS),
        factors=tuple(draw(st.lists(st.builds(VerifiedFactor, WORDS, WORDS, WORDS), max_size=3))),
        failed_attempts=draw(st.integers(0, 999_999)),
        channel=draw(WORDS),
        profile_id=draw(WORDS),
        profile_digest=draw(st.binary(max_size=32)),
        profile_document=draw(st.binary(max_size=40)),
        claimed_at=draw(TIMES),
        decided_at=draw(TIMES),
        software=draw(WORDS),
    )
    return UnverifiedEvidence(evidence, draw(signatures(xades.SEAL)))


def exclusive(element: object) -> bytes:
    return etree.tostring(element, method="c14n", exclusive=True, with_comments=False)


@often
@given(DECIDED)
def test_a_statement_is_its_own_canonical_form(decided: tuple) -> None:
    content, binding, decision = decided
    data = compose(content, binding_id=binding, decision=decision)
    assert exclusive(etree.fromstring(data)) == data


@often
@given(DECIDED, DECIDED)
def test_different_fields_never_give_equal_statements(one: tuple, two: tuple) -> None:
    statements = [compose(c, binding_id=b, decision=d) for c, b, d in (one, two)]
    assert (statements[0] == statements[1]) is (one == two)


@often
@given(CONTENTS, CONTENTS, st.data())
def test_one_changed_field_changes_the_statement(one: Content, two: Content, data: st.DataObject) -> None:
    """Contents that differ in one field alone: the nearest that two can be."""
    name = data.draw(st.sampled_from([field.name for field in fields(Content)]))
    other = replace(one, **{name: getattr(two, name)})
    statements = [compose(c, binding_id=f.BINDING, decision=Decision.APPROVED) for c in (one, other)]
    assert (statements[0] == statements[1]) is (one == other)


@often
@given(WORDS, WORDS, WORDS, WORDS)
def test_words_do_not_move_between_neighbours(a: str, b: str, c: str, d: str) -> None:
    statements = [
        compose(
            f.content(texts=(ShownText(title, text, "text/plain"),)),
            binding_id=f.BINDING,
            decision=Decision.APPROVED,
        )
        for title, text in ((a, b), (c, d))
    ]
    assert (statements[0] == statements[1]) is ((a, b) == (c, d))


@often
@given(CONTENTS)
def test_fields_for_a_device_come_back_as_they_were(content: Content) -> None:
    assert from_fields(to_fields(content)) == content


@often
@given(documents())
def test_every_part_is_canonical_in_its_place(document: UnverifiedEvidence) -> None:
    evidence, seal = document.evidence, document.seal
    data = attach_seal(document.unsealed(), seal=seal.xml())
    root = etree.fromstring(data)
    assert exclusive(root) == data
    device = root.find(".//ds:Signature", NS)
    sealing = root[-1]
    assert exclusive(root.find("st:Statement", NS)) == evidence.statement()
    for signature, element in ((evidence.device_signature, device), (seal, sealing)):
        assert exclusive(element.find("ds:SignedInfo", NS)) == signature.info()
        assert exclusive(element.find("ds:KeyInfo", NS)) == signature.key_info()
        properties = element.find("ds:Object/xades:QualifyingProperties/xades:SignedProperties", NS)
        assert exclusive(properties) == signature.properties()
    root.remove(sealing)
    assert exclusive(root) == compose_unsealed(evidence)


@often
@given(documents())
def test_what_is_composed_is_read_back(document: UnverifiedEvidence) -> None:
    data = attach_seal(document.unsealed(), seal=document.seal.xml())
    assert parse(parse_document(data)) == document


def judge(data: bytes) -> Indication | None:
    """None where it cannot be read; any exception but that one is a fault."""
    try:
        return verify_evidence(data, trust=TRUST, at=f.AT).indication
    except UnreadableDocument:
        return None


def refused_unless_equal(data: bytes) -> None:
    if judge(data) is Indication.TOTAL_PASSED:
        assert exclusive(etree.fromstring(data)) == GOOD


@settings(often, max_examples=1500)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_no_byte_can_be_changed(position: int, mask: int) -> None:
    changed = bytearray(GOOD)
    changed[position] ^= mask
    refused_unless_equal(bytes(changed))


@settings(often, max_examples=300)
@given(st.integers(0, len(GOOD)), st.integers(0, 200), st.integers(0, len(GOOD)), st.integers(0, 200))
def test_no_slice_can_be_moved(start: int, length: int, source: int, copied: int) -> None:
    """A slice is replaced by another one of the same document: cut, doubled, moved."""
    refused_unless_equal(GOOD[:start] + GOOD[source : source + copied] + GOOD[start + length :])


@settings(often, max_examples=300)
@given(st.integers(0, len(GOOD)), st.text(XML_CHARACTER, min_size=1, max_size=8) | st.sampled_from(MARKUP))
def test_nothing_can_be_put_in(position: int, inserted: str) -> None:
    refused_unless_equal(GOOD[:position] + inserted.encode() + GOOD[position:])


@settings(often, max_examples=100)
@given(st.binary(max_size=200))
def test_noise_cannot_be_read(data: bytes) -> None:
    assert judge(data) is None


@settings(often, max_examples=300)
@given(documents())
def test_no_document_without_genuine_signatures_passes(document: UnverifiedEvidence) -> None:
    data = attach_seal(document.unsealed(), seal=document.seal.xml())
    assert judge(data) not in (Indication.TOTAL_PASSED, None)
