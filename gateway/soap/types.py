"""The messages as Spyne models: a mirror of ``schemas/gateway-v1.xsd``, compared with it by a test.

The law: the committed schema is the contract; here stand only names, order, occurrence and primitive
types, as Spyne needs them to read and write. Facets are not repeated, for requests are validated against
the schema.
"""

from __future__ import annotations

from typing import Any, Final

from spyne import Boolean, ByteArray, ComplexModel, DateTime, Integer32, Unicode, Uuid

from gateway.soap.envelope import TNS

UNBOUNDED: Final = float("inf")


def _one(kind: Any) -> Any:
    return kind.customize(min_occurs=1, max_occurs=1, nillable=False)


def _optional(kind: Any) -> Any:
    return kind.customize(min_occurs=0, max_occurs=1, nillable=False)


def _many(kind: Any) -> Any:
    return kind.customize(min_occurs=0, max_occurs=UNBOUNDED, nillable=False)


def _some(kind: Any, *, most: int) -> Any:
    return kind.customize(min_occurs=1, max_occurs=most, nillable=False)


def _type(name: str, *members: tuple[str, Any]) -> Any:
    """A model of the schema's type or element of this name."""
    return type(ComplexModel)(name, (ComplexModel,), {"__namespace__": TNS, "_type_info": list(members)})


IdentityAttribute = _type("IdentityAttribute", ("name", _one(Unicode)), ("value", _one(Unicode)))

ShownContent = _type(
    "ShownContent", ("title", _one(Unicode)), ("content", _one(Unicode)), ("mediaType", _one(Unicode))
)

Payee = _type("Payee", ("name", _one(Unicode)), ("account", _one(Unicode)), ("amount", _one(Unicode)))

Payment = _type(
    "Payment", ("total", _one(Unicode)), ("currency", _one(Unicode)), ("payee", _some(Payee, most=100))
)

Activation = _type(
    "Activation",
    ("activationId", _one(Uuid)),
    ("activationCode", _one(Unicode)),
    ("qrPayload", _one(Unicode)),
)

Registration = _type(
    "Registration",
    ("registrationId", _one(Uuid)),
    ("state", _one(Unicode)),
    ("createdAt", _one(DateTime)),
    ("expiresAt", _one(DateTime)),
    ("activation", _optional(Activation)),
    ("deviceId", _optional(Uuid)),
)

Transaction = _type(
    "Transaction",
    ("transactionId", _one(Uuid)),
    ("kind", _one(Unicode)),
    ("state", _one(Unicode)),
    ("createdAt", _one(DateTime)),
    ("expiresAt", _one(DateTime)),
    ("decidedAt", _optional(DateTime)),
    ("decision", _optional(Unicode)),
    ("deviceId", _optional(Uuid)),
    ("acr", _optional(Unicode)),
    ("amr", _many(Unicode)),
    ("channel", _one(Unicode)),
    ("matchNumber", _optional(Unicode)),
    ("authenticationCode", _optional(Unicode)),
    ("redeemedAt", _optional(DateTime)),
)

Check = _type(
    "Check",
    ("step", _one(Integer32)),
    ("name", _one(Unicode)),
    ("passed", _one(Boolean)),
    ("says", _one(Unicode)),
)

Conclusion = _type(
    "Conclusion",
    ("indication", _one(Unicode)),
    ("decision", _optional(Unicode)),
    ("subIndication", _optional(Unicode)),
    ("explanation", _one(Unicode)),
    ("remedy", _optional(Unicode)),
    ("check", _many(Check)),
)

Device = _type(
    "Device",
    ("deviceId", _one(Uuid)),
    ("name", _one(Unicode)),
    ("platform", _one(Unicode)),
    ("state", _one(Unicode)),
    ("lockedMethod", _many(Unicode)),
    ("boundAt", _one(DateTime)),
    ("attestation", _one(Unicode)),
    ("failedTries", _one(Integer32)),
    ("lastUsedAt", _optional(DateTime)),
)

DeviceEvent = _type(
    "DeviceEvent",
    ("at", _one(DateTime)),
    ("event", _one(Unicode)),
    ("state", _one(Unicode)),
    ("reason", _optional(Unicode)),
)

PinReset = _type(
    "PinReset",
    ("pinResetId", _one(Uuid)),
    ("deviceId", _one(Uuid)),
    ("state", _one(Unicode)),
    ("createdAt", _one(DateTime)),
    ("expiresAt", _one(DateTime)),
    ("resetCode", _optional(Unicode)),
)

HeartbeatResponse = _type(
    "HeartbeatResponse", ("time", _one(DateTime)), ("version", _one(Unicode)), ("database", _one(Boolean))
)

StartRegistration = _type(
    "StartRegistration",
    ("requestId", _one(Unicode)),
    ("externalRef", _one(Unicode)),
    ("attribute", _many(IdentityAttribute)),
)

StartRegistrationResponse = _type("StartRegistrationResponse", ("registration", _one(Registration)))

GetRegistration = _type("GetRegistration", ("registrationId", _one(Uuid)))

GetRegistrationResponse = _type("GetRegistrationResponse", ("registration", _one(Registration)))

