"""A callback's connection and configuration: where it goes, and where it never does."""

from __future__ import annotations

import re
import socket
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from bank_events import (  # noqa: F401
    EventBank,
    event_bank,
    made_bank,
    made_key,
    made_sandbox,
    sender,
    wait,
    with_callback,
)
from storage_fixture import NOW, make_store

from gateway import cli, config, metrics
from gateway.composition import build_callbacks, build_gateway
from gateway.config import ConfigurationError, load
from gateway.core.callback import Callback
from gateway.outbound import callback as outbound
from gateway.outbound.callback import CallbackKey
from gateway.storage.embedded import Connections

# the connection


ENTRY = Callback("bank", UUID(int=1), "transaction", UUID(int=2), "SEAL", "COMPLETED", NOW, 3, 1)


def test_an_address_outside_the_list_gets_no_connection(bank: EventBank, key: CallbackKey) -> None:
    for networks in (("10.0.0.0/8",), ("127.0.0.2/32", "fd00::/8")):
        assert sender(bank, key, allowed_networks=networks).send(ENTRY, at=NOW) == "ADDRESS_NOT_ALLOWED"
    assert bank.connections == 0


@dataclass
class Names:
    """A resolver that changes its mind: each look-up of ``bank.test`` takes the next answer."""

    answers: list[list[str]]
    asked: int = 0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> Names:
        real = socket.getaddrinfo

        def getaddrinfo(host: Any, port: Any, *args: Any, **more: Any) -> Any:
            if host != "bank.test":
                return real(host, port, *args, **more)
            self.asked += 1
            family = {False: socket.AF_INET, True: socket.AF_INET6}
            return [
                (family[":" in name], socket.SOCK_STREAM, 6, "", (name, port))
                for name in self.answers[min(self.asked, len(self.answers)) - 1]
            ]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return self


