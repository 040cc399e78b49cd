"""Vectors about what is said: statement, times, agreement, attestation, profile.

The law: the device signs what it shows and the seal is genuine, but for the one thing that the name says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import forge as f
from vector import (
    CRYPTO,
    DER,
    HASH,
    POLICY,
    SEC,
    SIG,
    Vector,
)

from gateway.core import xades
from gateway.core.assertion import FACTORS
from gateway.core.certpath import Role
from gateway.core.evidence import VerifiedFactor
from gateway.core.model import Attestation, Decision, Factor, IdentityAttribute, Kind, RelyingParty
from gateway.core.profile import profile_digest
from gateway.core.shown import MARKDOWN
from gateway.core.statement import AttachedDocument, Content, Payee, Payment, ShownText, compose

PAYMENT = Payment("348.50", "EUR", (Payee("Garage Müller", "CH9300762011623852957", "348.50"),))
PAID = f.content(texts=(), payment=PAYMENT)
DOCUMENTS = (AttachedDocument("contract.pdf", "application/pdf", xades.sha256(b"contract")),)


def marked_up(source: str) -> Content:
    return f.content(texts=(ShownText("Mortgage", source, MARKDOWN),))


MARKED_UP = marked_up("# Mortgage\n\nI borrow **348.500 €**.")
ATTACHED = f.content(documents=DOCUMENTS)


def unsigned(change: Callable[[Content], Content]) -> bytes:
    """The statement is changed after the device signed it; every other field still agrees with it."""
    good = f.model()
    shown = change(good.content)
    return f.seal(
        replace(
            good,
            content=shown,
            transaction_id=shown.transaction_id,
            relying_party_id=shown.relying_party.id,
            pseudonym=shown.subject,
        )
    )


def good() -> Iterator[Vector]:
    batch = Payment("3.00", "CHF", (Payee("A", "CH1", "1.00"), Payee("B", "CH2", "2.00")))
    rsa = f.certify(
        "VECTORS RSA Seal", issuer=f.ROOT, key=f.rsa_key(3072), roles=[Role.SEAL], no_rev_avail=True
    )
    sub_ca = f.certify("VECTORS Seal CA", issuer=f.ROOT, ca=True, roles=[Role.SEAL])
    below = f.certify("VECTORS Seal below", issuer=sub_ca, roles=[Role.SEAL], no_rev_avail=True)
    listed = f.certify("VECTORS Seal listed", issuer=f.ROOT, roles=[Role.SEAL])
    later = f.make_crl(f.DEVICE_CA, revoked={f.DEVICE.serial: f.SEALED - 10 * SEC})
    document = f.seal(f.model())
    for name, data, says in (
        ("good", document, "nothing is wrong"),
        ("good-payment", f.seal(f.model(PAID)), "nothing is wrong: a payment was shown"),
        ("good-batch", f.seal(f.model(f.content(payment=batch))), "nothing is wrong: a batch was shown"),
        ("good-markdown", f.seal(f.model(MARKED_UP)), "nothing is wrong: markdown was shown"),
        (
            "good-markdown-of-no-grammar",
            f.seal(f.model(marked_up("# <b>\nx"))),
            "nothing is wrong: what may be shown is judged at the start and not again",
        ),
        ("good-documents", f.seal(f.model(ATTACHED)), "nothing is wrong: documents are attached"),
        ("good-rsa-3072-seal", f.seal(f.model(), signer=rsa), "nothing is wrong: the seal is RSA"),
        (
            "good-seal-below-ca",
            f.seal(f.model(), signer=below, above=[sub_ca]),
            "nothing is wrong: a CA for seals stands between",
        ),
        *(
            (f"good-{word}", f.seal(f.refusal(word)), "nothing is wrong: a refusal is proven")
            for word in (Decision.REJECTED_NOT_ME, Decision.REJECTED_CANCELLED)
        ),
        ("good-seal-covered-by-crl", f.seal(f.model(), signer=listed), "nothing is wrong: a CRL speaks"),
        (
            "good-revoked-after-decision",
            f.seal(f.model(device_crl=later.public_bytes(DER))),
            "nothing is wrong: the device was revoked after the decision and before the seal",
        ),
        (
            "good-xml-declaration",
            b'<?xml version="1.0" encoding="UTF-8"?>\n' + document + b"\n",
            "nothing is wrong: an XML declaration changes nothing that is signed",
        ),
        (
            "good-unused-namespace",
            document.replace(b"<ev:Channel>", b'<ev:Channel xmlns:unused="urn:unused">'),
            "nothing is wrong: an unused namespace declaration has no canonical form",
        ),
        (
            "good-cdata",
            document.replace(b">backend<", b"><![CDATA[backend]]><"),
            "nothing is wrong: CDATA is another spelling of the same text",
        ),
    ):
        yield Vector(name, data, None, None, says)
    yield Vector(
        "good-root-in-key-info",
        f.seal(f.model(), above=[f.ROOT]),
        None,
        None,
        "nothing is wrong: the anchor came along",
    )


def statement() -> Iterator[Vector]:
    text = f.content().texts[0]

    def paid(**changes: Any) -> bytes:
        good = f.model(PAID)
        return f.seal(replace(good, content=replace(PAID, payment=replace(PAYMENT, **changes))))

    def payee(**changes: str) -> bytes:
        return paid(payees=(replace(PAYMENT.payees[0], **changes),))

    def attached(**changes: Any) -> bytes:
        good = f.model(ATTACHED)
        changed = replace(ATTACHED, documents=(replace(DOCUMENTS[0], **changes),))
        return f.seal(replace(good, content=changed))

    def with_text(**changes: str) -> bytes:
        return unsigned(lambda c: replace(c, texts=(replace(text, **changes),)))

    other = f.OTHER_BINDING
    bank = RelyingParty("demo-bank", "Demo Bank")
    for name, data in (
        ("text", with_text(text=text.text.replace("348", "349"))),
        ("text-whitespace", with_text(text=text.text.replace("\n", " \n"))),
        ("title", with_text(title="Mortage")),
        ("text-media-type", with_text(media_type="text/html")),
        ("text-added", unsigned(lambda c: replace(c, texts=(*c.texts, text)))),
        ("text-removed", unsigned(lambda c: replace(c, texts=(), payment=PAYMENT))),
        ("payment-added", unsigned(lambda c: replace(c, payment=PAYMENT))),
        ("amount", paid(total="948.50")),
        ("currency", paid(currency="USD")),
        ("payee-name", payee(name="Garage Miller")),
        ("payee-account", payee(account="CH9300762011623852958")),
        ("payee-amount", payee(amount="948.50")),
        ("payee-added", paid(payees=PAYMENT.payees * 2)),
        ("document-digest", attached(digest=xades.sha256(b"another contract"))),
        ("document-name", attached(name="letter.pdf")),
        ("document-media-type", attached(media_type="text/plain")),
        ("subject", unsigned(lambda c: replace(c, subject="s-000000"))),
        (
            "relying-party",
            unsigned(lambda c: replace(c, relying_party=replace(bank, id="other-bank"))),
        ),
        (
            "relying-party-name",
            unsigned(lambda c: replace(c, relying_party=replace(bank, name="Other Bank"))),
        ),
        ("kind", unsigned(lambda c: replace(c, kind=Kind.TEXT_SIGNATURE))),
        ("locale", unsigned(lambda c: replace(c, locale="de"))),
        ("nonce", unsigned(lambda c: replace(c, nonce=bytes(32)))),
        ("created", unsigned(lambda c: replace(c, created_at=c.created_at + SEC))),
        ("expires", unsigned(lambda c: replace(c, expires_at=c.expires_at - SEC))),
        ("transaction", unsigned(lambda c: replace(c, transaction_id=other))),
        ("unicode-version", unsigned(lambda c: replace(c, unicode_version="15.0.0"))),
        ("binding", f.seal(f.model(binding_id=other, device_binding_id=other))),
        (
            "decision",
            f.seal(
                f.model(
                    signature=f.device_signature(f.content(), decision=Decision.REJECTED_NOT_ME),
                )
            ),
        ),
    ):
        yield Vector(f"statement-{name}-changed", data, HASH, 7, f"after the device signed: {name}")
    yield Vector(
        "decision-rejected-with-pin",
        f.seal(f.refusal(Decision.REJECTED_NOT_ME, factors=(FACTORS["swk"], FACTORS["pin"]))),
        SIG,
        9,
        "a rejection claims a factor that nobody asks for to say no",
    )
    yield Vector(
        "decision-rejected-as-strong",
        f.seal(f.refusal(Decision.REJECTED_CANCELLED, acr=f.PROFILE.acr)),
        SIG,
        9,
        "a rejection claims the level of an approval",
    )
    changed = f.content(texts=(replace(text, text="I give everything."),))
    signature = f.device_signature(f.content())
    yield Vector(
        "statement-and-digest-changed",
        f.seal(
            f.model(
                changed,
                signature=replace(
                    signature,
                    data_digest=xades.sha256(
                        compose(changed, binding_id=f.BINDING, decision=Decision.APPROVED)
                    ),
                ),
            )
        ),
        CRYPTO,
        7,
        "text and digest changed after the device signed",
    )
    for name, shown, says in (
        ("nonce-short", f.content(nonce=bytes(16)), "the nonce has 16 bytes"),
        (
            "document-digest-short",
            f.content(documents=(replace(DOCUMENTS[0], digest=b"short"),)),
            "a document's digest has 5 bytes",
        ),
        ("nothing-shown", f.content(texts=()), "the device signed a statement that shows nothing"),
        (
            "text-html",
            f.content(texts=(replace(text, media_type="text/html"),)),
            "the device signed a text of a media type that is not shown as it is",
        ),
    ):
        yield Vector(name, f.seal(f.model(shown)), SIG, 8, says)


def times() -> Iterator[Vector]:
    def at(**changes: Any) -> bytes:
        return f.seal(f.model(**changes))

    def signed(seconds: int) -> bytes:
        when = f.content().created_at + seconds * SEC
        return f.seal(f.model(signature=f.device_signature(f.content(), at=when)))

    shown = f.content()
    long = f.content(expires_at=shown.created_at + 301 * SEC)
    forever = f.content(expires_at=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    backward = f.content(expires_at=shown.created_at - SEC)
    for name, data, step, says in (
        ("claimed-after-decided", at(claimed_at=f.SEALED + 45 * SEC), 8, "claimed 65 s after it was decided"),
        ("claimed-before-created", at(claimed_at=shown.created_at - SEC), 8, "claimed before it existed"),
        (
            "decided-after-expires",
            f.seal(f.model(decided_at=shown.expires_at + SEC), at=shown.expires_at + 2 * SEC),
            8,
            "decided after it expired",
        ),
        ("bound-after-claimed", at(bound_at=f.SEALED + 40 * SEC), 8, "the binding is younger than the claim"),
        (
            "sealed-before-decided",
            f.seal(f.model(), at=f.SEALED - 81 * SEC),
            8,
            "the seal is older than the decision",
        ),
        ("expires-before-created", f.seal(f.model(backward)), 8, "it expired before it existed"),
        ("lifetime", f.seal(f.model(long)), 9, "it lived a second longer than the profile allows"),
        ("lifetime-9999", f.seal(f.model(forever)), 9, "it lived until the end of time"),
        ("signed-before-created", signed(-121), 9, "the device signed before it was created"),
        ("signed-after-expires", signed(421), 9, "the device signed after it expired"),
    ):
        yield Vector(f"time-{name}", data, SIG, step, says)
    good = f.seal(f.model())
    yield Vector(
        "time-judged-before-sealed",
        good,
        SIG,
        3,
        "it is judged at a time before it was sealed",
        at=f.SEALED - 61 * SEC,
    )


def agreement() -> Iterator[Vector]:
    for name, data, says in (
        ("transaction", f.seal(f.model(transaction_id=f.OTHER_BINDING)), "another transaction"),
        ("relying-party", f.seal(f.model(relying_party_id="other-bank")), "another relying party"),
        ("subject", f.seal(f.model(pseudonym="s-000000")), "another subject"),
        ("binding", f.seal(f.model(device_binding_id=f.OTHER_BINDING)), "another binding"),
    ):
        yield Vector(f"evidence-{name}-disagrees", data, SIG, 8, f"the evidence names {says}")
    for name, attestation, says in (
        ("hardware-without-format", Attestation("none", "hardware"), "hardware by no attestation"),
        ("unknown-format", Attestation("notary", "hardware", b"my word"), "hardware by an unknown format"),
        ("unknown-verdict", Attestation("none", "splendid"), "an unknown verdict"),
        ("software-with-object", Attestation("none", "software", b"object"), "an object of no format"),
        ("without-object", Attestation("android-key", "hardware"), "hardware without an object"),
    ):
        yield Vector(f"attestation-{name}", f.seal(f.model(attestation=attestation)), SIG, 8, says)


def profile() -> Iterator[Vector]:
    def raw(document: bytes, **changes: Any) -> bytes:
        changes = {"profile_digest": profile_digest(document), "profile_document": document} | changes
        return f.seal(f.model(**changes))

    def under(**changes: Any) -> bytes:
        return f.seal(f.model(profile=replace(f.PROFILE, **changes)))

    def spelled(old: bytes, new: bytes) -> bytes:
        assert old in document
        return raw(document.replace(old, new))

    document = f.PROFILE.document()
    other = replace(f.PROFILE, max_failures=5).document()
    login = f.content(kind=Kind.AUTHENTICATION)
    silent = replace(f.PROFILE, kind=Kind.AUTHENTICATION, evidence=False)
    yield Vector(
        "profile-channel",
        f.seal(f.model(channel="app")),
        SIG,
        9,
        "an app started what only the bank may start",
    )
    yield Vector(
        "profile-without-evidence",
        f.seal(f.model(login, profile=silent)),
        SIG,
        9,
        "the profile leaves no evidence",
    )
    for name, data, says in (
        ("digest", f.seal(f.model(profile_digest=bytes(32))), "the digest is of something else"),
        ("digest-short", f.seal(f.model(profile_digest=profile_digest(document)[:31])), "a byte is missing"),
        ("document", f.seal(f.model(profile_document=other)), "the document is another"),
        ("not-canonical", spelled(b",", b", "), "the JSON has blanks"),
        ("duplicate-key", spelled(b',"factors"', b',"factors":["device"],"factors"'), "a key stands twice"),
        ("unknown-key", spelled(b',"factors"', b',"exempt":true,"factors"'), "a key is unknown"),
        ("missing-key", spelled(b'"max_failures":3,', b""), "a key is missing"),
        ("not-json", raw(b"profile"), "the document is not JSON"),
        ("empty", raw(b""), "the document is empty"),
        ("not-an-object", raw(b"[1]"), "the document is a list"),
        ("nested", raw(b"[" * 5000), "the document is five thousand lists"),
        ("surrogate", spelled(b'"consent-pin"', b'"\\ud800"'), "half a character"),
        ("true-for-one", spelled(b'"max_failures":3', b'"max_failures":true'), "true stands for 1"),
        ("fraction", spelled(b'"max_failures":3', b'"max_failures":3.5'), "three and a half failures"),
        ("not-a-number", spelled(b'"max_text_length":1000', b'"max_text_length":NaN'), "not a number"),
        ("list-for-word", spelled(b'["name"]', b'[["name"]]'), "a list stands for a word"),
        ("word-for-false", spelled(b"false", b'"no"'), "a word stands for false"),
        ("zero-for-false", spelled(b"false", b"0"), "a number stands for false"),
        ("no-device-factor", spelled(b'["device","pin"]', b'["pin"]'), "possession is not required"),
        ("failures-above-law", spelled(b'"max_failures":3', b'"max_failures":6'), "six failures are allowed"),
    ):
        yield Vector(f"profile-{name}", data, POLICY, 9, says)
    swk, pin, hwk, user = (FACTORS[m] for m in ("swk", "pin", "hwk", "user"))
    text = f.content().texts[0]
    long = f.content(texts=(replace(text, text="x" * 1001),))
    national = IdentityAttribute("national-id", "756.0000.0000.00")
    for name, data, says in (
        ("id", f.seal(f.model(profile_id="consent")), "the profile has another id"),
        ("kind", under(kind=Kind.AUTHENTICATION), "the profile is for another kind"),
        (
            "needs-biometric",
            under(factors=(Factor.DEVICE, Factor.PIN, Factor.BIOMETRIC)),
            "the profile requires a factor more",
        ),
        ("needs-hardware", under(hardware_key=True), "the profile requires a hardware key"),
        ("acr", f.seal(f.model(acr="urn:mobileid-gateway:acr:single")), "the acr is another"),
        ("text-too-long", f.seal(f.model(long)), "the text has a character too many"),
        (
            "attribute-not-released",
            f.seal(f.model(attributes=(national,))),
            "an attribute is shown that is not released",
        ),
        (
            "attribute-twice",
            f.seal(f.model(attributes=(IdentityAttribute("name", "A"), IdentityAttribute("name", "B")))),
            "an attribute stands twice, with two values",
        ),
        ("too-many-failures", f.seal(f.model(failed_attempts=3)), "three tries had failed"),
        ("factor-pin-missing", f.seal(f.model(factors=(swk,))), "the PIN was not verified"),
        ("factor-device-missing", f.seal(f.model(factors=(pin,))), "possession was not verified"),
        ("factors-missing", f.seal(f.model(factors=())), "nothing was verified"),
        ("factor-twice", f.seal(f.model(factors=(swk, pin, pin))), "a factor stands twice"),
        (
            "factor-unknown",
            f.seal(f.model(factors=(swk, pin, VerifiedFactor("psychic", "gateway", "seance")))),
            "a factor is unknown",
        ),
        (
            "factor-by-subject",
            f.seal(f.model(factors=(swk, replace(pin, verified_by="subject")))),
            "the subject verified the PIN",
        ),
        (
            "factor-otherwise",
            f.seal(f.model(factors=(swk, replace(pin, how="asked-nicely")))),
            "the PIN was verified in another way",
        ),
        ("hwk-without-attestation", f.seal(f.model(factors=(hwk, pin))), "hardware is claimed, not attested"),
        (
            "user-without-attestation",
            f.seal(
                f.model(
                    profile=replace(f.PROFILE, factors=(Factor.DEVICE, Factor.BIOMETRIC)),
                    factors=(swk, user),
                )
            ),
            "a biometric is claimed that no attested key holds",
        ),
    ):
        yield Vector(f"profile-{name}", data, SIG, 9, says)
