"""Whether the certificates that came at activation are those of the gateway that the QR code named.

The law: the device CA's key is the one whose SHA-256 stands in the link; the device's certificate was issued
by that key (RFC 5280), for this device's signing key, for this binding, for devices alone, and is in force.
Revocation is left to the gateway, which every answer goes through.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from gateway.authenticator.errors import NotTrusted
from gateway.core.certpath import Role, check_role, load_certificate
from gateway.core.conclusion import Finding


def check_certificates(
    certificates: Sequence[bytes],
    *,
    expected_ca_key: bytes,
    expected_key: ec.EllipticCurvePublicKey,
    expected_binding: UUID,
    at: datetime,
) -> None:
    """Raises NotTrusted unless the first certificate is this device's, by the CA of the link."""
    try:
        device, ca = (load_certificate(der) for der in certificates[:2])
        check_role(device, role=Role.DEVICE)
        device.verify_directly_issued_by(ca)
    except (Finding, InvalidSignature, ValueError, TypeError) as error:
        raise NotTrusted("The gateway's certificate for this device is not usable.") from error
    names = [name.value for name in device.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if (
        hashlib.sha256(_spki(ca)).digest() != expected_ca_key
        or device.public_key() != expected_key
        or names != [str(expected_binding)]
        or not device.not_valid_before_utc <= at <= device.not_valid_after_utc
    ):
        raise NotTrusted("The gateway's certificate for this device is not by whom the QR code named.")


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
