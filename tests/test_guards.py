"""Guards that nothing else holds: each test here falls when one check is taken away (``make sabotage``)."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import crl
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from device_harness import Face
from soap_support import REQUESTS, App, Services, call, envelope, make_app, security
from storage_fixture import make_store
from test_core_assertion import CONTENT, answer, judge
from test_device_authentication import URL, crafted, refused
from walk import Walk

sys.path.insert(0, str(Path(__file__).parent / "vectors" / "evidence"))

import forge as f

from gateway.config import OPERATIONS
from gateway.core import xades
from gateway.core.canonical import b64
from gateway.core.certpath import Role, check_path, check_role, is_issued_by, issuer_key_id, parse_trust
from gateway.core.conclusion import Finding, SubIndication
from gateway.core.errors import (
    AssertionRefused,
    InvalidValue,
    MisuseError,
    NotPermitted,
    ProfileNotAvailable,
    UnreadableDocument,
)
from gateway.core.evidence import parse
from gateway.core.keys import SignatureInvalid, sign_p256, verify_p256
from gateway.core.model import Caller, Decision, IdentityAttribute, Kind
from gateway.core.statement import Payee, Payment, from_fields, to_fields
from gateway.core.verifier import verify_evidence
from gateway.core.xmldsig import parse_document
from gateway.services import devices
from gateway.services.authorisation import get_authorisation_proof, redeem_authentication_code
from gateway.services.context import heartbeat as heartbeat_of
from gateway.services.enrolment import get_registration, issue_artifact, start_registration
from gateway.services.evidence import get_evidence
from gateway.services.evidence import verify_evidence as judge_evidence
from gateway.services.transactions import cancel_transaction, get_transaction
from gateway.soap.envelope import TNS, SoapVersion
from gateway.storage.embedded import Connections

HOUR = timedelta(hours=1)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_statement_has_a_nonce_of_32_bytes(size: int) -> None:
    with pytest.raises(ValueError):
        from_fields({**to_fields(CONTENT), "nonce": b64(bytes(size))})


def test_a_device_does_not_sign_after_the_end() -> None:
    """Its clock and ours agree, and both say that the time was over."""
    late = CONTENT.expires_at + timedelta(seconds=121)
    with pytest.raises(AssertionRefused):
        judge(answer(signed_at=late), at=late)
    in_time = CONTENT.expires_at + timedelta(seconds=120)
    assert judge(answer(signed_at=in_time), at=in_time).decision is Decision.APPROVED


@pytest.mark.parametrize("field", ["signature-input", "signature"])
def test_a_field_of_a_signed_request_is_short(field: str) -> None:
    face = Face()
    headers = crafted(face.bind())
    assert refused(face.call("GET", URL, headers | {field: headers[field] + " " * 1000}))
    assert face.call("GET", URL, headers | {field: headers[field] + " " * 40}).status == 200


def test_a_signature_is_64_bytes() -> None:
    """A zero before s changes no number, and would give one signature two spellings."""
    key = ec.generate_private_key(ec.SECP256R1())
    signature = sign_p256(key, b"data")
    verify_p256(key.public_key(), signature, data=b"data")
    with pytest.raises(SignatureInvalid):
        verify_p256(key.public_key(), signature[:32] + b"\0" + signature[32:], data=b"data")


def without(kind: type[x509.ExtensionType], holder: f.Holder) -> x509.Certificate:
    """Its certificate, issued once more without one extension."""
    old = holder.certificate
    builder = x509.CertificateBuilder(old.issuer, old.subject, old.public_key(), old.serial_number)
    builder = builder.not_valid_before(old.not_valid_before_utc).not_valid_after(old.not_valid_after_utc)
    for extension in old.extensions:
        if not isinstance(extension.value, kind):
            builder = builder.add_extension(extension.value, critical=extension.critical)
    assert isinstance(f.ROOT.key, ec.EllipticCurvePrivateKey)
    return builder.sign(f.ROOT.key, SHA256())


def may_not_seal(certificate: x509.Certificate, why: SubIndication) -> None:
    with pytest.raises(Finding) as found:
        check_role(certificate, role=Role.SEAL)
    assert found.value.sub_indication is why


def test_a_certificate_that_does_not_say_its_use_signs_no_document() -> None:
    may_not_seal(without(x509.KeyUsage, f.SEAL), SubIndication.CHAIN_CONSTRAINTS_FAILURE)


def test_a_key_of_another_kind_signs_no_document() -> None:
    """One that has no size to compare."""
    key: Any = ed25519.Ed25519PrivateKey.generate()
    holder = f.certify("ed25519", issuer=f.ROOT, key=key, roles=[Role.SEAL])
    may_not_seal(holder.certificate, SubIndication.CRYPTO_CONSTRAINTS_FAILURE)


def test_a_certificate_without_basic_constraints_is_no_ca() -> None:
    seal = without(x509.BasicConstraints, f.SEAL)
    check_role(seal, role=Role.SEAL)
    path = check_path([seal], trust=parse_trust(f.pem(f.ROOT)), crls=(), role=Role.SEAL, at=f.SEALED)
    assert path == (seal, f.ROOT.certificate)


def test_a_purpose_that_is_no_role_of_its_own_does_no_harm() -> None:
    purpose = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.EMAIL_PROTECTION])
    holder = f.certify("purpose", issuer=f.ROOT, roles=[Role.SEAL], extra=[(purpose, False)])
    check_role(holder.certificate, role=Role.SEAL)


def test_a_ca_that_does_not_say_its_use_signs_no_crl() -> None:
    bare = without(x509.KeyUsage, f.DEVICE_CA)
    assert is_issued_by(f.DEVICE_CRL, issuer=f.DEVICE_CA.certificate)
    assert not is_issued_by(f.DEVICE_CRL, issuer=bare)


@pytest.mark.parametrize("usage", ["digital_signature", "content_commitment"])
def test_either_use_allows_a_signature(usage: str) -> None:
    check_role(f.certify("use", issuer=f.ROOT, roles=[Role.SEAL], usage=[usage]).certificate, role=Role.SEAL)


def test_what_is_no_ca_issues_nothing_though_its_key_may_sign_certificates() -> None:
    usage = ("digital_signature", "key_cert_sign", "crl_sign")
    issuer = f.certify("no CA", issuer=f.ROOT, usage=usage, no_rev_avail=True)
    leaf = f.certify("leaf", issuer=issuer, roles=[Role.SEAL], no_rev_avail=True)
    with pytest.raises(Finding) as found:
        check_path(
            [leaf.certificate, issuer.certificate],
            trust=parse_trust(f.TRUST),
            crls=(),
            role=Role.SEAL,
            at=f.SEALED,
        )
    assert found.value.sub_indication is SubIndication.NO_CERTIFICATE_CHAIN_FOUND


def test_a_crl_is_not_that_of_a_ca_with_another_name_and_the_same_key() -> None:
    other = f.certify("VECTORS Other CA", issuer=f.ROOT, key=f.DEVICE_CA.key, ca=True)
    assert not is_issued_by(f.DEVICE_CRL, issuer=other.certificate)


def test_a_ca_cannot_do_without_revocation() -> None:
    """RFC 9608 section 2: noRevAvail is for end entities."""
    ca = f.certify("CA", issuer=f.ROOT, ca=True, path_length=0, no_rev_avail=True)
    leaf = f.certify("leaf", issuer=ca, roles=[Role.SEAL], no_rev_avail=True)
    chain = [leaf.certificate, ca.certificate]
    check_path(chain, trust=parse_trust(f.TRUST), crls=(), role=Role.SEAL, at=f.SEALED)
    with pytest.raises(Finding) as found:
        check_path(chain, trust=parse_trust(f.pem(f.ROOT)), crls=(), role=Role.SEAL, at=f.SEALED)
    assert found.value.sub_indication is SubIndication.TRY_LATER


@pytest.mark.parametrize(
    "named",
    [(), ((x509.AuthorityKeyIdentifier(None, [x509.DirectoryName(x509.Name([]))], 1), False),)],
    ids=["nothing", "name-and-serial"],
)
def test_a_certificate_that_does_not_name_its_issuers_key_belongs_to_no_list(named: Any) -> None:
    holder = f.certify("unnamed", issuer=f.DEVICE_CA, roles=[Role.DEVICE], extra=named)
    with pytest.raises(Finding) as found:
        issuer_key_id(holder.certificate)
    assert found.value.sub_indication is SubIndication.FORMAT_FAILURE


def silent(
    listed: x509.CertificateRevocationList, *, device: f.Holder = f.DEVICE, at: datetime = f.SEALED
) -> None:
    """This CRL says nothing about a device's certificate that does not stand in it."""
    with pytest.raises(Finding) as found:
        check_path(
            [device.certificate, f.DEVICE_CA.certificate],
            trust=parse_trust(f.TRUST),
            crls=[listed],
            role=Role.DEVICE,
            at=at,
        )
    assert found.value.sub_indication is SubIndication.TRY_LATER


