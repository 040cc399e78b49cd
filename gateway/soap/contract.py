"""The committed contract: served as it stands, and the source of what the face knows about its own messages.

The law: WSDL and schemas are written by hand and served byte for byte; the one thing that changes is the
address of the two ports, and it comes from configuration, never from a request. A policy is put in where it
is asked for by name, and every binding refers to it: taken out again, it leaves the WSDL. A name in a request
is looked up among the committed files; no path is made of it. Validation is left to ``validation``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final
from xml.sax.saxutils import escape

from lxml import etree

from gateway.core.errors import NotFound
from gateway.resources import resource
from gateway.soap.envelope import TNS
from gateway.web import Response

WSDL: Final = "mobileid-gateway.wsdl"
SCHEMA: Final = "gateway-v1.xsd"
SOAP_PATH: Final = "/soap/v1"
SCHEMAS_PATH: Final = "/schemas"
"""Where the WSDL's relative schemaLocation leads from SOAP_PATH, as it does on disk."""
POLICIES: Final = ("x509", "mtls")
"""Those of ``gateway.soap.security.Authentication`` that a policy can tell a stack."""
POLICY_REFERENCE: Final = (
    b'    <wsp:PolicyReference xmlns:wsp="http://www.w3.org/ns/ws-policy" URI="#policy"/>\n'
)
_TYPES: Final = b"  <wsdl:types>\n"
_POLICY_PLACES: Final = re.compile(_TYPES + rb"|<wsdl:binding [^>]*>\n")
"""Before the types stands the policy; first in each binding, the reference to it."""
COMMITTED_ADDRESS: Final = "https://gateway.example/soap/v1"
_CONTENT_TYPE: Final = "text/xml; charset=utf-8"
_WSDL_NS: Final = "{http://schemas.xmlsoap.org/wsdl/}"
_XS: Final = "{http://www.w3.org/2001/XMLSchema}"


@dataclass(frozen=True, slots=True)
class Contract:
    wsdls: Mapping[str, bytes]
    """The WSDL, as it is and with each policy, by the query that asks for it."""
    schemas: Mapping[str, bytes]
    """The schemas that are served, by file name."""
    operations: Mapping[str, str]
    """The operation's name by the tag of its request element."""
    binary: frozenset[str]
    """Tags of the elements that are base64Binary."""
    shown: frozenset[str]
    """Tags of the elements that hold shown content; how long it may be is the signature profile's to say."""
    fields: frozenset[str]
    """Local names of all elements: a fault's field is made of these only."""


@cache
def contract() -> Contract:
    """The committed files, read once a process."""
    wsdl = resource("wsdl", WSDL)
    schemas = {name: resource("schemas", name) for name in (SCHEMA,)}
    port_type = etree.fromstring(wsdl).find(f"{_WSDL_NS}portType")
    if port_type is None:
        raise ValueError(f"{WSDL} has no portType")
    names = [str(operation.get("name")) for operation in port_type.iter(f"{_WSDL_NS}operation")]
    schema = etree.fromstring(schemas[SCHEMA])
    binary_types = {"xs:base64Binary"} | {
        f"gw:{simple.get('name')}"
        for simple in schema.iter(f"{_XS}simpleType")
        if simple.find(f"{_XS}restriction[@base='xs:base64Binary']") is not None
    }
    shown = schema.find(f"{_XS}complexType[@name='ShownContent']//{_XS}element[@name='content']")
    if shown is None:
        raise ValueError(f"{SCHEMA} has no ShownContent/content")
    elements = [(str(element.get("name")), element.get("type")) for element in schema.iter(f"{_XS}element")]
    return Contract(
        wsdls={"wsdl": wsdl, **{f"wsdl&policy={name}": with_policy(wsdl, name=name) for name in POLICIES}},
        schemas=schemas,
        operations={f"{{{TNS}}}{name}": name for name in names},
        binary=frozenset(f"{{{TNS}}}{name}" for name, kind in elements if kind in binary_types),
        shown=frozenset({f"{{{TNS}}}{shown.get('name')}"}),
        fields=frozenset(name for name, _ in elements),
    )


def published(path: str, query: str, *, address: str) -> Response:
    """The answer to a GET: the WSDL or one schema; raises NotFound for all else."""
    served = contract()
    wsdl = served.wsdls.get("wsdl" if query.lower() == "wsdl" else query)
    if path == SOAP_PATH and wsdl is not None:
        return _document(wsdl.replace(COMMITTED_ADDRESS.encode(), _attribute(address)))
    where, _, name = f"{path}?{query}".rpartition("=") if path == SOAP_PATH else path.rpartition("/")
    if where not in (f"{SOAP_PATH}?xsd", SCHEMAS_PATH) or name not in served.schemas:
        raise NotFound()
    return _document(served.schemas[name])


def with_policy(wsdl: bytes, *, name: str) -> bytes:
    """The WSDL with the committed policy of this name, which every binding refers to."""
    policy = resource("wsdl", f"policy-{name}.xml")
    found = _POLICY_PLACES.findall(wsdl)
    if found.count(_TYPES) != 1 or found[0] != _TYPES or len(found) == 1:
        raise ValueError(f"{WSDL} has no place for a policy")
    return _POLICY_PLACES.sub(
        lambda place: policy + _TYPES if place[0] == _TYPES else place[0] + POLICY_REFERENCE, wsdl
    )


def _attribute(value: str) -> bytes:
    return escape(value, {'"': "&quot;"}).encode()


def _document(body: bytes) -> Response:
    return Response(200, body, _CONTENT_TYPE)
