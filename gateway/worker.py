"""Everything that happens later: expiry, wake-ups, unfinished seals, forgotten nonces.

The law: each job runs in one process at a time, under a lease in the database, and every step of it may
be repeated: what a killed worker left, the next one finishes. One relying party's trouble does not keep
another's work from being done.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import FrameType

import structlog

from gateway.composition import build_gateway, build_store, configuration_from_environment
from gateway.core.errors import GatewayError, UnavailableError
from gateway.core.model import utc_now, uuid7
from gateway.logs import configure_logging
from gateway.outbound.push import HttpPushSender
from gateway.ports import PushSender, WorkStore
from gateway.services import transactions
from gateway.services.context import Gateway
from gateway.services.evidence import complete

log = structlog.get_logger("gateway")

INTERVAL_SECONDS = 0.25
LEASE_SECONDS = 15
BATCH = 100
SEAL_AFTER = timedelta(seconds=2)
"""The request that approved seals by itself: the worker takes what is older than this."""
WAKE_LEASE_SECONDS = 10
WAKE_BACKOFF_SECONDS = (1, 2, 5, 10, 30, 60)


@dataclass(slots=True)
class Worker:
    gateway: Gateway
    store: WorkStore
    push: PushSender | None
    """None where no relay is configured: devices ask by themselves."""
    holder: str

    def jobs(self) -> Mapping[str, Callable[[str, datetime], int]]:
        return {"expiry": self.expire, "outbox": self.wake, "seals": self.seal, "nonces": self.forget}

    def tick(self, at: datetime) -> int:
        """One round of every job whose lease this worker has; how much was done."""
        done = 0
        for name, job in self.jobs().items():
            try:
                if not self.store.lease(name, holder=self.holder, at=at, seconds=LEASE_SECONDS):
                    continue
            except GatewayError as error:
                log.warning("lease_failed", job=name, code=error.code)
                continue
            for tenant in self.gateway.tenants.relying_parties:
                try:
                    done += job(tenant, at)
                except GatewayError as error:
                    log.warning("job_failed", job=name, relying_party=tenant, code=error.code)
        return done

    def expire(self, tenant: str, at: datetime) -> int:
        overdue = self.store.overdue(tenant, at=at, limit=BATCH)
        return sum(transactions.expire(self.gateway, transaction, at=at) for transaction in overdue)

    def seal(self, tenant: str, at: datetime) -> int:
        done = 0
        for transaction in self.store.unsealed(tenant, before=at - SEAL_AFTER, limit=BATCH):
            try:
                done += complete(self.gateway, transaction, at=self.gateway.clock.now())
            except UnavailableError as error:
                log.warning("seal_postponed", transaction=str(transaction.id), code=error.code)
        return done

    def wake(self, tenant: str, at: datetime) -> int:
        wakes = self.store.take_wakes(tenant, at=at, lease_seconds=WAKE_LEASE_SECONDS, limit=BATCH)
        for wake in wakes:
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
        return len(wakes)

    def forget(self, tenant: str, at: datetime) -> int:
        return self.store.forget_nonces(tenant, at=at)


def main() -> int:
    """Runs until SIGTERM or SIGINT."""
    configure_logging()
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    worker = _from_environment()
    reload = threading.Event()
    signal.signal(signal.SIGHUP, lambda number, frame: reload.set())
    log.info("worker_started", holder=worker.holder)
    while not stop.is_set():
        if reload.is_set():
            reload.clear()
            worker = _from_environment()
        if not worker.tick(utc_now()):
            stop.wait(INTERVAL_SECONDS)
    return 0


def _from_environment() -> Worker:
    configuration, dsn = configuration_from_environment()
    store = build_store(configuration, dsn)
    push = configuration.gateway.push
    return Worker(
        gateway=build_gateway(configuration, store),
        store=store,
        push=None if push is None else HttpPushSender(push.relay),
        holder=f"{socket.gethostname()}-{uuid7(utc_now())}",
    )


if __name__ == "__main__":
    raise SystemExit(main())
