# SPDX-License-Identifier: Apache-2.0
"""What every service counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry()

_handled = Counter(
    "chassis_messages_handled_total",
    "Messages handled.",
    ["service", "type", "outcome"],
    registry=REGISTRY,
)
_duration = Histogram(
    "chassis_message_duration_seconds",
    "Time in a handler.",
    ["service", "type"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60),
    registry=REGISTRY,
)
_published = Counter(
    "chassis_messages_published_total", "Messages stored.", ["type", "by"], registry=REGISTRY
)
outbox_messages = Gauge(
    "chassis_outbox_messages",
    "Messages that wait in the local outbox for the bus.",
    registry=REGISTRY,
)
source_failures = Counter(
    "chassis_source_failures_total",
    "Times a source was started again.",
    ["source"],
    registry=REGISTRY,
)


def observe_handled(receiver: str, type_: str, outcome: str, duration_s: float) -> None:
    """Count one handled copy."""
    service = receiver.rpartition("/")[2]
    _handled.labels(service, type_, outcome).inc()
    _duration.labels(service, type_).observe(duration_s)


def observe_published(type_: str, by: str) -> None:
    """Count one stored message; *by* is `bus` or `outbox`."""
    _published.labels(type_, by).inc()


def exposition() -> bytes:
    """Return all metrics of this process in Prometheus' text format."""
    return generate_latest(REGISTRY)
