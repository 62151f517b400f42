# SPDX-License-Identifier: Apache-2.0
"""SqlReadings: runs for people who ask, read from MLflow's tables with bounds; never through its entities.

MLflow's own search loads every param, metric and tag of a run; here each is ranked and cut where it lies.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
from mlflow.store.tracking.dbmodels.models import (
    SqlDataset,
    SqlExperiment,
    SqlInput,
    SqlLatestMetric,
    SqlMetric,
    SqlParam,
    SqlRun,
    SqlTag,
)
from mlflow.store.workspace.dbmodels.models import SqlWorkspace

from mlops.chassis.errors import UnavailableError
from mlops.tracking.model.facts import LONGEST_VALUE, Dataset
from mlops.tracking.model.records import (
    MOST_OF_A_RUN,
    MOST_TAGS_OF_A_RUN,
    SYSTEM_METRICS,
    THROUGHPUT,
    Point,
    RunRecord,
    Wanted,
)

_MOST_MODELS = 20
_MOST_AT_ONCE = 5000
_ACTIVE = "active"
_RUN_COLUMNS = (
    SqlRun.run_uuid,
    SqlRun.experiment_id,
    SqlRun.name,
    SqlRun.status,
    SqlRun.user_id,
    SqlRun.start_time,
    SqlRun.end_time,
    SqlRun.artifact_uri,
    SqlExperiment.workspace,
)
_RUNS = sa.select(*_RUN_COLUMNS).join(
    SqlExperiment, SqlExperiment.experiment_id == SqlRun.experiment_id
)
_TAGS_OF_INTEREST = ("mlflow.user", "mlflow.source.git.commit")

Rows = list[Any]


class SqlReadings:
    """See the port `Readings`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    async def projects(self) -> list[str]:
        """Return the names of all workspaces."""
        (found,) = await asyncio.to_thread(self._all, sa.select(SqlWorkspace.name))
        return sorted({name for (name,) in found} | {"default"})

    async def runs(self, wanted: Wanted, first: Collection[str] = ()) -> list[RunRecord]:
        """Return the newest runs."""
        return await asyncio.to_thread(self._runs, _newest(wanted), first)

    async def some(self, run_ids: Sequence[str], first: Collection[str] = ()) -> list[RunRecord]:
        """Return the runs of these ids, in their order."""
        statement = _RUNS.where(SqlRun.run_uuid.in_(run_ids))
        found = await asyncio.to_thread(self._runs, statement, first)
        known = {record.run_id: record for record in found}
        return [known[run_id] for run_id in run_ids if run_id in known]

    async def samples(self, wanted: Wanted, metrics: Collection[str]) -> list[RunRecord]:
        """Return the newest runs with these metrics and the platform's own tags only."""
        return await asyncio.to_thread(self._samples, wanted, metrics)

    async def points(self, run_id: str, since_ms: int, limit: int) -> list[Point]:
        """Return what was logged after *since_ms*, oldest first."""
        return await asyncio.to_thread(self._points, run_id, since_ms, limit)

    def _runs(self, statement: sa.Select[Any], first: Collection[str]) -> list[RunRecord]:
        (runs,) = self._all(statement)
        ids = [row.run_uuid for row in runs]
        if not ids:
            return []
        foremost = (*THROUGHPUT, *first)
        found = self._all(
            _params(ids), newest_metrics(ids, foremost), _tags(ids), _inputs(ids), _models(ids)
        )
        params, metrics, tags, inputs, models = (_by_run(rows) for rows in found)
        return [
            RunRecord(
                **_about(row),
                params={it.key: it.value or "" for it in params[row.run_uuid]},
                metrics={it.key: _number(it) for it in metrics[row.run_uuid]},
                tags={it.key: it.value or "" for it in tags[row.run_uuid]},
                inputs=tuple(
                    Dataset(it.name[:128], None, it.digest) for it in inputs[row.run_uuid]
                ),
                models=tuple(
                    (it.name, it.version)
                    for it in models[row.run_uuid][:_MOST_MODELS]
                    if it.workspace == row.workspace
                ),
                more_params=_more(params[row.run_uuid]),
                more_metrics=_more(metrics[row.run_uuid]),
            )
            for row in runs
        ]

    def _points(self, run_id: str, since_ms: int, limit: int) -> list[Point]:
        (rows,) = self._all(_since(run_id, since_ms).limit(limit))
        if len(rows) == limit:
            last_ms = rows[-1].timestamp
            (same,) = self._all(_since(run_id, last_ms - 1, last_ms).limit(_MOST_AT_ONCE))
            rows = [*(row for row in rows if row.timestamp < last_ms), *same]
        return [Point(row.key, _number(row), int(row.timestamp), int(row.step)) for row in rows]

    def _samples(self, wanted: Wanted, metrics: Collection[str]) -> list[RunRecord]:
        chosen = _newest(wanted).with_only_columns(SqlRun.run_uuid).subquery()
        ids = sa.select(chosen.c.run_uuid)
        value = sa.func.substr(SqlTag.value, 1, LONGEST_VALUE).label("value")
        tags = sa.select(SqlTag.run_uuid, SqlTag.key, value).where(
            SqlTag.run_uuid.in_(ids), begins(SqlTag.key, "mlops.") | begins(SqlTag.key, "hw.")
        )
        logged = sa.select(
            SqlLatestMetric.run_uuid,
            SqlLatestMetric.key,
            SqlLatestMetric.value,
            SqlLatestMetric.is_nan,
        ).where(SqlLatestMetric.run_uuid.in_(ids), SqlLatestMetric.key.in_([*metrics]))
        runs, tag_rows, metric_rows = self._all(_newest(wanted), tags, logged)
        by_tag, by_metric = _by_run(tag_rows), _by_run(metric_rows)
        return [
            RunRecord(
                **_about(row),
                tags={it.key: it.value or "" for it in by_tag[row.run_uuid]},
                metrics={it.key: _number(it) for it in by_metric[row.run_uuid]},
            )
            for row in runs
        ]

    def _all(self, *statements: sa.Select[Any]) -> list[Rows]:
        try:
            with self._engine.connect() as connection:
                return [list(connection.execute(statement).all()) for statement in statements]
        except sa.exc.SQLAlchemyError as error:
            raise UnavailableError(f"cannot read runs: {error}") from error


