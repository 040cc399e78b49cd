"""The published vectors of the device protocol: made again byte for byte, and made by somebody else.

The second half is another implementation, of string templates and hashes alone, as one would write it
from ``docs/device-protocol.md``: nothing of the gateway's statement or XAdES code is imported for it.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key
from device_harness import validator
from lxml import etree

FOLDER = Path(__file__).parent / "vectors" / "device"
STATEMENTS, PINS, ACTIVATION, REACTIVATION, REQUESTS, ORDERS = (
    json.loads((FOLDER / f"{name}.json").read_text())
    for name in ("statement", "pin", "activation", "reactivation", "request", "order")
)
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("device_vectors", FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_files_are_what_the_generator_makes() -> None:
    made = generator().files()
    assert {path.name for path in FOLDER.glob("*.json")} == made.keys()
    for name, data in made.items():
        assert (FOLDER / name).read_bytes() == data, name


# The other implementation.


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#xD;")


def statement(fields: dict[str, Any], *, binding_id: str, decision: str) -> str:
    shown = "".join(
        f"<Text><Title>{escaped(t['title'])}</Title><MediaType>{escaped(t['mediaType'])}</MediaType>"
        f"<Content>{escaped(t['text'])}</Content></Text>"
        for t in fields["texts"]
    )
    if (payment := fields["payment"]) is not None:
        payees = "".join(
            f"<Payee><Name>{escaped(p['name'])}</Name><Account>{escaped(p['account'])}</Account>"
            f"<Amount>{p['amount']}</Amount></Payee>"
            for p in payment["payees"]
        )
        shown += (
            f"<Payment><Total>{payment['total']}</Total><Currency>{payment['currency']}</Currency>"
            f"{payees}</Payment>"
        )
    shown += "".join(
        f"<Document><Name>{escaped(d['name'])}</Name><MediaType>{escaped(d['mediaType'])}</MediaType>"
        f"<Digest>{d['digest']}</Digest></Document>"
        for d in fields["documents"]
    )
    party = fields["relyingParty"]
    return (
        '<Statement xmlns="urn:mobileid-gateway:statement:1" Id="Statement" Version="1">'
        f"<UnicodeVersion>{fields['unicodeVersion']}</UnicodeVersion>"
        f"<Transaction>{fields['transactionId']}</Transaction><Kind>{fields['kind']}</Kind>"
        f"<Created>{fields['createdAt']}</Created><Expires>{fields['expiresAt']}</Expires>"
        f"<Nonce>{fields['nonce']}</Nonce>"
        f"<RelyingParty><Id>{party['id']}</Id><Name>{escaped(party['name'])}</Name></RelyingParty>"
        f"<Subject>{escaped(fields['subject'])}</Subject><Binding>{binding_id}</Binding>"
        f"<Shown><Locale>{fields['locale']}</Locale>{shown}</Shown>"
        f"<Decision>{decision}</Decision></Statement>"
    )


def b64_sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def signed_properties(*, certificate: bytes, signing_time: str) -> str:
    ds = ' xmlns:ds="http://www.w3.org/2000/09/xmldsig#"'
    return (
        '<xades:SignedProperties xmlns:xades="http://uri.etsi.org/01903/v1.3.2#" Id="DeviceSignedProperties">'
        f"<xades:SignedSignatureProperties><xades:SigningTime>{signing_time}</xades:SigningTime>"
        "<xades:SigningCertificateV2><xades:Cert><xades:CertDigest>"
        f'<ds:DigestMethod{ds} Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod>'
        f"<ds:DigestValue{ds}>{b64_sha256(certificate)}</ds:DigestValue>"
        "</xades:CertDigest></xades:Cert></xades:SigningCertificateV2></xades:SignedSignatureProperties>"
        "<xades:SignedDataObjectProperties>"
        '<xades:DataObjectFormat ObjectReference="#DeviceSignature-Statement">'
        "<xades:MimeType>text/xml</xades:MimeType></xades:DataObjectFormat></xades:SignedDataObjectProperties>"
        "</xades:SignedProperties>"
    )


def signed_info(*, statement_bytes: bytes, properties: bytes) -> str:
    transform_and_digest = (
        "<ds:Transforms>"
        '<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform></ds:Transforms>'
        '<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod>'
    )
    return (
        '<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#">'
        '<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#">'
        "</ds:CanonicalizationMethod>"
        '<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256">'
        "</ds:SignatureMethod>"
        f'<ds:Reference Id="DeviceSignature-Statement" URI="#Statement">{transform_and_digest}'
        f"<ds:DigestValue>{b64_sha256(statement_bytes)}</ds:DigestValue></ds:Reference>"
        '<ds:Reference Type="http://uri.etsi.org/01903#SignedProperties" URI="#DeviceSignedProperties">'
        f"{transform_and_digest}<ds:DigestValue>{b64_sha256(properties)}</ds:DigestValue></ds:Reference>"
        "</ds:SignedInfo>"
    )


def verifies(spki: str, signature: str, data: bytes) -> None:
    key, raw = load_der_public_key(base64.b64decode(spki)), base64.b64decode(signature)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key.verify(der, data, ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize("case", STATEMENTS["cases"], ids=lambda case: case["name"])
def test_templates_alone_give_the_same_statement_and_signed_info(case: dict[str, Any]) -> None:
    made = statement(case["fields"], binding_id=STATEMENTS["bindingId"], decision=case["decision"])
    assert made == case["statement"]
    properties = signed_properties(
        certificate=base64.b64decode(STATEMENTS["certificate"]), signing_time=STATEMENTS["signingTime"]
    )
    assert properties == case["signedProperties"]
    info = signed_info(statement_bytes=made.encode(), properties=properties.encode())
    assert info == case["signedInfo"]
    assert hashlib.sha256(info.encode()).hexdigest() == case["signedInfoSha256"]
    verifies(STATEMENTS["signingKey"], case["signature"], info.encode())


@pytest.mark.parametrize("case", STATEMENTS["cases"], ids=lambda case: case["name"])
@pytest.mark.parametrize("part", ["statement", "signedProperties", "signedInfo"])
def test_each_string_is_its_own_exclusive_canonical_form(case: dict[str, Any], part: str) -> None:
    data = case[part].encode()
    assert etree.tostring(etree.fromstring(data), method="c14n", exclusive=True) == data


@pytest.mark.parametrize("case", STATEMENTS["cases"], ids=lambda case: case["name"])
def test_the_fields_are_of_the_published_shape(case: dict[str, Any]) -> None:
    validator("fields").validate(case["fields"])
    with pytest.raises(jsonschema.ValidationError):
        validator("fields").validate(case["fields"] | {"more": "x"})


@pytest.mark.parametrize("case", PINS["cases"], ids=lambda case: case["pin"])
def test_the_standard_library_derives_the_same_pin_key(case: dict[str, Any]) -> None:
    salt = bytes.fromhex(PINS["secret"]) + b"mobileid-gateway:pin-key:1"
    assert salt.hex() == PINS["salt"]
    derived = hashlib.scrypt(
        case["pin"].encode(), salt=salt, n=32768, r=8, p=1, dklen=48, maxmem=64 * 1024 * 1024
    )
    assert derived.hex() == case["derived"]
    scalar = int.from_bytes(derived, "big") % (P256_ORDER - 1) + 1
    assert f"{scalar:064x}" == case["scalar"]
    public = ec.derive_private_key(scalar, ec.SECP256R1()).public_key()
    assert public == load_der_public_key(base64.b64decode(case["publicKey"]))


def test_the_activation_proofs_are_over_the_lines_as_written() -> None:
    body = ACTIVATION["request"]["body"]
    lines = (
        "mobileid-gateway:activation-proof:1\n"
        f"relying-party {ACTIVATION['relyingParty']}\n"
        f"activation {ACTIVATION['activationId']}\n"
        f"signing {body['keys']['signing']}\n"
        f"transport {body['keys']['transport']}\n"
        f"pin {body['keys']['pin']}\n"
    )
    assert lines == ACTIVATION["proofBytes"]
    assert body["code"] not in lines
    for role, proof in body["proofs"].items():
        verifies(body["keys"][role], proof, lines.encode())


def test_what_replaces_a_binding_and_leaves_a_recovery_code_signs_two_more_lines() -> None:
    body, former = REACTIVATION["request"]["body"], REACTIVATION["request"]["body"]["former"]
    code = REACTIVATION["recoveryCode"].encode()
    digest = hashlib.sha256(b"mobileid-gateway:recovery-code:1\n" + code).digest()
    assert body["recoveryDigest"] == base64.b64encode(digest).decode()
    lines = (
        "mobileid-gateway:activation-proof:2\n"
        f"relying-party {REACTIVATION['relyingParty']}\n"
        f"activation {REACTIVATION['activationId']}\n"
        f"signing {body['keys']['signing']}\n"
        f"transport {body['keys']['transport']}\n"
        f"pin {body['keys']['pin']}\n"
        f"former {former['bindingId']}\n"
        f"recovery {body['recoveryDigest']}\n"
    )
    assert lines == REACTIVATION["proofBytes"]
    for role, proof in body["proofs"].items():
        verifies(body["keys"][role], proof, lines.encode())
    verifies(REACTIVATION["formerTransportKey"], former["proof"], lines.encode())
    validator("activationRequest").validate(body)


@pytest.mark.parametrize("case", REQUESTS["cases"], ids=lambda case: case["name"])
def test_the_signature_base_is_four_lines_and_one_more_for_the_client(case: dict[str, Any]) -> None:
    parameters = case["headers"]["signature-input"].removeprefix("device=")
    client = case["headers"].get("mobileid-client")
    named = "" if client is None else f'"mobileid-client": {client}\n'
    base = (
        f'"@method": {case["method"]}\n'
        f'"@target-uri": {case["url"]}\n'
        f'"content-digest": sha-256=:{b64_sha256(case["body"].encode())}:\n'
        f"{named}"
        f'"@signature-params": {parameters}'
    )
    assert base == case["signatureBase"]
    signature = case["headers"]["signature"].removeprefix("device=:").removesuffix(":")
    verifies(REQUESTS["transportKey"], signature, base.encode())


@pytest.mark.parametrize("case", ORDERS["cases"], ids=lambda case: case["purpose"])
def test_an_order_is_signed_over_the_lines_as_written(case: dict[str, Any]) -> None:
    body = case["body"]
    lines = (
        f"mobileid-gateway:{case['purpose']}:1\n"
        f"relying-party {ORDERS['relyingParty']}\n"
        f"binding {ORDERS['bindingId']}\n"
        f"time {body['signingTime']}\n"
    )
    if "pin" in body:
        lines += f"pin {body['pin']}\n"
        verifies(body["pin"], body["pinProof"], lines.encode())
    assert lines == case["orderBytes"]
    assert hashlib.sha256(lines.encode()).hexdigest() == case["orderBytesSha256"]
    assert body.get("code", "none") not in lines
    verifies(ORDERS["signingKey"], body["signature"], lines.encode())
    if case["purpose"] == "pin-change":
        verifies(ORDERS["oldPinKey"], body["oldPinSignature"], lines.encode())
    message = {"pin-change": "pinChange", "pin-reset": "pinReset", "device-revocation": "revocation"}
    validator(f"{message[case['purpose']]}Request").validate(body)


# The page itself.

PAGE = (Path(__file__).parents[1] / "docs" / "device-protocol.md").read_text()


def block(first: str, last: str) -> list[str]:
    """The indented lines of the page from the one that begins with ``first`` to that which is ``last``."""
    lines = [line.removeprefix("    ") for line in PAGE.splitlines() if line.startswith("    ")]
    start = next(n for n, line in enumerate(lines) if line.startswith(first))
    return lines[start : lines.index(last, start) + 1]


def test_the_strings_on_the_page_are_those_of_the_vectors() -> None:
    case = STATEMENTS["cases"][0]
    properties = "".join(block("<xades:SignedProperties", "</xades:SignedProperties>"))
    certificate = base64.b64decode(STATEMENTS["certificate"])
    for hole, value in [
        ("{signingTime}", STATEMENTS["signingTime"]),
        ("{certificate digest}", b64_sha256(certificate)),
    ]:
        properties = properties.replace(hole, value)
    assert properties == case["signedProperties"]
    info = "".join(block("<ds:SignedInfo", "</ds:SignedInfo>"))
    for hole, value in [
        ("{digest of the statement}", b64_sha256(case["statement"].encode())),
        ("{digest of SignedProperties}", b64_sha256(properties.encode())),
    ]:
        info = info.replace(hole, value)
    assert info == case["signedInfo"]


@pytest.mark.parametrize("case", STATEMENTS["cases"], ids=lambda case: case["name"])
def test_the_statement_on_the_page_is_that_of_the_vectors(case: dict[str, Any]) -> None:
    lines = block("<Statement ", "</Statement>")

    def filled(template: str, values: dict[str, Any]) -> str:
        for member, value in values.items():
            if isinstance(value, str):
                template = template.replace(f"{{{member}}}", escaped(value))
        return template

    def item(after: str) -> str:
        return next(line.partition(":")[2].strip() for line in lines if line.lstrip().startswith(after))

    fields = case["fields"]
    shown = "".join(filled(item("for each of texts:"), text) for text in fields["texts"])
    if fields["payment"] is not None:
        payees = "".join(filled(item("for each payee:"), payee) for payee in fields["payment"]["payees"])
        shown += filled(item("for payment, if any:"), fields["payment"]) + payees + "</Payment>"
    shown += "".join(filled(item("for each of documents:"), document) for document in fields["documents"])
    plain = [line for line in lines if line.startswith("<")]
    plain.insert(plain.index("</Shown>"), shown)
    party = {f"relyingParty.{name}": value for name, value in fields["relyingParty"].items()}
    more = {
        "the binding's id": STATEMENTS["bindingId"],
        "approved | rejected-not-me | rejected-cancelled": case["decision"],
    }
    assert filled("".join(plain), {**fields, **party, **more}) == case["statement"]


def test_the_proof_lines_on_the_page_are_those_of_the_vectors() -> None:
    keys = ACTIVATION["request"]["body"]["keys"]
    values = {
        "relyingParty": ACTIVATION["relyingParty"],
        "activationId": ACTIVATION["activationId"],
        "signing key": keys["signing"],
        "transport key": keys["transport"],
        "PIN key": keys["pin"],
    }
    text = "".join(line + "\n" for line in block("mobileid-gateway:activation-proof:1", "pin {PIN key}"))
    for hole, value in values.items():
        text = text.replace(f"{{{hole}}}", value)
    assert text == ACTIVATION["proofBytes"]


def test_the_challenge_of_an_attestation_is_made_of_the_lines_on_the_page() -> None:
    values = {
        "relyingParty": ACTIVATION["relyingParty"],
        "activationId": ACTIVATION["activationId"],
        "transport key": ACTIVATION["request"]["body"]["keys"]["transport"],
    }
    first, last = "mobileid-gateway:attestation-challenge:1", "transport {transport key}"
    text = "".join(line + "\n" for line in block(first, last))
    for hole, value in values.items():
        text = text.replace(f"{{{hole}}}", value)
    assert hashlib.sha256(text.encode()).hexdigest() == ACTIVATION["attestationChallenge"]
    assert ACTIVATION["request"]["body"]["keys"]["pin"] not in text
