"""The whole walk of a biometric: activation with a chain, an approval, evidence that an auditor verifies."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from sim import PROFILE
from structlog.testing import capture_logs
from walk import Walk

from gateway import cli
from gateway.authenticator.attestor import Description, UnsafeAttestor
from gateway.authenticator.authenticator import Authenticator
from gateway.authenticator.errors import FactorMissing, GatewayRefused, KeystoreError
from gateway.authenticator.keystore import Keystore
from gateway.composition import build_gateway
from gateway.config import Configuration, ConfigurationError, load
from gateway.core.attestation.policy import AttestationPolicy
from gateway.core.certpath import der
from gateway.core.conclusion import Indication, SubIndication
from gateway.core.model import Decision, Factor, utc_now
from gateway.core.transaction import State
from gateway.core.verifier import verify_evidence
from gateway.sandbox import Issuer, make_attestation_pki, make_sandbox
from gateway.services import evidence
from gateway.storage.postgres import PostgresStore

BIOMETRIC = replace(
    PROFILE, id="consent-biometric", factors=(Factor.DEVICE, Factor.BIOMETRIC), hardware_key=True
)
PEM = Encoding.PEM
ROOT, CA = make_attestation_pki(at=utc_now())
POLICY = AttestationPolicy((ROOT.certificate,))


def attestor(ca: Issuer = CA, **flipped: Any) -> UnsafeAttestor:
    with pytest.warns(UserWarning, match="UnsafeAttestor"):
        return UnsafeAttestor(
            ca.key, [ca.certificate, ROOT.certificate], description=replace(Description(), **flipped)
        )


@pytest.fixture
def walk(store: PostgresStore) -> Walk:
    made = Walk(store, profile=BIOMETRIC)
    trust = replace(made.gateway.trust, attestation_roots=POLICY.roots)
    made.reload(attestation=POLICY, trust=trust)
    return made


def document(walk: Walk, transaction_id: Any) -> bytes:
    stored = evidence.get_evidence(
        walk.gateway, walk.caller, transaction_id=transaction_id, at=walk.clock.now()
    )
    return stored.document


@pytest.mark.rts("4(1)", "6", "7", "8", "9")
def test_a_biometric_approves_and_an_auditor_believes_it(walk: Walk, tmp_path: Path) -> None:
    phone = walk.phone(attestor=attestor())
    started = walk.start()
    assert phone.claim(started.id).factors == {"device", "biometric"}
    assert phone.approve(started.id, pin=None).state == State.COMPLETED
    done = walk.get(started.id)
    assert (done.acr, done.amr) == ("urn:mobileid-gateway:acr:sca", ("hwk", "user"))
    whole = document(walk, started.id)
    conclusion = verify_evidence(whole, trust=walk.gateway.trust, at=walk.clock.now())
    assert conclusion.indication is Indication.TOTAL_PASSED, conclusion.explanation
    said = conclusion.evidence
    assert said is not None
    assert said.attestation.verdict == "hardware"
    assert said.attestation.key is not None
    assert (said.attestation.key.level, said.attestation.key.user_verification) == ("tee", "biometric")
    assert [factor.method for factor in said.factors] == ["hwk", "user"]
    bound = walk.store.binding(walk.tenant, phone.device.binding_id)
    assert bound is not None
    assert bound.attestation == said.attestation
    assert bound.keys.pin not in whole
    # by an auditor, offline
    file, trust, roots = (tmp_path / name for name in ("e.xml", "trust.pem", "roots.pem"))
    file.write_bytes(whole)
    trust.write_bytes(walk.pki.trust_pem())
    roots.write_bytes(ROOT.certificate.public_bytes(PEM))
    asked = ["evidence", "verify", str(file), "--trust", str(trust)]
    assert cli.main([*asked, "--roots", str(roots)]) == 0
    assert cli.main(asked) == 2
    assert cli.main([*asked, "--roots", str(trust)]) == 2
    assert cli.main([*asked, "--roots", str(file)]) == 3


@pytest.mark.rts("4(1)", "7", "8")
@pytest.mark.parametrize(
    "hardware",
    [
        pytest.param(None, id="no attestation"),
        pytest.param({"level": 0, "keystore_level": 0}, id="software"),
        pytest.param({"user_auth_type": 1}, id="the screen lock"),
        pytest.param({"user_auth_type": 3}, id="the screen lock too"),
        pytest.param({"user_auth_type": None, "no_auth_required": True}, id="nobody"),
        pytest.param({"auth_timeout": 10}, id="for ten seconds"),
    ],
)
def test_what_proves_no_biometric_approves_nothing(walk: Walk, hardware: dict[str, Any] | None) -> None:
    """The device says yes all the same: the gateway judges by what was attested."""
    phone = walk.phone(attestor=None if hardware is None else attestor(**hardware))
    phone.device = replace(phone.device, biometric=True)
    started = walk.start()
    phone.claim(started.id)
    with pytest.raises(GatewayRefused, match="ASSERTION_REFUSED"):
        phone.approve(started.id, pin=None)
    assert walk.get(started.id).state is State.PENDING


def test_an_authenticator_without_a_biometric_says_so(walk: Walk) -> None:
    phone = walk.phone(attestor=attestor(user_auth_type=1))
    started = walk.start()
    phone.claim(started.id)
    with pytest.raises(FactorMissing):
        phone.approve(started.id, pin=None)


@pytest.mark.rts("7")
def test_hardware_and_a_pin_need_no_biometric(store: PostgresStore) -> None:
    made = Walk(store, profile=replace(PROFILE, id="consent-hardware", hardware_key=True))
    made.reload(attestation=POLICY, trust=replace(made.gateway.trust, attestation_roots=POLICY.roots))
    phone = made.phone(attestor=attestor(user_auth_type=3))
    done = made.get(made.approved(phone))
    assert (done.state, done.amr) == (State.COMPLETED, ("hwk", "pin"))


def test_a_signed_refusal_of_an_attested_device_is_evidence(walk: Walk) -> None:
    phone = walk.phone(attestor=attestor())
    started = walk.start()
    phone.claim(started.id)
    phone.reject(started.id, decision=Decision.REJECTED_NOT_ME)
    conclusion = verify_evidence(document(walk, started.id), trust=walk.gateway.trust, at=walk.clock.now())
    assert conclusion.indication is Indication.TOTAL_PASSED, conclusion.explanation
    assert conclusion.evidence is not None
    assert [factor.method for factor in conclusion.evidence.factors] == ["hwk"]


def refusal(walk: Walk, made: UnsafeAttestor) -> dict[str, Any]:
    """What the gateway's log says of an activation that it refuses."""
    with capture_logs() as logs, pytest.raises(GatewayRefused, match="ATTESTATION_REFUSED"):
        walk.phone(attestor=made)
    (line,) = [line for line in logs if line["event"] == "attestation_refused"]
    return dict(line)


