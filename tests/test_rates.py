"""Rates: what is granted, by whom it is shared, where it is asked, and that a flood leaves others served."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from device_harness import Face
from live import Fault, Live, live_gateway
from prometheus_client import REGISTRY
from soap_support import (
    CREDENTIAL,
    REQUESTS,
    SOAP11,
    SOAP12,
    Answer,
    App,
    Services,
    call,
    envelope,
    judge,
    make_app,
    make_rates,
    security,
    token,
)
from test_guards_config import faults_after, sandbox  # noqa: F401

import gateway
from gateway.composition import build_rates
from gateway.config import Web, dump, load, restore
from gateway.core.errors import RateExceeded
from gateway.core.rate import MAX_PER_SECOND, MEMORY_SECONDS, SECOND, Rate, owed
from gateway.rates import ADDRESSES, CALLERS, CELLS, SIZE, Cells, address_key, untouched
from gateway.sandbox import caller_file, new_caller_secret
from gateway.server import Server
from gateway.soap import guard

FOREVER = 2**62
HEAD = 16
"""Bytes of the file before its cells."""


@dataclass
class Clock:
    now: int = 1_000 * SECOND

    def __call__(self) -> int:
        return self.now


@dataclass
class Bucket:
    """One key of a memory of its own, or of a file."""

    rate: Rate
    file: Path | None = None
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.cells = Cells(self.file, clock=self.clock)

    def take(self, key: bytes = b"k", *, table: int = ADDRESSES, rate: Rate | None = None) -> float:
        return self.cells.take(key, table=table, rate=rate or self.rate)

    def granted(self, tries: int, **which: Any) -> int:
        return sum(not self.take(**which) for _ in range(tries))


def memory(tmp_path: Path) -> Path:
    file = tmp_path / "rates"
    file.write_bytes(untouched())
    return file


# What is granted


def test_a_burst_then_one_an_interval() -> None:
    bucket = Bucket(Rate(4, 3))
    assert bucket.granted(10) == 3
    assert bucket.take() == 0.25
    bucket.clock.now += SECOND // 4 - 1
    assert 0 < bucket.take() <= 1e-9
    bucket.clock.now += 1
    assert bucket.granted(10) == 1
    bucket.clock.now += SECOND // 2
    assert bucket.granted(10) == 2
    bucket.clock.now += 3600 * SECOND
    assert bucket.granted(10) == 3, "a rest fills the budget and no more"


@pytest.mark.parametrize("rate", [Rate(1, 1), Rate(3, 7), Rate(7, 420), Rate(MAX_PER_SECOND, 1), Rate(1, 60)])
def test_over_a_time_it_is_the_burst_and_the_rate(rate: Rate) -> None:
    bucket = Bucket(rate)
    counted = bucket.granted(rate.burst + 1)
    assert counted == rate.burst
    for _ in range(2 * rate.per_second if rate.per_second < 1000 else 50):
        bucket.clock.now += SECOND // rate.per_second
        assert bucket.granted(2) == 1


def test_a_refusal_costs_nothing() -> None:
    bucket = Bucket(Rate(1, 1))
    assert [bucket.take() for _ in range(4)] == [0.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("per_second", "burst"), [(0, 1), (-1, 1), (MAX_PER_SECOND + 1, 1), (1, 0), (1, -1), (1, 61), (2, 121)]
)
def test_a_rate_that_says_nothing_clear_is_none(per_second: int, burst: int) -> None:
    with pytest.raises(ValueError):
        Rate(per_second, burst)


def test_the_widest_rates_are_rates() -> None:
    for rate in (Rate(1, MEMORY_SECONDS), Rate(MAX_PER_SECOND, MEMORY_SECONDS * MAX_PER_SECOND)):
        assert Bucket(rate).take() == 0.0


# What is kept


def test_nothing_is_owed_longer_than_the_memory() -> None:
    now = 5 * SECOND
    last = now + MEMORY_SECONDS * SECOND
    assert [owed(kept, now=now) for kept in (-1, 0, now, now + 1, last, last + 1, FOREVER)] == [
        *(now, now, now),
        *(now + 1, last, now, now),
    ]
    bucket = Bucket(Rate(1, MEMORY_SECONDS))
    assert bucket.granted(100) == MEMORY_SECONDS, "what is owed at most is not mistaken for what cannot be"
    assert bucket.granted(100) == 0


@pytest.mark.parametrize("junk", [b"\xff", b"\x7f", b"\x80", b"\x00"])
def test_a_torn_file_locks_nobody_out(tmp_path: Path, junk: bytes) -> None:
    file = memory(tmp_path)
    file.write_bytes(junk * SIZE)
    bucket = Bucket(Rate(2, 5), file)
    for key in (b"a", b"b"):
        assert bucket.granted(9, key=key, table=CALLERS) == 5, "and holds again at once"


def test_a_clock_that_began_anew_locks_nobody_out(tmp_path: Path) -> None:
    before = Bucket(Rate(1, 1), memory(tmp_path))
    assert before.granted(2) == 1
    after = Bucket(Rate(1, 1), before.file, Clock(SECOND))
    assert after.granted(2) == 1


@pytest.mark.parametrize("size", [0, SIZE - 1, SIZE + 1])
def test_a_file_of_another_size_is_refused(tmp_path: Path, size: int) -> None:
    file = tmp_path / "rates"
    file.write_bytes(bytes(size))
    with pytest.raises(ValueError, match=f"not {SIZE} bytes"):
        Cells(file)


def test_the_file_never_grows(tmp_path: Path) -> None:
    bucket = Bucket(Rate(1, 1), memory(tmp_path))
    for number in range(5_000):
        bucket.take(number.to_bytes(8, "big"))
    assert bucket.file is not None
    assert bucket.file.stat().st_size == SIZE


def test_each_memory_has_a_key_of_its_own() -> None:
    assert untouched()[:HEAD] != untouched()[:HEAD]
    assert not any(untouched()[HEAD:])


def cells_of(file: Path) -> tuple[int, ...]:
    return struct.unpack(f"={2 * CELLS}q", file.read_bytes()[HEAD:])


def test_a_key_has_four_cells_which_the_secret_key_chooses(tmp_path: Path) -> None:
    places = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        bucket = Bucket(Rate(1, 2), memory(folder))
        bucket.take()
        assert bucket.file is not None
        kept = cells_of(bucket.file)
        places.append({place for place, value in enumerate(kept) if value})
        assert {kept[place] for place in places[-1]} == {bucket.clock.now + SECOND}
    assert all(len(found) == 4 and max(found) < CELLS for found in places)
    assert places[0] != places[1]


def test_callers_and_addresses_are_apart(tmp_path: Path) -> None:
    bucket = Bucket(Rate(1, 1), memory(tmp_path))
    assert bucket.take(table=CALLERS) == 0.0
    assert bucket.file is not None
    assert not any(cells_of(bucket.file)[:CELLS])
    assert bucket.granted(3) == 1, "the same key, in the other table"


def write(bucket: Bucket, *, value: int, but: frozenset[int] = frozenset()) -> None:
    """One value into every cell of a file but some."""
    assert bucket.file is not None
    with bucket.file.open("r+b") as file:
        for place in set(range(2 * CELLS)) - but:
            file.seek(HEAD + 8 * place)
            file.write(struct.pack("=q", value))


def test_only_where_all_cells_meet_a_budget_is_shared(tmp_path: Path) -> None:
    bucket = Bucket(Rate(1, 1), memory(tmp_path))
    bucket.take(b"a")
    assert bucket.file is not None
    own = [place for place, value in enumerate(cells_of(bucket.file)) if value]
    busy = bucket.clock.now + 30 * SECOND
    write(bucket, value=0, but=frozenset())
    write(bucket, value=busy, but=frozenset(own[:1]))
    assert bucket.take(b"a") == 0.0, "three of four cells are another's"
    kept = cells_of(bucket.file)
    assert kept[own[0]] == bucket.clock.now + SECOND
    assert all(kept[place] == busy for place in own[1:]), "what the others owe is left to them"
    assert bucket.take(b"a") == 1.0
    write(bucket, value=busy)
    assert bucket.take(b"a") == 30.0


# Who shares it


SPEND = """
import sys, threading
from pathlib import Path
from gateway.core.rate import Rate
from gateway.rates import CALLERS, Cells

