"""Messages signed under a pinned certificate: python-xmlsec signs, and judges what is answered."""

from __future__ import annotations

import base64
import copy
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID
from lxml import etree
from signed import (
    DS,
    ECDSA_SHA256,
    ECDSA_SHA384,
    NS,
    RSA_SHA256,
    WSA,
    WSSE,
    WSSE11,
    WSU,
    Signer,
    addressing_blocks,
    moment,
    reference_to,
    resign,
    sign,
    signer,
    verify_answer,
)
from signed_bank import BANK, GATEWAY, OTHER, RULES, STRANGER, Bank, credential, good
from soap_support import (
    ADDRESS,
    CREDENTIAL,
    NOW,
    REQUESTS,
    SOAP11,
    SOAP12,
    envelope,
    make_rates,
    security,
)

from gateway.core import xmldsig, xmlparse
from gateway.core.rate import Rate
from gateway.core.wssecurity import MAX_SKEW, KeyReference, Pin, Pins
from gateway.soap import guard
from gateway.soap.envelope import TNS, SoapVersion
from gateway.soap.security import (
    AnyAuthenticator,
    Authentication,
    CallerCredential,
    MessageRules,
    pins_of,
)


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> Bank:
    return Bank(monkeypatch, credential("core", BANK), credential("other", OTHER), CREDENTIAL)


ALGORITHMS = [("rsa", RSA_SHA256), ("p256", ECDSA_SHA256), ("p384", ECDSA_SHA384)]


@pytest.mark.parametrize("version", SoapVersion)
@pytest.mark.parametrize("kind", KeyReference)
@pytest.mark.parametrize(("key", "algorithm"), ALGORITHMS)
def test_a_signed_message_is_executed_and_answered_signed(
    monkeypatch: pytest.MonkeyPatch, version: SoapVersion, kind: KeyReference, key: str, algorithm: Any
) -> None:
    by = signer(f"bank-{key}", key)
    bank = Bank(monkeypatch, credential("core", by))
    message = sign(
        REQUESTS["StartConsentSignature"], by, at=NOW, version=version, kind=kind, algorithm=algorithm
    )
    answer = bank.post(message, version=version)
    assert answer.status == 200, answer.body
    ((operation, caller, _),) = bank.services.asked
    assert (operation, caller.id) == ("StartConsentSignature", "core")
    assert verify_answer(answer.body, GATEWAY.certificate) == ["Body", "SignatureConfirmation", "Timestamp"]
    root = etree.fromstring(answer.body)
    confirmed = root.find(f".//{{{WSSE11}}}SignatureConfirmation")
    assert confirmed is not None
    stated = message.findtext(".//ds:SignatureValue", namespaces=NS)
    assert base64.b64decode(confirmed.get("Value") or "") == base64.b64decode(stated or "")
    token = root.find(f".//{{{WSSE}}}BinarySecurityToken")
    assert (token is not None) == (kind is KeyReference.BINARY), "the answer names its key as the request did"


@pytest.mark.parametrize("version", SoapVersion)
def test_an_answer_that_was_changed_does_not_verify(bank: Bank, version: SoapVersion) -> None:
    for message in (good(version=version), sign("<gw:No/>", BANK, at=NOW, version=version)):
        body = bank.post(message, version=version).body
        verify_answer(body, GATEWAY.certificate)
        for before, after in ((b"<gw:", b" <gw:"), (b"</wsu:Expires>", b"0</wsu:Expires>")):
            assert before in body
            with pytest.raises(xmlsec.Error):
                verify_answer(body.replace(before, after, 1), GATEWAY.certificate)


def test_a_fault_to_a_signed_message_is_signed_even_where_it_could_not_be_authenticated(bank: Bank) -> None:
    for by in (BANK, STRANGER):
        body = bank.post(sign("<gw:Heartbeat>x</gw:Heartbeat>", by, at=NOW)).body
        assert {"Body", "Timestamp"} <= set(verify_answer(body, GATEWAY.certificate))
        assert b"Fault" in body


