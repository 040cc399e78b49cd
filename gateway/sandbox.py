"""Makes a sandbox: a folder with keys, certificates, callers, profiles and gateway.toml, ready to run.

The law: every secret is fresh and random, every file with one is readable by its owner alone, and the
certificates say SANDBOX in their names. Nothing that exists is overwritten. gateway.toml and the profiles
are the samples of ``conf/``. Production keys are made by the bank's own PKI; ``docs/operations.md`` says
with which extensions.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from gateway.config import OPERATIONS, SANDBOX
from gateway.core.certpath import NO_REV_AVAIL, Role
from gateway.core.model import whole_seconds
from gateway.resources import resource

LIFETIME = timedelta(days=10 * 365)
CALLER = "demo-bank-core"
SIGNED_CALLER = "demo-bank-signed"
"""Signs its messages."""
MESSAGE_RSA_BITS = 3072
RELYING_PARTY = "demo-bank"
PROFILES = ("consent-pin", "login-pin", "payment-pin", "texts-pin")
"""The samples of ``conf/profiles``."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA of the sandbox: its certificate and the key to it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Pki:
    """root -> seal certificate; root -> device CA; and the root's CRL."""

    root: Issuer
    seal: Issuer
    device_ca: Issuer
    root_crl: x509.CertificateRevocationList

    def trust_pem(self) -> bytes:
        """Anchor first: tools that read one certificate read that one."""
        return self.root.certificate.public_bytes(Encoding.PEM) + self.root_crl.public_bytes(Encoding.PEM)


def make_pki(*, at: datetime) -> Pki:
    """A fresh hierarchy, valid from an hour before ``at`` for ten years."""
    root = certify(f"{SANDBOX} Root CA", issuer=None, at=at, path_length=1)
    return Pki(
        root=root,
        seal=certify(f"{SANDBOX} Seal", issuer=root, at=at, role=Role.SEAL),
        device_ca=certify(f"{SANDBOX} Device CA", issuer=root, at=at, path_length=0, role=Role.DEVICE),
        root_crl=x509.CertificateRevocationListBuilder()
        .issuer_name(root.certificate.subject)
        .last_update(whole_seconds(at) - timedelta(hours=1))
        .next_update(whole_seconds(at) + LIFETIME)
        .add_extension(x509.CRLNumber(1), critical=False)
        .sign(root.key, hashes.SHA256()),
    )


def make_attestation_pki(*, at: datetime) -> tuple[Issuer, Issuer]:
    """A root, and the CA below it that attests what stands in for the hardware of phones."""
    root = certify(f"{SANDBOX} Attestation Root CA", issuer=None, at=at, path_length=1)
    return root, certify(f"{SANDBOX} Attestation CA", issuer=root, at=at, path_length=0)


