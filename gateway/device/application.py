"""The device face: what an authenticator app asks of the gateway, as JSON over HTTP.

The law: ``docs/device-protocol.md`` and ``schemas/device-v1.json``, version 1. Each operation is: parse,
call one service, answer. All but registration and activation are signed by the device's transport key, and
of a signed request nothing is parsed before its signature was verified. Every error is one problem document;
nothing of a request is echoed or logged. Rules and state, a locked device's among them, are left to the
services, how often an address may ask to ``admit``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from gateway.core import httpsig
from gateway.core.activation import LOWER_UUID, RELYING_PARTY
from gateway.core.errors import MalformedMessage, MethodNotAllowed, NotFound, UnsupportedMediaType
from gateway.core.httpsig import SignedRequest
from gateway.core.model import DeviceBinding
from gateway.device import messages
from gateway.device.authentication import authenticate
from gateway.services import devices, enrolment, notices, starts, transactions
from gateway.services.context import Gateway
from gateway.web import (
    Environ,
    Response,
    StartResponse,
    account,
    as_gateway_error,
    json_response,
    new_correlation_id,
    problem,
    read_body,
)

_PATH: Final = re.compile(
    rf"/device/v1/(?P<relying_party>{RELYING_PARTY})/(?P<noun>[a-z]+)(?:/(?P<id>{LOWER_UUID})(?:/(?P<verb>[a-z]+))?)?"
)
_MEDIA_TYPE: Final = re.compile(r"application/json(?: ?; ?charset=\"?utf-8\"?)?", re.IGNORECASE)
_SIGNATURE_FIELDS: Final = {
    "content-digest": "HTTP_CONTENT_DIGEST",
    "signature-input": "HTTP_SIGNATURE_INPUT",
    "signature": "HTTP_SIGNATURE",
    httpsig.CLIENT_FIELD: "HTTP_MOBILEID_CLIENT",
}


@dataclass(frozen=True, slots=True)
class Call:
    gw: Gateway
    relying_party: str
    id: UUID
    """Of the activation, the transaction, the notice or the device; the nil UUID where the path has none."""
    body: bytes
    at: datetime


def _activate(call: Call) -> Response:
    request = messages.parse_activation(call.body, activation_id=call.id)
    done = enrolment.activate(call.gw, call.relying_party, request=request, at=call.at)
    answer = messages.activated(
        binding_id=done.binding.id,
        certificates=done.certificates,
        subject=done.subject,
        relying_party=done.relying_party,
        recovery=done.recovery,
    )
    return json_response(201, answer)


def _register(call: Call) -> Response:
    artifact = messages.parse_registration(call.body)
    opened = enrolment.redeem_artifact(call.gw, call.relying_party, artifact=artifact, at=call.at)
    return json_response(201, messages.registered(link=opened.link, expires_at=opened.expires_at))


def _list_notices(call: Call, device: DeviceBinding) -> Response:
    found = notices.list_notices(call.gw, device)
    return json_response(200, {"notices": [messages.notice(told) for told in found]})


def _see_notice(call: Call, device: DeviceBinding) -> Response:
    notices.see_notice(call.gw, device, notice_id=call.id, at=call.at)
    return json_response(200, {})


def _list_waiting(call: Call, device: DeviceBinding) -> Response:
    found = transactions.list_waiting(call.gw, device, at=call.at)
    return json_response(200, {"transactions": [messages.waiting(transaction) for transaction in found]})


def _claim(call: Call, device: DeviceBinding) -> Response:
    transaction = transactions.claim(call.gw, device, transaction_id=call.id, at=call.at)
    return json_response(200, messages.claimed(transaction))


def _fetch(call: Call, device: DeviceBinding) -> Response:
    transaction = transactions.fetch(call.gw, device, transaction_id=call.id, at=call.at)
    return json_response(200, messages.claimed(transaction))


def _decide(call: Call, device: DeviceBinding) -> Response:
    assertion = messages.parse_assertion(call.body)
    transaction = transactions.decide(
        call.gw, device, transaction_id=call.id, assertion=assertion, at=call.at
    )
    return json_response(200, messages.decided(transaction))


def _start(call: Call, device: DeviceBinding) -> Response:
    kind, asked = messages.parse_start(call.body)
    transaction = starts.start_from_device(call.gw, device, kind=kind, asked=asked, at=call.at)
    return json_response(201, messages.claimed(transaction))


def _device(call: Call, device: DeviceBinding) -> Response:
    return json_response(200, messages.device(devices.own_device(device, device_id=call.id)))


def _rename(call: Call, device: DeviceBinding) -> Response:
    own, name = devices.own_device(device, device_id=call.id), messages.parse_name(call.body)
    return json_response(200, messages.device(devices.rename_own(call.gw, own, name=name, at=call.at)))


def _lock(call: Call, device: DeviceBinding) -> Response:
    own = devices.own_device(device, device_id=call.id)
    return json_response(200, messages.device(devices.lock_own(call.gw, own, at=call.at)))


def _revoke(call: Call, device: DeviceBinding) -> Response:
    own, order = devices.own_device(device, device_id=call.id), messages.parse_revocation(call.body)
    return json_response(200, messages.device(devices.revoke_own(call.gw, own, order=order, at=call.at)))


def _change_pin(call: Call, device: DeviceBinding) -> Response:
    own = devices.own_device(device, device_id=call.id)
    order, pin_signature = messages.parse_pin_change(call.body)
    done = devices.change_pin(call.gw, own, order=order, pin_signature=pin_signature, at=call.at)
    return json_response(200, messages.device(done))


def _reset_pin(call: Call, device: DeviceBinding) -> Response:
    own = devices.own_device(device, device_id=call.id)
    order, code = messages.parse_pin_reset(call.body)
    done = devices.reset_pin(call.gw, own, order=order, code=code, at=call.at)
    return json_response(200, messages.device(done))


@dataclass(frozen=True, slots=True)
class Open:
    """An operation that no known key can have signed."""

    name: str
    run: Callable[[Call], Response]
    has_body: bool = True


@dataclass(frozen=True, slots=True)
class Signed:
    name: str
    run: Callable[[Call, DeviceBinding], Response]
    has_body: bool = False


_OPERATIONS: Final[Mapping[tuple[str, bool, str | None], Mapping[str, Open | Signed]]] = {
    ("registrations", False, None): {"POST": Open("register", _register)},
    ("activations", True, None): {"POST": Open("activate", _activate)},
    ("notices", False, None): {"GET": Signed("list-notices", _list_notices)},
    ("notices", True, "seen"): {"POST": Signed("see-notice", _see_notice)},
    ("transactions", False, None): {
        "GET": Signed("list", _list_waiting),
        "POST": Signed("start", _start, has_body=True),
    },
    ("transactions", True, None): {"GET": Signed("fetch", _fetch)},
    ("transactions", True, "claim"): {"POST": Signed("claim", _claim)},
    ("transactions", True, "assertion"): {"POST": Signed("decide", _decide, has_body=True)},
    ("devices", True, None): {"GET": Signed("device", _device)},
    ("devices", True, "name"): {"POST": Signed("rename", _rename, has_body=True)},
    ("devices", True, "lock"): {"POST": Signed("lock", _lock)},
    ("devices", True, "revocation"): {"POST": Signed("revoke", _revoke, has_body=True)},
    ("devices", True, "pin"): {"POST": Signed("change-pin", _change_pin, has_body=True)},
    ("devices", True, "pinreset"): {"POST": Signed("reset-pin", _reset_pin, has_body=True)},
}
"""By the path's noun, whether it has an id, and its verb; then by method."""


