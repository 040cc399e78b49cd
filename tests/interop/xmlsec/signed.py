"""Python, python-xmlsec (libxmlsec1): a signed call with nothing but XML in hand.

Install:   pip install lxml xmlsec cryptography
Call:      GATEWAY_WSDL=https://.../soap/v1?wsdl KEY=core.key CERTIFICATE=core.pem
           GATEWAY_CERTIFICATE=message.pem python signed.py

SOAP_VERSION (1.1 or 1.2) and EXTERNAL_REF (the person) are as in every program beside this one.
"""

import base64
import json
import os
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.sax.saxutils import escape

import xmlsec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from lxml import etree

GW = "urn:mobileid-gateway:v1"
DS = "http://www.w3.org/2000/09/xmldsig#"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
WSSE, WSU = f"{WSS}wssecurity-secext-1.0.xsd", f"{WSS}wssecurity-utility-1.0.xsd"
WSSE11 = "http://docs.oasis-open.org/wss/oasis-wss-wssecurity-secext-1.1.xsd"
X509V3, BASE64 = f"{WSS}x509-token-profile-1.0#X509v3", f"{WSS}soap-message-security-1.0#Base64Binary"
ID = f"{{{WSU}}}Id"
SOAP, MEDIA_TYPE = {
    "1.1": ("http://schemas.xmlsoap.org/soap/envelope/", "text/xml; charset=utf-8"),
    "1.2": ("http://www.w3.org/2003/05/soap-envelope", "application/soap+xml; charset=utf-8"),
}[os.environ["SOAP_VERSION"]]
KEY, CERTIFICATE, GATEWAY = (
    Path(os.environ[name]).read_bytes() for name in ("KEY", "CERTIFICATE", "GATEWAY_CERTIFICATE")
)
ELLIPTIC = isinstance(load_pem_private_key(KEY, password=None), EllipticCurvePrivateKey)
T = xmlsec.constants


class Refused(Exception):
    """The answer is not the gateway's."""


def signed(body: str) -> tuple[bytes, str]:
    """The whole message, and its SignatureValue."""
    now = datetime.now(UTC)
    root = etree.fromstring(
        f'<s:Envelope xmlns:s="{SOAP}"><s:Header><w:Security xmlns:w="{WSSE}" s:mustUnderstand="1">'
        f'<u:Timestamp xmlns:u="{WSU}" u:Id="time"><u:Created>{now:%Y-%m-%dT%H:%M:%S.%fZ}</u:Created>'
        f"<u:Expires>{now + timedelta(minutes=5):%Y-%m-%dT%H:%M:%S.%fZ}</u:Expires></u:Timestamp>"
        f'<w:BinarySecurityToken xmlns:u="{WSU}" u:Id="token" ValueType="{X509V3}" EncodingType="{BASE64}"/>'
        f'</w:Security></s:Header><s:Body xmlns:u="{WSU}" u:Id="body">{body}</s:Body></s:Envelope>'
    )
    security = root[0][0]
    security[1].text = "".join(CERTIFICATE.decode().split("-----")[2].split())
    algorithm = T.TransformEcdsaSha256 if ELLIPTIC else T.TransformRsaSha256
    signature = xmlsec.template.create(security, T.TransformExclC14N, algorithm, ns="ds")
    security.append(signature)
    context = xmlsec.SignatureContext()
    for part in (security[0], root[1]):
        reference = xmlsec.template.add_reference(signature, T.TransformSha256, uri=f"#{part.get(ID)}")
        xmlsec.template.add_transform(reference, T.TransformExclC14N)
        context.register_id(part, "Id", WSU)
    holder = etree.SubElement(xmlsec.template.ensure_key_info(signature), f"{{{WSSE}}}SecurityTokenReference")
    etree.SubElement(holder, f"{{{WSSE}}}Reference", URI="#token", ValueType=X509V3)
    context.key = xmlsec.Key.from_memory(KEY, xmlsec.KeyFormat.PEM)
    context.sign(signature)
    return etree.tostring(root), str(signature.find(f"{{{DS}}}SignatureValue").text)


def verified(answer: bytes, *, confirms: str) -> etree._Element:
    """What is in the Body of an answer that the gateway signed, for this request; raises Refused."""
    root = etree.fromstring(answer, etree.XMLParser(resolve_entities=False, remove_comments=True))
    security = root.findall(f"{{{SOAP}}}Header/{{{WSSE}}}Security")
    if len(security) != 1 or len(security[0].findall(f"{{{DS}}}Signature")) != 1:
        raise Refused("not signed")
    signature = security[0].find(f"{{{DS}}}Signature")
    timestamp = security[0].find(f"{{{WSU}}}Timestamp")
    confirmation = security[0].find(f"{{{WSSE11}}}SignatureConfirmation")
    body = root[-1]
    if body.tag != f"{{{SOAP}}}Body" or timestamp is None or confirmation is None:
        raise Refused("a part is missing")
    # What is verified must be these very nodes: no id may stand twice, and each must be referred to.
    context = xmlsec.SignatureContext()
    ids = [element.get(ID) for element in root.iter() if element.get(ID) is not None]
    uris = [reference.get("URI") for reference in signature.iter(f"{{{DS}}}Reference")]
    for part in (body, timestamp, confirmation):
        if ids.count(part.get(ID)) != 1 or uris.count(f"#{part.get(ID)}") != 1:
            raise Refused(f"{etree.QName(part).localname} is not signed")
    # Nor may a transform leave anything of them out.
    if {str(t.get("Algorithm")) for t in signature.iter(f"{{{DS}}}Transform")} != {EXCLUSIVE}:
        raise Refused("another transform")
    for element in root.iter():
        if element.get(ID) is not None:
            context.register_id(element, "Id", WSU)
    context.key = xmlsec.Key.from_memory(GATEWAY, xmlsec.KeyFormat.CERT_PEM)
    try:
        context.verify(signature)
    except xmlsec.Error as error:
        raise Refused(f"the signature does not hold: {error}") from error
    if datetime.fromisoformat(timestamp.findtext(f"{{{WSU}}}Expires")) < datetime.now(UTC):
        raise Refused("too old")
    if base64.b64decode(confirmation.get("Value")) != base64.b64decode(confirms):
        raise Refused("the answer to another request")
    return body[0]


def call(operation: str, inner: str) -> None:
    """One call; what came of it is printed."""
    message, value = signed(f'<{operation} xmlns="{GW}">{inner}</{operation}>')
    where = os.environ["GATEWAY_WSDL"].partition("?")[0]
    request = urllib.request.Request(where, message, {"Content-Type": MEDIA_TYPE})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = response.read()
    except urllib.error.HTTPError as error:  # a fault comes with 500
        answer = error.read()
    try:
        found = verified(answer, confirms=value)
    except Refused as error:
        said = {"refused": str(error)}
    else:
        code = found.find(f".//{{{GW}}}code")
        fields = {etree.QName(field).localname: field.text for field in found.iter() if not len(field)}
        said = {"response": fields} if code is None else {"fault": {"code": code.text}}
    print(json.dumps({"operation": operation, **said}), flush=True)


call(
    "StartRegistration",
    f"<requestId>{uuid.uuid4()}</requestId><externalRef>{escape(os.environ['EXTERNAL_REF'])}</externalRef>"
    f"<attribute><name>name</name><value>{escape('Zoë & Ångström <Şahin>')}</value></attribute>",
)
call("GetTransaction", "<transactionId>00000000-0000-7000-8000-000000000000</transactionId>")
