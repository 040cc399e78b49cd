"""X.509-signed SOAP messages: a Security header read, verified, and written.

The law (WS-Security 1.0 and 1.1, X.509 Certificate Token Profile 1.1, XML-DSig 1.1): the exact shape stands
before any cryptography: one Timestamp, one Signature, at most one BinarySecurityToken and nothing else;
algorithms and transforms of one short list; ids unique in the envelope over every spelling of id; each
Reference leads, by node identity, to this envelope's Body, to the Timestamp, to the token or to a block of
WS-Addressing, and of these the token alone may be left out. KeyInfo is a hint that chooses among pinned
certificates, never a source of keys. SignatureValue is verified first, over SignedInfo alone, so that nobody
unknown makes us digest much.

Whatever is wrong is NotSigned, and says why only to us. The replay of a message is left to the caller, who is
given the key that names it; what a caller may do is left to the services.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lxml import etree

from gateway.core import xades, xmldsig
from gateway.core.conclusion import Finding
from gateway.core.keys import SignatureInvalid
from gateway.core.model import format_time

_WSS: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
_WSS11: Final = "http://docs.oasis-open.org/wss/oasis-wss-"
_SECEXT: Final = f"{_WSS}wssecurity-secext-1.0.xsd"
_UTILITY: Final = f"{_WSS}wssecurity-utility-1.0.xsd"
_SECEXT11: Final = f"{_WSS11}wssecurity-secext-1.1.xsd"
WSSE: Final = f"{{{_SECEXT}}}"
WSU: Final = f"{{{_UTILITY}}}"
_WSSE11: Final = f"{{{_SECEXT11}}}"
_DS: Final = f"{{{xades.DS}}}"
_EXC: Final = f"{{{xades.EXCLUSIVE}}}"
SECURITY: Final = f"{WSSE}Security"
TIMESTAMP: Final = f"{WSU}Timestamp"
SIGNATURE: Final = f"{_DS}Signature"
_TOKEN: Final = f"{WSSE}BinarySecurityToken"
_ID: Final = f"{WSU}Id"
_BASE64: Final = f"{_WSS}soap-message-security-1.0#Base64Binary"
_X509V3: Final = f"{_WSS}x509-token-profile-1.0#X509v3"
_SKI: Final = f"{_WSS}x509-token-profile-1.0#X509SubjectKeyIdentifier"
_THUMBPRINT: Final = f"{_WSS11}soap-message-security-1.1#ThumbprintSHA1"
_TOKEN_TYPE: Final = f"{_WSSE11}TokenType"

DIGESTS: Final[Mapping[str, str]] = {
    xades.SHA256: "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
}
"""hashlib's names by the algorithm's (XML Encryption 1.1 section 5.7, RFC 6931 section 2.1)."""
MAX_REFERENCES: Final = 16
MAX_PREFIXES: Final = 64
"""Of one InclusiveNamespaces PrefixList."""
MAX_MESSAGE_ID: Final = 1024
"""Characters of a MessageID, as WS-Addressing leaves it open."""
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 4096
MAX_WINDOW: Final = timedelta(minutes=10)
MAX_SKEW: Final = timedelta(minutes=2)
_DATE_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
"""xs:dateTime with its zone; Python reads more of ISO 8601 than that."""
_AFTER_COMMA: Final = re.compile(r"(?<!\\), +")
"""Some stacks write blanks between the parts of a name, which RFC 4514 does not."""
_ATTRIBUTES_OF_REFERENCE: Final = frozenset({"Id", "URI", "Type"})


class NotSigned(Exception):
    """The message is not signed as it must be; the text is for developers, never for a caller."""


class KeyReference(Enum):
    """How a message names a certificate (X.509 Token Profile 1.1 section 3.2, WS-Security 1.1 section 7)."""

    BINARY = "BinarySecurityToken"
    ISSUER_SERIAL = "IssuerSerial"
    SUBJECT_KEY = "SubjectKeyIdentifier"
    THUMBPRINT = "Thumbprint"


_IDENTIFIERS: Final = {_SKI: KeyReference.SUBJECT_KEY, _THUMBPRINT: KeyReference.THUMBPRINT}


@dataclass(frozen=True, slots=True)
class Pin:
    """One certificate that configuration pins to one caller."""

    owner: str
    certificate: x509.Certificate

    def __post_init__(self) -> None:
        check_key(self.certificate)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def check_key(certificate: x509.Certificate) -> None:
    """Raises ValueError unless the key may sign, and is RSA of 2048 to 4096 bits or on P-256 or P-384."""
    key = certificate.public_key()
    strong_rsa = isinstance(key, rsa.RSAPublicKey) and MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS
    curve = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1)
    if not (strong_rsa or curve):
        raise ValueError(
            f"the key is neither RSA of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, nor ECDSA on P-256 or P-384"
        )
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not usage.digital_signature:
        raise ValueError("the certificate's key usage has no digitalSignature")


class Pins:
    """The pinned certificates, found by whatever a message names them by.

    KeyInfo is not signed: a key of two callers would leave it to whoever sends a message whose message it is.
    """

    def __init__(self, pins: Iterable[Pin]) -> None:
        self._found: dict[tuple[KeyReference, Any], Pin] = {}
        owners: dict[bytes, str] = {}
        for pin in pins:
            if owners.setdefault(key_of(pin.certificate), pin.owner) != pin.owner:
                raise ValueError(f"{pin.owner}: its key is another caller's too")
            for kind in KeyReference:
                name = name_of(pin.certificate, kind)
                if name is None:
                    continue
                if self._found.setdefault((kind, name), pin).owner != pin.owner:
                    raise ValueError(f"{pin.owner}: its {kind.value} is another caller's too")

    def find(self, kind: KeyReference, name: object) -> Pin | None:
        return self._found.get((kind, name))


def key_of(certificate: x509.Certificate) -> bytes:
    """What is the same for every certificate of one key."""
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def name_of(certificate: x509.Certificate, kind: KeyReference) -> object | None:
    """What a reference of this kind says of a certificate; None where it has no such name."""
    if kind is KeyReference.BINARY:
        return hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
    if kind is KeyReference.THUMBPRINT:
        return certificate.fingerprint(hashes.SHA1())  # noqa: S303 - a name; what it names is pinned
    if kind is KeyReference.SUBJECT_KEY:
        try:
            extension = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        except x509.ExtensionNotFound:
            return None
        return extension.value.digest
    return (_name(certificate.issuer), certificate.serial_number)


def _name(name: x509.Name) -> tuple[frozenset[tuple[str, str]], ...]:
    """A distinguished name, whatever string types it has, and whichever way round it was written."""
    parts = [
        frozenset((part.oid.dotted_string, " ".join(str(part.value).split()).casefold()) for part in rdn)
        for rdn in name.rdns
    ]
    return tuple(min(parts, parts[::-1], key=lambda way: [sorted(part) for part in way]))


@dataclass(frozen=True, slots=True)
class _Reference:
    uri: str
    prefixes: tuple[str, ...]
    algorithm: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class UnverifiedMessage:
    """A signature as read, and the nodes that it must be over: claims, until ``verify_message``."""

    kind: KeyReference
    key_name: object
    algorithm: str
    value: bytes
    signed_info: bytes
    signed: tuple[tuple[Any, _Reference], ...]
    """Each node with its Reference."""
    created: datetime
    expires: datetime
    message_id: str | None


@dataclass(frozen=True, slots=True)
class VerifiedMessage:
    owner: str
    kind: KeyReference
    replay_key: bytes
    """SHA-256: of the signed MessageID, or else of SignedInfo; never of the signature's bytes, of which one
    message has many."""
    remember_until: datetime
    value: bytes
    """SignatureValue, for the answer's SignatureConfirmation."""


