"""A page for each SOAP operation, made from the contract and the code: docs/soap/NAME.md.

The law: elements, types, occurrence and sentences are the schema's and the WSDL's; the example is the request
that the tests send; the faults are those that the operation's service, and what it calls, can raise. What is
made here is committed, and a test compares it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from lxml import etree
from soap_support import REQUESTS, SERVICES

from gateway.core.errors import GatewayError, leaves
from gateway.soap.contract import SCHEMA, WSDL, contract
from gateway.soap.envelope import TNS
from gateway.web import status_of

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "docs" / "soap"
XS: Final = "{http://www.w3.org/2001/XMLSchema}"
WSDL_NS: Final = "{http://schemas.xmlsoap.org/wsdl/}"
GATE: Final = ("guard", "validation", "security", "addressing", "mtom", "media", "envelope")
"""Modules of ``gateway.soap`` that every request passes before its operation is reached."""
DEVICES_ALONE: Final = frozenset(
    {"DEVICE_NOT_AUTHENTICATED", "ASSERTION_REFUSED", "PROOF_REFUSED", "ACTIVATION_REFUSED"}
    | {"ATTESTATION_REFUSED"}
)
"""No caller over SOAP is ever told these."""
ALWAYS: Final = frozenset(
    {"NOT_PERMITTED", "STORE_UNAVAILABLE", "METHOD_NOT_ALLOWED", "MESSAGE_TOO_LARGE", "REQUEST_TIMEOUT"}
    | {"OVERLOADED", "RATE_EXCEEDED", "INTERNAL"}
)
"""Raised below or above what is read here."""


def _named(error: type[GatewayError]) -> Iterator[tuple[str, type[GatewayError]]]:
    for below in error.__subclasses__():
        if hasattr(below, "code"):
            yield below.__name__, below
        yield from _named(below)


CODES: Final = dict(_named(GatewayError))
_Function = ast.FunctionDef


# What can be raised


@dataclass(frozen=True, slots=True)
class Module:
    functions: Mapping[str, list[_Function]]
    """Functions and methods by their bare name."""
    imported: Mapping[str, tuple[str, str]]
    """Module and name there, by the name here; of a module itself its own path and no name."""


@cache
def modules() -> Mapping[str, Module]:
    """The package's rules and queries by module: ``services.starts``."""
    return {
        f"{folder}.{file.stem}": _read(file)
        for folder in ("services", "core", "storage")
        for file in sorted((ROOT / "gateway" / folder).glob("*.py"))
    }


def _read(file: Path) -> Module:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions: dict[str, list[_Function]] = {}
    imported: dict[str, tuple[str, str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, _Function):
            functions.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gateway"):
            below = str(node.module).partition(".")[2]
            for alias in node.names:
                imported[alias.asname or alias.name] = (below, alias.name)
    return Module(functions, imported)


_OBJECTS: Final = {"gw": "services.context", "caller": "core.model"}
"""What the services are given, and where its methods stand."""


def called(place: str, function: _Function) -> Iterator[tuple[str, str]]:
    """Module and name of what a function calls, as far as its text tells."""
    known, module = modules(), modules()[place]
    for node in ast.walk(function):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name):
            yield module.imported.get(node.func.id, (place, node.func.id))
        elif isinstance(node.func, ast.Attribute):
            owner, name = ast.unparse(node.func.value), node.func.attr
            if owner.endswith("store"):
                yield from ((other, name) for other in known if other.startswith("storage."))
            elif owner in module.imported:
                below, inner = module.imported[owner]
                yield f"{below}.{inner}", name
            else:
                yield _OBJECTS.get(owner, place), name


def made(function: _Function) -> Iterator[str]:
    """The codes of the errors that it makes."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CODES:
            yield CODES[node.func.id].code


def reachable(place: str, name: str) -> set[str]:
    """The codes of what a function, and all that it calls, can make."""
    todo, seen, codes = [(place, name)], set[tuple[str, str]](), set[str]()
    while todo:
        here = todo.pop()
        if here in seen or here[0] not in modules():
            continue
        seen.add(here)
        for function in modules()[here[0]].functions.get(here[1], ()):
            codes.update(made(function))
            todo += called(here[0], function)
    return codes


def faults_of(operation: str) -> set[str]:
    """Those of this operation, beside those of every one."""
    module, service, _ = SERVICES[operation]
    place = module.__name__.removeprefix("gateway.")
    return reachable(place, service) - faults_of_the_gate() - DEVICES_ALONE


def faults_of_the_gate() -> set[str]:
    codes = set()
    for name in GATE:
        tree = ast.parse((ROOT / "gateway" / "soap" / f"{name}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, _Function):
                codes.update(made(node))
    return codes | ALWAYS


# What the contract says


@cache
def schema() -> etree._Element:
    return etree.fromstring(contract().schemas[SCHEMA])


def said(element: etree._Element) -> str:
    return " ".join((element.findtext(f"{XS}annotation/{XS}documentation") or "").split())


def rows(element: etree._Element, *, below: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Path, type, occurrence and sentence of each element below one, in order."""
    for child in element.iterfind(f".//{XS}sequence/{XS}element"):
        kind = str(child.get("type")).partition(":")[2]
        path = f"{below}{child.get('name')}"
        least, most = child.get("minOccurs", "1"), child.get("maxOccurs", "1")
        often = {"unbounded": "*"}.get(most, most)
        occurs = "1" if (least, most) == ("1", "1") else f"{least}..{often}"
        yield path, kind, occurs, said(child)
        inner = schema().find(f"{XS}complexType[@name='{kind}']")
        if inner is not None:
            yield from rows(inner, below=f"{path}/")


