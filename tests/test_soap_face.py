"""The face before canned services: what comes in reaches them exactly, what they give or raise goes out."""

from __future__ import annotations

import base64
import logging
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from lxml import etree
from soap_support import (
    CALLER,
    CREDENTIAL,
    DOCUMENT,
    ID,
    NOW,
    REGISTRATION,
    REQUESTS,
    SECRET,
    SOAP12,
    TNS,
    TRANSACTION,
    App,
    Services,
    answer,
    envelope,
    judge,
    make_app,
    post,
)
from structlog.testing import capture_logs

from gateway.core.conclusion import Conclusion, Indication
from gateway.core.errors import GatewayError, InvalidValue, MisuseError, NotFound, leaves
from gateway.core.model import Caller, IdentityAttribute, RegistrationPurpose, RegistrationState
from gateway.core.statement import Payee, ShownText
from gateway.services import enrolment
from gateway.services.starts import Asked, AskedPayment
from gateway.soap.envelope import SoapVersion, serialise
from gateway.soap.faults import fault, fault_code, status_of

VERSIONS = pytest.mark.parametrize("version", list(SoapVersion), ids=lambda version: version.name)


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Services:
    services = Services()
    services.install(monkeypatch)
    return services


@pytest.fixture
def soap(services: Services) -> App:
    return make_app()


def texts(payload: etree._Element) -> list[tuple[str, str | None]]:
    """Path and text of every leaf, in order."""
    tree = payload.getroottree()
    below = len(tree.getpath(payload)) + 1
    return [(re.sub(r"gw:", "", tree.getpath(e)[below:]), e.text) for e in payload.iter("*") if len(e) == 0]


