"""Everything that happens later: expiry, wake-ups, callbacks, unfinished seals, forgotten nonces.

The law: each job runs in a thread of its own, in one process at a time under a lease in the database, and
every step of it may be repeated: what a killed worker left, the next one finishes. One job's or one
relying party's trouble does not keep another's work from being done.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import FrameType
from uuid import UUID

import structlog

from gateway import metrics
from gateway.composition import (
    build_callbacks,
    build_gateway,
    build_push,
    build_store,
    configuration_from_environment,
    end_dates,
)
from gateway.core.errors import GatewayError, UnavailableError
from gateway.core.model import utc_now, uuid7
from gateway.logs import configure_logging
from gateway.ports import PushSender, Wake, WorkStore
from gateway.services import transactions
from gateway.services.callbacks import CallbackRules, Deliveries
from gateway.services.context import Gateway
from gateway.services.evidence import complete

log = structlog.get_logger("gateway")

INTERVAL_SECONDS = {"metrics": 2.0, "nonces": 5.0}
"""Between two rounds of a job that found nothing to do, where it is not a quarter of a second."""
LEASE_SECONDS = 5
BATCH = 10_000
"""Ids of one round: those that are postponed are passed over."""
LONGEST_PAUSE_SECONDS = 300
WAKE_BATCH = 16
SEAL_AFTER = timedelta(seconds=2)
"""The request that approved seals by itself: the worker takes what is older than this."""
WAKE_LEASE_SECONDS = 60
"""More than a relay that never answers can take, for every device of a subject."""
WAKE_BACKOFF_SECONDS = (1, 2, 5, 10, 30, 60)
REST_SECONDS = 3.0
"""What callbacks under way get at the end of the process; what does not end in it is sent again."""


@dataclass(slots=True)
class Worker:
    gateway: Gateway
    store: WorkStore
    push: PushSender | None
    """None where no relay is configured: devices ask by themselves."""
    holder: str
    postponed: dict[UUID, tuple[datetime, int]] = field(default_factory=dict)
    """When what failed is due again, and the pause before it, in seconds."""
    callbacks: Mapping[str, CallbackRules] = field(default_factory=dict)
    """Of the relying parties that are told."""
    deliveries: Deliveries = field(init=False)

    def __post_init__(self) -> None:
        self.deliveries = Deliveries(self.store, rules=self.callbacks, clock=self.gateway.clock)

    def jobs(self) -> Mapping[str, Callable[[str, datetime], int]]:
        return {
            "expiry": self.expire,
            "outbox": self.wake,
            "callbacks": self.call_back,
            "seals": self.seal,
            "nonces": self.forget,
            "metrics": self.measure,
        }

    def round(self, name: str, *, at: datetime) -> int:
        """One round of one job, where this worker has or gets its lease; how much was done."""
        try:
            if not self.store.lease(name, holder=self.holder, at=at, seconds=LEASE_SECONDS):
                return 0
        except Exception as error:
            return _log_failure(name, error)
        done = 0
        for tenant in self.gateway.tenants.relying_parties:
            try:
                done += self.jobs()[name](tenant, at)
            except Exception as error:
                _log_failure(name, error, relying_party=tenant)
        return done

    def expire(self, tenant: str, at: datetime) -> int:
        overdue = self.store.overdue(tenant, at=at, limit=BATCH)
        return sum(self._each("expiry", tenant, overdue, transactions.expire, at=at))

    def seal(self, tenant: str, at: datetime) -> int:
        unsealed = self.store.unsealed(tenant, before=at - SEAL_AFTER, limit=BATCH)
        return sum(self._each("seals", tenant, unsealed, complete, at=at))

    def _each(
        self,
        job: str,
        tenant: str,
        ids: Sequence[UUID],
        step: Callable[..., bool],
        *,
        at: datetime,
    ) -> Iterator[bool]:
        """One after the other, each for itself: what fails waits longer and longer, and keeps nobody."""
        for transaction_id in ids:
            again, pause = self.postponed.get(transaction_id, (at, 0))
            if at < again:
                continue
            try:
                transaction = self.gateway.store.transaction(tenant, transaction_id)
                yield transaction is not None and step(self.gateway, transaction, at=at)
                self.postponed.pop(transaction_id, None)
            except Exception as error:
                pause = min(max(1, 2 * pause), LONGEST_PAUSE_SECONDS)
                self.postponed[transaction_id] = (at + timedelta(seconds=pause), pause)
                _log_failure(job, error, transaction=str(transaction_id))

    def wake(self, tenant: str, at: datetime) -> int:
        wakes = self.store.take_wakes(tenant, at=at, lease_seconds=WAKE_LEASE_SECONDS, limit=WAKE_BATCH)
        with ThreadPoolExecutor(WAKE_BATCH) as pool:
            list(pool.map(lambda wake: self._send(wake, at=at), wakes))
        return len(wakes)

    def _send(self, wake: Wake, *, at: datetime) -> None:
        try:
            if self.push is not None:
                for target in wake.push_targets:
                    self.push.send(target, wake_id=wake.id)
        except UnavailableError as error:
            pause = WAKE_BACKOFF_SECONDS[min(wake.attempts, len(WAKE_BACKOFF_SECONDS) - 1)]
            self.store.wake_failed(wake, retry_at=at + timedelta(seconds=pause))
            log.warning("push_failed", wake=str(wake.id), code=error.code, retry_in=pause)
        else:
            self.store.wake_sent(wake, at=at)

    def call_back(self, tenant: str, at: datetime) -> int:
        return self.deliveries.begin(tenant, at=at)

    def measure(self, tenant: str, at: datetime) -> int:
        for name, number in self.store.backlog(tenant).items():
            if name == "WAKES":
                metrics.WAKES.labels(tenant).set(number)
            else:
                metrics.TRANSACTIONS.labels(tenant, name).set(number)
        told = self.store.callback_backlog(tenant)
        age = 0.0 if told.oldest is None else (at - told.oldest).total_seconds()
        metrics.CALLBACKS.labels(tenant, "pending").set(told.pending)
        metrics.CALLBACKS.labels(tenant, "dead").set(told.dead)
        metrics.CALLBACK_AGE.labels(tenant).set(max(0.0, age))
        return 0

    def forget(self, tenant: str, at: datetime) -> int:
        return self.store.forget_nonces(tenant, at=at)


def _log_failure(job: str, error: Exception, **fields: str) -> int:
    """A job outlives whatever went wrong in one round of it."""
    code = error.code if isinstance(error, GatewayError) else type(error).__name__
    log.warning("job_failed", job=job, code=code, **fields)
    return 0


def main() -> int:
    """Runs every job in a thread of its own until SIGTERM or SIGINT; SIGHUP reads the configuration again."""
    configure_logging()
    over = threading.Event()
    current = [_from_environment()]

    def end(number: int, frame: FrameType | None) -> None:
        over.set()

    def reload(number: int, frame: FrameType | None) -> None:
        current[0] = _from_environment()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    signal.signal(signal.SIGHUP, reload)

    def run(name: str) -> None:
        while not over.is_set():
            if not current[0].round(name, at=utc_now()):
                over.wait(INTERVAL_SECONDS.get(name, 0.25))

    threads = [threading.Thread(target=run, args=(name,), name=name) for name in current[0].jobs()]
    for thread in threads:
        thread.start()
    log.info("worker_started", holder=current[0].holder)
    over.wait()
    for thread in threads:
        thread.join()
    current[0].deliveries.rest(seconds=REST_SECONDS)
    return 0


def _from_environment() -> Worker:
    configuration, dsn = configuration_from_environment()
    store = build_store(configuration, dsn)
    gateway = build_gateway(configuration, store)
    for role, end in end_dates(configuration, gateway).items():
        metrics.CERTIFICATES.labels(role).set(end.timestamp())
    return Worker(
        gateway=gateway,
        store=store,
        push=build_push(configuration),
        holder=f"{socket.gethostname()}-{uuid7(utc_now())}",
        callbacks=build_callbacks(configuration),
    )


if __name__ == "__main__":
    raise SystemExit(main())
