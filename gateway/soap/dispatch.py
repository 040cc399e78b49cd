"""Spyne behind the gate: from a validated envelope to a service method, and its result to an envelope.

The law: Spyne dispatches and (de)serialises, nothing else. It parses nothing (its href references,
xsi:type and own validation are off) and writes no fault: a service's error comes out of it as it was
raised. What it is given has passed ``guard`` and ``validation``.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from lxml import etree
from spyne import Application, Fault, MethodContext
from spyne.model.primitive import DateTime
from spyne.protocol.soap.soap11 import Soap11
from spyne.server import ServerBase

from gateway.core.errors import MisuseError
from gateway.core.model import format_time
from gateway.soap.envelope import TNS, SoapVersion
from gateway.soap.service import Call, MobileIdGateway


class _ServiceError(Fault):  # type: ignore[misc]
    """Carries what a service raised through Spyne, as its cause."""


class _Protocol(Soap11):  # type: ignore[misc]
    """Spyne's envelope of either version, without its parser."""

    def __init__(self, version: SoapVersion) -> None:
        super().__init__(validator=None, parse_xsi_type=False, polymorphic=False, cleanup_namespaces=False)
        self.ns_soap_env = version.namespace
        self.mime_type = version.content_type
        self._to_unicode_handlers[DateTime] = lambda _cls, value: format_time(value)

    def create_in_document(self, ctx: Any, charset: str | None = None) -> None:
        """Without the map of ids, so that no href injects what stands elsewhere."""
        ctx.in_document = (ctx.in_document, {})

    def byte_array_from_element(self, ctx: Any, cls: Any, element: etree._Element) -> tuple[bytes, ...]:
        """In one piece: Spyne would make a list of all characters first, eight bytes for each."""
        return (base64.b64decode(element.text or ""),)


class _Application(Application):  # type: ignore[misc]
    def call_wrapper(self, ctx: Any) -> Any:
        try:
            return super().call_wrapper(ctx)
        except Exception as error:
            raise _ServiceError() from error


class Dispatcher(ServerBase):  # type: ignore[misc]
    """The operations behind one version's envelope; safe for threads."""

    transport = "urn:mobileid-gateway:dispatcher"

    def __init__(self, version: SoapVersion) -> None:
        super().__init__(
            _Application(
                [MobileIdGateway],
                TNS,
                name=f"MobileIdGateway-{version.name}",
                in_protocol=_Protocol(version),
                out_protocol=_Protocol(version),
            )
        )
        self._envelope = version.tag("Envelope")
        self.app.interface.nsmap = {"soap": version.namespace, "gw": TNS}

    def run(self, body: etree._Element, *, call: Call) -> etree._Element:
        """The response's envelope; raises what the service raised. The Body alone goes on: it is taken out of
        its message."""
        envelope = etree.Element(self._envelope)
        envelope.append(body)
        initial = MethodContext(self, MethodContext.SERVER)
        initial.udc = call
        initial.in_document = envelope
        ctx = self.generate_contexts(initial)[0]
        if ctx.in_error is None:
            self.get_in_object(ctx)
        if ctx.in_error is not None:
            raise MisuseError("a validated request that Spyne cannot read") from ctx.in_error
        self.get_out_object(ctx)
        if ctx.out_error is not None:
            raise ctx.out_error.__cause__ or ctx.out_error
        ctx.out_protocol.serialize(ctx, message=ctx.out_protocol.RESPONSE)
        document: etree._Element = ctx.out_document
        ctx.close()
        return document


DISPATCHERS: Final = {version: Dispatcher(version) for version in SoapVersion}
