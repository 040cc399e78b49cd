"""The gate: raw requests that nobody should send, what each is told, and that no caller learns of another."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from soap_cases import generate
from soap_support import (
    CREDENTIAL,
    ID,
    MAX_BYTES,
    REQUESTS,
    SOAP11,
    SOAP12,
    App,
    Services,
    answer,
    call,
    envelope,
    judge,
    make_app,
    security,
    token,
)

from gateway.soap.security import CallerCredential

CASES = Path(__file__).parent / "soap_cases"
INDEX = json.loads((CASES / "index.json").read_text())


@pytest.fixture
def soap(monkeypatch: pytest.MonkeyPatch) -> App:
    Services().install(monkeypatch)
    return make_app()


def test_cases_are_what_their_generator_makes() -> None:
    assert (CASES / "index.json").read_text() == generate.index()
    assert {path.name for path in CASES.glob("*.http")} == {row["file"] for row in INDEX}
    for case in generate.cases():
        assert (CASES / f"{case.name}.http").read_bytes() == case.raw(), case.name


@pytest.mark.parametrize("row", INDEX, ids=lambda row: row["name"])
def test_raw_request(row: dict[str, Any], soap: App) -> None:
    head, _, body = (CASES / row["file"]).read_bytes().partition(b"\r\n\r\n")
    first, *fields = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = dict(field.split(": ", 1) for field in fields)
    result = call(soap, body, method=method, path=target, headers=headers)
    if method == "GET":
        assert result.status == row["status"]
        return
    judge(result)
    assert (result.status, result.code) == (row["status"], row["code"])
    assert b"/etc/passwd" not in result.body
    assert ("Allow" in result.headers) == (row["status"] == 405)


def test_every_refused_credential_gets_one_answer(soap: App) -> None:
    refused = [row for row in INDEX if row["code"] == "NOT_AUTHENTICATED"]
    wrong = [row for row in refused if row["name"].startswith("auth-") and "soap12" not in row["name"]]
    answers = set()
    for row in wrong:
        body = (CASES / row["file"]).read_bytes().partition(b"\r\n\r\n")[2]
        status, headers, masked = answer(soap, body).masked
        answers.add((status, tuple(sorted(headers.items())), masked))
    assert len(wrong) > 20
    assert len(answers) == 1


class Never(io.RawIOBase):
    """A body that ends its test when it is read."""

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("read")


def environ(**changes: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/soap/v1",
        "CONTENT_TYPE": "text/xml",
        "wsgi.input": io.BytesIO(),
        **changes,
    }


def run(app: App, environ: dict[str, Any]) -> tuple[str, bytes]:
    """Without wsgiref's validator, which wants the environ whole."""
    status: list[str] = []
    body = b"".join(app(environ, lambda line, headers: status.append(line)))
    return status[0], body


def test_a_body_announced_too_large_is_not_read(soap: App) -> None:
    status, body = run(soap, environ(CONTENT_LENGTH=str(MAX_BYTES + 1), **{"wsgi.input": Never()}))
    assert status.startswith("413 ")
    assert b"<gw:code>MESSAGE_TOO_LARGE<" in body


@pytest.mark.parametrize("announced", ["", "-1", "x", "٣", "9" * 4000])
def test_a_body_too_large_is_refused_where_its_length_is_not_known(soap: App, announced: str) -> None:
    data = envelope(REQUESTS["Heartbeat"]) + b" " * MAX_BYTES
    status, body = run(soap, environ(CONTENT_LENGTH=announced, **{"wsgi.input": io.BytesIO(data)}))
    assert status.startswith("413 ")
    assert b"<gw:code>MESSAGE_TOO_LARGE<" in body


def test_a_body_as_large_as_allowed_is_served(soap: App) -> None:
    data = envelope(REQUESTS["Heartbeat"])
    assert answer(soap, data + b" " * (MAX_BYTES - len(data))).status == 200


