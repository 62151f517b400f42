# SPDX-License-Identifier: Apache-2.0
"""A table that somebody brought, against a reference: which columns are inputs, and what follows from them.

The decisions are those that windows get; nothing here remembers anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mlops.monitoring.model.alarm import Kind, Sign, signs
from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.drift import WindowVerdict, judge
from mlops.monitoring.model.measured import Measured
from mlops.monitoring.model.metrics import can_measure, measure
from mlops.monitoring.model.performance import Promise
from mlops.monitoring.model.reference import freeze

PREDICTION = "prediction"

Columns = Mapping[str, Sequence[Value]]


@dataclass(frozen=True)
class Parts:
    """A table taken apart: inputs by column, the model's answers and the truth where they are there."""

    rows: int
    features: Columns
    predictions: Sequence[Value] | None = None
    labels: Sequence[Value] | None = None

    @property
    def pairs(self) -> list[tuple[Value, Value]]:
        """Return answer and truth of every row that has both columns, and a truth."""
        if self.predictions is None or self.labels is None:
            return []
        both = zip(self.predictions, self.labels, strict=True)
        return [(answer, label) for answer, label in both if label is not None]


@dataclass(frozen=True)
class Sample:
    """The rows of a reference, and how many rows a window of its model has."""

    features: Columns
    predictions: Sequence[Value]
    window_rows: int


@dataclass(frozen=True)
class Measures:
    """What a table is judged by: the promise of its model, and how sensitive the project is."""

    promise: Promise
    alpha: float = 0.05
    share: float = 0.5


@dataclass(frozen=True)
class Judgement:
    """What a table says about a model. `drifted` is None when its inputs cannot be judged: `verdict` says why."""

    verdict: WindowVerdict
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    kinds: tuple[Kind, ...]
    value: Measured | None
    labelled: int
    degraded: bool
    retraining_suggested: bool
    reasons: tuple[str, ...]

    @property
    def drifted(self) -> bool | None:
        """Return whether anything left the reference."""
        return None if self.verdict.unjudged is not None else bool(self.kinds)


def take_apart(columns: Columns, prediction: str | None, target: str | None) -> Parts:
    """Return the parts of a table; a column called `prediction` holds the answers unless another is named.

    Raises KeyError with the name of a column that is named but not there.
    """
    answers = prediction or (PREDICTION if PREDICTION in columns else None)
    for name in (prediction, target):
        if name is not None and name not in columns:
            raise KeyError(name)
    own = {answers, target}
    return Parts(
        rows=len(next(iter(columns.values()), ())),
        features={name: values for name, values in columns.items() if name not in own},
        predictions=None if answers is None else columns[answers],
        labels=None if target is None else columns[target],
    )


def judge_table(parts: Parts, sample: Sample, by: Measures) -> Judgement:
    """Compare a table with a reference; columns that only one of them has are named and not compared."""
    shared = {name: values for name, values in sample.features.items() if name in parts.features}
    missing = tuple(sorted(sample.features.keys() - shared.keys()))
    unexpected = tuple(sorted(parts.features.keys() - sample.features.keys()))
    reference = freeze(shared, sample.predictions, sample.window_rows)
    if parts.predictions is None:
        reference = replace(reference, prediction=None)
    verdict = judge(reference, parts.features, parts.predictions or [None] * parts.rows, by.alpha)
    found = {} if verdict.unjudged else signs(verdict, by.share)
    value = measure(by.promise.metric, parts.pairs)
    degraded = value is not None and by.promise.broken_by(value, ())
    unproven = found.get(Kind.PREDICTION, Sign(seen=False)).seen and value is None
    return Judgement(
        verdict=verdict,
        missing=missing,
        unexpected=unexpected,
        kinds=tuple(kind for kind, sign in found.items() if sign.seen),
        value=value,
        labelled=len(parts.pairs),
        degraded=degraded,
        retraining_suggested=degraded or unproven,
        reasons=tuple(_reasons(parts, verdict, found, missing, value, by.promise)),
    )


def _reasons(
    parts: Parts,
    verdict: WindowVerdict,
    found: Mapping[Kind, Sign],
    missing: Sequence[str],
    value: Measured | None,
    promise: Promise,
) -> list[str]:
    reasons = (
        [_of_performance(value, promise)] if value is not None else _unmeasured(parts, promise)
    )
    if verdict.unjudged is not None:
        reasons.append(f"the inputs cannot be judged: {verdict.unjudged}")
    if missing:
        reasons.append(f"not in the table, so not compared: {_named(missing)}")
    reasons += [_of_drift(kind, sign, verdict) for kind, sign in found.items() if sign.seen]
    return reasons


def _of_performance(value: Measured, promise: Promise) -> str:
    told = f"{promise.metric} is {value.value:.4g}"
    if promise.threshold is None:
        return f"{told}; nothing was promised to compare it with"
    word = "worse" if promise.missed_by(value.value) else "no worse"
    by_luck = ""
    if promise.missed_by(value.value) and not promise.broken_by(value, ()):
        by_luck = ", though by no more than chance explains in so few rows"
    return f"{told}, {word} than the {promise.threshold:.4g} that is still allowed{by_luck}"


def _unmeasured(parts: Parts, promise: Promise) -> list[str]:
    if parts.labels is None:
        return []
    if parts.predictions is None:
        return [
            "the truth is there but the model's answers are not; name their column as prediction"
        ]
    if not can_measure(promise.metric):
        return [f"{promise.metric} does not follow from answers and truth alone"]
    return [f"{promise.metric} cannot be measured: no row has a truth that fits it"]


def _of_drift(kind: Kind, sign: Sign, verdict: WindowVerdict) -> str:
    if kind is Kind.PREDICTION:
        return "the model's answers are spread differently than in the reference"
    if kind is Kind.MISSING:
        return f"more values than in the reference are missing: {_named(sign.columns)}"
    if sign.columns:
        return f"inputs left the reference: {_named(sign.columns)}"
    if verdict.pairs:
        pairs = [f"{one} and {other}" for one, other in verdict.pairs]
        return f"columns no longer go together as in the reference: {_named(pairs)}"
    return "many inputs moved a little together"


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(name[:64] for name in names[:8])
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown  # noqa: PLR2004 - as many as shown
