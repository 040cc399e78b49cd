"""A certificate hierarchy and a good evidence that are the same in every run, and means to make bad ones.

The law: every key is derived from its name or, for RSA, kept in ``pki``; every signature is deterministic
(RFC 6979); so the vectors can be made again byte for byte. These are test keys: whoever reads this can
sign with them, and nothing must ever trust them. ``sign`` makes the genuine signature over whatever it is
given, so that a vector is wrong in one place alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID
from lxml import etree

from gateway.core import xades
from gateway.core.assertion import FACTORS
from gateway.core.certpath import NO_REV_AVAIL, Role
from gateway.core.evidence import Evidence, attach_seal, compose_unsealed
from gateway.core.model import Attestation, Channel, Decision, Factor, IdentityAttribute, Kind, RelyingParty
from gateway.core.profile import SignatureProfile, acr_of, profile_digest
from gateway.core.statement import Content, ShownText, compose
from gateway.core.xmldsig import UnverifiedSignature

HERE = Path(__file__).parent
SEALED = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
AT = SEALED + timedelta(days=3)
"""When the vectors are judged, unless the index says another time."""
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
BORN = SEALED - 30 * DAY
BINDING = UUID("019c0000-0000-7000-8000-00000000b1d0")
OTHER_BINDING = UUID("019c0000-0000-7000-8000-00000000b1d1")
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

PROFILE = SignatureProfile(
    id="consent-pin",
    kind=Kind.CONSENT_SIGNATURE,
    factors=(Factor.DEVICE, Factor.PIN),
    lifetime_seconds=300,
    signing_time_skew_seconds=120,
    max_text_length=1000,
    max_failures=3,
    released_attributes=("name",),
    hardware_key=False,
    algorithms=("ES256",),
    channels=(Channel.BACKEND,),
    evidence=True,
    code_lifetime_seconds=300,
    number_matching=False,
    not_me_locks=False,
    max_waiting=50,
    max_starts=1000,
)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Text = Callable[[str], str]


def key_named(name: str, curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    secret = int.from_bytes(hashlib.sha256(name.encode()).digest(), "big") % (_ORDER - 1) + 1
    return ec.derive_private_key(secret, curve or ec.SECP256R1())


def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """An RSA key cannot be derived from a name: it is kept, and made where it is missing."""
    key = load_pem_private_key((HERE / "pki" / f"test-rsa-{bits}.key.pem").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def sign_bytes(key: Key, data: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    size = (key.curve.key_size + 7) // 8
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


@dataclass(frozen=True, slots=True)
class Holder:
    certificate: x509.Certificate
    key: Key

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def serial(self) -> int:
        return self.certificate.serial_number


def certify(
    name: str,
    *,
    issuer: Holder | None,
    key: Key | None = None,
    roles: Sequence[Role] = (),
    ca: bool = False,
    path_length: int | None = None,
    no_rev_avail: bool = False,
    not_before: datetime = BORN,
    not_after: datetime = BORN + 3650 * DAY,
    usage: Sequence[str] | None = None,
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    name_as: x509.ObjectIdentifier = NameOID.COMMON_NAME,
) -> Holder:
    """What follows ``#`` in a name makes key and serial number differ, and does not stand in the name."""
    own = key or key_named(name)
    subject = x509.Name([x509.NameAttribute(name_as, name.partition("#")[0])])
    flags = usage if usage is not None else ("key_cert_sign", "crl_sign") if ca else ("digital_signature",)
    all_flags = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(own.public_key())
        .serial_number(int.from_bytes(hashlib.sha256(b"serial:" + name.encode()).digest()[:15], "big"))
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca, path_length), critical=True)
        .add_extension(x509.KeyUsage(**{flag: flag in flags for flag in all_flags}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
    )
    if roles:
        policies = x509.CertificatePolicies([x509.PolicyInformation(r.value, None) for r in roles])
        builder = builder.add_extension(policies, critical=False)
    if no_rev_avail:
        builder = builder.add_extension(x509.UnrecognizedExtension(NO_REV_AVAIL, b"\x05\x00"), critical=False)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical=critical)
    signer = issuer.key if issuer else own
    deterministic = True if isinstance(signer, ec.EllipticCurvePrivateKey) else None
    return Holder(builder.sign(signer, hashes.SHA256(), ecdsa_deterministic=deterministic), own)


