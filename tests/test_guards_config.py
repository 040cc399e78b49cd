"""Guards of the configuration: each falls when one rule is taken away (``make sabotage``)."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gateway.cli import _build
from gateway.composition import build_message_key
from gateway.config import NO_SECRET, ConfigurationError, load
from gateway.core.model import utc_now
from gateway.sandbox import make_sandbox
from gateway.wsgi import build_authenticator

LISTEN = 'host = "127.0.0.1"\nport = 5000'
EMBEDDED = 'embedded = "database"'
CORE = "callers/demo-bank-core.toml"
SIGNED = "callers/demo-bank-signed.toml"
PRODUCTION = (
    ('mode = "sandbox"', 'mode = "production"'),
    (LISTEN, 'socket = "gateway.sock"'),
    (EMBEDDED, 'dsn = "host=db"\nowner_dsn = "host=db"'),
    ('public_url = "http:', 'public_url = "https:'),
)


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    folder = tmp_path / "sandbox"
    make_sandbox(folder, port=5000, at=utc_now())
    return folder


def faults_after(folder: Path, name: str, *changes: tuple[str, str]) -> list[str]:
    """What is said of a configuration in which each old text has become the new one."""
    (file,) = folder.glob(name)
    text = file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    try:
        load(folder)
    except ConfigurationError as error:
        return str(error).splitlines()
    return []


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ((LISTEN, 'host = "127.0.0.1"'), "either socket, or host and port"),
        ((LISTEN, "port = 5000"), "either socket, or host and port"),
        ((LISTEN, ""), "either socket, or host and port"),
        ((LISTEN, LISTEN + '\nsocket = "s"'), "either socket, or host and port"),
        ((LISTEN, 'port = 5000\nsocket = "s"'), "either socket, or host and port"),
        ((EMBEDDED, ""), "either embedded"),
        ((EMBEDDED, EMBEDDED + '\ndsn = "x"\nowner_dsn = "x"'), "either embedded"),
        ((EMBEDDED, EMBEDDED + '\nowner_dsn = "x"'), "either embedded"),
        ((EMBEDDED, 'dsn = "x"'), "either embedded"),
        (("max_failures = 3", "max_failures = 0"), "article 4(3)(b)"),
        (("max_failures = 3", "max_failures = 6"), "article 4(3)(b)"),
        (('id = "demo-bank"', 'id = "Demo"'), "relying_party[0].id"),
        (('id = "demo-bank"', f'id = "{"x" * 41}"'), "relying_party[0].id"),
        (('name = "Demo Bank (sandbox)"', 'name = ""'), "relying_party[0].name"),
        (('name = "Demo Bank (sandbox)"', f'name = "{"x" * 121}"'), "relying_party[0].name"),
        (("[[relying_party]]", '[push]\nrelay = "ftp://relay"\n[[relying_party]]'), "push.relay"),
        (("[[relying_party]]", "[[another]]"), "another"),
        (('public_url = "http:', 'public_url = "ftp:'), "public_url"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_configuration_that_cannot_be_is_refused(
    sandbox: Path, changed: tuple[str, str], says: str
) -> None:
    assert any(says in fault for fault in faults_after(sandbox, "gateway.toml", changed))


def test_without_a_relying_party_there_is_nobody_to_serve(sandbox: Path) -> None:
    text = (sandbox / "gateway.toml").read_text()
    _, tail = text.split("[[relying_party]]")
    none = ("mode =", "relying_party = []\nmode ="), ("[[relying_party]]" + tail, "")
    assert any("relying_party: " in fault for fault in faults_after(sandbox, "gateway.toml", *none))


@pytest.mark.parametrize("left", range(4))
def test_production_has_nothing_of_the_sandbox(sandbox: Path, left: int) -> None:
    """Each of the three alone is refused; the first is what makes it production."""
    (sandbox / CORE).unlink()
    changes = [change for number, change in enumerate(PRODUCTION) if number != left or left == 0]
    says = ["", "unix socket", "needs database.dsn", "public_url that is https"][left]
    found = faults_after(sandbox, "gateway.toml", *changes)
    assert any(says in fault for fault in found) if says else found == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('secret_sha256 = "', 'secret_sha256 = "x', "secret_sha256"),
        ('"Heartbeat"', '"Haertbeat"', "no such operation: Haertbeat"),
        ('relying_party = "demo-bank"', 'relying_party = "nobody"', "no relying party nobody"),
    ],
)
def test_a_caller_that_cannot_be_is_refused(sandbox: Path, old: str, new: str, says: str) -> None:
    assert any(says in fault for fault in faults_after(sandbox, CORE, (old, new)))


def test_the_samples_secret_is_nobodys(sandbox: Path) -> None:
    file = sandbox / CORE
    (secret,) = [line for line in file.read_text().splitlines() if line.startswith("secret_sha256")]
    sample = (secret, f'secret_sha256 = "{NO_SECRET}"')
    assert any("of no secret" in fault for fault in faults_after(sandbox, CORE, sample))


def test_production_takes_no_username_token_alone(sandbox: Path) -> None:
    (fault,) = faults_after(sandbox, "gateway.toml", *PRODUCTION)
    assert "demo-bank-core: authentication: username alone is for the sandbox" in fault


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        (CORE, '"username"', '"password"', "authentication: Input should be"),
        (CORE, 'authentication = "username"\n', "", "authentication: Field required"),
        (CORE, '"username"', '"x509"', "secret_sha256: with username"),
        (CORE, '"username"', '"mtls+username"', "certificates: one or two"),
        (CORE, "rights = [", 'certificates = ["keys/message.pem"]\nrights = [', "none with username"),
        (SIGNED, '"x509"', '"mtls"', "mtls needs listen.socket"),
        (SIGNED, '"x509"', '"username"', "secret_sha256: with username"),
        (SIGNED, '["keys/demo-bank-signed.pem"]', "[]", "certificates: one or two"),
        (SIGNED, '["keys/demo-bank-signed.pem"]', '["a", "b", "c"]', "at most 2"),
        (SIGNED, "keys/demo-bank-signed.pem", "keys/nothing.pem", "there is no file"),
    ],
)
def test_a_caller_has_what_its_way_needs(sandbox: Path, file: str, old: str, new: str, says: str) -> None:
    assert any(says in fault for fault in faults_after(sandbox, file, (old, new)))


@pytest.mark.parametrize(
    ("pinned", "says"),
    [
        (b"no certificate", "Unable to load PEM"),
        (b"two", "one certificate, and no other"),
        (b"seal", "another caller's"),
        (b"small", "RSA of 2048 to 4096 bits"),
    ],
)
def test_what_is_pinned_can_sign_and_is_one_callers(sandbox: Path, pinned: bytes, says: str) -> None:
    file = sandbox / "keys" / "demo-bank-signed.pem"
    message = (sandbox / "keys" / "message.pem").read_bytes()
    if pinned == b"seal":
        (sandbox / "callers" / "second.toml").write_text(
            (sandbox / SIGNED).read_text().replace('id = "demo-bank-signed"', 'id = "second"')
        )
    else:
        file.write_bytes({b"two": message * 2, b"small": weak_certificate()}.get(pinned, pinned))
    with pytest.raises(ConfigurationError, match=says):
        build_authenticator(load(sandbox))


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("gateway.toml", "keys/message", "keys/seal", "it is the seal's"),
        ("gateway.toml", "keys/message", "keys/demo-bank-signed", "it is caller demo-bank-signed's too"),
        (SIGNED, "keys/demo-bank-signed.pem", "keys/message.pem", "it is caller demo-bank-signed's too"),
    ],
)
def test_the_key_of_messages_is_nothing_elses(
    sandbox: Path, file: str, old: str, new: str, says: str
) -> None:
    build_message_key(load(sandbox))
    assert not faults_after(sandbox, file, (old, new))
    with pytest.raises(ConfigurationError, match=says):
        build_message_key(load(sandbox))


@pytest.mark.parametrize("name", ["message", "demo-bank-signed"])
def test_serve_refuses_what_its_workers_could_not_start_with(sandbox: Path, name: str) -> None:
    """Above all on a reload: the workers that serve are replaced, and none of the new ones would start."""
    _build(load(sandbox), "")
    (sandbox / "keys" / f"{name}.pem").write_bytes(weak_certificate())
    with pytest.raises(ConfigurationError, match="RSA of 2048 to 4096 bits"):
        _build(load(sandbox), "")


def weak_certificate() -> bytes:
    """Of an RSA key of 1024 bits."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "weak")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(utc_now())
        .not_valid_after(utc_now().replace(year=2090))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("window_seconds = 300", "window_seconds = 601"),
        ("window_seconds = 300", "window_seconds = 29"),
        ("skew_seconds = 60", "skew_seconds = 121"),
        ("skew_seconds = 60", "skew_seconds = -1"),
    ],
)
def test_the_window_of_messages_is_bounded(sandbox: Path, old: str, new: str) -> None:
    assert any("messages." in fault for fault in faults_after(sandbox, "gateway.toml", (old, new)))


