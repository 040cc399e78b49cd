"""Who calls: every way to authenticate ends in one Caller or in one refusal.

The law: each caller has exactly one way, which its configuration names, and no other leads to it. Either a
UsernameToken (WS-Security 1.0 and 1.1, UsernameToken Profile 1.1 section 3.1: a Password without Type is
PasswordText; a digest is refused, for it would need the secret itself); or a TLS client certificate, as the
proxy in front verified it; or both, which must be the same caller's; or a message signed under a pinned
certificate. One Security header for us; a Timestamp that has expired is refused. A secret is 256 random bits
and configured as their SHA-256; an unknown caller takes the same steps. Whatever is wrong, the answer is
NOT_AUTHENTICATED and says no more. What a signed message must be is left to ``core.wssecurity``, what a
caller may do to the services.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from cryptography import x509
from lxml import etree

from gateway.core import wssecurity
from gateway.core.errors import NotAuthenticated
from gateway.core.model import Caller
from gateway.core.wssecurity import SECURITY, SIGNATURE, TIMESTAMP, WSSE, WSU, NotSigned, VerifiedMessage
from gateway.soap import addressing
from gateway.soap.guard import Message

_WSS: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
PASSWORD_TEXT: Final = f"{_WSS}username-token-profile-1.0#PasswordText"
_PASSWORD_TEXTS: Final = frozenset(
    {PASSWORD_TEXT, "http://docs.oasis-open.org/wss/oasis-wss-username-token-profile-1.1#PasswordText"}
)
"""Profile 1.1 keeps the name of 1.0; the other one is in use all the same."""
_SECURITY_PARTS: Final = frozenset({f"{WSSE}UsernameToken", TIMESTAMP})
_TOKEN_PARTS: Final = frozenset({f"{WSSE}Username", f"{WSSE}Password", f"{WSSE}Nonce", f"{WSU}Created"})
_NOBODY: Final = hashlib.sha256(b"").digest()
"""What an unknown caller's secret is compared with; an empty secret is refused before."""


class Authentication(StrEnum):
    """The one way in which a caller proves who it is."""

    USERNAME = "username"
    MTLS = "mtls"
    MTLS_USERNAME = "mtls+username"
    X509 = "x509"


_WITH_SECRET: Final = frozenset({Authentication.USERNAME, Authentication.MTLS_USERNAME})
_WITH_TLS: Final = frozenset({Authentication.MTLS, Authentication.MTLS_USERNAME})


@dataclass(frozen=True, slots=True)
class CallerCredential:
    id: str
    relying_party: str
    rights: frozenset[str]
    secret_sha256: bytes | None = None
    """SHA-256 of a 256-bit random secret, as the message spells it; 32 bytes."""
    authentication: Authentication = Authentication.USERNAME
    certificates: tuple[x509.Certificate, ...] = ()
    """Pinned: of TLS, or of messages; while they are changed, two."""

    def __post_init__(self) -> None:
        digest = self.secret_sha256
        if (digest is not None) != (self.authentication in _WITH_SECRET):
            raise ValueError("secret_sha256: for a UsernameToken, and for nothing else")
        if digest is not None and len(digest) != hashlib.sha256().digest_size:
            raise ValueError("secret_sha256: 32 bytes")
        if bool(self.certificates) != (self.authentication is not Authentication.USERNAME):
            raise ValueError("certificates: for mtls and x509, and for nothing else")

    @property
    def caller(self) -> Caller:
        return Caller(self.id, self.relying_party, self.rights)


@dataclass(frozen=True, slots=True)
class MessageRules:
    window: timedelta
    """The longest time from Created to Expires."""
    skew: timedelta
    """How far a caller's clock may be off."""


@dataclass(frozen=True, slots=True)
class Authenticated:
    caller: Caller
    signed: VerifiedMessage | None = None
    """Where a message was signed: it still has to be seen for the first time."""


class CallerAuthenticator(Protocol):
    @property
    def understood(self) -> frozenset[str]:
        """Tags of the header blocks that it processes, for mustUnderstand."""
        ...

    def authenticate(self, message: Message, *, at: datetime) -> Authenticated:
        """Raises NotAuthenticated, whatever is wrong."""
        ...


UNDERSTOOD: Final = frozenset({SECURITY}) | addressing.BLOCKS


class UsernameTokenAuthenticator:
    """A caller's id and secret in a UsernameToken; what carries them must be encrypted."""

    understood = UNDERSTOOD

    def __init__(self, callers: Mapping[str, CallerCredential]) -> None:
        self._callers = {
            name: (known.secret_sha256, known.caller)
            for name, known in callers.items()
            if known.secret_sha256 is not None
        }

    def authenticate(self, message: Message, *, at: datetime) -> Authenticated:
        username, password = _credentials(message, at=at)
        unknown: tuple[bytes, Caller | None] = (_NOBODY, None)
        expected, caller = self._callers.get(username, unknown)
        equal = hmac.compare_digest(hashlib.sha256(password.encode()).digest(), expected)
        if not equal or caller is None:
            raise NotAuthenticated()
        return Authenticated(caller)


