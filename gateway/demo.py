"""The demonstration: one walk from registration to its result, the consent signature unless another is named.

The law: nothing is simulated but the people. The gateway is the one that ``serve`` runs, the bank speaks
SOAP through zeep, the authenticator speaks the device protocol, and the evidence is verified from the
file that was fetched. All that is started is stopped.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from gateway.core.certpath import parse_trust
from gateway.core.commands import xmlsec1_commands
from gateway.core.conclusion import Indication
from gateway.core.model import format_time, utc_now
from gateway.core.report import render
from gateway.core.verifier import verify_evidence
from gateway.sandbox import CALLER, make_sandbox, set_port
from gateway.walks import WALKS, WalkFailed, arrive, say

START_SECONDS = 60
_AMOUNT = re.compile(r"(?:€|EUR)\s?\d[\d., ]*\d|\d[\d., ]*\d\s?(?:€|EUR)")


class DemoFailed(Exception):
    """What did not work, and where to look, in one sentence."""


def demonstrate(folder: Path, *, port: int, walk: str, text_file: Path | None, tamper: bool) -> int:
    """Runs a whole walk; 0 when what it leaves is TOTAL-PASSED, else the verifier's exit code."""
    text = _text(text_file)
    title, _, _ = text.partition("\n")
    folder.mkdir(parents=True, exist_ok=True)
    sandbox = folder / "sandbox"
    if not (sandbox / "gateway.toml").exists():
        make_sandbox(sandbox, port=port, at=utc_now())
    set_port(sandbox, port=port)
    base = f"http://127.0.0.1:{port}"
    with _running(sandbox, base=base, log=folder / "gateway.log"):
        say("Gateway", f"runs at {base} on a real Postgres of its own", "health/ready says so")
        bank = bank_of(sandbox, base=base)
        try:
            document = WALKS[walk](arrive(bank, title=title.strip()[:200], text=text))
        except WalkFailed as error:
            raise DemoFailed(str(error)) from None
    say("Gateway", "stopped, with its database", "what follows needs no gateway")
    if document is None:
        return 0
    return _audit(folder, document=document, trust=sandbox / "keys" / "trust.pem", tamper=tamper)


def _audit(folder: Path, *, document: bytes, trust: Path, tamper: bool) -> int:
    """Writes the files, verifies them offline, and says how others do."""
    evidence, anchors, page = folder / "evidence.xml", folder / "trust.pem", folder / "evidence.html"
    if tamper:
        document = _tampered(document)
    evidence.write_bytes(document)
    shutil.copyfile(trust, anchors)
    at = utc_now()
    conclusion = verify_evidence(evidence.read_bytes(), trust=parse_trust(anchors.read_bytes()), at=at)
    commands = [(n, shlex.join(c)) for n, c in xmlsec1_commands(str(evidence), str(anchors))]
    page.write_text(
        render(conclusion, data=document, at=format_time(at), commands=commands), encoding="utf-8"
    )
    print("\nOur verifier, offline:")
    for check in conclusion.checks:
        print(f"  {'✓' if check.passed else '✗'} {check.step:>2} {check.name}: {check.says}")
    sub = f" / {conclusion.sub_indication}" if conclusion.sub_indication else ""
    print(f"  {conclusion.indication}{sub}: {conclusion.explanation}.")
    foreign = _foreign(commands)
    print(f"\nLook at it: {page}\nThe files:  {evidence}  {anchors}")
    passed = conclusion.indication is Indication.TOTAL_PASSED
    if tamper and not passed:
        print("\nRefused, as it must be: one digit of the amount was changed after it was signed.")
    if passed and not foreign:
        raise DemoFailed("xmlsec1 refused what our verifier passed: please report this.")
    return {Indication.TOTAL_PASSED: 0, Indication.TOTAL_FAILED: 1, Indication.INDETERMINATE: 2}[
        conclusion.indication
    ]


def _foreign(commands: list[tuple[str, str]]) -> bool:
    """Runs xmlsec1 where it is installed, and prints its command lines; False where it refuses."""
    installed = shutil.which("xmlsec1") is not None
    print("\nxmlsec1, which is not ours" + ("" if installed else " and is not installed here") + ":")
    passed = True
    for name, line in commands:
        print(f"  # {name}\n  {line}")
        if installed:
            result = subprocess.run(shlex.split(line), capture_output=True, text=True, check=False)  # noqa: S603
            passed &= result.returncode == 0
            print(f"  {'✓ verified' if result.returncode == 0 else '✗ refused'}")
    return passed


def _tampered(document: bytes) -> bytes:
    """The document with one digit of its first amount changed."""
    text = document.decode()
    match = _AMOUNT.search(text)
    if match is None:
        raise DemoFailed("The text holds no amount to tamper with: use one with, say, € 100.")
    at = next(i for i in range(match.start(), match.end()) if text[i].isdigit())
    changed = f"{text[:at]}{(int(text[at]) + 1) % 10}{text[at + 1 :]}"
    print(f"\nTampering: {match.group()} becomes {changed[match.start() : match.end()]}")
    return changed.encode()


def _text(file: Path | None) -> str:
    if file is None:
        return resources.files("gateway.samples").joinpath("mortgage-consent.txt").read_text("utf-8")
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise DemoFailed(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise DemoFailed(f"{file} is not UTF-8 text.") from None


def bank_of(sandbox: Path, *, base: str) -> Any:
    """The operations of the gateway as a bank's zeep client sees them."""
    from zeep import Client, Settings
    from zeep.wsse.username import UsernameToken

    secret = (sandbox / "keys" / f"{CALLER}.secret").read_text()
    client = Client(
        f"{base}/soap/v1?wsdl", wsse=UsernameToken(CALLER, secret), settings=Settings(strict=True)
    )
    return client.service


@contextmanager
def _running(sandbox: Path, *, base: str, log: Path) -> Iterator[None]:
    """The gateway as its own process, stopped at the end whatever happens."""
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "gateway.cli", "serve", "--conf", str(sandbox)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        try:
            _wait_until_ready(process, base=base, log=log)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], *, base: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DemoFailed(f"The gateway did not start; the end of {log} says why:\n{_tail(log)}")
        try:
            with urllib.request.urlopen(f"{base}/health/ready", timeout=2):  # noqa: S310
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
    raise DemoFailed(f"The gateway was not ready after {START_SECONDS} s; the end of {log}:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-10:])
