"""Magic references: names of subjects that a sandbox answers for by itself, one for each outcome and fault.

The law: they exist in a sandbox and nowhere else. Nothing is pretended but the person: each name has a phone
of its own, the reference authenticator, which is activated when its name is first used, and which decides
over the device face as any other would. What a name does stands in OUTCOMES; ``sandbox-fault-CODE`` ends the
start with that fault.
"""

from __future__ import annotations

import fcntl
import io
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from gateway.authenticator.authenticator import Authenticator
from gateway.authenticator.errors import AuthenticatorError, GatewayRefused
from gateway.authenticator.keystore import Device, Keystore
from gateway.core.errors import GatewayError, SealUnavailable, leaves
from gateway.core.model import BindingState, Caller, Decision
from gateway.core.profile import MAX_FAILURES_CEILING
from gateway.core.transaction import Event, Transaction
from gateway.device.application import device_app
from gateway.services import authorisation, enrolment
from gateway.services.context import Gateway

PREFIX: Final = "sandbox-"
FAULT: Final = f"{PREFIX}fault-"
PIN: Final = "271828"
WRONG_PIN: Final = "000000"
_ATTEMPTS: Final = 5
OUTCOMES: Final[Mapping[str, str]] = {
    "approved": "approved at once: COMPLETED",
    "rejected-not-me": 'rejected at once as "not me": REJECTED',
    "rejected-cancelled": "rejected at once as no longer wanted: REJECTED",
    "expired": "never answered: EXPIRED at the end of its life",
    "blocked": "stopped by a rule: BLOCKED",
    "failed": "approved, but its evidence cannot be made: FAILED (without evidence: COMPLETED)",
    "locked": "answered with wrong PINs until the device is locked; the next start finds a new one",
}
"""What follows PREFIX, and what becomes of a transaction for it."""

log = structlog.get_logger("gateway")


class MagicPhones:
    """The phones behind the names; their keys stand in keystores of this folder."""

    def __init__(self, folder: Path, *, passphrase: str) -> None:
        self._folder = folder
        self._passphrase = passphrase

    def prepare(self, gw: Gateway, *, relying_party: str, external_ref: str, at: datetime) -> None:
        """Raises the fault of a name, or sees to it that the name has a phone."""
        if external_ref.startswith(FAULT):
            for leaf in leaves():
                if leaf.code == external_ref.removeprefix(FAULT):
                    raise leaf()
        elif external_ref.removeprefix(PREFIX) in OUTCOMES and external_ref.startswith(PREFIX):
            self._device(gw, relying_party, external_ref, at=at)

    def play(self, gw: Gateway, transaction: Transaction) -> None:
        """Begins what the name does with a transaction, and waits for none of it."""
        word = transaction.external_ref.removeprefix(PREFIX)
        if transaction.external_ref.startswith(PREFIX) and word in OUTCOMES:
            threading.Thread(target=self._play, args=(gw, transaction, word), daemon=True).start()

    def _play(self, gw: Gateway, transaction: Transaction, word: str) -> None:
        try:
            ACTS[word](self, gw, transaction)
        except (AuthenticatorError, GatewayError) as error:
            log.warning("magic_failed", transaction=str(transaction.id), type=type(error).__name__)

    def phone(self, gw: Gateway, transaction: Transaction) -> Authenticator:
        """The phone of a transaction's subject, which has taken it."""
        device = self._device(
            gw, transaction.relying_party, transaction.external_ref, at=transaction.created_at
        )
        phone = Authenticator(device, transport=_inside(gw), clock=gw.clock.now)
        phone.claim(transaction.id)
        return phone

    def _device(self, gw: Gateway, relying_party: str, reference: str, *, at: datetime) -> Device:
        keystore = Keystore(self._folder / f"{relying_party}.{reference}", self._passphrase)
        with self._locked():
            if keystore.path.exists():
                device = keystore.load()
                binding = gw.store.binding(relying_party, device.binding_id)
                if binding is not None and binding.state is BindingState.ACTIVE:
                    return device
            device = self._activate(gw, relying_party, reference, at=at)
            keystore.save(device)
            return device

    def _activate(self, gw: Gateway, relying_party: str, reference: str, *, at: datetime) -> Device:
        """A new phone in the place of any before it."""
        subject = gw.store.subject_by_ref(relying_party, reference)
        for binding in () if subject is None else gw.store.bindings_of(relying_party, subject.id):
            gw.store.revoke(relying_party, binding.id, at=at)
        registration = enrolment.start_registration(
            gw,
            Caller("sandbox", relying_party, frozenset({"StartRegistration"})),
            request_id=secrets.token_hex(16),
            external_ref=reference,
            attributes=(),
            at=at,
        )
        opened = registration.activation
        if opened is None:
            raise SealUnavailable()
        return Authenticator.activate(
            opened.qr_payload,
            code=opened.code,
            pin=PIN,
            name=reference,
            transport=_inside(gw),
            clock=gw.clock.now,
        ).device

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time, and one thread of it, makes phones."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with (self._folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _approve(phones: MagicPhones, gw: Gateway, transaction: Transaction, *, pin: str = PIN) -> None:
    number = authorisation.match_number(gw, transaction)
    phones.phone(gw, transaction).approve(transaction.id, pin=pin, number=number)


