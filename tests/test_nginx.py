"""Client certificates through a real nginx, by the sample in ``conf/nginx``, to a unix socket."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import quote

import pytest
from live import NS, Live, eventually
from lxml import etree
from nginx_door import NGINX, Door, answers, common_name
from soap_support import REQUESTS, SOAP11, envelope, security, token

from gateway.sandbox import CALLER, caller_file

SECRET = "s" * 43

pytestmark = pytest.mark.skipif(
    not Path(NGINX).exists() and not os.environ.get("CI"), reason="needs nginx (apt-get install nginx-light)"
)


@dataclass
class Proxied:
    folder: Path
    banks: int
    phones: int

    def post(
        self,
        data: bytes,
        *,
        by: str | None,
        port: int | None = None,
        path: str = "/soap/v1",
        source: str = "127.0.0.1",
        **headers: str,
    ) -> tuple[int, bytes]:
        connection = self._connect(by, port or self.banks, source=source)
        try:
            connection.request("POST", path, data, {"Content-Type": SOAP11.content_type, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _connect(self, by: str | None, port: int, *, source: str = "127.0.0.1") -> HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        if by is not None:
            context.load_cert_chain(self.folder / f"{by}.pem", self.folder / f"{by}.key")
        return HTTPSConnection("localhost", port, context=context, timeout=30, source_address=(source, 0))

    def code(self, data: bytes, *, by: str | None, **headers: str) -> str:
        _, body = self.post(data, by=by, **headers)
        return etree.fromstring(body).findtext(f".//{{{NS}}}code") or "OK"

    def pem(self, name: str) -> str:
        return quote((self.folder / f"{name}.pem").read_text())


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp("nginx")
    live = Live(folder / "conf", port=1)
    door = Door(live, folder=folder)
    for name in ("alone", "both", "stranger"):
        door.ca.issue(name)
    door.ca.issue("renewed", subject=common_name("alone"))
    for name, way, secret in (("alone", "mtls", None), ("both", "mtls+username", SECRET)):
        pinned = caller_file(
            name,
            relying_party="demo-bank",
            authentication=way,
            secret=secret,
            certificates=[str(folder / f"{name}.pem")],
            rights=["Heartbeat", "ListDevices"],
        )
        (live.folder / "callers" / f"{name}.toml").write_text(pinned)
    with door.open():
        yield Proxied(folder, door.banks, door.phones)


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
    for path in ("/metrics/../device/", "/metrics%2f../device/", "/metrics/%2e%2e/device/"):
        assert proxied.post(b"{}", by=None, port=proxied.phones, path=path)[0] == 404, path
    assert proxied.post(b"{}", by="alone", path="/metrics/../schemas/")[0] == 404
    status, body = proxied.post(b"{}", by=None, port=proxied.phones, path="/device/v1/demo-bank/activations")
    assert (status, b"urn:mobileid-gateway:error:" in body) != (404, False), (
        "the device face answers for itself"
    )


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_revoked_certificate_ends_with_the_reload(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """A TLS session that is taken up again shows no certificate, and nginx would verify none."""
    (tmp_path / "nginx").mkdir()
    door = Door(Live(tmp_path / "conf", port=1), folder=tmp_path / "nginx")
    door.ca.issue("bank")
    door.ca.revoke()
    conf, line = door.folder / "nginx.conf", f"# ssl_crl {door.folder}/ca.crl"
    text = conf.read_text()
    assert line in text
    conf.write_text(text.replace(line, line[2:]))
    context = ssl.create_default_context(cafile=str(door.ca.pem))
    context.load_cert_chain(door.folder / "bank.pem", door.folder / "bank.key")
    context.minimum_version = context.maximum_version = version

    def ask(session: ssl.SSLSession | None = None) -> tuple[bytes, ssl.SSLSession | None]:
        raw = socket.create_connection(("127.0.0.1", door.banks), timeout=10)
        with context.wrap_socket(raw, server_hostname="localhost", session=session) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(12), connection.session

    nginx = subprocess.Popen([NGINX, "-p", str(door.folder), "-c", str(conf), "-g", "daemon off;"])
    try:
        eventually(lambda: answers(door.banks), seconds=20)
        status, session = ask()
        assert status == b"HTTP/1.1 404", "nginx knows the certificate, and has no page there"
        door.ca.revoke("bank")
        nginx.send_signal(signal.SIGHUP)
        for shown in (None, session):  # old workers may answer for a moment
            eventually(lambda shown=shown: ask(shown)[0] == b"HTTP/1.1 400", seconds=20)
    finally:
        nginx.terminate()
        nginx.wait(30)


def test_old_tls_and_large_bodies_end_at_nginx(proxied: Proxied) -> None:
    context = ssl.create_default_context(cafile=str(proxied.folder / "ca.pem"))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", proxied.banks)) as raw, pytest.raises(ssl.SSLError):
        context.wrap_socket(raw, server_hostname="localhost")
    status, _ = proxied.post(b" " * (8 * 1024 * 1024 + 1), by="alone")
    assert status == 413


BURST = 6


@pytest.fixture
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """An address may ask BURST times, and then once a minute or so; the caller "busy" half as often."""
    folder = tmp_path_factory.mktemp("narrow")
    live = Live(folder / "conf", port=1)
    door = Door(live, folder=folder)
    for name in ("alone", "busy"):
        door.ca.issue(name)
        pinned = caller_file(
            name,
            relying_party="demo-bank",
            authentication="mtls",
            secret=None,
            certificates=[str(folder / f"{name}.pem")],
            rights=["Heartbeat"],
        )
        own = f"per_second = 1\nburst = {BURST // 2}\n" if name == "busy" else ""
        (live.folder / "callers" / f"{name}.toml").write_text(own + pinned)
    table = live.folder / "gateway.toml"
    text = table.read_text()
    for old, new in (
        ("address_per_second = 5000 ", "address_per_second = 1 "),
        ("burst = 10000", f"burst = {BURST}"),
    ):
        assert old in text
        text = text.replace(old, new)
    table.write_text(text)
    with door.open():
        yield Proxied(folder, door.banks, door.phones)


def test_rates_count_who_is_behind_nginx_over_all_workers(narrow: Proxied) -> None:
    """Over connections of their own, which fall to both workers; the address is the client's, not nginx's."""

    def codes(count: int, *, by: str, source: str, **headers: str) -> Counter[str]:
        begun = time.monotonic()
        found = Counter(narrow.code(PLAIN, by=by, source=source, **headers) for _ in range(count))
        assert set(found) <= {"OK", "RATE_EXCEEDED"}
        granted.append(time.monotonic() - begun)
        return found

    granted: list[float] = []
    of_caller = codes(5, by="busy", source="127.0.0.2")
    assert BURST // 2 <= of_caller["OK"] <= BURST // 2 + granted[-1]
    of_address = codes(3 * BURST, by="alone", source="127.0.0.3", **{"X-Real-IP": "192.0.2.1"})
    assert BURST <= of_address["OK"] <= BURST + granted[-1], (
        "what a client says of its address is overwritten"
    )
    assert codes(BURST, by="alone", source="127.0.0.4") == {"OK": BURST}, "another address"
