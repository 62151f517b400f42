# SPDX-License-Identifier: Apache-2.0
"""Tailing: the points of a run as they come, each once, in order."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mlops.cli.gateway import Gateway
from mlops.cli.patience import patiently
from mlops.cli.runs import ENDED, short

SYSTEM = "system/"
_LOOK_S = 1.0
_MOST = 1000


@dataclass(frozen=True)
class Point:
    """One value of one metric; None is not a number."""

    name: str
    value: float | None
    at_ms: int
    step: int


@dataclass(frozen=True)
class Look:
    """What a look at the run found: new points, oldest first, and how it stands."""

    points: Sequence[Point]
    status: str


@dataclass
class Course:
    """The course of every metric that was seen."""

    values: dict[str, list[float]] = field(default_factory=dict)
    last: dict[str, Point] = field(default_factory=dict)

    def add(self, points: Sequence[Point]) -> None:
        """Take more points in."""
        for point in points:
            self.last[point.name] = point
            if point.value is not None and math.isfinite(point.value):
                self.values.setdefault(point.name, []).append(point.value)


def follow(gateway: Gateway, run_id: str, *, on: bool = True) -> Iterator[Look]:
    """Yield what is new until the run ends, or once all that is there when not *on*.

    A gateway that is away for a moment is waited for.
    """
    since, seen = 0, set[Point]()
    while True:
        answer = patiently(partial(_asked, gateway, run_id, since))
        points = [Point(*one) for one in answer["points"]]
        fresh = [point for point in points if point not in seen]
        since = int(answer.get("next_ms", since))
        # The service may tell the points of the last millisecond again.
        seen = {point for point in (*seen, *points) if point.at_ms >= since}
        more = bool(fresh) and (answer.get("more", len(points) >= _MOST))
        status = str(answer["status"])
        yield Look(fresh, status)
        if not more and (not on or status in ENDED):
            return
        if not more:
            time.sleep(_LOOK_S)


def lines(points: Sequence[Point], system: bool) -> Iterator[str]:  # noqa: FBT001 - whether the machine's figures belong
    """Yield a line for each step, its metrics in the order in which they were logged."""
    step: int | None = None
    parts: dict[str, str] = {}
    for point in points:
        if point.name.startswith(SYSTEM) and not system:
            continue
        if parts and (point.step != step or point.name in parts):
            yield f"step {step:>6}  " + "  ".join(parts.values())
            parts = {}
        step = point.step
        parts[point.name] = f"{point.name}={short(point.value)}"
    if parts:
        yield f"step {step:>6}  " + "  ".join(parts.values())


def _asked(gateway: Gateway, run_id: str, since: int) -> dict[str, Any]:
    return gateway.query("tracking", "points", run_id=run_id, since_ms=since, limit=_MOST)
