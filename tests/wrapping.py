"""Signature wrapping, generated: good signed messages in which what is read is no longer what was signed.

The law: in each variant the signed element of one target moves to a hiding place, or is gone, and a forged
one stands where it is read. The axes are independent of each other: of the Body all places, ids and
namespaces come in every combination; over all axes every two values meet (``pairs``). The genuine key signs
nothing but the messages that are then changed; what a variant signs is by a stranger's key, or by a secret
that is no secret. What other judges think is left to ``opinions``.
"""

from __future__ import annotations

import base64
import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

from forging import MORE, XML, ds, parsed, sign_again
from lxml import etree
from signed import DS, NS, WSA, WSSE, WSU, X509V3, addressing_blocks, moment, sign
from signed_bank import BANK, OTHER, STRANGER
from soap_support import ADDRESS, NOW, REQUESTS

from gateway.soap.envelope import TNS, SoapVersion

FORGED = "somebody-else"
ODD = "urn:odd"
ID = f"{{{WSU}}}Id"
WSU_2003 = "http://schemas.xmlsoap.org/ws/2003/06/utility"
WSA_2004 = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
SECURITY = f"{{{WSSE}}}Security"
ACTION = f"{TNS}:StartConsentSignature"
Tree = etree._Element


@dataclass(frozen=True, slots=True)
class Variant:
    target: str
    place: str
    order: str
    ids: str = "none"
    names: str = "plain"
    signature: str = "untouched"
    key: str = "untouched"
    version: str = "SOAP11"

    def __str__(self) -> str:
        return "/".join(str(getattr(self, axis)) for axis in AXES)

    @property
    def soap(self) -> SoapVersion:
        return SoapVersion[self.version]


# The messages that are changed. Of all but the Body's the signed value is one that is refused as it stands:
# whoever makes the gateway read the forged one has its message executed.


@cache
def _signed(target: str, version: str, *, forged: bool = False) -> bytes:
    at, to, action, reply, message_id = (
        NOW,
        ADDRESS,
        ACTION,
        f"{WSA}/anonymous",
        f"urn:once:{target}:{version}",
    )
    if target == "Timestamp" and not forged:
        at = NOW - timedelta(hours=1)
    if target == "To" and not forged:
        to = "https://other.example/soap/v1"
    if target == "Action" and not forged:
        action = f"{TNS}:Heartbeat"
    if target == "ReplyTo" and not forged:
        reply = "https://other.example/"
    if forged:
        message_id = f"urn:forged:{target}:{version}"
    blocks = addressing_blocks(action, to=to, message_id=message_id).replace(f"{WSA}/anonymous", reply)
    body = REQUESTS["StartConsentSignature"]
    return etree.tostring(sign(body, BANK, at=at, version=SoapVersion[version], headers=blocks))


def unchanged(target: str, version: str) -> bytes:
    """The message whose target the variants change."""
    return _signed(target, version)


def honest(target: str, version: str) -> bytes:
    """As the forger would have it, but signed: it is executed, or nothing is said by a refusal."""
    return _signed(target, version, forged=True)


def _path(target: str, version: SoapVersion) -> str:
    if target == "Body":
        return version.tag("Body")
    return ".//wsu:Timestamp" if target == "Timestamp" else f"{version.tag('Header')}/{{{WSA}}}{target}"


def _one(root: Tree, path: str) -> Tree:
    found = root.find(path, NS)
    assert found is not None, path
    return found


def _forge(original: Tree, target: str) -> Tree:
    forged = copy.deepcopy(original)
    if target == "Body":
        forged[0][1].text = FORGED
    elif target == "Timestamp":
        forged[0].text, forged[1].text = moment(NOW), moment(NOW + timedelta(minutes=5))
    elif target == "ReplyTo":
        forged[0].text = f"{WSA}/anonymous"
    else:
        forged.text = {"MessageID": "urn:fresh", "To": ADDRESS, "Action": ACTION}[target]
    return forged


# Axes


def _in(path: str) -> Callable[[Tree, SoapVersion], Tree]:
    return lambda root, version: _one(root, path)


def _in_new(tag: str, path: str) -> Callable[[Tree, SoapVersion], Tree]:
    return lambda root, version: etree.SubElement(_one(root, path), tag)


def _block(**attributes: str) -> Callable[[Tree, SoapVersion], Tree]:
    """A header block of its own."""

    def place(root: Tree, version: SoapVersion) -> Tree:
        block = etree.SubElement(root[0], f"{{{ODD}}}Block")
        for name, value in attributes.items():
            if name != "actor":
                block.set(version.tag(name), value)
            else:
                block.set(version.tag("actor" if version is SoapVersion.SOAP11 else "role"), value)
        return block

    return place


