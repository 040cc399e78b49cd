"""A bank's side of signed messages, by python-xmlsec: not what verifies them at the gateway."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from lxml import etree

from gateway.core.wssecurity import KeyReference, MessageKey
from gateway.soap.envelope import SoapVersion

WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
WSSE, WSU = f"{WSS}wssecurity-secext-1.0.xsd", f"{WSS}wssecurity-utility-1.0.xsd"
WSSE11 = "http://docs.oasis-open.org/wss/oasis-wss-wssecurity-secext-1.1.xsd"
WSA = "http://www.w3.org/2005/08/addressing"
DS = "http://www.w3.org/2000/09/xmldsig#"
X509V3 = f"{WSS}x509-token-profile-1.0#X509v3"
SKI = f"{WSS}x509-token-profile-1.0#X509SubjectKeyIdentifier"
THUMBPRINT = "http://docs.oasis-open.org/wss/oasis-wss-soap-message-security-1.1#ThumbprintSHA1"
NS = {"ds": DS, "wsse": WSSE, "wsu": WSU}
T = xmlsec.constants
RSA_SHA256, ECDSA_SHA256, ECDSA_SHA384 = T.TransformRsaSha256, T.TransformEcdsaSha256, T.TransformEcdsaSha384


@dataclass(frozen=True)
class Signer:
    """A key and its certificate."""

    key_pem: bytes
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @cache  # noqa: B019 - a few signers for a whole run, and each loads its key slowly
    def message_key(self) -> MessageKey:
        return MessageKey(load_pem_private_key(self.key_pem, password=None), self.certificate)  # type: ignore[arg-type]


@cache
def signer(name: str, kind: str = "rsa", *, start: datetime = datetime(2020, 1, 1, tzinfo=UTC)) -> Signer:
    """One for each name: ``rsa``, ``p256`` or ``p384``."""
    key: Any = {
        "rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    }[kind]()
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CH"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Zoë & Sons, Bank"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=3650))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Signer(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), certificate)


def addressing_blocks(action: str, *, to: str, message_id: str | None = "urn:uuid:1") -> str:
    named = "" if message_id is None else f'<wsa:MessageID xmlns:wsa="{WSA}">{message_id}</wsa:MessageID>'
    return (
        f'<wsa:Action xmlns:wsa="{WSA}">{action}</wsa:Action><wsa:To xmlns:wsa="{WSA}">{to}</wsa:To>{named}'
        f'<wsa:ReplyTo xmlns:wsa="{WSA}"><wsa:Address>{WSA}/anonymous</wsa:Address></wsa:ReplyTo>'
    )


def moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def sign(
    body: str,
    by: Signer,
    *,
    at: datetime,
    version: SoapVersion = SoapVersion.SOAP11,
    kind: KeyReference = KeyReference.BINARY,
    algorithm: Any = RSA_SHA256,
    digest: Any = T.TransformSha256,
    lifetime: timedelta = timedelta(minutes=5),
    headers: str = "",
    leave_out: tuple[str, ...] = (),
    prefixes: str | None = None,
) -> etree._Element:
    """A whole signed envelope; ``leave_out`` are local names of parts that stay unsigned."""
    gw = "urn:mobileid-gateway:v1"
    root = etree.fromstring(
        f'<soap:Envelope xmlns:soap="{version.namespace}" xmlns:gw="{gw}" xmlns:x="urn:x" '
        f'xmlns:wsse="{WSSE}" xmlns:wsu="{WSU}"><soap:Header>{headers}'
        f'<wsse:Security soap:mustUnderstand="1"><wsu:Timestamp>'
        f"<wsu:Created>{moment(at)}</wsu:Created><wsu:Expires>{moment(at + lifetime)}</wsu:Expires>"
        f"</wsu:Timestamp></wsse:Security></soap:Header><soap:Body>{body}</soap:Body></soap:Envelope>"
    )
    resign(root, by, kind=kind, algorithm=algorithm, digest=digest, leave_out=leave_out, prefixes=prefixes)
    return etree.fromstring(etree.tostring(root))  # lxml does not find what libxmlsec named


def resign(
    root: etree._Element,
    by: Signer,
    *,
    kind: KeyReference = KeyReference.BINARY,
    algorithm: Any = RSA_SHA256,
    digest: Any = T.TransformSha256,
    leave_out: tuple[str, ...] = (),
    prefixes: str | None = None,
) -> etree._Element:
    """Signs an envelope whose Security holds a Timestamp; gives the Signature."""
    security = root.find(f".//{{{WSSE}}}Security")
    assert security is not None
    header = security.getparent()
    assert header is not None
    parts = [security[0], root[-1], *(block for block in header if str(block.tag).startswith(f"{{{WSA}}}"))]
    if kind is KeyReference.BINARY:
        token = etree.SubElement(
            security,
            f"{{{WSSE}}}BinarySecurityToken",
            ValueType=X509V3,
            EncodingType=f"{WSS}soap-message-security-1.0#Base64Binary",
        )
        token.set(f"{{{WSU}}}Id", "token")
        token.text = base64.b64encode(by.der).decode()
    signature = xmlsec.template.create(security, T.TransformExclC14N, algorithm, ns="ds")
    security.append(signature)
    if prefixes is not None:
        method = signature.find("ds:SignedInfo/ds:CanonicalizationMethod", NS)
        xmlsec.template.transform_add_c14n_inclusive_namespaces(method, prefixes)
    for number, part in enumerate(parts):
        part.set(f"{{{WSU}}}Id", f"part-{number}")
        if etree.QName(part).localname in leave_out:
            continue
        reference = xmlsec.template.add_reference(signature, digest, uri=f"#part-{number}")
        transform = xmlsec.template.add_transform(reference, T.TransformExclC14N)
        if prefixes is not None:
            xmlsec.template.transform_add_c14n_inclusive_namespaces(transform, prefixes)
    key_info = xmlsec.template.ensure_key_info(signature)
    key_info.append(reference_to(by.certificate, kind))
    context = xmlsec.SignatureContext()
    for part in parts:
        context.register_id(part, "Id", WSU)
    context.key = xmlsec.Key.from_memory(by.key_pem, xmlsec.KeyFormat.PEM)
    context.sign(signature)
    return signature


def reference_to(certificate: x509.Certificate, kind: KeyReference) -> etree._Element:
    """A SecurityTokenReference."""
    holder = etree.Element(f"{{{WSSE}}}SecurityTokenReference", nsmap={"wsse": WSSE, "ds": DS})
    if kind is KeyReference.BINARY:
        etree.SubElement(holder, f"{{{WSSE}}}Reference", URI="#token", ValueType=X509V3)
    elif kind is KeyReference.ISSUER_SERIAL:
        data = etree.SubElement(holder, f"{{{DS}}}X509Data")
        issuer_serial = etree.SubElement(data, f"{{{DS}}}X509IssuerSerial")
        etree.SubElement(issuer_serial, f"{{{DS}}}X509IssuerName").text = certificate.issuer.rfc4514_string()
        etree.SubElement(issuer_serial, f"{{{DS}}}X509SerialNumber").text = str(certificate.serial_number)
    else:
        ski = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        sha1 = hashlib.sha1(certificate.public_bytes(Encoding.DER)).digest()
        of, value = (SKI, ski) if kind is KeyReference.SUBJECT_KEY else (THUMBPRINT, sha1)
        etree.SubElement(holder, f"{{{WSSE}}}KeyIdentifier", ValueType=of).text = base64.b64encode(
            value
        ).decode()
    return holder


def verify_answer(data: bytes, certificate: x509.Certificate) -> list[str]:
    """The local names of what a signed answer signs, as python-xmlsec judges it; it raises xmlsec.Error."""
    root = etree.fromstring(data)
    signature = root.find(f".//{{{WSSE}}}Security/{{{DS}}}Signature")
    assert signature is not None, "the answer is not signed"
    context = xmlsec.SignatureContext()
    found = {}
    for element in root.iter():
        if (name := element.get(f"{{{WSU}}}Id")) is not None:
            context.register_id(element, "Id", WSU)
            found[f"#{name}"] = etree.QName(element).localname
    pem = certificate.public_bytes(Encoding.PEM)
    context.key = xmlsec.Key.from_memory(pem, xmlsec.KeyFormat.CERT_PEM)
    context.verify(signature)
    return sorted(found[str(reference.get("URI"))] for reference in signature.iterfind(".//ds:Reference", NS))
