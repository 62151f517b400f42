# SPDX-License-Identifier: Apache-2.0
"""Promotions and projects read side by side, killed anywhere and delivered again: the last champion is wanted once."""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Generic

from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.chassis.bus import D
from mlops.chassis.bus_memory import MemoryDocuments
from mlops.contracts.message import Message
from mlops.contracts.serving import DeploymentStarted
from mlops.contracts.settings import ProjectSettings, ServeSettings
from mlops.contracts.tracking import ModelPromoted
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered, ProjectUpdated
from mlops.serving.handlers.models import ModelHandlers
from mlops.serving.handlers.owners import Owners
from mlops.serving.handlers.projects import ProjectHandlers
from mlops.serving.handlers.promotions import Promotions
from mlops.serving.handlers.wanted import Wanted
from mlops.serving.ports import Deployment, Promoted, Served

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
DRAIN = timedelta(seconds=6)
Step = tuple[int, bool]


@types.coroutine
def let_others() -> Generator[None]:
    """Give way to the others, as a store that is asked over the network does."""
    yield


class Shared(Generic[D]):
    """Documents at which every look and every write gives way to others first."""

    def __init__(self, kind: type[D]) -> None:
        self.kept = MemoryDocuments(kind)

    async def get(self, key: str) -> D | None:
        await let_others()
        return await self.kept.get(key)

    async def change(self, key: str, change: Callable[[D | None], D], *, applied: str) -> D:
        await let_others()
        found = await self.kept.change(key, change, applied=applied)
        await let_others()  # written, and killed before it knows
        return found

    async def delete(self, key: str) -> None:
        await let_others()
        await self.kept.delete(key)

    async def all(self) -> dict[str, D]:
        await let_others()
        return await self.kept.all()


@dataclass
class Reader:
    """One subscription: its messages in order, one at a time; one that was killed is delivered again."""

    handler: Callable[[Any], Awaitable[Any]]
    waiting: list[Message]
    told: list[Message]
    under_way: Coroutine[Any, Any, Any] | None = None

    def step(self) -> None:
        if not self.waiting:
            return
        if self.under_way is None:
            self.under_way = _called(self.handler, self.waiting[0])
        try:
            self.under_way.send(None)
        except StopIteration as end:
            self.told += end.value
            self.under_way = None
            del self.waiting[0]

    def kill(self) -> None:
        if self.under_way is not None:
            self.under_way.close()
            self.under_way = None


async def _called(handler: Callable[[Any], Awaitable[Any]], message: Message) -> Any:
    return await handler(message)


@dataclass
class World:
    """The handlers of projects and promotions, each with what it is to read."""

    projects: Shared[Served] = field(default_factory=lambda: Shared(Served))
    deployments: Shared[Deployment] = field(default_factory=lambda: Shared(Deployment))
    promoted: Shared[Promoted] = field(default_factory=lambda: Shared(Promoted))
    told: list[Message] = field(default_factory=list)

    def readers(self, messages: list[Message]) -> list[Reader]:
        wanted = Wanted(self.deployments, DRAIN, _nothing)
        owners = Owners(self.projects, self.deployments)
        promotions = Promotions(self.promoted, self.projects, wanted, lambda: BEGAN)
        of_projects = ProjectHandlers(self.projects, owners, promotions, _nothing)
        of_models = ModelHandlers(
            self.projects,
            self.deployments,
            owners,
            wanted,
            promotions,
            DRAIN,
            _nothing,
            lambda: BEGAN,
        )
        handlers: dict[type[Message], Callable[[Any], Awaitable[Any]]] = {
            ProjectRegistered: of_projects.on_project,
            ProjectUpdated: of_projects.on_project,
            ProjectArchived: of_models.on_project_archived,
            ModelPromoted: promotions.on_model_promoted,
        }
        return [
            Reader(handler, [one for one in messages if isinstance(one, kind)], self.told)
            for kind, handler in handlers.items()
        ]

    def run(self, messages: list[Message], steps: list[Step]) -> None:
        readers = self.readers(messages)
        for chosen, is_killed in steps:
            readers[chosen].kill() if is_killed else readers[chosen].step()
        for reader in readers:
            while reader.waiting:
                reader.step()

    async def remembered(self) -> int | None:
        known = await self.promoted.kept.get("rain.rain")
        return known.promotion.version if known and known.promotion else None


def _nothing() -> None:
    """Wake nobody."""


def settings_of(model: str) -> ProjectSettings:
    return ProjectSettings(name="rain", serve=ServeSettings(model=model))


def about(second: int) -> dict[str, Any]:
    return {"project": "rain", "time": BEGAN + timedelta(seconds=second), "id": f"m{second}"}


def registered(second: int, model: str, revision: int = 1) -> Message:
    kind = ProjectRegistered if revision == 1 else ProjectUpdated
    return kind(**about(second), settings=settings_of(model), revision=revision)


def promoted(second: int, version: int) -> Message:
    return ModelPromoted(**about(second), name="rain", version=version)


STEPS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([False, False, False, True])))
CHAMPIONS = st.permutations([promoted(1, 7), promoted(3, 5), promoted(5, 6)])


@given(champions=CHAMPIONS, steps=STEPS, first=st.sampled_from(["rain", "snow"]))
@settings(max_examples=300, deadline=None)
async def test_the_last_champion_is_wanted_once_its_project_serves_it(
    champions: list[Message], steps: list[Step], first: str
) -> None:
    world = World()

    changes = [registered(2, first), registered(4, "snow", 2), registered(6, "rain", 3)]

    world.run([*changes, *champions], steps)

    known = await world.deployments.kept.get("rain.rain")
    assert known is not None
    rollouts = known.state.rollouts
    assert rollouts[-1].version == 6
    assert len({one.cause.id for one in rollouts}) == len(rollouts)
    assert await world.remembered() is None


@given(champions=CHAMPIONS, steps=STEPS)
@settings(max_examples=300, deadline=None)
async def test_that_a_rollout_has_started_is_told_in_one_way(
    champions: list[Message], steps: list[Step]
) -> None:
    world = World()

    world.run([registered(2, "rain"), *champions], steps)

    known = await world.deployments.kept.get("rain.rain")
    assert known is not None
    by_handlers = {one.deployment_id for one in world.told if isinstance(one, DeploymentStarted)}
    by_themselves = {one.deployment_id for one in known.state.rollouts if one.tells_its_start}
    assert by_handlers.isdisjoint(by_themselves)
    assert by_handlers | by_themselves == {one.deployment_id for one in known.state.rollouts}


@given(champions=CHAMPIONS, steps=STEPS, model=st.sampled_from(["rain", "snow"]))
@settings(max_examples=300, deadline=None)
async def test_a_project_that_was_closed_leaves_no_champion_behind(
    champions: list[Message], steps: list[Step], model: str
) -> None:
    world = World()
    closed = ProjectArchived(**about(6))

    world.run([registered(2, model), closed, *champions], steps)

    assert await world.remembered() is None
