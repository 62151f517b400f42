# SPDX-License-Identifier: Apache-2.0
"""Again: one rule by which recorded windows are judged once more, as the service judges them when their labels come.

What a version promised is on each message, and so is the value and its standard error; the rows are not needed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from mlops.contracts.monitor_settings import PerformanceSettings
from mlops.contracts.monitoring import PerformanceMeasured
from mlops.contracts.serving import DeploymentCompleted
from mlops.contracts.settings import EvaluateSettings, Goal
from mlops.monitoring.model.measured import Measured, share_of
from mlops.monitoring.model.performance import Promise

MISSES_CONSIDERED = 2
_MOST_REMEMBERED = 200


@dataclass(frozen=True)
class Verdict:
    """What a rule says of a window. `told` is false of one whose labels came too late, or whose version answers no more."""

    degraded: bool
    told: bool
    threshold: float | None


class Again:
    """One rule; tell it of each project change, deployment and window, in order.

    *versions* says which version the windows of a model are of, by index, also those that are labelled later.
    """

    def __init__(self, versions: Mapping[tuple[str, int], int]) -> None:
        self.missing = 0
        self._versions = versions
        self._evaluate = EvaluateSettings()
        self._limits = PerformanceSettings()
        self._deployed: dict[str, DeploymentCompleted] = {}
        self._missed: defaultdict[tuple[str, int], dict[int, bool]] = defaultdict(dict)
        self._up_to: dict[str, int] = {}

    def rule(self, evaluate: EvaluateSettings, limits: PerformanceSettings) -> None:
        """Take which way is better, and how far a window may fall."""
        self._evaluate = evaluate
        self._limits = limits

    def deployed(self, event: DeploymentCompleted) -> None:
        """Take a version that answers from now on; older news change nothing."""
        known = self._deployed.get(event.model)
        if known is None or known.time <= event.time:
            self._deployed[event.model] = event

    def judged(self, event: PerformanceMeasured) -> Verdict:
        """Return what the rule says of a window."""
        promise = self._promise(event)
        found = Measured(event.value, self._error(event))
        missed = self._missed[event.model, event.version]
        before = [missed.get(index, False) for index in self._before(event)]
        missed[event.window.index] = promise.missed_by(event.value)
        if len(missed) > _MOST_REMEMBERED:
            missed.pop(min(missed))
        broken = promise.broken_by(found, before)
        return Verdict(broken, broken and self._counts(event), promise.threshold)

    def passed(self, event: PerformanceMeasured) -> None:
        """Take a window as looked at: one of before it that is labelled later says nothing any more."""
        if self._counts(event):
            self._up_to[event.model] = event.window.index

    def _before(self, event: PerformanceMeasured) -> list[int]:
        """Return the windows of the version just before this one; one that is not labelled yet missed nothing."""
        newest = event.window.index - 1
        earlier = (
            index
            for index in range(newest, max(-1, newest - _MOST_REMEMBERED), -1)
            if self._versions.get((event.model, index), event.version) == event.version
        )
        return list(islice(earlier, MISSES_CONSIDERED))

    def _promise(self, event: PerformanceMeasured) -> Promise:
        return Promise(
            metric=event.metric,
            higher_is_better=self._evaluate.goal is not Goal.MIN,
            expected=event.expected,
            drop=self._limits.drop,
            floor=self._limits.min,
        )

    def _counts(self, event: PerformanceMeasured) -> bool:
        answers = self._deployed.get(event.model)
        of_it = answers is None or answers.version == event.version
        return of_it and event.window.index > self._up_to.get(event.model, -1)

    def _error(self, event: PerformanceMeasured) -> float:
        if event.standard_error is not None:
            return event.standard_error
        self.missing += 1
        is_share = 0.0 <= event.value <= 1.0 and event.window.labelled > 0
        return share_of(event.value, event.window.labelled).error if is_share else 0.0
