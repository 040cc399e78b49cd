"""Signature wrapping, XSW 1 to 8, against the device's signature and against the seal.

The positions are those of Somorovsky et al., "On Breaking SAML: Be Whoever You Want to Be" (USENIX Security
2012): the signed element moves to where the signature still finds it, and another stands where it is read.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import xmlsec
from lxml import etree

sys.path.insert(0, str(Path(__file__).parent / "vectors" / "evidence"))

import forge as f

from gateway.core.certpath import parse_trust
from gateway.core.conclusion import SubIndication
from gateway.core.evidence import EVIDENCE_NAMESPACE, compose_unsealed
from gateway.core.statement import NAMESPACE
from gateway.core.verifier import verify_evidence
from gateway.core.xades import DS, XADES

TRUST = parse_trust(f.TRUST)
NS = {"ev": EVIDENCE_NAMESPACE, "st": NAMESPACE, "ds": DS, "xades": XADES}
VARIANTS = range(1, 9)
STRANGE_TO_LIBXMLSEC = {1, 6}
"""Here the moved element is a child of Signature, which libxmlsec refuses; all others deceive it."""
IDS = {"evil keeps the Id": "Statement", "evil has another Id": "Evil", "evil has no Id": None}


def changed(element: Any) -> Any:
    """The element that the attacker wants to be read."""
    evil = copy.deepcopy(element)
    text = evil.find(".//st:Content", NS)
    text.text = text.text.replace("348.500", "999.999")
    return evil


def in_object(signature: Any, moved: Any) -> None:
    etree.SubElement(signature, f"{{{DS}}}Object").append(moved)


def wrap_statement(root: Any, variant: int, evil_id: str | None) -> None:
    """Puts an evil statement where it is read; the signed one goes where the variant says."""
    original, signature = root.find("st:Statement", NS), root.find("ev:DeviceSignature/ds:Signature", NS)
    evil, place = changed(original), root.index(original)
    if evil_id is None:
        del evil.attrib["Id"]
    else:
        evil.set("Id", evil_id)
    if variant in (3, 7):  # evil before the signed one: alone, or in an element for extensions
        holder = evil
        if variant == 7:
            holder = etree.Element(f"{{{EVIDENCE_NAMESPACE}}}Extensions", nsmap={"ev": EVIDENCE_NAMESPACE})
            holder.append(evil)
        root.insert(place, holder)
        return
    root.replace(original, evil)
    if variant == 1:  # enveloping: the signed one is the signature's last child
        signature.append(original)
    elif variant == 2:  # detached: it stands before the signature
        signature.addprevious(original)
    elif variant == 4:  # it is within the evil one
        evil.append(original)
    elif variant == 5:  # the signature moves into the evil one, the signed one to the document's end
        evil.append(signature)
        root.append(original)
    elif variant == 6:  # the signature moves into the evil one, and the signed one into the signature
        evil.append(signature)
        signature.append(original)
    else:  # 8: it is in an Object of the signature
        in_object(signature, original)


def wrap_document(root: Any, variant: int) -> Any:
    """An evil document that the seal stands in; the sealed one goes where the variant says."""
    original, evil = copy.deepcopy(root), changed(root)
    seal = evil.find("ds:Signature", NS)
    if variant not in (3, 4):
        original.remove(original.find("ds:Signature", NS))
    if variant == 1:
        seal.append(original)
    elif variant == 2:
        seal.addprevious(original)
    elif variant == 3:
        wrapper = etree.Element(f"{{{EVIDENCE_NAMESPACE}}}Evidence", nsmap={"ev": EVIDENCE_NAMESPACE})
        evil.remove(seal)
        wrapper.extend([evil, original])
        return wrapper
    elif variant == 4:
        evil.remove(seal)
        evil.append(original)
    elif variant == 5:
        evil.append(original)
    elif variant == 6:
        seal.find("ds:KeyInfo", NS).append(original)
    elif variant == 7:
        holder = etree.Element(f"{{{EVIDENCE_NAMESPACE}}}Extensions", nsmap={"ev": EVIDENCE_NAMESPACE})
        holder.append(original)
        evil.insert(0, holder)
    else:
        in_object(seal, original)
    return evil


def naive(data: bytes) -> bool:
    """What a careless program does: libxmlsec over the device's signature, Ids as they come."""
    root = etree.fromstring(data)
    for element in root.iter(f"{{{NAMESPACE}}}Statement", f"{{{XADES}}}SignedProperties"):
        if element.get("Id"):
            xmlsec.tree.add_ids(element, ["Id"])
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(
        f.DEVICE.certificate.public_bytes(f.Encoding.PEM), xmlsec.constants.KeyDataFormatCertPem
    )
    try:
        context.verify(next(root.iter(f"{{{DS}}}Signature")))
    except xmlsec.Error:
        return False
    return True


