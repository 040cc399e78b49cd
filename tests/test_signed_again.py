"""Defects signed by the genuine key: each message verifies, and is refused for its shape alone."""

from __future__ import annotations

import base64
import copy
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from forging import EXCLUSIVE, MORE, OVER, XML, ds, sign_again
from lxml import etree
from signed import DS, NS, SKI, WSA, WSSE, WSU, X509V3, Signer, addressing_blocks, sign
from signed_bank import BANK, OTHER, STRANGER, Bank, credential, good
from soap_support import ADDRESS, CREDENTIAL, NOW, REQUESTS, envelope

from gateway.core import wssecurity
from gateway.core.wssecurity import (
    MAX_MESSAGE_ID,
    MAX_PREFIXES,
    MAX_REFERENCES,
    MAX_SKEW,
    KeyReference,
    MessageKey,
    NotSigned,
    Pin,
    Pins,
    check_key,
    parse_message,
)
from gateway.soap.envelope import TNS, SoapVersion
from gateway.soap.security import MessageRules

Defect = Callable[[etree._Element], object]
BINARY, ISSUER, SUBJECT, THUMBPRINT = KeyReference
ACTION = f"{TNS}:StartConsentSignature"
ADDRESSED = addressing_blocks(ACTION, to=ADDRESS)


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> Bank:
    return Bank(monkeypatch, credential("core", BANK), credential("other", OTHER), CREDENTIAL)


def one(root: etree._Element, path: str) -> etree._Element:
    found = root.find(path, NS)
    assert found is not None, path
    return found


def new(path: str, **attributes: str) -> Defect:
    return lambda root: one(root, path).attrib.update(attributes)


def into(path: str, make: Callable[[], etree._Element], *, first: bool = False) -> Defect:
    return lambda root: one(root, path).insert(0 if first else 99, make())


def text(path: str, change: str | Callable[[str], str]) -> Defect:
    def defect(root: etree._Element) -> None:
        element = one(root, path)
        element.text = change if isinstance(change, str) else change(element.text or "")

    return defect


def without(path: str, *attributes: str) -> Defect:
    """Without the element, or without its attributes."""

    def defect(root: etree._Element) -> None:
        element = one(root, path)
        for name in attributes:
            del element.attrib[name]
        if not attributes:
            parent = element.getparent()
            assert parent is not None
            parent.remove(element)

    return defect


def twice(path: str) -> Defect:
    return lambda root: one(root, path).addnext(copy.deepcopy(one(root, path)))


def both(*defects: Defect) -> Defect:
    def defect(root: etree._Element) -> None:
        for each in defects:
            each(root)

    return defect


def inclusive(prefixes: str, **attributes: str) -> Callable[[], etree._Element]:
    def make() -> etree._Element:
        name = f"{{{EXCLUSIVE}}}InclusiveNamespaces"
        return etree.Element(name, {"PrefixList": prefixes, **attributes}, nsmap={"ec": EXCLUSIVE})

    return make


def reference_to(part: str) -> Defect:
    """One more Reference, to the element of this path, which gets an id unless it has one."""

    def defect(root: etree._Element) -> None:
        target = one(root, part)
        if target.get(f"{{{WSU}}}Id") is None:
            target.set(f"{{{WSU}}}Id", "one-more")
        last = root.findall(".//ds:Reference", NS)[-1]
        reference = copy.deepcopy(last)
        reference.set("URI", f"#{target.get(f'{{{WSU}}}Id')}")
        last.addnext(reference)

    return defect


def reference_as(uri: str, path: str = ".//wsu:Timestamp") -> Defect:
    """The Reference to a part is spelled otherwise; its digest is still the part's."""

    def defect(root: etree._Element) -> None:
        name = one(root, path).get(f"{{{WSU}}}Id")
        reference = one(root, f"{REFERENCE}[@URI='#{name}']")
        reference.set("URI", uri)
        reference.set(OVER, path)

    return defect