@pytest.mark.rts("7", "9")
def test_an_attestation_that_is_not_believed_binds_nobody(walk: Walk) -> None:
    assert "bootloader" in refusal(walk, attestor(locked=False))["says"]
    _, stranger = make_attestation_pki(at=walk.clock.now())
    found = refusal(walk, attestor(stranger))
    assert found["sub_indication"] == SubIndication.NO_CERTIFICATE_CHAIN_FOUND
    walk.reload(attestation=replace(POLICY, revoked=frozenset({CA.certificate.serial_number})))
    assert refusal(walk, attestor())["sub_indication"] == SubIndication.REVOKED
    walk.reload(attestation=replace(POLICY, applications=frozenset({("org.example.bank", bytes(32))})))
    assert "app" in refusal(walk, attestor())["says"]
    walk.reload(attestation=AttestationPolicy())
    refusal(walk, attestor())
    subject = walk.store.subject_by_ref(walk.tenant, "customer-1")
    assert subject is not None
    assert walk.store.bindings_of(walk.tenant, subject.id) == []


@pytest.mark.rts("4(3)(b)")
def test_refused_attestations_count_as_tries(walk: Walk) -> None:
    view = walk.register()
    for _ in range(3):
        with pytest.raises(GatewayRefused, match="ATTESTATION_REFUSED"):
            enrol(walk, view.activation, attestor(locked=False))
    with pytest.raises(GatewayRefused, match="ACTIVATION_REFUSED"):
        enrol(walk, view.activation, attestor())


