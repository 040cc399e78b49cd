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
from gateway.services import authorisation, context, devices, enrolment, evidence, starts, transactions
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
            at=call.at,
        )
        return types.StartRegistrationResponse(registration=convert.registration(found))

    @_operation(types.GetRegistrationResponse, types.GetRegistration)
    def GetRegistration(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        found = enrolment.get_registration(
            call.gw, call.caller, registration_id=request.registrationId, at=call.at
        )
        return types.GetRegistrationResponse(registration=convert.registration(found))

    @_operation(types.StartAuthenticationResponse, types.StartAuthentication)
    def StartAuthentication(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        asked = convert.asked(request, request.preContext)
        found = starts.start_authentication(
            call.gw, call.caller, external_ref=request.externalRef, asked=asked, at=call.at
        )
        return types.StartAuthenticationResponse(transaction=convert.transaction(found))

    @_operation(types.StartAuthorisationResponse, types.StartAuthorisation)
    def StartAuthorisation(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        asked = convert.asked(request, request.preContext, payment=request.payment)
        found = starts.start_authorisation(
            call.gw, call.caller, external_ref=request.externalRef, asked=asked, at=call.at
        )
        return types.StartAuthorisationResponse(transaction=convert.transaction(found))

    @_operation(types.StartConsentSignatureResponse, types.StartConsentSignature)
    def StartConsentSignature(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        asked = convert.asked(request, request.preContext)
        found = starts.start_consent_signature(
            call.gw, call.caller, external_ref=request.externalRef, asked=asked, at=call.at
        )
        return types.StartConsentSignatureResponse(transaction=convert.transaction(found))

    @_operation(types.StartTextSignatureResponse, types.StartTextSignature)
    def StartTextSignature(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        asked = convert.asked(request, *request.text)
        found = starts.start_text_signature(
            call.gw, call.caller, external_ref=request.externalRef, asked=asked, at=call.at
        )
        return types.StartTextSignatureResponse(transaction=convert.transaction(found))

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

    @_operation(types.RedeemAuthenticationCodeResponse, types.RedeemAuthenticationCode)
    def RedeemAuthenticationCode(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        found = authorisation.redeem_authentication_code(
            call.gw,
            call.caller,
            request_id=request.requestId,
            transaction_id=request.transactionId,
            code=request.authenticationCode,
            payment=None if request.payment is None else convert.asked_payment(request.payment),
            at=call.at,
        )
        return types.RedeemAuthenticationCodeResponse(transaction=convert.transaction(found))

    @_operation(types.GetAuthorisationProofResponse, types.GetAuthorisationProof)
    def GetAuthorisationProof(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        found = authorisation.get_authorisation_proof(
            call.gw, call.caller, transaction_id=request.transactionId, at=call.at
        )
        return types.GetAuthorisationProofResponse(document=[found])

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

    @_operation(types.ListDevicesResponse, types.ListDevices)
    def ListDevices(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        found = devices.list_devices(call.gw, call.caller, external_ref=request.externalRef, at=call.at)
        return types.ListDevicesResponse(device=[convert.device(view) for view in found])

    @_operation(types.GetDeviceResponse, types.GetDevice)
    def GetDevice(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        found = devices.get_device(call.gw, call.caller, device_id=request.deviceId, at=call.at)
        return types.GetDeviceResponse(device=convert.device(found))

    @_operation(types.RenameDeviceResponse, types.RenameDevice)
    def RenameDevice(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        found = devices.rename_device(
            call.gw, call.caller, device_id=request.deviceId, name=request.name, at=call.at
        )
        return types.RenameDeviceResponse(device=convert.device(found))

    @_operation(types.LockDeviceResponse, types.LockDevice)
    def LockDevice(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        found = devices.lock_device(
            call.gw,
            call.caller,
            device_id=request.deviceId,
            method=request.method,
            reason=request.reason,
            at=call.at,
        )
        return types.LockDeviceResponse(device=convert.device(found))

    @_operation(types.UnlockDeviceResponse, types.UnlockDevice)
    def UnlockDevice(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        found = devices.unlock_device(
            call.gw, call.caller, device_id=request.deviceId, method=request.method, at=call.at
        )
        return types.UnlockDeviceResponse(device=convert.device(found))

    @_operation(types.RevokeDeviceResponse, types.RevokeDevice)
    def RevokeDevice(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        found = devices.revoke_device(
            call.gw, call.caller, device_id=request.deviceId, reason=request.reason, at=call.at
        )
        return types.RevokeDeviceResponse(device=convert.device(found))

    @_operation(types.GetDeviceHistoryResponse, types.GetDeviceHistory)
    def GetDeviceHistory(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        found = devices.get_device_history(
            call.gw, call.caller, device_id=request.deviceId, after=request.after, at=call.at
        )
        return types.GetDeviceHistoryResponse(
            entry=[convert.device_event(entry) for entry in found.entries], next=found.next
        )

    @_operation(types.StartPinResetResponse, types.StartPinReset)
    def StartPinReset(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        found = devices.start_pin_reset(
            call.gw, call.caller, request_id=request.requestId, device_id=request.deviceId, at=call.at
        )
        return types.StartPinResetResponse(pinReset=convert.pin_reset(found))

    @_operation(types.GetPinResetResponse, types.GetPinReset)
    def GetPinReset(ctx: Any, request: Any) -> Any:
        call: Call = ctx.udc
        found = devices.get_pin_reset(call.gw, call.caller, pin_reset_id=request.pinResetId, at=call.at)
        return types.GetPinResetResponse(pinReset=convert.pin_reset(found))
