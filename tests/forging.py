"""Signatures of any shape by the genuine key: whatever stands in SignedInfo is digested and signed again.

The law: digests and SignatureValue are what a gateway without the guard in question would compute (Exclusive
C14N with the stated PrefixList, whatever transform is stated), so that a defect is refused by its own guard
or by none. It is not python-xmlsec, which has guards of its own.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from lxml import etree
from signed import DS, NS, Signer

EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
XML = "http://www.w3.org/XML/1998/namespace"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


OVER = "{urn:forging}over"
"""On a Reference that is to be signed: the path of what is digested, where its URI does not lead there."""


def sign_again(root: etree._Element, by: Signer) -> etree._Element:
    """The same message, parsed from its bytes and signed as it stands there."""
    root = parsed(etree.tostring(root))
    signature = root.find(".//ds:Signature", NS)
    assert signature is not None
    for info in signature.findall("ds:SignedInfo", NS):
        _digest_references(root, info)
        value = signature.find("ds:SignatureValue", NS)
        method = info.find("ds:SignatureMethod", NS)
        if value is not None and method is not None:
            signed = signature_by(
                by, canonical(info, _prefixes(info)), algorithm=method.get("Algorithm") or ""
            )
            value.text = base64.b64encode(signed).decode()
        break
    return root


def parsed(data: bytes) -> etree._Element:
    """Also where an xml:id stands twice, which libxml2 itself would refuse."""
    return etree.fromstring(data, etree.XMLParser(collect_ids=False, resolve_entities=False))


def _digest_references(root: etree._Element, info: etree._Element) -> None:
    for reference in info.findall("ds:Reference", NS):
        over = reference.attrib.pop(OVER, None)
        target = named(root, reference.get("URI") or "") if over is None else root.find(str(over), NS)
        method, value = (reference.find(f"ds:{name}", NS) for name in ("DigestMethod", "DigestValue"))
        if target is None or method is None or value is None:
            continue
        name = (method.get("Algorithm") or "").rpartition("#")[2]
        data = canonical(target, _prefixes(reference))
        value.text = base64.b64encode(
            hashlib.new(name if name in HASHES else "sha256", data).digest()
        ).decode()


def named(root: etree._Element, uri: str) -> etree._Element | None:
    """The first element with this id, however the id is spelled and whether or not it has its ``#``."""
    for element in root.iter():
        for name, value in element.attrib.items():
            if str(name).rpartition("}")[2].lower() == "id" and value == uri.removeprefix("#"):
                return element
    return None


def _prefixes(node: etree._Element) -> list[str]:
    """Of SignedInfo's CanonicalizationMethod, or of a Reference's first Transform."""
    place = "ds:CanonicalizationMethod" if etree.QName(node).localname == "SignedInfo" else ".//ds:Transform"
    found = node.find(f"{place}/{{{EXCLUSIVE}}}InclusiveNamespaces", NS)
    return [] if found is None else (found.get("PrefixList") or "").split()


def canonical(element: etree._Element, prefixes: list[str]) -> bytes:
    return etree.tostring(element, method="c14n", exclusive=True, inclusive_ns_prefixes=prefixes or None)


@cache
def _private(pem: bytes) -> Any:
    return load_pem_private_key(pem, password=None)


def signature_by(by: Signer, data: bytes, *, algorithm: str) -> bytes:
    """By the algorithm's name; an HMAC has the public key, as anyone knows it, as its secret."""
    family, _, name = algorithm.rpartition("#")[2].partition("-")
    digest = HASHES.get(name, hashes.SHA256())
    key = _private(by.key_pem)
    if family == "hmac":
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        keyed = hmac.HMAC(public, digest)
        keyed.update(data)
        return keyed.finalize()
    if isinstance(key, rsa.RSAPrivateKey):
        if algorithm.endswith("-rsa-MGF1"):
            return key.sign(data, padding.PSS(padding.MGF1(digest), 32), digest)
        return key.sign(data, padding.PKCS1v15(), digest)
    size = (key.curve.key_size + 7) // 8
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def ds(name: str, text: str = "", **attributes: str) -> etree._Element:
    """An element of XML-DSig."""
    element = etree.Element(f"{{{DS}}}{name}", attributes, nsmap={"ds": DS})
    element.text = text or None
    return element
