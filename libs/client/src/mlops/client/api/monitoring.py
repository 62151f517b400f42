# SPDX-License-Identifier: Apache-2.0
"""Calls about how a model does: what its rows are compared with, and what a table of predictions says about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlops.client.api.link import Link, part
from mlops.client.errors import BadInputError
from mlops.client.tables import Table, as_file

_JUDGE_S = 120.0
_PREDICTION = "prediction"
_TARGET = "target"

Column = str | Iterable[Any] | None
"""The name of a column of the table, or its values; None when there is none."""


@dataclass(frozen=True)
class Reference:
    """What a version is compared with from now on.

    `rows` counts the rows of the reference. `value` is *metric* over them, None without target and prediction; where
    the version was promoted without a promise, it is what the model is held to.
    """

    model: str
    version: int
    rows: int | None
    metric: str | None
    value: float | None


@dataclass(frozen=True)
class ColumnDrift:
    """How far one column is from the reference: an effect (no unit), and the effect from which on it drifted.

    `kind` is data, missing (values that are not there) or prediction; `test` is w1 (in standard deviations), tvd
    (total variation distance), psi, or missing (a share).
    """

    name: str
    kind: str
    test: str
    score: float
    threshold: float
    drifted: bool


@dataclass(frozen=True)
class DriftResult:
    """What the inputs and answers say. `drifted` is None when they cannot be judged; `cannot_judge` says why."""

    drifted: bool | None
    share_drifted_ratio: float
    columns: tuple[ColumnDrift, ...]
    missing_columns: tuple[str, ...]
    unexpected_columns: tuple[str, ...]
    cannot_judge: str | None = None


@dataclass(frozen=True)
class PerformanceResult:
    """How the model did by the truth: `value` of *metric* over `rows` rows, and what was promised of it."""

    metric: str
    value: float
    expected: float | None
    threshold: float | None
    degraded: bool
    rows: int


@dataclass(frozen=True)
class MonitorResult:
    """What a table says about a model; `performance` is None without target and prediction.

    `retraining_suggested`: it does worse than promised, or it answers differently than on its reference and no truth
    says whether that is right. Inputs alone that changed suggest nothing. `reasons` say what was seen, in words.
    """

    model: str
    version: int
    rows: int
    drift: DriftResult
    performance: PerformanceResult | None
    retraining_suggested: bool
    reasons: tuple[str, ...]
    suggestion: str


class MonitoringCalls(Link):
    """Monitoring of the project's models."""

    def set_reference_data(
        self,
        data: Table,
        target: Column = None,
        prediction: Column = None,
        *,
        model: str | None = None,
    ) -> Reference:
        """Let the rows of *data* (at least 500, in time order) be what the model's inputs are compared with.

        *data* is a data frame, columns, rows, or the path of a CSV or Parquet file. *target* and *prediction* name
        its columns of the truth and of the model's answers, or are their values; all other columns are inputs.
        *model* is the project's `[serve].model` unless named; the version that answers gets the reference.

        Raises BadInputError for what is no table, RefusedError when the platform cannot take it: no such model, too
        few rows, no column that the model gets; NotRunningError, NoAnswerError when nobody answers.

        Example: `client.set_reference_data(train, target="rain_tomorrow", prediction="answer")`
        """
        name = model or self._served("set reference data")
        columns = self._brought(data, target, prediction, "set reference data")
        told = self._done(
            "cmd.monitor.reference", {"model": name, **columns}, ("reference.chosen",)
        )["data"]
        return Reference(
            str(told["model"]),
            int(told["version"]),
            told.get("rows"),
            told.get("metric"),
            told.get("value"),
        )

    def monitor_predictions(
        self,
        data: Table,
        target: Column = None,
        prediction: Column = None,
        *,
        model: str | None = None,
    ) -> MonitorResult:
        """Judge the rows of *data* against the model's reference; nothing is stored or changed by it.

        Arguments as for `set_reference_data`. 200 rows at least are needed to judge inputs; of very many, the newest
        20 000 are looked at, and `reasons` say so.

        Raises BadInputError for what is no table, RefusedError when there is no reference yet (with how to set one),
        no such model, or no column in common; NotRunningError when nobody answers.

        Example: `client.monitor_predictions(today, prediction="answer").retraining_suggested`
        """
        name = model or self._served("monitor predictions")
        columns = self._brought(data, target, prediction, "monitor predictions")
        question = {"project": self.project, "model": name, **columns}
        path, operation = "/api/v1/monitor/judge", f"monitor predictions of {name}"
        return _result(name, self._transport.get(path, operation, question, wait_s=_JUDGE_S))

    def _brought(
        self, data: Table, target: Column, prediction: Column, operation: str
    ) -> dict[str, str]:
        """Bring the table, and return where it is and what its columns are called."""
        given = {_TARGET: target, _PREDICTION: prediction}
        names = {key: value for key, value in given.items() if isinstance(value, str)}
        more = {
            key: value
            for key, value in given.items()
            if value is not None and not isinstance(value, str)
        }
        with as_file(data, more, operation) as file:
            brought = self._transport.upload("/api/v1/files", operation, file)
        return {"uri": str(brought["uri"]), **names, **{key: key for key in more}}

    def _served(self, operation: str) -> str:
        """Return the model that the project serves."""
        known = self._get(f"/api/v1/projects/{part(self.project)}", operation)
        model = next((str(one["model"]) for one in known["projects"] if one.get("model")), "")
        if not model:
            told = f"project {self.project} names no model"
            hint = "say model=…, or set [serve].model in mlops.toml and register the project"
            raise BadInputError("client", operation, told, hint)
        return model


def _result(model: str, told: Mapping[str, Any]) -> MonitorResult:
    drift, performance = told["drift"], told.get("performance")
    return MonitorResult(
        model=model,
        version=int(told["version"]),
        rows=int(told["rows"]),
        drift=DriftResult(
            drifted=drift["drifted"],
            share_drifted_ratio=float(drift["share_drifted_ratio"]),
            columns=tuple(_column(one) for one in drift["columns"]),
            missing_columns=tuple(drift["missing_columns"]),
            unexpected_columns=tuple(drift["unexpected_columns"]),
            cannot_judge=drift.get("cannot_judge"),
        ),
        performance=None if performance is None else _performance(performance),
        retraining_suggested=bool(told["retraining_suggested"]),
        reasons=tuple(told["reasons"]),
        suggestion=str(told["suggestion"]),
    )


def _column(one: Mapping[str, Any]) -> ColumnDrift:
    names = ("name", "kind", "test", "score", "threshold", "drifted")
    return ColumnDrift(*(one[name] for name in names))


def _performance(told: Mapping[str, Any]) -> PerformanceResult:
    names = ("metric", "value", "expected", "threshold", "degraded", "rows")
    return PerformanceResult(*(told[name] for name in names))
