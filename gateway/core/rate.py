"""How often something may be done: so many times a second, and so many times at once.

The law: the generic cell rate algorithm (ITU-T I.371) in whole nanoseconds. All that is kept of a key is one
number, the moment at which its budget will be whole again. What was granted since any moment is at most
``burst`` and ``per_second`` times the seconds that have passed. Nothing is owed for longer than
MEMORY_SECONDS: a moment further ahead comes from no rate, and counts as a whole budget, so that nothing that
was kept can lock anybody out for ever. Whose budget it is, and where it is kept, is left to
``gateway.rates``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SECOND: Final = 1_000_000_000
"""Nanoseconds."""
MEMORY_SECONDS: Final = 60
MAX_PER_SECOND: Final = 100_000


@dataclass(frozen=True, slots=True)
class Rate:
    per_second: int
    burst: int
    """At once, with a whole budget."""

    def __post_init__(self) -> None:
        if self.per_second > MAX_PER_SECOND:
            raise ValueError(f"1 to {MAX_PER_SECOND} a second")
        if not 1 <= self.burst <= MEMORY_SECONDS * self.per_second:
            raise ValueError(f"a burst of 1 to what {MEMORY_SECONDS} seconds bring")

    def take(self, owed: int, *, now: int) -> tuple[int, int]:
        """Nanoseconds to wait, 0 where it was granted, and what is owed afterwards."""
        interval = SECOND // self.per_second
        wait = owed - now - (self.burst - 1) * interval
        return (wait, owed) if wait > 0 else (0, owed + interval)


def owed(kept: int, *, now: int) -> int:
    """The moment at which a budget is whole, from what was kept of it; ``now`` where it is.

    Moments are nanoseconds of one clock that never goes back, each taken after what was kept.
    """
    return kept if now < kept <= now + MEMORY_SECONDS * SECOND else now