_SUBJECT_AND_PROFILE: Final = (
    ("requestId", _one(Unicode)),
    ("externalRef", _one(Unicode)),
    ("profile", _optional(Unicode)),
    ("acr", _optional(Unicode)),
    ("locale", _one(Unicode)),
)
_AFTER: Final = (("postContext", _optional(ShownContent)), ("lifetimeSeconds", _optional(Integer32)))

StartAuthentication = _type(
    "StartAuthentication", *_SUBJECT_AND_PROFILE, ("preContext", _optional(ShownContent)), *_AFTER
)

StartAuthenticationResponse = _type("StartAuthenticationResponse", ("transaction", _one(Transaction)))

StartAuthorisation = _type(
    "StartAuthorisation",
    *_SUBJECT_AND_PROFILE,
    ("payment", _optional(Payment)),
    ("preContext", _optional(ShownContent)),
    *_AFTER,
)

StartAuthorisationResponse = _type("StartAuthorisationResponse", ("transaction", _one(Transaction)))

StartConsentSignature = _type(
    "StartConsentSignature", *_SUBJECT_AND_PROFILE, ("preContext", _one(ShownContent)), *_AFTER
)

StartConsentSignatureResponse = _type("StartConsentSignatureResponse", ("transaction", _one(Transaction)))

StartTextSignature = _type(
    "StartTextSignature", *_SUBJECT_AND_PROFILE, ("text", _some(ShownContent, most=20)), *_AFTER
)

StartTextSignatureResponse = _type("StartTextSignatureResponse", ("transaction", _one(Transaction)))

GetTransaction = _type("GetTransaction", ("transactionId", _one(Uuid)), ("waitSeconds", _optional(Integer32)))

GetTransactionResponse = _type("GetTransactionResponse", ("transaction", _one(Transaction)))

CancelTransaction = _type("CancelTransaction", ("transactionId", _one(Uuid)))

CancelTransactionResponse = _type("CancelTransactionResponse", ("transaction", _one(Transaction)))

RedeemAuthenticationCode = _type(
    "RedeemAuthenticationCode",
    ("requestId", _one(Unicode)),
    ("transactionId", _one(Uuid)),
    ("authenticationCode", _one(Unicode)),
    ("payment", _optional(Payment)),
)

RedeemAuthenticationCodeResponse = _type(
    "RedeemAuthenticationCodeResponse", ("transaction", _one(Transaction))
)

GetAuthorisationProof = _type("GetAuthorisationProof", ("transactionId", _one(Uuid)))

GetAuthorisationProofResponse = _type("GetAuthorisationProofResponse", ("document", _one(ByteArray)))

GetEvidence = _type("GetEvidence", ("transactionId", _one(Uuid)))

GetEvidenceResponse = _type(
    "GetEvidenceResponse",
    ("evidenceId", _one(Uuid)),
    ("transactionId", _one(Uuid)),
    ("level", _one(Unicode)),
    ("sealedAt", _one(DateTime)),
    ("document", _one(ByteArray)),
)

VerifyEvidence = _type("VerifyEvidence", ("document", _one(ByteArray)))

VerifyEvidenceResponse = _type("VerifyEvidenceResponse", ("conclusion", _one(Conclusion)))

ListDevices = _type("ListDevices", ("externalRef", _one(Unicode)))

ListDevicesResponse = _type("ListDevicesResponse", ("device", _many(Device)))

GetDevice = _type("GetDevice", ("deviceId", _one(Uuid)))

GetDeviceResponse = _type("GetDeviceResponse", ("device", _one(Device)))

RenameDevice = _type("RenameDevice", ("deviceId", _one(Uuid)), ("name", _one(Unicode)))

RenameDeviceResponse = _type("RenameDeviceResponse", ("device", _one(Device)))

LockDevice = _type(
    "LockDevice", ("deviceId", _one(Uuid)), ("method", _optional(Unicode)), ("reason", _one(Unicode))
)

LockDeviceResponse = _type("LockDeviceResponse", ("device", _one(Device)))

UnlockDevice = _type("UnlockDevice", ("deviceId", _one(Uuid)), ("method", _optional(Unicode)))

UnlockDeviceResponse = _type("UnlockDeviceResponse", ("device", _one(Device)))

RevokeDevice = _type("RevokeDevice", ("deviceId", _one(Uuid)), ("reason", _one(Unicode)))

RevokeDeviceResponse = _type("RevokeDeviceResponse", ("device", _one(Device)))

GetDeviceHistory = _type("GetDeviceHistory", ("deviceId", _one(Uuid)), ("after", _optional(Uuid)))

GetDeviceHistoryResponse = _type(
    "GetDeviceHistoryResponse", ("entry", _many(DeviceEvent)), ("next", _optional(Uuid))
)

StartPinReset = _type("StartPinReset", ("requestId", _one(Unicode)), ("deviceId", _one(Uuid)))

StartPinResetResponse = _type("StartPinResetResponse", ("pinReset", _one(PinReset)))

GetPinReset = _type("GetPinReset", ("pinResetId", _one(Uuid)))

GetPinResetResponse = _type("GetPinResetResponse", ("pinReset", _one(PinReset)))
