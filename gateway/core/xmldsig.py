"""Documents read strictly, and the one engine for XML-DSig and XAdES signatures.

The law: bytes are parsed once (``xmlparse``), within a size; a signature is read into values by exact
position, and its XML is then exactly what those values compose to (``xades``), so that no transform,
reference, attribute or wrapper that nobody asked for can be in it; digests and signature are computed
over the composed bytes. Clauses: XML-DSig 1.1 sections 3.2 and 4, EN 319 132-1. What a signature means is
left to ``verifier``.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar
from xml.sax.saxutils import quoteattr

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from lxml import etree

from gateway.core import certpath, xades, xmlparse
from gateway.core.canonical import unb64
from gateway.core.conclusion import Finding, SubIndication
from gateway.core.errors import UnreadableDocument
from gateway.core.keys import SignatureInvalid
from gateway.core.model import parse_time
from gateway.core.xmlparse import apart

MAX_DOCUMENT_BYTES: Final = 4 * 1024 * 1024
MAX_CHAIN: Final = 4
MAX_CERTIFICATE: Final = 16 * 1024
"""Bytes of one certificate: reading its names and extensions costs a thousand times its size."""
_ENCODINGS: Final = frozenset({"utf-8", "ascii", "us-ascii"})
_T = TypeVar("_T")
_DS: Final = f"{{{xades.DS}}}"
_XADES: Final = f"{{{xades.XADES}}}"


class Node:
    """An element of a parsed document, read strictly from front to back."""

    __slots__ = ("_children", "_element", "_next")

    def __init__(self, element: Any) -> None:
        self._element = element
        self._children = list(element)
        self._next = 0

    @property
    def tag(self) -> str:
        return str(self._element.tag)

    def attribute(self, name: str) -> str:
        value = self._element.get(name)
        if value is None:
            raise Finding(SubIndication.FORMAT_FAILURE, f"{self._local()} has no attribute {name}")
        return str(value)

    def peek(self) -> str | None:
        """The next child's tag."""
        return str(self._children[self._next].tag) if self._next < len(self._children) else None

    def _take(self, tag: str) -> Any:
        if self.peek() != tag:
            wanted = tag.rpartition("}")[2]
            raise Finding(SubIndication.FORMAT_FAILURE, f"{self._local()}: {wanted} is not in its place")
        self._next += 1
        return self._children[self._next - 1]

    def child(self, tag: str) -> Node:
        """The next child, which must have this tag."""
        return Node(self._take(tag))

    def each(self, tag: str) -> Iterator[Node]:
        """The next children as long as they have this tag."""
        while self.peek() == tag:
            yield self.child(tag)

    def text(self, tag: str) -> str:
        """The next child's text."""
        return _only_text(self._take(tag))

    def data(self, tag: str) -> bytes:
        """The bytes of the next child's base64."""
        return self.convert(tag, unb64)

    def time(self, tag: str) -> datetime:
        return self.convert(tag, parse_time)

    def convert(self, tag: str, kind: Callable[[str], _T]) -> _T:
        """The next child's text through a function that raises ValueError."""
        value = self.text(tag)
        try:
            return kind(value)
        except ValueError as error:
            name = tag.rpartition("}")[2]
            raise Finding(SubIndication.FORMAT_FAILURE, f"{name} has no value of its kind") from error

    def content(self) -> str:
        return _only_text(self._element)

    def get(self, name: str) -> str | None:
        value = self._element.get(name)
        return None if value is None else str(value)

    def attributes(self) -> frozenset[str]:
        return frozenset(map(str, self._element.attrib))

    def end(self) -> None:
        """Raises Finding where a child is left."""
        if self.peek() is not None:
            raise Finding(SubIndication.FORMAT_FAILURE, f"{self._local()} holds more than it may")

    def canonical(self, prefixes: Sequence[str] = ()) -> bytes:
        """Exclusive XML Canonicalization 1.0 without comments; ``prefixes`` is the PrefixList."""
        return canonical_forms([(self._element, prefixes)])[0]

    def _local(self) -> str:
        return self.tag.rpartition("}")[2]


