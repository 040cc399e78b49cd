"""``serve`` as a whole: what a killed gateway left is finished, waiting starves nobody, nothing leaks."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import re
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from uuid import UUID

import pytest
from live import PIN, Fault, Live, descendants, eventually, live_gateway
from storage_fixture import as_superuser

from gateway import cli
from gateway.authenticator.authenticator import Authenticator
from gateway.authenticator.errors import AuthenticatorError, GatewayRefused
from gateway.core.certpath import parse_trust
from gateway.core.conclusion import Indication
from gateway.core.model import utc_now
from gateway.core.verifier import verify_evidence
from gateway.sandbox import CALLER, make_sandbox
from gateway.storage.embedded import EmbeddedPostgres

WAITING = 300
STALLED = 200


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with live_gateway() as gateway:
        yield gateway


def sealed(live: Live, transaction_id: str) -> bytes:
    found = live.call("GetEvidence", f"<transactionId>{transaction_id}</transactionId>")
    return base64.b64decode(found.findtext("{*}document"))


def events_of(live: Live, transaction_ids: list[str]) -> dict[str, Counter[str]]:
    """As the stopped gateway's database has them."""
    with EmbeddedPostgres(live.folder / "database") as server:
        rows = as_superuser(
            server.connections,
            "SELECT entity_id::text, name FROM event WHERE entity_id::text = ANY(%s)",
            (transaction_ids,),
        )
        evidence = as_superuser(
            server.connections,
            "SELECT transaction_id::text, 'EVIDENCE' FROM evidence WHERE transaction_id::text = ANY(%s)",
            (transaction_ids,),
        )
    found: dict[str, Counter[str]] = {transaction_id: Counter() for transaction_id in transaction_ids}
    for transaction_id, name in [*rows, *evidence]:
        found[transaction_id][name] += 1
    return found


def test_killed_between_approval_and_seal_then_sealed_once(live: Live) -> None:
    """Without its CRL the trust file cannot speak for the device CA, so approvals are committed and nothing
    can be sealed; then everything is killed, the file mended, and the gateway started again."""
    trust = live.folder / "keys" / "trust.pem"
    good = trust.read_bytes()
    phone = live.phone("customer-killed")
    live.stop()
    trust.write_bytes(good[: good.index(b"-----BEGIN X509 CRL")])
    live.start()
    ids = [live.start_consent("customer-killed") for _ in range(5)]
    for transaction_id in ids:
        phone.claim(UUID(transaction_id))
        assert phone.approve(UUID(transaction_id), pin=PIN).state == "APPROVED"
        with pytest.raises(Fault, match="EVIDENCE_NOT_READY"):
            sealed(live, transaction_id)
    live.kill_everything()
    trust.write_bytes(good)
    live.start()
    for transaction_id in ids:
        eventually(lambda which=transaction_id: live.state(which) == "COMPLETED")
        conclusion = verify_evidence(sealed(live, transaction_id), trust=parse_trust(good), at=utc_now())
        assert conclusion.indication is Indication.TOTAL_PASSED
    live.stop()
    for happened in events_of(live, ids).values():
        assert (happened["APPROVE"], happened["SEAL"], happened["EVIDENCE"]) == (1, 1, 1)
    live.start()


def test_killed_at_any_moment_what_was_answered_stands(live: Live) -> None:
    """Approvals under way when everything is killed: what was answered is so, and all approved is sealed."""
    answered: dict[str, str] = {}
    ids: list[str] = []
    for _ in range(3):
        prepared = []
        for _ in range(4):
            reference = f"customer-{secrets.token_hex(6)}"
            phone = live.phone(reference)
            transaction_id = live.start_consent(reference)
            phone.claim(UUID(transaction_id))
            prepared.append((phone, transaction_id))
        ids += [transaction_id for _, transaction_id in prepared]

        def approve(pair: tuple[Authenticator, str]) -> None:
            with suppress(AuthenticatorError):
                answered[pair[1]] = pair[0].approve(UUID(pair[1]), pin=PIN).state

        threads = [threading.Thread(target=approve, args=(pair,)) for pair in prepared]
        for thread in threads:
            thread.start()
        time.sleep(0.2 + random.random() * 0.3)  # the PIN's derivation, then any moment of the approval
        live.kill_everything()
        for thread in threads:
            thread.join()
        live.start()
    for transaction_id in ids:
        eventually(lambda which=transaction_id: live.state(which) in ("COMPLETED", "PENDING"))
        if transaction_id in answered:
            assert live.state(transaction_id) == "COMPLETED"
    live.stop()
    for happened in events_of(live, ids).values():
        assert happened["APPROVE"] == happened["SEAL"] == happened["EVIDENCE"] <= 1
    live.start()


