"""What a device is told about its subject's other devices.

The law (RTS (EU) 2018/389 article 24): a new binding alerts the subject's other active devices, so that a
binding which the subject did not make is seen. A device sees and acknowledges its own notices alone; a
locked one, which somebody else may hold, is told nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from gateway.core.errors import DeviceLocked, NotFound
from gateway.core.model import BindingState, DeviceBinding, Notice
from gateway.services.context import Gateway


def list_notices(gw: Gateway, device: DeviceBinding) -> Sequence[Notice]:
    """Those that this device has not seen, oldest first; none for a locked device."""
    if device.state is not BindingState.ACTIVE:
        return ()
    return gw.store.notices(device.relying_party, device.id)


def see_notice(gw: Gateway, device: DeviceBinding, *, notice_id: UUID, at: datetime) -> None:
    """This device has shown it; repeated, it answers the same."""
    if device.state is not BindingState.ACTIVE:
        raise DeviceLocked()
    if not gw.store.notice_seen(device.relying_party, device.id, notice_id, at=at):
        raise NotFound()
