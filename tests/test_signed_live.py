"""Signed messages before gateways as they are run: what one worker or node took, no other takes again."""

from __future__ import annotations

import http.client
import shutil
import statistics
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from live import NS, Live, free_port
from lxml import etree
from signed import Signer, addressing_blocks, sign, verify_answer

from gateway.core.model import utc_now
from gateway.sandbox import SIGNED_CALLER, set_port
from gateway.storage.embedded import EmbeddedPostgres
from gateway.storage.migrate import migrate

MESSAGES, EACH = 12, 8
OUTCOMES = {"OK": 1, "NOT_AUTHENTICATED": EACH - 1}
"""Of EACH copies of one message, all at once."""


@dataclass
class Nodes:
    """Two gateways of one configuration on one database."""

    one: Live
    two: Live

    def message(self) -> bytes:
        keys = self.one.folder / "keys"
        by = Signer(
            (keys / f"{SIGNED_CALLER}.key.pem").read_bytes(),
            x509.load_pem_x509_certificate((keys / f"{SIGNED_CALLER}.pem").read_bytes()),
        )
        headers = addressing_blocks(
            f"{NS}:Heartbeat", to=f"{self.one.url}/soap/v1", message_id=uuid.uuid4().urn
        )
        return etree.tostring(sign(f'<Heartbeat xmlns="{NS}"/>', by, at=utc_now(), headers=headers))

    def outcome(self, message: bytes, node: Live) -> str:
        """OK or the fault's code, of an answer whose signature holds."""
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
        try:
            connection.request("POST", "/soap/v1", message, {"Content-Type": "text/xml; charset=utf-8"})
            answer = connection.getresponse().read()
        finally:
            connection.close()
        pem = (node.folder / "keys" / "message.pem").read_bytes()
        assert "Body" in verify_answer(answer, x509.load_pem_x509_certificate(pem))
        return etree.fromstring(answer).findtext(f".//{{{NS}}}code") or "OK"

    def outcomes(self, messages: list[bytes]) -> list[dict[str, int]]:
        """Of each message: its copies go to both nodes, and all of all at once."""
        calls = [(message, node) for message in messages for node in (self.one, self.two) * (EACH // 2)]
        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(lambda call: self.outcome(*call), calls))
        return [dict(Counter(found[at : at + EACH])) for at in range(0, len(found), EACH)]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    folder = Path(tempfile.mkdtemp(prefix="gateway-nodes-"))
    folder.chmod(0o711)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        database = stack.enter_context(EmbeddedPostgres(folder / "database")).connections
        migrate(database.owner_dsn)
        one = Live(folder / "one", free_port())
        table = one.folder / "gateway.toml"
        dsns = f'dsn = "{database.app_dsn}"\nowner_dsn = "{database.owner_dsn}"'
        table.write_text(table.read_text().replace('embedded = "database"', dsns))
        two = Live(folder / "two", free_port())
        shutil.rmtree(two.folder)
        shutil.copytree(one.folder, two.folder)
        set_port(two.folder, port=two.port)
        # one public address, as behind a load balancer
        table = two.folder / "gateway.toml"
        table.write_text(table.read_text().replace(f'public_url = "{two.url}"', f'public_url = "{one.url}"'))
        for node in (one, two):
            node.start()
            stack.callback(lambda node=node: node.stop() if node.process.poll() is None else None)
        yield Nodes(one, two)


def test_of_copies_at_all_workers_of_two_nodes_one_is_taken(nodes: Nodes) -> None:
    messages = [nodes.message() for _ in range(MESSAGES)]
    assert nodes.outcomes(messages) == [OUTCOMES] * MESSAGES
    assert nodes.outcomes(messages) == [{"NOT_AUTHENTICATED": EACH}] * MESSAGES


def test_a_message_is_not_forgotten_when_a_gateway_ends(nodes: Nodes) -> None:
    ended, killed = nodes.message(), nodes.message()
    assert nodes.outcome(ended, nodes.one) == "OK"
    nodes.one.stop()
    nodes.one.start()
    assert nodes.outcome(killed, nodes.one) == "OK"
    nodes.one.kill_everything()
    nodes.one.start()
    for message in (ended, killed):
        assert [nodes.outcome(message, node) for node in (nodes.one, nodes.two)] == ["NOT_AUTHENTICATED"] * 2
    assert nodes.outcome(nodes.message(), nodes.one) == "OK", "what is new is taken"


def test_a_flood_of_one_captured_message_leaves_its_caller_below_a_second(nodes: Nodes) -> None:
    """Eight connections repeat it as fast as they are answered; the caller itself goes on calling."""
    captured, over = nodes.message(), threading.Event()
    assert nodes.outcome(captured, nodes.one) == "OK"

    def flood() -> Counter[str]:
        seen: Counter[str] = Counter()
        while not over.is_set():
            seen[nodes.outcome(captured, nodes.one)] += 1
        return seen

    latencies, answers = [], Counter[str]()
    with ThreadPoolExecutor(8) as pool:
        floods = [pool.submit(flood) for _ in range(8)]
        try:
            for _ in range(100):
                message = nodes.message()
                started = time.perf_counter()
                answers[nodes.outcome(message, nodes.one)] += 1
                latencies.append(time.perf_counter() - started)
        finally:
            over.set()
        flooded = sum((each.result() for each in floods), Counter())
    p99 = statistics.quantiles(latencies, n=100)[98]
    print(f"repeated: {dict(flooded)}; the caller: {dict(answers)}, p99 {1000 * p99:.0f} ms")
    assert answers == {"OK": 100}
    assert p99 < 1.0
    assert set(flooded) == {"NOT_AUTHENTICATED"}
    assert flooded["NOT_AUTHENTICATED"] > 100
