"""Which requests the device face takes for a device's own: RFC 9421, one closed set of choices.

Hostile signatures are crafted by string templates here, with the genuine key wherever it is not the key
that is wrong: what has to find them is the one check that they are made for.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from device_harness import BASE, NONCE, NOW, Answer, Face, Signer
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import httpsig
from gateway.core.errors import DeviceNotAuthenticated
from gateway.core.keys import sign_p256
from gateway.core.model import BindingState
from gateway.device import authentication

URL = f"{BASE}/transactions"
CREATED = int(NOW.timestamp())
COMPONENTS = ('"@method"', '"@target-uri"', '"content-digest"')


def digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def crafted(
    signer: Signer,
    *,
    method: str = "GET",
    url: str = URL,
    body: bytes = b"",
    components: tuple[str, ...] = COMPONENTS,
    parameters: str | None = None,
    label: str = "device",
    more: dict[str, str] | None = None,
) -> dict[str, str]:
    """A genuine signature over whatever the test says, made without the package."""
    if parameters is None:
        parameters = (
            f';created={CREATED};nonce="{NONCE}";keyid="{signer.key_id}"'
            ';alg="ecdsa-p256-sha256";tag="mobileid-gateway"'
        )
    values = {
        '"@method"': method,
        '"@target-uri"': url,
        '"content-digest"': digest(body),
        '"@authority"': "gateway.example",
        '"content-digest";sf': digest(body),
        '"x-other"': "1",
    }
    inner = f"({' '.join(components)}){parameters}"
    base = "".join(f"{name}: {values[name]}\n" for name in components) + f'"@signature-params": {inner}'
    signature = base64.b64encode(sign_p256(signer.transport, base.encode())).decode()
    return {
        "content-digest": digest(body),
        "signature-input": f"{label}={inner}",
        "signature": f"{label}=:{signature}:",
        **(more or {}),
    }


@pytest.fixture
def face() -> Face:
    return Face()


def refused(answer: Answer) -> bool:
    return (answer.status, answer.code) == (401, "DEVICE_NOT_AUTHENTICATED")


def test_a_request_signed_by_the_library_is_taken_for_the_devices_own(face: Face) -> None:
    answer = face.call("GET", URL, face.bind().headers())
    assert (answer.status, answer.json) == (200, {"transactions": []})


def test_a_request_signed_by_hand_is_too(face: Face) -> None:
    assert face.call("GET", URL, crafted(face.bind(), label="sig1")).status == 200


def test_the_order_of_parameters_is_free(face: Face) -> None:
    signer = face.bind()
    parameters = (
        f';tag="mobileid-gateway";alg="ecdsa-p256-sha256";keyid="{signer.key_id}"'
        f';nonce="{NONCE}";created={CREATED}'
    )
    assert face.call("GET", URL, crafted(signer, parameters=parameters)).status == 200


def test_the_target_is_the_configured_one_whatever_the_host_header_says(face: Face) -> None:
    signer = face.bind()
    assert refused(face.call("GET", URL, crafted(signer, url=URL.replace("gateway.", "elsewhere."))))
    assert face.call("GET", URL, crafted(signer)).status == 200


def _without(headers: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in names}


OTHER_REQUESTS = {
    "no-signature": lambda s: {},
    "no-signature-input": lambda s: _without(s.headers(), "signature-input"),
    "no-signature-value": lambda s: _without(s.headers(), "signature"),
    "no-digest": lambda s: _without(s.headers(), "content-digest"),
    "digest-not-covered": lambda s: crafted(s, components=COMPONENTS[:2]),
    "method-not-covered": lambda s: crafted(s, components=COMPONENTS[1:]),
    "target-not-covered": lambda s: crafted(s, components=(COMPONENTS[0], COMPONENTS[2])),
    "authority-instead-of-target": lambda s: crafted(
        s, components=('"@method"', '"@authority"', '"content-digest"')
    ),
    "more-covered": lambda s: crafted(s, components=(*COMPONENTS, '"x-other"'), more={"x-other": "1"}),
    "other-order": lambda s: crafted(s, components=COMPONENTS[::-1]),
    "digest-with-a-parameter": lambda s: crafted(
        s, components=('"@method"', '"@target-uri"', '"content-digest";sf')
    ),
    "component-twice": lambda s: crafted(s, components=(*COMPONENTS, '"@method"')),
    "other-method-signed": lambda s: s.headers("POST"),
    "other-path-signed": lambda s: s.headers(url=f"{URL}/{uuid4()}"),
    "other-query-signed": lambda s: s.headers(url=f"{URL}?all=1"),
    "other-relying-party-signed": lambda s: s.headers(url=URL.replace("demo-bank", "other-bank")),
    "other-body-signed": lambda s: s.headers(body=b"{}"),
    "sha-512-digest": lambda s: crafted(
        s,
        more={
            "content-digest": "sha-512=:"
            "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==:"
        },
    ),
    "other-key": lambda s: s.headers(key=ec.generate_private_key(ec.SECP256R1())),
    "signing-key-for-transport": lambda s: s.headers(key=s.signing),
    "unknown-binding": lambda s: crafted(Signer(UUID(int=7), s.signing, s.transport)),
    "keyid-missing": lambda s: crafted(
        s, parameters=f';created={CREATED};nonce="{NONCE}";alg="ecdsa-p256-sha256";tag="mobileid-gateway"'
    ),
    "expires-too": lambda s: crafted(
        s,
        parameters=f';created={CREATED};expires={CREATED + 60};nonce="{NONCE}";keyid="{s.key_id}"'
        ';alg="ecdsa-p256-sha256";tag="mobileid-gateway"',
    ),
    "too-old": lambda s: s.headers(at=NOW - timedelta(seconds=61)),
    "too-new": lambda s: s.headers(at=NOW + timedelta(seconds=62)),
    "two-signatures": lambda s: {
        name: f"{value}, b{value}" if name != "content-digest" else value
        for name, value in s.headers().items()
    },
    "same-label-twice": lambda s: {
        name: f"{value}, {value}" if name != "content-digest" else value
        for name, value in s.headers().items()
    },
    "short-signature": lambda s: {**s.headers(), "signature": "device=:AAAA:"},
    "zero-signature": lambda s: {
        **s.headers(),
        "signature": f"device=:{base64.b64encode(bytes(64)).decode()}:",
    },
    "signature-not-bytes": lambda s: {**s.headers(), "signature": 'device="AAAA"'},
    "other-label": lambda s: {
        **s.headers(),
        "signature": s.headers()["signature"].replace("device", "dev"),
    },
    "not-structured": lambda s: {**s.headers(), "signature-input": "device=(((("},
    "not-ascii": lambda s: {**s.headers(), "signature-input": 'device="\xe9"'},
    "huge": lambda s: {**s.headers(), "signature-input": "device=(" + '"@method" ' * 2000},
    "keyid-twice": lambda s: crafted(
        s,
        parameters=f';created={CREATED};nonce="{NONCE}";keyid="{uuid4()}";keyid="{s.key_id}"'
        ';alg="ecdsa-p256-sha256";tag="mobileid-gateway"',
    ),
}
for _name, _wrong in {
    "created": ['"1"', "1.5", "-1", "999999999999999", "?1"],
    "nonce": ['""', '"short"', f'"{NONCE}A"', '"AAAAAAAAAAAAAAAAAAAAA="', "7"],
    "alg": ['"ecdsa-p384-sha384"', '"hmac-sha256"', '""'],
    "tag": ['"other"', '""', "mobileid-gateway"],
}.items():
    for _n, _value in enumerate([*_wrong, None]):

        def _make(signer: Signer, *, changed: str = _name, value: str | None = _value) -> dict[str, str]:
            parameters = {
                "created": str(CREATED),
                "nonce": f'"{NONCE}"',
                "keyid": f'"{signer.key_id}"',
                "alg": '"ecdsa-p256-sha256"',
                "tag": '"mobileid-gateway"',
                changed: value,
            }
            written = "".join(f";{name}={text}" for name, text in parameters.items() if text is not None)
            return crafted(signer, parameters=written)

        OTHER_REQUESTS[f"{_name}-{'missing' if _value is None else _n}"] = _make


@pytest.mark.rts("4(2)", "4(3)(a)")
@pytest.mark.parametrize("name", sorted(OTHER_REQUESTS))
def test_any_other_request_is_refused_with_one_fault(face: Face, name: str) -> None:
    signer = face.bind()
    first = face.call("GET", URL, OTHER_REQUESTS[name](signer))
    assert refused(first)
    unsigned = face.call("GET", URL, {})
    same = {key: value for key, value in first.json.items() if key != "correlationId"}
    assert same == {key: value for key, value in unsigned.json.items() if key != "correlationId"}
    assert face.store.nonces == {}, "a refused request spends no nonce"


@pytest.mark.rts("7")
def test_the_edges_of_the_time_window_are_inside(face: Face) -> None:
    face.clock.at = NOW.replace(microsecond=0)
    signer = face.bind()
    for n, seconds in enumerate((-60, 60)):
        nonce = f"{n}" * 22
        headers = signer.headers(at=face.clock.at + timedelta(seconds=seconds), nonce=nonce)
        assert face.call("GET", URL, headers).status == 200


@pytest.mark.rts("7")
@pytest.mark.parametrize("seconds", [-61, 61])
def test_a_request_that_was_kept_back_is_refused(face: Face, seconds: int) -> None:
    """Though nobody has seen it before."""
    face.clock.at = NOW.replace(microsecond=0)
    headers = face.bind().headers(at=face.clock.at + timedelta(seconds=seconds))
    assert refused(face.call("GET", URL, headers))


@pytest.mark.rts("27")
def test_a_revoked_device_is_refused_and_a_foreign_one_too(face: Face) -> None:
    revoked = face.bind(state=BindingState.REVOKED)
    foreign = face.bind(relying_party="other-bank")
    assert refused(face.call("GET", URL, revoked.headers()))
    assert refused(face.call("GET", URL, foreign.headers()))


def test_the_key_that_stands_for_nobody_lets_nobody_in(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though somebody had its private key."""
    signer = replace(face.bind(), key_id=uuid4())
    monkeypatch.setattr(authentication, "_NOBODY", signer.transport.public_key())
    assert refused(face.call("GET", URL, signer.headers(url=URL)))


