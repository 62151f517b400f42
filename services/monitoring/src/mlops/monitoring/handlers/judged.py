# SPDX-License-Identifier: Apache-2.0
"""What was found about a table that somebody brought, as the query tells it: bounded, in plain JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops.monitoring.handlers import telling
from mlops.monitoring.model.drift import ColumnVerdict
from mlops.monitoring.model.measured import Measured
from mlops.monitoring.model.performance import Promise
from mlops.monitoring.model.tables import Judgement
from mlops.monitoring.ports import Baseline, Table

_MOST_COLUMNS = 500
_MOST_NAMES = 200
_LONGEST_NAME = 256


def answer(found: Judgement, table: Table, baseline: Baseline, promise: Promise) -> dict[str, Any]:
    """Return what `query.monitoring.judge` answers."""
    rows = len(next(iter(table.columns.values()), ()))
    reasons = list(found.reasons)
    if rows < table.rows:
        reasons.append(f"of {table.rows} rows the newest {rows} were looked at")
    return {
        "rows": rows,
        "rows_in_table": table.rows,
        "version": baseline.version,
        "reference": {"origin": baseline.origin, "rows": len(baseline.predictions)},
        "drift": _drift(found),
        "performance": _performance(found.value, promise, found),
        "retraining_suggested": found.retraining_suggested,
        "reasons": reasons,
        "suggestion": telling.advice_on_table(found),
    }


def _drift(found: Judgement) -> dict[str, Any]:
    verdict = found.verdict
    own = [] if verdict.prediction is None else [_column(verdict.prediction, "prediction")]
    columns = sorted(verdict.columns, key=telling.far_first)[:_MOST_COLUMNS]
    return {
        "drifted": found.drifted,
        "cannot_judge": verdict.unjudged,
        "share_drifted_ratio": verdict.share,
        "columns": [
            *own,
            *(
                _column(one, "missing" if one.missing_moved and not one.moved else "data")
                for one in columns
            ),
        ],
        "missing_columns": _short(found.missing),
        "unexpected_columns": _short(found.unexpected),
    }


def _short(names: Sequence[str]) -> list[str]:
    return [name[:_LONGEST_NAME] for name in names[:_MOST_NAMES]]


def _column(one: ColumnVerdict, kind: str) -> dict[str, Any]:
    return {
        "name": one.name[:_LONGEST_NAME],
        "kind": kind,
        "test": one.test,
        "score": one.score,
        "threshold": one.threshold,
        "drifted": one.moved or one.missing_moved,
    }


def _performance(
    value: Measured | None, promise: Promise, found: Judgement
) -> dict[str, Any] | None:
    if value is None:
        return None
    return {
        "metric": promise.metric,
        "value": value.value,
        "expected": promise.expected,
        "threshold": promise.threshold,
        "degraded": found.degraded,
        "rows": found.labelled,
    }
