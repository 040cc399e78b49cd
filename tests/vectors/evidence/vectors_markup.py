"""Vectors about how the document is written: its elements, their values' spelling, and its bytes.

The law: what changes what is signed is sealed again with the genuine key; what cannot be (comments, a
DOCTYPE, another encoding) is put around a good document.
"""

from __future__ import annotations

from collections.abc import Iterator

import forge as f
from vector import (
    FORMAT,
    UNREADABLE,
    Vector,
)
from vectors_content import PAID


def document() -> Iterator[Vector]:
    document = f.seal(f.model()).decode()
    start = document.rindex("<ds:Signature ")
    seal, end = document[start : -len("</ev:Evidence>")], "</ev:Evidence>"
    device_start, device_end = document.index("<ds:Signature "), document.index("</ds:Signature>") + 15
    device_xml = document[device_start:device_end]
    channel, text = "<ev:Channel>backend</ev:Channel>", "<Content>I borrow"

    def inner(edit: f.Text) -> bytes:
        """Edited before the genuine seal."""
        return f.seal(f.model(), inner=edit)

    def outer(old: str, new: str) -> bytes:
        assert old in document, old
        return document.replace(old, new, 1).encode()

    for name, data, says in (
        ("two-seals", outer(seal + end, seal + seal + end), "the seal stands twice"),
        ("no-seal", outer(seal, ""), "there is no seal"),
        ("seal-not-last", outer(seal + end, seal + channel + end), "an element follows the seal"),
        (
            "seal-first",
            outer(seal, "").replace(b"<ev:Id>", seal.encode() + b"<ev:Id>", 1),
            "the seal is first",
        ),
        ("two-device-signatures", inner(f.swap(device_xml, device_xml * 2)), "the device's signature twice"),
        ("no-device-signature", inner(f.swap(device_xml, "")), "there is no device signature"),
        (
            "no-crl",
            inner(lambda d: d[: d.index("<ev:CRL>")] + d[d.index("</ev:CRL>") + 9 :]),
            "no CRL element",
        ),
        (
            "two-statements",
            inner(lambda d: d.replace("<ev:DeviceSignature>", _statement(d) + "<ev:DeviceSignature>")),
            "the statement stands twice",
        ),
        ("no-statement", inner(lambda d: d.replace(_statement(d), "")), "there is no statement"),
        (
            "unknown-element",
            inner(f.swap(channel, channel + "<ev:Note>paid</ev:Note>")),
            "an unknown element",
        ),
        (
            "unknown-namespace",
            inner(f.swap(channel, channel + '<x:Note xmlns:x="urn:x"></x:Note>')),
            "an element of an unknown namespace",
        ),
        ("unknown-attribute", inner(f.swap("<ev:Channel>", '<ev:Channel by="me">')), "an unknown attribute"),
        (
            "unknown-attribute-on-statement-text",
            inner(f.swap("<Content>", '<Content style="display:none">')),
            "an unknown attribute on the shown text",
        ),
        (
            "unknown-element-in-statement",
            inner(f.swap(text, "<Content><b></b>I borrow")),
            "an element within the shown text",
        ),
        (
            "element-order",
            inner(lambda d: _moved(d, channel, "<ev:Transaction>")),
            "two elements changed places",
        ),
        ("element-twice", inner(f.swap(channel, channel * 2)), "an element stands twice"),
        ("element-missing", inner(f.swap(channel, "")), "an element is missing"),
        ("whitespace", inner(f.swap(channel, "\n" + channel)), "a line break between elements"),
        (
            "whitespace-after-seal",
            outer(seal, "").replace(b"</ev:Evidence>", seal.encode() + b" </ev:Evidence>"),
            "a blank after the seal",
        ),
        ("text-between-elements", inner(f.swap(channel, "text" + channel)), "text between elements"),
        ("statement-whitespace", inner(f.swap("<Shown>", "<Shown> ")), "a blank within the statement"),
        ("duplicate-id", inner(f.swap("<ev:Channel>", '<ev:Channel Id="Statement">')), "an Id stands twice"),
        ("xml-id", inner(f.swap("<ev:Channel>", '<ev:Channel xml:id="Statement">')), "xml:id"),
        ("xml-lang", inner(f.swap("<ev:Channel>", '<ev:Channel xml:lang="de">')), "xml:lang"),
        ("xml-space", inner(f.swap("<Content>", '<Content xml:space="preserve">')), "xml:space"),
        (
            "xml-base",
            inner(f.swap("<ev:Evidence ", '<ev:Evidence xml:base="http://attacker.example/" ')),
            "xml:base",
        ),
        ("root-id", inner(f.swap(' Version="1">', ' Id="Root" Version="1">')), "the root has an Id"),
        (
            "root-renamed",
            document.replace("ev:Evidence", "ev:Evidences").encode(),
            "the root has another name",
        ),
        ("root-other-namespace", document.replace("evidence:1", "evidence:2").encode(), "another namespace"),
        ("root-without-namespace", document.replace("ev:Evidence", "Evidence").encode(), "no namespace"),
        ("version", inner(f.swap(' Version="1">', ' Version="2">')), "an unknown version"),
        (
            "statement-version",
            inner(f.swap('Id="Statement" Version="1"', 'Id="Statement" Version="2"')),
            "an unknown version of the statement",
        ),
        ("statement-id", inner(f.swap('Id="Statement"', 'Id="Statements"')), "the statement has another Id"),
        ("statement-namespace", inner(f.swap("statement:1", "statement:2")), "another namespace"),
        ("relative-namespace", outer("<ev:Channel>", '<ev:Channel xmlns:x="relative">'), "no canonical form"),
        ("device-signature-in-evidence", _outside(document, device_xml), "the device's signature elsewhere"),
    ):
        yield Vector(f"markup-{name}", data, FORMAT, 1, says)