def _newest(wanted: Wanted) -> sa.Select[Any]:
    statement = _RUNS.where(
        SqlRun.lifecycle_stage == _ACTIVE, SqlExperiment.lifecycle_stage == _ACTIVE
    )
    if wanted.project is not None:
        statement = statement.where(SqlExperiment.workspace == wanted.project)
    if wanted.status is not None:
        statement = statement.where(SqlRun.status == wanted.status)
    for key, value in wanted.tags.items():
        tag = sa.select(SqlTag.run_uuid).where(SqlTag.key == key)
        if value is not None:
            tag = tag.where(SqlTag.value == value)
        statement = statement.where(SqlRun.run_uuid.in_(tag))
    newest = sa.func.coalesce(SqlRun.start_time, 0).desc()
    return statement.order_by(newest, SqlRun.run_uuid).limit(wanted.limit)


def _params(ids: Sequence[str]) -> sa.Select[Any]:
    columns = (SqlParam.key, sa.func.substr(SqlParam.value, 1, LONGEST_VALUE).label("value"))
    return _ranked(SqlParam, columns, (SqlParam.run_uuid.in_(ids),), (SqlParam.key,), MOST_OF_A_RUN)


def newest_metrics(ids: Sequence[str], first: Collection[str] = THROUGHPUT) -> sa.Select[Any]:
    """Return the last values of the metrics of runs, *first* foremost, without those of the system."""
    columns = (SqlLatestMetric.key, SqlLatestMetric.value, SqlLatestMetric.is_nan)
    wanted = (
        SqlLatestMetric.run_uuid.in_(ids),
        sa.not_(begins(SqlLatestMetric.key, SYSTEM_METRICS)),
    )
    order = (sa.case((SqlLatestMetric.key.in_([*first]), 0), else_=1), SqlLatestMetric.key)
    return _ranked(SqlLatestMetric, columns, wanted, order, MOST_OF_A_RUN)


