# SPDX-License-Identifier: Apache-2.0
"""FakePipelines: the orchestrator of tests, scripted to be away, not ready, or to fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from mlops.orchestration_bridge.errors import OrchestratorAwayError, PipelineNotReadyError
from mlops.orchestration_bridge.model.lifecycle import Run
from mlops.orchestration_bridge.ports.pipelines import Order, Outcome, Pipeline


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

    async def provision(self, pipeline: Pipeline) -> dict[str, str]:
        """Remember the project."""
        self._answer()
        self.known[pipeline.project] = pipeline
        project = pipeline.project
        return {"dag": f"{project}__train", "pool": f"p_{project}", "airflow": "memory:"}

    async def retire(self, project: str) -> None:
        """Forget the project."""
        self._answer()
        self.known.pop(project, None)

    async def start(self, order: Order) -> Run:
        """Start the run once."""
        self._answer()
        dag_id = f"{order.project}__train"
        if order.key not in self.runs:
            self._find(order)
            self.runs[order.key] = order
            self.started.append(order.key)
            self.outcomes[order.key] = Outcome(completed=None)
        return Run(dag_id, order.key, f"memory:{order.key}")

    async def look(self, project: str, key: str) -> Outcome | None:
        """Return how far the run is."""
        self._answer()
        order = self.runs.get(key)
        return self.outcomes[key] if order is not None and order.project == project else None

    async def stop(self, project: str, key: str) -> None:
        """End the run."""
        self._answer()
        if await self.look(project, key) == Outcome(completed=None):
            self.stopped.append(key)
            self.finish(key, step="", diagnosis="the run was ended from outside")

    async def resize(self, node: str, slots: int, *, local: bool) -> None:  # noqa: ARG002 - the port's
        """Give the machine's pool so many slots."""
        self._answer()
        if self.pools.get(node) != slots:
            self.resized.append((node, slots))
        self.pools[node] = slots

    def finish(self, key: str, *, step: str | None = None, diagnosis: str = "") -> None:
        """End a run: well, or in *step*."""
        self.outcomes[key] = Outcome(
            completed=step is None,
            ended_at=datetime.now(UTC),
            step=step or "",
            diagnosis=diagnosis,
        )

    def _answer(self) -> None:
        if self.away > 0:
            self.away -= 1
            raise OrchestratorAwayError("the orchestrator does not answer")

    def _find(self, order: Order) -> None:
        if self.unread > 0:
            self.unread -= 1
            raise PipelineNotReadyError("the orchestrator has not read the pipeline yet")
        if order.project not in self.known:
            raise PipelineNotReadyError(f"the orchestrator knows no pipeline of {order.project!r}")
