"""Certificate paths at a given time against given anchors, with roles and revocation.

The law (RFC 5280 section 6, EN 319 102-1 clause 5.2.6): a certificate serves only the role whose
certificate policy it carries, below CAs that may issue for that role; an anchor signs no document;
every certificate below the anchor has a revocation answer for the time asked, by a CRL that its
issuer signed or by noRevAvail (RFC 9608, end entities only); where neither speaks the finding is
TRY_LATER. The path itself is built and checked by ``cryptography``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import pairwise
from typing import Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.core.conclusion import Finding, SubIndication

ROLE_ARC: Final = "2.25.142390609227773287241821103884327822547"
"""An arc under 2.25 (Rec. ITU-T X.667): the integer of a random UUID."""
NO_REV_AVAIL: Final = x509.ObjectIdentifier("2.5.29.56")
_MAX_DEPTH: Final = 4
_Kind = TypeVar("_Kind", bound=x509.ExtensionType)
_MIN_RSA_BITS: Final = 3072
_OTHER_PURPOSES: Final = frozenset({ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.OCSP_SIGNING})
"""Extended key usages that are roles of their own."""
_CRL_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


class Role(Enum):
    """What an end entity's key may do; the value is its certificate policy."""

    SEAL = x509.ObjectIdentifier(f"{ROLE_ARC}.1")
    DEVICE = x509.ObjectIdentifier(f"{ROLE_ARC}.2")


@dataclass(frozen=True, slots=True)
class TrustStore:
    anchors: tuple[x509.Certificate, ...]
    crls: tuple[x509.CertificateRevocationList, ...]
    attestation_roots: tuple[x509.Certificate, ...] = ()
    """Anchors of attestations, and of nothing else."""


def parse_trust(pem: bytes) -> TrustStore:
    """Anchors and CRLs of a PEM file; raises ValueError without an anchor or with other content."""
    anchors: list[x509.Certificate] = []
    crls: list[x509.CertificateRevocationList] = []
    for block in pem.split(b"-----BEGIN ")[1:]:
        whole = b"-----BEGIN " + block
        if block.startswith(b"CERTIFICATE-----"):
            anchors.append(x509.load_pem_x509_certificate(whole))
        elif block.startswith(b"X509 CRL-----"):
            crls.append(x509.load_pem_x509_crl(whole))
        else:
            raise ValueError("a trust file holds certificates and CRLs in PEM, and nothing else")
    if not anchors:
        raise ValueError("the trust file holds no certificate")
    return TrustStore(tuple(anchors), tuple(crls))


