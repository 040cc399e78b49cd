"""The device CA: certificates for devices' signing keys, and the CRL that evidence carries.

The law (RFC 5280 sections 4 and 5): a device's certificate names its binding's id and nothing personal,
carries the device role alone, and never outlives the CA. A CRL holds every revoked certificate, has a
number greater than any before, and is stored before it is used, so that all workers give the same one.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gateway.core.certpath import Role, issuer_key_id, load_certificate
from gateway.core.errors import SealUnavailable
from gateway.core.model import whole_seconds
from gateway.core.verifier import CLOCK_SKEW
from gateway.outbound.seal_key import FileKey
from gateway.ports import Crl, CrlStore

DEVICE_LIFETIME = timedelta(days=5 * 365)
CRL_LIFETIME = timedelta(hours=24)
CRL_REFRESH = timedelta(hours=12)
"""A CRL older than this is replaced, so that one in use has half of its life before it."""
DEVICE_CLOCK_SKEW = timedelta(minutes=5)
"""The largest skew that a profile may allow: a certificate is valid that long before its binding."""


class FileDeviceCA(FileKey):
    """A device CA whose key is a PEM file."""

    def __init__(self, key_file: Path, chain_file: Path, *, store: CrlStore) -> None:
        super().__init__(key_file, chain_file)
        self._store = store

    @property
    def _id(self) -> bytes:
        """Its key identifier, as in the certificates that it issues."""
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()).key_identifier or b""

    def issued(self, certificate: bytes) -> bool:
        """Whether this very CA issued a DER certificate."""
        return issuer_key_id(load_certificate(certificate)) == self._id

    def issue(self, key: EllipticCurvePublicKey, *, binding_id: UUID, at: datetime) -> bytes:
        """A DER certificate for a device's signing key; its subject is the binding's id."""
        ca = self.certificates[0]
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(binding_id))]))
            .issuer_name(ca.subject)
            .public_key(key)
            .serial_number(secrets.randbits(127) | 1 << 126)
            .not_valid_before(whole_seconds(at) - DEVICE_CLOCK_SKEW)
            .not_valid_after(min(whole_seconds(at) + DEVICE_LIFETIME, ca.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(), critical=True)
            .add_extension(
                x509.CertificatePolicies([x509.PolicyInformation(Role.DEVICE.value, None)]), critical=False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
            .sign(self.key, hashes.SHA256())
            .public_bytes(Encoding.DER)
        )

    def crl(self, *, at: datetime) -> bytes:
        """The DER CRL in force: the stored one while it is fresh and complete, else the next one."""
        for _ in range(5):
            latest = self._store.latest_crl(self._id)
            revoked = self._store.revoked(self._id)
            fresh = latest is not None and at < latest.this_update + CRL_REFRESH
            if latest is not None and fresh and latest.this_update <= at + CLOCK_SKEW:
                listed = x509.load_der_x509_crl(latest.der)
                if len(listed) == len(revoked):
                    return latest.der
            following = self._next(revoked, number=1 if latest is None else latest.number + 1, at=at)
            if self._store.add_crl(following):
                return following.der
        raise SealUnavailable()

    def _next(self, revoked: Sequence[tuple[int, datetime]], *, number: int, at: datetime) -> Crl:
        this_update = whole_seconds(at)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificates[0].subject)
            .last_update(this_update)
            .next_update(this_update + CRL_LIFETIME)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        )
        for serial, when in revoked:
            # A CRL has whole seconds: rounded up, or what was signed just before would seem revoked.
            date = whole_seconds(when + timedelta(seconds=1, microseconds=-1))
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(date).build()
            builder = builder.add_revoked_certificate(entry)
        der = builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)
        return Crl(self._id, number, der, this_update, this_update + CRL_LIFETIME)


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
