"""Interleaved rounds: what is compared takes turns, so that a busy machine slows both alike.

The law: A B A B ..., one warm-up each; a figure is seconds an operation, its minimum, median and maximum over
the rounds; a ratio is one of medians. What an operation is, is left to the parts.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Subject:
    """One of those that take turns; the first of a comparison is the gateway's."""

    name: str
    run: Callable[[int], float | None]
    """Runs all operations of the given round; where it keeps the time itself, it answers the seconds."""
    operations: int
    """In a round."""
    seconds: list[float] = field(default_factory=list)
    """An operation's, of each round."""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def compare(title: str, *subjects: Subject, rounds: int) -> str:
    """Runs the rounds and gives the table."""
    for subject in subjects:
        subject.run(0)
    for number in range(rounds):
        for subject in subjects:
            gc.collect()
            before = time.perf_counter()
            kept = subject.run(number)
            elapsed = time.perf_counter() - before if kept is None else kept
            subject.seconds.append(elapsed / subject.operations)
    return table(title, subjects)


def table(title: str, subjects: Sequence[Subject]) -> str:
    """Milliseconds an operation, operations a second, and how many times as long the gateway takes."""
    lines = [f"{title:<44}{'min':>10}{'median':>10}{'max':>10} ms{'per second':>13}{'gateway is':>13}"]
    for subject in subjects:
        figures = "".join(f"{1000 * f(subject.seconds):>10.3f}" for f in (min, statistics.median, max))
        ratio = "" if subject is subjects[0] else f"{subjects[0].median / subject.median:>12.2f}x"
        lines.append(f"  {subject.name:<42}{figures}   {1 / subject.median:>13,.0f}{ratio}")
    return "\n".join(lines)
