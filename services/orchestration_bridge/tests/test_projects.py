# SPDX-License-Identifier: Apache-2.0
"""Two words about a project that arrive at once: the newer one is in force at the orchestrator too."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from mlops.contracts.message import Message
from mlops.contracts.settings import ShareSettings
from mlops.contracts.workspaces import ProjectArchived
from mlops.orchestration_bridge.adapters.memory import FakePipelines
from mlops.orchestration_bridge.handlers.projects import Projects
from mlops.orchestration_bridge.ports.books import Books, NodeDocument, QueueDocument
from mlops.orchestration_bridge.ports.pipelines import Pipeline


class Slow(FakePipelines):
    """The first to be provisioned takes until `go`."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go = asyncio.Event(), asyncio.Event()

    async def provision(self, pipeline: Pipeline) -> dict[str, str]:
        if not self.entered.is_set():
            self.entered.set()
            await self.go.wait()
        return await super().provision(pipeline)


@pytest.fixture
def pipelines() -> Slow:
    return Slow()


@pytest.fixture
def projects(world: Any, pipelines: Slow) -> Projects:
    queues = world.bus.documents("queues", QueueDocument)
    books = Books(queues, world.bus.documents("nodes", NodeDocument), 2)
    return Projects(books, pipelines, lambda: world.now)


async def overtake(pipelines: Slow, first: Any, second: Any) -> list[list[Message]]:
    slow = asyncio.create_task(first)
    await pipelines.entered.wait()
    quick = asyncio.create_task(second)
    await asyncio.wait({quick}, timeout=0.05)  # long enough for one that does not wait its turn
    pipelines.go.set()
    return list(await asyncio.gather(slow, quick))


async def test_a_closing_is_not_undone_by_a_registration_that_is_under_way(
    world: Any, pipelines: Slow, projects: Projects
) -> None:
    closing = ProjectArchived(project="rain")

    await overtake(
        pipelines,
        projects.on_project_registered(world.registered()),
        projects.on_project_archived(closing),
    )

    assert pipelines.known == {}


async def test_newer_settings_are_not_undone_by_older_ones_that_are_under_way(
    world: Any, pipelines: Slow, projects: Projects
) -> None:
    old = world.registered()
    settings = old.settings.model_copy(update={"share": ShareSettings(max_parallel=7)})
    new = old.model_copy(
        update={
            "id": "new",
            "settings": settings,
            "revision": 2,
            "time": old.time + timedelta(seconds=1),
        }
    )

    await overtake(
        pipelines, projects.on_project_registered(old), projects.on_project_registered(new)
    )

    assert pipelines.known["rain"].max_parallel == 7
