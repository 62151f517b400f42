# SPDX-License-Identifier: Apache-2.0
"""Guards: what we refuse at the door of MLflow's store, with an error that its clients show.

They listen to the ORM before an insert, so no path into the store goes around them, and every replica finds closed
projects in the database itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, PERMISSION_DENIED
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlRegisteredModel
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun
from sqlalchemy import event
from sqlalchemy.orm import Mapper

from mlops.tracking.adapters.tables import closed

_LONGEST_NAME = 256
_OF_PROJECT = sa.select(closed.c.project, closed.c.reason).where(
    closed.c.project == sa.bindparam("project")
)
_OF_EXPERIMENT = sa.select(closed.c.project, closed.c.reason).where(
    closed.c.project
    == sa.select(SqlExperiment.workspace)
    .where(SqlExperiment.experiment_id == sa.bindparam("experiment_id"))
    .scalar_subquery()
)


def guard() -> None:
    """Refuse from now on; again changes nothing."""
    for kind, name, listener in _GUARDS:
        if not event.contains(kind, name, listener):
            event.listen(kind, name, listener)


def _run(_: Mapper[Any], connection: sa.Connection, run: Any) -> None:
    known = {"experiment_id": int(run.experiment_id)}
    _check_open(connection.execute(_OF_EXPERIMENT, known).first(), "runs")


def _version(_: Mapper[Any], connection: sa.Connection, version: Any) -> None:
    known = {"project": version.workspace}
    _check_open(connection.execute(_OF_PROJECT, known).first(), "model versions")


def _model(_: Mapper[Any], __: sa.Connection, model: Any) -> None:
    if len(model.name or "") > _LONGEST_NAME:
        raise MlflowException(
            f"the model's name has {len(model.name)} characters, {_LONGEST_NAME} are allowed: "
            f"{model.name[:60]}…; choose a shorter one",
            INVALID_PARAMETER_VALUE,
        )


def _check_open(found: sa.Row[str, str] | None, what: str) -> None:
    if found is not None:
        raise MlflowException(
            f"project {found.project!r} is {found.reason}: it takes no new {what}. What is there can be read, and "
            "runs that run may end; register the project again to go on (`mlops register`)",
            PERMISSION_DENIED,
        )


_GUARDS: tuple[tuple[Any, str, Callable[..., None]], ...] = (
    (SqlRun, "before_insert", _run),
    (SqlModelVersion, "before_insert", _version),
    (SqlRegisteredModel, "before_insert", _model),
    (SqlRegisteredModel, "before_update", _model),
)
