"""What tests of the SOAP face share: requests, canned services, and judgement of every answer.

``answer`` sends raw bytes through a WSGI application and judges whatever comes back: the envelope, and the
payload or fault against the committed schema. A test that calls the face in any other way gives its answer
to ``judge``.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID
from wsgiref.validate import validator
from xml.sax.saxutils import escape, quoteattr

import pytest
from lxml import etree

from gateway.config import OPERATIONS
from gateway.core.conclusion import Check, Conclusion, Indication, SubIndication
from gateway.core.errors import GatewayError
from gateway.core.model import (
    Attestation,
    BindingState,
    Caller,
    Decision,
    DeviceBinding,
    DeviceKeys,
    Factor,
    HistoryEntry,
    Kind,
    PinResetState,
    RegistrationState,
)
from gateway.core.rate import Rate
from gateway.core.transaction import State, Transaction
from gateway.ports import StoredEvidence
from gateway.rates import Cells, Rates
from gateway.resources import resource
from gateway.services import authorisation, context, devices, enrolment, evidence, starts, transactions
from gateway.soap.application import soap_app
from gateway.soap.envelope import TNS, SoapVersion
from gateway.soap.security import (
    PASSWORD_TEXT,
    SECURITY,
    CallerCredential,
    UsernameTokenAuthenticator,
)

SOAP11, SOAP12 = SoapVersion.SOAP11, SoapVersion.SOAP12
WSSE = SECURITY[1:].partition("}")[0]
WSU = WSSE.replace("secext", "utility")
XSI = "http://www.w3.org/2001/XMLSchema-instance"
ADDRESS = "https://bank.example/soap/v1"
MAX_BYTES = 262_144
CALLER = "core-banking"
SECRET = "0123456789abcdef" * 4
ID = "019ab8e7-0000-7000-8000-00000000002a"
CREDENTIAL = CallerCredential(
    CALLER, "demo-bank", frozenset(OPERATIONS), hashlib.sha256(SECRET.encode()).digest()
)
FAST = Rate(100_000, 1_000_000)
"""No test asks so often."""
NOW = datetime(2026, 3, 2, 9, 30, 0, 987654, tzinfo=UTC)
PAYMENT = (
    "<gw:payment><gw:total>1250.00</gw:total><gw:currency>EUR</gw:currency><gw:payee>"
    "<gw:name>Zoë &amp; Sons</gw:name>"
    "<gw:account>DE89370400440532013000</gw:account><gw:amount>1250.00</gw:amount></gw:payee></gw:payment>"
)
REQUESTS = {
    "Heartbeat": "<gw:Heartbeat/>",
    "StartRegistration": (
        "<gw:StartRegistration><gw:requestId>r-1</gw:requestId><gw:externalRef>customer-4711</gw:externalRef>"
        "<gw:attribute><gw:name>name</gw:name><gw:value>Zoë Ångström-Şahin</gw:value></gw:attribute>"
        "<gw:attribute><gw:name>national-id</gw:name><gw:value>X 1</gw:value></gw:attribute>"
        "</gw:StartRegistration>"
    ),
    "GetRegistration": (
        f"<gw:GetRegistration><gw:registrationId>{ID}</gw:registrationId></gw:GetRegistration>"
    ),
    "IssueRegistrationArtifact": (
        "<gw:IssueRegistrationArtifact><gw:requestId>r-3</gw:requestId>"
        "<gw:externalRef>customer-4711</gw:externalRef><gw:purpose>re-activation</gw:purpose>"
        "</gw:IssueRegistrationArtifact>"
    ),
    "StartAuthentication": (
        "<gw:StartAuthentication><gw:requestId>r-5</gw:requestId><gw:externalRef>customer-4711</gw:externalRef>"
        "<gw:acr>urn:mobileid-gateway:acr:sca</gw:acr><gw:locale>en</gw:locale></gw:StartAuthentication>"
    ),
    "StartAuthorisation": (
        "<gw:StartAuthorisation><gw:requestId>r-6</gw:requestId><gw:externalRef>customer-4711</gw:externalRef>"
        f"<gw:profile>payment-pin</gw:profile><gw:locale>en</gw:locale>{PAYMENT}<gw:postContext>"
        "<gw:title>Thank you</gw:title><gw:content>It is on its way.</gw:content>"
        "<gw:mediaType>text/plain</gw:mediaType></gw:postContext></gw:StartAuthorisation>"
    ),
    "StartConsentSignature": (
        "<gw:StartConsentSignature><gw:requestId>r-2</gw:requestId>"
        "<gw:externalRef>customer-4711</gw:externalRef><gw:locale>en</gw:locale>"
        "<gw:preContext><gw:title>Mortgage</gw:title><gw:content> I borrow €\n 348.500,00.&#13;</gw:content>"
        "<gw:mediaType>text/plain</gw:mediaType></gw:preContext>"
        "<gw:lifetimeSeconds>120</gw:lifetimeSeconds></gw:StartConsentSignature>"
    ),
    "StartTextSignature": (
        "<gw:StartTextSignature><gw:requestId>r-4</gw:requestId><gw:externalRef>customer-4711</gw:externalRef>"
        "<gw:locale>de-CH</gw:locale><gw:text><gw:title>First</gw:title><gw:content>One.</gw:content>"
        "<gw:mediaType>text/plain</gw:mediaType></gw:text><gw:text><gw:title>Second</gw:title>"
        "<gw:content>Two.</gw:content><gw:mediaType>text/plain</gw:mediaType></gw:text>"
        "</gw:StartTextSignature>"
    ),
    "GetTransaction": (
        f"<gw:GetTransaction><gw:transactionId>{ID.upper()}</gw:transactionId>"
        "<gw:waitSeconds>7</gw:waitSeconds></gw:GetTransaction>"
    ),
    "CancelTransaction": (
        f"<gw:CancelTransaction><gw:transactionId>{ID}</gw:transactionId></gw:CancelTransaction>"
    ),
    "RedeemAuthenticationCode": (
        f"<gw:RedeemAuthenticationCode><gw:requestId>r-7</gw:requestId><gw:transactionId>{ID}</gw:transactionId>"
        f"<gw:authenticationCode>{'a-_Z' * 10}</gw:authenticationCode>{PAYMENT}</gw:RedeemAuthenticationCode>"
    ),
    "GetAuthorisationProof": (
        f"<gw:GetAuthorisationProof><gw:transactionId>{ID}</gw:transactionId></gw:GetAuthorisationProof>"
    ),
    "GetEvidence": f"<gw:GetEvidence><gw:transactionId>{ID}</gw:transactionId></gw:GetEvidence>",
    "VerifyEvidence": (
        "<gw:VerifyEvidence><gw:document>\n  PGV2aWRlbmNlLz4=\n</gw:document></gw:VerifyEvidence>"
    ),
    "ListDevices": "<gw:ListDevices><gw:externalRef>customer-4711</gw:externalRef></gw:ListDevices>",
    "GetDevice": f"<gw:GetDevice><gw:deviceId>{ID}</gw:deviceId></gw:GetDevice>",
    "RenameDevice": (
        f"<gw:RenameDevice><gw:deviceId>{ID}</gw:deviceId><gw:name>Zoë's phone</gw:name></gw:RenameDevice>"
    ),
    "LockDevice": (
        f"<gw:LockDevice><gw:deviceId>{ID}</gw:deviceId><gw:method>pin</gw:method>"
        "<gw:reason>lost</gw:reason></gw:LockDevice>"
    ),
    "UnlockDevice": f"<gw:UnlockDevice><gw:deviceId>{ID}</gw:deviceId></gw:UnlockDevice>",
    "RevokeDevice": (
        f"<gw:RevokeDevice><gw:deviceId>{ID}</gw:deviceId><gw:reason>stolen</gw:reason></gw:RevokeDevice>"
    ),
    "GetDeviceHistory": (
        f"<gw:GetDeviceHistory><gw:deviceId>{ID}</gw:deviceId><gw:after>{ID}</gw:after></gw:GetDeviceHistory>"
    ),
    "StartPinReset": (
        "<gw:StartPinReset><gw:requestId>r-3</gw:requestId>"
        f"<gw:deviceId>{ID}</gw:deviceId></gw:StartPinReset>"
    ),
    "GetPinReset": f"<gw:GetPinReset><gw:pinResetId>{ID}</gw:pinResetId></gw:GetPinReset>",
}
"""One good request an operation; the prefix gw is bound by the envelope."""

DOCUMENT = bytes(range(256)) + "<evidence>é</evidence>".encode()
REGISTRATION = enrolment.RegistrationView(
    id=UUID(ID),
    state=RegistrationState.PENDING,
    created_at=NOW,
    expires_at=NOW + timedelta(hours=1),
    activation=enrolment.Activation(UUID(int=7), "004711", "mobileid:1?a=b&c=<d>"),
    binding_id=None,
)
TRANSACTION = Transaction(
    relying_party="demo-bank",
    id=UUID(ID),
    subject_id=UUID(int=1),
    kind=Kind.CONSENT_SIGNATURE,
    state=State.COMPLETED,
    profile_id="consent-pin",
    profile_document=b"",
    content=None,  # type: ignore[arg-type]  # what was shown is not in the answer
    created_at=NOW,
    expires_at=NOW + timedelta(minutes=5),
    binding_id=UUID(int=9),
    decided_at=NOW + timedelta(minutes=1),
    decision=Decision.APPROVED,
    acr="urn:mobileid-gateway:acr:sca",
    amr=("swk", "pin"),
)
CONCLUSION = Conclusion(
    indication=Indication.INDETERMINATE,
    sub_indication=SubIndication.TRY_LATER,
    explanation="There is no CRL.",
    remedy="Add one.",
    checks=(Check(0, "bytes", True, "plain, bounded XML"), Check(1, "seal role", False, "")),
    evidence=None,
)
DEVICE = devices.DeviceView(
    DeviceBinding(
        relying_party="demo-bank",
        id=UUID(ID),
        subject_id=UUID(int=1),
        name="Zoë's <phone>",
        platform="android-16",
        state=BindingState.ACTIVE,
        keys=DeviceKeys(b"", b"", b""),
        certificate=b"",
        attestation=Attestation("none", "software"),
        failures=2,
        bound_at=NOW,
        locked_methods=frozenset({Factor.PIN}),
    ),
    last_used_at=NOW,
)
PIN_RESET = devices.PinResetView(
    UUID(ID), UUID(int=9), PinResetState.PENDING, NOW, NOW + timedelta(hours=1), "004711"
)
SERVICES: dict[str, tuple[Any, str, Any]] = {
    "Heartbeat": (context, "heartbeat", context.Heartbeat(NOW, "0.1.0", False)),
    "StartRegistration": (enrolment, "start_registration", REGISTRATION),
    "GetRegistration": (enrolment, "get_registration", REGISTRATION),
    "IssueRegistrationArtifact": (
        enrolment,
        "issue_artifact",
        enrolment.IssuedArtifact(
            replace(REGISTRATION, state=RegistrationState.ISSUED, activation=None),
            "A" * 43,
            "mobileid://r?a&b",
        ),
    ),
    "StartAuthentication": (starts, "start_authentication", TRANSACTION),
    "StartAuthorisation": (starts, "start_authorisation", TRANSACTION),
    "StartConsentSignature": (starts, "start_consent_signature", TRANSACTION),
    "StartTextSignature": (starts, "start_text_signature", TRANSACTION),
    "GetTransaction": (transactions, "get_transaction", TRANSACTION),
    "CancelTransaction": (transactions, "cancel_transaction", TRANSACTION),
    "RedeemAuthenticationCode": (authorisation, "redeem_authentication_code", TRANSACTION),
    "GetAuthorisationProof": (authorisation, "get_authorisation_proof", DOCUMENT),
    "GetEvidence": (
        evidence,
        "get_evidence",
        StoredEvidence("demo-bank", UUID(int=5), UUID(ID), "B-B", DOCUMENT, NOW),
    ),
    "VerifyEvidence": (evidence, "verify_evidence", CONCLUSION),
    "ListDevices": (devices, "list_devices", (DEVICE, DEVICE)),
    "GetDevice": (devices, "get_device", DEVICE),
    "RenameDevice": (devices, "rename_device", DEVICE),
    "LockDevice": (devices, "lock_device", DEVICE),
    "UnlockDevice": (devices, "unlock_device", DEVICE),
    "RevokeDevice": (devices, "revoke_device", DEVICE),
    "GetDeviceHistory": (
        devices,
        "get_device_history",
        devices.HistoryPage(
            (
                HistoryEntry(UUID(int=3), "BIND", "ACTIVE", "", NOW),
                HistoryEntry(UUID(int=4), "LOCK", "LOCKED", "lost", NOW),
            ),
            next=UUID(int=4),
        ),
    ),
    "StartPinReset": (devices, "start_pin_reset", PIN_RESET),
    "GetPinReset": (devices, "get_pin_reset", PIN_RESET),
}
"""Of each operation: the module and name of its service, and what the canned one answers."""

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str | None:
        """The GatewayFault's code; None where it is no fault."""
        found = etree.fromstring(self.body).find(f".//{{{TNS}}}GatewayFault/{{{TNS}}}code")
        return None if found is None else found.text

    @property
    def field_path(self) -> str | None:
        found = etree.fromstring(self.body).find(f".//{{{TNS}}}GatewayFault/{{{TNS}}}field")
        return None if found is None else found.text

    @property
    def masked(self) -> tuple[int, dict[str, str], bytes]:
        """All of it but the correlation id: what must be equal where nothing may be told apart."""
        body = re.sub(rb"(correlationId>)[0-9a-f]{32}<", rb"\1<", self.body)
        return self.status, dict(self.headers), body


