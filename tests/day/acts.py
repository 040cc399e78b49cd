"""The acts of a day: what one customer and the bank do, one after the other, and now and then at once.

The law: an act begins with a phone that can decide, or makes one, and leaves no failed try uncounted and
nothing undecided but what is to expire. It knows how each of its calls has to end; where two race, either
may win, and the ledger books the one that was answered. Who acts when is left to ``day``.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec
from live import Fault, text
from people import START, DayFailed, Person, at_once, payment_of, shown_of

from gateway.authenticator.authenticator import Authenticator
from gateway.authenticator.errors import GatewayRefused
from gateway.core.model import Decision, Kind

LOGIN, PAY, CONSENT, TEXTS = (
    Kind.AUTHENTICATION,
    Kind.AUTHORISATION,
    Kind.CONSENT_SIGNATURE,
    Kind.TEXT_SIGNATURE,
)
LIFETIME_SECONDS: Final = 30
"""The shortest that a bank can ask for."""
ACTS: Final[dict[str, Callable[[Person], None]]] = {}


def act(function: Callable[[Person], None]) -> Callable[[Person], None]:
    ACTS[function.__name__] = function
    return function


def content(title: str, body: str) -> dict[str, str]:
    return {"title": title, "content": body, "mediaType": "text/plain"}


def one_payee(person: Person) -> dict[str, Any]:
    amount = f"{person.chance.randrange(1, 5000)}.{person.chance.randrange(100):02}"
    payee = {"name": "Garage Müller", "account": "DE89370400440532013000", "amount": amount}
    return {"total": amount, "currency": "EUR", "payee": [payee]}


def batch(person: Person) -> dict[str, Any]:
    amounts = [person.chance.randrange(1, 900) for _ in range(person.chance.randrange(2, 9))]
    payees = [{"name": f"Payee {n}", "account": f"CH{n}", "amount": f"{a}.00"} for n, a in enumerate(amounts)]
    return {"total": f"{sum(amounts)}.00", "currency": "CHF", "payee": payees}


def about(kind: Kind, person: Person) -> dict[str, Any]:
    return {
        LOGIN: dict,
        PAY: lambda: {"payment": one_payee(person)},
        CONSENT: lambda: {"preContext": content("Mortgage", "I borrow € 348.500,00.\nAgreed & accepted.")},
        TEXTS: lambda: {"text": [content("Terms", "All of them."), content("Fees", "€ 25.00 a year.")]},
    }[kind]()


def started(person: Person, kind: Kind, **fields: Any) -> str:
    person.phone()
    return person.bank.start(kind, person.asked(**(about(kind, person) | fields)))


def taken(person: Person, kind: Kind, **fields: Any) -> str:
    """Started, and shown on the phone."""
    id_ = started(person, kind, **fields)
    person.claim(id_, person.phone())
    return id_


def done(person: Person, kind: Kind, **fields: Any) -> Any:
    id_ = taken(person, kind, **fields)
    person.approve(id_, person.phone())
    return person.bank.approved(id_, kind)


def worth(person: Person, found: Any, payment: Any = None) -> None:
    """The code of an approval is redeemed, and its proof fetched."""
    id_ = text(found, "transactionId")
    person.bank.redeem(id_, text(found, "authenticationCode"), payment)
    proof = person.bank.ask("GetAuthorisationProof", transactionId=id_)
    if len(text(proof, "document")) < 1000:
        raise DayFailed(f"The proof of {id_} is hardly one.")


# from the bank


@act
def login(person: Person) -> None:
    after = content("Done", "You can close this app.")
    worth(person, done(person, LOGIN, postContext=after))


@act
def payment(person: Person) -> None:
    pay = one_payee(person)
    worth(person, done(person, PAY, payment=pay), pay)


@act
def batch_payment(person: Person) -> None:
    pay = batch(person)
    worth(person, done(person, PAY, payment=pay), pay)


@act
def text_authorisation(person: Person) -> None:
    limit = content("Limit", "Raise my limit to € 5.000.")
    worth(person, done(person, PAY, payment=None, preContext=limit))


@act
def consent(person: Person) -> None:
    done(person, CONSENT)


@act
def several_texts(person: Person) -> None:
    done(person, TEXTS)


# from the app


def from_app(person: Person, kind: Kind) -> None:
    asked, phone = about(kind, person), person.phone()
    texts = asked.get("text") or ([asked["preContext"]] if "preContext" in asked else [])
    pay = asked.get("payment")
    request_id = secrets.token_hex(8)
    for _ in range(2):  # the second time it is answered again
        shown = phone.app.start(
            kind,
            locale="en",
            texts=[shown_of(t) for t in texts],
            payment=None if pay is None else payment_of(pay),
            request_id=request_id,
        )
    id_ = str(shown.content.transaction_id)
    person.ledger.book("transaction", id_, "START", "PENDING")
    code = person.approve(id_, phone)
    person.bank.approved(id_, kind)
    if code is not None:
        person.bank.redeem(id_, code, pay)


@act
def login_from_app(person: Person) -> None:
    from_app(person, LOGIN)


@act
def payment_from_app(person: Person) -> None:
    from_app(person, PAY)


@act
def consent_from_app(person: Person) -> None:
    from_app(person, CONSENT)


@act
def texts_from_app(person: Person) -> None:
    from_app(person, TEXTS)


# no


def said_no(person: Person, kind: Kind, decision: Decision) -> None:
    id_ = taken(person, kind)
    person.reject(id_, person.phone(), decision)
    person.bank.rejected(id_, kind, decision)


@act
def not_me(person: Person) -> None:
    said_no(person, person.chance.choice((CONSENT, TEXTS)), Decision.REJECTED_NOT_ME)


@act
def payment_not_me_locks(person: Person) -> None:
    phone = person.phone()
    said_no(person, PAY, Decision.REJECTED_NOT_ME)
    if person.bank.device(phone) != "LOCKED":
        raise DayFailed(f"{phone.id} is not locked.")
    person.ledger.book("binding", phone.id, "LOCK", "LOCKED", "not-me")
    person.bank.unlock(phone)


@act
def no_longer_wanted(person: Person) -> None:
    said_no(person, person.chance.choice((LOGIN, CONSENT, TEXTS)), Decision.REJECTED_CANCELLED)


@act
def withdrawn_unseen(person: Person) -> None:
    id_ = started(person, person.chance.choice((LOGIN, PAY, CONSENT)))
    person.bank.cancel(id_)
    person.no("TRANSACTION_NOT_PENDING", "claim", lambda: person.phone().app.claim(UUID(id_)))


@act
def withdrawn_while_shown(person: Person) -> None:
    id_ = taken(person, person.chance.choice((LOGIN, PAY, CONSENT)))
    person.bank.cancel(id_)
    again = person.bank.ask("CancelTransaction", transactionId=id_)  # answered again, and no second row
    if text(again, "state") != "CANCELLED":
        raise DayFailed(f"{id_} was cancelled, and is not.")
    phone = person.phone()
    person.no("TRANSACTION_NOT_PENDING", "approval", lambda: phone.app.approve(UUID(id_), pin=phone.pin))


@act
def forgotten(person: Person) -> None:
    kind = person.chance.choice((LOGIN, PAY, CONSENT, TEXTS))
    person.bank.waits_for_its_end.append(started(person, kind, lifetimeSeconds=LIFETIME_SECONDS))


@act
def forgotten_while_shown(person: Person) -> None:
    kind = person.chance.choice((LOGIN, PAY, CONSENT, TEXTS))
    person.bank.waits_for_its_end.append(taken(person, kind, lifetimeSeconds=LIFETIME_SECONDS))


# PINs


@act
def mistyped_once(person: Person) -> None:
    id_ = taken(person, CONSENT)
    person.mistyped(id_, person.phone(), times=person.chance.randrange(1, 3))
    person.approve(id_, person.phone())
    person.bank.approved(id_, CONSENT)


def spent(person: Person) -> str:
    """Wrong PINs to the lock, while the transaction waits."""
    id_, phone = taken(person, LOGIN), person.phone()
    person.mistyped(id_, phone, times=3)
    person.bank.spent(phone)
    person.no("DEVICE_LOCKED", "approval", lambda: phone.app.approve(UUID(id_), pin=phone.pin))
    return id_


@act
def locked_and_unlocked(person: Person) -> None:
    phone = person.phone()
    id_ = spent(person)
    person.bank.unlock(phone)
    person.approve(id_, phone)
    person.bank.approved(id_, LOGIN)


def new_pin(person: Person, phone: Any) -> str:
    return next(pin for pin in iter(lambda: f"{person.chance.randrange(10**6):06}", "") if pin != phone.pin)


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


def reset(person: Person, phone: Any, code: str) -> None:
    pin = new_pin(person, phone)
    phone.state = phone.app.reset_pin(code=code, new_pin=pin).state
    phone.pin = pin
    person.ledger.book("binding", phone.id, "RESETPIN", phone.state, "subject")


def misread(person: Person, phone: Any, code: str) -> None:
    person.no("PROOF_REFUSED", "PIN reset", lambda: phone.app.reset_pin(code=code, new_pin="314159"))
    person.ledger.book("binding", phone.id, "FAILTRY", phone.state, "pin-reset")


@act
def locked_and_reset(person: Person) -> None:
    phone = person.phone()
    id_ = spent(person)
    person.bank.cancel(id_)
    _, code = person.bank.pin_reset(phone)
    misread(person, phone, wrong(code))
    reset(person, phone, code)
    done(person, CONSENT)


@act
def reset_blocked(person: Person) -> None:
    phone = person.phone()
    reset_id, code = person.bank.pin_reset(phone)
    for _ in range(3):
        misread(person, phone, wrong(code))
    found = person.bank.ask("GetPinReset", pinResetId=reset_id)
    if text(found, "state") != "BLOCKED":
        raise DayFailed(f"{reset_id} is not blocked.")
    person.ledger.book("binding", phone.id, "BLOCKPINRESET", phone.state, "failures")
    misread(person, phone, code)
    person.bank.pin_reset(phone)  # the next one ends this one
    _, code = person.bank.pin_reset(phone)
    reset(person, phone, code)


@act
def pin_changed(person: Person) -> None:
    phone = person.phone()
    person.no("PROOF_REFUSED", "PIN change", lambda: phone.app.change_pin(old_pin="000000", new_pin="314159"))
    person.ledger.book("binding", phone.id, "FAILTRY", phone.state, "pin-change")
    pin = new_pin(person, phone)
    phone.state = phone.app.change_pin(old_pin=phone.pin, new_pin=pin).state
    phone.pin = pin
    person.ledger.book("binding", phone.id, "CHANGEPIN", phone.state, "subject")
    done(person, LOGIN)


@act
def another_key(person: Person) -> None:
    """Who has all of a phone but its signing key burns nobody's tries, and is traced."""
    id_, phone = taken(person, CONSENT), person.phone()
    device = replace(phone.app.device, signing=ec.generate_private_key(ec.SECP256R1()))
    thief = Authenticator(device, transport=person.transport)
    thief.claim(UUID(id_))  # the binding has it already: answered again
    person.no("ASSERTION_REFUSED", "approval", lambda: thief.approve(UUID(id_), pin=phone.pin))
    person.ledger.book("binding", phone.id, "FAILTRY", phone.state, "possession")
    person.approve(id_, phone)
    person.bank.approved(id_, CONSENT)


