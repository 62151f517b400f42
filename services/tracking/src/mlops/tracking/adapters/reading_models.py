# SPDX-License-Identifier: Apache-2.0
"""SqlShelf: registered models of all projects, read from MLflow's tables with bounds."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from mlflow.store.model_registry.dbmodels.models import (
    SqlModelVersion,
    SqlModelVersionTag,
    SqlRegisteredModel,
    SqlRegisteredModelAlias,
    SqlRegisteredModelTag,
)

from mlops.chassis.errors import UnavailableError
from mlops.tracking.adapters.reading_runs import begins, newest_metrics
from mlops.tracking.model.facts import LONGEST_VALUE
from mlops.tracking.model.records import APPLE, PROJECT, ModelRecord, VersionRecord

_MOST_TAGS = 100
_IS_PROMPT = "mlflow.prompt.is_prompt"
_DELETED = "Deleted_Internal"
_MODEL = (SqlRegisteredModel.workspace, SqlRegisteredModel.name)

Rows = list[Any]
Key = tuple[str, str]


class SqlShelf:
    """See the port `Shelf`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    async def models(
        self,
        project: str | None = None,
        name: str | None = None,
        tag: tuple[str, str] | None = None,
        limit: int = 200,
    ) -> list[ModelRecord]:
        """Return the models that changed last, newest first."""
        return await asyncio.to_thread(self._models, _chosen(project, name, tag).limit(limit))

    async def versions(self, project: str, name: str, limit: int) -> list[VersionRecord]:
        """Return the versions of a model, newest first."""
        return await asyncio.to_thread(self._versions, project, name, limit)

    def _models(self, chosen: sa.Select[Any]) -> list[ModelRecord]:
        (rows,) = self._all(chosen)
        keys = [(row.workspace, row.name) for row in rows]
        if not keys:
            return []
        tags, aliases, latest = self._all(_tags(keys), _aliases(keys), _latest(keys))
        by_tag, by_alias = _by_model(tags), _by_model(aliases)
        newest = {(row.workspace, row.name): int(row.latest) for row in latest}
        wanted = [
            (*key, number)
            for key in keys
            for number in {newest.get(key), *(it.version for it in by_alias[key])}
            if number is not None
        ]
        found, labels = self._all(_sources(wanted), _labels(wanted))
        sources: defaultdict[Key, dict[int, str]] = defaultdict(dict)
        for row in found:
            sources[row.workspace, row.name][int(row.version)] = row.source or ""
        said: defaultdict[Key, dict[int, dict[str, str]]] = defaultdict(dict)
        for row in labels:
            of_version = said[row.workspace, row.name].setdefault(int(row.version), {})
            of_version[row.key] = row.value or ""
        return [
            ModelRecord(
                project=row.workspace,
                name=row.name,
                latest=newest.get(key),
                aliases={it.alias: int(it.version) for it in by_alias[key]},
                tags={it.key: it.value or "" for it in by_tag[key][:_MOST_TAGS]},
                updated_ms=row.last_updated_time or row.creation_time,
                sources=sources[key],
                labels=said[key],
            )
            for key, row in zip(keys, rows, strict=True)
        ]

    def _versions(self, project: str, name: str, limit: int) -> list[VersionRecord]:
        (rows,) = self._all(_version_rows(project, name).limit(limit))
        numbers = [row.version for row in rows]
        runs = sorted({row.run_id for row in rows if row.run_id})
        tags, metrics = self._all(_version_tags(project, name, numbers), newest_metrics(runs))
        by_version: defaultdict[int, dict[str, str]] = defaultdict(dict)
        for row in tags:
            by_version[int(row.version)][row.key] = row.value or ""
        by_run: defaultdict[str, dict[str, float]] = defaultdict(dict)
        for row in metrics:
            by_run[row.run_uuid][row.key] = float("nan") if row.is_nan else float(row.value)
        return [
            VersionRecord(
                version=int(row.version),
                run_id=row.run_id or None,
                created_ms=row.creation_time,
                status=row.status or "",
                source_uri=row.source or "",
                tags=by_version[row.version],
                metrics=by_run[row.run_id or ""],
            )
            for row in rows
        ]

    def _all(self, *statements: sa.Select[Any]) -> list[Rows]:
        try:
            with self._engine.connect() as connection:
                return [list(connection.execute(statement).all()) for statement in statements]
        except sa.exc.SQLAlchemyError as error:
            raise UnavailableError(f"cannot read models: {error}") from error