PAYMENT = AskedPayment("1250.00", "EUR", (Payee("Zoë & Sons", "DE89370400440532013000", "1250.00"),))
ASKED: dict[str, dict[str, Any]] = {
    "Heartbeat": {},
    "StartRegistration": {
        "request_id": "r-1",
        "external_ref": "customer-4711",
        "attributes": (
            IdentityAttribute("name", "Zoë Ångström-Şahin"),
            IdentityAttribute("national-id", "X 1"),
        ),
        "purpose": None,
    },
    "IssueRegistrationArtifact": {
        "request_id": "r-3",
        "external_ref": "customer-4711",
        "attributes": (),
        "purpose": "re-activation",
    },
    "GetRegistration": {"registration_id": UUID(ID)},
    "StartAuthentication": {
        "external_ref": "customer-4711",
        "asked": Asked("r-5", "en", acr="urn:mobileid-gateway:acr:sca"),
    },
    "StartAuthorisation": {
        "external_ref": "customer-4711",
        "asked": Asked(
            "r-6",
            "en",
            payment=PAYMENT,
            post_context=ShownText("Thank you", "It is on its way.", "text/plain"),
            profile="payment-pin",
        ),
    },
    "StartConsentSignature": {
        "external_ref": "customer-4711",
        "asked": Asked(
            "r-2",
            "en",
            texts=(ShownText("Mortgage", " I borrow €\n 348.500,00.\r", "text/plain"),),
            lifetime_seconds=120,
        ),
    },
    "StartTextSignature": {
        "external_ref": "customer-4711",
        "asked": Asked(
            "r-4",
            "de-CH",
            texts=(ShownText("First", "One.", "text/plain"), ShownText("Second", "Two.", "text/plain")),
        ),
    },
    "GetTransaction": {"transaction_id": UUID(ID), "wait_seconds": 7},
    "CancelTransaction": {"transaction_id": UUID(ID)},
    "RedeemAuthenticationCode": {
        "request_id": "r-7",
        "transaction_id": UUID(ID),
        "code": "a-_Z" * 10,
        "payment": PAYMENT,
    },
    "GetAuthorisationProof": {"transaction_id": UUID(ID)},
    "GetEvidence": {"transaction_id": UUID(ID)},
    "VerifyEvidence": {"document": b"<evidence/>"},
    "ListDevices": {"external_ref": "customer-4711"},
    "GetDevice": {"device_id": UUID(ID)},
    "RenameDevice": {"device_id": UUID(ID), "name": "Zoë's phone"},
    "LockDevice": {"device_id": UUID(ID), "method": "pin", "reason": "lost"},
    "UnlockDevice": {"device_id": UUID(ID), "method": None},
    "RevokeDevice": {"device_id": UUID(ID), "reason": "stolen"},
    "GetDeviceHistory": {"device_id": UUID(ID), "after": UUID(ID)},
    "StartPinReset": {"request_id": "r-3", "device_id": UUID(ID)},
    "GetPinReset": {"pin_reset_id": UUID(ID)},
}
REGISTRATION_TEXTS = [
    ("registration/registrationId", ID),
    ("registration/state", "PENDING"),
    ("registration/createdAt", "2026-03-02T09:30:00Z"),
    ("registration/expiresAt", "2026-03-02T10:30:00Z"),
    ("registration/activation/activationId", str(UUID(int=7))),
    ("registration/activation/activationCode", "004711"),
    ("registration/activation/qrPayload", "mobileid:1?a=b&c=<d>"),
    ("registration/purpose", "new-device"),
]
TRANSACTION_TEXTS = [
    ("transaction/transactionId", ID),
    ("transaction/kind", "consent-signature"),
    ("transaction/state", "COMPLETED"),
    ("transaction/createdAt", "2026-03-02T09:30:00Z"),
    ("transaction/expiresAt", "2026-03-02T09:35:00Z"),
    ("transaction/decidedAt", "2026-03-02T09:31:00Z"),
    ("transaction/decision", "approved"),
    ("transaction/deviceId", str(UUID(int=9))),
    ("transaction/acr", "urn:mobileid-gateway:acr:sca"),
    ("transaction/amr[1]", "swk"),
    ("transaction/amr[2]", "pin"),
    ("transaction/channel", "backend"),
]
DEVICE_TEXTS = [
    ("deviceId", ID),
    ("name", "Zoë's <phone>"),
    ("platform", "android-16"),
    ("state", "ACTIVE"),
    ("lockedMethod", "pin"),
    ("boundAt", "2026-03-02T09:30:00Z"),
    ("attestation", "software"),
    ("failedTries", "2"),
    ("lastUsedAt", "2026-03-02T09:30:00Z"),
]
ONE_DEVICE = [(f"device/{name}", text) for name, text in DEVICE_TEXTS]
PIN_RESET_TEXTS = [
    ("pinReset/pinResetId", ID),
    ("pinReset/deviceId", str(UUID(int=9))),
    ("pinReset/state", "PENDING"),
    ("pinReset/createdAt", "2026-03-02T09:30:00Z"),
    ("pinReset/expiresAt", "2026-03-02T10:30:00Z"),
    ("pinReset/resetCode", "004711"),
]
ANSWERED: dict[str, list[tuple[str, str]]] = {
    "Heartbeat": [("time", "2026-03-02T09:30:00Z"), ("version", "0.1.0"), ("database", "false")],
    "StartRegistration": REGISTRATION_TEXTS,
    "GetRegistration": REGISTRATION_TEXTS,
    "IssueRegistrationArtifact": [
        ("registration/registrationId", ID),
        ("registration/state", "ISSUED"),
        ("registration/createdAt", "2026-03-02T09:30:00Z"),
        ("registration/expiresAt", "2026-03-02T10:30:00Z"),
        ("registration/purpose", "new-device"),
        ("artifact", "A" * 43),
        ("deepLink", "mobileid://r?a&b"),
    ],
    "StartAuthentication": TRANSACTION_TEXTS,
    "StartAuthorisation": TRANSACTION_TEXTS,
    "StartConsentSignature": TRANSACTION_TEXTS,
    "StartTextSignature": TRANSACTION_TEXTS,
    "GetTransaction": TRANSACTION_TEXTS,
    "CancelTransaction": TRANSACTION_TEXTS,
    "RedeemAuthenticationCode": TRANSACTION_TEXTS,
    "GetAuthorisationProof": [("document", base64.b64encode(DOCUMENT).decode())],
    "GetEvidence": [
        ("evidenceId", str(UUID(int=5))),
        ("transactionId", ID),
        ("level", "B-B"),
        ("sealedAt", "2026-03-02T09:30:00Z"),
        ("document", base64.b64encode(DOCUMENT).decode()),
    ],
    "VerifyEvidence": [
        ("conclusion/indication", "INDETERMINATE"),
        ("conclusion/subIndication", "TRY_LATER"),
        ("conclusion/explanation", "There is no CRL."),
        ("conclusion/remedy", "Add one."),
        ("conclusion/check[1]/step", "0"),
        ("conclusion/check[1]/name", "bytes"),
        ("conclusion/check[1]/passed", "true"),
        ("conclusion/check[1]/says", "plain, bounded XML"),
        ("conclusion/check[2]/step", "1"),
        ("conclusion/check[2]/name", "seal role"),
        ("conclusion/check[2]/passed", "false"),
        ("conclusion/check[2]/says", None),  # type: ignore[list-item]
    ],
    "ListDevices": [(f"device[{n}]/{name}", text) for n in (1, 2) for name, text in DEVICE_TEXTS],
    "GetDevice": ONE_DEVICE,
    "RenameDevice": ONE_DEVICE,
    "LockDevice": ONE_DEVICE,
    "UnlockDevice": ONE_DEVICE,
    "RevokeDevice": ONE_DEVICE,
    "GetDeviceHistory": [
        ("entry[1]/at", "2026-03-02T09:30:00Z"),
        ("entry[1]/event", "BIND"),
        ("entry[1]/state", "ACTIVE"),
        ("entry[2]/at", "2026-03-02T09:30:00Z"),
        ("entry[2]/event", "LOCK"),
        ("entry[2]/state", "LOCKED"),
        ("entry[2]/reason", "lost"),
        ("next", str(UUID(int=4))),
    ],
    "StartPinReset": PIN_RESET_TEXTS,
    "GetPinReset": PIN_RESET_TEXTS,
}


