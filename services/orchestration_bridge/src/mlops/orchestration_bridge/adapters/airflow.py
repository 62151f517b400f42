# SPDX-License-Identifier: Apache-2.0
"""Pipelines as DAGs of Airflow: files for what there is, REST for what happens."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from mlops.chassis.errors import ChassisError, RejectedError
from mlops.orchestration_bridge.adapters.airflow_edge import AirflowEdge
from mlops.orchestration_bridge.adapters.airflow_files import DAG_FILE, Installation
from mlops.orchestration_bridge.adapters.airflow_names import dag_of, pool_of, pool_of_node
from mlops.orchestration_bridge.adapters.airflow_rest import (
    AirflowRest,
    DagRun,
    ExistsError,
    NotThereError,
    Task,
)
from mlops.orchestration_bridge.errors import OrchestratorAwayError, PipelineNotReadyError
from mlops.orchestration_bridge.model.cohort import FEDERATED
from mlops.orchestration_bridge.model.diagnosis import Wreck, diagnose, is_mute
from mlops.orchestration_bridge.model.lifecycle import Run
from mlops.orchestration_bridge.model.workers import Worker
from mlops.orchestration_bridge.ports.pipelines import Order, Outcome, Pipeline, run_id_of

_ENDED = ("success", "failed")
# What a step pushes that ended itself at a request, as in `airflow_dags`.
LEFT, SAVED = "left", "saved"


class AirflowPipelines:
    """The orchestrator Airflow 3: DAGs and one pool for each project, and one pool for each machine's heavy steps.

    *edge* where other machines work for it, too.
    """

    def __init__(
        self, rest: AirflowRest, installation: Installation, edge: AirflowEdge | None = None
    ) -> None:
        self._rest = rest
        self._installation = installation
        self._edge = edge

    async def provision(self, pipeline: Pipeline) -> dict[str, str]:
        """Make the pool, then the DAG: tasks of a pool that is missing would wait for ever and say nothing."""
        dag_id, pool = dag_of(pipeline.project), pool_of(pipeline.project)
        await self._rest.put_pool(pool, pipeline.max_parallel)
        entry = {
            "pool": pool,
            "path": pipeline.path,
            "max_parallel": pipeline.max_parallel,
            "timeout_s": pipeline.timeout.total_seconds(),
            "rounds": pipeline.cohort.rounds if pipeline.cohort else 0,
            "shards": pipeline.cohort.nodes if pipeline.cohort else 0,
        }
        await asyncio.to_thread(self._installation.put, pipeline.project, entry)
        await self._unpause(dag_id)
        if pipeline.cohort is None:
            return {"dag": dag_id, "pool": pool, "airflow": self._rest.url}
        together = dag_of(pipeline.project, FEDERATED)
        await self._unpause(together)
        return {"dag": dag_id, "federated": together, "pool": pool, "airflow": self._rest.url}

    async def retire(self, project: str) -> None:
        """Pause the DAG first: Airflow forgets a removed one only after a minute."""
        for dag_id in (dag_of(project), dag_of(project, FEDERATED)):
            with contextlib.suppress(NotThereError):
                await self._rest.pause(dag_id, paused=True)
        await asyncio.to_thread(self._installation.remove, project)

    async def start(self, order: Order) -> Run:
        """Trigger the DAG with key and attempt as run id."""
        dag_id = dag_of(order.project, order.kind)
        try:
            await self._rest.trigger(dag_id, order.run_id, _conf(order))
        except ExistsError:
            pass  # key and attempt are the run id: it was started before
        except NotThereError as error:
            reason = f"Airflow has not read DAG {dag_id!r} yet; it usually takes a second or two"
            raise PipelineNotReadyError(await self._unreadable() or reason) from error
        except RejectedError as error:  # what it says of a DAG that it can no longer read
            reason = await self._unreadable()
            if not reason:
                raise
            raise PipelineNotReadyError(reason) from error
        return Run(dag_id, order.run_id, self._page(dag_id, order.run_id))

    async def look(self, project: str, key: str, attempt: int = 1) -> Outcome | None:
        """Return the state of the run; of a failed one the failing task and the end of its log, or that it left."""
        run_id = run_id_of(key, attempt)
        dag_id, run = await self._run(project, run_id)
        if run is None:
            return None
        if run.state not in _ENDED:
            return Outcome(completed=None)
        if run.state == "success":
            return Outcome(completed=True, ended_at=_aware(run.end_date))
        return await self._failed(dag_id, run_id, _aware(run.end_date))

    async def stop(self, project: str, key: str, attempt: int = 1) -> None:
        """Fail the run; Airflow then ends its tasks."""
        run_id = run_id_of(key, attempt)
        dag_id, run = await self._run(project, run_id)
        if run is not None and run.state not in _ENDED:
            with contextlib.suppress(NotThereError):
                await self._rest.fail_run(dag_id, run_id)

    async def resize(self, node: str, slots: int, *, local: bool) -> None:
        """Give the machine's pool so many slots; the heavy steps of Airflow's own machine stand in its pool."""
        pool = pool_of_node(node)
        try:
            await self._rest.resize_pool(pool, slots)
        except NotThereError:
            await self._rest.put_pool(pool, slots)
        if local:
            await asyncio.to_thread(self._installation.stand_in, pool)
        elif self._edge is not None:
            await asyncio.to_thread(self._installation.reach, node)

    async def workers(self) -> tuple[Worker, ...]:
        """Return the workers of the Edge executor; none where it is not used."""
        return await self._edge.workers() if self._edge else ()

    async def drain(self, node: str, why: str) -> None:
        """Put a worker into maintenance."""
        if self._edge is not None:
            await self._edge.drain(node, why)

    async def undrain(self, node: str) -> None:
        """End the maintenance of a worker."""
        if self._edge is not None:
            await self._edge.undrain(node)

    async def release(self, node: str, why: str) -> None:
        """Fail the shards that wait for a worker."""
        if self._edge is not None:
            await self._edge.release(node, why)

    async def files(self) -> dict[str, str]:
        """Return the DAG file and the registry."""
        return await asyncio.to_thread(self._installation.texts)

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

    async def _run(self, project: str, run_id: str) -> tuple[str, DagRun | None]:
        """Return where a run is, and the run; a cohort's is in a DAG of its own."""
        for dag_id in (dag_of(project), dag_of(project, FEDERATED)):
            with contextlib.suppress(NotThereError):
                return dag_id, await self._rest.run(dag_id, run_id)
        return dag_of(project), None

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

    async def _failed(self, dag_id: str, run_id: str, at: datetime | None) -> Outcome:
        found = await self._rest.task_instances(dag_id, run_id)
        # A shard that fails does not fail its round; where one has, what came of it is the news.
        failed = [task for task in found if task.state == "failed" and task.map_index < 0]
        if not failed:
            diagnosis = diagnose(Wreck("", [_stopped_by_hand(found)]))
            return Outcome(completed=False, ended_at=at, diagnosis=diagnosis)
        task = min(failed, key=lambda t: _aware(t.end_date) or datetime.max.replace(tzinfo=UTC))
        left = await self._rest.xcom(dag_id, run_id, task.task_id, LEFT)
        wreck = Wreck(task.task_id, await self._log(dag_id, run_id, task))
        return Outcome(
            completed=False,
            ended_at=at,
            step=task.task_id,
            diagnosis=diagnose(wreck),
            left=left is not None,
            saved=left == SAVED,
            mute=is_mute(wreck),
        )

    async def _log(self, dag_id: str, run_id: str, task: Task) -> list[str]:
        try:
            return await self._rest.log(dag_id, run_id, task.task_id, max(1, task.try_number))
        except (OrchestratorAwayError, NotThereError) as error:
            return [f"its log cannot be read: {error}"]

    def _page(self, dag_id: str, run_id: str) -> str:
        return f"{self._rest.url}/dags/{quote(dag_id)}/runs/{quote(run_id)}"


def _conf(order: Order) -> dict[str, str | list[str]]:
    return {
        "kind": order.kind,
        "model": order.model,
        "correlation_id": order.correlation_id,
        "causation_id": order.causation_id,
        "traceparent": order.traceparent,
        "key": order.key,
        "attempt": str(order.attempt),
        "node": order.node,
        "nodes": list(order.nodes),
    }


def _aware(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


def _stopped_by_hand(tasks: list[Task]) -> str:
    states = ", ".join(f"{task.task_id} {task.state}" for task in tasks)
    return f"no step failed by itself, the run was ended from outside: {states or 'no step began'}"
