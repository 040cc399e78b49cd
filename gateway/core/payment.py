"""What a payment may be: the fields that a phone draws, and that its authentication code is bound to.

The law: RTS (EU) 2018/389 articles 5(1) and 5(3)(b): amount and payee, and of a batch the total and every
payee. An amount has one spelling and is compared as it is spelled: 10.0 is not 10.00. What a payment looks
like in a statement is left to ``statement``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from gateway.core.errors import InvalidValue
from gateway.core.statement import AMOUNT, CURRENCY, Payee, Payment
from gateway.core.text import displayable

MAX_PAYEES: Final = 100
MAX_NAME: Final = 140
"""Code points of a payee's name: Max140Text of ISO 20022."""
_ACCOUNT: Final = re.compile(r"[A-Za-z0-9/.:-]{1,64}\Z")


def payment_of(*, total: str, currency: str, payees: Sequence[Payee], field: str = "payment") -> Payment:
    """The payment of a request; raises InvalidValue, or TextNotDisplayable for a payee's name."""
    if not CURRENCY.match(currency):
        raise InvalidValue("An ISO 4217 code, three capital letters.", field=f"{field}.currency")
    if not 1 <= len(payees) <= MAX_PAYEES:
        raise InvalidValue(f"1 to {MAX_PAYEES} payees.", field=f"{field}.payee")
    named = [
        Payee(
            displayable(p.name, field=f"{field}.payee.name", max_length=MAX_NAME, multiline=False),
            p.account,
            p.amount,
        )
        for p in payees
    ]
    if not all(_ACCOUNT.match(p.account) for p in named):
        raise InvalidValue("1 to 64 letters, digits or / . : -", field=f"{field}.payee.account")
    for place, amount in ((f"{field}.total", total), *((f"{field}.payee.amount", p.amount) for p in named)):
        if not AMOUNT.match(amount) or not Decimal(amount):
            raise InvalidValue("More than zero: digits, and at most four after a point.", field=place)
    if sum(Decimal(p.amount) for p in named) != Decimal(total):
        raise InvalidValue("The payees' amounts make up the total.", field=f"{field}.total")
    return Payment(total, currency, tuple(named))