def named_none(path: str) -> Defect:
    """The part has no id, and its Reference is to ``#None``, as Python spells what is not there."""
    return both(reference_as("#None", path), without(path, f"{{{WSU}}}Id"))


SOAP_ENVELOPE = SoapVersion.SOAP11.namespace
BODY = f"{{{SOAP_ENVELOPE}}}Body"
INFO, SIGNATURE, KEY_INFO = ".//ds:SignedInfo", ".//ds:Signature", ".//ds:KeyInfo"
C14N, METHOD = ".//ds:CanonicalizationMethod", ".//ds:SignatureMethod"
REFERENCE, TRANSFORMS, TRANSFORM = ".//ds:Reference", ".//ds:Transforms", ".//ds:Transform"
DIGEST, HOLDER, TOKEN = ".//ds:DigestMethod", ".//wsse:SecurityTokenReference", ".//wsse:BinarySecurityToken"
KEY_REFERENCE, IDENTIFIER = ".//wsse:Reference", ".//wsse:KeyIdentifier"
SERIAL, ISSUER_NAME = ".//ds:X509SerialNumber", ".//ds:X509IssuerName"
MESSAGE_ID, TIMESTAMP = f".//{{{WSA}}}MessageID", ".//wsu:Timestamp"
ODD = "urn:odd"
BLANKS = "," + 1024 * " "
ARABIC_DIGITS = {ord("0") + n: 0x660 + n for n in range(10)}


def odd() -> etree._Element:
    return etree.Element(f"{{{ODD}}}Odd")


