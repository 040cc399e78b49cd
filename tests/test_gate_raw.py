"""One live gateway before broken, odd and long requests: each is answered or cut off, and it serves."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from live import Fault, Live, live_gateway
from soap_cases import raw

FOLDER = Path(__file__).parent / "soap_cases" / "raw"
INDEX: list[dict[str, Any]] = json.loads((FOLDER / "index.json").read_text())
PATIENCE = 30
"""Seconds until a connection hangs: three times what the gateway waits for a body."""


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with live_gateway() as gateway:
        yield gateway


class Connection:
    """A client's side, which reads answers as RFC 9112 delimits them."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._file = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # where the gateway has heard enough
            self._socket.sendall(data)

    def end(self) -> None:
        with suppress(OSError):  # where the gateway has closed it already
            self._socket.shutdown(socket.SHUT_WR)

    def answer(self) -> tuple[int, bytes] | None:
        """Status and body of the next answer; None where the gateway closed the connection."""
        try:
            line = self._file.readline()
            if not line:
                return None
            version, status, *_ = line.split(b" ")
            assert version in (b"HTTP/1.1", b"HTTP/1.0"), line
            length = 0
            while (field := self._file.readline()).strip():
                name, _, value = field.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            return int(status), self._file.read(length)
        except ConnectionResetError:
            return None

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def test_cases_are_what_their_generator_makes() -> None:
    assert {path.name: path.read_bytes() for path in FOLDER.iterdir()} == raw.files()


@pytest.mark.parametrize("row", INDEX, ids=lambda row: row["name"])
def test_raw_connection(live: Live, row: dict[str, Any]) -> None:
    stand_in, secret = raw.STAND_IN.encode(), live.secret.encode()
    assert len(stand_in) == len(secret)
    connection = Connection(live.port)
    connection.send((FOLDER / row["file"]).read_bytes().replace(stand_in, secret))
    if row["ends"]:
        connection.end()
    answers = []
    while answer := connection.answer():
        answers.append(answer)
        if len(answers) == len(row["answers"]):
            connection.end()  # so that the gateway closes too, after whatever else it has to say
    connection.close()
    assert [status for status, _ in answers] == row["answers"]
    for status, body in answers:
        assert status < 500 or b"GatewayFault" in body
    live.call("Heartbeat")
    assert live.process is not None
    assert live.process.poll() is None


@pytest.mark.parametrize("character", ["a", "€", "𝔘"])
def test_a_text_as_long_as_the_profile_allows_is_taken(live: Live, character: str) -> None:
    """50,000 code points, up to 200,000 bytes in UTF-8; one more is the profile's to refuse."""
    reference = f"customer-reads-{ord(character)}"
    live.phone(reference)
    assert live.state(live.start_consent(reference, shown=character * 50_000)) in ("REQUESTED", "PENDING")
    for length in (50_001, 300_000):
        with pytest.raises(Fault, match="TEXT_TOO_LONG"):
            live.start_consent(reference, shown=character * length)
