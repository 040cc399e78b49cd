"""What is measured, and its exposition to Prometheus.

The law: names and labels hold no ids of persons, no content and no credentials. Where the supervisor names a
folder (PROMETHEUS_MULTIPROC_DIR), every process counts there and any of them answers for all.
"""

from __future__ import annotations

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client import REGISTRY as PROCESS
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

REQUESTS = Counter("gateway_requests", "Requests by their outcome.", ["face", "operation", "outcome"])
SECONDS = Histogram(
    "gateway_request_seconds",
    "Time from the first byte to the answer; calls that wait, wait in it.",
    ["face"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
RATE_REFUSALS = Counter(
    "gateway_rate_refusals",
    "Requests beyond a rate: of an address, or of the caller that is named.",
    ["budget", "caller"],
)
TRANSACTIONS = Gauge(
    "gateway_transactions_open",
    "Transactions that are not final, by relying party and state.",
    ["relying_party", "state"],
    multiprocess_mode="mostrecent",
)
WAKES = Gauge(
    "gateway_wakes_due", "Wake-ups not sent yet.", ["relying_party"], multiprocess_mode="mostrecent"
)
CALLBACKS = Gauge(
    "gateway_callbacks",
    "Callbacks that their bank has not accepted: pending, or dead (given up).",
    ["relying_party", "state"],
    multiprocess_mode="mostrecent",
)
CALLBACK_AGE = Gauge(
    "gateway_callbacks_oldest_seconds",
    "Age of the oldest event that its bank was not told of yet; 0 without one.",
    ["relying_party"],
    multiprocess_mode="mostrecent",
)
CERTIFICATES = Gauge(
    "gateway_certificate_end_seconds",
    "When a certificate or CRL ends, in seconds since 1970.",
    ["role"],
    multiprocess_mode="mostrecent",
)


def exposition() -> tuple[bytes, str]:
    """All processes' metrics, and their content type."""
    if FOLDER_VARIABLE not in os.environ:
        return generate_latest(PROCESS), CONTENT_TYPE_LATEST
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST
