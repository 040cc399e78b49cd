"""That ``make bench`` works: every comparison is made and told, every picture drawn. Never how fast."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
FIGURE = r"[0-9,]+\.[0-9]{3}"
ROW = re.compile(
    rf"^  (?P<name>\S.*?) +(?P<figures>{FIGURE} +{FIGURE} +{FIGURE}) +(?P<rate>[0-9,]+)"
    r"(?: +(?P<ratio>[0-9.]+)x)?$"
)
EXPECTED = {
    "seal, a document of": 3,
    "verify, 10 devices": 3,
    "SOAP call in process, Heartbeat": 2,
    "SOAP call in process, GetTransaction": 2,
    "signed message, RSA-2048, 10 keys": 3,
    "signed message, ECDSA P-256, 10 keys": 3,
    "Heartbeat over HTTP, 1 connection ": 2,
    "Heartbeat over HTTP, 8 connections": 2,
    "GetEvidence over HTTP, 1 connection ": 3,
    "GetEvidence over HTTP, 8 connections": 3,
    "whole walks over HTTP, 1 phone at": 2 if shutil.which("pgbench") else 1,
    "whole walks over HTTP, 2 phones at": 2 if shutil.which("pgbench") else 1,
}
"""Rows by how their table begins."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("profiles")
    done = subprocess.run(
        [sys.executable, ROOT / "tests/bench/bench.py", "--quick", "--profile", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, folder


@pytest.mark.parametrize("begins", EXPECTED)
def test_every_comparison_is_told(run: tuple[str, Path], begins: str) -> None:
    (found,) = [block for block in run[0].split("\n\n") if block.startswith(begins)]
    rows = [match for line in found.splitlines() if (match := ROW.match(line))]
    assert [bool(row["ratio"]) for row in rows] == [False] + [True] * (EXPECTED[begins] - 1)
    assert rows[0]["name"].startswith("gateway: ")
    for row in rows:
        least, median, most = (float(figure.replace(",", "")) for figure in row["figures"].split())
        assert 0 < least <= median <= most


def test_the_machine_is_named(run: tuple[str, Path]) -> None:
    assert re.match(r"[0-9]+ cores, .+; Python 3\.[0-9.]+; load [0-9.]+\n", run[0])


@pytest.mark.parametrize("name", ["verify", "soap", "walk"])
def test_every_picture_is_drawn(run: tuple[str, Path], name: str) -> None:
    path = run[1] / f"profile-{name}.svg"
    tree = ElementTree.parse(path)
    tags = {element.tag.rpartition("}")[2] for element in tree.iter()}
    assert {"rect", "text", "title"} <= tags <= {"svg", "g", "rect", "text", "title"}
    assert path.stat().st_size < 200_000
    titles = " ".join(str(element.text) for element in tree.iter("{http://www.w3.org/2000/svg}title"))
    inside = {"verify": "verify_evidence", "soap": "_Exchange.answer", "walk": "services.evidence.complete"}
    assert inside[name] in titles
