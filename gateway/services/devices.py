"""Devices: list, get, rename, lock, unlock, revoke, their history; change and reset of the PIN.

The law (RTS (EU) 2018/389 articles 4(3)(b), 4(4), 24 and 27): only the bank unlocks, and that resets the
tries; a revocation is for ever and refuses everywhere at once. On its device a person may rename, lock,
revoke and change the PIN, and no other device's. A PIN is changed by who knows the old one: a wrong one is
a try like any other. It is reset by who holds two halves, the device and a code from another channel, as at
activation. What is locked for another reason than failures only the bank opens. What is so already is
answered again.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from gateway.core.device_order import (
    DeviceOrder,
    NewPinOrder,
    Purpose,
    verify_knowledge,
    verify_new_pin,
    verify_revocation,
)
from gateway.core.errors import (
    Conflict,
    DeviceLocked,
    DeviceRevoked,
    InvalidValue,
    MethodLocked,
    NotFound,
    ProfileNotAvailable,
    ProofRefused,
    RequestIdReused,
)
from gateway.core.model import (
    GATEWAYS_REASONS,
    BindingState,
    Caller,
    DeviceBinding,
    Factor,
    FailedTry,
    HistoryEntry,
    LockReason,
    PinReset,
    PinResetState,
    uuid7,
    whole_seconds,
)
from gateway.core.text import displayable
from gateway.services.context import Gateway
from gateway.services.enrolment import external_ref_of, request_digest, request_id_of

MAX_NAME = 64
"""Code points."""
HISTORY_PAGE = 100
METHODS = frozenset({Factor.PIN})
"""What can be locked alone."""


@dataclass(frozen=True, slots=True)
class DeviceView:
    binding: DeviceBinding
    last_used_at: datetime | None
    """When it last decided a transaction."""


@dataclass(frozen=True, slots=True)
class HistoryPage:
    entries: tuple[HistoryEntry, ...]
    next: UUID | None
    """What to ask for after this page; None on the last."""


@dataclass(frozen=True, slots=True)
class PinResetView:
    id: UUID
    binding_id: UUID
    state: PinResetState
    created_at: datetime
    expires_at: datetime
    code: str | None
    """Only while PENDING."""


# the bank


def list_devices(gw: Gateway, caller: Caller, *, external_ref: str, at: datetime) -> tuple[DeviceView, ...]:
    """All devices of a subject, the revoked ones too, in the order of their activation."""
    caller.require("ListDevices")
    external_ref_of(external_ref)
    subject = gw.store.subject_by_ref(caller.relying_party, external_ref)
    if subject is None:
        raise NotFound(field="externalRef")
    return _views(gw, gw.store.bindings_of(caller.relying_party, subject.id))


def get_device(gw: Gateway, caller: Caller, *, device_id: UUID, at: datetime) -> DeviceView:
    caller.require("GetDevice")
    return _view(gw, caller, device_id)


def rename_device(gw: Gateway, caller: Caller, *, device_id: UUID, name: str, at: datetime) -> DeviceView:
    caller.require("RenameDevice")
    _rename(gw, _standing(gw, caller, device_id), name=name, reason=LockReason.CALLER, at=at)
    return _view(gw, caller, device_id)


def lock_device(
    gw: Gateway, caller: Caller, *, device_id: UUID, method: str | None, reason: str, at: datetime
) -> DeviceView:
    """Locks the device, or one method of it; what is locked is answered as it is."""
    caller.require("LockDevice")
    lock = gw.store.lock if _method_of(method) is None else gw.store.lock_pin
    why = _reason_of(reason)
    device = _standing(gw, caller, device_id)
    lock(device.relying_party, device.id, reason=why, at=at)
    return _still_standing(_view(gw, caller, device_id))


def unlock_device(
    gw: Gateway, caller: Caller, *, device_id: UUID, method: str | None, at: datetime
) -> DeviceView:
    """The secure way back: opens the device, or one method of it, and resets the tries."""
    caller.require("UnlockDevice")
    unlock = gw.store.unlock if _method_of(method) is None else gw.store.unlock_pin
    device = _standing(gw, caller, device_id)
    unlock(device.relying_party, device.id, reason=LockReason.CALLER, at=at)
    return _still_standing(_view(gw, caller, device_id))


def revoke_device(gw: Gateway, caller: Caller, *, device_id: UUID, reason: str, at: datetime) -> DeviceView:
    """Ends the device, and what only it could still have decided; repeated, the same answer."""
    caller.require("RevokeDevice")
    why = _reason_of(reason)
    device = _load(gw, caller, device_id)
    gw.store.revoke(device.relying_party, device.id, reason=why, at=at)
    return _view(gw, caller, device_id)


def get_device_history(
    gw: Gateway, caller: Caller, *, device_id: UUID, after: UUID | None, at: datetime
) -> HistoryPage:
    """One page of what has happened to the device, oldest first."""
    caller.require("GetDeviceHistory")
    device = _load(gw, caller, device_id)
    found = gw.store.history(device.relying_party, device.id, after=after, limit=HISTORY_PAGE + 1)
    page = tuple(found[:HISTORY_PAGE])
    return HistoryPage(page, page[-1].id if len(found) > HISTORY_PAGE else None)


def start_pin_reset(
    gw: Gateway, caller: Caller, *, request_id: str, device_id: UUID, at: datetime
) -> PinResetView:
    """Offers a new PIN to whoever has both the device and the code; it ends earlier offers."""
    caller.require("StartPinReset")
    request_id_of(request_id)
    device = _load(gw, caller, device_id)
    digest = request_digest(operation="StartPinReset", deviceId=device_id)
    created = whole_seconds(at)
    standing = gw.store.start_pin_reset(
        PinReset(
            relying_party=device.relying_party,
            id=uuid7(at),
            binding_id=device.id,
            subject_id=device.subject_id,
            state=PinResetState.PENDING,
            failures=0,
            created_at=created,
            expires_at=created + timedelta(seconds=gw.activation.lifetime_seconds),
        ),
        request_id=request_id,
        request_digest=digest,
        at=at,
    )
    if standing is None:
        if _standing(gw, caller, device_id).state is BindingState.LOCKED:
            raise DeviceLocked()
        raise Conflict()
    reset, known = standing
    if not hmac.compare_digest(known, digest):
        raise RequestIdReused(field="requestId")
    return _reset_view(gw, reset, at=at)


def get_pin_reset(gw: Gateway, caller: Caller, *, pin_reset_id: UUID, at: datetime) -> PinResetView:
    caller.require("GetPinReset")
    reset = gw.store.pin_reset(caller.relying_party, pin_reset_id)
    if reset is None:
        raise NotFound()
    return _reset_view(gw, reset, at=at)


# the device itself


def own_device(device: DeviceBinding, *, device_id: UUID) -> DeviceBinding:
    """The device that asks; for every other id NotFound."""
    if device_id != device.id:
        raise NotFound()
    return device


def rename_own(gw: Gateway, device: DeviceBinding, *, name: str, at: datetime) -> DeviceBinding:
    _require_active(device)
    _rename(gw, device, name=name, reason=LockReason.SUBJECT, at=at)
    return _again(gw, device)


def lock_own(gw: Gateway, device: DeviceBinding, *, at: datetime) -> DeviceBinding:
    """The app's panic button; only the bank unlocks."""
    gw.store.lock(device.relying_party, device.id, reason=LockReason.SUBJECT, at=at)
    return _again(gw, device)


