"""The audit rows as Postgres holds them, and the comparison with the ledger.

The law: every row of ``event`` has its entry and every entry its row, one for one: entity, id, event, state
and reason. Of each transaction the events, in their order, are a path of TRANSITIONS that ends in the state
which the table holds and the bank saw; a decision that leaves evidence has one document, and nothing else has
one. Nothing waits. Each difference is named with its id; totals are equal or the day is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ledger import Entry, Ledger

from gateway.core.errors import TransactionNotPending
from gateway.core.transaction import FINAL, Event, State, next_state

_STATES = {"registration": "registration", "binding": "binding", "transaction": "transaction"} | {
    "pin_reset": "pin_reset"
}


@dataclass(frozen=True)
class Audit:
    events: tuple[Entry, ...]
    """In the order of their ids."""
    states: dict[str, dict[str, str]]
    """By table: what each row holds."""
    leaves_evidence: frozenset[str]
    """Transactions whose decision leaves a document."""
    redeemed: frozenset[str]
    documents: Counter[str]
    """Evidence rows, by transaction."""
    wrong_codes: int
    """Counted on registrations."""
    certificates_revoked: int
    wakes: int


def read(cursor: Any, relying_party: str) -> Audit:
    def rows(query: str) -> list[tuple[Any, ...]]:
        cursor.execute(query, {"rp": relying_party})
        return list(cursor.fetchall())

    mine = "WHERE relying_party = %(rp)s"
    told = rows(f"SELECT entity, entity_id::text, name, state, reason FROM event {mine} ORDER BY id")
    return Audit(
        events=tuple(Entry(*row) for row in told),
        states={name: dict(rows(f"SELECT id::text, state FROM {t} {mine}")) for name, t in _STATES.items()},
        leaves_evidence=frozenset(
            id_ for (id_,) in rows(f"SELECT id::text FROM transaction {mine} AND leaves_evidence")
        ),
        redeemed=frozenset(
            id_ for (id_,) in rows(f"SELECT id::text FROM transaction {mine} AND redeemed_at IS NOT NULL")
        ),
        documents=Counter(id_ for (id_,) in rows(f"SELECT transaction_id::text FROM evidence {mine}")),
        wrong_codes=int(rows(f"SELECT coalesce(sum(failures), 0) FROM registration {mine}")[0][0]),
        certificates_revoked=int(rows("SELECT count(*) FROM revoked_certificate")[0][0]),
        wakes=int(rows(f"SELECT count(*) FROM wake {mine}")[0][0]),
    )


def table(ledger: Ledger, audit: Audit) -> list[tuple[str, int, int]]:
    """What happened, how often by the ledger, how often by the rows."""
    booked, rows = (Counter((e.entity, e.event, e.state, e.reason) for e in s) for s in _both(ledger, audit))
    lines = [
        (f"{entity} {event} -> {state}{f' ({reason})' if reason else ''}", booked[kind], rows[kind])
        for kind in sorted(set(booked) | set(rows))
        for entity, event, state, reason in [kind]
    ]
    for name in _STATES:
        ours, theirs = Counter(ledger.seen[name].values()), Counter(audit.states[name].values())
        lines += [(f"{name}s that are {s}", ours[s], theirs[s]) for s in sorted(set(ours) | set(theirs))]
    tries = [e for e in ledger.entries if (e.entity, e.event) == ("registration", "FAILTRY")]
    ended = [e for e in ledger.entries if (e.entity, e.event) == ("binding", "REVOKE")]
    return [
        *lines,
        ("evidence documents", len(ledger.evidence), sum(audit.documents.values())),
        ("authentication codes redeemed", len(ledger.redeemed), len(audit.redeemed)),
        ("wrong activation codes counted", len(tries), audit.wrong_codes),
        ("certificates on the revocation list", len(ended), audit.certificates_revoked),
        ("all events", len(ledger.entries), len(audit.events)),
    ]


def differences(ledger: Ledger, audit: Audit) -> list[str]:
    """Each in one line; none where the two agree to the last row."""
    booked, rows = (Counter(s) for s in _both(ledger, audit))
    found = [
        f"answered, but no audit row: {entry}{_times(n)}" for entry, n in sorted((booked - rows).items())
    ]
    found += [
        f"an audit row that no answer tells of: {e}{_times(n)}" for e, n in sorted((rows - booked).items())
    ]
    for name in _STATES:
        ours, theirs = ledger.seen[name], audit.states[name]
        found += [
            f"{name} {id_}: the bank saw {ours.get(id_)}, the row says {theirs.get(id_)}"
            for id_ in sorted(set(ours) | set(theirs))
            if ours.get(id_) != theirs.get(id_)
        ]
    found += _histories(ledger)
    found += _paths(audit)
    found += _documents(ledger, audit)
    found += [
        f"transaction {id_}: redeemed by one of the two alone" for id_ in ledger.redeemed ^ audit.redeemed
    ]
    if audit.wakes:
        found.append(f"{audit.wakes} wake-ups still wait")
    totals = [
        f"{what}: {ours} in the ledger, {theirs} in the rows"
        for what, ours, theirs in table(ledger, audit)
        if ours != theirs
    ]
    return found + totals


def _both(ledger: Ledger, audit: Audit) -> tuple[Iterable[Entry], Iterable[Entry]]:
    return ledger.entries, audit.events


def _times(number: int) -> str:
    return "" if number == 1 else f", {number} times"


def _histories(ledger: Ledger) -> Iterator[str]:
    """What the bank reads in a device's history is what it was answered before, no more and no less."""
    for device, entries in ledger.histories.items():
        booked = [(e.event, e.state, e.reason) for e in ledger.entries if e.id == device]
        if Counter(booked) != Counter(entries):
            yield f"binding {device}: GetDeviceHistory says {entries}, the ledger {booked}"