def test_many_that_wait_do_not_keep_another_from_starting(live: Live) -> None:
    reference = "customer-waits"
    phone = live.phone(reference)
    waited_on = live.start_consent(reference)

    def wait() -> str:
        return live.state(waited_on, wait=30)

    with ThreadPoolExecutor(WAITING) as pool:
        waiting = [pool.submit(wait) for _ in range(WAITING)]
        still = [future for future in waiting if not future.done()]
        started, held = [], []
        for _ in range(5):
            started.append(live.start_consent(reference))
            held.append(sum(not future.done() for future in still))
        phone.claim(UUID(waited_on))
        assert phone.approve(UUID(waited_on), pin=PIN).state == "COMPLETED"
        states = Counter(future.result(timeout=60) for future in waiting)
    assert len(set(started)) == 5
    # a slow disk may make five starts last longer than the waits; the first tells
    assert held[0] > 0, "nobody waited while another started"
    assert set(states) <= {"REQUESTED", "PENDING", "APPROVED", "COMPLETED"}


@pytest.mark.rts("22", "6")
def test_no_canary_is_in_logs_or_faults(live: Live) -> None:
    canary = f"canary{secrets.token_hex(6)}"
    reference, name, shown = f"{canary}-ref", f"{canary} name", f"{canary} shown"
    phone = live.phone(reference, name=name)
    transaction_id = live.start_consent(reference, shown=shown)
    phone.claim(UUID(transaction_id))
    with pytest.raises(GatewayRefused) as wrong:
        phone.approve(UUID(transaction_id), pin="314159")
    assert phone.approve(UUID(transaction_id), pin=PIN).state == "COMPLETED"
    assert canary.encode() in sealed(live, transaction_id)
    with pytest.raises(Fault, match="TEXT_NOT_DISPLAYABLE"):
        live.start_consent(reference, shown=f"{canary}\u202e")
    with pytest.raises(Fault, match="NOT_AUTHENTICATED"):
        live.call("Heartbeat", secret=f"{canary}secret")
    logged = live.log.read_text()
    assert "TEXT_NOT_DISPLAYABLE" in logged
    assert '"NOT_AUTHENTICATED"' in logged
    for secret in (canary, live.secret, PIN, "314159", phone.device.pin_secret.hex()):
        assert secret not in logged
        assert secret not in str(wrong.value)
    database = Path(live.folder / "database" / "server").resolve()
    for file in database.rglob("*"):
        if file.is_file():
            assert canary.encode() not in file.read_bytes(), file


def test_every_line_of_the_log_is_one_json_object(live: Live) -> None:
    live.call("Heartbeat")
    with pytest.raises(Fault):
        live.start_consent('x"}\n{"event": "forged"}')
    for line in live.log.read_text().splitlines():
        assert isinstance(json.loads(line), dict), line
    assert not any('"event": "forged"' in line for line in live.log.read_text().splitlines())


