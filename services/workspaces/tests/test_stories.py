# SPDX-License-Identifier: Apache-2.0
"""What people and services see of workspaces, told over the memory bus."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops.chassis.bus_memory import MemoryBus, MemoryDocuments
from mlops.chassis.errors import RejectedError
from mlops.contracts.commands import CommandRefused
from mlops.contracts.datasets import DataSettings
from mlops.contracts.message import Message
from mlops.contracts.settings import ProjectSettings, ShareSettings
from mlops.contracts.workspaces import (
    ArchiveProject,
    ProjectArchived,
    ProjectRegistered,
    ProjectUpdated,
    RegisterProject,
    UpdateProject,
    WorkspaceProvisioned,
    WorkspaceRefused,
)
from mlops.workspaces.adapters.folders import LocalFolders
from mlops.workspaces.app import wire
from mlops.workspaces.handlers import Handlers
from mlops.workspaces.ports import Project

RAIN = ProjectSettings(name="rain")
HEAVY_RAIN = ProjectSettings(name="rain", share=ShareSettings(weight=2))
WITH_A_KEY = ProjectSettings(name="rain", data=DataSettings(remote="azure://c?sig=hunter2"))


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class StaleOnce(MemoryDocuments[Project]):
    """The documents as somebody sees them who looked before another wrote."""

    def __init__(self, documents: MemoryDocuments[Project], stale: Project | None) -> None:
        super().__init__(Project)
        self._kept = documents._kept
        self._stale = [stale]

    async def get(self, key: str) -> Project | None:
        return self._stale.pop() if self._stale else await super().get(key)


@pytest.fixture
def bus() -> MemoryBus:
    bus = MemoryBus()
    ticks: Iterator[datetime] = (
        datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=n) for n in range(10_000)
    )
    wire(bus, LocalFolders(), clock=lambda: next(ticks))
    return bus


async def tell(bus: MemoryBus, *messages: Message) -> None:
    for message in messages:
        await bus.publish(message)
        await bus.settle()


def facts(bus: MemoryBus) -> list[tuple[str, int]]:
    return [
        (m.type, m.revision)
        for m in bus.published
        if isinstance(m, ProjectRegistered | ProjectUpdated)
    ]


async def test_a_registered_project_is_told_and_known(bus: MemoryBus, tmp_path: Path) -> None:
    await tell(bus, RegisterProject(project="rain", settings=RAIN, path=str(tmp_path)))

    told = bus.published[-1]
    assert isinstance(told, ProjectRegistered)
    assert (told.settings, told.path, told.revision) == (RAIN, str(tmp_path), 1)
    answer = await bus.ask("workspaces", "get", {"project": "rain"})
    assert answer["project"]["state"] == "active"
    assert answer["project"]["settings"]["share"]["weight"] == 1.0


async def test_the_same_settings_again_tell_the_same_revision(bus: MemoryBus) -> None:
    await tell(bus, RegisterProject(project="rain", settings=RAIN))
    await tell(bus, RegisterProject(project="rain", settings=RAIN))

    assert facts(bus) == [("project.registered", 1), ("project.registered", 1)]


async def test_other_settings_are_an_update(bus: MemoryBus) -> None:
    await tell(bus, RegisterProject(project="rain", settings=RAIN))
    await tell(bus, RegisterProject(project="rain", settings=HEAVY_RAIN))
    await tell(bus, UpdateProject(project="rain", settings=RAIN))

    assert facts(bus) == [
        ("project.registered", 1),
        ("project.updated", 2),
        ("project.updated", 3),
    ]


async def test_an_update_without_a_path_keeps_the_folder(bus: MemoryBus, tmp_path: Path) -> None:
    await tell(bus, RegisterProject(project="rain", settings=RAIN, path=str(tmp_path)))
    await tell(bus, UpdateProject(project="rain", settings=HEAVY_RAIN))

    told = bus.published[-1]
    assert isinstance(told, ProjectUpdated)
    assert told.path == str(tmp_path)


async def test_an_archived_project_is_opened_by_registering_it_again(bus: MemoryBus) -> None:
    await tell(bus, RegisterProject(project="rain", settings=RAIN))
    await tell(bus, ArchiveProject(project="rain", reason="season over"))
    closed = await bus.ask("workspaces", "get", {"project": "rain"})
    await tell(bus, RegisterProject(project="rain", settings=RAIN))
    opened = await bus.ask("workspaces", "get", {"project": "rain"})

    assert (closed["project"]["state"], closed["project"]["archive_reason"]) == (
        "archived",
        "season over",
    )
    assert (opened["project"]["state"], opened["project"]["revision"]) == ("active", 2)
    assert [m.reason for m in bus.published if isinstance(m, ProjectArchived)] == ["season over"]


async def test_what_each_service_says_is_collected(bus: MemoryBus) -> None:
    await tell(
        bus,
        RegisterProject(project="rain", settings=RAIN),
        WorkspaceProvisioned(
            project="rain", component="tracking", names={"workspace": "rain"}, revision=1
        ),
        WorkspaceRefused(project="rain", component="serving", reason="no ray", revision=1),
    )

    answer = await bus.ask("workspaces", "list", {})
    [project] = answer["projects"]
    assert project["provisioned"]["tracking"]["names"] == {"workspace": "rain"}
    assert project["provisioned"]["serving"]["refusal"] == "no ray"


async def test_a_late_report_about_an_old_revision_changes_nothing(bus: MemoryBus) -> None:
    await tell(
        bus,
        RegisterProject(project="rain", settings=RAIN),
        WorkspaceProvisioned(project="rain", component="serving", names={"v": "2"}, revision=2),
        WorkspaceRefused(project="rain", component="serving", reason="too early", revision=1),
    )

    answer = await bus.ask("workspaces", "get", {"project": "rain"})
    assert answer["project"]["provisioned"]["serving"]["refusal"] is None


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (RegisterProject(project="sun", settings=RAIN), "of project 'rain'"),
        (RegisterProject(project="rain", settings=RAIN, path="rain"), "not absolute"),
        (RegisterProject(project="rain", settings=RAIN, path="/no/such"), "does not exist"),
        (RegisterProject(project="rain", settings=RAIN, path=__file__), "is not a folder"),
        (RegisterProject(project="rain", settings=RAIN, path="/a\0b"), "does not exist"),
        (RegisterProject(project="rain", settings=WITH_A_KEY), "must hold no credentials"),
        (UpdateProject(project="rain", settings=WITH_A_KEY), "must hold no credentials"),
        (UpdateProject(project="rain", settings=RAIN), "no project 'rain' is registered"),
        (ArchiveProject(project="rain"), "registered are: none yet"),
    ],
)
async def test_what_cannot_work_is_refused_with_the_reason(
    bus: MemoryBus, command: Message, said: str
) -> None:
    await tell(bus, command)

    refused = bus.published[-1]
    assert isinstance(refused, CommandRefused)
    assert said in refused.reason
    assert "hunter2" not in refused.reason
    assert (await bus.ask("workspaces", "list", {})) == {"projects": []}


async def test_an_archived_project_takes_no_update(bus: MemoryBus) -> None:
    await tell(
        bus,
        RegisterProject(project="rain", settings=RAIN),
        ArchiveProject(project="rain"),
        UpdateProject(project="rain", settings=HEAVY_RAIN),
    )

    refused = bus.published[-1]
    assert isinstance(refused, CommandRefused)
    assert "is archived" in refused.reason


async def test_a_redelivered_command_tells_the_same_fact_again(bus: MemoryBus) -> None:
    # As after a crash between the document's write and the publishing of what follows.
    documents = bus.documents("workspaces_projects", Project)
    first = RegisterProject(project="rain", settings=RAIN)
    second = RegisterProject(project="rain", settings=HEAVY_RAIN)
    await tell(bus, first, second)
    kept = await documents.get("rain")
    again = MemoryBus(_buckets=bus._buckets)
    wire(again, LocalFolders())

    await tell(again, second)

    assert [(m.type, m.id) for m in again.published] == [(m.type, m.id) for m in bus.published[-2:]]
    assert await documents.get("rain") == kept


@pytest.mark.parametrize("kind", [RegisterProject, UpdateProject])
async def test_a_redelivered_wish_does_not_open_a_project_that_was_closed_since(
    bus: MemoryBus, kind: type[RegisterProject | UpdateProject]
) -> None:
    wish = kind(project="rain", settings=HEAVY_RAIN)
    await tell(bus, RegisterProject(project="rain", settings=RAIN), wish)
    await tell(bus, ArchiveProject(project="rain"))
    again = MemoryBus(_buckets=bus._buckets)
    wire(again, LocalFolders())

    await tell(again, wish)

    assert [m.type for m in again.published] == [wish.type]


async def test_a_redelivered_closing_does_not_close_a_project_that_was_opened_since(
    bus: MemoryBus,
) -> None:
    closing = ArchiveProject(project="rain")
    opening = RegisterProject(project="rain", settings=RAIN)
    await tell(bus, RegisterProject(project="rain", settings=RAIN), closing, opening)
    again = MemoryBus(_buckets=bus._buckets)
    wire(again, LocalFolders())

    await tell(again, closing)

    assert [m.type for m in again.published] == [closing.type]


async def test_an_update_meets_the_project_as_it_is_when_it_is_written(
    bus: MemoryBus, tmp_path: Path
) -> None:
    # As when a registration from elsewhere, or a closing, is applied between the look and the write.
    await tell(bus, RegisterProject(project="rain", settings=RAIN, path="/"))
    documents = bus.documents("workspaces_projects", Project)
    stale = await documents.get("rain")
    await tell(bus, RegisterProject(project="rain", settings=RAIN, path=str(tmp_path)))
    handlers = Handlers(StaleOnce(documents, stale), LocalFolders(), lambda: NOON)

    [told] = await handlers.do_update_project(UpdateProject(project="rain", settings=HEAVY_RAIN))

    assert isinstance(told, ProjectUpdated)
    assert told.path == str(tmp_path)

    await tell(bus, ArchiveProject(project="rain"))
    handlers = Handlers(StaleOnce(documents, stale), LocalFolders(), lambda: NOON)
    with pytest.raises(RejectedError, match="is archived"):
        await handlers.do_update_project(UpdateProject(project="rain", settings=RAIN))


async def test_an_empty_path_is_no_path(bus: MemoryBus) -> None:
    await tell(bus, RegisterProject(project="rain", settings=RAIN, path=""))

    told = bus.published[-1]
    assert isinstance(told, ProjectRegistered)
    assert told.path is None


async def test_asking_for_an_unknown_project_says_which_there_are(bus: MemoryBus) -> None:
    await tell(bus, RegisterProject(project="rain", settings=RAIN))

    with pytest.raises(RejectedError, match="registered are: rain"):
        await bus.ask("workspaces", "get", {"project": "sun"})
