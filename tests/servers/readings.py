# SPDX-License-Identifier: Apache-2.0
"""Places that runs and models are read from, and how they are written there: a fake, and MLflow's own tables."""

# MLflow takes two seconds to import, which a run without these tests saves.
# ruff: noqa: PLC0415

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from mlops.tracking.adapters.memory_reading import MemoryReadings
from mlops.tracking.model.facts import Dataset
from mlops.tracking.model.records import ModelRecord, Point, RunRecord, VersionRecord
from mlops.tracking.ports import Readings, Shelf


class MemoryLab:
    """The fake."""

    def __init__(self) -> None:
        self.readings = self.shelf = self._memory = MemoryReadings()

    def run(self, record: RunRecord) -> None:
        self._memory.records.append(record)

    def delete(self, run_id: str) -> None:
        self._memory.deleted.add(run_id)

    def log(self, run_id: str, points: Sequence[Point]) -> None:
        self._memory.logged.setdefault(run_id, []).extend(points)

    def model(self, record: ModelRecord, versions: Sequence[VersionRecord] = ()) -> None:
        self._memory.shelf.append(record)
        self._memory.by_model[record.project, record.name] = [*versions]


class SqlLab:
    """MLflow's tables; written by its own classes."""

    def __init__(self, engine: sa.Engine) -> None:
        from mlops.tracking.adapters.reading_models import SqlShelf
        from mlops.tracking.adapters.reading_runs import SqlReadings

        self._engine = engine
        self.readings: Readings = SqlReadings(engine)
        self.shelf: Shelf = SqlShelf(engine)

    def run(self, record: RunRecord) -> None:
        from mlflow.store.tracking.dbmodels import models

        key = {"run_uuid": record.run_id}
        self._add(
            models.SqlRun(
                **key,
                name=record.name,
                experiment_id=self._experiment(record),
                status=record.status,
                user_id=record.user,
                start_time=record.started_ms,
                end_time=record.ended_ms,
                artifact_uri=record.artifact_uri,
                lifecycle_stage="active",
            ),
        )
        self._add(
            *(models.SqlParam(**key, key=name, value=it) for name, it in record.params.items()),
            *(models.SqlTag(**key, key=name, value=it) for name, it in record.tags.items()),
            *(
                models.SqlLatestMetric(
                    **key,
                    key=name,
                    value=0.0 if math.isnan(it) else it,
                    is_nan=math.isnan(it),
                    timestamp=1,
                    step=0,
                )
                for name, it in record.metrics.items()
            ),
        )
        for dataset in record.inputs:
            self._input(record, dataset)

    def delete(self, run_id: str) -> None:
        from mlflow.store.tracking.dbmodels.models import SqlRun

        with Session(self._engine) as session:
            session.execute(
                sa.update(SqlRun).where(SqlRun.run_uuid == run_id).values(lifecycle_stage="deleted")
            )
            session.commit()

    def log(self, run_id: str, points: Sequence[Point]) -> None:
        from mlflow.store.tracking.dbmodels.models import SqlMetric

        self._add(
            *(
                SqlMetric(
                    run_uuid=run_id,
                    key=point.name,
                    value=point.value,
                    timestamp=point.at_ms,
                    step=point.step,
                    is_nan=False,
                )
                for point in points
            )
        )

    def model(self, record: ModelRecord, versions: Sequence[VersionRecord] = ()) -> None:
        from mlflow.store.model_registry.dbmodels import models

        key = {"workspace": record.project, "name": record.name}
        self._add(
            models.SqlRegisteredModel(**key, creation_time=1, last_updated_time=record.updated_ms)
        )
        self._add(
            *(models.SqlRegisteredModelTag(**key, key=n, value=v) for n, v in record.tags.items()),
            *(
                models.SqlRegisteredModelAlias(**key, alias=alias, version=number)
                for alias, number in record.aliases.items()
            ),
        )
        for version in versions:
            self._add(
                models.SqlModelVersion(
                    **key,
                    version=version.version,
                    run_id=version.run_id,
                    creation_time=version.created_ms,
                    status=version.status,
                    source=version.source_uri,
                )
            )
            number = {"version": version.version}
            self._add(
                *(
                    models.SqlModelVersionTag(**key, **number, key=name, value=it)
                    for name, it in version.tags.items()
                )
            )

    def _experiment(self, record: RunRecord) -> int:
        from mlflow.store.tracking.dbmodels.models import SqlExperiment
        from mlflow.store.workspace.dbmodels.models import SqlWorkspace

        number = int(record.experiment_id)
        with Session(self._engine) as session:
            if session.get(SqlExperiment, number) is None:
                named = {"name": record.project, "workspace": record.project}
                session.add(SqlExperiment(experiment_id=number, lifecycle_stage="active", **named))
            if session.get(SqlWorkspace, record.project) is None:
                session.add(SqlWorkspace(name=record.project))
            session.commit()
        return number

    def _input(self, record: RunRecord, dataset: Dataset) -> None:
        from mlflow.store.tracking.dbmodels.models import SqlDataset, SqlInput

        number = uuid.uuid4().hex
        self._add(
            SqlDataset(
                dataset_uuid=number,
                experiment_id=int(record.experiment_id),
                name=dataset.name,
                digest=dataset.hash,
                dataset_source_type="local",
                dataset_source="{}",
            ),
            SqlInput(
                input_uuid=uuid.uuid4().hex,
                source_type="DATASET",
                source_id=number,
                destination_type="RUN",
                destination_id=record.run_id,
            ),
        )

    def _add(self, *rows: Any) -> None:
        with Session(self._engine) as session:
            session.add_all(rows)
            session.commit()


Lab = MemoryLab | SqlLab


def tables_at(uri: str) -> sa.Engine:
    """Make the tables that are read, as MLflow describes them."""
    from mlflow.store.model_registry.dbmodels import models as registry
    from mlflow.store.tracking.dbmodels import models
    from mlflow.store.workspace.dbmodels import models as workspaces

    from mlops.tracking.adapters import outbox

    engine = sa.create_engine(uri)
    kinds = (
        workspaces.SqlWorkspace,
        *(models.SqlExperiment, models.SqlRun, models.SqlTag, models.SqlParam, models.SqlMetric),
        *(models.SqlLatestMetric, models.SqlDataset, models.SqlInput),
        *(registry.SqlRegisteredModel, registry.SqlRegisteredModelTag, registry.SqlModelVersion),
        *(registry.SqlRegisteredModelAlias, registry.SqlModelVersionTag),
    )
    _once([kind.__table__ for kind in kinds]).create_all(engine)
    # Where another test of this process listens to runs, theirs are written down here too.
    outbox.metadata.create_all(engine)
    return engine


def _once(tables: Sequence[sa.Table]) -> sa.MetaData:
    """Return copies of the tables; MLflow's migrations, where this process ran them, repeated their constraints."""
    copies = sa.MetaData()
    for table in tables:
        copy = table.to_metadata(copies)
        seen: set[str] = set()
        for constraint in [one for one in copy.constraints if one.name]:
            if str(constraint.name) in seen:
                copy.constraints.discard(constraint)
            seen.add(str(constraint.name))
    return copies
