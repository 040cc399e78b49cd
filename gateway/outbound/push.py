"""Wake-ups to devices through a push relay over HTTP(S).

The law (RTS article 5(2)): a push carries an opaque id and nothing else; the app then asks the gateway
itself. The relay speaks to the phone makers' services; which ones is left to it.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from uuid import UUID

from gateway.core.errors import UnavailableError

TIMEOUT_SECONDS = 5.0


class HttpPushSender:
    """POSTs ``{"target": ..., "id": ...}`` to a relay; 2xx means taken."""

    def __init__(self, url: str) -> None:
        if not url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            raise ValueError("the push relay's address is https, or http on this machine")
        self._url = url

    def send(self, target: str, *, wake_id: UUID) -> None:
        """Raises UnavailableError where the relay did not take it."""
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
            self._url,
            data=json.dumps({"target": target, "id": str(wake_id)}).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
                answer.read(4096)
        except (OSError, urllib.error.URLError) as error:
            raise UnavailableError() from error
