"""What the database does not show, does not let change, and cannot read."""

from __future__ import annotations

import base64
import secrets
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from psycopg2 import errors
from sim import PROFILE
from storage_fixture import KEYS, NOW, PART, World, answer, as_superuser, make_store, sql

from gateway.core.errors import InternalError, MisuseError, NotFound, RequestIdReused
from gateway.core.model import (
    Attestation,
    DeviceKeys,
    IdentityAttribute,
    LockReason,
    RegistrationState,
    Subject,
)
from gateway.core.statement import AttachedDocument, Payee, Payment, ShownText
from gateway.core.transaction import Event
from gateway.ports import RecoveryCode
from gateway.storage.embedded import Connections
from gateway.storage.envelope import KeyRing

APPEND_ONLY = ("event", "evidence", "certificate", "revoked_certificate")


@pytest.fixture
def world(database: Connections) -> World:
    return World(make_store(database))


def whole(world: World) -> None:
    """A row in every table."""
    subject, device = world.bind(push_target="token")
    transaction = world.approved(subject, device)
    assert world.store.complete(transaction, evidence=world.evidence(transaction), at=NOW)
    assert world.store.remember_nonce(world.rp, device.id, "n", expires_at=NOW)
    assert world.store.remember_message(world.rp, "core", b"m" * 32, expires_at=NOW)
    assert world.start_pin_reset(device)
    world.bind(subject, part=replace(PART, recovery=RecoveryCode(uuid4(), b"r" * 32)))
    assert world.store.revoke(world.rp, device.id, at=NOW)


HOUR = NOW + timedelta(hours=1)


def issued(world: World, subject: Subject) -> bytes:
    """The digest of an artifact for the subject."""
    registration, digest = (
        replace(world.registration(), state=RegistrationState.ISSUED),
        secrets.token_bytes(32),
    )
    world.store.start_registration(
        registration,
        subject=subject,
        request_id=str(uuid4()),
        request_digest=b"d" * 32,
        max_devices=99,
        artifact_sha256=digest,
    )
    return digest


def tables_of_tenants(database: Connections) -> list[str]:
    return [
        name
        for (name,) in as_superuser(
            database,
            "SELECT table_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND column_name = 'relying_party' ORDER BY 1",
        )
    ]


# row-level security


def test_every_table_with_a_tenant_has_forced_row_level_security(database: Connections) -> None:
    tables = tables_of_tenants(database)
    assert {"subject", "subject_key", "binding", "transaction", "event", "evidence"} <= set(tables)
    secured = as_superuser(
        database,
        "SELECT c.relname FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid"
        " WHERE c.relrowsecurity AND c.relforcerowsecurity ORDER BY 1",
    )
    assert [name for (name,) in secured] == tables
    first_of_keys = as_superuser(
        database,
        "SELECT DISTINCT a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] WHERE c.relname = ANY(%s)",
        (tables,),
    )
    assert first_of_keys == [("relying_party",)]


