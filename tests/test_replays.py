"""One message, many spellings: whatever is not signed of it may differ, and it is still taken once."""

from __future__ import annotations

import base64
import codecs
import re
from collections.abc import Callable
from functools import cache

import pytest
from forging import P256_ORDER
from lxml import etree
from signed import ECDSA_SHA256, NS, WSSE, Signer, addressing_blocks, reference_to, sign, signer
from signed_bank import BANK, Bank, credential
from soap_support import ADDRESS, NOW, REQUESTS

from gateway.core.wssecurity import KeyReference
from gateway.soap.envelope import TNS, SoapVersion

CURVE = signer("bank-p256", "p256")
SIGNERS = {"rsa": BANK, "ecdsa": CURVE}
ADDRESSED = addressing_blocks(f"{TNS}:StartConsentSignature", to=ADDRESS)


@cache
def message(kind: str, headers: str = "") -> bytes:
    algorithm = {"algorithm": ECDSA_SHA256} if kind == "ecdsa" else {}
    body = REQUESTS["StartConsentSignature"]
    return etree.tostring(sign(body, SIGNERS[kind], at=NOW, headers=headers, **algorithm))


def tree(change: Callable[[etree._Element], object]) -> Callable[[bytes], bytes]:
    def replay(data: bytes) -> bytes:
        root = etree.fromstring(data)
        change(root)
        return etree.tostring(root)

    return replay


def one(root: etree._Element, path: str) -> etree._Element:
    found = root.find(path, NS)
    assert found is not None
    return found


def by(root: etree._Element) -> Signer:
    """Whose message it is: the token says so."""
    token = base64.b64decode(one(root, ".//wsse:BinarySecurityToken").text or "")
    return next(each for each in SIGNERS.values() if each.der == token)


def named_otherwise(kind: KeyReference) -> Callable[[bytes], bytes]:
    def change(root: etree._Element) -> None:
        key_info = one(root, ".//ds:KeyInfo")
        key_info[:] = [reference_to(by(root).certificate, kind)]
        token = one(root, ".//wsse:BinarySecurityToken")
        one(root, f".//{{{WSSE}}}Security").remove(token)

    return tree(change)


