"""The published schemas of statement and evidence: what is written follows them, and they say why."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from lxml import etree

sys.path.insert(0, str(Path(__file__).parent / "vectors" / "evidence"))

import forge as f
from sim import World

from gateway.core.certpath import parse_trust
from gateway.core.conclusion import SubIndication
from gateway.core.evidence import EVIDENCE_NAMESPACE
from gateway.core.model import Decision, Kind
from gateway.core.statement import NAMESPACE, compose
from gateway.core.verifier import verify_evidence

HERE = Path(__file__).parent
SCHEMAS = HERE.parent / "schemas"
XS = "{http://www.w3.org/2001/XMLSchema}"
EVIDENCE = etree.XMLSchema(etree.parse(SCHEMAS / "evidence-v1.xsd"))
STATEMENT = etree.XMLSchema(etree.parse(SCHEMAS / "statement-v1.xsd"))
VECTORS = HERE / "vectors" / "evidence"
GOOD = sorted(VECTORS.glob("good*.xml"))
OTHER_MARKUP = [
    *("two-seals", "no-seal", "seal-not-last", "two-device-signatures", "no-device-signature", "no-crl"),
    *("two-statements", "no-statement", "unknown-element", "unknown-namespace", "unknown-attribute"),
    *("unknown-element-in-statement", "element-order", "element-twice", "element-missing", "version"),
    *("text-between-elements", "statement-id", "statement-namespace", "root-id", "statement-version"),
]


def documents(schema: str) -> list[etree._Element]:
    return list(etree.parse(SCHEMAS / schema).iter(f"{XS}element", f"{XS}attribute", f"{XS}any"))


@pytest.mark.parametrize("path", GOOD, ids=[path.name for path in GOOD])
def test_good_vectors_follow_it(path: Path) -> None:
    EVIDENCE.assertValid(etree.parse(path))


def test_fresh_evidence_follows_it() -> None:
    EVIDENCE.assertValid(etree.fromstring(World().evidence()))


@pytest.mark.parametrize("decision", Decision)
@pytest.mark.parametrize("kind", Kind)
def test_every_statement_follows_it(kind: Kind, decision: Decision) -> None:
    data = compose(f.content(kind=kind), binding_id=f.BINDING, decision=decision)
    STATEMENT.assertValid(etree.fromstring(data))


@pytest.mark.parametrize("name", OTHER_MARKUP)
def test_other_markup_does_not_follow_it(name: str) -> None:
    assert not EVIDENCE.validate(etree.parse(VECTORS / f"markup-{name}.xml"))


@pytest.mark.parametrize("schema", ["evidence-v1.xsd", "statement-v1.xsd"])
def test_every_element_is_documented(schema: str) -> None:
    undocumented = [
        e.get("name") or e.get("ref")
        for e in documents(schema)
        if not (e.findtext(f"{XS}annotation/{XS}documentation") or "").strip()
    ]
    assert undocumented == []


def test_every_declared_element_is_written_or_reserved() -> None:
    """Nothing is promised that is neither written by some document nor marked as reserved."""
    written = set()
    for path in GOOD:
        written |= {element.tag for element in etree.parse(path).iter()}
    for schema, namespace in (("evidence-v1.xsd", EVIDENCE_NAMESPACE), ("statement-v1.xsd", NAMESPACE)):
        tree = etree.parse(SCHEMAS / schema)
        reserved = {"SignatureTimeStamp", "WebAuthnAssertion", "Risk"}
        for element in tree.iter(f"{XS}element"):
            name, says = element.get("name"), element.findtext(f"{XS}annotation/{XS}documentation")
            owner = element.iterancestors(f"{XS}complexType")
            if name is None or next(owner, element).get("name") in reserved:
                continue
            assert (f"{{{namespace}}}{name}" in written) is not says.strip().startswith("Reserved."), name
            assert says.strip().startswith("Reserved.") is (name in reserved), name


RESERVED = {
    "SignatureTimeStamp": (
        "<ev:CRL>",
        "<ev:SignatureTimeStamp>MAA=</ev:SignatureTimeStamp><ev:CRL>",
    ),
    "Risk": (
        "<ev:Channel>",
        '<ev:Risk><ev:RiskAttribute Name="country">CH</ev:RiskAttribute></ev:Risk><ev:Channel>',
    ),
}


@pytest.mark.parametrize("name", RESERVED)
def test_reserved_elements_have_a_place_and_are_refused(name: str) -> None:
    """The schema knows where they will stand; a verifier that does not judge them must not pass them."""
    data = f.seal(f.model(), inner=f.swap(*RESERVED[name]))
    EVIDENCE.assertValid(etree.fromstring(data))
    conclusion = verify_evidence(data, trust=parse_trust(f.TRUST), at=f.AT)
    assert conclusion.sub_indication is SubIndication.FORMAT_FAILURE


def test_a_webauthn_assertion_stands_in_place_of_the_signature() -> None:
    signature = f.device_signature(f.content()).xml()
    parts = "".join(
        f"<ev:{name}>AAAA</ev:{name}>"
        for name in ("SignedInfo", "AuthenticatorData", "ClientDataJSON", "Signature", "Certificate")
    )
    assertion = f"<ev:WebAuthnAssertion>{parts}</ev:WebAuthnAssertion>"
    data = f.seal(f.model(), inner=f.swap(signature, assertion))
    EVIDENCE.assertValid(etree.fromstring(data))
    assert not EVIDENCE.validate(
        etree.fromstring(f.seal(f.model(), inner=f.swap(signature, signature + assertion)))
    )
    conclusion = verify_evidence(data, trust=parse_trust(f.TRUST), at=f.AT)
    assert conclusion.sub_indication is SubIndication.FORMAT_FAILURE