@pytest.mark.parametrize("owner", [False, True])
def test_no_row_without_the_setting_and_none_of_another_tenant(
    world: World, database: Connections, owner: bool
) -> None:
    whole(world)
    with closing(psycopg2.connect(database.owner_dsn if owner else database.app_dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:

            def count(table: str, *, setting: str | None) -> int:
                set_ = (
                    "" if setting is None else f"SELECT set_config('gateway.relying_party','{setting}',true);"
                )
                cursor.execute(f"{set_} SELECT count(*) FROM {table}")
                return int(cursor.fetchall()[0][0])

            for table in tables_of_tenants(database):
                assert count(table, setting=None) == 0, table
                assert count(table, setting="") == 0, table
                assert count(table, setting=f"{world.rp}x") == 0, table
                assert count(table, setting=world.rp) > 0, table
                assert count(table, setting=None) == 0, "the setting ends with its transaction"


def test_another_relying_party_reaches_nothing(world: World, database: Connections) -> None:
    subject, device = world.bind(part=replace(PART, recovery=RecoveryCode(uuid4(), b"r" * 32)))
    world.bind(subject)
    (notice,) = world.store.notices(world.rp, device.id)
    artifact = issued(world, subject)
    transaction = world.pending(subject, device)
    other = World(world.store)
    store, rp = other.store, other.rp
    assert store.subject(rp, subject.id) is None
    assert store.subject_by_ref(rp, subject.external_ref) is None
    assert store.binding(rp, device.id) is None
    assert store.bindings_of(rp, subject.id) == []
    assert store.transaction(rp, transaction.id) is None
    assert store.transaction_states(rp, [transaction.id]) == {}
    assert store.assertion(rp, transaction.id) is None
    assert not store.reserve_try(rp, device.id, max_failures=5)
    assert not store.revoke(rp, device.id, at=NOW)
    for change in (store.lock, store.unlock, store.lock_pin, store.unlock_pin):
        assert not change(rp, device.id, reason=LockReason.LOST, at=NOW)
    away = replace(device, relying_party=rp)
    assert not store.rename(away, name="New", reason=LockReason.CALLER, at=NOW)
    assert not store.change_pin(away, pin_key=b"new", at=NOW)
    assert store.history(rp, device.id, after=None, limit=9) == []
    assert store.last_used(rp, [device.id]) == {}
    reset = world.start_pin_reset(device)
    assert reset is not None
    assert other.start_pin_reset(device) is None
    assert store.pin_reset(rp, reset.id) is None
    assert store.reserve_pin_reset_try(rp, device.id, max_failures=5, at=NOW) is None
    assert not store.block_pin_reset(replace(reset, relying_party=rp), at=NOW)
    assert not store.reset_pin(replace(reset, relying_party=rp), pin_key=b"new", at=NOW)
    assert world.store.pin_reset(world.rp, reset.id) == reset
    assert world.store.binding(world.rp, device.id) == device
    assert store.notices(rp, device.id) == []
    assert store.recovery_code(rp, subject.id) is None
    assert store.redeem_artifact(rp, artifact, expires_at=HOUR, at=NOW) is None
    assert not store.notice_seen(rp, device.id, notice.id, at=NOW)
    store.note_client(rp, device.id, client_name="app", client_version="1")
    assert world.store.binding(world.rp, device.id) == device
    assert world.store.notices(world.rp, device.id) == [notice]
    foreign = replace(transaction, relying_party=rp)
    assert not store.claim(foreign, binding_id=device.id, at=NOW)
    assert not other.decide(foreign)
    assert not store.finish(foreign, event=Event.CANCEL, reason="", at=NOW)
    with pytest.raises(NotFound):
        store.start_transaction(
            replace(other.request(subject), relying_party=rp),
            profile=PROFILE,
            request_id="r",
            request_digest=b"",
        )
    assert world.load(transaction) == transaction


def test_the_application_cannot_write_for_another_tenant(world: World, database: Connections) -> None:
    with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
        sql(
            database.app_dsn,
            "SELECT set_config('gateway.relying_party', 'bank-a', true);"
            " INSERT INTO event VALUES ('bank-b', gen_random_uuid(), 'binding', gen_random_uuid(), 'X', 'X',"
            " '', now())",
        )


# append-only


@pytest.mark.rts("29")
@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_what_is_only_added_cannot_be_changed_by_anybody(
    world: World, database: Connections, table: str, change: str
) -> None:
    whole(world)
    column = {"event": "reason", "evidence": "document", "certificate": "der"}.get(table, "revoked_at")
    statement = change.format(table, column, column)
    before = as_superuser(database, f"SELECT * FROM {table} ORDER BY 1, 2")
    head = f"SELECT set_config('gateway.relying_party', '{world.rp}', true);"
    for dsn in (database.app_dsn, database.owner_dsn, database.superuser_dsn):
        with pytest.raises(errors.InsufficientPrivilege):
            sql(dsn, head + statement)
    with pytest.raises(errors.InsufficientPrivilege, match="only ever added"):
        as_superuser(database, f"SET session_replication_role = 'replica'; {statement}")
    assert as_superuser(database, f"SELECT * FROM {table} ORDER BY 1, 2") == before


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE evidence DISABLE TRIGGER only_added",
        "DROP TRIGGER only_added ON evidence",
        "ALTER TABLE evidence DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE evidence NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY own_rows ON evidence",
        "ALTER FUNCTION refuse_change() RENAME TO allow_change",
        "SET session_replication_role = 'replica'",
        "SET ROLE gateway_owner",
        "DROP TABLE evidence",
        "UPDATE schema_migration SET sha256 = ''",
        "INSERT INTO schema_migration (name, sha256) VALUES ('x', 'x')",
        "UPDATE transaction SET content = ''",
        "UPDATE transaction SET profile_document = ''",
        "UPDATE transaction SET expires_at = now()",
        "UPDATE binding SET signing_key = ''",
        "UPDATE binding SET certificate_sha256 = ''",
        "UPDATE binding SET transport_key = ''",
        "UPDATE pin_reset SET expires_at = now()",
        "DELETE FROM pin_reset",
        "UPDATE subject_key SET wrapped = ''",
        "UPDATE crl SET der = ''",
        "DELETE FROM transaction",
        "DELETE FROM binding",
        "DELETE FROM subject",
        "TRUNCATE wake",
    ],
)
def test_the_application_may_do_what_it_needs_and_no_more(database: Connections, statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        sql(database.app_dsn, statement)


def test_a_state_without_what_it_needs_cannot_stand(world: World, database: Connections) -> None:
    subject, device = world.bind()
    transaction = world.pending(subject, device)
    for change in (
        "state = 'APPROVED'",
        "state = 'REJECTED', decision = 'approved', decided_at = now(), acr = '', assertion = ''",
        "state = 'COMPLETED'",
        "state = 'UNKNOWN'",
        "decision = 'approved'",
        "binding_id = NULL",
        "evidence_id = gen_random_uuid()",
    ):
        with pytest.raises(errors.CheckViolation):
            as_superuser(
                database,
                f"UPDATE transaction SET {change} WHERE id = %s::uuid",
                (str(transaction.id),),
            )


# nothing personal in clear


def _spellings(canary: bytes) -> list[bytes]:
    """As it is, UTF-16, hex, and base64 at each of the three alignments (without the edges)."""
    found = [canary, canary.decode("latin-1").encode("utf-16-le"), canary.hex().encode()]
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + canary)
        found.append(encoded[4 if shift else 0 : len(encoded) - 4])
    return found


