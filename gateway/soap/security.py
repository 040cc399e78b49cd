"""Who calls: every way to authenticate ends in one Caller or in one refusal.

The law: WS-Security 1.0 and 1.1 (one Security header for us, in it one UsernameToken; a Timestamp that
has expired is refused, section 10 of 1.1); UsernameToken Profile 1.1 section 3.1 (a Password without Type
is PasswordText; a digest is refused, for it would need the secret itself). The secret is 256 random bits
of a caller and configured as their SHA-256; an unknown caller takes the same steps. Whatever is wrong,
the answer is NOT_AUTHENTICATED and says no more. What a caller may do is left to the services.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from lxml import etree

from gateway.core.errors import NotAuthenticated
from gateway.core.model import Caller
from gateway.soap.guard import Message

_WSS: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
_WSSE: Final = f"{{{_WSS}wssecurity-secext-1.0.xsd}}"
_WSU: Final = f"{{{_WSS}wssecurity-utility-1.0.xsd}}"
SECURITY: Final = f"{_WSSE}Security"
PASSWORD_TEXT: Final = f"{_WSS}username-token-profile-1.0#PasswordText"
_PASSWORD_TEXTS: Final = frozenset(
    {PASSWORD_TEXT, "http://docs.oasis-open.org/wss/oasis-wss-username-token-profile-1.1#PasswordText"}
)
"""Profile 1.1 keeps the name of 1.0; the other one is in use all the same."""
_SECURITY_PARTS: Final = frozenset({f"{_WSSE}UsernameToken", f"{_WSU}Timestamp"})
_TOKEN_PARTS: Final = frozenset({f"{_WSSE}Username", f"{_WSSE}Password", f"{_WSSE}Nonce", f"{_WSU}Created"})
_DATE_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
"""xs:dateTime with its zone; Python reads more of ISO 8601 than that."""
_NOBODY: Final = hashlib.sha256(b"").digest()
"""What an unknown caller's secret is compared with; an empty secret is refused before."""


@dataclass(frozen=True, slots=True)
class CallerCredential:
    id: str
    relying_party: str
    rights: frozenset[str]
    secret_sha256: bytes
    """SHA-256 of a 256-bit random secret, as the message spells it; 32 bytes."""

    def __post_init__(self) -> None:
        if len(self.secret_sha256) != hashlib.sha256().digest_size:
            raise ValueError("secret_sha256: 32 bytes")


class CallerAuthenticator(Protocol):
    @property
    def understood(self) -> frozenset[str]:
        """Tags of the header blocks that it processes, for mustUnderstand."""
        ...

    def authenticate(self, message: Message, *, at: datetime) -> Caller:
        """Raises NotAuthenticated, whatever is wrong."""
        ...


class UsernameTokenAuthenticator:
    """A caller's id and secret in a UsernameToken; what carries them must be encrypted."""

    understood = frozenset({SECURITY})

    def __init__(self, callers: Mapping[str, CallerCredential]) -> None:
        self._callers = {
            name: (known.secret_sha256, Caller(known.id, known.relying_party, known.rights))
            for name, known in callers.items()
        }

    def authenticate(self, message: Message, *, at: datetime) -> Caller:
        username, password = _credentials(message, at=at)
        expected, caller = self._callers.get(username, (_NOBODY, None))
        equal = hmac.compare_digest(hashlib.sha256(password.encode()).digest(), expected)
        if not equal or caller is None:
            raise NotAuthenticated()
        return caller


def _credentials(message: Message, *, at: datetime) -> tuple[str, str]:
    """Username and password of the one UsernameToken."""
    security = _one([block for block in message.headers if block.tag == SECURITY])
    children = [str(child.tag) for child in security]
    if not message.version.is_for_us(security) or not _SECURITY_PARTS.issuperset(children):
        raise NotAuthenticated()
    for expires in security.iterfind(f"{_WSU}Timestamp/{_WSU}Expires"):
        _check_expiry(expires.text or "", at=at)
    token = _one(security.findall(f"{_WSSE}UsernameToken"))
    tags = [str(part.tag) for part in token]
    if len(set(tags)) != len(tags) or not _TOKEN_PARTS.issuperset(tags):
        raise NotAuthenticated()
    username = _one(token.findall(f"{_WSSE}Username"))
    password = _one(token.findall(f"{_WSSE}Password"))
    if password.get("Type", PASSWORD_TEXT) not in _PASSWORD_TEXTS or len(username) or len(password):
        raise NotAuthenticated()
    if not username.text or not password.text:
        raise NotAuthenticated()
    return username.text, password.text


def _check_expiry(text: str, *, at: datetime) -> None:
    if _DATE_TIME.fullmatch(text.strip(" \t\r\n")) is None:
        raise NotAuthenticated()
    try:
        expires = datetime.fromisoformat(text.strip(" \t\r\n"))
    except ValueError as error:
        raise NotAuthenticated() from error
    if expires <= at:
        raise NotAuthenticated()


def _one(found: list[etree._Element]) -> etree._Element:
    if len(found) != 1:
        raise NotAuthenticated()
    return found[0]
