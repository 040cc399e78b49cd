"""What the tests of the device face share: a WSGI client, and a face over bindings held in memory.

``MemoryBindings`` has what authentication asks of the store and no more; whatever gets past it with this
harness fails the test as INTERNAL. Walks through the services use the real store instead.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import jsonschema
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.core import httpsig
from gateway.core.client import ClientRules
from gateway.core.keys import sign_p256, spki_of
from gateway.core.model import Attestation, BindingState, DeviceBinding, DeviceKeys, uuid7
from gateway.device.application import device_app
from gateway.resources import resource

NOW = datetime(2026, 3, 2, 9, 30, 7, 250_000, tzinfo=UTC)
PUBLIC_URL = "https://gateway.example/id"
BASE = f"{PUBLIC_URL}/device/v1/demo-bank"
NONCE = "AAAAAAAAAAAAAAAAAAAAAA"
MAX_BYTES = 10_000
SCHEMA = json.loads(resource("schemas", "device-v1.json"))


def validator(message: str) -> jsonschema.Draft202012Validator:
    """Of one message of the published schema."""
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{message}", "$defs": SCHEMA["$defs"]})


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value

    @property
    def code(self) -> str:
        """The error's code; the problem document is checked on the way."""
        assert self.headers["Content-Type"] == "application/problem+json"
        validator("problem").validate(self.json)
        assert self.json["status"] == self.status
        return str(self.json["code"])


def call(
    app: Callable[..., Iterable[bytes]],
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    **environ: str,
) -> Answer:
    """One request through the WSGI callable, mounted where PUBLIC_URL ends."""
    target = urlsplit(url.removeprefix(PUBLIC_URL))
    request: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": target.path,
        "QUERY_STRING": target.query,
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_HOST": "elsewhere.example",
        "wsgi.input": io.BytesIO(body),
    }
    for name, value in (headers or {}).items():
        key = name.upper().replace("-", "_")
        request[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    seen: list[Any] = []
    parts = app(request | environ, lambda status, fields: seen.extend((status, fields)))
    return Answer(int(seen[0][:3]), dict(seen[1]), b"".join(parts))


class MemoryBindings:
    def __init__(self) -> None:
        self.bindings: dict[tuple[str, UUID], DeviceBinding] = {}
        self.nonces: dict[tuple[str, UUID, str], datetime] = {}

    def binding(self, relying_party: str, binding_id: UUID) -> DeviceBinding | None:
        return self.bindings.get((relying_party, binding_id))

    def remember_nonce(
        self, relying_party: str, binding_id: UUID, nonce: str, *, expires_at: datetime
    ) -> bool:
        key = (relying_party, binding_id, nonce)
        if key in self.nonces:
            return False
        self.nonces[key] = expires_at
        return True

    def note_client(
        self, relying_party: str, binding_id: UUID, *, client_name: str, client_version: str
    ) -> None:
        key = (relying_party, binding_id)
        noted = {"client_name": client_name, "client_version": client_version}
        self.bindings[key] = replace(self.bindings[key], **noted)

    def waiting_for(self, relying_party: str, binding_id: UUID, *, at: datetime) -> tuple[()]:
        return ()


@dataclass
class FixedClock:
    at: datetime = NOW

    def now(self) -> datetime:
        return self.at


@dataclass
class Face:
    """Stands where the Gateway does, for what authentication needs of it."""

    store: MemoryBindings = field(default_factory=MemoryBindings)
    clock: FixedClock = field(default_factory=FixedClock)
    public_url: str = PUBLIC_URL
    clients: ClientRules = field(default_factory=ClientRules)
    admit: Callable[[dict[str, Any]], None] = lambda environ: None

    def __post_init__(self) -> None:
        self.app = device_app(self, admit=self.admit, max_bytes=MAX_BYTES)  # type: ignore[arg-type]

    def bind(self, *, relying_party: str = "demo-bank", state: BindingState = BindingState.ACTIVE) -> Signer:
        """A new binding with fresh keys, and what signs for it."""
        keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
        binding = DeviceBinding(
            relying_party=relying_party,
            id=uuid7(NOW),
            subject_id=uuid7(NOW),
            name="Phone",
            platform="test",
            state=state,
            keys=DeviceKeys(*(spki_of(key.public_key()) for key in keys)),
            certificate=b"",
            attestation=Attestation("none", "software"),
            failures=0,
            bound_at=NOW,
        )
        self.store.bindings[relying_party, binding.id] = binding
        return Signer(binding.id, signing=keys[0], transport=keys[1])

    def set_state(self, signer: Signer, state: BindingState) -> None:
        key = ("demo-bank", signer.key_id)
        self.store.bindings[key] = replace(self.store.bindings[key], state=state)

    def call(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        return call(self.app, method, url, headers, body)


@dataclass(frozen=True)
class Signer:
    key_id: UUID
    signing: ec.EllipticCurvePrivateKey
    transport: ec.EllipticCurvePrivateKey

    def headers(
        self,
        method: str = "GET",
        url: str = f"{BASE}/transactions",
        body: bytes = b"",
        *,
        at: datetime = NOW,
        nonce: str = NONCE,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> dict[str, str]:
        """The fields of a well signed request."""
        return httpsig.sign(
            method=method,
            url=url,
            body=body,
            key_id=self.key_id,
            nonce=nonce,
            at=at,
            signer=lambda base: sign_p256(key or self.transport, base),
        )
