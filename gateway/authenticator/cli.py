"""``mobileid-gateway authenticator``: the reference authenticator on the command line.

The law: a PIN, a passphrase or an activation code is never an argument, which everybody on the machine can
read: it comes from a file, from the environment, or from the terminal. What is approved has been printed
by the same command before the PIN was asked for.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from gateway.authenticator.attestor import UnsafeAttestor
from gateway.authenticator.authenticator import Authenticator, Decided, OwnDevice, Shown
from gateway.authenticator.errors import AuthenticatorError
from gateway.authenticator.keystore import Keystore
from gateway.core.model import Decision, format_time
from gateway.core.shown import as_text

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

DEFAULT_KEYSTORE = "authenticator.keystore"
_EPILOG = """\
secrets, each from the first of: the file of its option; its environment variable; a prompt.
  passphrase       --passphrase-file  MOBILEID_PASSPHRASE       encrypts the keystore
  PIN              --pin-file         MOBILEID_PIN              4 to 12 digits; stored nowhere
  activation code  --code-file        MOBILEID_ACTIVATION_CODE  from the relying party, on another channel
  new PIN          --new-pin-file     MOBILEID_NEW_PIN          takes the place of the PIN
  reset code       --reset-code-file  MOBILEID_RESET_CODE       from the relying party, to set a new PIN
  recovery code    --recovery-file    MOBILEID_RECOVERY_CODE    with --recover, in the place of the code
