"""Part 2: one SOAP call in this process, against bare lxml.

The law: the whole face with its gate, authentication, validation, dispatch and log line, over a canned
service; against one parse, one validation of the request by the committed schema, and one serialisation of
the same answer's tree.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from lxml import etree
from rounds import Subject, compare
from soap_support import REQUESTS, SOAP11, Services, envelope, gateway_schema, make_app, post

OPERATIONS = ("Heartbeat", "GetTransaction")
_canned = pytest.MonkeyPatch()


def canned(operation: str) -> tuple[Callable[[], bytes], bytes]:
    """A call through the face, and its answer; the services are canned from now on."""
    Services().install(_canned)
    app, data = make_app(), envelope(REQUESTS[operation])
    first = post(app, operation)

    def call() -> bytes:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/soap/v1",
            "QUERY_STRING": "",
            "CONTENT_TYPE": SOAP11.content_type,
            "CONTENT_LENGTH": str(len(data)),
            "wsgi.input": io.BytesIO(data),
        }
        return b"".join(app(environ, lambda status, headers: None))

    if call() != first.body:
        raise AssertionError("another answer")
    return call, first.body


def restore() -> None:
    """The real services again."""
    _canned.undo()


def bare(operation: str, answer: bytes) -> Callable[[], bytes]:
    data, response, schema = envelope(REQUESTS[operation]), etree.fromstring(answer), gateway_schema()

    def call() -> bytes:
        request = etree.fromstring(data)
        if not schema.validate(request[-1][0]):
            raise ValueError("not valid")
        return etree.tostring(response, xml_declaration=True, encoding="UTF-8")

    if call() != answer:
        raise AssertionError("another answer")
    return call


def measure(*, rounds: int, calls: int) -> list[str]:
    def repeat(call: Callable[[], bytes]) -> Callable[[int], None]:
        def run(number: int) -> None:
            for _ in range(calls):
                call()

        return run

    tables = []
    for operation in OPERATIONS:
        call, answer = canned(operation)
        tables.append(
            compare(
                f"SOAP call in process, {operation}",
                Subject("gateway: soap_app", repeat(call), calls),
                Subject("bare lxml: parse, validate, serialise", repeat(bare(operation, answer)), calls),
                rounds=rounds,
            )
        )
    return tables
