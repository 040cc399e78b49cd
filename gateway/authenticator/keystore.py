"""Where the reference authenticator keeps its keys: one encrypted file.

The law: the file is AES-256-GCM (NIST SP 800-38D) under a key that scrypt (RFC 7914) derives from a
passphrase; readable by its owner alone; replaced whole or not at all. It holds the signing and transport
keys and the secret for PINs, never a PIN nor anything derived from one. A phone's app keeps its keys in
hardware instead: this is a stand-in for tests and integration, and its bindings say ``software``.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from gateway.authenticator.errors import KeystoreError
from gateway.core.canonical import b64, unb64
from gateway.core.model import RelyingParty

MAGIC: Final = b"mobileid-gateway keystore 1\n"
"""First bytes of the file, and part of what the tag covers."""
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**15, 8, 1


@dataclass(frozen=True, slots=True)
class Device:
    """One activated binding, as the device knows it."""

    gateway_url: str
    relying_party: RelyingParty
    binding_id: UUID
    subject: str
    """The pseudonym that statements must name."""
    certificates: tuple[bytes, ...]
    """DER, the device's own first."""
    signing: ec.EllipticCurvePrivateKey
    transport: ec.EllipticCurvePrivateKey
    pin_secret: bytes
    biometric: bool = False
    """The signing key's attestation says that a biometric opens it. In this software nothing does."""


@dataclass(frozen=True, slots=True)
class Keystore:
    path: Path
    passphrase: str

    def check_free(self) -> None:
        """Raises KeystoreError where a file already stands: keys are never overwritten by an activation."""
        if self.path.exists() or not self.path.parent.is_dir():
            raise KeystoreError("The keystore must be a new file in an existing folder.")
        if not self.passphrase:
            raise KeystoreError("A keystore needs a passphrase.")

    def save(self, device: Device) -> None:
        """Writes the file, or leaves what stood there."""
        salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
        header = MAGIC + salt
        sealed = AESGCM(self._key(salt)).encrypt(nonce, _encode(device), header)
        try:
            # mkstemp makes the file readable by its owner alone.
            descriptor, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(header + nonce + sealed)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, self.path)
            except BaseException:
                os.unlink(temporary)
                raise
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise KeystoreError("The keystore cannot be written.") from error

    def load(self) -> Device:
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise KeystoreError("The keystore cannot be read.") from error
        split = len(MAGIC) + _SALT_BYTES
        header, nonce, sealed = data[:split], data[split : split + _NONCE_BYTES], data[split + _NONCE_BYTES :]
        try:
            if not header.startswith(MAGIC):
                raise ValueError("not a keystore")
            return _decode(AESGCM(self._key(header[len(MAGIC) :])).decrypt(nonce, sealed, header))
        except (InvalidTag, ValueError, KeyError, TypeError) as error:
            raise KeystoreError("The file is no keystore, was changed, or has another passphrase.") from error

    def _key(self, salt: bytes) -> bytes:
        kdf = Scrypt(salt=salt, length=32, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P)
        return kdf.derive(self.passphrase.encode())


def _encode(device: Device) -> bytes:
    return json.dumps(
        {
            "gatewayUrl": device.gateway_url,
            "relyingParty": {"id": device.relying_party.id, "name": device.relying_party.name},
            "bindingId": str(device.binding_id),
            "subject": device.subject,
            "certificates": [b64(certificate) for certificate in device.certificates],
            "signing": b64(_pkcs8(device.signing)),
            "transport": b64(_pkcs8(device.transport)),
            "pinSecret": b64(device.pin_secret),
            "biometric": device.biometric,
        }
    ).encode()


def _decode(data: bytes) -> Device:
    fields: dict[str, Any] = json.loads(data)
    return Device(
        gateway_url=fields["gatewayUrl"],
        relying_party=RelyingParty(**fields["relyingParty"]),
        binding_id=UUID(fields["bindingId"]),
        subject=fields["subject"],
        certificates=tuple(unb64(certificate) for certificate in fields["certificates"]),
        signing=_private_key(unb64(fields["signing"])),
        transport=_private_key(unb64(fields["transport"])),
        pin_secret=unb64(fields["pinSecret"]),
        biometric=fields.get("biometric") is True,
    )


def _pkcs8(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _private_key(data: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_der_private_key(data, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not a P-256 key")
    return key
