"""``make day``: a bank's day on a gateway as it is run, and its reconciliation to the last audit row.

    day.py                   200 customers
    day.py --subjects N      so many, at least 8, so that each act happens
    day.py --seed S          the same acts for the same customers; which of two that race wins is not repeated

The law: a gateway with its web workers, its worker and a Postgres of its own; several customers at once. At
the end the bank asks once more for all that it has begun; then the audit rows are read past the gateway and
compared with what was answered. Exit codes: 0 equal, 1 not, each difference named.
"""

from __future__ import annotations

import argparse
import functools
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

TESTS: Final = Path(__file__).parents[1]
sys.path[:0] = [path for path in (str(TESTS), str(TESTS / "day")) if path not in sys.path]

import psycopg2  # noqa: E402
from acts import ACTS, LIFETIME_SECONDS  # noqa: E402
from audit import Audit, differences, read, table  # noqa: E402
from ledger import Ledger  # noqa: E402
from live import Live, free_port, text  # noqa: E402
from people import Bank, DayFailed, Person  # noqa: E402

from gateway.authenticator import authenticator as app  # noqa: E402
from gateway.authenticator.pin import pin_key  # noqa: E402
from gateway.sandbox import RELYING_PARTY  # noqa: E402
from gateway.storage.embedded import Connections, EmbeddedPostgres  # noqa: E402
from gateway.storage.migrate import migrate  # noqa: E402

