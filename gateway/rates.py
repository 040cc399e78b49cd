"""Who asks too often: budgets that all web workers of a node share, an address's and a caller's.

The law:
1. One memory of fixed size holds every budget: a file that the supervisor makes and each worker maps, or,
   where one process serves alone, memory of its own. No number of addresses makes it grow.
2. A key has CELLS_A_KEY cells, chosen by a hash under a random key that nobody outside knows. The one that
   owes least counts, so keys disturb each other only where all their cells meet; then they share a budget.
3. Addresses and callers have tables apart: what anybody may claim never touches a caller's budget.
4. One at a time over all threads and processes: none is granted twice. A process that dies lets go.
5. An address is a whole IPv4 address or the first 64 bits of an IPv6 address, for one customer holds these;
   all that have no readable address share one budget.

How much is granted is left to ``gateway.core.rate``, which address a request came from to ``gateway.server``,
and when it is asked, to the faces.
"""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import math
import mmap
import os
import secrets
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway import metrics
from gateway.core.errors import RateExceeded
from gateway.core.rate import SECOND, Rate, owed

CELLS: Final = 65_536
"""Of each table; a place in it is 16 bits of the hash."""
CELLS_A_KEY: Final = 4
ADDRESSES: Final = 0
CALLERS: Final = 1
_TABLES: Final = 2
_KEY_BYTES: Final = 16
SIZE: Final = _KEY_BYTES + _TABLES * CELLS * 8
"""Bytes: the hash's key, then the tables, each cell 64 bits."""


def untouched() -> bytes:
    """A memory of whole budgets under a fresh key: what the file holds at first."""
    return secrets.token_bytes(_KEY_BYTES) + bytes(SIZE - _KEY_BYTES)


class Cells:
    """The memory; without a file it is this process's own."""

    def __init__(self, file: Path | None = None, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        """``clock``: CLOCK_MONOTONIC, one for all processes of the machine."""
        self._clock = clock
        self._lock = threading.Lock()
        self._file: int | None = None
        if file is None:
            memory = mmap.mmap(-1, SIZE)
            memory[:] = untouched()
        else:
            self._file = os.open(file, os.O_RDWR | os.O_CLOEXEC)
            if os.fstat(self._file).st_size != SIZE:
                raise ValueError(f"{file}: not {SIZE} bytes")
            memory = mmap.mmap(self._file, SIZE)
        self._key = memory[:_KEY_BYTES]
        self._cells = memoryview(memory)[_KEY_BYTES:].cast("q")

    def take(self, key: bytes, *, table: int, rate: Rate) -> float:
        """Seconds to wait; 0.0 where it was granted."""
        places = self._places(key, table=table)
        with self._lock, _alone(self._file):
            now = self._clock()
            kept = {place: owed(self._cells[place], now=now) for place in places}
            wait, after = rate.take(min(kept.values()), now=now)
            if not wait:
                for place, until in kept.items():
                    self._cells[place] = max(until, after)
        return wait / SECOND

    def _places(self, key: bytes, *, table: int) -> list[int]:
        digest = hashlib.blake2b(key, key=self._key, digest_size=2 * CELLS_A_KEY).digest()
        return [table * CELLS + place for place in struct.unpack(f"={CELLS_A_KEY}H", digest)]


@contextmanager
def _alone(file: int | None) -> Iterator[None]:
    """No other process is inside; within one the caller's own lock says so."""
    if file is None:
        yield
        return
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


@dataclass(frozen=True, slots=True)
class Rates:
    """What the faces ask: each refusal is a RateExceeded, and counted."""

    cells: Cells
    address: Rate
    caller: Rate
    callers: Mapping[str, Rate]
    """Of the callers that have one of their own."""

    def admit_address(self, environ: Mapping[str, Any]) -> None:
        """Before anything of the request is looked at."""
        key = address_key(environ.get("REMOTE_ADDR") or "")
        self._admit(key, table=ADDRESSES, rate=self.address, caller="")

    def admit_caller(self, caller: str) -> None:
        """After it has proved who it is: nobody spends another's budget."""
        self._admit(caller.encode(), table=CALLERS, rate=self.callers.get(caller, self.caller), caller=caller)

    def _admit(self, key: bytes, *, table: int, rate: Rate, caller: str) -> None:
        wait = self.cells.take(key, table=table, rate=rate)
        if wait:
            metrics.RATE_REFUSALS.labels("caller" if table == CALLERS else "address", caller).inc()
            raise RateExceeded(retry_after=math.ceil(wait))


def address_key(text: str) -> bytes:
    """What of an address has a budget; empty for what is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return b""
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped.packed if address.ipv4_mapped else address.packed[:8]
    return address.packed
