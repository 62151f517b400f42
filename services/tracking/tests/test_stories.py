# SPDX-License-Identifier: Apache-2.0
"""Stories of tracking alone, over the memory bus and a remembered registry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops.chassis.errors import RejectedError
from mlops.contracts.commands import CommandRefused
from mlops.contracts.settings import Consent, EvaluateSettings, ProjectSettings
from mlops.contracts.tracking import (
    ModelNominated,
    ModelRegistered,
    PromoteModel,
    RunCompleted,
)
from mlops.contracts.workspaces import (
    ProjectArchived,
    ProjectRegistered,
    ProjectUpdated,
    WorkspaceProvisioned,
    WorkspaceRefused,
)


async def test_a_project_gets_its_workspace(world: Any) -> None:
    await world.project()

    provisioned = world.bus.published[-1]
    assert isinstance(provisioned, WorkspaceProvisioned)
    assert provisioned.component == "tracking"
    assert provisioned.names == {
        "mlflow_workspace": "rain",
        "experiment": "rain",
        "tracking_uri": "http://mlflow",
    }


async def test_a_name_that_mlflow_cannot_take_is_refused(world: Any) -> None:
    settings = ProjectSettings(name="rain-")

    await world.bus.publish(ProjectRegistered(project="rain-", settings=settings, revision=1))
    await world.settle()

    refused = world.bus.published[-1]
    assert isinstance(refused, WorkspaceRefused)
    assert "rain-" in refused.reason


async def test_first_model_is_promoted_within_the_story_of_its_run(world: Any) -> None:
    await world.project()

    await world.model(0.8, **{"mlops.correlation_id": "story", "mlops.causation_id": "why"})

    assert [message.type for message in world.bus.published[-4:]] == [
        "run.started",
        "model.registered",
        "run.completed",
        "model.promoted",
    ]
    (promoted,) = world.promoted
    (registered,) = world.told(ModelRegistered)
    assert (registered.correlation_id, registered.causation_id) == ("story", "why")
    assert (promoted.correlation_id, promoted.causation_id) == ("story", registered.id)
    assert (promoted.version, promoted.previous_version, promoted.metric) == (1, None, "accuracy")
    assert promoted.candidate_metrics == {"accuracy": 0.8}


async def test_a_better_model_replaces_the_champion_and_a_worse_one_is_rejected(
    world: Any,
) -> None:
    await world.project(min_gain=0.01)
    await world.model(0.8)

    await world.model(0.7)
    await world.model(0.9)

    (rejected,) = world.rejected
    assert (rejected.version, rejected.champion_version) == (2, 1)
    assert rejected.candidate_metrics == {"accuracy": 0.7}
    assert rejected.champion_metrics == {"accuracy": 0.8}
    assert "0.7 against 0.8" in rejected.reason
    promoted = world.promoted[-1]
    assert (promoted.version, promoted.previous_version) == (3, 1)
    assert promoted.champion_metrics == {"accuracy": 0.8}


async def test_a_metric_logged_after_registration_is_waited_for(world: Any) -> None:
    await world.project()
    run_id = world.tracking.start_run("rain")
    world.tracking.register("rain", "rain", run_id)
    await world.settle()

    world.tracking.log(run_id, {"accuracy": 0.8})
    world.tracking.end_run(run_id)
    await world.settle()

    assert world.rejected == []
    assert [message.version for message in world.promoted] == [1]


async def test_a_metric_that_never_comes_is_a_rejection(world: Any) -> None:
    await world.project()

    await world.model(None)

    (rejected,) = world.rejected
    assert "'accuracy' is missing" in rejected.reason
    assert world.promoted == []


async def test_approve_waits_for_the_command(world: Any) -> None:
    await world.project(promote=Consent.APPROVE)
    await world.model(0.8)
    assert world.promoted == []
    (nominated,) = world.told(ModelNominated)
    assert isinstance(nominated, ModelNominated)
    assert (nominated.version, nominated.alias, nominated.champion_version) == (
        1,
        "challenger",
        None,
    )
    assert nominated.candidate_metrics == {"accuracy": 0.8}
    assert "waits for a person's cmd.model.promote" in nominated.reason

    command = PromoteModel(project="rain", name="rain", version=1, reason="looks good")
    await world.bus.publish(command)
    await world.settle()

    (promoted,) = world.promoted
    assert promoted.causation_id == command.id
    assert "looks good" in promoted.reason
    assert world.rejected == []


async def test_never_rejects_with_that_reason(world: Any) -> None:
    await world.project(promote=Consent.NEVER)

    await world.model(0.8)

    (rejected,) = world.rejected
    assert "never" in rejected.reason


async def test_promoting_what_does_not_exist_is_refused_with_what_does(world: Any) -> None:
    await world.project()
    await world.model(0.8)

    await world.bus.publish(PromoteModel(project="rain", name="snow", version=1))
    await world.bus.publish(PromoteModel(project="rain", name="rain", version=7))
    await world.bus.publish(PromoteModel(project="rain", name="rain", version=1))
    await world.settle()

    reasons = [
        message.reason for message in world.bus.published if isinstance(message, CommandRefused)
    ]
    assert "no model 'snow'; it has rain" in reasons[0]
    assert "no version 7; it has 1" in reasons[1]
    assert "is the champion already" in reasons[2]


async def test_an_alias_set_by_a_client_is_told_as_such(world: Any) -> None:
    await world.project()
    await world.model(0.8)
    await world.model(0.9)

    world.tracking.set_alias("rain", "rain", "champion", 1)
    world.tracking.set_alias("rain", "rain", "champion", 1)
    await world.settle()

    promoted = world.promoted[-1]
    assert len(world.promoted) == 3
    assert (promoted.version, promoted.previous_version) == (1, 2)
    assert promoted.reason == "alias set by a client"
    assert promoted.candidate_metrics == {"accuracy": 0.8}


async def test_an_archived_project_takes_and_promotes_nothing(world: Any) -> None:
    await world.project()
    run_id = world.tracking.start_run("rain")
    world.tracking.register("rain", "rain", run_id)
    await world.bus.publish(ProjectArchived(project="rain"))
    await world.settle()

    world.tracking.log(run_id, {"accuracy": 0.8})
    world.tracking.end_run(run_id)
    await world.bus.publish(PromoteModel(project="rain", name="rain", version=1))
    await world.settle()

    assert len(world.told(RunCompleted)) == 1
    assert [message.reason for message in world.rejected] == ["the project is archived"]
    assert world.promoted == []
    with pytest.raises(RejectedError, match="archived"):
        world.tracking.start_run("rain")


async def test_an_older_revision_does_not_bring_old_settings_back(world: Any) -> None:
    new = ProjectSettings(name="rain", evaluate=EvaluateSettings(promote=Consent.NEVER))
    await world.bus.publish(ProjectUpdated(project="rain", settings=new, revision=2))
    await world.project()

    await world.model(0.8)

    assert world.promoted == []


async def test_models_of_unknown_projects_are_told_and_not_judged(world: Any) -> None:
    await world.model(0.8)

    assert len(world.told(ModelRegistered)) == 1
    assert world.rejected == []
    assert world.promoted == []


async def test_an_archived_project_opens_again(world: Any) -> None:
    await world.project()
    await world.bus.publish(ProjectArchived(project="rain"))
    settings = ProjectSettings(name="rain")
    await world.bus.publish(ProjectRegistered(project="rain", settings=settings, revision=2))
    await world.settle()

    await world.model(0.8)

    assert [message.version for message in world.promoted] == [1]


async def test_told_rows_are_pruned_and_others_stay(world: Any) -> None:
    world.tracking.start_run("rain")
    await world.relay(1)
    world.tracking.start_run("rain")

    pruned = await world.tracking.prune(datetime.now(UTC) + timedelta(seconds=1))

    assert pruned == 1
    assert len(await world.tracking.pending(10)) == 1