class Gw:
    """What the face itself asks of the gateway."""

    class clock:
        @staticmethod
        def now() -> datetime:
            return NOW


@dataclass
class Services:
    """Canned services in the place of the real ones, and what they were asked."""

    results: dict[str, Any] = field(default_factory=lambda: {name: row[2] for name, row in SERVICES.items()})
    """Raised where it is an exception."""
    asked: list[tuple[str, Caller, dict[str, Any]]] = field(default_factory=list)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for operation, (module, name, _) in SERVICES.items():
            monkeypatch.setattr(module, name, self._service(operation))

    def _service(self, operation: str) -> Callable[..., Any]:
        def service(gw: Any, caller: Caller, **arguments: Any) -> Any:
            caller.require(operation)
            self.asked.append((operation, caller, arguments))
            result = self.results[operation]
            if isinstance(result, Exception):
                raise result
            return result

        return service

    def fail(self, error: GatewayError | Exception) -> None:
        self.results = dict.fromkeys(SERVICES, error)


def make_rates(*, address: Rate = FAST, caller: Rate = FAST, **callers: Rate) -> Rates:
    """Of a process alone, with whole budgets and a clock that stands."""
    return Rates(Cells(clock=lambda: 10**12), address=address, caller=caller, callers=callers)


def make_app(*credentials: CallerCredential, rates: Rates | None = None) -> App:
    """The face, for the given callers."""
    known = {credential.id: credential for credential in credentials or (CREDENTIAL,)}
    return soap_app(
        Gw(),  # type: ignore[arg-type]
        authenticator=UsernameTokenAuthenticator(known),
        rates=rates or make_rates(),
        max_bytes=MAX_BYTES,
        address=ADDRESS,
    )


