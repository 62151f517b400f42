# SPDX-License-Identifier: Apache-2.0
"""What is watched of a project: from its registration to its archiving, in whatever order the news come."""

from __future__ import annotations

from typing import Any

from mlops.contracts.monitoring import PerformanceMeasured
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered, WorkspaceProvisioned

WINDOW = 250


async def test_an_archived_project_is_watched_no_longer(world: Any) -> None:
    await world.register()
    await world.deploy(accuracy=0.9)
    await world.tell(ProjectArchived(project="rainfall"))

    await world.window(right=0.5)

    assert world.heard(PerformanceMeasured) == []


async def test_labels_of_an_archived_project_tell_nothing(world: Any) -> None:
    await world.register()
    await world.deploy(accuracy=0.9)
    ids = await world.predict(WINDOW)
    await world.tell(ProjectArchived(project="rainfall"))

    await world.label(ids, right=0.5)

    assert world.heard(PerformanceMeasured) == []


async def test_news_of_a_project_that_come_late_change_nothing(world: Any) -> None:
    await world.register()
    (registered,) = world.heard(ProjectRegistered)
    archived = ProjectArchived(project="rainfall")
    await world.tell(archived)
    await world.tell(registered.model_copy(update={"id": "late"}))
    await world.deploy(accuracy=0.9)
    await world.window()
    closed = list(world.heard(PerformanceMeasured))

    await world.register(revision=2)
    await world.tell(archived.model_copy(update={"id": "late too"}))
    await world.window()

    assert closed == []
    assert len(world.heard(PerformanceMeasured)) == 1


async def test_a_project_is_told_what_was_made_for_it(world: Any) -> None:
    await world.register()

    (told,) = world.heard(WorkspaceProvisioned)
    assert (told.component, told.revision) == ("monitoring", 1)
    assert told.names == {
        "reports": "memory:///rainfall",
        "evidently_projects": "rainfall / <model>",
        "performance": "accuracy",
    }
