"""Makes the attestation vectors: each object is wrong in one thing, and its name says in which.

The law: a phone's hardware is simulated by ``UnsafeAttestor`` under test keys that are derived from their
names; what is flipped is signed by the genuine key of the chain, so that the rule that must find the fault
does; a file is the same in every run. ``index.json`` says how each is judged and what must come of it. Run it
to write the folder again: ``PYTHONPATH=. python tests/vectors/attestation/make_attestations.py``.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "evidence"))

import forge as f  # noqa: E402

from gateway.authenticator.attestor import Description, UnsafeAttestor  # noqa: E402
from gateway.core import der  # noqa: E402
from gateway.core.attestation import android_key as tags  # noqa: E402
from gateway.core.attestation import challenge  # noqa: E402
from gateway.core.conclusion import SubIndication as Sub  # noqa: E402
from gateway.core.keys import spki_of  # noqa: E402

FORMAT, NO_PATH, NOT, REVOKED = (
    Sub.FORMAT_FAILURE,
    Sub.NO_CERTIFICATE_CHAIN_FOUND,
    Sub.SIG_CONSTRAINTS_FAILURE,
    Sub.REVOKED,
)
AT = f.SEALED - 7 * f.DAY
"""When the device was bound: when the evidence vectors say so."""
PARTY, ACTIVATION = "demo-bank", UUID("4f9c2b1e-8a77-4a51-9d0e-6f3a1c5b7d20")
SIGNING, TRANSPORT = f.DEVICE.key, f.key_named("attestation transport")
assert isinstance(SIGNING, ec.EllipticCurvePrivateKey)
KEY, TRANSPORT_KEY = spki_of(SIGNING.public_key()), spki_of(TRANSPORT.public_key())
CHALLENGE = challenge(relying_party=PARTY, activation_id=ACTIVATION, transport_key=TRANSPORT_KEY)
ROOT = f.certify("VECTORS Attestation Root", issuer=None, ca=True)
CA = f.certify("VECTORS Attestation CA", issuer=ROOT, ca=True)
RSA_ROOT = f.certify("VECTORS Attestation RSA Root", issuer=None, ca=True, key=f.rsa_key(3072))
STRANGER = f.certify("VECTORS Attestation Root#stranger", issuer=None, ca=True)
APP, SIGNER = "org.example.authenticator", bytes(32)
ROOTS = {
    "roots": f.pem(ROOT),
    "roots-rsa": f.pem(RSA_ROOT),
    "roots-two": f.pem(STRANGER, ROOT),
}
NULL = der.write(b"", tag=der.NULL)


@dataclass(frozen=True, slots=True)
class Vector:
    name: str
    data: bytes
    found: Sub | tuple[str, str]
    """The sub-indication, or level and user verification."""
    says: str
    roots: str = "roots"
    at: datetime = AT
    revoked: Sequence[int] = ()
    applications: Sequence[tuple[str, bytes]] = ()


@dataclass(frozen=True, slots=True)
class Phone:
    """The hardware: what attests, and what stands above it."""

    chain: Sequence[f.Holder] = (CA, ROOT)
    description: Description = field(default_factory=Description)

    def attest(
        self, *, key: ec.EllipticCurvePrivateKey = SIGNING, answers: bytes = CHALLENGE, at: datetime = AT
    ) -> bytes:
        signer = self.chain[0].key
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            attestor = UnsafeAttestor(
                signer,  # type: ignore[arg-type]
                [holder.certificate for holder in self.chain],
                description=self.description,
            )
        return attestor.attest(key.public_key(), challenge=answers, at=at)


def chain_of(data: bytes) -> list[bytes]:
    return [value.encoded for value in der.read(data).items(at_most=20)]


def sequence(*values: bytes) -> bytes:
    return der.write(b"".join(values), tag=der.SEQUENCE)


def leaf(extension: bytes | None, *, extra: Sequence[tuple[x509.ExtensionType, bool]] = ()) -> bytes:
    """A whole object whose key's certificate has this description, whatever it holds."""
    described = () if extension is None else ((x509.UnrecognizedExtension(tags.EXTENSION, extension), False),)
    holder = f.certify("Android Keystore Key", issuer=CA, key=SIGNING, extra=(*described, *extra))
    return sequence(holder.der, CA.der, ROOT.der)


