"""A process of its own that sends case files and monsters through the face and says what each one cost.

``python measure.py`` prints one JSON line a request: name, status, code, CPU seconds and growth in bytes,
both of the whole process, while another thread sends a good request beside it; ``neighbour`` says whether
that one was answered. The evidence verifier and the rules for shown text are the real ones.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from soap_support import (  # noqa: E402
    CREDENTIAL,
    REQUESTS,
    SERVICES,
    TRANSACTION,
    Answer,
    App,
    Gw,
    Services,
    call,
    envelope,
    make_rates,
)

from gateway.core.certpath import parse_trust  # noqa: E402
from gateway.core.text import displayable  # noqa: E402
from gateway.services import evidence  # noqa: E402
from gateway.soap.application import soap_app  # noqa: E402
from gateway.soap.security import UsernameTokenAuthenticator  # noqa: E402
from soap_cases import monsters  # noqa: E402

PAGE = 4096
GOOD = envelope(REQUESTS["Heartbeat"])
TEXT_XML = {"Content-Type": "text/xml"}


class Judging(Gw):
    """What the face and the verifier ask of the gateway."""

    trust = parse_trust(monsters.f.TRUST)


def start_consent_signature(gw: Any, caller: Any, *, asked: Any, **arguments: Any) -> Any:
    displayable(asked.texts[0].text, field="content", max_length=200_000)
    return TRANSACTION


def requests() -> Iterator[tuple[str, str, str, Mapping[str, str], bytes]]:
    """Name, method, path, header fields and body."""
    for path in sorted(HERE.glob("*.http")):
        head, _, body = path.read_bytes().partition(b"\r\n\r\n")
        first, *fields = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        yield path.stem, method, target, dict(field.split(": ", 1) for field in fields), body
    for monster in monsters.monsters():
        yield f"monster-{monster.name}", "POST", "/soap/v1", dict(monster.headers), monster.body()


def peak() -> int:
    """Bytes that were resident at most since the last reset."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def send_good_one(app: App, answers: list[Answer]) -> None:
    answers.append(call(app, GOOD, headers=TEXT_XML))


def main() -> None:
    patch = pytest.MonkeyPatch()
    real = evidence.verify_evidence
    Services().install(patch)
    patch.setattr(evidence, "verify_evidence", real)
    module, name, _ = SERVICES["StartConsentSignature"]
    patch.setattr(module, name, start_consent_signature)
    app = soap_app(
        Judging(),  # type: ignore[arg-type]
        authenticator=UsernameTokenAuthenticator({CREDENTIAL.id: CREDENTIAL}),
        rates=make_rates(),
        max_bytes=monsters.MAX_BYTES,
        address="https://bank.example/soap/v1",
    )
    only = sys.argv[1:]
    call(app, GOOD, headers=TEXT_XML)
    for name, method, path, headers, body in requests():
        if only and not any(name.startswith(one) for one in only):
            continue
        beside: list[Answer] = []
        neighbour = threading.Thread(target=send_good_one, args=(app, beside))
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what the last request freed does not pay for this one
        Path("/proc/self/clear_refs").write_text("5")
        before, started = resident(), time.process_time()
        neighbour.start()
        answer = call(app, body, method=method, path=path, headers=headers)
        seconds, growth = time.process_time() - started, peak() - before
        neighbour.join(60)
        row = {
            "name": name,
            "status": answer.status,
            "code": None if method in ("GET", "HEAD") else answer.code,
            "seconds": round(seconds, 3),
            "growth": growth,
            "neighbour": [one.status for one in beside] == [200],
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