cells, rate, granted = Cells(Path(sys.argv[1])), Rate(1, 60), []

def spend():
    for _ in range(2_000):
        if not cells.take(b"k", table=CALLERS, rate=rate):
            granted.append(1)

threads = [threading.Thread(target=spend) for _ in range(3)]
print("ready", flush=True)
sys.stdin.readline()
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(granted), flush=True)
"""
HOLD = """
import sys, time
from pathlib import Path
from gateway.core.rate import Rate
from gateway.rates import CALLERS, Cells

def clock():
    print("inside", flush=True)
    time.sleep(60)

Cells(Path(sys.argv[1]), clock=clock).take(b"k", table=CALLERS, rate=Rate(1, 1))
"""


@contextmanager
def another(program: str, file: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has said its first line; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(gateway.__file__).parents[1])},
    )
    with process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().strip() in ("ready", "inside")
            yield process
        finally:
            process.kill()


def test_processes_and_threads_share_one_budget_to_the_last(tmp_path: Path) -> None:
    """Four processes of three threads each, all at once: granted is the burst, and what the time brought."""
    file = memory(tmp_path)
    with ExitStack() as stack:
        processes = [stack.enter_context(another(SPEND, file)) for _ in range(4)]
        begun = time.monotonic()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        counts = [int(process.stdout.readline()) for process in processes if process.stdout is not None]
        took = time.monotonic() - begun
    assert len(counts) == 4
    assert 60 <= sum(counts) <= 60 + took, counts


@pytest.mark.parametrize("shared", [True, False])
def test_of_many_at_once_none_is_granted_twice(tmp_path: Path, shared: bool) -> None:
    """The clock stands, so the count is exact; it gives the turn away in the middle of each take."""

    class Slow(Clock):
        def __call__(self) -> int:
            time.sleep(0.0005)
            return self.now

    file = memory(tmp_path) if shared else None
    first = Cells(file, clock=Slow())
    mapped = [first, Cells(file, clock=Slow()) if shared else first]
    rate = Rate(1, 50)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda n: mapped[n % 2].take(b"k", table=CALLERS, rate=rate), range(200)))
    assert taken.count(0.0) == 50


def test_who_dies_inside_lets_go(tmp_path: Path) -> None:
    file = memory(tmp_path)
    with another(HOLD, file) as process:
        waited = threading.Thread(target=lambda: Cells(file).take(b"k", table=CALLERS, rate=Rate(1, 1)))
        waited.start()
        waited.join(0.3)
        assert waited.is_alive(), "one at a time"
        process.kill()
        waited.join(10)
        assert not waited.is_alive()


# Whose address


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("", "192.0.2.1", False),
        ("", "192.0.2.1, 192.0.2.2", True),
        ("", "192.0.2.1:80", True),
        ("", "unknown", True),
    ],
)
def test_an_address(one: str, other: str, same: bool) -> None:
    assert (address_key(one) == address_key(other)) is same


def through_server(*, behind_proxy: bool, client: str, headers: dict[str, str]) -> dict[str, Any]:
    """What the faces see of a request."""
    seen: list[dict[str, Any]] = []

    class Exchange:
        def response_bytes(self, *answer: Any) -> None:
            pass

        async def __aiter__(self) -> Any:
            yield b"<"

    def face(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        seen.append(environ)
        start("200 OK", [])
        return []

    web = Web(workers=1, threads=140, max_request_bytes=65536, max_device_request_bytes=4096)
    scope = SimpleNamespace(method="POST", path="/soap/v1", query_string="", headers=headers, client=client)
    server = Server(face, web=web, behind_proxy=behind_proxy)
    asyncio.run(server.__rsgi__(scope, Exchange()))  # type: ignore[arg-type]
    return seen[0]


@pytest.mark.parametrize(
    ("behind_proxy", "client", "headers", "address"),
    [
        (False, "127.0.0.1:4711", {}, "127.0.0.1"),
        (False, "127.0.0.1:4711", {"x-real-ip": "192.0.2.1"}, "127.0.0.1"),
        (True, "", {"x-real-ip": "192.0.2.1"}, "192.0.2.1"),
        (True, "", {}, ""),
    ],
)
def test_the_proxys_word_counts_behind_the_proxy_alone(
    behind_proxy: bool, client: str, headers: dict[str, str], address: str
) -> None:
    environ = through_server(behind_proxy=behind_proxy, client=client, headers=headers)
    assert environ["REMOTE_ADDR"] == address
    assert "HTTP_X_REAL_IP" not in environ


# Where it is asked


def from_address(app: App, address: str) -> App:
    """The application, called from there."""
    return lambda environ, start: app({**environ, "REMOTE_ADDR": address}, start)


def refused(answer: Answer, *, after: str = "1") -> None:
    judge(answer)
    assert (answer.status, answer.code) == (500, "RATE_EXCEEDED")
    assert answer.headers["Retry-After"] == after


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Services:
    canned = Services()
    canned.install(monkeypatch)
    return canned


def heartbeat(app: App, *, data: bytes | None = None, **changes: Any) -> Answer:
    headers = {"Content-Type": SOAP11.content_type}
    return call(app, data or envelope(REQUESTS["Heartbeat"]), headers=headers, **changes)


def test_beyond_an_addresses_rate_nothing_is_read(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(rates=make_rates(address=Rate(1, 2)))
    here, there = from_address(app, "192.0.2.1"), from_address(app, "192.0.2.2")
    assert heartbeat(here).status == 200
    monster = b"<a>" * 80_000
    assert heartbeat(here, data=monster).code == "MALFORMED_MESSAGE"
    with monkeypatch.context() as patched:
        for name in ("receive", "parse"):
            patched.setattr(guard, name, lambda *_, **__: pytest.fail("read"))
        refused(heartbeat(here, data=monster))
        refused(heartbeat(here, method="PUT"))
        twelve = call(here, monster, headers={"Content-Type": SOAP12.content_type})
        refused(twelve)
    assert heartbeat(there).status == 200


def test_all_without_an_address_share_one(services: Services) -> None:
    app = make_app(rates=make_rates(address=Rate(1, 1)))
    assert heartbeat(app).status == 200
    refused(heartbeat(from_address(app, "garbage")))


def test_the_contract_has_the_addresses_rate() -> None:
    app = from_address(make_app(rates=make_rates(address=Rate(1, 1))), "192.0.2.1")
    assert call(app, b"", method="GET", query="wsdl").status == 200
    answer = call(app, b"", method="GET", query="wsdl")
    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
    assert json.loads(answer.body)["code"] == "RATE_EXCEEDED"


def test_devices_have_the_addresses_rate() -> None:
    rates = make_rates(address=Rate(1, 1))
    app = from_address(Face(admit=rates.admit_address).app, "192.0.2.1")
    assert call(app, b"{", path="/device/v1/demo-bank/transactions").status == 401
    answer = call(app, b"{", path="/device/v1/demo-bank/transactions")
    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
    problem = json.loads(answer.body)
    assert (problem["code"], problem["group"], problem["retryable"]) == ("RATE_EXCEEDED", "UNAVAILABLE", True)


def test_beyond_a_callers_rate_nothing_is_asked_of_anyone(services: Services) -> None:
    app = make_app(rates=make_rates(caller=Rate(1, 2)))
    invalid = envelope("<gw:GetTransaction/>")
    assert heartbeat(app).status == 200
    assert heartbeat(app, data=invalid).code == "SCHEMA_INVALID"
    refused(heartbeat(app, data=invalid))
    refused(heartbeat(app))
    assert len(services.asked) == 1


def test_nobody_spends_anothers_rate(services: Services) -> None:
    app = make_app(rates=make_rates(caller=Rate(1, 1)))
    stranger = envelope(REQUESTS["Heartbeat"], header=security(token(password="wrong")))
    for _ in range(5):
        assert heartbeat(app, data=stranger).code == "NOT_AUTHENTICATED"
    assert heartbeat(app).status == 200
    assert heartbeat(app, data=stranger).code == "NOT_AUTHENTICATED", "nor learns whether it is spent"


def test_one_callers_flood_is_its_own(services: Services) -> None:
    other = type(CREDENTIAL)("other", CREDENTIAL.relying_party, CREDENTIAL.rights, CREDENTIAL.secret_sha256)
    app = make_app(CREDENTIAL, other, rates=make_rates(caller=Rate(1, 3), **{CREDENTIAL.id: Rate(1, 1)}))
    as_other = envelope(REQUESTS["Heartbeat"], header=security(token(username="other")))
    assert heartbeat(app).status == 200
    for _ in range(9):
        refused(heartbeat(app))
    assert [heartbeat(app, data=as_other).status for _ in range(4)] == [200, 200, 200, 500]


def test_the_wait_is_whole_seconds_and_a_refusal_is_counted() -> None:
    def counted(budget: str, caller: str) -> float:
        labels = {"budget": budget, "caller": caller}
        return REGISTRY.get_sample_value("gateway_rate_refusals_total", labels) or 0.0

    rates = make_rates(address=Rate(3, 1), caller=Rate(1, 1))
    before = counted("address", ""), counted("caller", "bank")
    rates.admit_address({"REMOTE_ADDR": "192.0.2.1"})
    rates.admit_caller("bank")
    with pytest.raises(RateExceeded) as soon:
        rates.admit_address({"REMOTE_ADDR": "192.0.2.1"})
    with pytest.raises(RateExceeded) as later:
        rates.admit_caller("bank")
    assert (soon.value.retry_after, later.value.retry_after) == (1, 1)
    assert (counted("address", ""), counted("caller", "bank")) == (before[0] + 1, before[1] + 1)


# What is configured


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("address_per_second", 5000, 0),
        ("address_per_second", 5000, 100_001),
        ("address_burst", 10000, 0),
        ("address_burst", 10000, 300_001),
        ("caller_per_second", 2000, 0),
        ("caller_per_second", 2000, 100_001),
        ("caller_burst", 4000, 0),
        ("caller_burst", 4000, 120_001),
    ],
)
def test_a_rate_that_cannot_be_is_told_with_its_line(sandbox: Path, key: str, old: int, new: int) -> None:  # noqa: F811
    [fault] = faults_after(sandbox, "gateway.toml", (f"{key} = {old}", f"{key} = {new}"))
    lines = (sandbox / "gateway.toml").read_text().splitlines()
    line = 1 + next(n for n, text in enumerate(lines) if text.startswith(f"{key} ="))
    assert fault.startswith(f"{sandbox}/gateway.toml:{line}: rates.{key}: ")


def test_rates_are_needed(sandbox: Path) -> None:  # noqa: F811
    text = (sandbox / "gateway.toml").read_text()
    table = text[text.index("[rates]") : text.index("[database]")]
    assert any(": rates: " in fault for fault in faults_after(sandbox, "gateway.toml", (table, "")))
    missing = faults_after(sandbox, "gateway.toml", ("[database]", "[rates]\n[database]"))
    assert {fault.split(": ")[1] for fault in missing} == {
        f"rates.{of}_{what}" for of in ("address", "caller") for what in ("per_second", "burst")
    }


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ("per_second = 5\nburst = 0", "burst: "),
        ("per_second = 5\nburst = 301", "burst: "),
        ("per_second = 0\nburst = 1", "per_second: "),
        ("per_second = 100001\nburst = 1", "per_second: "),
        ("per_second = 5", "both or neither"),
        ("burst = 5", "both or neither"),
    ],
)
def test_a_callers_own_rate_that_cannot_be(sandbox: Path, own: str, says: str) -> None:  # noqa: F811
    [fault] = faults_after(sandbox, "callers/demo-bank-core.toml", ("rights = [", f"{own}\nrights = ["))
    assert says in fault
    assert f"{sandbox}/callers/demo-bank-core.toml:" in fault


def test_a_callers_own_rate_takes_the_place_of_the_other(sandbox: Path) -> None:  # noqa: F811
    assert (
        faults_after(
            sandbox, "callers/demo-bank-core.toml", ("rights = [", "per_second = 5\nburst = 300\nrights = [")
        )
        == []
    )
    (sandbox / "callers" / "b.toml").write_text(username_caller("b", secret=new_caller_secret(), rights=[]))
    rates = build_rates(restore(dump(load(sandbox))), Cells())
    assert rates.callers == {"demo-bank-core": Rate(5, 300)}
    assert (rates.address, rates.caller) == (Rate(5000, 10000), Rate(2000, 4000))


def username_caller(name: str, *, secret: str, rights: list[str]) -> str:
    return caller_file(
        name,
        relying_party="demo-bank",
        authentication="username",
        secret=secret,
        certificates=[],
        rights=rights,
    )


# A flood, for real

FLOODS = 12
"""Connections of caller A, each asking again as soon as it is answered."""
GENTLE = 150
"""Calls of caller B, one every 40 ms."""


@pytest.fixture
def live() -> Iterator[tuple[Live, str]]:
    """A gateway in which A may ask 20 times a second, and the secret of B."""
    with live_gateway() as running:
        a = running.folder / "callers" / "demo-bank-core.toml"
        a.write_text("per_second = 20\nburst = 20\n" + a.read_text())
        secret = new_caller_secret()
        text = username_caller("gentle", secret=secret, rights=["GetTransaction"])
        (running.folder / "callers" / "gentle.toml").write_text(text)
        running.stop()
        running.start()
        yield running, secret


def test_a_flood_of_one_caller_leaves_another_below_a_second(live: tuple[Live, str]) -> None:
    """Both from one address, over connections of their own; what they ask reaches the database."""
    running, secret = live
    asked = f"<transactionId>{'0' * 8}-0000-7000-8000-{'0' * 12}</transactionId>"
    over = threading.Event()

    def outcome(**who: str) -> str:
        try:
            running.call("GetTransaction", asked, **who)
        except Fault as fault:
            return fault.code
        return "OK"

    def flood() -> Counter[str]:
        seen: Counter[str] = Counter()
        while not over.is_set():
            seen[outcome()] += 1
        return seen

    latencies, answers = [], Counter[str]()
    with ThreadPoolExecutor(FLOODS) as pool:
        begun = time.monotonic()
        floods = [pool.submit(flood) for _ in range(FLOODS)]
        try:
            for number in range(GENTLE):
                time.sleep(max(0.0, begun + 0.04 * number - time.monotonic()))
                started = time.perf_counter()
                answers[outcome(caller="gentle", secret=secret)] += 1
                latencies.append(time.perf_counter() - started)
        finally:
            over.set()
        seconds = time.monotonic() - begun
        flooded = sum((each.result() for each in floods), Counter())
    p99 = statistics.quantiles(latencies, n=100)[98]
    print(
        f"A: {dict(flooded)} in {seconds:.1f} s; B: {dict(answers)},"
        f" p50 {1000 * statistics.median(latencies):.0f} ms, p99 {1000 * p99:.0f} ms"
    )
    # NOT_FOUND is what the service itself answers: it was asked, and there is no such transaction.
    assert answers == {"NOT_FOUND": GENTLE}
    assert p99 < 1.0
    assert set(flooded) == {"NOT_FOUND", "RATE_EXCEEDED"}
    assert 20 <= flooded["NOT_FOUND"] <= 20 + 20 * (seconds + 1), "over all workers together"
    assert flooded["RATE_EXCEEDED"] > flooded["NOT_FOUND"]
