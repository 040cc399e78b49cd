"""The device CA: what it certifies, and the one CRL in force that all workers give."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sim import NOW, World
from walk import Walk

from gateway.core.certpath import Role, check_role
from gateway.outbound.device_ca import CRL_LIFETIME, CRL_REFRESH, DEVICE_LIFETIME


def test_a_devices_certificate_names_its_binding_and_nothing_else() -> None:
    world, binding = World(), uuid4()
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    certificate = x509.load_der_x509_certificate(world.device_ca.issue(key, binding_id=binding, at=NOW))
    assert certificate.subject.rfc4514_string() == f"CN={binding}"
    assert certificate.public_key() == key
    check_role(certificate, role=Role.DEVICE)
    assert certificate.not_valid_after_utc <= world.pki.device_ca.certificate.not_valid_after_utc
    assert certificate.not_valid_after_utc <= NOW + DEVICE_LIFETIME
    assert 64 <= certificate.serial_number.bit_length() <= 159


def test_one_crl_is_in_force_until_it_is_old_or_incomplete() -> None:
    world = World()
    first = world.device_ca.crl(at=NOW)
    assert world.device_ca.crl(at=NOW + CRL_REFRESH - timedelta(seconds=1)) == first
    assert world.device_ca.crl(at=NOW - timedelta(seconds=30)) == first, "another node's clock is behind"
    second = world.device_ca.crl(at=NOW + CRL_REFRESH)
    world.revoke(at=NOW + CRL_REFRESH)
    third = world.device_ca.crl(at=NOW + CRL_REFRESH + timedelta(seconds=1))
    numbers = []
    for der in (first, second, third):
        crl = x509.load_der_x509_crl(der)
        numbers.append(crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
        assert crl.next_update_utc is not None
        assert crl.next_update_utc - crl.last_update_utc == CRL_LIFETIME
    assert numbers == [1, 2, 3]
    assert len(x509.load_der_x509_crl(third)) == 1


def test_racing_workers_give_one_crl(walk: Walk) -> None:
    at = walk.clock.now()
    with ThreadPoolExecutor(8) as pool:
        crls = set(pool.map(lambda _: walk.gateway.device_ca.crl(at=at), range(16)))
    assert len(crls) == 1


@pytest.mark.rts("27")
def test_a_revoked_device_is_on_the_next_crl_and_decides_nothing(walk: Walk) -> None:
    phone = walk.phone()
    transaction_id = walk.claimed(phone)
    assert walk.store.revoke(walk.tenant, phone.device.binding_id, at=walk.clock.now())
    with pytest.raises(Exception, match="DEVICE_NOT_AUTHENTICATED"):
        phone.approve(transaction_id, pin="271828")
    crl = x509.load_der_x509_crl(walk.gateway.device_ca.crl(at=walk.clock.now()))
    serial = x509.load_der_x509_certificate(phone.device.certificates[0]).serial_number
    assert crl.get_revoked_certificate_by_serial_number(serial) is not None
