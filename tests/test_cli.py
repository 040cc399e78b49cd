"""The command line: exit codes, sentences, and what it never prints."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from live import free_port
from sim import World

from gateway import cli
from gateway.composition import build_gateway
from gateway.config import ConfigurationError, load
from gateway.core.client import Client
from gateway.core.errors import ClientNotAccepted
from gateway.core.model import format_time, utc_now
from gateway.sandbox import make_sandbox

ROOT = Path(__file__).parents[1]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def files(tmp_path: Path, world: World) -> tuple[Path, Path]:
    evidence, trust = tmp_path / "evidence.xml", tmp_path / "trust.pem"
    evidence.write_bytes(world.evidence())
    trust.write_bytes(world.pki.trust_pem())
    return evidence, trust


def verify(files: tuple[Path, Path], world: World, *more: str) -> int:
    at = format_time(world.at + timedelta(days=1))
    return cli.main(["evidence", "verify", str(files[0]), "--trust", str(files[1]), "--at", at, *more])


def test_verify_exit_codes(
    files: tuple[Path, Path], world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    good = files[0].read_bytes()
    assert verify(files, world) == 0
    assert "TOTAL-PASSED" in capsys.readouterr().out
    files[0].write_bytes(good.replace(b"348.500", b"348.501"))
    assert verify(files, world) == 1
    assert "HASH_FAILURE" in capsys.readouterr().out
    files[0].write_bytes(good)
    files[1].write_bytes(World().pki.trust_pem())
    assert verify(files, world) == 2
    assert "NO_CERTIFICATE_CHAIN_FOUND" in capsys.readouterr().out
    for unusable in (b"", b"not xml", b"<!DOCTYPE a><a/>", b"<a/>" * 2):
        files[0].write_bytes(unusable)
        assert verify(files, world) == 3
    files[0].unlink()
    assert verify(files, world) == 3


@pytest.mark.parametrize(
    "trust", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"]
)
def test_a_trust_file_that_is_none(files: tuple[Path, Path], world: World, trust: bytes) -> None:
    files[1].write_bytes(trust)
    assert verify(files, world) == 3


def test_verify_as_json_and_as_a_page(
    files: tuple[Path, Path], world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "evidence.html"
    assert verify(files, world, "--json", "--html", str(page)) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["indication"] == "TOTAL-PASSED"
    assert {check["step"] for check in said["checks"]} == set(range(10))
    html = page.read_text(encoding="utf-8")
    for shown in (
        "348.500,00",
        "Agreed &amp; accepted.",
        "customer-4711",
        "Zoë Ångström-Şahin",
        "xmlsec1 --verify",
    ):
        assert shown in html
    assert "<script" not in html


def test_the_page_of_a_changed_document_shows_nothing_of_it(
    files: tuple[Path, Path], world: World, tmp_path: Path
) -> None:
    page = tmp_path / "evidence.html"
    files[0].write_bytes(files[0].read_bytes().replace(b"348.500", b"<b>1</b>"))
    verify(files, world, "--html", str(page))
    files[0].write_bytes(world.evidence().replace(b"348.500", b"348.501"))
    assert verify(files, world, "--html", str(page)) == 1
    assert "348.501" not in page.read_text(encoding="utf-8")


def test_a_time_without_zone_is_refused(files: tuple[Path, Path]) -> None:
    with pytest.raises(SystemExit):
        cli.main(
            ["evidence", "verify", str(files[0]), "--trust", str(files[1]), "--at", "2026-01-01T00:00:00"]
        )


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    folder = tmp_path / "sandbox"
    make_sandbox(folder, port=free_port(), at=utc_now())
    return folder


def test_sandbox_is_readable_by_its_owner_alone(sandbox: Path) -> None:
    assert cli.main(["check-config", "--conf", str(sandbox)]) == 0
    assert all(f.stat().st_mode & 0o077 == 0 for f in sandbox.rglob("*") if f.is_file())
    with pytest.raises(FileExistsError):
        make_sandbox(sandbox, port=1, at=utc_now())


def test_a_caller_that_would_be_the_gateway_itself_is_not_written(
    sandbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the gateway signs would be that caller's message; the next reload would be refused."""
    argv = ["caller", "new", "mirror", "--relying-party", "demo-bank", "--conf", str(sandbox)]
    argv += ["--authentication", "x509", "--certificate", str(sandbox / "keys" / "message.pem")]
    assert cli.main(argv) == 3
    assert "it is caller mirror's too" in capsys.readouterr().err
    assert not (sandbox / "callers" / "mirror.toml").exists()


