"""Which operation counts for which client, and the table of it.

The law: an operation counts for a program in a version where three agree. The WSDL lists it; the gateway's
log has it as OK from that program's caller, as often as it went over the wire; and the program said each
answer, every field of it and nothing more, with what the operation is for among them. A client that is tried
whole needs every operation; another, one of each kind. An operation that no program covers is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from lxml import etree
from wire import Exchange

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "soap-clients.md"
BEGIN, END = "<!-- matrix: as make interop wrote it -->", "<!-- end of matrix -->"
_WSDL = {"wsdl": "http://schemas.xmlsoap.org/wsdl/"}
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

KINDS: Mapping[str, tuple[str, ...]] = {
    "registration": ("StartRegistration",),
    "authentication": ("StartAuthentication",),
    "authorisation": ("StartAuthorisation",),
    "consent signature": ("StartConsentSignature",),
    "text signature": ("StartTextSignature",),
    "redeem": ("RedeemAuthenticationCode",),
    "evidence": ("GetEvidence",),
    "device": ("ListDevices", "GetDevice", "RenameDevice", "LockDevice", "UnlockDevice", "RevokeDevice"),
}
"""What every client does, by any one operation of each."""
DECIDED = ("StartAuthentication", "StartAuthorisation", "StartConsentSignature", "StartTextSignature")
"""Each with a transaction that the person approved, and that the program saw COMPLETED."""
OUTCOMES: Mapping[str, tuple[str, str]] = {
    "Heartbeat": ("database", "true"),
    "StartRegistration": ("state", "PENDING"),
    "GetRegistration": ("state", "ACTIVATED"),
    "IssueRegistrationArtifact": ("state", "ISSUED"),
    "GetTransaction": ("state", "COMPLETED"),
    "CancelTransaction": ("state", "CANCELLED"),
    "RedeemAuthenticationCode": ("redeemedAt", ""),
    "GetAuthorisationProof": ("document", ""),
    "GetEvidence": ("document", ""),
    "VerifyEvidence": ("indication", "TOTAL-PASSED"),
    "ListDevices": ("state", "ACTIVE"),
    "GetDevice": ("state", "ACTIVE"),
    "RenameDevice": ("name", "Zweitgerät"),
    "LockDevice": ("state", "LOCKED"),
    "UnlockDevice": ("state", "ACTIVE"),
    "RevokeDevice": ("state", "REVOKED"),
    "GetDeviceHistory": ("event", "UNLOCK"),
    "StartPinReset": ("state", "PENDING"),
    "GetPinReset": ("state", "COMPLETED"),
}
"""What at least one answer must have: an element, and its text where only one will do."""


def operations() -> list[str]:
    """Those of the WSDL's port type, in its order."""
    wsdl = etree.parse(ROOT / "wsdl" / "mobileid-gateway.wsdl")
    return [str(name) for name in wsdl.xpath("//wsdl:portType/wsdl:operation/@name", namespaces=_WSDL)]


def differences(said: Any, element: Any, *, path: str = "") -> Iterator[str]:
    """Where what a program said of an answer is not what the answer was.

    Stacks that unwrap an answer of one element may say what is in it. What is absent may be null.
    """
    children: dict[str, list[Any]] = {}
    for child in element:
        children.setdefault(etree.QName(child).localname, []).append(child)
    if not children and not isinstance(said, dict):
        if not _same(said, element.text or ""):
            yield f"{path}: {said!r} is not {element.text!r}"
        return
    if not path and len(children) == 1 and not (isinstance(said, dict) and children.keys() & said.keys()):
        said = dict.fromkeys(children, said)
    if not isinstance(said, dict):
        yield f"{path}: {said!r} is no {etree.QName(element).localname}"
        return
    for name in children.keys() | said.keys():
        value = said.get(name)
        values = value if isinstance(value, list) else [] if value is None else [value]
        found = children.get(name, [])
        if len(values) != len(found):
            yield f"{path}/{name}: {len(values)} said, {len(found)} sent"
        for one, child in zip(values, found, strict=False):
            yield from differences(one, child, path=f"{path}/{name}")


