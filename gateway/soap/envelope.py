"""The two SOAP versions: what their envelopes, media types and header attributes are called.

The law: SOAP 1.1 (W3C Note, 2000) sections 4 and 6; SOAP 1.2 part 1 (second edition) sections 2.2 and 5,
part 2 section 7. What may stand in an envelope is left to ``guard``, what goes wrong to ``faults``.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from lxml import etree

TNS: Final = "urn:mobileid-gateway:v1"
"""The namespace of the contract; its end is the major version."""


class SoapVersion(Enum):
    SOAP11 = ("http://schemas.xmlsoap.org/soap/envelope/", "text/xml")
    SOAP12 = ("http://www.w3.org/2003/05/soap-envelope", "application/soap+xml")

    def __init__(self, namespace: str, media_type: str) -> None:
        self.namespace = namespace
        self.media_type = media_type

    @property
    def content_type(self) -> str:
        return f"{self.media_type}; charset=utf-8"

    def tag(self, local: str) -> str:
        """The name of an element or attribute of this version's envelope."""
        return f"{{{self.namespace}}}{local}"

    def is_for_us(self, block: etree._Element) -> bool:
        """Whether a header block is targeted at the ultimate receiver, or at whoever is next."""
        if self is SoapVersion.SOAP11:
            return block.get(self.tag("actor"), "") in ("", "http://schemas.xmlsoap.org/soap/actor/next")
        role = block.get(self.tag("role"), "")
        return role in ("", f"{self.namespace}/role/ultimateReceiver", f"{self.namespace}/role/next")

    def must_understand(self, block: etree._Element) -> bool:
        """The value of mustUnderstand; ValueError for one that the version's schema does not have."""
        value = block.get(self.tag("mustUnderstand"), "0").strip(" \t\r\n")
        if value in ("0", "1"):
            return value == "1"
        if self is SoapVersion.SOAP12 and value in ("false", "true"):
            return value == "true"
        raise ValueError("mustUnderstand")


def serialise(document: etree._Element) -> bytes:
    return etree.tostring(document, xml_declaration=True, encoding="UTF-8")