def make_crl(
    issuer: Holder,
    *,
    revoked: Mapping[int, datetime] | None = None,
    last_update: datetime = SEALED - timedelta(hours=1),
    next_update: datetime = SEALED + timedelta(hours=23),
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    key: Key | None = None,
    algorithm: hashes.HashAlgorithm | None = None,
) -> x509.CertificateRevocationList:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(last_update)
        .next_update(next_update)
        .add_extension(x509.CRLNumber(1), critical=False)
    )
    for serial, when in (revoked or {}).items():
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when).build()
        builder = builder.add_revoked_certificate(entry)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(key or issuer.key, algorithm or hashes.SHA256(), ecdsa_deterministic=True)  # type: ignore[arg-type]


def pem(*parts: Holder | x509.CertificateRevocationList) -> bytes:
    """A trust file."""
    return b"".join((p.certificate if isinstance(p, Holder) else p).public_bytes(Encoding.PEM) for p in parts)


ROOT = certify("VECTORS Root CA", issuer=None, ca=True, path_length=2)
SEAL = certify("VECTORS Seal", issuer=ROOT, roles=[Role.SEAL], no_rev_avail=True)
DEVICE_CA = certify("VECTORS Device CA", issuer=ROOT, ca=True, path_length=0)
DEVICE = certify(str(BINDING), issuer=DEVICE_CA, roles=[Role.DEVICE])
OTHER_DEVICE = certify(str(OTHER_BINDING), issuer=DEVICE_CA, roles=[Role.DEVICE])
ROOT_CRL = make_crl(ROOT, last_update=BORN, next_update=BORN + 3650 * DAY)
DEVICE_CRL = make_crl(DEVICE_CA)
TRUST = pem(ROOT, ROOT_CRL)


def same(text: str) -> str:
    return text


def swap(old: str, new: str, count: int = 1) -> Text:
    """An edit that must find what it edits."""

    def edit(text: str) -> str:
        assert old in text, old
        return text.replace(old, new, count)

    return edit


def canonical(xml: str) -> bytes:
    root = etree.fromstring(xml.encode())
    return etree.tostring(root, method="c14n", exclusive=True, with_comments=False)


def sign(
    shape: xades.Shape,
    data: bytes,
    *,
    signer: Holder,
    chain: Sequence[bytes],
    at: datetime,
    key: Key | None = None,
    certificate: bytes | None = None,
    policy: tuple[str, bytes] | None = None,
    info: Text = same,
    keys: Text = same,
    properties: Text = same,
    value: Callable[[bytes], bytes] = lambda v: v,
) -> str:
    """``<ds:Signature>``; each edit changes one part before it is digested and signed."""
    key = key or signer.key
    properties_text = properties(
        xades.signed_properties(
            shape,
            certificate_digest=xades.sha256(certificate or chain[0]),
            signing_time=at,
            policy=policy,
        ).decode()
    )
    keys_text = keys(xades.key_info(shape, chain=chain).decode())
    info_text = info(
        xades.signed_info(
            shape,
            algorithm=xades.RSA_SHA256 if isinstance(key, rsa.RSAPrivateKey) else xades.ECDSA_SHA256,
            data_digest=xades.sha256(data),
            properties_digest=xades.sha256(canonical(properties_text)),
            key_info_digest=None if shape.key_info_id is None else xades.sha256(canonical(keys_text)),
        ).decode()
    )
    return xades.signature(
        shape,
        info=info_text.encode(),
        value=value(sign_bytes(key, canonical(info_text))),
        keys=keys_text.encode(),
        properties=properties_text.encode(),
    )


