"""Python, zeep: one consent signature, from start to evidence.

Install:   pip install zeep
Generate:  nothing: zeep reads the WSDL when the program starts
Call:      GATEWAY_WSDL=https://.../soap/v1?wsdl GATEWAY_USER=... GATEWAY_SECRET=... python client.py

SOAP_VERSION (1.1 or 1.2), EXTERNAL_REF, CONSENT (a text file) and OUT (where the evidence goes) are as in
every program beside this one.
"""

import hashlib
import json
import os
import uuid
from datetime import UTC
from pathlib import Path

from zeep import Client, Settings
from zeep.exceptions import Fault
from zeep.wsse.username import UsernameToken

FINAL = {"COMPLETED", "REJECTED", "EXPIRED", "CANCELLED", "FAILED", "BLOCKED"}
FAULT = "{urn:mobileid-gateway:v1}GatewayFault"

port = {"1.1": "Soap11", "1.2": "Soap12"}[os.environ["SOAP_VERSION"]]
client = Client(
    os.environ["GATEWAY_WSDL"],
    wsse=UsernameToken(os.environ["GATEWAY_USER"], os.environ["GATEWAY_SECRET"]),
    settings=Settings(strict=True),
)
gateway = client.bind("MobileIdGateway", port)


def instant(value):
    """zeep gives an aware datetime."""
    return value.astimezone(UTC).isoformat()


def start(text):
    return gateway.StartConsentSignature(
        requestId=str(uuid.uuid4()),
        externalRef=os.environ["EXTERNAL_REF"],
        locale="de",
        preContext={"title": "Darlehen über € 348.500,00", "content": text, "mediaType": "text/plain"},
    )


def refused(text):
    """What a fault holds: zeep gives its detail as an element, which the schema's type parses."""
    try:
        start(text)
    except Fault as error:
        fault = client.get_element(FAULT).parse(error.detail[0], client.wsdl.types)
        return {
            "code": fault.code,
            "group": fault.group,
            "message": fault.message,
            "correlationId": fault.correlationId,
            "retryable": fault.retryable,
            "field": fault.field,
        }


text = Path(os.environ["CONSENT"]).read_text(encoding="utf-8")
heartbeat = gateway.Heartbeat()
started = start(text)
final = started
while final.state not in FINAL:
    final = gateway.GetTransaction(transactionId=started.transactionId, waitSeconds=20)
evidence = gateway.GetEvidence(transactionId=started.transactionId)
Path(os.environ["OUT"]).write_bytes(evidence.document)
conclusion = gateway.VerifyEvidence(document=evidence.document)

print(
    json.dumps(
        {
            "database": heartbeat.database,
            "transactionId": started.transactionId,
            "started": started.state,
            "createdAt": instant(started.createdAt),
            "final": final.state,
            "decidedAt": instant(final.decidedAt),
            "amr": final.amr,
            "length": len(evidence.document),
            "sha256": hashlib.sha256(evidence.document).hexdigest(),
            "indication": conclusion.indication,
            "fault": refused("zero\u200bwidth"),
        }
    )
)
