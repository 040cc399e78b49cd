"""What the documentation says is what the programs do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from operation_pages import FOLDER
from pages import pages

from gateway.config import OPERATIONS
from gateway.core.commands import xmlsec1_commands

ROOT = Path(__file__).parents[1]
PAGES = pages()
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```console\n\$ (.*)\n((?:.*\n)*?)```", README)


@pytest.mark.parametrize(("command", "printed"), [b for b in BLOCKS if b[0].startswith("mobileid-gateway")])
def test_help_is_what_the_program_prints(command: str, printed: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "gateway.cli", *command.split()[1:]],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=True,
    )
    # Columns differ between Python versions; words do not.
    assert result.stdout.split() == printed.split()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:`|\$ )make ([a-z]+)", README))))
def test_every_make_target_is_there(target: str) -> None:
    subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_every_operation_is_described() -> None:
    assert {name for name in OPERATIONS if f"`{name}`" not in README} == set()


def test_the_xmlsec1_lines_are_those_that_the_demo_runs() -> None:
    shown = [
        " ".join(line.replace("\\\n", " ").split())
        for line in re.findall(r"xmlsec1 --verify(?:[^\\\n]|\\\n)*", README)
    ]
    meant = [" ".join(argv) for _, argv in xmlsec1_commands("evidence.xml", "trust.pem")]
    assert [line.replace('"', "") for line in shown] == meant


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_generated_page_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == PAGES[path], "run python tests/pages.py"


def test_no_page_of_an_operation_that_is_gone() -> None:
    assert {path for path in PAGES if path.parent == FOLDER} == set(FOLDER.glob("*.md"))


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


FENCED = re.compile(r"(?:<!-- (tests/interop/\S+) -->\n+)?^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SAMPLES = [
    pytest.param(source, code, id=f"{page.stem}-{number}")
    for page in sorted((ROOT / "docs" / "stacks").glob("*.md"))
    for number, (source, language, code) in enumerate(FENCED.findall(page.read_text(encoding="utf-8")))
    if language not in ("console", "sh", "text")
]


@pytest.mark.parametrize(("source", "code"), SAMPLES)
def test_code_on_a_page_is_that_of_a_program_that_runs(source: str, code: str) -> None:
    def lines(text: str) -> str:
        return "\n".join(line.strip() for line in text.strip().splitlines())

    assert source, "a block of code names its program in a comment before it"
    assert f"\n{lines(code)}\n" in f"\n{lines((ROOT / source).read_text(encoding='utf-8'))}\n"
