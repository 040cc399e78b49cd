"""The one tree of errors: every leaf is a stable code, a group and one sentence.

The law: a caller decides by ``code``; ``group`` says who must act. REQUEST: the caller must change
something. STATE: look again, the world is not as the caller thought. REFUSED: policy or proof said
no. UNAVAILABLE: retry later. Nothing in a message comes from a parser, SQL, Python, or the request,
but for the code points and field paths that a leaf names on purpose.

How a leaf becomes a SOAP fault or a problem document is left to the faces.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar


class GatewayError(Exception):
    """The root: never raised itself."""

    code: ClassVar[str]
    group: ClassVar[str]
    sentence: ClassVar[str]
    remedy: ClassVar[str] = ""
    retryable: ClassVar[bool] = False
    retry_after: int | None = None
    """Whole seconds after which a retry may succeed, where that is known."""

    def __init__(self, detail: str = "", *, field: str | None = None) -> None:
        self.message = f"{self.sentence} {detail}".strip() if detail else self.sentence
        self.field = field
        super().__init__(self.message)


class RequestError(GatewayError):
    group = "REQUEST"


class StateError(GatewayError):
    group = "STATE"


class RefusedError(GatewayError):
    group = "REFUSED"


class UnavailableError(GatewayError):
    group = "UNAVAILABLE"
    retryable = True


class MisuseError(Exception):
    """Our own code called something wrongly; never the answer to a caller's input."""


# REQUEST: the caller must change something.


class MalformedMessage(RequestError):
    code = "MALFORMED_MESSAGE"
    sentence = "The message is not a well-formed request of the accepted kind."
    remedy = (
        "SOAP: one UTF-8 or UTF-16 message without DOCTYPE, comment or processing instruction; devices: JSON."
    )


class SchemaInvalid(RequestError):
    code = "SCHEMA_INVALID"
    sentence = "The message does not follow the published schema."
    remedy = "Validate the request against the published schema; the field names the first element at fault."


class MessageTooLarge(RequestError):
    code = "MESSAGE_TOO_LARGE"
    sentence = "The message is larger than this endpoint accepts."
    remedy = "Send a smaller message; the limit is in the gateway's configuration."


class RequestTimeout(RequestError):
    code = "REQUEST_TIMEOUT"
    sentence = "The request's body did not arrive in time."
    remedy = "Send the whole request at once, with the same request id."
    retryable = True


class UnsupportedMediaType(RequestError):
    code = "UNSUPPORTED_MEDIA_TYPE"
    sentence = "The content type, character set or content coding is not accepted here."
    remedy = (
        "SOAP 1.1: text/xml; SOAP 1.2: application/soap+xml; either in multipart/related (MTOM); devices:"
        " application/json. No Content-Encoding."
    )


class MethodNotAllowed(RequestError):
    code = "METHOD_NOT_ALLOWED"
    sentence = "This HTTP method is not accepted here."
    remedy = "Use POST for SOAP operations, GET for the contract, and for devices what the protocol says."


class UnknownOperation(RequestError):
    code = "UNKNOWN_OPERATION"
    sentence = "The Body names no operation of this service."
    remedy = "Use an operation and a namespace of the published WSDL."


class ActionMismatch(RequestError):
    code = "ACTION_MISMATCH"
    sentence = "The SOAPAction names another operation than the Body."
    remedy = "Send the soapAction of the WSDL for the operation in the Body, or an empty one."


class HeaderNotUnderstood(RequestError):
    code = "HEADER_NOT_UNDERSTOOD"
    sentence = "A header block that must be understood is not understood here."
    remedy = "Remove the header block or its mustUnderstand attribute."


class AddressingNotSupported(RequestError):
    code = "ADDRESSING_NOT_SUPPORTED"
    sentence = "The WS-Addressing headers ask for what is not done here."
    remedy = "Send To as the WSDL's address, each header once, and ReplyTo and FaultTo, if any, as anonymous."


