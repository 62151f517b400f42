# SPDX-License-Identifier: Apache-2.0
"""Champions that are read before their project: remembered, and rolled out once the project serves them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops.contracts.message import Message
from mlops.contracts.serving import DeploymentCompleted, DeploymentStarted, DeployModel
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered, ProjectUpdated
from mlops.serving.model.promotions import Promotion, without
from mlops.serving.model.rollout import Cause
from mlops.serving.ports import Promoted


def registered(stage: Any, model: str = "rain", revision: int = 1, **changes: Any) -> Message:
    serve = stage.settings.serve.model_copy(update={"model": model})
    settings = stage.settings.model_copy(update={"serve": serve})
    kind = ProjectRegistered if revision == 1 else ProjectUpdated
    known = {"project": "rain", "settings": settings, "revision": revision, "time": stage.now}
    return kind(**{**known, **changes})


def archived(stage: Any, **changes: Any) -> Message:
    return ProjectArchived(**{"project": "rain", "time": stage.now, **changes})


async def remembered(stage: Any) -> dict[str, int | None]:
    found = await stage.bus.documents("serving_promotions", Promoted).all()
    return {key: one.promotion and one.promotion.version for key, one in found.items()}


@pytest.mark.parametrize(
    ("second", "cause", "stays"),
    [(2, "new", True), (1, "other", True), (1, "done", False), (0, "old", False)],
)
def test_what_was_promoted_since_stays_remembered(second: int, cause: str, *, stays: bool) -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    done = Promotion(5, Cause("done", "story"), began + timedelta(seconds=1))
    known = Promotion(6, Cause(cause, "story"), began + timedelta(seconds=second))

    assert without(known, done) == (known if stays else None)


async def test_a_champion_that_is_read_before_its_project_is_rolled_out(unknown: Any) -> None:
    promotion = unknown.promoted(1, correlation_id="story", reason="better by 0.1")
    await unknown.tell(promotion)
    await unknown.turn(times=10)
    assert unknown.said() == []

    unknown.now += timedelta(days=1)
    await unknown.tell(registered(unknown))
    await unknown.turn(times=10)

    assert unknown.said() == [
        "v1 started",
        "v1 packed 0",
        "v1 warm 0",
        "v1 canary 1",
        "v1 completed",
    ]
    facts = [one for one in unknown.bus.published if one.type in unknown.kinds]
    assert {(one.correlation_id, one.causation_id) for one in facts} == {("story", promotion.id)}
    assert unknown.only(DeploymentStarted).why == "better by 0.1"
    told = unknown.only(DeploymentCompleted)
    assert (told.metric, told.metrics) == ("accuracy", {"accuracy": 0.8})
    assert told.duration_s < 60
    assert await remembered(unknown) == {"rain.rain": None}


async def test_what_is_remembered_outlives_the_process(unknown: Any) -> None:
    await unknown.tell(unknown.promoted(1))

    unknown.start()
    await unknown.tell(registered(unknown))
    await unknown.turn(times=10)

    assert await unknown.routes() == {1: 1.0}


async def test_only_the_newest_champion_is_rolled_out_in_whatever_order_they_came(
    unknown: Any,
) -> None:
    early = unknown.promoted(2)
    late = unknown.promoted(1, time=unknown.now + timedelta(seconds=1))

    await unknown.tell(late, early, registered(unknown))
    await unknown.turn(times=10)

    assert await unknown.routes() == {1: 1.0}
    assert unknown.only(DeploymentStarted).version == 1


async def test_a_champion_of_another_model_waits_until_the_settings_name_it(unknown: Any) -> None:
    await unknown.tell(registered(unknown, model="snow"), unknown.promoted(3))
    await unknown.turn(times=5)
    assert unknown.said() == []

    await unknown.tell(registered(unknown, revision=2))
    await unknown.turn(times=10)

    assert await unknown.routes() == {3: 1.0}


async def test_what_a_person_deployed_since_then_stays(unknown: Any) -> None:
    await unknown.tell(registered(unknown, model="snow"), unknown.promoted(3))
    unknown.now += timedelta(seconds=1)
    await unknown.tell(DeployModel(project="rain", model="rain", version=2, time=unknown.now))
    await unknown.turn(times=10)

    await unknown.tell(registered(unknown, revision=2))
    await unknown.turn(times=10)

    assert await unknown.routes() == {2: 1.0}
    assert await remembered(unknown) == {"rain.rain": None}


async def test_what_an_old_champion_replaces_is_stopped_only_when_callers_have_heard(
    unknown: Any,
) -> None:
    await unknown.tell(registered(unknown, model="snow"))
    for version, turns in ((1, 10), (2, 6)):
        by_hand = DeployModel(project="rain", model="rain", version=version, time=unknown.now)
        await unknown.tell(by_hand)
        await unknown.turn(times=turns)
    await unknown.tell(unknown.promoted(3))
    unknown.now += timedelta(minutes=1)

    await unknown.tell(registered(unknown, revision=2))
    await unknown.turn(seconds=0.1, times=5)

    assert "rain.rain.v2" in unknown.replicas.apps
    await unknown.turn(times=60)
    assert list(unknown.replicas.apps) == ["rain.rain.v3"]


async def test_the_settings_again_bring_back_no_champion_that_was_rolled_back(
    unknown: Any,
) -> None:
    await unknown.tell(unknown.promoted(1), registered(unknown))
    await unknown.turn(times=10)
    unknown.now += timedelta(seconds=1)
    await unknown.tell(DeployModel(project="rain", model="rain", version=2, time=unknown.now))
    await unknown.turn(times=40)

    await unknown.tell(registered(unknown))
    await unknown.turn(times=10)

    assert await unknown.routes() == {2: 1.0}


async def test_a_promotion_that_is_delivered_again_starts_and_tells_nothing_again(
    unknown: Any,
) -> None:
    promotion = unknown.promoted(1)
    await unknown.tell(promotion, registered(unknown))
    await unknown.turn(times=10)

    unknown.bus._ids.clear()
    unknown.start()
    await unknown.tell(promotion, registered(unknown))
    await unknown.turn(times=10)

    assert [one.version for one in unknown.bus.published if isinstance(one, DeploymentStarted)] == [
        1
    ]
    assert await unknown.routes() == {1: 1.0}


async def test_a_closed_project_leaves_no_champion_behind(unknown: Any) -> None:
    await unknown.tell(unknown.promoted(1), archived(unknown), unknown.promoted(2))
    unknown.now += timedelta(days=1)

    await unknown.tell(registered(unknown, revision=2))
    await unknown.turn(times=10)

    assert unknown.said() == []
    assert await remembered(unknown) == {"rain.rain": None}


async def test_a_champion_of_a_project_that_is_opened_again_is_rolled_out(stage: Any) -> None:
    await stage.tell(archived(stage))
    stage.now += timedelta(days=1)

    await stage.tell(stage.promoted(4), registered(stage, revision=2))
    await stage.turn(times=10)

    assert await stage.routes() == {4: 1.0}


async def test_an_archive_that_is_read_before_its_registration_stays(unknown: Any) -> None:
    registration = registered(unknown)
    unknown.now += timedelta(seconds=1)

    await unknown.tell(archived(unknown), registration, unknown.promoted(1, time=registration.time))
    await unknown.turn(times=10)

    assert unknown.said() == []
    assert await remembered(unknown) == {"rain.rain": None}


async def test_an_archive_that_is_read_after_the_next_registration_closes_nothing(
    stage: Any,
) -> None:
    late = archived(stage)
    stage.now += timedelta(days=1)
    await stage.tell(registered(stage, revision=2), stage.promoted(1))

    await stage.tell(late)
    await stage.turn(times=10)

    assert await stage.routes() == {1: 1.0}


async def test_a_champion_whose_name_cannot_be_an_endpoint_is_not_remembered(unknown: Any) -> None:
    await unknown.tell(unknown.promoted(1).model_copy(update={"name": "no/end point"}))

    assert await remembered(unknown) == {}
    assert unknown.bus.dead == []
