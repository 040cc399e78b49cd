"""Pictures of where the time goes: stacks sampled by a timer, drawn as one SVG without scripts.

The law: a sample weighs the time since the one before, so what sleeps or works in C for long weighs what it
lasted. It is the wall's time of the main thread. Width is time; below a frame stands what it called; what is
narrower than a pixel is left out.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from types import FrameType
from xml.sax.saxutils import escape

INTERVAL_SECONDS = 0.001
WIDTH, ROW, LETTER = 1200, 17, 6.4
"""Pixels."""
COLOURS = {
    "gateway.core": "#f4a261",
    "gateway.storage": "#8ab17d",
    "gateway": "#e9c46a",
    "spyne": "#d98cb3",
    "": "#c9ced6",
}
"""By the longest prefix of the module's name."""

Stack = tuple[tuple[str, str], ...]
"""(module, qualified name) from the outermost on."""


def sample(work: Callable[[], object], *, seconds: float) -> Counter[Stack]:
    """Repeats the work for some time; microseconds by stack."""
    found: Counter[Stack] = Counter()
    base = sys._getframe()
    last = time.perf_counter()

    def tick(number: int, frame: FrameType | None) -> None:
        nonlocal last
        if frame is not None and frame.f_code is tick.__code__:
            return
        now = time.perf_counter()
        stack: list[tuple[str, str]] = []
        while frame is not None and frame is not base:
            stack.append((frame.f_globals.get("__name__", "?"), frame.f_code.co_qualname))
            frame = frame.f_back
        found[tuple(reversed(stack))] += round(1e6 * (now - last))
        last = time.perf_counter()  # what sampling costs is nobody's

    work()
    before = signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, INTERVAL_SECONDS, INTERVAL_SECONDS)
    try:
        end = last = time.perf_counter()
        while time.perf_counter() < end + seconds:
            work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return found


def shares(found: Counter[Stack]) -> dict[str, float]:
    """The part of all time that each function was on the stack."""
    total, within = sum(found.values()), Counter[str]()
    for stack, weight in found.items():
        for name in {f"{module}.{function}" for module, function in stack}:
            within[name] += weight
    return {name: weight / total for name, weight in within.most_common()}


def picture(found: Counter[Stack], *, title: str) -> str:
    """The SVG."""
    total = sum(found.values())
    rows: list[str] = []
    deepest = 0

    def draw(stacks: Counter[Stack], left: float, depth: int) -> None:
        nonlocal deepest
        under: dict[tuple[str, str], Counter[Stack]] = {}
        for stack, weight in stacks.items():
            if stack:
                under.setdefault(stack[0], Counter())[stack[1:]] += weight
        for (module, function), inner in sorted(under.items()):
            part = sum(inner.values()) / total
            if part * WIDTH >= 1:
                deepest = max(deepest, depth)
                rows.append(_frame(module, function, left=left, depth=depth, part=part))
                draw(inner, left, depth + 1)
            left += part * WIDTH

    draw(found, 0, 0)
    height = (deepest + 3) * ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="monospace" font-size="11">\n<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n'
        f'<text x="4" y="13">{escape(title)}</text>\n' + "\n".join(rows) + "\n</svg>\n"
    )


def _frame(module: str, function: str, *, left: float, depth: int, part: float) -> str:
    width, top = part * WIDTH, (depth + 1.5) * ROW
    colour = COLOURS[max((p for p in COLOURS if module.startswith(p)), key=len)]
    name = f"{module.removeprefix('gateway.')}.{function}"
    room = int((width - 4) / LETTER)
    label = name if len(name) <= room else function[:room]
    text = f'<text x="{left + 2:.1f}" y="{top + 12:.1f}">{escape(label)}</text>' if room >= 3 else ""
    return (
        f'<g><title>{escape(name)} {100 * part:.1f}%</title><rect x="{left:.1f}" y="{top:.1f}" '
        f'width="{width:.1f}" height="{ROW - 1}" fill="{colour}" stroke="#fff" stroke-width=".5"/>{text}</g>'
    )