def test_a_crl_with_an_unknown_critical_extension_is_silent() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.25.1"), b"\x05\x00")
    silent(f.make_crl(f.DEVICE_CA, extra=[(unknown, True)]))


def test_a_crl_that_may_have_forgotten_the_expired_is_silent() -> None:
    """RFC 5280 section 3.3: a certificate leaves the list after its end."""
    device = f.certify("brief", issuer=f.DEVICE_CA, roles=[Role.DEVICE], not_after=f.SEALED - 2 * HOUR)
    silent(f.make_crl(f.DEVICE_CA, last_update=f.SEALED - HOUR), device=device, at=f.SEALED - 3 * HOUR)


def judged(document: bytes) -> SubIndication | None:
    return verify_evidence(document, trust=parse_trust(f.TRUST), at=f.AT).sub_indication


def endless() -> bytes:
    """The device CA's CRL, genuinely signed, without nextUpdate."""
    made = crl.CertificateList.load(f.DEVICE_CRL.public_bytes(Encoding.DER))
    made["tbs_cert_list"]["next_update"] = None
    assert isinstance(f.DEVICE_CA.key, ec.EllipticCurvePrivateKey)
    made["signature"] = f.DEVICE_CA.key.sign(made["tbs_cert_list"].dump(force=True), ec.ECDSA(SHA256()))
    return bytes(made.dump(force=True))


