# SPDX-License-Identifier: Apache-2.0
"""PrometheusMeter: the gateway's counters beside those of the chassis at /metrics."""

from __future__ import annotations

from collections import OrderedDict

from prometheus_client import CollectorRegistry, Counter, Histogram

_MOST_VERSIONS = 256
_OUTCOMES = ("ok", "rejected", "failed")
_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30)


class PrometheusMeter:
    """Counters in a registry; make one per registry. Versions that nobody asks any more are forgotten."""

    def __init__(self, registry: CollectorRegistry, *, most_versions: int = _MOST_VERSIONS) -> None:
        self._most_versions = most_versions
        self._known: OrderedDict[tuple[str, str, str], None] = OrderedDict()
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
        self._know(project, model, version)

    def took(self, project: str, model: str, version: str, seconds: float) -> None:
        """Record how long the caller waited."""
        self._durations.labels(project, model, version).observe(seconds)
        self._know(project, model, version)

    def retried(self, project: str, model: str) -> None:
        """Count a second try."""
        self._retries.labels(project, model).inc()

    def _know(self, project: str, model: str, version: str) -> None:
        # A new version every few hours makes a thousand a year, with twenty series each.
        self._known[project, model, version] = None
        self._known.move_to_end((project, model, version))
        if len(self._known) > self._most_versions:
            old, _ = self._known.popitem(last=False)
            self._durations.remove(*old)
            for outcome in _OUTCOMES:
                self._requests.remove(*old, outcome)
