# SPDX-License-Identifier: Apache-2.0
"""Stories of a version that is being rolled out, held by labels against the one that answers beside it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.monitoring.tests.conftest import NOON

from mlops.contracts.monitoring import AlertRaised, AlertResolved, PerformanceDegraded
from mlops.contracts.serving import DeploymentFailed, DeploymentReverted, DeploymentStarted
from mlops.monitoring.model.candidates import FIRST_LOOK, Candidate, is_worse, owes
from mlops.monitoring.model.measured import Measured
from mlops.monitoring.model.performance import Promise


async def start(world: Any, version: int = 2, previous: int | None = 1, minutes: int = 2) -> None:
    await world.tell(
        DeploymentStarted(
            project=world.project,
            time=NOON + timedelta(minutes=minutes),
            deployment_id=f"d{version}",
            model=world.model,
            version=version,
            previous_version=previous,
            endpoint="/v2/models/rain/infer",
        )
    )


async def revert(world: Any, version: int = 2) -> None:
    await world.tell(
        DeploymentReverted(
            project=world.project,
            deployment_id=f"d{version}",
            model=world.model,
            version=version,
            to_version=1,
            reason="labels",
        )
    )


async def rolled_out_beside(world: Any, **said: Any) -> None:
    """Version 1 answers, version 2 is under way; later rows are of the time of both."""
    await world.register(**said)
    await world.deploy(version=1)
    await start(world)
    world.sent = 300  # rows are a second apart, the rollout begins after two minutes


async def both(world: Any, rows: int, *, own: float, beside: float) -> None:
    live = await world.predict(rows, version=1)
    new = await world.predict(rows, version=2)
    await world.label(live, right=beside)
    await world.label(new, right=own)


async def test_a_candidate_that_is_clearly_worse_is_told_before_its_window_is_full(
    kept_world: Any,
) -> None:
    await rolled_out_beside(kept_world)

    await both(kept_world, 100, own=0.5, beside=0.9)

    (told,) = kept_world.heard(PerformanceDegraded)
    assert (told.version, told.against_version) == (2, 1)
    assert (told.value, told.expected) == (0.5, 0.9)
    assert told.threshold == pytest.approx(0.85)
    assert (told.window.rows, told.window.labelled) == (100, 100)
    assert "keep it" in told.suggestion
    assert "`mlops model rollback`" in told.suggestion


async def test_a_candidate_as_good_as_the_version_beside_it_is_left_alone(world: Any) -> None:
    await rolled_out_beside(world)

    # Both do far worse than version 1 was promoted with: the world has changed, for both.
    await both(world, 200, own=0.6, beside=0.6)

    assert world.heard(PerformanceDegraded) == []


async def test_labels_from_before_the_rollout_say_nothing_about_it(world: Any) -> None:
    await world.register()
    await world.deploy(version=1)
    before = await world.predict(100, version=1)
    await world.label(before, right=1.0)
    await start(world)
    world.sent = 300

    await both(world, 40, own=0.5, beside=0.5)

    assert world.heard(PerformanceDegraded) == []


async def test_few_labels_of_either_version_say_nothing(world: Any) -> None:
    await rolled_out_beside(world)

    await both(world, FIRST_LOOK - 1, own=0.0, beside=1.0)
    assert world.heard(PerformanceDegraded) == []
    await both(world, 1, own=0.0, beside=1.0)

    assert len(world.heard(PerformanceDegraded)) == 1


async def test_labels_before_their_predictions_count(world: Any) -> None:
    await rolled_out_beside(world)
    live = await world.predict(60, version=1)
    await world.label(live)
    batch = [world._prediction(0.0, 0.0, 0.5) for _ in range(60)]

    await world.tell(world.labels([one.request_id for one in batch], right=0.2))
    await world.tell(world.logged(batch, version=2))

    assert [one.version for one in world.heard(PerformanceDegraded)] == [2]


@pytest.mark.parametrize("end", ["reverted", "failed", "completed"])
async def test_once_a_rollout_has_ended_nothing_is_compared(world: Any, end: str) -> None:
    await rolled_out_beside(world)
    if end == "reverted":
        await revert(world)
    elif end == "failed":
        late = NOON + timedelta(minutes=60)
        about = {"project": world.project, "model": world.model, "version": 2}
        await world.tell(
            DeploymentFailed(**about, time=late, deployment_id="d2", reason="does not load")
        )
    else:
        world.minutes = 60
        await world.deploy(version=2)

    await both(world, 100, own=0.5, beside=0.9)

    assert [one for one in world.heard(PerformanceDegraded) if one.against_version] == []


async def test_news_of_a_rollout_that_come_after_its_end_compare_nothing(world: Any) -> None:
    await world.register()
    world.minutes = 4
    await world.deploy(version=2)
    await start(world, minutes=2)
    world.sent = 600

    await both(world, 100, own=0.5, beside=0.9)

    assert [one for one in world.heard(PerformanceDegraded) if one.against_version] == []


async def test_a_first_version_has_nothing_beside_it(world: Any) -> None:
    await world.register()
    await start(world, previous=None)
    await start(world, previous=2)
    world.sent = 300

    await both(world, 100, own=0.1, beside=0.9)

    assert world.heard(PerformanceDegraded) == []


async def test_the_alert_about_a_candidate_ends_with_its_rollout(world: Any) -> None:
    await rolled_out_beside(world)
    await both(world, 100, own=0.5, beside=0.9)

    (alert,) = world.heard(AlertRaised)
    assert alert.severity == "warning"
    assert "v2" in alert.title
    assert "beside v1" in alert.title
    await revert(world)

    (over,) = world.heard(AlertResolved)
    assert over.alert_id == alert.alert_id
    assert "reverted" in over.reason


async def test_where_no_drop_is_allowed_for_the_candidate_still_owes_what_the_other_does(
    world: Any,
) -> None:
    await rolled_out_beside(world, accuracy={"drop": None})

    await both(world, 100, own=0.5, beside=0.9)

    (told,) = world.heard(PerformanceDegraded)
    assert told.threshold == 0.9


def test_errors_are_compared_the_other_way_round() -> None:
    lower = Promise("mae", higher_is_better=False, drop=0.5)
    against = Measured(2.0, 0.1)

    assert owes(lower, against).threshold == 2.5
    assert is_worse(owes(lower, against), Measured(3.0, 0.1), against)
    assert not is_worse(owes(lower, against), Measured(2.7, 0.1), against)
    assert not is_worse(owes(lower, against), Measured(1.0, 0.1), against)


@given(labelled=st.lists(st.integers(0, 200), max_size=200))
def test_looks_are_few_however_the_labels_come(labelled: list[int]) -> None:
    candidate, total, looks = Candidate(2, 1, NOON), 0, 0
    for more in labelled:
        total += more
        if candidate.wants_look(total):
            candidate, looks = candidate.seen(total), looks + 1

    assert 2**looks <= max(1, 2 * total / FIRST_LOOK)