def judged(data: bytes) -> SubIndication | None:
    return verify_evidence(data, trust=TRUST, at=f.AT).sub_indication


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("evil_id", IDS)
@pytest.mark.parametrize("resealed", [False, True], ids=["old seal", "sealed again"])
def test_wrapped_statement(variant: int, evil_id: str, resealed: bool) -> None:
    if resealed:

        def inner(text: str) -> str:
            root = etree.fromstring(text.encode())
            wrap_statement(root, variant, IDS[evil_id])
            return etree.tostring(root, method="c14n", exclusive=True).decode()

        data = f.seal(f.model(), inner=inner)
    else:
        root = etree.fromstring(f.seal(f.model()))
        wrap_statement(root, variant, IDS[evil_id])
        data = etree.tostring(root)
    assert b"999.999" in data
    if IDS[evil_id] != "Statement":
        assert naive(data) is (variant not in STRANGE_TO_LIBXMLSEC), "the attack is no attack"
    assert judged(data) is SubIndication.FORMAT_FAILURE


@pytest.mark.parametrize("variant", VARIANTS)
def test_wrapped_document(variant: int) -> None:
    data = etree.tostring(wrap_document(etree.fromstring(f.seal(f.model())), variant))
    assert b"999.999" in data
    assert judged(data) in (SubIndication.FORMAT_FAILURE, SubIndication.HASH_FAILURE)


@pytest.mark.parametrize("variant", VARIANTS)
def test_wrapped_document_whose_seal_names_it(variant: int) -> None:
    """The same with a genuine seal whose Reference points at the root's Id, as most formats have it."""
    sealed = f.seal(
        f.model(),
        inner=f.swap(' Version="1">', ' Id="Root" Version="1">'),
        info=f.swap('URI=""', 'URI="#Root"'),
    )
    assert judged(sealed) is SubIndication.FORMAT_FAILURE
    root = wrap_document(etree.fromstring(sealed), variant)
    root.attrib.pop("Id", None)
    assert judged(etree.tostring(root)) is SubIndication.FORMAT_FAILURE


def wrap_properties(root: Any, variant: int, *, owner: str) -> None:
    """Another SigningTime is read than the one that was signed."""
    signature = root.find(owner, NS)
    original = signature.find(".//xades:SignedProperties", NS)
    evil = copy.deepcopy(original)
    time = evil.find(".//xades:SigningTime", NS)
    time.text = time.text.replace("2026", "2025")
    evil.set("Id", "Evil")
    original.getparent().replace(original, evil)
    if variant == 1:
        in_object(signature, original)
    elif variant == 2:
        evil.getparent().append(original)
    elif variant == 3:
        evil.append(original)
    else:
        root.append(original)


@pytest.mark.parametrize("variant", range(1, 5))
@pytest.mark.parametrize("owner", ["ev:DeviceSignature/ds:Signature", "ds:Signature"])
def test_wrapped_signed_properties(variant: int, owner: str) -> None:
    root = etree.fromstring(f.seal(f.model()))
    wrap_properties(root, variant, owner=owner)
    assert judged(etree.tostring(root)) is SubIndication.FORMAT_FAILURE


def test_another_documents_parts_do_not_fit() -> None:
    """Seal, device signature and statement of one document in another: each genuine, together refused."""
    one, two = f.model(), f.model(f.content(nonce=bytes(32)))
    assert judged(f.seal(one)) is None
    assert judged(f.seal(two)) is None
    for old, new in (
        (one.statement().decode(), two.statement().decode()),
        (one.device_signature.xml(), two.device_signature.xml()),
    ):
        crossed = f.seal(one, inner=f.swap(old, new))
        assert judged(crossed) is SubIndication.HASH_FAILURE
    first, second = f.seal(one).decode(), f.seal(two).decode()
    start = first.rindex("<ds:Signature ")
    other = second[second.rindex("<ds:Signature ") :]
    assert judged((first[:start] + other).encode()) is SubIndication.HASH_FAILURE
    assert compose_unsealed(one) != compose_unsealed(two)
