"""What the device face makes of bodies, paths, methods and media types; the published schema agrees."""

from __future__ import annotations

import copy
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jsonschema
import pytest
from device_harness import BASE, MAX_BYTES, SCHEMA, Face, call, validator
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.activation import UnverifiedAttestation
from gateway.core.errors import GatewayError, MalformedMessage, SchemaInvalid
from gateway.core.model import Decision
from gateway.device.messages import (
    MAX_BRACKETS,
    parse_activation,
    parse_assertion,
    parse_name,
    parse_pin_change,
    parse_pin_reset,
    parse_registration,
    parse_revocation,
    parse_start,
)

VECTORS = Path(__file__).parent / "vectors" / "device"
ACTIVATION: dict[str, Any] = json.loads((VECTORS / "activation.json").read_text())["request"]["body"]
ASSERTION: dict[str, Any] = json.loads(json.loads((VECTORS / "request.json").read_text())["cases"][1]["body"])
CANARY = "canary-4711"


ORDERS: dict[str, Any] = {
    case["purpose"]: case["body"] for case in json.loads((VECTORS / "order.json").read_text())["cases"]
}


def parse(message: str, body: bytes) -> object:
    if message == "activationRequest":
        return parse_activation(body, activation_id=UUID(int=1))
    return PARSERS[message](body)


PARSERS: dict[str, Any] = {
    "assertionRequest": parse_assertion,
    "nameRequest": parse_name,
    "revocationRequest": parse_revocation,
    "pinChangeRequest": parse_pin_change,
    "pinResetRequest": parse_pin_reset,
    "startRequest": parse_start,
}
EXAMPLES = {
    "activationRequest": ACTIVATION,
    "assertionRequest": ASSERTION,
    "nameRequest": {"name": "Zoë's phone"},
    "revocationRequest": ORDERS["device-revocation"],
    "pinChangeRequest": ORDERS["pin-change"],
    "pinResetRequest": ORDERS["pin-reset"],
    "startRequest": {
        "requestId": "r-1",
        "kind": "authorisation",
        "profile": "payments",
        "locale": "en",
        "texts": [{"title": "Rent", "text": "For March.", "mediaType": "text/plain"}],
        "payment": {
            "total": "10.00",
            "currency": "EUR",
            "payees": [{"name": "Zoë", "account": "CH93", "amount": "10.00"}],
        },
    },
}
EXTENDED: dict[str, Any] = json.loads((VECTORS / "reactivation.json").read_text())["request"]["body"]


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_values_come_through_as_they_were_sent() -> None:
    request = parse_activation(json.dumps(ACTIVATION).encode(), activation_id=UUID(int=1))
    assert (request.code, request.name, request.platform) == ("042195", "Zoë's phone", "android-16")
    assert request.push_target == "fcm:example-token"
    assert request.attestation == UnverifiedAttestation("none")
    attested = ACTIVATION | {"attestation": {"format": "android-key", "object": "MAAAAAA="}}
    request = parse_activation(json.dumps(attested).encode(), activation_id=UUID(int=1))
    assert request.attestation == UnverifiedAttestation("android-key", b"0\0\0\0\0")
    assert {len(key) for key in (request.keys.signing, request.keys.transport, request.keys.pin)} == {91}
    raw = parse_assertion(json.dumps(ASSERTION | {"pinSignature": ASSERTION["signature"]}).encode())
    assert raw.decision is Decision.REJECTED_NOT_ME
    assert raw.pin_signature == raw.signature
    assert len(raw.signature) == 64


NOT_JSON = {
    "empty": b"",
    "not-json": b"{",
    "trailing": b"{} {}",
    "nan": b'{"code": NaN}',
    "infinity": b'{"code": -Infinity}',
    "member-twice": b'{"code": "1", "code": "2"}',
    "inner-member-twice": b'{"keys": {"pin": "1", "pin": "2"}}',
    "utf-16": json.dumps(ACTIVATION).encode("utf-16"),
    "utf-8-bom": b"\xef\xbb\xbf" + json.dumps(ACTIVATION).encode(),
    "not-utf-8": b'{"code": "\xff"}',
    "deep": b"[" * 5000 + b"]" * 5000,
    "deep-objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "deep-and-whole": b'{"code": ' + b"[" * MAX_BRACKETS + b"]" * MAX_BRACKETS + b"}",
    "deep-unclosed": b"[" * (MAX_BRACKETS + 1),
    "long-number": b'{"code": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("message", sorted(EXAMPLES))
@pytest.mark.parametrize("name", sorted(NOT_JSON))
def test_what_is_not_one_strict_json_object_is_malformed(message: str, name: str) -> None:
    with pytest.raises(MalformedMessage):
        parse(message, NOT_JSON[name])


