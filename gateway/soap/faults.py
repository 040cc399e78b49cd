"""The one map from the tree of errors to SOAP faults.

The law: SOAP 1.1 section 4.4, SOAP 1.2 part 1 sections 2.4 and 5.4. The HTTP status of a fault is 500 in
both versions: part 2 table 20 has 400 for a Sender's, and there WCF, and CXF unless told, lose the fault. A
fault has one detail entry, GatewayFault, and in SOAP 1.2 the code again as its Subcode; a 1.2 fault also
names, as the standard wants it, the header block that was not understood and the envelopes that would
have been. What a message says is left to ``gateway.core.errors``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lxml import etree

from gateway.core.errors import GatewayError, HeaderNotUnderstood, VersionMismatch
from gateway.soap.envelope import TNS, SoapVersion
from gateway.web import retry_header

MAX_ECHO: Final = 512
"""Characters: the name of a header block is the one thing of a request that a fault repeats."""
_XML: Final = "http://www.w3.org/XML/1998/namespace"


@dataclass(frozen=True, slots=True)
class FaultCode:
    soap11: str
    """Local name of the SOAP 1.1 faultcode."""
    soap12: str
    """Local name of the SOAP 1.2 Code."""


SENDER: Final = FaultCode("Client", "Sender")
RECEIVER: Final = FaultCode("Server", "Receiver")

BY_GROUP: Final = {"REQUEST": SENDER, "STATE": SENDER, "REFUSED": SENDER, "UNAVAILABLE": RECEIVER}
BY_CODE: Final = {
    "VERSION_MISMATCH": FaultCode("VersionMismatch", "VersionMismatch"),
    "HEADER_NOT_UNDERSTOOD": FaultCode("MustUnderstand", "MustUnderstand"),
}
"""Where a code's fault is not its group's."""
HTTP_STATUS: Final = {"METHOD_NOT_ALLOWED": 405, "MESSAGE_TOO_LARGE": 413, "UNSUPPORTED_MEDIA_TYPE": 415}
"""What HTTP itself has a word for."""
OTHERWISE: Final = 500


class BlockNotUnderstood(HeaderNotUnderstood):
    """HEADER_NOT_UNDERSTOOD that knows the block."""

    def __init__(self, tag: str) -> None:
        super().__init__()
        self.tag = tag


def fault_code(error: GatewayError | type[GatewayError]) -> FaultCode:
    return BY_CODE.get(error.code, BY_GROUP[error.group])


def status_of(error: GatewayError) -> int:
    return HTTP_STATUS.get(error.code, OTHERWISE)


def fault(error: GatewayError, *, version: SoapVersion, correlation_id: str) -> etree._Element:
    """The envelope of the answer to a request that failed."""
    envelope = etree.Element(version.tag("Envelope"), nsmap={"soap": version.namespace})
    if version is SoapVersion.SOAP12:
        _header12(envelope, error, version)
    body = etree.SubElement(envelope, version.tag("Body"))
    element = etree.SubElement(body, version.tag("Fault"))
    detail = (_fault12 if version is SoapVersion.SOAP12 else _fault11)(element, error, version)
    _gateway_fault(detail, error, correlation_id=correlation_id)
    return envelope


def headers_of(error: GatewayError) -> dict[str, str]:
    """Header fields that HTTP wants beside the fault."""
    allow = {"Allow": "GET, POST"} if status_of(error) == 405 else {}
    return allow | retry_header(error)


def _fault11(element: etree._Element, error: GatewayError, _: SoapVersion) -> etree._Element:
    etree.SubElement(element, "faultcode").text = f"soap:{fault_code(error).soap11}"
    etree.SubElement(element, "faultstring").text = error.sentence
    return etree.SubElement(element, "detail")


def _fault12(element: etree._Element, error: GatewayError, version: SoapVersion) -> etree._Element:
    code = etree.SubElement(element, version.tag("Code"))
    etree.SubElement(code, version.tag("Value")).text = f"soap:{fault_code(error).soap12}"
    subcode = etree.SubElement(code, version.tag("Subcode"))
    etree.SubElement(subcode, version.tag("Value"), nsmap={"gw": TNS}).text = f"gw:{error.code}"
    reason = etree.SubElement(element, version.tag("Reason"))
    etree.SubElement(reason, version.tag("Text"), {f"{{{_XML}}}lang": "en"}).text = error.sentence
    return etree.SubElement(element, version.tag("Detail"))


def _header12(envelope: etree._Element, error: GatewayError, version: SoapVersion) -> None:
    """SOAP 1.2 part 1 sections 5.4.7 (Upgrade) and 5.4.8 (NotUnderstood)."""
    if isinstance(error, VersionMismatch):
        header = etree.SubElement(envelope, version.tag("Header"))
        upgrade = etree.SubElement(header, version.tag("Upgrade"))
        for prefix, supported in (("soap", SoapVersion.SOAP12), ("soap11", SoapVersion.SOAP11)):
            etree.SubElement(
                upgrade,
                version.tag("SupportedEnvelope"),
                {"qname": f"{prefix}:Envelope"},
                nsmap={prefix: supported.namespace},
            )
    elif isinstance(error, BlockNotUnderstood) and len(error.tag) <= MAX_ECHO:
        header = etree.SubElement(envelope, version.tag("Header"))
        name = etree.QName(error.tag)
        known = {_XML: "xml", version.namespace: "soap"}
        nsmap = {} if name.namespace in known else {"block": name.namespace}
        qname = f"{known.get(str(name.namespace), 'block')}:{name.localname}"
        etree.SubElement(header, version.tag("NotUnderstood"), {"qname": qname}, nsmap=nsmap)


def _gateway_fault(detail: etree._Element, error: GatewayError, *, correlation_id: str) -> None:
    values: dict[str, str | None] = {
        "code": error.code,
        "group": error.group,
        "message": error.message,
        "correlationId": correlation_id,
        "retryable": "true" if error.retryable else "false",
        "field": error.field,
    }
    entry = etree.SubElement(detail, f"{{{TNS}}}GatewayFault", nsmap={"gw": TNS})
    for name, value in values.items():
        if value is not None:
            etree.SubElement(entry, f"{{{TNS}}}{name}").text = value
