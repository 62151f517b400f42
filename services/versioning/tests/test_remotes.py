# SPDX-License-Identifier: Apache-2.0
"""A remote that cannot be used is told once, after a while, and its return too; over the memory bus."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.errors import UnavailableError
from mlops.contracts.datasets import DataSettings
from mlops.contracts.message import Message
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.versioning import AddData, RemoteLost, RemoteRegained
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered, ProjectUpdated
from mlops.versioning.adapters import aside, dvc_reach
from mlops.versioning.adapters.differences import FileDifferences
from mlops.versioning.adapters.dvc_files import DvcFiles
from mlops.versioning.adapters.dvc_reach import DvcReach
from mlops.versioning.adapters.memory import MemoryDatasets, MemoryVersions
from mlops.versioning.app import wire
from mlops.versioning.handlers.errands import Errands
from mlops.versioning.handlers.remotes import EVERY, PATIENCE, RemoteWatch
from mlops.versioning.ports import LostRemote, Place

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class World:
    """A registered project, and a remote that is away when it is told to be."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, NOON
        self.away, self.moves, self.touched = "", False, list[str]()
        self.bus, self.versions = MemoryBus(), MemoryVersions()
        self.people = wire(
            self.bus,
            MemoryDatasets(),
            self.versions,
            FileDifferences(),
            Errands(),
            DvcFiles({}),
            remote_root="/remote",
            cache=str(folder / "cache"),
            clock=lambda: self.now,
        )
        self.start()

    def start(self) -> None:
        lost = self.bus.documents("versioning_remotes", LostRemote)
        self.watch = RemoteWatch(self.people.projects, self.versions, self, lost, lambda: self.now)

    async def touch(self, place: Place, _oid: str) -> bool:
        self.touched.append(place.remote)
        if self.away:
            raise UnavailableError(f"remote {place.remote}: {self.away}")
        return not self.moves

    async def look(self, after: timedelta = timedelta()) -> list[Message]:
        self.now += after
        return [message async for message in self.watch.look()]

    async def tell(self, message: Message) -> None:
        await self.bus.publish(message)
        await self.bus.settle()


@pytest.fixture
async def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    settings = ProjectSettings(name="rain")
    await world.tell(
        ProjectRegistered(
            project="rain", settings=settings, path=str(tmp_path), revision=1, time=NOON
        )
    )
    (tmp_path / "days.csv").write_text("1\n")
    await world.tell(AddData(project="rain", name="days", path="days.csv"))
    return world


async def test_what_is_away_for_a_moment_is_no_news(world: World) -> None:
    world.away = "away"
    first = await world.look()
    world.away = ""

    assert [*first, *await world.look(PATIENCE), *await world.look(EVERY)] == []


async def test_a_lost_remote_is_told_once_and_its_return_also_after_a_restart(
    world: World,
) -> None:
    world.away = "could not connect; check the network"
    before = [*await world.look(), *await world.look(PATIENCE / 2)]
    [lost] = await world.look(PATIENCE / 2)
    again = await world.look(PATIENCE)
    world.start()
    still = await world.look(EVERY)
    world.away = ""
    [regained] = await world.look(EVERY)

    assert (before, again, still, await world.look(EVERY)) == ([], [], [], [])
    assert isinstance(lost, RemoteLost)
    assert (lost.project, lost.remote, lost.lost_at) == ("rain", "/remote/rain", NOON)
    assert lost.reason == "remote /remote/rain: could not connect; check the network"
    assert isinstance(regained, RemoteRegained)
    assert regained.remote == "/remote/rain"


async def test_a_loss_that_was_told_but_not_noted_is_told_under_the_same_id(world: World) -> None:
    world.away = "away"
    await world.look()
    world.now += PATIENCE
    told = world.watch.look()
    first = await anext(told)
    await told.aclose()  # the process dies
    world.start()

    assert [one.id for one in await world.look()] == [first.id]


