"""``make bench``: what the gateway costs, beside what nobody can leave out and beside what others offer.

The law: everything that is compared runs side by side in one run, in turns; docs/performance.md says what was
measured and how to read it. Speed is never asserted: on a shared machine only ratios mean anything.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import documents
import messages
import profiles
import signatures
import traffic

from gateway.logs import configure_logging


@dataclass(frozen=True, slots=True)
class Size:
    rounds: int
    devices: int
    """Documents of part 1, and callers of part 3."""
    calls: int
    """SOAP calls in process, a round."""
    requests: int
    """GetEvidence, and Heartbeat of each kind, a round."""
    walks: int
    """Of each phone, a round."""
    phones: int
    profile_seconds: float


FULL = Size(rounds=20, devices=1000, calls=500, requests=200, walks=6, phones=8, profile_seconds=5)
QUICK = Size(rounds=2, devices=10, calls=20, requests=20, walks=1, phones=2, profile_seconds=0.3)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, help=f"how often what is compared takes turns ({FULL.rounds})")
    parser.add_argument("--quick", action="store_true", help="a few of each, to see that it works")
    parser.add_argument("--profile", type=Path, metavar="FOLDER", help="draw where the time goes, too")
    arguments = parser.parse_args(argv)
    size = QUICK if arguments.quick else FULL
    rounds = arguments.rounds or size.rounds
    if not 1 <= rounds <= size.devices:
        parser.error(f"--rounds: 1 to {size.devices}")
    quiet()
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        corpus = documents.Corpus(size.devices)
        say(documents.measure(corpus, folder=Path(folder), rounds=rounds))
    say(messages.measure(rounds=rounds, calls=size.calls))
    if arguments.profile is not None:
        say(profiles.of_documents(corpus, arguments.profile, seconds=size.profile_seconds))
        say(profiles.of_messages(arguments.profile, seconds=size.profile_seconds))
    messages.restore()
    say(signatures.measure(callers=size.devices, rounds=rounds))
    with traffic.running() as running:
        say(traffic.measure_fetching(running, rounds=rounds, requests=size.requests))
        say(traffic.measure_signed(running, rounds=rounds, requests=size.requests))
        say(traffic.measure_walks(running, rounds=rounds, walks=size.walks, phones=size.phones))
        if arguments.profile is not None:
            say(profiles.of_walk(running, arguments.profile, seconds=size.profile_seconds))
    print(f"\nload at the end: {os.getloadavg()[0]:.2f}")


def quiet() -> None:
    """The gateway's log lines are made and written as ever, but not among the tables."""
    with redirect_stdout(open(os.devnull, "w")):
        configure_logging()


def machine() -> str:
    models = {
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    }
    return (
        f"{os.cpu_count()} cores, {', '.join(models) or platform.machine()}; "
        f"Python {platform.python_version()}; load {os.getloadavg()[0]:.2f}"
    )


def say(tables: list[str]) -> None:
    for table in tables:
        print(f"\n{table}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
