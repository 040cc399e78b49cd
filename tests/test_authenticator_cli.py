"""The reference authenticator's keystore and command line."""

from __future__ import annotations

import argparse
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from walk import PIN, TEXT, Walk

from gateway.authenticator import cli
from gateway.authenticator.errors import KeystoreError
from gateway.authenticator.keystore import MAGIC, Device, Keystore
from gateway.core.attestation.policy import AttestationPolicy
from gateway.core.canonical import b64
from gateway.core.certpath import parse_trust
from gateway.core.keys import spki_of
from gateway.core.model import Decision, Factor, format_time, utc_now
from gateway.core.shown import MARKDOWN
from gateway.sandbox import make_sandbox
from gateway.services import devices

PASSPHRASE = "correct horse"


@pytest.fixture
def device(walk: Walk) -> Device:
    return walk.phone().device


def keys_of(device: Device) -> tuple[bytes, bytes]:
    return spki_of(device.signing.public_key()), spki_of(device.transport.public_key())


def test_what_is_kept_comes_back(tmp_path: Path, device: Device) -> None:
    keystore = Keystore(tmp_path / "keys", PASSPHRASE)
    keystore.save(device)
    loaded = keystore.load()
    assert keys_of(loaded) == keys_of(device)
    for name in ("gateway_url", "relying_party", "binding_id", "subject", "certificates", "pin_secret"):
        assert getattr(loaded, name) == getattr(device, name)


def test_the_file_is_its_owners_alone_and_tells_nothing(tmp_path: Path, device: Device) -> None:
    path = tmp_path / "keys"
    before = os.umask(0)
    try:
        Keystore(path, PASSPHRASE).save(device)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    data = path.read_bytes()
    for secret in (device.subject, str(device.binding_id), b64(device.pin_secret), PASSPHRASE, PIN):
        assert secret.encode() not in data
    assert device.pin_secret not in data
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys"], "no temporary file is left"


def test_two_files_of_one_device_share_no_salt_and_no_nonce(tmp_path: Path, device: Device) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for path in files:
        Keystore(path, PASSPHRASE).save(device)
    one, other = (path.read_bytes()[len(MAGIC) :] for path in files)
    assert one[:16] != other[:16]
    assert one[16:28] != other[16:28]


def test_another_passphrase_opens_nothing(tmp_path: Path, device: Device) -> None:
    Keystore(tmp_path / "keys", PASSPHRASE).save(device)
    with pytest.raises(KeystoreError):
        Keystore(tmp_path / "keys", PASSPHRASE + "x").load()


