"""Activation: the link that the QR code carries, and the proofs that a device holds its three keys.

The law: activation comes in two halves (RTS (EU) 2018/389 articles 24 to 27): the link carries the
activation id and whom to trust, the code travels on the other channel. Each of the three keys signs
the same ``proof_bytes`` (proof of possession, as RFC 4211 section 4 asks of any key to be certified).
The code is not among those bytes: no proof, kept by anybody, lets a code be guessed. A proof by the
PIN key lets a PIN be guessed by whoever has the device: it is verified and forgotten, never stored.
Who counts tries and compares the code is left to the services.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from gateway.core.canonical import b64
from gateway.core.errors import ActivationRefused
from gateway.core.keys import parse_p256, verify_p256
from gateway.core.model import Attestation, DeviceKeys

PROOF_DOMAIN: Final = "mobileid-gateway:activation-proof:1"
"""First line of the proof bytes: nothing else that any of the keys signs begins so."""
RELYING_PARTY: Final = r"[a-z0-9-]{1,40}"
LOWER_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
BASE_URL: Final = re.compile(
    r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[1-9][0-9]{0,4})?(?:/[A-Za-z0-9._~-]+)*"
)
"""Of a gateway, as devices see it: signatures cover it, so it has one spelling and no escapes."""
_LINK: Final = re.compile(
    rf"mobileid://activate\?v=1&rp=({RELYING_PARTY})&id=({LOWER_UUID})"
    r"&gw=([A-Za-z0-9._~%-]{1,600})&key=([A-Za-z0-9_-]{43})"
)


@dataclass(frozen=True, slots=True)
class KeyProofs:
    """One signature (r || s, 64 bytes) over the proof bytes by each key."""

    signing: bytes
    transport: bytes
    pin: bytes


@dataclass(frozen=True, slots=True)
class ActivationRequest:
    """What a device sends to be bound; nothing in it is verified yet."""

    activation_id: UUID
    code: str
    """The half that came on the other channel."""
    name: str
    """How the subject calls the device."""
    platform: str
    keys: DeviceKeys
    proofs: KeyProofs
    push_target: str | None
    attestation: Attestation


@dataclass(frozen=True, slots=True)
class VerifiedKeys:
    """Three different P-256 keys whose possession was proven for one activation."""

    signing: EllipticCurvePublicKey
    transport: EllipticCurvePublicKey
    pin: EllipticCurvePublicKey
    encoded: DeviceKeys


def proof_bytes(*, relying_party: str, activation_id: UUID, keys: DeviceKeys) -> bytes:
    """What each of the three keys signs: ASCII lines, each ended by LF.

    No value can hold an LF or a blank, so two different inputs never give equal bytes.
    """
    lines = (
        PROOF_DOMAIN,
        f"relying-party {relying_party}",
        f"activation {activation_id}",
        f"signing {b64(keys.signing)}",
        f"transport {b64(keys.transport)}",
        f"pin {b64(keys.pin)}",
    )
    return "".join(line + "\n" for line in lines).encode("ascii")


def verify_proofs(request: ActivationRequest, *, relying_party: str) -> VerifiedKeys:
    """The keys of a request; raises ActivationRefused unless they are three and possessed."""
    keys, proofs = request.keys, request.proofs
    data = proof_bytes(relying_party=relying_party, activation_id=request.activation_id, keys=keys)
    if len({keys.signing, keys.transport, keys.pin}) != 3:
        raise ActivationRefused()
    try:
        verified = VerifiedKeys(
            signing=parse_p256(keys.signing),
            transport=parse_p256(keys.transport),
            pin=parse_p256(keys.pin),
            encoded=keys,
        )
        verify_p256(verified.signing, proofs.signing, data=data)
        verify_p256(verified.transport, proofs.transport, data=data)
        verify_p256(verified.pin, proofs.pin, data=data)
    except ValueError as error:
        raise ActivationRefused() from error
    return verified


@dataclass(frozen=True, slots=True)
class ActivationLink:
    """What the QR code says: where to activate, and whose certificates to believe."""

    relying_party: str
    activation_id: UUID
    gateway_url: str
    """Base URL of the gateway, without a slash at its end."""
    device_ca_key: bytes
    """SHA-256 of the device CA certificate's SubjectPublicKeyInfo (DER)."""

    def __post_init__(self) -> None:
        if not BASE_URL.fullmatch(self.gateway_url):
            raise ValueError("the base URL of a gateway is plain: scheme, host, port and path")

    def text(self) -> str:
        """The one spelling of the link."""
        key = base64.urlsafe_b64encode(self.device_ca_key).rstrip(b"=").decode("ascii")
        return (
            f"mobileid://activate?v=1&rp={self.relying_party}&id={self.activation_id}"
            f"&gw={quote(self.gateway_url, safe='')}&key={key}"
        )


def parse_link(text: str) -> ActivationLink:
    """The inverse of ``ActivationLink.text``; raises ValueError for every other spelling."""
    match = _LINK.fullmatch(text)
    if match is None:
        raise ValueError("not an activation link of version 1")
    relying_party, activation_id, gateway, key = match.groups()
    link = ActivationLink(
        relying_party=relying_party,
        activation_id=UUID(activation_id),
        gateway_url=unquote(gateway, errors="strict"),
        device_ca_key=base64.urlsafe_b64decode(key + "="),
    )
    if link.text() != text:
        raise ValueError("not the canonical spelling of an activation link")
    return link
