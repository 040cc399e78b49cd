"""Writes the published test vectors of the device protocol: ``python tests/vectors/device/generate.py``.

Every key is derived from its name and every signature is deterministic (RFC 6979), so that the same code
gives the same bytes. The keys are known to everybody: they protect nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gateway.authenticator.pin import DOMAIN, P256_ORDER, pin_key
from gateway.core import httpsig, statement, xades
from gateway.core.activation import ActivationLink, ArtifactLink, proof_bytes, recovery_digest
from gateway.core.attestation import challenge
from gateway.core.canonical import b64
from gateway.core.certpath import Role
from gateway.core.client import Client
from gateway.core.device_order import Purpose, order_bytes
from gateway.core.keys import spki_of
from gateway.core.model import Decision, DeviceKeys, Kind, RelyingParty, format_time
from gateway.core.statement import AttachedDocument, Content, Payee, Payment, ShownText

FOLDER = Path(__file__).parent
CREATED = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
SIGNING_TIME = CREATED + timedelta(seconds=45)
BINDING = UUID("019caddb-45a0-7d02-8f6e-3a5b9c1d2e4f")
TRANSACTION = UUID("019cadf7-1c40-7a11-9b3c-5d7e9f1a2b3c")
ACTIVATION = UUID("6f9619ff-8b86-4011-b42d-00c04fc964ff")
GATEWAY = "https://gateway.example/id"
BANK = RelyingParty("demo-bank", "Demo Bank & Söhne")
PIN_SECRET = hashlib.sha256(b"vector:pin-secret").digest()
PIN = "271828"
NEW_PIN_SECRET = hashlib.sha256(b"vector:new-pin-secret").digest()
NEW_PIN = "314159"
RECOVERY = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CLIENT = Client("bank-app-android", "1.6.0")

TEXT = "I borrow € 348.500,00 at 3 % < 4 %.\n\n\"Agreed\" & 'accepted'\u00a0– ]]> ok."
CONTENT = Content(
    unicode_version="18.0.0",
    transaction_id=TRANSACTION,
    kind=Kind.CONSENT_SIGNATURE,
    created_at=CREATED,
    expires_at=CREATED + timedelta(seconds=300),
    nonce=hashlib.sha256(b"vector:nonce").digest(),
    relying_party=BANK,
    subject="s-0123456789abcdef0123456789abcdef",
    locale="en",
    texts=(ShownText("Mortgage <1>", TEXT, "text/plain"),),
)
PAYMENT = replace(
    CONTENT,
    kind=Kind.AUTHORISATION,
    texts=(),
    payment=Payment(
        total="1200.5",
        currency="EUR",
        payees=(
            Payee("Müller & Co", "DE89370400440532013000", "1000"),
            Payee("Šárka", "CZ6508000000192000145399", "200.5"),
        ),
    ),
)
DOCUMENT = replace(
    CONTENT,
    kind=Kind.DOCUMENT_SIGNATURE,
    documents=(AttachedDocument("contract.pdf", "application/pdf", hashlib.sha256(b"contract").digest()),),
)
CASES = (
    ("consent-approved", CONTENT, Decision.APPROVED),
    ("consent-rejected-not-me", CONTENT, Decision.REJECTED_NOT_ME),
    ("consent-rejected-cancelled", CONTENT, Decision.REJECTED_CANCELLED),
    ("payment-batch-approved", PAYMENT, Decision.APPROVED),
    ("document-approved", DOCUMENT, Decision.APPROVED),
)


def key(name: str) -> ec.EllipticCurvePrivateKey:
    wide = hashlib.sha512(f"vector:{name}".encode()).digest()
    return ec.derive_private_key(int.from_bytes(wide, "big") % (P256_ORDER - 1) + 1, ec.SECP256R1())


def sign(private: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """r || s, the same every time."""
    r, s = decode_dss_signature(private.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def scalar(private: ec.EllipticCurvePrivateKey) -> str:
    return f"{private.private_numbers().private_value:064x}"


def device_certificate() -> bytes:
    """By the vectors' device CA; what counts for the signature is its SHA-256 only."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(BINDING))])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Vectors Device CA")]))
        .public_key(key("signing").public_key())
        .serial_number(1 << 126 | 4711)
        .not_valid_before(CREATED - timedelta(days=1))
        .not_valid_after(CREATED + timedelta(days=365))
        .add_extension(
            x509.CertificatePolicies([x509.PolicyInformation(Role.DEVICE.value, None)]), critical=False
        )
        .sign(key("device-ca"), hashes.SHA256(), ecdsa_deterministic=True)
        .public_bytes(Encoding.DER)
    )


