"""The operations, one method each: convert, call one service, convert.

The law: no rule, no SQL, no error handling here. A method's name is the operation's; what it takes and
gives are the schema's request and response elements. ``ctx.udc`` is the Call that the application made of
the request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from spyne import Service, rpc

from gateway.core.model import Caller
from gateway.services import context, enrolment, evidence, transactions
from gateway.services.context import Gateway
from gateway.soap import convert, types

_Method = TypeVar("_Method", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks, of which gateway, at what time: the same for all of one request."""

    gw: Gateway
    caller: Caller
    at: datetime


def _operation(answer: Any, *request: Any) -> Callable[[_Method], _Method]:
    return rpc(*request, _returns=answer, _body_style="bare")  # type: ignore[no-any-return]


class MobileIdGateway(Service):  # type: ignore[misc]
    @_operation(types.HeartbeatResponse)
    def Heartbeat(ctx: Any) -> Any:
        call: Call = ctx.udc
        return convert.heartbeat(context.heartbeat(call.gw, call.caller, at=call.at))

    @_operation(types.StartRegistrationResponse, types.StartRegistration)
    def StartRegistration(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        found = enrolment.start_registration(
            call.gw,
            call.caller,
            request_id=request.requestId,
            external_ref=request.externalRef,
            attributes=convert.attributes(request.attribute),
            purpose=request.purpose,
            at=call.at,
        )
        return types.StartRegistrationResponse(registration=convert.registration(found))

    @_operation(types.IssueRegistrationArtifactResponse, types.IssueRegistrationArtifact)
    def IssueRegistrationArtifact(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        found = enrolment.issue_artifact(
            call.gw,
            call.caller,
            request_id=request.requestId,
            external_ref=request.externalRef,
            attributes=convert.attributes(request.attribute),
            purpose=request.purpose,
            at=call.at,
        )
        return convert.issued_artifact(found)

    @_operation(types.GetRegistrationResponse, types.GetRegistration)
    def GetRegistration(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        found = enrolment.get_registration(
            call.gw, call.caller, registration_id=request.registrationId, at=call.at
        )
        return types.GetRegistrationResponse(registration=convert.registration(found))

    @_operation(types.StartConsentSignatureResponse, types.StartConsentSignature)
    def StartConsentSignature(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        found = transactions.start_consent_signature(
            call.gw,
            call.caller,
            request_id=request.requestId,
            external_ref=request.externalRef,
            profile=request.profile,
            locale=request.locale,
            title=request.preContext.title,
            text=request.preContext.content,
            media_type=request.preContext.mediaType,
            lifetime_seconds=request.lifetimeSeconds,
            at=call.at,
        )
        return types.StartConsentSignatureResponse(transaction=convert.transaction(found))

    @_operation(types.GetTransactionResponse, types.GetTransaction)
    def GetTransaction(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        found = transactions.get_transaction(
            call.gw,
            call.caller,
            transaction_id=request.transactionId,
            wait_seconds=request.waitSeconds or 0,
            at=call.at,
        )
        return types.GetTransactionResponse(transaction=convert.transaction(found))

    @_operation(types.CancelTransactionResponse, types.CancelTransaction)
    def CancelTransaction(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        found = transactions.cancel_transaction(
            call.gw, call.caller, transaction_id=request.transactionId, at=call.at
        )
        return types.CancelTransactionResponse(transaction=convert.transaction(found))

    @_operation(types.GetEvidenceResponse, types.GetEvidence)
    def GetEvidence(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        found = evidence.get_evidence(call.gw, call.caller, transaction_id=request.transactionId, at=call.at)
        return convert.evidence(found)

    @_operation(types.VerifyEvidenceResponse, types.VerifyEvidence)
    def VerifyEvidence(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        found = evidence.verify_evidence(
            call.gw, call.caller, document=convert.document(request.document), at=call.at
        )
        return types.VerifyEvidenceResponse(conclusion=convert.conclusion(found))
