# SPDX-License-Identifier: Apache-2.0
"""The orchestrators that promise the same, and how a run of each comes to its end."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

from mlops.orchestration_bridge.adapters.memory import FakePipelines
from mlops.orchestration_bridge.errors import OrchestratorAwayError, PipelineNotReadyError
from mlops.orchestration_bridge.model.cohort import Cohort
from mlops.orchestration_bridge.model.lifecycle import Run
from mlops.orchestration_bridge.model.workers import Work, Worker
from mlops.orchestration_bridge.ports.pipelines import Orchestrator, Order, Outcome, Pipeline

# Stands where `python` stands: the step's work is not the orchestrator's, only how it ends is.
STEP = """#!/bin/sh
echo "$MLOPS_PROJECT" >> "$0.begun"
case "$MLOPS_PROJECT" in
  fails*) echo "out of luck"; echo "exit status 65"; exit 65;;
  leaves*) echo "mlops: $MLOPS_WORKFLOW_KEY attempt $MLOPS_WORKFLOW_ATTEMPT left"; exit 75;;
  anew*) echo "left, nothing saved"; exit 76;;
  dies*) kill -9 $PPID; sleep 5;;
  lasts*) exec sleep 60;;
  halves*) [ "$3" = federated-train ] && [ "$MLOPS_SHARD" = 1 ] && exit 65;;
  spoils*) [ "$3" = federated-aggregate ] && echo "too few" && exit 65;;
esac
exit 0
"""


TOGETHER = ("trains", "halves", "spoils")


def airflow_module() -> ModuleType:
    name = "mlops_tests_airflow_server"
    if name not in sys.modules:
        path = Path(__file__).parents[1] / "integration" / "orchestration" / "airflow_server.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@dataclass
class Bench:
    """A backend, and how a run of it comes to its end."""

    pipelines: Orchestrator
    fake: FakePipelines | None = None
    server: Any = None
    step_program: Path | None = None

    async def provisioned(self, kind: str) -> str:
        project = f"{kind}-{uuid.uuid4().hex[:6]}"
        await self.pipelines.provision(pipeline(project))
        return project

    @contextlib.asynccontextmanager
    async def machine(self) -> AsyncIterator[str]:
        """Give a machine that works for the orchestrator, and takes work."""
        name = f"node-{uuid.uuid4().hex[:6]}"
        if self.fake is not None:
            self.fake.machines[name] = Worker(name, Work.READY)
            yield name
            return
        with self.server.worker(name):
            await self.worker(name, lambda one: one is not None and one.work is Work.READY)
            yield name

    async def worker(self, name: str, wanted: Callable[[Worker | None], bool]) -> Worker | None:
        """Return what is told of a worker once it is as wanted."""
        async with asyncio.timeout(60):
            while True:
                found = {one.name: one for one in await self.pipelines.workers()}.get(name)
                if wanted(found):
                    return found
                await asyncio.sleep(0.3)

    async def started(self, order: Order) -> Run:
        async with asyncio.timeout(90):
            while True:
                try:
                    return await self.pipelines.start(order)
                except (PipelineNotReadyError, OrchestratorAwayError):
                    await asyncio.sleep(0.3)

    async def ended(self, order: Order) -> Outcome:
        if self.fake is not None and order.run_id not in self.fake.stopped:
            self._play(self.fake, order)
        async with asyncio.timeout(120):
            while True:
                # Away, as where the machine is busy with others, means: ask again.
                with contextlib.suppress(OrchestratorAwayError):
                    outcome = await self.pipelines.look(order.project, order.key, order.attempt)
                    assert outcome is not None
                    if outcome.completed is not None:
                        return outcome
                await asyncio.sleep(0.3)

    def steps_begun(self, order: Order) -> int:
        """Return how many steps of an order's project were begun; all of a run of the fake is one."""
        if self.step_program is None:
            return len(self.fake.started) if self.fake is not None else 0
        begun = Path(f"{self.step_program}.begun").read_text().split()
        return begun.count(order.project)

    @staticmethod
    def _play(fake: FakePipelines, order: Order) -> None:
        kind = order.project.partition("-")[0]
        if kind in ("leaves", "anew"):
            fake.leave(order.run_id, saved=kind == "leaves")
        elif kind == "dies":
            fake.vanish(order.run_id)
        else:
            step = "data" if kind in ("fails", "spoils") else None
            fake.finish(order.run_id, step=step, diagnosis="out of luck")


def pipeline(project: str, max_parallel: int = 1) -> Pipeline:
    cohort = Cohort(nodes=2, min_nodes=1, rounds=2) if project.startswith(TOGETHER) else None
    return Pipeline(project, "/", max_parallel, timedelta(hours=1), cohort)


def order(project: str) -> Order:
    key = f"{project}-{uuid.uuid4().hex[:6]}"
    return Order(project, key, "train", "rain", "story", "cause", "")


def pipelines_of(server: Any, step_program: Path) -> Any:
    """Return the pipelines of a real Airflow, whose steps are what stands in for them."""
    # ruff: noqa: PLC0415 - Airflow's client takes a while to import
    from mlops.orchestration_bridge.adapters.airflow import AirflowPipelines
    from mlops.orchestration_bridge.adapters.airflow_edge import AirflowEdge
    from mlops.orchestration_bridge.adapters.airflow_files import Installation
    from mlops.orchestration_bridge.adapters.airflow_rest import AirflowRest

    rest = AirflowRest(server.url, "bridge", server.password)
    installation = Installation(server.dags, step_program.parent, str(step_program))
    return AirflowPipelines(rest, installation, AirflowEdge(rest))