def test_who_does_not_sign_is_answered_unsigned(bank: Bank) -> None:
    body = bank.post(envelope(REQUESTS["Heartbeat"])).body
    assert b"Signature" not in body


@pytest.mark.parametrize("prefixes", ["soap", "x gw soap", "x #default", ""])
def test_inclusive_prefixes_are_canonicalised_as_others_do(bank: Bank, prefixes: str) -> None:
    assert bank.code(good(prefixes=prefixes)) == "OK"


def test_an_inclusive_prefix_counts_where_it_was_never_seen() -> None:
    """lxml knows the prefixes of a thread, and a worker has not parsed what it verifies."""
    prefix = f"p{secrets.token_hex(8)}"
    root = xmlparse.parse(f'<a xmlns="urn:a" xmlns:{prefix}="urn:b" xmlns:c="urn:c"><c:b/></a>'.encode())
    node = xmldsig.Node(root[0])
    assert node.canonical(("#default",)) == b'<c:b xmlns="urn:a" xmlns:c="urn:c"></c:b>'
    assert node.canonical((prefix,)) == f'<c:b xmlns:c="urn:c" xmlns:{prefix}="urn:b"></c:b>'.encode()


def test_addressing_is_signed_answered_and_checked(bank: Bank) -> None:
    action = f"{TNS}:StartConsentSignature"
    headers = addressing_blocks(action, to=ADDRESS)
    answer = bank.post(good(headers=headers))
    assert answer.status == 200, answer.body
    signed = verify_answer(answer.body, GATEWAY.certificate)
    assert {"Action", "MessageID", "RelatesTo", "Body"} <= set(signed)
    root = etree.fromstring(answer.body)
    assert root.findtext(f".//{{{WSA}}}RelatesTo") == "urn:uuid:1"
    assert root.findtext(f".//{{{WSA}}}Action") == f"{TNS}:MobileIdGateway:StartConsentSignatureResponse"
    for block in ("Action", "To", "MessageID", "ReplyTo"):
        fresh = addressing_blocks(action, to=ADDRESS, message_id=f"urn:{block}")
        assert bank.code(good(headers=fresh, leave_out=(block,))) == "NOT_AUTHENTICATED", block
    other = addressing_blocks(f"{TNS}:Heartbeat", to=ADDRESS, message_id="urn:2")
    assert bank.code(good(headers=other)) == "ACTION_MISMATCH"
    elsewhere = addressing_blocks(action, to="https://other.example/soap/v1", message_id="urn:3")
    assert bank.code(good(headers=elsewhere)) == "ADDRESSING_NOT_SUPPORTED"
    away = addressing_blocks(action, to=ADDRESS, message_id="urn:4").replace("/anonymous", "/none")
    assert bank.code(good(headers=away)) == "ADDRESSING_NOT_SUPPORTED"
    assert bank.executed == 1


def test_the_same_message_is_taken_once(bank: Bank) -> None:
    message = good()
    assert bank.code(message) == "OK"
    assert bank.code(message) == "NOT_AUTHENTICATED"
    assert bank.executed == 1
    again = good(headers=addressing_blocks(f"{TNS}:StartConsentSignature", to=ADDRESS, message_id="urn:m"))
    assert bank.code(again) == "OK"
    later = sign(
        REQUESTS["Heartbeat"],
        BANK,
        at=NOW + timedelta(seconds=1),
        headers=addressing_blocks(f"{TNS}:Heartbeat", to=ADDRESS, message_id="urn:m"),
    )
    assert bank.code(later) == "NOT_AUTHENTICATED", "a signed MessageID names the message"
    assert bank.executed == 2


def test_beyond_the_rate_a_message_is_not_even_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = Bank(monkeypatch, credential("core", BANK), rates=make_rates(caller=Rate(1, 1)))
    assert bank.code(good()) == "OK"
    assert bank.code(good(lifetime=timedelta(minutes=2))) == "RATE_EXCEEDED"
    assert len(bank.store.until) == len(bank.services.asked) == 1


