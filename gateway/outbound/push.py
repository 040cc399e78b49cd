"""Wake-ups to devices through a push relay over HTTP(S).

The law (RTS article 5(2)): a push carries an opaque id and nothing else; the app then asks the gateway
itself. The relay speaks to the phone makers' services; which ones is left to it.
"""

from __future__ import annotations

import http.client
import json
import urllib.request
from urllib.parse import urlsplit
from uuid import UUID

from gateway.core.errors import PushUnavailable

TIMEOUT_SECONDS = 5.0


LOCAL = ("127.0.0.1", "::1", "localhost")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object, **keywords: object) -> None:
        return None


class HttpPushSender:
    """POSTs ``{"target": ..., "id": ...}`` to a relay; 2xx means taken. No redirect, no proxy is followed."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        local = parts.scheme == "http" and parts.hostname in LOCAL
        if not (parts.scheme == "https" or local) or not parts.hostname or "@" in parts.netloc:
            raise ValueError("push.relay: an https address without a user, or http on this machine")
        self._url = url
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect).open

    def send(self, target: str, *, wake_id: UUID) -> None:
        """Raises PushUnavailable where the relay did not take it."""
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
            self._url,
            data=json.dumps({"target": target, "id": str(wake_id)}).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        try:
            with self._open(request, timeout=TIMEOUT_SECONDS) as answer:
                answer.read(4096)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise PushUnavailable() from error
