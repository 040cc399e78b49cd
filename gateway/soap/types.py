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


def _type(name: str, *members: tuple[str, Any]) -> Any:
    """A model of the schema's type or element of this name."""
    return type(ComplexModel)(name, (ComplexModel,), {"__namespace__": TNS, "_type_info": list(members)})


IdentityAttribute = _type("IdentityAttribute", ("name", _one(Unicode)), ("value", _one(Unicode)))

ShownContent = _type(
    "ShownContent", ("title", _one(Unicode)), ("content", _one(Unicode)), ("mediaType", _one(Unicode))
)

Activation = _type(
    "Activation",
    ("activationId", _one(Uuid)),
    ("activationCode", _one(Unicode)),
    ("qrPayload", _one(Unicode)),
)

RecoveryActivation = _type("RecoveryActivation", ("activationId", _one(Uuid)), ("qrPayload", _one(Unicode)))

Registration = _type(
    "Registration",
    ("registrationId", _one(Uuid)),
    ("state", _one(Unicode)),
    ("createdAt", _one(DateTime)),
    ("expiresAt", _one(DateTime)),
    ("activation", _optional(Activation)),
    ("deviceId", _optional(Uuid)),
    ("purpose", _optional(Unicode)),
    ("recovery", _optional(RecoveryActivation)),
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
    ("subIndication", _optional(Unicode)),
    ("explanation", _one(Unicode)),
    ("remedy", _optional(Unicode)),
    ("check", _many(Check)),
)

HeartbeatResponse = _type(
    "HeartbeatResponse", ("time", _one(DateTime)), ("version", _one(Unicode)), ("database", _one(Boolean))
)

StartRegistration = _type(
    "StartRegistration",
    ("requestId", _one(Unicode)),
    ("externalRef", _one(Unicode)),
    ("attribute", _many(IdentityAttribute)),
    ("purpose", _optional(Unicode)),
)

StartRegistrationResponse = _type("StartRegistrationResponse", ("registration", _one(Registration)))

GetRegistration = _type("GetRegistration", ("registrationId", _one(Uuid)))

GetRegistrationResponse = _type("GetRegistrationResponse", ("registration", _one(Registration)))

IssueRegistrationArtifact = _type(
    "IssueRegistrationArtifact",
    ("requestId", _one(Unicode)),
    ("externalRef", _one(Unicode)),
    ("attribute", _many(IdentityAttribute)),
    ("purpose", _optional(Unicode)),
)

IssueRegistrationArtifactResponse = _type(
    "IssueRegistrationArtifactResponse",
    ("registration", _one(Registration)),
    ("artifact", _one(Unicode)),
    ("deepLink", _one(Unicode)),
)

StartConsentSignature = _type(
    "StartConsentSignature",
    ("requestId", _one(Unicode)),
    ("externalRef", _one(Unicode)),
    ("profile", _optional(Unicode)),
    ("locale", _one(Unicode)),
    ("preContext", _one(ShownContent)),
    ("lifetimeSeconds", _optional(Integer32)),
)

StartConsentSignatureResponse = _type("StartConsentSignatureResponse", ("transaction", _one(Transaction)))

GetTransaction = _type("GetTransaction", ("transactionId", _one(Uuid)), ("waitSeconds", _optional(Integer32)))

GetTransactionResponse = _type("GetTransactionResponse", ("transaction", _one(Transaction)))

CancelTransaction = _type("CancelTransaction", ("transactionId", _one(Uuid)))

CancelTransactionResponse = _type("CancelTransactionResponse", ("transaction", _one(Transaction)))

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
