# SPDX-License-Identifier: Apache-2.0
"""Lineage: every run and workflow is told to a sink of OpenLineage events; at least once, with ids that stay.

It reads under a name of its own (`lineage`): a sink that is away makes these messages wait, and no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from mlops.chassis.bus import Delivery
from mlops.contracts.message import Message
from mlops.contracts.orchestration_bridge import (
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowQueued,
    WorkflowStarted,
)
from mlops.contracts.tracking import ModelRegistered, RunCompleted, RunFailed, RunStale, RunStarted
from mlops.tracking.model import lineage
from mlops.tracking.model.lineage import Dataset, Phase, Telling
from mlops.tracking.ports import LineageSink, Registry, Runs

NAME = "lineage"

# About a day: sinks of lineage are seldom watched; what is given up then waits among the dead letters.
PATIENT = Delivery(
    delays=(*(timedelta(seconds=s) for s in (1, 5, 20, 60)), *[timedelta(minutes=5)] * 288),
    ack_wait=timedelta(seconds=90),
    concurrency=1,
)

_KILLED = "KILLED"
_RUNS_ON = "mlflow"
_WORKFLOWS_ON = "airflow"

Pairs = tuple[tuple[str, str], ...]
Run = RunStarted | RunCompleted | RunFailed | RunStale
RunEnd = RunCompleted | RunFailed | RunStale
Workflow = WorkflowQueued | WorkflowStarted | WorkflowCompleted | WorkflowFailed | WorkflowCancelled


class Lineage:
    """Tells *sink* what becomes of runs and workflows; *runs* and *registry* know what a message leaves out."""

    def __init__(self, sink: LineageSink, runs: Runs, registry: Registry) -> None:
        self._sink = sink
        self._runs = runs
        self._registry = registry

    async def on_run_started(self, event: RunStarted) -> Sequence[Message]:
        """Tell its beginning; of one that was opened again, that it runs on."""
        phase = Phase.RUNNING if event.resumed else Phase.START
        at = event.time if event.resumed else event.started_at or event.time
        return await self._tell(_run(event, phase, at=at, tags=_tags(event)))

    async def on_run_completed(self, event: RunCompleted) -> Sequence[Message]:
        """Tell its end, what it read, and the versions of models that it made."""
        made = await self._registry.of_run(event.project, event.run_id)
        outputs = tuple(lineage.model(event.project, one.name, one.version) for one in made)
        return await self._tell(_end(event, Phase.COMPLETE, outputs=outputs))

    async def on_run_failed(self, event: RunFailed) -> Sequence[Message]:
        """Tell that it failed, or that somebody ended it."""
        phase = Phase.ABORT if event.status == _KILLED else Phase.FAIL
        error = event.reason or f"the run ended with status {event.status}"
        return await self._tell(_end(event, phase, error=error))

    async def on_run_stale(self, event: RunStale) -> Sequence[Message]:
        """Tell that nobody ended it."""
        return await self._tell(
            _end(event, Phase.ABORT, error=event.reason or "the run gave no more signs of life")
        )

    async def on_model_registered(self, event: ModelRegistered) -> Sequence[Message]:
        """Tell the version as what its run made; it may come after the run's end, hence OTHER."""
        if event.run_id is None:
            return []
        facts = await self._runs.run(event.run_id)
        return await self._tell(
            Telling(
                phase=Phase.OTHER,
                at=event.time,
                run_id=lineage.run_uuid(event.project, event.run_id),
                job=lineage.run_job(event.project, facts.experiment_name if facts else ""),
                engine=_RUNS_ON,
                inputs=_inputs(event),
                outputs=(
                    lineage.model(event.project, event.name, event.version, event.source_uri),
                ),
                tags=(("mlflow.run_id", event.run_id), *_figures(event.metrics)),
            )
        )

    async def on_workflow_queued(self, event: WorkflowQueued) -> Sequence[Message]:
        """Tell why it is wanted; it does not run yet, hence OTHER."""
        tags = (
            ("mlops.why", event.why),
            ("mlops.trigger_type", event.trigger_type),
            ("mlops.trigger_id", event.trigger_id),
        )
        return await self._tell(_workflow(event, Phase.OTHER, tags=tags))

    async def on_workflow_started(self, event: WorkflowStarted) -> Sequence[Message]:
        """Tell its beginning; of one that was moved, that it runs on."""
        tags = (("airflow.dag_id", event.dag_id), ("airflow.dag_run_id", event.dag_run_id))
        phase = Phase.RUNNING if event.attempt > 1 else Phase.START
        return await self._tell(_workflow(event, phase, tags=tags))

    async def on_workflow_completed(self, event: WorkflowCompleted) -> Sequence[Message]:
        """Tell its end."""
        return await self._tell(_workflow(event, Phase.COMPLETE, took_s=event.duration_s))

    async def on_workflow_failed(self, event: WorkflowFailed) -> Sequence[Message]:
        """Tell which step failed, and why."""
        last = (event.diagnosis.strip().splitlines() or ["no diagnosis"])[-1]
        error = f"{event.step}: {last}" if event.step else last
        took_s = event.duration_s
        return await self._tell(
            _workflow(event, Phase.FAIL, took_s=took_s, error=error, details=event.diagnosis)
        )

    async def on_workflow_cancelled(self, event: WorkflowCancelled) -> Sequence[Message]:
        """Tell who took it out."""
        return await self._tell(_workflow(event, Phase.ABORT, error=event.reason or "cancelled"))

    async def _tell(self, telling: Telling) -> Sequence[Message]:
        await self._sink.tell(telling)
        return []


