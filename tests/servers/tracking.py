# SPDX-License-Identifier: Apache-2.0
"""Tracking's ports over memory and over the real MLflow, driven by the same words."""

# MLflow takes two seconds to import, which a run without these tests saves.
# ruff: noqa: PLC0415

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping
from typing import Any

from mlops.tracking.adapters.memory import MemoryTracking
from mlops.tracking.adapters.memory_lives import MemoryLives
from mlops.tracking.adapters.memory_presences import MemoryPresences


class MlflowLab:
    """The real stores and listeners; acts as MLflow's own request handlers do."""

    def __init__(self, server: Any) -> None:
        from mlops.tracking.adapters.beside import beside
        from mlops.tracking.adapters.guards import guard
        from mlops.tracking.adapters.mlflow_files import ModelFiles
        from mlops.tracking.adapters.mlflow_lives import MlflowLives
        from mlops.tracking.adapters.mlflow_presences import MlflowPresences
        from mlops.tracking.adapters.mlflow_registry import MlflowRegistry
        from mlops.tracking.adapters.mlflow_runs import MlflowRuns
        from mlops.tracking.adapters.outbox_rows import SqlRows

        self._server = server
        self._steps = itertools.count()
        engine = beside(server.engine)
        self.rows = SqlRows(engine)
        self.runs = MlflowRuns(engine, ModelFiles(server.tracking, server.artifacts))
        self.registry = MlflowRegistry(server, self.runs)
        self.lives = MlflowLives(engine, server.engine, self.rows.wake)
        self.presences = MlflowPresences(engine, server.engine)
        guard()

    async def open(self) -> None:
        self.rows.open()
        while found := await self.rows.pending(1000):
            await self.rows.told([row.sequence for row in found])

    async def close(self) -> None:
        await self.rows.close()

    async def start_run(
        self,
        project: str,
        *,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        return await asyncio.to_thread(self._start, project, params or {}, tags or {})

    async def log(self, project: str, run_id: str, metrics: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        # MLflow takes the latest by step and time.
        now_ms = time.time_ns() // 1_000_000
        step = next(self._steps)
        logged = [Metric(name, value, now_ms, step) for name, value in metrics.items()]
        await self._in(project, self._server.tracking.log_batch, run_id, logged, [], [])

    async def end_run(self, project: str, run_id: str, status: str = "FINISHED") -> None:
        from mlflow.entities import RunStatus

        number = RunStatus.from_string(status)
        await self._in(project, self._server.tracking.update_run_info, run_id, number, 2000, None)

    async def tag(self, project: str, run_id: str, key: str, text: str) -> None:
        from mlflow.entities import RunTag

        await self._in(
            project, self._server.tracking.log_batch, run_id, [], [], [RunTag(key, text)]
        )

    async def status(self, project: str, run_id: str) -> tuple[str, int | None, dict[str, str]]:
        """Return status, end and tags as a client reads them."""
        found: list[Any] = []
        await self._in(project, lambda: found.append(self._server.tracking.get_run(run_id)))
        info = found[0].info
        return info.status, info.end_time, dict(found[0].data.tags)

    async def delete(self, project: str, run_id: str) -> None:
        await self._in(project, self._server.tracking.delete_run, run_id)

    def another_registry(self) -> Any:
        from mlops.tracking.adapters.mlflow_registry import MlflowRegistry

        return MlflowRegistry(self._server, self.runs)

    async def register(self, project: str, name: str, run_id: str) -> int:
        return await asyncio.to_thread(self._register, project, name, run_id)

    async def set_alias(self, project: str, name: str, alias: str, version: int) -> None:
        await self._in(
            project, self._server.registry.set_registered_model_alias, name, alias, version
        )

    def _start(self, project: str, params: Mapping[str, str], tags: Mapping[str, str]) -> str:
        from mlflow.entities import Param, RunTag
        from mlflow.utils.workspace_context import ServerWorkspaceContext

        tracking = self._server.tracking
        with ServerWorkspaceContext(project):
            experiment = tracking.get_experiment_by_name(project).experiment_id
            given = [RunTag(name, value) for name, value in tags.items()]
            run = tracking.create_run(experiment, "somebody", 1000, given, "a run")
            logged = [Param(name, value) for name, value in params.items()]
            tracking.log_batch(run.info.run_id, [], logged, [])
            return str(run.info.run_id)

    def _register(self, project: str, name: str, run_id: str) -> int:
        from mlflow.exceptions import MlflowException
        from mlflow.utils.workspace_context import ServerWorkspaceContext

        registry = self._server.registry
        with ServerWorkspaceContext(project):
            try:
                registry.get_registered_model(name)
            except MlflowException:
                registry.create_registered_model(name)
            return int(registry.create_model_version(name, f"runs:/{run_id}/model", run_id).version)

    async def _in(self, project: str, act: Any, *arguments: Any) -> None:
        from mlflow.utils.workspace_context import ServerWorkspaceContext

        def acting() -> None:
            with ServerWorkspaceContext(project):
                act(*arguments)

        await asyncio.to_thread(acting)


class MemoryLab:
    """The fake, driven by the same words."""

    def __init__(self) -> None:
        self._memory = MemoryTracking()
        self.rows = self.runs = self.registry = self._memory
        self.lives = MemoryLives(self._memory)
        self.presences = MemoryPresences(self._memory)

    async def start_run(
        self,
        project: str,
        *,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        return self._memory.start_run(project, params=params, tags=tags)

    async def log(self, project: str, run_id: str, metrics: Mapping[str, float]) -> None:
        del project
        self._memory.log(run_id, metrics)

    async def end_run(self, project: str, run_id: str, status: str = "FINISHED") -> None:
        del project
        self._memory.end_run(run_id, status)

    async def tag(self, project: str, run_id: str, key: str, text: str) -> None:
        del project
        self._memory.tag(run_id, key, text)

    async def status(self, project: str, run_id: str) -> tuple[str, int | None, dict[str, str]]:
        del project
        run = self._memory.known(run_id)
        return run.status, run.ended_ms, dict(run.facts.tags)

    async def delete(self, project: str, run_id: str) -> None:
        del project
        self._memory.delete_run(run_id)

    def another_registry(self) -> Any:
        return self._memory

    async def register(self, project: str, name: str, run_id: str) -> int:
        return self._memory.register(project, name, run_id)

    async def set_alias(self, project: str, name: str, alias: str, version: int) -> None:
        self._memory.set_alias(project, name, alias, version)


Lab = MemoryLab | MlflowLab


async def changes(lab: Lab) -> list[Any]:
    return [row.change for row in await lab.rows.pending(1000)]