"""
_SECRETS = {
    "passphrase": "passphrase",
    "pin": "PIN",
    "code": "activation code",
    "new-pin": "new PIN",
    "reset-code": "reset code",
}
_REASONS = {"not-me": Decision.REJECTED_NOT_ME, "cancelled": Decision.REJECTED_CANCELLED}


def add_commands(subparsers: Subparsers) -> None:
    """Adds ``authenticator`` with its commands; each sets ``run``, which takes the parsed arguments."""
    authenticator = subparsers.add_parser(
        "authenticator",
        help="the reference authenticator: activate a device, show, approve, reject, manage it",
        description="A complete authenticator in software, for integration and tests.\n"
        "One keystore file is one device of one person at one relying party.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = authenticator.add_subparsers(dest="authenticator_command", required=True, metavar="COMMAND")

    activate = _add(commands, "activate", "bind a new device", run=_activate, secrets=("pin", "code"))
    activate.add_argument(
        "link", metavar="LINK", help="text of the QR code: mobileid://activate?...; - reads it"
    )
    activate.add_argument(
        "--name", default="Reference authenticator", help="name of the device (%(default)s)"
    )
    activate.add_argument(
        "--unsafe-attestation",
        type=Path,
        metavar="FOLDER",
        help="a sandbox's: attest the key as its hardware would",
    )
    activate.add_argument("--push-target", metavar="TARGET", help="where push messages go, if anywhere")
    activate.add_argument(
        "--replaces",
        type=Path,
        metavar="FILE",
        help="keystore, under the same passphrase, that this replaces",
    )
    activate.add_argument("--recover", action="store_true", help="use a recovery code: every device was lost")
    activate.add_argument("--recovery-file", type=Path, metavar="FILE", help="its first line: recovery code")
    activate.add_argument(
        "--leave-recovery", action="store_true", help="make a recovery code and print it, once"
    )

    register = commands.add_parser(
        "register", help="redeem an artifact", description="redeem an artifact: print its activation link"
    )
    register.add_argument("link", metavar="LINK", help="mobileid://register?...; - reads it")
    register.set_defaults(run=lambda arguments: _run(_register, arguments))

    _add(commands, "notices", "show what is new about the person's other devices, once", run=_notices)

    _add(commands, "list", "list what waits for this device", run=_list)

    show = _add(commands, "show", "claim a transaction for this device and print it", run=_show)
    approve = _add(
        commands, "approve", "print a transaction and sign its approval", run=_approve, secrets=("pin",)
    )
    reject = _add(commands, "reject", "sign that a transaction is rejected", run=_reject)
    reject.add_argument(
        "--reason",
        choices=sorted(_REASONS),
        default="cancelled",
        help="not-me: somebody else started it; cancelled: not wanted any more (%(default)s)",
    )
    approve.add_argument(
        "--number", metavar="NN", help="the two digits on the relying party's screen, where it shows some"
    )
    for command in (show, approve, reject):
        command.add_argument("transaction", metavar="TRANSACTION", type=UUID, help="id, as `list` prints it")

    _add(commands, "device", "print this device as the gateway has it", run=_device)
    rename = _add(commands, "rename", "give this device another name", run=_rename)
    rename.add_argument("name", metavar="NAME", help="one line, at most 64 characters")
    _add(commands, "lock", "lock this device: only the relying party unlocks it", run=_lock)
    _add(commands, "revoke", "remove this device, for ever, and delete its keystore", run=_revoke)
    _add(commands, "change-pin", "set a new PIN", run=_change_pin, secrets=("pin", "new-pin"))
    _add(
        commands,
        "reset-pin",
        "set a new PIN with a code from the relying party",
        run=_reset_pin,
        secrets=("reset-code", "new-pin"),
    )


def _add(
    commands: Subparsers,
    name: str,
    text: str,
    *,
    run: object,
    secrets: tuple[str, ...] = (),
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--keystore",
        metavar="FILE",
        type=Path,
        default=Path(DEFAULT_KEYSTORE),
        help="encrypted file with the device's keys (%(default)s)",
    )
    for secret in ("passphrase", *secrets):
        command.add_argument(
            f"--{secret}-file", metavar="FILE", type=Path, help=f"first line: the {_SECRETS[secret]}"
        )
    command.set_defaults(run=lambda arguments: _run(run, arguments))
    return command


def _run(command: object, arguments: argparse.Namespace) -> int:
    """The exit status: 0 done; 1 refused, with one sentence on standard error."""
    assert callable(command)
    try:
        command(arguments)
    except (AuthenticatorError, OSError) as error:
        print(f"mobileid-gateway authenticator: {error}", file=sys.stderr)
        return 1
    return 0


def _activate(arguments: argparse.Namespace) -> None:
    keystore = _keystore(arguments)
    keystore.check_free()
    link = sys.stdin.readline().strip() if arguments.link == "-" else arguments.link
    recover, former, attesting = arguments.recover, arguments.replaces, arguments.unsafe_attestation
    authenticator = Authenticator.activate(
        link,
        code=None if recover else _secret("Activation code", "MOBILEID_ACTIVATION_CODE", arguments.code_file),
        recovery_code=_secret("Recovery code", "MOBILEID_RECOVERY_CODE", arguments.recovery_file)
        if recover
        else None,
        replaces=None if former is None else Keystore(former, keystore.passphrase).load(),
        leave_recovery=arguments.leave_recovery,
        pin=_secret("PIN", "MOBILEID_PIN", arguments.pin_file),
        name=arguments.name,
        push_target=arguments.push_target,
        attestor=None if attesting is None else UnsafeAttestor.load(attesting / "keys"),
    )
    keystore.save(authenticator.device)
    print(f"activated {authenticator.device.binding_id}")
    if authenticator.recovery_code is not None:
        print(f"recovery code {authenticator.recovery_code}")


def _register(arguments: argparse.Namespace) -> None:
    link = sys.stdin.readline().strip() if arguments.link == "-" else arguments.link
    print(Authenticator.register(link))


def _notices(arguments: argparse.Namespace) -> None:
    authenticator = _open(arguments)
    for notice in authenticator.notices():
        print(format_time(notice.at), notice.kind, notice.name or "")
        authenticator.saw(notice.id)


def _list(arguments: argparse.Namespace) -> None:
    for waiting in _open(arguments).waiting():
        print(waiting.id, format_time(waiting.created_at), format_time(waiting.expires_at))


def _show(arguments: argparse.Namespace) -> None:
    _print(_open(arguments).claim(arguments.transaction))


def _approve(arguments: argparse.Namespace) -> None:
    authenticator = _open(arguments)
    shown = authenticator.claim(arguments.transaction)
    _print(shown)
    pin = _secret("PIN", "MOBILEID_PIN", arguments.pin_file) if shown.needs_pin else None
    _done(authenticator.approve(arguments.transaction, pin=pin, number=arguments.number))


def _reject(arguments: argparse.Namespace) -> None:
    authenticator = _open(arguments)
    authenticator.claim(arguments.transaction)
    _done(authenticator.reject(arguments.transaction, decision=_REASONS[arguments.reason]))


def _done(decided: Decided) -> None:
    print(decided.state)
    if decided.post_context is not None:
        print(f"\n{decided.post_context.title}\n\n{as_text(decided.post_context)}")
    if decided.authentication_code is not None:
        print(f"Authentication code: {decided.authentication_code}")


def _device(arguments: argparse.Namespace) -> None:
    _print_device(_open(arguments).status())


def _rename(arguments: argparse.Namespace) -> None:
    _print_device(_open(arguments).rename(arguments.name))


def _lock(arguments: argparse.Namespace) -> None:
    _print_device(_open(arguments).lock())


def _revoke(arguments: argparse.Namespace) -> None:
    _print_device(_open(arguments).revoke())
    arguments.keystore.unlink()


def _change_pin(arguments: argparse.Namespace) -> None:
    keystore = _keystore(arguments)
    authenticator = Authenticator(keystore.load())
    found = authenticator.change_pin(
        old_pin=_secret("PIN", "MOBILEID_PIN", arguments.pin_file),
        new_pin=_secret("New PIN", "MOBILEID_NEW_PIN", arguments.new_pin_file),
    )
    keystore.save(authenticator.device)
    _print_device(found)


def _reset_pin(arguments: argparse.Namespace) -> None:
    keystore = _keystore(arguments)
    authenticator = Authenticator(keystore.load())
    found = authenticator.reset_pin(
        code=_secret("Reset code", "MOBILEID_RESET_CODE", arguments.reset_code_file),
        new_pin=_secret("New PIN", "MOBILEID_NEW_PIN", arguments.new_pin_file),
    )
    keystore.save(authenticator.device)
    _print_device(found)


def _print_device(device: OwnDevice) -> None:
    locked = f" without {' '.join(device.locked_methods)}" if device.locked_methods else ""
    print(f"{device.state}{locked} {device.name}")


def _print(shown: Shown) -> None:
    content = shown.content
    print(f"Relying party: {content.relying_party.name} ({content.relying_party.id})")
    print(f"Created: {format_time(content.created_at)}")
    print(f"Expires: {format_time(content.expires_at)}")
    print(f"Kind: {content.kind}")
    if content.payment is not None:
        print(f"Total: {content.payment.total} {content.payment.currency}")
        for payee in content.payment.payees:
            print(f"  {payee.amount} {content.payment.currency} to {payee.name}, {payee.account}")
    for text in content.texts:
        print(f"Title: {text.title}\n\n{as_text(text)}\n")
    sys.stdout.flush()


def _open(arguments: argparse.Namespace) -> Authenticator:
    return Authenticator(_keystore(arguments).load())


def _keystore(arguments: argparse.Namespace) -> Keystore:
    return Keystore(
        arguments.keystore, _secret("Passphrase", "MOBILEID_PASSPHRASE", arguments.passphrase_file)
    )


def _secret(name: str, variable: str, file: Path | None) -> str:
    if file is not None:
        return file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    if variable in os.environ:
        return os.environ[variable]
    return getpass.getpass(f"{name}: ")