def test_caller_new_prints_the_secret_once(sandbox: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["caller", "new", "auditor", "--relying-party", "demo-bank", "--conf", str(sandbox)]
    assert cli.main(argv) == 0
    secret = capsys.readouterr().out.strip().splitlines()[-1]
    file = sandbox / "callers" / "auditor.toml"
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", secret)
    assert secret not in file.read_text()
    assert "auditor" in load(sandbox).callers
    before = file.read_text()
    assert cli.main(argv) == 3
    assert file.read_text() == before
    assert cli.main(["caller", "new", "x", "--relying-party", "nobody", "--conf", str(sandbox)]) == 3
    assert (
        cli.main(["caller", "new", "Bad Name", "--relying-party", "demo-bank", "--conf", str(sandbox)]) == 3
    )
    assert not (sandbox / "callers" / "Bad Name.toml").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("workers = 2", "workers = 0"), "web.workers"),
        (("threads = 160", "threads = 10"), "web.threads"),
        (('mode = "sandbox"', 'mode = "test"'), "mode"),
        (("max_failures = 3", "max_failures = 6"), "article 4(3)(b)"),
        (("code_length = 6", "code_length = 3"), "registration.code_length"),
        (('code_alphabet = "digits"', 'code_alphabet = "ABC"'), "registration.code_alphabet"),
        (('code_alphabet = "digits"', 'code_alphabet = "0O23456789"'), "cannot be told apart"),
        (("artifact_lifetime_seconds = 300", "artifact_lifetime_seconds = 901"), "artifact_lifetime_seconds"),
        (("max_devices = 5", "max_devices = 17"), "registration.max_devices"),
        (('host = "127.0.0.1"', 'host = "0.0.0.0"'), "listen.host"),
        (("pool_size = 8", "extra = 1"), "database.extra"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_fault_is_named_with_its_line(sandbox: Path, change: tuple[str, str], says: str) -> None:
    file = sandbox / "gateway.toml"
    assert change[0] in file.read_text()
    file.write_text(file.read_text().replace(*change, 1))
    with pytest.raises(ConfigurationError) as refused:
        load(sandbox)
    fault = next(fault for fault in refused.value.faults if says in fault)
    line = 1 + next(i for i, text in enumerate(file.read_text().splitlines()) if change[1] in text)
    assert f"gateway.toml:{line}:" in fault


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        (['floor = "v1"'], "client[0].floor"),
        (['floor = "1.0"\nblocked = ["1.x"]'], "client[0].blocked[0]"),
        (["blocked = []"], "client[0].floor"),
        (['floor = "1.0"', 'floor = "2.0"'], "a name stands twice"),
    ],
)
def test_client_rules_that_say_nothing_clear_are_refused(sandbox: Path, tables: list[str], says: str) -> None:
    file = sandbox / "gateway.toml"
    rules = "".join(f'\n[[client]]\nname = "bank-app"\n{table}\n' for table in tables)
    file.write_text(file.read_text() + rules)
    with pytest.raises(ConfigurationError) as refused:
        load(sandbox)
    assert any(says in fault for fault in refused.value.faults), refused.value.faults


def test_client_rules_are_read(sandbox: Path) -> None:
    file = sandbox / "gateway.toml"
    file.write_text(
        file.read_text() + '\n[[client]]\nname = "bank-app"\nfloor = "1.4.0"\nblocked = ["1.5.2"]\n'
    )
    rules = build_gateway(load(sandbox), None).clients  # type: ignore[arg-type]
    rules.require(Client("bank-app", "1.4"))
    for version in ("1.3.9", "1.5.2"):
        with pytest.raises(ClientNotAccepted):
            rules.require(Client("bank-app", version))


def test_a_profile_that_is_not_there_is_named(sandbox: Path) -> None:
    file = sandbox / "gateway.toml"
    file.write_text(file.read_text().replace('profiles = ["consent-pin", ', 'profiles = ["absent", '))
    with pytest.raises(ConfigurationError, match="no profile absent"):
        load(sandbox)


