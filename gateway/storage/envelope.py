"""Sealing what the database must not be able to read.

The law: AES-256-GCM with a random 96-bit nonce (NIST SP 800-38D, 8.2.2); a sealed value opens under the key
that its prefix names, at the table, column, relying party and row that it was sealed for, and nowhere else.
Each subject has a data key of its own, kept only under a key-encryption key: without its wrapped form nothing
of the subject opens. A blind index is HMAC-SHA-256 under a key that HKDF (RFC 5869) derives for one relying
party and one purpose. What does not open is InternalError: it is our configuration or our database, never
the caller. Where wrapped keys are kept, and which columns are sealed, is left to the schema.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.core.errors import InternalError

KEY_BYTES = 32
_NONCE_BYTES = 12
_SUBJECT = "subject"
"""The key id in what is sealed under the subject's own key."""


def _context(*parts: str) -> bytes:
    """No part holds a NUL: they are our own names, relying party ids and UUIDs."""
    return "\0".join(parts).encode()


def _seal(key_id: str, key: bytes, plaintext: bytes, *where: str) -> bytes:
    """One byte of length, the key id, the nonce, the ciphertext with its tag."""
    prefix, nonce = key_id.encode(), os.urandom(_NONCE_BYTES)
    return (
        bytes([len(prefix)])
        + prefix
        + nonce
        + AESGCM(key).encrypt(nonce, plaintext, _context(key_id, *where))
    )


def _open(keys: Mapping[str, bytes], sealed: bytes, *where: str) -> bytes:
    end = 1 + sealed[0] if sealed else 0
    try:
        key_id = sealed[1:end].decode()
        nonce, ciphertext = sealed[end : end + _NONCE_BYTES], sealed[end + _NONCE_BYTES :]
        return AESGCM(keys[key_id]).decrypt(nonce, ciphertext, _context(key_id, *where))
    except (InvalidTag, KeyError, ValueError) as error:
        error.add_note("does not open: " + " / ".join(where))
        raise InternalError() from error


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """The data key of one subject."""

    relying_party: str
    _secret: bytes = field(repr=False)

    def seal(self, plaintext: bytes, *, table: str, column: str, row: str) -> bytes:
        return _seal(_SUBJECT, self._secret, plaintext, table, column, self.relying_party, row)

    def open(self, sealed: bytes, *, table: str, column: str, row: str) -> bytes:
        return _open({_SUBJECT: self._secret}, sealed, table, column, self.relying_party, row)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Key-encryption keys by id: the current one wraps, every one unwraps."""

    current_id: str
    keys: Mapping[str, bytes] = field(repr=False)
    """32 bytes each; ids of 1 to 40 visible ASCII characters."""

    def __post_init__(self) -> None:
        if self.current_id not in self.keys:
            raise ValueError("current_id: names one of the keys")
        for key_id, key in self.keys.items():
            if len(key) != KEY_BYTES:
                raise ValueError("keys: each has 32 bytes")
            if not (1 <= len(key_id) <= 40 and key_id.isascii() and key_id.isprintable()):
                raise ValueError("keys: an id has 1 to 40 visible ASCII characters")

    def new_subject_key(self, relying_party: str, *, subject_id: UUID) -> tuple[SubjectKey, bytes]:
        """A fresh data key, and its wrapped form to keep."""
        secret = os.urandom(KEY_BYTES)
        where = ("subject_key", "wrapped", relying_party, str(subject_id))
        wrapped = _seal(self.current_id, self.keys[self.current_id], secret, *where)
        return SubjectKey(relying_party, secret), wrapped

    def unwrap(self, wrapped: bytes, *, relying_party: str, subject_id: UUID) -> SubjectKey:
        where = ("subject_key", "wrapped", relying_party, str(subject_id))
        return SubjectKey(relying_party, _open(self.keys, wrapped, *where))


class BlindIndex:
    """Finds a value without storing it."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < KEY_BYTES:
            raise ValueError("index secret: at least 32 bytes")
        self._secret = secret
        self._keys: dict[tuple[str, str], bytes] = {}

    def of(self, value: str, *, relying_party: str, purpose: str) -> bytes:
        """32 bytes."""
        key = self._keys.get((relying_party, purpose))
        if key is None:
            info = _context("blind index", purpose, relying_party)
            key = HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(self._secret)
            self._keys[relying_party, purpose] = key
        return hmac.digest(key, value.encode(), hashlib.sha256)