@cache
def gateway_schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.fromstring(resource("schemas", "gateway-v1.xsd")))


def token(
    username: str = CALLER, password: str = SECRET, kind: str | None = PASSWORD_TEXT, more: str = ""
) -> str:
    """A UsernameToken; ``more`` is what follows its Password."""
    attribute = "" if kind is None else f" Type={quoteattr(kind)}"
    return (
        f"<wsse:UsernameToken><wsse:Username>{escape(username)}</wsse:Username>"
        f"<wsse:Password{attribute}>{escape(password)}</wsse:Password>{more}</wsse:UsernameToken>"
    )


def security(content: str | None = None, attributes: str = 'soap:mustUnderstand="1"') -> str:
    return f"<wsse:Security {attributes}>{token() if content is None else content}</wsse:Security>"


def envelope(body: str, *, version: SoapVersion = SOAP11, header: str | None = None) -> bytes:
    """A request's bytes; ``header`` is what stands in Header, by default good credentials."""
    return (
        f'<soap:Envelope xmlns:soap="{version.namespace}" xmlns:gw="{TNS}" xmlns:wsse="{WSSE}" '
        f'xmlns:wsu="{WSU}" xmlns:xsi="{XSI}">'
        f"<soap:Header>{security() if header is None else header}</soap:Header>"
        f"<soap:Body>{body}</soap:Body></soap:Envelope>"
    ).encode()


