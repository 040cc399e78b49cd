"""The PIN-derived key: what the person knows, as a P-256 key.

The law (RTS (EU) 2018/389 articles 6 and 22): the PIN never leaves the device and is nowhere stored, nor
is the key, its public key, or a signature by it: with the device's secret, each of them would let a thief
try PINs. A wrong PIN gives another key, so only the gateway can tell, and it counts. The scalar is made as
FIPS 186-5 appendix A.2.1 makes one from more random bits than the order has: ``c mod (n - 1) + 1``.
"""

from __future__ import annotations

import re
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from gateway.authenticator.errors import PinUnusable

SECRET_BYTES: Final = 32
"""Random, made at activation, held by the device."""
DOMAIN: Final = b"mobileid-gateway:pin-key:1"
"""Follows the secret in the salt."""
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**15, 8, 1
"""RFC 7914; 32 MiB a derivation."""
DERIVED_BYTES: Final = 48
P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""n of P-256: NIST SP 800-186 section 3.2.1.3."""
_PIN: Final = re.compile(r"[0-9]{4,12}")


def pin_key(pin: str, *, secret: bytes) -> ec.EllipticCurvePrivateKey:
    """The key of a PIN under a device's secret; use it once and let it go."""
    if not _PIN.fullmatch(pin):
        raise PinUnusable("A PIN has 4 to 12 digits.")
    if len(secret) != SECRET_BYTES:
        raise ValueError("the device's secret has 32 bytes")
    derived = Scrypt(salt=secret + DOMAIN, length=DERIVED_BYTES, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P).derive(
        pin.encode("ascii")
    )
    scalar = int.from_bytes(derived, "big") % (P256_ORDER - 1) + 1
    return ec.derive_private_key(scalar, ec.SECP256R1())
