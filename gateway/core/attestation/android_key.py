"""Android Key Attestation: what a phone's hardware says of a key that it made.

The law (source.android.com, "Key and ID attestation"; the numbers are the schema's):
 1  the object is a DER SEQUENCE OF Certificate, the key's own first, at most MAX_CERTIFICATES;
 2  none is revoked, and each is issued by the next, up to a configured root, at the given time;
 3  the key description stands in the key's own certificate and in no other: a key that the hardware
    attests may sign what it likes, certificates with a description too;
 4  the description answers the challenge, and the certificate holds the expected key;
 5  the level is the lower one of attestation and keystore; at ``software`` nothing else is believed;
 6  of a hardware key: made in the hardware for signing ECDSA P-256 with SHA-256 and for nothing else, by one
    app, on a locked and verified system;
 7  the user verification is what the hardware demands for each single use: a key without demand, or with a
    time in which one proof serves many uses, verifies nobody; a key that the screen lock opens too is no
    biometric;
 8  where apps are configured, the app that made the key is one of them.
Only what the hardware enforces counts, but for 8, which the verified system says. That a new fingerprint
voids the key is not in a description. What a refusal is called outside is left to the services.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.core import der
from gateway.core.attestation.policy import AttestationPolicy
from gateway.core.certpath import check_issued_in_order, load_certificate
from gateway.core.conclusion import Finding, SubIndication

EXTENSION: Final = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.1.17")
MAX_CERTIFICATES: Final = 8
_MAX_EXTENSION_BYTES: Final = 4096
_MAX_ENTRIES: Final = 64
"""Of one authorisation list; the schema has fewer tags."""
LEVELS: Final = ("software", "tee", "strongbox")
"""SecurityLevel 0 to 2."""
# Tags of an authorisation list.
PURPOSE, ALGORITHM, KEY_SIZE, DIGEST, EC_CURVE = 1, 2, 3, 5, 10
NO_AUTH_REQUIRED, USER_AUTH_TYPE, AUTH_TIMEOUT, ALLOW_WHILE_ON_BODY = 503, 504, 505, 506
ALL_APPLICATIONS, ORIGIN, ROOT_OF_TRUST, APPLICATION_ID = 600, 702, 704, 709
_NUMBERS: Final = {ALGORITHM: (3, "EC"), KEY_SIZE: (256, "of 256 bits"), EC_CURVE: (1, "on P-256")}
_SETS: Final = {PURPOSE: (2, "for signing alone"), DIGEST: (4, "for SHA-256 alone")}
_GENERATED: Final = 0
_VERIFIED: Final = 0
USER_VERIFICATION: Final = {
    1: "credential",
    2: "biometric",
    3: "biometric-or-credential",
    0xFFFFFFFF: "biometric-or-credential",
}
"""HardwareAuthenticatorType: PASSWORD is bit 0, FINGERPRINT (any strong biometric) bit 1, ANY all bits."""
_Authorizations = dict[int, der.Value]


def judge(
    object_: bytes,
    *,
    expected_challenge: bytes,
    expected_key: bytes,
    policy: AttestationPolicy,
    at: datetime,
) -> tuple[str, str]:
    """Level and user verification (empty for none); raises Finding."""
    try:
        encoded = [value.encoded for value in der.read(object_).items(at_most=MAX_CERTIFICATES)]
    except ValueError as error:
        raise _unreadable() from error
    if not encoded:
        raise _unreadable()
    chain = [load_certificate(certificate) for certificate in encoded]
    if any(certificate.serial_number in policy.revoked for certificate in chain):
        raise Finding(SubIndication.REVOKED, "a certificate of the attestation is revoked")
    check_issued_in_order(chain, anchors=policy.roots, at=at)
    extension = _extension(chain)
    key = chain[0].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key != expected_key:
        raise _not("for the signing key")
    try:
        return _describe(der.read(extension), expected_challenge=expected_challenge, policy=policy)
    except ValueError as error:
        raise _unreadable() from error


def _extension(chain: list[x509.Certificate]) -> bytes:
    """3: the description of the key, in its own certificate alone."""
    own: list[bytes]
    own, *others = ([e.value.public_bytes() for e in c.extensions if e.oid == EXTENSION] for c in chain)
    if any(others):
        raise _not("by hardware alone: an attested key issued a certificate of it")
    if not own:
        raise _not("with a description of the key")
    if len(own[0]) > _MAX_EXTENSION_BYTES:
        raise _unreadable()
    return own[0]


def _describe(
    description: der.Value, *, expected_challenge: bytes, policy: AttestationPolicy
) -> tuple[str, str]:
    version, level, keystore_version, keystore_level, challenge, unique_id, software, hardware = (
        description.items(at_most=8)
    )
    version.number(), keystore_version.number(), unique_id.octets()
    claimed, enforced = _authorizations(software), _authorizations(hardware)
    if challenge.octets() != expected_challenge:
        raise _not("for this activation")
    lower = min(level.number(der.ENUMERATED), keystore_level.number(der.ENUMERATED))
    if max(level.number(der.ENUMERATED), keystore_level.number(der.ENUMERATED)) >= len(LEVELS):
        raise _not("of a level that is known")
    _of_an_app(claimed, applications=policy.applications)
    if lower == 0:
        return LEVELS[0], ""
    _fit_for_signing(enforced)
    if ALL_APPLICATIONS in enforced or ALL_APPLICATIONS in claimed:
        raise _not("for one app alone")
    _on_a_verified_system(enforced)
    return LEVELS[lower], _user_verification(enforced)


def _authorizations(value: der.Value) -> _Authorizations:
    """An authorisation list by its tags, each once; some phones do not write them in the schema's order."""
    entries = value.items(at_most=_MAX_ENTRIES)
    found = {entry.context_tag: entry.inner() for entry in entries}
    if len(found) != len(entries):
        raise ValueError("a tag stands twice")
    return found