class VersionMismatch(RequestError):
    code = "VERSION_MISMATCH"
    sentence = "The envelope is neither SOAP 1.1 nor SOAP 1.2."
    remedy = "Use one of the two envelope namespaces, with the content type that belongs to it."


class InvalidValue(RequestError):
    code = "INVALID_VALUE"
    sentence = "A value is outside of what this operation accepts."
    remedy = "Correct the named field."


class TextNotDisplayable(RequestError):
    code = "TEXT_NOT_DISPLAYABLE"
    sentence = "The text has a character that cannot be shown faithfully."
    remedy = "Send NFC text of visible characters; the message names the code point and its offset."


class TextNotMarkdown(RequestError):
    code = "TEXT_NOT_MARKDOWN"
    sentence = "The text is outside of the markdown that is shown here."
    remedy = "Keep to the grammar of docs/markdown.md; the message names the line and the rule."


class TextTooLong(RequestError):
    code = "TEXT_TOO_LONG"
    sentence = "The text is longer than the signature profile allows."
    remedy = "Shorten the text or use a profile that allows more."


class RequestIdReused(RequestError):
    code = "REQUEST_ID_REUSED"
    sentence = "This request id was used before with other content."
    remedy = "Use a fresh request id for a new request; repeat one only with the same content."


class NotFound(RequestError):
    code = "NOT_FOUND"
    sentence = "There is nothing under this reference."
    remedy = "Check the id or the externalRef, and that it belongs to this relying party."


class UnreadableDocument(RequestError):
    code = "UNREADABLE_DOCUMENT"
    sentence = "The document is not evidence that can be read at all."
    remedy = "Send the bytes of an evidence document exactly as they were received."


# STATE: look again.


class TransactionNotPending(StateError):
    code = "TRANSACTION_NOT_PENDING"
    sentence = "The transaction no longer waits for a decision."
    remedy = "Ask for its state with GetTransaction."


class TransactionExpired(StateError):
    code = "TRANSACTION_EXPIRED"
    sentence = "The transaction's time is over."
    remedy = "Start a new transaction."


class TransactionClaimed(StateError):
    code = "TRANSACTION_CLAIMED"
    sentence = "Another device of the subject has taken this transaction."
    remedy = "Decide on the other device, or start a new transaction."


class EvidenceNotReady(StateError):
    code = "EVIDENCE_NOT_READY"
    sentence = "There is no evidence for this transaction now."
    remedy = "Wait until the transaction is COMPLETED; a rejected or expired one leaves no evidence."


class NoActiveDevice(StateError):
    code = "NO_ACTIVE_DEVICE"
    sentence = "The subject has no device that could answer."
    remedy = "Register and activate a device first."


class DeviceLocked(StateError):
    code = "DEVICE_LOCKED"
    sentence = "The device is locked."
    remedy = "The bank unlocks it; after too many failures a PIN reset or a new activation opens it too."


class MethodLocked(StateError):
    code = "METHOD_LOCKED"
    sentence = "A method that this needs is locked on the device."
    remedy = "The bank unlocks the method, or starts a PIN reset; what does not need it goes on."


class DeviceRevoked(StateError):
    code = "DEVICE_REVOKED"
    sentence = "The device was revoked, for ever."
    remedy = "Register and activate a device anew."


class TransactionLimitReached(StateError):
    code = "TRANSACTION_LIMIT_REACHED"
    sentence = "Too much waits for this subject, or was started within a short time."
    remedy = "Wait until the subject has decided; the signature profile says how much may wait."


class DeviceLimitReached(StateError):
    code = "DEVICE_LIMIT_REACHED"
    sentence = "The subject has as many devices as one may have."
    remedy = "Revoke a device first, or register for re-activation, which replaces one."


class Conflict(StateError):
    code = "CONFLICT"
    sentence = "Something else changed this at the same moment."
    remedy = "Look at the present state and decide again."