def statements() -> dict[str, Any]:
    certificate = device_certificate()
    cases = []
    for name, content, decision in CASES:
        composed = statement.compose(content, binding_id=BINDING, decision=decision)
        info = xades.device_signed_info(composed, certificate=certificate, signing_time=SIGNING_TIME)
        properties = xades.device_signed_properties(certificate=certificate, signing_time=SIGNING_TIME)
        cases.append(
            {
                "name": name,
                "fields": statement.to_fields(content),
                "decision": decision,
                "statement": composed.decode(),
                "statementSha256": hashlib.sha256(composed).hexdigest(),
                "signedProperties": properties.decode(),
                "signedPropertiesSha256": hashlib.sha256(properties).hexdigest(),
                "signedInfo": info.decode(),
                "signedInfoSha256": hashlib.sha256(info).hexdigest(),
                "signature": b64(sign(key("signing"), info)),
            }
        )
    return {
        "bindingId": str(BINDING),
        "certificate": b64(certificate),
        "certificateSha256": hashlib.sha256(certificate).hexdigest(),
        "signingTime": format_time(SIGNING_TIME),
        "signingKeyScalar": scalar(key("signing")),
        "signingKey": b64(spki_of(key("signing").public_key())),
        "cases": cases,
    }


def pins() -> dict[str, Any]:
    cases = []
    for pin in ("0000", PIN, "123456789012"):
        private = pin_key(pin, secret=PIN_SECRET)
        salt = PIN_SECRET + DOMAIN
        derived = hashlib.scrypt(pin.encode(), salt=salt, n=2**15, r=8, p=1, maxmem=2**26, dklen=48)
        cases.append(
            {
                "pin": pin,
                "derived": derived.hex(),
                "scalar": scalar(private),
                "publicKey": b64(spki_of(private.public_key())),
            }
        )
    return {"secret": PIN_SECRET.hex(), "salt": (PIN_SECRET + DOMAIN).hex(), "cases": cases}


def activation() -> dict[str, Any]:
    private = {
        "signing": key("signing"),
        "transport": key("transport"),
        "pin": pin_key(PIN, secret=PIN_SECRET),
    }
    keys = DeviceKeys(**{role: spki_of(held.public_key()) for role, held in private.items()})
    data = proof_bytes(relying_party=BANK.id, activation_id=ACTIVATION, keys=keys)
    ca_key = hashlib.sha256(spki_of(key("device-ca").public_key())).digest()
    return {
        "link": ActivationLink(BANK.id, ACTIVATION, GATEWAY, ca_key).text(),
        "relyingParty": BANK.id,
        "activationId": str(ACTIVATION),
        "gatewayUrl": GATEWAY,
        "deviceCaKey": b64(spki_of(key("device-ca").public_key())),
        "proofBytes": data.decode("ascii"),
        "proofBytesSha256": hashlib.sha256(data).hexdigest(),
        "attestationChallenge": challenge(
            relying_party=BANK.id, activation_id=ACTIVATION, transport_key=keys.transport
        ).hex(),
        "request": {
            "method": "POST",
            "url": f"{GATEWAY}/device/v1/{BANK.id}/activations/{ACTIVATION}",
            "body": {
                "code": "042195",
                "name": "Zoë's phone",
                "platform": "android-16",
                "keys": {role: b64(getattr(keys, role)) for role in private},
                "proofs": {role: b64(sign(held, data)) for role, held in private.items()},
                "pushTarget": "fcm:example-token",
                "attestation": {"format": "none"},
            },
        },
    }