def spelling() -> Iterator[Vector]:
    def inner(edit: f.Text) -> bytes:
        return f.seal(f.model(), inner=edit)

    for name, data, says in (
        (
            "nonce-base64-padding",
            inner(_in_element("Nonce", lambda v: v.rstrip("="))),
            "base64 without padding",
        ),
        ("nonce-base64-bits", inner(_in_element("Nonce", _loose_bits)), "base64 with loose bits"),
        (
            "nonce-base64-blank",
            inner(_in_element("Nonce", lambda v: v[:8] + "\n" + v[8:])),
            "base64 in lines",
        ),
        ("nonce-base64-url", inner(_in_element("Nonce", lambda v: "-" + v[1:])), "base64url"),
        ("crl-base64-garbage", inner(_in_element("ev:CRL", lambda v: "€" + v)), "not base64"),
        ("id-uppercase", inner(_in_element("ev:Id", str.upper)), "the id in capitals"),
        ("id-braces", inner(_in_element("ev:Id", lambda v: "{" + v + "}")), "the id in braces"),
        (
            "count-zero",
            inner(_in_element("ev:FailedAttempts", lambda v: "00")),
            "a count with a zero too many",
        ),
        ("count-sign", inner(_in_element("ev:FailedAttempts", lambda v: "-1")), "a negative count"),
        ("count-digits", inner(_in_element("ev:FailedAttempts", lambda v: "٠")), "a count in other digits"),
        (
            "time-fraction",
            inner(_in_element("ev:Decided", lambda v: v[:-1] + ".0Z")),
            "a time with a fraction",
        ),
        ("time-blank", inner(_in_element("ev:Decided", lambda v: v + " ")), "a time and a blank"),
        (
            "time-impossible",
            inner(_in_element("ev:Decided", lambda v: "2026-02-30T00:00:00Z")),
            "30 February",
        ),
        ("kind-unknown", inner(_in_element("Kind", lambda v: "consent")), "an unknown kind"),
        ("decision-unknown", inner(_in_element("Decision", lambda v: "maybe")), "an unknown decision"),
        ("decision-blank", inner(_in_element("Decision", lambda v: v + "\n")), "a decision and a line break"),
    ):
        yield Vector(f"spelling-{name}", data, FORMAT, 1, says)
    for old, new, name in (
        ("<Total>348.50<", "<Total>0348.50<", "zero"),
        ("<Total>348.50<", "<Total>348,50<", "comma"),
        ("<Total>348.50<", "<Total>-348.50<", "sign"),
        ("<Total>348.50<", "<Total>3.5e2<", "exponent"),
        ("<Currency>EUR<", "<Currency>eur<", "currency"),
    ):
        data = f.seal(f.model(PAID), inner=f.swap(old, new))
        yield Vector(f"spelling-amount-{name}", data, FORMAT, 1, f"the amount's spelling: {name}")


