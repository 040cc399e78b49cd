"""Requests that are made to cost: each as large as a message may be, and the code that it must end in.

They are made when they are sent, for they would fill a disk. One without a code is answered: a document
is judged, whatever the conclusion. The documents are sealed with the vectors' keys, so that nothing ends
before what is enormous in them is reached.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "vectors" / "evidence")]

import forge as f  # noqa: E402
from soap_support import SOAP12, envelope, security  # noqa: E402

from gateway.core import xades  # noqa: E402
from gateway.core.evidence import attach_seal, compose_unsealed  # noqa: E402
from gateway.core.model import IdentityAttribute  # noqa: E402
from gateway.core.statement import ShownText  # noqa: E402
from gateway.core.xmldsig import MAX_DOCUMENT_BYTES  # noqa: E402
from soap_cases import der  # noqa: E402
from soap_cases.mtom_cases import BOUNDARY, including, package, part, related, root_part  # noqa: E402
from soap_cases.pieces import (  # noqa: E402
    GOOD,
    SOAP_XML,
    TEXT_XML,
    attributes,
    shown,
    soap11,
    transaction,
    typed,
    verifying,
)

MAX_BYTES = 8 * 1024 * 1024
"""Of a message, as the sample configuration has it."""
ROOM = MAX_BYTES - 65_536
"""For what is enormous in a message."""
DOCUMENT = MAX_DOCUMENT_BYTES
MALFORMED, INVALID, TOO_LARGE = "MALFORMED_MESSAGE", "SCHEMA_INVALID", "MESSAGE_TOO_LARGE"
UNKNOWN, UNREADABLE, TOO_LONG = "UNKNOWN_OPERATION", "UNREADABLE_DOCUMENT", "TEXT_TOO_LONG"
Headers = tuple[tuple[str, str], ...]
XML = typed(TEXT_XML)


@dataclass(frozen=True, slots=True)
class Monster:
    name: str
    code: str | None
    body: Callable[[], bytes]
    headers: Headers = XML


def fill(piece: str, room: int = ROOM) -> str:
    return piece * (room // len(piece.encode()))


def counted(pattern: str, room: int = ROOM) -> str:
    """The pattern for every number, as long as there is room."""
    pieces, used, n = [], 0, 0
    while used < room:
        pieces.append(pattern.format(n))
        used += len(pieces[-1])
        n += 1
    return "".join(pieces)


def heartbeat(inside: str, attributes: str = "") -> bytes:
    return soap11(f"<gw:Heartbeat{attributes}>{inside}</gw:Heartbeat>")


def utf16(text: str) -> bytes:
    return text.encode("utf-16")


def nested_namespaces(depth: int, each: int, leaves: int) -> str:
    opened = "".join(
        "<a " + " ".join(f'xmlns:p{d}x{n}="urn:{d}:{n}"' for n in range(each)) + ">" for d in range(depth)
    )
    return f"{opened}{'<gw:x/>' * leaves}{'</a>' * depth}"


def bomb() -> str:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 9))
    return f'<!DOCTYPE x [<!ENTITY e0 "ha">{levels}]>'


def messages() -> Iterator[Monster]:
    """Whose XML is enormous itself."""
    half = ROOM // 2
    malformed: dict[str, Callable[[], bytes]] = {
        "depth": lambda: heartbeat("<a>" * 1_000_000 + "</a>" * 1_000_000),
        "depth-never-closed": lambda: heartbeat(fill("<a>")),
        "attributes-of-one-element": lambda: heartbeat("", counted(' a{}=""', ROOM)),
        "attributes-of-one-name": lambda: heartbeat("", fill(' a=""')),
        "attributes-of-many-elements": lambda: heartbeat(fill('<a b="" c="" d="" e="" f="" g="" h=""/>')),
        "elements": lambda: heartbeat(fill("<a/>")),
        "elements-of-many-names": lambda: heartbeat(counted("<a{}/>")),
        "elements-that-end": lambda: heartbeat(fill("</a>")),
        "elements-without-end": lambda: heartbeat(fill("<")),
        "elements-of-garbage": lambda: heartbeat(fill("<a b='")),
        "sections": lambda: heartbeat(fill("<![CDATA[]]>")),
        "section-of-brackets": lambda: heartbeat("<![CDATA[" + fill("]")),
        "section-that-never-ends": lambda: heartbeat(fill("<![CDATA[")),
        "entities": lambda: bomb().encode() + heartbeat("&e8;"),
        "entities-undefined": lambda: heartbeat(fill("&a;")),
        "ampersands": lambda: heartbeat(fill("&")),
        "comments": lambda: heartbeat(fill("<!---->")),
        "instructions": lambda: heartbeat(fill("<?a?>")),
        "name-of-element": lambda: soap11(f"<gw:{fill('x')}/>"),
        "name-of-attribute": lambda: heartbeat("", f' {fill("x")}="1"'),
        "name-of-prefix": lambda: soap11(f"<{fill('x')}:Heartbeat/>"),
        "names-of-64k": lambda: heartbeat(counted("<x{}" + "y" * 60_000 + "/>")),
        "namespaces-of-one-element": lambda: heartbeat("", counted(' xmlns:n{}="u"')),
        "namespace-long": lambda: heartbeat("", f' xmlns:n="{fill("u")}"'),
        "references-of-many-digits": lambda: heartbeat(f"&#{fill('9')};"),
        "references": lambda: heartbeat(fill("&#49;")),
        "references-of-many-zeros-each": lambda: heartbeat(fill(f"&#{'0' * 60}49;")),
        "attribute-value": lambda: heartbeat("", f' a="{fill("x")}"'),
        "attribute-of-references": lambda: heartbeat("", f' a="{fill("&#49;")}"'),
        "blanks-before-envelope": lambda: fill(" ").encode(),
        "blanks-in-tag": lambda: soap11(f"<gw:Heartbeat{fill(' ')}/>"),
        "blanks-in-text": lambda: heartbeat(fill(" ")),
        "blanks-between-elements": lambda: heartbeat(fill("<a/>" + " " * 60)),
        "text-in-header": lambda: soap11("<gw:Heartbeat/>", f'{security()}<x xmlns="urn:x">{fill("x")}</x>'),
        "utf8-that-breaks-off": lambda: heartbeat(fill("𝔘")) + b"\xf0",
        "one-wide-character": lambda: heartbeat(fill("x") + "𝔘"),
        "nul": lambda: bytes(ROOM),
        "random": lambda: bytes(range(256)) * (ROOM // 256),
    }
    unknown: dict[str, Callable[[], bytes]] = {
        "namespaces-nested": lambda: soap11(nested_namespaces(50, 255, 9_000)),
        "namespaces-nested-and-used": lambda: soap11(
            "<a "
            + " ".join(f'xmlns:p{n}="urn:{n}"' for n in range(255))
            + ">"
            + "<p0:x/><p254:x/>" * 4_000
            + "</a>"
        ),
        "attributes-as-many-as-allowed": lambda: heartbeat(f"<x {attributes(250)}/>" * 79).replace(
            b"gw:Heartbeat", b"gw:H"
        ),
        "attributes-in-namespaces": lambda: (
            soap11(("<x " + " ".join(f'xmlns:p{n}="u{n}" p{n}:a=""' for n in range(128)) + "/>") * 78)
            .replace(b"<soap:Body>", b"<soap:Body><gw:x>")
            .replace(b"</soap:Body>", b"</gw:x></soap:Body>")
        ),
        "texts-as-long-as-allowed": lambda: soap11("<gw:x>" + f"<a>{'x' * 65_000}</a>" * 128 + "</gw:x>"),
    }
    invalid: dict[str, Callable[[], bytes]] = {
        "elements-as-many-as-allowed": lambda: heartbeat("<gw:x/>" * 9_980),
        "children-that-fit": lambda: soap11(
            "<gw:StartRegistration><gw:requestId>r</gw:requestId><gw:externalRef>c</gw:externalRef>"
            + "<gw:attribute><gw:name>a</gw:name><gw:value>b</gw:value></gw:attribute>" * 3_300
            + "<gw:x/></gw:StartRegistration>"
        ),
        "references-of-zeros": lambda: transaction(f"<gw:transactionId>&#{fill('0')}49;</gw:transactionId>"),
        "blanks-of-many-lengths": lambda: heartbeat("<a/>".join(" " * n for n in range(3_000))),
        "base64-with-a-stray-end": lambda: verifying(fill("QUJD") + "*"),
        "base64-of-blanks": lambda: verifying(fill(" ")),
        "base64-of-padding": lambda: verifying(fill("=")),
        "base64-wide": lambda: verifying(fill("QUJD") + "𝔘"),
        "base64-of-wide-characters": lambda: verifying(fill("𝔘")),
        "pattern-backtracked": lambda: transaction(f"<gw:transactionId>{'0-' * 32_000}</gw:transactionId>"),
        "integer-of-64k": lambda: transaction(
            f"<gw:transactionId>0</gw:transactionId><gw:waitSeconds>{'0' * 65_000}</gw:waitSeconds>"
        ),
    }
    in_utf16: dict[str, Callable[[], bytes]] = {
        "entities-in-utf16": lambda: utf16(bomb() + heartbeat("&e8;").decode()),
        "utf16-elements": lambda: utf16(heartbeat(fill("<a/>", half)).decode()),
        "utf16-of-many-bytes": lambda: utf16(heartbeat(fill("€", half)).decode()),
        "utf16-surrogates": lambda: utf16(heartbeat("𝔘" * (ROOM // 4)).decode()),
        "utf16-that-breaks-off": lambda: utf16(heartbeat("x" * half).decode())[:-1],
    }
    yield from (Monster(name, MALFORMED, body, typed("text/xml")) for name, body in in_utf16.items())
    for code, found in ((MALFORMED, malformed), (UNKNOWN, unknown), (INVALID, invalid)):
        yield from (Monster(name, code, body) for name, body in found.items())
    yield Monster(
        "declaration-of-blanks", None, lambda: b"<?xml" + fill(" ").encode() + b"version='1.0'?>" + GOOD
    )
    yield Monster(
        "declaration-of-encoding",
        "UNSUPPORTED_MEDIA_TYPE",
        lambda: f"<?xml version='1.0' encoding='{fill('x')}'?>".encode() + GOOD,
    )
    yield Monster("blanks-after-envelope", None, lambda: GOOD + fill(" ").encode())
    yield Monster("larger-than-allowed", TOO_LARGE, lambda: GOOD + bytes(MAX_BYTES))
    yield Monster(
        "content-type-of-parameters",
        "UNSUPPORTED_MEDIA_TYPE",
        lambda: GOOD,
        typed("text/xml" + ";a=b" * 250_000),
    )
    yield Monster(
        "content-type-of-quotes",
        "UNSUPPORTED_MEDIA_TYPE",
        lambda: GOOD,
        typed('text/xml; a="' + "\\\\" * 500_000),
    )
    yield Monster(
        "action-long", "ACTION_MISMATCH", lambda: GOOD, typed(TEXT_XML, ("SOAPAction", "x" * 1_000_000))
    )
    yield Monster("shown-of-ascii", TOO_LONG, lambda: shown(fill("x")))
    yield Monster("shown-of-wide-characters", TOO_LONG, lambda: shown(fill("𝔘")))
    yield Monster("shown-of-references", TOO_LONG, lambda: shown(fill("&#120;")))
    yield Monster("shown-of-line-ends", TOO_LONG, lambda: shown(fill("&#13;\n")))
    yield Monster(
        "shown-of-marks", "TEXT_NOT_DISPLAYABLE", lambda: shown("a\u0323" * 50_000 + "\u0301" * 100_000)
    )
    yield Monster(
        "soap12-elements", MALFORMED, lambda: envelope(fill("<a/>"), version=SOAP12), typed(SOAP_XML)
    )


def packages() -> Iterator[Monster]:
    root, document = root_part(), part()
    delimiter = f"--{BOUNDARY}\r\n".encode()
    malformed: dict[str, Callable[[], bytes]] = {
        "parts": lambda: package(root, *[part(b"")] * 100_000)[:MAX_BYTES],
        "parts-without-fields": lambda: (b"\r\n" + delimiter) * 100_000,
        "boundaries-alone": lambda: delimiter * (ROOM // len(delimiter)),
        "boundary-never-closed": lambda: delimiter + root + b"\r\n-" * (ROOM // 3),
        "line-ends": lambda: package(root, document, end=b"--" + b"\r\n" * 1_000_000 + b"x"),
        "blanks-after-boundary": lambda: delimiter[:-2] + b" " * ROOM,
        "fields": lambda: package(root, part(b"", *((f"X{n}", "") for n in range(100_000)))),
        "field-long": lambda: package(root, part(b"", ("X", "x" * ROOM))),
        "field-folded": lambda: package(root, part(b"", ("X", "\r\n " * 1_000_000))),
        "fields-that-never-end": lambda: delimiter + b"X: y\r\n" * 1_000_000,
        "includes": lambda: package(
            root_part(
                verifying('<x:Include xmlns:x="http://www.w3.org/2004/08/xop/include" href="cid:a"/>' * 9_900)
            ),
            document,
        ),
        "include-of-a-long-name": lambda: package(root_part(including("%41" * 20_000)), document),
        "elements-in-root": lambda: package(root_part(heartbeat(fill("<a/>")))),
    }
    yield from (Monster(f"mtom-{name}", MALFORMED, body, related()) for name, body in malformed.items())
    yield Monster(
        "mtom-boundaries-almost",
        UNREADABLE,
        lambda: package(root, part((b"\r\n" + delimiter[:-3]) * 100_000)),
        related(),
    )
    yield Monster("mtom-attachment", UNREADABLE, lambda: package(root, part(b"x" * DOCUMENT)), related())
    yield Monster("mtom-attachment-too-large", TOO_LARGE, lambda: package(root, part(bytes(ROOM))), related())
    yield Monster(
        "mtom-attachment-of-elements",
        UNREADABLE,
        lambda: package(root, part(b"<a>" + b"<a/>" * 1_000_000 + b"</a>")),
        related(),
    )


def documents() -> Iterator[tuple[str, str | None, Callable[[], bytes]]]:
    """Whose evidence document is enormous."""
    room = DOCUMENT - 65_536
    unreadable: dict[str, Callable[[], str]] = {
        "depth": lambda: "<a>" * 590_000 + "</a>" * 590_000,
        "elements": lambda: f"<a>{fill('<a/>', room)}</a>",
        "attributes": lambda: "<a" + counted(' a{}=""', room) + "/>",
        "namespaces": lambda: "<a" + counted(' xmlns:a{}="u"', room) + "/>",
        "entities": lambda: bomb() + "<x>&e8;</x>",
        "comments": lambda: f"<a>{fill('<!---->', room)}</a>",
        "names": lambda: f"<a>{counted('<a{}/>', room)}</a>",
        "not-xml": lambda: "x" * room,
        "larger-than-allowed": lambda: "<a>" + "x" * DOCUMENT + "</a>",
        "utf7": lambda: '<?xml version="1.0" encoding="UTF-7"?><a>' + fill("+ADw-a/+AD4-", room) + "</a>",
    }
    for name, text in unreadable.items():
        yield name, UNREADABLE, lambda text=text: text().encode()  # type: ignore[misc]

    def evidence(**changes: object) -> Callable[[], bytes]:
        return lambda: f.seal(f.model(**changes))  # type: ignore[arg-type]

    def sealed_by(*chain: bytes) -> bytes:
        unsealed = compose_unsealed(f.model())
        policy = (xades.POLICY_ID, xades.POLICY_DIGEST)
        seal = f.sign(xades.SEAL, unsealed, signer=f.SEAL, chain=chain, at=f.SEALED, policy=policy)
        return attach_seal(unsealed, seal=seal)

    long = "x" * room
    wide = "𝔘" * (room // 4)
    texts = f.content(texts=tuple(ShownText("t", "x" * 400, "text/plain") for _ in range(2_400)))
    judged: dict[str, Callable[[], bytes]] = {
        "good": evidence(),
        "root-of-another-name": lambda: f"<a>{long}</a>".encode(),
        "elements-as-many-as-allowed": lambda: b"<a>" + b"<a/>" * 9_998 + b"</a>",
        "more-elements-in-evidence": lambda: f.seal(f.model()).replace(
            b"<ev:Channel>", b"<ev:Note></ev:Note>" * 9_800 + b"<ev:Channel>"
        ),
        "namespaces-in-evidence": lambda: f.seal(f.model()).replace(
            b"<ev:Software>", b"<ev:Software>" + nested_namespaces(50, 255, 9_000).replace("gw:", "").encode()
        ),
        "namespace-relative": lambda: f.seal(f.model()).replace(
            b"<ev:Software>", b'<ev:Software xmlns:q="q">'
        ),
        "text-in-evidence": evidence(software=long),
        "text-of-escapes": evidence(software="<" * (room // 4)),
        "text-of-wide-characters": evidence(software=wide),
        "text-shown": evidence(shown=f.content(texts=(ShownText("t", long, "text/plain"),))),
        "texts-shown": evidence(shown=texts),
        "attributes-of-subject": evidence(
            attributes=tuple(IdentityAttribute(f"a{n}", "b" * 330) for n in range(9_000))
        ),
        "object-of-attestation": evidence(
            attestation=replace(f.model().attestation, object=b"\0" * (room * 3 // 4))
        ),
        "profile-that-is-not-one": evidence(profile_document=b"{" * (room * 3 // 4)),
        "profile-of-nesting": evidence(profile_document=b"[" * (room * 3 // 4)),
        "crl-that-is-not-one": evidence(device_crl=b"\x30" * (room * 3 // 4)),
    }
    size = room * 3 // 4
    sealing: dict[str, Callable[[], bytes]] = {
        "garbage": lambda: b"\x30\x80" * (size // 2),
        "serial-huge": lambda: der.certificate(serial=size),
        "names": lambda: der.certificate(subject=der.name(size // 14)),
        "names-of-issuer": lambda: der.certificate(issuer=der.name(size // 14)),
        "extensions": lambda: der.certificate(extensions=der.usual(der.many_extensions(size // 18))),
        "policies": lambda: der.certificate(
            extensions=der.extension(
                der.oid(2, 5, 29, 32), der.sequence(der.sequence(der.oid(1, 2, 3)) * (size // 6))
            )
        ),
        "purposes": lambda: der.certificate(
            extensions=der.usual(
                der.extension(der.oid(2, 5, 29, 37), der.sequence(der.oid(1, 2, 3) * (size // 4)))
            )
        ),
        "alternative-names": lambda: der.certificate(
            extensions=der.usual(
                der.extension(der.oid(2, 5, 29, 17), der.sequence(der.tlv(0x82, b"a.b") * (size // 5)))
            )
        ),
        "modulus-huge": lambda: der.certificate(key=der.rsa_key(size, 3)),
        "modulus-large": lambda: der.certificate(key=der.rsa_key(16_384 // 8, 16_384 // 8)),
        "exponent-huge": lambda: der.certificate(key=der.rsa_key(512, size)),
        "dsa-huge": lambda: der.certificate(key=der.dsa_key(size // 4)),
        "curve-of-its-own": lambda: der.certificate(key=der.explicit_curve(size // 8)),
        "key-huge": lambda: der.certificate(key=der.public_key(der.sequence(der.oid(1, 2, 3)), b"\0" * size)),
    }
    for name, text in judged.items():
        yield name, None, text
    for name, certificate in sealing.items():
        yield f"certificate-{name}", None, lambda c=certificate: sealed_by(c())  # type: ignore[misc]
    yield "certificates-5", None, lambda: sealed_by(*[f.SEAL.der] * 5)
    yield "certificates-many", None, lambda: sealed_by(*[f.SEAL.der] * 4_000)
    yield "certificates-in-a-ring", None, lambda: sealed_by(f.SEAL.der, *[f.ROOT.der] * 3)
    large = 1_000  # names or extensions: as many as a certificate of allowed size may hold
    for name, one in (
        ("names", lambda: der.certificate(subject=der.name(large))),
        ("extensions", lambda: der.certificate(extensions=der.usual(der.many_extensions(large * 2 // 3)))),
    ):
        yield f"certificates-of-{name}", None, lambda c=one: sealed_by(*[c()] * 4)  # type: ignore[misc]
    revoked = lambda: der.revocation_list(revoked=size // 27)  # noqa: E731
    yield "crl-revoked", None, lambda: f.seal(f.model(device_crl=revoked()))
    # Nobody but the gateway seals these; from anybody else they are not even read.
    stranger = f.certify("stranger", issuer=None, roles=[f.Role.SEAL])
    for name, crl in (
        ("names", lambda: der.revocation_list(issuer=der.name(size // 14))),
        ("extensions", lambda: der.revocation_list(extensions=der.many_extensions(size // 18))),
    ):
        yield (
            f"crl-{name}-of-a-stranger",
            None,
            lambda c=crl: f.seal(f.model(device_crl=c()), signer=stranger),  # type: ignore[misc]
        )


def monsters() -> Iterator[Monster]:
    yield from messages()
    yield from packages()
    for name, code, document in documents():
        yield Monster(
            f"document-{name}",
            code,
            lambda document=document: verifying(base64.b64encode(document()).decode()),  # type: ignore[misc]
        )
