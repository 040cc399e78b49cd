"""What is wrong with the envelope and who sends it."""

from __future__ import annotations

from soap_support import (
    PASSWORD_TEXT,
    SOAP11,
    SOAP12,
    envelope,
    security,
    token,
)

from soap_cases.pieces import (
    GOOD,
    GOOD12,
    MALFORMED,
    NOBODY,
    SOAP_XML,
    TEXT_XML,
    UNDERSTOOD,
    Case,
    block,
    soap11,
    typed,
    wrapped,
)

CREATED = "<wsu:Created>2026-01-01T00:00:00Z</wsu:Created>"
DSIG = "http://www.w3.org/2000/09/xmldsig#"
PROFILE_11 = "http://docs.oasis-open.org/wss/oasis-wss-username-token-profile-1.1#PasswordText"


def expires(value: str, before: str = "") -> str:
    return f"<wsu:Timestamp>{before}<wsu:Expires>{value}</wsu:Expires></wsu:Timestamp>"


def envelopes() -> list[Case]:
    body = "<soap:Body><gw:Heartbeat/></soap:Body>"
    header = f"<soap:Header>{security()}</soap:Header>"
    wrong = GOOD.replace(SOAP11.namespace.encode(), b"http://www.w3.org/2001/06/soap-envelope")
    return [
        Case("envelope-is-another-element", 500, MALFORMED, wrapped(name="Letter")),
        Case("envelope-of-unknown-version", 500, "VERSION_MISMATCH", wrong),
        Case("envelope-of-unknown-version-soap12", 500, "VERSION_MISMATCH", wrong, typed(SOAP_XML)),
        Case("envelope-soap12-as-text-xml", 500, "VERSION_MISMATCH", GOOD12),
        Case("envelope-soap11-as-soap-xml", 500, "VERSION_MISMATCH", GOOD, typed(SOAP_XML)),
        Case(
            "envelope-without-namespace", 500, "VERSION_MISMATCH", b"<Envelope><Body><x/></Body></Envelope>"
        ),
        Case("envelope-without-body", 500, MALFORMED, wrapped(inside=" ")),
        Case("envelope-empty", 500, MALFORMED, wrapped(header=" ", inside=" ")),
        Case("envelope-with-two-bodies", 500, MALFORMED, wrapped(after=body)),
        Case("envelope-with-two-headers", 500, MALFORMED, wrapped(header=header * 2)),
        Case("envelope-with-header-after-body", 500, MALFORMED, wrapped(header=body, inside=header)),
        Case("envelope-with-element-after-body", 500, MALFORMED, wrapped(after="<gw:Heartbeat/>")),
        Case("envelope-with-text", 500, MALFORMED, wrapped(after="text")),
        Case("body-without-child", 500, MALFORMED, soap11("")),
        Case("body-with-two-children", 500, MALFORMED, soap11("<gw:Heartbeat/><gw:Heartbeat/>")),
        Case("body-with-text", 500, MALFORMED, soap11("x<gw:Heartbeat/>")),
        Case("body-with-fault", 500, "UNKNOWN_OPERATION", soap11("<soap:Fault/>")),
        Case("body-with-response", 500, "UNKNOWN_OPERATION", soap11("<gw:HeartbeatResponse/>")),
        Case("body-with-detail", 500, "UNKNOWN_OPERATION", soap11("<gw:GatewayFault/>")),
        Case("operation-unknown", 500, "UNKNOWN_OPERATION", soap11("<gw:DropEverything/>")),
        Case(
            "operation-unknown-soap12",
            500,
            "UNKNOWN_OPERATION",
            envelope("<gw:X/>", version=SOAP12),
            typed(SOAP_XML),
        ),
        Case("operation-without-namespace", 500, "UNKNOWN_OPERATION", soap11("<Heartbeat/>")),
        Case(
            "operation-of-another-namespace",
            500,
            "UNKNOWN_OPERATION",
            soap11('<Heartbeat xmlns="urn:mobileid-gateway:v2"/>'),
        ),
        Case("header-unknown", 200, None, soap11("<gw:Heartbeat/>", block(""))),
        Case(
            "header-must-understand-0", 200, None, soap11("<gw:Heartbeat/>", block('soap:mustUnderstand="0"'))
        ),
        Case(
            "header-must-understand-1",
            500,
            UNDERSTOOD,
            soap11("<gw:Heartbeat/>", block('soap:mustUnderstand="1"')),
        ),
        Case(
            "header-must-understand-2",
            500,
            MALFORMED,
            soap11("<gw:Heartbeat/>", block('soap:mustUnderstand="2"')),
        ),
        Case(
            "header-must-understand-true-soap12",
            500,
            UNDERSTOOD,
            envelope("<gw:Heartbeat/>", version=SOAP12, header=block('soap:mustUnderstand="true"')),
            typed(SOAP_XML),
        ),
        Case(
            "header-must-understand-of-envelope-namespace-soap12",
            500,
            UNDERSTOOD,
            envelope(
                "<gw:Heartbeat/>", version=SOAP12, header=block('soap:mustUnderstand="1"', "soap:Route")
            ),
            typed(SOAP_XML),
        ),
        Case(
            "header-must-understand-of-xml-namespace-soap12",
            500,
            UNDERSTOOD,
            envelope("<gw:Heartbeat/>", version=SOAP12, header=block('soap:mustUnderstand="1"', "xml:Route")),
            typed(SOAP_XML),
        ),
        Case(
            "header-must-understand-for-somebody-else",
            200,
            None,
            soap11("<gw:Heartbeat/>", block('soap:mustUnderstand="1" soap:actor="urn:example:archive"')),
        ),
        Case(
            "header-must-understand-for-next",
            500,
            UNDERSTOOD,
            soap11(
                "<gw:Heartbeat/>",
                block('soap:mustUnderstand="1" soap:actor="http://schemas.xmlsoap.org/soap/actor/next"'),
            ),
        ),
        Case("header-without-namespace", 500, MALFORMED, soap11("<gw:Heartbeat/>", f"{security()}<route/>")),
        Case("header-with-text", 500, MALFORMED, soap11("<gw:Heartbeat/>", f"{security()}text")),
    ]