def unreadable() -> Iterator[Vector]:
    document = f.seal(f.model()).decode()
    channel = "<ev:Channel>backend</ev:Channel>"

    def inner(edit: f.Text) -> bytes:
        return f.seal(f.model(), inner=edit)

    def outer(old: str, new: str) -> bytes:
        assert old in document, old
        return document.replace(old, new, 1).encode()

    entity = '<!DOCTYPE x [<!ENTITY e "backend">]>'
    external = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>'
    default = '<!DOCTYPE x [<!ATTLIST ev:Channel by CDATA "me">]>'
    for name, data, says in (
        ("comment-in-text", outer("I borrow", "I <!-- do not -->borrow"), "a comment within the shown text"),
        ("comment-between", inner(f.swap(channel, "<!-- c -->" + channel)), "a comment between elements"),
        ("comment-before-root", ("<!-- c -->" + document).encode(), "a comment before the root"),
        ("comment-after-root", (document + "<!-- c -->").encode(), "a comment after the root"),
        ("pi-in-root", outer(channel, "<?pi?>" + channel), "a processing instruction"),
        ("pi-before-root", ('<?xml-stylesheet href="x.xsl"?>' + document).encode(), "a style sheet"),
        ("doctype", ("<!DOCTYPE x>" + document).encode(), "a DOCTYPE"),
        ("entity", (entity + document).replace(">backend<", ">&e;<").encode(), "an entity"),
        (
            "entity-external",
            (external + document).replace(">backend<", ">&e;<").encode(),
            "an external entity",
        ),
        ("default-attribute", (default + document).encode(), "a default attribute"),
        ("entity-undefined", outer(">backend<", ">&e;<"), "an undefined entity"),
        ("utf-16", ('<?xml version="1.0" encoding="UTF-16"?>' + document).encode("utf-16"), "UTF-16"),
        ("utf-16-undeclared", document.encode("utf-16"), "UTF-16, told by its first bytes alone"),
        ("utf-32", document.encode("utf-32"), "UTF-32"),
        ("utf-7", b'<?xml version="1.0" encoding="UTF-7"?>' + document.encode("utf-7"), "UTF-7"),
        ("latin-1", b'<?xml version="1.0" encoding="ISO-8859-1"?>' + document.encode(), "Latin-1 is claimed"),
        ("xml-1.1", ('<?xml version="1.1"?>' + document).encode(), "XML 1.1"),
        ("empty", b"", "no byte"),
        ("not-xml", b"evidence", "not XML"),
        ("two-roots", (document * 2).encode(), "two documents"),
        ("truncated", document.encode()[:-1], "the last byte is missing"),
        ("nul", outer("I borrow", "I\0 borrow"), "a zero byte"),
        ("unbound-prefix", outer("<ev:Channel>", "<ev:Channel x:by='me'>"), "an unbound prefix"),
        ("attribute-twice", outer(' Version="1">', ' Version="1" Version="1">'), "an attribute stands twice"),
    ):
        yield Vector(f"unreadable-{name}", data, UNREADABLE, 0, says)


def _statement(text: str) -> str:
    return text[text.index("<Statement ") : text.index("</Statement>") + len("</Statement>")]


def _moved(text: str, part: str, before: str) -> str:
    return text.replace(part, "").replace(before, part + before, 1)


def _in_element(tag: str, edit: f.Text) -> f.Text:
    def change(text: str) -> str:
        start = text.index(f"<{tag}>") + len(tag) + 2
        end = text.index(f"</{tag}>", start)
        return text[:start] + edit(text[start:end]) + text[end:]

    return change


def _loose_bits(value: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    bare = value.rstrip("=")
    return bare[:-1] + alphabet[alphabet.index(bare[-1]) + 1] + "=" * (len(value) - len(bare))


def _outside(document: str, device_xml: str) -> bytes:
    return f.seal(
        f.model(),
        inner=lambda d: d.replace(device_xml, "").replace(
            "<ev:Transaction>", device_xml + "<ev:Transaction>"
        ),
    )
