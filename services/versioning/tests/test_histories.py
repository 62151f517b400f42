# SPDX-License-Identifier: Apache-2.0
"""Any history with repeats ends in the versions of the plain history."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.message import Message
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.tracking import RunCompleted
from mlops.contracts.units import DatasetVersion
from mlops.contracts.versioning import AddData, AliasData, RemoveData, TagData
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered
from mlops.versioning.adapters.differences import FileDifferences
from mlops.versioning.adapters.dvc_files import DvcFiles
from mlops.versioning.adapters.memory import MemoryDatasets, MemoryVersions
from mlops.versioning.app import wire
from mlops.versioning.handlers.errands import Errands

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Step:
    """What stands in the file, and what is then told."""

    content: str
    message: Message


def steps(project: str) -> st.SearchStrategy[Step]:
    dataset = st.builds(DatasetVersion, name=st.just("days"), version=st.integers(1, 3))
    told: st.SearchStrategy[Message] = st.one_of(
        st.builds(
            AddData, project=st.just(project), name=st.just("days"), path=st.just("days.csv")
        ),
        st.builds(
            AliasData,
            project=st.just(project),
            name=st.just("days"),
            alias=st.sampled_from(["golden", "old"]),
            version=st.integers(1, 3),
        ),
        st.builds(
            TagData,
            project=st.just(project),
            name=st.just("days"),
            version=st.integers(1, 3),
            add=st.sampled_from([(), ("checked",)]),
            remove=st.sampled_from([(), ("checked",)]),
        ),
        st.builds(
            RemoveData,
            project=st.just(project),
            name=st.just("days"),
            version=st.integers(1, 3),
            force=st.booleans(),
        ),
        st.builds(ProjectArchived, project=st.just(project)),
        st.builds(
            RunCompleted,
            project=st.just(project),
            run_id=st.sampled_from(["r1", "r2"]),
            experiment_id=st.just("1"),
            datasets=st.tuples(dataset),
            time=st.just(NOON),
        ),
    )
    return st.builds(Step, content=st.sampled_from(["1", "2", "3"]), message=told)


async def versions_after(history: list[Step]) -> MemoryVersions:
    with tempfile.TemporaryDirectory() as folder:
        datasets, versions, kept = MemoryDatasets(), MemoryVersions(), MemoryBus()
        first = ProjectRegistered(
            project="rain",
            settings=ProjectSettings(name="rain"),
            path=folder,
            revision=1,
            time=NOON,
        )
        for step in [Step("0", first), *history]:
            Path(folder, "days.csv").write_text(step.content)  # noqa: ASYNC240 - a few bytes
            # A fresh bus each time, so that a repeat passes the bus's own memory of ids.
            bus = MemoryBus(_buckets=kept._buckets)
            wire(
                bus,
                datasets,
                versions,
                FileDifferences(),
                Errands(),
                DvcFiles({}),
                remote_root="/r",
                cache="/c",
                clock=lambda: NOON,
            )
            await bus.publish(step.message)
            await bus.settle()
        return versions


@settings(max_examples=60, deadline=None)
@given(
    history=st.lists(steps("rain"), max_size=8),
    repeats=st.lists(st.integers(0, 7), max_size=5),
    grown=st.sampled_from(["1", "4"]),
)
async def test_repeats_change_nothing(history: list[Step], repeats: list[int], grown: str) -> None:
    plain = await versions_after(history)

    # A command that comes again may meet a file that has changed since.
    repeated = await versions_after(
        [
            again
            for place, step in enumerate(history)
            for again in [step, *[Step(grown, step.message)] * repeats.count(place)]
        ]
    )

    assert repeated == plain