def parse_message(
    security: etree._Element,
    *,
    envelope: etree._Element,
    body: etree._Element,
    addressing: Sequence[etree._Element],
) -> UnverifiedMessage:
    """Reads a Security header block; Body and WS-Addressing blocks are its envelope's. Raises NotSigned."""
    try:
        return _parse(security, envelope=envelope, body=body, addressing=addressing)
    except (Finding, ValueError) as error:
        raise NotSigned(str(error)) from error


def _parse(
    security: etree._Element,
    *,
    envelope: etree._Element,
    body: etree._Element,
    addressing: Sequence[etree._Element],
) -> UnverifiedMessage:
    parts = [str(part.tag) for part in security]
    if len(set(parts)) < len(parts) or not {SIGNATURE, TIMESTAMP, _TOKEN}.issuperset(parts):
        raise NotSigned("Security holds more than a signed message's parts")
    # ValueError where one of them is missing
    signature, timestamp = (security[parts.index(tag)] for tag in (SIGNATURE, TIMESTAMP))
    token = security.find(_TOKEN)
    node = xmldsig.Node(signature)
    info = node.child(f"{_DS}SignedInfo")
    value_text = node.text(f"{_DS}SignatureValue")
    key_info = node.child(f"{_DS}KeyInfo")
    node.end()
    prefixes = _exclusive(info.child(f"{_DS}CanonicalizationMethod"))
    method = info.child(f"{_DS}SignatureMethod")
    algorithm = method.attribute("Algorithm")
    method.end()
    if algorithm not in xmldsig.SIGNATURES:
        raise NotSigned("the signature algorithm is not accepted")
    references: list[_Reference] = []
    for stated in info.each(f"{_DS}Reference"):
        if len(references) == MAX_REFERENCES:
            raise NotSigned("too many References")
        references.append(_reference(stated))
    info.end()
    created, expires = _times(timestamp)
    kind, key_name, token_uri = _key_name(key_info, token)
    _check_ids(envelope)
    required = [body, timestamp, *addressing]
    candidates = required if token is None else [*required, token]
    targets = {f"#{name}": part for part in candidates if (name := part.get(_ID))}
    if targets.get(token_uri or "") is not token:
        raise NotSigned("the key reference does not lead to the token")
    signed: list[tuple[Any, _Reference]] = []
    for reference in references:
        target = targets.pop(reference.uri, None)
        if target is None:
            raise NotSigned("a Reference leads elsewhere, or twice to one node")
        signed.append((target, reference))
    if any(all(part is not target for target, _ in signed) for part in required):
        raise NotSigned("Body, Timestamp or a WS-Addressing block is not signed")
    message_ids = [block for block in addressing if etree.QName(block).localname == "MessageID"]
    return UnverifiedMessage(
        kind=kind,
        key_name=key_name,
        algorithm=algorithm,
        value=_unb64(value_text),
        signed_info=info.canonical(prefixes),
        signed=tuple(signed),
        created=created,
        expires=expires,
        message_id=_message_id(message_ids[0]) if message_ids else None,
    )


