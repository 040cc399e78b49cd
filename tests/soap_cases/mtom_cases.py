"""MTOM packages, good ones and those that are wrong in one place."""

from __future__ import annotations

from soap_support import (
    ID,
    SOAP11,
    SOAP12,
    TNS,
    SoapVersion,
)

from soap_cases.pieces import (
    GOOD,
    GOOD_ID,
    INVALID,
    MALFORMED,
    NOBODY,
    TEXT_XML,
    TOO_LARGE,
    UNSUPPORTED,
    Case,
    soap11,
    transaction,
    typed,
    verifying,
)

BOUNDARY = "uuid:0a6dc51d-c725-4dc1-8d5b-3c5a6b1a4b1e+id=1"
CRLF = "\r\n"
OCTETS = b"<evidence/>\x00\xff\r\n--almost"
"""An attachment that no text could carry."""
INCLUDE = '<xop:Include xmlns:xop="http://www.w3.org/2004/08/xop/include" href="cid:{}"/>'


def part(
    data: bytes = OCTETS,
    *fields: tuple[str, str],
    id: str | None = "<document@bank.example>",
    type: str | None = "application/octet-stream",
    encoding: str | None = "binary",
) -> bytes:
    """One part of a package: its header fields, those of None left out, and its bytes."""
    named = (("Content-ID", id), ("Content-Type", type), ("Content-Transfer-Encoding", encoding), *fields)
    head = "".join(f"{name}: {value}{CRLF}" for name, value in named if value is not None)
    return head.encode("latin-1") + b"\r\n" + data


def including(href: str = "document@bank.example", *, version: SoapVersion = SOAP11) -> bytes:
    """A VerifyEvidence whose document is an attachment."""
    return verifying(INCLUDE.format(href), version=version)


def root_part(data: bytes | None = None, *, inner: str = "text/xml", type: str | None = None) -> bytes:
    default = f'application/xop+xml; charset=utf-8; type="{inner}"'
    return part(including() if data is None else data, id="<root@bank.example>", type=type or default)


def package(*parts: bytes, before: bytes = b"", end: bytes = b"--\r\n") -> bytes:
    delimiter = f"--{BOUNDARY}".encode()
    return before + b"\r\n".join(delimiter + b"\r\n" + one for one in parts) + b"\r\n" + delimiter + end