def test_who_lacks_the_code_learns_nothing_of_the_attestation(walk: Walk) -> None:
    view = walk.register()
    assert view.activation is not None
    wrong = replace(view.activation, code=f"{(int(view.activation.code or 0) + 1) % 10**6:06}")
    with pytest.raises(GatewayRefused, match="ACTIVATION_REFUSED"):
        enrol(walk, wrong, attestor(locked=False))


def enrol(walk: Walk, activation: Any, made: UnsafeAttestor, **changes: Any) -> Authenticator:
    return Authenticator.activate(
        activation.qr_payload,
        code=activation.code,
        pin="271828",
        name="Phone",
        attestor=made,
        transport=changes.get("transport", walk.transport),
        clock=walk.clock.now,
    )


def test_a_chain_serves_no_second_activation(walk: Walk) -> None:
    """The object of one activation, sent with another's: be it by the very same phone."""
    sent: list[dict[str, Any]] = []

    def watching(method: str, url: str, headers: Any, body: bytes) -> tuple[int, bytes]:
        sent.append(json.loads(body)["attestation"])
        return walk.transport(method, url, headers, body)

    enrol(walk, walk.register().activation, attestor(), transport=watching)

    class Replaying(UnsafeAttestor):
        def attestation(self, *_: Any, **__: Any) -> dict[str, str]:
            return sent[0]

    with pytest.warns(UserWarning, match="UnsafeAttestor"):
        replaying = Replaying(CA.key, [CA.certificate])
    assert refusal(walk, replaying)["says"]


def test_an_answer_that_was_lost_is_given_again(walk: Walk) -> None:
    calls: list[int] = []

    def losing(method: str, url: str, headers: Any, body: bytes) -> tuple[int, bytes]:
        answer = walk.transport(method, url, headers, body)
        calls.append(answer[0])
        return walk.transport(method, url, headers, body)

    assert enrol(walk, walk.register().activation, attestor(), transport=losing)
    assert calls == [201]


def test_a_bank_that_gives_up_a_root_cannot_seal_until_it_is_back(walk: Walk) -> None:
    phone = walk.phone(attestor=attestor())
    started = walk.start()
    phone.claim(started.id)
    whole = walk.gateway.trust
    walk.reload(trust=replace(whole, attestation_roots=()))
    assert phone.approve(started.id, pin=None).state == State.APPROVED
    walk.reload(trust=whole)
    assert evidence.complete(walk.gateway, walk.get(started.id), at=walk.clock.now())
    assert walk.get(started.id).state is State.COMPLETED


# Configuration, the sandbox and the command line.


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    folder = tmp_path / "sandbox"
    make_sandbox(folder, port=8765, at=utc_now())
    return folder


def edited(folder: Path, *changes: tuple[str, str]) -> Configuration:
    file = folder / "gateway.toml"
    text = file.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    file.write_text(text)
    return load(folder)


ROOTS = 'roots = ["keys/attestation-roots.pem"]'


def test_a_sandbox_believes_its_own_attestations_alone(sandbox: Path) -> None:
    gateway = build_gateway(load(sandbox), None)  # type: ignore[arg-type]
    assert [root.subject.rfc4514_string() for root in gateway.attestation.roots] == [
        "CN=SANDBOX Attestation Root CA,O=mobileid-gateway"
    ]
    assert gateway.trust.attestation_roots == gateway.attestation.roots
    assert not set(gateway.attestation.roots) & set(gateway.trust.anchors)
    with pytest.warns(UserWarning, match="UnsafeAttestor"):
        made = UnsafeAttestor.load(sandbox / "keys")
    assert der(gateway.attestation.roots[0]) == der(made._chain[-1])


def test_without_the_table_nobody_is_believed(sandbox: Path) -> None:
    gateway = build_gateway(edited(sandbox, ("[attestation]\n" + ROOTS, "")), None)  # type: ignore[arg-type]
    assert gateway.attestation == AttestationPolicy()
    assert gateway.trust.attestation_roots == ()