def reactivation() -> dict[str, Any]:
    """The activation of before, of a device that replaces a binding and leaves a recovery code."""
    made = activation()
    body = made["request"]["body"]
    private = {
        "signing": key("signing-2"),
        "transport": key("transport-2"),
        "pin": pin_key(PIN, secret=PIN_SECRET),
    }
    keys = DeviceKeys(**{role: spki_of(held.public_key()) for role, held in private.items()})
    digest = recovery_digest(RECOVERY)
    ca_key = hashlib.sha256(spki_of(key("device-ca").public_key())).digest()
    data = proof_bytes(
        relying_party=BANK.id, activation_id=ACTIVATION, keys=keys, former=BINDING, recovery_digest=digest
    )
    body |= {
        "keys": {role: b64(getattr(keys, role)) for role in private},
        "proofs": {role: b64(sign(held, data)) for role, held in private.items()},
        "former": {"bindingId": str(BINDING), "proof": b64(sign(key("transport"), data))},
        "recoveryDigest": b64(digest),
        "client": {"name": CLIENT.name, "version": CLIENT.version},
    }
    return {
        "relyingParty": BANK.id,
        "activationId": str(ACTIVATION),
        "formerTransportKey": b64(spki_of(key("transport").public_key())),
        "recoveryCode": RECOVERY,
        "proofBytes": data.decode("ascii"),
        "registrationLink": ArtifactLink(
            BANK.id, hashlib.sha256(b"vector:artifact").digest(), GATEWAY, ca_key
        ).text(),
        "request": made["request"],
    }


def requests() -> dict[str, Any]:
    body = json.dumps(
        {
            "decision": Decision.REJECTED_NOT_ME,
            "signingTime": format_time(SIGNING_TIME),
            "signature": statements()["cases"][1]["signature"],
        },
        separators=(",", ":"),
    )
    base = f"{GATEWAY}/device/v1/{BANK.id}/transactions"
    cases = []
    for name, method, url, content, client in (
        ("list", "GET", base, "", None),
        ("assertion", "POST", f"{base}/{TRANSACTION}/assertion", body, None),
        ("list-with-client", "GET", base, "", CLIENT),
    ):
        signed: list[bytes] = []

        def signer(data: bytes, *, into: list[bytes] = signed) -> bytes:
            into.append(data)
            return sign(key("transport"), data)

        headers = httpsig.sign(
            method=method,
            url=url,
            body=content.encode(),
            key_id=BINDING,
            nonce=b64(hashlib.sha256(name.encode()).digest()[:16]).rstrip("=").translate(_URL_SAFE),
            at=SIGNING_TIME,
            signer=signer,
            client=client,
        )
        cases.append(
            {
                "name": name,
                "method": method,
                "url": url,
                "body": content,
                "signatureBase": signed[0].decode(),
                "headers": headers,
            }
        )
    return {
        "transportKeyScalar": scalar(key("transport")),
        "transportKey": b64(spki_of(key("transport").public_key())),
        "cases": cases,
    }


def orders() -> dict[str, Any]:
    old = pin_key(PIN, secret=PIN_SECRET)
    new = pin_key(NEW_PIN, secret=NEW_PIN_SECRET)
    spki = spki_of(new.public_key())
    cases = []
    for purpose in Purpose:
        pin = None if purpose is Purpose.REVOCATION else spki
        data = order_bytes(purpose, relying_party=BANK.id, binding_id=BINDING, at=SIGNING_TIME, pin_key=pin)
        body = {"signingTime": format_time(SIGNING_TIME), "signature": b64(sign(key("signing"), data))}
        if pin is not None:
            body |= {"pin": b64(pin), "pinProof": b64(sign(new, data))}
        if purpose is Purpose.PIN_CHANGE:
            body["oldPinSignature"] = b64(sign(old, data))
        if purpose is Purpose.PIN_RESET:
            body["code"] = "042195"
        verb = {"pin-change": "pin", "pin-reset": "pinreset", "device-revocation": "revocation"}[purpose]
        cases.append(
            {
                "purpose": purpose,
                "method": "POST",
                "url": f"{GATEWAY}/device/v1/{BANK.id}/devices/{BINDING}/{verb}",
                "orderBytes": data.decode("ascii"),
                "orderBytesSha256": hashlib.sha256(data).hexdigest(),
                "body": body,
            }
        )
    return {
        "relyingParty": BANK.id,
        "bindingId": str(BINDING),
        "signingKey": b64(spki_of(key("signing").public_key())),
        "oldPinKey": b64(spki_of(old.public_key())),
        "newPin": NEW_PIN,
        "newPinSecret": NEW_PIN_SECRET.hex(),
        "cases": cases,
    }


_URL_SAFE = str.maketrans("+/", "-_")


def files() -> Mapping[str, bytes]:
    """Name and bytes of each vector file."""
    made = {
        "statement.json": statements(),
        "pin.json": pins(),
        "activation.json": activation(),
        "reactivation.json": reactivation(),
        "request.json": requests(),
        "order.json": orders(),
    }
    return {
        name: (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
        for name, value in made.items()
    }


if __name__ == "__main__":
    for name, data in files().items():
        (FOLDER / name).write_bytes(data)
