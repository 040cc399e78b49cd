"""The SOAP face as one WSGI application: the contract on GET, operations on POST.

The law: no exception leaves it; each ends as one typed fault. The order is part of it: bytes, one parse,
shape, who calls, and only then what the Body says; so nobody unknown learns from it, or makes it work.
One log line a call, without content, names or credentials. Rules and state are left to the services.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from gateway.core.errors import MethodNotAllowed, NotFound
from gateway.services.context import Gateway
from gateway.soap import guard
from gateway.soap.contract import SOAP_PATH, published
from gateway.soap.dispatch import DISPATCHERS
from gateway.soap.envelope import serialise
from gateway.soap.faults import fault
from gateway.soap.security import CallerAuthenticator
from gateway.soap.service import Call
from gateway.soap.validation import validate
from gateway.web import (
    Environ,
    Response,
    StartResponse,
    account,
    as_gateway_error,
    new_correlation_id,
    problem,
)


def soap_app(
    gw: Gateway, *, authenticator: CallerAuthenticator, max_bytes: int, address: str
) -> Callable[[Environ, StartResponse], Iterable[bytes]]:
    """A WSGI application for ``/soap/v1`` and below ``/schemas``; ``address`` is the ports' public URL."""

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "GET":
            response = _contract(environ, address=address)
        else:
            response = _Exchange(gw, authenticator, max_bytes).answer(environ)
        return response.send(start_response)

    return application


def _contract(environ: Environ, *, address: str) -> Response:
    try:
        return published(environ.get("PATH_INFO") or "", environ.get("QUERY_STRING") or "", address=address)
    except NotFound as error:
        return problem(error, correlation_id=new_correlation_id())


class _Exchange:
    """One call, from its first byte to its log line."""

    __slots__ = ("_authenticator", "_caller", "_gw", "_max_bytes", "_operation")

    def __init__(self, gw: Gateway, authenticator: CallerAuthenticator, max_bytes: int) -> None:
        self._gw = gw
        self._authenticator = authenticator
        self._max_bytes = max_bytes
        self._operation = "none"
        self._caller = "none"

    def answer(self, environ: Environ) -> Response:
        started = time.perf_counter()
        correlation_id = new_correlation_id()
        try:
            response, outcome = self._run(environ), "OK"
        except Exception as exception:  # the face's wall: nothing but a fault leaves it
            error = as_gateway_error(exception, correlation_id=correlation_id)
            version = guard.version_of(environ)
            response, outcome = fault(error, version=version, correlation_id=correlation_id), error.code
        account(
            "soap",
            operation=self._operation,
            outcome=outcome,
            correlation_id=correlation_id,
            seconds=time.perf_counter() - started,
            caller=self._caller,
        )
        return response

    def _run(self, environ: Environ) -> Response:
        if environ["REQUEST_METHOD"] != "POST" or environ.get("PATH_INFO") != SOAP_PATH:
            raise MethodNotAllowed()
        at = self._gw.clock.now()
        posted = guard.receive(environ, max_bytes=self._max_bytes)
        message = guard.parse(posted, understood=self._authenticator.understood)
        caller = self._authenticator.authenticate(message, at=at)
        self._caller = caller.id
        self._operation = guard.operation_of(message)
        validate(message.request)
        call = Call(gw=self._gw, caller=caller, at=at)
        document = DISPATCHERS[message.version].run(message.envelope, call=call)
        return Response(200, serialise(document), message.version.content_type)