def verify_message(
    unverified: UnverifiedMessage, *, pins: Pins, window: timedelta, skew: timedelta, at: datetime
) -> VerifiedMessage:
    """The signature is by a pinned key, over these nodes, now; raises NotSigned.

    ``window`` is the longest time from Created to Expires, ``skew`` how far the caller's clock may be off.
    """
    pin = pins.find(unverified.kind, unverified.key_name)
    key = nobody(unverified.algorithm) if pin is None else pin.certificate.public_key()
    try:
        xmldsig.verify_bytes(
            key, algorithm=unverified.algorithm, value=unverified.value, data=unverified.signed_info
        )
    except SignatureInvalid as error:
        raise NotSigned("the signature is not by a pinned key") from error
    if pin is None:
        raise NotSigned("no pinned certificate has this name")
    parts = [(node, reference.prefixes) for node, reference in unverified.signed]
    try:
        forms = iter(xmldsig.canonical_forms(parts))
    except Finding as error:  # what was signed has a canonical form
        raise NotSigned(str(error)) from error
    for _, reference in unverified.signed:
        if hashlib.new(DIGESTS[reference.algorithm], next(forms)).digest() != reference.digest:
            raise NotSigned("a node differs from what was signed")
    if not pin.certificate.not_valid_before_utc <= at <= pin.certificate.not_valid_after_utc:
        raise NotSigned("the certificate is not valid now")
    if not timedelta(0) < unverified.expires - unverified.created <= min(window, MAX_WINDOW):
        raise NotSigned("the Timestamp's window is none, or too long")
    skew = min(skew, MAX_SKEW)
    if not (unverified.created <= at + skew and at - skew < unverified.expires):
        raise NotSigned("the Timestamp is not of now")
    if unverified.message_id is None:
        replay_key = hashlib.sha256(b"SignedInfo:" + unverified.signed_info)
    else:
        replay_key = hashlib.sha256(b"MessageID:" + unverified.message_id.encode())
    return VerifiedMessage(
        owner=pin.owner,
        kind=unverified.kind,
        replay_key=replay_key.digest(),
        # whatever the skew is now: it may be more after a reload, and the clock of another node may be ahead
        remember_until=unverified.expires + 2 * MAX_SKEW,
        value=unverified.value,
    )


