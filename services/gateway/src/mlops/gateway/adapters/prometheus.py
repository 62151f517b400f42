# SPDX-License-Identifier: Apache-2.0
"""PrometheusMeter: the gateway's counters beside those of the chassis at /metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30)


class PrometheusMeter:
    """Counters in a registry; make one per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["project", "model", "version"]
        self._requests = Counter(
            "gateway_requests_total",
            "Inference requests, by how they ended.",
            [*labels, "outcome"],
            registry=registry,
        )
        self._durations = Histogram(
            "gateway_request_duration_seconds",
            "How long callers of inference waited.",
            labels,
            buckets=_BUCKETS,
            registry=registry,
        )
        self._retries = Counter(
            "gateway_retries_total", "Second tries.", ["project", "model"], registry=registry
        )

    def count(self, project: str, model: str, version: str, outcome: str) -> None:
        """Count a request and how it ended."""
        self._requests.labels(project, model, version, outcome).inc()

    def took(self, project: str, model: str, version: str, seconds: float) -> None:
        """Record how long the caller waited."""
        self._durations.labels(project, model, version).observe(seconds)

    def retried(self, project: str, model: str) -> None:
        """Count a second try."""
        self._retries.labels(project, model).inc()
