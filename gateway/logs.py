"""Logging: one JSON object a line on standard output, nothing forged by input, nothing personal.

The law: an event is a fixed word with fields; values are JSON-encoded, so no input makes a line. What
may be a field is for each caller to hold: ids, codes, counts and times, never content or names.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logging() -> None:
    """For a process of the gateway; libraries' own logging stays below WARNING."""
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stdout, format='{"event": "library", "name": "%(name)s"}'
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
