"""What an approval is worth to the relying party: its authentication code, redeemed once, and its proof.

The law (RTS (EU) 2018/389 articles 4 and 5): a code stands for one approval of one content; nothing of an
element can be derived from it, and no other code. Whoever redeems it names the payment again, and it is
compared with what was signed; it is consumed in the database transaction that says so, once, and only for a
short time. What failed is never told. An authorisation leaves no evidence document, but what the device
signed is kept, and is proven by it alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime, timedelta
from uuid import UUID

from gateway.core.errors import CodeRefused, EvidenceNotReady, MisuseError, NotFound
from gateway.core.evidence import compose_proof
from gateway.core.model import Caller, Channel, Decision, Kind
from gateway.core.profile import parse_profile
from gateway.core.statement import Payment, compose
from gateway.core.transaction import FINAL, State, Transaction
from gateway.services.context import Gateway
from gateway.services.enrolment import request_id_of
from gateway.services.evidence import device_signature
from gateway.services.starts import AskedPayment

REDEEMED: frozenset[Kind] = frozenset({Kind.AUTHENTICATION, Kind.AUTHORISATION})
"""Kinds whose approval is worth a code."""


def redeem_authentication_code(
    gw: Gateway,
    caller: Caller,
    *,
    request_id: str,
    transaction_id: UUID,
    code: str,
    payment: AskedPayment | None,
    at: datetime,
) -> Transaction:
    """Consumes a code; CodeRefused whatever is wrong. Repeated by the same request, the same answer."""
    caller.require("RedeemAuthenticationCode")
    request_id_of(request_id)
    transaction = gw.store.transaction(caller.relying_party, transaction_id)
    if transaction is None:
        raise NotFound()
    if transaction.kind not in REDEEMED or transaction.state is not State.COMPLETED:
        raise CodeRefused()
    approved = transaction.content.payment
    same = _fields(approved) == (None if payment is None else _fields(payment))
    if not hmac.compare_digest(_code(gw, transaction), code.encode()) or not same:
        raise CodeRefused()
    since = at - _code_lifetime(transaction)
    if not gw.store.redeem(caller.relying_party, transaction_id, request_id=request_id, since=since, at=at):
        raise CodeRefused()
    redeemed = gw.store.transaction(caller.relying_party, transaction_id)
    if redeemed is None:
        raise NotFound()
    return redeemed


def get_authorisation_proof(gw: Gateway, caller: Caller, *, transaction_id: UUID, at: datetime) -> bytes:
    """The statement with the device's signature over it, as one XML document; EvidenceNotReady without a
    decision, and for what leaves an evidence document instead."""
    caller.require("GetAuthorisationProof")
    transaction = gw.store.transaction(caller.relying_party, transaction_id)
    if transaction is None:
        raise NotFound()
    assertion = gw.store.assertion(caller.relying_party, transaction_id)
    if (
        assertion is None
        or transaction.binding_id is None
        or parse_profile(transaction.profile_document).evidence
    ):
        raise EvidenceNotReady()
    binding = gw.store.binding(caller.relying_party, transaction.binding_id)
    if binding is None:
        raise NotFound()
    statement = compose(transaction.content, binding_id=binding.id, decision=assertion.decision)
    signature = device_signature(gw, statement, binding=binding, assertion=assertion)
    return compose_proof(statement, signature=signature, crl=gw.device_ca.crl(at=at))


def code_of(gw: Gateway, transaction: Transaction, *, at: datetime) -> str | None:
    """The code of an approval that was not redeemed and still may be."""
    if (
        transaction.kind not in REDEEMED
        or transaction.state is not State.COMPLETED
        or transaction.redeemed_at is not None
        or transaction.decided_at is None
        or at > transaction.decided_at + _code_lifetime(transaction)
    ):
        return None
    return _code(gw, transaction).decode()


def match_number(gw: Gateway, transaction: Transaction) -> str | None:
    """The two digits that the relying party shows, while a device may still have to send them."""
    if (
        transaction.state in FINAL
        or transaction.channel is Channel.APP
        or not parse_profile(transaction.profile_document).number_matching
    ):
        return None
    return _number(gw, transaction)


def numbers_match(gw: Gateway, transaction: Transaction, sent: str | None) -> bool:
    return hmac.compare_digest(_number(gw, transaction).encode(), (sent or "").encode())


def _code(gw: Gateway, transaction: Transaction) -> bytes:
    """43 characters of base64url: 256 bits, bound to the whole statement, whose nonce nobody else knows."""
    if transaction.binding_id is None:
        raise MisuseError("a code of what no device approved")
    statement = compose(transaction.content, binding_id=transaction.binding_id, decision=Decision.APPROVED)
    mac = hmac.digest(gw.activation.secret, b"authentication-code:1:" + statement, hashlib.sha256)
    return base64.urlsafe_b64encode(mac).rstrip(b"=")


def _number(gw: Gateway, transaction: Transaction) -> str:
    text = b"match-number:1:" + transaction.id.bytes + transaction.content.nonce
    mac = hmac.digest(gw.activation.secret, text, hashlib.sha256)
    return str(10 + int.from_bytes(mac, "big") % 90)


def _code_lifetime(transaction: Transaction) -> timedelta:
    return timedelta(seconds=parse_profile(transaction.profile_document).code_lifetime_seconds)


def _fields(payment: Payment | AskedPayment | None) -> tuple[object, ...] | None:
    return None if payment is None else (payment.total, payment.currency, payment.payees)
