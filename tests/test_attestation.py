"""Android Key Attestation against every vector, hostile bytes, and evidence that rests on it."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

FOLDER = Path(__file__).parent / "vectors" / "attestation"
sys.path.insert(0, str(FOLDER))

import make_attestations as m  # noqa: E402

f = m.f

from gateway.core import attestation, der  # noqa: E402
from gateway.core.assertion import FACTORS  # noqa: E402
from gateway.core.attestation.policy import AttestationPolicy, parse_status_list  # noqa: E402
from gateway.core.certpath import parse_trust  # noqa: E402
from gateway.core.conclusion import Finding, Indication, SubIndication  # noqa: E402
from gateway.core.evidence import Evidence  # noqa: E402
from gateway.core.model import Attestation, Factor, parse_time  # noqa: E402
from gateway.core.verifier import verify_evidence  # noqa: E402

INDEX: dict[str, Any] = json.loads((FOLDER / "index.json").read_text())
VECTORS: list[dict[str, Any]] = INDEX["vectors"]
POLICY = AttestationPolicy(parse_trust(m.ROOTS["roots"]).anchors)


def judged(
    data: bytes, *, policy: AttestationPolicy = POLICY, at: Any = m.AT, **expected: Any
) -> Attestation:
    return attestation.judge(
        "android-key",
        data,
        **{
            "relying_party": m.PARTY,
            "activation_id": m.ACTIVATION,
            "transport_key": m.TRANSPORT_KEY,
            "expected_key": m.KEY,
            **expected,
        },
        policy=policy,
        at=at,
    )


@pytest.mark.parametrize("entry", VECTORS, ids=[entry["file"] for entry in VECTORS])
def test_vector(entry: dict[str, Any]) -> None:
    policy = AttestationPolicy(
        roots=parse_trust((FOLDER / entry["roots"]).read_bytes()).anchors,
        revoked=frozenset(int(serial, 16) for serial in entry.get("revoked", ())),
        applications=frozenset((a, bytes.fromhex(s)) for a, s in entry.get("applications", ())),
    )
    data = (FOLDER / entry["file"]).read_bytes()
    if "sub_indication" in entry:
        with pytest.raises(Finding) as caught:
            judged(data, policy=policy, at=parse_time(entry["at"]))
        assert caught.value.sub_indication == entry["sub_indication"], caught.value.says
        return
    found = judged(data, policy=policy, at=parse_time(entry["at"]))
    assert found.key is not None
    assert (found.key.level, found.key.user_verification) == (entry["level"], entry["user_verification"])
    assert found.verdict == ("software" if entry["level"] == "software" else "hardware")
    assert found.object == data


def test_the_folder_holds_what_the_generator_makes() -> None:
    kept = {
        path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in {".der", ".pem", ".json"}
    }
    made = m.files()
    assert kept.keys() == made.keys()
    assert [name for name in made if made[name] != kept[name]] == []


@pytest.mark.rts("6", "7", "8")
def test_the_same_object_proves_nothing_elsewhere() -> None:
    data = m.Phone().attest()
    assert judged(data).proves_biometric
    for other in (
        {"relying_party": "other-bank"},
        {"activation_id": UUID(int=1)},
        {"transport_key": m.KEY},
        {"expected_key": m.TRANSPORT_KEY},
        {"policy": AttestationPolicy()},
        {"activation_id": None},
    ):
        with pytest.raises(Finding):
            judged(data, **other)


def test_no_format_but_those_that_are_known() -> None:
    whole = {"relying_party": m.PARTY, "activation_id": m.ACTIVATION, "transport_key": m.TRANSPORT_KEY}
    rest = {"expected_key": m.KEY, "policy": POLICY, "at": m.AT}
    assert attestation.judge("none", b"", **whole, **rest) == Attestation("none", "software")
    for format_, data in (("none", b"x"), ("apple", b"x"), ("", m.Phone().attest())):
        with pytest.raises(Finding):
            attestation.judge(format_, data, **whole, **rest)


@pytest.mark.parametrize("vector", list(m.unkept()), ids=lambda vector: vector.name)
def test_a_large_one_costs_nothing(vector: m.Vector) -> None:
    began = time.process_time()
    with pytest.raises(Finding) as caught:
        judged(vector.data)
    assert caught.value.sub_indication is vector.found
    assert time.process_time() - began < 0.05  # it is measured and let go


def test_every_truncation_is_one_refusal() -> None:
    data = m.Phone().attest()
    for end in range(0, len(data), 7):
        with pytest.raises(Finding) as caught:
            judged(data[:end])
        assert caught.value.sub_indication is SubIndication.FORMAT_FAILURE


def test_no_flipped_bit_proves_more() -> None:
    """All but the signature of the root that was sent is covered by a signature."""
    data = m.sequence(*m.chain_of(m.Phone().attest())[:-1])
    for place in range(0, len(data), 3):
        with pytest.raises(Finding):
            judged(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(Finding):
        judged(data)
    with pytest.raises(Finding):
        judged(m.leaf(data))


@given(st.binary(max_size=60))
def test_what_is_read_is_its_one_encoding(data: bytes) -> None:
    try:
        value = der.read(data)
    except ValueError:
        return
    assert value.encoded == data


def test_a_status_list_names_serial_numbers() -> None:
    listed = {"entries": {"c0ffee": {"status": "REVOKED"}, "1": {"status": "SUSPENDED", "reason": "X"}}}
    assert parse_status_list(json.dumps(listed).encode()) == {0xC0FFEE, 1}
    assert parse_status_list(b'{"entries": {}}') == frozenset()
    for wrong in (
        *(
            b'{"entries": []}',
            b"",
            b"[]",
            b"{}",
            b"[" * 100_000,
            b'{"entries": 1}',
            b'{"entries": ["1"]}',
            b'{"entries": "ab"}',
        ),
        *(
            b'{"entries": {"C0": {"status": "REVOKED"}}}',
            b'{"entries": {"c0": {}}}',
            b'{"entries": {"c0": 1}}',
        ),
        *(b'{"entries": {"": {"status": "REVOKED"}}}', b"\xff"),
    ):
        with pytest.raises(ValueError):
            parse_status_list(wrong)


# Evidence that rests on an attestation: tests/vectors/evidence has what it must not say.

PROFILE = replace(f.PROFILE, factors=(Factor.DEVICE, Factor.BIOMETRIC), hardware_key=True)
TRUST = replace(parse_trust(f.TRUST), attestation_roots=POLICY.roots)


def evidence(data: bytes | None = None, **changes: Any) -> Evidence:
    said = judged(m.Phone().attest() if data is None else data)
    whole = {"attestation": said, "factors": (FACTORS["hwk"], FACTORS["user"])}
    return f.model(profile=PROFILE, **{**whole, **changes})


@pytest.mark.rts("8")
def test_a_biometric_passes_by_an_attested_key() -> None:
    made = evidence()
    conclusion = verify_evidence(f.seal(made), trust=TRUST, at=f.AT)
    assert conclusion.indication is Indication.TOTAL_PASSED, conclusion.explanation
    assert conclusion.evidence == made
    assert made.acr.endswith(":sca")


def test_a_chain_is_judged_when_the_device_was_bound() -> None:
    """Certificates of phones end long before evidence does."""
    ca = f.certify("VECTORS Attestation CA#short", issuer=m.ROOT, ca=True, not_after=m.AT + f.DAY)
    made = evidence(m.Phone((ca, m.ROOT)).attest())
    assert verify_evidence(f.seal(made), trust=TRUST, at=f.AT).indication is Indication.TOTAL_PASSED
    later = verify_evidence(f.seal(replace(made, bound_at=m.AT + 2 * f.DAY)), trust=TRUST, at=f.AT)
    assert later.sub_indication is SubIndication.NO_CERTIFICATE_CHAIN_FOUND


def test_without_its_root_it_is_undecided() -> None:
    conclusion = verify_evidence(f.seal(evidence()), trust=parse_trust(f.TRUST), at=f.AT)
    assert conclusion.indication is Indication.INDETERMINATE
    assert conclusion.sub_indication is SubIndication.NO_CERTIFICATE_CHAIN_FOUND
    assert "attestation" in conclusion.remedy
    assert conclusion.evidence is None


def test_a_root_of_attestations_is_an_anchor_of_nothing_else() -> None:
    trust = replace(TRUST, anchors=POLICY.roots, attestation_roots=parse_trust(f.TRUST).anchors)
    conclusion = verify_evidence(f.seal(evidence()), trust=trust, at=f.AT)
    assert conclusion.checks[-1].step == 4
