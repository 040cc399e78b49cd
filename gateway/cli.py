"""The command line: ``mobileid-gateway``.

The law: a command says in one sentence what is wrong and what to do; exit codes are documented in its
help. Secrets are printed once, when they are made, and never taken as arguments.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import shlex
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from gateway import __version__, metrics
from gateway.authenticator.cli import add_commands as add_authenticator_commands
from gateway.authenticator.errors import AuthenticatorError
from gateway.composition import (
    CONFIGURATION_VARIABLE,
    DSN_VARIABLE,
    RATES_VARIABLE,
    build_callbacks,
    build_gateway,
    build_message_key,
    build_push,
    build_store,
    end_dates,
)
from gateway.config import OPERATIONS, Configuration, ConfigurationError, dump, load
from gateway.core.certpath import Role, check_path, load_certificate, parse_trust
from gateway.core.commands import xmlsec1_commands
from gateway.core.conclusion import Conclusion, Finding, Indication
from gateway.core.errors import GatewayError, MisuseError, UnreadableDocument
from gateway.core.model import Decision, format_time, utc_now
from gateway.core.report import render
from gateway.core.verifier import verify_evidence
from gateway.demo import DemoFailed, demonstrate
from gateway.logs import configure_logging
from gateway.rates import untouched
from gateway.sandbox import CALLER, caller_file, make_sandbox, new_caller_secret, set_port, write_secret
from gateway.services.context import Gateway
from gateway.soap.security import Authentication
from gateway.storage.embedded import EmbeddedPostgres, EmbeddedUnavailable
from gateway.storage.migrate import check, migrate
from gateway.supervisor import ProcessSpec, run
from gateway.walks import WALKS
from gateway.wsgi import build_authenticator

EXIT_CODES = {Indication.TOTAL_PASSED: 0, Indication.TOTAL_FAILED: 1, Indication.INDETERMINATE: 2}
REFUSAL_PROVEN = 4
"""TOTAL-PASSED, and what is proven is that the subject said no: never to be mistaken for a consent."""
UNUSABLE = 3
DEFAULT_PORT = 8765

log = structlog.get_logger("gateway")


class CommandFailed(Exception):
    """One sentence for the person at the terminal."""


_SAID = (CommandFailed, EmbeddedUnavailable, DemoFailed, AuthenticatorError, MisuseError, GatewayError)
"""Errors whose message is a sentence for the person at the terminal."""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except ConfigurationError as error:
        print("The configuration cannot be used:", *error.faults, sep="\n  ", file=sys.stderr)
    except (
        CommandFailed,
        EmbeddedUnavailable,
        DemoFailed,
        AuthenticatorError,
        MisuseError,
        GatewayError,
    ) as error:
        print(error, file=sys.stderr)
    return UNUSABLE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mobileid-gateway",
        description="Strong authentication and consent signing for banks.",
        epilog="docs/ explains operation, the device protocol and the evidence document.",
    )
    parser.add_argument("--version", action="version", version=f"mobileid-gateway {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser(
        "serve",
        help="run the gateway: database (where embedded), web workers, worker",
        description="Runs the gateway until SIGTERM or SIGINT. SIGHUP reloads the configuration: a broken "
        "one is refused, and the last good one keeps serving.",
    )
    _add_conf(serve)
    serve.set_defaults(run=_serve)

    migrating = commands.add_parser(
        "migrate",
        help="bring the database to this version's schema",
        description="Applies the migrations that are missing, as database.owner_dsn. Run it before serve.",
    )
    _add_conf(migrating)
    migrating.set_defaults(run=_migrate)

    check = commands.add_parser(
        "check-config",
        help="name every fault of a configuration",
        description="Reads the whole configuration and names every fault with its file and line.",
    )
    _add_conf(check)
    check.set_defaults(run=_check_config)

    status = commands.add_parser(
        "status",
        help="show what runs, what waits, and when certificates end",
        description="Asks the running gateway of a configuration. Exit codes: 0 ready, 1 not ready or "
        "not running.",
    )
    _add_conf(status)
    status.set_defaults(run=_status)

    caller = commands.add_parser("caller", help="callers: bank systems and auditors")
    caller_commands = caller.add_subparsers(required=True, metavar="COMMAND")
    new = caller_commands.add_parser(
        "new",
        help="make a caller's file and print its secret once",
        description="Writes CONF/callers/NAME.toml with every right; remove what the caller must not do.",
    )
    new.add_argument("name", metavar="NAME", help="1 to 40 of a-z, 0-9 and -")
    new.add_argument("--relying-party", required=True, metavar="ID", help="whose caller it is")
    new.add_argument(
        "--authentication",
        choices=[str(way) for way in Authentication],
        default=str(Authentication.USERNAME),
        help="how it proves who it is: username (sandbox only), mtls, mtls+username, x509 (signs messages)",
    )
    new.add_argument(
        "--certificate",
        action="append",
        default=[],
        type=Path,
        metavar="PEM",
        help="its certificate, for all but username; once more for the next one, while it is changed",
    )
    _add_conf(new)
    new.set_defaults(run=_caller_new)

    evidence = commands.add_parser("evidence", help="evidence documents, offline")
    evidence_commands = evidence.add_subparsers(required=True, metavar="COMMAND")
    verify = evidence_commands.add_parser(
        "verify",
        help="verify an evidence document, offline",
        description="Verifies FILE against the anchors and CRLs in PEM. Exit codes: 0 TOTAL-PASSED, "
        "1 TOTAL-FAILED, 2 INDETERMINATE, 3 unusable input, 4 TOTAL-PASSED of a refusal.",
    )
    verify.add_argument("file", metavar="FILE", type=Path, help="the document, byte for byte as received")
    verify.add_argument("--trust", metavar="PEM", type=Path, required=True, help="anchors and CRLs in PEM")
    verify.add_argument("--roots", metavar="PEM", type=Path, help="anchors of attestations of keys, in PEM")
    verify.add_argument(
        "--at",
        metavar="TIME",
        type=_time,
        help="judge as of this time, with a zone, such as 2026-01-31T12:00:00Z (default: now)",
    )
    verify.add_argument("--json", action="store_true", help="print the conclusion as JSON")
    verify.add_argument("--html", metavar="PAGE", type=Path, help="write the page that an auditor reads")
    verify.set_defaults(run=_evidence_verify)

    add_authenticator_commands(commands)

    sandbox = commands.add_parser("sandbox", help="a gateway to try")
    sandbox_commands = sandbox.add_subparsers(required=True, metavar="COMMAND")
    for name, action, says in (
        ("new", _sandbox_new, "make a sandbox's configuration, keys and certificates"),
        ("serve", _sandbox_serve, "make a sandbox where there is none, and run it"),
    ):
        command = sandbox_commands.add_parser(name, help=says, description=f"{says.capitalize()}.")
        command.add_argument("--folder", type=Path, default=Path("var/sandbox"), help="default: %(default)s")
        command.add_argument("--port", type=int, default=DEFAULT_PORT, help="default: %(default)s")
        command.set_defaults(run=action)

    demo = commands.add_parser(
        "demo",
        help="one consent signature, end to end",
        description="Starts a sandbox, binds a software authenticator, signs a text, fetches the "
        "evidence and verifies it. Exits with the verification's code.",
    )
    demo.add_argument("--folder", type=Path, default=Path("var/demo"), help="default: %(default)s")
    demo.add_argument("--port", type=int, default=DEFAULT_PORT, help="default: %(default)s")
    demo.add_argument(
        "--walk", choices=sorted(WALKS), default="consent", help="what to walk (default: %(default)s)"
    )
    demo.add_argument("--text", type=Path, metavar="FILE", help="what to sign (default: a mortgage consent)")
    demo.add_argument("--tamper", action="store_true", help="change one digit of the fetched document")
    demo.set_defaults(run=_demo)
    return parser


def _add_conf(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--conf", type=Path, required=True, metavar="FOLDER", help="holds gateway.toml")


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("not a time such as 2026-01-31T12:00:00Z") from None
    if at.tzinfo is None:
        raise argparse.ArgumentTypeError("the time needs a zone, such as Z or +01:00")
    return at.astimezone(UTC)


def _serve(arguments: argparse.Namespace) -> int:
    return serve(arguments.conf)


def serve(folder: Path, *, announce: str = "") -> int:
    """Runs everything until a signal; 0, or 1 where the database was lost."""
    configure_logging()
    configuration = load(folder)
    table = configuration.gateway
    database = None
    if table.database.embedded is not None:
        database = EmbeddedPostgres(configuration.path(table.database.embedded))
        connections = database.start()
        app_dsn, owner_dsn = connections.app_dsn, connections.owner_dsn
    else:
        app_dsn, owner_dsn = str(table.database.dsn), str(table.database.owner_dsn)
    try:
        if database is not None:
            migrate(owner_dsn)
        check(app_dsn)
        _build(configuration, app_dsn)
    except BaseException:
        if database is not None:
            database.stop()
        raise
    with tempfile.TemporaryDirectory(prefix="mobileid-gateway-") as private:
        measured = Path(private) / "metrics"
        measured.mkdir()
        environment = {
            CONFIGURATION_VARIABLE: str(Path(private) / "configuration.json"),
            DSN_VARIABLE: app_dsn,
            RATES_VARIABLE: str(Path(private) / "rates"),
            metrics.FOLDER_VARIABLE: str(measured),
        }
        write_secret(Path(environment[RATES_VARIABLE]), untouched())
        _publish(configuration, environment)
        return _run(folder, configuration, environment, database=database, announce=announce)


def _publish(configuration: Configuration, environment: dict[str, str]) -> None:
    """What the processes read when they start: the last configuration that was checked, whole."""
    file = Path(environment[CONFIGURATION_VARIABLE])
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    write_secret(new, dump(configuration).encode())
    new.replace(file)


def _run(
    folder: Path,
    configuration: Configuration,
    environment: dict[str, str],
    *,
    database: EmbeddedPostgres | None,
    announce: str,
) -> int:
    return run(
        [
            ProcessSpec("web", [sys.executable, "-m", "gateway.server"], environment),
            ProcessSpec("worker", [sys.executable, "-m", "gateway.worker"], environment),
        ],
        ready=lambda: _answers(configuration),
        on_ready=lambda: print(announce, flush=True) if announce else None,
        on_reload=lambda: _reload(folder, environment),
        database=database,
        log=log,
    )


def _answers(configuration: Configuration) -> bool:
    answer = _get(configuration, "/health/ready")
    return answer is not None and answer[0] == 200


def _reload(folder: Path, environment: dict[str, str]) -> None:
    """Raises where the configuration is broken: then nothing is reloaded, not even by a process that dies."""
    configuration = load(folder)
    _build(configuration, environment[DSN_VARIABLE])
    _publish(configuration, environment)


def _build(configuration: Configuration, dsn: str) -> Gateway:
    """Everything that the processes will build, without connecting: what cannot work is found here."""
    build_push(configuration)
    build_callbacks(configuration)
    build_authenticator(configuration)
    build_message_key(configuration)
    return build_gateway(configuration, build_store(configuration, dsn))


def _check_evidence(gateway: Gateway) -> None:
    """The seal's certificate must lead to an anchor now, and the device CA's to one of the anchors."""
    chain = [load_certificate(der) for der in gateway.seal_key.chain]
    try:
        check_path(chain, trust=gateway.trust, crls=(), role=Role.SEAL, at=utc_now())
    except Finding as finding:
        raise ConfigurationError(
            [f"keys.seal_chain: evidence would be {finding.sub_indication}: {finding.says}"]
        )
    authority = load_certificate(gateway.device_ca.chain[-1])
    if not any(authority.issuer == anchor.subject for anchor in gateway.trust.anchors):
        raise ConfigurationError(["keys.device_ca_chain: leads to none of the anchors in keys.trust"])


def _migrate(arguments: argparse.Namespace) -> int:
    database = load(arguments.conf).gateway.database
    if database.owner_dsn is None:
        raise CommandFailed("The embedded database is migrated by serve: there is nothing to do.")
    applied = migrate(database.owner_dsn)
    print("\n".join(applied) if applied else "The database is up to date.")
    return 0


def _check_config(arguments: argparse.Namespace) -> int:
    configuration = load(arguments.conf)
    gateway = _build(configuration, "")
    table = configuration.gateway
    _check_evidence(gateway)
    print(
        f"{arguments.conf}: {table.mode}, {len(table.relying_party)} relying parties, "
        f"{len(configuration.callers)} callers, {len(configuration.profiles)} signature profiles: no fault."
    )
    return 0


def _status(arguments: argparse.Namespace) -> int:
    configuration = load(arguments.conf)
    listen = configuration.gateway.listen
    where = str(listen.socket) if listen.socket is not None else f"{listen.host}:{listen.port}"
    ready = _get(configuration, "/health/ready")
    state = {None: "not running", 200: "ready"}.get(ready and ready[0], "running, not ready")
    print(f"mobileid-gateway {__version__}, {configuration.gateway.mode}, {where}: {state}")
    measured = _get(configuration, "/metrics")
    open_work = re.findall(
        r"^(gateway_(?:transactions_open|wakes_due|callbacks))\{(.*)\} (\S+)$",
        measured[1].decode() if measured else "",
        re.MULTILINE,
    )
    for name, labels, number in sorted(open_work):
        words = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        what = words.get("state", "wake-ups due")
        what = f"callbacks {what}" if name == "gateway_callbacks" else what
        print(f"  {words['relying_party']:<20} {what:<17} {float(number):.0f}")
    at = utc_now()
    gateway = build_gateway(configuration, build_store(configuration, ""))
    for role, end in end_dates(configuration, gateway).items():
        print(f"  {role:<20} ends {format_time(end)}, in {(end - at).days} days")
    return 0 if state == "ready" else 1


def _get(configuration: Configuration, path: str) -> tuple[int, bytes] | None:
    """Status and body of a GET to the running gateway; None where nobody answers."""
    listen = configuration.gateway.listen
    connection = http.client.HTTPConnection(listen.host or "localhost", listen.port, timeout=5)
    try:
        if listen.socket is not None:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(5)
            connection.sock.connect(str(configuration.path(listen.socket)))
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _caller_new(arguments: argparse.Namespace) -> int:
    configuration = load(arguments.conf)
    if arguments.relying_party not in {party.id for party in configuration.gateway.relying_party}:
        raise CommandFailed(
            f"There is no relying party {arguments.relying_party} in gateway.toml: add it first."
        )
    file = arguments.conf / "callers" / f"{arguments.name}.toml"
    secret = new_caller_secret() if "username" in arguments.authentication else None
    text = caller_file(
        arguments.name,
        relying_party=arguments.relying_party,
        authentication=arguments.authentication,
        secret=secret,
        certificates=[str(path.resolve()) for path in arguments.certificate],
        rights=sorted(OPERATIONS),
    )
    try:
        write_secret(file, text.encode())
    except FileExistsError:
        raise CommandFailed(f"{file} exists: remove it first, or choose another name.") from None
    try:
        configuration = load(arguments.conf)
        build_authenticator(configuration)
        build_message_key(configuration)
    except ConfigurationError:
        file.unlink()
        raise
    print(f"Wrote {file}." if secret is None else f"Wrote {file}. The secret, shown this once:\n{secret}")
    return 0


def _evidence_verify(arguments: argparse.Namespace) -> int:
    at = arguments.at or utc_now()
    try:
        data = arguments.file.read_bytes()
        trust = parse_trust(arguments.trust.read_bytes())
        if arguments.roots is not None:
            roots = parse_trust(arguments.roots.read_bytes()).anchors
            trust = replace(trust, attestation_roots=roots)
        conclusion = verify_evidence(data, trust=trust, at=at)
    except (OSError, ValueError, UnreadableDocument) as error:
        raise CommandFailed(f"Unusable input: {error}") from error
    if arguments.html is not None:
        commands = [
            (name, shlex.join(command))
            for name, command in xmlsec1_commands(str(arguments.file), str(arguments.trust))
        ]
        page = render(conclusion, data=data, at=format_time(at), commands=commands)
        arguments.html.write_text(page, encoding="utf-8")
    print(json.dumps(_as_json(conclusion, at=at), indent=2) if arguments.json else describe(conclusion))
    if conclusion.decision not in (None, Decision.APPROVED):
        return REFUSAL_PROVEN
    return EXIT_CODES[conclusion.indication]


def describe(conclusion: Conclusion) -> str:
    """The conclusion and each step, as lines for a terminal."""
    lines = [
        f"  {'✓' if check.passed else '✗'} {check.step:>2} {check.name}: {check.says}"
        for check in conclusion.checks
    ]
    verdict = conclusion.indication + (f" / {conclusion.sub_indication}" if conclusion.sub_indication else "")
    remedy = [conclusion.remedy] if conclusion.remedy else []
    return "\n".join([*lines, f"{verdict}: {conclusion.explanation}.", *remedy])


def _as_json(conclusion: Conclusion, *, at: datetime) -> dict[str, Any]:
    evidence = conclusion.evidence
    return {
        "indication": conclusion.indication,
        "subIndication": conclusion.sub_indication,
        "explanation": conclusion.explanation,
        "remedy": conclusion.remedy,
        "decision": conclusion.decision,
        "at": format_time(at),
        "checks": [asdict(check) for check in conclusion.checks],
        "transaction": None if evidence is None else str(evidence.transaction_id),
        "externalRef": None if evidence is None else evidence.external_ref,
    }


def _sandbox_new(arguments: argparse.Namespace) -> int:
    try:
        make_sandbox(arguments.folder, port=arguments.port, at=utc_now())
    except FileExistsError as error:
        raise CommandFailed(f"{error}: choose another --folder.") from None
    print(f"Made {arguments.folder}. Run it: mobileid-gateway serve --conf {arguments.folder}")
    return 0


def _sandbox_serve(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.folder
    if not (folder / "gateway.toml").exists():
        make_sandbox(folder, port=arguments.port, at=utc_now())
    set_port(folder, port=arguments.port)
    _require_free(arguments.port)
    return serve(folder, announce=_announcement(folder, arguments.port))


def _require_free(port: int) -> None:
    """A taken port is said in one sentence, before anything is started."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise CommandFailed(
                f"Port {port} of 127.0.0.1 is taken: stop what listens there, or choose another port."
            ) from None


