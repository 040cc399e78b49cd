"""Signature profiles: closed, bounded by law, one spelling; and P-256 keys, whose encodings are as strict."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sim import PROFILE

from gateway.core.keys import SignatureInvalid, parse_p256, sign_p256, spki_of, verify_p256
from gateway.core.model import Channel, Factor
from gateway.core.profile import SignatureProfile, parse_profile, profile_digest

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
KEY = ec.generate_private_key(ec.SECP256R1())


def test_a_profile_is_read_back() -> None:
    assert parse_profile(PROFILE.document()) == PROFILE


def test_every_field_is_in_the_digest() -> None:
    changes: list[dict[str, Any]] = [
        *({"id": "x"}, {"kind": "authentication"}, {"factors": (Factor.DEVICE,)}, {"lifetime_seconds": 299}),
        *({"signing_time_skew_seconds": 0}, {"max_text_length": 1}, {"max_failures": 1}),
        *({"released_attributes": ()}, {"hardware_key": True}, {"channels": (Channel.APP,)}),
        *({"code_lifetime_seconds": 30}, {"number_matching": True}, {"not_me_locks": True}),
        *({"max_waiting": 1}, {"max_starts": 1}, {"kind": "authentication", "evidence": False}),
    ]
    alone = {"algorithms"}  # of which there is one set
    assert {name for change in changes for name in change} | alone == set(asdict(PROFILE))
    digests = {profile_digest(replace(PROFILE, **change).document()) for change in changes}
    assert len(digests) == len(changes)
    assert profile_digest(PROFILE.document()) not in digests


@pytest.mark.parametrize(
    "change",
    [
        *({"factors": ()}, {"factors": (Factor.PIN,)}, {"factors": (Factor.DEVICE, Factor.DEVICE)}),
        *({"max_failures": 0}, {"max_failures": 6}, {"lifetime_seconds": 29}, {"lifetime_seconds": 1801}),
        *({"signing_time_skew_seconds": -1}, {"signing_time_skew_seconds": 301}),
        *({"max_text_length": 0}, {"max_text_length": 200_001}, {"evidence": False}),
        *({"algorithms": ()}, {"algorithms": ("RS256",)}, {"channels": ()}, {"channels": ("app", "app")}),
        *({"code_lifetime_seconds": 29}, {"code_lifetime_seconds": 301}, {"max_waiting": 0}),
        *({"max_waiting": 51}, {"max_starts": 0}, {"max_starts": 1001}),
    ],
    ids=str,
)
def test_bounds(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        replace(PROFILE, **change)


@pytest.mark.parametrize("name", sorted(asdict(PROFILE)))
@pytest.mark.parametrize(
    "value", [None, True, 1.5, "1", [], [[1]], {"a": 1}, float("nan"), 10**30, "\ud800"], ids=repr
)
def test_values_of_another_type_are_refused(name: str, value: Any) -> None:
    """What is read is either refused, or a profile of exactly the declared types."""
    document = json.dumps({**asdict(PROFILE), name: value}, sort_keys=True, separators=(",", ":")).encode()
    try:
        profile = parse_profile(document)
    except ValueError:
        return
    assert profile.document() == document
    assert [type(v) for v in asdict(profile).values()] == [type(v) for v in asdict(PROFILE).values()]
    assert all(type(word) is str for word in profile.released_attributes)


@pytest.mark.rts("4(1)")
def test_one_factor_is_not_sca() -> None:
    single = replace(PROFILE, factors=(Factor.DEVICE,))
    assert (single.acr, PROFILE.acr) == ("urn:mobileid-gateway:acr:single", "urn:mobileid-gateway:acr:sca")
    assert isinstance(single, SignatureProfile)


def test_a_signature_is_64_bytes_over_these_bytes() -> None:
    signature = sign_p256(KEY, b"data")
    verify_p256(KEY.public_key(), signature, data=b"data")
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    for key, value, data in (
        (KEY.public_key(), signature, b"date"),
        (other, signature, b"data"),
        (KEY.public_key(), signature[:-1], b"data"),
        (KEY.public_key(), signature + b"\0", b"data"),
        (KEY.public_key(), b"", b"data"),
        (KEY.public_key(), bytes(64), b"data"),
        (KEY.public_key(), b"\xff" * 64, b"data"),
        (KEY.public_key(), signature[32:] + signature[:32], b"data"),
    ):
        with pytest.raises(SignatureInvalid):
            verify_p256(key, value, data=data)


def test_high_s_is_accepted() -> None:
    signature = sign_p256(KEY, b"data")
    high = ORDER - int.from_bytes(signature[32:], "big")
    verify_p256(KEY.public_key(), signature[:32] + high.to_bytes(32, "big"), data=b"data")


def test_s_plus_order_is_refused() -> None:
    for _ in range(64):
        signature = sign_p256(KEY, b"data")
        beyond = ORDER + int.from_bytes(signature[32:], "big")
        if beyond < 1 << 256:
            break
    else:
        beyond = ORDER  # as good: not below the order
    with pytest.raises(SignatureInvalid):
        verify_p256(KEY.public_key(), signature[:32] + beyond.to_bytes(32, "big"), data=b"data")


def test_a_key_has_one_encoding() -> None:
    public = KEY.public_key()
    assert spki_of(parse_p256(spki_of(public))) == spki_of(public)
    spki = spki_of(public)
    point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    off_curve = spki[:-1] + bytes([spki[-1] ^ 1])
    rsa_key = rsa.generate_private_key(65537, 2048).public_key()
    for data in (
        b"",
        b"key",
        point,
        off_curve,
        spki + b"\0",
        spki[:-1],
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        spki[:-65].replace(b"\x03\x42\x00", b"\x03\x22\x00")
        + public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint),
        ec.generate_private_key(ec.SECP384R1())
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        rsa_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    ):
        with pytest.raises(ValueError):
            parse_p256(data)