def revoke_own(gw: Gateway, device: DeviceBinding, *, order: DeviceOrder, at: datetime) -> DeviceBinding:
    """The person removes this device, a locked one too; raises ProofRefused without the signing key."""
    verify_revocation(order, binding=device, at=at)
    gw.store.revoke(device.relying_party, device.id, reason=LockReason.SUBJECT, at=at)
    return _again(gw, device)


def change_pin(
    gw: Gateway, device: DeviceBinding, *, order: NewPinOrder, pin_signature: bytes, at: datetime
) -> DeviceBinding:
    """A new PIN for who knows the old one; raises ProofRefused, whatever failed. Repeated with the PIN that
    is in force by now, it answers the same: the first answer was lost on its way."""
    _require_active(device)
    if Factor.PIN in device.locked_methods:
        raise MethodLocked()
    tenant, limit = device.relying_party, _max_failures(gw, device)
    try:
        new = verify_new_pin(order, expected_purpose=Purpose.PIN_CHANGE, binding=device, at=at)
    except ProofRefused:
        # What a wrong PIN costs, and nothing counted: time does not tell which element failed (4(3)(a)).
        gw.store.reserve_try(tenant, device.id, max_failures=limit, feigned=True)
        gw.store.failed_try(tenant, device.id, reason=FailedTry.POSSESSION, at=at)
        gw.store.lock_if_spent(tenant, device.id, max_failures=limit, at=at)
        raise
    if gw.store.reserve_try(tenant, device.id, max_failures=limit) is None:
        gw.store.lock_if_spent(tenant, device.id, max_failures=limit, at=at)
        raise DeviceLocked()
    if hmac.compare_digest(new.key, device.keys.pin):  # its proof was by the PIN in force
        gw.store.release_try(tenant, device.id)
        return _again(gw, device)
    try:
        verify_knowledge(new, pin_signature=pin_signature, binding=device)
    except ProofRefused:
        gw.store.failed_try(tenant, device.id, reason=FailedTry.PIN_CHANGE, at=at)
        gw.store.lock_if_spent(tenant, device.id, max_failures=limit, at=at)
        raise
    if not gw.store.change_pin(device, pin_key=new.key, at=at):
        gw.store.release_try(tenant, device.id)
        _require_active(_again(gw, device))
        raise Conflict()
    return _again(gw, device)