def canonical_forms(parts: Sequence[tuple[Any, Sequence[str]]]) -> list[bytes]:
    """``Node.canonical`` of several elements, each with its PrefixList; raises Finding."""
    known = sorted({prefix for _, prefixes in parts for prefix in prefixes})

    def forms() -> list[bytes]:
        if known:
            # lxml leaves out in silence what no document of this thread has held yet; so now one holds each
            # of them. The thread ends: who sends them must not fill one that stays.
            declared = (f"xmlns:p{number}={quoteattr(prefix)}" for number, prefix in enumerate(known))
            etree.fromstring(f"<known {' '.join(declared)}/>")
        return [_c14n(element, prefixes) for element, prefixes in parts]

    try:
        return apart(forms) if known else forms()
    except etree.LxmlError as error:  # a relative namespace name has no canonical form
        raise Finding(SubIndication.FORMAT_FAILURE, "the document has no canonical form") from error


def _c14n(element: Any, prefixes: Sequence[str]) -> bytes:
    return bytes(
        etree.tostring(
            element,
            method="c14n",
            exclusive=True,
            with_comments=False,
            inclusive_ns_prefixes=list(prefixes) or None,
        )
    )


def _only_text(element: Any) -> str:
    if len(element):
        name = str(element.tag).rpartition("}")[2]
        raise Finding(SubIndication.FORMAT_FAILURE, f"{name} may hold only text")
    return str(element.text or "")


