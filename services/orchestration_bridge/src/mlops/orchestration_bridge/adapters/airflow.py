# SPDX-License-Identifier: Apache-2.0
"""Pipelines as DAGs of Airflow: files for what there is, REST for what happens."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from mlops.chassis.errors import ChassisError, RejectedError
from mlops.orchestration_bridge.adapters.airflow_files import DAG_FILE, Installation
from mlops.orchestration_bridge.adapters.airflow_rest import (
    AirflowRest,
    ExistsError,
    NotThereError,
    Task,
)
from mlops.orchestration_bridge.errors import OrchestratorAwayError, PipelineNotReadyError
from mlops.orchestration_bridge.model.diagnosis import Wreck, diagnose
from mlops.orchestration_bridge.model.lifecycle import Run
from mlops.orchestration_bridge.ports.pipelines import Order, Outcome, Pipeline

_ENDED = ("success", "failed")


class AirflowPipelines:
    """The orchestrator Airflow 3: one DAG and one pool for each project, and one pool for each machine's heavy steps."""

    def __init__(self, rest: AirflowRest, installation: Installation) -> None:
        self._rest = rest
        self._installation = installation

    async def provision(self, pipeline: Pipeline) -> dict[str, str]:
        """Make the pool, then the DAG: tasks of a pool that is missing would wait for ever and say nothing."""
        dag_id, pool = dag_of(pipeline.project), pool_of(pipeline.project)
        await self._rest.put_pool(pool, pipeline.max_parallel)
        entry = {
            "pool": pool,
            "path": pipeline.path,
            "max_parallel": pipeline.max_parallel,
            "timeout_s": pipeline.timeout.total_seconds(),
        }
        await asyncio.to_thread(self._installation.put, pipeline.project, entry)
        await self._unpause(dag_id)
        return {"dag": dag_id, "pool": pool, "airflow": self._rest.url}

    async def retire(self, project: str) -> None:
        """Pause the DAG first: Airflow forgets a removed one only after a minute."""
        with contextlib.suppress(NotThereError):
            await self._rest.pause(dag_of(project), paused=True)
        await asyncio.to_thread(self._installation.remove, project)

    async def start(self, order: Order) -> Run:
        """Trigger the DAG with the key as run id."""
        dag_id = dag_of(order.project)
        try:
            await self._rest.trigger(dag_id, order.key, _conf(order))
        except ExistsError:
            pass  # the key is the run id: it was started before
        except NotThereError as error:
            reason = f"Airflow has not read DAG {dag_id!r} yet; it usually takes a second or two"
            raise PipelineNotReadyError(await self._unreadable() or reason) from error
        except RejectedError as error:  # what it says of a DAG that it can no longer read
            reason = await self._unreadable()
            if not reason:
                raise
            raise PipelineNotReadyError(reason) from error
        return Run(dag_id, order.key, self._page(dag_id, order.key))

    async def look(self, project: str, key: str) -> Outcome | None:
        """Return the state of the run; of a failed one the failing task and the end of its log."""
        dag_id = dag_of(project)
        try:
            run = await self._rest.run(dag_id, key)
        except NotThereError:
            return None
        if run.state not in _ENDED:
            return Outcome(completed=None)
        if run.state == "success":
            return Outcome(completed=True, ended_at=_aware(run.end_date))
        step, lines = await self._wreck(dag_id, key)
        return Outcome(
            completed=False,
            ended_at=_aware(run.end_date),
            step=step,
            diagnosis=diagnose(Wreck(step, lines)),
        )

    async def stop(self, project: str, key: str) -> None:
        """Fail the run; Airflow then ends its tasks."""
        dag_id = dag_of(project)
        try:
            run = await self._rest.run(dag_id, key)
            if run.state not in _ENDED:
                await self._rest.fail_run(dag_id, key)
        except NotThereError:
            return

    async def resize(self, node: str, slots: int, *, local: bool) -> None:
        """Give the machine's pool so many slots; the heavy steps of Airflow's own machine stand in its pool."""
        pool = pool_of_node(node)
        try:
            await self._rest.resize_pool(pool, slots)
        except NotThereError:
            await self._rest.put_pool(pool, slots)
        if local:
            await asyncio.to_thread(self._installation.stand_in, pool)

    async def problem(self) -> str | None:
        """Return what is wrong with Airflow, None when all of its parts are well."""
        try:
            parts = await self._rest.health()
        except ChassisError as error:
            return str(error)
        ill = [f"{name} is {status}" for name, status in parts.items() if status != "healthy"]
        return f"Airflow: {', '.join(ill)}" if ill else None

    async def close(self) -> None:
        """Let go of the connections."""
        await self._rest.close()

    async def _unpause(self, dag_id: str) -> None:
        with contextlib.suppress(NotThereError):  # a new DAG is not paused: it is made so
            await self._rest.pause(dag_id, paused=False)

    async def _unreadable(self) -> str:
        ours = [
            text for name, text in await self._rest.import_errors() if Path(name).name == DAG_FILE
        ]
        if ours:
            last = ours[0].strip().splitlines()[-1:] or ["it does not say why"]
            return f"Airflow cannot read {DAG_FILE}: {last[0]}"
        return ""

    async def _wreck(self, dag_id: str, key: str) -> tuple[str, list[str]]:
        found = await self._rest.task_instances(dag_id, key)
        failed = [task for task in found if task.state == "failed"]
        if not failed:
            return "", [_stopped_by_hand(found)]
        task = min(failed, key=lambda t: _aware(t.end_date) or datetime.max.replace(tzinfo=UTC))
        try:
            lines = await self._rest.log(dag_id, key, task.task_id, max(1, task.try_number))
        except (OrchestratorAwayError, NotThereError) as error:
            lines = [f"its log cannot be read: {error}"]
        return task.task_id, lines

    def _page(self, dag_id: str, run_id: str) -> str:
        return f"{self._rest.url}/dags/{quote(dag_id)}/runs/{quote(run_id)}"


def dag_of(project: str) -> str:
    """Return the DAG of a project."""
    return f"{project}__train"


def pool_of(project: str) -> str:
    """Return the pool of a project."""
    return f"p_{project}"


def pool_of_node(node: str) -> str:
    """Return the pool of a machine."""
    return f"n_{node}"


def _conf(order: Order) -> dict[str, str]:
    return {
        "kind": order.kind,
        "model": order.model,
        "correlation_id": order.correlation_id,
        "causation_id": order.causation_id,
        "traceparent": order.traceparent,
        "node": order.node,
    }


def _aware(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


def _stopped_by_hand(tasks: list[Task]) -> str:
    states = ", ".join(f"{task.task_id} {task.state}" for task in tasks)
    return f"no step failed by itself, the run was ended from outside: {states or 'no step began'}"