def good() -> Iterator[Vector]:
    yield Vector("good", Phone().attest(), ("tee", "biometric"), "nothing is wrong")
    yield Vector(
        "good-root-not-sent",
        sequence(*chain_of(Phone().attest())[:-1]),
        ("tee", "biometric"),
        "nothing is wrong: the verifier has the root",
    )
    ca = f.certify("VECTORS Attestation CA#rsa", issuer=RSA_ROOT, ca=True)
    yield Vector(
        "good-rsa-root", Phone((ca, RSA_ROOT)).attest(), ("tee", "biometric"), "an RSA root", "roots-rsa"
    )
    again = f.certify("VECTORS Attestation Root", issuer=None, ca=True, not_after=AT - f.DAY)
    yield Vector(
        "good-root-in-older-certificate",
        Phone((CA, again)).attest(),
        ("tee", "biometric"),
        "the root that was sent has ended; its key has a newer certificate",
    )
    yield Vector(
        "good-application",
        Phone().attest(),
        ("tee", "biometric"),
        "the app is listed",
        applications=[(APP, SIGNER)],
    )
    yield Vector("good-two-roots", Phone().attest(), ("tee", "biometric"), "two roots", "roots-two")


def graded() -> Iterator[Vector]:
    """What is genuine, and proves as much as it proves."""
    for name, says, proves, change in (
        ("strongbox", "in a secure element", ("strongbox", "biometric"), {"level": 2, "keystore_level": 2}),
        ("strongbox-attests-for-tee", "the lower level counts", ("tee", "biometric"), {"level": 2}),
        ("software-level", "a key in software", ("software", ""), {"level": 0, "keystore_level": 0}),
        ("software-keystore", "hardware attests for software", ("software", ""), {"keystore_level": 0}),
        ("software-attests-for-tee", "software attests for hardware", ("software", ""), {"level": 0}),
        ("credential-only", "the screen lock alone", ("tee", "credential"), {"user_auth_type": 1}),
        (
            "biometric-or-credential",
            "either opens",
            ("tee", "biometric-or-credential"),
            {"user_auth_type": 3},
        ),
        ("any-user", "any of them", ("tee", "biometric-or-credential"), {"user_auth_type": 0xFFFFFFFF}),
        ("no-auth-required", "nobody", ("tee", ""), {"user_auth_type": None, "no_auth_required": True}),
        ("auth-timeout", "one proof serves many uses", ("tee", ""), {"auth_timeout": 30}),
        ("auth-timeout-zero", "each single use", ("tee", "biometric"), {"auth_timeout": 0}),
        ("on-body", "open as long as it is carried", ("tee", ""), {"auth_timeout": 0, "on_body": True}),
        ("unknown-tag", "a tag of a later version", ("tee", "biometric"), {"enforced": {799: NULL}}),
    ):
        yield Vector(name, described(**change), proves, says)


def described(**change: Any) -> bytes:
    return Phone(description=replace(Description(), **change)).attest()


def package(name: str, *fields: bytes) -> bytes:
    return sequence(der.write(name.encode(), tag=der.OCTET_STRING), *(fields or (der.write_number(1),)))


def application(packages: bytes, signer: bytes) -> bytes:
    signers = der.write(der.write(signer, tag=der.OCTET_STRING), tag=der.SET)
    return der.write(sequence(der.write(packages, tag=der.SET), signers), tag=der.OCTET_STRING)


