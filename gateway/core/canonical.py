"""Writing XML that already is its own exclusive canonical form (Exclusive XML Canonicalization 1.0).

The law: ``element`` writes start and end tags always, attributes in the order given (the caller
gives canonical order: namespace declarations, then names), double quotes, and escapes exactly as
Canonical XML 1.1 section 2.3 says. What may be written is left to the callers.
"""

from __future__ import annotations

import base64

_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;"})
_ATTRIBUTE = str.maketrans(
    {"&": "&amp;", "<": "&lt;", '"': "&quot;", "\t": "&#x9;", "\n": "&#xA;", "\r": "&#xD;"}
)


def text(value: str) -> str:
    """Character content, escaped."""
    return value.translate(_TEXT)


def element(tag: str, *children: str, **attributes: str) -> str:
    """One element of finished children; ``xmlns_ev`` writes ``xmlns:ev``."""
    written = "".join(
        f' {name.replace("_", ":")}="{value.translate(_ATTRIBUTE)}"' for name, value in attributes.items()
    )
    return f"<{tag}{written}>{''.join(children)}</{tag}>"


def leaf(tag: str, value: str, **attributes: str) -> str:
    """One element that holds text alone."""
    return element(tag, value.translate(_TEXT), **attributes)


def b64(data: bytes) -> str:
    """RFC 4648 section 4, padded, one line."""
    return base64.b64encode(data).decode("ascii")


def unb64(value: str) -> bytes:
    """The inverse of b64 for its one spelling; raises ValueError for every other."""
    data = base64.b64decode(value.encode("ascii"), validate=True)
    if b64(data) != value:
        raise ValueError("not canonical base64")
    return data
