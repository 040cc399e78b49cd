"""The faces behind their paths, as one WSGI callable.

The law: a path that no face has is NOT_FOUND. A path is taken as it was sent: to the proxy in front,
``/metrics/../device/`` is one of ``/device/``, and handed on. How requests reach it is left to ``server``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from gateway.composition import (
    build_callback_key,
    build_gateway,
    build_message_key,
    build_rates,
    build_store,
    caller_certificates,
)
from gateway.config import Configuration, ConfigurationError
from gateway.core.errors import GatewayError, NotFound
from gateway.core.keys import jwk_of
from gateway.device.application import device_app
from gateway.metrics import exposition
from gateway.outbound.callback import CallbackKey
from gateway.rates import Cells
from gateway.services.context import Gateway
from gateway.soap.application import soap_app
from gateway.soap.security import AnyAuthenticator, Authentication, CallerCredential, MessageRules, pins_of
from gateway.web import Environ, Response, StartResponse, json_response, new_correlation_id, problem

Application = Callable[[Environ, StartResponse], Iterable[bytes]]


def build_application(configuration: Configuration, gateway: Gateway, *, cells: Cells) -> Application:
    """The faces behind their paths; everything else is NOT_FOUND."""
    table, rates = configuration.gateway, build_rates(configuration, cells)
    window = timedelta(seconds=table.messages.window_seconds)
    soap = soap_app(
        gateway,
        authenticator=build_authenticator(configuration),
        rates=rates,
        max_bytes=table.web.max_request_bytes,
        address=f"{table.public_url}/soap/v1",
        message_key=build_message_key(configuration),
        lifetime=window,
    )
    devices = device_app(gateway, admit=rates.admit_address, max_bytes=table.web.max_device_request_bytes)
    routes: list[tuple[str, Application]] = [
        ("/soap/", soap),
        ("/schemas/", soap),
        ("/device/", devices),
        ("/callbacks/", _CallbackKeys(build_callback_key(configuration))),
        ("/health/", _Health(gateway)),
        ("/metrics", _metrics),
    ]

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        for prefix, face in routes:
            if path == prefix or (prefix.endswith("/") and path.startswith(prefix)):
                return face(environ, start_response)
        return problem(NotFound(), correlation_id=new_correlation_id()).send(start_response)

    return application


def build_authenticator(configuration: Configuration) -> AnyAuthenticator:
    """Every caller by its own way; raises ConfigurationError for a certificate that cannot be a caller's."""
    table = configuration.gateway.messages
    certificates = caller_certificates(configuration)
    credentials = [
        CallerCredential(
            id=caller.id,
            relying_party=caller.relying_party,
            rights=frozenset(caller.rights),
            secret_sha256=None if caller.secret_sha256 is None else bytes.fromhex(caller.secret_sha256),
            authentication=Authentication(caller.authentication),
            certificates=certificates[caller.id],
        )
        for caller in configuration.callers.values()
    ]
    rules = MessageRules(timedelta(seconds=table.window_seconds), timedelta(seconds=table.skew_seconds))
    try:
        pins_of(credentials)
        return AnyAuthenticator(credentials, rules=rules)
    except ValueError as error:
        raise ConfigurationError([f"callers: {error}"]) from error


@dataclass(frozen=True, slots=True)
class _CallbackKeys:
    """``/callbacks/keys``: what banks verify callbacks with, as a JWK set (RFC 7517 section 5)."""

    key: CallbackKey

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != "/callbacks/keys":
            return problem(NotFound(), correlation_id=new_correlation_id()).send(start_response)
        jwk = {**jwk_of(self.key.public), "kid": self.key.id, "use": "sig", "alg": "ES256"}
        return json_response(200, {"keys": [jwk]}).send(start_response)


@dataclass(frozen=True, slots=True)
class _Health:
    """``/health/live``: the process answers. ``/health/ready``: the database does too."""

    gateway: Gateway

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path == "/health/live":
            return json_response(200, {"status": "live"}).send(start_response)
        if path != "/health/ready":
            return problem(NotFound(), correlation_id=new_correlation_id()).send(start_response)
        try:
            for tenant in self.gateway.tenants.relying_parties:
                self.gateway.store.transaction_states(tenant, [])
        except GatewayError:
            return json_response(503, {"status": "not ready"}).send(start_response)
        return json_response(200, {"status": "ready"}).send(start_response)


def build_application_from(configuration: Configuration, dsn: str, *, cells: Cells) -> Application:
    """Everything, over one database."""
    gateway = build_gateway(configuration, build_store(configuration, dsn))
    return build_application(configuration, gateway, cells=cells)


def _metrics(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """``/metrics``, for the machine itself: the TLS proxy in front does not hand it on."""
    body, content_type = exposition()
    return Response(200, body, content_type).send(start_response)
