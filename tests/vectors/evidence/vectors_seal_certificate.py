"""Vectors about who sealed: the seal's certificate, its path, role and revocation.

The law: every signature in them is by the key of the certificate that comes with it, unless the name says
otherwise; what is wrong is whose key that is, or whether it was still good.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import forge as f
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from vector import (
    ALGORITHM,
    CHAIN,
    CRYPTO,
    EXPIRED,
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

from gateway.core.certpath import NO_REV_AVAIL, Role


def seal() -> Iterator[Vector]:
    def by(holder: f.Holder, *above: f.Holder, **kinds: Any) -> bytes:
        return f.seal(f.model(), signer=holder, above=above, **kinds)

    def issued(name: str, issuer: f.Holder | None = f.ROOT, **kinds: Any) -> f.Holder:
        kinds = {"roles": [Role.SEAL], "no_rev_avail": True} | kinds
        return f.certify(f"VECTORS Seal#{name}", issuer=issuer, **kinds)

    no_rev = (x509.UnrecognizedExtension(NO_REV_AVAIL, b"\x05\x00"), False)
    stranger = f.certify("VECTORS Root CA#stranger", issuer=None, ca=True)
    timestamps = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), False)
    ocsp = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False)
    unknown = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)
    deep = f.certify("VECTORS Seal CA#deep", issuer=f.ROOT, ca=True, path_length=0, roles=[Role.SEAL])
    deeper = f.certify("VECTORS Seal CA#deeper", issuer=deep, ca=True, roles=[Role.SEAL])
    for_devices = f.certify("VECTORS CA for devices", issuer=f.ROOT, ca=True, roles=[Role.DEVICE])
    listed = issued("listed", no_rev_avail=False)
    expired = issued("expired", not_after=f.SEALED + f.DAY)
    p384 = f.key_named("seal p384", ec.SECP384R1())
    short = f.rsa_key(2048)
    self_signed = issued("self", None)
    root_as_seal = f.certify(
        "VECTORS Root Seal", issuer=None, ca=True, roles=[Role.SEAL], usage=("digital_signature",)
    )
    not_ca = issued("not a CA")
    revoking = f.make_crl(
        f.ROOT,
        revoked={f.SEAL.serial: f.SEALED - f.DAY},
        last_update=f.SEALED - f.DAY,
        next_update=f.SEALED + 30 * f.DAY,
    )
    revoked_once = f.make_crl(
        f.ROOT,
        revoked={f.SEAL.serial: f.SEALED - f.DAY},
        last_update=f.SEALED - f.DAY,
        next_update=f.SEALED + f.DAY,
    )
    strange_crl = f.make_crl(stranger, last_update=f.BORN, next_update=f.BORN + 3650 * f.DAY)
    forgetful = f.make_crl(f.ROOT, last_update=f.BORN, next_update=f.SEALED + f.DAY)
    crl = f.ROOT_CRL
    for name, data, found, step, says, by_trust in (
        (
            "by-device-key",
            by(f.DEVICE, f.DEVICE_CA),
            CHAIN,
            2,
            "a device's key sealed, under the anchor",
            "trust",
        ),
        ("role-both", by(issued("both", roles=[Role.SEAL, Role.DEVICE])), CHAIN, 2, "both roles", "trust"),
        (
            "role-none",
            by(issued("none", roles=[], extra=[no_rev], no_rev_avail=False)),
            CHAIN,
            2,
            "no role",
            "trust",
        ),
        ("for-time-stamps", by(issued("tsa", extra=[timestamps])), CHAIN, 2, "for time-stamps too", "trust"),
        ("for-ocsp", by(issued("ocsp", extra=[ocsp])), CHAIN, 2, "for OCSP answers too", "trust"),
        (
            "key-usage",
            by(issued("usage", usage=("key_agreement",))),
            CHAIN,
            2,
            "the key may not sign",
            "trust",
        ),
        ("by-ca", by(issued("ca", ca=True, usage=("digital_signature",))), CHAIN, 2, "a CA sealed", "trust"),
        ("by-anchor", by(f.ROOT), CHAIN, 2, "the anchor itself sealed", "trust"),
        (
            "by-anchor-for-sealing",
            by(root_as_seal),
            CHAIN,
            2,
            "an anchor with the role of a seal sealed",
            trust("trust-root-seal", root_as_seal, f.ROOT, crl),
        ),
        (
            "is-anchor",
            by(f.SEAL),
            CHAIN,
            4,
            "the seal's own certificate is an anchor, so that nothing can revoke it",
            trust("trust-seal-anchor", f.SEAL, f.ROOT, crl),
        ),
        (
            "self-signed-anchor",
            by(self_signed),
            CHAIN,
            4,
            "the seal's self-signed certificate is an anchor",
            trust("trust-self-signed", self_signed, f.ROOT, crl),
        ),
        ("self-signed", by(self_signed), NO_PATH, 4, "the certificate is self-signed", "trust"),
        (
            "stranger",
            by(issued("strange", stranger), stranger),
            NO_PATH,
            4,
            "a root of the same name",
            "trust",
        ),
        ("stranger-hidden", by(issued("strange", stranger)), NO_PATH, 4, "a root of the same name", "trust"),
        (
            "issued-by-seal",
            by(issued("below", not_ca), not_ca),
            NO_PATH,
            4,
            "a seal's key issued the certificate",
            "trust",
        ),
        (
            "issued-below-path-length",
            by(issued("deep", deeper), deeper, deep),
            NO_PATH,
            4,
            "the path is longer than a CA allows",
            "trust",
        ),
        ("critical-unknown", by(issued("unknown", extra=[unknown])), NO_PATH, 4, "critical unknown", "trust"),
        (
            "ca-for-devices",
            by(issued("d", for_devices), for_devices),
            CHAIN,
            4,
            "the CA is for devices",
            "trust",
        ),
        ("chain-extra", by(f.SEAL, f.DEVICE), NO_PATH, 4, "KeyInfo holds a stranger to the path", "trust"),
        ("p384", by(issued("p384", key=p384)), ALGORITHM, 2, "the key is on P-384", "trust"),
        ("rsa-2048", by(issued("rsa", key=short)), ALGORITHM, 2, "the key is RSA with 2048 bits", "trust"),
        ("expired", by(expired), EXPIRED, 4, "the certificate has expired when judged", "trust"),
        (
            "sealed-after-expiry",
            by(issued("dead", not_after=f.SEALED - f.DAY)),
            SIG,
            3,
            "it had expired when it sealed",
            "trust",
        ),
        (
            "sealed-before-validity",
            by(issued("unborn", not_before=f.SEALED + f.DAY)),
            SIG,
            3,
            "it was not valid yet when it sealed",
            "trust",
        ),
        (
            "revoked",
            by(f.SEAL),
            REVOKED,
            4,
            "a CRL says revoked",
            trust("trust-seal-revoked", f.ROOT, revoking),
        ),
        (
            "revoked-in-expired-crl",
            by(f.SEAL),
            REVOKED,
            4,
            "an expired CRL said revoked, and noRevAvail does not undo it",
            trust("trust-seal-revoked-once", f.ROOT, revoked_once, crl),
        ),
        ("no-answer", by(listed), LATER, 4, "neither CRL nor noRevAvail speaks", "trust-without-crl"),
        (
            "crl-stranger",
            by(listed),
            LATER,
            4,
            "a root of the same name signed the CRL",
            trust("trust-stranger-crl", f.ROOT, strange_crl),
        ),
        (
            "crl-expired",
            by(listed),
            LATER,
            4,
            "the CRL has expired when judged",
            trust("trust-expired-crl", f.ROOT, forgetful),
        ),
        (
            "other-anchor",
            by(f.SEAL),
            NO_PATH,
            4,
            "another anchor of the same name",
            trust("trust-stranger", stranger),
        ),
        (
            "signed-by-other-key",
            by(f.SEAL, key=f.key_named("thief")),
            CRYPTO,
            5,
            "the seal is by another key",
            "trust",
        ),
        (
            "certificate-not-bound",
            by(f.SEAL, certificate=f.DEVICE.der),
            NO_CERTIFICATE,
            2,
            "the seal binds another certificate",
            "trust",
        ),
    ):
        yield Vector(f"seal-{name}", data, found, step, says, by_trust)
    from_device_ca = issued("from device CA", f.DEVICE_CA)
    yield Vector(
        "seal-from-device-ca",
        by(from_device_ca, f.DEVICE_CA),
        CHAIN,
        7,
        "the device CA, which the gateway holds, issued the seal's certificate",
    )
    yield Vector(
        "seal-from-device-ca-anchor",
        by(from_device_ca, f.DEVICE_CA),
        CHAIN,
        7,
        "the same, and the auditor takes the device CA for an anchor",
        trust("trust-device-ca", f.ROOT, f.ROOT_CRL, f.DEVICE_CA),
    )
    yield Vector(
        "seal-certificate-not-yet-valid",
        by(issued("young", not_before=f.SEALED - SEC)),
        TOO_EARLY,
        4,
        "it is judged before the certificate is valid",
        at=f.SEALED - 2 * SEC,
    )