def test_apps_and_revoked_serials_are_read(sandbox: Path) -> None:
    (sandbox / "status.json").write_text('{"entries": {"c0ffee": {"status": "REVOKED"}}}')
    app = f'[[attestation.application]]\npackage = "org.example.bank"\nsignature_sha256 = "{"ab" * 32}"'
    configuration = edited(sandbox, (ROOTS, f'{ROOTS}\nrevoked = "status.json"\n{app}'))
    gateway = build_gateway(configuration, None)  # type: ignore[arg-type]
    assert gateway.attestation.revoked == {0xC0FFEE}
    assert gateway.attestation.applications == {("org.example.bank", b"\xab" * 32)}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ("roots = []", "attestation.roots"),
        ('roots = ["keys/nowhere.pem"]', "attestation: there is no file"),
        (f'{ROOTS}\nrevoked = "nowhere.json"', "attestation: there is no file"),
        (f'{ROOTS}\nbelieve = "all"', "attestation.believe"),
        (f"{ROOTS}\n[[attestation.application]]", "attestation.application[0].package"),
        (
            f'{ROOTS}\n[[attestation.application]]\npackage = "a b"\nsignature_sha256 = "{"ab" * 32}"',
            "attestation.application[0].package",
        ),
        (
            f'{ROOTS}\n[[attestation.application]]\npackage = "a.b"\nsignature_sha256 = "AB"',
            "attestation.application[0].signature_sha256",
        ),
    ],
)
def test_a_table_that_says_nothing_clear_is_refused(sandbox: Path, changed: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        edited(sandbox, (ROOTS, changed))
    assert any(says in fault for fault in refused.value.faults), refused.value.faults


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda sandbox: (sandbox / "keys" / "attestation-roots.pem").write_text("nothing"),
        lambda sandbox: (sandbox / "keys" / "attestation-roots.pem").write_bytes(
            (sandbox / "keys" / "trust.pem").read_bytes()
        ),
        lambda sandbox: (sandbox / "keys" / "status.json").write_text("[]"),
    ],
    ids=["no certificate", "a CRL", "no status list"],
)
def test_files_that_cannot_be_read_are_refused(sandbox: Path, spoilt: Callable[[Path], Any]) -> None:
    (sandbox / "keys" / "status.json").write_text('{"entries": {}}')
    configuration = edited(sandbox, (ROOTS, f'{ROOTS}\nrevoked = "keys/status.json"'))
    build_gateway(configuration, None)  # type: ignore[arg-type]
    spoilt(sandbox)
    with pytest.raises(ConfigurationError, match="attestation: "):
        build_gateway(configuration, None)  # type: ignore[arg-type]


def test_production_does_not_believe_the_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.sandbox.SANDBOX", "OURS")
    make_sandbox(tmp_path / "ours", port=8765, at=utc_now())
    ours = load(tmp_path / "ours")
    production = replace(ours, gateway=ours.gateway.model_copy(update={"mode": "production"}))
    build_gateway(production, None)  # type: ignore[arg-type]
    (tmp_path / "ours" / "keys" / "attestation-roots.pem").write_bytes(ROOT.certificate.public_bytes(PEM))
    with pytest.raises(ConfigurationError, match=r"attestation\.roots: production does not run"):
        build_gateway(production, None)  # type: ignore[arg-type]
    build_gateway(ours, None)  # type: ignore[arg-type]


def test_a_keystore_remembers_whether_a_biometric_opens_its_key(walk: Walk, tmp_path: Path) -> None:
    for number, made in enumerate((attestor(), attestor(user_auth_type=1), None)):
        keystore = Keystore(tmp_path / f"{number}.keystore", secrets.token_hex(8))
        keystore.save(walk.phone(attestor=made).device)
        assert keystore.load().biometric is (number == 0)


def test_an_attestor_without_a_sandbox_is_none(sandbox: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        UnsafeAttestor.load(tmp_path)
    (sandbox / "keys" / "attestation-ca.key.pem").write_text("nothing")
    with pytest.raises(KeystoreError):
        UnsafeAttestor.load(sandbox / "keys")
