"""Makes the raw requests of this folder and their index: hostile, odd, or just wrong, one defect each.

A ``.http`` file is what goes over the wire: request line, header fields, an empty line, the body's bytes.
The index names for each the HTTP status and the code of the fault (null: no fault). ``python generate.py``
writes them; a test fails where they are not what it would write.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # where soap_support is

from soap_support import (  # noqa: E402
    ID,
    PASSWORD_TEXT,
    REQUESTS,
    SOAP11,
    SOAP12,
    TNS,
    WSSE,
    envelope,
    security,
    token,
)

TEXT_XML = "text/xml; charset=utf-8"
SOAP_XML = "application/soap+xml; charset=utf-8"
GOOD = envelope(REQUESTS["Heartbeat"])
GOOD12 = envelope(REQUESTS["Heartbeat"], version=SOAP12)
DECLARED = b'<?xml version="1.0" encoding="UTF-8"?>' + GOOD


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    status: int
    code: str | None
    body: bytes = GOOD
    headers: tuple[tuple[str, str], ...] = (("Content-Type", TEXT_XML),)
    method: str = "POST"
    target: str = "/soap/v1"

    def raw(self) -> bytes:
        fields = (("Host", "gateway.example"), *self.headers, ("Content-Length", str(len(self.body))))
        head = f"{self.method} {self.target} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in fields)
        return head.encode("latin-1") + b"\r\n" + self.body


def typed(value: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (("Content-Type", value), *more)


def soap11(body: str, header: str | None = None) -> bytes:
    return envelope(body, header=header)


def wrapped(
    before: str = "", header: str = "", inside: str = "", after: str = "", name: str = "Envelope"
) -> bytes:
    """An envelope made by hand around a good Body."""
    return (
        f'{before}<soap:{name} xmlns:soap="{SOAP11.namespace}" xmlns:gw="{TNS}" xmlns:wsse="{WSSE}">'
        f"{header or f'<soap:Header>{security()}</soap:Header>'}"
        f"{inside or '<soap:Body><gw:Heartbeat/></soap:Body>'}{after}</soap:{name}>"
    ).encode()


def transaction(inner: str, attributes: str = "") -> bytes:
    return soap11(f"<gw:GetTransaction{attributes}>{inner}</gw:GetTransaction>")


def block(attributes: str, name: str = "x:Route") -> str:
    return f'{security()}<{name} xmlns:x="urn:example:routing" {attributes}/>'


def expires(value: str, before: str = "") -> str:
    return f"<wsu:Timestamp>{before}<wsu:Expires>{value}</wsu:Expires></wsu:Timestamp>"


def bomb() -> bytes:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    return f'<!DOCTYPE x [<!ENTITY e0 "ha">{levels}]>'.encode() + GOOD.replace(b"<gw:Heartbeat/>", b"&e9;")


CREATED = "<wsu:Created>2026-01-01T00:00:00Z</wsu:Created>"
DSIG = "http://www.w3.org/2000/09/xmldsig#"
PROFILE_11 = "http://docs.oasis-open.org/wss/oasis-wss-username-token-profile-1.1#PasswordText"
MALFORMED = "MALFORMED_MESSAGE"
UNSUPPORTED = "UNSUPPORTED_MEDIA_TYPE"
UNDERSTOOD = "HEADER_NOT_UNDERSTOOD"
NOBODY = "NOT_AUTHENTICATED"
INVALID = "SCHEMA_INVALID"
GOOD_ID = f"<gw:transactionId>{ID}</gw:transactionId>"


def transport() -> list[Case]:
    return [
        Case("good-soap11", 200, None),
        Case("good-soap12", 200, None, GOOD12, typed(SOAP_XML)),
        Case("method-get-without-query", 404, None, b"", (), "GET"),
        Case("method-put", 405, "METHOD_NOT_ALLOWED", method="PUT"),
        Case("method-delete", 405, "METHOD_NOT_ALLOWED", method="DELETE"),
        Case("method-head", 405, "METHOD_NOT_ALLOWED", b"", (), "HEAD"),
        Case("method-trace", 405, "METHOD_NOT_ALLOWED", method="TRACE"),
        Case("content-type-absent", 415, UNSUPPORTED, headers=()),
        Case("content-type-json", 415, UNSUPPORTED, headers=typed("application/json")),
        Case("content-type-application-xml", 415, UNSUPPORTED, headers=typed("application/xml")),
        Case("content-type-garbage", 415, UNSUPPORTED, headers=typed("text/xml; charset")),
        Case("content-type-multipart", 415, UNSUPPORTED, headers=typed("multipart/related; boundary=x")),
        Case("content-type-two-charsets", 415, UNSUPPORTED, headers=typed(f"{TEXT_XML}; charset=utf-16")),
        Case("content-type-very-long", 415, UNSUPPORTED, headers=typed(f"text/xml;{' ' * 3000}x")),
        Case("content-type-in-capitals", 200, None, headers=typed('TEXT/XML ; Charset="UTF-8"')),
        Case("charset-absent", 200, None, headers=typed("text/xml")),
        Case("charset-latin1", 415, UNSUPPORTED, headers=typed("text/xml; charset=iso-8859-1")),
        Case("charset-utf7", 415, UNSUPPORTED, headers=typed("text/xml; charset=utf-7")),
        Case("charset-unknown", 415, UNSUPPORTED, headers=typed("text/xml; charset=zlib_codec")),
        Case("charset-utf16-of-utf8-bytes", 415, UNSUPPORTED, headers=typed("text/xml; charset=utf-16")),
        Case(
            "content-encoding-gzip", 415, UNSUPPORTED, headers=typed(TEXT_XML, ("Content-Encoding", "gzip"))
        ),
        Case("action-matches", 200, None, headers=typed(TEXT_XML, ("SOAPAction", f'"{TNS}:Heartbeat"'))),
        Case("action-unquoted", 200, None, headers=typed(TEXT_XML, ("SOAPAction", f"{TNS}:Heartbeat"))),
        Case("action-empty", 200, None, headers=typed(TEXT_XML, ("SOAPAction", '""'))),
        Case(
            "action-of-another-operation",
            500,
            "ACTION_MISMATCH",
            headers=typed(TEXT_XML, ("SOAPAction", f'"{TNS}:GetEvidence"')),
        ),
        Case(
            "action-of-another-operation-soap12",
            400,
            "ACTION_MISMATCH",
            GOOD12,
            typed(f'{SOAP_XML}; action="{TNS}:GetEvidence"'),
        ),
        Case("action-matches-soap12", 200, None, GOOD12, typed(f'{SOAP_XML}; action="{TNS}:Heartbeat"')),
        Case("path-below-the-endpoint", 405, "METHOD_NOT_ALLOWED", target="/soap/v1/more"),
    ]


def encodings() -> list[Case]:
    text = GOOD.decode()
    utf16 = '<?xml version="1.0" encoding="UTF-16"?>' + text
    return [
        Case("encoding-utf8-bom", 200, None, b"\xef\xbb\xbf" + DECLARED),
        Case("encoding-utf16-le-bom", 200, None, utf16.encode("utf-16"), typed("text/xml; charset=utf-16")),
        Case("encoding-utf16-be-bom", 200, None, b"\xfe\xff" + utf16.encode("utf-16be"), typed("text/xml")),
        Case("encoding-utf16-without-bom", 500, MALFORMED, utf16.encode("utf-16le"), typed("text/xml")),
        Case("encoding-utf16-bytes-called-utf8", 415, UNSUPPORTED, utf16.encode("utf-16")),
        Case(
            "encoding-utf16-other-order",
            415,
            UNSUPPORTED,
            utf16.encode("utf-16"),
            typed("text/xml; charset=utf-16be"),
        ),
        Case("encoding-utf16-odd-length", 500, MALFORMED, utf16.encode("utf-16")[:-1], typed("text/xml")),
        Case("encoding-utf32-bom", 500, MALFORMED, text.encode("utf-32"), typed("text/xml")),
        Case("encoding-declares-utf16", 415, UNSUPPORTED, utf16.encode()),
        Case("encoding-declares-latin1", 415, UNSUPPORTED, DECLARED.replace(b"UTF-8", b"ISO-8859-1")),
        Case("encoding-declares-ebcdic", 415, UNSUPPORTED, DECLARED.replace(b"UTF-8", b"IBM037")),
        Case("encoding-invalid-utf8", 500, MALFORMED, GOOD.replace(b"core-banking", b"core\xff\xfebanking")),
        Case("encoding-overlong-utf8", 500, MALFORMED, GOOD.replace(b"core-banking", b"core\xc0\xafbanking")),
        Case("encoding-utf8-surrogate", 500, MALFORMED, GOOD.replace(b"core", b"\xed\xa0\x80core")),
        Case("xml-version-11", 500, MALFORMED, DECLARED.replace(b'"1.0"', b'"1.1"')),
        Case("xml-declaration-in-single-quotes", 200, None, DECLARED.replace(b'"1.0"', b"'1.0'")),
        Case("xml-declaration-standalone", 200, None, DECLARED.replace(b'"?>', b'" standalone="yes" ?>')),
    ]


def parsing() -> list[Case]:
    deep = "<gw:x>" * 62 + "</gw:x>" * 62
    return [
        Case("body-empty", 500, MALFORMED, b""),
        Case("body-blank", 500, MALFORMED, b"  \n"),
        Case("body-nul", 500, MALFORMED, GOOD.replace(b"core", b"co\x00re")),
        Case("body-not-xml", 500, MALFORMED, b"requestId=1&x=2"),
        Case("body-truncated", 500, MALFORMED, GOOD[:-3]),
        Case("body-with-trailing-garbage", 500, MALFORMED, GOOD + b"<x/>"),
        Case("body-with-blank-before-declaration", 500, MALFORMED, b" " + DECLARED),
        Case("body-control-character-reference", 500, MALFORMED, soap11("<gw:Heartbeat>&#1;</gw:Heartbeat>")),
        Case("body-prefix-not-bound", 500, MALFORMED, soap11("<nope:Heartbeat/>")),
        Case("body-attribute-twice", 500, MALFORMED, soap11('<gw:Heartbeat a="1" a="2"/>')),
        Case("doctype-empty", 500, MALFORMED, b"<!DOCTYPE x>" + GOOD),
        Case("doctype-after-declaration", 500, MALFORMED, DECLARED.replace(b"?>", b"?><!DOCTYPE x>")),
        Case("doctype-entity-bomb", 500, MALFORMED, bomb()),
        Case(
            "doctype-external-file",
            500,
            MALFORMED,
            b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>'
            + GOOD.replace(b"<gw:Heartbeat/>", b"<gw:Heartbeat>&f;</gw:Heartbeat>"),
        ),
        Case(
            "doctype-external-dtd", 500, MALFORMED, b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">' + GOOD
        ),
        Case(
            "doctype-in-utf16",
            500,
            MALFORMED,
            ("<!DOCTYPE x>" + GOOD.decode()).encode("utf-16"),
            typed("text/xml"),
        ),
        Case(
            "doctype-word-in-cdata",
            500,
            INVALID,
            transaction("<gw:transactionId><![CDATA[<!DOCTYPE x>]]></gw:transactionId>"),
        ),
        Case("entity-undefined", 500, MALFORMED, soap11("<gw:Heartbeat>&nope;</gw:Heartbeat>")),
        Case("comment-before-envelope", 500, MALFORMED, b"<!-- x -->" + GOOD),
        Case("comment-after-envelope", 500, MALFORMED, GOOD + b"<!-- x -->"),
        Case("comment-in-body", 500, MALFORMED, soap11("<gw:Heartbeat><!-- x --></gw:Heartbeat>")),
        Case("comment-in-username", 500, MALFORMED, GOOD.replace(b"core-", b"core-<!---->")),
        Case("instruction-before-envelope", 500, MALFORMED, b'<?xml-stylesheet href="x"?>' + GOOD),
        Case("instruction-in-body", 500, MALFORMED, soap11("<gw:Heartbeat><?x y?></gw:Heartbeat>")),
        Case("instruction-after-envelope", 500, MALFORMED, GOOD + b"<?x y?>"),
        Case("cdata-in-value", 200, None, GOOD.replace(b"core-banking", b"<![CDATA[core-banking]]>")),
        Case("depth-64", 500, "UNKNOWN_OPERATION", soap11(deep)),
        Case("depth-65", 500, MALFORMED, soap11(f"<gw:x>{deep}</gw:x>")),
        Case("depth-5000", 500, MALFORMED, soap11("<a>" * 5000 + "</a>" * 5000)),
        Case("elements-10001", 500, MALFORMED, soap11(f"<gw:x>{'<a/>' * 10_001}</gw:x>")),
        Case(
            "attributes-257",
            500,
            MALFORMED,
            soap11("<gw:x " + " ".join(f'a{n}="1"' for n in range(257)) + "/>"),
        ),
        Case("attribute-of-64k", 500, MALFORMED, soap11(f'<gw:x a="{"1" * 65_537}"/>')),
        Case(
            "text-of-64k", 500, MALFORMED, transaction(f"<gw:transactionId>{'1' * 65_537}</gw:transactionId>")
        ),
        Case("text-of-64k-after-element", 500, MALFORMED, soap11(f"<gw:x><a/>{' ' * 65_537}</gw:x>")),
    ]


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
            400,
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
            400,
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


def schema() -> list[Case]:
    default = f'<GetTransaction xmlns="{TNS}"><transactionId>{ID}</transactionId></GetTransaction>'
    evidence = "<gw:VerifyEvidence><gw:document>{}</gw:document></gw:VerifyEvidence>"
    cases = {
        "child-missing": transaction(""),
        "child-unknown": transaction(f"{GOOD_ID}<gw:more>1</gw:more>"),
        "child-of-another-namespace": transaction(f'<transactionId xmlns="urn:x">{ID}</transactionId>'),
        "child-without-namespace": transaction(f"<transactionId>{ID}</transactionId>"),
        "child-twice": transaction(GOOD_ID + GOOD_ID),
        "children-in-wrong-order": transaction(f"<gw:waitSeconds>1</gw:waitSeconds>{GOOD_ID}"),
        "text-between-children": transaction(f"{GOOD_ID}text"),
        "attribute-unknown": transaction(GOOD_ID, ' x="1"'),
        "attribute-href": transaction('<gw:transactionId href="#a"/>'),
        "attribute-nil": transaction('<gw:transactionId xsi:nil="true"/>'),
        "attribute-nil-false": transaction(GOOD_ID.replace("Id>", 'Id xsi:nil="false">', 1)),
        "attribute-type-other": transaction(GOOD_ID.replace("Id>", 'Id xsi:type="gw:RequestId">', 1)),
        "uuid-wrong": transaction("<gw:transactionId>1 OR 1=1</gw:transactionId>"),
        "uuid-empty": transaction("<gw:transactionId/>"),
        "uuid-with-blanks": transaction(f"<gw:transactionId> {ID} </gw:transactionId>"),
        "uuid-in-braces": transaction(f"<gw:transactionId>{{{ID}}}</gw:transactionId>"),
        "integer-too-large": transaction(f"{GOOD_ID}<gw:waitSeconds>31</gw:waitSeconds>"),
        "integer-negative": transaction(f"{GOOD_ID}<gw:waitSeconds>-1</gw:waitSeconds>"),
        "integer-huge": transaction(f"{GOOD_ID}<gw:waitSeconds>{'9' * 5000}</gw:waitSeconds>"),
        "integer-of-many-zeros": transaction(f"{GOOD_ID}<gw:waitSeconds>{'0' * 5000}</gw:waitSeconds>"),
        "integer-fraction": transaction(f"{GOOD_ID}<gw:waitSeconds>1.0</gw:waitSeconds>"),
        "integer-arabic-digits": transaction(f"{GOOD_ID}<gw:waitSeconds>٣</gw:waitSeconds>"),
        "heartbeat-with-child": soap11("<gw:Heartbeat><gw:x/></gw:Heartbeat>"),
        "base64-stray-characters": soap11(evidence.format("PGV2*aWRlbmNlLz4=")),
        "base64-url-alphabet": soap11(evidence.format("-_-_")),
        "base64-no-padding": soap11(evidence.format("PGV2aWRlbmNlLz4")),
        "base64-padding-inside": soap11(evidence.format("PGU=PGU=")),
        "base64-loose-bits": soap11(evidence.format("PGV=")),
        "base64-beyond-ascii": soap11(evidence.format("PGV2aWRlbmNlLz4é")),
        "base64-empty": soap11(evidence.format("")),
    }
    return [Case(f"schema-{name}", 500, INVALID, body) for name, body in cases.items()] + [
        Case(
            "schema-attribute-type-same",
            200,
            None,
            transaction(GOOD_ID.replace("Id>", 'Id xsi:type="gw:Uuid">', 1)),
        ),
        Case(
            "schema-attribute-schema-location",
            200,
            None,
            transaction(GOOD_ID, f' xsi:schemaLocation="{TNS} http://127.0.0.1:9/x.xsd"'),
        ),
        Case(
            "schema-default-namespace",
            200,
            None,
            soap11(default),
        ),
        Case(
            "schema-own-prefix",
            200,
            None,
            transaction(GOOD_ID).replace(b"gw:", b"q:").replace(b"xmlns:gw", b"xmlns:q"),
        ),
        Case("schema-base64-with-blanks", 200, None, soap11(evidence.format(" PGV2\r\n\taWRl bmNlLz4=\n"))),
        Case("schema-base64-of-100k", 200, None, soap11(evidence.format("QUJD" * 25_000))),
    ]


def cases() -> list[Case]:
    made = [*transport(), *encodings(), *parsing(), *envelopes(), *credentials(), *schema()]
    assert len({case.name for case in made}) == len(made)
    return made


def index() -> str:
    rows = [{"name": c.name, "file": f"{c.name}.http", "status": c.status, "code": c.code} for c in cases()]
    return "[\n" + ",\n".join(f"  {json.dumps(row)}" for row in rows) + "\n]\n"


if __name__ == "__main__":
    for old in HERE.glob("*.http"):
        old.unlink()
    for case in cases():
        (HERE / f"{case.name}.http").write_bytes(case.raw())
    (HERE / "index.json").write_text(index())
