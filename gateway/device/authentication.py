"""Which device sent a request: the signature by its transport key, and that it was not seen before.

The law: an unknown binding, another relying party's, a revoked one, a wrong signature and a replay are
one and the same refusal, after the same work (RTS (EU) 2018/389 article 4(3)(a)). The nonce is remembered
only once the signature has been verified, so that nobody can spend another's, and before anything is
done for the request. Which app it is from is in what was signed: it is noted where it changed, and an app
that the configuration does not accept gets no further. What a locked device may still do is left to the
operations.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from gateway.core import httpsig
from gateway.core.errors import DeviceNotAuthenticated
from gateway.core.keys import parse_p256
from gateway.core.model import BindingState, DeviceBinding
from gateway.services.context import Gateway

_NOBODY: Final = ec.generate_private_key(ec.SECP256R1()).public_key()
"""Verified against where there is no binding: its private key is lost from the start."""


def authenticate(
    gw: Gateway, relying_party: str, *, request: httpsig.SignedRequest, at: datetime
) -> DeviceBinding:
    """The ACTIVE or LOCKED binding whose device signed the request; raises DeviceNotAuthenticated, and for a
    device that is who it says it is, ClientNotAccepted."""
    binding = gw.store.binding(relying_party, request.key_id())
    key = _NOBODY if binding is None else parse_p256(binding.keys.transport)
    verified = httpsig.verify(request, key=key, at=at)
    if binding is None or binding.state is BindingState.REVOKED:
        raise DeviceNotAuthenticated()
    # Twice the window: another node, its clock behind ours, must not forget while it would still accept.
    expires_at = verified.created + 2 * httpsig.WINDOW
    if not gw.store.remember_nonce(relying_party, binding.id, verified.nonce, expires_at=expires_at):
        raise DeviceNotAuthenticated()
    client = verified.client
    if client is not None and (client.name, client.version) != (binding.client_name, binding.client_version):
        gw.store.note_client(
            relying_party, binding.id, client_name=client.name, client_version=client.version
        )
    gw.clients.require(client)
    return binding
