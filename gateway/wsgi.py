"""The composition root: builds the gateway from its configuration and routes requests to the faces.

The law: this is the one place that knows every part. ``application`` is what the web server loads; it is
built when first asked for, in the worker process, from the folder that the environment names.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.config import Configuration, ConfigurationError, load
from gateway.core.certpath import parse_trust
from gateway.core.errors import GatewayError, NotFound
from gateway.core.model import RelyingParty, utc_now
from gateway.device.application import device_app
from gateway.logs import configure_logging
from gateway.outbound.device_ca import FileDeviceCA
from gateway.outbound.seal_key import FileSealKey
from gateway.ports import Tenants
from gateway.services.context import ActivationRules, Gateway
from gateway.services.waits import Waits
from gateway.soap.application import soap_app
from gateway.soap.security import CallerCredential, UsernameTokenAuthenticator
from gateway.storage.envelope import BlindIndex, KeyRing
from gateway.storage.pool import Pool
from gateway.storage.postgres import PostgresStore
from gateway.web import Environ, StartResponse, json_response, new_correlation_id, problem

FOLDER_VARIABLE = "MOBILEID_GATEWAY_CONF"
DSN_VARIABLE = "MOBILEID_GATEWAY_DSN"
"""Set by ``serve`` where the database is embedded: its address is known only when it runs."""

Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class SystemClock:
    def now(self) -> datetime:
        return utc_now()


def build_store(configuration: Configuration, dsn: str) -> PostgresStore:
    """The identity store over one database; raises ConfigurationError where a secret cannot be read."""
    keys = configuration.gateway.keys
    try:
        table = tomllib.loads(configuration.path(keys.encryption_keys).read_text())
        ring = KeyRing(table["current"], {name: bytes.fromhex(key) for name, key in table["keys"].items()})
        index = BlindIndex(_secret(configuration.path(keys.index_secret)))
    except (OSError, KeyError, ValueError, AttributeError, TypeError) as error:
        raise ConfigurationError([f"keys: a secret cannot be read: {error}"]) from error
    return PostgresStore(Pool(dsn, size=configuration.gateway.database.pool_size), keyring=ring, index=index)


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
            code_digits=table.registration.code_digits,
            lifetime_seconds=table.registration.lifetime_seconds,
            max_failures=table.registration.max_failures,
            secret=activation_secret,
        ),
        clock=SystemClock(),
        waits=Waits(store),
        public_url=table.public_url,
    )


def build_application(configuration: Configuration, gateway: Gateway) -> Application:
    """The faces behind their paths; everything else is NOT_FOUND."""
    table = configuration.gateway
    callers = {
        c.id: CallerCredential(c.id, c.relying_party, frozenset(c.rights), bytes.fromhex(c.secret_sha256))
        for c in configuration.callers.values()
    }
    routes: list[tuple[str, Application]] = [
        (
            "/soap/",
            soap_app(
                gateway,
                authenticator=UsernameTokenAuthenticator(callers),
                max_bytes=table.web.max_request_bytes,
                address=f"{table.public_url}/soap/v1",
            ),
        ),
        ("/device/", device_app(gateway, max_bytes=table.web.max_device_request_bytes)),
        ("/health/", _Health(gateway)),
    ]

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        for prefix, face in routes:
            if path.startswith(prefix):
                return face(environ, start_response)
        return problem(NotFound(), correlation_id=new_correlation_id()).send(start_response)

    return application


@dataclass(frozen=True, slots=True)
class _Health:
    """``/health/live``: the process answers. ``/health/ready``: the database does too."""

    gateway: Gateway

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path == "/health/live":
            return json_response(200, {"status": "live"}).send(start_response)
        if path != "/health/ready":
            return problem(NotFound(), correlation_id=new_correlation_id()).send(start_response)
        try:
            for tenant in self.gateway.tenants.relying_parties:
                self.gateway.store.transaction_states(tenant, [])
        except GatewayError:
            return json_response(503, {"status": "not ready"}).send(start_response)
        return json_response(200, {"status": "ready"}).send(start_response)


def configuration_from_environment() -> tuple[Configuration, str]:
    """The configuration and the DSN that the environment of a worker process names."""
    configuration = load(Path(os.environ[FOLDER_VARIABLE]))
    dsn = configuration.gateway.database.dsn or os.environ[DSN_VARIABLE]
    return configuration, dsn


def _secret(path: Path) -> bytes:
    secret = bytes.fromhex(path.read_text().strip())
    if len(secret) != 32:
        raise ValueError(f"{path}: not 64 hexadecimal digits")
    return secret


def _application_from_environment() -> Application:
    configure_logging()
    configuration, dsn = configuration_from_environment()
    return build_application(configuration, build_gateway(configuration, build_store(configuration, dsn)))


def __getattr__(name: str) -> Any:
    if name == "application":
        built = globals()["application"] = _application_from_environment()
        return built
    raise AttributeError(name)
