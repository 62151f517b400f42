# SPDX-License-Identifier: Apache-2.0
"""Settings are asked of the bus once a second and project, and what changes here is known at once."""

from __future__ import annotations

from mlops.chassis.bus_memory import MemoryBus
from mlops.monitoring.handlers.remembered import RememberedProjects
from mlops.monitoring.ports import WatchedProject


class CountedDocuments:
    """The documents of a bus, which count how often they are asked for one."""

    def __init__(self) -> None:
        self.documents = MemoryBus().documents("monitoring_projects", WatchedProject)
        self.asked = 0
        self.change = self.documents.change
        self.delete = self.documents.delete
        self.all = self.documents.all

    async def get(self, key: str) -> WatchedProject | None:
        self.asked += 1
        return await self.documents.get(key)


async def test_a_second_of_messages_asks_once() -> None:
    documents, now = CountedDocuments(), [0.0]
    projects = RememberedProjects(documents, lambda: now[0])

    await projects.get("rainfall")
    now[0] = 0.99
    await projects.get("rainfall")

    assert documents.asked == 1
    await projects.get("snowfall")
    assert documents.asked == 2


async def test_what_another_replica_changed_is_known_a_second_later() -> None:
    documents, now = CountedDocuments(), [0.0]
    projects = RememberedProjects(documents, lambda: now[0])
    assert await projects.get("rainfall") is None

    await documents.change("rainfall", lambda _: WatchedProject(revision=2), applied="m1")
    now[0] = 1.0

    assert await projects.get("rainfall") == WatchedProject(revision=2)


async def test_what_changes_here_is_known_at_once() -> None:
    projects = RememberedProjects(CountedDocuments(), lambda: 0.0)
    assert await projects.get("rainfall") is None

    await projects.change("rainfall", lambda _: WatchedProject(revision=3), applied="m1")

    assert await projects.get("rainfall") == WatchedProject(revision=3)
    await projects.delete("rainfall")
    assert await projects.get("rainfall") is None
    assert await projects.all() == {}
