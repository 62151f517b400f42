# SPDX-License-Identifier: Apache-2.0
"""What changes of a run write into the outbox, and what a stale run's return repairs, within the client's transaction."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from mlflow.store.tracking.dbmodels.models import SqlRun, SqlTag

from mlops.tracking.model.changes import RunBegan, RunEnded
from mlops.tracking.model.signs import ENDED_BY, HEARTBEAT, RESUMED, STALE

ENDED = ("FINISHED", "FAILED", "KILLED")
_LONGEST_TAG = 1000

_RUN_ID: sa.BindParameter[str] = sa.bindparam("run_id")
_KEY: sa.BindParameter[str] = sa.bindparam("tag")
_TAG = sa.select(SqlTag.value).where(SqlTag.key == _KEY, SqlTag.run_uuid == _RUN_ID)
_UNTAG = sa.delete(SqlTag).where(SqlTag.key == _KEY, SqlTag.run_uuid == _RUN_ID)
_SET_TAG = sa.insert(SqlTag).values(key=_KEY, run_uuid=_RUN_ID, value=sa.bindparam("text"))
_RUN = sa.select(SqlRun.experiment_id, SqlRun.name, SqlRun.user_id, SqlRun.start_time).where(
    SqlRun.run_uuid == _RUN_ID
)
_REOPEN = (
    sa.update(SqlRun)
    .where(SqlRun.run_uuid == _RUN_ID, SqlRun.status.in_(("KILLED", "RUNNING")))
    .values(status="RUNNING", end_time=None)
)


def tag_of(connection: sa.Connection, run_id: str, key: str) -> str | None:
    """Return the value of a run's tag, None without one."""
    found = connection.execute(_TAG, {"tag": key, "run_id": run_id}).first()
    return None if found is None else str(found[0] or "")


def set_tag(connection: sa.Connection, run_id: str, key: str, text: str) -> None:
    """Set a tag of a run."""
    connection.execute(_UNTAG, {"tag": key, "run_id": run_id})
    given = {"tag": key, "run_id": run_id, "text": text[:_LONGEST_TAG]}
    connection.execute(_SET_TAG, given)


def untag(connection: sa.Connection, run_id: str, key: str) -> bool:
    """Remove a tag of a run; say whether it was there."""
    return bool(connection.execute(_UNTAG, {"tag": key, "run_id": run_id}).rowcount)


def began(run: Any) -> RunBegan:
    """Return the change of a run that was just created."""
    return RunBegan(
        run.run_uuid, str(run.experiment_id), run.name or "", run.user_id or "", run.start_time
    )


def moved(connection: sa.Connection, run: Any) -> RunBegan | RunEnded | None:
    """Return the change of a run whose status a client has moved, None where nothing is to be told."""
    before = _before(run, "status")
    if run.status == before:
        return None
    # Whatever the client saw before: we may have ended the run since.
    was_stale = repair(connection, run.run_uuid)
    was_over = before not in ENDED and untag(connection, run.run_uuid, ENDED_BY)
    if run.status == "RUNNING" and before in ENDED:
        # Who beat until that end may not be who goes on; if it is, the next beat is soon.
        untag(connection, run.run_uuid, HEARTBEAT)
        untag(connection, run.run_uuid, ENDED_BY)
        if was_stale:
            connection.execute(_REOPEN, {"run_id": run.run_uuid})
        return replace(began(run), resumed=True)
    if run.status not in ENDED:
        return None
    return RunEnded(
        run.run_uuid,
        str(run.experiment_id),
        run.name or "",
        run.user_id or "",
        run.start_time,
        run.end_time,
        run.status,
        again=was_over
        or before in ENDED
        or ended_before(connection, run.run_uuid, _before(run, "end_time")),
    )


def ended_before(connection: sa.Connection, run_id: str, end_ms: int | None) -> bool:
    """Say whether a run that was RUNNING had ended before; *end_ms* is the end that it had while it ran."""
    # MLflow leaves the old end on a run that is opened again; we do not, and leave a note instead.
    return end_ms is not None or tag_of(connection, run_id, RESUMED) is not None


def returned(connection: sa.Connection, run_id: str) -> tuple[int, RunBegan] | None:
    """Open a run again whose heartbeat came after we had ended it; return its experiment and the change.

    None when it was not we who ended it.
    """
    if tag_of(connection, run_id, STALE) is None:
        return None
    # Its row first, as whoever sets a status does: in another order the two wait for each other.
    locked = _RUN.with_for_update(key_share=True)
    found = connection.execute(locked, {"run_id": run_id}).one()
    if not repair(connection, run_id):
        return None
    if not connection.execute(_REOPEN, {"run_id": run_id}).rowcount:
        return None
    change = RunBegan(
        run_id,
        str(found.experiment_id),
        found.name or "",
        found.user_id or "",
        found.start_time,
        resumed=True,
    )
    return found.experiment_id, change


def repair(connection: sa.Connection, run_id: str) -> bool:
    """Take back that a run is stale, and leave a note; say whether it was."""
    why = tag_of(connection, run_id, STALE)
    # Two that come back at once: the second waits here for the first, and has nothing to repair.
    if why is None or not untag(connection, run_id, STALE):
        return False
    at = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
    set_tag(connection, run_id, RESUMED, f"came back at {at}; before: {why}")
    return True


def _before(instance: Any, attribute: str) -> Any:
    history = sa.inspect(instance).attrs[attribute].history
    if history.deleted:
        return history.deleted[0]
    return None if history.added else getattr(instance, attribute)