def test_a_name_that_changes_its_mind_leads_nowhere_else(
    tmp_path: Path, key: CallbackKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    with event_bank(tmp_path / "bank", name="bank.test") as bank:
        names = Names([["127.0.0.1"], ["127.66.66.66"]]).install(monkeypatch)
        ours = sender(bank, key, url=bank.url("bank.test"), allowed_networks=("127.0.0.1/32",))
        assert ours.send(ENTRY, at=NOW) is None
        assert names.asked == 1, "looked up once: what was judged is what was connected to"
        assert ours.send(ENTRY, at=NOW) == "ADDRESS_NOT_ALLOWED"
        assert bank.connections == 1


@pytest.mark.parametrize(
    ("addresses", "refusal"),
    [
        (["10.1.1.1", "127.0.0.1"], None),
        (["::ffff:127.0.0.1"], None),
        (["::ffff:10.1.1.1"], "ADDRESS_NOT_ALLOWED"),
        (["169.254.169.254", "::1"], "ADDRESS_NOT_ALLOWED"),
        ([], "ADDRESS_NOT_ALLOWED"),
    ],
)
def test_of_several_addresses_an_allowed_one_is_taken(
    tmp_path: Path,
    key: CallbackKey,
    monkeypatch: pytest.MonkeyPatch,
    addresses: list[str],
    refusal: str | None,
) -> None:
    with event_bank(tmp_path / "bank", name="bank.test") as bank:
        Names([addresses]).install(monkeypatch)
        ours = sender(bank, key, url=bank.url("bank.test"))
        assert ours.send(ENTRY, at=NOW) == refusal
        assert bank.connections == (refusal is None)


def test_a_redirect_is_not_followed(bank: EventBank, key: CallbackKey, tmp_path: Path) -> None:
    with event_bank(tmp_path / "elsewhere") as elsewhere:
        for status in (301, 302, 303, 307, 308):
            bank.answer, bank.elsewhere = (lambda received, status=status: status), elsewhere.url()
            assert sender(bank, key).send(ENTRY, at=NOW) == f"HTTP_{status}"
        assert elsewhere.connections == 0


def test_the_environments_proxy_is_not_used(
    bank: EventBank, key: CallbackKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert sender(bank, key).send(ENTRY, at=NOW) is None


def test_a_certificate_of_another_ca_or_name_gets_nothing(
    bank: EventBank, key: CallbackKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with event_bank(tmp_path / "other", name="other.test") as other:
        wrong = "TLS_CERTIFICATE_VERIFY_FAILED"
        assert sender(bank, key, ca_file=other.ca_file).send(ENTRY, at=NOW) == wrong
        assert sender(other, key).send(ENTRY, at=NOW) == wrong, "its name is not localhost"
        assert sender(bank, key, ca_file=None).send(ENTRY, at=NOW) == wrong, "no CA of the system"
        monkeypatch.setenv("SSL_CERT_FILE", str(other.ca_file))
        assert sender(bank, key).send(ENTRY, at=NOW) is None
        assert (len(bank.received), len(other.received)) == (1, 0)
        monkeypatch.setenv("SSL_CERT_FILE", str(bank.ca_file))
        assert sender(bank, key, ca_file=None).send(ENTRY, at=NOW) is None, "now the system knows the CA"


def test_nobody_there(key: CallbackKey, bank: EventBank) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"https://localhost:{closed.getsockname()[1]}/"
        assert sender(bank, key, url=url).send(ENTRY, at=NOW) == "UNREACHABLE"
    assert sender(bank, key, url="https://nowhere.invalid/").send(ENTRY, at=NOW) == "UNREACHABLE"


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (b"220 mail.example ESMTP\r\n" * 10_000, "UNREACHABLE"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", "HTTP_103"),
        (b"HTTP/1.1 299 Fine\r\n\r\n", None),
        (b"HTTP/1.1 300 Choose\r\n\r\n", "HTTP_300"),
        (b"", "UNREACHABLE"),
    ],
    ids=["smtp", "103", "299", "300", "nothing"],
)
def test_only_a_final_2xx_is_acceptance(
    key: CallbackKey, bank: EventBank, answer: bytes, refusal: str | None
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak() -> None:
            wire, _ = server.accept()
            with wire:
                wire.recv(10_000)
                wire.sendall(answer)

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        assert sender(bank, key, url=url).send(ENTRY, at=NOW) == refusal
        thread.join(10)


@pytest.mark.parametrize("how", ["silent", "drip", "handshake"])
def test_an_attempt_ends_however_slowly_the_bank_speaks(
    bank: EventBank, key: CallbackKey, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(outbound, "SECONDS", 0.6)
    ours = sender(bank, key)
    if how == "silent":
        bank.answer = lambda received: wait(30, bank.over)
    elif how == "drip":
        bank.drip = True
    with socket.create_server(("127.0.0.1", 0)) as mute:
        if how == "handshake":
            ours = sender(bank, key, url=f"https://localhost:{mute.getsockname()[1]}/")
        refusals: list[str | None] = []
        thread = threading.Thread(target=lambda: refusals.append(ours.send(ENTRY, at=NOW)), daemon=True)
        thread.start()
        thread.join(10)
        assert refusals == ["TIMEOUT"]


def test_the_handshake_has_what_is_left_alone(
    bank: EventBank, key: CallbackKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        patient = socket.create_connection(mute.getsockname())  # without a time of its own
        monkeypatch.setattr(outbound, "_connect", lambda *_, **__: patient)
        monkeypatch.setattr(outbound, "SECONDS", 0.3)
        refusals: list[str | None] = []
        ours = sender(bank, key)
        thread = threading.Thread(target=lambda: refusals.append(ours.send(ENTRY, at=NOW)), daemon=True)
        thread.start()
        thread.join(10)
        assert refusals == ["TIMEOUT"]


def test_no_time_left_is_a_timeout(
    bank: EventBank, key: CallbackKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look-up of the name took it all."""
    monkeypatch.setattr(outbound, "SECONDS", -1.0)
    assert sender(bank, key).send(ENTRY, at=NOW) == "TIMEOUT"
    assert bank.connections == 0


def test_without_tls_it_goes_to_this_machine_alone(key: CallbackKey, bank: EventBank) -> None:
    for url in ("http://localhost/", "http://bank.example/", "http://127.0.0.2/", "ftp://127.0.0.1/"):
        with pytest.raises(ValueError, match="https"):
            sender(bank, key, url=url)


# configuration


GOOD = '[relying_party.callback]\nurl = "https://events.bank.example/x"\nallowed_networks = ["10.0.0.0/8"]\n'


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("https://events.bank.example/x", "http://events.bank.example/x", "https"),
        ("https://events.bank.example/x", "https://user@events.bank.example/x", "url"),
        ("https://events.bank.example/x", "https://events.bank.example/x#part", "fragment"),
        ("https://events.bank.example/x", "https://events.bank.example:99999/x", "Port out of range"),
        ("https://events.bank.example/x", "https://events.bank.example:0/x", "port"),
        ("https://events.bank.example/x", "https://192.168.0.1/x", "none of allowed_networks"),
        ('["10.0.0.0/8"]', "[]", "allowed_networks"),
        ('["10.0.0.0/8"]', '["10.0.0.1/8"]', "allowed_networks"),
        ('["10.0.0.0/8"]', '["0.0.0.0/0"]', "allows everything"),
        ('["10.0.0.0/8"]', '["::/0"]', "allows everything"),
        ('["10.0.0.0/8"]', '["bank.example"]', "allowed_networks"),
        ('["10.0.0.0/8"]', '["10.0.0.0/8"]\nevents = ["transaction.PENDING"]', "no such event"),
        ('["10.0.0.0/8"]', '["10.0.0.0/8"]\nretry_seconds = 1', "retry_seconds"),
        ('["10.0.0.0/8"]', '["10.0.0.0/8"]\nverify = false', "verify"),
        ('["10.0.0.0/8"]', '["10.0.0.0/8"]\nca_file = "keys/none.pem"', "there is no file"),
    ],
)
def test_a_fault_is_named(sandbox: Path, tmp_path: Path, old: str, new: str, says: str) -> None:
    folder = with_callback(sandbox, tmp_path, GOOD)
    load(folder)
    file = folder / "gateway.toml"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ConfigurationError) as refused:
        load(folder)
    [fault] = [fault for fault in refused.value.faults if says in fault]
    assert "callback" in fault
    if "there is no file" not in says:
        table = file.read_text().splitlines().index("[relying_party.callback]") + 1
        line = int(re.findall(r"gateway\.toml:(\d+):", fault)[0])
        assert table <= line <= table + 3


def test_allowed_networks_cannot_be_left_out(sandbox: Path, tmp_path: Path) -> None:
    folder = with_callback(sandbox, tmp_path, GOOD.split("allowed")[0])
    with pytest.raises(ConfigurationError, match="allowed_networks: Field required"):
        load(folder)


def test_check_config_reads_the_ca_file(
    sandbox: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = with_callback(sandbox, tmp_path, GOOD, more='ca_file = "keys/index-secret"\n')
    assert cli.main(["check-config", "--conf", str(folder)]) == cli.UNUSABLE
    assert "relying_party demo-bank: callback" in capsys.readouterr().err


def test_a_sandbox_has_no_callback_and_its_key_is_no_secret_of_production(
    sandbox: Path, tmp_path: Path
) -> None:
    assert build_callbacks(load(sandbox)) == {}
    folder = with_callback(sandbox, tmp_path, GOOD)
    configuration = load(folder)
    assert list(build_callbacks(configuration)) == ["demo-bank"]
    production = replace(
        configuration, gateway=configuration.gateway.model_copy(update={"mode": "production"})
    )
    with pytest.raises(ConfigurationError, match="callback_key: production"):
        build_callbacks(production)
    key_file = folder / "keys" / "callback.key.pem"
    key_file.write_text(key_file.read_text().replace("SANDBOX", "ours"))
    assert list(build_callbacks(production)) == ["demo-bank"]


def test_production_sends_with_tls_alone(sandbox: Path, tmp_path: Path) -> None:
    plain = GOOD.replace("https://events.bank.example", "http://127.0.0.1:1").replace("10.0", "127.0")
    folder = with_callback(sandbox, tmp_path, plain)
    file = folder / "gateway.toml"
    load(folder)
    text = (
        file.read_text()
        .replace('"sandbox"', '"production"')
        .replace('"http://127.0.0.1:8765"', '"https://x"')
    )
    text = text.replace('host = "127.0.0.1"\nport = 8765', 'socket = "s"')
    file.write_text(text.replace('embedded = "database"', 'dsn = "a"\nowner_dsn = "b"'))
    with pytest.raises(ConfigurationError, match=r"callback\.url that is https: demo-bank"):
        load(folder)


def test_a_key_that_others_can_read_is_refused(sandbox: Path, tmp_path: Path, database: Connections) -> None:
    folder = with_callback(sandbox, tmp_path, GOOD)
    (folder / "keys" / "callback.key.pem").chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"callback\.key\.pem: others can read"):
        build_gateway(load(folder), make_store(database))


def test_what_the_processes_get_is_what_was_checked(sandbox: Path, tmp_path: Path) -> None:
    configuration = load(with_callback(sandbox, tmp_path, GOOD))
    restored = config.restore(config.dump(configuration))
    assert restored.gateway.relying_party == configuration.gateway.relying_party


def test_status_shows_what_waits_and_what_died(
    sandbox: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for state, number in (("pending", 7), ("dead", 2)):
        metrics.CALLBACKS.labels("demo-bank", state).set(number)
    monkeypatch.setattr(cli, "_get", lambda configuration, path: (200, metrics.exposition()[0]))
    assert cli.main(["status", "--conf", str(sandbox)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "demo-bank callbacks dead 2" in said
    assert "demo-bank callbacks pending 7" in said
