"""Certificates and revocation lists that no library would write: hostile DER, made by hand.

What each holds is well-formed DER (X.690) of the right shape (RFC 5280), but one thing in it is enormous.
Nobody vouches for it.
"""

from __future__ import annotations

import forge as f
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.core.certpath import ROLE_ARC


def tlv(tag: int, *content: bytes) -> bytes:
    value = b"".join(content)
    if len(value) < 128:
        return bytes((tag, len(value))) + value
    size = len(value).to_bytes((len(value).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + value


def sequence(*content: bytes) -> bytes:
    return tlv(0x30, *content)


def integer(size: int) -> bytes:
    """An odd number of so many bytes."""
    return tlv(0x02, b"\x41" * size)


def oid(*arcs: int) -> bytes:
    first, second, *rest = arcs
    written = b""
    for arc in (first * 40 + second, *rest):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(0x80 | arc & 0x7F)
        written += bytes(reversed(septets))
    return tlv(0x06, written)


def name(relative: int = 1) -> bytes:
    attribute = sequence(oid(2, 5, 4, 3), tlv(0x0C, b"x"))
    return sequence(tlv(0x31, attribute) * relative)


def extension(identifier: bytes, value: bytes) -> bytes:
    return sequence(identifier, tlv(0x04, value))


def rsa_key(modulus: int, exponent: int) -> bytes:
    return public_key(
        sequence(oid(1, 2, 840, 113549, 1, 1, 1), tlv(0x05)), sequence(integer(modulus), integer(exponent))
    )


def dsa_key(size: int) -> bytes:
    return public_key(
        sequence(oid(1, 2, 840, 10040, 4, 1), sequence(integer(size), integer(32), integer(size))),
        integer(size),
    )


def explicit_curve(size: int) -> bytes:
    """An EC key that brings a curve of its own over a field of so many bytes."""
    field = sequence(oid(1, 2, 840, 10045, 1, 1), integer(size))
    curve = sequence(tlv(0x04, b"\x41" * size), tlv(0x04, b"\x41" * size))
    point = tlv(0x04, b"\x04" + b"\x41" * (2 * size))
    parameters = sequence(tlv(0x02, b"\x01"), field, curve, point, integer(size))
    return public_key(sequence(oid(1, 2, 840, 10045, 2, 1), parameters), b"\x04" + b"\x41" * (2 * size))


def public_key(algorithm: bytes, key: bytes) -> bytes:
    return sequence(algorithm, tlv(0x03, b"\0", key))


_P256 = f.SEAL.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
_ECDSA_SHA256 = sequence(oid(1, 2, 840, 10045, 4, 3, 2))
_SIGNATURE = tlv(0x03, b"\0", sequence(integer(32), integer(32)))
_SEAL_POLICY = extension(
    oid(2, 5, 29, 32), sequence(sequence(oid(*(int(arc) for arc in ROLE_ARC.split(".")), 1)))
)
_DIGITAL_SIGNATURE = extension(oid(2, 5, 29, 15), tlv(0x03, b"\x07\x80"))


def certificate(
    *,
    serial: int = 8,
    issuer: bytes = name(),
    subject: bytes = name(),
    key: bytes = _P256,
    extensions: bytes = _SEAL_POLICY + _DIGITAL_SIGNATURE,
) -> bytes:
    """One that is for sealing, unless other extensions are given."""
    validity = sequence(tlv(0x17, b"250101000000Z"), tlv(0x17, b"350101000000Z"))
    body = sequence(
        *(tlv(0xA0, integer(1).replace(b"\x41", b"\x02")), integer(serial), _ECDSA_SHA256, issuer, validity),
        *(subject, key, tlv(0xA3, sequence(extensions))),
    )
    return sequence(body, _ECDSA_SHA256, _SIGNATURE)


def usual(*extensions: bytes) -> bytes:
    """More extensions behind those of a seal."""
    return b"".join((_SEAL_POLICY, _DIGITAL_SIGNATURE, *extensions))


def many_extensions(count: int) -> bytes:
    return b"".join(extension(oid(1, 3, 6, 1, 4, 1, 99999, n), b"") for n in range(count))


def revocation_list(*, issuer: bytes = name(), revoked: int = 0, extensions: bytes = b"") -> bytes:
    entry = sequence(integer(8), tlv(0x17, b"260101000000Z"))
    body = sequence(
        *(
            tlv(0x02, b"\x01"),
            _ECDSA_SHA256,
            issuer,
            tlv(0x17, b"260302083000Z"),
            tlv(0x17, b"260303083000Z"),
        ),
        *((sequence(entry * revoked),) if revoked else ()),
        *((tlv(0xA0, sequence(extensions)),) if extensions else ()),
    )
    return sequence(body, _ECDSA_SHA256, _SIGNATURE)