def nobody(algorithm: str) -> Any:
    """A key to verify with where there is none: nobody has its private half, and it costs the same."""
    return _NOBODY_RSA if xmldsig.SIGNATURES[algorithm].rsa else _NOBODY_EC


_NOBODY_EC: Final = ec.generate_private_key(ec.SECP256R1()).public_key()
_NOBODY_RSA: Final = rsa.RSAPublicNumbers(65537, (1 << 2047) | 1).public_key()


def _reference(node: xmldsig.Node) -> _Reference:
    if not _ATTRIBUTES_OF_REFERENCE.issuperset(node.attributes()):
        raise NotSigned("a Reference has other attributes")
    transforms = node.child(f"{_DS}Transforms")
    prefixes = _exclusive(transforms.child(f"{_DS}Transform"))
    transforms.end()
    method = node.child(f"{_DS}DigestMethod")
    algorithm = method.attribute("Algorithm")
    method.end()
    if algorithm not in DIGESTS:
        raise NotSigned("the digest algorithm is not accepted")
    digest = _unb64(node.text(f"{_DS}DigestValue"))
    node.end()
    return _Reference(node.attribute("URI"), prefixes, algorithm, digest)


def _exclusive(node: xmldsig.Node) -> tuple[str, ...]:
    """The PrefixList of Exclusive C14N, which it must be."""
    if node.attribute("Algorithm") != xades.EXCLUSIVE or node.attributes() != {"Algorithm"}:
        raise NotSigned("only Exclusive C14N is accepted")
    prefixes: list[str] = []
    if node.peek() is not None:
        inclusive = node.child(f"{_EXC}InclusiveNamespaces")
        inclusive.end()
        prefixes = inclusive.attribute("PrefixList").split()
        if len(prefixes) > MAX_PREFIXES or inclusive.attributes() != {"PrefixList"}:
            raise NotSigned("too many prefixes")
    node.end()
    return tuple(prefixes)