def _second_security(root: Tree, version: SoapVersion) -> Tree:
    security = etree.SubElement(root[0], SECURITY)
    security.set(version.tag("actor" if version is SoapVersion.SOAP11 else "role"), "urn:another")
    return security


SIGNATURE, INFO = f".//{SECURITY}/ds:Signature", f".//{SECURITY}/ds:Signature/ds:SignedInfo"
PLACES: Mapping[str, Callable[[Tree, SoapVersion], Tree] | None] = {
    "gone": None,
    "envelope": lambda root, version: root,
    "header": lambda root, version: root[0],
    "block": _block(),
    "block-that-must-be-understood": _block(mustUnderstand="1"),
    "block-for-another": _block(actor="urn:another", mustUnderstand="1"),
    "addressing-block": lambda root, version: _one(root[0], f"{{{WSA}}}ReplyTo"),
    "security": _in(f".//{SECURITY}"),
    "security-for-another": _second_security,
    "timestamp": _in(f".//{SECURITY}/wsu:Timestamp"),
    "token": _in(".//wsse:BinarySecurityToken"),
    "signature": _in(SIGNATURE),
    "object": _in_new(f"{{{DS}}}Object", SIGNATURE),
    "signed-info": _in(INFO),
    "key-info": _in(f"{SIGNATURE}/ds:KeyInfo"),
    "token-reference": _in(".//wsse:SecurityTokenReference"),
    "body": lambda root, version: root[-1],
    "operation": lambda root, version: root[-1][0],
}
"""Where the signed element goes."""
ORDERS: Mapping[str, tuple[bool, bool]] = {
    "first": (True, False),
    "last": (False, False),
    "first-wrapped": (True, True),
    "last-wrapped": (False, True),
}
"""Before or after what stands there, and whether in an element of its own."""
IDS: Mapping[str, Callable[[Tree, Tree, str], None]] = {
    "none": lambda forged, original, name: None,
    "same": lambda forged, original, name: forged.set(ID, name),
    "new": lambda forged, original, name: forged.set(ID, "another"),
    "same-as-Id": lambda forged, original, name: forged.set("Id", name),
    "same-as-ID": lambda forged, original, name: forged.set("ID", name),
    "same-as-xml-id": lambda forged, original, name: forged.set(f"{{{XML}}}id", name),
    "same-as-an-older-id": lambda forged, original, name: forged.set(f"{{{WSU_2003}}}Id", name),
    "swapped": lambda forged, original, name: (original.set(ID, "another"), forged.set(ID, name))[-1],
}
"""What id the forged element has; the signed one keeps its own unless they are swapped."""
_RELATIVES = {
    SoapVersion.SOAP11.namespace: SoapVersion.SOAP12.namespace,
    SoapVersion.SOAP12.namespace: SoapVersion.SOAP11.namespace,
    WSU: WSU_2003,
    WSA: WSA_2004,
}


def _renamed(forged: Tree, space: str) -> Tree:
    """The same element in another namespace, which is the default there."""
    name = etree.QName(forged)
    made = etree.Element(f"{{{space}}}{name.localname}", dict(forged.attrib), nsmap={None: space})
    made.text = forged.text
    made.extend(list(forged))
    return made


NAMES: Mapping[str, Callable[[Tree], Tree]] = {
    "plain": lambda forged: forged,
    "default": lambda forged: _renamed(forged, str(etree.QName(forged).namespace)),
    "redefined": lambda forged: forged,  # and the element that hides the signed one gives its prefixes away
    "other-namespace": lambda forged: _renamed(forged, ODD),
    "other-edition": lambda forged: _renamed(forged, _RELATIVES[str(etree.QName(forged).namespace)]),
}
"""What the forged element is called."""
_GIVEN_AWAY = {"soap": ODD, "gw": "urn:odd:2", "wsu": "urn:odd:3", "wsse": "urn:odd:4", "ds": "urn:odd:5"}


def _signatures(root: Tree) -> Tree | None:
    return root.find(SIGNATURE, NS)


def _after_signature(make: Callable[[Tree], Tree], *, before: bool = False) -> Callable[[Tree], Tree]:
    def trick(root: Tree) -> Tree:
        signature = _one(root, SIGNATURE)
        made = make(signature)
        (signature.addprevious if before else signature.addnext)(made)
        return root

    return trick


def _second_info(*, before: bool) -> Callable[[Tree], Tree]:
    """A SignedInfo over what is read, beside the one that is signed."""

    def trick(root: Tree) -> Tree:
        info = _one(root, INFO)
        forged = _one(sign_again(root, STRANGER), INFO)
        (info.addprevious if before else info.addnext)(forged)
        return root

    return trick