def test_a_profile_keeps_its_rules(sandbox: Path) -> None:
    rule = ('factors = ["device", "pin"]', 'factors = ["pin"]')
    assert any(
        "DEVICE is always" in fault for fault in faults_after(sandbox, "profiles/consent-pin.toml", rule)
    )


def test_a_configuration_of_no_file_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(tmp_path)


def test_a_fault_is_told_where_it_stands(sandbox: Path) -> None:
    """The line of the key; of the table where the key is not there; of the second of two alike."""
    file = sandbox / "gateway.toml"
    second = '[[relying_party]]\nid = "second"\nname = "Second"\nprofiles = []\n'
    file.write_text(file.read_text() + second)
    found = faults_after(
        sandbox,
        "gateway.toml",
        ("pool_size = 8", "#"),
        ('name = "Second"', "name = 1"),
        ("workers = 2", "workers = 0"),
    )
    lines = file.read_text().splitlines()

    def line(text: str) -> int:
        return 1 + next(number for number, each in enumerate(lines) if each.startswith(text))

    told = {fault.split(": ")[1]: int(fault.split(":")[1]) for fault in found}
    assert told == {
        "web.workers": line("workers = 0"),
        "database.pool_size": line("[database]"),
        "relying_party[1].name": line("name = 1"),
    }
