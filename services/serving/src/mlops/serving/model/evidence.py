# SPDX-License-Identifier: Apache-2.0
"""What is seen of versions while one takes over: requests, failures, answer times, compared answers, readiness."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

P95 = 0.95


@dataclass(frozen=True)
class Times:
    """Answer times between fixed edges: `counts[i]` took at most `edges_ms[i]`; the last count exceeded all."""

    edges_ms: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """Return how many answers were counted."""
        return sum(self.counts)

    def quantile(self, share: float) -> float | None:
        """Return the edge that *share* of the answers did not exceed, None without any."""
        upto, wanted = 0, max(1.0, share * self.total)
        for place, count in enumerate(self.counts):
            upto += count
            if upto >= wanted:
                return self.edges_ms[min(place, len(self.edges_ms) - 1)]
        return None

    def beyond(self, ms: float) -> int:
        """Return how many answers surely took longer than *ms*."""
        lower = (0.0, *self.edges_ms)
        return sum(count for edge, count in zip(lower, self.counts, strict=True) if edge >= ms)


@dataclass(frozen=True)
class Counts:
    """Requests of one version as the gateway counts them since it started; *times* between the contract's edges."""

    requests: int = 0
    errors: int = 0
    latency_ms: float | None = None
    times: tuple[int, ...] = ()

    def since(self, before: Counts) -> Counts:
        """Return what was added; a gateway that began again counts from zero."""
        requests, errors = self.requests - before.requests, self.errors - before.errors
        if not 0 <= errors <= requests:
            return self
        return replace(self, requests=requests, errors=errors, times=self._times_since(before))

    @property
    def error_ratio(self) -> float | None:
        """Return the share of failed requests, or None when there were none at all."""
        return min(1.0, self.errors / self.requests) if self.requests else None

    def _times_since(self, before: Counts) -> tuple[int, ...]:
        if not before.times or len(before.times) != len(self.times):
            return self.times
        added = tuple(a - b for a, b in zip(self.times, before.times, strict=True))
        return self.times if min(added) < 0 else added


@dataclass(frozen=True)
class Comparison:
    """What a shadow answered to copies of requests, against what the callers were answered.

    *requests* were compared, *failed* were copies the shadow failed to answer, *dropped* were never sent.
    """

    against_version: int
    since: datetime
    requests: int = 0
    dropped: int = 0
    failed: int = 0
    agreement_ratio: float | None = None
    mean_difference: float | None = None
    latency_p95_ms: float | None = None
    against_latency_p95_ms: float | None = None


@dataclass(frozen=True)
class Seen:
    """What is known of the new version now: its answers, and whether it and the one before are ready.

    *times* and *other_times* are of the same step: of the new version and of the one before.
    """

    counts: Counts | None = None
    unready_s: float = 0.0
    other_ready: bool = False
    replicas: int = 1
    times: Times | None = None
    other_times: Times | None = None
