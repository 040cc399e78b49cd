"""Configuration: TOML files into frozen values, every fault at once, each with its file and line.

The law: every key is known or refused; there is no default that weakens anything; a value beyond what
the RTS allows names the article. ``load`` reads gateway.toml, callers/*.toml and profiles/*.toml of one
folder; relative paths are relative to that folder. Building the parts from it is left to ``wsgi``.
"""

from __future__ import annotations

import ipaddress
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from gateway.core.activation import BASE_URL, CODE_LENGTH_CEILING, CODE_LENGTH_FLOOR, code_alphabet
from gateway.core.callback import TYPES, USUAL
from gateway.core.client import CLIENT_NAME, CLIENT_VERSION
from gateway.core.model import Channel, Factor, Kind
from gateway.core.profile import MAX_FAILURES_CEILING, SignatureProfile, parse_profile
from gateway.core.rate import MAX_PER_SECOND, Rate

OPERATIONS = frozenset(
    {
        "Heartbeat",
        "StartRegistration",
        "GetRegistration",
        "IssueRegistrationArtifact",
        "StartAuthentication",
        "StartAuthorisation",
        "StartConsentSignature",
        "StartTextSignature",
        "GetTransaction",
        "CancelTransaction",
        "RedeemAuthenticationCode",
        "GetAuthorisationProof",
        "GetEvidence",
        "VerifyEvidence",
        "ListDevices",
        "GetDevice",
        "RenameDevice",
        "LockDevice",
        "UnlockDevice",
        "RevokeDevice",
        "GetDeviceHistory",
        "StartPinReset",
        "GetPinReset",
    }
)
"""What a caller can be granted, as named in the WSDL."""
MAIN = "gateway.toml"
SANDBOX = "SANDBOX"
"""Stands in the names of the certificates that a sandbox is made with."""
NO_SECRET = "0" * 64
"""The digest in the sample of a caller: of no secret."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]
ClientVersion = Annotated[str, Field(pattern=f"^{CLIENT_VERSION}$")]


def _within_the_rts(value: int) -> int:
    if not 1 <= value <= MAX_FAILURES_CEILING:
        raise ValueError(f"1 to {MAX_FAILURES_CEILING}: RTS (EU) 2018/389 article 4(3)(b)")
    return value


PerSecond = Annotated[int, Field(ge=1, le=MAX_PER_SECOND)]
MaxFailures = Annotated[int, AfterValidator(_within_the_rts)]


class ConfigurationError(Exception):
    """The configuration cannot be used; ``faults`` are complete sentences, one a fault."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Listen(_Table):
    host: Literal["127.0.0.1"] | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    socket: Path | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Listen:
        if (self.socket is None) == (self.host is None) or (self.host is None) != (self.port is None):
            raise ValueError("either socket, or host and port")
        return self


class Web(_Table):
    workers: Annotated[int, Field(ge=1, le=64)]
    threads: Annotated[int, Field(ge=140, le=1024)]
    """At least 140: 128 calls may wait, and others must still be served."""
    max_request_bytes: Annotated[int, Field(ge=65_536, le=16_777_216)]
    max_device_request_bytes: Annotated[int, Field(ge=4_096, le=1_048_576)]


class RatesTable(_Table):
    address_per_second: PerSecond
    address_burst: int
    caller_per_second: PerSecond
    caller_burst: int

    @field_validator("address_burst", "caller_burst")
    @classmethod
    def _rates(cls, value: int, info: ValidationInfo) -> int:
        per_second = info.data.get(f"{str(info.field_name).partition('_')[0]}_per_second")
        if per_second is not None:  # else that is the fault
            Rate(per_second, value)
        return value


class Database(_Table):
    embedded: Path | None = None
    dsn: str | None = None
    owner_dsn: str | None = None
    pool_size: Annotated[int, Field(ge=1, le=64)]

    @model_validator(mode="after")
    def _one_way(self) -> Database:
        if (self.embedded is None) == (self.dsn is None) or (self.dsn is None) != (self.owner_dsn is None):
            raise ValueError("either embedded (a folder), or dsn and owner_dsn")
        return self


class Keys(_Table):
    seal_key: Path
    seal_chain: Path
    device_ca_key: Path
    device_ca_chain: Path
    trust: Path
    encryption_keys: Path
    """TOML file: current = "id", and a table keys of id = 64 hexadecimal digits."""
    index_secret: Path
    activation_secret: Path
    """Each a file of 64 hexadecimal digits."""
    callback_key: Path
    """A P-256 private key, PEM."""
    message_key: Path
    message_certificate: Path
    """RSA of 2048 to 4096 bits, or P-256 or P-384; PEM."""