def _dump(database: Connections) -> bytes:
    """Every value of every table: as text (which writes bytea in hex), and each bytea as its bytes."""
    pieces: list[bytes] = []
    columns = as_superuser(
        database,
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'public' ORDER BY 1, 2",
    )
    for table in {table for table, _, _ in columns}:
        pieces += [row.encode() for (row,) in as_superuser(database, f"SELECT r::text FROM {table} r")]
    for table, column, type_ in columns:
        if type_ == "bytea":
            found = as_superuser(database, f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL")
            pieces += [bytes(value) for (value,) in found]
    return b"\n".join(pieces)


def _canaries(database: Connections, world: World) -> dict[str, bytes]:
    """Plants a canary in each personal field, and in all that was shown, and walks to the end."""
    canary = {
        name: f"canary{secrets.token_hex(12)}".encode()
        for name in (
            "ref", "attribute", "device", "push", "pin", "object", "registration request",
            "transaction request", "digest", "title", "text", "payee", "account", "document name",
            "bank", "evidence", "PIN reset request", "new name", "new pin",
        )
    }  # fmt: skip
    say = {name: value.decode() for name, value in canary.items()}
    registration = world.registration()
    subject = world.person(
        registration, ref=say["ref"], attributes=(IdentityAttribute("name", say["attribute"]),)
    )
    world.store.start_registration(
        registration,
        subject=subject,
        request_id=say["registration request"],
        request_digest=canary["digest"],
        max_devices=99,
    )
    device = replace(
        world.device(subject),
        name=say["device"],
        keys=DeviceKeys(b"s", b"t", canary["pin"]),
        attestation=Attestation("none", "software", canary["object"]),
    )
    assert world.store.activate(
        registration, binding=device, push_target=say["push"], part=PART, max_devices=99, at=NOW
    )
    assert world.store.rename(device, name=say["new name"], reason=LockReason.SUBJECT, at=NOW)
    assert world.store.change_pin(device, pin_key=canary["new pin"], at=NOW)
    assert world.start_pin_reset(device, request_id=say["PIN reset request"], digest=canary["digest"])
    blank = world.request(subject)
    asked = replace(
        blank,
        content=replace(
            blank.content,
            relying_party=replace(blank.content.relying_party, name=say["bank"]),
            texts=(ShownText(say["title"], say["text"], "text/plain"),),
            payment=Payment("1.00", "EUR", (Payee(say["payee"], say["account"], "1.00"),)),
            documents=(AttachedDocument(say["document name"], "text/plain", b"x" * 32),),
        ),
    )
    transaction, _ = world.store.start_transaction(
        asked, profile=PROFILE, request_id=say["transaction request"], request_digest=canary["digest"]
    )
    assert world.store.claim(transaction, binding_id=device.id, at=NOW)
    given = answer()
    assert given.pin_signature is not None
    canary |= {
        "nonce": asked.content.nonce,
        "signature": given.signature,
        "pin signature": given.pin_signature,
    }
    assert world.store.decide(
        world.load(transaction),
        event=Event.APPROVE,
        assertion=given,
        acr="urn:acr",
        amr=("swk", "pin"),
        failed_attempts=0,
        lock=False,
        at=NOW,
    )
    approved = world.load(transaction)
    assert world.store.complete(approved, evidence=world.evidence(approved, canary["evidence"]), at=NOW)
    (wake,) = world.store.take_wakes(world.rp, at=NOW, lease_seconds=1, limit=1) or [None]
    assert wake is None or wake.push_targets == (say["push"],)
    return canary


@pytest.mark.rts("22", "6")
def test_nothing_personal_stands_in_clear_in_any_table(world: World, database: Connections) -> None:
    """RTS article 22; the PIN proof: articles 6 to 8."""
    canary = _canaries(database, world)
    as_superuser(
        database,
        "CREATE TABLE control AS SELECT 'x'::text AS t, %s::bytea AS b, %s AS e",
        (b"control-canary", base64.b64encode(b"yycontrol-canary").decode()),
    )
    try:
        dump = _dump(database)
    finally:
        as_superuser(database, "DROP TABLE control")
    assert world.rp.encode() in dump
    found = [s for s in _spellings(b"control-canary") if s in dump]
    assert len(found) == 3, "the scan finds what is there: as it is, in hex, in base64"
    for name, value in canary.items():
        for spelling in _spellings(value):
            assert spelling not in dump, name


@pytest.mark.rts("22")
def test_nothing_personal_stands_in_clear_on_the_servers_disk(world: World, database: Connections) -> None:
    """Tables, write-ahead log, the server's own log: also of statements that are refused."""
    canary = _canaries(database, world)
    _, device = world.bind()
    with pytest.raises(MisuseError):
        world.store._pool.run(
            world.rp,
            "UPDATE binding SET state = 'UNKNOWN' WHERE relying_party = %(rp)s AND id = %(id)s",
            {"id": device.id},
        )
    as_superuser(database, "CHECKPOINT")
    ((cluster,),) = as_superuser(database, "SHOW data_directory")
    found = b"".join(file.read_bytes() for file in Path(cluster).parent.rglob("*") if file.is_file())
    assert world.rp.encode() in found
    for name, value in canary.items():
        assert value not in found, name


def test_everything_sealed_is_marked_so_by_its_key_id(world: World, database: Connections) -> None:
    whole(world)
    sealed = {
        "subject": ("external_ref", "attributes"),
        "registration": ("request_digest", "activation_digest"),
        "recovery": ("digest",),
        "binding": ("name", "pin_key", "push_target", "attestation_object"),
        "transaction": ("content", "assertion", "request_digest"),
        "evidence": ("document",),
    }
    for table, columns in sealed.items():
        for column in columns:
            rows = as_superuser(
                database,
                f"SELECT {column} FROM {table} WHERE relying_party = %s AND {column} IS NOT NULL",
                (world.rp,),
            )
            assert rows, column
            assert all(bytes(value).startswith(b"\x07subject") for (value,) in rows), column
    wrapped = as_superuser(database, "SELECT wrapped FROM subject_key WHERE relying_party = %s", (world.rp,))
    assert all(bytes(value).startswith(b"\x062026-1") for (value,) in wrapped)


# keys


def test_a_wrong_key_opens_nothing(world: World, database: Connections) -> None:
    subject, device = world.bind()
    transaction = world.pending(subject, device)
    wrong = KeyRing(KEYS.current_id, {KEYS.current_id: secrets.token_bytes(32)})
    for keyring in (wrong, KeyRing("other", {"other": KEYS.keys[KEYS.current_id]})):
        store = make_store(database, keyring=keyring)
        for read in (
            lambda s=store: s.subject(world.rp, subject.id),
            lambda s=store: s.binding(world.rp, device.id),
            lambda s=store: s.transaction(world.rp, transaction.id),
            lambda s=store: s.start_transaction(
                world.request(subject), profile=PROFILE, request_id=str(uuid4()), request_digest=b""
            ),
        ):
            with pytest.raises(InternalError):
                read()


def test_an_old_key_still_opens_and_a_new_one_wraps(world: World, database: Connections) -> None:
    _, old = world.register()
    both = KeyRing("2026-2", {**KEYS.keys, "2026-2": secrets.token_bytes(32)})
    later = World(make_store(database, keyring=both), world.rp)
    assert later.store.subject(world.rp, old.id) == old
    _, new = later.register()
    assert later.store.subject(world.rp, new.id) == new
    with pytest.raises(InternalError):
        world.store.subject(world.rp, new.id)


@pytest.mark.rts("22")
@pytest.mark.parametrize(
    ("table", "column", "read"),
    [
        ("transaction", "content", "transaction"),
        ("transaction", "assertion", "assertion"),
        ("evidence", "document", "evidence"),
        ("binding", "pin_key", "binding"),
        ("binding", "name", "binding"),
    ],
)
def test_a_ciphertext_moved_to_another_row_of_the_same_subject_is_refused(
    world: World, database: Connections, table: str, column: str, read: str
) -> None:
    subject, device = world.bind()
    _, other = world.bind(subject)
    first, second = world.approved(subject, device), world.approved(subject, device)
    for transaction in (first, second):
        assert world.store.complete(transaction, evidence=world.evidence(transaction), at=NOW)
    ids = (device.id, other.id) if table == "binding" else (first.id, second.id)
    name = "transaction_id" if table == "evidence" else "id"
    trigger = table in APPEND_ONLY
    if trigger:
        as_superuser(database, f"ALTER TABLE {table} DISABLE TRIGGER only_added")
    try:
        as_superuser(
            database,
            f"UPDATE {table} SET {column} = (SELECT {column} FROM {table} WHERE {name} = %s::uuid)"
            f" WHERE {name} = %s::uuid",
            (str(ids[0]), str(ids[1])),
        )
    finally:
        if trigger:
            as_superuser(database, f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER only_added")
    assert getattr(world.store, read)(world.rp, ids[0]) is not None
    with pytest.raises(InternalError):
        getattr(world.store, read)(world.rp, ids[1])


def test_a_wrapped_key_moved_to_another_subject_is_refused(world: World, database: Connections) -> None:
    (_, first), (_, second) = world.register(), world.register()
    as_superuser(
        database,
        "UPDATE subject_key SET wrapped = (SELECT wrapped FROM subject_key WHERE subject_id = %s::uuid)"
        " WHERE subject_id = %s::uuid",
        (str(first.id), str(second.id)),
    )
    with pytest.raises(InternalError):
        world.store.subject(world.rp, second.id)


# erasure


def test_without_its_key_a_subject_is_absent_and_all_else_stands(world: World, database: Connections) -> None:
    subject, device = world.bind(push_target="token")
    done = world.approved(subject, device)
    assert world.store.complete(done, evidence=world.evidence(done), at=NOW)
    approved, pending = world.approved(subject, device), world.pending(subject, device)
    registration, _ = world.register(ref=subject.external_ref, request_id="reg")
    artifact = issued(world, subject)
    world.bind(subject, part=replace(PART, recovery=RecoveryCode(uuid4(), b"r" * 32)))
    assert world.store.recovery_code(world.rp, subject.id)
    assert world.store.notices(world.rp, device.id)
    started, _ = world.store.start_transaction(
        world.request(subject), profile=PROFILE, request_id="start", request_digest=b"d" * 32
    )
    _, neighbour = world.register()
    before = as_superuser(
        database, "SELECT * FROM evidence WHERE relying_party = %s", (world.rp,)
    ) + as_superuser(database, "SELECT * FROM event WHERE relying_party = %s", (world.rp,))

    gone = sql(
        database.app_dsn,
        f"SELECT set_config('gateway.relying_party', '{world.rp}', true);"
        f" DELETE FROM subject_key WHERE relying_party = '{world.rp}' AND subject_id = '{subject.id}'"
        " RETURNING 1",
    )
    assert gone == [(1,)]

    store, rp = world.store, world.rp
    for other in (store, make_store(database)):  # one that remembers the key, and one that never had it
        assert other.subject(rp, subject.id) is None
        assert other.subject_by_ref(rp, subject.external_ref) is None
        assert other.registration(rp, registration.id) is None
        assert other.binding(rp, device.id) is None
        assert other.bindings_of(rp, subject.id) == []
        assert other.notices(rp, device.id) == []
        assert other.recovery_code(rp, subject.id) is None
        assert other.redeem_artifact(rp, artifact, expires_at=HOUR, at=NOW) is None
        assert other.transaction(rp, done.id) is None
        assert other.transaction_states(rp, [done.id, started.id]) == {}
        assert other.assertion(rp, done.id) is None
        assert other.evidence(rp, done.id) is None
        assert other.started(rp, "start") is None
        assert other.waiting_for(rp, device.id, at=NOW) == []
        assert other.overdue(rp, at=pending.expires_at, limit=9) == []
        assert other.take_wakes(rp, at=NOW, lease_seconds=0, limit=9) == []
        assert not other.decide(
            pending,
            event=Event.APPROVE,
            assertion=answer(),
            acr="",
            amr=(),
            failed_attempts=0,
            lock=False,
            at=NOW,
        )
        assert not other.complete(approved, evidence=world.evidence(approved), at=NOW)
        device2 = world.device(subject)
        assert not other.activate(
            registration, binding=device2, push_target=None, part=PART, max_devices=99, at=NOW
        )
        assert other.reserve_activation_try(rp, registration.activation_id, max_failures=3, at=NOW) is None
        with pytest.raises(NotFound):
            other.start_transaction(
                world.request(subject), profile=PROFILE, request_id=str(uuid4()), request_digest=b"d" * 32
            )
    after = as_superuser(
        database, "SELECT * FROM evidence WHERE relying_party = %s", (world.rp,)
    ) + as_superuser(database, "SELECT * FROM event WHERE relying_party = %s", (world.rp,))
    assert after == before
    assert store.subject(rp, neighbour.id) == neighbour
    assert store.finish(approved, event=Event.FAIL, reason="erased", at=NOW), "it can still end"

    with pytest.raises(RequestIdReused):
        world.register(ref=subject.external_ref, request_id="reg")
    _, again = world.register(ref=subject.external_ref)
    assert again.id != subject.id, "whoever comes back is somebody new"
    assert store.subject_by_ref(rp, subject.external_ref) == again
