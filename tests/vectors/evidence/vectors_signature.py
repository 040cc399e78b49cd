"""Vectors about how the two signatures are built.

The law: the signature value is genuine over the structure that the vector has, so that a verifier that
computes what it finds would accept; only one that knows what must stand there refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import forge as f
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from vector import (
    ALGORITHM,
    CRYPTO,
    FORMAT,
    HASH,
    NO_CERTIFICATE,
    NO_PATH,
    NO_POLICY,
    POLICY,
    SEC,
    Vector,
)

from gateway.core import xades
from gateway.core.canonical import b64
from gateway.core.model import Decision
from gateway.core.statement import compose


def seal() -> Iterator[Vector]:
    def edited(**edits: Any) -> bytes:
        return f.seal(f.model(), **edits)

    def policy(name: str, digest: bytes) -> bytes:
        return edited(policy=(name, digest))

    sha512 = "http://www.w3.org/2001/04/xmlenc#sha512"
    sha1 = "http://www.w3.org/2000/09/xmldsig#sha1"
    inclusive = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
    root_transforms = f'<ds:Transform Algorithm="{xades.ENVELOPED}"></ds:Transform>'
    last = f'<ds:Transform Algorithm="{xades.EXCLUSIVE}"></ds:Transform></ds:Transforms>'

    def transform(algorithm: str, content: str = "") -> bytes:
        added = f'<ds:Transform Algorithm="{algorithm}">{content}</ds:Transform>'
        return edited(info=f.swap(root_transforms, root_transforms + added))

    added = (
        '<ds:Reference URI="#Statement"><ds:Transforms>' + last + "<ds:DigestMethod "
        f'Algorithm="{xades.SHA256}"></ds:DigestMethod><ds:DigestValue>{b64(bytes(32))}</ds:DigestValue>'
        "</ds:Reference>"
    )

    def without_properties(info: str) -> str:
        start = info.index('<ds:Reference Type="')
        return info[:start] + info[info.index("</ds:SignedInfo>") :]

    def without_root(info: str) -> str:
        start = info.index("<ds:Reference Id=")
        return info[:start] + info[info.index("</ds:Reference>") + len("</ds:Reference>") :]

    def cut(start: str, end: str) -> f.Text:
        def edit(text: str) -> str:
            return text[: text.index(start)] + text[text.index(end) + len(end) :]

        return edit

    xpath = '<ds:XPath>not(ancestor-or-self::*[local-name()="Channel"])</ds:XPath>'
    keyvalue = (
        "<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>AQAB</ds:Modulus><ds:Exponent>AQAB</ds:Exponent>"
        "</ds:RSAKeyValue></ds:KeyValue>"
    )
    retrieval = '<ds:RetrievalMethod URI="http://attacker.example/key"></ds:RetrievalMethod>'
    info_tail, ds = "</ds:SignedInfo>", f' xmlns:ds="{xades.DS}"'
    c14n_inclusive = f.swap(f'Method Algorithm="{xades.EXCLUSIVE}"', f'Method Algorithm="{inclusive}"')
    prefix_list = (
        f'<ec:InclusiveNamespaces xmlns:ec="{xades.EXCLUSIVE}" PrefixList="ev"></ec:InclusiveNamespaces>'
    )
    for name, data, found, step, says in (
        (
            "without-policy",
            edited(policy=None),
            NO_POLICY,
            1,
            "the seal names no policy",
        ),
        (
            "policy-implied",
            edited(
                properties=lambda p: cut("<xades:SignaturePolicyId>", "</xades:SignaturePolicyId>")(
                    p
                ).replace(
                    "<xades:SignaturePolicyIdentifier>",
                    "<xades:SignaturePolicyIdentifier><xades:SignaturePolicyImplied>"
                    "</xades:SignaturePolicyImplied>",
                )
            ),
            FORMAT,
            1,
            "the policy is implied",
        ),
        (
            "policy-unknown",
            policy("http://mobileid-gateway.example/policy/seal/0", xades.POLICY_DIGEST),
            POLICY,
            2,
            "an unknown policy",
        ),
        ("policy-wrong-hash", policy(xades.POLICY_ID, bytes(32)), POLICY, 2, "another text of the policy"),
        (
            "digest-sha512",
            edited(info=f.swap(xades.SHA256, sha512)),
            ALGORITHM,
            1,
            "the digest algorithm is SHA-512",
        ),
        (
            "digest-sha1",
            edited(info=f.swap(xades.SHA256, sha1)),
            ALGORITHM,
            1,
            "the digest algorithm is SHA-1",
        ),
        (
            "signature-sha1",
            edited(info=f.swap(xades.ECDSA_SHA256, f"{xades.DS}rsa-sha1")),
            ALGORITHM,
            1,
            "the signature algorithm is RSA with SHA-1",
        ),
        (
            "signature-hmac",
            edited(info=f.swap(xades.ECDSA_SHA256, "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256")),
            ALGORITHM,
            1,
            "the signature algorithm is a MAC",
        ),
        (
            "signature-rsa-named",
            edited(info=f.swap(xades.ECDSA_SHA256, xades.RSA_SHA256)),
            CRYPTO,
            5,
            "RSA is named where the key is on P-256",
        ),
        ("c14n-inclusive", edited(info=c14n_inclusive), ALGORITHM, 1, "SignedInfo by inclusive C14N"),
        (
            "c14n-with-comments",
            edited(info=f.swap(f'{xades.EXCLUSIVE}"', f'{xades.EXCLUSIVE}WithComments"')),
            ALGORITHM,
            1,
            "SignedInfo by C14N with comments",
        ),
        (
            "c14n-inclusive-namespaces",
            edited(info=f.swap(f'"{xades.EXCLUSIVE}">', f'"{xades.EXCLUSIVE}">{prefix_list}')),
            FORMAT,
            1,
            "C14N with a prefix list",
        ),
        (
            "transform-inclusive",
            edited(info=f.swap(last, last.replace(xades.EXCLUSIVE, inclusive))),
            FORMAT,
            1,
            "the document by inclusive C14N",
        ),
        (
            "transform-xpath",
            transform("http://www.w3.org/TR/1999/REC-xpath-19991116", xpath),
            FORMAT,
            1,
            "XPath",
        ),
        ("transform-xslt", transform("http://www.w3.org/TR/1999/REC-xslt-19991116"), FORMAT, 1, "XSLT"),
        ("transform-base64", transform(f"{xades.DS}base64"), FORMAT, 1, "base64"),
        ("transform-unknown", transform("urn:unknown"), FORMAT, 1, "an unknown transform"),
        (
            "transform-missing",
            edited(info=f.swap(root_transforms, "")),
            FORMAT,
            1,
            "the seal is not taken out of what it signs",
        ),
        (
            "reference-added",
            edited(info=f.swap(info_tail, added + info_tail)),
            FORMAT,
            1,
            "a Reference too many",
        ),
        ("reference-missing-properties", edited(info=without_properties), FORMAT, 1, "properties not signed"),
        ("reference-missing-root", edited(info=without_root), FORMAT, 1, "the document is not signed"),
        (
            "reference-to-statement",
            edited(info=f.swap('URI=""', 'URI="#Statement"')),
            FORMAT,
            1,
            "the seal covers the statement only",
        ),
        (
            "reference-external",
            edited(info=f.swap('URI=""', 'URI="http://attacker.example/"')),
            FORMAT,
            1,
            "the seal covers another document",
        ),
        (
            "reference-without-uri",
            edited(info=f.swap(' URI=""', "")),
            FORMAT,
            1,
            "a Reference points at what the application knows",
        ),
        (
            "reference-to-device-properties",
            edited(info=f.swap(f'URI="#{xades.SEAL.properties_id}"', f'URI="#{xades.DEVICE.properties_id}"')),
            FORMAT,
            1,
            "the seal signs the device's properties",
        ),
        (
            "reference-type",
            edited(info=f.swap(xades.SIGNED_PROPERTIES_TYPE, f"{xades.DS}Object")),
            FORMAT,
            1,
            "the Reference to the properties has another type",
        ),
        (
            "reference-manifest",
            edited(info=f.swap(' URI=""', f' Type="{xades.DS}Manifest" URI=""')),
            FORMAT,
            1,
            "the document is signed as a manifest",
        ),
        ("value-empty", edited(value=lambda v: b""), CRYPTO, 5, "the signature value is empty"),
        ("value-zero", edited(value=lambda v: bytes(64)), CRYPTO, 5, "r and s are zero"),
        ("value-long", edited(value=lambda v: v + b"\0"), CRYPTO, 5, "a byte follows the signature"),
        ("value-der", edited(value=_der), CRYPTO, 5, "the signature is in DER"),
        (
            "key-value",
            edited(keys=f.swap("<ds:X509Data>", keyvalue + "<ds:X509Data>")),
            FORMAT,
            1,
            "a bare key",
        ),
        (
            "key-value-only",
            edited(
                keys=lambda k: cut("<ds:X509Data>", "</ds:X509Data>")(k).replace(
                    "></ds:KeyInfo>", f">{keyvalue}</ds:KeyInfo>"
                )
            ),
            FORMAT,
            1,
            "a bare key instead of a certificate",
        ),
        (
            "retrieval-method",
            edited(keys=f.swap("<ds:X509Data>", retrieval + "<ds:X509Data>")),
            FORMAT,
            1,
            "the key is to be fetched",
        ),
        (
            "key-name",
            edited(keys=f.swap("<ds:X509Data>", "<ds:KeyName>seal</ds:KeyName><ds:X509Data>")),
            FORMAT,
            1,
            "a key's name",
        ),
        (
            "x509-data-twice",
            edited(keys=lambda k: k.replace("</ds:X509Data>", "</ds:X509Data><ds:X509Data></ds:X509Data>")),
            FORMAT,
            1,
            "X509Data stands twice",
        ),
        (
            "x509-data-empty",
            edited(keys=cut("<ds:X509Certificate>", "</ds:X509Certificate>")),
            FORMAT,
            1,
            "no certificate",
        ),
        (
            "too-many-certificates",
            edited(above=[f.ROOT] * 4),
            FORMAT,
            1,
            "five certificates",
        ),
        ("key-info-grown", edited(outer=_certificate_added), NO_PATH, 4, "KeyInfo grew after sealing"),
        ("root-added-to-key-info", edited(outer=_root_added), HASH, 5, "the anchor was added after sealing"),
        (
            "signing-certificate-absent",
            edited(properties=cut("<xades:SigningCertificateV2>", "</xades:SigningCertificateV2>")),
            NO_CERTIFICATE,
            1,
            "the seal binds no certificate",
        ),
        (
            "signing-time-absent",
            edited(properties=cut("<xades:SigningTime>", "</xades:SigningTime>")),
            FORMAT,
            1,
            "the seal has no time",
        ),
        (
            "signing-time-with-zone",
            edited(properties=f.swap("09:30:00Z", "09:30:00+00:00")),
            FORMAT,
            1,
            "the seal's time is in another spelling",
        ),
        (
            "signing-time-changed",
            edited(outer=f.swap("T09:30:00Z</xades", "T09:30:01Z</xades")),
            HASH,
            5,
            "the seal's time was changed after sealing",
        ),
        (
            "unsigned-properties",
            edited(
                outer=lambda d: d[::-1].replace(
                    "</xades:SignedProperties>"[::-1],
                    ("</xades:SignedProperties><xades:UnsignedProperties></xades:UnsignedProperties>")[::-1],
                    1,
                )[::-1]
            ),
            FORMAT,
            1,
            "unsigned properties were added",
        ),
        (
            "object-added",
            edited(outer=_before_last("</ds:Signature>", "<ds:Object></ds:Object>")),
            FORMAT,
            1,
            "an Object was added",
        ),
        (
            "qualifying-target",
            edited(outer=f.swap('Target="#Seal"', 'Target="#DeviceSignature"')),
            FORMAT,
            1,
            "the properties qualify another signature",
        ),
        (
            "id-changed",
            edited(outer=f.swap(' Id="Seal"', ' Id="Other"')),
            FORMAT,
            1,
            "the seal has another Id",
        ),
        (
            "namespace-prefix",
            edited(outer=_other_prefix),
            FORMAT,
            1,
            "the seal's namespace has another prefix",
        ),
        (
            "extra-attribute",
            edited(info=f.swap(f"<ds:SignedInfo{ds}", f'<ds:SignedInfo{ds} Id="Info"')),
            FORMAT,
            1,
            "SignedInfo has an Id",
        ),
    ):
        yield Vector(f"seal-{name}", data, found, step, says)


def device() -> Iterator[Vector]:
    """The device's signature, genuinely signed by the device in a shape that no device has."""
    good = f.device_signature(f.content()).xml()

    def edited(**edits: Any) -> bytes:
        other = f.sign(
            xades.DEVICE,
            compose(f.content(), binding_id=f.BINDING, decision=Decision.APPROVED),
            signer=f.DEVICE,
            chain=[f.DEVICE.der, f.DEVICE_CA.der],
            at=f.SEALED - 20 * SEC,
            **edits,
        )
        return f.seal(f.model(), inner=f.swap(good, other))

    exclusive = f'<ds:Transform Algorithm="{xades.EXCLUSIVE}"></ds:Transform>'
    xpath = (
        '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>true()</ds:XPath>'
        "</ds:Transform>"
    )
    policy = (xades.POLICY_ID, xades.POLICY_DIGEST)
    for name, data, found, says in (
        ("transform-xpath", edited(info=f.swap(exclusive, xpath + exclusive)), FORMAT, "an XPath transform"),
        ("transform-missing", edited(info=f.swap(exclusive, "")), FORMAT, "no transform"),
        ("reference-to-root", edited(info=f.swap("#Statement", "")), FORMAT, "the root is signed"),
        (
            "reference-to-seal",
            edited(info=f.swap('URI="#Statement"', 'URI="#SealSignedProperties"')),
            FORMAT,
            "the seal's properties are signed instead of the statement",
        ),
        ("digest-sha1", edited(info=f.swap(xades.SHA256, f"{xades.DS}sha1")), ALGORITHM, "a SHA-1 digest"),
        (
            "signature-hmac",
            edited(info=f.swap("#ecdsa-sha256", "#hmac-sha256")),
            ALGORITHM,
            "a MAC instead of a signature",
        ),
        ("with-policy", edited(policy=policy), FORMAT, "a signature policy, which devices do not know"),
        ("id-of-seal", edited(properties=f.swap("DeviceSigned", "SealSigned")), FORMAT, "the seal's Id"),
    ):
        yield Vector(f"device-{name}", data, found, 1, says)


def _der(value: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(value[:32]), int.from_bytes(value[32:]))


def _before_last(tag: str, added: str) -> f.Text:
    return lambda text: added.join((text[: text.rindex(tag)], text[text.rindex(tag) :]))


def _root_added(text: str) -> str:
    certificate = f"<ds:X509Certificate>{b64(f.ROOT.der)}</ds:X509Certificate>"
    return _before_last("</ds:X509Data>", certificate)(text)


def _certificate_added(text: str) -> str:
    certificate = f"<ds:X509Certificate>{b64(f.DEVICE.der)}</ds:X509Certificate>"
    return _before_last("</ds:X509Data>", certificate)(text)


def _other_prefix(text: str) -> str:
    start = text.rindex("<ds:Signature ")
    seal = text[start:].replace("ds:", "dsig:").replace("xmlns:ds=", "xmlns:dsig=")
    return text[:start] + seal
