"""What is wrong before any XML: method, fields, character set."""

from __future__ import annotations

from soap_support import (
    MAX_BYTES,
    TNS,
)

from soap_cases.pieces import (
    DECLARED,
    GOOD,
    GOOD12,
    MALFORMED,
    SOAP_XML,
    TEXT_XML,
    TOO_LARGE,
    UNSUPPORTED,
    Case,
    typed,
)


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
            500,
            "ACTION_MISMATCH",
            GOOD12,
            typed(f'{SOAP_XML}; action="{TNS}:GetEvidence"'),
        ),
        Case("action-matches-soap12", 200, None, GOOD12, typed(f'{SOAP_XML}; action="{TNS}:Heartbeat"')),
        Case("path-below-the-endpoint", 405, "METHOD_NOT_ALLOWED", target="/soap/v1/more"),
    ]


def fields() -> list[Case]:
    other = f"{TNS}:GetEvidence"
    types = {
        "empty": "",
        "list": "text/xml, text/xml",
        "twice": "text/xml text/xml",
        "html": "text/html",
        "parameter-without-value": "text/xml; charset=",
        "quote-open": 'text/xml; charset="utf-8',
        "quoted-twice": 'text/xml; charset="utf-8"x',
        "xop": 'application/xop+xml; type="text/xml"',
        "soap12-garbage": "application/soap+xml; charset",
        "soap12-longer": "application/soap+xmls",
    }
    charsets = {
        **{name.replace("_", "-"): name for name in ("punycode", "unicode_escape", "raw_unicode_escape")},
        **{name: name for name in ("idna", "rot13", "base64", "utf-8-sig", "utf-32", "ebcdic-cp-us", "mbcs")},
        "empty": '""',
        "quoted-blank": '"utf-8 "',
    }
    codings = {"deflate": "deflate", "br": "br", "two": "identity, gzip", "garbage": "x y"}
    return [
        Case("method-options", 405, "METHOD_NOT_ALLOWED", method="OPTIONS"),
        Case("method-patch", 405, "METHOD_NOT_ALLOWED", method="PATCH"),
        Case("method-in-lower-case", 405, "METHOD_NOT_ALLOWED", method="post"),
        Case("path-with-slash", 405, "METHOD_NOT_ALLOWED", target="/soap/v1/"),
        *(
            Case(f"content-type-{name}", 415, UNSUPPORTED, headers=typed(value))
            for name, value in types.items()
        ),
        Case(
            "content-type-with-more-parameters",
            200,
            None,
            headers=typed('text/xml; a=b; C="d;\\"e"; charset=UTF8;'),
        ),
        *(
            Case(
                f"charset-{name}",
                200 if value == '""' else 415,
                None if value == '""' else UNSUPPORTED,
                headers=typed(f"text/xml; charset={value}"),
            )
            for name, value in charsets.items()
        ),
        *(
            Case(
                f"content-encoding-{name}",
                415,
                UNSUPPORTED,
                headers=typed(TEXT_XML, ("Content-Encoding", value)),
            )
            for name, value in codings.items()
        ),
        Case(
            "content-encoding-identity", 200, None, headers=typed(TEXT_XML, ("Content-Encoding", "Identity"))
        ),
        *(
            Case(f"action-{name}", 500, "ACTION_MISMATCH", headers=typed(TEXT_XML, ("SOAPAction", value)))
            for name, value in {
                "in-other-case": f'"{TNS}:heartbeat"',
                "in-single-quotes": f"'{TNS}:Heartbeat'",
                "of-another-namespace": '"urn:mobileid-gateway:v2:Heartbeat"',
                "without-namespace": '"Heartbeat"',
                "twice": f'"{TNS}:Heartbeat", "{TNS}:Heartbeat"',
                "with-blank": f'"{TNS}:Heartbeat "',
            }.items()
        ),
        Case(
            "action-parameter-of-another-operation",
            500,
            "ACTION_MISMATCH",
            headers=typed(f'{TEXT_XML}; action="{other}"'),
        ),
        Case(
            "action-field-of-another-operation-soap12",
            500,
            "ACTION_MISMATCH",
            GOOD12,
            typed(f'{SOAP_XML}; action="{TNS}:Heartbeat"', ("SOAPAction", f'"{other}"')),
        ),
        Case("message-too-large", 413, TOO_LARGE, GOOD + b" " * (MAX_BYTES + 1 - len(GOOD))),
        Case(
            "message-too-large-soap12",
            413,
            TOO_LARGE,
            GOOD12 + b" " * (MAX_BYTES + 1 - len(GOOD12)),
            typed(SOAP_XML),
        ),
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


def declarations() -> list[Case]:
    declared = (
        "punycode",
        "UTF-7",
        "unicode_escape",
        "UCS-4",
        "UTF-32",
        "US-ASCII",
        "windows-1252",
        "x-user",
        "UTF-16LE",
    )
    utf16 = b"\xff\xfe" + DECLARED.decode().encode("utf-16le")
    utf7 = b'<?xml version="1.0" encoding="UTF-7"?>' + GOOD.replace(b"<", b"+ADw-")
    return [
        *(
            Case(
                f"encoding-declares-{name.lower().replace('_', '-')}-unlike-its-bytes",
                415,
                UNSUPPORTED,
                DECLARED.replace(b"UTF-8", name.encode()),
            )
            for name in declared
        ),
        Case("encoding-declares-utf8-in-lower-case", 200, None, DECLARED.replace(b"UTF-8", b"utf-8")),
        Case("encoding-declares-utf8-of-utf16-bytes", 415, UNSUPPORTED, utf16, typed("text/xml")),
        Case(
            "encoding-declares-nothing-in-utf16",
            200,
            None,
            b"\xff\xfe" + GOOD.decode().encode("utf-16le"),
            typed("text/xml"),
        ),
        Case(
            "encoding-utf8-bom-called-utf16",
            415,
            UNSUPPORTED,
            b"\xef\xbb\xbf" + GOOD,
            typed("text/xml; charset=utf-16"),
        ),
        Case("encoding-bom-twice", 500, MALFORMED, b"\xef\xbb\xbf" * 2 + GOOD),
        Case("encoding-utf7-bytes", 500, MALFORMED, utf7),
        Case(
            "encoding-ebcdic-bytes",
            500,
            MALFORMED,
            DECLARED.decode().replace("UTF-8", "IBM037").encode("cp037"),
        ),
        Case(
            "encoding-utf16-lone-surrogate",
            500,
            MALFORMED,
            b"\xff\xfe" + GOOD.decode().replace("core", "\ud800core").encode("utf-16le", "surrogatepass"),
            typed("text/xml"),
        ),
        Case("xml-version-missing", 500, MALFORMED, DECLARED.replace(b' version="1.0"', b"")),
        Case("xml-declaration-twice", 500, MALFORMED, DECLARED.replace(b"?>", b"?><?xml version='1.0'?>")),
        Case("xml-declaration-without-end", 500, MALFORMED, DECLARED.replace(b"?>", b">")),
    ]


def cases() -> list[Case]:
    return [*transport(), *fields(), *encodings(), *declarations()]
