"""The proofs that a device holds its keys, and the link of the QR code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.activation import (
    ActivationLink,
    ActivationRequest,
    ArtifactLink,
    FormerBinding,
    KeyProofs,
    UnverifiedAttestation,
    parse_artifact_link,
    parse_link,
    proof_bytes,
    verify_former,
    verify_proofs,
)
from gateway.core.errors import ActivationRefused
from gateway.core.keys import sign_p256, spki_of
from gateway.core.model import DeviceKeys

PARTY = "demo-bank"
ROLES = ("signing", "transport", "pin")


def request(
    private: dict[str, ec.EllipticCurvePrivateKey] | None = None, **encoded: bytes
) -> ActivationRequest:
    """A genuine request, each proof by its key over the keys as they are encoded in it."""
    private = private or {role: ec.generate_private_key(ec.SECP256R1()) for role in ROLES}
    keys = DeviceKeys(**({role: spki_of(private[role].public_key()) for role in ROLES} | encoded))
    activation_id = uuid4()
    data = proof_bytes(relying_party=PARTY, activation_id=activation_id, keys=keys)
    return ActivationRequest(
        activation_id=activation_id,
        code="123456",
        name="Phone",
        platform="test",
        keys=keys,
        proofs=KeyProofs(**{role: sign_p256(private[role], data) for role in ROLES}),
        push_target=None,
        attestation=UnverifiedAttestation("none"),
    )


def refused(made: ActivationRequest, *, relying_party: str = PARTY) -> None:
    with pytest.raises(ActivationRefused) as caught:
        verify_proofs(made, relying_party=relying_party)
    assert caught.value.message == ActivationRefused.sentence, "what was wrong is never told"


def test_three_possessed_keys_are_verified() -> None:
    made = request()
    verified = verify_proofs(made, relying_party=PARTY)
    assert verified.encoded == made.keys
    assert spki_of(verified.signing) == made.keys.signing


@pytest.mark.rts("24")
@pytest.mark.parametrize("role", ROLES)
def test_each_proof_counts(role: str) -> None:
    made, other = request(), request()
    refused(replace(made, proofs=replace(made.proofs, **{role: getattr(other.proofs, role)})))


@pytest.mark.rts("9")
def test_proofs_do_not_change_places() -> None:
    made = request()
    refused(replace(made, proofs=KeyProofs(made.proofs.transport, made.proofs.signing, made.proofs.pin)))


@pytest.mark.rts("9")
def test_keys_do_not_change_places() -> None:
    made = request()
    swapped = DeviceKeys(made.keys.transport, made.keys.signing, made.keys.pin)
    proofs = KeyProofs(made.proofs.transport, made.proofs.signing, made.proofs.pin)
    refused(replace(made, keys=swapped, proofs=proofs))


@pytest.mark.rts("24")
def test_a_proof_serves_one_activation_at_one_relying_party() -> None:
    made = request()
    refused(replace(made, activation_id=uuid4()))
    refused(made, relying_party="other-bank")


@pytest.mark.rts("9")
@pytest.mark.parametrize(
    ("one", "same"), [("signing", "transport"), ("signing", "pin"), ("transport", "pin")]
)
def test_equal_keys_are_refused(one: str, same: str) -> None:
    private = {role: ec.generate_private_key(ec.SECP256R1()) for role in ROLES}
    private[same] = private[one]
    refused(request(private))


def _compressed(key: ec.EllipticCurvePublicKey) -> bytes:
    point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    return bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point


def _with_explicit_parameters(key: ec.EllipticCurvePublicKey) -> bytes:
    """The curve spelled out (CVE-2020-0601): the same field and order, the generator is the key itself."""
    prime = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"
    a = "ffffffff00000001000000000000000000000000fffffffffffffffffffffffc"
    b = "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"
    order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def tlv(tag: int, *parts: bytes) -> bytes:
        body = b"".join(parts)
        length = bytes([len(body)]) if len(body) < 128 else b"\x82" + len(body).to_bytes(2, "big")
        return bytes([tag]) + length + body

    def integer(text: str) -> bytes:
        return tlv(2, b"\0" + bytes.fromhex(text))

    field = tlv(0x30, bytes.fromhex("06072a8648ce3d0101"), integer(prime))
    curve = tlv(0x30, tlv(4, bytes.fromhex(a)), tlv(4, bytes.fromhex(b)))
    explicit = tlv(0x30, b"\x02\x01\x01", field, curve, tlv(4, point), integer(order), b"\x02\x01\x01")
    return tlv(0x30, tlv(0x30, bytes.fromhex("06072a8648ce3d0201"), explicit), tlv(3, b"\0", point))


def _point_off_the_curve(key: ec.EllipticCurvePublicKey) -> bytes:
    good = bytearray(spki_of(key))
    good[-1] ^= 1
    return bytes(good)


BAD_KEYS: dict[str, Callable[[ec.EllipticCurvePublicKey], bytes]] = {
    "compressed-point": _compressed,
    "explicit-parameters": _with_explicit_parameters,
    "point-off-the-curve": _point_off_the_curve,
    "point-at-infinity": lambda key: spki_of(key)[:23].replace(b"\x03\x42", b"\x03\x02") + b"\x00\x00",
    "p-384": lambda key: spki_of(ec.generate_private_key(ec.SECP384R1()).public_key()),
    "secp256k1": lambda key: spki_of(ec.generate_private_key(ec.SECP256K1()).public_key()),
    "ed25519": lambda key: (
        ed25519.Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ),
    "rsa": lambda key: (
        rsa.generate_private_key(65537, 2048)
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ),
    "trailing-byte": lambda key: spki_of(key) + b"\x00",
    "long-length": lambda key: b"\x30\x81" + spki_of(key)[1:],
    "bare-point": lambda key: key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
    "pem": lambda key: key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "empty": lambda key: b"",
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", sorted(BAD_KEYS))
def test_a_key_in_any_other_encoding_or_of_any_other_kind_is_refused(name: str, role: str) -> None:
    private = {key: ec.generate_private_key(ec.SECP256R1()) for key in ROLES}
    bad = BAD_KEYS[name](private[role].public_key())
    refused(request(private, **{role: bad}))


@pytest.mark.parametrize("wrong", [b"", b"\0" * 64, b"\xff" * 64, b"\0" * 63, b"\0" * 65])
def test_a_proof_that_is_no_signature_is_refused(wrong: bytes) -> None:
    made = request()
    refused(replace(made, proofs=replace(made.proofs, pin=wrong)))


def test_a_proof_as_der_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    made = request({"signing": key, **{r: ec.generate_private_key(ec.SECP256R1()) for r in ROLES[1:]}})
    data = proof_bytes(relying_party=PARTY, activation_id=made.activation_id, keys=made.keys)
    der = key.sign(data, ec.ECDSA(hashes.SHA256()))
    refused(replace(made, proofs=replace(made.proofs, signing=der)))


def test_the_code_is_not_in_what_is_signed() -> None:
    made = request()
    assert verify_proofs(replace(made, code="000000"), relying_party=PARTY)


KEYS = st.binary(max_size=8)
PLACE = st.tuples(st.sampled_from(["a", "a-b", "b"]), st.uuids(), KEYS, KEYS, KEYS)


@given(PLACE, PLACE)
def test_two_different_inputs_never_give_the_same_bytes(one: tuple, other: tuple) -> None:  # type: ignore[type-arg]
    made = [
        proof_bytes(relying_party=party, activation_id=identifier, keys=DeviceKeys(*keys))
        for party, identifier, *keys in (one, other)
    ]
    assert (made[0] == made[1]) == (one == other)


def replacing(former: ec.EllipticCurvePrivateKey, **encoded: bytes) -> ActivationRequest:
    """A request that names a former binding, with the proof of its transport key."""
    made = replace(request(**encoded), former=FormerBinding(UUID(int=1), b""))
    proof = sign_p256(former, made.proven(relying_party=PARTY))
    return replace(made, former=FormerBinding(UUID(int=1), proof))


@pytest.mark.parametrize("kept", ROLES)
def test_who_replaces_a_device_has_its_key_and_three_new_ones(kept: str) -> None:
    private = {role: ec.generate_private_key(ec.SECP256R1()) for role in ROLES}
    former = DeviceKeys(**{role: spki_of(key.public_key()) for role, key in private.items()})
    verify_former(replacing(private["transport"]), former_keys=former, relying_party=PARTY)
    for made in (
        request(),
        replacing(private["signing"]),
        replacing(private["transport"], **{kept: getattr(former, kept)}),
        replacing(private["transport"], **{kept: former.pin}),
    ):
        with pytest.raises(ActivationRefused):
            verify_former(made, former_keys=former, relying_party=PARTY)


LINK = ActivationLink(PARTY, UUID(int=7), "https://gateway.example:8443/id", bytes(range(32)))


def test_a_link_is_read_as_it_was_written() -> None:
    assert LINK.text() == (
        "mobileid://activate?v=1&rp=demo-bank&id=00000000-0000-0000-0000-000000000007"
        "&gw=https%3A%2F%2Fgateway.example%3A8443%2Fid&key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    )
    assert parse_link(LINK.text()) == LINK
    local = replace(LINK, gateway_url="http://127.0.0.1:8080")
    assert parse_link(local.text()) == local


TEXT = LINK.text()


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT + "&x=1",
        TEXT + "\n",
        " " + TEXT,
        TEXT.upper(),
        TEXT.replace("v=1", "v=2"),
        TEXT.replace("mobileid:", "https:"),
        TEXT.replace("&id=", "&ID="),
        TEXT.replace("rp=demo-bank", "rp=Demo"),
        TEXT.replace("rp=demo-bank", "rp="),
        TEXT.replace("%2Fid", "%2fid"),
        TEXT.replace("%2Fid", "%2Fid%2F"),
        TEXT.replace("%2Fid", "%3Fq"),
        TEXT.replace("%2Fid", "%23f"),
        TEXT.replace("gateway.example", "user%40gateway.example"),
        TEXT.replace("gateway.example%3A8443", ""),
        TEXT.replace("8443", "x"),
        TEXT.replace("https%3A", "ftp%3A"),
        TEXT.replace("https%3A", "javascript%3A"),
        TEXT.replace("gateway", "gate%20way"),
        TEXT.replace("gateway", "g%C3%A4teway"),
        TEXT.replace("gateway", "g%FFteway"),
        TEXT.replace("gateway", "gateway%0d%0a"),
        TEXT[:-1],
        TEXT[:-1] + "9",
        TEXT[:-1] + "=",
    ],
)
def test_any_other_spelling_of_a_link_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_link(text)


ARTIFACT = ArtifactLink(PARTY, bytes(range(32)), "https://gateway.example:8443/id", bytes(32))


def test_a_link_with_an_artifact_is_read_as_it_was_written() -> None:
    assert ARTIFACT.text() == (
        "mobileid://register?v=1&rp=demo-bank&artifact=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
        "&gw=https%3A%2F%2Fgateway.example%3A8443%2Fid&key=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    )
    assert parse_artifact_link(ARTIFACT.text()) == ARTIFACT


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("register", "activate"),
        ("Hh8&", "Hh9&"),  # bits that no byte has
        ("Hh8&", "Hh&"),
        ("%2Fid", "%2fid"),
        ("https%3A", "javascript%3A"),
    ],
)
def test_any_other_spelling_of_a_link_with_an_artifact_is_refused(old: str, new: str) -> None:
    text = ARTIFACT.text()
    assert old in text
    with pytest.raises(ValueError):
        parse_artifact_link(text.replace(old, new))


@pytest.mark.parametrize(
    "changes", [{"artifact": bytes(31)}, {"artifact": bytes(33)}, {"gateway_url": "https://gateway.example/"}]
)
def test_no_other_link_with_an_artifact_is_made(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        replace(ARTIFACT, **changes)
