"""The seal's key from a PEM file.

The law: the key and its certificate belong together or nothing starts; the key is read once. A key
in a PKCS#11 token comes beside this with the same face.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.core import certpath
from gateway.core.certpath import Role
from gateway.core.keys import sign_p256


def read_key(file: Path) -> ec.EllipticCurvePrivateKey:
    """Raises ValueError for anything but a P-256 key in PEM."""
    key = load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError(f"{file}: not a P-256 key")
    return key


class FileKey:
    """A P-256 key and its certificate chain from two PEM files; raises ValueError where they do not fit."""

    def __init__(self, key_file: Path, chain_file: Path) -> None:
        self.key = key = read_key(key_file)
        self.certificates = x509.load_pem_x509_certificates(chain_file.read_bytes())
        if self.certificates[0].public_key() != key.public_key():
            raise ValueError(f"{chain_file}: the first certificate is not for the key in {key_file}")

    @property
    def chain(self) -> Sequence[bytes]:
        """DER certificates, the key's own first, without the anchor."""
        return [certpath.der(certificate) for certificate in self.certificates]


class FileSealKey(FileKey):
    """The seal's key; its certificate must have the role."""

    def __init__(self, key_file: Path, chain_file: Path) -> None:
        super().__init__(key_file, chain_file)
        certpath.check_role(self.certificates[0], role=Role.SEAL)

    def sign(self, data: bytes) -> bytes:
        """ECDSA P-256 SHA-256 as r || s."""
        return sign_p256(self.key, data)
