"""The table of SOAP clients: of this WSDL and these clients, by a judge that can say no. No client runs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

INTEROP = Path(__file__).parent / "interop"
sys.path.append(str(INTEROP))

import matrix  # noqa: E402
from run import CLIENTS, VERSIONS, Seen, uncovered  # noqa: E402
from wire import Exchange, exchanges  # noqa: E402

NS = "urn:mobileid-gateway:v1"
DEVICE = (
    f'<GetDeviceResponse xmlns="{NS}"><device><deviceId>d-1</deviceId><name>Zoë</name><state>ACTIVE</state>'
    "<lockedMethod>pin</lockedMethod><boundAt>2026-05-04T10:00:00Z</boundAt><failedTries>0</failedTries>"
    "<passed>true</passed></device></GetDeviceResponse>"
)
SAID = {
    "deviceId": "d-1",
    "name": "Zoë",
    "state": "ACTIVE",
    "lockedMethod": ["pin"],
    "boundAt": "2026-05-04T15:45:00+05:45",
    "failedTries": 0,
    "passed": True,
    "lastUsedAt": None,
}


def published() -> list[list[str]]:
    """The rows of the page's last table: operations by clients."""
    *_, table = matrix.written().removesuffix(matrix.END).strip().split("\n\n")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_the_page_has_the_operations_of_the_wsdl() -> None:
    _, _, *rows = published()
    assert [row[0] for row in rows] == matrix.operations()
    assert len(rows) > 20


def test_the_page_has_every_client_with_what_it_must_do() -> None:
    (_, *names), _, *rows = published()
    assert names == [client.name for client in CLIENTS]
    for column, client in enumerate(CLIENTS, start=1):
        for version in VERSIONS:
            done = {row[0] for row in rows if version in row[column].split()}
            assert not matrix.missing(done, whole=client.whole, listed=matrix.operations()), client.name
    assert {"zeep", "Apache CXF"} <= {client.name for client in CLIENTS if client.whole}


def test_every_operation_has_what_it_is_for() -> None:
    assert sorted([*matrix.OUTCOMES, *matrix.DECIDED]) == sorted(matrix.operations())


@pytest.mark.parametrize("said", [{"device": SAID}, SAID], ids=["as sent", "unwrapped"])
def test_what_a_program_read_is_what_was_sent(said: dict[str, Any]) -> None:
    assert not list(matrix.differences(said, etree.fromstring(DEVICE)))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "ZoÃ«"},
        {"name": None},
        {"state": ""},
        {"lockedMethod": []},
        {"lockedMethod": ["pin", "pin"]},
        {"boundAt": "2026-05-04T10:00:00+05:45"},
        {"boundAt": "2026-05-04T10:00:00"},
        {"failedTries": 1},
        {"failedTries": False},
        {"passed": False},
        {"passed": "yes"},
        {"more": "than was sent"},
        {"deviceId": {"id": "d-1"}},
    ],
    ids=str,
)
def test_what_was_read_otherwise_is_told(change: dict[str, Any]) -> None:
    assert list(matrix.differences({"device": SAID | change}, etree.fromstring(DEVICE)))


def judged(**otherwise: Any) -> tuple[set[str], list[str]]:
    line: Mapping[str, Any] = {"operation": "GetDevice", "response": SAID}
    usual: dict[str, Any] = {
        "said": [line],
        "wire": [Exchange("1.1", "GetDevice", etree.fromstring(DEVICE), fault=False)],
        "logged": {"GetDevice": 1},
        "approved": set(),
    }
    arguments = usual | otherwise
    return matrix.covered(arguments.pop("said"), **arguments)


def test_an_operation_counts_where_all_agree() -> None:
    assert judged() == ({"GetDevice"}, [])


