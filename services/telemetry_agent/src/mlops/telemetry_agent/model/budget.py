# SPDX-License-Identifier: Apache-2.0
"""What the agent may take of the machine, and what it does when it takes more: it reads half as often.

Less than 1 % of one core averaged over a minute, and less than 80 MB. Over it for a minute the intervals double (up
to eightfold) and every sample says `degraded`; after ten minutes under half of it they halve again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Budget:
    """The limits, and how long they may be passed."""

    cpu_ratio: float = 0.01
    rss_bytes: int = 80_000_000
    over_s: float = 60.0
    under_s: float = 600.0
    most: int = 8


@dataclass(frozen=True)
class Spent:
    """What was measured of late: processor seconds at moments, over the last minute; and what follows from it.

    The first minute, in which everything is loaded, is not judged.
    """

    marks: tuple[tuple[float, float], ...] = ()
    factor: int = 1
    heavy: bool = False
    judged_s: float | None = None
    well_since_s: float | None = None

    @property
    def degraded(self) -> bool:
        """Return whether the agent takes more than it may, or reads less often for it."""
        return self.factor > 1 or self.heavy


def spend(
    spent: Spent, cpu_s: float, rss_bytes: int | None, at_s: float, budget: Budget
) -> tuple[Spent, float | None]:
    """Return what holds after one more measurement, and the share of one core over the last minute so far.

    *cpu_s* only grows; *at_s* is monotonic. The share is None until there are two measurements.
    """
    recent = tuple(mark for mark in spent.marks if at_s - mark[0] <= budget.over_s)
    # The newest mark that is a whole minute old stays: the mean must cover the minute.
    older = [mark for mark in spent.marks if at_s - mark[0] > budget.over_s]
    marks = (*older[-1:], *recent, (at_s, cpu_s))
    began_s, began_cpu_s = marks[0]
    seconds = at_s - began_s
    ratio = max(0.0, cpu_s - began_cpu_s) / seconds if seconds > 0 else None
    heavy = rss_bytes is not None and rss_bytes > budget.rss_bytes
    judged_s = at_s if spent.judged_s is None else spent.judged_s
    measured = replace(spent, marks=marks, heavy=heavy, judged_s=judged_s)
    if ratio is None or at_s - judged_s < budget.over_s:
        return measured, ratio
    return _judged(measured, ratio, at_s, budget), ratio


def _judged(spent: Spent, ratio: float, at_s: float, budget: Budget) -> Spent:
    if ratio > budget.cpu_ratio:
        factor = min(budget.most, spent.factor * 2)
        return replace(spent, factor=factor, judged_s=at_s, well_since_s=None)
    if ratio > budget.cpu_ratio / 2 or spent.factor == 1:
        return replace(spent, well_since_s=None)
    since = at_s if spent.well_since_s is None else spent.well_since_s
    if at_s - since >= budget.under_s:
        return replace(spent, factor=spent.factor // 2, judged_s=at_s, well_since_s=None)
    return replace(spent, well_since_s=since)
