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
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun, SqlTag
from sqlalchemy import event
from sqlalchemy.orm import Mapper, Session, object_session

from mlops.tracking.adapters import outbox_runs
from mlops.tracking.adapters.outbox_body import to_body
from mlops.tracking.model.changes import CHAMPION, ChampionChanged, Change, VersionAdded, Why
from mlops.tracking.model.signs import HEARTBEAT

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


def put(connection: sa.Connection, change: Change, experiment_id: int) -> None:
    """Write a row about a run within the transaction of *connection*."""
    row = {"experiment_id": int(experiment_id), **_row(change)}
    connection.execute(_INSERT_OF_EXPERIMENT, row)


def _run_inserted(_: Mapper[Any], connection: sa.Connection, run: Any) -> None:
    put(connection, outbox_runs.began(run), run.experiment_id)
    _touch(run)


def _run_updated(_: Mapper[Any], connection: sa.Connection, run: Any) -> None:
    change = outbox_runs.moved(connection, run)
    if change is not None:
        put(connection, change, run.experiment_id)
        _touch(run)


def _tag_set(_: Mapper[Any], connection: sa.Connection, tag: Any) -> None:
    if tag.key != HEARTBEAT or not _changed(tag, "value"):
        return
    found = outbox_runs.returned(connection, tag.run_uuid)
    if found is not None:
        put(connection, found[1], found[0])
        _touch(tag)


def _version_inserted(_: Mapper[Any], connection: sa.Connection, version: Any) -> None:
    change = VersionAdded(version.name, int(version.version), version.run_id, version.source or "")
    connection.execute(_INSERT, {"project": version.workspace, **_row(change)})
    _touch(version)


def _alias_set(_: Mapper[Any], connection: sa.Connection, alias: Any) -> None:
    if alias.alias != CHAMPION or not _changed(alias, "version"):
        return
    before = sa.inspect(alias).attrs.version.history.deleted
    previous = int(before[0]) if before else None
    change = ChampionChanged(alias.name, int(alias.version), previous, _why.get())
    connection.execute(_INSERT, {"project": alias.workspace, **_row(change)})
    _touch(alias)


_LISTENERS: tuple[tuple[Any, str, Callable[..., None]], ...] = (
    (SqlRun, "after_insert", _run_inserted),
    (SqlRun, "after_update", _run_updated),
    (SqlTag, "after_insert", _tag_set),
    (SqlTag, "after_update", _tag_set),
    (SqlModelVersion, "after_insert", _version_inserted),
    (SqlRegisteredModelAlias, "after_insert", _alias_set),
    (SqlRegisteredModelAlias, "after_update", _alias_set),
)


def _changed(instance: Any, attribute: str) -> bool:
    return bool(sa.inspect(instance).attrs[attribute].history.has_changes())


def _row(change: Change) -> dict[str, object]:
    return {
        "id": str(uuid.uuid4()),
        "body": to_body(change),
        "written_ms": time.time_ns() // 1_000_000,
    }


def _touch(instance: object) -> None:
    session = object_session(instance)
    if session is not None:
        session.info[_DIRTY] = True