def properties() -> Iterator[Vector]:
    for name, says, change in (
        ("unverified-boot", "the system is not verified", {"boot_state": 2}),
        ("self-signed-boot", "the system is somebody else's", {"boot_state": 1}),
        ("failed-boot", "the verification failed", {"boot_state": 3}),
        ("unlocked-bootloader", "the bootloader is not locked", {"locked": False}),
        ("root-of-trust-missing", "nothing says how it was started", {"with_root_of_trust": False}),
        ("enforced-by-software", "only software says what the key is", {"enforced_by_software": True}),
        ("imported-key", "the key was made elsewhere", {"origin": 2}),
        ("derived-key", "the key was derived", {"origin": 1}),
        ("securely-imported-key", "the key was made elsewhere, and wrapped", {"origin": 4}),
        ("purpose-decrypt", "the key decrypts as well", {"purposes": (1, 2)}),
        ("purpose-attest", "the key attests others", {"purposes": (7,)}),
        ("purpose-none", "the key is for nothing", {"purposes": ()}),
        ("algorithm-rsa", "an RSA key", {"algorithm": 1}),
        ("key-size", "of another size", {"key_size": 384}),
        ("curve-p384", "on another curve", {"curve": 2}),
        ("digest-none", "anything that is 32 bytes long is signed", {"digests": (0,)}),
        ("digest-more", "another digest as well", {"digests": (0, 4)}),
        ("all-applications", "every app may use the key", {"all_applications": True}),
        (
            "all-applications-by-software",
            "every app, says software",
            {"claimed": {tags.ALL_APPLICATIONS: NULL}},
        ),
        ("origin-missing", "nothing says where it was made", {"enforced": {tags.ORIGIN: None}}),
        ("digest-missing", "no digest is named", {"enforced": {tags.DIGEST: None}}),
        ("user-unclear", "neither free nor whom it asks", {"user_auth_type": None}),
        ("user-and-nobody", "free, and whom it asks", {"no_auth_required": True}),
        ("user-unknown", "somebody else", {"user_auth_type": 4}),
        ("user-none", "nobody of all", {"user_auth_type": 0}),
        ("level-unknown", "a level that is not known", {"level": 3}),
    ):
        yield Vector(name, described(**change), NOT, says)
    listed = [(APP, SIGNER)]
    for name, says, change in (
        ("application-other", "another package", {"package": "org.example.other"}),
        ("application-other-signer", "repackaged", {"signer": b"\1" * 32}),
        ("application-missing", "no app is named", {"package": None}),
        (
            "application-of-nobody",
            "a list of no packages",
            {"claimed": {tags.APPLICATION_ID: application(b"", SIGNER)}},
        ),
        (
            "application-second-package",
            "one more package",
            {"claimed": {tags.APPLICATION_ID: application(package("a.b") + package(APP), SIGNER)}},
        ),
    ):
        yield Vector(name, described(**change), NOT, says, applications=listed)
    software = {"level": 0, "keystore_level": 0, "package": "org.example.other"}
    yield Vector(
        "application-other-in-software", described(**software), NOT, "another package", applications=listed
    )


def binding() -> Iterator[Vector]:
    for name, says, change in (
        ("activation", "another activation's", {"activation_id": UUID(int=1)}),
        ("relying-party", "another bank's", {"relying_party": "other-bank"}),
        ("transport", "another transport key's", {"transport_key": KEY}),
    ):
        whole = {"relying_party": PARTY, "activation_id": ACTIVATION, "transport_key": TRANSPORT_KEY} | change
        answers = challenge(**whole)  # type: ignore[arg-type]
        yield Vector(f"other-challenge-{name}", Phone().attest(answers=answers), NOT, says)
    yield Vector("empty-challenge", Phone().attest(answers=b""), NOT, "it answers nothing")
    yield Vector("other-key", Phone().attest(key=TRANSPORT), NOT, "of another key")


