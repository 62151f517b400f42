# SPDX-License-Identifier: Apache-2.0
"""Wishes that cannot work, odd runs, broken neighbours: what serving does about them, told over the memory bus."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from mlops.contracts.commands import CommandRefused
from mlops.contracts.message import Message
from mlops.contracts.serving import (
    DeploymentCompleted,
    DeploymentFailed,
    DeploymentReverted,
    DeployModel,
    RollbackModel,
    UndeployModel,
)
from mlops.contracts.settings import ServeSettings
from mlops.contracts.tracking import ModelPromoted
from mlops.contracts.workspaces import ProjectRegistered, ProjectUpdated
from mlops.serving.model.evidence import Counts
from mlops.serving.ports import Deployment


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (DeployModel(project="sun", model="sun", version=1), "project 'sun' is not registered"),
        (DeployModel(project="rain", model="../x", version=1), "cannot be an endpoint"),
        (DeployModel(project="rain", model="x.", version=1), "cannot be an endpoint"),
        (DeployModel(project="rain", model="x..y", version=1), "cannot be an endpoint"),
        (DeployModel(project="rain", model="rain\n", version=1), "cannot be an endpoint"),
        (UndeployModel(project="rain", model="rain\n"), "never served a model"),
        (DeployModel(project="rain", model="rain", version=1), "answers all requests already"),
        (RollbackModel(project="rain", model="rain"), "has no version before"),
        (RollbackModel(project="rain", model="snow"), "it has: rain"),
        (UndeployModel(project="rain", model="snow"), "never served a model 'snow'"),
    ],
)
async def test_what_cannot_work_is_refused_with_the_reason(
    stage: Any, command: Message, said: str
) -> None:
    await stage.first()

    await stage.tell(command)

    assert said in stage.only(CommandRefused).reason


async def test_metrics_of_any_run_can_be_told(stage: Any) -> None:
    await stage.first()
    stage.packages.metrics = {
        "a_loss": math.nan,
        "b_loss": math.inf,
        **{f"class_{number}_{'x' * 200}": 0.5 for number in range(3000)},
        "accuracy": 0.7,
    }

    await stage.tell(DeployModel(project="rain", model="rain", version=7, time=stage.now))
    await stage.turn(times=30)

    told = stage.only(DeploymentCompleted)
    assert told.metrics["accuracy"] == 0.7
    assert len(told.metrics) > 10
    kept = await stage.bus.documents("serving_deployments", Deployment).get("rain.rain")
    assert len(kept.model_dump_json()) < 100_000


async def test_a_rollback_cannot_take_an_endpoint_that_another_project_has_now(
    stage: Any,
) -> None:
    await stage.first()
    await stage.tell(UndeployModel(project="rain", model="rain", time=stage.now))
    await stage.turn(times=20)
    without = stage.settings.model_copy(update={"serve": ServeSettings()})
    theirs = stage.settings.model_copy(update={"name": "sun"})
    await stage.tell(
        ProjectUpdated(project="rain", settings=without, revision=2),
        ProjectRegistered(project="sun", settings=theirs, revision=1),
    )

    await stage.tell(RollbackModel(project="rain", model="rain", to_version=1, time=stage.now))

    assert "belongs to project 'sun'" in stage.only(CommandRefused).reason


async def test_a_version_that_never_gets_ready_fails_though_another_model_is_broken(
    stage: Any,
) -> None:
    await stage.first()
    snow = ServeSettings(model="snow")
    settings = stage.settings.model_copy(update={"name": "snow", "serve": snow})
    await stage.tell(
        ProjectRegistered(project="snow", settings=settings, revision=1),
        ModelPromoted(project="snow", name="snow", version=1, time=stage.now),
    )
    live = await stage.packages.pack("rain", "rain", 1, "auto")
    stage.replicas.broken = {live.bento_tag: "its file is gone"}
    stage.replicas.stuck = {"snow.snow.v1"}

    await stage.turn(5, times=16)

    assert "not ready after" in stage.only(DeploymentFailed).reason


async def test_after_undeploying_no_package_is_kept(stage: Any) -> None:
    await stage.first()

    await stage.tell(UndeployModel(project="rain", model="rain", time=stage.now))
    await stage.turn(times=20)

    assert stage.packages.kept == []


async def test_errors_that_a_new_gateway_counts_are_a_share_of_its_requests(stage: Any) -> None:
    await stage.first()
    stage.traffic.by_version = {2: Counts(900, 0)}
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)

    stage.traffic.by_version = {2: Counts(905, 50)}
    await stage.turn()

    assert stage.only(DeploymentReverted).error_ratio == pytest.approx(50 / 905)


async def test_each_of_many_hurried_wishes_ends_with_a_message(stage: Any) -> None:
    await stage.first()
    for version in range(2, 30):
        stage.now += timedelta(seconds=1)
        await stage.tell(stage.promoted(version))

    await stage.turn(times=60)

    said = [one for one in stage.said() if "started" not in one]
    for version in range(2, 29):
        assert f"v{version} reverted" in said
    assert "v29 completed" in said
    detail = await stage.bus.ask("serving", "get", {"project": "rain", "model": "rain"})
    assert len(detail["deployment"]["rollouts"]) <= 11