# devices


@act
def locked_by_the_bank(person: Person) -> None:
    phone = person.phone()
    id_ = taken(person, PAY)
    reason = person.chance.choice(("caller", "lost", "stolen", "fraud"))
    person.bank.order("LockDevice", phone, "LOCK", reason, reason=reason)
    person.bank.ask("LockDevice", deviceId=phone.id, reason=reason)  # so already
    person.no("DEVICE_LOCKED", "approval", lambda: phone.app.approve(UUID(id_), pin=phone.pin))
    if not any(other.state == "ACTIVE" for other in person.phones):
        person.bank.refused("DEVICE_LOCKED", START[LOGIN], **person.asked())
    person.bank.unlock(phone)
    person.reject(id_, phone, Decision.REJECTED_CANCELLED)
    person.bank.rejected(id_, PAY, Decision.REJECTED_CANCELLED)


@act
def pin_locked_alone(person: Person) -> None:
    phone = person.phone()
    person.bank.order("LockDevice", phone, "LOCKPIN", "caller", method="pin", reason="caller")
    if len(person.phones) == 1:
        person.bank.refused("METHOD_LOCKED", START[LOGIN], **person.asked())
    person.no(
        "METHOD_LOCKED", "PIN change", lambda: phone.app.change_pin(old_pin=phone.pin, new_pin="314159")
    )
    person.bank.unlock(phone, method="pin")


