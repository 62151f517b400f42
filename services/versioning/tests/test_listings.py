# SPDX-License-Identifier: Apache-2.0
"""What a version consists of is told in pages, and where one of its objects lies; of nobody else's."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.errors import RejectedError
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.versioning import AddData, RemoveData
from mlops.contracts.workspaces import ProjectRegistered
from mlops.versioning.adapters.differences import FileDifferences
from mlops.versioning.adapters.dvc_files import DvcFiles
from mlops.versioning.adapters.memory import MemoryDatasets, MemoryVersions
from mlops.versioning.app import wire
from mlops.versioning.handlers.errands import Errands
from mlops.versioning.handlers.listings import Listing

NAMES = [f"{number:03}.txt" for number in range(25)]


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[MemoryBus]:
    """Two projects: in each of them `days`, a folder, whose files differ."""
    bus, errands = MemoryBus(), Errands()
    wire(
        bus,
        MemoryDatasets(),
        MemoryVersions(),
        FileDifferences(),
        errands,
        DvcFiles({}),
        remote_root="/remote",
        cache=str(tmp_path / "cache"),
    )
    for project in ("rain", "snow"):
        folder = tmp_path / project
        (folder / "days").mkdir(parents=True)
        for name in NAMES:
            (folder / "days" / name).write_text(f"{project} {name}")
        settings = ProjectSettings(name=project)
        await bus.publish(
            ProjectRegistered(project=project, settings=settings, path=str(folder), revision=1)
        )
        await bus.publish(AddData(project=project, name="days", path="days"))
    await bus.settle()
    yield bus
    await errands.close()


def address(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


async def test_the_files_of_a_version_are_told_in_pages(bus: MemoryBus) -> None:
    found: list[dict[str, str]] = []
    question: dict[str, object] = {"project": "rain", "name": "days", "limit": "10"}
    sizes = []
    while True:
        page = await bus.ask("versioning", "files", question)
        found += page["listed"]
        sizes.append(len(page["listed"]))
        if page["next"] is None:
            break
        question["after"] = page["next"]

    assert sizes == [10, 10, 5]
    assert [one["path"] for one in found] == NAMES
    assert found[3]["hash"] == address("rain 003.txt")
    assert (page["version"], page["files"]) == (1, 25)


async def test_an_object_of_a_version_is_found_and_no_others(bus: MemoryBus) -> None:
    asked = {"project": "rain", "name": "days", "version": "1"}
    listing = (await bus.ask("versioning", "open", asked))["hash"]

    for wanted in (address("rain 003.txt"), listing):
        found = await bus.ask("versioning", "object", {**asked, "hash": wanted})
        assert Path(found["place"]).parts[-2:] == (wanted[:2], wanted[2:])
    for wanted in (address("snow 003.txt"), "../../secret", "", "/etc/passwd"):
        with pytest.raises(RejectedError, match="has no content"):
            await bus.ask("versioning", "object", {**asked, "hash": wanted})


async def test_objects_of_a_version_that_was_given_up_are_told_no_more(bus: MemoryBus) -> None:
    asked = {"project": "rain", "name": "days", "hash": address("rain 003.txt")}
    await bus.ask("versioning", "object", asked)

    await bus.publish(RemoveData(project="rain", name="days", version=1))
    await bus.settle()

    with pytest.raises(RejectedError, match="has no dataset 'days'"):
        await bus.ask("versioning", "object", asked)


@pytest.mark.parametrize("limit", ["0", "1001", "many", "-1"])
async def test_a_page_that_cannot_be_is_refused(bus: MemoryBus, limit: str) -> None:
    with pytest.raises(RejectedError, match="limit must be"):
        await bus.ask("versioning", "files", {"project": "rain", "name": "days", "limit": limit})


def test_a_page_fits_into_an_answer_however_long_names_are() -> None:
    names = tuple(f"{number:04}{'x' * 4000}" for number in range(100))
    listing = Listing("/cache", names, ("a" * 32,) * 100, frozenset())

    page = listing.page(None, 100)

    assert 1 < len(page) < 60
    assert listing.page(page[-1][0], 1)[0][0] == names[len(page)]