def parse_document(data: bytes, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> Node:
    """The root of a document; raises UnreadableDocument for anything but bounded, plain XML 1.0 in UTF-8.

    Other encodings and XML 1.1 would leave it to each reader's library what the bytes say.
    """
    if len(data) > max_bytes:
        raise UnreadableDocument(f"It has more than {max_bytes} bytes.")
    text = data.removeprefix(codecs.BOM_UTF8)
    try:
        if (xmlparse.declared_encoding(text) or "utf-8") not in _ENCODINGS:
            raise UnreadableDocument("It is not XML 1.0 in UTF-8.")
        return Node(xmlparse.parse(text))
    except xmlparse.NotPlain as error:
        raise UnreadableDocument(
            "It is not well-formed, plain, bounded XML without DOCTYPE, comment or processing instruction."
        ) from error


@dataclass(frozen=True, slots=True)
class UnverifiedSignature:
    """A signature as read: every field is a claim until the verify functions have passed."""

    shape: xades.Shape
    algorithm: str
    data_digest: bytes
    key_info_digest: bytes | None
    properties_digest: bytes
    value: bytes
    chain: tuple[bytes, ...]
    """DER certificates as they stand in KeyInfo."""
    signing_time: datetime
    certificate_digest: bytes
    policy: tuple[str, bytes] | None

    def key_info(self) -> bytes:
        return xades.key_info(self.shape, chain=self.chain)

    def properties(self) -> bytes:
        return xades.signed_properties(
            self.shape,
            certificate_digest=self.certificate_digest,
            signing_time=self.signing_time,
            policy=self.policy,
        )

    def info(self) -> bytes:
        return xades.signed_info(
            self.shape,
            algorithm=self.algorithm,
            data_digest=self.data_digest,
            properties_digest=self.properties_digest,
            key_info_digest=self.key_info_digest,
        )

    def xml(self) -> str:
        """The one canonical form that these values have inside a document."""
        return xades.signature(
            self.shape,
            info=self.info(),
            value=self.value,
            keys=self.key_info(),
            properties=self.properties(),
        )


def parse_signature(node: Node, *, shape: xades.Shape) -> UnverifiedSignature:
    """Reads ``<ds:Signature>`` by position; raises Finding where it is not of this shape.

    Positions that this reads past (Ids, Targets, constant texts) are held by composing it again.
    """
    info = node.child(f"{_DS}SignedInfo")
    if info.child(f"{_DS}CanonicalizationMethod").attribute("Algorithm") != xades.EXCLUSIVE:
        raise Finding(SubIndication.CRYPTO_CONSTRAINTS_FAILURE, "only Exclusive C14N is accepted")
    algorithm = info.child(f"{_DS}SignatureMethod").attribute("Algorithm")
    if algorithm not in xades.SIGNATURE_ALGORITHMS:
        raise Finding(SubIndication.CRYPTO_CONSTRAINTS_FAILURE, "the signature algorithm is not accepted")
    digests = [_reference(reference) for reference in info.each(f"{_DS}Reference")]
    expected = 2 if shape.key_info_id is None else 3
    if len(digests) != expected:
        raise Finding(SubIndication.FORMAT_FAILURE, f"a signature of this kind has {expected} References")
    value = node.data(f"{_DS}SignatureValue")
    x509_data = node.child(f"{_DS}KeyInfo").child(f"{_DS}X509Data")
    chain: list[bytes] = []
    while x509_data.peek() is not None and len(chain) <= MAX_CHAIN:
        chain.append(x509_data.data(f"{_DS}X509Certificate"))
    if not 1 <= len(chain) <= MAX_CHAIN or any(len(der) > MAX_CERTIFICATE for der in chain):
        raise Finding(
            SubIndication.FORMAT_FAILURE, f"KeyInfo holds 1 to {MAX_CHAIN} certificates of usual size"
        )
    properties = (
        node.child(f"{_DS}Object")
        .child(f"{_XADES}QualifyingProperties")
        .child(f"{_XADES}SignedProperties")
        .child(f"{_XADES}SignedSignatureProperties")
    )
    signing_time = properties.time(f"{_XADES}SigningTime")
    if properties.peek() != f"{_XADES}SigningCertificateV2":
        raise Finding(
            SubIndication.NO_SIGNING_CERTIFICATE_FOUND, "the signature does not bind its certificate"
        )
    certificate_digest = _digest(
        properties.child(f"{_XADES}SigningCertificateV2").child(f"{_XADES}Cert").child(f"{_XADES}CertDigest")
    )
    policy = None
    if shape.has_policy:
        if properties.peek() != f"{_XADES}SignaturePolicyIdentifier":
            raise Finding(SubIndication.SIGNATURE_POLICY_NOT_AVAILABLE, "the seal names no signature policy")
        named = properties.child(f"{_XADES}SignaturePolicyIdentifier").child(f"{_XADES}SignaturePolicyId")
        identifier = named.child(f"{_XADES}SigPolicyId").text(f"{_XADES}Identifier")
        policy = (identifier, _digest(named.child(f"{_XADES}SigPolicyHash")))
    return UnverifiedSignature(
        shape=shape,
        algorithm=algorithm,
        data_digest=digests[0],
        key_info_digest=None if shape.key_info_id is None else digests[1],
        properties_digest=digests[-1],
        value=value,
        chain=tuple(chain),
        signing_time=signing_time,
        certificate_digest=certificate_digest,
        policy=policy,
    )


def _reference(node: Node) -> bytes:
    node.child(f"{_DS}Transforms")
    return _digest(node)


def _digest(node: Node) -> bytes:
    if node.child(f"{_DS}DigestMethod").attribute("Algorithm") != xades.SHA256:
        raise Finding(SubIndication.CRYPTO_CONSTRAINTS_FAILURE, "the digest algorithm is not accepted")
    return node.data(f"{_DS}DigestValue")


def signing_certificate(signature: UnverifiedSignature) -> x509.Certificate:
    """The certificate that SigningCertificateV2 binds: the first of KeyInfo, or a Finding."""
    if xades.sha256(signature.chain[0]) != signature.certificate_digest:
        raise Finding(
            SubIndication.NO_SIGNING_CERTIFICATE_FOUND,
            "the certificate in KeyInfo is not the one that the signature binds",
        )
    return certpath.load_certificate(signature.chain[0])


def verify_digests(signature: UnverifiedSignature, *, data: bytes) -> None:
    """Every Reference's digest is that of its bytes; ``data`` is what the first one points at."""
    for name, stated, actual in (
        ("signed content", signature.data_digest, data),
        ("signed properties", signature.properties_digest, signature.properties()),
    ):
        if stated != xades.sha256(actual):
            raise Finding(SubIndication.HASH_FAILURE, f"the {name} differ from what was signed")
    if signature.key_info_digest is not None and signature.key_info_digest != xades.sha256(
        signature.key_info()
    ):
        raise Finding(SubIndication.HASH_FAILURE, "the key information differs from what was signed")


def verify_value(signature: UnverifiedSignature, *, certificate: x509.Certificate) -> None:
    """SignatureValue is by the certificate's key over SignedInfo, by the algorithm that it names.

    Which keys may sign evidence is left to ``certpath``.
    """
    key = certificate.public_key()
    try:
        verify_bytes(key, algorithm=signature.algorithm, value=signature.value, data=signature.info())
    except SignatureInvalid as error:
        raise Finding(
            SubIndication.SIG_CRYPTO_FAILURE, "the signature is not by the certificate's key"
        ) from error


@dataclass(frozen=True, slots=True)
class SignatureAlgorithm:
    rsa: bool
    """RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2); else ECDSA, as r || s, each as long as the curve's order."""
    hash: hashes.HashAlgorithm


PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
SIGNATURES: Final[Mapping[str, SignatureAlgorithm]] = {
    f"{_MORE}{family}-{name}": SignatureAlgorithm(family == "rsa", algorithm)
    for family in ("rsa", "ecdsa")
    for name, algorithm in (
        ("sha256", hashes.SHA256()),
        ("sha384", hashes.SHA384()),
        ("sha512", hashes.SHA512()),
    )
}
"""RFC 9231 sections 2.3.1 to 2.3.6: what a message may be signed with; evidence knows fewer."""


def verify_bytes(key: Any, *, algorithm: str, value: bytes, data: bytes) -> None:
    """Raises SignatureInvalid unless ``value`` is by the key over ``data``, by an algorithm of SIGNATURES and
    of the key's own family: so no public key ever becomes a secret."""
    method = SIGNATURES[algorithm]
    try:
        if method.rsa and isinstance(key, rsa.RSAPublicKey):
            key.verify(value, data, padding.PKCS1v15(), method.hash)
        elif not method.rsa and isinstance(key, ec.EllipticCurvePublicKey):
            size = (key.curve.key_size + 7) // 8
            if len(value) != 2 * size:
                raise SignatureInvalid("r and s are as long as the curve's order, each")
            pair = encode_dss_signature(
                *(int.from_bytes(half, "big") for half in (value[:size], value[size:]))
            )
            key.verify(pair, data, ec.ECDSA(method.hash))
        else:
            raise SignatureInvalid("not an algorithm of this key")
    except InvalidSignature as error:
        raise SignatureInvalid("not by this key over these bytes") from error


def algorithm_for(key: PrivateKey) -> str:
    """What ``sign_bytes`` signs with: SHA-256, or SHA-384 on P-384."""
    if isinstance(key, rsa.RSAPrivateKey):
        return xades.RSA_SHA256
    return f"{_MORE}ecdsa-sha384" if key.curve.key_size > 256 else xades.ECDSA_SHA256


def sign_bytes(key: PrivateKey, *, data: bytes) -> bytes:
    method = SIGNATURES[algorithm_for(key)]
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), method.hash)
    size = (key.curve.key_size + 7) // 8
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(method.hash)))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")