async def test_a_remote_that_is_well_is_looked_at_seldom(world: World) -> None:
    await world.look()
    await world.look(EVERY / 2)
    await world.look(EVERY / 2)

    assert len(world.touched) == 2


async def test_a_remote_that_is_lost_is_looked_at_more_and_more_seldom(world: World) -> None:
    world.away = "away"
    minute = timedelta(minutes=1)
    for _ in range(60):
        await world.look(minute)

    world.away = ""
    back = [one for _ in range(10) for one in await world.look(minute)]

    assert len(world.touched) == 13
    assert [type(one) for one in back] == [RemoteRegained]


async def test_a_remote_that_cannot_be_asked_is_neither_lost_nor_regained(world: World) -> None:
    world.moves = True
    unasked = [*await world.look(), *await world.look(EVERY)]
    world.away = "away"
    [lost] = [*await world.look(EVERY), *await world.look(PATIENCE)]
    world.away = ""

    assert unasked == []
    assert isinstance(lost, RemoteLost)
    assert await world.look(EVERY) == []


async def test_a_remote_that_its_project_needs_no_more_is_missed_no_more(world: World) -> None:
    world.away = "away"
    await world.look()
    await world.look(PATIENCE)

    await world.tell(ProjectArchived(project="rain", time=world.now))

    assert [type(one) for one in await world.look()] == [RemoteRegained]
    assert await world.look(EVERY) == []


async def test_a_remote_that_holds_no_version_yet_is_not_asked(world: World) -> None:
    world.away = "away"
    settings = ProjectSettings(name="snow", data=DataSettings(remote="s3://snow/x"))
    await world.tell(
        ProjectUpdated(
            project="snow", settings=settings, path=str(world.folder), revision=1, time=NOON
        )
    )
    await world.look()

    assert world.touched == ["/remote/rain"]


async def test_a_folder_is_asked_for_the_object_itself(tmp_path: Path) -> None:
    place = Place("rain", str(tmp_path), str(tmp_path / "remote"), str(tmp_path / "cache"))
    reach, oid = DvcReach({}), "ab" + "0" * 30
    with pytest.raises(UnavailableError, match="it is not there; mount it"):
        await reach.touch(place, oid)
    file = tmp_path / "remote" / "files" / "md5" / "ab" / ("0" * 30)
    file.parent.mkdir(parents=True)
    with pytest.raises(UnavailableError, match=f"lacks {oid}"):
        await reach.touch(place, oid)
    file.touch()

    assert await reach.touch(place, oid)
    await reach.close()


async def test_shares_that_never_answer_cost_no_thread_of_the_loop_and_one_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hang, begun = threading.Event(), list[str]()

    def look(remote: str, _oid: str) -> bool:
        begun.append(remote)
        return hang.wait()

    monkeypatch.setattr(dvc_reach, "_look", look)
    monkeypatch.setattr(aside, "_ANSWER_S", 0.01)
    reach = DvcReach({})
    shares = [f"/share/{number}" for number in range(40)]
    lost = [
        remote
        for remote in shares * 2
        if await is_lost(reach, Place("rain", "/rain", remote, "/cache"))
    ]
    still = await asyncio.wait_for(asyncio.to_thread(lambda: True), 20)
    hanging = [one for one in threading.enumerate() if one.name == "aside"]
    hang.set()

    assert (lost, sorted(begun), still) == (shares * 2, sorted(shares), True)
    # Who waits for a thread when it ends would never end.
    assert {one.daemon for one in hanging} == {True}
    assert await reach.touch(Place("rain", "/rain", shares[0], "/cache"), "ab" + "0" * 30)
    await reach.close()


async def is_lost(reach: DvcReach, place: Place) -> bool:
    try:
        return not await reach.touch(place, "ab" + "0" * 30)
    except UnavailableError as error:
        return "no answer within" in str(error)
