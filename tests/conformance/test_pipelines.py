# SPDX-License-Identifier: Apache-2.0
"""The promises of orchestration_bridge's port Pipelines, kept by a real Airflow as by what stands in for it."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from airflow_client.client.api.pool_api import PoolApi
from airflow_client.client.api.task_instance_api import TaskInstanceApi

from mlops.chassis.errors import UnavailableError
from mlops.orchestration_bridge.adapters.airflow import AirflowPipelines
from mlops.orchestration_bridge.adapters.airflow_edge import AirflowEdge
from mlops.orchestration_bridge.adapters.airflow_files import Installation
from mlops.orchestration_bridge.adapters.airflow_rest import AirflowRest
from mlops.orchestration_bridge.adapters.memory import FakePipelines
from mlops.orchestration_bridge.errors import PipelineNotReadyError
from mlops.orchestration_bridge.model.workers import MARK, Work
from servers.pipelines import Bench, airflow_module, order, pipeline

pytestmark = pytest.mark.timeout(240)


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
    edge = AirflowPipelines(rest, Installation(tmp_path, tmp_path, "python"), AirflowEdge(rest))

    for call in (
        away.provision(pipeline("rain")),
        away.retire("rain"),
        away.start(order("rain")),
        away.look("rain", "key"),
        away.stop("rain", "key"),
        away.resize("node-1", 1, local=True),
        edge.workers(),
        edge.drain("node-1", "hot"),
        edge.undrain("node-1"),
        edge.release("node-1", "gone"),
        FakePipelines(away=1).look("rain", "key"),
    ):
        with pytest.raises(UnavailableError):
            await call
    assert f"does not answer at http://127.0.0.1:{port}" in str(await away.problem())


async def test_a_machine_may_be_resized_again_and_again(bench: Bench) -> None:
    for slots in (3, 1, 1, 3):
        await bench.pipelines.resize("node-resized", slots, local=False)


@pytest.mark.parametrize("kind", ["trains", "halves"])
async def test_what_several_train_together_completes_also_without_some_of_them(
    bench: Bench, kind: str
) -> None:
    project = await bench.provisioned(kind)
    wanted = replace(order(project), kind="federated")

    run = await bench.started(wanted)

    assert (run.dag_id, run.run_id) == (f"{project}__federated", wanted.key)
    assert (await bench.ended(wanted)).completed
    assert await bench.pipelines.start(wanted) == run


async def test_an_aggregation_that_fails_is_what_is_told_of_a_failure(bench: Bench) -> None:
    wanted = replace(order(await bench.provisioned("spoils")), kind="federated")
    await bench.started(wanted)

    outcome = await bench.ended(wanted)

    assert outcome.completed is False
    if bench.fake is None:
        assert outcome.step == "aggregate_1"
        assert "too few" in outcome.diagnosis


async def test_a_project_that_trains_alone_has_nothing_for_several(bench: Bench) -> None:
    project = await bench.provisioned("works")

    with pytest.raises(PipelineNotReadyError):
        await bench.pipelines.start(replace(order(project), kind="federated"))


async def test_a_machine_is_drained_with_the_reason_and_takes_work_again(bench: Bench) -> None:
    async with bench.machine() as name:
        await bench.pipelines.drain(name, f"{MARK} {name} is at heat level 3")
        drained = await bench.worker(name, lambda one: one is not None and one.work is Work.DRAINED)

        assert drained is not None
        assert drained.ours
        assert drained.why == f"{MARK} {name} is at heat level 3"
        await bench.pipelines.drain(name, "again")
        still = await bench.worker(name, lambda one: one is not None and one.ours)
        assert still is not None
        assert still.why == drained.why
        for _ in range(2):
            await bench.pipelines.undrain(name)
            await bench.worker(name, lambda one: one is not None and one.work is Work.READY)


async def test_what_is_no_worker_is_none_to_drain(bench: Bench) -> None:
    await bench.pipelines.drain("unknown", "hot")
    await bench.pipelines.undrain("unknown")
    await bench.pipelines.release("unknown", "gone")
    await bench.pipelines.release("unknown", "gone")

    assert "unknown" not in {one.name for one in await bench.pipelines.workers()}


async def test_there_is_what_other_machines_need(bench: Bench) -> None:
    project = await bench.provisioned("works")

    found = await bench.pipelines.files()

    assert project in found["registry.json"]


@pytest.mark.airflow
async def test_a_worker_that_is_ended_is_no_longer_told_as_one_that_works(
    airflow: Any, step_program: Path
) -> None:
    rest = AirflowRest(airflow.url, "bridge", airflow.password)
    installation = Installation(airflow.dags, step_program.parent, str(step_program))
    pipelines = AirflowPipelines(rest, installation, AirflowEdge(rest))
    bench = Bench(pipelines, server=airflow)

    async with bench.machine() as name:
        pass

    assert await bench.worker(name, lambda one: one is not None and one.work is Work.STOPPED)
    await pipelines.close()


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
