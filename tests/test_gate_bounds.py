"""What one request can cost at most: every case and every monster, in a process of its own that lives on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from soap_cases import measure, monsters

from gateway.core import xmlparse

MONSTERS = list(monsters.monsters())
MAX_SECONDS = 1.0
"""CPU of the whole process: a bound for safety, several times what any of them takes."""
MAX_GROWTH = 64 * 1024 * 1024
CASES = sorted(path.stem for path in measure.HERE.glob("*.http"))


@cache
def measured() -> dict[str, dict[str, Any]]:
    root = Path(__file__).parents[1]
    child = subprocess.run(
        [sys.executable, str(measure.HERE / "measure.py")],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-3000:]
    rows = [json.loads(line) for line in child.stdout.splitlines() if line.startswith('{"name"')]
    return {row["name"]: row for row in rows}


def within_bounds(row: dict[str, Any]) -> None:
    assert row["seconds"] < MAX_SECONDS
    assert row["growth"] < MAX_GROWTH
    assert row["neighbour"], "a good request beside it was not answered"


@pytest.mark.parametrize("monster", MONSTERS, ids=lambda monster: monster.name)
def test_monster(monster: monsters.Monster) -> None:
    row = measured()[f"monster-{monster.name}"]
    assert row["code"] == monster.code
    within_bounds(row)


def test_every_case_of_the_index() -> None:
    assert len(measured()) == len(CASES) + len(MONSTERS)
    for name in CASES:
        within_bounds(measured()[name])


def test_monsters_are_what_they_are_called() -> None:
    """Each is as large as it can be, or is small but for what libraries would make of it."""
    sizes = {monster.name: len(monster.body()) for monster in MONSTERS}
    assert len(sizes) == len(MONSTERS)
    assert {name for name, size in sizes.items() if size > monsters.MAX_BYTES} == {"larger-than-allowed"}


# What the parser is spared


def document(size: int, *, seed: int) -> bytes:
    """Of names that no other document has."""
    return b"<r>" + b"".join(b"<n%dx%d%s/>" % (seed, n, b"y" * 700) for n in range(size)) + b"</r>"


def test_names_of_a_document_do_not_outlive_it() -> None:
    """A thread that parses itself keeps every name until it ends: 70 MB of them here."""
    for seed in range(3):
        xmlparse.parse(document(9_000, seed=seed))
    before = measure.resident()
    for seed in range(3, 15):
        xmlparse.parse(document(9_000, seed=seed))
    assert measure.resident() - before < 30 * 1024 * 1024


@pytest.mark.parametrize(
    ("largest", "too_large"),
    [
        (b"<a>" * 64 + b"</a>" * 64, b"<a>" * 65 + b"</a>" * 65),
        (b"<r>" + b"<a/>" * 9_999 + b"</r>", b"<r>" + b"<a/>" * 10_000 + b"</r>"),
        (b"<r>" + b"<![CDATA[<]]>" * 9_999 + b"</r>", b"<r>" + b"<![CDATA[<]]>" * 10_000 + b"</r>"),
        (b"<r a='" + b"x" * 65_527 + b"'/>", b"<r a='" + b"x" * 65_528 + b"'/>"),
    ],
    ids=["depth", "elements", "sections", "tag"],
)
def test_limits_are_where_they_are_said_to_be(largest: bytes, too_large: bytes) -> None:
    assert isinstance(xmlparse.parse(largest), etree._Element)
    with pytest.raises(xmlparse.NotPlain):
        xmlparse.parse(too_large)


@pytest.mark.parametrize(
    "data",
    [
        b"<a b='<!-- -->'/>",
        b"<a><!-- --></a>",
        b"<a><?b?></a>",
        b"<a>&b;</a>",
        b"<!DOCTYPE a><a/>",
        b"<a/><!-- -->",
        b"<![CDATA[]]><a/>",
        b"<a b=\"'><!-- -->'\"><!-- --></a>",
        b"",
        b"a",
        b"<",
        b"\xef\xbb\xbf<a/>",
        b"\xff\xfe<\0a\0/\0>\0",
        b"<a>\xc0\xaf</a>",
    ],
)
def test_what_is_not_plain_is_refused(data: bytes) -> None:
    with pytest.raises(xmlparse.NotPlain):
        xmlparse.parse(data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"<a><![CDATA[<!-- <?b?> <!DOCTYPE> ]] > ]]]]><![CDATA[>]]></a>", "<!-- <?b?> <!DOCTYPE> ]] > ]]>"),
        (b"<a b='>' c=\"'>'\"\n>t</a\t>", "t"),
        (b"<?xml version='1.0' encoding='utf-7'?>\n<a>+ADw-</a>", "+ADw-"),
        ("<ä ö='ü'>é</ä>".encode(), "é"),
    ],
)
def test_what_is_plain_is_read(data: bytes, text: str) -> None:
    assert xmlparse.parse(data).text == text
