"""Client certificates through a real nginx, by the sample in ``conf/nginx``, to a unix socket."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from live import NS, eventually
from lxml import etree
from soap_support import REQUESTS, SOAP11, envelope, security, token

from gateway.core.model import utc_now
from gateway.resources import resource
from gateway.sandbox import CALLER, caller_file, make_sandbox

SECRET = "s" * 43
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"

pytestmark = pytest.mark.skipif(
    not Path(NGINX).exists() and not os.environ.get("CI"), reason="needs nginx (apt-get install nginx-light)"
)


class Ca:
    """Issues the server's certificate and the banks'."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "banks")])
        (folder / "ca.pem").write_bytes(self.issue("ca", subject=self.name, key=self.key, ca=True))

    def issue(
        self, name: str, *, subject: x509.Name | None = None, key: object = None, ca: bool = False
    ) -> bytes:
        """Writes NAME.pem and NAME.key."""
        own = key if isinstance(key, ec.EllipticCurvePrivateKey) else ec.generate_private_key(ec.SECP256R1())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self.name)
            .public_key(own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(utc_now() - timedelta(hours=1))
            .not_valid_after(utc_now() + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(self.key, hashes.SHA256())
            .public_bytes(Encoding.PEM)
        )
        (self.folder / f"{name}.pem").write_bytes(certificate)
        private = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.folder / f"{name}.key").write_bytes(private)
        return certificate


