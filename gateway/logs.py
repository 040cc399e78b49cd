"""Logging: one JSON object a line on standard output, nothing forged by input, nothing personal.

The law: an event is a fixed word with fields; values are JSON-encoded, so no input makes a line. What
may be a field is for each caller to hold: ids, codes, counts and times, never content or names. Of what
libraries log, the web server's messages are kept; of the others only that they spoke.
"""

from __future__ import annotations

import json
import logging
import logging.config
import sys
from datetime import UTC, datetime
from typing import Any

import structlog

SERVER_LOGGER = "_granian"


class JsonFormatter(logging.Formatter):
    """A library's record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        said = {"message": record.getMessage()} if record.name == SERVER_LOGGER else {}
        value = {
            "event": "library",
            "logger": record.name,
            "level": record.levelname.lower(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
        }
        return json.dumps(value | said)


LIBRARIES: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonFormatter}},
    "handlers": {
        "out": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"}
    },
    "loggers": {SERVER_LOGGER: {"handlers": ["out"], "level": "WARNING", "propagate": False}},
    "root": {"handlers": ["out"], "level": "WARNING"},
}
"""For logging.config.dictConfig."""


def _line(event: Any, **options: Any) -> bytes:
    """Bytes, so that a line leaves in one write, whole, whichever thread or process wrote beside it."""
    return json.dumps(event, **options).encode()


def configure_logging() -> None:
    """For a process of the gateway."""
    logging.config.dictConfig(LIBRARIES)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=_line),
        ],
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