def test_a_crl_without_an_end_is_silent() -> None:
    silent(x509.load_der_x509_crl(endless()))


def test_evidence_with_a_crl_without_an_end_is_not_decided() -> None:
    assert judged(f.seal(f.model(device_crl=endless()))) is SubIndication.TRY_LATER


def test_a_document_has_at_most_16_mebibytes() -> None:
    with pytest.raises(UnreadableDocument, match="4194304 bytes"):
        parse_document(b"<a/>" + b" " * 4 * 1024 * 1024)


def test_an_attribute_that_is_absent_is_found() -> None:
    with pytest.raises(Finding):
        parse_document(b"<a/>").attribute("Version")


def test_what_has_no_canonical_form_is_found() -> None:
    with pytest.raises(Finding):
        parse_document(b'<a xmlns:b="relative" b:c=""/>').canonical()


PAID = f.seal(f.model(f.content(payment=Payment("1.00", "CHF", (Payee("Zoë", "CH93", "1.00"),)))))


def test_the_paid_document_is_read() -> None:
    assert parse(parse_document(PAID)).evidence.failed_attempts == 0


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("ev:Evidence", "ev:Proof"),
        (' Version="1"><ev:Id>', ' Version="2"><ev:Id>'),
        ("<Total>1.00<", "<Total>1,00<"),
        ("<ev:Channel>backend<", "<ev:Channel>backend<ev:Channel/><"),
        ("<ev:FailedAttempts>0<", "<ev:FailedAttempts>٣<"),
        ("<ev:FailedAttempts>0<", "<ev:FailedAttempts>-1<"),
        ("<ev:FailedAttempts>0<", "<ev:FailedAttempts>1000000<"),
    ],
)
def test_what_is_not_of_the_shape_is_not_even_read(good: str, bad: str) -> None:
    text = PAID.decode()
    assert good in text
    with pytest.raises(Finding) as found:
        parse(parse_document(text.replace(good, bad).encode()))
    assert found.value.sub_indication is SubIndication.FORMAT_FAILURE


def test_a_seal_without_references_proves_nothing() -> None:
    def bare(info: str) -> str:
        return re.sub(r"<ds:Reference.*</ds:Reference>", "", info)

    assert judged(f.seal(f.model(), info=bare)) is SubIndication.FORMAT_FAILURE


RSA_SEAL = f.certify("RSA", issuer=f.ROOT, key=f.rsa_key(3072), roles=[Role.SEAL], no_rev_avail=True)


@pytest.mark.parametrize("value", [bytes(384), bytes(64), b""], ids=len)
def test_an_rsa_seal_is_by_its_key(value: bytes) -> None:
    assert judged(f.seal(f.model(), signer=RSA_SEAL)) is None
    forged = f.seal(f.model(), signer=RSA_SEAL, value=lambda _: value)
    assert judged(forged) is SubIndication.SIG_CRYPTO_FAILURE


@pytest.mark.parametrize("size", [384, 64])
def test_an_rsa_seal_names_rsa(size: int) -> None:
    named = f.swap(xades.RSA_SHA256, xades.ECDSA_SHA256)
    forged = f.seal(f.model(), signer=RSA_SEAL, info=named, value=lambda genuine: genuine[:size])
    assert judged(forged) is SubIndication.SIG_CRYPTO_FAILURE


