"""What the schema itself refuses, whoever writes: each row here breaks one constraint and no other."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from psycopg2 import errors
from storage_fixture import NOW, World, as_superuser, make_store, sql

from gateway.core.model import Decision
from gateway.ports import Crl
from gateway.storage.embedded import Connections

Row = dict[str, Any]


def new_id() -> str:
    return str(uuid4())


def new_index(size: int = 32) -> str:
    return "\\x" + secrets.token_hex(size)


def new_certificate() -> Row:
    der = secrets.token_bytes(8)
    return {"der": "\\x" + der.hex(), "sha256": "\\x" + hashlib.sha256(der).hexdigest()}


FRESH: dict[str, Callable[[Row], Row]] = {
    "subject": lambda row: {"id": new_id(), "pseudonym": new_id()},
    "subject_key": lambda row: {"ref_index": new_index(), "subject_id": row["keyless"]},
    "registration": lambda row: {
        "id": new_id(),
        "activation_id": new_id(),
        "request_index": new_index(),
    },
    "certificate": lambda row: new_certificate(),
    "binding": lambda row: {"id": new_id()},
    "nonce": lambda row: {"sha256": new_index()},
    "message": lambda row: {"sha256": new_index()},
    "transaction": lambda row: {"id": new_id(), "request_index": new_index()},
    "event": lambda row: {"id": new_id()},
    "evidence": lambda row: {"id": new_id(), "transaction_id": row["other"]},
    "wake": lambda row: {"id": new_id()},
    "crl": lambda row: {"number": secrets.randbits(100)},
    "callback": lambda row: {"event_id": row["other"]},
    "pin_reset": lambda row: {"id": new_id(), "request_index": new_index()},
    "recovery": lambda row: {"subject_id": row["keyless"]},
    "notice": lambda row: {"id": new_id()},
}
"""What makes the copy of a row a good row of its own."""

CHECKS: list[tuple[str, Row]] = [
    ("subject", {"relying_party": "Not A Bank"}),
    ("subject", {"failures": -1}),
    ("subject_key", {"ref_index": new_index(31)}),
    ("registration", {"state": "UNKNOWN"}),
    ("registration", {"state": "ACTIVATED"}),
    ("registration", {"failures": -1}),
    ("registration", {"expires_at": NOW.isoformat()}),
    ("registration", {"request_index": new_index(31)}),
    ("certificate", {"sha256": new_index()}),
    ("certificate", {"serial": 0}),
    ("binding", {"state": "UNKNOWN"}),
    ("binding", {"failures": -1}),
    ("transaction", {"kind": "another"}),
    ("transaction", {"state": "UNKNOWN"}),
    ("transaction", {"expires_at": NOW.isoformat()}),
    ("transaction", {"failed_attempts": -1}),
    ("transaction", {"request_index": new_index(31)}),
    ("transaction", {"evidence_id": new_id()}),
    ("transaction PENDING", {"claimed_at": None}),
    ("transaction REJECTED", {"decision": "another"}),
    ("transaction REJECTED", {"decision": "approved"}),
    ("transaction APPROVED", {"decision": "rejected-not-me"}),
    ("transaction APPROVED", {"state": "PENDING"}),
    ("transaction APPROVED", {"state": "COMPLETED"}),
    ("transaction APPROVED", {"decided_at": None}),
    ("transaction APPROVED", {"assertion": None}),
    ("transaction APPROVED", {"acr": None}),
    ("transaction APPROVED", {"binding_id": None, "claimed_at": None}),
    ("transaction", {"channel": "another"}),
    ("transaction", {"leaves_evidence": False}),
    ("transaction COMPLETED", {"redeemed_at": NOW.isoformat()}),
    ("transaction COMPLETED", {"redeemed_at": NOW.isoformat(), "redeemed_by": new_index(31)}),
    ("transaction APPROVED", {"redeemed_at": NOW.isoformat(), "redeemed_by": new_index()}),
    ("transaction REJECTED", {"kind": "authorisation", "leaves_evidence": False, "evidence_id": new_id()}),
    ("registration", {"purpose": "another"}),
    ("registration", {"artifact_sha256": new_index(31)}),
    ("registration", {"state": "ISSUED"}),
    ("binding", {"state": "LOCKED"}),
    ("binding", {"lock_reason": "lost"}),
    ("binding", {"state": "LOCKED", "lock_reason": "Ada Example"}),
    ("binding", {"locked_methods": ["face"]}),
    ("binding", {"client_name": "app"}),
    ("binding", {"client_name": "Ada Example", "client_version": "1.0"}),
    ("binding", {"client_name": "app", "client_version": "one"}),
    ("wake", {"transaction_id": None}),
    ("pin_reset", {"state": "UNKNOWN"}),
    ("pin_reset", {"failures": -1}),
    ("pin_reset", {"expires_at": NOW.isoformat()}),
    ("pin_reset", {"request_index": new_index(31)}),
    ("notice", {"kind": "another"}),
    ("event", {"entity": "another"}),
    ("event", {"name": "start"}),
    ("event", {"state": "requested"}),
    ("event", {"reason": "Ada Example"}),
    ("evidence", {"level": "B-X"}),
    ("message", {"caller": "No Caller"}),
    ("message", {"sha256": new_index(31)}),
    ("crl", {"number": -1}),
    ("crl", {"next_update": NOW.isoformat()}),
]
UNIQUE = [
    ("subject", "pseudonym"),
    ("subject_key", "ref_index"),
    ("registration", "activation_id"),
    ("registration", "request_index"),
    ("transaction", "request_index"),
    ("evidence", "transaction_id"),
    ("pin_reset", "request_index"),
]
REFERENCES = [
    ("subject_key", "subject_id"),
    ("registration", "subject_id"),
    ("binding", "subject_id"),
    ("binding", "certificate_sha256"),
    ("nonce", "binding_id"),
    ("transaction", "subject_id"),
    ("transaction PENDING", "binding_id"),
    ("evidence", "transaction_id"),
    ("wake", "transaction_id"),
    ("callback", "event_id"),
    ("pin_reset", "binding_id"),
    ("pin_reset", "subject_id"),
    ("recovery", "subject_id"),
    ("notice", "binding_id"),
    ("notice", "about_id"),
]


@pytest.fixture(scope="module")
def world(database: Connections) -> World:
    """One relying party with a row of each kind."""
    world = World(make_store(database))
    subject, device = world.bind()
    world.register()
    world.start(subject)
    world.pending(subject, device)
    world.decide(world.pending(subject, device), decision=Decision.REJECTED_NOT_ME)
    world.approved(subject, device)
    done = world.approved(subject, device)
    assert world.store.complete(done, evidence=world.evidence(done), at=NOW)
    assert world.store.remember_nonce(world.rp, device.id, "n", expires_at=NOW)
    assert world.store.remember_message(world.rp, "core", b"m" * 32, expires_at=NOW)
    assert world.store.add_crl(Crl(world.rp.encode(), 1, b"", NOW, done.expires_at))
    of = {"relying_party": world.rp, "subject_id": str(subject.id), "created_at": NOW.isoformat()}
    insert(database, "recovery", of | {"id": new_id(), "digest": new_index()})
    reset = {"id": new_id(), "binding_id": str(device.id), "state": "PENDING", "failures": 0}
    end = {"expires_at": done.expires_at.isoformat()}
    insert(
        database,
        "pin_reset",
        of | reset | end | {"request_index": new_index(), "request_digest": new_index()},
    )
    told = {"id": new_id(), "binding_id": str(device.id), "kind": "new-device", "about_id": str(device.id)}
    insert(database, "notice", {"relying_party": world.rp, "at": NOW.isoformat()} | told)
    return world


def copied(database: Connections, world: World, of: str, changes: Row, *, same: str = "") -> None:
    """Puts beside a row one more that differs from it in its own ids and in the changes."""
    table, _, state = of.partition(" ")
    state = state or {"registration": "PENDING", "transaction": "REQUESTED"}.get(table, "")
    where = "issuer = %s::bytea" if table == "crl" else "relying_party = %s"
    where += f" AND state = '{state}'" if state else ""
    found = as_superuser(database, f"SELECT to_jsonb(x) FROM {table} x WHERE {where} LIMIT 1", (world.rp,))
    base: Row = found[0][0]
    if table in ("subject_key", "recovery"):
        keyless = {"id": new_id(), "pseudonym": new_id()}
        insert(database, "subject", as_superuser(database, _ONE_SUBJECT, (world.rp,))[0][0] | keyless)
        base["keyless"] = keyless["id"]
    if table == "evidence":
        query = "SELECT id FROM transaction WHERE relying_party = %s AND state = 'APPROVED'"
        base["other"] = str(as_superuser(database, query, (world.rp,))[0][0])
    if table == "callback":
        query = (
            "SELECT id FROM event e WHERE relying_party = %s"
            " AND NOT EXISTS (SELECT FROM callback c WHERE c.event_id = e.id)"
        )
        base["other"] = str(as_superuser(database, query, (world.rp,))[0][0])
    fresh = FRESH[table](base)
    fresh.pop(same, None)
    insert(database, table, base | fresh | changes)


_ONE_SUBJECT = "SELECT to_jsonb(x) FROM subject x WHERE relying_party = %s LIMIT 1"


def insert(database: Connections, table: str, row: Row) -> None:
    query = f"INSERT INTO {table} SELECT * FROM jsonb_populate_record(NULL::{table}, %s::jsonb)"
    as_superuser(database, query, (json.dumps(row),))


@pytest.mark.parametrize("table", sorted({*FRESH} - {"evidence"}))
def test_a_row_of_its_own_is_taken(world: World, database: Connections, table: str) -> None:
    copied(database, world, table, {})


@pytest.mark.parametrize(("of", "changes"), CHECKS, ids=repr)
def test_a_row_that_cannot_be_is_refused(world: World, database: Connections, of: str, changes: Row) -> None:
    with pytest.raises(errors.CheckViolation):
        copied(database, world, of, changes)


@pytest.mark.parametrize(("table", "column"), UNIQUE)
def test_what_is_one_of_its_kind_stands_once(
    world: World, database: Connections, table: str, column: str
) -> None:
    with pytest.raises(errors.UniqueViolation):
        copied(database, world, table, {}, same=column)


@pytest.mark.parametrize(("of", "column"), REFERENCES)
def test_what_a_row_is_of_is_there(world: World, database: Connections, of: str, column: str) -> None:
    nothing = new_index() if column.endswith("sha256") else new_id()
    with pytest.raises(errors.ForeignKeyViolation):
        copied(database, world, of, {column: nothing})


def test_an_artifact_is_of_one_registration(world: World, database: Connections) -> None:
    artifact = {"artifact_sha256": new_index()}
    copied(database, world, "registration", artifact)
    with pytest.raises(errors.UniqueViolation):
        copied(database, world, "registration", artifact)


def test_a_device_that_is_woken_is_there(world: World, database: Connections) -> None:
    with pytest.raises(errors.ForeignKeyViolation):
        copied(database, world, "wake", {"transaction_id": None, "binding_id": new_id()})


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE subject SET pseudonym = ''",
        "UPDATE registration SET created_at = now()",
        "UPDATE binding SET platform = ''",
        "UPDATE transaction SET kind = ''",
        "UPDATE wake SET transaction_id = id",
        "UPDATE lease SET name = ''",
        "UPDATE callback SET sequence = 1",
        "UPDATE pin_reset SET created_at = now()",
        "UPDATE recovery SET subject_id = id",
        "UPDATE notice SET kind = ''",
    ],
)
def test_the_application_changes_what_moves_and_nothing_else(database: Connections, statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        sql(database.app_dsn, statement)