def _paths(audit: Audit) -> Iterator[str]:
    steps: dict[str, list[Entry]] = {}
    for entry in audit.events:
        if entry.entity == "transaction":
            steps.setdefault(entry.id, []).append(entry)
    for id_, state in sorted(audit.states["transaction"].items()):
        if State(state) not in FINAL:
            yield f"transaction {id_}: still {state}"
        problem = _path(steps.get(id_, []), state)
        if problem:
            yield f"transaction {id_}: {problem}"


def _path(steps: list[Entry], ends: str) -> str:
    """What is wrong with the events of one transaction; empty where nothing is."""
    names = [step.event for step in steps]
    if not steps or steps[0].event != "START" or steps[0].state not in (State.REQUESTED, State.PENDING):
        return f"its events are {names}, and it begins with START"
    state = State(steps[0].state)
    for step in steps[1:]:
        if step.event == "REDEEM" and state is State.COMPLETED and names.count("REDEEM") == 1:
            continue
        try:
            state = next_state(state, Event(step.event))
        except (TransactionNotPending, ValueError):
            return f"{step.event} after {state} is no transition ({names})"
        if step.state != state:
            return f"{step.event} leads to {state}, its row says {step.state}"
    return "" if state == ends else f"its events lead to {state}, the row says {ends}"


def _documents(ledger: Ledger, audit: Audit) -> Iterator[str]:
    decided = {
        id_
        for id_, state in audit.states["transaction"].items()
        if id_ in audit.leaves_evidence and state in (State.COMPLETED, State.REJECTED)
    }
    for id_ in sorted(decided | set(audit.documents) | ledger.evidence):
        expected = 1 if id_ in decided else 0
        if audit.documents[id_] != expected or (id_ in ledger.evidence) != bool(expected):
            fetched = "fetched" if id_ in ledger.evidence else "not fetched"
            yield f"transaction {id_}: {audit.documents[id_]} documents where {expected} belong, {fetched}"