SHAPES: dict[str, Defect] = {
    # SignedInfo
    "signed-info-with-more": into(INFO, odd),
    "signed-info-begins-with-more": into(INFO, odd, first=True),
    "signed-info-twice": twice(INFO),
    "c14n-inclusive": new(C14N, Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"),
    "c14n-with-comments": new(C14N, Algorithm=f"{EXCLUSIVE}WithComments"),
    "c14n-with-an-attribute": new(C14N, Odd="1"),
    "c14n-with-more": into(C14N, odd),
    "c14n-with-more-after-its-prefixes": both(into(C14N, inclusive("soap")), into(C14N, odd)),
    "c14n-prefixes-with-an-attribute": into(C14N, inclusive("soap", Odd="1")),
    "c14n-65-prefixes": into(C14N, inclusive(" ".join(f"p{n}" for n in range(MAX_PREFIXES + 1)))),
    "c14n-prefixes-with-more": both(into(C14N, inclusive("soap")), into(f"{C14N}/*", odd)),
    "method-with-more": into(METHOD, odd),
    "method-with-a-length": into(METHOD, lambda: ds("HMACOutputLength", "8")),
    "method-rsa-sha1": new(METHOD, Algorithm=f"{DS}rsa-sha1"),
    "method-rsa-sha224": new(METHOD, Algorithm=f"{MORE}rsa-sha224"),
    "method-rsa-pss": new(METHOD, Algorithm="http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1"),
    "method-hmac-with-the-public-key": new(METHOD, Algorithm=f"{MORE}hmac-sha256"),
    "method-none": new(METHOD, Algorithm="none"),
    "method-empty": new(METHOD, Algorithm=""),
    "method-missing": without(METHOD),
    # References
    "reference-with-an-attribute": new(REFERENCE, Odd="1"),
    "reference-with-more": into(REFERENCE, odd),
    "reference-without-transforms": without(TRANSFORMS),
    "reference-without-uri": without(REFERENCE, "URI"),
    "reference-without-hash": reference_as("part-0"),
    "reference-empty": reference_as(""),
    "reference-to-an-empty-id": both(reference_as("#"), new(TIMESTAMP, **{f"{{{WSU}}}Id": ""})),
    "reference-by-xpointer": reference_as("#xpointer(id('part-0'))"),
    "reference-percent-encoded": reference_as("#part%2D0"),
    "reference-twice": twice(REFERENCE),
    "reference-to-no-candidate": reference_to(f"{BODY}/*"),
    "reference-to-security": reference_to(".//wsse:Security"),
    "reference-to-key-info": reference_to(KEY_INFO),
    "reference-to-nothing": both(twice(REFERENCE), new(REFERENCE, URI="#nothing")),
    "body-has-no-id": named_none(BODY),
    "timestamp-has-no-id": named_none(TIMESTAMP),
    "token-has-no-id": both(without(TOKEN, f"{{{WSU}}}Id"), new(KEY_REFERENCE, URI="#None")),
    "transforms-with-two": twice(TRANSFORM),
    "transforms-with-more": into(TRANSFORMS, odd),
    "transforms-with-none": without(TRANSFORM),
    "transform-with-an-attribute": new(TRANSFORM, Odd="1"),
    "transform-with-more": into(TRANSFORM, odd),
    "transform-inclusive": new(TRANSFORM, Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"),
    "transform-with-comments": new(TRANSFORM, Algorithm=f"{EXCLUSIVE}WithComments"),
    "transform-enveloped": new(TRANSFORM, Algorithm=f"{DS}enveloped-signature"),
    "transform-base64": new(TRANSFORM, Algorithm=f"{DS}base64"),
    "transform-xslt": new(TRANSFORM, Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"),
    "transform-xpath": new(TRANSFORM, Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"),
    "transform-str": new(
        TRANSFORM,
        Algorithm="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#STR-Transform",
    ),
    "transform-65-prefixes": into(TRANSFORM, inclusive(" ".join(f"p{n}" for n in range(MAX_PREFIXES + 1)))),
    "digest-sha1": new(DIGEST, Algorithm=f"{DS}sha1"),
    "digest-sha224": new(DIGEST, Algorithm=f"{MORE}sha224"),
    "digest-with-more": into(DIGEST, odd),
    "digest-value-missing": without(".//ds:DigestValue"),
    # Signature
    "signature-with-more": into(SIGNATURE, odd),
    "signature-with-a-manifest": into(SIGNATURE, lambda: ds("Object")),
    "signature-without-key-info": without(KEY_INFO),
    "key-info-with-more": into(KEY_INFO, odd),
    "key-info-with-a-certificate": into(KEY_INFO, lambda: ds("X509Data")),
    "key-info-with-a-name": into(KEY_INFO, lambda: ds("KeyName", "bank"), first=True),
    "key-info-empty": without(HOLDER),
    "token-reference-with-more": into(HOLDER, odd),
    "token-reference-empty": without(KEY_REFERENCE),
    "token-reference-odd": both(without(KEY_REFERENCE), into(HOLDER, odd)),
    "key-reference-with-more": into(KEY_REFERENCE, odd),
    "key-reference-of-another-type": new(KEY_REFERENCE, ValueType=SKI),
    "key-reference-to-the-body": new(KEY_REFERENCE, URI="#part-1"),
    "key-reference-without-hash": new(KEY_REFERENCE, URI="token"),
    "key-reference-without-uri": without(KEY_REFERENCE, "URI"),
    "token-of-another-type": new(TOKEN, ValueType=f"{X509V3}x"),
    "token-of-no-type": without(TOKEN, "ValueType"),
    "token-in-another-encoding": new(TOKEN, EncodingType="urn:hex"),
    "token-with-more": into(TOKEN, odd),
    "token-missing": without(TOKEN),
    "token-twice": twice(TOKEN),
    # Security
    "security-with-more": into(".//wsse:Security", odd),
    "timestamp-with-more": into(TIMESTAMP, odd),
    "timestamp-begins-with-more": into(TIMESTAMP, odd, first=True),
    "created-with-a-child": into(".//wsu:Created", odd),
    "created-twice": twice(".//wsu:Created"),
    "created-missing": without(".//wsu:Created"),
    "expires-missing": without(".//wsu:Expires"),
    "created-without-zone": text(".//wsu:Created", lambda old: old.removesuffix("Z")),
    "expires-without-zone": text(".//wsu:Expires", lambda old: old.removesuffix("Z")),
    "created-with-a-blank-for-T": text(".//wsu:Created", lambda old: old.replace("T", " ")),
    "created-as-a-week": text(".//wsu:Created", "2026-W10-1T09:30:00Z"),
    "created-of-an-hour-too-many": text(".//wsu:Created", "2026-03-01T24:00:00Z"),
    "created-of-no-day": text(".//wsu:Created", "2026-02-30T09:30:00Z"),
    "created-in-a-zone-of-99": text(".//wsu:Created", "2026-03-02T09:30:00+99:99"),
    "created-with-twenty-digits": text(".//wsu:Created", "2026-03-02T09:30:00.00000000000000000000Z"),
    # ids
    **{
        f"id-twice-as-{spelling}": new(f"{BODY}/*", **{spelling: "part-1"})
        for spelling in ("Id", "ID", "id", "iD", f"{{{XML}}}id", f"{{{WSU}}}ID", f"{{{ODD}}}Id")
    },
    "id-of-the-timestamp-twice": new(f"{BODY}/*", Id="part-0"),
    "id-of-the-token-twice": new(f"{BODY}/*", Id="token"),
    "id-twice-in-a-signature": new(SIGNATURE, Id="part-1"),
    "ids-that-lead-nowhere-twice": both(new(f"{BODY}/*", Id="x"), new(SIGNATURE, Id="x")),
}  # fmt: skip
"""By what is odd of them: each is signed again, by the key that is pinned."""


@pytest.mark.parametrize("name", SHAPES)
def test_a_defect_that_is_signed_is_refused(bank: Bank, name: str) -> None:
    message = good()
    SHAPES[name](message)
    refused(bank, sign_again(message, BANK))


def refused(bank: Bank, message: etree._Element, *, version: SoapVersion = SoapVersion.SOAP11) -> None:
    assert bank.code(message, version=version) == "NOT_AUTHENTICATED"
    assert bank.executed == 0
    assert not bank.store.seen, "what is not accepted uses nothing up"


@pytest.mark.parametrize("version", SoapVersion)
@pytest.mark.parametrize("kind", KeyReference)
def test_without_a_defect_it_is_taken(bank: Bank, kind: KeyReference, version: SoapVersion) -> None:
    message = sign_again(good(kind=kind, headers=ADDRESSED, version=version), BANK)
    assert bank.code(message, version=version) == "OK"
    assert bank.executed == 1


TAKEN: dict[str, Defect] = {
    "reference-with-id-and-type": new(REFERENCE, Id="r-1", Type="urn:x"),
    "64-prefixes": into(TRANSFORM, inclusive(" ".join(f"p{n}" for n in range(MAX_PREFIXES)))),
    "token-signed": reference_to(TOKEN),
    "parts-in-another-order": lambda root: one(root, ".//wsse:Security").append(one(root, TIMESTAMP)),
    "digest-sha512": new(DIGEST, Algorithm="http://www.w3.org/2001/04/xmlenc#sha512"),
    "digest-sha384": new(DIGEST, Algorithm=f"{MORE}sha384"),
    "method-sha384": new(METHOD, Algorithm=f"{MORE}rsa-sha384"),
    "method-sha512": new(METHOD, Algorithm=f"{MORE}rsa-sha512"),
    "key-reference-of-no-type": without(KEY_REFERENCE, "ValueType"),
    "token-in-no-encoding": without(TOKEN, "EncodingType"),
    "created-in-another-zone": text(".//wsu:Created", "2026-03-02T11:30:00.987+02:00"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_stacks_write_differently_is_taken(bank: Bank, name: str) -> None:
    message = good()
    TAKEN[name](message)
    assert bank.code(sign_again(message, BANK)) == "OK"


KEYS: dict[str, tuple[KeyReference, Defect]] = {
    "identifier-in-another-encoding": (SUBJECT, new(IDENTIFIER, EncodingType="urn:hex")),
    "identifier-of-another-type": (SUBJECT, new(IDENTIFIER, ValueType="urn:x")),
    "identifier-of-no-type": (THUMBPRINT, without(IDENTIFIER, "ValueType")),
    "identifier-with-more": (THUMBPRINT, into(IDENTIFIER, odd)),
    "identifier-of-nobody": (SUBJECT, text(IDENTIFIER, base64.b64encode(b"x" * 20).decode())),
    "identifier-empty": (SUBJECT, text(IDENTIFIER, "")),
    "identifier-no-base64": (SUBJECT, text(IDENTIFIER, lambda old: f"*{old}")),
    "identifier-not-ascii": (SUBJECT, text(IDENTIFIER, "é")),
    "serial-with-a-sign": (ISSUER, text(SERIAL, lambda old: f"+{old}")),
    "serial-with-an-underscore": (ISSUER, text(SERIAL, lambda old: f"{old[0]}_{old[1:]}")),
    "serial-in-other-digits": (ISSUER, text(SERIAL, lambda old: old.translate(ARABIC_DIGITS))),
    "serial-of-51-digits": (ISSUER, text(SERIAL, lambda old: old.zfill(51))),
    "serial-of-10000-digits": (ISSUER, text(SERIAL, "1" * 10_000)),
    "serial-in-hex": (ISSUER, text(SERIAL, lambda old: hex(int(old)))),
    "serial-empty": (ISSUER, text(SERIAL, "")),
    "serial-of-another": (ISSUER, text(SERIAL, lambda old: str(int(old) + 1))),
    "issuer-of-1025-characters": (ISSUER, text(ISSUER_NAME, lambda old: old.replace(",", BLANKS, 1))),
    "issuer-of-another": (ISSUER, text(ISSUER_NAME, lambda old: old.replace("bank", "other"))),
    "issuer-no-name": (ISSUER, text(ISSUER_NAME, "bank")),
    "issuer-empty": (ISSUER, text(ISSUER_NAME, "")),
    "issuer-with-half-an-escape": (ISSUER, text(ISSUER_NAME, "CN=\\c3")),
    "issuer-in-hex": (ISSUER, text(ISSUER_NAME, "CN=#0403")),
    "issuer-of-a-long-country": (ISSUER, text(ISSUER_NAME, "C=Switzerland")),
    "issuer-serial-with-more": (ISSUER, into(".//ds:X509IssuerSerial", odd)),
    "x509-data-with-more": (ISSUER, into(".//ds:X509Data", odd)),
    "x509-data-with-two-certificates": (
        ISSUER,
        both(*2 * [into(".//ds:X509Data", lambda: ds("X509Certificate", "AAAA"))]),
    ),
    "x509-data-with-a-key-identifier": (ISSUER, into(".//ds:X509Data", lambda: ds("X509SKI"), first=True)),
    "token-beside-another-reference": (
        THUMBPRINT,
        into(".//wsse:Security", lambda: copy.deepcopy(one(good(), TOKEN))),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KEYS)
def test_a_key_is_named_exactly_or_not_at_all(bank: Bank, name: str) -> None:
    kind, defect = KEYS[name]
    message = good(kind=kind)
    defect(message)
    refused(bank, sign_again(message, BANK))


@pytest.mark.parametrize("held", [BANK, OTHER])
def test_a_copy_of_a_certificate_beside_its_serial_number_is_not_looked_at(bank: Bank, held: Signer) -> None:
    message = good(kind=ISSUER)
    copied = ds("X509Certificate", base64.b64encode(held.der).decode())
    one(message, ".//ds:X509Data").append(copied)
    assert bank.code(message) == "OK"


@pytest.mark.parametrize("place", [".//ds:SignatureValue", TOKEN])
@pytest.mark.parametrize("character", ["*", "=", "é", "-_"])
def test_base64_holds_its_own_characters_alone(bank: Bank, place: str, character: str) -> None:
    message = good()
    text(place, lambda old: f"{character}{old}")(message)
    refused(bank, message)


BLOCK = "<wsa:{0} xmlns:wsa='" + WSA + "'>{1}</wsa:{0}>"
ADDRESSES: dict[str, Defect] = {
    "message-id-empty": text(MESSAGE_ID, ""),
    "message-id-blank": text(MESSAGE_ID, " \n"),
    "message-id-of-1025-characters": text(MESSAGE_ID, "x" * (MAX_MESSAGE_ID + 1)),
    "message-id-with-a-child": into(MESSAGE_ID, odd),
    "action-unsigned": without(REFERENCE + "[3]"),
    "message-id-unsigned": without(REFERENCE + "[5]"),
    "reference-to-a-child-of-reply-to": reference_to(f".//{{{WSA}}}Address"),
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_an_addressing_block_is_signed_whole(bank: Bank, name: str) -> None:
    message = good(headers=ADDRESSED)
    ADDRESSES[name](message)
    refused(bank, sign_again(message, BANK))


def test_a_message_id_may_have_1024_characters(bank: Bank) -> None:
    blocks = addressing_blocks(ACTION, to=ADDRESS, message_id="x" * MAX_MESSAGE_ID)
    assert bank.code(good(headers=blocks)) == "OK"


@pytest.mark.parametrize(("more", "outcome"), [(0, "ADDRESSING_NOT_SUPPORTED"), (1, "NOT_AUTHENTICATED")])
def test_references_are_counted(bank: Bank, more: int, outcome: str) -> None:
    """The sixteenth is read, and only then are the many blocks of one name refused."""
    relations = MAX_REFERENCES - 2 + more
    blocks = "".join(BLOCK.format("RelatesTo", f"urn:{n}") for n in range(relations))
    message = good(headers=blocks)
    assert len(message.findall(REFERENCE, NS)) == MAX_REFERENCES + more
    assert bank.code(message) == outcome


def test_no_signature_is_no_signed_message() -> None:
    message = good()
    security = one(message, ".//wsse:Security")
    security.remove(one(message, SIGNATURE))
    with pytest.raises(NotSigned):
        parse_message(security, envelope=message, body=message[-1], addressing=())


def test_nobodys_key_makes_nobody_known(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose certificate is not pinned stays unknown, were the key that is tried in its place ever broken."""
    monkeypatch.setattr(wssecurity, "_NOBODY_RSA", STRANGER.certificate.public_key())
    refused(bank, sign(REQUESTS["Heartbeat"], STRANGER, at=NOW))


# Time, over what configuration may say


def test_no_window_is_longer_than_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = MessageRules(window=timedelta(hours=1), skew=timedelta(seconds=60))
    bank = Bank(monkeypatch, credential("core", BANK), rules=rules)
    assert bank.code(good(lifetime=timedelta(minutes=10))) == "OK"
    longer = sign(REQUESTS["Heartbeat"], BANK, at=NOW, lifetime=timedelta(minutes=10, seconds=1))
    assert bank.code(longer) == "NOT_AUTHENTICATED"


def test_no_clock_is_further_off_than_two_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = MessageRules(window=timedelta(minutes=5), skew=timedelta(hours=1))
    bank = Bank(monkeypatch, credential("core", BANK), rules=rules)
    for ahead, outcome in ((MAX_SKEW, "OK"), (MAX_SKEW + timedelta(seconds=1), "NOT_AUTHENTICATED")):
        assert bank.code(sign(REQUESTS["Heartbeat"], BANK, at=NOW + ahead)) == outcome


# Cost


def _many(pattern: str, times: int) -> str:
    return " ".join(pattern.format(n) for n in range(times))


NAMESPACES, QUALIFIED = _many("xmlns:p{0}='urn:{0}'", 250), _many("xmlns:n{0}='urn:{0}' n{0}:a='x'", 120)
COSTLY: dict[str, tuple[str, str]] = {
    "attributes": ("<ds:DigestValue", f"<ds:DigestValue {QUALIFIED}"),
    "namespaces": ("<ds:SignedInfo", f"<ds:SignedInfo {NAMESPACES}"),
    "prefixes": ("PrefixList='p0'", f"PrefixList='{_many('p{0}', 9_000)}'"),
    "ids": ("<gw:requestId>", _many("<x Id='i{0}'/>", 9_000) + "<gw:requestId>"),
    "digests": ("<ds:DigestValue>", f"<ds:DigestValue>{'A' * 60_000}"),
    "blanks": ("<ds:Transforms>", f"<ds:Transforms>{' ' * 60_000}"),
    "token": ("</wsse:BinarySecurityToken>", f"{'A' * 60_000}</wsse:BinarySecurityToken>"),
    "value": ("<ds:SignatureValue>", f"<ds:SignatureValue>{'A' * 60_000}"),
    "issuer": ("X509IssuerName>", f"X509IssuerName>{',' * 30_000}"),
    "serial": ("X509SerialNumber>", f"X509SerialNumber>{'9' * 60_000}"),
}


@pytest.mark.parametrize("name", COSTLY)
def test_nobody_unknown_makes_a_signature_costly(bank: Bank, name: str) -> None:
    message = good(kind=ISSUER if name in ("issuer", "serial") else BINARY)
    into(C14N, inclusive("p0"))(message)
    data = etree.tostring(message).decode().replace('"', "'")
    before, after = COSTLY[name]
    assert before in data
    began = time.process_time()
    assert bank.code(data.replace(before, after).encode()) == "NOT_AUTHENTICATED"
    assert time.process_time() - began < 1


# Keys


def certificate(key: Any, *, usage: bool | None = None, subject_key: bool = True) -> x509.Certificate:
    """Of any key, by a helping one where its own cannot sign."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bank")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(4711)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2030, 1, 1, tzinfo=UTC))
    )
    if usage is not None:
        uses = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
             "crl_sign", "encipher_only", "decipher_only"),
            False,
        )  # fmt: skip
        use = x509.KeyUsage(digital_signature=usage, **{**uses, "key_encipherment": True})
        builder = builder.add_extension(use, critical=True)
    if subject_key:
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(identifier, critical=False)
    return builder.sign(_helper(), hashes.SHA256())


@cache
def _helper() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def rsa_of(bits: int) -> Any:
    """A public key alone, quickly: nobody signs with it here."""

    class Key:
        @staticmethod
        def public_key() -> rsa.RSAPublicKey:
            return rsa.RSAPublicNumbers(65537, (1 << (bits - 1)) | 1).public_key()

    return Key()


KINDS_OF_KEYS: dict[str, tuple[Callable[[], Any], bool]] = {
    "rsa-1024": (lambda: rsa_of(1024), False),
    "rsa-2047": (lambda: rsa_of(2047), False),
    "rsa-2048": (lambda: rsa_of(2048), True),
    "rsa-4096": (lambda: rsa_of(4096), True),
    "rsa-4097": (lambda: rsa_of(4097), False),
    "rsa-8192": (lambda: rsa_of(8192), False),
    "p256": (lambda: ec.generate_private_key(ec.SECP256R1()), True),
    "p384": (lambda: ec.generate_private_key(ec.SECP384R1()), True),
    "p521": (lambda: ec.generate_private_key(ec.SECP521R1()), False),
    "secp256k1": (lambda: ec.generate_private_key(ec.SECP256K1()), False),
    "ed25519": (ed25519.Ed25519PrivateKey.generate, False),
    "dsa-2048": (lambda: dsa.generate_private_key(2048), False),
}


@pytest.mark.parametrize("name", KINDS_OF_KEYS)
def test_only_keys_of_some_kinds_may_be_pinned(name: str) -> None:
    make, accepted = KINDS_OF_KEYS[name]
    made = certificate(make())
    if accepted:
        check_key(made)
        assert Pin("core", made).der
        return
    for use in (check_key, lambda each: Pin("core", each)):
        with pytest.raises(ValueError, match="neither RSA of 2048 to 4096 bits, nor ECDSA"):
            use(made)


@pytest.mark.parametrize("usage", [None, True, False])
def test_a_key_that_may_not_sign_is_not_pinned(usage: bool | None) -> None:
    made = certificate(_helper(), usage=usage)
    if usage is not False:
        check_key(made)
        return
    with pytest.raises(ValueError, match="no digitalSignature"):
        check_key(made)


def test_one_serial_number_of_an_issuer_is_one_callers() -> None:
    """A message by either could name the other."""
    one_key, other_key = (certificate(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
    with pytest.raises(ValueError, match="b: its IssuerSerial is another caller's too"):
        Pins([Pin("a", one_key), Pin("b", other_key)])


def test_the_gateways_own_key_is_of_its_certificate_and_may_sign() -> None:
    mine, weak = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP521R1())
    MessageKey(mine, certificate(mine))
    with pytest.raises(ValueError, match="not for the key"):
        MessageKey(mine, certificate(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(ValueError, match="neither RSA"):
        MessageKey(weak, certificate(weak))


@pytest.mark.parametrize("subject_key", [True, False])
@pytest.mark.parametrize("kind", KeyReference)
def test_an_answer_names_its_key_as_it_can(kind: KeyReference, subject_key: bool) -> None:
    """A certificate without a subject key identifier stands there whole instead."""
    key = ec.generate_private_key(ec.SECP256R1())
    security = etree.Element(f"{{{WSSE}}}Security")
    MessageKey(key, certificate(key, subject_key=subject_key)).sign(
        security, signed=(), kind=kind, confirms=None, lifetime=timedelta(minutes=5), at=NOW
    )
    whole = kind is BINARY or (kind is SUBJECT and not subject_key)
    assert (security.find("wsse:BinarySecurityToken", NS) is not None) == whole
    leads = security.find(f"ds:Signature/ds:KeyInfo/{HOLDER[3:]}/wsse:Reference", NS)
    assert (leads is not None) == whole


# WS-Addressing


def test_a_block_that_stands_twice_is_refused_though_both_are_signed(bank: Bank) -> None:
    for number, (name, value) in enumerate(
        (("Action", ACTION), ("To", ADDRESS), ("MessageID", "urn:1"), ("RelatesTo", "urn:2"), ("From", ""))
    ):
        message = sign(
            REQUESTS["StartConsentSignature"],
            BANK,
            at=NOW + timedelta(seconds=number),
            headers=2 * BLOCK.format(name, value),
        )
        assert bank.code(message) == "ADDRESSING_NOT_SUPPORTED", name
    assert bank.executed == 0


@pytest.mark.parametrize("name", ["Action", "To"])
def test_a_block_of_text_holds_nothing_else(bank: Bank, name: str) -> None:
    message = good(headers=ADDRESSED)
    one(message, f".//{{{WSA}}}{name}").append(odd())
    assert bank.code(sign_again(message, BANK)) == "ADDRESSING_NOT_SUPPORTED"
    assert bank.executed == 0


@pytest.mark.parametrize("name", ["ReplyTo", "FaultTo"])
@pytest.mark.parametrize("where", ["", "https://elsewhere.example/", f"{WSA}/none"])
def test_no_answer_goes_elsewhere(bank: Bank, name: str, where: str) -> None:
    blocks = BLOCK.format(name, BLOCK.format("Address", where))
    assert bank.code(good(headers=blocks)) == "ADDRESSING_NOT_SUPPORTED"
    assert bank.executed == 0


@pytest.mark.parametrize(
    ("ids", "related"),
    [
        ((), None),
        (("urn:1",), "urn:1"),
        (("urn:1", "urn:2"), None),
        (("",), None),
        (("u" * 1024,), "u" * 1024),
        (("u" * 1025,), None),
    ],
)
def test_an_answer_relates_to_the_one_message_that_has_an_id(
    bank: Bank, ids: tuple[str, ...], related: str | None
) -> None:
    security = envelope(REQUESTS["Heartbeat"]).decode()
    blocks = "".join(BLOCK.format("MessageID", each) for each in ids) + BLOCK.format("To", ADDRESS)
    answer = bank.post(security.replace("<soap:Header>", f"<soap:Header>{blocks}").encode())
    assert etree.fromstring(answer.body).findtext(f".//{{{WSA}}}RelatesTo") == related