def certify(
    name: str,
    *,
    issuer: Issuer | None,
    at: datetime,
    path_length: int | None = None,
    role: Role | None = None,
    no_rev_avail: bool = True,
) -> Issuer:
    """One certificate: a CA where there is a path length, of one role or for one where there is one."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "mobileid-gateway"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    is_ca = path_length is not None
    signer = Issuer(certificate=None, key=key) if issuer is None else issuer  # type: ignore[arg-type]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(whole_seconds(at) - timedelta(hours=1))
        .not_valid_after(whole_seconds(at) + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=path_length), critical=True)
        .add_extension(key_usage(is_ca=is_ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), critical=False
        )
    )
    if role is not None:
        builder = builder.add_extension(
            x509.CertificatePolicies([x509.PolicyInformation(role.value, None)]), critical=False
        )
        if no_rev_avail and not is_ca:
            builder = builder.add_extension(
                x509.UnrecognizedExtension(NO_REV_AVAIL, b"\x05\x00"), critical=False
            )
    return Issuer(builder.sign(signer.key, hashes.SHA256()), key)


def key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=not is_ca,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def make_sandbox(folder: Path, *, port: int, at: datetime) -> None:
    """Writes a whole sandbox into a folder that does not exist yet or is empty."""
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: nothing is overwritten")
    for part in ("keys", "callers", "profiles"):
        (folder / part).mkdir(parents=True, mode=0o700)
    pki = make_pki(at=at)
    for name, issuer in (("seal", pki.seal), ("device-ca", pki.device_ca)):
        private = issuer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_secret(folder / "keys" / f"{name}.key.pem", private)
        write_secret(folder / "keys" / f"{name}.pem", issuer.certificate.public_bytes(Encoding.PEM))
    private = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    write_secret(folder / "keys" / "callback.key.pem", f"{SANDBOX} callback key\n".encode() + private)
    write_secret(folder / "keys" / "trust.pem", pki.trust_pem())
    for name in ("message", SIGNED_CALLER):
        certificate, private = message_pair(f"{SANDBOX} {name}", at=at)
        write_secret(folder / "keys" / f"{name}.key.pem", private)
        write_secret(folder / "keys" / f"{name}.pem", certificate)
    attestation_root, attestation_ca = make_attestation_pki(at=at)
    below, above = (i.certificate.public_bytes(Encoding.PEM) for i in (attestation_ca, attestation_root))
    write_secret(folder / "keys" / "attestation-roots.pem", above)
    write_secret(folder / "keys" / "attestation-ca.pem", below + above)
    private = attestation_ca.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_secret(folder / "keys" / "attestation-ca.key.pem", private)
    key_id = secrets.token_hex(4)
    write_secret(
        folder / "keys" / "encryption-keys.toml",
        f'current = "{key_id}"\n\n[keys]\n{key_id} = "{secrets.token_hex(32)}"\n'.encode(),
    )
    for name in ("index-secret", "activation-secret"):
        write_secret(folder / "keys" / name, secrets.token_hex(32).encode())
    secret = new_caller_secret()
    write_secret(folder / "keys" / f"{CALLER}.secret", secret.encode())
    write_secret(
        folder / "callers" / f"{CALLER}.toml",
        caller_file(
            CALLER,
            relying_party=RELYING_PARTY,
            authentication="username",
            secret=secret,
            certificates=[],
            rights=sorted(OPERATIONS),
        ).encode(),
    )
    write_secret(
        folder / "callers" / f"{SIGNED_CALLER}.toml",
        caller_file(
            SIGNED_CALLER,
            relying_party=RELYING_PARTY,
            authentication="x509",
            secret=None,
            certificates=[f"keys/{SIGNED_CALLER}.pem"],
            rights=sorted(OPERATIONS),
        ).encode(),
    )
    for name in PROFILES:
        write_secret(folder / "profiles" / f"{name}.toml", resource("conf/profiles", f"{name}.toml"))
    write_secret(folder / "gateway.toml", resource("conf", "gateway.toml"))
    set_port(folder, port=port)


def message_pair(name: str, *, at: datetime) -> tuple[bytes, bytes]:
    """A certificate for signing messages, signed by itself, and its RSA key, both PEM.

    RSA because stacks that obey WS-SecurityPolicy sign with it: no algorithm suite of it knows ECDSA.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=MESSAGE_RSA_BITS)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "mobileid-gateway"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(whole_seconds(at) - timedelta(hours=1))
        .not_valid_after(whole_seconds(at) + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(is_ca=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), private


def new_caller_secret() -> str:
    """256 random bits as 43 characters of base64url."""
    return secrets.token_urlsafe(32)


def caller_file(
    caller_id: str,
    *,
    relying_party: str,
    authentication: str,
    secret: str | None,
    certificates: Sequence[str],
    rights: list[str],
) -> str:
    """The text of callers/ID.toml; of a secret it holds the SHA-256 only."""
    granted = "".join(f'    "{right}",\n' for right in rights)
    proof = f'authentication = "{authentication}"\n'
    if secret is not None:
        proof += f'secret_sha256 = "{hashlib.sha256(secret.encode()).hexdigest()}"\n'
    if certificates:
        proof += f"certificates = {json.dumps(list(certificates))}\n"
    return f'id = "{caller_id}"\nrelying_party = "{relying_party}"\n{proof}rights = [\n{granted}]\n'


def write_secret(path: Path, data: bytes) -> None:
    """A new file that only its owner reads; one that exists is never overwritten."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def set_port(folder: Path, *, port: int) -> None:
    """Makes a sandbox that exists listen on another port."""
    file = folder / "gateway.toml"
    text = re.sub(r"(?m)^port = \d+$", f"port = {port}", file.read_text())
    file.write_text(re.sub(r"(?m)^(public_url = .*):\d+\"$", rf'\1:{port}"', text))