def test_a_message_that_is_repeated_spends_nothing_of_its_callers_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bank = Bank(monkeypatch, credential("core", BANK), rates=make_rates(caller=Rate(1, 2)))
    captured = good()
    assert bank.code(captured) == "OK"
    assert {bank.code(captured) for _ in range(5)} == {"NOT_AUTHENTICATED"}
    assert bank.code(good(lifetime=timedelta(minutes=2))) == "OK", "the caller itself"
    assert bank.code(captured) == "NOT_AUTHENTICATED", "whether or not anything of the rate is left"


def test_of_two_at_once_that_nobody_knew_one_is_taken(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank.store, "knows_message", lambda *_: False)
    assert [bank.code(good()), bank.code(good())] == ["OK", "NOT_AUTHENTICATED"]


def test_another_signature_over_the_same_message_is_the_same_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """ECDSA has many signatures of one message, and from each its twin can be computed without the key."""
    by = signer("bank-p256", "p256")
    bank = Bank(monkeypatch, credential("core", by))
    message = sign(REQUESTS["Heartbeat"], by, at=NOW, algorithm=ECDSA_SHA256)
    assert bank.code(message) == "OK"
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    value = message.find(".//ds:SignatureValue", NS)
    assert value is not None
    raw = base64.b64decode(value.text or "")
    twin = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    value.text = base64.b64encode(twin).decode()
    assert bank.code(message) == "NOT_AUTHENTICATED"
    assert bank.executed == 1


@pytest.mark.parametrize("skew", [timedelta(0), RULES.skew, MAX_SKEW])
def test_a_message_is_remembered_for_longer_than_any_node_takes_it(skew: timedelta) -> None:
    """Also where the skew is more after a reload, or the clock of the node that cleans up is ahead."""
    message = etree.tostring(good(lifetime=timedelta(minutes=2)))
    authenticator = AnyAuthenticator(
        [credential("core", BANK)], rules=MessageRules(window=RULES.window, skew=skew)
    )
    posted = guard.Posted(SOAP11, None, (), None, message, None)
    found = authenticator.authenticate(guard.parse(posted, understood=authenticator.understood), at=NOW)
    expires = datetime.fromisoformat(moment(NOW + timedelta(minutes=2)))
    assert found.signed is not None
    assert found.signed.remember_until >= expires + MAX_SKEW + timedelta(minutes=1)


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("created", "lifetime", "outcome"),
    [
        (timedelta(0), timedelta(minutes=5), "OK"),
        (timedelta(0), timedelta(minutes=5) + SECOND, "NOT_AUTHENTICATED"),
        (timedelta(seconds=59), timedelta(minutes=1), "OK"),
        (timedelta(seconds=61), timedelta(minutes=1), "NOT_AUTHENTICATED"),
        (-timedelta(seconds=119), timedelta(minutes=1), "OK"),
        (-timedelta(seconds=121), timedelta(minutes=1), "NOT_AUTHENTICATED"),
        (timedelta(0), timedelta(0), "NOT_AUTHENTICATED"),
        (timedelta(0), -SECOND, "NOT_AUTHENTICATED"),
        (datetime(9999, 12, 31, 23, 58, tzinfo=UTC) - NOW, timedelta(minutes=1), "NOT_AUTHENTICATED"),
        (datetime(1, 1, 1, tzinfo=UTC) - NOW, timedelta(minutes=1), "NOT_AUTHENTICATED"),
    ],
)
def test_a_message_is_of_now(bank: Bank, created: timedelta, lifetime: timedelta, outcome: str) -> None:
    assert bank.code(sign(REQUESTS["Heartbeat"], BANK, at=NOW + created, lifetime=lifetime)) == outcome


def test_an_ended_certificate_signs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for start in (NOW + timedelta(days=1), NOW - timedelta(days=3651)):
        by = signer(f"bank-of-{start.year}", start=start)
        assert Bank(monkeypatch, credential("core", by)).code(sign(REQUESTS["Heartbeat"], by, at=NOW)) == (
            "NOT_AUTHENTICATED"
        )


