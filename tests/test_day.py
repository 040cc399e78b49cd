"""That ``make day`` reconciles a small day to the last row, and names what is changed, lost or added."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg2
import pytest

sys.path.append(str(Path(__file__).parent / "day"))

from acts import ACTS
from audit import Audit, differences, read
from day import ACTS_EACH, SMALLEST, Day, main, opened, verdict
from ledger import Entry, Ledger

from gateway.core.model import DeviceEvent, FailedTry
from gateway.core.transaction import Event
from gateway.sandbox import RELYING_PARTY
from gateway.storage.embedded import Connections


@dataclass
class Played:
    day: Day
    database: Connections
    told: list[str]
    code: int

    def after(self, *statements: str) -> Audit:
        """The audit rows as they would read after these, which nothing but this hears of."""
        with closing(psycopg2.connect(self.database.superuser_dsn)) as connection:
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL session_replication_role = 'replica'")
                for table in ("event", "evidence"):
                    cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER only_added")
                for statement in statements:
                    cursor.execute(statement)
                    assert cursor.rowcount == 1, statement
                changed = read(cursor, RELYING_PARTY)
            connection.rollback()
        return changed

    def with_entries(self, entries: list[Entry]) -> Ledger:
        return replace(self.day.ledger, entries=entries)


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    with opened() as (live, database):
        day, told = Day(live, database, subjects=SMALLEST, seed=7), list[str]()
        day.play(tell=told.append)
        yield Played(day, database, told, verdict(day.ledger, day.audit(), day.failures, tell=told.append))


@pytest.mark.rts("29")
def test_a_day_is_equal_to_the_last_row(played: Played) -> None:
    assert played.code == 0, "\n".join(played.told)
    assert played.told[-1] == "Ledger and audit rows are equal, to the last one."
    assert len(ACTS) <= SMALLEST * ACTS_EACH


@pytest.mark.rts("29")
def test_each_thing_that_can_happen_has_happened(played: Played) -> None:
    entries = played.day.ledger.entries
    events = {entry.event for entry in entries}
    assert set(DeviceEvent) <= events
    assert set(Event) - events == {Event.FAIL}, "evidence can be made of all that a real phone signs"
    assert {e.reason for e in entries if e.event == DeviceEvent.FAIL_TRY} == set(FailedTry)
    assert {e.state for e in entries if e.entity == "registration"} == {
        *("ISSUED", "PENDING", "ACTIVATED", "BLOCKED")
    }
    assert set(played.day.ledger.seen["pin_reset"].values()) == {"COMPLETED", "BLOCKED", "CANCELLED"}


ONE = "(SELECT id FROM event WHERE name = '{}' ORDER BY id LIMIT 1)"
CHANGES = {
    "deleted": (
        "DELETE FROM event WHERE id = " + ONE.format("APPROVE"),
        "no audit row: transaction {}: APPROVE",
    ),
    "altered": (
        "UPDATE event SET reason = 'approval' WHERE id = " + ONE.format("REJECT"),
        "no answer tells of: transaction {}: REJECT -> REJECTED (approval)",
    ),
    "moved": (
        "UPDATE event SET entity_id = gen_random_uuid() WHERE id = " + ONE.format("BIND"),
        "no audit row: binding {}: BIND",
    ),
    "added": (
        "INSERT INTO event (relying_party, id, entity, entity_id, name, state, reason, at)"
        " SELECT relying_party, gen_random_uuid(), entity, entity_id, name, state, reason, at FROM event"
        " WHERE id = " + ONE.format("FAILTRY"),
        " {}: FAILTRY",
    ),
    "evidence deleted": (
        "DELETE FROM evidence WHERE transaction_id = (SELECT entity_id FROM event WHERE id = "
        + ONE.format("SEAL")
        + ")",
        "transaction {}: 0 documents where 1 belong",
    ),
    "left waiting": (
        "UPDATE transaction SET state = 'PENDING' WHERE id = (SELECT entity_id FROM event WHERE id = "
        + ONE.format("EXPIRE")
        + ")",
        "transaction {}: still PENDING",
    ),
    "device opened": (
        "UPDATE binding SET state = 'ACTIVE' WHERE id = (SELECT entity_id FROM event WHERE id = "
        + ONE.format("REVOKE")
        + ")",
        "binding {}: the bank saw REVOKED, the row says ACTIVE",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_one_row_that_was_tampered_with_is_named(played: Played, change: str) -> None:
    statement, says = CHANGES[change]
    event = statement.partition("name = '")[2].partition("'")[0]
    id_ = next(entry.id for entry in played.day.audit().events if entry.event == event)
    audit = played.after(statement)
    found = differences(played.day.ledger, audit)
    assert any(says.format(id_) in line for line in found), found
    assert verdict(played.day.ledger, audit, [], tell=lambda line: None) == 1
    assert differences(played.day.ledger, played.day.audit()) == [], "the rows themselves are as they were"


def test_two_rows_that_change_places_are_no_path(played: Played) -> None:
    """Each total is as before."""
    claim = next(e for e in played.day.audit().events if e.event == "CLAIM")
    audit = played.after(
        "UPDATE event SET id = overlay(id::text PLACING 'ffffffff' FROM 1)::uuid"
        f" WHERE entity_id = '{claim.id}' AND name = 'CLAIM'"
    )
    (found,) = differences(played.day.ledger, audit)
    assert f"transaction {claim.id}: " in found
    assert "is no transition" in found


@pytest.mark.parametrize("event", ["START", "NOTIFY", "REDEEM", "LOCK", "EXPIRE"])
def test_one_entry_that_is_lost_or_invented_is_named(played: Played, event: str) -> None:
    entries, audit = played.day.ledger.entries, played.day.audit()
    one = next(entry for entry in entries if entry.event == event)
    lost = differences(played.with_entries([e for e in entries if e is not one]), audit)
    assert f"an audit row that no answer tells of: {one}" in lost
    invented = differences(played.with_entries([*entries, one]), audit)
    assert f"answered, but no audit row: {one}" in invented


def test_what_the_bank_saw_counts_and_what_failed_is_told(played: Played) -> None:
    ledger, audit, told = played.day.ledger, played.day.audit(), list[str]()
    id_, state = next(iter(ledger.seen["transaction"].items()))
    seen = {**ledger.seen, "transaction": {**ledger.seen["transaction"], id_: "FAILED"}}
    found = differences(replace(ledger, seen=seen), audit)
    assert f"transaction {id_}: the bank saw FAILED, the row says {state}" in found
    assert verdict(ledger, audit, ["customer-1, login: no"], tell=told.append) == 1
    assert "NOT EQUAL  customer-1, login: no" in told


def test_a_day_too_small_for_each_act_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--subjects", "1"])
    assert f"at least {SMALLEST}" in capsys.readouterr().err