@pytest.mark.parametrize(("brackets", "refusal"), [(400, SchemaInvalid), (401, MalformedMessage)])
def test_brackets_are_counted_before_anything_is_parsed(brackets: int, refusal: type[GatewayError]) -> None:
    """At the limit the parser says what is wrong, past it nobody asks the parser."""
    with pytest.raises(refusal):
        parse("assertionRequest", json.dumps({"x": "[" * (brackets - 1)}).encode())


@pytest.mark.parametrize("message", sorted(EXAMPLES))
@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"1", b"{}"])
def test_another_json_value_is_not_of_the_shape(message: str, body: bytes) -> None:
    with pytest.raises(SchemaInvalid):
        parse(message, body)


WRONG: dict[str, list[Any]] = {
    "activationRequest.code": ["", "123", "1" * 13, "12345a", "12 456", "١٢٣٤٥٦", 123456, None, ["123456"]],
    "activationRequest.name": ["", "x" * 65, 1, None, {}],
    "activationRequest.platform": ["", "x" * 65, "a\tb", "ä", 1, None],
    "activationRequest.pushTarget": ["", "x" * 513, "a b", "a\n", "ä", 1, []],
    "activationRequest.attestation": [
        *(
            None,
            "none",
            {},
            {"format": "apple"},
            {"format": "none", "x": 1},
            {"format": "none", "object": ""},
        ),
        *({"format": "android-key"}, {"format": "android-key", "object": None}, {"object": "MAAAAAA="}),
        *({"format": "android-key", "object": o} for o in ("", "MAAAAAA", "MAAAAAB=", "A" * 21_852)),
    ],
    "activationRequest.keys.signing": ["", "=", "AAA", "AA==\n", "A A=", "AB==", "A-_=", "A" * 1004, 1, None],
    "activationRequest.proofs.pin": ["", "A" * 86, "A" * 85 + "B==", "A" * 84, 1, None],
    "assertionRequest.decision": ["", "APPROVED", "approved ", "yes", 1, None, ["approved"]],
    "assertionRequest.signingTime": [
        "",
        "2026-03-02",
        "2026-03-02T09:30:45+00:00",
        "2026-03-02T09:30:45.0Z",
        5,
    ],
    "assertionRequest.signature": ["", "A" * 86 + "=", "A" * 88, None, 1],
    "assertionRequest.pinSignature": ["", "A" * 87 + "=", 1, []],
    "nameRequest.name": ["", "x" * 65, 1, None, {}],
    "revocationRequest.signature": ["", "A" * 86 + "=", None, 1],
    "pinChangeRequest.signingTime": ["", "2026-03-02", "2026-03-02T09:30:45.0Z", 5],
    "pinChangeRequest.pin": ["", "=", "AAA", "A" * 1004, 1, None],
    "pinChangeRequest.oldPinSignature": ["", "A" * 86, None, 1],
    "pinResetRequest.pinProof": ["", "A" * 86, None, 1],
    "startRequest.requestId": ["", "a b", "x" * 65, 1, None],
    "startRequest.kind": ["", "Authorisation", "other", 1, None],
    "startRequest.profile": ["", "a b", "x" * 65, 1],
    "startRequest.locale": ["x" * 36, 1, None],
    "startRequest.texts": [{}, None, [{}], [{"title": "a", "text": "b", "mediaType": "text/plain"}] * 21],
    "startRequest.texts.0.title": ["", 1, None],
    "startRequest.texts.0.text": ["", 1, None],
    "startRequest.texts.0.mediaType": ["", "x" * 128, 1, None],
    "startRequest.payment.total": ["", "1,00", "01.00", "1.", "1.00000", "-1", "1" * 16, 1, None],
    "startRequest.payment.currency": ["", "eur", "EURO", 1, None],
    "startRequest.payment.payees": [[], {}, None],
    "startRequest.payment.payees.0.name": ["", 1, None],
    "startRequest.payment.payees.0.account": ["", "CH 93", "x" * 65, 1, None],
    "startRequest.payment.payees.0.amount": ["", "1,00", 1, None],
    "assertionRequest.matchNumber": ["", "1", "123", "1a", "１２", 12],
    "pinResetRequest.code": ["", "123", "1" * 65, "12 456", "１２３４５６", 123456, None],
}
CASES = [(path, value) for path, values in WRONG.items() for value in values]


@pytest.mark.parametrize(("path", "value"), CASES, ids=lambda part: repr(part)[:40])
def test_a_wrong_value_is_refused_by_the_face_and_by_the_schema_and_named(path: str, value: Any) -> None:
    message, *place = path.split(".")
    body = copy.deepcopy(EXAMPLES[message])
    inner = body
    for member in place[:-1]:
        inner = inner[int(member) if member.isdigit() else member]
    inner[place[-1]] = value
    assert not validator(message).is_valid(body) or str(value).endswith("\n")
    with pytest.raises(SchemaInvalid) as caught:
        parse(message, json.dumps(body).encode())
    assert (caught.value.field or "").startswith(".".join(place))