AT_ONCE: Final = 8
"""Customers."""
ACTS_EACH: Final = 5
SMALLEST: Final = -(-len(ACTS) // ACTS_EACH)
TOLD_SECONDS: Final = 5.0
WORKER_SECONDS: Final = 20.0
"""What the worker gets for what is past its end."""


@contextmanager
def opened() -> Iterator[tuple[Live, Connections]]:
    """A gateway over a Postgres of its own; apps may start everything, and a "not me" to a payment locks."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-day-"))
    folder.chmod(0o711)
    try:
        with EmbeddedPostgres(folder / "database") as server:
            database = server.connections
            migrate(database.owner_dsn)
            live = Live(folder / "sandbox", free_port())
            dsns = f'dsn = "{database.app_dsn}"\nowner_dsn = "{database.owner_dsn}"'
            _change(live.folder / "gateway.toml", 'embedded = "database"', dsns)
            for name in ("consent-pin", "texts-pin"):
                _change(live.folder / "profiles" / f"{name}.toml", '["backend"]', '["backend", "app"]')
            _change(
                live.folder / "profiles" / "payment-pin.toml", "not_me_locks = false", "not_me_locks = true"
            )
            try:
                live.start()
                yield live, database
            finally:
                if live.process is not None:
                    live.stop()
    finally:
        shutil.rmtree(folder)


def _change(file: Path, old: str, new: str) -> None:
    before = file.read_text()
    if before.count(old) != 1:
        raise DayFailed(f"{file.name} does not say {old} once.")
    file.write_text(before.replace(old, new))


class Day:
    def __init__(self, live: Live, database: Connections, *, subjects: int, seed: int) -> None:
        self.ledger = Ledger()
        self.bank = Bank(live, self.ledger)
        self.failures: list[str] = []
        self._database = database
        self._subjects, self._seed = subjects, seed
        self._over = 0

    def play(self, *, tell: Callable[[str], None]) -> None:
        """Everything that happens, and then the bank's last look at it."""
        began = time.monotonic()
        ended = threading.Event()

        def progress() -> None:
            while not ended.wait(TOLD_SECONDS):
                tell(
                    f"  {time.monotonic() - began:4.0f} s  {self._over}/{self._subjects} customers,"
                    f" {self.ledger.calls:,} calls, {len(self.ledger.entries):,} rows to find"
                )

        telling = threading.Thread(target=progress, daemon=True)
        telling.start()
        try:
            # a phone derives its PIN's key each time; these remember it
            with patch.object(app, "pin_key", functools.cache(pin_key)):
                with ThreadPoolExecutor(AT_ONCE) as threads:
                    list(threads.map(self._live, *zip(*self._dealt(), strict=True)))
            self._forgotten()
            self._last_look()
        finally:
            ended.set()
            telling.join()
        tell(
            f"  {time.monotonic() - began:4.0f} s  over: {self.ledger.calls:,} calls answered,"
            f" {self.ledger.refused.total():,} of them refused as foreseen"
        )

    def _dealt(self) -> list[tuple[Person, list[str]]]:
        """Acts are dealt like cards, pack after pack: all of them happen, in no order."""
        chance = random.Random(self._seed)
        cards: list[str] = []
        while len(cards) < self._subjects * ACTS_EACH:
            cards += chance.sample(sorted(ACTS), len(ACTS))
        return [
            (
                Person(self.bank, f"customer-{n:04}", random.Random(f"{self._seed}/{n}")),
                cards[n * ACTS_EACH : (n + 1) * ACTS_EACH],
            )
            for n in range(self._subjects)
        ]

    def _live(self, person: Person, acts: list[str]) -> None:
        for name in acts:
            try:
                ACTS[name](person)
            except Exception as error:  # told at the end: the others live on
                self.failures.append(f"{person.reference}, {name}: {type(error).__name__}: {error}")
                break
        self._over += 1

    def audit(self) -> Audit:
        with closing(psycopg2.connect(self._database.superuser_dsn)) as connection:
            with connection.cursor() as cursor:
                return read(cursor, RELYING_PARTY)

    def _forgotten(self) -> None:
        """The worker expires what nobody decides, and not the bank by looking at it."""
        deadline = time.monotonic() + LIFETIME_SECONDS + WORKER_SECONDS
        ids = self.bank.waits_for_its_end
        while waiting := [id_ for id_ in ids if self.audit().states["transaction"].get(id_) == "PENDING"]:
            if time.monotonic() > deadline:
                self.failures.append(
                    f"The worker left {len(waiting)} past their end, {waiting[0]} among them."
                )
                break
            time.sleep(0.5)
        for id_ in ids:
            state = text(self.bank.look(id_), "state")
            if state == "BLOCKED":  # its device went before its time was over
                self.ledger.book("transaction", id_, "BLOCK", state, "device-revoked")
            else:
                self.ledger.book("transaction", id_, "EXPIRE", state, "time")

    def _last_look(self) -> None:
        """The bank asks for each thing that it was ever told of."""
        by_entity: dict[str, set[str]] = {"pin_reset": set(self.ledger.seen["pin_reset"])}
        for entry in self.ledger.entries:
            by_entity.setdefault(entry.entity, set()).add(entry.id)
        asked = {
            "registration": ("GetRegistration", "registrationId"),
            "binding": ("GetDevice", "deviceId"),
            "transaction": ("GetTransaction", "transactionId"),
            "pin_reset": ("GetPinReset", "pinResetId"),
        }

        def look(entity: str, id_: str) -> None:
            operation, name = asked[entity]
            self.ledger.see(entity, id_, text(self.bank.ask(operation, **{name: id_}), "state"))
            if entity == "binding":
                self.ledger.histories[id_] = self._history(id_)

        with ThreadPoolExecutor(AT_ONCE) as threads:
            for done in [threads.submit(look, e, i) for e, ids in by_entity.items() for i in sorted(ids)]:
                done.result()

    def _history(self, device_id: str) -> list[tuple[str, str, str]]:
        found = self.bank.ask("GetDeviceHistory", deviceId=device_id)
        return [
            (text(e, "event"), text(e, "state"), e.findtext("{*}reason") or "")
            for e in found.iterfind("{*}entry")
        ]


def verdict(ledger: Ledger, audit: Audit, failures: Sequence[str], *, tell: Callable[[str], None]) -> int:
    """Tells the table and each difference; 0 where there is none."""
    tell(f"\n{'what happened':<58}{'ledger':>8}{'rows':>8}  equal")
    for what, ours, theirs in table(ledger, audit):
        tell(f"{what:<58}{ours:>8}{theirs:>8}  {'yes' if ours == theirs else 'NO'}")
    tell(f"\n{'refused, as foreseen, without a row but a failed try':<58}{'answers':>8}")
    for (what, code), times in sorted(ledger.refused.items()):
        tell(f"{what + ': ' + code:<58}{times:>8}")
    found = [*failures, *differences(ledger, audit)]
    tell("")
    for difference in found:
        tell(f"NOT EQUAL  {difference}")
    tell(f"{len(found)} differences." if found else "Ledger and audit rows are equal, to the last one.")
    return 1 if found else 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make day", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--subjects", type=int, default=200, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    options = parser.parse_args(arguments)
    if options.subjects < SMALLEST:
        parser.error(f"at least {SMALLEST} subjects: each act is to happen")

    def tell(line: Any) -> None:
        print(line, flush=True)

    tell(f"{options.subjects} customers, seed {options.seed}: {len(ACTS)} acts, {ACTS_EACH} a customer")
    with opened() as (live, database):
        day = Day(live, database, subjects=options.subjects, seed=options.seed)
        day.play(tell=tell)
        return verdict(day.ledger, day.audit(), day.failures, tell=tell)


if __name__ == "__main__":
    raise SystemExit(main())
