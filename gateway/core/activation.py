"""Activation: the link that the QR code carries, and the proofs that a device holds its three keys.

The law: activation comes in two halves (RTS (EU) 2018/389 articles 24 to 27): the link carries the
activation id and whom to trust, the code travels on the other channel. Each of the three keys signs
the same ``proof_bytes`` (proof of possession, as RFC 4211 section 4 asks of any key to be certified);
where the device replaces a former binding, that binding's transport key signs them too, and they name it.
The code is not among those bytes: no proof, kept by anybody, lets a code be guessed. A proof by the
PIN key lets a PIN be guessed by whoever has the device: it is verified and forgotten, never stored.

Of a recovery code only a digest is ever here: the device makes it, shows it once, and sends the digest; 130
random bits need no salt. Who counts tries and compares codes is left to the services.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import astuple, dataclass
from typing import Final
from urllib.parse import quote, unquote
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from gateway.core.canonical import b64
from gateway.core.client import Client
from gateway.core.errors import ActivationRefused
from gateway.core.keys import parse_p256, verify_p256
from gateway.core.model import DeviceKeys

PROOF_DOMAIN: Final = "mobileid-gateway:activation-proof:1"
"""First line of the proof bytes: nothing else that any of the keys signs begins so."""
EXTENDED_PROOF_DOMAIN: Final = "mobileid-gateway:activation-proof:2"
"""First line where a former binding is replaced or a recovery code is left: two more lines follow."""
CODE_LENGTH_FLOOR, CODE_LENGTH_CEILING = 4, 12
CODE_VALUES_FLOOR: Final = 10**4
"""How many codes there must be at least: as many as of four digits."""
CODE: Final = r"[0-9A-Z]{4,12}"
"""Every code that can be configured: a code is written, and compared, in capitals."""
DIGITS: Final = "0123456789"
_ALPHABET: Final = re.compile(r"[0-9A-Z]{2,36}")
_LOOK_ALIKE: Final = ("0O", "1IL")
RECOVERY_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
RECOVERY_LENGTH: Final = 26
"""Characters of five random bits each: 130 bits."""
RECOVERY_CODE: Final = rf"[A-Z2-7]{{{RECOVERY_LENGTH}}}"
_RECOVERY_DOMAIN: Final = b"mobileid-gateway:recovery-code:1\n"
ARTIFACT_BYTES: Final = 32
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
_ARTIFACT_LINK: Final = re.compile(
    rf"mobileid://register\?v=1&rp=({RELYING_PARTY})&artifact=([A-Za-z0-9_-]{{43}})"
    r"&gw=([A-Za-z0-9._~%-]{1,600})&key=([A-Za-z0-9_-]{43})"
)


def code_alphabet(text: str, *, length: int) -> str:
    """The characters of codes of this length; raises ValueError where codes could be guessed or misread.

    ``digits``, or two or more different digits and capitals, none of which looks like another.
    """
    alphabet = DIGITS if text == "digits" else text
    if not CODE_LENGTH_FLOOR <= length <= CODE_LENGTH_CEILING:
        raise ValueError(f"a code has {CODE_LENGTH_FLOOR} to {CODE_LENGTH_CEILING} characters")
    if not _ALPHABET.fullmatch(alphabet) or len(set(alphabet)) != len(alphabet):
        raise ValueError('"digits", or different characters of 0-9 and A-Z, each once')
    if any(len(set(alphabet) & set(group)) > 1 for group in _LOOK_ALIKE):
        raise ValueError("0 and O, or 1, I and L, cannot be told apart: one of them at most")
    if len(alphabet) ** length < CODE_VALUES_FLOOR:
        raise ValueError("too few codes: characters ** length is at least 10 ** 4")
    return alphabet


@dataclass(frozen=True, slots=True)
class KeyProofs:
    """One signature (r || s, 64 bytes) over the proof bytes by each key."""

    signing: bytes
    transport: bytes
    pin: bytes


@dataclass(frozen=True, slots=True)
class FormerBinding:
    """The binding that a device wants replaced."""

    id: UUID
    proof: bytes
    """r || s over the proof bytes by that binding's transport key."""


@dataclass(frozen=True, slots=True)
class UnverifiedAttestation:
    """What a device sends to show where its signing key is."""

    format: str
    object: bytes = b""