@pytest.mark.rts("4(2)", "7")
def test_a_repeated_request_is_refused_although_its_signature_is_another(face: Face) -> None:
    signer = face.bind()
    headers = signer.headers()
    assert face.call("GET", URL, headers).status == 200
    assert refused(face.call("GET", URL, headers))
    assert refused(face.call("GET", URL, signer.headers())), "ECDSA is random; the nonce is what counts"
    assert face.call("GET", URL, signer.headers(nonce="B" * 22)).status == 200


def test_the_nonce_of_one_device_is_free_for_another(face: Face) -> None:
    assert face.call("GET", URL, face.bind().headers()).status == 200
    assert face.call("GET", URL, face.bind().headers()).status == 200


def test_a_nonce_is_remembered_for_as_long_as_its_request_could_come_again(face: Face) -> None:
    created = NOW.replace(microsecond=0) + timedelta(seconds=30)
    face.call("GET", URL, face.bind().headers(at=created))
    (expires_at,) = face.store.nonces.values()
    assert expires_at > created + httpsig.WINDOW


def test_a_locked_device_is_known_but_sees_nothing(face: Face) -> None:
    signer = face.bind(state=BindingState.LOCKED)
    assert face.call("GET", URL, signer.headers()).json == {"transactions": []}
    for n, (method, url) in enumerate(
        [("POST", f"{URL}/{uuid4()}/claim"), ("GET", f"{URL}/{uuid4()}")], start=1
    ):
        answer = face.call(method, url, signer.headers(method, url, nonce=f"{n}" * 22))
        assert answer.code == "DEVICE_LOCKED"