def chains() -> Iterator[Vector]:
    description = Description().der(CHALLENGE)
    extension = x509.UnrecognizedExtension(tags.EXTENSION, description)
    attested = f.certify("VECTORS Attested", issuer=CA, ca=True, extra=[(extension, False)])
    yield Vector(
        "extension-in-intermediate",
        Phone((attested, CA, ROOT)).attest(),
        NOT,
        "an attested key has attested another",
    )
    yield Vector(
        "extension-in-intermediate-alone",
        sequence(
            f.certify("Android Keystore Key", issuer=attested, key=SIGNING).der,
            *(attested.der, CA.der, ROOT.der),
        ),
        NOT,
        "the description is of the key above",
    )
    end_entity = f.certify("VECTORS Attested#end", issuer=CA, extra=[(extension, False)])
    yield Vector(
        "issued-by-attested-key", Phone((end_entity, CA, ROOT)).attest(), NO_PATH, "the issuer is no CA"
    )
    yield Vector("extension-missing", leaf(None), NOT, "nothing is described")
    yield Vector("wrong-root", Phone((CA, ROOT)).attest(), NO_PATH, "another root is trusted", "roots-rsa")
    stranger = f.certify("VECTORS Attestation CA#stranger", issuer=STRANGER, ca=True)
    yield Vector(
        "root-of-the-same-name", Phone((stranger, STRANGER)).attest(), NO_PATH, "the root has another key"
    )
    yield Vector(
        "root-of-the-same-name-not-sent", Phone((stranger,)).attest(), NO_PATH, "the root has another key"
    )
    old = f.certify("VECTORS Attestation CA#old", issuer=ROOT, ca=True, not_after=AT - f.SECOND)
    yield Vector("expired-chain", Phone((old, ROOT)).attest(), NO_PATH, "a CA had ended")
    early = f.certify("VECTORS Attestation CA#early", issuer=ROOT, ca=True, not_before=AT + f.SECOND)
    yield Vector("chain-not-yet-valid", Phone((early, ROOT)).attest(), NO_PATH, "a CA had not begun")
    gone = f.certify("VECTORS Attestation Root#gone", issuer=None, ca=True, not_after=AT - f.SECOND)
    ROOTS["roots-gone"] = f.pem(gone)
    below = f.certify("VECTORS Attestation CA#below", issuer=gone, ca=True)
    yield Vector("expired-root", Phone((below, gone)).attest(), NO_PATH, "the root had ended", "roots-gone")
    yield Vector(
        "expired-key", Phone().attest(at=AT - 8000 * f.DAY), NO_PATH, "the key's certificate had ended"
    )
    certificates = chain_of(Phone().attest())
    yield Vector("key-not-first", sequence(*certificates[::-1]), NO_PATH, "the other way round")
    yield Vector("intermediate-missing", sequence(certificates[0], ROOT.der), NO_PATH, "a CA is missing")
    yield Vector(
        "intermediate-twice",
        sequence(certificates[0], CA.der, CA.der, ROOT.der),
        NO_PATH,
        "a CA stands twice",
    )
    yield Vector(
        "stranger-at-the-end",
        sequence(*certificates, STRANGER.der),
        NO_PATH,
        "a certificate that belongs to nothing",
    )
    yield Vector("root-alone", sequence(ROOT.der), NO_PATH, "a root is no key")
    flat = f.certify("VECTORS Attestation CA#flat", issuer=ROOT, ca=False)
    yield Vector("intermediate-no-ca", Phone((flat, ROOT)).attest(), NO_PATH, "the issuer is no CA")
    deep = f.certify("VECTORS Deep CA", issuer=CA, ca=True)
    shallow = f.certify("VECTORS Shallow CA", issuer=ROOT, ca=True, path_length=0)
    under = f.certify("VECTORS Under CA", issuer=shallow, ca=True)
    yield Vector(
        "path-length", Phone((under, shallow, ROOT)).attest(), NO_PATH, "a CA below one that has none below"
    )
    yield Vector("good-deeper", Phone((deep, CA, ROOT)).attest(), ("tee", "biometric"), "one CA more")
    for name, holder in (("revoked-serial", CA), ("revoked-root", ROOT)):
        yield Vector(name, Phone().attest(), REVOKED, "its serial number is listed", revoked=[holder.serial])
    yield Vector("revoked-key", Phone().attest(), REVOKED, "its serial number is listed", revoked=[1])
    changed = bytearray(certificates[0])
    changed[-1] ^= 1
    yield Vector(
        "signature-changed", sequence(bytes(changed), *certificates[1:]), NO_PATH, "one bit of a signature"
    )


