# SPDX-License-Identifier: Apache-2.0
"""The promises of tracking's ports, each held by the memory fake and by the real MLflow."""

# MLflow takes two seconds to import, which a run without these tests saves.
# ruff: noqa: PLC0415

from __future__ import annotations

import asyncio
import itertools
import math
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops.chassis.errors import RejectedError
from mlops.tracking.adapters.memory import MemoryTracking
from mlops.tracking.model.changes import (
    ChampionChanged,
    Row,
    RunBegan,
    RunEnded,
    VersionAdded,
    Why,
)

pytestmark = pytest.mark.timeout(120)

SOON = timedelta(seconds=2)


class MlflowLab:
    """The real stores and listeners; acts as MLflow's own request handlers do."""

    def __init__(self, server: Any) -> None:
        from mlops.tracking.adapters.beside import beside
        from mlops.tracking.adapters.mlflow_files import ModelFiles
        from mlops.tracking.adapters.mlflow_registry import MlflowRegistry
        from mlops.tracking.adapters.mlflow_runs import MlflowRuns
        from mlops.tracking.adapters.outbox_rows import SqlRows

        self._server = server
        self._steps = itertools.count()
        engine = beside(server.engine)
        self.rows = SqlRows(engine)
        self.runs = MlflowRuns(engine, ModelFiles(server.tracking, server.artifacts))
        self.registry = MlflowRegistry(server, self.runs)

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

    async def register(self, project: str, name: str, run_id: str) -> int:
        return self._memory.register(project, name, run_id)

    async def set_alias(self, project: str, name: str, alias: str, version: int) -> None:
        self._memory.set_alias(project, name, alias, version)


