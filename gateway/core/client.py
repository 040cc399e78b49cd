"""Client versions: which authenticator apps may speak to the gateway, and from which version on.

The law: a client says its name and version in one spelling, ``name/version``. Where no rule is configured,
every client is accepted, and so is one that says nothing; as soon as there is one rule, a client that is not
named, is below its floor, is blocked, or says nothing is refused. Versions are compared as numbers: 1.10 is
above 1.9, and 1.4 is 1.4.0. What a client says of itself is signed, not proven: that is attestation's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.core.errors import ClientNotAccepted

CLIENT_NAME: Final = r"[A-Za-z0-9._-]{1,64}"
CLIENT_VERSION: Final = r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,3}"
_CLIENT: Final = re.compile(rf"({CLIENT_NAME})/({CLIENT_VERSION})")
_PARTS: Final = 4


@dataclass(frozen=True, slots=True)
class Client:
    name: str
    version: str

    def text(self) -> str:
        """As the header field ``Mobileid-Client`` has it."""
        return f"{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class ClientRule:
    floor: str
    """The lowest version that is accepted."""
    blocked: frozenset[str] = frozenset()
    """Versions that are refused although they are above the floor."""


@dataclass(frozen=True, slots=True)
class ClientRules:
    rules: Mapping[str, ClientRule] = field(default_factory=dict)
    """By the client's name; none: every client is accepted."""

    def require(self, client: Client | None) -> None:
        """Raises ClientNotAccepted unless the rules accept the client."""
        if not self.rules:
            return
        rule = None if client is None else self.rules.get(client.name)
        if client is None or rule is None:
            raise ClientNotAccepted()
        version = version_key(client.version)
        if version < version_key(rule.floor) or version in map(version_key, rule.blocked):
            raise ClientNotAccepted()


def parse_client(text: str) -> Client:
    """The inverse of ``Client.text``; raises ValueError."""
    match = _CLIENT.fullmatch(text)
    if match is None:
        raise ValueError("not a client's name and version")
    return Client(match[1], match[2])


def version_key(version: str) -> tuple[int, ...]:
    """What versions are compared by; raises ValueError for what is none."""
    if not re.fullmatch(CLIENT_VERSION, version):
        raise ValueError("a version is one to four numbers with dots between them")
    parts = tuple(map(int, version.split(".")))
    return parts + (0,) * (_PARTS - len(parts))