def test_production_refuses_what_is_for_the_sandbox(sandbox: Path) -> None:
    file = sandbox / "gateway.toml"
    file.write_text(file.read_text().replace('mode = "sandbox"', 'mode = "production"'))
    with pytest.raises(ConfigurationError, match="unix socket"):
        load(sandbox)


def test_every_fault_is_named_at_once(sandbox: Path) -> None:
    file = sandbox / "gateway.toml"
    file.write_text(
        file.read_text().replace("workers = 2", "workers = 0").replace("threads = 160", "threads = 1")
    )
    (sandbox / "profiles" / "consent-pin.toml").write_text("id = 1")
    (sandbox / "callers" / "broken.toml").write_text("not toml")
    with pytest.raises(ConfigurationError) as refused:
        load(sandbox)
    assert len(refused.value.faults) >= 11


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = subprocess.run(
            [sys.executable, "-m", "gateway.cli", "demo", "--port", port, "--folder", str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 3
    assert result.stderr == (
        f"Port {port} of 127.0.0.1 is taken: stop what listens there, or choose another port.\n"
    )


@pytest.fixture(scope="module")
def demo_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="gateway-demo-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def demo(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "gateway.cli",
            "demo",
            "--folder",
            str(folder),
            "--port",
            str(free_port()),
            *more,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONUTF8": "1"},
    )


def test_demo_leaves_evidence_that_verifies_and_runs_again(demo_folder: Path) -> None:
    first = demo(demo_folder)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "TOTAL-PASSED" in first.stdout
    kept = {
        name: (demo_folder / name).read_bytes() for name in ("evidence.xml", "evidence.html", "trust.pem")
    }
    argv = [
        "evidence",
        "verify",
        str(demo_folder / "evidence.xml"),
        "--trust",
        str(demo_folder / "trust.pem"),
    ]
    assert cli.main(argv) == 0
    own = demo_folder / "own.txt"
    own.write_text("Eine eigene Zustimmung über 12,50 €.\nZweite Zeile.", encoding="utf-8")
    second = demo(demo_folder, "--text", str(own))
    assert second.returncode == 0, second.stdout + second.stderr
    assert kept["evidence.xml"] != (demo_folder / "evidence.xml").read_bytes()
    assert kept["trust.pem"] == (demo_folder / "trust.pem").read_bytes()


def test_demo_tampered_is_refused(demo_folder: Path) -> None:
    result = demo(demo_folder, "--tamper")
    assert result.returncode == 1
    assert "HASH_FAILURE" in result.stdout
    assert "Refused, as it must be" in result.stdout


def test_demo_says_what_is_wrong_with_a_text(demo_folder: Path) -> None:
    result = demo(demo_folder, "--text", str(demo_folder / "absent.txt"))
    assert result.returncode == 3
    assert "cannot be read" in result.stderr


def test_serve_prints_a_first_request_that_works(demo_folder: Path) -> None:
    port = free_port()
    folder = demo_folder / "serve"
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gateway.cli",
            "sandbox",
            "serve",
            "--folder",
            str(folder),
            "--port",
            str(port),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        try:
            assert process.stdout is not None
            printed: list[str] = []
            while not printed or "Ctrl-C stops it." not in printed[-1]:
                line = process.stdout.readline()
                assert line, "".join(printed)
                printed.append(line)
            said = "".join(printed)
            for name in ("SOAP", "devices", "caller", "secret", "trust"):
                assert re.search(rf"^  {name}\s+\S+", said, re.MULTILINE)
            url, body = re.search(r"curl -s (\S+) .*<<'XML'\n(.*?)\nXML\n", said, re.DOTALL).groups()  # type: ignore[union-attr]
            request = urllib.request.Request(url, body.encode(), {"Content-Type": "text/xml; charset=utf-8"})
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert b"HeartbeatResponse" in answer.read()
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("python", "says"),
    [
        ("exit 1", "is not Python 3.11, 3.12 or 3.13"),
        ('case "$2" in *venv*) exit 1;; esac', "has no venv module: install it"),
    ],
)
def test_make_says_in_one_sentence_what_is_missing(tmp_path: Path, python: str, says: str) -> None:
    stub = tmp_path / "python"
    stub.write_text(f"#!/bin/sh\n{python}\n")
    stub.chmod(0o755)
    result = subprocess.run(
        ["make", "-s", "check", f"PYTHON={stub}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    assert says in result.stdout
    assert len(result.stdout.strip().splitlines()) == 1