def _same(said: Any, sent: str) -> bool:
    """Instants are compared as such, and need their zone; all else by how XML writes it."""
    if isinstance(said, bool):
        return sent == str(said).lower()
    if isinstance(said, str) and _INSTANT.fullmatch(sent):
        try:
            return datetime.fromisoformat(said) == datetime.fromisoformat(sent)
        except ValueError:
            return False
    return str(said) == sent


def covered(
    said: Sequence[Mapping[str, Any]],
    *,
    wire: Sequence[Exchange],
    logged: Mapping[str, int],
    approved: set[str],
) -> tuple[set[str], list[str]]:
    """The operations that count, and why others do not; ``logged``: how often each was logged as OK."""
    counts, wrong = set(), []
    for operation in dict.fromkeys([*(line["operation"] for line in said), *logged]):
        answers = [e.answer for e in wire if e.operation == operation and not e.fault]
        lines = [line["response"] for line in said if line["operation"] == operation and "response" in line]
        if not (answers or lines or logged.get(operation)):
            continue  # all that there was is a fault
        faults = [f"it was answered {len(answers)} times, and said {len(lines)}"] * (
            len(lines) != len(answers)
        )
        if logged.get(operation, 0) != len(answers):
            faults.append(
                f"it was answered {len(answers)} times, and logged {logged.get(operation, 0)} times"
            )
        faults += _compared(lines, answers)
        if operation in OUTCOMES:
            faults += _outcome(answers, *OUTCOMES[operation])
        elif operation not in DECIDED:
            faults.append("nothing says what it is for")
        elif not approved & _completed(wire) & _ids(answers):
            faults.append("none of its transactions was approved and seen COMPLETED")
        if faults:
            wrong += [f"{operation}: {fault}" for fault in faults[:3]]
        else:
            counts.add(operation)
    return counts, wrong


def _compared(lines: Sequence[Any], answers: Sequence[Any]) -> list[str]:
    """Connections are several, so that answers may be in another order than they were said in."""
    left, wrong = list(answers), []
    for line in lines:
        judged = [(list(differences(line, answer)), answer) for answer in left]
        faults, answer = min(judged, key=lambda pair: len(pair[0]), default=([], None))
        wrong += faults
        if answer is not None:
            left.remove(answer)
    return wrong


def _outcome(answers: Sequence[Any], name: str, text: str) -> list[str]:
    found = [element.text for answer in answers for element in answer.iter(f"{{*}}{name}")]
    return [] if text in found or (found and not text) else [f"no {name} is {text or 'there'}: {found}"]


def _ids(answers: Sequence[Any]) -> set[str]:
    return {answer.findtext(".//{*}transactionId") for answer in answers}


def _completed(wire: Sequence[Exchange]) -> set[str]:
    seen = [e.answer for e in wire if e.operation == "GetTransaction" and not e.fault]
    return _ids([answer for answer in seen if answer.findtext(".//{*}state") == "COMPLETED"])


def missing(done: set[str], *, whole: bool, listed: Sequence[str]) -> list[str]:
    """What a client did not do."""
    if whole:
        return [operation for operation in listed if operation not in done]
    return [kind for kind, any_of in KINDS.items() if not done & set(any_of)]


def cell(versions: Sequence[str]) -> str:
    return " ".join(versions) or "-"


def block(tables: Sequence[Sequence[Sequence[str]]]) -> str:
    """Tables in markdown, between the marks of the page."""
    parts = [BEGIN, ""]
    for rows in tables:
        lines = [f"| {' | '.join(row)} |" for row in rows]
        parts += [lines[0], "|---" * len(rows[0]) + "|", *lines[1:], ""]
    return "\n".join([*parts, END])


def written(page: Path = PAGE) -> str:
    """The block as the page has it."""
    found = page.read_text(encoding="utf-8")
    return found[found.index(BEGIN) : found.index(END) + len(END)]


def write(text: str, page: Path = PAGE) -> None:
    found = page.read_text(encoding="utf-8")
    page.write_text(found.replace(written(page), text), encoding="utf-8")