def _fit_for_signing(enforced: _Authorizations) -> None:
    for tag, (wanted, says) in _NUMBERS.items():
        if tag not in enforced or enforced[tag].number() != wanted:
            raise _not(f"of a key {says}")
    for tag, (wanted, says) in _SETS.items():
        allowed = enforced[tag].items(der.SET, at_most=_MAX_ENTRIES) if tag in enforced else []
        if [value.number() for value in allowed] != [wanted]:
            raise _not(f"of a key {says}")
    if ORIGIN not in enforced or enforced[ORIGIN].number() != _GENERATED:
        raise _not("of a key that the hardware made")


def _on_a_verified_system(enforced: _Authorizations) -> None:
    if ROOT_OF_TRUST not in enforced:
        raise _not("of a system that says how it was started")
    boot_key, locked, state, *boot_hash = enforced[ROOT_OF_TRUST].items(at_most=4)
    for octets in (boot_key, *boot_hash):
        octets.octets()
    if not locked.boolean():
        raise _not("of a device whose bootloader is locked")
    if state.number(der.ENUMERATED) != _VERIFIED:
        raise _not("of a verified system")


def _user_verification(enforced: _Authorizations) -> str:
    """7: what each single use demands."""
    free = NO_AUTH_REQUIRED in enforced
    if free == (USER_AUTH_TYPE in enforced):
        raise _not("clear about whom the key asks")
    if free:
        enforced[NO_AUTH_REQUIRED].null()
        return ""
    demanded = USER_VERIFICATION.get(enforced[USER_AUTH_TYPE].number())
    if demanded is None:
        raise _not("clear about whom the key asks")
    lasting = AUTH_TIMEOUT in enforced and enforced[AUTH_TIMEOUT].number() != 0
    return "" if lasting or ALLOW_WHILE_ON_BODY in enforced else demanded


def _of_an_app(claimed: _Authorizations, *, applications: frozenset[tuple[str, bytes]]) -> None:
    """8: every package that the key belongs to, with every signer, is configured."""
    if not applications:
        return
    if APPLICATION_ID not in claimed:
        raise _not("of an app")
    packages, signers = der.read(claimed[APPLICATION_ID].octets()).items(at_most=2)
    made_by = {
        (_name(*package.items(at_most=2)), signer.octets())
        for package in packages.items(der.SET, at_most=_MAX_ENTRIES)
        for signer in signers.items(der.SET, at_most=_MAX_ENTRIES)
    }
    if not made_by or not made_by <= {(name.encode(), signer) for name, signer in applications}:
        raise _not("of an app that is accepted")


def _name(*package: der.Value) -> bytes:
    name, version = package
    version.number()
    return name.octets()


def _unreadable() -> Finding:
    return Finding(SubIndication.FORMAT_FAILURE, "the attestation cannot be read")


def _not(what: str) -> Finding:
    return Finding(SubIndication.SIG_CONSTRAINTS_FAILURE, f"the attestation is not {what}")