def value(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def replay(root: etree._Element) -> None:
        element = one(root, ".//ds:SignatureValue")
        element.text = base64.b64encode(change(base64.b64decode(element.text or ""))).decode()

    return tree(replay)


def twin(raw: bytes) -> bytes:
    """The other ECDSA signature, which anyone can compute from the one."""
    return raw[:32] + (P256_ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")


def renamed(data: bytes) -> bytes:
    """Another prefix where nothing is signed."""
    name = b"SecurityTokenReference"
    opened = data.replace(b"<wsse:" + name, b'<o:%s xmlns:o="%s"' % (name, WSSE.encode()))
    return opened.replace(b"</wsse:" + name, b"</o:" + name)


SAME: dict[str, Callable[[bytes], bytes]] = {
    "exact": lambda data: data,
    "blanks-between-header-and-body": lambda data: data.replace(b"</soap:Header>", b"\n </soap:Header>\n\t"),
    "blanks-in-security": lambda data: data.replace(b"<ds:Signature ", b"\r\n<ds:Signature "),
    "blanks-in-key-info": lambda data: data.replace(b"<ds:KeyInfo>", b"<ds:KeyInfo>\n\n"),
    "blanks-in-the-value": lambda data: data.replace(b"</ds:SignatureValue>", b"\n</ds:SignatureValue>"),
    "blanks-in-tags": lambda data: data.replace(b"</soap:Body>", b"</soap:Body \n>"),
    "value-in-one-line": tree(lambda root: one(root, ".//ds:SignatureValue").__setattr__(
        "text", "".join((one(root, ".//ds:SignatureValue").text or "").split()))),
    "a-block-more": tree(lambda root: root[0].insert(0, etree.Element("{urn:odd}Block"))),
    "an-attribute-more": tree(lambda root: root[0].set("{urn:odd}odd", "1")),
    "an-id-more": tree(lambda root: one(root, ".//ds:Signature").set("Id", "signature")),
    "for-the-next": tree(lambda root: one(root, ".//wsse:Security").set(
        f"{{{SoapVersion.SOAP11.namespace}}}actor", "http://schemas.xmlsoap.org/soap/actor/next")),
    "parts-in-another-order": tree(lambda root: one(root, ".//wsse:Security").append(
        one(root, ".//wsse:BinarySecurityToken"))),
    "another-prefix": renamed,
    "key-by-serial-number": named_otherwise(KeyReference.ISSUER_SERIAL),
    "key-by-identifier": named_otherwise(KeyReference.SUBJECT_KEY),
    "key-by-thumbprint": named_otherwise(KeyReference.THUMBPRINT),
    "declared": lambda data: b'<?xml version="1.0" encoding="utf-8"?>\n' + data,
    "with-a-mark": lambda data: b"\xef\xbb\xbf" + data,
    "in-utf-16": lambda data: data.decode().encode("utf-16"),
    "cdata": lambda data: data.replace(b"customer-4711", b"<![CDATA[customer-4711]]>"),
    "character-reference": lambda data: data.replace(b"customer-4711", b"&#x63;ustomer-4711"),
    "other-quotes": lambda data: re.sub(rb'URI="([^"]*)"', rb"URI='\1'", data),
    "twin": value(twin),
}  # fmt: skip
"""Other bytes, the same message: each is good by itself."""
BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "value-with-a-leading-zero": value(lambda raw: b"\0" + raw),
    "value-with-a-zero-behind": value(lambda raw: raw + b"\0"),
    "value-with-a-zero-between": value(lambda raw: raw[:32] + b"\0" + raw[32:]),
    "value-a-byte-short": value(lambda raw: raw[1:]),
    "value-empty": value(lambda raw: b""),
    "value-of-zeros": value(lambda raw: bytes(len(raw))),
    "value-of-ones": value(lambda raw: b"\xff" * len(raw)),
    "halves-in-33-bytes": value(lambda raw: b"\0" + raw[:32] + b"\0" + raw[32:]),
    "comment": lambda data: data.replace(b"</ds:SignatureValue>", b"<!----></ds:SignatureValue>"),
}
"""No spelling of any message."""


def post(bank: Bank, data: bytes) -> str:
    wide = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return bank.code(data, **{"Content-Type": "text/xml; charset=utf-16"} if wide else {})


def bank_of(monkeypatch: pytest.MonkeyPatch) -> Bank:
    return Bank(monkeypatch, credential("core", *SIGNERS.values()))


@pytest.mark.parametrize("headers", ["", ADDRESSED], ids=["by-its-digest", "by-its-id"])
@pytest.mark.parametrize(
    ("name", "kind"), [(n, k) for n in SAME for k in SIGNERS if (n, k) != ("twin", "rsa")]
)
def test_a_replay_is_refused_however_it_is_spelled(
    monkeypatch: pytest.MonkeyPatch, name: str, kind: str, headers: str
) -> None:
    first, again = message(kind, headers), SAME[name](message(kind, headers))
    assert again != first or name in ("exact", "value-in-one-line")
    for one_way, other_way in ((first, again), (again, first)):
        bank = bank_of(monkeypatch)
        assert post(bank, one_way) == "OK", "by itself it is good"
        assert post(bank, other_way) == "NOT_AUTHENTICATED"
        assert bank.executed == 1


@pytest.mark.parametrize("kind", SIGNERS)
@pytest.mark.parametrize("name", BROKEN)
def test_a_value_has_one_length_and_no_other_form(
    monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    bank = bank_of(monkeypatch)
    assert bank.code(BROKEN[name](message(kind))) in ("NOT_AUTHENTICATED", "MALFORMED_MESSAGE")
    assert bank.executed == 0
    assert not bank.store.seen
    assert bank.code(message(kind)) == "OK"


def test_another_message_is_another_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the refusals above are of replays."""
    bank = bank_of(monkeypatch)
    other = addressing_blocks(f"{TNS}:StartConsentSignature", to=ADDRESS, message_id="urn:other")
    for headers in ("", ADDRESSED, other):
        assert bank.code(message("rsa", headers)) == "OK"
    assert bank.executed == 3
