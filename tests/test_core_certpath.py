"""Certificate paths where documents do not reach: trust files, and what may not even be read."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

sys.path.insert(0, str(Path(__file__).parent / "vectors" / "evidence"))

import forge as f

from gateway.core.certpath import (
    Role,
    check_path,
    check_role,
    der,
    is_issued_by,
    load_certificate,
    load_crl,
    parse_trust,
)
from gateway.core.conclusion import Finding, SubIndication

TRUST = parse_trust(f.TRUST)


def test_a_trust_file_is_anchors_and_crls() -> None:
    assert [c.subject for c in TRUST.anchors] == [f.ROOT.certificate.subject]
    assert [c.issuer for c in TRUST.crls] == [f.ROOT.certificate.subject]


@pytest.mark.parametrize(
    "pem",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"anchor", id="text"),
        pytest.param(f.pem(f.ROOT_CRL), id="no-anchor"),
        pytest.param(f.ROOT.der, id="der"),
        pytest.param(f.TRUST.replace(b"MII", b"!!!"), id="garbage"),
        pytest.param(
            f.TRUST + f.ROOT.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            id="private-key",
        ),
    ],
)
def test_other_trust_files_are_refused(pem: bytes) -> None:
    with pytest.raises(ValueError):
        parse_trust(pem)


@pytest.mark.parametrize(
    "data", [b"", b"\x30", f.ROOT.der[:-1], f.ROOT.der + b"\0", f.ROOT_CRL.public_bytes(Encoding.DER)]
)
def test_what_is_no_certificate(data: bytes) -> None:
    with pytest.raises(Finding) as found:
        load_certificate(data)
    assert found.value.sub_indication is SubIndication.FORMAT_FAILURE


@pytest.mark.parametrize("data", [b"", b"\x30", f.ROOT_CRL.public_bytes(Encoding.DER)[:-1], f.ROOT.der])
def test_what_is_no_crl(data: bytes) -> None:
    with pytest.raises(Finding) as found:
        load_crl(data)
    assert found.value.sub_indication is SubIndication.FORMAT_FAILURE


def test_der_is_what_was_loaded() -> None:
    assert der(load_certificate(f.SEAL.der)) == f.SEAL.der


@pytest.mark.parametrize(("holder", "role"), [(f.SEAL, Role.SEAL), (f.DEVICE, Role.DEVICE)])
def test_a_certificate_has_its_role_and_no_other(holder: f.Holder, role: Role) -> None:
    check_role(holder.certificate, role=role)
    (other,) = set(Role) - {role}
    with pytest.raises(Finding):
        check_role(holder.certificate, role=other)


def test_a_path_is_told_from_leaf_to_anchor() -> None:
    path = check_path(
        [f.DEVICE.certificate, f.DEVICE_CA.certificate],
        trust=TRUST,
        crls=[f.DEVICE_CRL],
        role=Role.DEVICE,
        at=f.SEALED,
    )
    assert path == (f.DEVICE.certificate, f.DEVICE_CA.certificate, f.ROOT.certificate)


def test_revocation_counts_from_its_second() -> None:
    crl = f.make_crl(f.DEVICE_CA, revoked={f.DEVICE.serial: f.SEALED})
    chain = [f.DEVICE.certificate, f.DEVICE_CA.certificate]
    before = f.SEALED - timedelta(seconds=1)
    check_path(chain, trust=TRUST, crls=[crl], role=Role.DEVICE, at=before)
    with pytest.raises(Finding) as found:
        check_path(chain, trust=TRUST, crls=[crl], role=Role.DEVICE, at=f.SEALED)
    assert found.value.sub_indication is SubIndication.REVOKED


def test_one_silent_crl_does_not_hide_another() -> None:
    """A CRL without the certificate stands beside one that lists it: the one that lists it counts."""
    listing = f.make_crl(f.DEVICE_CA, revoked={f.DEVICE.serial: f.SEALED - f.DAY})
    for crls in ([f.DEVICE_CRL, listing], [listing, f.DEVICE_CRL]):
        with pytest.raises(Finding) as found:
            check_path(
                [f.DEVICE.certificate, f.DEVICE_CA.certificate],
                trust=TRUST,
                crls=crls,
                role=Role.DEVICE,
                at=f.SEALED,
            )
        assert found.value.sub_indication is SubIndication.REVOKED


def test_a_crl_is_by_the_ca_that_it_names() -> None:
    namesake = f.certify("VECTORS Device CA#namesake", issuer=None, ca=True)
    assert is_issued_by(f.DEVICE_CRL, issuer=f.DEVICE_CA.certificate)
    assert not is_issued_by(f.DEVICE_CRL, issuer=namesake.certificate)
    assert not is_issued_by(f.DEVICE_CRL, issuer=f.ROOT.certificate)
    assert not is_issued_by(f.make_crl(f.SEAL), issuer=f.SEAL.certificate)
