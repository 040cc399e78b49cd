"""From what the services speak of to messages, and back: values only, no rules.

The law: what is None is left out. The names are the schema's on one side and the core's on the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.core.conclusion import Conclusion
from gateway.core.model import HistoryEntry, IdentityAttribute
from gateway.core.statement import Payee, ShownText
from gateway.core.transaction import Transaction
from gateway.ports import StoredEvidence
from gateway.services.context import Heartbeat
from gateway.services.devices import DeviceView, PinResetView
from gateway.services.enrolment import Activation, RegistrationView
from gateway.services.starts import Asked, AskedPayment
from gateway.soap import types


def attributes(elements: Sequence[Any] | None) -> tuple[IdentityAttribute, ...]:
    return tuple(IdentityAttribute(element.name, element.value) for element in elements or ())


def asked(request: Any, *texts: Any, payment: Any = None) -> Asked:
    """What all starts have in common; ``texts`` are those of the kind, and may be None."""
    return Asked(
        request_id=request.requestId,
        locale=request.locale,
        texts=tuple(_shown(text) for text in texts if text is not None),
        payment=None if payment is None else asked_payment(payment),
        post_context=None if request.postContext is None else _shown(request.postContext),
        profile=request.profile,
        acr=request.acr,
        lifetime_seconds=request.lifetimeSeconds,
    )


def asked_payment(element: Any) -> AskedPayment:
    payees = tuple(Payee(payee.name, payee.account, payee.amount) for payee in element.payee)
    return AskedPayment(element.total, element.currency, payees)


def _shown(element: Any) -> ShownText:
    return ShownText(element.title, element.content, element.mediaType)


def document(chunks: Sequence[bytes]) -> bytes:
    """Spyne reads base64Binary into a sequence of chunks."""
    return b"".join(chunks)


def heartbeat(value: Heartbeat) -> Any:
    return types.HeartbeatResponse(time=value.time, version=value.version, database=value.database)


def registration(value: RegistrationView) -> Any:
    return types.Registration(
        registrationId=value.id,
        state=value.state.value,
        createdAt=value.created_at,
        expiresAt=value.expires_at,
        activation=_activation(value.activation) if value.activation else None,
        deviceId=value.binding_id,
    )


def _activation(value: Activation) -> Any:
    return types.Activation(activationId=value.id, activationCode=value.code, qrPayload=value.qr_payload)


def transaction(value: Transaction) -> Any:
    return types.Transaction(
        transactionId=value.id,
        kind=value.kind.value,
        state=value.state.value,
        createdAt=value.created_at,
        expiresAt=value.expires_at,
        decidedAt=value.decided_at,
        decision=value.decision.value if value.decision else None,
        deviceId=value.binding_id,
        acr=value.acr,
        amr=list(value.amr),
        channel=value.channel.value,
        matchNumber=value.match_number,
        authenticationCode=value.authentication_code,
        redeemedAt=value.redeemed_at,
    )


def evidence(value: StoredEvidence) -> Any:
    return types.GetEvidenceResponse(
        evidenceId=value.id,
        transactionId=value.transaction_id,
        level=value.level,
        sealedAt=value.sealed_at,
        document=[value.document],
    )


def conclusion(value: Conclusion) -> Any:
    return types.Conclusion(
        indication=value.indication.value,
        decision=value.decision.value if value.decision else None,
        subIndication=value.sub_indication.value if value.sub_indication else None,
        explanation=value.explanation,
        remedy=value.remedy or None,
        check=[
            types.Check(step=check.step, name=check.name, passed=check.passed, says=check.says)
            for check in value.checks
        ],
    )


def device(value: DeviceView) -> Any:
    binding = value.binding
    return types.Device(
        deviceId=binding.id,
        name=binding.name,
        platform=binding.platform,
        state=binding.state.value,
        lockedMethod=sorted(binding.locked_methods),
        boundAt=binding.bound_at,
        attestation=binding.attestation.verdict,
        failedTries=binding.failures,
        lastUsedAt=value.last_used_at,
    )


def device_event(value: HistoryEntry) -> Any:
    return types.DeviceEvent(at=value.at, event=value.event, state=value.state, reason=value.reason or None)


def pin_reset(value: PinResetView) -> Any:
    return types.PinReset(
        pinResetId=value.id,
        deviceId=value.binding_id,
        state=value.state.value,
        createdAt=value.created_at,
        expiresAt=value.expires_at,
        resetCode=value.code,
    )