class AnyAuthenticator:
    """Each caller by the way that its configuration names."""

    understood = UNDERSTOOD

    def __init__(self, credentials: Iterable[CallerCredential], *, rules: MessageRules) -> None:
        known = {credential.id: credential for credential in credentials}
        ways = {
            way: {name: each for name, each in known.items() if each.authentication is way}
            for way in Authentication
        }
        self._rules = rules
        self._callers = {name: each.caller for name, each in known.items()}
        self._username = UsernameTokenAuthenticator(ways[Authentication.USERNAME])
        self._both = UsernameTokenAuthenticator(ways[Authentication.MTLS_USERNAME])
        self._tls_only = frozenset(ways[Authentication.MTLS])
        self._messages = pins_of(ways[Authentication.X509].values())
        self._tls = pins_of(each for each in known.values() if each.authentication in _WITH_TLS)

    def authenticate(self, message: Message, *, at: datetime) -> Authenticated:
        if means_to_be_signed(message):
            return self._signed(message, at=at)
        if message.client_certificate is None:
            return self._username.authenticate(message, at=at)
        fingerprint = hashlib.sha256(message.client_certificate).digest()
        pin = self._tls.find(wssecurity.KeyReference.BINARY, fingerprint)
        if pin is None:
            return self._username.authenticate(message, at=at)
        if not pin.certificate.not_valid_before_utc <= at <= pin.certificate.not_valid_after_utc:
            raise NotAuthenticated()
        if pin.owner in self._tls_only:
            _only_a_timestamp(message, at=at)
            return Authenticated(self._callers[pin.owner])
        found = self._both.authenticate(message, at=at)
        if found.caller.id != pin.owner:
            raise NotAuthenticated()
        return found

    def _signed(self, message: Message, *, at: datetime) -> Authenticated:
        security = _one([block for block in message.headers if block.tag == SECURITY])
        if not message.version.is_for_us(security):
            raise NotAuthenticated()
        try:
            unverified = wssecurity.parse_message(
                security,
                envelope=message.envelope,
                body=message.body,
                addressing=message.addressing.blocks,
            )
            verified = wssecurity.verify_message(
                unverified, pins=self._messages, window=self._rules.window, skew=self._rules.skew, at=at
            )
        except NotSigned as error:
            raise NotAuthenticated() from error
        return Authenticated(self._callers[verified.owner], verified)


def pins_of(credentials: Iterable[CallerCredential]) -> wssecurity.Pins:
    """Raises ValueError where a key may not sign, or one certificate would be two callers'."""
    return wssecurity.Pins(
        wssecurity.Pin(each.id, certificate) for each in credentials for certificate in each.certificates
    )


def means_to_be_signed(message: Message) -> bool:
    """Whether a Signature stands in a Security header, well or badly: then the answer is signed too."""
    return any(block.find(SIGNATURE) is not None for block in message.headers if block.tag == SECURITY)


def _only_a_timestamp(message: Message, *, at: datetime) -> None:
    """What may stand beside a client certificate that is alone to prove its caller."""
    for security in message.headers:
        if security.tag != SECURITY:
            continue
        if [str(child.tag) for child in security] != [TIMESTAMP]:
            raise NotAuthenticated()
        _check_timestamp(security, at=at)


def _credentials(message: Message, *, at: datetime) -> tuple[str, str]:
    """Username and password of the one UsernameToken."""
    security = _one([block for block in message.headers if block.tag == SECURITY])
    children = [str(child.tag) for child in security]
    if not message.version.is_for_us(security) or not _SECURITY_PARTS.issuperset(children):
        raise NotAuthenticated()
    _check_timestamp(security, at=at)
    token = _one(security.findall(f"{WSSE}UsernameToken"))
    tags = [str(part.tag) for part in token]
    if len(set(tags)) != len(tags) or not _TOKEN_PARTS.issuperset(tags):
        raise NotAuthenticated()
    username = _one(token.findall(f"{WSSE}Username"))
    password = _one(token.findall(f"{WSSE}Password"))
    if password.get("Type", PASSWORD_TEXT) not in _PASSWORD_TEXTS or len(username) or len(password):
        raise NotAuthenticated()
    if not username.text or not password.text:
        raise NotAuthenticated()
    return username.text, password.text


def _check_timestamp(security: etree._Element, *, at: datetime) -> None:
    """Expires, where it stands, is not over (WS-Security 1.1 section 10)."""
    for expires in security.iterfind(f"{TIMESTAMP}/{WSU}Expires"):
        try:
            over = wssecurity.parse_moment(expires.text or "") <= at
        except ValueError as error:
            raise NotAuthenticated() from error
        if over:
            raise NotAuthenticated()


def _one(found: list[etree._Element]) -> etree._Element:
    if len(found) != 1:
        raise NotAuthenticated()
    return found[0]
