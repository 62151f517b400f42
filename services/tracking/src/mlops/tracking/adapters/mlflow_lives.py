# SPDX-License-Identifier: Apache-2.0
"""MlflowLives: the RUNNING runs and their signs of life, read by index, page by page; and their end with its row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from mlflow.store.tracking.dbmodels.models import (
    SqlExperiment,
    SqlLatestMetric,
    SqlParam,
    SqlRun,
    SqlTag,
)

from mlops.chassis.errors import UnavailableError
from mlops.tracking.adapters import outbox, outbox_runs
from mlops.tracking.adapters.tables import silence
from mlops.tracking.model.changes import RunEnded, RunWentStale, Why
from mlops.tracking.model.signs import (
    ENDED_BY,
    HEARTBEAT,
    STALE,
    WORKFLOW,
    Heard,
    Sign,
    Stale,
    beat_ms,
    end_ms,
)

_PAGE = 500
_RUN_ID: sa.BindParameter[str] = sa.bindparam("run_id")
_LONGEST_MARK = 200
_RUNNING = (SqlRun.status == "RUNNING", SqlRun.lifecycle_stage == "active")
# One whose workflow waits to be started again is SCHEDULED: it gives no sign of life, and ends with its workflow.
_OPEN = (SqlRun.status.in_(("RUNNING", "SCHEDULED")), SqlRun.lifecycle_stage == "active")
_BEAT = sa.and_(SqlTag.run_uuid == SqlRun.run_uuid, SqlTag.key == HEARTBEAT)
_PAGE_OF_RUNS = (
    sa.select(SqlRun.run_uuid, SqlRun.start_time, SqlTag.value)
    .outerjoin(SqlTag, _BEAT)
    .where(*_RUNNING, SqlRun.run_uuid > sa.bindparam("after"))
    .order_by(SqlRun.run_uuid)
    .limit(_PAGE)
)
# As floats: whole numbers of clients may be any, and their sum more than a database holds.
_LOGGED = (
    sa.select(
        SqlLatestMetric.run_uuid,
        sa.func.count(),
        sa.func.sum(sa.cast(SqlLatestMetric.timestamp, sa.Float(53))),
        sa.func.sum(sa.cast(SqlLatestMetric.step, sa.Float(53))),
        sa.func.max(SqlLatestMetric.timestamp),
    )
    .where(SqlLatestMetric.run_uuid.in_(sa.bindparam("runs", expanding=True)))
    .group_by(SqlLatestMetric.run_uuid)
)
_COUNTS = tuple(
    sa.select(kind.run_uuid, sa.func.count())
    .where(kind.run_uuid.in_(sa.bindparam("runs", expanding=True)))
    .group_by(kind.run_uuid)
    for kind in (SqlParam, SqlTag)
)
# Outer, and compared by us: by the key alone SQLite would begin with the tags of all runs that ever were.
_WORKFLOWS = (
    sa.select(SqlRun.run_uuid, SqlTag.value, SqlExperiment.workspace)
    .join(SqlExperiment, SqlExperiment.experiment_id == SqlRun.experiment_id)
    .outerjoin(SqlTag, sa.and_(SqlTag.run_uuid == SqlRun.run_uuid, SqlTag.key == WORKFLOW))
    .where(*_OPEN)
)
_SIGN = (
    sa.select(SqlRun.run_uuid, SqlRun.start_time, SqlTag.value)
    .outerjoin(SqlTag, _BEAT)
    .where(SqlRun.run_uuid == _RUN_ID)
)
_KILL = sa.update(SqlRun).where(SqlRun.run_uuid == _RUN_ID, *_RUNNING).values(status="KILLED")
_CLOSE = sa.update(SqlRun).where(SqlRun.run_uuid == _RUN_ID, *_OPEN).values(status="KILLED")
_SET_END = (
    sa.update(SqlRun).where(SqlRun.run_uuid == _RUN_ID).values(end_time=sa.bindparam("ended"))
)
_BEAT_NOW = (
    sa.select(SqlTag.value)
    .where(SqlTag.run_uuid == _RUN_ID, SqlTag.key == HEARTBEAT)
    .scalar_subquery()
)
_STILL_SILENT = sa.func.coalesce(_BEAT_NOW, "") == sa.bindparam("beat")
_RUN = sa.select(
    SqlRun.experiment_id, SqlRun.name, SqlRun.user_id, SqlRun.start_time, SqlRun.end_time
).where(SqlRun.run_uuid == _RUN_ID)


class MlflowLives:
    """Reads beside MLflow's traffic, writes as durably as MLflow does."""

    def __init__(
        self, reading: sa.Engine, writing: sa.Engine, told: Callable[[], None] = lambda: None
    ) -> None:
        self._reading = reading
        self._writing = writing
        self._told = told

    async def signs(self) -> list[Sign]:
        """Return a sign of each RUNNING run that is not deleted."""
        return await asyncio.to_thread(self._signs)

    async def remembered(self) -> dict[str, Heard]:
        """Return what `remember` kept."""

        def read() -> dict[str, Heard]:
            with _translated(), self._reading.connect() as connection:
                rows = connection.execute(sa.select(silence)).all()
            return {row.run_id: Heard(row.mark, row.silent_s) for row in rows}

        return await asyncio.to_thread(read)

    async def remember(self, heard: Mapping[str, Heard]) -> None:
        """Keep how long runs have been silent, instead of what was kept before."""
        rows = [
            {"run_id": run_id, "mark": found.mark, "silent_s": found.silent_s}
            for run_id, found in heard.items()
        ]

        def write() -> None:
            with _translated(), self._reading.begin() as connection:
                connection.execute(sa.delete(silence))
                if rows:
                    connection.execute(sa.insert(silence), rows)

        await asyncio.to_thread(write)

    async def end_stale(self, run: Stale, now: datetime) -> bool:
        """Set a run KILLED at its last sign of life, unless it has moved."""
        return await asyncio.to_thread(self._end_stale, run, int(now.timestamp() * 1000))

    async def end_workflow(self, project: str, key: str, at: datetime, why: Why) -> list[str]:
        """Set the open runs of a workflow KILLED and return them."""

        def end() -> list[str]:
            with _translated(), self._reading.connect() as connection:
                running = connection.execute(_WORKFLOWS).all()
            found = [run_id for run_id, *of in running if of == [key, project]]
            ended_ms = int(at.timestamp() * 1000)
            return [run_id for run_id in found if self._end(run_id, ended_ms, why)]

        return await asyncio.to_thread(end)

    def _signs(self) -> list[Sign]:
        found: list[Sign] = []
        after = ""
        with _translated(), self._reading.connect() as connection:
            while True:
                runs = connection.execute(_PAGE_OF_RUNS, {"after": after}).all()
                found += _page(connection, runs)
                if len(runs) < _PAGE:
                    return found
                after = runs[-1][0]

    def _end_stale(self, stale: Stale, now_ms: int) -> bool:
        with self._ending() as connection:
            # Written first: on SQLite that takes the lock, and nothing that was read can be old.
            kill = _KILL.where(_STILL_SILENT)
            given = {"run_id": stale.run_id, "beat": stale.beat or ""}
            if not connection.execute(kill, given).rowcount:
                return False
            if _has_moved(connection, stale):
                connection.rollback()
                return False
            run = connection.execute(_RUN, {"run_id": stale.run_id}).one()
            last_ms = end_ms(run.start_time, stale.last_seen_ms, now_ms)
            connection.execute(_SET_END, {"run_id": stale.run_id, "ended": last_ms})
            outbox_runs.set_tag(connection, stale.run_id, STALE, stale.reason)
            change = RunWentStale(
                *_about(stale.run_id, run),
                last_seen_ms=last_ms,
                reason=stale.reason,
                again=outbox_runs.ended_before(connection, stale.run_id, run.end_time),
            )
            outbox.put(connection, change, run.experiment_id)
        self._told()
        return True

    def _end(self, run_id: str, ended_ms: int, why: Why) -> bool:
        with self._ending() as connection:
            if not connection.execute(_CLOSE, {"run_id": run_id}).rowcount:
                return False
            run = connection.execute(_RUN, {"run_id": run_id}).one()
            connection.execute(_SET_END, {"run_id": run_id, "ended": ended_ms})
            outbox_runs.set_tag(connection, run_id, ENDED_BY, why.reason)
            change = RunEnded(
                *_about(run_id, run),
                ended_ms=ended_ms,
                status="KILLED",
                again=outbox_runs.ended_before(connection, run_id, run.end_time),
                why=why,
            )
            outbox.put(connection, change, run.experiment_id)
        self._told()
        return True

    @contextmanager
    def _ending(self) -> Iterator[sa.Connection]:
        with _translated(), self._writing.begin() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA busy_timeout = 20000")
            elif connection.dialect.name == "postgresql":
                # A client that hangs in its transaction must not hold up the end of all others.
                connection.exec_driver_sql("SET LOCAL lock_timeout = 20000")
            yield connection


