"""Callbacks to a bank over HTTPS: the connection, its limits, and the signature.

The law: we look the host's name up ourselves and connect to an address inside the allow-list, that very one;
what the name says a moment later does not matter. No redirect and no proxy is followed. The certificate is
verified against the configured CAs, else the system's, for the URL's host. An attempt ends after its time,
however slowly the bank speaks, and of its answer the head alone is read. A request is signed anew for each
attempt, as core.httpsig says. Without TLS it goes to 127.0.0.1 alone. When to send is left to the services.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import secrets
import socket
import ssl
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from gateway.core import httpsig
from gateway.core.callback import Callback
from gateway.core.keys import sign_p256, thumbprint
from gateway.outbound.seal_key import read_key

SECONDS = 10.0
"""Of one attempt, from the connection to the status; the name look-up has the system's own limit."""
LOCAL = "127.0.0.1"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class CallbackKey:
    """The key that callbacks are signed with, from a PEM file; raises ValueError where it is no P-256 key."""

    def __init__(self, file: Path) -> None:
        self._key = read_key(file)
        self.public = self._key.public_key()
        self.id = thumbprint(self.public)

    def sign(self, data: bytes) -> bytes:
        """ECDSA P-256 SHA-256 as r || s."""
        return sign_p256(self._key, data)


class HttpCallbackSender:
    """One relying party's; raises ValueError for an URL or a network that is none, OSError for a CA file."""

    def __init__(
        self, url: str, *, allowed_networks: Sequence[str], key: CallbackKey, ca_file: Path | None = None
    ) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        if parts.scheme != "https" and (parts.scheme, self._host) != ("http", LOCAL):
            raise ValueError(f"callback.url: https, or http to {LOCAL}")
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._networks: list[Network] = [ipaddress.ip_network(network) for network in allowed_networks]
        self._url = url
        self._authority = parts.netloc
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._key = key
        self._tls = _tls(ca_file) if parts.scheme == "https" else None

    def send(self, callback: Callback, *, at: datetime) -> str | None:
        """None where the bank accepted it (2xx), else a code word that says why not."""
        until = time.monotonic() + SECONDS
        body = callback.body()
        headers = httpsig.sign_callback(
            url=self._url,
            body=body,
            key_id=self._key.id,
            nonce=secrets.token_urlsafe(16),
            at=at,
            signer=self._key.sign,
        )
        try:
            addresses = self._resolve()
            if not addresses:
                return "ADDRESS_NOT_ALLOWED"
            with _connect(addresses, self._port, until=until) as wire:
                if self._tls is None:
                    return self._exchange(wire, body, headers, until=until)
                wire.settimeout(_left(until))
                with self._tls.wrap_socket(wire, server_hostname=self._host) as secured:
                    return self._exchange(secured, body, headers, until=until)
        except ssl.SSLError as error:
            return "TLS_" + (error.reason or "FAILED")
        except TimeoutError:
            return "TIMEOUT"
        except (OSError, http.client.HTTPException, ValueError):
            return "UNREACHABLE"

    def _resolve(self) -> list[str]:
        """The host's addresses that are allowed, as they stand now."""
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        return [str(address) for *_, (address, *_) in found if self._allowed(str(address))]

    def _allowed(self, address: str) -> bool:
        known = ipaddress.ip_address(address)
        mapped = getattr(known, "ipv4_mapped", None)  # ::ffff:10.0.0.1 is 10.0.0.1
        return any((mapped or known) in network for network in self._networks)

    def _exchange(
        self, wire: socket.socket, body: bytes, headers: dict[str, str], *, until: float
    ) -> str | None:
        connection = http.client.HTTPConnection(self._host, self._port)
        connection.sock = _Bounded(wire, until=until)
        fields = {"Host": self._authority, "Content-Type": "application/json", "Connection": "close"}
        connection.request("POST", self._target, body, fields | headers)
        status = connection.getresponse().status
        return None if 200 <= status <= 299 else f"HTTP_{status}"


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    """Verifies chain and name, the default of a client, against this file alone where there is one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        context.load_verify_locations(ca_file)
    return context


def _connect(addresses: Sequence[str], port: int, *, until: float) -> socket.socket:
    """To the first that answers."""
    for address in addresses[:-1]:
        try:
            return socket.create_connection((address, port), timeout=_left(until))
        except OSError:
            continue
    return socket.create_connection((addresses[-1], port), timeout=_left(until))


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError()
    return left


class _Bounded(io.RawIOBase):
    """A connection whose every read has what is left of the whole time, as http.client asks for one."""

    def __init__(self, wire: socket.socket, *, until: float) -> None:
        self._wire = wire
        self._until = until

    def sendall(self, data: bytes) -> None:
        self._wire.sendall(data)  # less than any buffer

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._wire.settimeout(_left(self._until))
        return self._wire.recv_into(buffer)