def reset_pin(
    gw: Gateway, device: DeviceBinding, *, order: NewPinOrder, code: str, at: datetime
) -> DeviceBinding:
    """A new PIN for who has the device and the code; raises ProofRefused, whatever failed. It opens what
    failures had locked."""
    limit = gw.activation.max_failures
    try:
        new = verify_new_pin(order, expected_purpose=Purpose.PIN_RESET, binding=device, at=at)
    except ProofRefused:
        # what a wrong code costs: two writes
        gw.store.reserve_try(device.relying_party, device.id, max_failures=limit, feigned=True)
        gw.store.failed_try(device.relying_party, device.id, reason=FailedTry.POSSESSION, at=at)
        raise
    reset = gw.store.reserve_pin_reset_try(device.relying_party, device.id, max_failures=limit, at=at)
    if reset is None:
        gw.store.failed_try(device.relying_party, device.id, reason=FailedTry.PIN_RESET, at=at)
        raise ProofRefused()
    if not hmac.compare_digest(gw.activation.code(reset.id).encode(), code.encode()):
        gw.store.failed_try(device.relying_party, device.id, reason=FailedTry.PIN_RESET, at=at)
        if reset.failures >= limit:
            gw.store.block_pin_reset(reset, at=at)
        raise ProofRefused()
    if not gw.store.reset_pin(reset, pin_key=new.key, at=at):
        raise ProofRefused()
    return _again(gw, device)


def _max_failures(gw: Gateway, device: DeviceBinding) -> int:
    """The least that any profile of the relying party allows: no PIN is tried more often by changing it."""
    allowed = [gw.profiles[id_].max_failures for id_ in gw.tenants.profiles.get(device.relying_party, ())]
    if not allowed:
        raise ProfileNotAvailable()
    return min(allowed)


def _rename(gw: Gateway, device: DeviceBinding, *, name: str, reason: LockReason, at: datetime) -> None:
    shown = displayable(name, field="name", max_length=MAX_NAME, multiline=False)
    if shown != device.name and not gw.store.rename(device, name=shown, reason=reason, at=at):
        raise DeviceRevoked()


def _load(gw: Gateway, caller: Caller, device_id: UUID) -> DeviceBinding:
    device = gw.store.binding(caller.relying_party, device_id)
    if device is None:
        raise NotFound()
    return device


def _standing(gw: Gateway, caller: Caller, device_id: UUID) -> DeviceBinding:
    """One that is not revoked."""
    device = _load(gw, caller, device_id)
    if device.state is BindingState.REVOKED:
        raise DeviceRevoked()
    return device


def _still_standing(view: DeviceView) -> DeviceView:
    """After a guarded update: somebody may have revoked it meanwhile."""
    if view.binding.state is BindingState.REVOKED:
        raise DeviceRevoked()
    return view


def _again(gw: Gateway, device: DeviceBinding) -> DeviceBinding:
    """As it stands now."""
    found = gw.store.binding(device.relying_party, device.id)
    if found is None:
        raise NotFound()
    return found


def _require_active(device: DeviceBinding) -> None:
    if device.state is BindingState.REVOKED:
        raise DeviceRevoked()
    if device.state is not BindingState.ACTIVE:
        raise DeviceLocked()


def _method_of(word: str | None) -> Factor | None:
    if word is None:
        return None
    if word not in METHODS:
        raise InvalidValue("pin can be locked alone.", field="method")
    return Factor(word)


def _reason_of(word: str) -> LockReason:
    given = sorted(set(LockReason) - GATEWAYS_REASONS)
    if word not in given:
        raise InvalidValue(f"One of {', '.join(given)}.", field="reason")
    return LockReason(word)


def _view(gw: Gateway, caller: Caller, device_id: UUID) -> DeviceView:
    (view,) = _views(gw, [_load(gw, caller, device_id)])
    return view


def _views(gw: Gateway, bindings: Sequence[DeviceBinding]) -> tuple[DeviceView, ...]:
    if not bindings:
        return ()
    used = gw.store.last_used(bindings[0].relying_party, [binding.id for binding in bindings])
    return tuple(DeviceView(binding, used.get(binding.id)) for binding in bindings)


def _reset_view(gw: Gateway, reset: PinReset, *, at: datetime) -> PinResetView:
    state = reset.state_at(at)
    return PinResetView(
        id=reset.id,
        binding_id=reset.binding_id,
        state=state,
        created_at=reset.created_at,
        expires_at=reset.expires_at,
        code=gw.activation.code(reset.id) if state is PinResetState.PENDING else None,
    )
