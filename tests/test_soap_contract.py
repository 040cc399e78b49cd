"""The contract: WSDL and schema as they are committed, served, read by a client, and mirrored in code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from lxml import etree
from signed import WSA, WSU
from soap_support import ADDRESS, MAX_BYTES, App, call, make_rates
from spyne import Boolean, ByteArray, DateTime, Integer32, Unicode, Uuid
from zeep import Client
from zeep.transports import Transport

from gateway.config import OPERATIONS
from gateway.core.conclusion import Indication, SubIndication
from gateway.core.errors import leaves
from gateway.core.model import (
    BindingState,
    Decision,
    DeviceEvent,
    FailedTry,
    Kind,
    LockReason,
    PinResetState,
    RegistrationPurpose,
    RegistrationState,
)
from gateway.core.transaction import State
from gateway.resources import resource, resource_path
from gateway.services.devices import METHODS
from gateway.soap import types
from gateway.soap.application import soap_app
from gateway.soap.contract import COMMITTED_ADDRESS, POLICIES, POLICY_REFERENCE, contract, with_policy
from gateway.soap.envelope import TNS
from gateway.soap.security import UsernameTokenAuthenticator
from gateway.soap.service import MobileIdGateway

XS = "{http://www.w3.org/2001/XMLSchema}"
WSDL = "{http://schemas.xmlsoap.org/wsdl/}"
WSP = "{http://www.w3.org/ns/ws-policy}"
SP = "{http://docs.oasis-open.org/ws-sx/ws-securitypolicy/200702}"
WSU_ID = f"{{{WSU}}}Id"
SOAP_NS = {
    "MobileIdGatewaySoap11": "http://schemas.xmlsoap.org/wsdl/soap/",
    "MobileIdGatewaySoap12": "http://schemas.xmlsoap.org/wsdl/soap12/",
}
SCHEMA = etree.fromstring(resource("schemas", "gateway-v1.xsd"))
DEFINITIONS = etree.fromstring(resource("wsdl", "mobileid-gateway.wsdl"))


def contract_app(address: str = ADDRESS) -> App:
    authenticator = UsernameTokenAuthenticator({})
    return soap_app(
        None,  # type: ignore[arg-type]
        authenticator=authenticator,
        rates=make_rates(),
        max_bytes=MAX_BYTES,
        address=address,
    )


APP = contract_app()


def names(tag: str, root: etree._Element = DEFINITIONS) -> list[str]:
    return [str(element.get("name")) for element in root.iterfind(tag)]


# The schema


def test_every_part_of_the_schema_is_documented() -> None:
    parts = [
        e for kind in ("element", "simpleType", "complexType", "enumeration") for e in SCHEMA.iter(XS + kind)
    ]
    bare = [
        part.get("name", part.get("value"))
        for part in parts
        if part.get("name", part.get("value")) is not None
        and not (part.findtext(f"{XS}annotation/{XS}documentation") or "").strip()
    ]
    assert len(parts) > 100
    assert bare == []


def test_schema_keeps_to_what_every_client_can_read() -> None:
    kinds = {etree.QName(element).localname for element in SCHEMA.iter("*")}
    assert kinds <= {
        *("schema", "annotation", "documentation", "element", "simpleType", "complexType", "sequence"),
        *("restriction", "pattern", "enumeration", "minLength", "maxLength", "minInclusive", "maxInclusive"),
    }
    assert SCHEMA.get("elementFormDefault") == "qualified"
    for element in SCHEMA.iter(f"{XS}element"):
        assert element.get("nillable") is None
        assert element.get("type") != "xs:anyType"
        assert not str(element.get("type")).startswith("gw:Known"), (
            "a list that grows would break old clients"
        )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("KnownFaultCode", [leaf.code for leaf in leaves()]),
        ("KnownFaultGroup", sorted({leaf.group for leaf in leaves()})),
        ("KnownTransactionState", list(State)),
        ("KnownTransactionKind", list(Kind)),
        ("KnownDecision", list(Decision)),
        ("KnownRegistrationState", list(RegistrationState)),
        ("KnownRegistrationPurpose", list(RegistrationPurpose)),
        ("KnownDeviceState", list(BindingState)),
        ("KnownDeviceMethod", sorted(METHODS)),
        ("KnownDeviceReason", list(LockReason)),
        ("KnownDeviceEvent", list(DeviceEvent)),
        ("KnownFailedTry", sorted(set(FailedTry) - {FailedTry.ACTIVATION})),
        ("KnownPinResetState", list(PinResetState)),
        ("KnownIndication", list(Indication)),
        ("KnownSubIndication", list(SubIndication)),
    ],
)
def test_known_words_are_those_of_the_code(name: str, words: list[str]) -> None:
    listed = [
        str(value.get("value"))
        for value in SCHEMA.iterfind(f"{XS}simpleType[@name='{name}']//{XS}enumeration")
    ]
    assert sorted(listed) == sorted(words)
    assert len(set(listed)) == len(listed)


def facet(type_name: str, value: str) -> bool:
    probe = (
        f'<xs:schema xmlns:xs="{XS[1:-1]}" xmlns:gw="{TNS}" targetNamespace="{TNS}">'
        f'<xs:include schemaLocation="{resource_path("schemas", "gateway-v1.xsd").as_uri()}"/>'
        f'<xs:element name="Probe" type="gw:{type_name}"/></xs:schema>'
    )
    document = etree.Element(f"{{{TNS}}}Probe")
    document.text = value
    return bool(etree.XMLSchema(etree.fromstring(probe)).validate(document))


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("2026-03-02T09:30:00Z", True),
        ("2026-03-02T09:30:00.123+01:00", True),
        ("2026-03-02T09:30:00", False),
        ("2026-03-02T24:00:00Z", False),
        ("2026-02-30T09:30:00Z", False),
        ("2026-03-02T09:60:00Z", False),
        ("-0001-03-02T09:30:00Z", False),
        ("12026-03-02T09:30:00Z", False),
        ("2026-03-02", False),
    ],
)
def test_times_have_a_zone(value: str, fits: bool) -> None:
    assert facet("DateTime", value) is fits


@pytest.mark.parametrize(
    ("type_name", "value", "fits"),
    [
        ("RequestId", "a" * 64, True),
        ("RequestId", "a" * 65, False),
        ("RequestId", "a b", False),
        ("RequestId", "a\n", False),
        ("ExternalRef", "~!" * 64, True),
        ("ExternalRef", "a b", False),
        ("ExternalRef", "é", False),
        ("Locale", "zh-Hant-TW", True),
        ("Locale", "EN", False),
        ("MediaType", "application/vnd.x+xml", True),
        ("MediaType", "text/plain; charset=utf-8", False),
        ("MediaType", "text/markdown; variant=mobileid-1", True),
        ("MediaType", "text/markdown;variant=mobileid-1", False),
        ("Word", "B-LTA", True),
        ("Word", "1", False),
        ("FieldPath", "preContext.title", True),
        ("FieldPath", "a..b", False),
        ("CorrelationId", "0" * 31, False),
    ],
)
def test_patterns(type_name: str, value: str, fits: bool) -> None:
    assert facet(type_name, value) is fits


# The models are the schema's mirror


def primitive(type_name: str) -> str:
    """Down to the built-in type; Uuid is a primitive of the models."""
    if type_name == "gw:Uuid" or type_name.startswith("xs:"):
        return type_name
    base = SCHEMA.find(f"{XS}simpleType[@name='{type_name[3:]}']/{XS}restriction")
    return primitive(str(base.get("base"))) if base is not None else type_name


MODEL_OF = {
    "gw:Uuid": Uuid,
    "xs:string": Unicode,
    "xs:int": Integer32,
    "xs:boolean": Boolean,
    "xs:dateTime": DateTime,
    "xs:base64Binary": ByteArray,
}


def complex_types() -> Iterator[tuple[str, etree._Element]]:
    for node in SCHEMA.iterfind(f"{XS}complexType"):
        yield str(node.get("name")), node
    for node in SCHEMA.iterfind(f"{XS}element[{XS}complexType]"):
        found = node.find(f"{XS}complexType")
        assert found is not None
        yield str(node.get("name")), found


@pytest.mark.parametrize(
    ("name", "node"),
    [(name, node) for name, node in complex_types() if name not in ("GatewayFault", "Heartbeat")],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_model_mirrors_the_schema(name: str, node: etree._Element) -> None:
    model: Any = getattr(types, name)
    assert (model.get_namespace(), model.get_type_name()) == (TNS, name)
    members = list(model.get_flat_type_info(model).items())
    elements = node.findall(f"{XS}sequence/{XS}element")
    assert [key for key, _ in members] == [element.get("name") for element in elements]
    for (_, member), element in zip(members, elements, strict=True):
        attributes = member.Attributes
        most = element.get("maxOccurs", "1")
        assert attributes.min_occurs == int(element.get("minOccurs", "1"))
        assert attributes.max_occurs == (float("inf") if most == "unbounded" else int(most))
        assert attributes.nillable is False
        kind = primitive(str(element.get("type")))
        expected = MODEL_OF[kind] if kind in MODEL_OF else getattr(types, kind[3:])
        assert (member.__orig__ or member) is expected or issubclass(member, expected)


def test_no_model_is_without_a_type_in_the_schema() -> None:
    models = {name for name, value in vars(types).items() if getattr(value, "__namespace__", None) == TNS}
    assert models == {name for name, _ in complex_types()} - {"GatewayFault", "Heartbeat"}


# The WSDL


def test_operations_are_the_same_everywhere() -> None:
    assert set(names(f"{WSDL}portType/{WSDL}operation")) == OPERATIONS
    assert set(contract().operations.values()) == OPERATIONS
    assert set(MobileIdGateway.public_methods) == OPERATIONS


def test_messages_are_document_literal_wrapped() -> None:
    elements = names(f"{XS}element", SCHEMA)
    wanted = {
        f"{op}{end}": f"gw:{op}{tail}"
        for op in OPERATIONS
        for end, tail in (("Request", ""), ("Response", "Response"))
    }
    for message in DEFINITIONS.iterfind(f"{WSDL}message"):
        (part,) = message
        name = str(message.get("name"))
        if name == "GatewayException":
            assert (part.get("name"), part.get("element")) == ("fault", "gw:GatewayFault")
            continue
        assert (part.get("name"), part.get("element")) == ("parameters", wanted.pop(name))
        assert str(part.get("element"))[3:] in elements
    assert wanted == {}


def test_each_operation_declares_the_fault_and_no_other() -> None:
    for operation in DEFINITIONS.iterfind(f"{WSDL}portType/{WSDL}operation"):
        name = operation.get("name")
        found = [(etree.QName(part).localname, part.get("message")) for part in operation]
        assert found == [
            ("documentation", None),
            ("input", f"gw:{name}Request"),
            ("output", f"gw:{name}Response"),
            ("fault", "gw:GatewayException"),
        ]


def test_both_bindings_bind_every_operation_alike() -> None:
    assert names(f"{WSDL}binding") == list(SOAP_NS)
    for binding in DEFINITIONS.iterfind(f"{WSDL}binding"):
        soap = f"{{{SOAP_NS[str(binding.get('name'))]}}}"
        head = binding.find(f"{soap}binding")
        assert head is not None
        assert (head.get("style"), head.get("transport")) == (
            "document",
            "http://schemas.xmlsoap.org/soap/http",
        )
        assert set(names(f"{WSDL}operation", binding)) == OPERATIONS
        for operation in binding.iterfind(f"{WSDL}operation"):
            action = operation.find(f"{soap}operation")
            assert action is not None
            assert action.get("soapAction") == f"{TNS}:{operation.get('name')}"
            uses = [element.get("use") for element in operation.iter(f"{soap}body", f"{soap}fault")]
            assert uses == ["literal"] * 3
            fault = operation.find(f"{WSDL}fault/{soap}fault")
            assert fault is not None
            assert fault.get("name") == "GatewayFault"


def test_nothing_references_what_is_not_there() -> None:
    defined = {kind: set(names(WSDL + kind)) for kind in ("message", "portType", "binding")}
    for element in DEFINITIONS.iter(f"{WSDL}input", f"{WSDL}output", f"{WSDL}fault"):
        if element.get("message"):
            assert str(element.get("message"))[3:] in defined["message"]
    for element in DEFINITIONS.iter(f"{WSDL}binding", f"{WSDL}port"):
        target = str(element.get("type") or element.get("binding"))[3:]
        assert target in defined["portType"] | defined["binding"]


# Served


def test_wsdl_is_served_byte_for_byte_but_for_the_two_addresses() -> None:
    committed = resource("wsdl", "mobileid-gateway.wsdl")
    assert committed.count(COMMITTED_ADDRESS.encode()) == 2
    for query in ("wsdl", "WSDL"):
        served = call(APP, b"", method="GET", query=query, headers={"Host": "evil.example"})
        assert (served.status, served.headers["Content-Type"]) == (200, "text/xml; charset=utf-8")
        assert served.body == committed.replace(COMMITTED_ADDRESS.encode(), ADDRESS.encode())


def test_an_address_is_written_as_an_attribute() -> None:
    address = 'https://a.example/soap/v1?x=1&y="2"'
    app = contract_app(address)
    root = etree.fromstring(call(app, b"", method="GET", query="wsdl").body)
    assert [port[0].get("location") for port in root.iter(f"{WSDL}port")] == [address] * 2


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_is_all_that_is_put_into_the_wsdl(name: str) -> None:
    plain, policy = (call(APP, b"", method="GET", query=q).body for q in ("wsdl", f"wsdl&policy={name}"))
    fragment = resource("wsdl", f"policy-{name}.xml")
    assert (policy.count(fragment), policy.count(POLICY_REFERENCE)) == (1, 2)
    assert policy.replace(fragment, b"").replace(POLICY_REFERENCE, b"") == plain


@pytest.mark.parametrize("name", POLICIES)
def test_every_binding_refers_to_the_policy(name: str) -> None:
    root = etree.fromstring(call(APP, b"", method="GET", query=f"wsdl&policy={name}").body)
    (policy,) = root.iterfind(f"{WSP}Policy")
    bindings = root.findall(f"{WSDL}binding")
    assert [binding.get("name") for binding in bindings] == list(SOAP_NS)
    for binding in bindings:
        (reference,) = binding.iter(f"{WSP}PolicyReference")
        assert binding[0] is reference, "extensions stand first"
        assert reference.get("URI") == f"#{policy.get(WSU_ID)}"
    assert len(list(root.iter(f"{WSP}PolicyReference"))) == len(bindings)


def test_no_policy_is_put_into_what_has_no_place_for_it() -> None:
    types, binding = b"  <wsdl:types>\n", b'<wsdl:binding name="a">\n'
    assert with_policy(types + binding, name="x509") != types + binding
    for wsdl in (types, types * 2 + binding, binding + types, b""):
        with pytest.raises(ValueError, match="no place"):
            with_policy(wsdl, name="x509")


def asked_for(name: str) -> dict[str, list[str]]:
    """What a policy asks for: what stands below each assertion of its one alternative."""
    root = etree.fromstring(resource("wsdl", f"policy-{name}.xml"))
    ((alternative,),) = root
    assert [child.tag for child in root.iter(f"{WSP}ExactlyOne", f"{WSP}All")] == [
        f"{WSP}ExactlyOne",
        f"{WSP}All",
    ]
    return {
        etree.QName(assertion).localname: [
            etree.QName(part).localname
            for part in assertion.iterdescendants("*")
            if part.tag != f"{WSP}Policy"
        ]
        for assertion in alternative
    }


def test_policy_of_signed_messages_is_what_the_gateway_takes_and_answers() -> None:
    asked = asked_for("x509")
    token = ["X509Token", "WssX509V3Token10"]
    assert asked == {
        "AsymmetricBinding": [
            *("InitiatorToken", *token, "RecipientToken", *token),
            *("AlgorithmSuite", "Basic256Sha256", "Layout", "Lax"),
            *("IncludeTimestamp", "OnlySignEntireHeadersAndBody"),
        ],
        "Wss11": ["RequireSignatureConfirmation"],
        "SignedParts": ["Body", "Header"],
    }
    root = etree.fromstring(resource("wsdl", "policy-x509.xml"))
    included = [str(token.get(f"{SP}IncludeToken")) for token in root.iter(f"{SP}X509Token")]
    assert included == [f"{SP[1:-1]}/IncludeToken/AlwaysTo{who}" for who in ("Recipient", "Initiator")]
    assert [header.get("Namespace") for header in root.iter(f"{SP}Header")] == [WSA]


def test_policy_of_tls_asks_for_the_certificate_and_nothing_in_the_message() -> None:
    assert asked_for("mtls") == {
        "TransportBinding": [
            *("TransportToken", "HttpsToken", "RequireClientCertificate"),
            *("AlgorithmSuite", "Basic256Sha256", "Layout", "Lax"),
        ]
    }


@pytest.mark.parametrize(
    ("path", "query"), [("/soap/v1", "xsd=gateway-v1.xsd"), ("/schemas/gateway-v1.xsd", "")]
)
def test_schema_is_served_byte_for_byte(path: str, query: str) -> None:
    served = call(APP, b"", method="GET", path=path, query=query)
    assert (served.status, served.body) == (200, resource("schemas", "gateway-v1.xsd"))


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/soap/v1", ""),
        ("/soap/v1", "xsd="),
        ("/soap/v1", "xsd=seal-policy-1.txt"),
        ("/soap/v1", "xsd=../conf/gateway.toml"),
        ("/soap/v1", "wsdl&policy=none"),
        ("/soap/v1", "wsdl&policy="),
        ("/soap/v1", "wsdl&policy=X509"),
        ("/soap/v1", "wsdl&policy=x509&policy=mtls"),
        ("/soap/v1", "policy=x509&wsdl"),
        ("/soap/v1", "policy=x509"),
        ("/soap/v1", "wsdl&policy=../wsdl/policy-x509"),
        ("/schemas/policy-x509.xml", ""),
        ("/soap/v1", "gateway-v1.xsd"),
        ("/soap/v2", "wsdl"),
        ("/schemas/", ""),
        ("/schemas/../wsdl/mobileid-gateway.wsdl", ""),
    ],
)
def test_nothing_else_is_served(path: str, query: str) -> None:
    found = call(APP, b"", method="GET", path=path, query=query)
    assert (found.status, found.headers["Content-Type"]) == (404, "application/problem+json")


def test_location_of_the_schema_leads_to_it_on_disk_and_from_the_endpoint() -> None:
    (imported,) = DEFINITIONS.iter(f"{XS}import")
    location = str(imported.get("schemaLocation"))
    on_disk = resource_path("wsdl", "mobileid-gateway.wsdl").parent / location
    assert on_disk.read_bytes() == resource("schemas", "gateway-v1.xsd")
    url = urlsplit(urljoin(f"{ADDRESS}?wsdl", location))
    assert call(APP, b"", method="GET", path=url.path, query=url.query).body == on_disk.read_bytes()


# A client


class InProcess(Transport):  # type: ignore[misc]
    """zeep's transport into the application."""

    def _load_remote_data(self, url: str) -> bytes:
        parts = urlsplit(url)
        loaded = call(APP, b"", method="GET", path=parts.path, query=parts.query)
        assert loaded.status == 200
        return loaded.body