def load_certificate(der: bytes) -> x509.Certificate:
    """Raises Finding for what is not a certificate."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        # parsed lazily: malformed ones must be found here
        _ = (certificate.extensions, certificate.subject, certificate.issuer, certificate.public_key())
    except Exception as error:  # pyca raises several types for malformed certificates
        raise Finding(SubIndication.FORMAT_FAILURE, "a certificate cannot be read") from error
    return certificate


def load_crl(der: bytes) -> x509.CertificateRevocationList:
    """Raises Finding for what is not a CRL."""
    try:
        crl = x509.load_der_x509_crl(der)
        # parsed lazily: malformed ones must be found here
        _ = (crl.extensions, crl.issuer, crl.last_update_utc, crl.next_update_utc)
    except Exception as error:  # pyca raises several types for malformed CRLs
        raise Finding(SubIndication.FORMAT_FAILURE, "a CRL cannot be read") from error
    return crl


def check_role(certificate: x509.Certificate, *, role: Role) -> None:
    """The certificate is an end entity for this role and for no other role of the gateway."""
    roles = _roles(certificate)
    if roles != [role]:
        named = " and ".join(r.name for r in roles) or "none"
        raise Finding(
            SubIndication.CHAIN_CONSTRAINTS_FAILURE,
            f"the certificate's role is {named}; {role.name} is required",
        )
    usage = _extension(certificate, x509.KeyUsage)
    if usage is None or not (usage.digital_signature or usage.content_commitment):
        raise Finding(
            SubIndication.CHAIN_CONSTRAINTS_FAILURE, "the certificate's key usage does not allow signatures"
        )
    purposes = _extension(certificate, x509.ExtendedKeyUsage)
    if purposes is not None and _OTHER_PURPOSES.intersection(purposes):
        raise Finding(
            SubIndication.CHAIN_CONSTRAINTS_FAILURE, "the certificate is for time-stamps or OCSP answers"
        )
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise Finding(SubIndication.CHAIN_CONSTRAINTS_FAILURE, "a CA certificate may not sign documents")
    key = certificate.public_key()
    p256 = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    strong_rsa = role is Role.SEAL and isinstance(key, rsa.RSAPublicKey) and key.key_size >= _MIN_RSA_BITS
    if not (p256 or strong_rsa):
        raise Finding(
            SubIndication.CRYPTO_CONSTRAINTS_FAILURE,
            "the certificate's key is neither P-256 nor, for a seal, RSA with 3072 bits or more",
        )


def check_path(
    chain: Sequence[x509.Certificate],
    *,
    trust: TrustStore,
    crls: Sequence[x509.CertificateRevocationList],
    role: Role,
    at: datetime,
) -> tuple[x509.Certificate, ...]:
    """The path from ``chain[0]`` over ``chain[1:]`` to an anchor, which holds at ``at``, revocation included.

    ``crls`` are those that came with the signature; those of the trust store are used too.
    """
    leaf = chain[0]
    if at < leaf.not_valid_before_utc:
        raise Finding(SubIndication.NOT_YET_VALID, "the signing certificate is not valid yet at that time")
    if at > leaf.not_valid_after_utc:
        raise Finding(
            SubIndication.OUT_OF_BOUNDS_NO_POE,
            "the signing certificate has expired, and nothing proves that the signature is older",
        )
    try:
        path = (
            verification.PolicyBuilder()
            .store(verification.Store(list(trust.anchors)))
            .time(at)
            .max_chain_depth(_MAX_DEPTH)
            .extension_policies(ca_policy=_CA_POLICY, ee_policy=_EE_POLICY)
            .build_client_verifier()
            .verify(leaf, list(chain[1:]))
            .chain
        )
    except verification.VerificationError as error:
        raise Finding(
            SubIndication.NO_CERTIFICATE_CHAIN_FOUND, "no valid path leads from the certificate to an anchor"
        ) from error
    if len(path) < 2:
        raise Finding(SubIndication.CHAIN_CONSTRAINTS_FAILURE, "an anchor may not sign documents")
    if any(named != used for named, used in zip(chain, path, strict=False)):
        raise Finding(
            SubIndication.NO_CERTIFICATE_CHAIN_FOUND, "the certificates that came are not the path, in order"
        )
    for authority in path[1:-1]:
        if not (_roles(authority) or [role]) == [role]:
            raise Finding(
                SubIndication.CHAIN_CONSTRAINTS_FAILURE, f"a CA of the path may not issue for {role.name}"
            )
    for certificate, issuer in pairwise(path):
        _check_revocation(certificate, issuer, crls=[*crls, *trust.crls], at=at)
    return tuple(path)


def check_issued_in_order(
    chain: Sequence[x509.Certificate], *, anchors: Sequence[x509.Certificate], at: datetime
) -> None:
    """Each certificate is issued by the next, and the last is, or is issued by, an anchor, at ``at``.

    For foreign hierarchies, which have no roles: whether one was revoked is left to the caller.
    """
    found = Finding(SubIndication.NO_CERTIFICATE_CHAIN_FOUND, "no valid path leads to an anchor")
    in_order = all(lower.issuer == upper.subject for lower, upper in pairwise(chain))
    # With a name for each there is one way up, so a hostile chain makes no work.
    if not anchors or not in_order or len({c.subject.public_bytes() for c in chain}) != len(chain):
        raise found
    try:
        path = (
            verification.PolicyBuilder()
            .store(verification.Store(list(anchors)))
            .time(at)
            .max_chain_depth(len(chain))
            .extension_policies(ca_policy=_CA_POLICY, ee_policy=_EE_POLICY)
            .build_client_verifier()
            .verify(chain[0], list(chain[1:]))
            .chain
        )
    except verification.VerificationError as error:
        raise found from error
    # A root may be sent as well, be it in an older certificate of the same key.
    below, sent = path[:-1], chain[len(path) - 1 :]
    same = [(c.subject, c.public_key()) == (path[-1].subject, path[-1].public_key()) for c in sent]
    if not below or list(below) != list(chain[: len(below)]) or same not in ([], [True]):
        raise found


def _ca_may_issue(
    policy: verification.Policy, certificate: x509.Certificate, constraints: x509.BasicConstraints
) -> None:
    if not constraints.ca:
        raise ValueError("an issuer must be a CA")


def _ca_key_usage(policy: verification.Policy, certificate: x509.Certificate, usage: x509.KeyUsage) -> None:
    if not usage.key_cert_sign:
        raise ValueError("an issuer must be allowed to sign certificates")


_EE_POLICY = verification.ExtensionPolicy.permit_all()
_CA_POLICY = (
    verification.ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, verification.Criticality.CRITICAL, _ca_may_issue)
    .require_present(x509.KeyUsage, verification.Criticality.AGNOSTIC, _ca_key_usage)
)


def _check_revocation(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    *,
    crls: Sequence[x509.CertificateRevocationList],
    at: datetime,
) -> None:
    authentic = [c for c in crls if is_issued_by(c, issuer=issuer) and c.issuer == certificate.issuer]
    # What once was revoked stays so: for this a CRL may be out of date, partial, or older than ``at``.
    for crl in authentic:
        entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
        if entry is not None and entry.revocation_date_utc <= at:
            raise Finding(SubIndication.REVOKED, "the certificate was revoked before that time")
    if any(_speaks(c, certificate=certificate, at=at) for c in authentic):
        return
    constraints = _extension(certificate, x509.BasicConstraints)
    is_ca = constraints is not None and constraints.ca
    if not is_ca and any(e.oid == NO_REV_AVAIL for e in certificate.extensions):
        return
    raise Finding(
        SubIndication.TRY_LATER, "no CRL in force speaks about a certificate of the path at that time"
    )


def issuer_key_id(certificate: x509.Certificate) -> bytes:
    """The key identifier of the CA that issued it (RFC 5280 section 4.2.1.1); raises Finding without."""
    authority = _extension(certificate, x509.AuthorityKeyIdentifier)
    if authority is None or authority.key_identifier is None:
        raise Finding(SubIndication.FORMAT_FAILURE, "the certificate does not name its issuer's key")
    return authority.key_identifier


def is_issued_by(crl: x509.CertificateRevocationList, *, issuer: x509.Certificate) -> bool:
    """The CRL is by this CA: named by it, and signed by its key, which may sign CRLs."""
    usage = _extension(issuer, x509.KeyUsage)
    return (
        crl.issuer == issuer.subject
        and usage is not None
        and usage.crl_sign
        and isinstance(crl.signature_hash_algorithm, _CRL_HASHES)
        and crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    )


def _speaks(crl: x509.CertificateRevocationList, *, certificate: x509.Certificate, at: datetime) -> bool:
    """The CRL is whole, still covers the time, and is not so young that it forgot the expired."""
    partial = any(
        e.critical or isinstance(e.value, x509.IssuingDistributionPoint | x509.DeltaCRLIndicator)
        for e in crl.extensions
    )
    return (
        not partial
        and crl.next_update_utc is not None
        and at < crl.next_update_utc
        and crl.last_update_utc <= certificate.not_valid_after_utc
    )


def _roles(certificate: x509.Certificate) -> list[Role]:
    policies = _extension(certificate, x509.CertificatePolicies)
    named = set() if policies is None else {p.policy_identifier for p in policies}
    return [role for role in Role if role.value in named]


def _extension(certificate: x509.Certificate, kind: type[_Kind]) -> _Kind | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