def related(
    inner: str = "text/xml", *more: tuple[str, str], **changes: str | None
) -> tuple[tuple[str, str], ...]:
    """The header fields of a package; ``changes`` are parameters, those of None left out."""
    parameters = {
        "boundary": BOUNDARY,
        "type": "application/xop+xml",
        "start": "<root@bank.example>",
        "start-info": inner,
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    written = (f'; {name}="{value}"' for name, value in parameters.items() if value is not None)
    return typed(f"multipart/related{''.join(written)}", *more)


def cases() -> list[Case]:
    root, document = root_part(), part()
    one = package(root, document)
    soap12 = "application/soap+xml"
    root12 = root_part(including(version=SOAP12), inner=soap12)
    action = f"{TNS}:VerifyEvidence"
    other = f"{TNS}:GetEvidence"
    quoted = f'{soap12}; action=\\"{{}}\\"'
    utf16 = b"\xff\xfe" + including().decode().encode("utf-16le")
    good = {
        "soap11": (one, related()),
        "soap12": (package(root12, document), related(soap12)),
        "root-alone": (package(root_part(GOOD)), related()),
        "root-alone-with-inline-document": (package(root_part(verifying("PGUvPg=="))), related()),
        "root-last-by-start": (package(document, root), related()),
        "root-first-without-start": (package(root, document), related(start=None)),
        "begins-with-line-end": (package(root, document, before=CRLF.encode()), related()),
        "ends-without-line-end": (package(root, document, end=b"--"), related()),
        "blanks-after-boundary": (one.replace(b"id=1\r\n", b"id=1 \t\r\n"), related()),
        "boundary-as-token": (one.replace(BOUNDARY.encode(), b"b"), related(boundary="b")),
        "type-in-capitals": (one, related(type="Application/XOP+xml", start_info="Text/XML")),
        "folded-fields": (one.replace(b"charset=utf-8; ", b"charset=utf-8;\r\n\t"), related()),
        "fields-in-lower-case": (
            one.replace(b"Content-", b"content-").replace(b"content-ID", b"content-id"),
            related(),
        ),
        "encoding-absent": (package(root, part(encoding=None)), related()),
        "encoding-8bit": (package(root, part(encoding="8BIT")), related()),
        "type-of-part-absent": (package(root, part(type=None)), related()),
        "id-escaped": (
            package(
                root_part(including("http%3A%2F%2Fbank.example%2f1")), part(id="<http://bank.example/1>")
            ),
            related(),
        ),
        "scheme-in-capitals": (
            package(root_part(including().replace(b"cid:", b"CID:")), document),
            related(),
        ),
        "utf16-root": (package(root_part(utf16).replace(b"charset=utf-8; ", b""), document), related()),
        "action-matches": (one, related("text/xml", ("SOAPAction", f'"{action}"'))),
        "action-matches-soap12": (package(root12, document), related(soap12, action=action)),
        "action-in-start-info-soap12": (package(root12, document), related(quoted.format(action))),
        "action-in-type-of-root-soap12": (
            package(root_part(including(version=SOAP12), inner=quoted.format(action)), document),
            related(soap12),
        ),
        "boundary-inside-a-line": (package(root, part(f"x--{BOUNDARY}".encode())), related()),
    }
    malformed = {
        "body-empty": (b"", related()),
        "parts-none": (f"--{BOUNDARY}--".encode(), related()),
        "boundary-absent": (one, related(boundary=None)),
        "boundary-empty": (one, related(boundary="")),
        "boundary-too-long": (one.replace(BOUNDARY.encode(), b"b" * 71), related(boundary="b" * 71)),
        "boundary-ends-in-blank": (one, related(boundary="b ")),
        "boundary-of-another-message": (one, related(boundary="other")),
        "boundary-never-closed": (package(root, document, end=b""), related()),
        "boundary-never-closed-after-line-end": (package(root, document, end=b"\r\n"), related()),
        "boundary-longer-than-announced": (package(root, part(f"\r\n--{BOUNDARY}x\r\n".encode())), related()),
        "text-before-first-part": (package(root, document, before=b"text\r\n"), related()),
        "text-after-last-part": (package(root, document, end=b"--\r\ntext"), related()),
        "part-after-last-part": (one + one, related()),
        "line-ends-lf": (one.replace(b"\r\n", b"\n"), related()),
        "parts-9": (package(root, *(part(id=f"<{n}@x>") for n in range(8))), related()),
        "part-without-fields": (package(root, b"\r\nx"), related()),
        "part-empty": (package(root, b""), related()),
        "part-of-fields-alone": (package(root, b"Content-ID: <document@bank.example>"), related()),
        "field-twice": (package(root, part(b"x", ("Content-ID", "<document@bank.example>"))), related()),
        "field-without-colon": (package(root, b"Content-ID\r\n" + document), related()),
        "field-with-nul": (package(root, part(b"x", ("X", "a\0b"))), related()),
        "field-beyond-ascii": (package(root, part(b"x", ("X", "é"))), related()),
        "field-after-bare-line-feed": (
            package(root, part(b"x", ("X", "a\nContent-Type: text/xml"))),
            related(),
        ),
        "fields-17": (package(root, part(b"x", *((f"X{n}", "1") for n in range(14)))), related()),
        "fields-of-4k": (package(root, part(b"x", ("X", "1" * 4096))), related()),
        "start-names-nothing": (one, related(start="<other@bank.example>")),
        "start-without-brackets": (one, related(start="root@bank.example")),
        "id-absent": (package(root, part(id=None)), related()),
        "id-without-brackets": (package(root, part(id="document@bank.example")), related()),
        "id-empty": (package(root, part(id="<>")), related()),
        "id-twice": (package(root, document, document), related()),
        "id-of-root-twice": (package(root, part(id="<root@bank.example>")), related(start=None)),
        "part-not-included": (package(root, document, part(id="<more@bank.example>")), related()),
        "part-included-nowhere": (package(root_part(GOOD), document), related()),
        "part-included-twice": (
            package(root_part(verifying(INCLUDE.format("document@bank.example") * 2)), document),
            related(),
        ),
        "part-included-twice-in-two-elements": (
            package(
                root_part(
                    including().replace(
                        b"</gw:VerifyEvidence>",
                        f"<gw:document>{INCLUDE.format('document@bank.example')}</gw:document>"
                        "</gw:VerifyEvidence>".encode(),
                    )
                ),
                document,
            ),
            related(),
        ),
        "include-of-nothing": (package(root), related()),
        "include-of-root": (package(root_part(including("root@bank.example")), document), related()),
        "include-of-another-part": (package(root_part(including("other@bank.example")), document), related()),
        "include-by-http": (
            package(root_part(including().replace(b"cid:", b"http://127.0.0.1:9/")), document),
            related(),
        ),
        "include-by-file": (
            package(root_part(including().replace(b"cid:document@bank.example", b"file:///etc/passwd"))),
            related(),
        ),
        "include-with-loose-percent": (
            package(root_part(including("document%@bank.example")), document),
            related(),
        ),
        "include-escaped-twice": (
            package(root_part(including("document%2540bank.example")), document),
            related(),
        ),
        "include-escaped-beyond-ascii": (package(root_part(including("document%FF")), document), related()),
        "include-in-capitals": (package(root_part(including("DOCUMENT@bank.example")), document), related()),
        "include-without-href": (
            package(root_part(including().replace(b'href="cid:document@bank.example"', b"")), document),
            related(),
        ),
        "include-with-more-attributes": (
            package(root_part(including().replace(b"href=", b'x="1" href=')), document),
            related(),
        ),
        "include-with-text": (
            package(root_part(including().replace(b'example"/>', b'example">x</xop:Include>')), document),
            related(),
        ),
        "include-with-child": (
            package(root_part(including().replace(b'example"/>', b'example"><x/></xop:Include>')), document),
            related(),
        ),
        "include-beside-text": (
            package(root_part(verifying("QUJD" + INCLUDE.format("document@bank.example"))), document),
            related(),
        ),
        "include-before-blank": (
            package(root_part(verifying(INCLUDE.format("document@bank.example") + " ")), document),
            related(),
        ),
        "include-beside-element": (
            package(root_part(verifying(INCLUDE.format("document@bank.example") + "<x/>")), document),
            related(),
        ),
        "include-in-text-element": (
            package(
                root_part(transaction(GOOD_ID.replace(ID, INCLUDE.format("document@bank.example")))),
                part(ID.encode()),
            ),
            related(),
        ),
        "include-in-password": (
            package(
                root_part(GOOD.replace(b"core-banking", INCLUDE.format("document@bank.example").encode())),
                part(b"core-banking"),
            ),
            related(),
        ),
        "include-as-operation": (
            package(root_part(soap11(INCLUDE.format("document@bank.example"))), document),
            related(),
        ),
        "doctype-in-root": (package(root_part(b"<!DOCTYPE x>" + including()), document), related()),
        "root-not-xml": (package(root_part(b"x"), document), related()),
    }
    unsupported = {
        "type-absent": (one, related(type=None)),
        "type-text-xml": (one, related(type="text/xml")),
        "start-info-absent": (one, related(start_info=None)),
        "start-info-html": (one, related("text/html")),
        "start-info-garbage": (one, related("text")),
        "start-info-multipart": (one, related("multipart/related")),
        "root-of-plain-type": (package(root_part(type="text/xml"), document), related()),
        "root-without-type": (
            package(part(including(), id="<root@bank.example>", type=None), document),
            related(),
        ),
        "root-without-inner-type": (package(root_part(type="application/xop+xml"), document), related()),
        "root-of-other-version": (package(root_part(inner=soap12), document), related()),
        "root-charset-latin1": (
            package(root_part(type='application/xop+xml; charset=iso-8859-1; type="text/xml"'), document),
            related(),
        ),
        "charset-of-package": (one, related(charset="utf-7")),
        "encoding-base64": (package(root, part(b"PGUvPg==", encoding="base64")), related()),
        "encoding-quoted-printable": (package(root, part(b"x", encoding="quoted-printable")), related()),
        "encoding-unknown": (package(root, part(b"x", encoding="x-gzip")), related()),
        "encoding-of-root-base64": (
            package(part(b"x", id="<root@bank.example>", encoding="base64"), document),
            related(),
        ),
        "nested-multipart": (
            package(root, part(b"--nested--", type="multipart/mixed; boundary=nested")),
            related(),
        ),
        "nested-message": (package(root, part(b"x", type="message/rfc822")), related()),
        "content-encoding-gzip": (one, related("text/xml", ("Content-Encoding", "gzip"))),
        "form-data": (one, typed(f'multipart/form-data; boundary="{BOUNDARY}"')),
    }
    mismatch = {
        "action-of-another-operation": (one, related("text/xml", ("SOAPAction", f'"{other}"'))),
        "action-of-another-operation-soap12": (package(root12, document), related(soap12, action=other)),
        "action-in-start-info-of-another-operation-soap12": (
            package(root12, document),
            related(quoted.format(other)),
        ),
        "action-in-type-of-root-of-another-operation-soap12": (
            package(root_part(including(version=SOAP12), inner=quoted.format(other)), document),
            related(soap12),
        ),
    }
    invalid = {
        "attachment-empty": (package(root, part(b"")), related()),
        "include-without-package": (including(), typed(TEXT_XML)),
        "include-in-nested-element": (
            package(
                root_part(
                    soap11(
                        f"<gw:Heartbeat><gw:document>{INCLUDE.format('document@bank.example')}</gw:document></gw:Heartbeat>"
                    )
                ),
                document,
            ),
            related(),
        ),
    }
    return [
        *(Case(f"mtom-{name}", 200, None, *case) for name, case in good.items()),
        *(Case(f"mtom-{name}", 500, MALFORMED, *case) for name, case in malformed.items()),
        *(Case(f"mtom-{name}", 415, UNSUPPORTED, *case) for name, case in unsupported.items()),
        *(Case(f"mtom-{name}", 500, "ACTION_MISMATCH", *case) for name, case in mismatch.items()),
        *(Case(f"mtom-{name}", 500, INVALID, *case) for name, case in invalid.items()),
        Case("mtom-unpacked-too-large", 413, TOO_LARGE, package(root, part(b"\0" * 200_000)), related()),
        Case("mtom-malformed-soap12", 500, MALFORMED, package(root12), related(soap12)),
        Case(
            "mtom-envelope-of-other-version",
            500,
            "VERSION_MISMATCH",
            package(root_part(including(version=SOAP12)), document),
            related(),
        ),
        Case("mtom-auth-absent", 500, NOBODY, package(root_part(soap11("<gw:Heartbeat/>", ""))), related()),
    ]
