# SPDX-License-Identifier: Apache-2.0
"""The promises of tracking's ports, each held by the memory fake and by the real MLflow."""

from __future__ import annotations

import asyncio
import math
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops.chassis.errors import RejectedError
from mlops.tracking.model.changes import (
    ChampionChanged,
    Row,
    RunBegan,
    RunEnded,
    VersionAdded,
    Why,
)
from servers.tracking import Lab, changes

pytestmark = pytest.mark.timeout(120)

SOON = timedelta(seconds=2)


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


async def test_nobody_waits_for_a_run_that_was_deleted(lab: Lab, project: str) -> None:
    run_id = await lab.start_run(project)
    await lab.register(project, "rain", run_id)
    await lab.delete(project, run_id)

    version = await lab.registry.version(project, "rain", 1)

    assert version is not None
    assert not version.running


async def test_one_decides_at_a_time(lab: Lab) -> None:
    seen: list[str] = []

    async def decide(registry: Any, name: str) -> None:
        async with registry.turn():
            seen.append(name)
            await asyncio.sleep(0.1)
            seen.append(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(decide(lab.registry, "a"))
        group.create_task(decide(lab.another_registry(), "b"))

    assert seen in (["a", "a", "b", "b"], ["b", "b", "a", "a"])


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


async def test_a_closed_project_takes_no_new_runs_and_versions_and_lets_others_end(
    lab: Lab, project: str
) -> None:
    run_id = await lab.start_run(project)
    await lab.register(project, "rain", run_id)
    await lab.registry.close(project, "archived")
    await lab.registry.close(project, "archived")

    for refused in (lab.start_run(project), lab.register(project, "rain", run_id)):
        with pytest.raises(Exception, match="archived"):
            await refused
    await lab.log(project, run_id, {"accuracy": 0.5})
    await lab.end_run(project, run_id)
    assert await lab.registry.models(project) == {"rain": [1]}
    assert [type(change).__name__ for change in await changes(lab)] == [
        "RunBegan",
        "VersionAdded",
        "RunEnded",
    ]

    await lab.registry.reopen(project)
    await lab.start_run(project)
    assert await lab.register(project, "rain", run_id) == 2
