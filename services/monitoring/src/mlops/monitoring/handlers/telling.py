# SPDX-License-Identifier: Apache-2.0
"""What was decided, in the words of the contracts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pydantic_core import to_json

from mlops.contracts.monitoring import (
    ChangeSuspected,
    ColumnDrift,
    DriftCleared,
    DriftDetected,
    DriftKind,
    PerformanceDegraded,
    PerformanceMeasured,
    PerformanceRecovered,
    PerformanceUnmeasured,
    ReferenceChosen,
    Series,
    Severity,
    Suspect,
)
from mlops.contracts.monitoring import Window as Told
from mlops.monitoring.model.adwin import Change
from mlops.monitoring.model.alarm import Alarm, Kind
from mlops.monitoring.model.candidates import Candidate
from mlops.monitoring.model.drift import ColumnVerdict, WindowVerdict
from mlops.monitoring.model.early import ANSWER, ERROR, LABEL
from mlops.monitoring.model.measured import Measured
from mlops.monitoring.model.performance import Promise
from mlops.monitoring.model.suspects import Suspicion, advice
from mlops.monitoring.model.tables import Judgement
from mlops.monitoring.model.windows import ModelKey, Watched, Window, reference_windows
from mlops.monitoring.ports import Baseline

_MOST_COLUMNS = 64
_MOST_BYTES = 40_000  # of the columns in one message, which may have 64 KiB
_LONGEST_SUGGESTION = 1000
_LONGEST_PROBLEM = 1000
_MOST_NEW = 16
_MOST_OF_A_NAME = 64  # in a sentence, and of a column that the reference does not have
_ADVICE = {
    Kind.DATA: "The inputs changed; that alone says nothing about the model. Look at the report, and wait for labels.",
    Kind.PREDICTION: "The model answers differently than when it was new; check it against labels or retrain.",
    Kind.LABEL: "The truth itself is distributed differently than at first; that alone says nothing about the model.",
    Kind.MISSING: "More values than usual are missing; look at the source of these columns.",
}

_EARLY = {
    ANSWER: "The model answers on another level than before; watch its labels.",
    ERROR: "The model errs on another level than before; the next labelled windows will say whether that matters.",
    LABEL: "The truth itself is on another level than before, whatever the model answers.",
}
_INPUTS_MOVED = "Its inputs have drifted too."
_INPUTS_QUIET = "No drift of its inputs was told: what they mean may have changed (concept drift)."


def window_of(window: Window, index: int | None = None) -> Told:
    """Return the window as messages name it."""
    if window.first_at is None or window.last_at is None:
        raise ValueError(f"window {window.number} is empty; only windows with rows are told")
    known = window.index if index is None else index
    return Told(
        index=known or 0,
        rows=window.rows,
        labelled=window.labelled,
        first_at=window.first_at,
        last_at=window.last_at,
    )


def drift_detected(
    key: ModelKey, window: Window, kind: Kind, alarm: Alarm, verdict: WindowVerdict, uri: str | None
) -> DriftDetected:
    """Say that the inputs or answers of a model have left their reference."""
    return DriftDetected(
        project=key.project,
        model=key.model,
        version=window.version,
        kind=DriftKind(kind.value),
        severity=Severity.CRITICAL if alarm.critical else Severity.WARNING,
        columns=_columns(kind, verdict),
        share_drifted_ratio=verdict.share,
        window=window_of(window),
        report_uri=uri,
        suggestion=_allowing(_suggestion(kind, verdict), verdict),
        unexpected_columns=first_names(verdict.unexpected),
    )


def first_names(columns: Sequence[str]) -> tuple[str, ...]:
    """Return as many names as a message has room for."""
    return tuple(name[:_MOST_OF_A_NAME] for name in columns[:_MOST_NEW])


def change_suspected(
    key: ModelKey, version: int, series: str, change: Change, model: Watched
) -> ChangeSuspected:
    """Say that the level of a series has changed, before any window is judged."""
    moved = any(
        alarm.on for name, alarm in model.alarms.items() if name in (Kind.DATA, Kind.MISSING)
    )
    inputs = _INPUTS_MOVED if moved else _INPUTS_QUIET
    return ChangeSuspected(
        project=key.project,
        model=key.model,
        version=version,
        series=Series(series),
        before=change.before,
        after=change.after,
        rows=change.rows,
        suggestion=_EARLY[series] + (f" {inputs}" if series == ERROR else ""),
    )


def drift_cleared(key: ModelKey, window: Window, kind: Kind) -> DriftCleared:
    """Say that a drift is over, or that there is a new reference."""
    return DriftCleared(
        project=key.project,
        model=key.model,
        version=window.version,
        kind=DriftKind(kind.value),
        window=window_of(window),
    )


def reference_chosen(
    key: ModelKey, baseline: Baseline, metric: str, shown: Measured | None
) -> ReferenceChosen:
    """Say which rows a version is compared with from now on, and how it did on them if that is known."""
    return ReferenceChosen(
        project=key.project,
        model=key.model,
        version=baseline.version,
        origin=baseline.origin,
        rows=len(baseline.predictions),
        metric=None if shown is None else metric,
        value=None if shown is None else shown.value,
    )


def reference_to_come(
    key: ModelKey, version: int, window_rows: int, problem: str | None = None
) -> ReferenceChosen:
    """Say that the next windows become the reference of a version; *problem*: why not the rows of the project's file."""
    return ReferenceChosen(
        project=key.project,
        model=key.model,
        version=version,
        origin=f"the next {reference_windows(window_rows)} windows of {window_rows} rows",
        problem=None if problem is None else problem[:_LONGEST_PROBLEM],
    )