def test_a_reload_takes_the_new_configuration_and_refuses_a_broken_one(live: Live) -> None:
    assert live.process is not None
    files = live.folder / "callers"
    second = files / "second.toml"
    text = (files / f"{CALLER}.toml").read_text()
    secret = secrets.token_urlsafe(32)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    with pytest.raises(Fault, match="NOT_AUTHENTICATED"):
        live.call("Heartbeat", secret=secret)
    broken = files / "broken.toml"
    broken.write_text("not toml")
    live.process.send_signal(signal.SIGHUP)
    eventually(lambda: "reload_refused" in live.log.read_text())
    live.call("Heartbeat")
    for pid in descendants(live.process.pid):
        with suppress(OSError):
            if b"gateway.server" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
    eventually(lambda: "process_died" in live.log.read_text())
    eventually(live.ready)
    live.call("Heartbeat")
    broken.unlink()
    second.write_text(
        re.sub('secret_sha256 = ".*"', f'secret_sha256 = "{digest}"', text).replace(CALLER, "second")
    )
    live.process.send_signal(signal.SIGHUP)

    def known() -> bool:
        with suppress(Fault, OSError, urllib.error.URLError):
            live.call("Heartbeat", caller="second", secret=secret)
            return True
        return False

    eventually(known)
    eventually(lambda: live.ready())
    live.call("Heartbeat")
    second.unlink()


def test_status_and_metrics_tell_what_runs(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    reference = "customer-status"
    live.phone(reference)
    live.start_consent(reference)

    def told() -> str:
        assert cli.main(["status", "--conf", str(live.folder)]) == 0
        return capsys.readouterr().out

    eventually(lambda: re.search(r"demo-bank +(PENDING|REQUESTED) +[1-9]", told()), says=told)
    said = told()
    assert re.search(r"127\.0\.0\.1:\d+: ready", said)
    assert re.search(r"seal +ends \d{4}-\d\d-\d\dT", said)
    with urllib.request.urlopen(f"{live.url}/metrics", timeout=10) as answer:
        measured = answer.read().decode()
    assert re.search(
        r'gateway_requests_total\{face="soap",operation="StartRegistration",outcome="OK"\} [1-9]', measured
    )
    assert re.search(r'gateway_certificate_end_seconds\{role="seal"\} \d', measured)
    assert reference not in measured


def test_stalled_requests_starve_nobody_and_end(live: Live) -> None:
    """Raw sockets: headers that never end, bodies that never come, chunks that stop."""
    head = b"POST /soap/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\n"
    unfinished = (
        head,
        head + b"Content-Length: 1000\r\n\r\n<a",
        head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    )
    with ExitStack() as stack:
        sockets = []
        for number in range(3 * STALLED):
            stalled = stack.enter_context(socket.create_connection(("127.0.0.1", live.port), timeout=30))
            stalled.sendall(unfinished[number % 3])
            sockets.append(stalled)
        for _ in range(5):
            live.call("Heartbeat")
        held = [s for s in sockets if not select.select([s], [], [], 0)[0]]
        assert held == sockets, "some ended before the others were served"
        # Each is told, or cut off where it met a worker that a reload was just replacing.
        ends = Counter(s.recv(4096)[:12] for s in sockets[1::3])
        assert set(ends) <= {b"HTTP/1.1 408", b""}
        assert ends[b"HTTP/1.1 408"] > 0
    live.call("Heartbeat")


def test_serves_on_a_unix_socket(capsys: pytest.CaptureFixture[str]) -> None:
    """As behind the TLS proxy in production, a socket that a killed gateway left included."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-live-"))
    folder.chmod(0o711)
    try:
        make_sandbox(folder / "sandbox", port=1, at=utc_now())
        conf, path = folder / "sandbox", folder / "sandbox" / "gateway.sock"
        conf.chmod(0o711)
        text = (conf / "gateway.toml").read_text()
        listen = re.search(r"(?m)^host = .*\nport = .*$", text)
        assert listen is not None
        (conf / "gateway.toml").write_text(text.replace(listen.group(), f'socket = "{path.name}"'))
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        argv = [sys.executable, "-m", "gateway.cli", "serve", "--conf", str(conf)]
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
            try:
                eventually(lambda: cli.main(["status", "--conf", str(conf)]) == 0, seconds=60)
                assert "gateway.sock: ready" in capsys.readouterr().out
                assert path.stat().st_mode & 0o007 == 0
            finally:
                process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    finally:
        shutil.rmtree(folder)
