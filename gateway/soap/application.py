"""The SOAP face as one WSGI application: the contract on GET, operations on POST.

The law: no exception leaves it; each ends as one typed fault. The order is part of it: the address's rate,
bytes, one parse, shape, who calls, the caller's rate, and only then what the Body says; so nobody unknown
learns from it, or makes it work, and nobody spends another's rate, not even with a message that was the
other's. A signed message is taken once, and of it the Body alone goes on. Who signs is answered signed,
faults included.
One log line a call, without content, names or credentials. Rules and state are left to the services.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from lxml import etree

from gateway.core.errors import MethodNotAllowed, NotAuthenticated, NotFound, RateExceeded
from gateway.core.wssecurity import NSMAP, SECURITY, KeyReference, MessageKey, VerifiedMessage
from gateway.rates import Rates
from gateway.services.context import Gateway
from gateway.soap import addressing, guard
from gateway.soap.contract import SOAP_PATH, published
from gateway.soap.dispatch import DISPATCHERS
from gateway.soap.envelope import SoapVersion, serialise
from gateway.soap.faults import fault, headers_of, status_of
from gateway.soap.security import CallerAuthenticator, means_to_be_signed
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


@dataclass(frozen=True, slots=True)
class Face:
    """What every call of one SOAP face shares."""

    gw: Gateway
    authenticator: CallerAuthenticator
    rates: Rates
    max_bytes: int
    address: str
    """The ports' public URL."""
    message_key: MessageKey | None
    """Signs the answers to those who sign; None where nobody does."""
    lifetime: timedelta
    """Of a signed answer."""


def soap_app(
    gw: Gateway,
    *,
    authenticator: CallerAuthenticator,
    rates: Rates,
    max_bytes: int,
    address: str,
    message_key: MessageKey | None = None,
    lifetime: timedelta = timedelta(minutes=5),
) -> Callable[[Environ, StartResponse], Iterable[bytes]]:
    """A WSGI application for ``/soap/v1`` and below ``/schemas``; ``address`` is the ports' public URL."""
    face = Face(gw, authenticator, rates, max_bytes, address, message_key, lifetime)

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "GET":
            response = _contract(environ, rates=rates, address=address)
        else:
            response = _Exchange(face).answer(environ)
        return response.send(start_response)

    return application


def _contract(environ: Environ, *, rates: Rates, address: str) -> Response:
    try:
        rates.admit_address(environ)
        return published(environ.get("PATH_INFO") or "", environ.get("QUERY_STRING") or "", address=address)
    except (NotFound, RateExceeded) as error:
        return problem(error, correlation_id=new_correlation_id())


class _Exchange:
    """One call, from its first byte to its log line."""

    __slots__ = ("_caller", "_face", "_message", "_operation", "_signs", "_verified")

    def __init__(self, face: Face) -> None:
        self._face = face
        self._operation = "none"
        self._caller = "none"
        self._message: guard.Message | None = None
        self._signs = False
        self._verified: VerifiedMessage | None = None

    def answer(self, environ: Environ) -> Response:
        started = time.perf_counter()
        at = self._face.gw.clock.now()
        correlation_id = new_correlation_id()
        headers: dict[str, str] = {}
        try:
            envelope, status, outcome = self._run(environ, at=at), 200, "OK"
            version = self._version(environ)
        except Exception as exception:  # the face's wall: nothing but a fault leaves it
            error = as_gateway_error(exception, correlation_id=correlation_id)
            version = self._version(environ)
            envelope = fault(error, version=version, correlation_id=correlation_id)
            status, outcome, headers = status_of(error), error.code, headers_of(error)
        self._finish(envelope, version=version, fault=status != 200, at=at)
        account(
            "soap",
            operation=self._operation,
            outcome=outcome,
            correlation_id=correlation_id,
            seconds=time.perf_counter() - started,
            caller=self._caller,
        )
        return Response(status, serialise(envelope), version.content_type, headers)

    def _version(self, environ: Environ) -> SoapVersion:
        return guard.version_of(environ) if self._message is None else self._message.version

    def _run(self, environ: Environ, *, at: datetime) -> etree._Element:
        face = self._face
        face.rates.admit_address(environ)
        if environ["REQUEST_METHOD"] != "POST" or environ.get("PATH_INFO") != SOAP_PATH:
            raise MethodNotAllowed()
        posted = guard.receive(environ, max_bytes=face.max_bytes)
        message = self._message = guard.parse(posted, understood=face.authenticator.understood)
        self._signs = means_to_be_signed(message)
        found = face.authenticator.authenticate(message, at=at)
        self._caller = found.caller.id
        if found.signed is not None:
            self._refuse_known(found.caller.relying_party, found.signed)
        face.rates.admit_caller(found.caller.id)
        if found.signed is not None:
            self._take_once(found.caller.relying_party, found.signed)
        message.addressing.check(address=face.address)
        self._operation = guard.operation_of(message)
        validate(message.request)
        call = Call(gw=face.gw, caller=found.caller, at=at)
        return DISPATCHERS[message.version].run(message.body, call=call)

    def _refuse_known(self, relying_party: str, signed: VerifiedMessage) -> None:
        """Before the caller's rate: who repeats what a caller once signed spends nothing of it."""
        if self._face.gw.store.knows_message(relying_party, signed.owner, signed.replay_key):
            raise NotAuthenticated()

    def _take_once(self, relying_party: str, signed: VerifiedMessage) -> None:
        """Before anything is done for the message, and committed: nothing repeats it."""
        first = self._face.gw.store.remember_message(
            relying_party, signed.owner, signed.replay_key, expires_at=signed.remember_until
        )
        if not first:
            raise NotAuthenticated()
        self._verified = signed

    def _finish(self, envelope: etree._Element, *, version: SoapVersion, fault: bool, at: datetime) -> None:
        """The answer's header blocks; what cannot be read is answered without."""
        message = self._message
        key = self._face.message_key if self._signs else None
        if message is None or not (message.addressing or key):
            return
        header = envelope.find(version.tag("Header"))
        if header is None:
            header = etree.Element(version.tag("Header"))
            envelope.insert(0, header)
        signed: list[etree._Element] = list(header)
        if message.addressing:
            operation = None if fault else self._operation
            signed += addressing.answer(header, to=message.addressing, operation=operation)
        if key is not None:
            body = envelope.find(version.tag("Body"))
            assert body is not None
            security = etree.SubElement(header, SECURITY, nsmap=NSMAP)
            key.sign(
                security,
                signed=[body, *signed],
                kind=KeyReference.BINARY if self._verified is None else self._verified.kind,
                confirms=None if self._verified is None else self._verified.value,
                lifetime=self._face.lifetime,
                at=at,
            )
