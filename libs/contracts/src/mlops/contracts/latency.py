# SPDX-License-Identifier: Apache-2.0
"""Answer times as counts between fixed edges: cheap to record, adds up over replicas, can be subtracted.

Every edge is 2^(1/4) times the one before, so a quantile read from the counts is at most 19 % too high.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate

LEAST_MS = 0.125
EDGES_MS: tuple[float, ...] = tuple(LEAST_MS * 2 ** (place / 4) for place in range(80))


@dataclass
class Latencies:
    """Counts of answers by the first edge that they did not exceed; the last count is of what exceeded all."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(EDGES_MS) + 1))

    def add(self, took_ms: float) -> None:
        """Count one answer."""
        self.counts[bisect_left(EDGES_MS, took_ms)] += 1

    @property
    def total(self) -> int:
        """Return how many answers were counted."""
        return sum(self.counts)

    def plus(self, other: Latencies) -> Latencies:
        """Return the counts of both."""
        return Latencies([a + b for a, b in zip(self.counts, other.counts, strict=True)])

    def since(self, before: Latencies) -> Latencies:
        """Return what was added since *before*; one that began again counts from zero."""
        added = [a - b for a, b in zip(self.counts, before.counts, strict=True)]
        return self if min(added) < 0 else Latencies(added)

    def quantile(self, share: float) -> float | None:
        """Return the time in ms that *share* of the answers did not exceed; None without any.

        What exceeded every edge counts as the last one.
        """
        upto = list(accumulate(self.counts))
        if not upto[-1]:
            return None
        place = bisect_left(upto, max(1.0, share * upto[-1]))
        return EDGES_MS[min(place, len(EDGES_MS) - 1)]

    def as_json(self) -> dict[str, int]:
        """Return the counts that are not zero, by their place."""
        return {str(place): count for place, count in enumerate(self.counts) if count}

    @staticmethod
    def read(said: object) -> Latencies:
        """Return what `as_json` wrote; whatever makes no sense counts nothing."""
        found = Latencies()
        for place, count in said.items() if isinstance(said, Mapping) else ():
            at = int(place) if isinstance(place, str) and place.isdecimal() else -1
            if 0 <= at < len(found.counts) and isinstance(count, int) and count > 0:
                found.counts[at] += count
        return found