def test_a_broken_connection_ends_as_a_fault(soap: App) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError("connection reset by 10.1.2.3")

    status, body = run(soap, environ(**{"wsgi.input": Broken()}))
    assert status.startswith("500 ")
    assert b"<gw:code>INTERNAL<" in body
    assert b"10.1.2.3" not in body


@pytest.mark.parametrize("missing", ["PATH_INFO", "CONTENT_TYPE"])
def test_an_environ_without_what_wsgi_allows_to_be_absent(soap: App, missing: str) -> None:
    bare = environ()
    del bare[missing]
    status, body = run(soap, bare)
    assert status[:3] in ("405", "415")
    assert b"GatewayFault" in body


# Which element is at fault

TITLE = "<gw:title>t</gw:title>"
CONTENT = "<gw:content>c</gw:content>"
START = "<gw:requestId>r</gw:requestId><gw:externalRef>c</gw:externalRef>"
LOCALE = "<gw:locale>en</gw:locale>"
MEDIA = "<gw:mediaType>text/plain</gw:mediaType>"


def start(rest: str, first: str = START) -> str:
    return f"<gw:StartConsentSignature>{first}{rest}</gw:StartConsentSignature>"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("<gw:GetTransaction/>", "transactionId"),
        ("<gw:GetTransaction>x</gw:GetTransaction>", None),
        ("<gw:Heartbeat x='1'/>", None),
        ("<gw:Heartbeat><gw:zzz/></gw:Heartbeat>", None),
        ("<gw:GetTransaction><gw:zzz/></gw:GetTransaction>", None),
        ("<gw:GetTransaction><gw:transactionId>x</gw:transactionId></gw:GetTransaction>", "transactionId"),
        (start(f"{LOCALE}<gw:preContext>{TITLE}{CONTENT}</gw:preContext>"), "preContext.mediaType"),
        (start(f"{LOCALE}<gw:preContext><gw:title/>{CONTENT}{MEDIA}</gw:preContext>"), "preContext.title"),
        (start(f"<gw:preContext>{TITLE}{CONTENT}{MEDIA}</gw:preContext>"), "locale"),
        (start(f"{LOCALE}<gw:preContext>{TITLE}{CONTENT}<gw:zzz/></gw:preContext>"), "preContext"),
        (start(LOCALE, "<gw:externalRef>c</gw:externalRef>"), "requestId"),
        (start(LOCALE + LOCALE), "preContext"),
        (
            '<StartConsentSignature xmlns="urn:mobileid-gateway:v1" xmlns:q="urn:mobileid-gateway:v1">'
            "<requestId>r</requestId><q:externalRef>é</q:externalRef><locale>en</locale>"
            "<preContext/></StartConsentSignature>",
            "externalRef",
        ),
        (
            "<gw:StartRegistration>"
            f"{START}<gw:attribute><gw:name>a</gw:name><gw:value>b</gw:value></gw:attribute>"
            "<gw:attribute><gw:name>a b</gw:name><gw:value>b</gw:value></gw:attribute>"
            "</gw:StartRegistration>",
            "attribute.name",
        ),
        ("<gw:VerifyEvidence><gw:document>QUJ*D</gw:document></gw:VerifyEvidence>", "document"),
    ],
)
def test_field_names_the_element_at_fault(soap: App, body: str, field: str | None) -> None:
    result = answer(soap, envelope(body))
    assert (result.code, result.field_path) == ("SCHEMA_INVALID", field)


def test_no_fault_repeats_the_request(soap: App) -> None:
    secret = "Zebra4711"
    for body in (
        f"<gw:GetTransaction><gw:transactionId>{secret}</gw:transactionId></gw:GetTransaction>",
        f"<gw:GetTransaction><gw:{secret}/></gw:GetTransaction>",
        f"<gw:{secret}/>",
        f'<gw:Heartbeat {secret}="1"/>',
        f"<{secret}:Heartbeat/>",
        f"<gw:VerifyEvidence><gw:document>{secret}*</gw:document></gw:VerifyEvidence>",
    ):
        for header in (None, security(token(username=secret)), security(token(password=secret))):
            assert secret.encode() not in answer(soap, envelope(body, header=header)).body