@act
def renamed(person: Person) -> None:
    phone = person.phone()
    name = f"Phone {person.chance.randrange(1000, 9999)}"
    person.bank.order("RenameDevice", phone, "RENAME", "caller", name=name)
    person.bank.ask("RenameDevice", deviceId=phone.id, name=name)  # so already
    phone.state = phone.app.rename(f"{name} of mine").state
    person.ledger.book("binding", phone.id, "RENAME", phone.state, "subject")


@act
def panic_button(person: Person) -> None:
    phone = person.phone()
    phone.state = phone.app.lock().state
    person.ledger.book("binding", phone.id, "LOCK", phone.state, "subject")
    person.no("DEVICE_LOCKED", "rename", lambda: phone.app.rename("Mine"))
    person.bank.unlock(phone)


def gone(person: Person, phone: Any, waiting: str) -> None:
    """What only a device that is revoked could have decided is blocked with it."""
    person.phones.remove(phone)
    if text(person.bank.look(waiting), "state") != "BLOCKED":
        raise DayFailed(f"{waiting} outlives the device that had taken it.")
    person.ledger.book("transaction", waiting, "BLOCK", "BLOCKED", "device-revoked")
    person.no("DEVICE_NOT_AUTHENTICATED", "list", phone.app.waiting)


@act
def revoked_by_the_bank(person: Person) -> None:
    phone, reason = person.phone(), person.chance.choice(("lost", "stolen", "replaced"))
    id_ = taken(person, CONSENT)
    person.bank.order("RevokeDevice", phone, "REVOKE", reason, reason=reason)
    person.bank.ask("RevokeDevice", deviceId=phone.id, reason=reason)  # so already
    gone(person, phone, id_)


