"""The web server's side: requests are received whole and in time, then answered in a thread.

The law: a stalled or endless body holds a coroutine, never a thread, and no longer than BODY_SECONDS; no
more than its face takes, and one byte, is ever kept of it, and all that are held are bounded too. A body
shorter than its Content-Length is refused; of a chunked one nobody here learns whether its last chunk came,
but the messages that the faces take end by themselves. A request's address is its peer's; on a unix socket,
behind the proxy, what the proxy says in X-Real-IP, which from anybody else is dropped. What a request means
is left to the faces, which are plain WSGI callables.
"""

from __future__ import annotations

import asyncio
import io
import os
import threading
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from gateway.composition import RATES_VARIABLE, configuration_from_environment
from gateway.config import Web
from gateway.core.errors import MalformedMessage, Overloaded, RequestTimeout
from gateway.logs import LIBRARIES, configure_logging
from gateway.rates import Cells
from gateway.web import Environ, new_correlation_id, problem
from gateway.wsgi import Application, build_application_from

BODY_SECONDS = 10.0
"""From the end of the headers to the end of the body."""
HEADER_MILLISECONDS = 10_000
WORKER_KILL_SECONDS = 8
"""A worker that does not end by itself is killed, before the supervisor kills the server."""
MAX_HELD_BYTES = 128 * 1024 * 1024
"""Of all bodies that a process holds; beyond it a request is OVERLOADED."""
PROXY_FIELDS = frozenset({"x-client-certificate", "x-real-ip"})
"""Header fields that the TLS proxy overwrites, and that nobody else may send."""
MAX_OPEN = 4096
"""Requests that a process has under way at most, stalled ones included."""


class Scope(Protocol):
    method: str
    path: str
    query_string: str
    headers: Any
    client: str
    """Address and port of the peer; empty on a unix socket."""


class Exchange(Protocol):
    """An RSGI protocol object: the body's chunks, and the way for the answer."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...


class Server:
    """An RSGI application over a WSGI callable and a pool of threads."""

    def __init__(
        self,
        application: Application,
        *,
        web: Web,
        behind_proxy: bool = False,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._application = application
        self._web = web
        self._behind_proxy = behind_proxy
        self._held = 0
        self._body_seconds = body_seconds
        self._threads = ThreadPoolExecutor(web.threads, thread_name_prefix="request")

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        try:
            async with asyncio.timeout(self._body_seconds):
                body = await self._receive(exchange, scope)
        except (TimeoutError, MalformedMessage, Overloaded) as error:
            refusal = RequestTimeout() if isinstance(error, TimeoutError) else error
            late = problem(refusal, correlation_id=new_correlation_id())
            exchange.response_bytes(
                late.status, [("content-type", late.content_type), ("connection", "close")], late.body
            )
            return
        loop = asyncio.get_running_loop()
        try:
            environ = _environ(scope, body, behind_proxy=self._behind_proxy)
            answer = await loop.run_in_executor(self._threads, _answer, self._application, environ)
        finally:
            self._held -= len(body)
        exchange.response_bytes(*answer)

    def _most(self, path: str) -> int:
        """Bytes kept of a body, one more than its face takes."""
        soap = path.startswith("/soap/")
        return 1 + (self._web.max_request_bytes if soap else self._web.max_device_request_bytes)

    async def _receive(self, exchange: Exchange, scope: Scope) -> bytes:
        """At most ``_most`` bytes; nothing where more are announced, for the face refuses them unseen."""
        most, announced = self._most(scope.path), _announced(scope)
        if announced is not None and announced >= most:
            return b""
        kept = bytearray()
        try:
            async for chunk in exchange:
                part = chunk[: most - len(kept)]
                if self._held + len(part) > MAX_HELD_BYTES:
                    raise Overloaded()
                self._held += len(part)
                kept += part
                if len(kept) >= most:
                    break
            if announced is not None and len(kept) < announced:
                raise MalformedMessage()
        except BaseException:
            self._held -= len(kept)
            raise
        return bytes(kept)


def _announced(scope: Scope) -> int | None:
    """The web server has judged Content-Length: digits, at most once, never beside a transfer coding."""
    length = scope.headers.get("content-length")
    return None if length is None else int(length)


def _environ(scope: Scope, body: bytes, *, behind_proxy: bool) -> Environ:
    """What the TLS proxy says of the client counts behind it alone, that is on the unix socket."""
    environ: Environ = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(scope.path, "latin-1"),
        "QUERY_STRING": scope.query_string,
    }
    for name, value in scope.headers.items():
        if "_" in name:
            continue  # it would become another field's key
        if not behind_proxy and name.lower() in PROXY_FIELDS:
            continue
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    peer = scope.client.rpartition(":")[0]
    environ["REMOTE_ADDR"] = environ.pop("HTTP_X_REAL_IP", "") if behind_proxy else peer
    environ["wsgi.input"] = io.BytesIO(body)
    return environ


def _answer(application: Application, environ: Environ) -> tuple[int, list[tuple[str, str]], bytes]:
    started: list[tuple[str, list[tuple[str, str]]]] = []
    parts: Iterable[bytes] = application(environ, lambda status, headers: started.append((status, headers)))
    body = b"".join(parts)
    status, headers = started[0]
    return int(status[:3]), [(name.lower(), value) for name, value in headers], body


_build = threading.Lock()


def __getattr__(name: str) -> Any:
    """``application``, built in the worker's process when the server first asks for it."""
    if name != "application":
        raise AttributeError(name)
    with _build:
        if "application" not in globals():
            configure_logging()
            configuration, dsn = configuration_from_environment()
            globals()["application"] = Server(
                build_application_from(configuration, dsn, cells=Cells(Path(os.environ[RATES_VARIABLE]))),
                web=configuration.gateway.web,
                behind_proxy=configuration.gateway.listen.socket is not None,
            )
    return globals()["application"]


def main() -> None:
    """Serves as the configuration says; the supervisor runs it as a process of its own."""
    configuration, _ = configuration_from_environment()
    listen, web = configuration.gateway.listen, configuration.gateway.web
    if listen.socket is not None:
        configuration.path(listen.socket).unlink(missing_ok=True)
    Granian(
        "gateway.server:application",
        interface=Interfaces.RSGI,
        address=listen.host or "127.0.0.1",
        port=listen.port or 1,
        uds=None if listen.socket is None else configuration.path(listen.socket),
        uds_permissions=None if listen.socket is None else 0o660,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_MILLISECONDS),
        websockets=False,
        workers=web.workers,
        backpressure=MAX_OPEN,
        respawn_failed_workers=True,
        workers_kill_timeout=WORKER_KILL_SECONDS,
        log_level=LogLevels.error,
        log_dictconfig=LIBRARIES,
    ).serve()


if __name__ == "__main__":
    main()
