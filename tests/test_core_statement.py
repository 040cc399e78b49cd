"""The statement: its one spelling, what it refuses to be, and its seat in canonical XML."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent / "vectors" / "evidence"))

import forge as f

from gateway.core.canonical import attribute, b64, element, leaf, text, unb64
from gateway.core.model import Decision
from gateway.core.statement import AttachedDocument, Payee, Payment, compose, from_fields, to_fields

PAYEE = Payee("Zoë", "CH93", "1.00")


def test_version_1_of_the_template_never_changes() -> None:
    """The bytes themselves: a device in the field composes exactly these."""
    content = f.content(payment=Payment("1.00", "CHF", (PAYEE,)))
    assert compose(content, binding_id=f.BINDING, decision=Decision.APPROVED).decode() == (
        '<Statement xmlns="urn:mobileid-gateway:statement:1" Id="Statement" Version="1">'
        "<UnicodeVersion>18.0.0</UnicodeVersion>"
        "<Transaction>019c0000-0000-7000-8000-000000007a50</Transaction>"
        "<Kind>consent-signature</Kind>"
        "<Created>2026-03-02T09:29:00Z</Created><Expires>2026-03-02T09:34:00Z</Expires>"
        "<Nonce>eDd7UldXtJRCf4kBT5fXmSjzk40U61HiD7XeyYNOswQ=</Nonce>"
        "<RelyingParty><Id>demo-bank</Id><Name>Demo Bank</Name></RelyingParty>"
        "<Subject>s-5f1d7a</Subject>"
        "<Binding>019c0000-0000-7000-8000-00000000b1d0</Binding>"
        "<Shown><Locale>en</Locale>"
        "<Text><Title>Mortgage</Title><MediaType>text/plain</MediaType>"
        "<Content>I borrow € 348.500,00.\nAgreed &amp; &lt;accepted&gt;.</Content></Text>"
        "<Payment><Total>1.00</Total><Currency>CHF</Currency>"
        "<Payee><Name>Zoë</Name><Account>CH93</Account><Amount>1.00</Amount></Payee></Payment>"
        "</Shown><Decision>approved</Decision></Statement>"
    )


@pytest.mark.parametrize("value", [None, 7, ["x"]], ids=str)
@pytest.mark.parametrize("where", ["relyingParty.name", "texts.0.title", "texts.0.text", "documents.0.name"])
def test_words_are_strings(where: str, value: Any) -> None:
    fields = to_fields(f.content(documents=(AttachedDocument("a", "b", bytes(32)),)))
    *way, last = [int(part) if part.isdigit() else part for part in where.split(".")]
    holder: Any = fields
    for part in way:
        holder = holder[part]
    holder[last] = value
    with pytest.raises(ValueError):
        from_fields(fields)


@pytest.mark.parametrize("amount", ["0", "1", "10.5", "999999999999999.9999", "0.0001"])
def test_canonical_amounts(amount: str) -> None:
    assert Payment(amount, "EUR", (PAYEE,)).total == amount


@pytest.mark.rts("5(1)(b)-(d)")
@pytest.mark.parametrize(
    "amount",
    [
        "",
        "00",
        "01",
        "1.",
        ".5",
        "1.00000",
        "-1",
        "+1",
        "1e3",
        "1,5",
        " 1",
        "1\n",
        "1_0",
        "١",
        "1000000000000000",
    ],
)
def test_other_amounts_are_refused(amount: str) -> None:
    with pytest.raises(ValueError):
        Payment(amount, "EUR", (PAYEE,))
    with pytest.raises(ValueError):
        Payment("1", "EUR", (Payee("A", "B", amount),))


@pytest.mark.parametrize("currency", ["", "eur", "EU", "EURO", "EUR\n", "ÉUR"])
def test_other_currencies_are_refused(currency: str) -> None:
    with pytest.raises(ValueError):
        Payment("1", currency, (PAYEE,))


def test_a_payment_has_a_payee() -> None:
    with pytest.raises(ValueError):
        Payment("1", "EUR", ())


def test_fields_are_json() -> None:
    content = f.content(payment=Payment("1.00", "CHF", (PAYEE,)))
    assert from_fields(json.loads(json.dumps(to_fields(content)))) == content


@pytest.mark.parametrize("name", sorted(to_fields(f.content())))
@pytest.mark.parametrize("value", ["absent", 7, [None]], ids=str)
def test_malformed_fields_are_refused(name: str, value: Any) -> None:
    fields = to_fields(f.content())
    if value == "absent":
        del fields[name]
    else:
        fields[name] = value
    with pytest.raises(ValueError):
        from_fields(fields)


def test_escapes_are_those_of_canonical_xml() -> None:
    assert text("<&>\"'\t\n\r") == "&lt;&amp;&gt;\"'\t\n&#xD;"
    assert attribute("<&>\"'\t\n\r") == "&lt;&amp;>&quot;'&#x9;&#xA;&#xD;"
    assert element("a", leaf("b", "&lt;"), xmlns_c="d") == '<a xmlns:c="d"><b>&amp;lt;</b></a>'


@pytest.mark.parametrize("value", ["AA", "AA=", "AB==", "AA==\n", " AA==", "-_8=", "é", "A===", "AA==AA=="])
def test_base64_has_one_spelling(value: str) -> None:
    with pytest.raises(ValueError):
        unb64(value)
    assert unb64(b64(b"\0")) == b"\0"
