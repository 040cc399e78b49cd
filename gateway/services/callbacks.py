"""Telling banks what happened: takes what is due from the outbox and sends it, again until it is accepted.

The law: at least once; of one entity in the order of its events; each relying party on its own, so that a
slow bank keeps nobody else's callbacks. What is not accepted waits longer and longer, and is given up when
the relying party's time for it is over: it then stays, counted, and the next one of its entity follows. What
a killed process had in hand is due again when its lease ends. How a callback travels is left to the sender.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from gateway.core.callback import Callback
from gateway.core.errors import GatewayError
from gateway.ports import CallbackSender, Clock, WorkStore

log = structlog.get_logger("gateway")

AT_ONCE = 8
"""Attempts of one relying party at the same time."""
LEASE_SECONDS = 60
"""More than an attempt can take, its name look-up counted."""
LONGEST_PAUSE_SECONDS = 300
UNWANTED_BATCH = 1000
"""Entries of one round of a relying party that is told nothing."""


@dataclass(frozen=True, slots=True)
class CallbackRules:
    """What one relying party is told, how, and how long it is tried."""

    sender: CallbackSender
    wanted: tuple[str, ...]
    retry: timedelta
    """From the event on."""


class Deliveries:
    """The attempts under way in this process."""

    def __init__(self, store: WorkStore, *, rules: Mapping[str, CallbackRules], clock: Clock) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._sending: Counter[str] = Counter()
        self._changed = threading.Condition()

    def begin(self, relying_party: str, *, at: datetime) -> int:
        """Begins what is due and finds a free place, and waits for none of it; how many entries it moved."""
        rules = self._rules.get(relying_party)
        if rules is None:
            return self._store.drop_callbacks(relying_party, limit=UNWANTED_BATCH)
        with self._changed:
            free = AT_ONCE - self._sending[relying_party]
        if free == 0:
            return 0
        taken, unwanted = self._store.take_callbacks(
            relying_party, wanted=rules.wanted, at=at, lease_seconds=LEASE_SECONDS, limit=free
        )
        for callback in taken:
            with self._changed:
                self._sending[relying_party] += 1
            # A daemon: an attempt that hangs does not keep the process from its end.
            threading.Thread(target=self._attempt, args=(callback, rules), daemon=True).start()
        return len(taken) + unwanted

    def rest(self, *, seconds: float) -> bool:
        """Waits until nothing is under way, at most so long."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._sending.total(), timeout=seconds)

    def _attempt(self, callback: Callback, rules: CallbackRules) -> None:
        try:
            self._send(callback, rules)
        except Exception as error:  # whatever it was, the lease ends and it is tried again
            code = error.code if isinstance(error, GatewayError) else type(error).__name__
            log.warning("callback_interrupted", callback=str(callback.event_id), code=code)
        finally:
            with self._changed:
                self._sending[callback.relying_party] -= 1
                self._changed.notify_all()

    def _send(self, callback: Callback, rules: CallbackRules) -> None:
        refusal = rules.sender.send(callback, at=self._clock.now())
        if refusal is None:
            self._store.callback_accepted(callback)
            return
        at = self._clock.now()
        said = {
            "relying_party": callback.relying_party,
            "callback": str(callback.event_id),
            "code": refusal,
            "attempts": callback.attempts,
        }
        if at - callback.at >= rules.retry:
            self._store.callback_died(callback, at=at)
            log.error("callback_died", **said)
        else:
            pause = pause_after(callback.attempts)
            self._store.callback_failed(callback, retry_at=at + timedelta(seconds=pause))
            log.warning("callback_failed", retry_in=round(pause, 1), **said)


def pause_after(attempts: int) -> float:
    """Seconds: 1, 2, 4 .. 300, each between half and one and a half of it: what failed together parts."""
    pause = min(1 << min(attempts - 1, 10), LONGEST_PAUSE_SECONDS)
    return pause * (0.5 + secrets.randbelow(1000) / 1000)
