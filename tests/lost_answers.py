"""A proxy before Postgres that, when told so, lets a statement happen and loses the answer to it."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from psycopg2.extensions import make_dsn, parse_dsn

_READY = b"Z\x00\x00\x00\x05I"
"""ReadyForQuery, idle: the last bytes of an answer (PostgreSQL documentation, 55.7)."""


class LostAnswers:
    def __init__(self, dsn: str) -> None:
        parts = parse_dsn(dsn)
        self._server = f"{parts['host']}/.s.PGSQL.{parts.get('port', '5432')}"
        self._folder = Path(tempfile.mkdtemp(prefix="gateway-proxy-"))
        self.dsn = make_dsn(dsn, host=str(self._folder), port="5432")
        self.count = 0
        self._lose = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._folder / ".s.PGSQL.5432"))
        self._listener.listen()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        shutil.rmtree(self._folder)

    @contextmanager
    def next_answer(self) -> Iterator[None]:
        """The answer to the next statement that writes is lost."""
        before, self._lose = self.count, True
        yield
        assert self.count == before + 1, "no answer was lost"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                losing = threading.Event()
                for relay in (self._questions, self._answers):
                    threading.Thread(target=relay, args=(client, server, losing), daemon=True).start()

    def _questions(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if self._lose and data[:1] == b"Q" and (b"INSERT" in data or b"UPDATE" in data):
                    self._lose = False
                    losing.set()
                server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)

    def _answers(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        answer = b""
        with suppress(OSError):
            while data := server.recv(65536):
                if losing.is_set():
                    answer += data
                    if answer.endswith(_READY):
                        self.count += 1
                        server.shutdown(socket.SHUT_RDWR)
                        break
                else:
                    client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)
