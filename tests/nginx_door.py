"""A real nginx before a gateway, by the sample in ``conf/nginx``, and a CA for both sides.

The law: the gateway is reached through nginx alone, over a unix socket; what a bank would change in the
sample is changed, and nothing else. Who is a caller is left to whoever opens the door.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from live import Live, eventually, free_port

from gateway.core.model import utc_now
from gateway.resources import resource

NGINX: Final = shutil.which("nginx") or "/usr/sbin/nginx"


def common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Ca:
    """Issues the server's certificate and the banks', into its folder."""

    def __init__(self, folder: Path, *, name: str = "ca") -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = common_name("banks")
        self.pem = folder / f"{name}.pem"
        self._write(name, subject=self._name, key=self._key, ca=True)

    def issue(self, name: str, *, subject: x509.Name | None = None) -> None:
        """Writes NAME.pem and NAME.key."""
        key = ec.generate_private_key(ec.SECP256R1())
        self._write(name, subject=subject or common_name(name), key=key, ca=False)

    def _write(self, name: str, *, subject: x509.Name, key: ec.EllipticCurvePrivateKey, ca: bool) -> None:
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(utc_now() - timedelta(hours=1))
            .not_valid_after(utc_now() + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(self._key, hashes.SHA256())
            .public_bytes(Encoding.PEM)
        )
        (self.folder / f"{name}.pem").write_bytes(certificate)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.folder / f"{name}.key").write_bytes(private)

    def revoke(self, *names: str) -> None:
        """Writes ca.crl, of these and no others."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(utc_now() - timedelta(hours=1))
            .next_update(utc_now() + timedelta(days=1))
        )
        for name in names:
            certificate = x509.load_pem_x509_certificate((self.folder / f"{name}.pem").read_bytes())
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(certificate.serial_number)
                .revocation_date(utc_now() - timedelta(minutes=1))
                .build()
            )
        signed = builder.sign(self._key, hashes.SHA256())
        self.pem.with_suffix(".crl").write_bytes(signed.public_bytes(Encoding.PEM))


class Door:
    """The two doors of one gateway that is not started yet: callers are admitted, then they are opened."""

    def __init__(self, live: Live, *, folder: Path) -> None:
        """``folder`` is an empty one of nginx's own; the gateway is told to listen on a socket in it."""
        self.live, self.folder = live, folder
        self.banks, self.phones = free_port(), free_port()
        self.ca = Ca(folder)
        self.ca.issue("server")
        self._tell_gateway(f'host = "127.0.0.1"\nport = {live.port}\n', f'socket = "{self._socket}"\n')
        self._tell_gateway(f'"{live.url}"', f'"{self.url}"')
        (folder / "nginx.conf").write_text(self._sample())

    @property
    def url(self) -> str:
        """Where banks come in."""
        return f"https://localhost:{self.banks}"

    @property
    def _socket(self) -> Path:
        return self.folder / "gateway.sock"

    @contextmanager
    def open(self) -> Iterator[None]:
        """Starts the gateway and nginx, and ends both."""
        says = self.live.log.read_text
        self.live.spawn()
        with self.live.log.open("ab") as log:
            nginx = subprocess.Popen(
                [NGINX, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-g", "daemon off;"],
                stdout=log,
                stderr=log,
            )
        try:
            eventually(lambda: '"ready"' in says(), says=says, seconds=60)
            eventually(lambda: answers(self.banks), says=says, seconds=20)
            yield
        finally:
            nginx.terminate()
            nginx.wait(30)
            self.live.stop()

    def _tell_gateway(self, old: str, new: str) -> None:
        file = self.live.folder / "gateway.toml"
        text = file.read_text()
        assert old in text, old
        file.write_text(text.replace(old, new))

    def _sample(self) -> str:
        """The sample, with what a bank changes in it changed: each of these must be in it."""
        text = resource("conf/nginx", "gateway.conf").decode()
        for old, new in {
            "user www-data gateway;": "user root;" if os.geteuid() == 0 else "",
            "/run/nginx.pid": f"{self.folder}/nginx.pid",
            "/var/log/nginx": str(self.folder),
            "unix:/run/mobileid-gateway/gateway.sock": f"unix:{self._socket}",
            "listen 443 ssl": f"listen 127.0.0.1:{self.banks} ssl",
            "listen 8443 ssl": f"listen 127.0.0.1:{self.phones} ssl",
            "gateway.bank.example": "localhost",
            "/etc/mobileid-gateway/tls/server": f"{self.folder}/server",
            "/etc/mobileid-gateway/tls/banks-ca": f"{self.folder}/ca",
        }.items():
            assert old in text, old
            text = text.replace(old, new)
        temporary = "".join(
            f"    {kind}_temp_path {self.folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return text.replace("http {\n", "http {\n" + temporary, 1)


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
