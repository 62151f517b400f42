# SPDX-License-Identifier: Apache-2.0
"""Messages that come again or in another order, and processes that died in between, change nothing more."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.errors import RejectedError
from mlops.contracts.commands import CommandRefused
from mlops.contracts.settings import Consent, ProjectSettings
from mlops.contracts.tracking import (
    ModelRegistered,
    PromoteModel,
)
from mlops.contracts.workspaces import (
    ProjectArchived,
    ProjectRegistered,
)
from mlops.tracking.app import wire
from mlops.tracking.handlers.projects import Projects, TrackedProject
from mlops.tracking.sources.relay import Relay


async def test_redelivery_decides_and_tells_the_same(world: Any) -> None:
    await world.project()
    await world.model(0.8)
    await world.model(0.7)
    events = world.told(ModelRegistered)
    before = list(world.bus.published)

    for event in events:
        await world.bus.publish_bytes(event.subject, event.encode(), f"again-{event.id}")
    await world.settle()

    assert world.bus.published[len(before) :] == events


async def test_redelivery_brings_no_older_champion_back(world: Any) -> None:
    await world.project()
    await world.model(0.8)
    (first,) = world.told(ModelRegistered)
    await world.model(0.8)

    await world.bus.publish_bytes(first.subject, first.encode(), "again")
    await world.settle()

    champion = await world.tracking.champion("rain", "rain")
    assert champion is not None
    assert champion.version == 2


async def test_what_was_told_before_a_stop_is_not_told_again(world: Any) -> None:
    for _ in range(3):
        world.tracking.start_run("rain")
    relay = Relay(
        world.tracking, world.tracking, world.lead, lambda: datetime.now(UTC), timedelta(days=1)
    )

    async with aclosing(relay.tell()) as told:
        first, _, _ = await anext(told), await anext(told), await anext(told)

    # Nobody knows whether the third was stored: it comes again, under its own id.
    (row,) = await world.tracking.pending(10)
    assert row.id != first.id


async def test_a_command_that_was_done_is_not_done_again_over_a_later_champion(
    world: Any,
) -> None:
    await world.project(promote=Consent.APPROVE)
    await world.model(0.8)
    await world.model(0.9)
    first = PromoteModel(project="rain", name="rain", version=1)
    await world.bus.publish(first)
    await world.bus.publish(PromoteModel(project="rain", name="rain", version=2))
    await world.settle()

    await world.bus.publish_bytes(first.subject, first.encode(), "again")
    await world.settle()

    assert [message.version for message in world.promoted] == [1, 2]
    assert world.told(CommandRefused) == []


async def test_a_command_that_died_before_the_alias_moved_is_done(world: Any) -> None:
    await world.project(promote=Consent.APPROVE)
    await world.model(0.8)
    command = PromoteModel(project="rain", name="rain", version=1)
    # All tags but the last were written: "challenger" still stands from the gate.
    torn = {"mlops.gate.reason": "promoted", "mlops.gate.causation_id": command.id}
    await world.tracking.annotate("rain", "rain", 1, torn)

    await world.bus.publish(command)
    await world.settle()

    assert [message.version for message in world.promoted] == [1]


async def test_a_rejection_told_again_says_the_same(world: Any) -> None:
    await world.project()
    await world.model(0.8)
    await world.model(0.7)
    await world.model(0.9)
    (said,) = world.rejected
    event = world.told(ModelRegistered)[1]
    registry = world.tracking
    again = MemoryBus(_buckets=world.bus._buckets)
    wire(again, registry, registry, registry, world.lives, "http://mlflow")

    await again.publish(event)
    await again.settle()

    repeated = again.published[-1]
    assert repeated.model_dump(exclude={"time", "traceparent"}) == said.model_dump(
        exclude={"time", "traceparent"}
    )


async def test_redelivery_brings_no_older_challenger_back(world: Any) -> None:
    await world.project(promote=Consent.APPROVE)
    await world.model(0.8)
    (first,) = world.told(ModelRegistered)
    await world.model(0.9)

    await world.bus.publish_bytes(first.subject, first.encode(), "again")
    await world.settle()

    challenger = await world.tracking.champion("rain", "rain", "challenger")
    assert challenger is not None
    assert challenger.version == 2


async def test_an_archive_that_overtakes_the_registration_stays(world: Any) -> None:
    settings = ProjectSettings(name="rain")
    registered = ProjectRegistered(project="rain", settings=settings, revision=1)
    archived = ProjectArchived(project="rain", time=registered.time + timedelta(seconds=1))
    await world.bus.publish(archived)
    await world.bus.publish(registered)
    await world.settle()

    with pytest.raises(RejectedError, match="archived"):
        world.tracking.start_run("rain")


async def test_an_archive_that_crosses_with_a_new_registration_does_not_last(world: Any) -> None:
    settings = ProjectSettings(name="rain")
    archived = ProjectArchived(project="rain")
    later = archived.time + timedelta(seconds=1)
    again = ProjectRegistered(project="rain", settings=settings, revision=2, time=later)
    projects = Projects(
        world.bus.documents("tracking_projects", TrackedProject), world.tracking, "http://mlflow"
    )
    close = world.tracking.close

    async def crossing(project: str, reason: str) -> None:
        world.tracking.close = close
        await projects.on_project_changed(again)
        await close(project, reason)

    world.tracking.close = crossing
    await projects.on_project_archived(archived)

    assert world.tracking.closed == {}
