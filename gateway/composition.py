"""The composition root: builds the gateway, whole, from its configuration.

The law: this is the one place that knows every port's implementation. What is built serves the web
workers and the worker alike; which faces are put before it is left to ``wsgi``.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.config import SANDBOX, Configuration, ConfigurationError, restore
from gateway.core.activation import code_alphabet
from gateway.core.attestation.policy import AttestationPolicy, parse_status_list
from gateway.core.certpath import load_certificate, parse_trust
from gateway.core.client import ClientRule, ClientRules
from gateway.core.errors import GatewayError
from gateway.core.model import RelyingParty, utc_now
from gateway.core.rate import Rate
from gateway.core.text import displayable
from gateway.core.wssecurity import MessageKey, check_key
from gateway.magic import MagicPhones
from gateway.outbound.callback import CallbackKey, HttpCallbackSender
from gateway.outbound.device_ca import FileDeviceCA
from gateway.outbound.push import HttpPushSender
from gateway.outbound.seal_key import FileSealKey
from gateway.ports import Tenants
from gateway.rates import Cells, Rates
from gateway.services.callbacks import CallbackRules
from gateway.services.context import ActivationRules, Gateway
from gateway.services.waits import Waits
from gateway.storage.envelope import KeyRing
from gateway.storage.pool import Pool
from gateway.storage.postgres import PostgresStore

CONFIGURATION_VARIABLE = "MOBILEID_GATEWAY_CONFIGURATION"
"""Names the file that ``serve`` wrote the checked configuration to."""
DSN_VARIABLE = "MOBILEID_GATEWAY_DSN"
"""Set by ``serve`` where the database is embedded: its address is known only when it runs."""

RATES_VARIABLE = "MOBILEID_GATEWAY_RATES"
"""Names the file that ``serve`` made for the budgets that the web workers share."""


class SystemClock:
    def now(self) -> datetime:
        return utc_now()


def build_store(configuration: Configuration, dsn: str) -> PostgresStore:
    """The identity store over one database; raises ConfigurationError where a secret cannot be read."""
    keys = configuration.gateway.keys
    try:
        table = tomllib.loads(configuration.path(keys.encryption_keys).read_text())
        ring = KeyRing(table["current"], {name: bytes.fromhex(key) for name, key in table["keys"].items()})
        index_secret = _secret(configuration.path(keys.index_secret))
    except (OSError, KeyError, ValueError, AttributeError, TypeError) as error:
        raise ConfigurationError([f"keys: a secret cannot be read: {error}"]) from error
    return PostgresStore(
        Pool(dsn, size=configuration.gateway.database.pool_size), keyring=ring, index_secret=index_secret
    )


def build_gateway(configuration: Configuration, store: PostgresStore) -> Gateway:
    """Every part in its place; raises ConfigurationError where keys and certificates do not fit."""
    table, keys = configuration.gateway, configuration.gateway.keys
    try:
        trust = parse_trust(configuration.path(keys.trust).read_bytes())
        seal_key = FileSealKey(configuration.path(keys.seal_key), configuration.path(keys.seal_chain))
        device_ca = FileDeviceCA(
            configuration.path(keys.device_ca_key), configuration.path(keys.device_ca_chain), store=store
        )
        activation_secret = _secret(configuration.path(keys.activation_secret))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError([f"keys: {error}"]) from error
    attestation = _attestation(configuration)
    trust = replace(trust, attestation_roots=attestation.roots)
    if table.mode == "production":
        _refuse_sandbox(trust.anchors, "keys.trust")
        _refuse_sandbox(attestation.roots, "attestation.roots")
    for party in table.relying_party:
        try:
            displayable(party.name, field="name", max_length=120, multiline=False)
        except GatewayError as error:
            raise ConfigurationError([f"relying_party {party.id}: name: {error.message}"]) from error
    _refuse_readable(configuration)
    return Gateway(
        store=store,
        tenants=Tenants(
            relying_parties={p.id: RelyingParty(p.id, p.name) for p in table.relying_party},
            profiles={p.id: tuple(p.profiles) for p in table.relying_party},
        ),
        profiles=configuration.profiles,
        device_ca=device_ca,
        seal_key=seal_key,
        trust=trust,
        activation=ActivationRules(
            code_length=table.registration.code_length,
            code_alphabet=code_alphabet(
                table.registration.code_alphabet, length=table.registration.code_length
            ),
            lifetime_seconds=table.registration.lifetime_seconds,
            max_failures=table.registration.max_failures,
            artifact_lifetime_seconds=table.registration.artifact_lifetime_seconds,
            max_devices=table.registration.max_devices,
            recovery_codes=table.registration.recovery_codes,
            secret=activation_secret,
        ),
        clients=ClientRules(
            {rule.name: ClientRule(rule.floor, frozenset(rule.blocked)) for rule in table.client}
        ),
        attestation=attestation,
        clock=SystemClock(),
        waits=Waits(store),
        public_url=table.public_url,
        magic=None
        if table.mode == "production"
        else MagicPhones(configuration.folder / "phones", passphrase=activation_secret.hex()),
    )


def build_rates(configuration: Configuration, cells: Cells) -> Rates:
    table = configuration.gateway.rates
    return Rates(
        cells,
        address=Rate(table.address_per_second, table.address_burst),
        caller=Rate(table.caller_per_second, table.caller_burst),
        callers={
            caller.id: Rate(caller.per_second, caller.burst)
            for caller in configuration.callers.values()
            if caller.per_second is not None and caller.burst is not None
        },
    )


def build_push(configuration: Configuration) -> HttpPushSender | None:
    """None where no relay is configured: devices ask by themselves."""
    push = configuration.gateway.push
    try:
        return None if push is None else HttpPushSender(push.relay)
    except ValueError as error:
        raise ConfigurationError([str(error)]) from error


def build_callback_key(configuration: Configuration) -> CallbackKey:
    file = configuration.path(configuration.gateway.keys.callback_key)
    try:
        key = CallbackKey(file)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError([f"keys.callback_key: {error}"]) from error
    if configuration.gateway.mode == "production" and SANDBOX.encode() in file.read_bytes():
        raise ConfigurationError(["keys.callback_key: production does not run on the sandbox's keys"])
    return key


def build_message_key(configuration: Configuration) -> MessageKey:
    """What answers to signed messages are signed with; never the seal's key, and never a caller's: what the
    gateway says of itself would be somebody's message."""
    keys = configuration.gateway.keys
    key_file, certificate_file = map(configuration.path, (keys.message_key, keys.message_certificate))
    try:
        key = load_pem_private_key(key_file.read_bytes(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise ValueError("neither RSA nor ECDSA")
        found = MessageKey(key, _one_certificate(certificate_file))
        seal = x509.load_pem_x509_certificates(configuration.path(keys.seal_chain).read_bytes())[0]
        if seal.public_key() == key.public_key():
            raise ValueError("it is the seal's")
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError([f"keys.message_key: {error}"]) from error
    if configuration.gateway.mode == "production" and SANDBOX in found.certificate.subject.rfc4514_string():
        raise ConfigurationError(["keys.message_certificate: production does not run on the sandbox's keys"])
    for name, certificates in caller_certificates(configuration).items():
        if any(certificate.public_key() == key.public_key() for certificate in certificates):
            raise ConfigurationError([f"keys.message_key: it is caller {name}'s too"])
    return found


def caller_certificates(configuration: Configuration) -> dict[str, tuple[x509.Certificate, ...]]:
    """Those that the callers' files pin; every fault of them at once."""
    found: dict[str, tuple[x509.Certificate, ...]] = {}
    faults: list[str] = []
    for caller in configuration.callers.values():
        certificates = []
        for file in map(configuration.path, caller.certificates):
            try:
                certificate = _one_certificate(file)
                check_key(certificate)
            except (OSError, ValueError) as error:
                faults.append(f"caller {caller.id}: {file}: {error}")
                continue
            if configuration.gateway.mode == "production" and SANDBOX in certificate.subject.rfc4514_string():
                faults.append(f"caller {caller.id}: {file}: production does not run on the sandbox's keys")
            certificates.append(certificate)
        found[caller.id] = tuple(certificates)
    if faults:
        raise ConfigurationError(faults)
    return found


def _one_certificate(file: Path) -> x509.Certificate:
    certificates = x509.load_pem_x509_certificates(file.read_bytes())
    if len(certificates) != 1:
        raise ValueError("one certificate, and no other, in PEM")
    return certificates[0]


def build_callbacks(configuration: Configuration) -> Mapping[str, CallbackRules]:
    """Of the relying parties that have a callback; every fault of them at once."""
    key = build_callback_key(configuration)
    found: dict[str, CallbackRules] = {}
    faults: list[str] = []
    for party in configuration.gateway.relying_party:
        if (table := party.callback) is None:
            continue
        ca_file = None if table.ca_file is None else configuration.path(table.ca_file)
        try:
            sender = HttpCallbackSender(
                table.url, allowed_networks=table.allowed_networks, key=key, ca_file=ca_file
            )
        except (OSError, ValueError) as error:
            faults.append(f"relying_party {party.id}: callback: {error}")
        else:
            retry = timedelta(seconds=table.retry_seconds)
            found[party.id] = CallbackRules(sender, tuple(table.events), retry)
    if faults:
        raise ConfigurationError(faults)
    return found


def _refuse_readable(configuration: Configuration) -> None:
    """A secret that others on the machine can read is none."""
    keys = configuration.gateway.keys
    secret = (
        keys.seal_key,
        keys.device_ca_key,
        keys.encryption_keys,
        keys.index_secret,
        keys.activation_secret,
        keys.callback_key,
        keys.message_key,
    )
    readable = [path for path in map(configuration.path, secret) if path.stat().st_mode & 0o077]
    if readable:
        raise ConfigurationError([f"{path}: others can read this secret: chmod 600" for path in readable])


def _attestation(configuration: Configuration) -> AttestationPolicy:
    table = configuration.gateway.attestation
    if table is None:
        return AttestationPolicy()
    try:
        roots = [parse_trust(configuration.path(path).read_bytes()) for path in table.roots]
        if any(root.crls for root in roots):
            raise ValueError("a file of roots holds certificates alone")
        return AttestationPolicy(
            roots=tuple(anchor for root in roots for anchor in root.anchors),
            revoked=frozenset()
            if table.revoked is None
            else parse_status_list(configuration.path(table.revoked).read_bytes()),
            applications=frozenset((a.package, bytes.fromhex(a.signature_sha256)) for a in table.application),
        )
    except (OSError, ValueError) as error:
        raise ConfigurationError([f"attestation: {error}"]) from error


def _refuse_sandbox(anchors: tuple[x509.Certificate, ...], key: str) -> None:
    if any(SANDBOX in anchor.subject.rfc4514_string() for anchor in anchors):
        raise ConfigurationError([f"{key}: production does not run on the sandbox's keys"])


def end_dates(configuration: Configuration, gateway: Gateway) -> dict[str, datetime]:
    """When certificates and CRLs end, by what they are for: those that evidence rests on, and callers'."""
    found = {
        "message": build_message_key(configuration).certificate.not_valid_after_utc,
        **{
            f"caller {name} {number}": certificate.not_valid_after_utc
            for name, certificates in caller_certificates(configuration).items()
            for number, certificate in enumerate(certificates, start=1)
        },
        "seal": load_certificate(gateway.seal_key.chain[0]).not_valid_after_utc,
        "device-ca": load_certificate(gateway.device_ca.chain[0]).not_valid_after_utc,
    }
    for number, anchor in enumerate(gateway.trust.anchors, start=1):
        found[f"anchor-{number}"] = anchor.not_valid_after_utc
    for number, root in enumerate(gateway.trust.attestation_roots, start=1):
        found[f"attestation-root-{number}"] = root.not_valid_after_utc
    for number, crl in enumerate(gateway.trust.crls, start=1):
        if crl.next_update_utc is not None:
            found[f"crl-{number}"] = crl.next_update_utc
    return found


def configuration_from_environment() -> tuple[Configuration, str]:
    """The checked configuration and the DSN that the environment of a supervised process names."""
    configuration = restore(Path(os.environ[CONFIGURATION_VARIABLE]).read_text())
    dsn = configuration.gateway.database.dsn or os.environ[DSN_VARIABLE]
    return configuration, dsn


def _secret(path: Path) -> bytes:
    secret = bytes.fromhex(path.read_text().strip())
    if len(secret) != 32:
        raise ValueError(f"{path}: not 64 hexadecimal digits")
    return secret