def _page(connection: sa.Connection, runs: Sequence[Any]) -> list[Sign]:
    if not runs:
        return []
    known = {"runs": [run_id for run_id, _, _ in runs]}
    logged = {row[0]: tuple(row[1:]) for row in connection.execute(_LOGGED, known)}
    counts: list[dict[str, int]] = [
        {run_id: number for run_id, number in connection.execute(count, known)}  # noqa: C416 - rows are no pairs to mypy
        for count in _COUNTS
    ]
    return [
        _sign(run, logged.get(run[0], (0, 0, 0, None)), [each.get(run[0], 0) for each in counts])
        for run in runs
    ]


def _sign(run: Any, logged: tuple[Any, ...], counts: Sequence[int]) -> Sign:
    run_id, started_ms, beat = run
    metrics, times, steps, latest_ms = logged
    # The beat last: what is cut from it stands for nothing that was logged.
    mark = "/".join(str(part) for part in (metrics, times, steps, *counts, beat or ""))
    seen = [each for each in (beat_ms(beat), latest_ms) if each is not None]
    return Sign(run_id, mark[:_LONGEST_MARK], beat, started_ms, max(seen, default=None))


def _has_moved(connection: sa.Connection, stale: Stale) -> bool:
    if not stale.mark:
        return False
    runs = connection.execute(_SIGN, {"run_id": stale.run_id}).all()
    return [sign.mark for sign in _page(connection, runs)] != [stale.mark]


def _about(run_id: str, run: Any) -> tuple[str, str, str, str, int | None]:
    return (
        run_id,
        str(run.experiment_id),
        run.name or "",
        run.user_id or "",
        run.start_time,
    )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        raise UnavailableError(f"cannot look after runs: {error}") from error
