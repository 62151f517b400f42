# SPDX-License-Identifier: Apache-2.0
"""The figures of serving for Prometheus, made when asked for; what nobody knows is left out, never 0."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry

from mlops.contracts.latency import EDGES_MS
from mlops.serving.ports import RoomFigures, Shown

_VERSION = ("project", "model", "version")
# Every fourth edge: each is twice the one before, and what lies between is still counted.
_STEP = 4
_COUNTERS = {
    "serving_requests": ("Requests for inference.", "requests"),
    "serving_request_errors": ("Requests that failed by the server's fault.", "errors"),
    "serving_requests_shed": ("Requests turned away because too many waited.", "shed"),
    "serving_predictions": ("Rows answered.", "answered"),
    "serving_predictions_dropped": ("Predictions that could not be logged.", "dropped"),
}

_GAUGES = (
    ("serving_replicas", "Replicas that run."),
    ("serving_traffic_ratio", "Share of the traffic."),
    ("serving_queue_requests", "Requests that wait."),
    ("serving_memory_bytes", "Memory of the replicas."),
    ("serving_joules_per_1000_predictions", "Energy of a thousand predictions lately."),
)


class ServingFigures(Collector):
    """*versions* yields what runs, *room* returns how full its memory is, *woken* how long models took to wake."""

    def __init__(
        self,
        versions: Callable[[], Iterable[Shown]],
        room: Callable[[], RoomFigures],
        woken: Callable[[], Mapping[str, float]],
    ) -> None:
        self._versions = versions
        self._room = room
        self._woken = woken

    def offer(self, registry: CollectorRegistry) -> None:
        """Show them at the metrics door of this process."""
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is depends on what is served."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield everything that is known now."""
        versions = list(self._versions())
        yield from _gauges(versions)
        for name, (text, key) in _COUNTERS.items():
            counter = CounterMetricFamily(name, text, labels=_VERSION)
            for one in versions:
                counter.add_metric(_labels(one), getattr(one.figures, key))
            yield counter
        yield _latencies(versions)
        room = self._room()
        yield _single("serving_room_capacity_bytes", "Memory for replicas.", room.capacity_bytes)
        yield _single("serving_room_used_bytes", "Memory that replicas take.", room.used_bytes)
        wakes = GaugeMetricFamily(
            "serving_wake_seconds", "How long a model took to wake the last time.", labels=["key"]
        )
        for key, seconds in self._woken().items():
            wakes.add_metric([key], seconds)
        yield wakes


def _gauges(versions: list[Shown]) -> Iterator[Metric]:
    for place, (name, text) in enumerate(_GAUGES):
        gauge = GaugeMetricFamily(name, text, labels=_VERSION)
        for one in versions:
            known = _now(one)[place]
            if known is not None:
                gauge.add_metric(_labels(one), known)
        yield gauge


def _now(one: Shown) -> tuple[float | None, ...]:
    """Return the values of `_GAUGES`, in their order."""
    figures = one.figures
    return (
        one.replicas,
        one.traffic_ratio,
        figures.waiting,
        figures.memory_bytes,
        one.joules_per_1000,
    )


def _latencies(versions: list[Shown]) -> Metric:
    histogram = HistogramMetricFamily(
        "serving_request_duration_seconds", "Answer times of requests.", labels=_VERSION
    )
    for one in versions:
        upto = list(accumulate(one.figures.latencies.counts))
        buckets = [
            (f"{EDGES_MS[place] / 1000:.6g}", upto[place])
            for place in range(0, len(EDGES_MS), _STEP)
        ]
        # No sum: only counts between edges are known.
        histogram.add_metric(_labels(one), [*buckets, ("+Inf", upto[-1])], None)
    return histogram


def _single(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _labels(one: Shown) -> list[str]:
    return [one.project, one.model, str(one.version)]