@pytest.mark.parametrize("member", ["title", "text"])
def test_words_that_nobody_can_show_are_not_even_read(member: str) -> None:
    start = EXAMPLES["startRequest"]
    for length, refusal in ((200_000, nullcontext()), (200_001, pytest.raises(SchemaInvalid))):
        text = start["texts"][0] | {member: "x" * length}
        with refusal:
            parse("startRequest", json.dumps(start | {"texts": [text]}).encode())


EXTRA: dict[str, list[Any]] = {
    "recoveryDigest": ["", "A" * 43, "A" * 42 + "B=", 1],
    "former": [{}, {"bindingId": "x"}, EXTENDED["former"] | {"x": 1}, EXTENDED["former"] | {"proof": ""}, 1],
    "client": [{}, {"name": "a"}, {"name": "a", "version": "v1"}, {"name": "a b", "version": "1"}, "a/1"],
    "recoveryCode": ["A" * 25, "a" * 26, "1" * 26, 1],
}


@pytest.mark.parametrize(
    ("member", "value"), [(m, v) for m, values in EXTRA.items() for v in values], ids=lambda p: repr(p)[:30]
)
def test_so_is_one_in_the_members_of_a_re_activation(member: str, value: Any) -> None:
    body = {name: held for name, held in EXTENDED.items() if name != "code" or member != "recoveryCode"}
    body[member] = value
    assert not validator("activationRequest").is_valid(body)
    with pytest.raises(SchemaInvalid) as caught:
        parse("activationRequest", json.dumps(body).encode())
    assert (caught.value.field or "").startswith(member)


def test_a_request_has_one_code_of_one_kind() -> None:
    without = {name: held for name, held in EXTENDED.items() if name != "code"}
    recovery = "A" * 26
    for body in (
        EXTENDED,
        EXTENDED | {"recoveryCode": None},
        without | {"recoveryCode": recovery, "code": None},
    ):
        validator("activationRequest").validate(body)
        assert parse("activationRequest", json.dumps(body).encode())
    for body in (without, EXTENDED | {"recoveryCode": recovery}, EXTENDED | {"code": None}):
        assert not validator("activationRequest").is_valid(body)
        with pytest.raises(SchemaInvalid):
            parse("activationRequest", json.dumps(body).encode())


@pytest.mark.parametrize("artifact", [None, "", "A" * 42, "A" * 42 + "B", "A" * 44, "+" * 43, 1])
def test_an_artifact_has_one_spelling(artifact: Any) -> None:
    body = {"artifact": artifact}
    assert not validator("registrationRequest").is_valid(body)
    with pytest.raises(SchemaInvalid):
        parse_registration(json.dumps(body).encode())
    assert parse_registration(json.dumps({"artifact": "A" * 43}).encode()) == bytes(32)


@pytest.mark.parametrize("when", ["2026-02-30T00:00:00Z", "2026-03-02T24:00:00Z", "0000-01-01T00:00:00Z"])
def test_a_time_that_never_was_is_refused(when: str) -> None:
    with pytest.raises(SchemaInvalid) as caught:
        parse_assertion(json.dumps(ASSERTION | {"signingTime": when}).encode())
    assert caught.value.field == "signingTime"


@pytest.mark.parametrize("message", sorted(EXAMPLES))
def test_a_member_that_is_not_published_is_refused_and_not_told(message: str) -> None:
    body = EXAMPLES[message] | {CANARY: 1}
    assert not validator(message).is_valid(body)
    with pytest.raises(SchemaInvalid) as caught:
        parse(message, json.dumps(body).encode())
    assert CANARY not in f"{caught.value.message}{caught.value.field}"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(EXAMPLES)), st.data())
def test_face_and_schema_agree_on_changed_messages(message: str, data: st.DataObject) -> None:
    body = copy.deepcopy(EXAMPLES[message])
    holders = [body, *(part for part in body.values() if isinstance(part, dict))]
    holder = data.draw(st.sampled_from(holders))
    member = data.draw(st.sampled_from(sorted(holder)) | st.text(max_size=5))
    if data.draw(st.booleans()):
        holder.pop(member, None)
    else:
        holder[member] = data.draw(_JSON | st.sampled_from(list(holder.values())))
    encoded = json.dumps(body).encode()
    try:
        parse(message, encoded)
    except GatewayError:
        accepted = False
    else:
        accepted = True
    assert accepted == validator(message).is_valid(body), body


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(sorted(EXAMPLES)))
def test_no_bytes_get_anything_but_a_typed_refusal(body: bytes, message: str) -> None:
    with pytest.raises((MalformedMessage, SchemaInvalid)):
        parse(message, body)


@pytest.fixture
def face() -> Face:
    return Face()