@act
def revoked_on_the_phone(person: Person) -> None:
    phone = person.phone()
    id_ = taken(person, LOGIN)
    phone.state = phone.app.revoke().state
    person.ledger.book("binding", phone.id, "REVOKE", phone.state, "subject")
    gone(person, phone, id_)


# registrations


@act
def activation_by_the_app(person: Person) -> None:
    made = person.activated(*person.opened(by_app=True))
    _end(person, made)


@act
def second_phone(person: Person) -> None:
    """Both reach for one transaction: one gets it."""
    first = person.phone()
    second = person.activated(*person.opened())
    id_ = started(person, PAY)
    found = at_once(*(lambda p=p: p.app.claim(UUID(id_)) for p in (first, second)))
    lost = [one for one in found if isinstance(one, GatewayRefused)]
    if [refusal.code for refusal in lost] != ["TRANSACTION_CLAIMED"]:
        raise DayFailed(f"Two phones claimed {id_}: {found}")
    person.ledger.refuse("phone: claim", "TRANSACTION_CLAIMED")
    person.ledger.book("transaction", id_, "CLAIM", "PENDING")
    winner = first if found[1] is lost[0] else second
    person.approve(id_, winner)
    person.bank.approved(id_, PAY)
    _end(person, second)


def _end(person: Person, phone: Any) -> None:
    """One phone too many goes again."""
    person.bank.order("RevokeDevice", phone, "REVOKE", "replaced", reason="replaced")
    person.phones.remove(phone)


