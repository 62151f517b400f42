# SPDX-License-Identifier: Apache-2.0
"""Whether a model answers slower than it used to: a rule that a busy minute, or a noisy machine, cannot trip.

Held against what the version before took (a first version: against its own first windows). Were the 95th percentile
within the bound, one answer in twenty would exceed it; a window is slow when so many exceed it that this is less likely
than 1 in 1000 (the sign test of a quantile, with the bound of Chernoff and Hoeffding for the binomial tail).
Told after two slow windows in a row, or one in which most answers exceed it; over after two that are not slow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

_SHARE = 0.05
_UNLIKELY = 1e-3
_LEAST_ANSWERS = 30
_RATIO, _MARGIN_MS = 1.25, 10.0
_MOST_OF_THEM = 0.5
_IN_A_ROW = 2
_NORMAL_ANSWERS, _NORMAL_WINDOWS = 200, 2
_VERSIONS_KEPT = 20
_CHANGES_KEPT = 20
_VERSION = "version"

T = TypeVar("T")
Times = Mapping[int, int]  # answers by the place of the first edge that they did not exceed


class Edge(StrEnum):
    """What changes with a window."""

    SLOW = "slow"
    WELL = "well"


@dataclass(frozen=True)
class Stretch:
    """What a version answered from `since` to `until`; None is what nobody could tell."""

    version: int
    since: datetime
    until: datetime
    predictions: int
    requests: int
    times: Times
    replicas: int | None = None
    node: str | None = None

    @property
    def rows_per_request(self) -> float | None:
        """Return how many rows a request had on average; None without any."""
        return self.predictions / self.requests if self.requests else None

    @property
    def requests_per_s(self) -> float | None:
        """Return how many requests came per second; None for no time at all."""
        lasted_s = (self.until - self.since).total_seconds()
        return self.requests / lasted_s if lasted_s > 0 else None


@dataclass(frozen=True)
class Normal:
    """What the answers of a version took in its first windows."""

    times: Times = field(default_factory=dict)
    windows: int = 0
    predictions: int = 0
    requests: int = 0
    lasted_s: float = 0.0
    replicas: int | None = None

    @property
    def known(self) -> bool:
        """Return whether it is enough to hold anything against."""
        return self.windows >= _NORMAL_WINDOWS and sum(self.times.values()) >= _NORMAL_ANSWERS

    def plus(self, one: Stretch) -> Normal:
        """Return it with one more window; unchanged once it is enough."""
        if self.known:
            return self
        times = dict(self.times)
        for place, count in one.times.items():
            times[place] = times.get(place, 0) + count
        return Normal(
            times,
            self.windows + 1,
            self.predictions + one.predictions,
            self.requests + one.requests,
            self.lasted_s + (one.until - one.since).total_seconds(),
            one.replicas,
        )


@dataclass(frozen=True)
class Change:
    """Something that serving did to a model: another number of replicas, less at once, a new version."""

    at: datetime
    cause: str
    text: str


@dataclass(frozen=True)
class Judged:
    """A window that was held against the normal, by the message that told it."""

    by: str
    value_ms: float
    normal_ms: float
    bound_ms: float
    exceeding: float
    slow: bool
    edge: Edge | None


@dataclass(frozen=True)
class Pace:
    """How fast one model answers, and what it is held to."""

    current: int | None = None
    against: Mapping[int, int] = field(default_factory=dict)
    normals: Mapping[int, Normal] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    index: int = 0
    row: int = 0  # windows of the same verdict, one after another
    row_slow: bool = False
    degraded: bool = False
    last: Judged | None = None

    def normal_for(self, version: int) -> Normal | None:
        """Return what a version is held to, None while that is not known: of the one before, else its own."""
        before, seen = self.against.get(version), {version}
        while before is not None and before not in seen:
            found = self.normals.get(before)
            if found is not None and found.known:
                return found
            seen.add(before)
            before = self.against.get(before)
        own = self.normals.get(version)
        return own if own is not None and own.known else None

    def deployed(self, version: int, before: int | None, at: datetime) -> Pace:
        """Return it once a version answers all requests."""
        against, own = dict(self.against), self.normals.get(version, Normal())
        if before is not None and before != version and not own.known:
            against.setdefault(version, before)  # one that is back is held to what it took itself
        text = f"version {version} answers since {at:%Y-%m-%d %H:%M:%S}"
        return replace(
            self.noted(Change(at, _VERSION, text)),
            current=version,
            against=_newest(against),
            row=0,
        )

    def removed(self, version: int, at: datetime) -> Pace:
        """Return it once nothing answers because *version* was taken away; older news change nothing."""
        since = max((one.at for one in self.changes if one.cause == _VERSION), default=at)
        if self.current != version or at < since:
            return self
        return replace(self, current=None, row=0, degraded=False)

    def taking(self, one: Stretch) -> Pace:
        """Return it with a window as part of what is normal for its version; never while the model is slow."""
        if self.degraded:
            return self
        own = self.normals.get(one.version, Normal())
        return replace(self, normals=_newest({**self.normals, one.version: own.plus(one)}))

    def noted(self, change: Change) -> Pace:
        """Return it with something that serving did."""
        return replace(self, changes=(*self.changes, change)[-_CHANGES_KEPT:])


def judged(pace: Pace, one: Stretch, by: str, edges: Sequence[float]) -> Pace:
    """Return the pace after a window; `last` says what came of it, None where it says nothing."""
    current = pace.current if pace.current is not None else one.version
    pace = replace(pace, current=current, last=None, index=pace.index + 1)
    if one.version != current:
        return pace  # on its way in or out; its rollout is judged by serving
    normal = pace.normal_for(one.version)
    if normal is None or sum(one.times.values()) < _LEAST_ANSWERS:
        return pace.taking(one)
    verdict = _verdict(one, normal, by, edges)
    if not verdict.slow:
        pace = pace.taking(one)  # what is slow is no part of what is normal
    row = pace.row + 1 if pace.row_slow == verdict.slow else 1
    lasts = row >= _IN_A_ROW or verdict.exceeding > _MOST_OF_THEM
    edge = None
    if verdict.slow and not pace.degraded and lasts:
        edge = Edge.SLOW
    elif not verdict.slow and pace.degraded and row >= _IN_A_ROW:
        edge = Edge.WELL
    degraded = edge is Edge.SLOW or (pace.degraded and edge is not Edge.WELL)
    last = replace(verdict, edge=edge)
    return replace(pace, row=row, row_slow=verdict.slow, degraded=degraded, last=last)


def quantile(times: Times, share: float, edges: Sequence[float]) -> float:
    """Return the time that *share* of the answers did not exceed, in ms; 0 without any."""
    wanted, seen = share * sum(times.values()), 0
    for place in sorted(times):
        seen += times[place]
        if seen >= wanted:
            return edges[min(place, len(edges) - 1)]
    return 0.0


def _verdict(one: Stretch, normal: Normal, by: str, edges: Sequence[float]) -> Judged:
    p95 = quantile(normal.times, 1 - _SHARE, edges)
    bound = max(_RATIO * p95, p95 + _MARGIN_MS)
    total = sum(one.times.values())
    above = sum(number * _part_above(place, bound, edges) for place, number in one.times.items())
    return Judged(
        by=by,
        value_ms=quantile(one.times, 1 - _SHARE, edges),
        normal_ms=p95,
        bound_ms=bound,
        exceeding=above / total,
        slow=_is_unlikely(above, total),
        edge=None,
    )


def _part_above(place: int, bound: float, edges: Sequence[float]) -> float:
    """Return which part of a count lies above the bound, if its times are spread evenly on a logarithmic scale."""
    if place >= len(edges):
        return 1.0
    upper = edges[place]
    lower = edges[place - 1] if place else upper / 2
    part = math.log(upper / bound) / math.log(upper / lower)
    return min(1.0, max(0.0, part))


def _is_unlikely(above: float, total: int) -> bool:
    share = above / total
    if share <= _SHARE:
        return False
    rest = (1 - share) * math.log((1 - share) / (1 - _SHARE)) if share < 1 else 0.0
    return math.exp(-total * (share * math.log(share / _SHARE) + rest)) < _UNLIKELY


def _newest(of: Mapping[int, T]) -> dict[int, T]:
    return {version: of[version] for version in sorted(of)[-_VERSIONS_KEPT:]}
