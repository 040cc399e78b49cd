"""ECDSA on P-256 with SHA-256, signatures as r || s.

The law: a public key is a DER SubjectPublicKeyInfo (RFC 5480) with the named curve and an uncompressed
point, in its one encoding; a signature is 64 bytes, r and s each 32 bytes big-endian (RFC 7518 section
3.4, XML-DSig 1.1 section 6.4.3). High s is accepted: signature bytes are never a key to anything.
"""

from __future__ import annotations

import base64
import hashlib
import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

SIGNATURE_BYTES = 64
_ECDSA = ec.ECDSA(hashes.SHA256())


class SignatureInvalid(ValueError):
    """The signature is not by this key over these bytes."""


def parse_p256(spki: bytes) -> ec.EllipticCurvePublicKey:
    """Raises ValueError for anything but a P-256 key in its one encoding."""
    try:
        key = load_der_public_key(spki)
    except Exception as error:  # OpenSSL and pyca raise several types for malformed keys
        raise ValueError("not a public key") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("not a P-256 key")
    if spki_of(key) != spki:
        raise ValueError("not the canonical encoding of the key")
    return key


def spki_of(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def jwk_of(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    """Its required members alone (RFC 7518 section 6.2.1), in the order of RFC 7638."""
    point = key.public_numbers()
    x, y = (base64.urlsafe_b64encode(n.to_bytes(32, "big")).rstrip(b"=").decode() for n in (point.x, point.y))
    return {"crv": "P-256", "kty": "EC", "x": x, "y": y}


def thumbprint(key: ec.EllipticCurvePublicKey) -> str:
    """RFC 7638, with SHA-256, as base64url without padding."""
    digest = hashlib.sha256(json.dumps(jwk_of(key), separators=(",", ":")).encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def verify_p256(key: ec.EllipticCurvePublicKey, signature: bytes, *, data: bytes) -> None:
    """Raises SignatureInvalid unless ``signature`` (r || s) is by the key over ``data``."""
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureInvalid("a signature is 64 bytes")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        key.verify(encode_dss_signature(r, s), data, _ECDSA)
    except InvalidSignature as error:
        raise SignatureInvalid("not by this key over these bytes") from error


def sign_p256(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """r || s, 64 bytes."""
    r, s = decode_dss_signature(key.sign(data, _ECDSA))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")