def _tags(ids: Sequence[str]) -> sa.Select[Any]:
    columns = (SqlTag.key, sa.func.substr(SqlTag.value, 1, LONGEST_VALUE).label("value"))
    ours = begins(SqlTag.key, "mlops.") | begins(SqlTag.key, "hw.")
    known = SqlTag.key.in_(_TAGS_OF_INTEREST)
    wanted = (SqlTag.run_uuid.in_(ids), known | sa.not_(begins(SqlTag.key, "mlflow.")))
    order = (sa.case((ours, 0), (known, 1), else_=2), SqlTag.key)
    return _ranked(SqlTag, columns, wanted, order, MOST_TAGS_OF_A_RUN)


def begins(column: Any, prefix: str) -> sa.ColumnElement[bool]:
    """Say whether a text begins so; LIKE would take capitals for the same on SQLite, and on PostgreSQL not."""
    return sa.func.substr(column, 1, len(prefix)) == prefix


def _ranked(
    kind: Any, columns: Sequence[Any], wanted: Sequence[Any], order: Sequence[Any], most: int
) -> sa.Select[Any]:
    """Return the first of each run, with how many there are in all."""
    place = sa.func.row_number().over(partition_by=kind.run_uuid, order_by=order)
    all_ = sa.func.count().over(partition_by=kind.run_uuid)
    inner = (
        sa.select(kind.run_uuid, *columns, place.label("place"), all_.label("in_all"))
        .where(*wanted)
        .subquery()
    )
    return sa.select(inner).where(inner.c.place <= most).order_by(inner.c.place)


def _inputs(ids: Sequence[str]) -> sa.Select[Any]:
    return (
        sa.select(SqlInput.destination_id.label("run_uuid"), SqlDataset.name, SqlDataset.digest)
        .join(SqlDataset, SqlInput.source_id == SqlDataset.dataset_uuid)
        .where(
            SqlInput.source_type == "DATASET",
            SqlInput.destination_type == "RUN",
            SqlInput.destination_id.in_(ids),
        )
        .order_by(SqlDataset.name)
        .limit(MOST_OF_A_RUN * len(ids))
    )


def _models(ids: Sequence[str]) -> sa.Select[Any]:
    columns = (SqlModelVersion.workspace, SqlModelVersion.name, SqlModelVersion.version)
    return (
        sa.select(SqlModelVersion.run_id.label("run_uuid"), *columns)
        .where(SqlModelVersion.run_id.in_(ids))
        .order_by(SqlModelVersion.name, SqlModelVersion.version.desc())
        .limit(_MOST_MODELS * len(ids))
    )


def _since(run_id: str, since_ms: int, until_ms: int | None = None) -> sa.Select[Any]:
    columns = (SqlMetric.key, SqlMetric.value, SqlMetric.timestamp, SqlMetric.step)
    statement = sa.select(*columns, SqlMetric.is_nan).where(
        SqlMetric.run_uuid == run_id, SqlMetric.timestamp > since_ms
    )
    if until_ms is not None:
        statement = statement.where(SqlMetric.timestamp <= until_ms)
    return statement.order_by(SqlMetric.timestamp, SqlMetric.key, SqlMetric.step)


def _about(row: Any) -> dict[str, Any]:
    return {
        "run_id": row.run_uuid,
        "project": row.workspace or "default",
        "experiment_id": str(row.experiment_id),
        "name": row.name or "",
        "status": row.status or "",
        "user": row.user_id or "",
        "started_ms": row.start_time,
        "ended_ms": row.end_time,
        "artifact_uri": row.artifact_uri or "",
    }


def _by_run(rows: Rows) -> dict[str, Rows]:
    found: defaultdict[str, Rows] = defaultdict(list)
    for row in rows:
        found[row.run_uuid].append(row)
    return found


def _number(row: Any) -> float:
    return float("nan") if row.is_nan else float(row.value)


def _more(rows: Rows) -> int:
    return int(rows[0].in_all) - len(rows) if rows else 0