def bytes_of_it() -> Iterator[Vector]:
    data = Phone().attest()
    certificates = chain_of(data)
    whole = Description().der(CHALLENGE)
    fields = [value.encoded for value in der.read(whole).items(at_most=8)]
    hardware = der.read(fields[7]).items(at_most=64)
    yield Vector("trailing-bytes", data + b"\0", FORMAT, "a byte after the object")
    yield Vector("trailing-bytes-in-description", leaf(whole + b"\0"), FORMAT, "a byte after it")
    yield Vector("trailing-field-in-description", leaf(sequence(*fields, NULL)), FORMAT, "a ninth field")
    yield Vector("description-short", leaf(sequence(*fields[:-1])), FORMAT, "seven fields")
    yield Vector("description-empty", leaf(b""), FORMAT, "no description")
    twice = sequence(*(entry.encoded for entry in (hardware[0], *hardware)))
    yield Vector("tag-twice", leaf(sequence(*fields[:7], twice)), FORMAT, "a tag stands twice")
    ber = whole[:1] + b"\x83\x00" + whole[2:]
    assert whole[1] == 0x82
    yield Vector("length-not-minimal", leaf(ber), FORMAT, "BER, and not DER")
    endless = b"\x30\x80" + whole[4:] + b"\0\0"
    yield Vector("length-indefinite", leaf(endless), FORMAT, "BER, and not DER")
    locked = whole.replace(b"\x01\x01\xff", b"\x01\x01\x01")
    yield Vector("boolean-01", leaf(locked), FORMAT, "BER, and not DER")
    spare = sequence(der.write(b"\x00\x01", tag=der.INTEGER), *fields[1:])
    yield Vector("integer-not-minimal", leaf(spare), FORMAT, "BER, and not DER")
    negative = sequence(der.write(b"\xff", tag=der.INTEGER), *fields[1:])
    yield Vector("integer-negative", leaf(negative), FORMAT, "a version below nothing")
    long = sequence(der.write(b"\1" + bytes(8), tag=der.INTEGER), *fields[1:])
    yield Vector("integer-of-9-bytes", leaf(long), FORMAT, "a version beyond all bounds")
    yield Vector(
        "integer-empty", leaf(sequence(der.write(b"", tag=der.INTEGER), *fields[1:])), FORMAT, "no number"
    )
    yield Vector(
        "unique-id-of-another-type", leaf(sequence(*fields[:5], NULL, *fields[6:])), FORMAT, "no octets"
    )
    yield Vector(
        "level-of-another-type",
        leaf(sequence(fields[0], der.write_number(1), *fields[2:])),
        FORMAT,
        "an INTEGER for an ENUMERATED",
    )
    free = {"user_auth_type": None, "enforced": {tags.NO_AUTH_REQUIRED: der.write(b"", tag=der.OCTET_STRING)}}
    yield Vector("null-of-another-type", described(**free), FORMAT, "octets for a NULL")
    full = {"user_auth_type": None, "enforced": {tags.NO_AUTH_REQUIRED: der.write(b"\1", tag=der.NULL)}}
    yield Vector("null-of-something", described(**full), FORMAT, "a NULL that holds something")
    boot_key = sequence(
        der.write_number(1), der.write(b"\xff", tag=der.BOOLEAN), der.write_number(0, tag=der.ENUMERATED)
    )
    yield Vector(
        "boot-key-of-another-type",
        described(enforced={tags.ROOT_OF_TRUST: boot_key}),
        FORMAT,
        "a number for the boot key",
    )
    unsorted = der.write(der.write_number(4) + der.write_number(2), tag=der.SET)
    yield Vector("set-unsorted", described(enforced={tags.DIGEST: unsorted}), FORMAT, "BER, and not DER")
    for name, as_it_is, says in (
        ("entry-universal", der.write(NULL, tag=der.SEQUENCE), "an entry without a tag of its own"),
        ("entry-primitive", b"\x8f\x02" + NULL, "an implicit tag"),
    ):
        odd = sequence(*(entry.encoded for entry in hardware), as_it_is)
        yield Vector(name, leaf(sequence(*fields[:7], odd)), FORMAT, says)
    for name, odd_fields, says in (
        ("application-longer", (der.write_number(1), NULL), "a third field of a package"),
        ("application-version-of-another-type", (NULL,), "a version that is no number"),
    ):
        apps = {tags.APPLICATION_ID: application(package(APP, *odd_fields), SIGNER)}
        yield Vector(name, described(claimed=apps), FORMAT, says, applications=[(APP, SIGNER)])
    huge = sequence(*fields[:5], der.write(bytes(8000), tag=der.OCTET_STRING), *fields[6:])
    yield Vector("huge-extension", leaf(huge), FORMAT, "a description of 8 KB")
    nested = b""
    for _ in range(900):
        nested = sequence(nested)
    yield Vector("nested-900", leaf(nested), FORMAT, "900 values, each in the next")
    yield Vector("nested-object", nested, FORMAT, "900 values, each in the next, and no certificate")
    more = (der.write(NULL, tag=tag, context=True) for tag in range(800, 1200))
    many = sequence(*(entry.encoded for entry in hardware), *more)
    yield Vector("many-tags", leaf(sequence(*fields[:7], many)), FORMAT, "400 entries more")
    yield Vector("empty", b"", FORMAT, "no bytes")
    yield Vector("no-certificate", sequence(), FORMAT, "an empty list")
    yield Vector("not-a-certificate", sequence(sequence()), FORMAT, "a list of something else")
    yield Vector("certificates-9", sequence(*certificates, *[ROOT.der] * 6), FORMAT, "nine certificates")
    yield Vector("certificates-1000-empty", sequence(*[sequence()] * 1000), FORMAT, "a thousand of nothing")
    yield Vector("certificate-garbage", sequence(certificates[0], b"\x30\x03\x02\x01\x01"), FORMAT, "not one")
    yield Vector("not-der", b"-----BEGIN CERTIFICATE-----", FORMAT, "PEM")
    pair = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), whole)
    as_other = leaf(whole, extra=[(pair, False)])
    oid = tags.EXTENSION.dotted_string
    assert oid == "1.3.6.1.4.1.11129.2.1.17"
    yield Vector("good-with-another-extension", as_other, ("tee", "biometric"), "one more extension")