@pytest.mark.parametrize(
    "otherwise",
    [
        {"said": []},
        {"said": [{"operation": "GetDevice", "response": SAID | {"state": "LOCKED"}}]},
        {"said": [{"operation": "GetDevice", "fault": SAID}]},
        {"wire": []},
        {"wire": [Exchange("1.1", "GetDevice", etree.fromstring(DEVICE), fault=True)]},
        {"wire": [Exchange("1.1", "GetDevice", etree.fromstring(DEVICE), fault=False)] * 2},
        {"logged": {}},
        {"logged": {"GetDevice": 2}},
    ],
    ids=[
        *("unsaid", "read otherwise", "a fault said", "not sent", "a fault sent", "sent twice"),
        *("not logged", "logged twice"),
    ],
)
def test_an_operation_does_not_count_where_one_disagrees(otherwise: dict[str, Any]) -> None:
    done, wrong = judged(**otherwise)
    assert not done
    assert wrong[0].startswith("GetDevice: ")


def test_an_answer_without_what_the_operation_is_for_does_not_count() -> None:
    locked = etree.fromstring(DEVICE.replace("ACTIVE", "LOCKED"))
    line = {"operation": "GetDevice", "response": SAID | {"state": "LOCKED"}}
    done, wrong = judged(said=[line], wire=[Exchange("1.1", "GetDevice", locked, fault=False)])
    assert not done
    assert wrong == ["GetDevice: no state is ACTIVE: ['LOCKED']"]


def test_a_start_counts_only_with_a_transaction_that_was_approved_and_seen_completed() -> None:
    def answer(operation: str, state: str) -> tuple[Exchange, dict[str, Any]]:
        fields = {"transactionId": "t-1", "state": state}
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
        element = etree.fromstring(f'<r xmlns="{NS}"><transaction>{inner}</transaction></r>')
        return Exchange("1.2", operation, element, fault=False), {"operation": operation, "response": fields}

    both = [answer("StartAuthentication", "REQUESTED"), answer("GetTransaction", "COMPLETED")]
    walk: dict[str, Any] = {
        "said": [line for _, line in both],
        "wire": [exchange for exchange, _ in both],
        "logged": {"StartAuthentication": 1, "GetTransaction": 1},
    }
    assert judged(**walk, approved={"t-1"}) == ({"StartAuthentication", "GetTransaction"}, [])
    assert judged(**walk, approved={"t-2"})[0] == {"GetTransaction"}


def test_what_no_program_does_is_named() -> None:
    one, *rest = matrix.operations()
    seen = Seen(CLIENTS[0], done={"1.1": set(rest)})
    assert uncovered([seen]) == [f"{one}: no program does it"]
    assert matrix.missing(set(rest), whole=True, listed=matrix.operations()) == [one]
    assert matrix.missing(set(), whole=False, listed=()) == list(matrix.KINDS)


def test_the_wire_is_read_as_http_has_it() -> None:
    def envelope(inner: str) -> bytes:
        return f'<e:Envelope xmlns:e="urn:e"><e:Body>{inner}</e:Body></e:Envelope>'.encode()

    asked, got = envelope("<GetDevice/>"), envelope("<GetDeviceResponse><a/></GetDeviceResponse>")
    fault = envelope("<e:Fault><detail><GatewayFault/></detail></e:Fault>")
    post = b"POST /soap/v1 HTTP/1.1\r\nContent-Type: application/soap+xml; charset=utf-8\r\n"
    sent = b"GET /soap/v1?wsdl HTTP/1.1\r\n\r\n" + post
    sent += b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(asked), asked)
    sent += post + b"Content-Length: %d\r\n\r\n%b" % (len(asked), asked)
    answered = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    for line, body in ((b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK", got), (b"HTTP/1.1 500 No", fault)):
        answered += line + b"\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    first, second = exchanges(bytearray(sent), bytearray(answered))
    assert (first.version, first.operation, first.fault) == ("1.2", "GetDevice", False)
    assert (first.answer.tag, second.answer.tag, second.fault) == ("GetDeviceResponse", "GatewayFault", True)
