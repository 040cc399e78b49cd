"""A real Postgres for the tests of the store, and a world of subjects, devices and transactions in it."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import psycopg2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from psycopg2.extensions import make_dsn
from sim import PROFILE

from gateway.core.model import (
    Attestation,
    BindingState,
    Decision,
    DeviceBinding,
    DeviceKeys,
    IdentityAttribute,
    Kind,
    PinReset,
    PinResetState,
    RawAssertion,
    Registration,
    RegistrationState,
    RelyingParty,
    Subject,
    uuid7,
)
from gateway.core.profile import MAY_LEAVE_NO_EVIDENCE
from gateway.core.statement import AttachedDocument, Content, Payee, Payment, ShownText
from gateway.core.transaction import Event, State, Transaction
from gateway.ports import ActivationPart, StoredEvidence
from gateway.storage.embedded import Connections, EmbeddedPostgres
from gateway.storage.envelope import KeyRing
from gateway.storage.migrate import migrate
from gateway.storage.pool import Pool
from gateway.storage.postgres import PostgresStore

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
KEYS = KeyRing("2026-1", {"2026-1": secrets.token_bytes(32)})
INDEX_SECRET = secrets.token_bytes(32)
PART = ActivationPart(digest=b"d" * 32, former=None, spent=None, recovery=None)
"""Of an activation that binds the device and nothing more."""
T = TypeVar("T")


@pytest.fixture(scope="session")
def database() -> Iterator[Connections]:
    """A server of its own with the schema applied."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-store-"))
    folder.chmod(0o755)
    try:
        with EmbeddedPostgres(folder / "data") as server:
            migrate(server.connections.owner_dsn)
            yield server.connections
    finally:
        shutil.rmtree(folder)


@contextmanager
def empty_database(connections: Connections) -> Iterator[Connections]:
    """Another database of the same server and roles, without a schema."""
    name = f"empty_{uuid4().hex}"
    as_superuser(connections, f"CREATE DATABASE {name} OWNER gateway_owner")
    try:
        yield Connections(
            *(
                make_dsn(dsn, dbname=name)
                for dsn in (connections.owner_dsn, connections.app_dsn, connections.superuser_dsn)
            )
        )
    finally:
        as_superuser(connections, f"DROP DATABASE {name} WITH (FORCE)")


def sql(dsn: str, statement: str, params: Any = None) -> list[tuple[Any, ...]]:
    """One statement on a connection of its own, committed by itself."""
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, params)
            return cursor.fetchall() if cursor.description else []


def as_superuser(connections: Connections, statement: str, params: Any = None) -> list[tuple[Any, ...]]:
    return sql(connections.superuser_dsn, statement, params)


def at_once(*calls: Callable[[], T]) -> list[T]:
    """Runs all in threads; raises what any of them raised."""
    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(call) for call in calls]]


def until(holds: Callable[[], bool], *, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        threading.Event().wait(0.01)


def make_store(connections: Connections, *, keyring: KeyRing = KEYS, dsn: str | None = None) -> PostgresStore:
    return PostgresStore(
        Pool(dsn or connections.app_dsn, size=20), keyring=keyring, index_secret=INDEX_SECRET
    )


@cache
def _ca_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def ca_id() -> bytes:
    """Key identifier of the CA that certifies the devices of these tests."""
    found = x509.AuthorityKeyIdentifier.from_issuer_public_key(_ca_key().public_key()).key_identifier
    assert found is not None
    return found


def certificate(binding_id: UUID) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, str(binding_id))])
    builder = x509.CertificateBuilder(name, name, _ca_key().public_key(), x509.random_serial_number())
    return (
        builder.not_valid_before(NOW)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(_ca_key().public_key()), critical=False
        )
        .not_valid_after(NOW + timedelta(days=365))
        .sign(_ca_key(), SHA256())
        .public_bytes(Encoding.DER)
    )


