"""Signatures of HTTP requests: RFC 9421 with one closed set of choices.

The law: a request carries exactly one signature (RFC 9421 section 2 and 3) over exactly ``@method``,
``@target-uri`` and ``content-digest`` (RFC 9530, one ``sha-256``, for an empty body too), and last
``mobileid-client`` where the request has that field, with exactly the parameters ``created``, ``nonce``,
``keyid``, ``alg`` and ``tag``. The target is what the verifier was configured to be, never what the request
says of its host. ``created`` lies within a minute of ``at``.
The signature base is built, and the fields are parsed, by http-message-signatures. A callback is signed
likewise, with ``expires`` and a tag of its own, so that neither can pass for the other; it names no client.
Whether the nonce was seen before, and who may use the key, is left to the caller of ``verify``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from http_message_signatures import (
    ContentDigest,
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    HTTPMessageVerifier,
    MappingKeyResolver,
)
from http_message_signatures.algorithms import ECDSA_P256_SHA256

from gateway.core.activation import LOWER_UUID
from gateway.core.client import Client, parse_client
from gateway.core.errors import DeviceNotAuthenticated

COMPONENTS: Final = ("@method", "@target-uri", "content-digest")
CLIENT_FIELD: Final = "mobileid-client"
"""Which app sends the request: ``name/version``. Where it is sent, it is the last component."""
TAG: Final = "mobileid-gateway"
WINDOW: Final = timedelta(seconds=60)
"""How far ``created`` may lie from the verifier's time, either way."""
CALLBACK_TAG: Final = "mobileid-gateway-callback"
CALLBACK_LIFETIME: Final = timedelta(minutes=5)
"""From ``created`` to ``expires``: each attempt is signed anew."""
LABEL: Final = "device"
"""What we write; the label is not signed, and any is accepted."""
CALLBACK_LABEL: Final = "gateway"
_PARAMETERS: Final = frozenset({"created", "nonce", "keyid", "alg", "tag"})
_KEYID: Final = re.compile(rf'keyid="({LOWER_UUID})"')
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_MAX_FIELD: Final = 1000
"""Characters of one header field; ours have less than half."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it came (or as it goes): nothing in it is verified."""

    method: str
    url: str
    """The target URI: of the verifier's own base URL and the request's path and query."""
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    """``content-digest``, ``signature-input`` and ``signature``; ``mobileid-client`` where it is sent."""

    def key_id(self) -> UUID:
        """Whose signature it claims to be; raises DeviceNotAuthenticated where it claims none or several."""
        claimed = _KEYID.findall(self.headers.get("signature-input", "")[:_MAX_FIELD])
        if len(claimed) != 1:
            raise DeviceNotAuthenticated()
        return UUID(claimed[0])

    def components(self) -> tuple[str, ...]:
        """What the signature covers."""
        return (*COMPONENTS, CLIENT_FIELD) if CLIENT_FIELD in self.headers else COMPONENTS


@dataclass(frozen=True, slots=True)
class VerifiedRequest:
    key_id: UUID
    nonce: str
    """128 bits as base64url without padding."""
    created: datetime
    client: Client | None


class _Verifier(HTTPMessageVerifier):  # type: ignore[misc]  # the package is not typed here
    """The package's verifier without its own look at the clock: here time is an argument."""

    def validate_created_and_expires(self, sig_input: Any, max_age: timedelta | None = None) -> None:
        if type(sig_input.params.get("created")) is not int:
            raise HTTPMessageSignaturesException("created is required")


def verify(request: SignedRequest, *, key: EllipticCurvePublicKey, at: datetime) -> VerifiedRequest:
    """Raises DeviceNotAuthenticated unless the key signed the request, over all that counts, just now."""
    key_id = request.key_id()
    if request.headers.get("content-digest") != ContentDigest.create(request.body):
        raise DeviceNotAuthenticated()
    if any(len(value) > _MAX_FIELD or not value.isascii() for value in request.headers.values()):
        raise DeviceNotAuthenticated()
    verifier = _Verifier(
        signature_algorithm=ECDSA_P256_SHA256,
        key_resolver=MappingKeyResolver(public_keys={str(key_id): key}, private_keys={}),
    )
    try:
        # With neither tag nor label expected, the package refuses a message with more than one signature;
        # its resolver knows one keyid alone.
        (result,) = verifier.verify(request, max_age=None)
        created = datetime.fromtimestamp(int(result.parameters["created"]), UTC)
        client = parse_client(request.headers[CLIENT_FIELD]) if CLIENT_FIELD in request.headers else None
    except (HTTPMessageSignaturesException, ValueError, OverflowError, OSError) as error:
        raise DeviceNotAuthenticated() from error
    parameters = result.parameters
    nonce = str(parameters.get("nonce", ""))
    covered = (*(f'"{name}"' for name in request.components()), '"@signature-params"')
    closed = (
        parameters.keys() == _PARAMETERS
        and tuple(result.covered_components) == covered
        and parameters["tag"] == TAG
        and parameters["alg"] == ECDSA_P256_SHA256.algorithm_id
        and _NONCE.fullmatch(nonce)
        and abs(at - created) <= WINDOW
    )
    if not closed:
        raise DeviceNotAuthenticated()
    return VerifiedRequest(key_id=key_id, nonce=nonce, created=created, client=client)


def sign(
    *,
    method: str,
    url: str,
    body: bytes,
    key_id: UUID,
    nonce: str,
    at: datetime,
    signer: Callable[[bytes], bytes],
    client: Client | None = None,
) -> dict[str, str]:
    """The header fields that make a request a signed one.

    ``signer`` gives r || s (ECDSA P-256 SHA-256) over the signature base, wherever its key is.
    """
    fields = {} if client is None else {CLIENT_FIELD: client.text()}
    request = SignedRequest(method=method, url=url, body=body, headers=fields)
    return _sign(request, signer, key_id=str(key_id), created=at, nonce=nonce, label=LABEL, tag=TAG)


def sign_callback(
    *, url: str, body: bytes, key_id: str, nonce: str, at: datetime, signer: Callable[[bytes], bytes]
) -> dict[str, str]:
    """The header fields that make a POST to a bank one that the gateway signed; ``signer`` as above."""
    return _sign(
        SignedRequest(method="POST", url=url, body=body),
        signer,
        key_id=key_id,
        created=at,
        expires=at + CALLBACK_LIFETIME,
        nonce=nonce,
        label=CALLBACK_LABEL,
        tag=CALLBACK_TAG,
    )


def _sign(request: SignedRequest, signer: Callable[[bytes], bytes], **parameters: Any) -> dict[str, str]:
    covered = request.components()
    prepared = _SIGNER.prepare(request, covered_component_ids=covered, body=request.body, **parameters)
    _SIGNER.apply(request, prepared, signer(prepared.signature_base))
    return {name.lower(): value for name, value in request.headers.items()}


_SIGNER: Final = HTTPMessageSigner(signature_algorithm=ECDSA_P256_SHA256)
