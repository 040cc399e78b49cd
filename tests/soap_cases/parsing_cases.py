"""What is wrong with XML itself, and what is merely odd."""

from __future__ import annotations

from soap_support import (
    security,
)

from soap_cases.pieces import (
    DECLARED,
    GOOD,
    INVALID,
    MALFORMED,
    Case,
    attributes,
    shown,
    soap11,
    transaction,
    typed,
    verifying,
)


def bomb() -> bytes:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    return f'<!DOCTYPE x [<!ENTITY e0 "ha">{levels}]>'.encode() + GOOD.replace(b"<gw:Heartbeat/>", b"&e9;")


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
            soap11("<gw:x " + attributes(257) + "/>"),
        ),
        Case("attribute-of-64k", 500, MALFORMED, soap11(f'<gw:x a="{"1" * 65_537}"/>')),
        Case(
            "text-of-64k", 500, MALFORMED, transaction(f"<gw:transactionId>{'1' * 65_537}</gw:transactionId>")
        ),
        Case("text-of-64k-after-element", 500, MALFORMED, soap11(f"<gw:x><a/>{' ' * 65_537}</gw:x>")),
    ]


def limits() -> list[Case]:
    def entity(use: str) -> bytes:
        return b'<!DOCTYPE x [<!ENTITY e "x">]>' + soap11(f"<gw:Heartbeat{use}</gw:Heartbeat>")

    heartbeat = "<gw:Heartbeat{}/>"
    many = " ".join(f'xmlns:n{n}="urn:{n}"' for n in range(257))
    malformed = {
        "doctype-after-envelope": GOOD + b"<!DOCTYPE x>",
        "doctype-in-body": soap11("<gw:Heartbeat><!DOCTYPE x></gw:Heartbeat>"),
        "doctype-in-lower-case": b"<!doctype x>" + GOOD,
        "doctype-after-blanks": b"\n \n<!DOCTYPE x>" + GOOD,
        "doctype-entity-in-text": entity(">&e;"),
        "doctype-entity-in-attribute": entity(' a="&e;">'),
        "doctype-parameter-entity": b"<!DOCTYPE x [<!ENTITY % p \"<!ENTITY e 'x'>\"> %p;]>" + GOOD,
        "doctype-attribute-default": b"<!DOCTYPE x [<!ATTLIST x a CDATA 'y'>]>" + GOOD,
        "section-conditional": soap11("<gw:Heartbeat><![INCLUDE[x]]></gw:Heartbeat>"),
        "section-before-envelope": b"<![CDATA[x]]>" + GOOD,
        "section-without-end": soap11("<gw:Heartbeat><![CDATA[x</gw:Heartbeat>"),
        "comment-in-header": soap11("<gw:Heartbeat/>", f"{security()}<!-- x -->"),
        "comment-in-document": verifying("PGU<!-- x -->vPg=="),
        "comment-without-end": soap11("<gw:Heartbeat/><!-- "),
        "instruction-in-header": soap11("<gw:Heartbeat/>", f"{security()}<?x y?>"),
        "instruction-named-xml": soap11("<gw:Heartbeat><?xml version='1.0'?></gw:Heartbeat>"),
        "entity-in-attribute": soap11(heartbeat.format(' a="&nope;"')),
        "entity-without-end": soap11("<gw:Heartbeat>&amp</gw:Heartbeat>"),
        "character-reference-huge": soap11(f"<gw:Heartbeat>&#{'9' * 50_000};</gw:Heartbeat>"),
        "character-reference-surrogate": soap11("<gw:Heartbeat>&#xD800;</gw:Heartbeat>"),
        "character-reference-nul": soap11("<gw:Heartbeat>&#0;</gw:Heartbeat>"),
        "tag-without-end": GOOD + b"<",
        "tag-in-attribute": soap11(heartbeat.format(' a="<x/>"')),
        "tag-crossed": soap11("<gw:Heartbeat><a><b></a></b></gw:Heartbeat>"),
        "tag-of-64k": soap11(f"<gw:{'x' * 65_536}/>"),
        "tag-with-blanks-of-64k": soap11(f"<gw:Heartbeat{' ' * 65_536}/>"),
        "attribute-without-quotes": soap11(heartbeat.format(" a=1")),
        "attribute-without-value": soap11(heartbeat.format(" a")),
        "attributes-without-blank": soap11(heartbeat.format(' a="1"b="2"')),
        "attributes-20001": soap11(f"<gw:x {attributes(200)}/>" * 101),
        "namespaces-257": soap11(f"<gw:Heartbeat {many}/>"),
        "namespace-prefix-xmlns": soap11(heartbeat.format(' xmlns:xmlns="urn:x"')),
        "namespace-empty-prefixed": soap11(heartbeat.format(' xmlns:x=""')),
        "sections-10001": shown("<![CDATA[x]]>" * 10_001),
        "text-of-64k-in-header": soap11(
            "<gw:Heartbeat/>", f'{security()}<x xmlns="urn:x">{"1" * 65_537}</x>'
        ),
        "text-of-64k-in-references": transaction(
            f"<gw:transactionId>{'&#49;' * 40_000}{'1' * 25_537}</gw:transactionId>"
        ),
        "text-of-64k-in-sections": transaction(
            f"<gw:transactionId>{'<![CDATA[1111111]]>' * 9363}</gw:transactionId>"
        ),
    }
    good = {
        "attribute-with-end-of-tag": (soap11("<gw:Heartbeat/>", f'{security()}<x xmlns="urn:x" a=">"/>')),
        "attribute-with-equals": soap11("<gw:Heartbeat/>", f'{security()}<x xmlns="urn:x" a="{"=" * 300}"/>'),
        "attributes-256": soap11("<gw:Heartbeat/>", f'{security()}<x xmlns="urn:x" {attributes(255)}/>'),
        "tag-with-line-ends": GOOD.replace(b"<gw:Heartbeat/>", b"<gw:Heartbeat\r\n\t></gw:Heartbeat\n>"),
        "section-that-ends-late": GOOD.replace(b"core-banking", b"<![CDATA[core]]><![CDATA[-]]>banking"),
        "shown-with-sections": shown("<![CDATA[a < b && c ]]]]><![CDATA[> d]]>"),
        "shown-of-50000-three-bytes-each": shown("€" * 50_000),
        "shown-of-200000": shown("a" * 200_000),
        "shown-of-escapes": shown("&lt;" * 50_000),
    }
    unknown = {
        "elements-10000": soap11(f"<gw:x>{'<a/>' * 9_989}</gw:x>"),
        "text-of-64k-less-one": soap11(f"<gw:x>{'1' * 65_536}</gw:x>"),
        "name-of-40000": soap11(f"<gw:{'x' * 40_000}/>"),
    }
    return [
        *(Case(name, 500, MALFORMED, body) for name, body in malformed.items()),
        *(Case(name, 200, None, body) for name, body in good.items()),
        *(Case(name, 500, "UNKNOWN_OPERATION", body) for name, body in unknown.items()),
    ]


def cases() -> list[Case]:
    return [*parsing(), *limits()]
