# SPDX-License-Identifier: Apache-2.0
"""Runs of an import: experiments by name, runs and logged models by their ids, all they logged, and their files."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from mlflow.store.tracking.dbmodels import models
from mlflow.utils.workspace_context import ServerWorkspaceContext

from mlops.tracking.adapters.backup_files import Say
from mlops.tracking.adapters.import_files import Files
from mlops.tracking.adapters.import_rows import Copier, Rows
from mlops.tracking.adapters.tables import closed
from mlops.tracking.errors import StoreError
from mlops.tracking.model.places import moved

IMPORTED = "mlops.imported"
DEFAULT = "default"

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_PAGE = 100
_RUNNING = ("RUNNING", "SCHEDULED")
_RUNS = models.SqlRun.__table__
_TAGS = models.SqlTag.__table__
_PARAMS = models.SqlParam.__table__
_LATEST = models.SqlLatestMetric.__table__
_DATASETS = models.SqlDataset.__table__
_INPUTS = models.SqlInput.__table__
_INPUT_TAGS = models.SqlInputTag.__table__
_EXPERIMENTS = models.SqlExperiment.__table__
_EXPERIMENT_TAGS = models.SqlExperimentTag.__table__
_LOGGED = models.SqlLoggedModel.__table__
_OF_LOGGED = (
    models.SqlLoggedModelParam.__table__,
    models.SqlLoggedModelTag.__table__,
    models.SqlLoggedModelMetric.__table__,
)


class ImportedRuns:
    """Copies them; `places` says where artifacts are now that were elsewhere before."""

    def __init__(
        self, copier: Copier, tracking: Any, files: Files, project: str, mark: str
    ) -> None:
        self._copier = copier
        self._tracking = tracking
        self._files = files
        self._project = project
        self._mark = mark
        self.places: dict[str, str] = {}
        self.counts = dict.fromkeys(
            ("experiments", "runs_new", "runs_known", "runs_of_others", "points_read"), 0
        )

    def copy(self, say: Say) -> None:
        """Copy everything of the workspace `default`; other workspaces are left out and counted."""
        everything = self._copier.read(_EXPERIMENTS)
        ours = [row for row in everything if row["workspace"] == DEFAULT]
        self.counts["experiments_of_other_workspaces"] = len(everything) - len(ours)
        for row in ours:
            self._experiment(row, say)
        self.counts["traces_left_out"] = self._copier.count(models.SqlTraceInfo.__table__)

    def _experiment(self, row: dict[str, Any], say: Say) -> None:
        old = row["experiment_id"]
        wanted = _RUNS.c.experiment_id == old
        tags = self._copier.read(_EXPERIMENT_TAGS, _EXPERIMENT_TAGS.c.experiment_id == old)
        pages = self._copier.pages(_RUNS, _RUNS.c.run_uuid, _PAGE, wanted)
        logged = self._copier.read(_LOGGED, _LOGGED.c.experiment_id == old)
        first = next(pages, None)
        if first is None and not logged and row["name"] == "Default":
            return  # every MLflow has it, nobody used it
        new, location = self._target(row)
        self.counts["experiments"] += 1
        if row["artifact_location"] and self._files.is_movable(row["artifact_location"]):
            self.places[row["artifact_location"]] = location
        with self._copier.target.begin() as connection:
            self._copier.add(connection, _EXPERIMENT_TAGS, _with(tags, experiment_id=new))
            datasets = self._datasets(connection, old, new)
        for page in [first] if first else []:
            self._runs(page, new, location, datasets)
        for page in pages:
            self._runs(page, new, location, datasets)
            say(f"experiment {row['name']!r}: {self.counts['runs_new']} new runs")
        self._logged_models(logged, new, location)
        say(f"experiment {row['name']!r}: done")

    def _target(self, row: dict[str, Any]) -> tuple[int, str]:
        with ServerWorkspaceContext(self._project):
            found = self._tracking.get_experiment_by_name(row["name"])
            if found is None:
                number = self._tracking.create_experiment(row["name"])
                found = self._tracking.get_experiment(number)
                if row["lifecycle_stage"] == "deleted":
                    self._tracking.delete_experiment(number)
        return int(found.experiment_id), str(found.artifact_location)

    def _datasets(self, connection: sa.Connection, old: int, new: int) -> dict[str, str]:
        """Copy the datasets and return their ids here by their ids there."""
        rows = self._copier.read(_DATASETS, _DATASETS.c.experiment_id == old)
        self._copier.add(connection, _DATASETS, _with(rows, experiment_id=new))
        held = connection.execute(sa.select(_DATASETS).where(_DATASETS.c.experiment_id == new))
        here = {(row.name, row.digest): row.dataset_uuid for row in held}
        return {row["dataset_uuid"]: here[row["name"], row["digest"]] for row in rows}

    def _runs(self, rows: Rows, new: int, location: str, datasets: dict[str, str]) -> None:
        _check_ids([row["run_uuid"] for row in rows])
        known = self._known([row["run_uuid"] for row in rows])
        ours = [row for row in rows if known.get(row["run_uuid"], (new, ""))[0] == new]
        fresh = [row for row in ours if row["run_uuid"] not in known]
        self.counts["runs_of_others"] += len(rows) - len(ours)
        self.counts["runs_known"] += len(ours) - len(fresh)
        unfinished = [row for row in ours if known.get(row["run_uuid"], (0, ""))[1] in _RUNNING]
        for row in ours:
            again = row["run_uuid"] in known and row not in unfinished
            place = f"{location}/{row['run_uuid']}/artifacts"
            row["artifact_uri"] = self._move(
                row["artifact_uri"], place, row["run_uuid"], again=again
            )
        self._write(ours, fresh, unfinished, new, datasets)
        self.counts["points_read"] += self._copier.add_metrics([row["run_uuid"] for row in ours])
        self.counts["runs_new"] += len(fresh)

    def _write(
        self, ours: Rows, fresh: Rows, unfinished: Rows, new: int, datasets: dict[str, str]
    ) -> None:
        ids = [row["run_uuid"] for row in ours]
        read, add = self._copier.read, self._copier.add
        marks = [{"run_uuid": r["run_uuid"], "key": IMPORTED, "value": self._mark} for r in fresh]
        with self._copier.target.begin() as connection:
            add(connection, _RUNS, _with(fresh, experiment_id=new))
            for row in unfinished:
                ended = {"status": row["status"], "end_time": row["end_time"]}
                same = _RUNS.c.run_uuid == row["run_uuid"]
                connection.execute(sa.update(_RUNS).where(same).values(**ended))
            add(connection, _TAGS, [*marks, *read(_TAGS, _TAGS.c.run_uuid.in_(ids))])
            add(connection, _PARAMS, read(_PARAMS, _PARAMS.c.run_uuid.in_(ids)))
            self._copier.add_latest(connection, read(_LATEST, _LATEST.c.run_uuid.in_(ids)))
            inputs = read(_INPUTS, _INPUTS.c.destination_id.in_(ids) | _INPUTS.c.source_id.in_(ids))
            for row in inputs:
                row["source_id"] = datasets.get(row["source_id"], row["source_id"])
            add(connection, _INPUTS, inputs)
            numbers = [row["input_uuid"] for row in inputs]
            add(connection, _INPUT_TAGS, read(_INPUT_TAGS, _INPUT_TAGS.c.input_uuid.in_(numbers)))

    def _logged_models(self, rows: Rows, new: int, location: str) -> None:
        with self._copier.target.connect() as connection:
            known = set(connection.execute(sa.select(_LOGGED.c.model_id)).scalars())
        _check_ids([row["model_id"] for row in rows])
        for row in rows:
            name = row["model_id"]
            place = f"{location}/models/{name}/artifacts"
            old = row["artifact_location"]
            row["artifact_location"] = self._move(old, place, name, again=name in known)
        fresh = [row for row in rows if row["model_id"] not in known]
        ids = [row["model_id"] for row in fresh]
        with self._copier.target.begin() as connection:
            self._copier.add(connection, _LOGGED, _with(fresh, experiment_id=new))
            for table in _OF_LOGGED:
                found = self._copier.read(table, table.c.model_id.in_(ids))
                # A NaN is NULL in SQLite, and one of them stops MLflow from showing the model.
                found = [row for row in found if row.get("metric_value", 0.0) is not None]
                self._copier.add(connection, table, _with(found, experiment_id=new))

    def _move(self, old: str | None, new: str, name: str, *, again: bool) -> str | None:
        if not old:
            return new
        if not self._files.move(old, new, name, again=again):
            return old
        if moved(old, self.places) == old:
            self.places[old] = new
        return new

    def _known(self, run_ids: list[str]) -> dict[str, tuple[int, str]]:
        columns = (_RUNS.c.run_uuid, _RUNS.c.experiment_id, _RUNS.c.status)
        with self._copier.target.connect() as connection:
            found = connection.execute(sa.select(*columns).where(_RUNS.c.run_uuid.in_(run_ids)))
            return {row.run_uuid: (row.experiment_id, row.status) for row in found}


def closed_because(engine: sa.Engine, project: str) -> str | None:
    """Return why a project takes no new runs, None when it does."""
    with engine.connect() as connection:
        found = connection.execute(sa.select(closed.c.reason).where(closed.c.project == project))
        return found.scalar()


def _check_ids(ids: list[str]) -> None:
    # They become names of folders.
    for found in ids:
        if not _ID.fullmatch(found):
            raise StoreError(f"{found[:80]!r} is no id that MLflow gives; mend the source")


def _with(rows: Rows, **values: Any) -> Rows:
    return [{**row, **values} for row in rows]
