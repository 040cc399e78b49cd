"""The device protocol's HTTP, as the authenticator speaks it.

The law: ``docs/device-protocol.md``. Plain HTTP goes to this very machine only; elsewhere it is TLS with a
verified certificate. No redirect and no proxy is followed: the signature covers the target. An answer is
bounded, JSON, and either what was asked for or a problem document. What an answer means is left to the
authenticator.
"""

from __future__ import annotations

import http.client
import json
import secrets
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from gateway.authenticator.errors import GatewayRefused, GatewayUnreachable, NotTrusted
from gateway.core import httpsig
from gateway.core.client import Client as AppClient
from gateway.core.keys import sign_p256

MAX_ANSWER: Final = 4 * 1024 * 1024
"""Bytes of an answer that are read at most: the longest text that a profile allows, and more."""
TIMEOUT_SECONDS: Final = 30.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

Transport = Callable[[str, str, Mapping[str, str], bytes], tuple[int, bytes]]
"""(method, URL, header fields, body) -> (status, body); raises GatewayUnreachable."""


def http_transport(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    """One request over a connection of its own."""
    target = urlsplit(url)
    host = target.hostname or ""
    connection: http.client.HTTPConnection
    if target.scheme == "https":
        connection = http.client.HTTPSConnection(
            host, target.port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
        )
    elif target.scheme == "http" and host in _LOOPBACK:
        connection = http.client.HTTPConnection(host, target.port, timeout=TIMEOUT_SECONDS)
    else:
        raise NotTrusted("A gateway on another machine is spoken to over https only.")
    try:
        connection.request(method, target.path, body=body or None, headers=dict(headers))
        answer = connection.getresponse()
        data = answer.read(MAX_ANSWER + 1)
    except (OSError, http.client.HTTPException) as error:
        raise GatewayUnreachable("The gateway did not answer.") from error
    finally:
        connection.close()
    if len(data) > MAX_ANSWER:
        raise NotTrusted("The gateway's answer is too long.")
    return answer.status, data


@dataclass(frozen=True, slots=True)
class Client:
    gateway_url: str
    relying_party: str
    transport: Transport
    app: AppClient | None = None
    """What the app says of itself, signed with each request."""

    def register(self, artifact: str) -> dict[str, Any]:
        """Redeems an artifact; not signed: there are no keys yet."""
        body = json.dumps({"artifact": artifact}).encode()
        headers = {"content-type": "application/json"}
        return self._ask("POST", self._url("registrations"), headers=headers, body=body)

    def activate(self, activation_id: UUID, message: Mapping[str, Any]) -> dict[str, Any]:
        body = json.dumps(message).encode()
        url = self._url(f"activations/{activation_id}")
        headers = {"content-type": "application/json"}
        try:
            return self._ask("POST", url, headers=headers, body=body)
        except GatewayUnreachable:  # it may have been bound: the very same request is answered again
            return self._ask("POST", url, headers=headers, body=body)

    def signed(
        self,
        method: str,
        path: str,
        *,
        key: EllipticCurvePrivateKey,
        key_id: UUID,
        at: datetime,
        message: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """A request that the binding's transport key signs."""
        url = self._url(path)
        body = b"" if message is None else json.dumps(message).encode()
        headers = httpsig.sign(
            method=method,
            url=url,
            body=body,
            key_id=key_id,
            nonce=secrets.token_urlsafe(16),
            at=at,
            signer=lambda base: sign_p256(key, base),
            client=self.app,
        )
        if body:
            headers["content-type"] = "application/json"
        return self._ask(method, url, headers=headers, body=body)

    def _url(self, path: str) -> str:
        return f"{self.gateway_url}/device/v1/{self.relying_party}/{path}"

    def _ask(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        status, data = self.transport(method, url, headers, body)
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise NotTrusted(f"The gateway's answer (HTTP {status}) is not JSON.") from error
        if not isinstance(answer, dict):
            raise NotTrusted(f"The gateway's answer (HTTP {status}) is not an object.")
        if status in {200, 201}:
            return answer
        raise GatewayRefused(
            _word(answer, "code"), title=_word(answer, "title"), correlation_id=_word(answer, "correlationId")
        )


def _word(problem: Mapping[str, Any], member: str) -> str:
    """A member of a problem document, safe to print on a terminal."""
    value = problem.get(member)
    return value if isinstance(value, str) and value.isascii() and value.isprintable() else "unknown"
