# SPDX-License-Identifier: Apache-2.0
"""FakePipelines: the orchestrator of tests, scripted to be away, not ready, or to fail."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from mlops.orchestration_bridge.adapters.airflow_names import dag_of, pool_of
from mlops.orchestration_bridge.errors import OrchestratorAwayError, PipelineNotReadyError
from mlops.orchestration_bridge.model.cohort import FEDERATED
from mlops.orchestration_bridge.model.lifecycle import Run
from mlops.orchestration_bridge.model.workers import Work, Worker
from mlops.orchestration_bridge.ports.pipelines import Order, Outcome, Pipeline, run_id_of


@dataclass
class FakePipelines:
    """Runs go on until `finish` is called; `away` and `unread` say for how many calls it will not do."""

    away: int = 0
    unread: int = 0
    known: dict[str, Pipeline] = field(default_factory=dict)
    runs: dict[str, Order] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    pools: dict[str, int] = field(default_factory=dict)
    resized: list[tuple[str, int]] = field(default_factory=list)
    machines: dict[str, Worker] = field(default_factory=dict)
    released: list[tuple[str, str]] = field(default_factory=list)

    async def provision(self, pipeline: Pipeline) -> dict[str, str]:
        """Remember the project."""
        self._answer()
        self.known[pipeline.project] = pipeline
        project = pipeline.project
        together = {"federated": dag_of(project, FEDERATED)} if pipeline.cohort else {}
        return {"dag": dag_of(project), "pool": pool_of(project), "airflow": "memory:", **together}

    async def retire(self, project: str) -> None:
        """Forget the project."""
        self._answer()
        self.known.pop(project, None)

    async def start(self, order: Order) -> Run:
        """Start the run once."""
        self._answer()
        dag_id = dag_of(order.project, order.kind)
        run_id = order.run_id
        if run_id not in self.runs:
            self._find(order)
            self.runs[run_id] = order
            self.started.append(run_id)
            self.outcomes[run_id] = Outcome(completed=None)
        return Run(dag_id, run_id, f"memory:{run_id}")

    async def look(self, project: str, key: str, attempt: int = 1) -> Outcome | None:
        """Return how far the run is."""
        self._answer()
        run_id = run_id_of(key, attempt)
        order = self.runs.get(run_id)
        return self.outcomes[run_id] if order is not None and order.project == project else None

    async def stop(self, project: str, key: str, attempt: int = 1) -> None:
        """End the run."""
        self._answer()
        run_id = run_id_of(key, attempt)
        if await self.look(project, key, attempt) == Outcome(completed=None):
            self.stopped.append(run_id)
            self.finish(run_id, step="", diagnosis="the run was ended from outside")

    async def resize(self, node: str, slots: int, *, local: bool) -> None:  # noqa: ARG002 - the port's
        """Give the machine's pool so many slots."""
        self._answer()
        if self.pools.get(node) != slots:
            self.resized.append((node, slots))
        self.pools[node] = slots

    async def workers(self) -> tuple[Worker, ...]:
        """Return the machines that a test has named."""
        self._answer()
        return tuple(self.machines.values())

    async def drain(self, node: str, why: str) -> None:
        """Put a worker that takes work into maintenance."""
        self._answer()
        worker = self.machines.get(node)
        if worker is not None and worker.work is Work.READY:
            self.machines[node] = replace(worker, work=Work.DRAINED, why=why)

    async def undrain(self, node: str) -> None:
        """Let a worker in maintenance take work again."""
        self._answer()
        worker = self.machines.get(node)
        if worker is not None and worker.in_maintenance:
            self.machines[node] = replace(worker, work=Work.READY, why="")

    async def release(self, node: str, why: str) -> None:
        """Note that what waits for the machine was given up."""
        self._answer()
        if (node, why) not in self.released:
            self.released.append((node, why))

    async def files(self) -> dict[str, str]:
        """Return a file that names the projects."""
        self._answer()
        return {"registry.json": ",".join(sorted(self.known))}

    def finish(self, run_id: str, *, step: str | None = None, diagnosis: str = "") -> None:
        """End a run: well, or in *step*."""
        self.outcomes[run_id] = Outcome(
            completed=step is None,
            ended_at=datetime.now(UTC),
            step=step or "",
            diagnosis=diagnosis,
        )

    def leave(self, run_id: str, *, saved: bool = True, at: datetime | None = None) -> None:
        """End a run as a step does that leaves its machine, with or without a checkpoint."""
        self.outcomes[run_id] = Outcome(
            completed=False,
            ended_at=at or datetime.now(UTC),
            step="train",
            diagnosis="step 'train' left",
            left=True,
            saved=saved,
        )

    def vanish(self, run_id: str, at: datetime | None = None) -> None:
        """End a run as one whose machine vanished: it failed, and nothing says how."""
        self.outcomes[run_id] = Outcome(
            completed=False,
            ended_at=at or datetime.now(UTC),
            step="train",
            diagnosis="step 'train' failed",
            mute=True,
        )

    def _answer(self) -> None:
        if self.away > 0:
            self.away -= 1
            raise OrchestratorAwayError("the orchestrator does not answer")

    def _find(self, order: Order) -> None:
        if self.unread > 0:
            self.unread -= 1
            raise PipelineNotReadyError("the orchestrator has not read the pipeline yet")
        pipeline = self.known.get(order.project)
        if pipeline is None or (order.kind == FEDERATED and pipeline.cohort is None):
            raise PipelineNotReadyError(f"the orchestrator knows no pipeline of {order.project!r}")