def test_header_block_that_is_not_understood_is_named_in_soap12(soap: App) -> None:
    namespace = "urn:example:routing"
    header = f'{security()}<x:Route xmlns:x="{namespace}" soap:mustUnderstand="1"/>'
    result = answer(soap, envelope("<gw:Heartbeat/>", version=SOAP12, header=header), version=SOAP12)
    (block,) = etree.fromstring(result.body).iter(SOAP12.tag("NotUnderstood"))
    prefix, _, local = str(block.get("qname")).partition(":")
    assert (block.nsmap[prefix], local) == (namespace, "Route")


def test_version_mismatch_names_both_envelopes_in_soap12(soap: App) -> None:
    data = envelope("<gw:Heartbeat/>").replace(SOAP11.namespace.encode(), b"urn:example:envelope")
    result = answer(soap, data, version=SOAP12)
    supported = [
        element.nsmap[str(element.get("qname")).partition(":")[0]]
        for element in etree.fromstring(result.body).iter(SOAP12.tag("SupportedEnvelope"))
    ]
    assert supported == [SOAP12.namespace, SOAP11.namespace]


# Credentials


def test_a_secret_of_one_caller_is_not_another_s(soap: App) -> None:
    other = replace(CREDENTIAL, id="other", secret_sha256=b"\0" * 32)
    app = make_app(CREDENTIAL, other)
    assert answer(app, envelope("<gw:Heartbeat/>")).status == 200
    result = answer(app, envelope("<gw:Heartbeat/>", header=security(token(username="other"))))
    assert result.code == "NOT_AUTHENTICATED"


def test_an_unknown_caller_is_compared_like_a_known_one(soap: App, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return True  # whatever the comparison says, nobody unknown comes in

    monkeypatch.setattr("gateway.soap.security.hmac.compare_digest", compare)
    unknown = answer(soap, envelope("<gw:Heartbeat/>", header=security(token(username="somebody"))))
    known = answer(soap, envelope("<gw:Heartbeat/>", header=security(token(password="wrong"))))
    assert (unknown.code, known.code) == ("NOT_AUTHENTICATED", None)
    assert compared == [(32, 32)] * 2


def test_a_credential_is_a_whole_digest() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        CallerCredential("a", "demo-bank", frozenset(), b"\0" * 20)


# Threads


def together(*work: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def guarded(task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(task,)) for task in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


def test_no_thread_gets_another_s_fault(soap: App) -> None:
    barrier = threading.Barrier(6)
    wait = f"<gw:transactionId>{ID}</gw:transactionId><gw:waitSeconds>99</gw:waitSeconds>"
    bodies = {
        "transactionId": "<gw:GetTransaction><gw:transactionId>x</gw:transactionId></gw:GetTransaction>",
        "waitSeconds": f"<gw:GetTransaction>{wait}</gw:GetTransaction>",
        "registrationId": "<gw:GetRegistration><gw:registrationId>y</gw:registrationId></gw:GetRegistration>",
        "externalRef": start(LOCALE, "<gw:requestId>r</gw:requestId><gw:externalRef>é</gw:externalRef>"),
        "document": "<gw:VerifyEvidence><gw:document>!</gw:document></gw:VerifyEvidence>",
        "requestId": start(LOCALE, "<gw:requestId>é</gw:requestId>"),
    }

    def task(field: str, body: str) -> Callable[[], None]:
        def work() -> None:
            data = envelope(body)
            barrier.wait(30)
            for _ in range(60):
                result = answer(soap, data)
                assert (result.code, result.field_path) == ("SCHEMA_INVALID", field)

        return work

    together(*(task(field, body) for field, body in bodies.items()))
