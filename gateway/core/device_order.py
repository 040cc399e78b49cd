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
class NewPin:
    key: bytes
    """DER SubjectPublicKeyInfo."""
    proof: bytes
    """By this key over the order's bytes; r || s, 64 bytes."""


@dataclass(frozen=True, slots=True)
class DeviceOrder:
    """As it came; nothing in it is verified yet. What it is for, only the bytes that were signed say."""

    signed_at: datetime
    signature: bytes
    """By the signing key over the order's bytes; r || s, 64 bytes."""
    new_pin: NewPin | None = None


@dataclass(frozen=True, slots=True)
class VerifiedOrder:
    """One that this very device gave just now."""

    data: bytes
    pin_key: bytes | None
    """The PIN's new key, which the device holds."""


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


def verify_order(
    order: DeviceOrder, *, expected_purpose: Purpose, binding: DeviceBinding, at: datetime
) -> VerifiedOrder:
    """Possession of the signing key, and of the PIN's new key; raises ProofRefused. It tells nothing of
    what the person knows, so it is asked before a try is counted."""
    new = order.new_pin
    data = order_bytes(
        expected_purpose,
        relying_party=binding.relying_party,
        binding_id=binding.id,
        at=order.signed_at,
        pin_key=None if new is None else new.key,
    )
    if abs(order.signed_at - at) > WINDOW + timedelta(seconds=1):
        raise ProofRefused()
    if (new is None) is not (expected_purpose is Purpose.REVOCATION):
        raise ProofRefused()
    try:
        verify_p256(parse_p256(binding.keys.signing), order.signature, data=data)
        if new is not None:
            if new.key in (binding.keys.signing, binding.keys.transport):
                raise ProofRefused()
            verify_p256(parse_p256(new.key), new.proof, data=data)
    except ValueError as error:
        raise ProofRefused() from error
    return VerifiedOrder(data, None if new is None else new.key)


def verify_knowledge(order: VerifiedOrder, *, pin_signature: bytes, binding: DeviceBinding) -> None:
    """That the PIN in force was known; raises ProofRefused."""
    try:
        verify_p256(parse_p256(binding.keys.pin), pin_signature, data=order.data)
    except ValueError as error:
        raise ProofRefused() from error
