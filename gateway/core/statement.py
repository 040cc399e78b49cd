"""The statement: the exact XML that the device signs, and nothing else than the decision is about.

The law: ``compose`` is one pure function; its bytes equal their exclusive canonical form, alone and
inside an evidence document; two different sets of fields never give equal bytes. The gateway and the
authenticator each compose from the fields; no XML parser stands between what is shown and what is
signed. Version 1 of the template never changes. Which text may be shown is left to ``text``, who
may decide to the services.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from gateway.core.canonical import b64, element, leaf, unb64
from gateway.core.model import Decision, Kind, RelyingParty, format_time, parse_time

NAMESPACE = "urn:mobileid-gateway:statement:1"
VERSION = "1"
STATEMENT_ID = "Statement"
NONCE_BYTES = 32
AMOUNT = re.compile(r"(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,4})?\Z")
CURRENCY = re.compile(r"[A-Z]{3}\Z")


@dataclass(frozen=True, slots=True)
class ShownText:
    title: str
    text: str
    media_type: str
    """One of ``shown.MEDIA_TYPES``."""


@dataclass(frozen=True, slots=True)
class Payee:
    name: str
    account: str
    amount: str
    """Canonical decimal: no sign, no leading zero, ``.`` before at most four digits."""


@dataclass(frozen=True, slots=True)
class Payment:
    total: str
    """Canonical decimal, as in Payee."""
    currency: str
    """ISO 4217, three capital letters."""
    payees: tuple[Payee, ...]
    """One, or every payee of a batch in order."""

    def __post_init__(self) -> None:
        if not CURRENCY.match(self.currency) or not self.payees:
            raise ValueError("a payment has an ISO 4217 currency and at least one payee")
        if not all(AMOUNT.match(a) for a in (self.total, *(p.amount for p in self.payees))):
            raise ValueError("an amount is a canonical decimal string")


@dataclass(frozen=True, slots=True)
class AttachedDocument:
    name: str
    media_type: str
    digest: bytes
    """SHA-256, 32 bytes."""


@dataclass(frozen=True, slots=True)
class Content:
    """All of a statement but the binding and the decision: what the gateway knows at the start."""

    unicode_version: str
    """The tables by which the text was found displayable."""
    transaction_id: UUID
    kind: Kind
    created_at: datetime
    expires_at: datetime
    nonce: bytes
    """32 random bytes."""
    relying_party: RelyingParty
    subject: str
    """The pseudonym."""
    locale: str
    """RFC 5646 language tag of the texts."""
    texts: tuple[ShownText, ...] = ()
    payment: Payment | None = None
    documents: tuple[AttachedDocument, ...] = ()


def compose(content: Content, *, binding_id: UUID, decision: Decision) -> bytes:
    """UTF-8 bytes of ``<Statement>``."""
    shown = [
        element(
            "Text",
            leaf("Title", shown.title),
            leaf("MediaType", shown.media_type),
            leaf("Content", shown.text),
        )
        for shown in content.texts
    ]
    if content.payment is not None:
        shown.append(_payment(content.payment))
    shown += [
        element(
            "Document",
            leaf("Name", document.name),
            leaf("MediaType", document.media_type),
            leaf("Digest", b64(document.digest)),
        )
        for document in content.documents
    ]
    return element(
        "Statement",
        leaf("UnicodeVersion", content.unicode_version),
        leaf("Transaction", str(content.transaction_id)),
        leaf("Kind", content.kind),
        leaf("Created", format_time(content.created_at)),
        leaf("Expires", format_time(content.expires_at)),
        leaf("Nonce", b64(content.nonce)),
        element(
            "RelyingParty",
            leaf("Id", content.relying_party.id),
            leaf("Name", content.relying_party.name),
        ),
        leaf("Subject", content.subject),
        leaf("Binding", str(binding_id)),
        element("Shown", leaf("Locale", content.locale), *shown),
        leaf("Decision", decision),
        xmlns=NAMESPACE,
        Id=STATEMENT_ID,
        Version=VERSION,
    ).encode()


def _payment(payment: Payment) -> str:
    return element(
        "Payment",
        leaf("Total", payment.total),
        leaf("Currency", payment.currency),
        *(
            element(
                "Payee",
                leaf("Name", payee.name),
                leaf("Account", payee.account),
                leaf("Amount", payee.amount),
            )
            for payee in payment.payees
        ),
    )


def to_fields(content: Content) -> dict[str, Any]:
    """The content as the JSON object that a device is given; ``from_fields`` is the inverse."""
    payment = content.payment
    return {
        "unicodeVersion": content.unicode_version,
        "transactionId": str(content.transaction_id),
        "kind": str(content.kind),
        "createdAt": format_time(content.created_at),
        "expiresAt": format_time(content.expires_at),
        "nonce": b64(content.nonce),
        "relyingParty": {"id": content.relying_party.id, "name": content.relying_party.name},
        "subject": content.subject,
        "locale": content.locale,
        "texts": [{"title": t.title, "text": t.text, "mediaType": t.media_type} for t in content.texts],
        "payment": None
        if payment is None
        else {
            "total": payment.total,
            "currency": payment.currency,
            "payees": [{"name": p.name, "account": p.account, "amount": p.amount} for p in payment.payees],
        },
        "documents": [
            {"name": d.name, "mediaType": d.media_type, "digest": b64(d.digest)} for d in content.documents
        ],
    }


def from_fields(fields: Mapping[str, Any]) -> Content:
    """The content of a JSON object; raises ValueError where a field is missing or malformed."""
    try:
        payment = fields["payment"]
        content = Content(
            unicode_version=fields["unicodeVersion"],
            transaction_id=UUID(fields["transactionId"]),
            kind=Kind(fields["kind"]),
            created_at=parse_time(fields["createdAt"]),
            expires_at=parse_time(fields["expiresAt"]),
            nonce=unb64(fields["nonce"]),
            relying_party=RelyingParty(**fields["relyingParty"]),
            subject=fields["subject"],
            locale=fields["locale"],
            texts=tuple(ShownText(t["title"], t["text"], t["mediaType"]) for t in fields["texts"]),
            payment=None
            if payment is None
            else Payment(
                payment["total"],
                payment["currency"],
                tuple(Payee(p["name"], p["account"], p["amount"]) for p in payment["payees"]),
            ),
            documents=tuple(
                AttachedDocument(d["name"], d["mediaType"], unb64(d["digest"])) for d in fields["documents"]
            ),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not the fields of a statement") from error
    if len(content.nonce) != NONCE_BYTES:
        raise ValueError("the nonce has 32 bytes")
    if not all(type(word) is str for word in _words(content)):
        raise ValueError("a word is not a string")
    return content


def _words(content: Content) -> Iterator[str]:
    """Every field that is text and has no other form to hold to."""
    yield from (content.unicode_version, content.subject, content.locale)
    yield from (content.relying_party.id, content.relying_party.name)
    for shown in content.texts:
        yield from (shown.title, shown.text, shown.media_type)
    for payee in () if content.payment is None else content.payment.payees:
        yield from (payee.name, payee.account)
    for document in content.documents:
        yield from (document.name, document.media_type)
