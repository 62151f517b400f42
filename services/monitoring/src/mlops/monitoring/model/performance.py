# SPDX-License-Identifier: Apache-2.0
"""Whether a model does worse than promised, and not only by bad luck."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlops.monitoring.model.measured import Measured

SHOWING_WINDOWS = 2
_CLEARLY = 2.0


@dataclass(frozen=True)
class Promise:
    """What a version owes: the metric, the value it was promoted with, and how far below is still allowed.

    With `higher_is_better` false, `floor` is the largest value allowed.
    """

    metric: str
    higher_is_better: bool = True
    expected: float | None = None
    drop: float | None = 0.05
    floor: float | None = None

    def outdone_by(self, shown: Sequence[Measured]) -> Promise:
        """Return the promise, raised to what the version's first windows have *shown* if that is clearly better.

        Clearly means by more than two standard errors of their mean. A model trained across a change promises
        little, because most of its rows are from before; against that promise a later loss would go unseen.
        """
        if self.expected is None or len(shown) < SHOWING_WINDOWS:
            return self
        mean = math.fsum(one.value for one in shown) / len(shown)
        error = math.hypot(*(one.error for one in shown)) / len(shown)
        gain = mean - self.expected if self.higher_is_better else self.expected - mean
        return replace(self, expected=mean) if gain > _CLEARLY * error else self

    @property
    def threshold(self) -> float | None:
        """Return the value from which on the model counts as degraded, None when nothing was promised."""
        allowed = [] if self.floor is None else [self.floor]
        if self.expected is not None and self.drop is not None:
            drop = self.drop if self.higher_is_better else -self.drop
            allowed.append(self.expected - drop)
        if not allowed:
            return None
        return max(allowed) if self.higher_is_better else min(allowed)

    def missed_by(self, value: float) -> bool:
        """Return whether *value* is worse than promised; without a promise nothing is."""
        if self.threshold is None:
            return False
        return value < self.threshold if self.higher_is_better else value > self.threshold

    def broken_by(self, found: Measured, missed_before: Sequence[bool]) -> bool:
        """Return whether a window shows that the promise is broken, and not only bad luck.

        Either its value misses the threshold by more than its standard error, or one of the windows just before
        (the two of *missed_before*) missed it too. One window of 500 rows misses by chance every now and then.
        """
        if not self.missed_by(found.value):
            return False
        luckier = found.value + (found.error if self.higher_is_better else -found.error)
        return self.missed_by(luckier) or any(missed_before)