def _reject(decision: Decision) -> Act:
    def act(phones: MagicPhones, gw: Gateway, transaction: Transaction) -> None:
        phones.phone(gw, transaction).reject(transaction.id, decision=decision)

    return act


def _block(phones: MagicPhones, gw: Gateway, transaction: Transaction) -> None:
    """As it stands at that moment: the wake-up may move it at the same time."""
    for _ in range(_ATTEMPTS):
        found = gw.store.transaction(transaction.relying_party, transaction.id)
        if found is None or gw.store.finish(found, event=Event.BLOCK, reason="sandbox", at=gw.clock.now()):
            return


def _fail(phones: MagicPhones, gw: Gateway, transaction: Transaction) -> None:
    """Approved before a gateway that can neither seal nor complete; then its failure is recorded."""
    _approve(phones, replace(gw, seal_key=_NoSeal(gw.seal_key.chain)), transaction)
    approved = gw.store.transaction(transaction.relying_party, transaction.id)
    if approved is not None:
        gw.store.finish(approved, event=Event.FAIL, reason="sandbox", at=gw.clock.now())


def _lock(phones: MagicPhones, gw: Gateway, transaction: Transaction) -> None:
    phone = phones.phone(gw, transaction)
    for _ in range(MAX_FAILURES_CEILING + 1):  # more than any profile allows: the device locks before
        with suppress(GatewayRefused):
            phone.approve(transaction.id, pin=WRONG_PIN, number="00")


Act = Callable[[MagicPhones, Gateway, Transaction], None]
ACTS: Final[Mapping[str, Act]] = {
    "approved": _approve,
    "rejected-not-me": _reject(Decision.REJECTED_NOT_ME),
    "rejected-cancelled": _reject(Decision.REJECTED_CANCELLED),
    "expired": lambda phones, gw, transaction: None,
    "blocked": _block,
    "failed": _fail,
    "locked": _lock,
}


@dataclass(frozen=True, slots=True)
class _NoSeal:
    chain: Any

    def sign(self, data: bytes) -> bytes:
        raise SealUnavailable()


def _inside(gw: Gateway) -> Callable[[str, str, Mapping[str, str], bytes], tuple[int, bytes]]:
    """A transport to the device face of this very process."""
    face = device_app(gw, admit=lambda environ: None, max_bytes=262_144)  # the bank's call was admitted

    def send(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        target = urlsplit(url)
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": target.path,
            "QUERY_STRING": target.query,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        for name, value in headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        seen: list[str] = []
        parts = face(environ, lambda status, fields: seen.append(status))
        return int(seen[0][:3]), b"".join(parts)

    return send
