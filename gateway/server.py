"""The web server's side: requests are received whole and in time, then answered in a thread.

The law: a stalled or endless body holds a coroutine, never a thread, and no longer than BODY_SECONDS; no
more than the largest message that a face takes, and one byte, is ever kept of it. What a request means
is left to the faces, which are plain WSGI callables.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol
from urllib.parse import unquote

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from gateway.composition import configuration_from_environment
from gateway.config import Web
from gateway.core.errors import RequestTimeout
from gateway.logs import LIBRARIES, configure_logging
from gateway.web import Environ, new_correlation_id, problem
from gateway.wsgi import Application, build_application_from

BODY_SECONDS = 10.0
"""From the end of the headers to the end of the body."""
HEADER_MILLISECONDS = 10_000
WORKER_KILL_SECONDS = 8
"""A worker that does not end by itself is killed, before the supervisor kills the server."""
MAX_OPEN = 4096
"""Requests that a process has under way at most, stalled ones included."""


class Scope(Protocol):
    method: str
    path: str
    query_string: str
    headers: Any


class Exchange(Protocol):
    """An RSGI protocol object: the body's chunks, and the way for the answer."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...


class Server:
    """An RSGI application over a WSGI callable and a pool of threads."""

    def __init__(self, application: Application, *, web: Web, body_seconds: float = BODY_SECONDS) -> None:
        self._application = application
        self._most = max(web.max_request_bytes, web.max_device_request_bytes) + 1
        self._body_seconds = body_seconds
        self._threads = ThreadPoolExecutor(web.threads, thread_name_prefix="request")

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        try:
            async with asyncio.timeout(self._body_seconds):
                body = await self._receive(exchange)
        except TimeoutError:
            late = problem(RequestTimeout(), correlation_id=new_correlation_id())
            exchange.response_bytes(
                late.status, [("content-type", late.content_type), ("connection", "close")], late.body
            )
            return
        loop = asyncio.get_running_loop()
        environ = self._environ(scope, body)
        answer = await loop.run_in_executor(self._threads, _answer, self._application, environ)
        exchange.response_bytes(*answer)

    async def _receive(self, exchange: Exchange) -> bytes:
        kept = bytearray()
        async for chunk in exchange:
            kept += chunk[: self._most - len(kept)]
            if len(kept) >= self._most:
                break
        return bytes(kept)

    def _environ(self, scope: Scope, body: bytes) -> Environ:
        environ: Environ = {
            "REQUEST_METHOD": scope.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(scope.path, "latin-1"),
            "QUERY_STRING": scope.query_string,
        }
        for name, value in scope.headers.items():
            key = name.upper().replace("-", "_")
            key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        if len(body) < self._most:
            environ["CONTENT_LENGTH"] = str(len(body))
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
                build_application_from(configuration, dsn), web=configuration.gateway.web
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
