"""Documentation made from the code: ``python tests/pages.py`` renews it, a test compares it."""

from __future__ import annotations

from pathlib import Path

import operation_pages

from gateway.core.errors import GatewayError, RefusedError, RequestError, StateError, UnavailableError, leaves
from gateway.web import status_of

ROOT = Path(__file__).parents[1]
GROUPS: tuple[tuple[type[GatewayError], str], ...] = (
    (RequestError, "The caller must change something."),
    (StateError, "Look again: the world is not as the caller thought."),
    (RefusedError, "Policy or proof said no."),
    (UnavailableError, "Retry later, with the same request id."),
)


def faults() -> str:
    """docs/faults.md."""
    lines = [
        "# Faults",
        "",
        "Every fault carries a stable `code`, a `group` that says who must act, a sentence, a",
        "`correlationId` of 32 hexadecimal digits that stands in the gateway's log too, `retryable`, and",
        "where it helps the `field`. Over SOAP it is the detail element `GatewayFault`, over HTTP a problem",
        "document (RFC 9457). Codes may be added; decide what to do about an unknown one by its group.",
    ]
    for group, says in GROUPS:
        lines += ["", f"## {group.group}: {says[0].lower()}{says[1:]}", ""]
        lines += ["| code | HTTP | retryable | cause | remedy |", "|---|---|---|---|---|"]
        lines += [
            f"| `{leaf.code}` | {status_of(leaf())} | {'yes' if leaf.retryable else 'no'} | {leaf.sentence} "
            f"| {leaf.remedy} |"
            for leaf in leaves(group)
        ]
    return "\n".join([*lines, ""])


def pages() -> dict[Path, str]:
    return {ROOT / "docs" / "faults.md": faults(), **operation_pages.pages()}


if __name__ == "__main__":
    for old in operation_pages.FOLDER.glob("*.md"):
        old.unlink()
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