def test_two_certificates_serve_while_one_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = Bank(monkeypatch, credential("core", BANK, OTHER))
    for number, by in enumerate((BANK, OTHER)):
        assert bank.code(sign(REQUESTS["Heartbeat"], by, at=NOW + timedelta(seconds=number))) == "OK"
    assert bank.code(sign(REQUESTS["Heartbeat"], STRANGER, at=NOW)) == "NOT_AUTHENTICATED"


def test_one_certificate_is_one_callers() -> None:
    with pytest.raises(ValueError, match="another caller's"):
        Pins([Pin("a", BANK.certificate), Pin("b", BANK.certificate)])


def test_one_key_is_one_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    """KeyInfo is not signed: whoever repeats a message could choose which of the two callers it is of."""
    twin = another_certificate(BANK)
    with pytest.raises(ValueError, match="its key is another caller's too"):
        Bank(monkeypatch, credential("core", BANK), credential("auditor", twin))
    with pytest.raises(ValueError, match="its key is another caller's too"):
        pins_of([credential("core", BANK), credential("tls", twin, way=Authentication.MTLS)])
    bank = Bank(monkeypatch, credential("core", BANK, twin))
    message = good(kind=KeyReference.ISSUER_SERIAL)
    assert bank.code(message) == "OK"
    stated = _one(message, ".//wsse:SecurityTokenReference")
    holder = stated.getparent()
    assert holder is not None
    holder.replace(stated, reference_to(twin.certificate, KeyReference.ISSUER_SERIAL))
    assert bank.code(message) == "NOT_AUTHENTICATED", "it is the same message under either certificate"
    assert bank.executed == 1


def another_certificate(of: Signer) -> Signer:
    """Of the same key, under another name and without a subject key identifier."""
    key = load_pem_private_key(of.key_pem, password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "another")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return Signer(of.key_pem, certificate)


@pytest.mark.parametrize("where", ["soap:Body", "gw:requestId", "wsu:Created", "soap:Envelope"])
def test_what_has_no_canonical_form_is_not_what_was_signed(bank: Bank, where: str) -> None:
    """A relative namespace name has none; it is refused like any other change of a captured message."""
    message = etree.tostring(good()).replace(f"<{where}".encode(), f'<{where} xmlns:q="rel"'.encode(), 1)
    assert bank.code(message) == "NOT_AUTHENTICATED"
    assert bank.executed == 0