SHOWN = {"title": "t", "content": "c", "mediaType": "text/plain"}
PAYMENT = {
    "total": "10.00",
    "currency": "EUR",
    "payee": [{"name": "A", "account": "DE89370400440532013000", "amount": "10.00"}],
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "Heartbeat": {},
    "StartRegistration": {
        "requestId": "r",
        "externalRef": "c",
        "attribute": [{"name": "name", "value": "Zoë"}, {"name": "b", "value": "2"}],
    },
    "GetRegistration": {"registrationId": "019ab8e7-0000-7000-8000-00000000002a"},
    "IssueRegistrationArtifact": {"requestId": "r", "externalRef": "c", "purpose": "recovery"},
    "StartAuthentication": {"requestId": "r", "externalRef": "c", "locale": "en"},
    "StartAuthorisation": {"requestId": "r", "externalRef": "c", "locale": "en", "payment": PAYMENT},
    "StartConsentSignature": {
        "requestId": "r",
        "externalRef": "c",
        "acr": "urn:mobileid-gateway:acr:sca",
        "locale": "en",
        "preContext": SHOWN,
        "postContext": SHOWN,
    },
    "StartTextSignature": {"requestId": "r", "externalRef": "c", "locale": "en", "text": [SHOWN, SHOWN]},
    "GetTransaction": {"transactionId": "019ab8e7-0000-7000-8000-00000000002a", "waitSeconds": 3},
    "CancelTransaction": {"transactionId": "019ab8e7-0000-7000-8000-00000000002a"},
    "RedeemAuthenticationCode": {
        "requestId": "r",
        "transactionId": "019ab8e7-0000-7000-8000-00000000002a",
        "authenticationCode": "a-_9",
        "payment": PAYMENT,
    },
    "GetAuthorisationProof": {"transactionId": "019ab8e7-0000-7000-8000-00000000002a"},
    "GetEvidence": {"transactionId": "019ab8e7-0000-7000-8000-00000000002a"},
    "VerifyEvidence": {"document": b"<evidence/>"},
    "ListDevices": {"externalRef": "c"},
    "GetDevice": {"deviceId": "019ab8e7-0000-7000-8000-00000000002a"},
    "RenameDevice": {"deviceId": "019ab8e7-0000-7000-8000-00000000002a", "name": "Zoë's phone"},
    "LockDevice": {
        "deviceId": "019ab8e7-0000-7000-8000-00000000002a",
        "method": "pin",
        "reason": "lost",
    },
    "UnlockDevice": {"deviceId": "019ab8e7-0000-7000-8000-00000000002a"},
    "RevokeDevice": {"deviceId": "019ab8e7-0000-7000-8000-00000000002a", "reason": "stolen"},
    "GetDeviceHistory": {"deviceId": "019ab8e7-0000-7000-8000-00000000002a"},
    "StartPinReset": {"requestId": "r", "deviceId": "019ab8e7-0000-7000-8000-00000000002a"},
    "GetPinReset": {"pinResetId": "019ab8e7-0000-7000-8000-00000000002a"},
}


@pytest.mark.parametrize("port", ["Soap11", "Soap12"])
@pytest.mark.parametrize("source", ["disk", "endpoint"])
def test_zeep_builds_every_operation(source: str, port: str) -> None:
    on_disk = str(resource_path("wsdl", "mobileid-gateway.wsdl"))
    client = Client(on_disk) if source == "disk" else Client(f"{ADDRESS}?wsdl", transport=InProcess())
    service = client.bind("MobileIdGateway", port)
    assert set(ARGUMENTS) == OPERATIONS
    schema = etree.XMLSchema(SCHEMA)
    for operation, arguments in ARGUMENTS.items():
        message = client.create_message(service, operation, **arguments)
        schema.assertValid(message[-1][0])
    expected = COMMITTED_ADDRESS if source == "disk" else ADDRESS
    assert service._binding_options["address"] == expected