@dataclass
class Proxied:
    folder: Path
    banks: int
    phones: int

    def post(
        self, data: bytes, *, by: str | None, port: int | None = None, path: str = "/soap/v1", **headers: str
    ) -> tuple[int, bytes]:
        connection = self._connect(by, port or self.banks)
        try:
            connection.request("POST", path, data, {"Content-Type": SOAP11.content_type, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _connect(self, by: str | None, port: int) -> HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        if by is not None:
            context.load_cert_chain(self.folder / f"{by}.pem", self.folder / f"{by}.key")
        return HTTPSConnection("localhost", port, context=context, timeout=30)

    def code(self, data: bytes, *, by: str | None, **headers: str) -> str:
        _, body = self.post(data, by=by, **headers)
        return etree.fromstring(body).findtext(f".//{{{NS}}}code") or "OK"

    def pem(self, name: str) -> str:
        return quote((self.folder / f"{name}.pem").read_text())


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp("nginx")
    found = Proxied(folder, free_port(), free_port())
    ca = Ca(folder)
    for name in ("server", "alone", "both", "stranger"):
        ca.issue(name)
    ca.issue("renewed", subject=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alone")]))
    conf = folder / "conf"
    make_sandbox(conf, port=1, at=utc_now())
    text = (conf / "gateway.toml").read_text()
    text = text.replace('host = "127.0.0.1"\nport = 1\n', f'socket = "{folder}/gateway.sock"\n')
    text = text.replace('"http://127.0.0.1:1"', f'"https://localhost:{found.banks}"')
    (conf / "gateway.toml").write_text(text)
    for name, way, secret in (("alone", "mtls", None), ("both", "mtls+username", SECRET)):
        pinned = caller_file(
            name,
            relying_party="demo-bank",
            authentication=way,
            secret=secret,
            certificates=[str(folder / f"{name}.pem")],
            rights=["Heartbeat", "ListDevices"],
        )
        (conf / "callers" / f"{name}.toml").write_text(pinned)
    (folder / "nginx.conf").write_text(sample(found))
    with (folder / "log").open("wb") as log:
        gateway = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", "serve", "--conf", str(conf)], stdout=log, stderr=log
        )
        nginx = subprocess.Popen(
            [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"],
            stdout=log,
            stderr=log,
        )
    try:
        says = (folder / "log").read_text
        eventually(lambda: '"ready"' in says(), says=says, seconds=60)
        eventually(lambda: answers(found.banks), says=says, seconds=20)
        yield found
    finally:
        for process in (nginx, gateway):
            process.terminate()
            process.wait(30)


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def sample(found: Proxied) -> str:
    """The sample, with what a bank changes in it changed: each of these must be in it."""
    text = resource("conf/nginx", "gateway.conf").decode()
    folder = found.folder
    for old, new in {
        "user www-data gateway;": "user root;" if os.geteuid() == 0 else "",
        "/run/nginx.pid": f"{folder}/nginx.pid",
        "/var/log/nginx": str(folder),
        "unix:/run/mobileid-gateway/gateway.sock": f"unix:{folder}/gateway.sock",
        "listen 443 ssl": f"listen 127.0.0.1:{found.banks} ssl",
        "listen 8443 ssl": f"listen 127.0.0.1:{found.phones} ssl",
        "gateway.bank.example": "localhost",
        "/etc/mobileid-gateway/tls/server": f"{folder}/server",
        "/etc/mobileid-gateway/tls/banks-ca": f"{folder}/ca",
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    temporary = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return text.replace("http {\n", "http {\n" + temporary, 1)


PLAIN = envelope(REQUESTS["Heartbeat"], header="")


def named(caller: str, secret: str = SECRET) -> bytes:
    return envelope(REQUESTS["Heartbeat"], header=security(token(caller, secret)))


def test_a_pinned_certificate_is_its_caller(proxied: Proxied) -> None:
    assert proxied.code(PLAIN, by="alone") == "OK"
    assert proxied.code(named("both"), by="both") == "OK"


def test_no_certificate_gets_no_further_than_nginx(proxied: Proxied) -> None:
    status, body = proxied.post(PLAIN, by=None)
    assert status == 400
    assert b"No required SSL certificate" in body


@pytest.mark.parametrize(
    ("data", "by"),
    [
        (PLAIN, "stranger"),
        (PLAIN, "renewed"),
        (PLAIN, "both"),
        (named("both"), "alone"),
        (named("both"), "stranger"),
        (named("both", "x" * 43), "both"),
        (named("alone"), "both"),
        (named(CALLER), "alone"),
    ],
)
def test_any_other_is_refused_alike(proxied: Proxied, data: bytes, by: str) -> None:
    assert proxied.code(data, by=by) == "NOT_AUTHENTICATED"


def test_what_a_client_says_of_its_certificate_is_overwritten(proxied: Proxied) -> None:
    for name in ("X-Client-Certificate", "x-client-certificate", "X_Client_Certificate"):
        stated = {name: proxied.pem("alone")}
        assert proxied.code(PLAIN, by="stranger", **stated) == "NOT_AUTHENTICATED"
        assert proxied.code(PLAIN, by="alone", **{name: proxied.pem("stranger")}) == "OK"
    status, _ = proxied.post(
        PLAIN, by=None, port=proxied.phones, **{"X-Client-Certificate": proxied.pem("alone")}
    )
    assert status == 404, "the phones' door leads to no bank's operation"


def test_each_door_leads_to_its_own_faces(proxied: Proxied) -> None:
    assert proxied.post(b"{}", by="alone", path="/device/v1/demo-bank")[0] == 404
    assert proxied.post(b"{}", by="alone", path="/metrics")[0] == 404
    assert proxied.post(b"{}", by=None, port=proxied.phones, path="/metrics")[0] == 404
    status, body = proxied.post(b"{}", by=None, port=proxied.phones, path="/device/v1/demo-bank/activations")
    assert (status, b"urn:mobileid-gateway:error:" in body) != (404, False), (
        "the device face answers for itself"
    )


def test_old_tls_and_large_bodies_end_at_nginx(proxied: Proxied) -> None:
    context = ssl.create_default_context(cafile=str(proxied.folder / "ca.pem"))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", proxied.banks)) as raw, pytest.raises(ssl.SSLError):
        context.wrap_socket(raw, server_hostname="localhost")
    status, _ = proxied.post(b" " * (8 * 1024 * 1024 + 1), by="alone")
    assert status == 413
