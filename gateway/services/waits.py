"""Waiting for a transaction to change, without holding a database connection.

The law: one poller a process asks for all waiting ids, one query a relying party; it runs only while
somebody waits. At most 128 calls wait in a process and 32 of one caller: beyond that the present
state is answered at once, so that waiting never keeps a start from being served.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, defaultdict
from uuid import UUID

import structlog

from gateway.core.transaction import State
from gateway.ports import Store

log = structlog.get_logger("gateway")

MAX_WAITING = 128
MAX_WAITING_PER_CALLER = 32
INTERVAL_SECONDS = 0.1


class _Waiter:
    __slots__ = ("changed", "state", "transaction_id")

    def __init__(self, transaction_id: UUID, state: State) -> None:
        self.transaction_id = transaction_id
        self.state = state
        self.changed = threading.Event()


class Waits:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._waiting: dict[str, set[_Waiter]] = defaultdict(set)
        self._callers: Counter[str] = Counter()
        self._poller_of: int | None = None
        """The process whose poller runs: a thread does not survive a fork."""

    def wait(
        self, relying_party: str, caller: str, transaction_id: UUID, *, state: State, seconds: int
    ) -> None:
        """Returns when the transaction's stored state is no longer ``state``, the time is over, or at once
        where too many wait."""
        waiter = _Waiter(transaction_id, state)
        with self._lock:
            if self._callers.total() >= MAX_WAITING or self._callers[caller] >= MAX_WAITING_PER_CALLER:
                return
            self._callers[caller] += 1
            self._waiting[relying_party].add(waiter)
            if self._poller_of != os.getpid():
                self._poller_of = os.getpid()
                threading.Thread(target=self._poll, name="waits", daemon=True).start()
        try:
            waiter.changed.wait(seconds)
        finally:
            with self._lock:
                self._waiting[relying_party].discard(waiter)
                self._callers[caller] -= 1

    def _poll(self) -> None:
        while True:
            time.sleep(INTERVAL_SECONDS)
            with self._lock:
                asked = {tenant: list(waiters) for tenant, waiters in self._waiting.items() if waiters}
                if not asked:
                    self._poller_of = None
                    return
            for tenant, waiters in asked.items():
                try:
                    states = self._store.transaction_states(tenant, [w.transaction_id for w in waiters])
                except Exception as error:  # those who wait learn it when they read
                    log.warning("wait_failed", type=type(error).__name__)
                    continue
                for waiter in waiters:
                    if states.get(waiter.transaction_id) is not waiter.state:
                        waiter.changed.set()