@VERSIONS
@pytest.mark.parametrize("operation", list(REQUESTS))
def test_operation(soap: App, services: Services, operation: str, version: SoapVersion) -> None:
    payload = judge(post(soap, operation, version=version))
    caller = Caller(CALLER, "demo-bank", CREDENTIAL.rights)
    assert services.asked == [(operation, caller, {**ASKED[operation], "at": NOW})]
    assert payload.tag == f"{{{TNS}}}{operation}Response"
    assert texts(payload) == ANSWERED[operation]


def test_what_is_none_is_left_out(soap: App, services: Services) -> None:
    services.results["GetRegistration"] = replace(
        REGISTRATION, state=RegistrationState.ACTIVATED, activation=None, binding_id=UUID(int=3)
    )
    found = dict(texts(judge(post(soap, "GetRegistration"))))
    assert found["registration/deviceId"] == str(UUID(int=3))
    assert not any("activation" in path for path in found)
    recovery = enrolment.Activation(UUID(int=7), None, "mobileid:1?r")
    services.results["GetRegistration"] = replace(
        REGISTRATION, activation=recovery, purpose=RegistrationPurpose.RECOVERY
    )
    assert texts(judge(post(soap, "GetRegistration")))[4:] == [
        ("registration/purpose", "recovery"),
        ("registration/recovery/activationId", str(UUID(int=7))),
        ("registration/recovery/qrPayload", "mobileid:1?r"),
    ]
    services.results["GetTransaction"] = replace(
        TRANSACTION, binding_id=None, decided_at=None, decision=None, acr=None, amr=()
    )
    assert [path for path, _ in texts(judge(post(soap, "GetTransaction")))] == [
        f"transaction/{name}"
        for name in ("transactionId", "kind", "state", "createdAt", "expiresAt", "channel")
    ]
    services.results["VerifyEvidence"] = Conclusion(Indication.TOTAL_PASSED, None, "All hold.", "", (), None)
    assert texts(judge(post(soap, "VerifyEvidence"))) == [
        ("conclusion/indication", "TOTAL-PASSED"),
        ("conclusion/explanation", "All hold."),
    ]


def test_what_is_left_out_is_none(soap: App, services: Services) -> None:
    answer(
        soap, envelope(f"<gw:GetTransaction><gw:transactionId>{ID}</gw:transactionId></gw:GetTransaction>")
    )
    assert services.asked[-1][2]["wait_seconds"] == 0
    bare = "<gw:StartRegistration><gw:requestId>r</gw:requestId><gw:externalRef>c</gw:externalRef>"
    answer(soap, envelope(f"{bare}</gw:StartRegistration>"))
    assert services.asked[-1][2]["attributes"] == ()


@pytest.mark.parametrize("text", ["𝔘\U0001f600", "  a  ", "a\tb", "<b>&amp;</b>", "]]>", "e\u0301", "\u202e"])
def test_a_text_reaches_the_service_as_it_was_sent(soap: App, services: Services, text: str) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\t", "&#9;")
    body = REQUESTS["StartConsentSignature"].replace("Mortgage", escaped)
    assert answer(soap, envelope(body)).status == 200
    assert services.asked[-1][2]["asked"].texts[0].title == text


def test_an_answer_in_another_zone_is_given_in_utc(soap: App, services: Services) -> None:
    from datetime import timezone

    services.results["GetTransaction"] = replace(
        TRANSACTION, created_at=NOW.astimezone(timezone(timedelta(hours=-5)))
    )
    assert dict(texts(judge(post(soap, "GetTransaction"))))["transaction/createdAt"] == "2026-03-02T09:30:00Z"


def test_a_caller_is_told_what_it_may_not_do(services: Services) -> None:
    app = make_app(replace(CREDENTIAL, rights=frozenset({"Heartbeat"})))
    assert post(app, "Heartbeat").status == 200
    assert post(app, "GetTransaction").code == "NOT_PERMITTED"


# Faults


