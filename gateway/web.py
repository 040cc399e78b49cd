"""HTTP plumbing that every face shares: bounded reads, responses, correlation ids, problem documents.

The law: a body is never read past its limit; an error becomes one problem document (RFC 9457) by one
table; anything unknown becomes INTERNAL with a correlation id and nothing else. What the paths and
bodies mean is left to the faces.
"""

from __future__ import annotations

import json
import secrets
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import structlog

from gateway import metrics
from gateway.core.errors import GatewayError, InternalError, MalformedMessage, MessageTooLarge

log = structlog.get_logger("gateway")

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
CORRELATION_LENGTH = 32
"""Hexadecimal digits: 128 random bits."""

GROUP_STATUS = {"REQUEST": 400, "STATE": 409, "REFUSED": 403, "UNAVAILABLE": 503}
CODE_STATUS = {
    "MESSAGE_TOO_LARGE": 413,
    "REQUEST_TIMEOUT": 408,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "METHOD_NOT_ALLOWED": 405,
    "UNKNOWN_OPERATION": 404,
    "NOT_FOUND": 404,
    "NOT_AUTHENTICATED": 401,
    "RATE_EXCEEDED": 429,
    "DEVICE_NOT_AUTHENTICATED": 401,
    "INTERNAL": 500,
}
"""Where a code's status is not its group's."""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def send(self, start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI answer; no sniffing, no caching unless the headers say otherwise."""
        start_response(
            f"{self.status} {HTTPStatus(self.status).phrase}",
            [
                ("Content-Type", self.content_type),
                ("Content-Length", str(len(self.body))),
                ("X-Content-Type-Options", "nosniff"),
                ("Cache-Control", "no-store"),
                *self.headers.items(),
            ],
        )
        return [self.body]


def new_correlation_id() -> str:
    return secrets.token_hex(CORRELATION_LENGTH // 2)


def read_body(environ: Environ, *, limit: int) -> bytes:
    """The request's body; raises MessageTooLarge past ``limit`` bytes, whatever Content-Length says."""
    announced = environ.get("CONTENT_LENGTH") or ""
    known = announced.isascii() and announced.isdigit() and len(announced) <= len(str(limit))
    if announced and not (known and int(announced) <= limit):
        raise MessageTooLarge()
    body = bytes(environ["wsgi.input"].read(limit + 1))
    if len(body) > limit:
        raise MessageTooLarge()
    return body


CLIENT_CERTIFICATE = "HTTP_X_CLIENT_CERTIFICATE"
"""The environ's key for what the TLS proxy says of the client: a PEM certificate, percent-encoded. ``server``
lets it through from the unix socket alone."""


def client_certificate(environ: Environ) -> bytes | None:
    """The client's certificate, DER; None where none is stated; raises MalformedMessage for other text."""
    stated = environ.get(CLIENT_CERTIFICATE) or ""
    if not stated:
        return None
    try:
        return ssl.PEM_cert_to_DER_cert(unquote(stated, errors="strict").strip() + "\n")
    except ValueError as error:
        raise MalformedMessage() from error


def as_gateway_error(error: Exception, *, correlation_id: str) -> GatewayError:
    """The error itself where it is ours; else InternalError, with the type and place of it in the log."""
    if isinstance(error, GatewayError):
        return error
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    log.error(
        "internal",
        correlation_id=correlation_id,
        type=type(error).__name__,
        at=f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else "",
    )
    return InternalError()


def account(
    face: str, *, operation: str, outcome: str, correlation_id: str, seconds: float, **fields: str
) -> None:
    """One request, done: one log line and the metrics. No content, no names, no credentials."""
    metrics.REQUESTS.labels(face, operation, outcome).inc()
    metrics.SECONDS.labels(face).observe(seconds)
    log.info(
        face,
        operation=operation,
        outcome=outcome,
        correlation_id=correlation_id,
        milliseconds=round(seconds * 1000, 1),
        **fields,
    )


def json_response(
    status: int, value: Mapping[str, Any], *, content_type: str = "application/json"
) -> Response:
    return Response(status, json.dumps(value, ensure_ascii=False).encode(), content_type)


def status_of(error: GatewayError) -> int:
    return CODE_STATUS.get(error.code, GROUP_STATUS[error.group])


def problem(error: GatewayError, *, correlation_id: str) -> Response:
    """The problem document of an error (RFC 9457)."""
    value = {
        "type": f"urn:mobileid-gateway:error:{error.code}",
        "title": error.sentence,
        "status": status_of(error),
        "detail": error.message,
        "code": error.code,
        "group": error.group,
        "retryable": error.retryable,
        "correlationId": correlation_id,
    }
    if error.field is not None:
        value["field"] = error.field
    challenge = {"WWW-Authenticate": "Signature"} if status_of(error) == 401 else {}
    return replace(
        json_response(status_of(error), value, content_type="application/problem+json"),
        headers=challenge | retry_header(error),
    )


def retry_header(error: GatewayError) -> dict[str, str]:
    """RFC 9110 section 10.2.3."""
    return {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