def test_every_signed_operation_refuses_an_unsigned_request(face: Face) -> None:
    one = f"{URL}/{uuid4()}"
    for method, url in [("GET", URL), ("GET", one), ("POST", f"{one}/claim"), ("POST", f"{one}/assertion")]:
        assert refused(face.call(method, url, {"content-type": "application/json"}, b"{"))


def test_a_high_s_signature_is_good_and_still_no_way_to_repeat(face: Face) -> None:
    signer = face.bind()
    headers = signer.headers()
    value = base64.b64decode(headers["signature"].split(":")[1])
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    other_s = order - int.from_bytes(value[32:], "big")
    twin = base64.b64encode(value[:32] + other_s.to_bytes(32, "big")).decode()
    assert face.call("GET", URL, {**headers, "signature": f"device=:{twin}:"}).status == 200
    assert refused(face.call("GET", URL, headers))


_FIELD = st.text(st.characters(max_codepoint=255), max_size=200) | st.sampled_from(
    [f'a=("@method");keyid="{UUID(int=1)}"', f'a=1;keyid="{UUID(int=1)}"', "a=:AAAA:", "a=()", "a;keyid"]
)


@settings(max_examples=300, deadline=None)
@given(_FIELD, _FIELD, st.booleans())
def test_no_header_field_gets_anything_but_the_refusal(given_input: str, value: str, with_id: bool) -> None:
    key = ec.derive_private_key(1, ec.SECP256R1()).public_key()
    field = given_input + (f';keyid="{UUID(int=1)}"' if with_id else "")
    request = httpsig.SignedRequest(
        "GET", URL, b"", {"content-digest": digest(b""), "signature-input": field, "signature": value}
    )
    with pytest.raises(DeviceNotAuthenticated):
        httpsig.verify(request, key=key, at=NOW)


@pytest.mark.rts("4(2)")
def test_every_bit_of_a_signed_request_counts() -> None:
    face = Face()
    signer = face.bind()
    headers = signer.headers()
    value = base64.b64decode(headers["signature"].split(":")[1])
    for byte, bit in itertools.product(range(0, 64, 7), (0, 7)):
        changed = bytearray(value)
        changed[byte] ^= 1 << bit
        field = f"device=:{base64.b64encode(changed).decode()}:"
        assert refused(face.call("GET", URL, {**headers, "signature": field}))
