# SPDX-License-Identifier: Apache-2.0
"""Airflow's Edge executor: which machines work for it, and how they are drained, over the paths of its own pages.

A drain is a maintenance: it begins at the worker's next heartbeat, lets what runs end, and its comment is kept by Airflow.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import BaseModel, TypeAdapter, ValidationError

from mlops.orchestration_bridge.adapters.airflow_names import FEDERATED_DAG, pool_of_node
from mlops.orchestration_bridge.adapters.airflow_rest import (
    AirflowRest,
    ExistsError,
    NotThereError,
)
from mlops.orchestration_bridge.errors import OrchestratorAwayError
from mlops.orchestration_bridge.model.workers import MARK, Work, Worker

_ROOT = "/edge_worker/ui"
_WORK = {
    "starting": Work.READY,
    "running": Work.READY,
    "idle": Work.READY,
    "maintenance exit": Work.RETURNING,
    "maintenance request": Work.DRAINING,
    "maintenance pending": Work.DRAINING,
    "maintenance mode": Work.DRAINED,
    "shutdown request": Work.STOPPING,
    "terminating": Work.STOPPING,
    "offline": Work.STOPPED,
    "offline maintenance": Work.STOPPED,
}
# Between being fetched and running a job is "restarting"; one that stays so was fetched by a worker that died.
_FETCHED_AT_MOST = timedelta(seconds=60)
_SAID = re.compile(r"Comment: (.*?)(?=\n\n\[\d{4}-|\Z)", re.DOTALL)


class _Told(BaseModel):
    worker_name: str
    state: str
    jobs_active: int | None = None
    sysinfo: dict[str, Any] = {}
    maintenance_comments: str | None = None
    last_heartbeat: datetime | None = None


class _Job(BaseModel):
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str
    queue: str
    last_update: datetime | None = None


_WORKERS, _JOBS = TypeAdapter(list[_Told]), TypeAdapter(list[_Job])


class AirflowEdge:
    """The machines beside Airflow's own; each serves one queue, named like its pool."""

    def __init__(self, rest: AirflowRest) -> None:
        self._rest = rest

    async def workers(self) -> tuple[Worker, ...]:
        """Return every worker that was ever registered and not removed."""
        found = await self._rest.call("GET", f"{_ROOT}/worker")
        try:
            told = _WORKERS.validate_python(found.get("workers", []))
        except ValidationError as error:
            raise _unreadable(error) from error
        return tuple(_worker(one) for one in told)

    async def drain(self, node: str, why: str) -> None:
        """Put a worker into maintenance that takes work; for any other it is done, or would wake it up."""
        if any(one.name == node and one.work is Work.READY for one in await self.workers()):
            await self._maintain("POST", node, {"maintenance_comment": why})

    async def undrain(self, node: str) -> None:
        """End the maintenance of a worker that is in one."""
        if any(one.name == node and one.in_maintenance for one in await self.workers()):
            await self._maintain("DELETE", node)

    async def release(self, node: str, why: str) -> None:
        """Fail the shards that wait in the machine's queue: their round goes on without them."""
        queue = pool_of_node(node)
        asked = urlencode({"queue_pattern": queue, "state": ["queued", "restarting"]}, doseq=True)
        found = await self._rest.call("GET", f"{_ROOT}/jobs?{asked}")
        try:
            told = _JOBS.validate_python(found.get("jobs", []))
        except ValidationError as error:
            raise _unreadable(error) from error
        for job in told:
            if job.queue == queue and job.dag_id.endswith(FEDERATED_DAG) and _waits(job):
                await self._give_up(job, why)

    async def _give_up(self, job: _Job, why: str) -> None:
        names = [quote(one, safe="") for one in (job.dag_id, job.run_id, job.task_id)]
        path = "/api/v2/dags/{}/dagRuns/{}/taskInstances/{}".format(*names)
        body = {"new_state": "failed", "note": why[:900]}
        try:
            await self._rest.call("PATCH", f"{path}/{job.map_index}", body)
        except (NotThereError, ExistsError):
            return  # its run is gone, or it was given up before: Airflow keeps the job in the queue

    async def _maintain(self, method: str, node: str, body: dict[str, Any] | None = None) -> None:
        try:
            await self._rest.call(
                method, f"{_ROOT}/worker/{quote(node, safe='')}/maintenance", body
            )
        except NotThereError:
            return  # somebody removed it meanwhile


def _worker(told: _Told) -> Worker:
    slots = told.sysinfo.get("concurrency")
    return Worker(
        name=told.worker_name,
        work=_WORK.get(told.state, Work.GONE),
        jobs=told.jobs_active or 0,
        slots=slots if isinstance(slots, int) else None,
        why=_comment(told.maintenance_comments or ""),
        seen_at=_aware(told.last_heartbeat),
    )


def _comment(text: str) -> str:
    """Return why it is in maintenance, without who said so and when; what a person said counts before what we did.

    Airflow puts a second comment below a first one that the worker still has.
    """
    said = [one.strip() for one in _SAID.findall(text)]
    persons = [one for one in said if not one.startswith(MARK)]
    return persons[-1] if persons else said[-1] if said else text.strip()


def _waits(job: _Job) -> bool:
    at = _aware(job.last_update)
    fetched_long_ago = at is not None and datetime.now(UTC) - at > _FETCHED_AT_MOST
    return job.map_index >= 0 and (job.state == "queued" or fetched_long_ago)


def _aware(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


def _unreadable(error: ValidationError) -> OrchestratorAwayError:
    return OrchestratorAwayError(
        f"Airflow says of its workers what the bridge cannot read: {error}"
    )