def test_evidence_knows_no_other_curve() -> None:
    """Though messages may be signed on P-384, and this signature is by the key that it names."""
    key = ec.generate_private_key(ec.SECP384R1())
    wide = f.certify("P-384", issuer=f.ROOT, key=key, roles=[Role.SEAL], no_rev_avail=True)
    infos, wrong = [], SubIndication.CRYPTO_CONSTRAINTS_FAILURE

    def info(text: str) -> str:
        infos.append(f.canonical(text))
        return text

    def value(_: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(infos[0], ec.ECDSA(SHA256())))
        return r.to_bytes(48, "big") + s.to_bytes(48, "big")

    assert judged(f.seal(f.model(), signer=wide, info=info, value=value)) is wrong


def test_an_authentication_shows_nothing_and_is_valid() -> None:
    profile = replace(f.PROFILE, kind=Kind.AUTHENTICATION)
    shown = f.content(kind=Kind.AUTHENTICATION, texts=())
    assert judged(f.seal(f.model(shown, profile=profile))) is None


@pytest.fixture
def soap(monkeypatch: pytest.MonkeyPatch) -> App:
    Services().install(monkeypatch)
    return make_app()


def heartbeat(app: App, *, header: str | None = None, **headers: str) -> str | None:
    fields = {"Content-Type": SoapVersion.SOAP11.content_type} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return call(app, envelope(REQUESTS["Heartbeat"], header=header), headers=fields).code


def test_a_content_type_is_short(soap: App) -> None:
    assert heartbeat(soap, Content_Type=f'text/xml; a="{"x" * 900}"') is None
    assert heartbeat(soap, Content_Type=f'text/xml; a="{"x" * 1100}"') == "UNSUPPORTED_MEDIA_TYPE"


def test_a_parameter_stands_once(soap: App) -> None:
    assert heartbeat(soap, Content_Type="text/xml; charset=utf-8") is None
    twice = "text/xml; charset=utf-16; charset=utf-8"
    assert heartbeat(soap, Content_Type=twice) == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize(
    ("action", "code"),
    [('"{}"', None), ("{}", None), ('"{}x', "ACTION_MISMATCH"), ('x{}"', "ACTION_MISMATCH")],
)
def test_only_whole_quotes_are_taken_off(soap: App, action: str, code: str | None) -> None:
    assert heartbeat(soap, SOAPAction=action.format(f"{TNS}:Heartbeat")) == code


def test_blanks_between_the_parts_of_an_envelope_are_free(soap: App) -> None:
    data = envelope(REQUESTS["Heartbeat"]).replace(b"<soap:", b"\n  <soap:").strip()
    fields = {"Content-Type": SoapVersion.SOAP11.content_type}
    assert call(soap, data.replace(b"<gw:", b"\n\t<gw:"), headers=fields).code is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("</wsse:UsernameToken>", "<wsse:Nonce>AA==</wsse:Nonce>" * 2 + "</wsse:UsernameToken>"),
        ("</wsse:UsernameToken>", "<wsse:Other/></wsse:UsernameToken>"),
        ("</wsse:Username>", "<wsse:Other/></wsse:Username>"),
        ("</wsse:Password>", "<wsse:Other/></wsse:Password>"),
    ],
    ids=["part-twice", "unknown-part", "markup-in-username", "markup-in-password"],
)
def test_a_token_holds_what_it_may_and_nothing_else(soap: App, old: str, new: str) -> None:
    good = security()
    assert old in good
    assert heartbeat(soap, header=good) is None
    assert heartbeat(soap, header=good.replace(old, new)) == "NOT_AUTHENTICATED"


def test_a_profile_of_another_kind_is_not_chosen(walk: Walk) -> None:
    login = replace(walk.profile, id="login", kind=Kind.AUTHENTICATION)
    both = (login.id, walk.profile.id)
    tenants = replace(walk.gateway.tenants, profiles={walk.tenant: both})
    walk.reload(tenants=tenants, profiles={login.id: login, walk.profile.id: walk.profile})
    choose = walk.gateway.profile
    assert choose(walk.tenant, kind=Kind.CONSENT_SIGNATURE, profile_id=None) == walk.profile
    with pytest.raises(ProfileNotAvailable):
        choose(walk.tenant, kind=Kind.CONSENT_SIGNATURE, profile_id=login.id)


def test_a_caller_of_no_relying_party_is_our_own_fault(walk: Walk) -> None:
    with pytest.raises(MisuseError):
        walk.gateway.relying_party("nobody")