@act
def activated_again(person: Person) -> None:
    old = person.phone()
    person.activated(*person.opened(purpose="re-activation"), replaces=old)
    person.no("DEVICE_NOT_AUTHENTICATED", "list", old.app.waiting)


@act
def recovered(person: Person) -> None:
    person.phone()
    person.activated(*person.opened(purpose="recovery"), recovery=person.recovery)


@act
def misread_code(person: Person) -> None:
    opened = person.opened()
    id_, link, code = opened
    person.guessed(id_, link, wrong(code), times=person.chance.randrange(1, 3))
    made = person.activated(*opened)
    person.too_late(link, code)
    _end(person, made)


@act
def blocked_activation(person: Person) -> None:
    id_, link, code = person.opened()
    person.guessed(id_, link, wrong(code), times=3)
    if text(person.bank.ask("GetRegistration", registrationId=id_), "state") != "BLOCKED":
        raise DayFailed(f"{id_} is not blocked.")
    person.ledger.book("registration", id_, "BLOCK", "BLOCKED")
    person.too_late(link, code)


# again, at once, and never


@act
def asked_again(person: Person) -> None:
    person.phone()
    fields = person.asked(**about(CONSENT, person))
    found = at_once(*[lambda: person.bank.ask(START[CONSENT], **fields)] * 3)
    ids = {text(one, "transactionId") for one in found if not isinstance(one, Fault)}
    if len(ids) != 1 or any(isinstance(one, Fault) for one in found):
        raise DayFailed(f"One request, started three times: {found}")
    (id_,) = ids
    person.bank.started(id_, "REQUESTED")
    person.bank.refused("REQUEST_ID_REUSED", START[CONSENT], **fields | {"locale": "de"})
    person.bank.cancel(id_)


@act
def approval_races_cancellation(person: Person) -> None:
    id_, phone = taken(person, LOGIN), person.phone()
    phone.app.waiting()
    approved, cancelled = at_once(
        lambda: phone.app.approve(UUID(id_), pin=phone.pin),
        lambda: person.bank.ask("CancelTransaction", transactionId=id_),
    )
    if isinstance(approved, GatewayRefused):
        person.ledger.refuse("phone: approval", approved.code)
        person.ledger.book("transaction", id_, "CANCEL", text(cancelled, "state"), "caller")
    else:
        person.ledger.refuse("CancelTransaction", cancelled.code)
        person.ledger.book("transaction", id_, "APPROVE", "APPROVED")
        person.bank.approved(id_, LOGIN)


@act
def two_redemptions(person: Person) -> None:
    found = done(person, LOGIN)
    id_ = text(found, "transactionId")

    def redeem() -> Any:
        return person.bank.ask(
            "RedeemAuthenticationCode",
            requestId=secrets.token_hex(8),
            transactionId=id_,
            authenticationCode=text(found, "authenticationCode"),
        )

    ends = at_once(redeem, redeem, redeem)
    lost = [one for one in ends if isinstance(one, Fault)]
    if [one.code for one in lost] != ["CODE_REFUSED"] * 2:
        raise DayFailed(f"Three redemptions of one code: {ends}")
    for one in lost:
        person.ledger.refuse("RedeemAuthenticationCode", one.code)
    person.bank.redeemed(id_, next(one for one in ends if not isinstance(one, Fault)))


@act
def refused_starts(person: Person) -> None:
    person.phone()
    no = person.bank.refused
    no("NOT_FOUND", START[LOGIN], **person.asked() | {"externalRef": "nobody"})
    no("PROFILE_NOT_AVAILABLE", START[LOGIN], **person.asked(profile="unheard-of"))
    hidden = content("Mortgage", "pay\u202e100")
    no("TEXT_NOT_DISPLAYABLE", START[CONSENT], **person.asked(preContext=hidden))
    no("INVALID_VALUE", START[PAY], **person.asked(payment=one_payee(person) | {"total": "0.01"}))
    no("NOT_FOUND", "GetEvidence", transactionId="019b7832-6a00-7000-8000-000000000001")