ACTIVATE = f"{BASE}/activations/{UUID(int=9)}"
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    "url",
    [
        BASE,
        f"{BASE}/",
        f"{BASE}/transactions/",
        f"{BASE}/transactions/7",
        f"{BASE}/transactions/{UUID(int=1)}/",
        f"{BASE}/transactions/{UUID(int=1)}/claims",
        f"{BASE}/transactions/{UUID(int=0xAB << 120)!s}".upper(),
        f"{BASE}/transactions/{UUID(int=1)}%0a",
        f"{BASE}/activations",
        f"{BASE}/activations/{UUID(int=1)}/claim",
        f"{BASE}/claim/{UUID(int=1)}",
        f"{BASE}/devices",
        f"{BASE}/devices/{UUID(int=1)}/unlock",
        BASE.replace("v1", "v2") + "/transactions",
        BASE.replace("demo-bank", "Demo_Bank") + "/transactions",
        BASE.replace("demo-bank", "d" * 41) + "/transactions",
        BASE.replace("demo-bank", "../demo-bank") + "/transactions",
    ],
)
def test_any_other_path_is_not_found(face: Face, url: str) -> None:
    assert (answer := face.call("GET", url, {})).status == 404
    assert answer.code == "NOT_FOUND"


def test_any_other_method_is_told_which_is_allowed(face: Face) -> None:
    for method, url, allowed in [
        ("GET", ACTIVATE, "POST"),
        ("PUT", f"{BASE}/transactions", "GET, POST"),
        ("HEAD", f"{BASE}/transactions", "GET, POST"),
        ("DELETE", f"{BASE}/transactions/{uuid4()}", "GET"),
        ("OPTIONS", f"{BASE}/transactions/{uuid4()}/claim", "POST"),
        ("get", f"{BASE}/transactions", "GET, POST"),
        ("PUT", f"{BASE}/transactions/{uuid4()}/assertion", "POST"),
        ("POST", f"{BASE}/devices/{uuid4()}", "GET"),
        ("GET", f"{BASE}/devices/{uuid4()}/lock", "POST"),
    ]:
        answer = face.call(method, url, {})
        assert (answer.status, answer.code) == (405, "METHOD_NOT_ALLOWED")
        assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/json"},
        {"content-type": "application/json, text/plain"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/jsonp"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
def test_only_plain_json_is_read(face: Face, headers: dict[str, str]) -> None:
    answer = face.call("POST", ACTIVATE, headers, json.dumps(ACTIVATION).encode())
    assert (answer.status, answer.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_body_past_the_limit_is_not_read_whatever_its_length_says(face: Face) -> None:
    body = b" " * (MAX_BYTES + 1)
    for announced in (str(len(body)), "", "1", "x"):
        answer = call(face.app, "POST", ACTIVATE, JSON, body, CONTENT_LENGTH=announced)
        assert (answer.status, answer.code) == (413, "MESSAGE_TOO_LARGE")


def test_a_body_where_none_belongs_is_refused(face: Face) -> None:
    signer = face.bind()
    url = f"{BASE}/transactions/{uuid4()}/claim"
    answer = face.call("POST", url, signer.headers("POST", url, b"{}"), b"{}")
    assert (answer.status, answer.code) == (400, "MALFORMED_MESSAGE")


def test_nothing_of_a_hostile_request_is_echoed_or_logged(
    face: Face, capsys: pytest.CaptureFixture[str]
) -> None:
    signer = face.bind()
    url = f"{BASE}/transactions/{uuid4()}/assertion"
    body = json.dumps({"decision": CANARY, CANARY: CANARY}).encode()
    signed = signer.headers("POST", url, body) | JSON
    answers = [
        face.call("POST", url, signed, body),
        face.call("POST", url, JSON | {"signature-input": CANARY, "signature": CANARY}, body),
        face.call("POST", ACTIVATE, JSON, body),
        face.call("POST", f"{BASE}/{CANARY}", JSON, body),
        face.call(CANARY, url, JSON, body),
    ]
    assert [answer.code for answer in answers] == [
        "SCHEMA_INVALID",
        "DEVICE_NOT_AUTHENTICATED",
        "SCHEMA_INVALID",
        "NOT_FOUND",
        "METHOD_NOT_ALLOWED",
    ]
    told = b"".join(answer.body + str(answer.headers).encode() for answer in answers).decode()
    logged = capsys.readouterr()
    assert CANARY not in told + logged.out + logged.err
    assert signer.headers()["signature"] not in logged.out


def test_what_is_unexpected_becomes_internal_and_nothing_else(face: Face) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(CANARY)

    face.store.binding = broken  # type: ignore[assignment]
    answer = face.call("GET", f"{BASE}/transactions", face.bind().headers())
    assert (answer.status, answer.code) == (500, "INTERNAL")
    assert CANARY not in answer.body.decode()
