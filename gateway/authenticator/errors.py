"""Why the authenticator could not or would not do something; each message is a sentence for its user."""

from __future__ import annotations


class AuthenticatorError(Exception):
    """The root: never raised itself."""


class GatewayUnreachable(AuthenticatorError):
    """No answer came; what was asked may or may not have been done."""


class GatewayRefused(AuthenticatorError):
    """The gateway answered with a problem document."""

    def __init__(self, code: str, *, title: str, correlation_id: str) -> None:
        super().__init__(f"{code}: {title} (correlation id {correlation_id})")
        self.code = code


class NotTrusted(AuthenticatorError):
    """What came from the gateway is not what it has to be; nothing was signed."""


class CannotShow(AuthenticatorError):
    """The content cannot be shown faithfully; nothing was signed."""


class NotShown(AuthenticatorError):
    """Nobody was shown this transaction, so nobody can have decided."""


class FactorMissing(AuthenticatorError):
    """The approval asks for what this authenticator cannot prove."""


class PinUnusable(AuthenticatorError):
    """A PIN is missing, or is not one."""


class KeystoreError(AuthenticatorError):
    """The keystore cannot be read or written."""
