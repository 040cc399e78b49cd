"""What may go wrong around an approval, and must neither lose it, nor let it lie, nor lock anybody out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import CertificateRevocationListBuilder, CRLNumber, RevokedCertificateBuilder
from sim import MemoryDeviceCA
from walk import PIN, Walk, through

from gateway.authenticator.authenticator import Authenticator
from gateway.authenticator.errors import GatewayRefused
from gateway.core.certpath import TrustStore
from gateway.core.conclusion import Indication
from gateway.core.errors import NoActiveDevice, SealUnavailable
from gateway.core.model import BindingState, Decision, IdentityAttribute, whole_seconds
from gateway.core.transaction import State
from gateway.core.verifier import verify_evidence
from gateway.sandbox import certify
from gateway.services import enrolment, evidence
from gateway.worker import Worker


@pytest.fixture
def phone(walk: Walk) -> Authenticator:
    return walk.phone()


class Away:
    """A seal key that does not answer, or does something worse."""

    def __init__(self, chain: Any, error: Exception) -> None:
        self.chain, self.error = chain, error

    def sign(self, data: bytes) -> bytes:
        raise self.error


def approve_unsealed(walk: Walk, phone: Authenticator, *, error: Exception | None = None) -> UUID:
    transaction_id = walk.claimed(phone)
    good = walk.gateway.seal_key
    walk.reload(seal_key=Away(good.chain, error or SealUnavailable()))
    assert phone.approve(transaction_id, pin=PIN).state == "APPROVED"
    walk.reload(seal_key=good)
    return transaction_id


def hand(walk: Walk) -> Worker:
    return Worker(walk.gateway, walk.store, None, holder="test")


def sealed(walk: Walk, transaction_id: UUID) -> bytes:
    return evidence.get_evidence(
        walk.gateway, walk.caller, transaction_id=transaction_id, at=walk.clock.now()
    ).document


def test_whatever_fails_after_the_commit_the_approval_is_answered(walk: Walk, phone: Authenticator) -> None:
    transaction_id = approve_unsealed(walk, phone, error=RuntimeError("out of tokens"))
    walk.clock.ahead = timedelta(seconds=5)
    assert hand(walk).seal(walk.tenant, walk.clock.now()) == 1
    assert walk.get(transaction_id).state is State.COMPLETED


def test_one_that_cannot_be_sealed_keeps_no_other(walk: Walk, phone: Authenticator) -> None:
    stuck = approve_unsealed(walk, phone)
    good = approve_unsealed(walk, phone)
    walk.clock.ahead = timedelta(seconds=5)

    class Unreadable:
        def __init__(self, store: Any) -> None:
            self._store = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        def transaction(self, relying_party: str, transaction_id: UUID) -> Any:
            if transaction_id == stuck:
                raise ValueError("does not open")
            return self._store.transaction(relying_party, transaction_id)

    real = walk.gateway.store
    walk.reload(store=Unreadable(real))
    worker = hand(walk)
    now = walk.clock.now()
    assert worker.seal(walk.tenant, now) == 1
    assert worker.postponed[stuck][0] > now
    assert worker.seal(walk.tenant, now) == 0
    walk.reload(store=real)
    worker.gateway = walk.gateway
    assert worker.seal(walk.tenant, now + timedelta(seconds=400)) == 1
    assert {walk.get(i).state for i in (stuck, good)} == {State.COMPLETED}


def test_the_seals_own_trouble_does_not_end_an_approval(walk: Walk, phone: Authenticator) -> None:
    """The seal's certificate is revoked: with another seal the approval still becomes evidence."""
    good = walk.gateway
    now = whole_seconds(walk.clock.now())
    entry = RevokedCertificateBuilder().serial_number(walk.pki.seal.certificate.serial_number)
    crl = (
        CertificateRevocationListBuilder()
        .issuer_name(walk.pki.root.certificate.subject)
        .last_update(now - timedelta(hours=1))
        .next_update(now + timedelta(days=1))
        .add_extension(CRLNumber(2), critical=False)
        .add_revoked_certificate(entry.revocation_date(now - timedelta(hours=1)).build())
        .sign(walk.pki.root.key, hashes.SHA256())
    )
    walk.reload(trust=TrustStore(good.trust.anchors, (*good.trust.crls, crl)))
    transaction_id = walk.claimed(phone)
    assert phone.approve(transaction_id, pin=PIN).state == "APPROVED"
    assert walk.get(transaction_id).state is State.APPROVED
    walk.reload(trust=good.trust)
    walk.clock.ahead = timedelta(seconds=5)
    assert hand(walk).seal(walk.tenant, walk.clock.now()) == 1