@dataclass(frozen=True, slots=True)
class ActivationRequest:
    """What a device sends to be bound; nothing in it is verified yet."""

    activation_id: UUID
    code: str | None
    """The half that came on the other channel; None where a recovery code stands in for it."""
    name: str
    """How the subject calls the device."""
    platform: str
    keys: DeviceKeys
    proofs: KeyProofs
    push_target: str | None
    attestation: UnverifiedAttestation
    former: FormerBinding | None = None
    recovery_code: str | None = None
    recovery_digest: bytes | None = None
    """SHA-256 of the new recovery code that the device has made, where it has."""
    client: Client | None = None

    def proven(self, *, relying_party: str) -> bytes:
        """What the keys of this request must have signed."""
        return proof_bytes(
            relying_party=relying_party,
            activation_id=self.activation_id,
            keys=self.keys,
            former=self.former.id if self.former else None,
            recovery_digest=self.recovery_digest,
        )


@dataclass(frozen=True, slots=True)
class VerifiedKeys:
    """Three different P-256 keys whose possession was proven for one activation."""

    signing: EllipticCurvePublicKey
    transport: EllipticCurvePublicKey
    pin: EllipticCurvePublicKey
    encoded: DeviceKeys


def proof_bytes(
    *,
    relying_party: str,
    activation_id: UUID,
    keys: DeviceKeys,
    former: UUID | None = None,
    recovery_digest: bytes | None = None,
) -> bytes:
    """What each of the three keys signs: ASCII lines, each ended by LF.

    No value can hold an LF or a blank, so two different inputs never give equal bytes.
    """
    extended = former is not None or recovery_digest is not None
    lines = [
        EXTENDED_PROOF_DOMAIN if extended else PROOF_DOMAIN,
        f"relying-party {relying_party}",
        f"activation {activation_id}",
        f"signing {b64(keys.signing)}",
        f"transport {b64(keys.transport)}",
        f"pin {b64(keys.pin)}",
    ]
    if extended:
        lines.append(f"former {former or '-'}")
        lines.append(f"recovery {'-' if recovery_digest is None else b64(recovery_digest)}")
    return "".join(line + "\n" for line in lines).encode("ascii")


def verify_proofs(request: ActivationRequest, *, relying_party: str) -> VerifiedKeys:
    """The keys of a request; raises ActivationRefused unless they are three and possessed."""
    keys, proofs = request.keys, request.proofs
    data = request.proven(relying_party=relying_party)
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


def verify_former(request: ActivationRequest, *, former_keys: DeviceKeys, relying_party: str) -> None:
    """Raises ActivationRefused unless the former binding's transport key signed too, and all keys are new."""
    kept = set(astuple(request.keys)) & set(astuple(former_keys))
    if request.former is None or kept:
        raise ActivationRefused()
    try:
        key = parse_p256(former_keys.transport)
        verify_p256(key, request.former.proof, data=request.proven(relying_party=relying_party))
    except ValueError as error:
        raise ActivationRefused() from error


def recovery_digest(code: str) -> bytes:
    """What of a recovery code is sent and kept."""
    return hashlib.sha256(_RECOVERY_DOMAIN + code.encode("ascii")).digest()


def artifact_digest(artifact: bytes) -> bytes:
    """What of an artifact is kept: it is 256 random bits to everybody else."""
    return hashlib.sha256(artifact).digest()


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
        return (
            f"mobileid://activate?v=1&rp={self.relying_party}&id={self.activation_id}"
            f"&gw={quote(self.gateway_url, safe='')}&key={b64url(self.device_ca_key)}"
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


@dataclass(frozen=True, slots=True)
class ArtifactLink:
    """What the relying party hands to the app in its own session: where to begin, and with what."""

    relying_party: str
    artifact: bytes
    """256 bits, good for one registration."""
    gateway_url: str
    device_ca_key: bytes
    """As in the activation link that comes of it."""

    def __post_init__(self) -> None:
        if not BASE_URL.fullmatch(self.gateway_url) or len(self.artifact) != ARTIFACT_BYTES:
            raise ValueError("an artifact has 32 bytes, and the base URL of a gateway is plain")

    def text(self) -> str:
        """The one spelling of the link."""
        return (
            f"mobileid://register?v=1&rp={self.relying_party}&artifact={b64url(self.artifact)}"
            f"&gw={quote(self.gateway_url, safe='')}&key={b64url(self.device_ca_key)}"
        )


def parse_artifact_link(text: str) -> ArtifactLink:
    """The inverse of ``ArtifactLink.text``; raises ValueError for every other spelling."""
    match = _ARTIFACT_LINK.fullmatch(text)
    if match is None:
        raise ValueError("not a registration link of version 1")
    relying_party, artifact, gateway, key = match.groups()
    link = ArtifactLink(
        relying_party=relying_party,
        artifact=base64.urlsafe_b64decode(artifact + "="),
        gateway_url=unquote(gateway, errors="strict"),
        device_ca_key=base64.urlsafe_b64decode(key + "="),
    )
    if link.text() != text:
        raise ValueError("not the canonical spelling of a registration link")
    return link


def b64url(data: bytes) -> str:
    """RFC 4648 section 5 without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