def measured(
    key: ModelKey, window: Window, promise: Promise, found: Measured, index: int | None = None
) -> PerformanceMeasured:
    """Say how the model did in a labelled window."""
    return PerformanceMeasured(
        project=key.project,
        model=key.model,
        version=window.version,
        metric=promise.metric,
        value=found.value,
        standard_error=found.error,
        expected=promise.expected,
        degraded=window.degraded,
        window=window_of(window, index),
        partial=window.index is None,
    )


def unmeasured(
    key: ModelKey, window: Window, metric: str, needed: int, when: str
) -> PerformanceUnmeasured:
    """Say that a window is given up."""
    reason = f"{window.labelled} of {window.rows} labels came {when}; {needed} are needed"
    return _unmeasured(key, window, metric, reason)


def without_value(key: ModelKey, window: Window, metric: str) -> PerformanceUnmeasured:
    """Say that a window has its labels, but they and the answers do not give the metric."""
    reason = f"{metric} does not follow from the answers and truths of its {window.labelled} labelled rows"
    return _unmeasured(key, window, metric, reason)


def _unmeasured(key: ModelKey, window: Window, metric: str, reason: str) -> PerformanceUnmeasured:
    return PerformanceUnmeasured(
        project=key.project,
        model=key.model,
        version=window.version,
        metric=metric,
        window=window_of(window),
        reason=reason,
    )


def degraded(
    key: ModelKey,
    window: Window,
    promise: Promise,
    value: float,
    found: Sequence[Suspicion],
    uri: str | None,
) -> PerformanceDegraded:
    """Say that the model does worse than promised."""
    return PerformanceDegraded(
        project=key.project,
        model=key.model,
        version=window.version,
        metric=promise.metric,
        value=value,
        expected=promise.expected,
        threshold=_known(promise.threshold),
        window=window_of(window),
        suspects=tuple(Suspect(cause=one.cause, evidence=one.evidence) for one in found),
        report_uri=uri,
        suggestion=advice(found),
    )


def candidate_worse(
    key: ModelKey, candidate: Candidate, rows: Told, promise: Promise, value: float
) -> PerformanceDegraded:
    """Say that a version that is being rolled out does worse than the one that answers beside it."""
    return PerformanceDegraded(
        project=key.project,
        model=key.model,
        version=candidate.version,
        against_version=candidate.against,
        metric=promise.metric,
        value=value,
        expected=promise.expected,
        threshold=_known(promise.threshold),
        window=rows,
        suggestion=(
            f"Version {candidate.against} does better on labels of the same time: keep it. The rollout goes back by "
            "itself unless `revert_on_quality` is off; then `mlops model rollback` does it."
        ),
    )


def recovered(
    key: ModelKey, window: Window, promise: Promise, value: float
) -> PerformanceRecovered:
    """Say that the model does as promised again."""
    return PerformanceRecovered(
        project=key.project,
        model=key.model,
        version=window.version,
        metric=promise.metric,
        value=value,
        threshold=_known(promise.threshold),
        window=window_of(window),
    )


def advice_on_table(found: Judgement) -> str:
    """Return what a person could do about a table that was judged."""
    if found.degraded:
        return "The model does worse than promised on these rows: retrain it on data that hold such rows."
    for kind in (Kind.PREDICTION, Kind.MISSING, Kind.DATA):
        if kind in found.kinds:
            return _ADVICE[kind] if kind is Kind.DATA else _suggestion(kind, found.verdict)
    if found.drifted is None:
        return "Bring more rows; these are too few to say anything about the inputs."
    return "Nothing to do."


def _known(threshold: float | None) -> float:
    if threshold is None:
        raise ValueError("nothing was promised, so nothing can be degraded or recovered")
    return threshold


def _columns(kind: Kind, verdict: WindowVerdict) -> tuple[ColumnDrift, ...]:
    if kind in (Kind.PREDICTION, Kind.LABEL):
        found = [verdict.prediction] if verdict.prediction is not None else []
    else:
        found = sorted(verdict.columns, key=far_first)
    return tuple(_fitting(_column(column, kind) for column in found[:_MOST_COLUMNS]))


def _fitting(columns: Iterable[ColumnDrift]) -> Iterator[ColumnDrift]:
    left = _MOST_BYTES
    for column in columns:
        left -= len(to_json(column))
        if left < 0:
            return
        yield column


def far_first(column: ColumnVerdict) -> tuple[bool, float]:
    """Return the key by which columns are sorted: those that drifted, then the furthest."""
    return not (column.moved or column.missing_moved), -column.score / column.threshold


def _column(column: ColumnVerdict, kind: Kind) -> ColumnDrift:
    own = {Kind.DATA: column.moved, Kind.MISSING: column.missing_moved}
    return ColumnDrift(
        name=column.name[:256],
        test=column.test,
        score=column.score,
        threshold=column.threshold,
        p_value=min(1.0, max(0.0, column.p)),
        drifted=own.get(kind, column.moved or column.missing_moved),
    )


def _allowing(suggestion: str, verdict: WindowVerdict) -> str:
    names = ", ".join(name[:_MOST_OF_A_NAME] for name in verdict.unexpected[:5])
    new = f"The reference does not have {names}." if names else ""
    said = (one for one in (suggestion, new, verdict.allowed) if one)
    return " ".join(said)[:_LONGEST_SUGGESTION]


def _suggestion(kind: Kind, verdict: WindowVerdict) -> str:
    if kind is not Kind.DATA or verdict.moved:
        return _ADVICE[kind]
    if verdict.pairs:
        named = ", ".join(
            f"{a[:_MOST_OF_A_NAME]} and {b[:_MOST_OF_A_NAME]}" for a, b in verdict.pairs[:5]
        )
        return f"Columns no longer go together as they did: {named}. Look for a broken join or a changed unit."
    return "Many columns moved a little together. " + _ADVICE[kind]
