# SPDX-License-Identifier: Apache-2.0
"""Outbox: SQLAlchemy tells us of every change of a run, version or alias, and the row joins its transaction.

Listening to the ORM catches every path into the store (REST, nested and resumed runs, our own gate), needs no
signature of MLflow's methods and behaves the same on SQLite and PostgreSQL.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import sqlalchemy as sa
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlRegisteredModelAlias
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun
from sqlalchemy import event
from sqlalchemy.orm import Mapper, Session, object_session

from mlops.tracking.adapters.outbox_body import to_body
from mlops.tracking.model.changes import (
    CHAMPION,
    ChampionChanged,
    Change,
    RunBegan,
    RunEnded,
    VersionAdded,
    Why,
)

metadata = sa.MetaData()
table = sa.Table(
    "mlops_outbox",
    metadata,
    sa.Column(
        "sequence",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    sa.Column("id", sa.String(36), nullable=False),
    sa.Column("project", sa.String(63), nullable=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("written_ms", sa.BigInteger, nullable=False),
    sa.Column("told_ms", sa.BigInteger, nullable=True),
    sa.Index("mlops_outbox_told", "told_ms", "sequence"),
)

_INSERT = sa.insert(table)
# A run's workspace stands on its experiment; read within the same statement.
_INSERT_OF_EXPERIMENT = sa.insert(table).values(
    project=sa.select(SqlExperiment.workspace)
    .where(SqlExperiment.experiment_id == sa.bindparam("experiment_id"))
    .scalar_subquery(),
    id=sa.bindparam("id"),
    body=sa.bindparam("body"),
    written_ms=sa.bindparam("written_ms"),
)

_ENDED = ("FINISHED", "FAILED", "KILLED")
_DIRTY = "mlops_outbox"
_why: ContextVar[Why | None] = ContextVar("mlops_tracking_why", default=None)


@contextmanager
def because(why: Why) -> Iterator[None]:
    """Give the alias changes made inside, in this thread, their reason."""
    token = _why.set(why)
    try:
        yield
    finally:
        _why.reset(token)


def listen(on_commit: Callable[[], None]) -> Callable[[], None]:
    """Write rows from now on and call *on_commit* after each commit that holds one; return how to stop that.

    Listening twice writes no row twice.
    """
    for kind, name, listener in _LISTENERS:
        if not event.contains(kind, name, listener):
            event.listen(kind, name, listener)

    def after_commit(session: Session) -> None:
        if session.info.pop(_DIRTY, False):
            on_commit()

    event.listen(Session, "after_commit", after_commit)
    return lambda: event.remove(Session, "after_commit", after_commit)


def _run_inserted(_: Mapper[Any], connection: sa.Connection, run: Any) -> None:
    change = RunBegan(
        run.run_uuid, str(run.experiment_id), run.name or "", run.user_id or "", run.start_time
    )
    _write(connection, run, change, experiment_id=run.experiment_id)


def _run_updated(_: Mapper[Any], connection: sa.Connection, run: Any) -> None:
    if run.status not in _ENDED or not _changed(run, "status"):
        return
    change = RunEnded(
        run.run_uuid,
        str(run.experiment_id),
        run.name or "",
        run.user_id or "",
        run.start_time,
        run.end_time,
        run.status,
    )
    _write(connection, run, change, experiment_id=run.experiment_id)


def _version_inserted(_: Mapper[Any], connection: sa.Connection, version: Any) -> None:
    change = VersionAdded(version.name, int(version.version), version.run_id, version.source or "")
    _write(connection, version, change, workspace=version.workspace)


def _alias_set(_: Mapper[Any], connection: sa.Connection, alias: Any) -> None:
    if alias.alias != CHAMPION or not _changed(alias, "version"):
        return
    before = sa.inspect(alias).attrs.version.history.deleted
    previous = int(before[0]) if before else None
    change = ChampionChanged(alias.name, int(alias.version), previous, _why.get())
    _write(connection, alias, change, workspace=alias.workspace)


_LISTENERS: tuple[tuple[Any, str, Callable[..., None]], ...] = (
    (SqlRun, "after_insert", _run_inserted),
    (SqlRun, "after_update", _run_updated),
    (SqlModelVersion, "after_insert", _version_inserted),
    (SqlRegisteredModelAlias, "after_insert", _alias_set),
    (SqlRegisteredModelAlias, "after_update", _alias_set),
)


def _changed(instance: Any, attribute: str) -> bool:
    return bool(sa.inspect(instance).attrs[attribute].history.has_changes())


def _write(
    connection: sa.Connection,
    instance: object,
    change: Change,
    *,
    workspace: str | None = None,
    experiment_id: int | None = None,
) -> None:
    row = {
        "id": str(uuid.uuid4()),
        "body": to_body(change),
        "written_ms": time.time_ns() // 1_000_000,
    }
    if experiment_id is None:
        connection.execute(_INSERT, {"project": workspace, **row})
    else:
        connection.execute(_INSERT_OF_EXPERIMENT, {"experiment_id": int(experiment_id), **row})
    session = object_session(instance)
    if session is not None:
        session.info[_DIRTY] = True