def _key_name(
    key_info: xmldsig.Node, token: etree._Element | None
) -> tuple[KeyReference, object, str | None]:
    """What KeyInfo names, and the URI of the token where it does so by one."""
    holder = key_info.child(f"{WSSE}SecurityTokenReference")
    key_info.end()
    tag = holder.peek()
    named = holder.child(tag or "nothing")
    holder.end()
    if tag == f"{WSSE}Reference":
        named.end()
        if token is None or named.get("ValueType") not in (None, _X509V3):
            raise NotSigned("no X.509 token")
        certificate = _token(token)
        return KeyReference.BINARY, hashlib.sha256(certificate).digest(), named.attribute("URI")
    if tag == f"{WSSE}KeyIdentifier":
        if named.get("EncodingType") not in (None, _BASE64):
            raise NotSigned("another encoding")
        value_type = named.attribute("ValueType")
        if value_type not in _IDENTIFIERS:
            raise NotSigned("another key identifier")
        return _IDENTIFIERS[value_type], _unb64(named.content()), None
    if tag == f"{_DS}X509Data":
        issuer_serial = named.child(f"{_DS}X509IssuerSerial")
        issuer = issuer_serial.text(f"{_DS}X509IssuerName").strip()
        serial = issuer_serial.text(f"{_DS}X509SerialNumber").strip()
        issuer_serial.end()
        if named.peek() == f"{_DS}X509Certificate":
            named.text(f"{_DS}X509Certificate")  # a copy: what counts is the pinned one
        named.end()
        if not (serial.isascii() and serial.isdigit() and len(serial) <= 50 and len(issuer) <= 1024):
            raise NotSigned("no serial number")
        name = x509.Name.from_rfc4514_string(_AFTER_COMMA.sub(",", issuer))
        return KeyReference.ISSUER_SERIAL, (_name(name), int(serial)), None
    raise NotSigned("another way to name a key")


def _token(token: etree._Element) -> bytes:
    node = xmldsig.Node(token)
    if token.get("ValueType") != _X509V3 or token.get("EncodingType") not in (None, _BASE64):
        raise NotSigned("not an X.509 token")
    return _unb64(node.content())


def _times(timestamp: etree._Element) -> tuple[datetime, datetime]:
    """Created and Expires, both of them and nothing else (WS-Security 1.1 section 10)."""
    node = xmldsig.Node(timestamp)
    created, expires = node.text(f"{WSU}Created"), node.text(f"{WSU}Expires")
    node.end()
    return parse_moment(created), parse_moment(expires)


def parse_moment(text: str) -> datetime:
    """xs:dateTime with a zone; raises ValueError."""
    text = text.strip(" \t\r\n")
    if _DATE_TIME.fullmatch(text) is None:
        raise ValueError("not an xs:dateTime with a zone")
    return datetime.fromisoformat(text)


def _check_ids(envelope: etree._Element) -> None:
    """Raises NotSigned where an id stands twice, however it is spelled: so each leads to one node."""
    found: set[str] = set()
    for element in envelope.iter():
        for name, value in element.attrib.items():
            if str(name).rpartition("}")[2].lower() != "id":
                continue
            if str(value) in found:
                raise NotSigned("an id stands twice")
            found.add(str(value))


def _message_id(block: etree._Element) -> str:
    text = (block.text or "").strip()
    if len(block) or not 1 <= len(text) <= MAX_MESSAGE_ID:
        raise NotSigned("no MessageID")
    return text


def _unb64(text: str) -> bytes:
    """xs:base64Binary; raises ValueError for other characters."""
    return base64.b64decode("".join(text.split()).encode("ascii"), validate=True)


