# SPDX-License-Identifier: Apache-2.0
"""Any history with repeats ends in the state of the plain history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.message import Message
from mlops.contracts.settings import ProjectSettings, ShareSettings
from mlops.contracts.workspaces import (
    ArchiveProject,
    RegisterProject,
    UpdateProject,
    WorkspaceProvisioned,
    WorkspaceRefused,
)
from mlops.workspaces.adapters.folders import LocalFolders
from mlops.workspaces.app import wire
from mlops.workspaces.ports import Project

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def wishes(project: str) -> st.SearchStrategy[Message]:
    said = st.builds(
        lambda weight: ProjectSettings(name=project, share=ShareSettings(weight=weight)),
        st.sampled_from([1.0, 2.0]),
    )
    about = st.just(project)
    component = st.sampled_from(["tracking", "serving"])
    revision = st.integers(1, 4)
    at = st.integers(0, 60).map(lambda seconds: NOON + timedelta(seconds=seconds))
    return st.one_of(
        st.builds(RegisterProject, project=about, settings=said),
        st.builds(UpdateProject, project=about, settings=said),
        st.builds(ArchiveProject, project=about),
        st.builds(
            WorkspaceProvisioned, project=about, component=component, revision=revision, time=at
        ),
        st.builds(
            WorkspaceRefused,
            project=about,
            component=component,
            revision=revision,
            time=at,
            reason=st.just("no room"),
        ),
    )


async def state_after(history: list[Message]) -> dict[str, Project]:
    # A fresh bus for each delivery, so that a repeat passes the bus's own window and only the documents can help.
    kept = MemoryBus()
    for message in history:
        bus = MemoryBus(_buckets=kept._buckets)
        wire(bus, LocalFolders(), clock=lambda: NOON)
        await bus.publish(message)
        await bus.settle()
    return await kept.documents("workspaces_projects", Project).all()


@settings(max_examples=60, deadline=None)
@given(
    history=st.lists(st.sampled_from(["rain", "sun"]).flatmap(wishes), max_size=12),
    repeats=st.lists(st.integers(0, 11), max_size=6),
)
async def test_repeats_change_nothing(history: list[Message], repeats: list[int]) -> None:
    plain = await state_after(history)

    repeated = await state_after(
        [
            message
            for place, message in enumerate(history)
            for message in [message] * (1 + repeats.count(place))
        ]
    )

    assert repeated == plain


@settings(max_examples=60, deadline=None)
@given(history=st.lists(wishes("rain"), max_size=10), late=st.data())
async def test_a_message_that_comes_again_much_later_changes_nothing(
    history: list[Message], late: st.DataObject
) -> None:
    plain = await state_after(history)
    applied = [m for m in history if isinstance(m, RegisterProject)]
    again = late.draw(st.lists(st.sampled_from(applied), max_size=3) if applied else st.just([]))

    assert await state_after([*history, *again]) == plain