def _chosen(project: str | None, name: str | None, tag: tuple[str, str] | None) -> sa.Select[Any]:
    updated = sa.func.coalesce(
        SqlRegisteredModel.last_updated_time, SqlRegisteredModel.creation_time, 0
    )
    prompt = _with_tag(SqlRegisteredModelTag.key == _IS_PROMPT)
    statement = sa.select(
        *_MODEL, SqlRegisteredModel.creation_time, SqlRegisteredModel.last_updated_time
    ).where(~prompt)
    if project is not None:
        statement = statement.where(SqlRegisteredModel.workspace == project)
    if name is not None:
        statement = statement.where(SqlRegisteredModel.name == name)
    if tag is not None:
        key, value = tag
        held = _with_tag(SqlRegisteredModelTag.key == key, SqlRegisteredModelTag.value == value)
        statement = statement.where(held)
    return statement.order_by(updated.desc(), *_MODEL)


def _with_tag(*conditions: sa.ColumnElement[bool]) -> sa.Exists:
    return (
        sa.select(SqlRegisteredModelTag.key)
        .where(
            SqlRegisteredModelTag.workspace == SqlRegisteredModel.workspace,
            SqlRegisteredModelTag.name == SqlRegisteredModel.name,
            *conditions,
        )
        .exists()
    )


def _of(kind: Any, keys: list[Key]) -> sa.ColumnElement[bool]:
    return sa.tuple_(kind.workspace, kind.name).in_(keys)


def _tags(keys: list[Key]) -> sa.Select[Any]:
    kind = SqlRegisteredModelTag
    value = sa.func.substr(kind.value, 1, LONGEST_VALUE).label("value")
    return (
        sa.select(kind.workspace, kind.name, kind.key, value)
        .where(_of(kind, keys))
        .order_by(kind.key)
    )


def _aliases(keys: list[Key]) -> sa.Select[Any]:
    kind = SqlRegisteredModelAlias
    return sa.select(kind.workspace, kind.name, kind.alias, kind.version).where(_of(kind, keys))


def _latest(keys: list[Key]) -> sa.Select[Any]:
    kind = SqlModelVersion
    return (
        sa.select(kind.workspace, kind.name, sa.func.max(kind.version).label("latest"))
        .where(_of(kind, keys), kind.current_stage != _DELETED)
        .group_by(kind.workspace, kind.name)
    )


def _sources(wanted: list[tuple[str, str, int]]) -> sa.Select[Any]:
    kind = SqlModelVersion
    key = sa.tuple_(kind.workspace, kind.name, kind.version)
    return sa.select(kind.workspace, kind.name, kind.version, kind.source).where(key.in_(wanted))


def _labels(wanted: list[tuple[str, str, int]]) -> sa.Select[Any]:
    kind = SqlModelVersionTag
    key = sa.tuple_(kind.workspace, kind.name, kind.version)
    value = sa.func.substr(kind.value, 1, LONGEST_VALUE).label("value")
    return sa.select(kind.workspace, kind.name, kind.version, kind.key, value).where(
        key.in_(wanted), (kind.key == PROJECT) | begins(kind.key, APPLE)
    )


def _version_rows(project: str, name: str) -> sa.Select[Any]:
    kind = SqlModelVersion
    return (
        sa.select(kind.version, kind.run_id, kind.creation_time, kind.status, kind.source)
        .where(kind.workspace == project, kind.name == name, kind.current_stage != _DELETED)
        .order_by(kind.version.desc())
    )


def _version_tags(project: str, name: str, numbers: list[int]) -> sa.Select[Any]:
    kind = SqlModelVersionTag
    value = sa.func.substr(kind.value, 1, 4 * LONGEST_VALUE).label("value")
    order = (sa.not_(begins(kind.key, "mlops.")), kind.key)
    place = sa.func.row_number().over(partition_by=kind.version, order_by=order).label("place")
    inner = (
        sa.select(kind.version, kind.key, value, place)
        .where(kind.workspace == project, kind.name == name, kind.version.in_(numbers))
        .subquery()
    )
    return sa.select(inner).where(inner.c.place <= _MOST_TAGS).order_by(inner.c.place)


def _by_model(rows: Rows) -> dict[Key, Rows]:
    found: defaultdict[Key, Rows] = defaultdict(list)
    for row in rows:
        found[row.workspace, row.name].append(row)
    return found
