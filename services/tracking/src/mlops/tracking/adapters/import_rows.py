# SPDX-License-Identifier: Apache-2.0
"""Rows of an import: copied table by table past MLflow's classes, so that no change is told; what is there stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from mlflow.store.tracking.dbmodels import models
from sqlalchemy.dialects import postgresql, sqlite

Rows = list[dict[str, Any]]
Change = Callable[[dict[str, Any]], dict[str, Any]]

_BATCH = 5000
_LATEST = models.SqlLatestMetric.__table__
_METRICS = models.SqlMetric.__table__


class Copier:
    """Copies rows from one database into another of the same schema; what has the same key there stays."""

    def __init__(self, source: sa.Engine, target: sa.Engine) -> None:
        self.source = source
        self.target = target

    def read(self, table: Any, *where: Any) -> Rows:
        """Return rows of the source."""
        with self.source.connect() as connection:
            found = connection.execute(sa.select(table).where(*where))
            return [dict(row) for row in found.mappings()]

    def count(self, table: Any) -> int:
        """Return how many rows the source has."""
        with self.source.connect() as connection:
            statement = sa.select(sa.func.count()).select_from(table)
            return int(connection.execute(statement).scalar_one())

    def pages(self, table: Any, key: Any, size: int, *where: Any) -> Iterator[Rows]:
        """Yield rows of the source in pages, by a key that is unique."""
        last = None
        while True:
            after = () if last is None else (key > last,)
            with self.source.connect() as connection:
                statement = sa.select(table).where(*where, *after).order_by(key).limit(size)
                rows = [dict(row) for row in connection.execute(statement).mappings()]
            if not rows:
                return
            yield rows
            last = rows[-1][key.name]

    def add(self, connection: sa.Connection, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows; those whose key is there already are left out."""
        for start in range(0, len(rows), _BATCH):
            insert = self._insert(table).on_conflict_do_nothing()
            connection.execute(insert, [dict(row) for row in rows[start : start + _BATCH]])

    def add_latest(self, connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert last values of metrics; a later one takes the place of an earlier."""
        if not rows:
            return
        insert = self._insert(_LATEST)
        later = insert.excluded
        values = {name: later[name] for name in ("value", "timestamp", "step", "is_nan")}
        newer = (later.step > _LATEST.c.step) | (
            (later.step == _LATEST.c.step) & (later.timestamp > _LATEST.c.timestamp)
        )
        upsert = insert.on_conflict_do_update(
            index_elements=["key", "run_uuid"], set_=values, where=newer
        )
        connection.execute(upsert, [dict(row) for row in rows])

    def add_metrics(self, run_ids: Sequence[str]) -> int:
        """Copy the points of runs, a few thousand in a transaction; return how many were read."""
        read = 0
        statement = sa.select(_METRICS).where(_METRICS.c.run_uuid.in_(run_ids))
        with self.source.connect() as connection:
            found = connection.execution_options(yield_per=_BATCH).execute(statement)
            for part in found.mappings().partitions(_BATCH):
                rows = [dict(row) for row in part]
                with self.target.begin() as writing:
                    self.add(writing, _METRICS, rows)
                read += len(rows)
        return read

    def _insert(self, table: Any) -> Any:
        dialect = postgresql if self.target.dialect.name == "postgresql" else sqlite
        return dialect.insert(table)
