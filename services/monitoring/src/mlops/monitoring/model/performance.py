# SPDX-License-Identifier: Apache-2.0
"""How well a model did in a window, by its labels, and whether that is worse than promised."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from mlops.monitoring.model.bins import Value, as_number, as_text

SHOWING_WINDOWS = 2
_CLEARLY = 2.0

Pairs = Sequence[tuple[Value, Value]]
"""Prediction and truth of every labelled row."""


@dataclass(frozen=True)
class Measured:
    """A metric over some rows, and its standard error if these rows were independent."""

    value: float
    error: float


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


def plain_name(metric: str) -> str:
    """Return the metric's name without the prefixes and suffixes that trainers like."""
    name = metric.strip().lower()
    for prefix in ("val_", "valid_", "test_", "eval_", "validation_"):
        name = name.removeprefix(prefix)
    return name.removesuffix("_score")


def can_measure(metric: str) -> bool:
    """Return whether the metric follows from predictions and labels alone."""
    return plain_name(metric) in _METRICS


def measure(metric: str, pairs: Pairs) -> Measured | None:
    """Return the metric, or None when it cannot be told: unknown metric, no rows, no numbers."""
    found = _METRICS.get(plain_name(metric))
    return found(pairs) if found is not None and pairs else None


def same(prediction: Value, label: Value) -> bool:
    """Return whether a prediction was right: 1, 1.0 and true are the same answer."""
    return as_text(prediction) == as_text(label)


def _accuracy(pairs: Pairs) -> Measured:
    return _share(sum(same(p, label) for p, label in pairs) / len(pairs), len(pairs))


def _error(pairs: Pairs) -> Measured:
    right = _accuracy(pairs)
    return Measured(1.0 - right.value, right.error)


def _f1(pairs: Pairs) -> Measured:
    """F1 of class 1 when the classes are 0 and 1, else the mean over the classes."""
    texts = [(as_text(prediction), as_text(label)) for prediction, label in pairs]
    classes = {name for pair in texts for name in pair}
    hits = Counter(label for prediction, label in texts if prediction == label)
    said, true = Counter(p for p, _ in texts), Counter(label for _, label in texts)
    wanted = {"1"} if classes <= {"0", "1"} else classes
    mean = sum(2 * hits[c] / max(1, said[c] + true[c]) for c in wanted) / len(wanted)
    return _share(mean, len(pairs))


def _share(value: float, rows: int) -> Measured:
    # Two rows more, one right and one wrong: otherwise a perfect window would seem to know everything.
    likely = (value * rows + 1) / (rows + 2)
    return Measured(value, math.sqrt(likely * (1 - likely) / rows))


def _mae(pairs: Pairs) -> Measured | None:
    return _mean([abs(gap) for gap in _gaps(pairs)])


def _mse(pairs: Pairs) -> Measured | None:
    return _mean([gap * gap for gap in _gaps(pairs)])


def _rmse(pairs: Pairs) -> Measured | None:
    squared = _mse(pairs)
    if squared is None:
        return None
    root = math.sqrt(squared.value)
    return Measured(root, squared.error / (2 * root) if root else 0.0)


def _gaps(pairs: Pairs) -> list[float]:
    gaps = [as_number(prediction) - as_number(label) for prediction, label in pairs]
    return [gap for gap in gaps if not math.isnan(gap)]


def _mean(costs: Sequence[float]) -> Measured | None:
    if not costs or not math.isfinite(total := math.fsum(costs)):
        return None
    mean = total / len(costs)
    spread = math.sqrt(math.fsum((cost - mean) ** 2 for cost in costs) / len(costs))
    return Measured(mean, spread / math.sqrt(len(costs)))


_METRICS: Mapping[str, Callable[[Pairs], Measured | None]] = {
    "accuracy": _accuracy,
    "error": _error,
    "f1": _f1,
    "mae": _mae,
    "mse": _mse,
    "rmse": _rmse,
}