def _manifest(root: Tree) -> Tree:
    """References to what is read, where they are nobody's duty to check."""
    held = ds("Manifest")
    held.extend(_one(sign_again(root, STRANGER), INFO).findall("ds:Reference", NS))
    etree.SubElement(_one(root, SIGNATURE), f"{{{DS}}}Object").append(held)
    return root


def _transform(algorithm: str, inside: str = "", *, times: int = 1) -> Callable[[Tree], Tree]:
    """One more transform in each Reference: signed by a stranger, for SignedInfo has changed."""

    def trick(root: Tree) -> Tree:
        for transforms in _one(root, INFO).iter(f"{{{DS}}}Transforms"):
            for _ in range(times):
                transform = ds("Transform", Algorithm=algorithm)
                if inside:
                    transform.append(etree.fromstring(inside))
                transforms.insert(0, transform)
        return sign_again(root, STRANGER)

    return trick


def _method(algorithm: str, *, length: str = "", value: str | None = None) -> Callable[[Tree], Tree]:
    """SignatureMethod says otherwise; an HMAC is made with the public key, which anyone has."""

    def trick(root: Tree) -> Tree:
        method = _one(root, f"{INFO}/ds:SignatureMethod")
        method.set("Algorithm", algorithm)
        if length:
            method.append(ds("HMACOutputLength", length))
        root = sign_again(root, BANK if "hmac" in algorithm else STRANGER)
        if length:
            kept = base64.b64decode(_one(root, f"{SIGNATURE}/ds:SignatureValue").text or "")[
                : int(length) // 8
            ]
            value_text = base64.b64encode(kept).decode()
            _one(root, f"{SIGNATURE}/ds:SignatureValue").text = value_text
        if value is not None:
            _one(root, f"{SIGNATURE}/ds:SignatureValue").text = value
        return root

    return trick


def _moved(to: Callable[[Tree], Tree]) -> Callable[[Tree], Tree]:
    def trick(root: Tree) -> Tree:
        signature = _one(root, SIGNATURE)
        to(root).append(signature)
        return root

    return trick


def _emptied(root: Tree) -> Tree:
    for child in list(_one(root, SIGNATURE)):
        _one(root, SIGNATURE).remove(child)
    return root


def _copied_security(root: Tree) -> Tree:
    security = _one(root, f".//{SECURITY}")
    security.addnext(copy.deepcopy(security))
    return root


def _many_references(root: Tree) -> Tree:
    info = _one(root, INFO)
    info.extend([copy.deepcopy(info[-1]) for _ in range(1000)])
    return root


def _references_to(uri: Callable[[str], str]) -> Callable[[Tree], Tree]:
    def trick(root: Tree) -> Tree:
        for reference in _one(root, INFO).iterfind("ds:Reference", NS):
            reference.set("URI", uri((reference.get("URI") or "").removeprefix("#")))
        return sign_again(root, STRANGER)

    return trick