class Messages(_Table):
    window_seconds: Annotated[int, Field(ge=30, le=600)]
    skew_seconds: Annotated[int, Field(ge=0, le=120)]


class Application(_Table):
    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]{1,255}$")]
    signature_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Attestation(_Table):
    roots: Annotated[list[Path], Field(min_length=1)]
    """PEM: the anchors of attestations, and of nothing else."""
    revoked: Path | None = None
    """JSON, as Google publishes its status list."""
    application: list[Application] = []


class Registration(_Table):
    code_length: Annotated[int, Field(ge=CODE_LENGTH_FLOOR, le=CODE_LENGTH_CEILING)]
    code_alphabet: str
    lifetime_seconds: Annotated[int, Field(ge=60, le=604_800)]
    max_failures: MaxFailures
    artifact_lifetime_seconds: Annotated[int, Field(ge=30, le=900)]
    max_devices: Annotated[int, Field(ge=1, le=16)]
    recovery_codes: bool

    @field_validator("code_alphabet")
    @classmethod
    def _codes(cls, value: str, info: ValidationInfo) -> str:
        if "code_length" in info.data:  # else that is the fault
            code_alphabet(value, length=info.data["code_length"])
        return value


class ClientTable(_Table):
    name: Annotated[str, Field(pattern=f"^{CLIENT_NAME}$")]
    floor: ClientVersion
    blocked: list[ClientVersion] = []


class Push(_Table):
    relay: Annotated[str, Field(pattern=r"^https?://")]


def _network(value: str) -> str:
    if ipaddress.ip_network(value).prefixlen == 0:
        raise ValueError("a network of every address allows everything")
    return value


def _event_type(value: str) -> str:
    if value not in TYPES:
        raise ValueError(f"no such event: one of {', '.join(TYPES)}")
    return value


class Callback(_Table):
    url: Annotated[
        str,
        Field(max_length=500, pattern=r"^https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?(/[!-~]*)?$"),
    ]
    allowed_networks: Annotated[list[Annotated[str, AfterValidator(_network)]], Field(min_length=1)]
    ca_file: Path | None = None
    """PEM; without it the system's CAs."""
    retry_seconds: Annotated[int, Field(ge=60, le=2_592_000)] = 259_200
    events: Annotated[list[Annotated[str, AfterValidator(_event_type)]], Field(min_length=1)] = list(USUAL)

    @model_validator(mode="after")
    def _address(self) -> Callback:
        parts = urlsplit(self.url)
        if "#" in self.url or parts.port == 0:
            raise ValueError("url: no fragment, and a port that can be")
        if parts.scheme == "http" and parts.hostname != "127.0.0.1":
            raise ValueError("url: https, or in a sandbox http to 127.0.0.1")
        try:
            literal = ipaddress.ip_address(parts.hostname or "")
        except ValueError:
            return self
        if not any(literal in ipaddress.ip_network(network) for network in self.allowed_networks):
            raise ValueError("url: its address lies in none of allowed_networks")
        return self


class RelyingPartyTable(_Table):
    id: Name
    name: Annotated[str, Field(min_length=1, max_length=120)]
    profiles: list[Name]
    callback: Callback | None = None
    """Without it the relying party is told nothing."""