@VERSIONS
@pytest.mark.parametrize("leaf", list(leaves()), ids=lambda leaf: leaf.code)
def test_every_error_is_a_fault_of_the_contract(
    soap: App, services: Services, leaf: type[GatewayError], version: SoapVersion
) -> None:
    error = leaf("U+202E at offset 3.", field="content")
    services.fail(error)
    result = post(soap, "GetTransaction", version=version)
    (detail,) = judge(result).iter(f"{{{TNS}}}GatewayFault")
    values = {etree.QName(child).localname: child.text for child in detail}
    correlation = values.pop("correlationId") or ""
    assert re.fullmatch("[0-9a-f]{32}", correlation)
    assert values == {
        "code": leaf.code,
        "group": leaf.group,
        "message": f"{leaf.sentence} U+202E at offset 3.",
        "retryable": str(leaf.retryable).lower(),
        "field": "content",
    }
    assert result.status == status_of(error)


def test_fault_codes_and_statuses() -> None:
    def of(code: str) -> tuple[str, str, int]:
        (leaf,) = [leaf for leaf in leaves() if leaf.code == code]
        error = leaf()
        found = fault_code(error)
        return found.soap11, found.soap12, status_of(error)

    assert of("NOT_FOUND") == ("Client", "Sender", 500)
    assert of("TRANSACTION_EXPIRED") == ("Client", "Sender", 500)
    assert of("NOT_AUTHENTICATED") == ("Client", "Sender", 500)
    assert of("STORE_UNAVAILABLE") == ("Server", "Receiver", 500)
    assert of("INTERNAL") == ("Server", "Receiver", 500)
    assert of("VERSION_MISMATCH") == ("VersionMismatch", "VersionMismatch", 500)
    assert of("HEADER_NOT_UNDERSTOOD") == ("MustUnderstand", "MustUnderstand", 500)
    assert of("MESSAGE_TOO_LARGE") == ("Client", "Sender", 413)
    assert of("UNSUPPORTED_MEDIA_TYPE") == ("Client", "Sender", 415)
    assert of("METHOD_NOT_ALLOWED") == ("Client", "Sender", 405)


def test_a_fault_without_a_field_has_no_element_for_it() -> None:
    def written(error: GatewayError) -> bytes:
        return serialise(fault(error, version=SOAP12, correlation_id="0" * 32))

    assert b"field" not in written(NotFound())
    assert b"field>a<" in written(InvalidValue(field="a"))


@VERSIONS
@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("SELECT secret FROM subject; Zebra4711"),
        KeyError("Zebra4711"),
        MisuseError("Zebra4711"),
        RecursionError("Zebra4711"),
        MemoryError(),
        ValueError(b"\x00"),
    ],
    ids=lambda error: type(error).__name__ if isinstance(error, Exception) else "",
)
def test_anything_unknown_is_internal_and_nothing_else(
    soap: App, services: Services, error: Exception, version: SoapVersion
) -> None:
    services.fail(error)
    with capture_logs() as logs:
        result = post(soap, "GetTransaction", version=version)
    assert (result.status, result.code) == (500, "INTERNAL")
    assert b"Zebra4711" not in result.body
    internal, line = logs
    assert internal["event"] == "internal"
    assert internal["type"] == type(error).__name__
    assert internal["correlation_id"] == line["correlation_id"]
    assert line["correlation_id"].encode() in result.body


def test_a_service_that_gives_what_cannot_be_written_is_internal(soap: App, services: Services) -> None:
    services.results["GetTransaction"] = replace(TRANSACTION, acr="\x00")
    assert post(soap, "GetTransaction").code == "INTERNAL"


# The log


def test_one_line_a_call_and_nothing_of_its_content(
    soap: App, services: Services, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with capture_logs() as logs:
        post(soap, "StartRegistration")
        post(soap, "StartRegistration", header="")
        services.fail(NotFound())
        post(soap, "GetEvidence", version=SOAP12)
        services.fail(RuntimeError("Zebra"))
        post(soap, "GetEvidence")
    lines = [line for line in logs if line["event"] == "soap"]
    assert [(line["operation"], line["caller"], line["outcome"]) for line in lines] == [
        ("StartRegistration", CALLER, "OK"),
        ("none", "none", "NOT_AUTHENTICATED"),
        ("GetEvidence", CALLER, "NOT_FOUND"),
        ("GetEvidence", CALLER, "INTERNAL"),
    ]
    for line in lines:
        assert set(line) == {
            *("event", "log_level", "operation", "caller", "outcome", "correlation_id", "milliseconds"),
        }
    assert caplog.records == [], "spyne's loggers print whole bodies"
    written = f"{logs}{capfd.readouterr()}"
    for private in ("Zoë", "customer-4711", SECRET, "004711", ID):
        assert private not in written