def call(
    app: App,
    data: bytes,
    *,
    method: str = "POST",
    path: str = "/soap/v1",
    query: str = "",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request through a WSGI application; wsgiref's validator watches both sides."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(data)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(data),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in (headers or {}).items():
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started.append((status, fields))
        return lambda data: None

    result: Any = validator(app)(environ, start_response)
    try:
        body = b"".join(result)
    finally:
        result.close()
    assert len(started) == 1
    return Answer(int(started[0][0][:3]), dict(started[0][1]), body)


def answer(app: App, data: bytes, *, version: SoapVersion = SOAP11, **changes: Any) -> Answer:
    """A POST, judged."""
    headers = {"Content-Type": version.content_type, **changes.pop("headers", {})}
    result = call(app, data, headers=headers, **changes)
    judge(result)
    return result


def post(app: App, operation: str, *, version: SoapVersion = SOAP11, header: str | None = None) -> Answer:
    """The good request of an operation."""
    return answer(app, envelope(REQUESTS[operation], version=version, header=header), version=version)


def judge(result: Answer) -> etree._Element:
    """Fails unless it is one envelope with one payload or fault of the contract; gives the payload."""
    version = next(v for v in SoapVersion if v.content_type == result.headers["Content-Type"])
    root = etree.fromstring(result.body)
    assert root.tag == version.tag("Envelope")
    *header, body = root
    assert body.tag == version.tag("Body")
    assert [block.tag for block in header] in ([], [version.tag("Header")])
    (payload,) = body
    for element in root.iter():
        assert not {"href", "id", f"{{{XSI}}}nil", f"{{{XSI}}}type"} & set(element.attrib)
    if payload.tag == version.tag("Fault"):
        assert result.status in (400, 405, 413, 415, 500)
        _judge_fault(payload, version)
    else:
        assert (result.status, header) == (200, [])
        gateway_schema().assertValid(payload)
        declared = {uri for element in root.iter() for uri in element.nsmap.values()}
        assert declared == {version.namespace, TNS}
    return payload


def _judge_fault(fault: etree._Element, version: SoapVersion) -> None:
    tags = [etree.QName(child).localname for child in fault]
    if version is SOAP11:
        assert tags == ["faultcode", "faultstring", "detail"]
        assert all(etree.QName(child).namespace is None for child in fault)
        code = _qname(fault[0])
        assert code.localname in ("Client", "Server", "VersionMismatch", "MustUnderstand")
    else:
        assert tags == ["Code", "Reason", "Detail"]
        code = _qname(fault.find(version.tag("Code") + "/" + version.tag("Value")))
        assert code.localname in ("Sender", "Receiver", "VersionMismatch", "MustUnderstand")
        subcode = _qname(fault.find(f"{version.tag('Code')}/{version.tag('Subcode')}/{version.tag('Value')}"))
        assert subcode.namespace == TNS
        assert subcode.localname == fault.findtext(f".//{{{TNS}}}code")
    assert code.namespace == version.namespace
    (detail,) = fault[2]
    gateway_schema().assertValid(detail)


def _qname(element: etree._Element | None) -> etree.QName:
    assert element is not None
    prefix, _, local = (element.text or "").partition(":")
    return etree.QName(element.nsmap[prefix], local)
