"""The script's own ledger: one entry for each audit row that an answer says must stand.

The law: an entry is made of what bank or phone was answered, never of what the database holds. A refusal is
counted and leaves no entry, unless it is a failed try. What was last seen of each thing stands beside the
entries. What the database says, and how the two are compared, is left to ``audit``.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple


class Entry(NamedTuple):
    entity: str
    """registration, binding or transaction."""
    id: str
    event: str
    state: str
    reason: str = ""

    def __str__(self) -> str:
        because = f" ({self.reason})" if self.reason else ""
        return f"{self.entity} {self.id}: {self.event} -> {self.state}{because}"


@dataclass
class Ledger:
    entries: list[Entry] = field(default_factory=list)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Refusals by what was asked and the code that was answered."""
    seen: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """By registration, binding, transaction and pin_reset: the state that the bank saw last, by id."""
    evidence: set[str] = field(default_factory=set)
    """Transactions whose evidence was fetched and verified."""
    redeemed: set[str] = field(default_factory=set)
    histories: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)
    """What GetDeviceHistory said at the end, by device."""
    calls: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def book(self, entity: str, id_: object, event: str, state: str, reason: str = "") -> None:
        with self._lock:
            self.entries.append(Entry(entity, str(id_), event, state, reason))

    def refuse(self, what: str, code: str) -> None:
        with self._lock:
            self.refused[what, code] += 1

    def see(self, entity: str, id_: object, state: str) -> None:
        with self._lock:
            self.seen[entity][str(id_)] = state

    def called(self) -> None:
        with self._lock:
            self.calls += 1