class MessageKey:
    """The gateway's key for messages, which is not the seal's."""

    def __init__(self, key: xmldsig.PrivateKey, certificate: x509.Certificate) -> None:
        check_key(certificate)
        if certificate.public_key() != key.public_key():
            raise ValueError("the certificate is not for the key")
        self._key = key
        self.certificate = certificate
        self._algorithm = xmldsig.algorithm_for(key)

    def sign(
        self,
        security: etree._Element,
        *,
        signed: Sequence[etree._Element],
        kind: KeyReference,
        confirms: bytes | None,
        lifetime: timedelta,
        at: datetime,
    ) -> None:
        """Fills an empty Security header block: Timestamp, Signature over it and the ``signed`` nodes, and
        with ``confirms``, the request's SignatureValue, a SignatureConfirmation (WS-Security 1.1 section 8).
        """
        timestamp = etree.SubElement(security, TIMESTAMP)
        etree.SubElement(timestamp, f"{WSU}Created").text = format_time(at)
        etree.SubElement(timestamp, f"{WSU}Expires").text = format_time(at + lifetime)
        nodes = [timestamp, *signed]
        if confirms is not None:
            attributes = {"Value": base64.b64encode(confirms).decode()}
            confirmation = etree.SubElement(
                security, f"{_WSSE11}SignatureConfirmation", attributes, nsmap={"wsse11": _SECEXT11}
            )
            nodes.append(confirmation)
        for number, node in enumerate(nodes, start=1):
            node.set(_ID, f"signed-{number}")
        if name_of(self.certificate, kind) is None:
            kind = KeyReference.BINARY
        if kind is KeyReference.BINARY:
            self._add_token(security)
        signature = etree.SubElement(security, SIGNATURE, nsmap={"ds": xades.DS})
        info = etree.SubElement(signature, f"{_DS}SignedInfo")
        etree.SubElement(info, f"{_DS}CanonicalizationMethod", Algorithm=xades.EXCLUSIVE)
        etree.SubElement(info, f"{_DS}SignatureMethod", Algorithm=self._algorithm)
        for node in nodes:
            reference = etree.SubElement(info, f"{_DS}Reference", URI=f"#{node.get(_ID)}")
            transforms = etree.SubElement(reference, f"{_DS}Transforms")
            etree.SubElement(transforms, f"{_DS}Transform", Algorithm=xades.EXCLUSIVE)
            etree.SubElement(reference, f"{_DS}DigestMethod", Algorithm=xades.SHA256)
            digest = hashlib.sha256(xmldsig.Node(node).canonical()).digest()
            etree.SubElement(reference, f"{_DS}DigestValue").text = base64.b64encode(digest).decode()
        value = xmldsig.sign_bytes(self._key, data=xmldsig.Node(info).canonical())
        etree.SubElement(signature, f"{_DS}SignatureValue").text = base64.b64encode(value).decode()
        self._add_key_info(signature, kind)

    def _add_token(self, security: etree._Element) -> None:
        token = etree.SubElement(security, _TOKEN, EncodingType=_BASE64, ValueType=_X509V3)
        token.set(_ID, "message-key")
        token.text = base64.b64encode(self.certificate.public_bytes(Encoding.DER)).decode()

    def _add_key_info(self, signature: etree._Element, kind: KeyReference) -> None:
        key_info = etree.SubElement(signature, f"{_DS}KeyInfo")
        holder = etree.SubElement(key_info, f"{WSSE}SecurityTokenReference")
        if kind is KeyReference.BINARY:
            etree.SubElement(holder, f"{WSSE}Reference", URI="#message-key", ValueType=_X509V3)
        elif kind is KeyReference.ISSUER_SERIAL:
            data = etree.SubElement(holder, f"{_DS}X509Data")
            issuer_serial = etree.SubElement(data, f"{_DS}X509IssuerSerial")
            issuer = self.certificate.issuer.rfc4514_string()
            etree.SubElement(issuer_serial, f"{_DS}X509IssuerName").text = issuer
            serial = str(self.certificate.serial_number)
            etree.SubElement(issuer_serial, f"{_DS}X509SerialNumber").text = serial
        else:
            of = _SKI if kind is KeyReference.SUBJECT_KEY else _THUMBPRINT
            name = name_of(self.certificate, kind)
            assert isinstance(name, bytes)
            identifier = etree.SubElement(holder, f"{WSSE}KeyIdentifier", EncodingType=_BASE64, ValueType=of)
            identifier.text = base64.b64encode(name).decode()


NSMAP: Final = {"wsse": _SECEXT, "wsu": _UTILITY}
"""For a Security header block that is written."""