def content(**changes: object) -> Content:
    created = SEALED - 60 * SECOND
    good = Content(
        unicode_version="18.0.0",
        transaction_id=UUID("019c0000-0000-7000-8000-000000007a50"),
        kind=Kind.CONSENT_SIGNATURE,
        created_at=created,
        expires_at=created + 300 * SECOND,
        nonce=hashlib.sha256(b"nonce").digest(),
        relying_party=RelyingParty("demo-bank", "Demo Bank"),
        subject="s-5f1d7a",
        locale="en",
        texts=(ShownText("Mortgage", "I borrow € 348.500,00.\nAgreed & <accepted>.", "text/plain"),),
    )
    return replace(good, **changes)  # type: ignore[arg-type]


def device_signature(
    shown: Content,
    *,
    decision: Decision = Decision.APPROVED,
    binding: UUID = BINDING,
    device: Holder = DEVICE,
    above: Sequence[Holder] = (DEVICE_CA,),
    key: Key | None = None,
    at: datetime = SEALED - 20 * SECOND,
) -> UnverifiedSignature:
    """A device's genuine signature over the statement of this content and decision."""
    signature = UnverifiedSignature(
        shape=xades.DEVICE,
        algorithm=xades.ECDSA_SHA256,
        data_digest=xades.sha256(compose(shown, binding_id=binding, decision=decision)),
        key_info_digest=None,
        properties_digest=b"",
        value=b"",
        chain=(device.der, *(h.der for h in above)),
        signing_time=at,
        certificate_digest=xades.sha256(device.der),
        policy=None,
    )
    signature = replace(signature, properties_digest=xades.sha256(signature.properties()))
    return replace(signature, value=sign_bytes(key or device.key, signature.info()))


def model(
    shown: Content | None = None,
    *,
    profile: SignatureProfile = PROFILE,
    decision: Decision = Decision.APPROVED,
    signature: UnverifiedSignature | None = None,
    **changes: object,
) -> Evidence:
    """A good evidence of this content, which the device did sign; ``changes`` come after that."""
    shown = shown or content()
    document = profile.document()
    good = Evidence(
        id=UUID("019c0000-0000-7000-8000-00000000e71d"),
        content=shown,
        binding_id=BINDING,
        decision=decision,
        device_signature=signature or device_signature(shown, decision=decision),
        device_crl=DEVICE_CRL.public_bytes(Encoding.DER),
        transaction_id=shown.transaction_id,
        relying_party_id=shown.relying_party.id,
        external_ref="customer-4711",
        pseudonym=shown.subject,
        attributes=(IdentityAttribute("name", "Zoë Ångström-Şahin"),),
        device_binding_id=BINDING,
        platform="test",
        bound_at=SEALED - 7 * DAY,
        attestation=Attestation("none", "software"),
        acr=profile.acr,
        factors=(FACTORS["swk"], FACTORS["pin"]),
        failed_attempts=0,
        channel="backend",
        profile_id=profile.id,
        profile_digest=profile_digest(document),
        profile_document=document,
        claimed_at=SEALED - 40 * SECOND,
        decided_at=SEALED - 20 * SECOND,
        software="mobileid-gateway vectors",
    )
    return replace(good, **changes)  # type: ignore[arg-type]


def refusal(decision: Decision, **changes: object) -> Evidence:
    """A good evidence of a rejection: the device alone was proven."""
    alone = {"factors": (FACTORS["swk"],), "acr": acr_of((FACTORS["swk"],))}
    return model(decision=decision, **(alone | changes))  # type: ignore[arg-type]


def seal(
    evidence: Evidence,
    *,
    inner: Text = same,
    outer: Text = same,
    signer: Holder = SEAL,
    above: Sequence[Holder] = (),
    at: datetime = SEALED,
    policy: tuple[str, bytes] | None = (xades.POLICY_ID, xades.POLICY_DIGEST),
    **edits: object,
) -> bytes:
    """The sealed document; ``inner`` edits it before the genuine seal, ``outer`` after it."""
    unsealed = inner(compose_unsealed(evidence).decode())
    signature = sign(
        xades.SEAL,
        canonical(unsealed),
        signer=signer,
        chain=[signer.der, *(h.der for h in above)],
        at=at,
        policy=policy,
        **edits,  # type: ignore[arg-type]
    )
    return outer(attach_seal(unsealed.encode(), seal=signature).decode()).encode()