def test_no_other_way_leads_to_a_caller(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    secret_of_signed = envelope(REQUESTS["Heartbeat"]).replace(CREDENTIAL.id.encode(), b"core")
    assert bank.code(secret_of_signed) == "NOT_AUTHENTICATED"
    mtls = Bank(monkeypatch, credential("tls", BANK, way=Authentication.MTLS))
    assert mtls.code(good()) == "NOT_AUTHENTICATED", "a TLS certificate signs no message"


def certificate_header(by: Signer) -> dict[str, str]:
    return {"X-Client-Certificate": quote(by.certificate.public_bytes(Encoding.PEM).decode())}


def test_a_client_certificate_is_a_caller_alone_or_with_its_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    both = replace(credential("both", OTHER, way=Authentication.MTLS_USERNAME))
    bank = Bank(monkeypatch, credential("tls", BANK, way=Authentication.MTLS), both, CREDENTIAL)
    plain = envelope(REQUESTS["Heartbeat"], header="")
    named = envelope(REQUESTS["Heartbeat"]).replace(CREDENTIAL.id.encode(), b"both")
    assert bank.code(plain, **certificate_header(BANK)) == "OK"
    assert bank.services.asked[-1][1].id == "tls"
    assert bank.code(named, **certificate_header(OTHER)) == "OK"
    assert bank.services.asked[-1][1].id == "both"
    for message, headers in (
        (plain, {}),
        (plain, certificate_header(OTHER)),
        (plain, certificate_header(STRANGER)),
        (named, {}),
        (named, certificate_header(BANK)),
        (named, certificate_header(STRANGER)),
        (named.replace(b"0123456789abcdef", b"0123456789abcdee", 1), certificate_header(OTHER)),
        (envelope(REQUESTS["Heartbeat"]), certificate_header(BANK)),
        (envelope(REQUESTS["Heartbeat"]), certificate_header(OTHER)),
    ):
        assert bank.code(message, **headers) == "NOT_AUTHENTICATED"
    assert bank.code(plain, **{"X-Client-Certificate": "%2D%2D nothing"}) == "MALFORMED_MESSAGE"


def test_each_of_two_certificates_has_its_own_secret_and_its_own_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    early, late = (signer(f"tls-of-{n}", start=NOW + timedelta(days=n)) for n in (1, -3651))
    bank = Bank(
        monkeypatch,
        credential("one", BANK, way=Authentication.MTLS_USERNAME),
        credential("two", OTHER, way=Authentication.MTLS_USERNAME),
        credential("early", early, way=Authentication.MTLS),
        credential("late", late, way=Authentication.MTLS),
    )
    named = envelope(REQUESTS["Heartbeat"]).replace(CREDENTIAL.id.encode(), b"one")
    assert bank.code(named, **certificate_header(OTHER)) == "NOT_AUTHENTICATED", "of another caller"
    for by in (early, late):
        plain = envelope(REQUESTS["Heartbeat"], header="")
        assert bank.code(plain, **certificate_header(by)) == "NOT_AUTHENTICATED"
    assert bank.executed == 0
    assert bank.code(named, **certificate_header(BANK)) == "OK"


@pytest.mark.parametrize(("seconds", "outcome"), [(1, "OK"), (0, "NOT_AUTHENTICATED")])
def test_a_timestamp_beside_a_client_certificate_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, seconds: int, outcome: str
) -> None:
    bank = Bank(monkeypatch, credential("tls", BANK, way=Authentication.MTLS))
    expires = (NOW + timedelta(seconds=seconds)).isoformat()
    stamp = f"<wsu:Timestamp><wsu:Expires>{expires}</wsu:Expires></wsu:Timestamp>"
    message = envelope(REQUESTS["Heartbeat"], header=security(stamp))
    assert bank.code(message, **certificate_header(BANK)) == outcome


@pytest.mark.parametrize("way", Authentication)
@pytest.mark.parametrize("secret", [None, b"x" * 31, b"x" * 32])
@pytest.mark.parametrize("pinned", [(), (BANK.certificate,)])
def test_a_caller_has_what_its_way_needs_and_nothing_else(
    way: Authentication, secret: bytes | None, pinned: tuple[Any, ...]
) -> None:
    needs_secret = way in (Authentication.USERNAME, Authentication.MTLS_USERNAME)
    fits = needs_secret == (secret is not None) and secret != b"x" * 31
    if fits and bool(pinned) == (way is not Authentication.USERNAME):
        assert CallerCredential("a", "b", frozenset(), secret, way, pinned).caller.id == "a"
        return
    with pytest.raises(ValueError):
        CallerCredential("a", "b", frozenset(), secret, way, pinned)


# what is changed in a good message, by its one defect


def _security(root: etree._Element) -> etree._Element:
    found = root.find(f".//{{{WSSE}}}Security")
    assert found is not None
    return found


def _one(root: etree._Element, path: str) -> etree._Element:
    found = root.find(path, NS)
    assert found is not None
    return found


def _twice(path: str) -> Callable[[etree._Element], None]:
    def change(root: etree._Element) -> None:
        found = _one(root, path)
        found.addnext(copy.deepcopy(found))

    return change


def _without(path: str) -> Callable[[etree._Element], None]:
    def change(root: etree._Element) -> None:
        found = _one(root, path)
        parent = found.getparent()
        assert parent is not None
        parent.remove(found)

    return change


def _set(path: str, name: str, value: str) -> Callable[[etree._Element], None]:
    return lambda root: _one(root, path).set(name, value)


