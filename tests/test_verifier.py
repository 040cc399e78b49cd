"""The evidence verifier against every vector: one fault each, and exactly the conclusion it must give."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "vectors" / "evidence"
sys.path.insert(0, str(FOLDER))

import forge as f  # noqa: E402
import make_vectors  # noqa: E402
from vector import UNREADABLE, Vector  # noqa: E402

from gateway.core.certpath import TrustStore, parse_trust  # noqa: E402
from gateway.core.conclusion import REMEDY, Conclusion, Indication, SubIndication  # noqa: E402
from gateway.core.errors import UnreadableDocument  # noqa: E402
from gateway.core.model import parse_time  # noqa: E402
from gateway.core.verifier import verify_evidence  # noqa: E402

INDEX: list[dict[str, Any]] = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))
UNKEPT = list(make_vectors.unkept())
TRUST = parse_trust(f.TRUST)


def failed_step(conclusion: Conclusion) -> int | None:
    return next((check.step for check in conclusion.checks if not check.passed), None)


def trusted(entry: dict[str, Any]) -> TrustStore:
    trust = parse_trust((FOLDER / entry["trust"]).read_bytes())
    if "roots" not in entry:
        return trust
    return replace(trust, attestation_roots=parse_trust((FOLDER / entry["roots"]).read_bytes()).anchors)


@pytest.mark.parametrize("entry", INDEX, ids=[entry["file"] for entry in INDEX])
def test_vector(entry: dict[str, Any]) -> None:
    conclusion = verify_evidence(
        (FOLDER / entry["file"]).read_bytes(),
        trust=trusted(entry),
        at=parse_time(entry["at"]),
    )
    found = (conclusion.indication, conclusion.sub_indication, failed_step(conclusion))
    assert found == (entry["indication"], entry["sub_indication"], entry["step"]), conclusion.explanation
    passed = conclusion.indication is Indication.TOTAL_PASSED
    assert passed is entry["file"].startswith("good")
    assert passed is (conclusion.evidence is not None)
    if conclusion.sub_indication is not None:
        assert conclusion.indication is conclusion.sub_indication.indication
        assert conclusion.remedy == REMEDY[conclusion.sub_indication]


@pytest.mark.parametrize("vector", UNKEPT, ids=[vector.name for vector in UNKEPT])
def test_vector_that_is_not_kept(vector: Vector) -> None:
    if vector.found == UNREADABLE:
        with pytest.raises(UnreadableDocument):
            verify_evidence(vector.data, trust=TRUST, at=vector.at)
        return
    conclusion = verify_evidence(vector.data, trust=TRUST, at=vector.at)
    assert (conclusion.sub_indication, failed_step(conclusion)) == (vector.found, vector.step)


def test_the_folder_holds_what_the_generator_makes() -> None:
    made = make_vectors.files()
    kept = {str(p.relative_to(FOLDER)): p.read_bytes() for p in FOLDER.rglob("*.xml")}
    kept |= {f"pki/{p.name}": p.read_bytes() for p in FOLDER.glob("pki/trust*.pem")}
    kept["index.json"] = (FOLDER / "index.json").read_bytes()
    assert kept.keys() == made.keys()
    assert [name for name in made if made[name] != kept[name]] == []


def test_every_sub_indication_is_found_by_some_vector() -> None:
    assert {entry["sub_indication"] for entry in INDEX} == {None, *SubIndication}


def test_a_conclusion_tells_every_step_in_order() -> None:
    conclusion = verify_evidence(f.seal(f.model()), trust=TRUST, at=f.AT)
    steps = [check.step for check in conclusion.checks]
    assert steps == sorted(steps)
    assert set(steps) == set(range(10))
    assert all(check.passed for check in conclusion.checks)


def test_what_passed_is_what_was_composed() -> None:
    model = f.model()
    conclusion = verify_evidence(f.seal(model), trust=TRUST, at=f.AT)
    assert conclusion.evidence == model


def test_high_s_is_accepted() -> None:
    """ECDSA signatures with a high s are valid: nothing may depend on the bytes of a signature."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    model = f.model()
    value = model.device_signature.value
    other = value[:32] + (order - int.from_bytes(value[32:], "big")).to_bytes(32, "big")
    sealed = f.seal(replace(model, device_signature=replace(model.device_signature, value=other)))
    assert verify_evidence(sealed, trust=TRUST, at=f.AT).indication is Indication.TOTAL_PASSED


def deep(depth: int) -> bytes:
    good = f.seal(f.model()).decode()
    return good.replace("<ev:Channel>", "<ev:Channel>" + "<a>" * depth + "</a>" * depth).encode()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"<ev>" + b"x" * 20_000_000 + b"</ev>", id="20-megabytes"),
        pytest.param(f.seal(f.model()) + b" " * 17_000_000, id="20-megabytes-of-blanks"),
        pytest.param(b"<a>" * 1_000_000, id="depth-bomb"),
        pytest.param(deep(300), id="deep"),
        pytest.param(
            b"<!DOCTYPE a ["
            + b"".join(
                b'<!ENTITY e%d "%s">' % (i, b"&e%d;" % (i - 1) * 10 if i else b"ha") for i in range(12)
            )
            + b"]><a>&e11;</a>",
            id="billion-laughs",
        ),
        pytest.param(
            b'<!DOCTYPE a [<!ENTITY e "' + b"x" * 100_000 + b'">]><a b="' + b"&e;" * 10_000 + b'"/>',
            id="quadratic-blow-up",
        ),
    ],
)
def test_bombs_are_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableDocument):
        verify_evidence(data, trust=TRUST, at=f.AT)


def test_many_elements_are_refused() -> None:
    good = f.seal(f.model())
    some = good.replace(b"<ev:Channel>", b"<ev:Note></ev:Note>" * 5_000 + b"<ev:Channel>")
    assert verify_evidence(some, trust=TRUST, at=f.AT).sub_indication is SubIndication.FORMAT_FAILURE
    many = good.replace(b"<ev:Channel>", b"<ev:Note></ev:Note>" * 200_000 + b"<ev:Channel>")
    with pytest.raises(UnreadableDocument):
        verify_evidence(many, trust=TRUST, at=f.AT)


def test_clocks_may_differ_by_a_minute() -> None:
    sealed = f.seal(f.model())
    for seconds, indication in ((-60, Indication.TOTAL_PASSED), (-61, Indication.INDETERMINATE)):
        at = f.SEALED + timedelta(seconds=seconds)
        assert verify_evidence(sealed, trust=TRUST, at=at).indication is indication