def unkept() -> Iterator[Vector]:
    """Too large to keep."""
    certificates = chain_of(Phone().attest())
    yield Vector("certificates-1000", sequence(certificates[0], *[CA.der] * 1000), FORMAT, "1000 of them")
    yield Vector("megabyte", leaf(bytes(1_000_000)), FORMAT, "a description of 1 MB")
    padding = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), bytes(17_000))
    padded = f.certify("VECTORS Attestation CA#padded", issuer=ROOT, ca=True, extra=[(padding, False)])
    yield Vector("padded", Phone((padded, ROOT)).attest(), FORMAT, "a CA's certificate of 17 KB")
    yield Vector("bytes-16385", der.write(bytes(16_381), tag=der.SEQUENCE), FORMAT, "a byte too many")


def kept() -> list[Vector]:
    return [
        vector for group in (good, graded, properties, binding, chains, bytes_of_it) for vector in group()
    ]


def index(made: Sequence[Vector]) -> str:
    entries = [
        {
            "file": f"{vector.name}.der",
            "roots": f"{vector.roots}.pem",
            "at": vector.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            **({"revoked": [f"{serial:x}" for serial in vector.revoked]} if vector.revoked else {}),
            **(
                {"applications": [[name, signer.hex()] for name, signer in vector.applications]}
                if vector.applications
                else {}
            ),
            **(
                {"sub_indication": str(vector.found)}
                if isinstance(vector.found, Sub)
                else {"level": vector.found[0], "user_verification": vector.found[1]}
            ),
            "says": vector.says,
        }
        for vector in made
    ]
    expected = {
        "relying_party": PARTY,
        "activation_id": str(ACTIVATION),
        "transport_key": TRANSPORT_KEY.hex(),
        "signing_key": KEY.hex(),
        "challenge": CHALLENGE.hex(),
    }
    return json.dumps({"expected": expected, "vectors": entries}, indent=1) + "\n"


def files() -> dict[str, bytes]:
    """Every file of the folder that is made, by its name."""
    made = kept()
    names = [vector.name for vector in made]
    assert len(set(names)) == len(names), {n for n in names if names.count(n) > 1}
    return {
        **{f"{vector.name}.der": vector.data for vector in made},
        **{f"{name}.pem": data for name, data in ROOTS.items()},
        "index.json": index(made).encode(),
    }


if __name__ == "__main__":
    written = files()
    for file in (*HERE.glob("*.der"), *HERE.glob("*.pem")):
        file.unlink()
    for file_name, file_data in written.items():
        (HERE / file_name).write_bytes(file_data)