def blocks() -> list[Case]:
    def block12(attributes: str) -> bytes:
        return envelope("<gw:Heartbeat/>", version=SOAP12, header=block(attributes))

    role = f'soap:mustUnderstand="1" soap:role="{SOAP12.namespace}/role/{{}}"'
    soap12 = {
        "must-understand-for-next": (role.format("next"), 500, UNDERSTOOD),
        "must-understand-for-ultimate-receiver": (role.format("ultimateReceiver"), 500, UNDERSTOOD),
        "must-understand-for-none": (role.format("none"), 200, None),
        "must-understand-false": ('soap:mustUnderstand="false"', 200, None),
        "must-understand-in-capitals": ('soap:mustUnderstand="TRUE"', 500, MALFORMED),
        "must-understand-empty": ('soap:mustUnderstand=""', 500, MALFORMED),
        "must-understand-of-soap11": (f'mu:mustUnderstand="1" xmlns:mu="{SOAP11.namespace}"', 200, None),
    }
    soap11s = {
        "must-understand-true": ('soap:mustUnderstand="true"', 500, MALFORMED),
        "must-understand-without-namespace": ('mustUnderstand="1"', 200, None),
        "must-understand-for-nobody-named": ('soap:mustUnderstand="1" soap:actor=""', 500, UNDERSTOOD),
    }
    unread = '<x:A xmlns:x="urn:x"/><x:B xmlns:x="urn:x" soap:mustUnderstand="1"/>'
    inside = '<x:A xmlns:x="urn:x"><x:B soap:mustUnderstand="1"/></x:A>'
    style = f'soap:encodingStyle="{SOAP11.namespace.replace("envelope", "encoding")}"'
    return [
        *(
            Case(f"header-{name}-soap12", status, code, block12(text), typed(SOAP_XML))
            for name, (text, status, code) in soap12.items()
        ),
        *(
            Case(f"header-{name}", status, code, soap11("<gw:Heartbeat/>", block(text)))
            for name, (text, status, code) in soap11s.items()
        ),
        Case(
            "header-second-must-understand", 500, UNDERSTOOD, soap11("<gw:Heartbeat/>", security() + unread)
        ),
        Case(
            "header-must-understand-inside-a-block", 200, None, soap11("<gw:Heartbeat/>", security() + inside)
        ),
        Case("header-must-understand-before-auth", 500, UNDERSTOOD, soap11("<gw:Heartbeat/>", unread)),
        Case("envelope-in-body", 500, "UNKNOWN_OPERATION", soap11("<soap:Envelope/>")),
        Case(
            "envelope-with-text-after-body",
            500,
            MALFORMED,
            GOOD.replace(b"</soap:Envelope>", b"x</soap:Envelope>"),
        ),
        Case(
            "envelope-with-section-of-text",
            500,
            MALFORMED,
            GOOD.replace(b"</soap:Envelope>", b"<![CDATA[x]]></soap:Envelope>"),
        ),
        Case("envelope-with-blanks", 200, None, GOOD.replace(b"><", b">\r\n\t <")),
        Case(
            "envelope-with-encoding-style",
            200,
            None,
            GOOD.replace(b"<soap:Envelope ", f"<soap:Envelope {style} ".encode()),
        ),
        Case("body-with-text-after-child", 500, MALFORMED, soap11("<gw:Heartbeat/>x")),
        Case(
            "body-of-another-version",
            500,
            MALFORMED,
            GOOD.replace(b"<soap:Body>", f'<soap:Body xmlns:soap="{SOAP12.namespace}">'.encode()),
        ),
        Case("body-before-header-without-body", 500, MALFORMED, wrapped(inside=" ")),
        Case("operation-of-header", 500, "UNKNOWN_OPERATION", soap11(security())),
        Case(
            "envelope-xml-without-soap", 500, MALFORMED, b"<gw:Heartbeat xmlns:gw='urn:mobileid-gateway:v1'/>"
        ),
    ]


