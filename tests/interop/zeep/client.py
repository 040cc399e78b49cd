"""Python, zeep: every operation, from a registration to the end of a device.

Install:   pip install zeep
Generate:  nothing: zeep reads the WSDL when the program starts
Call:      GATEWAY_WSDL=https://.../soap/v1?wsdl GATEWAY_USER=... GATEWAY_SECRET=... python client.py

SOAP_VERSION (1.1 or 1.2), EXTERNAL_REF (the person), CONSENT (a text file) and OUT (where the evidence goes)
are as in every program beside this one. Each answer is printed as one line of JSON; the person with the phone
reads there what a bank's screen would show.
"""

import base64
import json
import os
import time
import uuid
from datetime import datetime
from pathlib import Path

from zeep import Client, Settings
from zeep.exceptions import Fault
from zeep.helpers import serialize_object
from zeep.wsse.username import UsernameToken

FINAL = {"COMPLETED", "REJECTED", "EXPIRED", "CANCELLED", "FAILED", "BLOCKED"}
FAULT = "{urn:mobileid-gateway:v1}GatewayFault"
PERSON = os.environ["EXTERNAL_REF"]
PAYMENT = {
    "total": "1250.00",
    "currency": "EUR",
    "payee": [{"name": "Garage Müller", "account": "DE89370400440532013000", "amount": "1250.00"}],
}

port = {"1.1": "Soap11", "1.2": "Soap12"}[os.environ["SOAP_VERSION"]]
client = Client(
    os.environ["GATEWAY_WSDL"],
    wsse=UsernameToken(os.environ["GATEWAY_USER"], os.environ["GATEWAY_SECRET"]),
    settings=Settings(strict=True),
)
gateway = client.bind("MobileIdGateway", port)


def plain(value):
    """zeep gives aware datetimes, and base64Binary as bytes."""
    return value.isoformat() if isinstance(value, datetime) else base64.b64encode(value).decode()


def say(operation, **what):
    print(json.dumps({"operation": operation, **what}, default=plain), flush=True)


def call(operation, **request):
    response = gateway[operation](**request)
    say(operation, response=serialize_object(response, dict))
    return response


def must(holds, says):
    if not holds:
        raise SystemExit(says)


def text(title, content):
    return {"title": title, "content": content, "mediaType": "text/plain"}


def start(operation, **about):
    """Starts a transaction; the request id makes it safe to repeat."""
    return call(operation, requestId=str(uuid.uuid4()), externalRef=PERSON, locale="de", **about)


def decided(started):
    """The transaction once it is final; each call waits for the person."""
    last = started
    while last.state not in FINAL:
        last = call("GetTransaction", transactionId=started.transactionId, waitSeconds=20)
    return last


def approved(started):
    last = decided(started)
    must(last.state == "COMPLETED" and last.decision == "approved", f"it ended as {last.state}")
    return last


def redeemed(transaction, payment=None):
    """The code serves once, and of a payment for the very payment that was signed."""
    done = call(
        "RedeemAuthenticationCode",
        requestId=str(uuid.uuid4()),
        transactionId=transaction.transactionId,
        authenticationCode=transaction.authenticationCode,
        payment=payment,
    )
    must(done.redeemedAt is not None, "the code was not redeemed")


def activated(registration):
    """The registration once the person's app has bound their device."""
    while registration.state != "ACTIVATED":
        must(registration.state in ("ISSUED", "PENDING"), f"it ended as {registration.state}")
        time.sleep(0.2)
        registration = call("GetRegistration", registrationId=registration.registrationId)
    return registration


def consent_signature(content):
    started = start("StartConsentSignature", preContext=text("Darlehen über € 348.500,00", content))
    approved(started)
    evidence = call("GetEvidence", transactionId=started.transactionId)
    Path(os.environ["OUT"]).write_bytes(evidence.document)
    conclusion = call("VerifyEvidence", document=evidence.document)
    must(conclusion.indication == "TOTAL-PASSED", conclusion.explanation)


def text_signature():
    texts = [
        text("Kartenbedingungen", "Ich habe die Bedingungen gelesen."),
        text("Gebühren", "Ich zahle € 25,00 im Jahr."),
    ]
    approved(start("StartTextSignature", text=texts))


def authentications():
    redeemed(approved(start("StartAuthentication")))
    rejected = decided(start("StartAuthentication", preContext=text("Reject this", "Not now.")))
    must(rejected.state == "REJECTED", f"it ended as {rejected.state}")
    started = start("StartAuthentication", preContext=text("Leave this", "Nobody answers."))
    cancelled = call("CancelTransaction", transactionId=started.transactionId)
    must(cancelled.state == "CANCELLED", f"it ended as {cancelled.state}")


def authorisation():
    paid = approved(start("StartAuthorisation", payment=PAYMENT))
    redeemed(paid, payment=PAYMENT)
    proof = call("GetAuthorisationProof", transactionId=paid.transactionId)
    must(paid.transactionId.encode() in proof, "the proof is of something else")


def devices():
    """A second device, begun by an artifact that the bank's app gets, and what may happen to it."""
    issued = call("IssueRegistrationArtifact", requestId=str(uuid.uuid4()), externalRef=PERSON)
    device = activated(issued.registration).deviceId
    listed = call("ListDevices", externalRef=PERSON)
    must(len(listed) == 2 and listed[1].deviceId == device, "not the two devices")
    must(call("GetDevice", deviceId=device).state == "ACTIVE", "not active")
    must(call("RenameDevice", deviceId=device, name="Zweitgerät").name == "Zweitgerät", "not renamed")
    must(call("LockDevice", deviceId=device, reason="lost").state == "LOCKED", "not locked")
    must(call("UnlockDevice", deviceId=device).state == "ACTIVE", "not unlocked")
    reset = call("StartPinReset", requestId=str(uuid.uuid4()), deviceId=device)
    while reset.state == "PENDING":
        time.sleep(0.2)
        reset = call("GetPinReset", pinResetId=reset.pinResetId)
    must(reset.state == "COMPLETED", f"the PIN reset ended as {reset.state}")
    history = call("GetDeviceHistory", deviceId=device)
    must(
        {"BIND", "LOCK", "UNLOCK", "RESETPIN"} <= {entry.event for entry in history.entry}, "not its history"
    )
    must(call("RevokeDevice", deviceId=device, reason="replaced").state == "REVOKED", "not revoked")


def refused():
    """A fault's detail comes as an element, which the schema's type parses."""
    try:
        start("StartConsentSignature", preContext=text("Darlehen über € 348.500,00", "zero\u200bwidth"))
    except Fault as error:
        fault = client.get_element(FAULT).parse(error.detail[0], client.wsdl.types)
        say("StartConsentSignature", fault=serialize_object(fault, dict))


must(call("Heartbeat").database, "the gateway has no database")
name = {"name": "name", "value": "Zoë Ångström-Şahin"}
activated(call("StartRegistration", requestId=str(uuid.uuid4()), externalRef=PERSON, attribute=[name]))
consent_signature(Path(os.environ["CONSENT"]).read_text(encoding="utf-8"))
text_signature()
authentications()
authorisation()
devices()
refused()