Lab = MemoryLab | MlflowLab


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One store for this process: MLflow keeps it in a global."""
    from mlops.tracking.adapters.mlflow_server import open_server

    folder = tmp_path_factory.mktemp("mlflow")
    return open_server(f"sqlite:///{folder / 'mlflow.db'}", str(folder / "artifacts"))


@pytest.fixture(params=["memory", pytest.param("mlflow", marks=pytest.mark.mlflow)])
async def lab(request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    if request.param == "memory":
        yield MemoryLab()
        return
    real = MlflowLab(request.getfixturevalue("mlflow_server"))
    await real.open()
    yield real
    await real.close()


@pytest.fixture
async def project(lab: Lab) -> str:
    name = f"p-{uuid.uuid4().hex[:12]}"
    await lab.registry.provision(name)
    return name


async def changes(lab: Lab) -> list[Any]:
    return [row.change for row in await lab.rows.pending(1000)]


# Rows


async def test_each_change_writes_one_row_in_order(lab: Lab, project: str) -> None:
    run_id = await lab.start_run(project)
    await lab.register(project, "rain", run_id)
    await lab.set_alias(project, "rain", "champion", 1)
    await lab.end_run(project, run_id)

    began, added, moved, ended = await lab.rows.pending(1000)

    assert [row.project for row in (began, added, moved, ended)] == [project] * 4
    assert isinstance(began.change, RunBegan)
    assert began.change.run_id == run_id
    assert began.change.started_ms == 1000
    assert added.change == VersionAdded("rain", 1, run_id, f"runs:/{run_id}/model")
    assert moved.change == ChampionChanged("rain", 1, None, None)
    assert isinstance(ended.change, RunEnded)
    assert (ended.change.status, ended.change.ended_ms) == ("FINISHED", 2000)
    assert len({row.id for row in (began, added, moved, ended)}) == 4


async def test_the_same_again_writes_no_row(lab: Lab, project: str) -> None:
    run_id = await lab.start_run(project)
    await lab.end_run(project, run_id, "FAILED")
    await lab.register(project, "rain", run_id)
    await lab.set_alias(project, "rain", "champion", 1)
    before = len(await changes(lab))

    await lab.end_run(project, run_id, "FAILED")
    await lab.set_alias(project, "rain", "champion", 1)
    await lab.set_alias(project, "rain", "another", 1)

    assert before == 4
    assert len(await changes(lab)) == before


async def test_a_moved_alias_names_the_version_before(lab: Lab, project: str) -> None:
    run_id = await lab.start_run(project)
    await lab.register(project, "rain", run_id)
    await lab.register(project, "rain", run_id)
    await lab.set_alias(project, "rain", "champion", 1)

    await lab.set_alias(project, "rain", "champion", 2)

    assert (await changes(lab))[-1] == ChampionChanged("rain", 2, 1, None)


async def test_the_gates_reason_is_in_the_row_of_its_own_change_only(
    lab: Lab, project: str
) -> None:
    run_id = await lab.start_run(project)
    await lab.register(project, "rain", run_id)
    await lab.register(project, "rain", run_id)
    why = Why("better", "accuracy", {"accuracy": 0.5}, "story", "cause", "trace")

    await lab.registry.point(project, "rain", "champion", 1, why)
    await lab.registry.point(project, "rain", "champion", 1, why)
    await lab.set_alias(project, "rain", "champion", 2)

    assert (await changes(lab))[-2:] == [
        ChampionChanged("rain", 1, None, why),
        ChampionChanged("rain", 2, 1, None),
    ]


async def test_told_rows_are_not_pending_and_prunable(lab: Lab, project: str) -> None:
    await lab.start_run(project)
    await lab.start_run(project)
    first, second = await lab.rows.pending(1000)

    await lab.rows.told([first.sequence])
    await lab.rows.prune(datetime.now(UTC) + timedelta(seconds=5))

    assert await lab.rows.pending(1000) == [second]
    assert await lab.rows.prune(datetime.now(UTC) + timedelta(seconds=5)) == 0


async def test_pending_gives_the_oldest_first(lab: Lab, project: str) -> None:
    run_ids = [await lab.start_run(project) for _ in range(3)]

    rows: list[Row] = await lab.rows.pending(2)

    assert [row.change.run_id for row in rows if isinstance(row.change, RunBegan)] == run_ids[:2]


async def test_wait_ends_with_a_commit(lab: Lab, project: str) -> None:
    await lab.rows.pending(1000)
    waiting = asyncio.create_task(lab.rows.wait(timedelta(seconds=60)))

    await lab.start_run(project)

    async with asyncio.timeout(SOON.total_seconds()):
        await waiting


async def test_wait_ends_without_one(lab: Lab) -> None:
    await lab.rows.pending(1000)

    async with asyncio.timeout(SOON.total_seconds()):
        await lab.rows.wait(timedelta(milliseconds=50))


# Runs


async def test_a_run_is_known_with_what_it_logged(lab: Lab, project: str) -> None:
    run_id = await lab.start_run(project, params={"lr": "0.1"}, tags={"own": "yes"})
    await lab.log(project, run_id, {"loss": 2.0, "odd": float("nan")})
    await lab.log(project, run_id, {"loss": 1.0})

    run = await lab.runs.run(run_id)

    assert run is not None
    assert run.experiment_name == project
    assert run.params == {"lr": "0.1"}
    assert run.metrics["loss"] == 1.0
    assert math.isnan(run.metrics["odd"])
    assert run.tags["own"] == "yes"
    assert run_id in run.artifact_uri


async def test_unknown_runs_and_versions_are_none(lab: Lab, project: str) -> None:
    assert await lab.runs.run("0" * 32) is None
    assert await lab.runs.origin(project, "rain", 1) is None
    assert await lab.registry.version(project, "rain", 1) is None
    assert await lab.registry.champion(project, "rain") is None


async def test_a_model_without_files_has_an_empty_package(lab: Lab, project: str) -> None:
    package = await lab.runs.package(project, "runs:/nothing/model")

    assert (package.flavors, package.size_bytes, package.signature) == ((), None, None)


# Registry


async def test_a_version_comes_with_metrics_of_its_run_and_tags(lab: Lab, project: str) -> None:
    run_id = await lab.start_run(project)
    await lab.log(project, run_id, {"accuracy": 0.75})
    number = await lab.register(project, "rain", run_id)
    await lab.registry.annotate(project, "rain", number, {"a": "1", "b": "2"})
    await lab.registry.annotate(project, "rain", number, {"a": "3"})

    version = await lab.registry.version(project, "rain", number)

    assert version is not None
    assert (version.version, version.run_id, version.running) == (1, run_id, True)
    assert version.metrics == {"accuracy": 0.75}
    assert version.tags == {"a": "3", "b": "2"}
    origin = await lab.runs.origin(project, "rain", number)
    assert origin is not None
    assert (origin.run_id, origin.is_prompt) == (run_id, False)


async def test_a_version_of_an_ended_run_is_not_running(lab: Lab, project: str) -> None:
    run_id = await lab.start_run(project)
    await lab.register(project, "rain", run_id)
    await lab.end_run(project, run_id)

    (version,) = await lab.registry.of_run(project, run_id)

    assert not version.running


async def test_the_champion_is_whoever_holds_the_alias(lab: Lab, project: str) -> None:
    run_id = await lab.start_run(project)
    await lab.register(project, "rain", run_id)
    await lab.register(project, "rain", run_id)

    await lab.set_alias(project, "rain", "champion", 2)

    champion = await lab.registry.champion(project, "rain")
    assert champion is not None
    assert champion.version == 2


async def test_projects_do_not_see_each_other(lab: Lab, project: str) -> None:
    other = f"o-{uuid.uuid4().hex[:12]}"
    await lab.registry.provision(other)
    run_id = await lab.start_run(project)

    await lab.register(project, "rain", run_id)

    assert await lab.registry.version(other, "rain", 1) is None
    assert await lab.registry.of_run(other, run_id) == []
    assert await lab.registry.models(other) == {}
    assert await lab.registry.models(project) == {"rain": [1]}


# Workspaces


async def test_provisioning_twice_gives_the_same_names(lab: Lab, project: str) -> None:
    again = await lab.registry.provision(project)

    assert again == {"mlflow_workspace": project, "experiment": project}


async def test_a_name_that_mlflow_never_takes_is_rejected(lab: Lab) -> None:
    with pytest.raises(RejectedError, match="rain-"):
        await lab.registry.provision("rain-")
