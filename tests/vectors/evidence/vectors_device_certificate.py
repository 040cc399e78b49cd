"""Vectors about who decided: the device's certificate, its path, role and revocation.

The law: every signature in them is by the key of the certificate that comes with it, unless the name says
otherwise; what is wrong is whose key that is, or whether it was still good.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import forge as f
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from vector import (
    ALGORITHM,
    CHAIN,
    CRYPTO,
    DER,
    EXPIRED,
    FORMAT,
    HASH,
    LATER,
    NO_CERTIFICATE,
    NO_PATH,
    REVOKED,
    SEC,
    SIG,
    TOO_EARLY,
    Vector,
    trust,
)

from gateway.core import xades
from gateway.core.certpath import Role


def device() -> Iterator[Vector]:
    def by(holder: f.Holder, *above: f.Holder, key: f.Key | None = None, **changes: Any) -> bytes:
        signature = f.device_signature(f.content(), device=holder, above=above or (f.DEVICE_CA,), key=key)
        return f.seal(f.model(signature=signature, **changes))

    def issued(name: str, issuer: f.Holder = f.DEVICE_CA, **kinds: Any) -> f.Holder:
        return f.certify(
            f"{f.BINDING}#{name}", issuer=issuer, key=f.DEVICE.key, **({"roles": [Role.DEVICE]} | kinds)
        )

    def crl(holder: f.Holder, **kinds: Any) -> bytes:
        return f.make_crl(holder, **kinds).public_bytes(DER)

    genuine = f.device_signature(f.content())
    swapped = replace(genuine, chain=(f.OTHER_DEVICE.der, f.DEVICE_CA.der))
    bound = replace(swapped, certificate_digest=xades.sha256(f.OTHER_DEVICE.der))
    consistent = replace(bound, properties_digest=xades.sha256(bound.properties()))
    stranger_ca = f.certify("VECTORS Device CA#stranger", issuer=None, ca=True)
    plain_ca = f.certify("VECTORS Plain CA", issuer=f.ROOT, ca=True, usage=("crl_sign",))
    no_crl_ca = f.certify("VECTORS No CRL CA", issuer=f.ROOT, ca=True, usage=("key_cert_sign",))
    seal_ca = f.certify("VECTORS CA for seals", issuer=f.ROOT, ca=True, roles=[Role.SEAL])
    deep_ca = f.certify("VECTORS Deep CA", issuer=f.DEVICE_CA, ca=True)
    revoked_ca = f.certify("VECTORS Revoked CA", issuer=f.ROOT, ca=True)
    unknown = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)
    strange_ca = f.certify("VECTORS Strange CA", issuer=f.ROOT, ca=True, extra=[unknown])
    constrained_ca = f.certify(
        "VECTORS Constrained CA",
        issuer=f.ROOT,
        ca=True,
        extra=[(x509.NameConstraints([x509.DirectoryName(f.ROOT.certificate.subject)], None), True)],
    )
    p384 = f.key_named("p384", ec.SECP384R1())
    for name, data, found, says in (
        ("certificate-swapped", f.seal(f.model(signature=swapped)), NO_CERTIFICATE, "KeyInfo names another"),
        (
            "certificate-swapped-and-bound",
            f.seal(f.model(signature=bound)),
            HASH,
            "another device's certificate is bound after signing",
        ),
        (
            "certificate-swapped-consistently",
            f.seal(f.model(signature=consistent)),
            CRYPTO,
            "another device's certificate, with digests to match",
        ),
        ("other-device", by(f.OTHER_DEVICE), SIG, "another device signed this statement, genuinely"),
        ("other-key", by(f.DEVICE, key=f.key_named("thief")), CRYPTO, "the signature is by another key"),
        (
            "signature-empty",
            f.seal(f.model(signature=replace(genuine, value=b""))),
            CRYPTO,
            "the signature value is empty",
        ),
        (
            "signature-zero",
            f.seal(f.model(signature=replace(genuine, value=bytes(64)))),
            CRYPTO,
            "r and s are zero",
        ),
        (
            "signature-of-another-statement",
            f.seal(f.model(signature=f.device_signature(f.content(nonce=bytes(32))))),
            HASH,
            "a genuine signature of another transaction is replayed",
        ),
        ("self-signed", by(issued("self", None)), NO_PATH, "the certificate is self-signed"),
        (
            "stranger-ca",
            by(issued("stranger", stranger_ca), stranger_ca),
            NO_PATH,
            "a CA of the same name under no anchor issued it",
        ),
        (
            "stranger-ca-hidden",
            by(issued("stranger", stranger_ca)),
            NO_PATH,
            "the genuine CA's certificate stands over a stranger's issue",
        ),
        (
            "issued-by-device",
            by(issued("below", f.OTHER_DEVICE), f.OTHER_DEVICE, f.DEVICE_CA),
            NO_PATH,
            "another device issued the certificate",
        ),
        (
            "issued-below-path-length",
            by(issued("deep", deep_ca), deep_ca, f.DEVICE_CA),
            NO_PATH,
            "path length",
        ),
        ("ca-without-cert-sign", by(issued("plain", plain_ca), plain_ca), NO_PATH, "CA may not issue"),
        ("ca-critical-unknown", by(issued("strange", strange_ca), strange_ca), NO_PATH, "critical unknown"),
        (
            "ca-name-constraints",
            by(issued("constrained", constrained_ca), constrained_ca),
            NO_PATH,
            "the CA may issue for other names only",
        ),
        (
            "critical-unknown",
            by(issued("unknown", extra=[unknown])),
            NO_PATH,
            "the certificate has a critical extension that nobody knows",
        ),
        (
            "ca-for-seals",
            by(issued("seal ca", seal_ca), seal_ca, device_crl=crl(seal_ca)),
            CHAIN,
            "the CA may issue for seals only",
        ),
        (
            "ca-without-crl-sign",
            by(issued("no crl", no_crl_ca), no_crl_ca, device_crl=crl(no_crl_ca)),
            LATER,
            "the CA may not sign CRLs",
        ),
        ("role-seal", by(issued("seal", roles=[Role.SEAL])), CHAIN, "the certificate is for sealing"),
        (
            "role-both",
            by(issued("both", roles=[Role.SEAL, Role.DEVICE])),
            CHAIN,
            "the certificate is for both roles",
        ),
        ("role-none", by(issued("none", roles=[])), CHAIN, "the certificate is for no role"),
        (
            "is-ca",
            by(issued("ca", ca=True, usage=("digital_signature",))),
            CHAIN,
            "the certificate is a CA's",
        ),
        ("key-usage", by(issued("usage", usage=("key_agreement",))), CHAIN, "the key may not sign"),
        (
            "p384",
            by(f.certify(f"{f.BINDING}#p384", issuer=f.DEVICE_CA, key=p384, roles=[Role.DEVICE])),
            ALGORITHM,
            "the key is on P-384",
        ),
        (
            "rsa",
            by(f.certify(f"{f.BINDING}#rsa", issuer=f.DEVICE_CA, key=f.rsa_key(3072), roles=[Role.DEVICE])),
            ALGORITHM,
            "the key is RSA",
        ),
        (
            "certificate-expired",
            by(issued("expired", not_after=f.SEALED - f.DAY)),
            EXPIRED,
            "the certificate had expired when the device signed",
        ),
        (
            "certificate-not-yet-valid",
            by(issued("young", not_before=f.SEALED + f.DAY)),
            TOO_EARLY,
            "the certificate was not valid yet when the device signed",
        ),
        (
            "certificate-garbage",
            f.seal(
                f.model(
                    signature=replace(
                        genuine, chain=(b"garbage",), certificate_digest=xades.sha256(b"garbage")
                    )
                )
            ),
            FORMAT,
            "the certificate is garbage",
        ),
        (
            "chain-garbage",
            f.seal(f.model(signature=replace(genuine, chain=(f.DEVICE.der, b"garbage")))),
            FORMAT,
            "the CA's certificate is garbage",
        ),
        (
            "chain-extra",
            f.seal(f.model(signature=replace(genuine, chain=(f.DEVICE.der, f.SEAL.der, f.DEVICE_CA.der)))),
            NO_PATH,
            "KeyInfo holds a certificate that is not of the path",
        ),
        (
            "chain-missing",
            f.seal(f.model(signature=replace(genuine, chain=(f.DEVICE.der,)))),
            NO_PATH,
            "KeyInfo lacks the device CA",
        ),
        (
            "signing-time-9999",
            f.seal(f.model(signature=f.device_signature(f.content(), at=datetime(9999, 12, 31, tzinfo=UTC)))),
            EXPIRED,
            "the device's clock says 9999",
        ),
    ):
        yield Vector(f"device-{name}", data, found, 7, says)
    yield Vector(
        "device-ca-revoked",
        by(issued("revoked ca", revoked_ca), revoked_ca, device_crl=crl(revoked_ca)),
        REVOKED,
        7,
        "the device CA was revoked before the device signed",
        trust(
            "trust-ca-revoked",
            f.ROOT,
            f.make_crl(
                f.ROOT,
                revoked={revoked_ca.serial: f.BORN + f.DAY},
                last_update=f.BORN + f.DAY,
                next_update=f.BORN + 3650 * f.DAY,
            ),
        ),
    )
    between = issued("between clocks", not_before=f.SEALED - 30 * SEC)
    yield Vector(
        "device-signed-before-validity",
        f.seal(
            f.model(
                signature=f.device_signature(f.content(), device=between, at=f.SEALED - 40 * SEC),
            )
        ),
        SIG,
        7,
        "the certificate became valid after the device signed and before the gateway decided",
    )
    titled = f.certify(
        f"{f.BINDING}#title", issuer=f.DEVICE_CA, key=f.DEVICE.key, roles=[Role.DEVICE], name_as=NameOID.TITLE
    )
    yield Vector("device-name-as-title", by(titled), SIG, 7, "the binding stands as a title, not as a name")
    good = f.seal(f.model())
    yield Vector(
        "device-ca-without-crl",
        good,
        LATER,
        7,
        "no CRL speaks about the device CA",
        trust("trust-without-crl", f.ROOT),
    )
    yield Vector(
        "device-revoked-says-auditor",
        good,
        REVOKED,
        7,
        "a later CRL in the trust file says that the device was revoked before it signed",
        trust(
            "trust-device-revoked",
            f.ROOT,
            f.ROOT_CRL,
            f.make_crl(
                f.DEVICE_CA,
                revoked={f.DEVICE.serial: f.SEALED - f.DAY},
                last_update=f.SEALED + f.DAY,
                next_update=f.SEALED + 2 * f.DAY,
            ),
        ),
    )


def crls() -> Iterator[Vector]:
    def with_crl(der: bytes) -> bytes:
        return f.seal(f.model(device_crl=der))

    def crl(issuer: f.Holder = f.DEVICE_CA, **kinds: Any) -> bytes:
        return with_crl(f.make_crl(issuer, **kinds).public_bytes(DER))

    stranger = f.certify("VECTORS Device CA#stranger", issuer=None, ca=True)
    no_rev = f.certify(
        str(f.BINDING) + "#norev",
        issuer=f.DEVICE_CA,
        key=f.DEVICE.key,
        roles=[Role.DEVICE],
        no_rev_avail=True,
    )
    partial = x509.IssuingDistributionPoint(
        full_name=None,
        relative_name=None,
        only_contains_user_certs=False,
        only_contains_ca_certs=True,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )
    device, before = f.DEVICE.serial, f.SEALED - 25 * SEC
    expired = {"last_update": f.SEALED - 2 * f.DAY, "next_update": f.SEALED - f.DAY}
    for name, data, found, says in (
        ("revoked", crl(revoked={device: f.SEALED - f.DAY}), REVOKED, "revoked a day before"),
        ("revoked-just-before", crl(revoked={device: before}), REVOKED, "revoked seconds before"),
        (
            "revoked-in-partial",
            crl(revoked={device: before}, extra=[(partial, True)]),
            REVOKED,
            "a partial CRL says that it was revoked",
        ),
        ("empty", with_crl(b""), FORMAT, "there is no CRL"),
        ("garbage", with_crl(b"garbage"), FORMAT, "the CRL is garbage"),
        ("truncated", with_crl(f.DEVICE_CRL.public_bytes(DER)[:-1]), FORMAT, "the CRL lacks its last byte"),
        ("certificate", with_crl(f.DEVICE_CA.der), FORMAT, "a certificate stands for the CRL"),
        ("stranger", crl(stranger), LATER, "a stranger of the same name signed the CRL"),
        ("by-device", crl(key=f.DEVICE.key), LATER, "the device signed its own CRL"),
        ("root", crl(f.ROOT), LATER, "it is the root's CRL"),
        ("expired", crl(**expired), LATER, "the CRL had expired when it was sealed"),
        (
            "expires-at-seal",
            crl(next_update=f.SEALED),
            LATER,
            "the CRL expires in the very second of the seal",
        ),
        (
            "not-yet",
            crl(last_update=f.SEALED + 61 * SEC),
            LATER,
            "the CRL is younger than the seal",
        ),
        ("delta", crl(extra=[(x509.DeltaCRLIndicator(1), True)]), LATER, "it is a delta CRL"),
        (
            "delta-not-critical",
            crl(extra=[(x509.DeltaCRLIndicator(1), False)]),
            LATER,
            "it is a delta CRL, and says so by the way",
        ),
        ("partial", crl(extra=[(partial, True)]), LATER, "the CRL is about CAs only"),
        (
            "partial-not-critical",
            crl(extra=[(partial, False)]),
            LATER,
            "the CRL is about CAs only, by the way",
        ),
        ("weak-hash", crl(algorithm=hashes.SHA224()), LATER, "the CRL is signed with SHA-224"),
        (
            "stranger-and-no-rev-avail",
            f.seal(
                f.model(
                    signature=f.device_signature(f.content(), device=no_rev),
                    device_crl=f.make_crl(stranger).public_bytes(DER),
                )
            ),
            LATER,
            "noRevAvail does not make a stranger's CRL good",
        ),
    ):
        yield Vector(f"crl-{name}", data, found, 7, says)
    late = f.device_signature(f.content(), at=f.SEALED - 60 * SEC)
    yield Vector(
        "crl-revoked-between-clocks",
        f.seal(
            f.model(
                signature=late,
                device_crl=f.make_crl(f.DEVICE_CA, revoked={device: before}).public_bytes(DER),
            )
        ),
        REVOKED,
        7,
        "revoked before the gateway took the decision, and after the device's own clock",
    )