class GatewayTable(_Table):
    mode: Literal["sandbox", "production"]
    public_url: Annotated[str, Field(pattern=f"^{BASE_URL.pattern}$")]
    listen: Listen
    web: Web
    rates: RatesTable
    database: Database
    keys: Keys
    messages: Messages
    registration: Registration
    attestation: Attestation | None = None
    """Without it every attestation is refused, and nothing that needs one can be approved."""
    client: list[ClientTable] = []
    push: Push | None = None
    relying_party: Annotated[list[RelyingPartyTable], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_rule_a_client(self) -> GatewayTable:
        names = [rule.name for rule in self.client]
        if len(set(names)) != len(names):
            raise ValueError("client: a name stands twice")
        return self

    @model_validator(mode="after")
    def _mode(self) -> GatewayTable:
        if self.mode == "production":
            if self.listen.socket is None:
                raise ValueError("production listens on a unix socket behind the TLS proxy only")
            if self.database.dsn is None:
                raise ValueError("production needs database.dsn: the embedded database is for the sandbox")
            if not self.public_url.startswith("https://"):
                raise ValueError("production needs a public_url that is https")
            for party in self.relying_party:
                if party.callback is not None and not party.callback.url.startswith("https://"):
                    raise ValueError(f"production needs a callback.url that is https: {party.id}")
        return self


class CallerTable(_Table):
    id: Name
    relying_party: Name
    authentication: Literal["username", "mtls", "mtls+username", "x509"]
    secret_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    certificates: Annotated[list[Path], Field(max_length=2)] = []
    """PEM files of one certificate each: of the caller's TLS client, or of its messages."""
    rights: list[str]
    per_second: PerSecond | None = None
    burst: Annotated[int | None, Field(validate_default=True)] = None
    """Both or neither: a rate of its own, instead of the one in gateway.toml."""

    @field_validator("burst")
    @classmethod
    def _rate(cls, value: int | None, info: ValidationInfo) -> int | None:
        per_second = info.data.get("per_second")
        if "per_second" in info.data and (per_second is None) != (value is None):
            raise ValueError("per_second and burst: both or neither")
        if per_second is not None and value is not None:
            Rate(per_second, value)
        return value

    @model_validator(mode="after")
    def _what_the_way_needs(self) -> CallerTable:
        if ("username" in self.authentication) != (self.secret_sha256 is not None):
            raise ValueError("secret_sha256: with username and mtls+username, and with nothing else")
        if (self.authentication == "username") == bool(self.certificates):
            raise ValueError("certificates: one or two with mtls, mtls+username, x509; none with username")
        return self

    @model_validator(mode="after")
    def _a_secret(self) -> CallerTable:
        if self.secret_sha256 == NO_SECRET:
            raise ValueError("secret_sha256: the sample's, of no secret: `caller new` makes one")
        return self

    @model_validator(mode="after")
    def _rights(self) -> CallerTable:
        unknown = sorted(set(self.rights) - OPERATIONS)
        if unknown:
            raise ValueError(f"rights: no such operation: {', '.join(unknown)}")
        return self


class ProfileTable(_Table):
    id: Name
    kind: Kind
    factors: list[Factor]
    lifetime_seconds: int
    signing_time_skew_seconds: int
    max_text_length: int
    max_failures: MaxFailures
    released_attributes: list[str]
    hardware_key: bool
    algorithms: list[str]
    channels: list[Channel]
    evidence: bool
    code_lifetime_seconds: int
    number_matching: bool
    not_me_locks: bool
    max_waiting: int
    max_starts: int

    def profile(self) -> SignatureProfile:
        fields = self.model_dump()
        lists = {
            name: tuple(getattr(self, name))
            for name in ("factors", "released_attributes", "algorithms", "channels")
        }
        return SignatureProfile(**{**fields, **lists})

    @model_validator(mode="after")
    def _rules(self) -> ProfileTable:
        self.profile()
        return self


@dataclass(frozen=True, slots=True)
class Configuration:
    folder: Path
    gateway: GatewayTable
    callers: Mapping[str, CallerTable]
    profiles: Mapping[str, SignatureProfile]

    def path(self, configured: Path) -> Path:
        """A configured path, relative ones taken from the configuration's folder."""
        return configured if configured.is_absolute() else (self.folder / configured).resolve()


def dump(configuration: Configuration) -> str:
    """The checked configuration as one text, for the processes that a supervisor starts: what an admin
    edits meanwhile is not seen before it is checked. It holds a DSN, so it is a secret."""
    return json.dumps(
        {
            "folder": str(configuration.folder.resolve()),
            "gateway": configuration.gateway.model_dump(mode="json"),
            "callers": [caller.model_dump(mode="json") for caller in configuration.callers.values()],
            "profiles": [profile.document().decode() for profile in configuration.profiles.values()],
        }
    )


def restore(text: str) -> Configuration:
    """The inverse of dump."""
    value = json.loads(text)
    callers = [CallerTable.model_validate(caller) for caller in value["callers"]]
    profiles = [parse_profile(document.encode()) for document in value["profiles"]]
    return Configuration(
        folder=Path(value["folder"]),
        gateway=GatewayTable.model_validate(value["gateway"]),
        callers={caller.id: caller for caller in callers},
        profiles={profile.id: profile for profile in profiles},
    )


_Model = TypeVar("_Model", bound=BaseModel)


def load(folder: Path) -> Configuration:
    """Reads and checks everything; raises ConfigurationError with every fault that there is."""
    faults: list[str] = []
    main = _read(folder / MAIN, GatewayTable, faults)
    callers = _read_all(folder / "callers", CallerTable, faults)
    profiles = _read_all(folder / "profiles", ProfileTable, faults)
    if main is not None:
        tenants = [party.id for party in main.relying_party]
        if len(set(tenants)) != len(tenants):
            faults.append(f"{folder / MAIN}: relying_party: an id stands twice")
        for party in main.relying_party:
            for name in party.profiles:
                if name not in profiles:
                    faults.append(
                        f"{folder / MAIN}: relying_party {party.id}: no profile {name} in profiles/"
                    )
            ca_file = None if party.callback is None else party.callback.ca_file
            if ca_file is not None and not (folder / ca_file).is_file():
                faults.append(
                    f"{folder / MAIN}: relying_party {party.id}: callback.ca_file: there is no file"
                    f" {folder / ca_file}"
                )
        for caller in callers.values():
            faults += _misplaced(caller, main, folder)
            if caller.relying_party not in tenants:
                faults.append(f"{folder / 'callers'}: {caller.id}: no relying party {caller.relying_party}")
        for key, path in main.keys:
            whole = path if path.is_absolute() else folder / path
            if not whole.is_file():
                faults.append(f"{folder / MAIN}: keys.{key}: there is no file {whole}")
        if main.attestation is not None:
            listed = [] if main.attestation.revoked is None else [main.attestation.revoked]
            for path in (*main.attestation.roots, *listed):
                if not (folder / path).is_file():
                    faults.append(f"{folder / MAIN}: attestation: there is no file {folder / path}")
    if faults or main is None:
        raise ConfigurationError(faults)
    return Configuration(
        folder=folder,
        gateway=main,
        callers=callers,
        profiles={name: table.profile() for name, table in profiles.items()},
    )


def _misplaced(caller: CallerTable, main: GatewayTable, folder: Path) -> list[str]:
    """What of a caller does not go with the rest of the configuration."""
    where = f"{folder / 'callers'}: {caller.id}"
    faults = [
        f"{where}: certificates: there is no file {folder / file}"
        for file in caller.certificates
        if not (folder / file).is_file()
    ]
    if caller.authentication == "username" and main.mode == "production":
        faults.append(f"{where}: authentication: username alone is for the sandbox")
    if "mtls" in caller.authentication and main.listen.socket is None:
        faults.append(f"{where}: authentication: mtls needs listen.socket, with the TLS proxy before it")
    return faults


def _read_all(folder: Path, model: type[_Model], faults: list[str]) -> dict[str, _Model]:
    found: dict[str, _Model] = {}
    for file in sorted(folder.glob("*.toml")):
        table = _read(file, model, faults)
        if table is not None:
            name: str = table.id  # type: ignore[attr-defined]
            if name in found:
                faults.append(f"{file}: id: {name} stands in another file too")
            found[name] = table
    return found


def _read(file: Path, model: type[_Model], faults: list[str]) -> _Model | None:
    try:
        text = file.read_text(encoding="utf-8")
        return model.model_validate(tomllib.loads(text))
    except OSError as error:
        faults.append(f"{file}: cannot be read: {error.strerror}")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        faults.append(f"{file}: not TOML: {error}")
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_context=False):
            faults.append(f"{file}:{_line(text, fault['loc'])}: {_where(fault['loc'])}: {fault['msg']}")
    return None


def _where(location: tuple[int | str, ...]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.lstrip(".") or "file"


def _line(text: str, location: tuple[int | str, ...]) -> int:
    """The line of a key, or of the nearest table around it; 1 where there is neither."""
    table: list[Any] = []
    counts: dict[str, int] = {}
    best, depth = 1, 0
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\[\s*([\w.-]+)\s*\]\]", line):
            name = header.group(1)
            counts[name] = counts.get(name, -1) + 1
            table = [*name.split("."), counts[name]]
        elif header := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            table = []
            for name in header.group(1).split("."):
                table.append(name)
                if name in counts and len(table) == 1:  # a table of the last one of an array
                    table.append(counts[name])
        elif key := re.match(r"\s*([\w-]+)\s*=", line):
            here = [*table, key.group(1)]
            if here == list(location[: len(here)]) and len(here) > depth:
                best, depth = number, len(here)
            continue
        if table and table == list(location[: len(table)]) and len(table) > depth:
            best, depth = number, len(table)
    return best
