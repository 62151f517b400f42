# SPDX-License-Identifier: Apache-2.0
"""MlflowPresences: which runs are RUNNING and on which machine, and tags that say what they took; in MLflow's tables."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import sqlalchemy as sa
from mlflow.store.tracking.dbmodels.models import SqlRun, SqlTag

from mlops.chassis.errors import UnavailableError
from mlops.tracking.adapters import outbox_runs
from mlops.tracking.model.energy import NODE, Present

_MOST = 5000
_NODE = sa.and_(SqlTag.run_uuid == SqlRun.run_uuid, SqlTag.key == NODE)
_RUNNING = (
    sa.select(SqlRun.run_uuid, SqlRun.start_time, SqlTag.value)
    .outerjoin(SqlTag, _NODE)
    .where(SqlRun.status == "RUNNING", SqlRun.lifecycle_stage == "active")
    .limit(_MOST)
)
_IS_THERE = sa.select(SqlRun.run_uuid).where(SqlRun.run_uuid == sa.bindparam("run_id"))


class MlflowPresences:
    """Reads beside MLflow's traffic, writes as durably as MLflow does."""

    def __init__(self, reading: sa.Engine, writing: sa.Engine) -> None:
        self._reading = reading
        self._writing = writing

    async def running(self) -> list[Present]:
        """Return the runs that are RUNNING and not deleted."""

        def read() -> list[Present]:
            with _translated(), self._reading.connect() as connection:
                rows = connection.execute(_RUNNING).all()
            return [Present(run_id, started_ms, node or None) for run_id, started_ms, node in rows]

        return await asyncio.to_thread(read)

    async def note(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run; one that is gone for good has none."""

        def write() -> None:
            with _translated(), self._writing.begin() as connection:
                if connection.dialect.name == "sqlite":
                    connection.exec_driver_sql("PRAGMA busy_timeout = 20000")
                if connection.execute(_IS_THERE, {"run_id": run_id}).first() is None:
                    return
                for key, text in tags.items():
                    outbox_runs.set_tag(connection, run_id, key, text)

        await asyncio.to_thread(write)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        raise UnavailableError(f"cannot reach the runs: {error}") from error
