"""Whom attestations are believed from, and for whose apps: values that configuration gives.

The law: without a root nothing is believed. What the lists are read from is left to ``composition``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from cryptography import x509

_SERIAL: Final = re.compile(r"[0-9a-f]{1,40}")


@dataclass(frozen=True, slots=True)
class AttestationPolicy:
    roots: tuple[x509.Certificate, ...] = ()
    """None: every attestation is refused."""
    revoked: frozenset[int] = frozenset()
    """Serial numbers; a chain that has one of them is refused."""
    applications: frozenset[tuple[str, bytes]] = frozenset()
    """Package name, and SHA-256 of the certificate that signs it; none: any app."""


def parse_status_list(data: bytes) -> frozenset[int]:
    """The serial numbers of a status list as Google publishes it, revoked or suspended; raises ValueError."""
    try:
        entries = json.loads(data)["entries"]
        serials = list(entries)
        whole = all(_SERIAL.fullmatch(serial) and "status" in entries[serial] for serial in serials)
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("not a status list") from error
    if not isinstance(entries, dict) or not whole:
        raise ValueError("not a status list: an entry is a hexadecimal serial number in lower case")
    return frozenset(int(serial, 16) for serial in serials)