def credentials() -> list[Case]:
    texts = {
        "absent": "",
        "secret-wrong": security(token(password="f" * 64)),
        "secret-empty": security(token(password="")),
        "secret-in-capitals": security(token(password=("0123456789ABCDEF" * 4))),
        "caller-unknown": security(token(username="somebody")),
        "caller-empty": security(token(username="")),
        "caller-with-blank": security(token(username=" core-banking")),
        "digest": security(token(kind=PASSWORD_TEXT.replace("Text", "Digest"))),
        "type-unknown": security(token(kind="PasswordText")),
        "security-twice": security() + security(),
        "security-empty": security(""),
        "security-with-body-of-text": security("core-banking"),
        "security-of-another-namespace": security(attributes="").replace("wsse:", "gw:"),
        "security-for-somebody-else": security(attributes='soap:actor="urn:example:archive"'),
        "token-twice": security(token() + token()),
        "username-twice": security(token(more="<wsse:Username>core-banking</wsse:Username>")),
        "password-twice": security(token(more=f"<wsse:Password>{'f' * 64}</wsse:Password>")),
        "password-absent": security(token().replace("wsse:Password", "wsse:Nonce")),
        "password-with-element": security(
            token(kind=None).replace("</wsse:Password>", "<gw:x/></wsse:Password>")
        ),
        "signature-that-nobody-verifies": security(f'{token()}<Signature xmlns="{DSIG}"/>'),
        "timestamp-expired": security(expires("2020-01-01T00:00:00Z") + token()),
        "timestamp-without-zone": security(expires("2999-01-01T00:00:00") + token()),
        "timestamp-garbage": security(expires("soon") + token()),
    }
    good = {
        "type-absent": security(token(kind=None)),
        "type-of-profile-11": security(token(kind=PROFILE_11)),
        "with-nonce-and-created": security(token(more=f"<wsse:Nonce>AA==</wsse:Nonce>{CREATED}")),
        "with-timestamp": security(expires("2999-01-01T00:00:00.5Z", CREATED) + token()),
    }
    return [
        *(Case(f"auth-{name}", 500, NOBODY, soap11("<gw:Heartbeat/>", text)) for name, text in texts.items()),
        *(Case(f"auth-{name}", 200, None, soap11("<gw:Heartbeat/>", text)) for name, text in good.items()),
        Case("auth-header-absent", 500, NOBODY, wrapped(header="<soap:Header/>")),
        Case(
            "auth-absent-soap12",
            500,
            NOBODY,
            envelope("<gw:Heartbeat/>", version=SOAP12, header=""),
            typed(SOAP_XML),
        ),
        Case("auth-before-operation", 500, NOBODY, soap11("<gw:DropEverything/>", "")),
        Case("auth-before-schema", 500, NOBODY, soap11("<gw:GetTransaction/>", "")),
        Case(
            "auth-before-action",
            500,
            NOBODY,
            soap11("<gw:Heartbeat/>", ""),
            typed(TEXT_XML, ("SOAPAction", '"x"')),
        ),
    ]


def times() -> list[Case]:
    wrong = {
        "hour-24": "2999-01-01T24:00:00Z",
        "without-seconds": "2999-01-01T00:00Z",
        "in-basic-format": "29990101T000000Z",
        "of-week": "2999-W01-1T00:00:00Z",
        "with-blank": "2999-01-01 00:00:00Z",
        "with-comma": "2999-01-01T00:00:00,5Z",
        "of-day-30-in-february": "2999-02-30T00:00:00Z",
        "with-zone-of-25-hours": "2999-01-01T00:00:00+25:00",
        "in-arabic-digits": "٢٩٩٩-01-01T00:00:00Z",
        "date": "2999-01-01",
    }
    return [
        *(
            Case(
                f"auth-timestamp-{name}",
                500,
                NOBODY,
                soap11("<gw:Heartbeat/>", security(expires(value) + token())),
            )
            for name, value in wrong.items()
        ),
        Case(
            "auth-timestamp-in-another-zone",
            200,
            None,
            soap11("<gw:Heartbeat/>", security(expires("2999-01-01T00:00:00-05:00") + token())),
        ),
        Case(
            "auth-caller-href",
            500,
            NOBODY,
            soap11(
                "<gw:Heartbeat/>",
                security(token().replace("<wsse:Username>core-banking", '<wsse:Username href="#a">')),
            ),
        ),
        Case(
            "auth-caller-in-sections",
            200,
            None,
            GOOD.replace(b"core-banking", b"<![CDATA[core-]]>bank&#105;ng"),
        ),
    ]


def cases() -> list[Case]:
    return [*envelopes(), *blocks(), *credentials(), *times()]
