# SPDX-License-Identifier: Apache-2.0
"""MlflowRuns: facts about runs and versions, read from MLflow's tables with bounds.

`store.get_run` would load every param and metric: 300 ms for a run with a thousand params.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlRegisteredModelTag
from mlflow.store.tracking.dbmodels.models import (
    SqlDataset,
    SqlExperiment,
    SqlInput,
    SqlLatestMetric,
    SqlParam,
    SqlRun,
    SqlTag,
)

from mlops.chassis.errors import UnavailableError
from mlops.tracking.adapters.mlflow_files import ModelFiles
from mlops.tracking.model.facts import (
    MOST_DATASETS,
    MOST_METRICS,
    MOST_PARAMS,
    Dataset,
    Origin,
    Package,
    RunFacts,
    is_text,
)

_MOST_TAGS = 500
# The metric that decides may be any of them.
_MOST_METRICS = 100 * MOST_METRICS
_READERS = 2
_LONGEST_SOURCE = 4096
_PATIENCE = timedelta(seconds=10)
_RUN_ID: sa.BindParameter[str] = sa.bindparam("run_id")
_RUN = (
    sa.select(SqlExperiment.name, SqlRun.artifact_uri, SqlRun.start_time, SqlRun.end_time)
    .join(SqlExperiment, SqlExperiment.experiment_id == SqlRun.experiment_id)
    .where(SqlRun.run_uuid == _RUN_ID)
)
_PARAMS = (
    sa.select(SqlParam.key, SqlParam.value)
    .where(SqlParam.run_uuid == _RUN_ID)
    .order_by(SqlParam.key)
    .limit(MOST_PARAMS)
)
_TAGS = (
    sa.select(SqlTag.key, SqlTag.value)
    .where(SqlTag.run_uuid == _RUN_ID)
    .order_by(sa.not_(SqlTag.key.startswith("mlops.")), SqlTag.key)
    .limit(_MOST_TAGS)
)
_METRICS = (
    sa.select(SqlLatestMetric.key, SqlLatestMetric.value, SqlLatestMetric.is_nan)
    .where(SqlLatestMetric.run_uuid == _RUN_ID)
    .order_by(SqlLatestMetric.key)
    .limit(_MOST_METRICS)
)
_INPUTS = (
    sa.select(
        SqlDataset.name,
        SqlDataset.digest,
        sa.func.substr(SqlDataset.dataset_source, 1, _LONGEST_SOURCE),
    )
    .join(SqlInput, SqlInput.source_id == SqlDataset.dataset_uuid)
    .where(SqlInput.source_type == "DATASET")
    .where(SqlInput.destination_type == "RUN")
    .where(SqlInput.destination_id == _RUN_ID)
    .order_by(SqlDataset.name)
    .limit(MOST_DATASETS)
)
_NAME: sa.BindParameter[str] = sa.bindparam("name")
_WORKSPACE: sa.BindParameter[str] = sa.bindparam("workspace")
_VERSION = sa.select(SqlModelVersion.run_id, SqlModelVersion.source).where(
    SqlModelVersion.workspace == _WORKSPACE,
    SqlModelVersion.name == _NAME,
    SqlModelVersion.version == sa.bindparam("version"),
)
_PROMPT = sa.select(SqlRegisteredModelTag.value).where(
    SqlRegisteredModelTag.workspace == _WORKSPACE,
    SqlRegisteredModelTag.name == _NAME,
    SqlRegisteredModelTag.key == "mlflow.prompt.is_prompt",
)


class MlflowRuns:
    """Facts from the database; what a model's files say, from the artifact store."""

    def __init__(
        self, engine: sa.Engine, files: ModelFiles, patience: timedelta = _PATIENCE
    ) -> None:
        self._engine = engine
        self._files = files
        self._patience_s = patience.total_seconds()
        # Threads of their own: downloads that hang must not take those of everything else.
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="model-files")
        self._log = structlog.get_logger("models")

    async def run(self, run_id: str) -> RunFacts | None:
        """Return the facts of a run, or None when it is gone."""
        return await asyncio.to_thread(self._run, run_id)

    async def origin(self, project: str, name: str, version: int) -> Origin | None:
        """Return where a version comes from, or None when it is gone."""
        return await asyncio.to_thread(self._origin, project, name, version)

    async def package(self, project: str, source_uri: str) -> Package:
        """Return what the model's files say, an empty package when their store does not answer."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._patience_s):
                return await loop.run_in_executor(
                    self._readers, self._files.read, project, source_uri
                )
        except TimeoutError:
            self._log.warning(
                "model.unread", source=source_uri, project=project, waited_s=self._patience_s
            )
            return Package()

    def metrics(self, run_id: str) -> dict[str, float]:
        """Return the last value of each metric of a run, NaN included; blocks."""
        (rows,) = self._all({"run_id": run_id}, _METRICS)
        return _numbers(rows)

    def _run(self, run_id: str) -> RunFacts | None:
        key = {"run_id": run_id}
        found, params, tags, metrics, inputs = self._all(
            key, _RUN, _PARAMS, _TAGS, _METRICS, _INPUTS
        )
        if not found:
            return None
        return RunFacts(
            experiment_name=found[0][0] or "",
            artifact_uri=found[0][1] or "",
            params=_texts(params),
            metrics=_numbers(metrics),
            tags=_texts(tags),
            inputs=tuple(
                Dataset(name[:128], None, digest, source=_source(told))
                for name, digest, told in inputs
            ),
            started_ms=found[0][2],
            ended_ms=found[0][3],
        )

    def _origin(self, project: str, name: str, version: int) -> Origin | None:
        key = {"workspace": project, "name": name, "version": version}
        found, prompt = self._all(key, _VERSION, _PROMPT)
        if not found:
            return None
        is_prompt = bool(prompt) and str(prompt[0][0]).lower() == "true"
        return Origin(found[0][0], found[0][1] or "", is_prompt)

    def _all(self, key: Mapping[str, object], *statements: sa.Select[Any]) -> list[list[Any]]:
        try:
            with self._engine.connect() as connection:
                return [list(connection.execute(statement, key).all()) for statement in statements]
        except sa.exc.SQLAlchemyError as error:
            raise UnavailableError(f"cannot read runs: {error}") from error


def _texts(rows: list[Any]) -> dict[str, str]:
    return {name: value or "" for name, value in rows}


def _source(told: str | None) -> str:
    """Return the path or URI that a dataset's source holds; what the code itself made has none."""
    try:
        found = json.loads(told or "{}")
    except (ValueError, RecursionError):  # nested deeper than Python goes
        return ""
    held = (found.get(key) for key in ("uri", "url")) if isinstance(found, dict) else ()
    return next((one for one in held if isinstance(one, str) and is_text(one)), "")


def _numbers(rows: list[Any]) -> dict[str, float]:
    return {name: float("nan") if is_nan else float(value) for name, value, is_nan in rows}
