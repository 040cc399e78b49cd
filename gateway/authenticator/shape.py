"""What the gateway's answers must look like before anything is read from them.

The law: ``schemas/device-v1.json``. A shape is ``str``, ``None``, a dict of members (more may stand beside
them), a list of one shape for every item, or a tuple of alternatives. What the strings say is left to the
readers, and that ``fields`` is closed to the one who composes from it.
"""

from __future__ import annotations

from typing import Any, Final

from gateway.authenticator.errors import NotTrusted

Shape = Any

RELYING_PARTY: Final[Shape] = {"id": str, "name": str}
ACTIVATION: Final[Shape] = {
    "bindingId": str,
    "certificates": [str],
    "subject": str,
    "relyingParty": RELYING_PARTY,
}
TRANSACTION_LIST: Final[Shape] = {"transactions": [{"id": str, "createdAt": str, "expiresAt": str}]}
STATE: Final[Shape] = {"state": str}
SHOWN_TEXT: Final[Shape] = {"title": str, "text": str, "mediaType": str}
DEVICE: Final[Shape] = {
    "bindingId": str,
    "name": str,
    "platform": str,
    "state": str,
    "lockedMethods": [str],
    "boundAt": str,
}
_PAYEE: Final[Shape] = {"name": str, "account": str, "amount": str}
CLAIMED: Final[Shape] = {
    "state": str,
    "factors": [str],
    "numberMatching": bool,
    "fields": {
        "unicodeVersion": str,
        "transactionId": str,
        "kind": str,
        "createdAt": str,
        "expiresAt": str,
        "nonce": str,
        "relyingParty": RELYING_PARTY,
        "subject": str,
        "locale": str,
        "texts": [SHOWN_TEXT],
        "payment": (None, {"total": str, "currency": str, "payees": [_PAYEE]}),
        "documents": [{"name": str, "mediaType": str, "digest": str}],
    },
}


def require(answer: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """The answer itself; raises NotTrusted where it has another shape."""
    if not _has(answer, shape):
        raise NotTrusted("The gateway's answer does not have its published shape.")
    return answer


def _has(value: Any, shape: Shape) -> bool:
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(
            member in value and _has(value[member], inner) for member, inner in shape.items()
        )
    if isinstance(shape, list):
        return isinstance(value, list) and all(_has(item, shape[0]) for item in value)
    if isinstance(shape, tuple):
        return any(_has(value, alternative) for alternative in shape)
    return value is None if shape is None else isinstance(value, shape)