def _text(path: str, value: str) -> Callable[[etree._Element], None]:
    def change(root: etree._Element) -> None:
        _one(root, path).text = value

    return change


def _into(path: str, xml: str) -> Callable[[etree._Element], None]:
    return lambda root: _one(root, path).append(etree.fromstring(xml))


SIGNATURE, INFO = ".//ds:Signature", ".//ds:SignedInfo"
METHOD, TRANSFORM = ".//ds:SignatureMethod", ".//ds:Transform"
XPATH = f'<ds:XPath xmlns:ds="{DS}">not(self::*)</ds:XPath>'
DEFECTS: dict[str, Callable[[etree._Element], None]] = {
    "body-changed": lambda root: root[-1][0][0].__setattr__("text", "other"),
    "expires-changed": _text(".//wsu:Expires", moment(NOW + timedelta(minutes=4))),
    "signature-value-other": _text(".//ds:SignatureValue", base64.b64encode(b"\1" * 256).decode()),
    "signature-value-empty": _text(".//ds:SignatureValue", ""),
    "signature-value-no-base64": _text(".//ds:SignatureValue", "%%%"),
    "signature-twice": _twice(SIGNATURE),
    "signature-with-object": _into(SIGNATURE, f'<ds:Object xmlns:ds="{DS}"/>'),
    "timestamp-twice": _twice(".//wsu:Timestamp"),
    "timestamp-missing": _without(".//wsu:Timestamp"),
    "timestamp-without-expires": _without(".//wsu:Expires"),
    "token-twice": _twice(".//wsse:BinarySecurityToken"),
    "token-missing": _without(".//wsse:BinarySecurityToken"),
    "security-twice": lambda root: _security(root).addnext(copy.deepcopy(_security(root))),
    "username-beside": lambda root: _security(root).append(
        etree.fromstring(f'<w:UsernameToken xmlns:w="{WSSE}"><w:Username>core</w:Username></w:UsernameToken>')
    ),
    "reference-to-nothing": _set(".//ds:Reference", "URI", "#nothing"),
    "reference-to-the-document": _set(".//ds:Reference", "URI", ""),
    "reference-outside": _set(".//ds:Reference", "URI", "http://127.0.0.1:1/"),
    "reference-by-xpointer": _set(".//ds:Reference", "URI", "#xpointer(/)"),
    "reference-twice": _twice(".//ds:Reference"),
    "id-twice": lambda root: root[-1][0].set("ID", "part-1"),
    "id-of-xml-twice": lambda root: root[-1][0].set("{http://www.w3.org/XML/1998/namespace}id", "part-1"),
    "hmac": _set(METHOD, "Algorithm", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"),
    "rsa-sha1": _set(METHOD, "Algorithm", f"{DS}rsa-sha1"),
    "ecdsa-for-an-rsa-key": _set(METHOD, "Algorithm", "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"),
    "digest-sha1": _set(".//ds:DigestMethod", "Algorithm", f"{DS}sha1"),
    "inclusive-c14n": _set(
        ".//ds:CanonicalizationMethod", "Algorithm", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
    ),
    "transform-xslt": _set(TRANSFORM, "Algorithm", "http://www.w3.org/TR/1999/REC-xslt-19991116"),
    "transform-xpath": _set(TRANSFORM, "Algorithm", "http://www.w3.org/TR/1999/REC-xpath-19991116"),
    "transform-enveloped": _set(TRANSFORM, "Algorithm", f"{DS}enveloped-signature"),
    "transform-with-xpath": _into(TRANSFORM, XPATH),
    "transform-twice": _twice(TRANSFORM),
    "hmac-length": _into(METHOD, f'<ds:HMACOutputLength xmlns:ds="{DS}">8</ds:HMACOutputLength>'),
    "key-value": lambda root: _one(root, ".//ds:KeyInfo").insert(
        0, etree.fromstring(f'<ds:KeyValue xmlns:ds="{DS}"/>')
    ),
    "retrieval-method": _into(".//ds:KeyInfo", f'<ds:RetrievalMethod xmlns:ds="{DS}" URI="#token"/>'),
    "key-reference-elsewhere": _set(".//wsse:Reference", "URI", "#part-1"),
    "key-reference-of-another-type": _set(".//wsse:Reference", "ValueType", "urn:x"),
    "token-of-a-stranger": _text(".//wsse:BinarySecurityToken", base64.b64encode(STRANGER.der).decode()),
    "token-of-another-caller": _text(".//wsse:BinarySecurityToken", base64.b64encode(OTHER.der).decode()),
    "token-no-certificate": _text(".//wsse:BinarySecurityToken", "AAAA"),
    "for-another-actor": lambda root: _security(root).set(
        "{http://schemas.xmlsoap.org/soap/envelope/}actor", "urn:another"
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_one_fault_and_nothing_is_executed(bank: Bank, name: str) -> None:
    message = good()
    DEFECTS[name](message)
    answer = bank.post(message)
    root = etree.fromstring(answer.body)
    assert root.findtext(f".//{{{TNS}}}code") == "NOT_AUTHENTICATED"
    assert root.findtext(f".//{{{TNS}}}message") == "The caller could not be authenticated."
    assert bank.executed == 0
    assert not bank.store.seen, "what is not signed uses nothing up"


@pytest.mark.parametrize("part", ["Body", "Timestamp"])
def test_what_must_be_signed_is(bank: Bank, part: str) -> None:
    assert bank.code(good(leave_out=(part,))) == "NOT_AUTHENTICATED"
    assert bank.executed == 0


@pytest.mark.parametrize("kind", ["Header", "Security", "Envelope", "Signature"])
def test_the_signed_body_hidden_elsewhere_executes_nothing(bank: Bank, kind: str) -> None:
    """Signature wrapping: the Reference still leads to what was signed, but another Body is read."""
    message = good()
    body = message[-1]
    forged = copy.deepcopy(body)
    forged.attrib.clear()
    forged[0][1].text = "somebody-else"
    message.replace(body, forged)
    holder = etree.Element("{urn:x}Wrapper")
    holder.append(body)
    where = {
        "Header": lambda: message[0].append(holder),
        "Security": lambda: _security(message).append(holder),
        "Envelope": lambda: message.append(holder),
        "Signature": lambda: _one(message, SIGNATURE).append(holder),
    }
    where[kind]()
    assert bank.code(message) in ("NOT_AUTHENTICATED", "MALFORMED_MESSAGE")
    for name in ("part-1", "another"):
        forged.set(f"{{{WSU}}}Id", name)
        assert bank.code(message) in ("NOT_AUTHENTICATED", "MALFORMED_MESSAGE")
    assert bank.executed == 0


def test_a_thousand_references_and_five_hundred_transforms_are_refused_unread(bank: Bank) -> None:
    for path, times in ((".//ds:Reference", 1000), (TRANSFORM, 500)):
        message = good()
        found = _one(message, path)
        for _ in range(times):
            found.addnext(copy.deepcopy(found))
        assert bank.code(message) == "NOT_AUTHENTICATED"


def test_a_stranger_cannot_use_up_a_message(bank: Bank) -> None:
    """What names a message is remembered only once its signature has been verified."""
    headers = addressing_blocks(f"{TNS}:StartConsentSignature", to=ADDRESS, message_id="urn:mine")
    assert bank.code(sign(REQUESTS["StartConsentSignature"], STRANGER, at=NOW, headers=headers)) != "OK"
    assert bank.code(good(headers=headers)) == "OK"


def test_the_twelfth_version_answers_in_its_own_envelope(bank: Bank) -> None:
    message = good(version=SOAP12)
    resigned = copy.deepcopy(message)
    for part in (f".//{{{WSSE}}}BinarySecurityToken", SIGNATURE):
        _without(part)(resigned)
    resign(resigned, STRANGER)
    answer = bank.post(resigned, version=SOAP12)
    assert etree.fromstring(answer.body).tag == SOAP12.tag("Envelope")
    verify_answer(answer.body, GATEWAY.certificate)