def test_a_heartbeat_asks_the_database(walk: Walk) -> None:
    assert heartbeat_of(walk.gateway, walk.caller, at=f.AT).database
    away = make_store(Connections("", "", ""), dsn="host=/nowhere connect_timeout=1")
    assert not heartbeat_of(replace(walk.gateway, store=away), walk.caller, at=f.AT).database


@pytest.mark.parametrize("count", [16, 17])
def test_a_subject_has_at_most_16_attributes(walk: Walk, count: int) -> None:
    asked = tuple(IdentityAttribute(f"a-{number}", "value") for number in range(count))
    with pytest.raises(InvalidValue) if count > 16 else nullcontext():
        start_registration(
            walk.gateway, walk.caller, request_id="r", external_ref="c", attributes=asked, at=f.AT
        )


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_every_operation_needs_its_own_right(walk: Walk, operation: str) -> None:
    """All other rights do not make up for it; nothing else is wrong with the request."""
    registered = walk.register()
    device = walk.phone().device.binding_id
    started = walk.start().id
    gw, at = walk.gateway, walk.clock.now()
    reset = devices.start_pin_reset(gw, walk.caller, request_id="r-0", device_id=device, at=at).id
    asks: dict[str, Callable[[Caller], object]] = {
        "Heartbeat": lambda by: heartbeat_of(gw, by, at=at),
        "StartRegistration": lambda by: start_registration(
            gw, by, request_id="r-1", external_ref="customer-2", attributes=(), at=at
        ),
        "IssueRegistrationArtifact": lambda by: issue_artifact(
            gw, by, request_id="r-1", external_ref="customer-2", attributes=(), at=at
        ),
        "GetRegistration": lambda by: get_registration(gw, by, registration_id=registered.id, at=at),
        **{
            "Start" + "".join(part.capitalize() for part in kind.split("-")): (
                lambda by, kind=kind: replace_caller(walk, by).start_kind(kind)
            )
            for kind in Kind
            if kind is not Kind.DOCUMENT_SIGNATURE
        },
        "RedeemAuthenticationCode": lambda by: redeem_authentication_code(
            gw, by, request_id="r", transaction_id=started, code="a", payment=None, at=at
        ),
        "GetAuthorisationProof": lambda by: get_authorisation_proof(gw, by, transaction_id=started, at=at),
        "GetTransaction": lambda by: get_transaction(gw, by, transaction_id=started, wait_seconds=0, at=at),
        "CancelTransaction": lambda by: cancel_transaction(gw, by, transaction_id=started, at=at),
        "GetEvidence": lambda by: get_evidence(gw, by, transaction_id=started, at=at),
        "VerifyEvidence": lambda by: judge_evidence(gw, by, document=PAID, at=at),
        "ListDevices": lambda by: devices.list_devices(gw, by, external_ref="customer-1", at=at),
        "GetDevice": lambda by: devices.get_device(gw, by, device_id=device, at=at),
        "RenameDevice": lambda by: devices.rename_device(gw, by, device_id=device, name="New", at=at),
        "LockDevice": lambda by: devices.lock_device(
            gw, by, device_id=device, method=None, reason="lost", at=at
        ),
        "UnlockDevice": lambda by: devices.unlock_device(gw, by, device_id=device, method=None, at=at),
        "RevokeDevice": lambda by: devices.revoke_device(gw, by, device_id=device, reason="lost", at=at),
        "GetDeviceHistory": lambda by: devices.get_device_history(
            gw, by, device_id=device, after=None, at=at
        ),
        "StartPinReset": lambda by: devices.start_pin_reset(
            gw, by, request_id="r-1", device_id=device, at=at
        ),
        "GetPinReset": lambda by: devices.get_pin_reset(gw, by, pin_reset_id=reset, at=at),
    }
    assert asks.keys() == OPERATIONS
    with pytest.raises(NotPermitted):
        asks[operation](replace(walk.caller, rights=frozenset(OPERATIONS) - {operation}))


def replace_caller(walk: Walk, caller: Caller) -> Walk:
    walk.caller = caller
    return walk


@pytest.mark.parametrize(("request_id", "external_ref"), [("", "c"), ("a b", "c"), ("r", ""), ("r", "c d")])
def test_a_registration_is_named_plainly(walk: Walk, request_id: str, external_ref: str) -> None:
    with pytest.raises(InvalidValue):
        start_registration(
            walk.gateway,
            walk.caller,
            request_id=request_id,
            external_ref=external_ref,
            attributes=(),
            at=f.AT,
        )
