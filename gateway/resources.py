"""Where the committed files are: ``schemas``, ``wsdl`` and ``conf``, in a checkout or installed.

The law: what is served, validated against or copied is the committed file itself, byte for byte.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path


@cache
def resource(folder: str, name: str) -> bytes:
    """The bytes of a file of ``schemas``, ``wsdl`` or ``conf``."""
    return resource_path(folder, name).read_bytes()


def resource_path(folder: str, name: str) -> Path:
    checkout = Path(__file__).parents[1] / folder / name
    return checkout if checkout.is_file() else Path(sys.prefix) / "share" / "mobileid-gateway" / folder / name
