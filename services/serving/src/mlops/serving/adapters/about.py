# SPDX-License-Identifier: Apache-2.0
"""What a replica tells of itself: facts at `/v2`, its paths at `/openapi.json`, its counters at `/metrics`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from mlops.contracts.latency import EDGES_MS
from mlops.serving.adapters.counters import Counters
from mlops.serving.adapters.replies import Reply, Request, Route, Routes, reply_of

_PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"
# Every second edge is fine enough for a panel, and half as long a page.
_SHOWN = range(0, len(EDGES_MS), 2)


class Told:
    """Answers `/openapi.json` and `/metrics`."""

    def __init__(self, counters: Counters, description: Callable[[], dict[str, Any]]) -> None:
        self._counters = counters
        self._description = description
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Figures(counters))

    def routes(self) -> Routes:
        """Return both paths."""
        return {
            ("GET", "/openapi.json"): Route(self._describe, needs="read"),
            ("GET", "/metrics"): Route(self._measure, needs="read"),
        }

    async def _describe(self, _: Request) -> Reply:
        return reply_of(self._description())

    async def _measure(self, _: Request) -> Reply:
        page = await asyncio.to_thread(generate_latest, self._registry)
        return Reply(page, media_type=_PROMETHEUS)


class _Figures:
    """The counters as Prometheus reads them, at the moment it asks."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def collect(self) -> list[Metric]:
        """Return every figure, with the replica it is of."""
        report = self._counters.report()
        labels = {name: str(report[name]) for name in ("model", "version", "replica")}
        counted = {
            "requests": "Requests for the model.",
            "errors": "Requests answered with a status of 500 or more.",
            "shed": "Requests turned away with 429.",
            "answered": "Rows answered.",
            "dropped": "Predictions that could not be logged.",
        }
        found: list[Metric] = [
            _counter(name, text, labels, report.get(name, 0)) for name, text in counted.items()
        ]
        found.append(
            _gauge("waiting_requests", "Requests that wait.", labels, report.get("waiting"))
        )
        found.append(_gauge("memory_bytes", "Memory of its own.", labels, report["memory_bytes"]))
        found.append(_histogram(self._counters.latencies.counts, self._counters.total_ms, labels))
        return found


def facts(
    args: Mapping[str, Any], packed: Mapping[str, Any], now: Callable[[], Mapping[str, Any]]
) -> Callable[[], dict[str, Any]]:
    """Return what tells who answers, and *now* how it does."""
    fixed = {
        "project": args["project"],
        "model": args["model"],
        "model_version": args["version"],
        "bento_tag": args["bento_tag"],
        **{key: packed.get(key, "") for key in ("backend", "backend_reason", "format", "task")},
        "pid": os.getpid(),
    }
    return lambda: {**fixed, **now()}


def _counter(name: str, text: str, labels: dict[str, str], value: float) -> Metric:
    family = CounterMetricFamily(f"serving_replica_{name}", text, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def _gauge(name: str, text: str, labels: dict[str, str], value: float | None) -> Metric:
    family = GaugeMetricFamily(f"serving_replica_{name}", text, labels=list(labels))
    if value is not None:  # what nobody can tell is no zero
        family.add_metric(list(labels.values()), value)
    return family


def _histogram(counts: list[int], total_ms: float, labels: dict[str, str]) -> Metric:
    family = HistogramMetricFamily(
        "serving_replica_latency_seconds", "Time in the replica.", labels=list(labels)
    )
    upto = list(accumulate(counts))
    buckets = [(f"{EDGES_MS[place] / 1000:.6g}", float(upto[place])) for place in _SHOWN]
    buckets.append(("+Inf", float(upto[-1])))
    family.add_metric(list(labels.values()), buckets, total_ms / 1000)
    return family
