"""The house rules that a tool can hold: imports, style, types, what the tree may name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
ALLOWED_TOP = {
    *("gateway", "wsdl", "schemas", "conf", "tests", "docs", ".ci"),
    *("setup.py", "README.md", "pyproject.toml", "Makefile", "CHANGELOG.md", "LICENSE", ".gitignore"),
    *("requirements.lock", "requirements-build.lock"),
}


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


@pytest.mark.parametrize(
    "command",
    [
        ("lint-imports",),
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
    ],
    ids=lambda command: " ".join(command),
)
def test_tool_finds_nothing(command: tuple[str, ...]) -> None:
    result = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_top_level_holds_what_people_expect() -> None:
    assert {path.split("/")[0] for path in tracked()} <= ALLOWED_TOP


def test_no_committed_file_names_a_package_registry() -> None:
    hosts = re.compile(
        "|".join(
            ("pypi" + r"\.org", "pythonhosted" + r"\.org", "registry" + r"\.npmjs", "repo1?" + r"\.maven")
        )
    )
    named = [p for p in tracked() if hosts.search((ROOT / p).read_text(encoding="utf-8", errors="ignore"))]
    assert not named


def test_every_module_begins_with_its_sentence() -> None:
    modules = [p for p in tracked() if p.startswith("gateway/") and p.endswith(".py")]
    bare = [
        p for p in modules if (text := (ROOT / p).read_text()).strip() and not text.startswith(('"""', "#!"))
    ]
    assert modules
    assert not bare
