# SPDX-License-Identifier: Apache-2.0
"""What every service counts, for Prometheus."""

from __future__ import annotations

from functools import lru_cache

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
    counter, histogram = _children(receiver, type_, outcome)
    counter.inc()
    histogram.observe(duration_s)


def observe_published(type_: str, by: str) -> None:
    """Count one stored message; *by* is `bus` or `outbox`."""
    _published_by(type_, by).inc()


# Looking a child up costs as much as the rest of the measurement; types and services are few.
@lru_cache(maxsize=1024)
def _children(receiver: str, type_: str, outcome: str) -> tuple[Counter, Histogram]:
    service = receiver.rpartition("/")[2]
    return _handled.labels(service, type_, outcome), _duration.labels(service, type_)


@lru_cache(maxsize=1024)
def _published_by(type_: str, by: str) -> Counter:
    return _published.labels(type_, by)


def exposition() -> bytes:
    """Return all metrics of this process in Prometheus' text format."""
    return generate_latest(REGISTRY)
