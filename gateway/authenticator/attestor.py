"""Attestations by software in the format of a phone's hardware: for sandboxes and tests.

The law: what is made here is genuine in form, and vouched for by a sandbox's own attestation CA alone, which
production refuses. It stands in for hardware that is not there, so it is named for what it is and warns when
it is built. ``Description`` is what Android's KeyDescription says; a test flips one of its fields.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from gateway.authenticator.errors import KeystoreError
from gateway.core import der
from gateway.core.attestation import android_key as tags
from gateway.core.canonical import b64
from gateway.core.model import whole_seconds

_LIFETIME = timedelta(days=20 * 365)
_VERSION = 300
"""KeyMint 3."""


@dataclass(frozen=True, slots=True)
class Description:
    """The fields of a KeyDescription; None leaves an entry out."""

    level: int = 1
    keystore_level: int = 1
    purposes: Sequence[int] = (2,)
    algorithm: int = 3
    key_size: int = 256
    digests: Sequence[int] = (4,)
    curve: int = 1
    no_auth_required: bool = False
    user_auth_type: int | None = 2
    auth_timeout: int | None = None
    on_body: bool = False
    all_applications: bool = False
    origin: int = 0
    locked: bool = True
    boot_state: int = 0
    with_root_of_trust: bool = True
    package: str | None = "org.example.authenticator"
    signer: bytes = bytes(32)
    enforced_by_software: bool = False
    """Where the entries of the key stand: in the list that proves nothing."""
    enforced: dict[int, bytes | None] = field(default_factory=dict)
    claimed: dict[int, bytes] = field(default_factory=dict)
    """Entries of the hardware's list and of the software's, by tag, as they shall be."""

    def der(self, challenge: bytes) -> bytes:
        key = self._entries()
        app = {} if self.package is None else {tags.APPLICATION_ID: self._application()}
        app |= self.claimed
        software, hardware = ({**key, **app}, {}) if self.enforced_by_software else (app, key)
        return _sequence(
            der.write_number(_VERSION),
            der.write_number(self.level, tag=der.ENUMERATED),
            der.write_number(_VERSION),
            der.write_number(self.keystore_level, tag=der.ENUMERATED),
            der.write(challenge, tag=der.OCTET_STRING),
            der.write(b"", tag=der.OCTET_STRING),
            _list(software),
            _list(hardware),
        )

    def _entries(self) -> dict[int, bytes]:
        null = der.write(b"", tag=der.NULL)
        entries: dict[int, bytes | None] = {
            tags.PURPOSE: _numbers(self.purposes),
            tags.ALGORITHM: der.write_number(self.algorithm),
            tags.KEY_SIZE: der.write_number(self.key_size),
            tags.DIGEST: _numbers(self.digests),
            tags.EC_CURVE: der.write_number(self.curve),
            tags.NO_AUTH_REQUIRED: null if self.no_auth_required else None,
            tags.USER_AUTH_TYPE: None
            if self.user_auth_type is None
            else der.write_number(self.user_auth_type),
            tags.AUTH_TIMEOUT: None if self.auth_timeout is None else der.write_number(self.auth_timeout),
            tags.ALLOW_WHILE_ON_BODY: null if self.on_body else None,
            tags.ALL_APPLICATIONS: null if self.all_applications else None,
            tags.ORIGIN: der.write_number(self.origin),
            tags.ROOT_OF_TRUST: self._root_of_trust() if self.with_root_of_trust else None,
            **self.enforced,
        }
        return {tag: entry for tag, entry in entries.items() if entry is not None}

    def _root_of_trust(self) -> bytes:
        return _sequence(
            der.write(bytes(32), tag=der.OCTET_STRING),
            der.write(b"\xff" if self.locked else b"\x00", tag=der.BOOLEAN),
            der.write_number(self.boot_state, tag=der.ENUMERATED),
            der.write(bytes(32), tag=der.OCTET_STRING),
        )

    def _application(self) -> bytes:
        name = der.write((self.package or "").encode(), tag=der.OCTET_STRING)
        package = der.write(_sequence(name, der.write_number(1)), tag=der.SET)
        signer = der.write(der.write(self.signer, tag=der.OCTET_STRING), tag=der.SET)
        return der.write(_sequence(package, signer), tag=der.OCTET_STRING)


class UnsafeAttestor:
    """Says of keys in software what a phone's hardware would say of its own."""

    def __init__(
        self,
        key: ec.EllipticCurvePrivateKey,
        chain: Sequence[x509.Certificate],
        *,
        description: Description | None = None,
    ) -> None:
        warnings.warn("UnsafeAttestor: keys in software are attested as hardware's", stacklevel=2)
        self._key, self._chain = key, tuple(chain)
        self.description = description or Description()

    @classmethod
    def load(cls, folder: Path) -> UnsafeAttestor:
        """Of the folder ``keys`` of a sandbox."""
        try:
            key = load_pem_private_key((folder / "attestation-ca.key.pem").read_bytes(), password=None)
            chain = x509.load_pem_x509_certificates((folder / "attestation-ca.pem").read_bytes())
        except (ValueError, TypeError) as error:
            raise KeystoreError("The sandbox's attestation CA cannot be read.") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise KeystoreError("The sandbox's attestation CA cannot be read.")
        return cls(key, chain)

    @property
    def biometric(self) -> bool:
        return self.description.user_auth_type == 2

    def attestation(
        self, public_key: ec.EllipticCurvePublicKey, *, challenge: bytes, at: datetime
    ) -> dict[str, str]:
        """The member of an activation request."""
        return {"format": "android-key", "object": b64(self.attest(public_key, challenge=challenge, at=at))}

    def attest(self, public_key: ec.EllipticCurvePublicKey, *, challenge: bytes, at: datetime) -> bytes:
        """The attestation object."""
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Android Keystore Key")]))
            .issuer_name(self._chain[0].subject)
            .public_key(public_key)
            .serial_number(1)
            .not_valid_before(whole_seconds(at) - timedelta(hours=1))
            .not_valid_after(whole_seconds(at) + _LIFETIME)
            .add_extension(
                x509.UnrecognizedExtension(tags.EXTENSION, self.description.der(challenge)), critical=False
            )
            .sign(self._key, hashes.SHA256(), ecdsa_deterministic=True)
        )
        return _sequence(*(c.public_bytes(Encoding.DER) for c in (certificate, *self._chain)))


def _sequence(*values: bytes) -> bytes:
    return der.write(b"".join(values), tag=der.SEQUENCE)


def _numbers(values: Sequence[int]) -> bytes:
    return der.write(b"".join(sorted(map(der.write_number, values))), tag=der.SET)


def _list(entries: dict[int, bytes]) -> bytes:
    return _sequence(*(der.write(entries[tag], tag=tag, context=True) for tag in sorted(entries)))