def _announcement(folder: Path, port: int) -> str:
    base = f"http://127.0.0.1:{port}"
    secret = (folder / "keys" / f"{CALLER}.secret").read_text()
    return f"""
The sandbox runs.
  SOAP        {base}/soap/v1        contract: {base}/soap/v1?wsdl
  devices     {base}/device/v1/demo-bank
  health      {base}/health/ready
  caller      {CALLER}
  secret      {secret}
  trust       {folder / "keys" / "trust.pem"}

A first request to paste:

curl -s {base}/soap/v1 -H 'Content-Type: text/xml; charset=utf-8' --data @- <<'XML'
{first_request(secret)}
XML

Ctrl-C stops it.
"""


def first_request(secret: str) -> str:
    """A SOAP 1.1 Heartbeat with the sandbox caller's credentials."""
    wsse = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
    kind = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordText"
    return (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header>'
        f'<w:Security xmlns:w="{wsse}"><w:UsernameToken><w:Username>{CALLER}</w:Username>'
        f'<w:Password Type="{kind}">{secret}</w:Password></w:UsernameToken></w:Security>'
        '</s:Header><s:Body><Heartbeat xmlns="urn:mobileid-gateway:v1"/></s:Body></s:Envelope>'
    )


def _demo(arguments: argparse.Namespace) -> int:
    _require_free(arguments.port)
    return demonstrate(
        arguments.folder,
        port=arguments.port,
        walk=arguments.walk,
        text_file=arguments.text,
        tamper=arguments.tamper,
    )


if __name__ == "__main__":
    raise SystemExit(main())