# REFUSED: policy or proof said no.


class NotAuthenticated(RefusedError):
    code = "NOT_AUTHENTICATED"
    sentence = "The caller could not be authenticated."
    remedy = "Check the credentials; which part is wrong is never told."


class NotPermitted(RefusedError):
    code = "NOT_PERMITTED"
    sentence = "This caller has no right to this operation."
    remedy = "An administrator grants rights in the caller's configuration file."


class ProfileNotAvailable(RefusedError):
    code = "PROFILE_NOT_AVAILABLE"
    sentence = "No such signature profile is available to this relying party."
    remedy = "Name a profile that the relying party's configuration lists for this kind."


class ActivationRefused(RefusedError):
    code = "ACTIVATION_REFUSED"
    sentence = "The activation was refused."
    remedy = "Check the code; after too many failures or too long a time the bank starts a new registration."


class AttestationRefused(RefusedError):
    code = "ATTESTATION_REFUSED"
    sentence = "The attestation of the device's key was refused."
    remedy = (
        "Use a phone whose system is locked and verified, and the bank's own app; the gateway's log says what"
        " was found, and docs/operations.md whom it believes."
    )


class ClientNotAccepted(RefusedError):
    code = "CLIENT_NOT_ACCEPTED"
    sentence = "This app, or this version of it, is not accepted."
    remedy = "Update the app; which versions are accepted is in the gateway's configuration."


class DeviceNotAuthenticated(RefusedError):
    code = "DEVICE_NOT_AUTHENTICATED"
    sentence = "The device's request could not be authenticated."
    remedy = "Sign the request with the transport key of an active binding, with a fresh nonce and time."


class CodeRefused(RefusedError):
    code = "CODE_REFUSED"
    sentence = "The authentication code was refused."
    remedy = (
        "A code serves once, for its own transaction, amount and payee, and for a short time; which of these"
        " failed is never told."
    )


class AssertionRefused(RefusedError):
    code = "ASSERTION_REFUSED"
    sentence = "The assertion was refused."
    remedy = "Which element failed is never told; a failed try may have been counted."


class ProofRefused(RefusedError):
    code = "PROOF_REFUSED"
    sentence = "What the device sent does not prove what this needs."
    remedy = "Which element failed is never told; a failed try may have been counted."


# UNAVAILABLE: retry.


class StoreUnavailable(UnavailableError):
    code = "STORE_UNAVAILABLE"
    sentence = "The identity store does not answer now."
    remedy = "Retry with the same request id."


class SealUnavailable(UnavailableError):
    code = "SEAL_UNAVAILABLE"
    sentence = "The seal cannot be made now."
    remedy = "Nothing is lost: the gateway finishes by itself; ask again later."


class PushUnavailable(UnavailableError):
    code = "PUSH_UNAVAILABLE"
    sentence = "The push service did not take the wake-up."
    remedy = "Nothing is lost: it is sent again, and devices also ask by themselves."


class Overloaded(UnavailableError):
    code = "OVERLOADED"
    sentence = "The gateway has too much to do."
    remedy = "Retry after a moment with the same request id."


class RateExceeded(UnavailableError):
    code = "RATE_EXCEEDED"
    sentence = "This caller or this address asks too often."
    remedy = "Wait as long as Retry-After says, then retry with the same request id; ask less often."

    def __init__(self, detail: str = "", *, field: str | None = None, retry_after: int = 1) -> None:
        super().__init__(detail, field=field)
        self.retry_after = retry_after


class InternalError(UnavailableError):
    code = "INTERNAL"
    sentence = "Something unexpected happened."
    remedy = "Give the correlation id to the gateway's operator."
    retryable = False


def leaves(of: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    """Every class of the tree that has a code, in the order of definition."""
    for sub in of.__subclasses__():
        if "code" in vars(sub):
            yield sub
        yield from leaves(sub)