@dataclass
class World:
    """One relying party, new for each test, and what it does through the store."""

    store: PostgresStore
    rp: str = field(default_factory=lambda: f"bank-{uuid4().hex[:12]}")

    def registration(self, *, at: datetime = NOW) -> Registration:
        return Registration(
            relying_party=self.rp,
            id=uuid7(at),
            subject_id=uuid7(at),
            activation_id=uuid4(),
            state=RegistrationState.PENDING,
            failures=0,
            created_at=at,
            expires_at=at + timedelta(hours=1),
        )

    def person(
        self, registration: Registration, *, ref: str, attributes: tuple[IdentityAttribute, ...] = ()
    ) -> Subject:
        return Subject(self.rp, registration.subject_id, ref, f"s-{secrets.token_hex(8)}", attributes, NOW)

    def register(
        self,
        *,
        ref: str | None = None,
        attributes: tuple[IdentityAttribute, ...] = (IdentityAttribute("name", "Ada Example"),),
        request_id: str | None = None,
        digest: bytes = b"d" * 32,
    ) -> tuple[Registration, Subject]:
        registration = self.registration()
        subject = self.person(registration, ref=ref or f"ref-{uuid4()}", attributes=attributes)
        standing, known, _ = self.store.start_registration(
            registration,
            subject=subject,
            request_id=request_id or str(uuid4()),
            request_digest=digest,
            max_devices=99,
        )
        return standing, known

    def device(self, subject: Subject) -> DeviceBinding:
        id_ = uuid7(NOW)
        return DeviceBinding(
            relying_party=self.rp,
            id=id_,
            subject_id=subject.id,
            name="Ada's phone",
            platform="ios",
            state=BindingState.ACTIVE,
            keys=DeviceKeys(b"signing key", b"transport key", b"pin key"),
            certificate=certificate(id_),
            attestation=Attestation("none", "software", b"raw object"),
            failures=0,
            bound_at=NOW,
        )

    def bind(
        self,
        subject: Subject | None = None,
        *,
        push_target: str | None = None,
        part: ActivationPart = PART,
        max_devices: int = 99,
    ) -> tuple[Subject, DeviceBinding]:
        """Another device of the subject; of a new one without."""
        registration, subject = self.register(ref=subject.external_ref if subject else None)
        device = self.device(subject)
        assert self.store.activate(
            registration, binding=device, push_target=push_target, part=part, max_devices=max_devices, at=NOW
        )
        return subject, device

    def pin_reset(self, device: DeviceBinding, *, at: datetime = NOW) -> PinReset:
        return PinReset(
            relying_party=self.rp,
            id=uuid7(at),
            binding_id=device.id,
            subject_id=device.subject_id,
            state=PinResetState.PENDING,
            failures=0,
            created_at=at,
            expires_at=at + timedelta(hours=1),
        )

    def start_pin_reset(
        self, device: DeviceBinding, *, request_id: str | None = None, digest: bytes = b"d" * 32
    ) -> PinReset | None:
        started = self.store.start_pin_reset(
            self.pin_reset(device), request_id=request_id or str(uuid4()), request_digest=digest, at=NOW
        )
        return None if started is None else started[0]

    def request(
        self, subject: Subject, *, kind: Kind = Kind.CONSENT_SIGNATURE, at: datetime = NOW
    ) -> Transaction:
        id_ = uuid7(at)
        content = Content(
            unicode_version="18.0.0",
            transaction_id=id_,
            kind=kind,
            created_at=at,
            expires_at=at + timedelta(minutes=5),
            nonce=secrets.token_bytes(32),
            relying_party=RelyingParty(self.rp, "The Bank"),
            subject=subject.pseudonym,
            locale="en",
            texts=(ShownText("Title", "Text that was shown", "text/plain"),),
            payment=Payment("12.50", "EUR", (Payee("A payee", "DE00", "12.50"),)),
            documents=(AttachedDocument("offer.pdf", "application/pdf", b"x" * 32),),
        )
        return Transaction(
            relying_party=self.rp,
            id=id_,
            subject_id=subject.id,
            kind=kind,
            state=State.REQUESTED,
            profile_id="consent",
            profile_document=b"{}",
            content=content,
            created_at=content.created_at,
            expires_at=content.expires_at,
        )

    def start(
        self, subject: Subject, *, kind: Kind = Kind.CONSENT_SIGNATURE, at: datetime = NOW
    ) -> Transaction:
        transaction, _ = self.store.start_transaction(
            self.request(subject, kind=kind, at=at),
            profile=replace(PROFILE, kind=kind, evidence=kind not in MAY_LEAVE_NO_EVIDENCE),
            request_id=str(uuid4()),
            request_digest=b"d" * 32,
        )
        return transaction

    def pending(self, subject: Subject, device: DeviceBinding, **more: Any) -> Transaction:
        transaction = self.start(subject, **more)
        assert self.store.claim(transaction, binding_id=device.id, at=transaction.created_at)
        return self.load(transaction)

    def approved(self, subject: Subject, device: DeviceBinding, **more: Any) -> Transaction:
        transaction = self.pending(subject, device, **more)
        assert self.decide(transaction)
        return self.load(transaction)

    def decide(
        self,
        transaction: Transaction,
        *,
        decision: Decision = Decision.APPROVED,
        amr: tuple[str, ...] = ("swk", "pin"),
        at: datetime | None = None,
    ) -> bool:
        return self.store.decide(
            transaction,
            event=Event.APPROVE if decision is Decision.APPROVED else Event.REJECT,
            assertion=answer(decision),
            acr="urn:acr",
            amr=amr,
            failed_attempts=0,
            lock=False,
            at=at or transaction.created_at,
        )

    def load(self, transaction: Transaction) -> Transaction:
        found = self.store.transaction(self.rp, transaction.id)
        assert found is not None
        return found

    def evidence(self, transaction: Transaction, document: bytes = b"<Evidence/>") -> StoredEvidence:
        return StoredEvidence(self.rp, uuid7(NOW), transaction.id, "B-B", document, NOW)

    def failures(self, connections: Connections, device: DeviceBinding) -> tuple[int, int]:
        """Of the binding and of its subject."""
        found = as_superuser(
            connections,
            "SELECT b.failures, s.failures FROM binding b JOIN subject s"
            " ON (s.relying_party, s.id) = (b.relying_party, b.subject_id) WHERE b.id = %s::uuid",
            (str(device.id),),
        )
        return found[0][0], found[0][1]

    def events(self, connections: Connections, entity_id: UUID) -> list[tuple[str, str]]:
        """(name, state), in order."""
        found = as_superuser(
            connections,
            "SELECT name, state FROM event WHERE entity_id = %s::uuid ORDER BY xmin::text::bigint, ctid",
            (str(entity_id),),
        )
        return [(name, state) for name, state in found]


def answer(decision: Decision = Decision.APPROVED) -> RawAssertion:
    return RawAssertion(decision, NOW, secrets.token_bytes(64), secrets.token_bytes(64))


def moved(transaction: Transaction, state: State, **more: Any) -> Transaction:
    return replace(transaction, state=state, **more)