XSLT = (
    '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">'
    '<xsl:template match="/"><xsl:copy-of select="."/></xsl:template></xsl:stylesheet>'
)
XPATH = f'<ds:XPath xmlns:ds="{DS}">ancestor-or-self::*[1=1]</ds:XPath>'
SIGNATURES: Mapping[str, Callable[[Tree], Tree]] = {
    "untouched": lambda root: root,
    "second-after": _after_signature(copy.deepcopy),
    "second-before": _after_signature(copy.deepcopy, before=True),
    "second-by-a-stranger": _after_signature(
        lambda signature: copy.deepcopy(
            _one(sign_again(signature.getroottree().getroot(), STRANGER), SIGNATURE)
        )
    ),
    "empty-before": _after_signature(lambda signature: ds("Signature"), before=True),
    "second-security": _copied_security,
    "moved-to-header": _moved(lambda root: root[0]),
    "moved-to-body": _moved(lambda root: root[-1]),
    "moved-to-a-block": _moved(lambda root: etree.SubElement(root[0], f"{{{ODD}}}Block")),
    "moved-below-in-security": _moved(
        lambda root: etree.SubElement(_one(root, f".//{SECURITY}"), f"{{{ODD}}}X")
    ),
    "emptied": _emptied,
    "second-signed-info-first": _second_info(before=True),
    "second-signed-info-last": _second_info(before=False),
    "manifest": _manifest,
    "hmac-with-the-public-key": _method(f"{MORE}hmac-sha256"),
    "hmac-of-8-bits": _method(f"{MORE}hmac-sha256", length="8"),
    "hmac-of-no-bits": _method(f"{MORE}hmac-sha256", length="0"),
    "none": _method("none", value=""),
    "no-value": _method(f"{MORE}rsa-sha256", value=""),
    "rsa-sha1": _method(f"{DS}rsa-sha1"),
    "transform-xslt": _transform("http://www.w3.org/TR/1999/REC-xslt-19991116", XSLT),
    "transform-xpath": _transform("http://www.w3.org/TR/1999/REC-xpath-19991116", XPATH),
    "transform-enveloped": _transform(f"{DS}enveloped-signature"),
    "transform-base64": _transform(f"{DS}base64"),
    "500-transforms": _transform("http://www.w3.org/2001/10/xml-exc-c14n#", times=500),
    "1000-references": _many_references,
    "uri-empty": _references_to(lambda name: ""),
    "uri-xpointer": _references_to(lambda name: f"#xpointer(id('{name}'))"),
    "uri-absolute": _references_to(lambda name: f"http://127.0.0.1:1/#{name}"),
    "uri-percent": _references_to(lambda name: f"#{name[:-1]}%{ord(name[-1]):x}"),
    "comment": lambda root: root,
    "cdata": lambda root: root,
    "instruction": lambda root: root,
    "doctype": lambda root: root,
    "entity": lambda root: root,
}
"""What is done to the Signature."""
RAW: Mapping[str, Callable[[bytes], bytes]] = {
    "comment": lambda data: data.replace(b"</ds:SignatureValue>", b"<!--x--></ds:SignatureValue>"),
    "cdata": lambda data: data.replace(b"customer-4711", b"<![CDATA[customer-4711]]>"),
    "instruction": lambda data: data.replace(b"</ds:DigestValue>", b"<?x y?></ds:DigestValue>", 1),
    "doctype": lambda data: b'<!DOCTYPE x [<!ATTLIST x Id ID #IMPLIED>]>' + data,
    "entity": lambda data: b'<!DOCTYPE x [<!ENTITY e "4711">]>' + data.replace(b"-4711", b"-&e;"),
}  # fmt: skip
"""Of these, what only the bytes can show."""


def _key_info(make: Callable[[], Tree], *, first: bool = True) -> Callable[[Tree], Tree]:
    def trick(root: Tree) -> Tree:
        for key_info in root.iter(f"{{{DS}}}KeyInfo"):
            key_info.insert(0 if first else len(key_info), make())
        return root

    return trick


def _x509(der: bytes) -> Tree:
    data = ds("X509Data")
    data.append(ds("X509Certificate", base64.b64encode(der).decode()))
    return data


def _key_value() -> Tree:
    number = STRANGER.certificate.public_key().public_numbers()  # type: ignore[union-attr]
    held, key = ds("KeyValue"), ds("RSAKeyValue")
    key.append(ds("Modulus", base64.b64encode(number.n.to_bytes(256, "big")).decode()))  # type: ignore[union-attr]
    key.append(ds("Exponent", base64.b64encode(b"\1\0\1").decode()))
    held.append(key)
    return held


def _token(der: bytes, *, second: bool = False, by_stranger: bool = False) -> Callable[[Tree], Tree]:
    """Another certificate in the token, or in a second one, which the key reference then names."""

    def trick(root: Tree) -> Tree:
        text = base64.b64encode(der).decode()
        for token in list(root.iter(f"{{{WSSE}}}BinarySecurityToken")):
            if not second:
                token.text = text
                continue
            more = etree.Element(f"{{{WSSE}}}BinarySecurityToken", ValueType=X509V3)
            more.set(ID, "token-2")
            more.text = text
            token.addnext(more)
            for reference in root.iter(f"{{{WSSE}}}Reference"):
                reference.set("URI", "#token-2")
        return _by_stranger(root) if by_stranger else root

    return trick


def _by_stranger(root: Tree) -> Tree:
    signed = root.find(".//ds:Signature/ds:SignedInfo", NS) is not None
    return (
        sign_again(root, STRANGER) if signed and root.find(".//ds:SignatureValue", NS) is not None else root
    )


