"""What is wrong with the request's element: its schema, its base64, its references."""

from __future__ import annotations

from soap_support import (
    ID,
    SOAP11,
    SOAP12,
    TNS,
    envelope,
    security,
)

from soap_cases.pieces import (
    GOOD_ID,
    INVALID,
    SOAP_XML,
    TEXT_XML,
    Case,
    shown,
    soap11,
    transaction,
    typed,
    verifying,
)


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


def references() -> list[Case]:
    ref = '<x:Block xmlns:x="urn:x" id="a">{}</x:Block>'
    style = f'soap:encodingStyle="{SOAP11.namespace.replace("envelope", "encoding")}"'
    invalid = {
        "multiref-into-header": soap11(
            '<gw:GetTransaction><gw:transactionId href="#a"/></gw:GetTransaction>',
            security() + ref.format(ID),
        ),
        "multiref-of-operation": soap11('<gw:GetTransaction href="#a"/>', security() + ref.format(GOOD_ID)),
        "multiref-soap12": envelope(
            '<gw:GetTransaction><gw:transactionId enc:ref="a" xmlns:enc="http://www.w3.org/2003/05/soap-encoding"/>'
            "</gw:GetTransaction>",
            version=SOAP12,
            header=security() + ref.format(ID),
        ),
        "multiref-id": transaction(GOOD_ID.replace("Id>", 'Id id="a">', 1)),
        "multiref-id-of-operation": transaction(GOOD_ID, ' id="a"'),
        "multiref-xml-id": transaction(GOOD_ID.replace("Id>", 'Id xml:id="a">', 1)),
        "encoding-style-of-operation": transaction(GOOD_ID, f" {style}"),
        "must-understand-in-body": transaction(GOOD_ID, ' soap:mustUnderstand="1"'),
        "base64-of-hexadecimal": verifying("3c652f3e0"),
        "base64-in-sections-with-stray": verifying("<![CDATA[PGU!]]>vPg=="),
        "base64-of-four-padding": verifying("===="),
        "base64-with-padding-to-spare": verifying("//aA="),
        "base64-of-one-character": verifying("P"),
        "base64-with-no-break-space": verifying("PGUv\u00a0Pg=="),
        "base64-full-width": verifying("ＰＧＵｖＰｇ＝＝"),
        "base64-of-blanks": verifying(" \n "),
        "base64-with-element": verifying("PGUv<gw:x/>Pg=="),
        "shown-empty": shown(""),
        "shown-with-element": shown("a<b/>c"),
        "shown-xml-base": shown("a").replace(b"<gw:content>", b'<gw:content xml:base="file:///etc/">'),
    }
    return [
        *(
            Case(
                f"schema-{name}",
                500,
                INVALID,
                body,
                typed(SOAP_XML if "soap12" in name else TEXT_XML),
            )
            for name, body in invalid.items()
        ),
        Case("schema-base64-in-sections", 200, None, verifying("<![CDATA[PGU]]>vPg==")),
        Case("schema-base64-in-references", 200, None, verifying("&#80;GUvPg&#61;=")),
    ]


def cases() -> list[Case]:
    return [*schema(), *references()]
