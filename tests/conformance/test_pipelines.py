# SPDX-License-Identifier: Apache-2.0
"""The promises of orchestration_bridge's port Pipelines, kept by a real Airflow as by what stands in for it."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from airflow_client.client.api.pool_api import PoolApi
from airflow_client.client.api.task_instance_api import TaskInstanceApi

from mlops.chassis.errors import UnavailableError
from mlops.orchestration_bridge.adapters.airflow import AirflowPipelines
from mlops.orchestration_bridge.adapters.airflow_files import Installation
from mlops.orchestration_bridge.adapters.airflow_rest import AirflowRest
from mlops.orchestration_bridge.adapters.memory import FakePipelines
from mlops.orchestration_bridge.errors import PipelineNotReadyError
from mlops.orchestration_bridge.model.lifecycle import Run
from mlops.orchestration_bridge.ports.pipelines import Orchestrator, Order, Outcome, Pipeline

pytestmark = pytest.mark.timeout(240)

# Stands where `python` stands: the step's work is not the orchestrator's, only how it ends is.
STEP = """#!/bin/sh
case "$MLOPS_PROJECT" in
  fails*) echo "out of luck"; echo "exit status 65"; exit 65;;
  lasts*) exec sleep 60;;
esac
"""


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

    async def provisioned(self, kind: str) -> str:
        project = f"{kind}-{uuid.uuid4().hex[:6]}"
        await self.pipelines.provision(pipeline(project))
        return project

    async def started(self, order: Order) -> Run:
        async with asyncio.timeout(90):
            while True:
                try:
                    return await self.pipelines.start(order)
                except PipelineNotReadyError:
                    await asyncio.sleep(0.3)

    async def ended(self, order: Order) -> Outcome:
        if self.fake is not None and order.key not in self.fake.stopped:
            failed = order.project.startswith("fails")
            self.fake.finish(order.key, step="data" if failed else None, diagnosis="out of luck")
        async with asyncio.timeout(120):
            while True:
                outcome = await self.pipelines.look(order.project, order.key)
                assert outcome is not None
                if outcome.completed is not None:
                    return outcome
                await asyncio.sleep(0.3)


def pipeline(project: str, max_parallel: int = 1) -> Pipeline:
    return Pipeline(project, "/", max_parallel, timedelta(hours=1))


def order(project: str) -> Order:
    key = f"{project}-{uuid.uuid4().hex[:6]}"
    return Order(project, key, "train", "rain", "story", "cause", "")


@pytest.fixture(scope="session")
def airflow() -> Iterator[Any]:
    yield from airflow_module().shared()


@pytest.fixture
def step_program(tmp_path: Path) -> Path:
    path = tmp_path / "step"
    path.write_text(STEP)
    path.chmod(0o755)
    return path


@pytest.fixture(params=["memory", pytest.param("airflow", marks=pytest.mark.airflow)])
async def bench(request: pytest.FixtureRequest, step_program: Path) -> AsyncIterator[Bench]:
    if request.param == "memory":
        fake = FakePipelines()
        yield Bench(fake, fake)
        return
    server = request.getfixturevalue("airflow")
    rest = AirflowRest(server.url, "bridge", server.password)
    installation = Installation(server.dags, step_program.parent, str(step_program))
    pipelines = AirflowPipelines(rest, installation)
    yield Bench(pipelines)
    await pipelines.close()


async def test_provision_names_what_it_made_and_may_be_repeated(bench: Bench) -> None:
    project = f"works-{uuid.uuid4().hex[:6]}"

    names = await bench.pipelines.provision(pipeline(project))

    assert names["dag"] == f"{project}__train"
    assert names["pool"] == f"p_{project}"
    assert await bench.pipelines.provision(pipeline(project, max_parallel=3)) == names


async def test_a_run_is_under_way_then_completed(bench: Bench) -> None:
    wanted = order(await bench.provisioned("works"))

    run = await bench.started(wanted)

    assert (run.dag_id, run.run_id) == (f"{wanted.project}__train", wanted.key)
    outcome = await bench.ended(wanted)
    assert outcome.completed
    assert outcome.ended_at is not None
    assert outcome.ended_at.tzinfo is not None


async def test_the_same_key_starts_once_even_after_the_end(bench: Bench) -> None:
    wanted = order(await bench.provisioned("works"))
    first = await bench.started(wanted)

    assert await bench.pipelines.start(wanted) == first
    ended = await bench.ended(wanted)
    assert await bench.pipelines.start(wanted) == first
    assert await bench.pipelines.look(wanted.project, wanted.key) == ended


async def test_a_failed_run_names_the_step_and_the_end_of_its_log(bench: Bench) -> None:
    wanted = order(await bench.provisioned("fails"))
    await bench.started(wanted)

    outcome = await bench.ended(wanted)

    assert outcome.completed is False
    assert outcome.step == "data"
    assert "out of luck" in outcome.diagnosis


async def test_an_unknown_pipeline_is_not_ready(bench: Bench) -> None:
    with pytest.raises(PipelineNotReadyError):
        await bench.pipelines.start(order("unknown"))


async def test_an_unknown_run_is_none(bench: Bench) -> None:
    project = await bench.provisioned("works")

    assert await bench.pipelines.look(project, "never-started") is None


async def test_stop_ends_a_run_and_may_be_repeated(bench: Bench) -> None:
    wanted = order(await bench.provisioned("lasts"))
    await bench.started(wanted)

    await bench.pipelines.stop(wanted.project, wanted.key)

    outcome = await bench.ended(wanted)
    assert outcome.completed is False
    assert "ended from outside" in outcome.diagnosis
    await bench.pipelines.stop(wanted.project, wanted.key)
    await bench.pipelines.stop(wanted.project, "never-started")


async def test_retire_may_be_repeated_and_undone(bench: Bench) -> None:
    project = await bench.provisioned("works")

    await bench.pipelines.retire(project)
    await bench.pipelines.retire(project)
    await bench.pipelines.retire("unknown")

    await bench.pipelines.provision(pipeline(project))
    wanted = order(project)
    await bench.started(wanted)
    assert (await bench.ended(wanted)).completed


async def test_an_orchestrator_that_is_away_is_unavailable(tmp_path: Path) -> None:
    port = airflow_module().free_port()
    rest = AirflowRest(f"http://127.0.0.1:{port}", "bridge", "secret")
    away = AirflowPipelines(rest, Installation(tmp_path, tmp_path, "python"))

    for call in (
        away.provision(pipeline("rain")),
        away.retire("rain"),
        away.start(order("rain")),
        away.look("rain", "key"),
        away.stop("rain", "key"),
        away.resize("node-1", 1, local=True),
        FakePipelines(away=1).look("rain", "key"),
    ):
        with pytest.raises(UnavailableError):
            await call
    assert f"does not answer at http://127.0.0.1:{port}" in str(await away.problem())


async def test_a_machine_may_be_resized_again_and_again(bench: Bench) -> None:
    for slots in (3, 1, 1, 3):
        await bench.pipelines.resize("node-resized", slots, local=False)


@pytest.mark.airflow
async def test_heavy_steps_stand_in_the_pool_of_the_orchestrators_own_machine(
    airflow: Any, step_program: Path
) -> None:
    rest = AirflowRest(airflow.url, "bridge", airflow.password)
    pipelines = AirflowPipelines(
        rest, Installation(airflow.dags, step_program.parent, str(step_program))
    )
    bench = Bench(pipelines)
    wanted = order(await bench.provisioned("works"))

    await pipelines.resize("node-other", 5, local=False)
    await pipelines.resize("node-own", 8, local=True)
    await pipelines.resize("node-own", 4, local=True)

    pools = PoolApi(rest._client)
    found = await rest._ask(lambda: pools.get_pool_without_preload_content("n_node-own"))
    assert found["slots"] == 4
    await asyncio.sleep(3)  # Airflow reads a touched DAG file within a second or two
    await bench.started(wanted)
    assert (await bench.ended(wanted)).completed
    tasks = TaskInstanceApi(rest._client)
    told = await rest._ask(
        lambda: tasks.get_task_instances_without_preload_content(
            f"{wanted.project}__train", wanted.key
        )
    )
    own = f"p_{wanted.project}"
    assert {one["task_id"]: one["pool"] for one in told["task_instances"]} == {
        "data": own,
        "train": "n_node-own",
        "evaluate": "n_node-own",
        "register": own,
    }
    await pipelines.close()


@pytest.mark.airflow
async def test_a_wrong_password_is_said_and_nothing_is_lost(airflow: Any, tmp_path: Path) -> None:
    rest = AirflowRest(airflow.url, "bridge", "wrong")
    pipelines = AirflowPipelines(rest, Installation(tmp_path, tmp_path, "python"))

    with pytest.raises(UnavailableError, match="check airflow_password"):
        await pipelines.provision(pipeline("rain"))
    await pipelines.close()


@pytest.mark.airflow
async def test_a_token_that_has_expired_is_renewed(airflow: Any, tmp_path: Path) -> None:
    rest = AirflowRest(airflow.url, "bridge", airflow.password)
    pipelines = AirflowPipelines(rest, Installation(tmp_path, tmp_path, "python"))
    await pipelines.provision(pipeline("rain"))

    rest._client.configuration.access_token = "expired"

    assert await pipelines.look("rain", "never-started") is None
    await pipelines.close()