def test_revoked_right_after_the_approval_it_still_counts(walk: Walk, phone: Authenticator) -> None:
    transaction_id = approve_unsealed(walk, phone)
    decided = walk.get(transaction_id).decided_at
    assert decided is not None
    soon = decided + timedelta(milliseconds=1)
    assert walk.store.revoke(walk.tenant, phone.device.binding_id, at=soon)
    walk.clock.ahead = timedelta(seconds=5)
    assert hand(walk).seal(walk.tenant, walk.clock.now()) == 1
    conclusion = verify_evidence(sealed(walk, transaction_id), trust=walk.gateway.trust, at=walk.clock.now())
    assert conclusion.indication is Indication.TOTAL_PASSED, conclusion.explanation


def test_evidence_names_the_subject_as_registered_at_the_start(walk: Walk) -> None:
    def register(name: str) -> enrolment.RegistrationView:
        return enrolment.start_registration(
            walk.gateway,
            walk.caller,
            request_id=name.replace(" ", "-"),
            external_ref="customer-1",
            attributes=(IdentityAttribute("name", name),),
            at=walk.clock.now(),
        )

    activation = register("Name Before").activation
    assert activation is not None
    phone = Authenticator.activate(
        activation.qr_payload, code=activation.code, pin=PIN, name="Phone", transport=walk.transport
    )
    transaction_id = approve_unsealed(walk, phone)
    register("Name After")
    walk.clock.ahead = timedelta(seconds=5)
    assert hand(walk).seal(walk.tenant, walk.clock.now()) == 1
    document = sealed(walk, transaction_id)
    assert b"Name Before" in document
    assert b"Name After" not in document


def test_a_device_whose_certificate_has_ended_is_not_asked(walk: Walk, phone: Authenticator) -> None:
    started = walk.start()
    walk.clock.ahead = timedelta(days=5 * 365 + 1)
    with pytest.raises(NoActiveDevice):
        walk.start()
    with pytest.raises(GatewayRefused, match="DEVICE_LOCKED"):
        phone.claim(started.id)


def test_a_device_of_a_former_ca_is_not_asked(walk: Walk, phone: Authenticator) -> None:
    """Its certificate could not be joined to the present CA's chain and revocation list."""
    started = walk.start()
    former = walk.gateway.device_ca
    new = certify("New Device CA", issuer=walk.pki.root, at=walk.clock.now(), path_length=0)
    walk.reload(device_ca=MemoryDeviceCA(new, walk.store))  # type: ignore[arg-type]
    with pytest.raises(NoActiveDevice):
        walk.start()
    with pytest.raises(GatewayRefused, match="DEVICE_LOCKED"):
        phone.claim(started.id)
    walk.reload(device_ca=former)
    phone.claim(started.id)


@pytest.mark.rts("4(4)")
def test_tries_that_ended_in_a_crash_end_in_a_lock_that_shows(walk: Walk, phone: Authenticator) -> None:
    for _ in range(3):
        assert walk.store.reserve_try(walk.tenant, phone.device.binding_id, max_failures=3)
    transaction_id = walk.claimed(phone)
    with pytest.raises(GatewayRefused, match="DEVICE_LOCKED"):
        phone.approve(transaction_id, pin=PIN)
    binding = walk.store.binding(walk.tenant, phone.device.binding_id)
    assert binding is not None
    assert binding.state is BindingState.LOCKED


def test_saying_no_needs_no_try(walk: Walk, phone: Authenticator) -> None:
    for _ in range(3):
        assert walk.store.reserve_try(walk.tenant, phone.device.binding_id, max_failures=3)
    transaction_id = walk.claimed(phone)
    assert phone.reject(transaction_id, decision=Decision.REJECTED_NOT_ME).state == "REJECTED"
    rejected = walk.get(transaction_id)
    assert (rejected.acr, rejected.amr) == ("urn:mobileid-gateway:acr:single", ("swk",))


def test_a_failing_poller_does_not_end_waiting(walk: Walk, phone: Authenticator) -> None:
    transaction_id = walk.claimed(phone)
    asked: list[int] = []
    real = walk.store.transaction_states

    class Flaky:
        def transaction_states(self, *args: Any) -> Any:
            asked.append(1)
            if len(asked) == 1:
                raise RuntimeError("once")
            phone.approve(transaction_id, pin=PIN)
            return real(*args)

    waits = type(walk.gateway.waits)(Flaky())  # type: ignore[arg-type]
    waits.wait(walk.tenant, "core", transaction_id, state=State.PENDING, seconds=30)
    assert walk.get(transaction_id).state is State.COMPLETED
    assert len(asked) >= 2


def test_unknown_paths_of_the_device_face_are_not_found(walk: Walk) -> None:
    status, _ = through(walk.devices, "GET", "http://127.0.0.1:1/device/v1/x/y/z/a", {}, b"")
    assert status == 404