def _end(
    event: RunEnd, phase: Phase, *, outputs: tuple[Dataset, ...] = (), error: str = ""
) -> Telling:
    at = event.ended_at or event.time
    tags = (*_tags(event), *event.hardware.items(), *_figures(event.metrics))
    return _run(event, phase, at=at, tags=tags, outputs=outputs, error=error, ended=at)


def _run(
    event: Run,
    phase: Phase,
    *,
    at: datetime,
    tags: Pairs,
    outputs: tuple[Dataset, ...] = (),
    error: str = "",
    ended: datetime | None = None,
) -> Telling:
    project = event.project
    return Telling(
        phase=phase,
        at=at,
        run_id=lineage.run_uuid(project, event.run_id),
        job=lineage.run_job(
            project, event.experiment_name, owner=event.user, commit=event.source_commit
        ),
        engine=_RUNS_ON,
        parent=lineage.parent_of(project, tags),
        inputs=_inputs(event),
        outputs=outputs,
        began=event.started_at,
        ended=ended,
        error=error,
        params=tuple(event.params.items()),
        tags=tags,
    )


def _workflow(
    event: Workflow,
    phase: Phase,
    *,
    tags: Pairs = (),
    took_s: float | None = None,
    error: str = "",
    details: str = "",
) -> Telling:
    at = event.time
    ended = None if phase in (Phase.OTHER, Phase.START) else at
    began = at if phase is Phase.START else None
    if took_s is not None:
        began = at - timedelta(seconds=took_s)
    return Telling(
        phase=phase,
        at=at,
        run_id=lineage.workflow_uuid(event.project, event.workflow_key),
        job=lineage.workflow_job(event.project, event.kind.value),
        engine=_WORKFLOWS_ON,
        began=began,
        ended=ended,
        error=error,
        details=details,
        tags=(("mlops.workflow_key", event.workflow_key), *_story(event), *tags),
    )


def _inputs(event: Run | ModelRegistered) -> tuple[Dataset, ...]:
    return tuple(
        lineage.data(event.project, one.name, one.version, one.hash) for one in event.datasets
    )


def _tags(event: Run) -> Pairs:
    names = (("mlflow.run_id", event.run_id), ("mlflow.run_name", event.run_name))
    return (*((name, value) for name, value in names if value), *event.tags.items())


def _story(event: Workflow) -> Pairs:
    return (("mlops.correlation_id", event.story_id),)


def _figures(metrics: dict[str, float]) -> Pairs:
    return tuple((f"metric.{name}", f"{value:.10g}") for name, value in metrics.items())
