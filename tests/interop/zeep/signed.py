"""Python, zeep: a signed call, and an answer that is the gateway's or is refused.

Install:   pip install zeep xmlsec cryptography
Generate:  nothing: zeep reads the WSDL when the program starts
Call:      GATEWAY_WSDL=https://.../soap/v1?wsdl KEY=core.key CERTIFICATE=core.pem
           GATEWAY_CERTIFICATE=message.pem python signed.py

SOAP_VERSION (1.1 or 1.2) and EXTERNAL_REF (the person) are as in every program beside this one.
"""

import base64
import json
import os
import uuid
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from pathlib import Path

import xmlsec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from lxml import etree
from zeep import Client, Settings
from zeep.exceptions import Fault, SignatureVerificationFailed
from zeep.helpers import serialize_object
from zeep.ns import DS, WSSE, WSU
from zeep.wsse.signature import BinarySignature, verify_envelope
from zeep.wsse.utils import ID_ATTR, get_security_header

WSSE11 = "http://docs.oasis-open.org/wss/oasis-wss-wssecurity-secext-1.1.xsd"
FAULT = "{urn:mobileid-gateway:v1}GatewayFault"


class Signature(BinarySignature):
    """What zeep signs is signed with SHA-256 and has a Timestamp; what zeep does not verify is verified."""

    def __init__(self, key: str, certificate: str, *, gateway: str) -> None:
        elliptic = isinstance(
            load_pem_private_key(Path(key).read_bytes(), password=None), EllipticCurvePrivateKey
        )
        super().__init__(
            key,
            certificate,
            signature_method=xmlsec.Transform.ECDSA_SHA256 if elliptic else xmlsec.Transform.RSA_SHA256,
            digest_method=xmlsec.Transform.SHA256,
        )
        self.gateway = gateway
        self.sent = ContextVar("sent")  # of this thread, or of this task

    def apply(self, envelope, headers):
        security = get_security_header(envelope)
        timestamp = etree.SubElement(security, f"{{{WSU}}}Timestamp", nsmap={"wsu": WSU})
        now = datetime.now(UTC)
        for name, moment in (("Created", now), ("Expires", now + timedelta(minutes=5))):
            text = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            etree.SubElement(timestamp, f"{{{WSU}}}{name}").text = text
        envelope, headers = super().apply(envelope, headers)
        self.sent.set(base64.b64decode(security.findtext(f"{{{DS}}}Signature/{{{DS}}}SignatureValue")))
        return envelope, headers

    def verify(self, envelope):
        soap = etree.QName(envelope).namespace
        securities = envelope.findall(f"{{{soap}}}Header/{{{WSSE}}}Security")
        bodies = envelope.findall(f"{{{soap}}}Body")
        if len(securities) != 1 or len(bodies) != 1:
            raise SignatureVerificationFailed("not signed")
        signatures, timestamps, confirmations = (
            securities[0].findall(name)
            for name in (f"{{{DS}}}Signature", f"{{{WSU}}}Timestamp", f"{{{WSSE11}}}SignatureConfirmation")
        )
        if len(signatures) != 1 or len(timestamps) != 1:
            raise SignatureVerificationFailed("not signed")
        if len(confirmations) != 1:
            raise SignatureVerificationFailed("no SignatureConfirmation")
        # zeep verifies whatever has the id that a Reference names: it must be these nodes, and no others.
        ids = envelope.xpath("//@*[local-name() = 'Id' or local-name() = 'ID' or local-name() = 'id']")
        uris = [reference.get("URI") for reference in signatures[0].iter(f"{{{DS}}}Reference")]
        for part in (*bodies, *timestamps, *confirmations):
            if ids.count(part.get(ID_ATTR)) != 1 or uris.count(f"#{part.get(ID_ATTR)}") != 1:
                raise SignatureVerificationFailed(f"{etree.QName(part).localname} is not what was signed")
        verify_envelope(envelope, self.gateway)
        if datetime.fromisoformat(timestamps[0].findtext(f"{{{WSU}}}Expires")) < datetime.now(UTC):
            raise SignatureVerificationFailed("too old")
        if base64.b64decode(confirmations[0].get("Value")) != self.sent.get():
            raise SignatureVerificationFailed("the answer to another request")
        return envelope


client = Client(
    os.environ["GATEWAY_WSDL"],
    wsse=Signature(os.environ["KEY"], os.environ["CERTIFICATE"], gateway=os.environ["GATEWAY_CERTIFICATE"]),
    settings=Settings(strict=True, forbid_dtd=True),
)
gateway = client.bind("MobileIdGateway", {"1.1": "Soap11", "1.2": "Soap12"}[os.environ["SOAP_VERSION"]])


def say(operation, **what):
    print(json.dumps({"operation": operation, **what}, default=str), flush=True)


def call(operation, **request):
    try:
        response = getattr(gateway, operation)(**request)
        if response is None:  # zeep takes an empty 202 for an answer, and verifies nothing
            raise SignatureVerificationFailed("no answer")
        say(operation, response=serialize_object(response, dict))
    except SignatureVerificationFailed as error:
        say(operation, refused=str(error) or type(error).__name__)
    except Fault as error:  # verified as a response is
        fault = client.get_element(FAULT).parse(error.detail[0], client.wsdl.types)
        say(operation, fault=serialize_object(fault, dict))


call(
    "StartRegistration",
    requestId=str(uuid.uuid4()),
    externalRef=os.environ["EXTERNAL_REF"],
    attribute=[{"name": "name", "value": "Zoë & Ångström <Şahin>"}],
)
call("GetTransaction", transactionId="00000000-0000-7000-8000-000000000000")