def _flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[: len(MAGIC)],
        lambda data: data[: len(MAGIC) + 20],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: _flip(data, 0),
        lambda data: _flip(data, len(MAGIC)),
        lambda data: _flip(data, len(MAGIC) + 16),
        lambda data: _flip(data, -1),
    ],
)
def test_a_changed_file_is_refused(tmp_path: Path, device: Device, change: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "keys"
    Keystore(path, PASSPHRASE).save(device)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(KeystoreError):
        Keystore(path, PASSPHRASE).load()


def test_a_failed_write_leaves_what_stood_there(
    tmp_path: Path, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    keystore = Keystore(tmp_path / "keys", PASSPHRASE)
    keystore.save(device)
    before = keystore.path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(KeystoreError):
        keystore.save(device)
    assert keystore.path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys"]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def served(walk: Walk) -> Iterator[Walk]:
    """The walk's device face behind a real HTTP server of this machine."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        # This server gives the socket itself: a body ends where its length says.
        environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"] or 0)))
        return walk.devices(environ, start_response)

    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        walk.reload(public_url=f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield walk
        server.shutdown()
        thread.join()


class Shell:
    """Runs the command line in this process, in a folder of its own."""

    def __init__(self, bank: Walk, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.bank, self.folder, self._capsys = bank, folder, capsys
        self.err = ""

    def __call__(self, *arguments: str, status: int = 0) -> list[str]:
        parser = argparse.ArgumentParser(prog="mobileid-gateway")
        cli.add_commands(parser.add_subparsers(dest="command", required=True))
        self._capsys.readouterr()
        parsed = parser.parse_args(["authenticator", *arguments])
        result = parsed.run(parsed)
        captured = self._capsys.readouterr()
        self.err = captured.err
        assert result == status, captured.err
        return [line for line in captured.out.splitlines() if "correlation_id=" not in line]

    def activate(self, *more: str, status: int = 0) -> list[str]:
        activation = self.bank.register().activation
        assert activation is not None
        (self.folder / "code").write_text(activation.code + "\n")
        code = ("--code-file", str(self.folder / "code"))
        return self("activate", activation.qr_payload, *code, *more, status=status)


@pytest.fixture
def shell(
    served: Walk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOBILEID_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("MOBILEID_PIN", PIN)
    return Shell(served, tmp_path, capsys)


def test_a_whole_life_on_the_command_line(shell: Shell) -> None:
    (line,) = shell.activate("--name", "My phone")
    assert line.startswith("activated ")
    started = shell.bank.start()
    created, expires = format_time(started.created_at), format_time(started.expires_at)
    assert shell("list") == [f"{started.id} {created} {expires}"]
    party = started.content.relying_party
    shown = [
        f"Relying party: {party.name} ({party.id})",
        f"Created: {created}",
        f"Expires: {expires}",
        "Kind: consent-signature",
        "Title: Mortgage",
        "",
        *TEXT.splitlines(),
        "",
    ]
    assert shell("show", str(started.id)) == shown
    assert shell("approve", str(started.id)) == [*shown, "COMPLETED"]
    second = shell.bank.start()
    assert shell("reject", str(second.id), "--reason", "not-me") == ["REJECTED"]
    assert shell.bank.get(second.id).decision is Decision.REJECTED_NOT_ME
    assert shell("list") == []


def test_markdown_is_printed_as_it_is_rendered(shell: Shell) -> None:
    shell.activate()
    source = "# Mortgage\n\nI borrow **348.500 €**:\n\n1. at 2 \\*"
    started = shell.bank.start(text=source.replace(":", "\\:"), media_type=MARKDOWN)
    printed = shell("show", str(started.id))
    assert printed[printed.index("Title: Mortgage") + 2 :] == [
        "Mortgage",
        "",
        "I borrow 348.500 €:",
        "",
        "1. at 2 *",
        "",
    ]
    assert shell("approve", str(started.id))[-1] == "COMPLETED"


def test_a_device_is_managed_on_the_command_line(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = shell.activate("--name", "My phone")
    device_id = UUID(line.split()[1])
    keystore = shell.folder / cli.DEFAULT_KEYSTORE
    gateway, caller, now = shell.bank.gateway, shell.bank.caller, shell.bank.clock.now
    assert shell("device") == ["ACTIVE My phone"]
    assert shell("rename", "Zoë's phone") == ["ACTIVE Zoë's phone"]
    monkeypatch.setenv("MOBILEID_NEW_PIN", "314159")
    before = keystore.read_bytes()
    assert shell("change-pin") == ["ACTIVE Zoë's phone"]
    assert keystore.read_bytes() != before
    started = shell.bank.start()
    shell("approve", str(started.id), status=1)
    monkeypatch.setenv("MOBILEID_PIN", "314159")
    assert shell("approve", str(started.id))[-1] == "COMPLETED"
    devices.lock_device(gateway, caller, device_id=device_id, method="pin", reason="fraud", at=now())
    assert shell("device") == ["ACTIVE without pin Zoë's phone"]
    opened = devices.start_pin_reset(gateway, caller, request_id="r", device_id=device_id, at=now())
    assert opened.code is not None
    (shell.folder / "reset").write_text(opened.code + "\n")
    monkeypatch.setenv("MOBILEID_NEW_PIN", "161803")
    assert shell("reset-pin", "--reset-code-file", "reset") == ["ACTIVE Zoë's phone"]
    (shell.folder / "pin").write_text("161803\n")
    started = shell.bank.start()
    assert shell("approve", str(started.id), "--pin-file", "pin")[-1] == "COMPLETED"
    assert shell("lock") == ["LOCKED Zoë's phone"]
    assert shell("revoke") == ["REVOKED Zoë's phone"]
    assert not keystore.exists()


def test_a_refused_change_of_the_pin_leaves_the_keystore(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.activate()
    keystore = shell.folder / cli.DEFAULT_KEYSTORE
    before = keystore.read_bytes()
    monkeypatch.setenv("MOBILEID_PIN", "000000")
    monkeypatch.setenv("MOBILEID_NEW_PIN", "314159")
    shell("change-pin", status=1)
    assert "PROOF_REFUSED" in shell.err
    monkeypatch.setenv("MOBILEID_RESET_CODE", "000000")
    shell("reset-pin", status=1)
    assert "PROOF_REFUSED" in shell.err
    assert keystore.read_bytes() == before


def test_the_link_can_come_on_standard_input(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    activation = shell.bank.register().activation
    assert activation is not None
    monkeypatch.setenv("MOBILEID_ACTIVATION_CODE", activation.code)
    monkeypatch.setattr(sys, "stdin", StringIO(activation.qr_payload + "\n"))
    assert shell("activate", "-")


def test_secrets_come_from_a_file_before_the_environment_and_from_a_prompt_without(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.activate()
    started = shell.bank.start()
    (shell.folder / "pin").write_text("0000\n")
    shell("approve", str(started.id), "--pin-file", "pin", status=1)
    assert "ASSERTION_REFUSED" in shell.err
    asked: list[str] = []
    monkeypatch.delenv("MOBILEID_PIN")
    monkeypatch.setattr("getpass.getpass", lambda prompt: asked.append(prompt) or PIN)
    assert shell("approve", str(started.id))[-1] == "COMPLETED"
    assert asked == ["PIN: "]


def test_a_sandbox_attests_on_the_command_line(shell: Shell, tmp_path: Path) -> None:
    make_sandbox(tmp_path / "sandbox", port=8765, at=utc_now())
    attested = ("--unsafe-attestation", str(tmp_path / "sandbox"))
    with pytest.warns(UserWarning, match="UnsafeAttestor"):
        shell.activate(*attested, status=1)
    assert "ATTESTATION_REFUSED" in shell.err
    roots = parse_trust((tmp_path / "sandbox" / "keys" / "attestation-roots.pem").read_bytes()).anchors
    bank = shell.bank
    profile = replace(bank.profile, factors=(Factor.DEVICE, Factor.BIOMETRIC), hardware_key=True)
    bank.reload(
        attestation=AttestationPolicy(roots),
        trust=replace(bank.gateway.trust, attestation_roots=roots),
        profiles={profile.id: profile},
    )
    with pytest.warns(UserWarning, match="UnsafeAttestor"):
        shell.activate(*attested)
    assert shell("approve", str(bank.start().id))[-1] == "COMPLETED"


def test_an_activation_never_overwrites_a_keystore(shell: Shell) -> None:
    shell.activate()
    before = (shell.folder / cli.DEFAULT_KEYSTORE).read_bytes()
    shell.activate(status=1)
    assert (shell.folder / cli.DEFAULT_KEYSTORE).read_bytes() == before
    assert "new file" in shell.err


COMMANDS = [
    *("activate", "list", "show", "approve", "reject"),
    *("device", "rename", "lock", "revoke", "change-pin", "reset-pin"),
]


def test_what_is_refused_is_one_sentence_and_a_status(shell: Shell) -> None:
    shell("list", status=1)
    assert shell.err == "mobileid-gateway authenticator: The keystore cannot be read.\n"
    shell.activate()
    shell("show", str(uuid4()), status=1)
    assert shell.err.startswith("mobileid-gateway authenticator: NOT_FOUND: ")
    assert shell.err.count("\n") == 1
    shell("list", "--passphrase-file", "absent", status=1)
    assert shell.err.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_complete_and_no_secret_is_an_argument(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser(prog="mobileid-gateway")
    cli.add_commands(parser.add_subparsers())
    with pytest.raises(SystemExit):
        parser.parse_args(["authenticator", command, "--help"])
    text = capsys.readouterr().out
    for option in ("--keystore", "--passphrase-file", "MOBILEID_PASSPHRASE", "MOBILEID_PIN"):
        assert option in text
    for secret in ("--pin ", "--passphrase ", "--code ", "--new-pin ", "--reset-code "):
        assert secret not in text