KEYS: Mapping[str, Callable[[Tree], Tree]] = {
    "untouched": lambda root: root,
    "signed-by-a-stranger": _by_stranger,
    "a-stranger's-token": _token(STRANGER.der),
    "a-stranger's-token-and-signature": _token(STRANGER.der, by_stranger=True),
    "another-caller's-token": _token(OTHER.der),
    "second-token": _token(STRANGER.der, second=True),
    "second-token-and-signature": _token(STRANGER.der, second=True, by_stranger=True),
    "a-token-of-16384-bits": _token(b"\x30\x82\x09\x00" + b"\xff" * 2304),
    "key-value": lambda root: _by_stranger(_key_info(_key_value)(root)),
    "retrieval-method": _key_info(lambda: ds("RetrievalMethod", URI="#token")),
    "key-name": _key_info(lambda: ds("KeyName", "bank")),
    "certificate-of-a-stranger": lambda root: _by_stranger(_key_info(lambda: _x509(STRANGER.der))(root)),
    "two-certificates": lambda root: _key_info(lambda: _x509(BANK.der), first=False)(
        _key_info(lambda: _x509(STRANGER.der))(root)
    ),
}
"""What is done to the key's name."""
TARGETS = ("Body", "Timestamp", "MessageID", "To", "Action", "ReplyTo")
AXES: Mapping[str, Sequence[str]] = {
    "target": TARGETS,
    "place": tuple(PLACES),
    "order": tuple(ORDERS),
    "ids": tuple(IDS),
    "names": tuple(NAMES),
    "signature": tuple(SIGNATURES),
    "key": tuple(KEYS),
    "version": tuple(version.name for version in SoapVersion),
}


def build(variant: Variant) -> bytes:
    version = variant.soap
    root = parsed(unchanged(variant.target, variant.version))
    original = _one(root, _path(variant.target, version))
    forged = _forge(original, variant.target)
    name = forged.attrib.pop(ID)
    IDS[variant.ids](forged, original, str(name))
    forged = NAMES[variant.names](forged)
    parent = original.getparent()
    assert parent is not None
    parent.replace(original, forged)
    _hide(root, original, forged, variant)
    root = parsed(etree.tostring(root))  # the prefixes as a reader sees them
    if _signatures(root) is not None:
        root = SIGNATURES[variant.signature](root)
    root = KEYS[variant.key](root)
    data = etree.tostring(root)
    return RAW[variant.signature](data) if variant.signature in RAW else data


def _hide(root: Tree, original: Tree, forged: Tree, variant: Variant) -> None:
    find = PLACES[variant.place]
    if find is None:
        return
    if variant.names in ("other-namespace", "other-edition") and variant.place == "timestamp":
        holder = forged if variant.target == "Timestamp" else find(root, variant.soap)
    elif variant.place == "addressing-block" and variant.target == "ReplyTo":
        holder = forged
    else:
        holder = find(root, variant.soap)
    first, wrapped = ORDERS[variant.order]
    moved = original
    if wrapped or variant.names == "redefined":
        moved = etree.Element(
            f"{{{ODD}}}Wrapper", nsmap=_GIVEN_AWAY if variant.names == "redefined" else None
        )
        moved.append(original)
    holder.insert(0 if first else len(holder), moved)


def body_product() -> Iterator[Variant]:
    """Of the Body: all places, ids and namespaces with each other, before and after what stands there."""
    for place, order, ids, names in itertools.product(PLACES, ("first", "last-wrapped"), IDS, NAMES):
        yield Variant("Body", place, order, ids, names)


def pairs(axes: Mapping[str, Sequence[str]] = AXES) -> Iterator[Variant]:
    """Variants in which any two values of any two axes meet: greedy, and the same each time."""
    names = list(axes)
    open_pairs = {
        (one, a, other, b): None
        for one, other in itertools.combinations(names, 2)
        for a, b in itertools.product(axes[one], axes[other])
    }
    row = 0
    while open_pairs:
        row += 1
        one, a, other, b = next(iter(open_pairs))
        chosen = {one: a, other: b}
        for axis in names:
            if axis in chosen:
                continue
            values = axes[axis]
            turned = [*values[row % len(values) :], *values[: row % len(values)]]
            met = {}
            for value in turned:
                tried = chosen | {axis: value}
                met[value] = sum(_pair(names, tried, axis, known) in open_pairs for known in chosen)
            chosen[axis] = max(turned, key=met.__getitem__)
        for first, second in itertools.combinations(names, 2):
            open_pairs.pop((first, chosen[first], second, chosen[second]), None)
        yield Variant(**chosen)


def _pair(
    names: Sequence[str], chosen: Mapping[str, str], axis: str, other: str
) -> tuple[str, str, str, str]:
    first, second = sorted((axis, other), key=names.index)
    return first, chosen[first], second, chosen[second]


def messages() -> dict[bytes, Variant]:
    """All variants, each message once, by its bytes."""
    found: dict[bytes, Variant] = {}
    for variant in itertools.chain(body_product(), pairs()):
        found.setdefault(build(variant), variant)
    return found
