# SPDX-License-Identifier: Apache-2.0
"""Early warning: the level of a version's answers, of its errors and of the truth, watched row by row.

A window is judged when it is full; this may say hundreds of rows earlier that something changed. It never says whether
that matters, so nothing but people hears of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mlops.monitoring.model.adwin import Adwin, Change
from mlops.monitoring.model.bins import Value, as_number
from mlops.monitoring.model.classification import same
from mlops.monitoring.model.metrics import Answered, answered_with

ANSWER, ERROR, LABEL = "answer", "error", "label"


@dataclass(frozen=True)
class Watch:
    """What is watched of one version of a model, by the name of the series."""

    version: int
    series: Mapping[str, Adwin] = field(default_factory=dict)

    def after(self, name: str, numbers: Iterable[float]) -> tuple[Watch, Change | None]:
        """Return the watch after more numbers of a series, and the change they show; what is no number is skipped."""
        known = [number for number in numbers if not math.isnan(number)]
        adwin, change = self.series.get(name, Adwin()).after(known)
        return replace(self, series={**self.series, name: adwin}), change


def answers(predictions: Iterable[Value]) -> list[float]:
    """Return the answers as numbers, NaN for those that are none."""
    return [as_number(prediction) for prediction in predictions]


def truths(pairs: Sequence[tuple[Value, Value]]) -> list[float]:
    """Return the truths as numbers, NaN for those that are none."""
    return [as_number(label) for _, label in pairs]


def errors(metric: str, pairs: Sequence[tuple[Value, Value]]) -> list[float]:
    """Return what each answer costs by the kind of the metric; nothing for rankings, whose rows cost nothing alone."""
    kind = answered_with(metric)
    if kind is Answered.RANK:
        return []
    if kind is Answered.CLASS:
        return [
            math.nan if label is None else float(not same(prediction, label))
            for prediction, label in pairs
        ]
    return [abs(as_number(prediction) - as_number(label)) for prediction, label in pairs]