def device_app(
    gw: Gateway, *, admit: Callable[[Environ], None], max_bytes: int
) -> Callable[[Environ, StartResponse], Iterable[bytes]]:
    """A WSGI application for the paths below ``/device/v1``; a body has at most ``max_bytes``. ``admit`` is
    asked first, and may raise."""

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        started = time.perf_counter()
        correlation_id = new_correlation_id()
        located = _PATH.fullmatch(environ.get("PATH_INFO", ""))
        methods = _methods(located)
        operation = methods.get(environ["REQUEST_METHOD"])
        try:
            admit(environ)
            if located is None or not methods:
                raise NotFound()
            if operation is None:
                raise MethodNotAllowed()
            call = Call(
                gw=gw,
                relying_party=located["relying_party"],
                id=UUID(located["id"]) if located["id"] else UUID(int=0),
                body=read_body(environ, limit=max_bytes),
                at=gw.clock.now(),
            )
            response, outcome = _answer(call, operation, environ=environ), "OK"
        except Exception as exception:  # the face's wall: nothing but a problem document leaves it
            error = as_gateway_error(exception, correlation_id=correlation_id)
            response, outcome = problem(error, correlation_id=correlation_id), error.code
            if isinstance(error, MethodNotAllowed):  # RFC 9110 section 15.5.6
                response = replace(response, headers={"Allow": ", ".join(methods)})
        account(
            "device",
            operation=operation.name if operation else "none",
            outcome=outcome,
            correlation_id=correlation_id,
            seconds=time.perf_counter() - started,
        )
        return response.send(start_response)

    return application


def _answer(call: Call, operation: Open | Signed, *, environ: Environ) -> Response:
    if isinstance(operation, Open):
        _check_body(call, operation, environ=environ)
        return operation.run(call)
    device = authenticate(call.gw, call.relying_party, request=_signed_request(call, environ), at=call.at)
    _check_body(call, operation, environ=environ)
    return operation.run(call, device)


def _check_body(call: Call, operation: Open | Signed, *, environ: Environ) -> None:
    if not operation.has_body and call.body:
        raise MalformedMessage()
    if operation.has_body and not _MEDIA_TYPE.fullmatch(environ.get("CONTENT_TYPE") or ""):
        raise UnsupportedMediaType()
    if environ.get("HTTP_CONTENT_ENCODING"):
        raise UnsupportedMediaType()


def _signed_request(call: Call, environ: Environ) -> SignedRequest:
    """The target URI is the configured base URL with this path and query: the Host header says nothing."""
    query = environ.get("QUERY_STRING")
    return SignedRequest(
        method=environ["REQUEST_METHOD"],
        url=call.gw.public_url + environ["PATH_INFO"] + (f"?{query}" if query else ""),
        body=call.body,
        headers={name: environ[key] for name, key in _SIGNATURE_FIELDS.items() if key in environ},
    )


def _methods(located: re.Match[str] | None) -> Mapping[str, Open | Signed]:
    if located is None:
        return {}
    return _OPERATIONS.get((located["noun"], located["id"] is not None, located["verb"]), {})
