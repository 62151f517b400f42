# SPDX-License-Identifier: Apache-2.0
"""Comparisons: how a shadow's answers stand against those that callers got, since its first copy."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime

from mlops.chassis.clock import Clock
from mlops.contracts.latency import Latencies
from mlops.gateway.model.comparison import Compared

_PAIRS = 64

Pair = tuple[str, str, int, int]  # project, model, the shadow's version, the version callers got


@dataclass
class _Count:
    """The counts of one pair; `dropped` copies were not sent, `failed` ones got no answer to compare."""

    since: datetime
    requests: int = 0
    dropped: int = 0
    failed: int = 0
    agreed: int = 0
    differences: int = 0
    difference: float = 0.0
    latencies: Latencies = field(default_factory=Latencies)
    against: Latencies = field(default_factory=Latencies)


class Comparisons:
    """Counts pairs of answers; the pairs last compared are remembered."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: OrderedDict[Pair, _Count] = OrderedDict()

    def begin(self, shadow: tuple[str, str, int]) -> None:
        """Count a shadow (project, model, version) from zero: an earlier rollout of the same version is over."""
        for pair in [one for one in self._counts if one[:3] == shadow]:
            del self._counts[pair]

    def dropped(self, pair: Pair) -> None:
        """Count a copy that was not sent."""
        self._count(pair).dropped += 1

    def failed(self, pair: Pair) -> None:
        """Count a copy to which the shadow gave no answer that can be compared."""
        found = self._count(pair)
        found.requests += 1
        found.failed += 1

    def compared(
        self, pair: Pair, result: Compared, took_ms: float, against_took_ms: float
    ) -> None:
        """Count two answers to one request."""
        found = self._count(pair)
        found.requests += 1
        found.agreed += result.agrees
        if result.difference is not None:
            found.differences += 1
            found.difference += result.difference
        found.latencies.add(took_ms)
        found.against.add(against_took_ms)

    def as_json(self, project: str, model: str) -> list[dict[str, object]]:
        """Return the counts of a model, those last compared first."""
        return [
            _as_json(pair, count)
            for pair, count in reversed(self._counts.items())
            if pair[:2] == (project, model)
        ]

    def _count(self, pair: Pair) -> _Count:
        found = self._counts.get(pair)
        if found is None:
            found = self._counts[pair] = _Count(self._clock())
            if len(self._counts) > _PAIRS:
                self._counts.popitem(last=False)
        self._counts.move_to_end(pair)
        return found


def _as_json(pair: Pair, count: _Count) -> dict[str, object]:
    answered = count.requests - count.failed
    mean = count.difference / count.differences if count.differences else None
    return {
        "version": pair[2],
        "against_version": pair[3],
        "requests": count.requests,
        "dropped": count.dropped,
        "failed": count.failed,
        "agreement_ratio": count.agreed / answered if answered else None,
        "mean_difference": mean,
        "latency_p95_ms": count.latencies.quantile(0.95),
        "against_latency_p95_ms": count.against.quantile(0.95),
        "since": count.since.isoformat(),
    }
