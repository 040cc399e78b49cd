"""WS-Addressing 1.0 on the one connection that there is: read from requests, written into answers.

The law (WS-Addressing 1.0 Core section 3, SOAP Binding section 6): each block at most once; Action names the
Body's operation; To is this endpoint's; answers go back where the request came from, so ReplyTo and FaultTo
are anonymous. An answer has Action, MessageID and, to a request that has a MessageID, RelatesTo. That they
are signed is left to ``security``.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

from lxml import etree

from gateway.core.errors import AddressingNotSupported
from gateway.core.wssecurity import MAX_MESSAGE_ID
from gateway.soap.envelope import TNS

_WSA: Final = "http://www.w3.org/2005/08/addressing"
ANONYMOUS: Final = f"{_WSA}/anonymous"
_ENDPOINTS: Final = ("From", "ReplyTo", "FaultTo")
BLOCKS: Final = frozenset(
    f"{{{_WSA}}}{name}" for name in ("Action", "To", "MessageID", "RelatesTo", *_ENDPOINTS)
)
FAULT_ACTION: Final = f"{_WSA}/fault"
PORT_TYPE: Final = "MobileIdGateway"
"""Of the WSDL: part of an answer's Action (WS-Addressing 1.0 Metadata section 4.4.4)."""


@dataclass(frozen=True, slots=True)
class Addressing:
    """The blocks of one request; nothing of it is authenticated."""

    blocks: tuple[etree._Element, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.blocks)

    def value(self, name: str) -> str | None:
        """The text of the first block of this name; None where none stands."""
        for block in self.blocks:
            if block.tag == f"{{{_WSA}}}{name}":
                if len(block):
                    raise AddressingNotSupported()
                return (block.text or "").strip(" \t\r\n")
        return None

    def check(self, *, address: str) -> None:
        """Raises AddressingNotSupported; Action is compared with the Body where the SOAPAction is."""
        if self.value("To") not in (None, address, ANONYMOUS):
            raise AddressingNotSupported("To is not this endpoint.")
        for name in ("ReplyTo", "FaultTo"):
            for block in self.blocks:
                if block.tag == f"{{{_WSA}}}{name}":
                    where = block.findtext(f"{{{_WSA}}}Address") or ""
                    if where.strip(" \t\r\n") != ANONYMOUS:
                        raise AddressingNotSupported("An answer goes back on the same connection alone.")
        for tag in BLOCKS:
            if sum(block.tag == tag for block in self.blocks) > 1:
                raise AddressingNotSupported()


def addressing_of(headers: tuple[etree._Element, ...]) -> Addressing:
    return Addressing(tuple(block for block in headers if block.tag in BLOCKS))


def answer(header: etree._Element, *, to: Addressing, operation: str | None) -> list[etree._Element]:
    """Writes the blocks of the answer: of an operation's response, or of a fault."""
    action = FAULT_ACTION if operation is None else f"{TNS}:{PORT_TYPE}:{operation}Response"
    values = {"Action": action, "MessageID": f"urn:uuid:{uuid.uuid4()}"}
    ids = [block.text for block in to.blocks if block.tag == f"{{{_WSA}}}MessageID"]
    # a stranger's too, so no more of it than a caller may send
    if len(ids) == 1 and ids[0] and len(ids[0]) <= MAX_MESSAGE_ID:
        values["RelatesTo"] = ids[0].strip(" \t\r\n")
    blocks = []
    for name, value in values.items():
        block = etree.SubElement(header, f"{{{_WSA}}}{name}", nsmap={"wsa": _WSA})
        block.text = value
        blocks.append(block)
    return blocks
