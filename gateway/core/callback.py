"""What a bank is told of an event: the types that there are, and the body that is signed and sent.

The law: a callback holds opaque ids, states and times, and nothing personal; the same event has the same
body, byte for byte, however often it is sent. How it is signed is left to httpsig, and when it is sent to the
services.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from gateway.core.model import BindingState, RegistrationState, format_time
from gateway.core.transaction import State

_IDS: Final = {"transaction": "transactionId", "registration": "registrationId", "binding": "deviceId"}
"""How callers know each entity."""
_BEGINNINGS: Final = (State.REQUESTED, State.PENDING, RegistrationState.ISSUED)
"""What only begins is no news to the bank that began it; a registration's PENDING is the same word."""
TYPES: Final = (
    *(f"transaction.{state}" for state in State if state not in _BEGINNINGS),
    *(f"registration.{state}" for state in RegistrationState if state not in _BEGINNINGS),
    *(f"binding.{state}" for state in BindingState),
)
"""What a bank can ask to be told: an entity, and the state that an event led to."""
USUAL: Final = tuple(name for name in TYPES if name != "transaction.APPROVED")
"""What it is told where it asks for nothing else: an approval is told of by what becomes of it."""


@dataclass(frozen=True, slots=True)
class Callback:
    relying_party: str
    event_id: UUID
    entity: str
    """``transaction``, ``registration`` or ``binding``."""
    entity_id: UUID
    event: str
    """The event's name, such as ``SEAL``."""
    state: str
    """The one that it led to."""
    at: datetime
    sequence: int
    """The event's place among those of its entity, from 1; not every one is told."""
    attempts: int
    """How often it was taken to be sent, this time counted."""

    @property
    def type(self) -> str:
        return f"{self.entity}.{self.state}"

    def body(self) -> bytes:
        """UTF-8 JSON, without blanks, in this order."""
        fields = {
            "eventId": str(self.event_id),
            "type": self.type,
            "relyingParty": self.relying_party,
            _IDS[self.entity]: str(self.entity_id),
            "event": self.event,
            "state": self.state,
            "sequence": self.sequence,
            "at": format_time(self.at),
        }
        return json.dumps(fields, separators=(",", ":")).encode()