def message(name: str) -> etree._Element:
    found = schema().find(f"{XS}element[@name='{name}']")
    assert found is not None, name
    return found


def table(name: str) -> list[str]:
    found = list(rows(message(name)))
    if not found:
        return ["Empty."]
    return [
        "| element | type | occurs | |",
        "|---|---|---|---|",
        *(f"| `{path}` | {kind} | {occurs} | {text} |" for path, kind, occurs, text in found),
    ]


def example(operation: str) -> str:
    body = f'<body xmlns:gw="{TNS}">{REQUESTS[operation]}</body>'
    request = etree.fromstring(body.encode())[0]
    etree.indent(request)
    etree.cleanup_namespaces(request)
    return etree.tostring(request, encoding="unicode").strip()


def faults_table(codes: set[str]) -> list[str]:
    known = [leaf for leaf in leaves() if leaf.code in codes]
    return [
        "| code | group | retryable | cause | remedy |",
        "|---|---|---|---|---|",
        *(
            f"| `{leaf.code}` | {leaf.group} | {'yes' if leaf.retryable else 'no'} | {leaf.sentence}"
            f" | {leaf.remedy} |"
            for leaf in known
        ),
    ]


def operation_page(operation: str) -> str:
    port = etree.fromstring(contract().wsdls["wsdl"]).find(f"{WSDL_NS}portType")
    assert port is not None
    described = port.findtext(f"{WSDL_NS}operation[@name='{operation}']/{WSDL_NS}documentation") or ""
    lines = [
        f"# {operation}",
        "",
        " ".join(described.split()),
        "",
        f"soapAction `{TNS}:{operation}`; the caller needs the right `{operation}`. Namespace `{TNS}`.",
        "",
        "## Request",
        "",
        said(message(operation)),
        "",
        *table(operation),
        "",
        "```xml",
        example(operation),
        "```",
        "",
        "## Response",
        "",
        said(message(f"{operation}Response")),
        "",
        *table(f"{operation}Response"),
        "",
        "## Faults",
        "",
        "Beside those of [every operation](README.md#faults-of-every-operation):",
        "",
        *faults_table(faults_of(operation)),
    ]
    return "\n".join([*lines, ""])


def index_page() -> str:
    port = etree.fromstring(contract().wsdls["wsdl"]).find(f"{WSDL_NS}portType")
    assert port is not None
    lines = [
        "# The SOAP operations",
        "",
        f"The contract is [`wsdl/{WSDL}`](../../wsdl/{WSDL}) with",
        f"[`schemas/{SCHEMA}`](../../schemas/{SCHEMA}), served byte for byte at `/soap/v1?wsdl`. How stock",
        "clients call it: [soap-clients.md](../soap-clients.md).",
        "",
        "| operation | |",
        "|---|---|",
        *(
            f"| [{operation.get('name')}]({operation.get('name')}.md) | "
            f"{' '.join((operation.findtext(f'{WSDL_NS}documentation') or '').split())} |"
            for operation in port.iterfind(f"{WSDL_NS}operation")
        ),
        "",
        "## Faults of every operation",
        "",
        "What is said before an operation is reached, and by what it stands on. HTTP answers 500, but "
        + ", ".join(
            f"{status} to `{code}`"
            for code, status in (
                (leaf.code, status_of(leaf()))
                for leaf in leaves()
                if leaf.code in ("METHOD_NOT_ALLOWED", "REQUEST_TIMEOUT", "MESSAGE_TOO_LARGE")
                or leaf.code == "UNSUPPORTED_MEDIA_TYPE"
            )
        )
        + ".",
        "",
        *faults_table(faults_of_the_gate()),
    ]
    return "\n".join([*lines, ""])


def pages() -> dict[Path, str]:
    made = {FOLDER / f"{name}.md": operation_page(name) for name in contract().operations.values()}
    return {FOLDER / "README.md": index_page(), **made}
