# SPDX-License-Identifier: Apache-2.0
"""A period against the one before it: how each figure changed, and whether by more than noise.

Hours are compared with the same hours before, so a rhythm of the day is no change; hours that follow each other are
alike, which counts as having fewer of them. At most one report in a hundred marks a change that is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise

from mlops.monitoring.model.chances import two_sided
from mlops.monitoring.model.reports import ModelFigures, Quality, Report, Step, Traffic
from mlops.monitoring.model.reports_entries import Change, Measured

_CHANCE = 0.01
_LEAST_STEPS = 8
_LEAST_WINDOWS = 3
_LEAST_DEGREES = 3.0
_COUNTED = 1000  # beyond, the normal distribution is as good
_MOST_ALIKE = 0.9
# Answer times are known to 19 %: that much two of them differ without a reason.
_ROUNDED = 2 * (0.25 * math.log(2)) ** 2 / 12
_FEW_STEPS = "fewer than eight steps are known of both"
_FEW_WINDOWS = "too few windows are measured"
_FEW_TRAININGS = "single trainings make most of it"

_Reading = Callable[[Traffic], float | None]
_Pairs = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class _Found:
    """A change, and how likely one of at least this size is where nothing has changed; None where nobody can say."""

    change: Change
    chance: float | None


def changes(now: Report, before: Report) -> tuple[Change, ...]:
    """Return what changed: of everything together first, then by model; nothing where *before* is empty."""
    if before.empty:
        return ()
    earlier = {(one.project, one.model): one for one in before.models}
    pairs = [(one, earlier.get((one.project, one.model))) for one in now.models]
    together, alone = _of_all(now, before), len(now.models) == 1
    found = [] if alone else together
    for model, known in pairs:
        found += [] if known is None else _of_model(model, known, now, before)
    found += (
        together[-1:] if alone else []
    )  # a single model is everything: the rest would stand there twice
    judged = sum(one.chance is not None for one in found)
    return tuple(_settled(one, judged) for one in found)


def chance_of_change(pairs: _Pairs, least_variance: float = 0.0) -> float | None:
    """Return how likely pairs differ by so much on average where nothing changed; None for fewer than eight."""
    count = len(pairs)
    if count < _LEAST_STEPS:
        return None
    differences = [now - before for before, now in pairs]
    mean = sum(differences) / count
    variance = sum((one - mean) ** 2 for one in differences) / (count - 1)
    alike = _alikeness(differences, mean)
    known = count * (1 - alike) / (1 + alike)
    error = math.sqrt(max(variance, least_variance) / known)
    return _chance(mean, error, max(_LEAST_DEGREES, known - 1))


def chance_of_counts(before: int, now: int) -> float:
    """Return how likely two counts of rare things differ by so much where both are equally likely."""
    total, fewer = before + now, min(before, now)
    if total > _COUNTED:
        return two_sided((now - before) / math.sqrt(total))
    ways = sum(math.comb(total, number) for number in range(fewer + 1))
    return min(1.0, 2.0 * (ways / (1 << total)))


def chance_of_values(before: Sequence[Measured], now: Sequence[Measured]) -> float | None:
    """Return how likely two means of windows differ by so much where nothing changed; None where too little is known."""
    mean_before, error_before = _mean(before)
    mean_now, error_now = _mean(now)
    if error_before is None or error_now is None:
        return None
    many = min(len(before), len(now)) >= _LEAST_WINDOWS
    degrees = len(before) + len(now) - 2 if many else math.inf
    return _chance(mean_now - mean_before, math.hypot(error_before, error_now), degrees)


def _of_all(now: Report, before: Report) -> list[_Found]:
    told = now.traffic.joules, before.traffic.joules
    energy = [sum(one.joules or 0.0 for one in report.trainings) for report in (now, before)]
    known = [None if joules is None else joules + trained for joules, trained in zip(told, energy, strict=True)]  # fmt: skip
    drifts = [sum(len(one.drifts) for one in report.models) for report in (now, before)]
    empty = Change(None, None, "", None, None)
    return [
        *_of_traffic(empty, (now.traffic, before.traffic), _paired(now, before, now.by_step, before.by_step)),
        _of_drift(empty, drifts[0], drifts[1]),
        _Found(replace(empty, figure="energy", before=known[1], now=known[0], why=_FEW_TRAININGS), None),
    ]  # fmt: skip


def _of_model(
    now: ModelFigures, before: ModelFigures, report: Report, earlier: Report
) -> list[_Found]:
    empty = Change(now.project, now.model, "", None, None)
    metrics = {one.metric: one for one in before.quality}
    both = [(one, metrics[one.metric]) for one in now.quality if one.metric in metrics]
    return [
        *(_of_quality(empty, one, known) for one, known in both),
        *_of_traffic(
            empty, (now.traffic, before.traffic), _paired(report, earlier, now.steps, before.steps)
        ),
        _of_drift(empty, len(now.drifts), len(before.drifts)),
    ]


def _of_quality(empty: Change, now: Quality, before: Quality) -> _Found:
    chance = chance_of_values(before.windows, now.windows)
    change = replace(empty, figure="quality", metric=now.metric, before=before.value, now=now.value)
    return _Found(replace(change, why="" if chance is not None else _FEW_WINDOWS), chance)


def _of_traffic(
    empty: Change, totals: tuple[Traffic, Traffic], steps: Sequence[tuple[Traffic, Traffic]]
) -> list[_Found]:
    """Return the changes of what was answered; *totals* are now and before, *steps* before and now."""
    found = []
    for figure, read, scaled, least in _FIGURES:
        now, before = read(totals[0]), read(totals[1])
        if now is None or before is None:
            continue
        chance = chance_of_change(_scaled(steps, scaled), least)
        why = "" if chance is not None else _FEW_STEPS
        change = replace(empty, figure=figure, before=before, now=now, why=why)
        found.append(_Found(change, chance))
    return found


def _of_drift(empty: Change, now: int, before: int) -> _Found:
    change = replace(empty, figure="drift", before=float(before), now=float(now))
    return _Found(change, chance_of_counts(before, now))


def _settled(found: _Found, judged: int) -> Change:
    if found.chance is None:
        return found.change
    return replace(found.change, beyond_noise=found.chance * judged <= _CHANCE)


def _paired(
    now: Report, before: Report, steps: Sequence[Step], earlier: Sequence[Step]
) -> list[tuple[Traffic, Traffic]]:
    """Return what was answered in the same steps of both, before and now; a step without requests counts as none.

    Those before the first one that is known of *earlier* are left out: a model may have come in the middle of it.
    """
    late = _by_place(now, steps)
    early = _by_place(before, earlier)
    begun = min(early, default=timedelta.max)
    places = sorted(place for place in {*late, *early} if place >= begun)
    none = Traffic()
    return [(early.get(place, none), late.get(place, none)) for place in places]


def _by_place(report: Report, steps: Sequence[Step]) -> Mapping[timedelta, Traffic]:
    return {step.at - report.period.since: step.traffic for step in steps}


def _scaled(steps: Sequence[tuple[Traffic, Traffic]], scaled: _Reading) -> _Pairs:
    pairs = ((scaled(before), scaled(now)) for before, now in steps)
    return [(before, now) for before, now in pairs if before is not None and now is not None]


def _failed(traffic: Traffic) -> float | None:
    if not traffic.requests or traffic.failed is None:
        return None
    return traffic.failed / traffic.requests


def _failed_evenly(traffic: Traffic) -> float | None:
    """Return the share that failed on a scale on which its noise is the same everywhere."""
    share = _failed(traffic)
    return None if share is None else math.asin(math.sqrt(min(1.0, share)))


def _logarithm(read: _Reading) -> _Reading:
    def scaled(traffic: Traffic) -> float | None:
        value = read(traffic)
        return None if value is None or value <= 0 else math.log(value)

    return scaled


def _p95(traffic: Traffic) -> float | None:
    return traffic.p95_ms


def _joules(traffic: Traffic) -> float | None:
    return traffic.joules_per_1000


# By logarithms, half as many again is as much at night as at noon; a share is compared where its noise is even.
_FIGURES: tuple[tuple[str, _Reading, _Reading, float], ...] = (
    ("predictions", lambda one: float(one.predictions), lambda one: math.log(one.predictions + 0.5), 0.0),
    ("failed_ratio", _failed, _failed_evenly, 0.0),
    ("p95_ms", _p95, _logarithm(_p95), _ROUNDED),
    ("joules_per_1000", _joules, _logarithm(_joules), 0.0),
)  # fmt: skip


def _mean(windows: Sequence[Measured]) -> tuple[float, float | None]:
    """Return the mean by rows and its standard error: the larger of what windows differ by and what they were told with."""
    rows = sum(one.rows for one in windows) or 1
    mean = sum(one.value * one.rows for one in windows) / rows
    told = [one.standard_error for one in windows]
    known = [error * one.rows for one, error in zip(windows, told, strict=True) if error is not None]  # fmt: skip
    error = math.hypot(*known) / rows if len(known) == len(windows) else None
    if len(windows) < _LEAST_WINDOWS:
        return mean, error
    spread = math.hypot(*(one.rows * (one.value - mean) for one in windows)) / rows
    spread *= math.sqrt(len(windows) / (len(windows) - 1))
    return mean, max(spread, error or 0.0)


def _alikeness(differences: Sequence[float], mean: float) -> float:
    """Return how alike neighbours may be, from 0 to 0.9: what is seen, what a short row hides, and what chance adds."""
    around = [one - mean for one in differences]
    whole = sum(one * one for one in around)
    if whole == 0.0:
        return 0.0
    told = sum(a * b for a, b in pairwise(around)) / whole
    count = len(around)
    return min(_MOST_ALIKE, max(0.0, told + (1 + 3 * told) / count + 1 / math.sqrt(count)))


def _chance(difference: float, error: float, degrees: float) -> float:
    """Return the two-sided chance of Student's t, by Wallace's approximation (within 2 % of its logarithm)."""
    if error == 0.0:
        return 1.0 if difference == 0.0 else 0.0
    t = difference / error
    if math.isinf(degrees):
        return two_sided(t)
    shrunk = (8 * degrees + 1) / (8 * degrees + 3)
    return two_sided(shrunk * math.sqrt(degrees * math.log1p(t * t / degrees)))
