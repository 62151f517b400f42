# SPDX-License-Identifier: Apache-2.0
"""Paired differences: the same seed under two schedulers, and how sure the mean difference is.

Percentile bootstrap over seeds (Efron and Tibshirani, "An introduction to the bootstrap", chapter 13): the pairs are
drawn again with replacement, and the middle 95 % of the means of what was drawn are the interval.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from mlops.orchestration_bridge.simulation.outcome import percentile

DRAWS = 2000
_TAIL = 0.025


@dataclass(frozen=True)
class Difference:
    """Ours minus the other's, over the other's mean: relative, with its 95 % interval; negative is less than the other.

    Where the other's mean is nought there is nothing to be relative to, and the difference is absolute.
    """

    mean: float
    low: float
    high: float
    relative: bool

    @property
    def verdict(self) -> str:
        """Return `less`, `more`, or `no difference` where the interval holds nought."""
        if self.low <= 0 <= self.high:
            return "no difference"
        return "less" if self.high < 0 else "more"


def difference(ours: Sequence[float], theirs: Sequence[float], seed: int = 0) -> Difference:
    """Return the paired difference of two rows of figures, one pair a seed; ValueError where they are not as long."""
    pairs = [(one, other) for one, other in zip(ours, theirs, strict=True)]
    relative = sum(theirs) != 0
    dice = random.Random(f"bootstrap {seed}")  # noqa: S311 - draws, not secrets
    draws = sorted(
        _relative(dice.choices(pairs, k=len(pairs)), relative=relative) for _ in range(DRAWS)
    )
    return Difference(
        _relative(pairs, relative=relative),
        percentile(draws, _TAIL),
        percentile(draws, 1 - _TAIL),
        relative,
    )


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Return the bootstrapped 95 % interval of a mean."""
    dice = random.Random(f"bootstrap {seed}")  # noqa: S311 - the same
    count = len(values)
    draws = sorted(sum(dice.choices(values, k=count)) / count for _ in range(DRAWS))
    return percentile(draws, _TAIL), percentile(draws, 1 - _TAIL)


def _relative(pairs: Sequence[tuple[float, float]], *, relative: bool) -> float:
    gain = sum(one - other for one, other in pairs)
    base = sum(other for _, other in pairs) if relative else float(len(pairs))
    return gain / base if base else 0.0
