"""The XAdES B-B signatures of this project as fixed canonical strings with holes.

The law: what ``signed_properties`` and ``signed_info`` return equals its exclusive canonical form, so
a device signs without an XML library, the gateway seals without one, and the verifier composes the
same strings again from what it read and compares. Clauses: XML-DSig 1.1 section 4, ETSI EN 319 132-1
sections 5 and 6 (SigningTime, SigningCertificateV2, SignaturePolicyIdentifier, DataObjectFormat).
Verifying is left to ``xmldsig`` and ``verifier``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.core.canonical import b64, element, leaf
from gateway.core.model import format_time
from gateway.core.statement import STATEMENT_ID

DS: Final = "http://www.w3.org/2000/09/xmldsig#"
XADES: Final = "http://uri.etsi.org/01903/v1.3.2#"
EXCLUSIVE: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED: Final = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
SHA256: Final = "http://www.w3.org/2001/04/xmlenc#sha256"
ECDSA_SHA256: Final = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
RSA_SHA256: Final = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
SIGNATURE_ALGORITHMS: Final = frozenset({ECDSA_SHA256, RSA_SHA256})
SIGNED_PROPERTIES_TYPE: Final = "http://uri.etsi.org/01903#SignedProperties"

POLICY_ID: Final = "http://mobileid-gateway.example/policy/seal/1"
"""Identifies the seal's policy document, ``schemas/seal-policy-1.txt``; a name, not an address."""
POLICY_DIGEST: Final = bytes.fromhex("0ad2b7195e34ccc55fd819e7ff30abaa7a65227341d44fd20d850abca9fc7f1b")
"""SHA-256 of the policy document."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The names of one kind of signature: every Id is unique in the whole document."""

    signature_id: str
    properties_id: str
    key_info_id: str | None
    """Where KeyInfo is signed too."""
    data_id: str
    """Id of the first Reference."""
    data_uri: str
    """What the first Reference points at."""
    transforms: tuple[str, ...]
    has_policy: bool


DEVICE: Final = Shape(
    signature_id="DeviceSignature",
    properties_id="DeviceSignedProperties",
    key_info_id=None,
    data_id="DeviceSignature-Statement",
    data_uri=f"#{STATEMENT_ID}",
    transforms=(EXCLUSIVE,),
    has_policy=False,
)
SEAL: Final = Shape(
    signature_id="Seal",
    properties_id="SealSignedProperties",
    key_info_id="SealKeyInfo",
    data_id="Seal-Evidence",
    data_uri="",
    transforms=(ENVELOPED, EXCLUSIVE),
    has_policy=True,
)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _digest(digest: bytes) -> str:
    return element("ds:DigestMethod", xmlns_ds=DS, Algorithm=SHA256) + leaf(
        "ds:DigestValue", b64(digest), xmlns_ds=DS
    )


def signed_properties(
    shape: Shape, *, certificate_digest: bytes, signing_time: datetime, policy: tuple[str, bytes] | None
) -> bytes:
    """``<xades:SignedProperties>``; ``policy`` is (identifier, SHA-256) where the shape has one."""
    policy_identifier = (
        []
        if policy is None
        else [
            element(
                "xades:SignaturePolicyIdentifier",
                element(
                    "xades:SignaturePolicyId",
                    element("xades:SigPolicyId", leaf("xades:Identifier", policy[0])),
                    element("xades:SigPolicyHash", _digest(policy[1])),
                ),
            )
        ]
    )
    return element(
        "xades:SignedProperties",
        element(
            "xades:SignedSignatureProperties",
            leaf("xades:SigningTime", format_time(signing_time)),
            element(
                "xades:SigningCertificateV2",
                element("xades:Cert", element("xades:CertDigest", _digest(certificate_digest))),
            ),
            *policy_identifier,
        ),
        element(
            "xades:SignedDataObjectProperties",
            element(
                "xades:DataObjectFormat",
                leaf("xades:MimeType", "text/xml"),
                ObjectReference=f"#{shape.data_id}",
            ),
        ),
        xmlns_xades=XADES,
        Id=shape.properties_id,
    ).encode()


def signed_info(
    shape: Shape,
    *,
    algorithm: str,
    data_digest: bytes,
    properties_digest: bytes,
    key_info_digest: bytes | None = None,
) -> bytes:
    """``<ds:SignedInfo>``: the bytes that are signed."""
    references = [_reference(data_digest, shape.transforms, Id=shape.data_id, URI=shape.data_uri)]
    if key_info_digest is not None:
        references.append(_reference(key_info_digest, (EXCLUSIVE,), URI=f"#{shape.key_info_id}"))
    references.append(
        _reference(
            properties_digest, (EXCLUSIVE,), Type=SIGNED_PROPERTIES_TYPE, URI=f"#{shape.properties_id}"
        )
    )
    return element(
        "ds:SignedInfo",
        element("ds:CanonicalizationMethod", Algorithm=EXCLUSIVE),
        element("ds:SignatureMethod", Algorithm=algorithm),
        *references,
        xmlns_ds=DS,
    ).encode()


def _reference(digest: bytes, transforms: Sequence[str], **attributes: str) -> str:
    return element(
        "ds:Reference",
        element("ds:Transforms", *(element("ds:Transform", Algorithm=t) for t in transforms)),
        element("ds:DigestMethod", Algorithm=SHA256),
        leaf("ds:DigestValue", b64(digest)),
        **attributes,
    )


def key_info(shape: Shape, *, chain: Sequence[bytes]) -> bytes:
    """``<ds:KeyInfo>`` with the DER certificates of the chain, the signer's first."""
    named = {} if shape.key_info_id is None else {"Id": shape.key_info_id}
    return element(
        "ds:KeyInfo",
        element("ds:X509Data", *(leaf("ds:X509Certificate", b64(der)) for der in chain)),
        xmlns_ds=DS,
        **named,
    ).encode()


def signature(shape: Shape, *, info: bytes, value: bytes, keys: bytes, properties: bytes) -> str:
    """``<ds:Signature>`` of finished parts, in the canonical form that it has inside a document."""
    inner = (
        _inside(info)
        + leaf("ds:SignatureValue", b64(value))
        + _inside(keys)
        + element(
            "ds:Object",
            element(
                "xades:QualifyingProperties",
                _inside(properties, XADES),
                xmlns_xades=XADES,
                Target=f"#{shape.signature_id}",
            ),
        )
    )
    return element("ds:Signature", inner, xmlns_ds=DS, Id=shape.signature_id)


def _inside(part: bytes, *namespaces: str) -> str:
    """A standalone canonical string without the declarations that its new ancestors make."""
    text = part.decode().replace(f' xmlns:ds="{DS}"', "")
    for namespace in namespaces:
        text = text.replace(f' xmlns:xades="{namespace}"', "")
    return text


def device_signed_properties(*, certificate: bytes, signing_time: datetime) -> bytes:
    """The SignedProperties of a device's signature under its DER certificate."""
    return signed_properties(
        DEVICE, certificate_digest=sha256(certificate), signing_time=signing_time, policy=None
    )


def device_signed_info(statement: bytes, *, certificate: bytes, signing_time: datetime) -> bytes:
    """What a device signs (ECDSA P-256 SHA-256) for a statement: the SignedInfo of its signature."""
    return signed_info(
        DEVICE,
        algorithm=ECDSA_SHA256,
        data_digest=sha256(statement),
        properties_digest=sha256(
            device_signed_properties(certificate=certificate, signing_time=signing_time)
        ),
    )
