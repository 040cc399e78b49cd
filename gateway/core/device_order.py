"""What a person orders on a device about the device itself: a new PIN, or its own end.

The law (RTS (EU) 2018/389 articles 24 to 27): each order is one run of bytes that names what is ordered,
the relying party, the binding, the time and, where there is one, the PIN's new key. The signing key signs
it, for silent access to the transport key must not be enough; the PIN's new key signs it too, as proof that
the device holds it, and for a change the old one, as proof that the person knows the PIN. A code is never
among the bytes: no signature, kept by anybody, lets a code be guessed. One by a PIN's key lets a PIN be
guessed by whoever has the device: it is verified and forgotten, never stored. Who counts tries is left to
the services.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from gateway.core.canonical import b64
from gateway.core.errors import ProofRefused
from gateway.core.keys import parse_p256, verify_p256
from gateway.core.model import DeviceBinding, format_time

WINDOW: Final = timedelta(seconds=60)
"""How far an order's time may lie from ours: as that of a signed request."""


class Purpose(StrEnum):
    """Stands in the first line of the bytes: nothing else that any of the keys signs begins so."""

    PIN_CHANGE = "pin-change"
    PIN_RESET = "pin-reset"
    REVOCATION = "device-revocation"


@dataclass(frozen=True, slots=True)
class DeviceOrder:
    """As it came; nothing in it is verified yet. What it is for, only the bytes that were signed say."""

    signed_at: datetime
    signature: bytes
    """By the signing key over the order's bytes; r || s, 64 bytes."""


@dataclass(frozen=True, slots=True)
class NewPinOrder(DeviceOrder):
    pin_key: bytes
    """DER SubjectPublicKeyInfo."""
    pin_proof: bytes
    """By this key over the same bytes."""


@dataclass(frozen=True, slots=True)
class VerifiedNewPin:
    """One that this very device ordered just now, and whose key it holds."""

    key: bytes
    data: bytes
    """The order's bytes."""


def order_bytes(
    purpose: Purpose, *, relying_party: str, binding_id: UUID, at: datetime, pin_key: bytes | None = None
) -> bytes:
    """What the keys sign: ASCII lines, each ended by LF.

    No value can hold an LF or a blank, so two different orders never give equal bytes.
    """
    lines = [
        f"mobileid-gateway:{purpose}:1",
        f"relying-party {relying_party}",
        f"binding {binding_id}",
        f"time {format_time(at)}",
    ]
    if pin_key is not None:
        lines.append(f"pin {b64(pin_key)}")
    return "".join(line + "\n" for line in lines).encode("ascii")


def verify_revocation(order: DeviceOrder, *, binding: DeviceBinding, at: datetime) -> None:
    """Raises ProofRefused unless this very device ordered it just now."""
    data = order_bytes(
        Purpose.REVOCATION,
        relying_party=binding.relying_party,
        binding_id=binding.id,
        at=order.signed_at,
    )
    _verify(order, data=data, binding=binding, at=at)


def verify_new_pin(
    order: NewPinOrder, *, expected_purpose: Purpose, binding: DeviceBinding, at: datetime
) -> VerifiedNewPin:
    """Possession of the signing key, and of the PIN's new key; raises ProofRefused. It tells nothing of
    what the person knows, so it is asked before a try is counted."""
    data = order_bytes(
        expected_purpose,
        relying_party=binding.relying_party,
        binding_id=binding.id,
        at=order.signed_at,
        pin_key=order.pin_key,
    )
    _verify(order, data=data, binding=binding, at=at)
    if order.pin_key in (binding.keys.signing, binding.keys.transport):
        raise ProofRefused()
    _verify_signature(order.pin_key, order.pin_proof, data=data)
    return VerifiedNewPin(order.pin_key, data)


def verify_knowledge(new: VerifiedNewPin, *, pin_signature: bytes, binding: DeviceBinding) -> None:
    """Raises ProofRefused unless the PIN in force was known."""
    _verify_signature(binding.keys.pin, pin_signature, data=new.data)


def _verify(order: DeviceOrder, *, data: bytes, binding: DeviceBinding, at: datetime) -> None:
    if abs(order.signed_at - at) > WINDOW + timedelta(seconds=1):
        raise ProofRefused()
    _verify_signature(binding.keys.signing, order.signature, data=data)


def _verify_signature(spki: bytes, signature: bytes, *, data: bytes) -> None:
    try:
        verify_p256(parse_p256(spki), signature, data=data)
    except ValueError as error:
        raise ProofRefused() from error
