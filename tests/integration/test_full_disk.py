# SPDX-License-Identifier: Apache-2.0
"""A disk that is really full: the error says so, nothing that was accepted is lost, and work goes on afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlops.chassis.bus import Delivery
from mlops.chassis.bus_nats import NatsBus
from mlops.chassis.errors import UnavailableError
from mlops.contracts.message import Message
from mlops.contracts.monitoring import AlertResolved
from mlops.versioning.adapters.dvc import DvcDatasets
from mlops.versioning.adapters.sqlite import SqliteVersions
from mlops.versioning.model import Content, Version
from mlops.versioning.ports import Place
from servers.disk import TinyDisk, tiny_disk
from servers.nats import PackagedNats

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]

VERSION = Version(
    "rain",
    "days",
    1,
    "days.csv",
    Content("a" * 32, 3, 1, "outs: []\n" * 2000),
    "/remote/rain",
    None,
    "run-1",
    datetime(2026, 1, 1, 12, tzinfo=UTC),
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[TinyDisk]:
    with tiny_disk(tmp_path / "disk", 24) as disk:
        yield disk


@pytest.fixture
def server(tmp_path: Path, disk: TinyDisk) -> Iterator[PackagedNats]:
    server = PackagedNats(tmp_path, store=disk.path / "store")
    yield server
    server.close()


@pytest.fixture
async def datasets(tmp_path: Path) -> AsyncIterator[DvcDatasets]:
    datasets = DvcDatasets(tmp_path / "state")
    yield datasets
    await datasets.close()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "rain").mkdir()
    return Place("rain", str(tmp_path / "rain"), str(tmp_path / "remote"), str(tmp_path / "cache"))


class Ear:
    def __init__(self) -> None:
        self.heard: list[str] = []

    async def __call__(self, message: Message) -> Sequence[Message]:
        self.heard.append(message.id)
        return []

    async def hears(self, *ids: str) -> None:
        async with asyncio.timeout(30):
            while not set(ids) <= set(self.heard):
                await asyncio.sleep(0.02)


def alert(number: int) -> AlertResolved:
    # Long, so that a few do not fit into what is left of a file's last page.
    return AlertResolved(project="rain", alert_id=f"a-{number}", id=f"m-{number}", reason="x" * 500)


@contextlib.asynccontextmanager
async def listening(server: Any, folder: Path) -> AsyncIterator[tuple[NatsBus, Ear]]:
    """A bus with its outbox in *folder*, and what it hears of itself."""
    bus, ear = (
        NatsBus(server.url, token=server.token, name="test", outbox=folder / "outbox.db"),
        Ear(),
    )
    bus.on("tracking", AlertResolved, ear, Delivery(concurrency=1))
    await bus.start()
    try:
        yield bus, ear
    finally:
        await bus.stop()


async def publish_all(bus: NatsBus, numbers: range) -> None:
    for number in numbers:
        await bus.publish(alert(number))


@pytest.mark.parametrize("part", ["cache", "remote"])
async def test_a_version_that_does_not_fit_is_whole_or_not_there(
    datasets: DvcDatasets, place: Place, disk: TinyDisk, part: str
) -> None:
    tiny = str(disk.path / part)
    small = replace(place, cache=tiny) if part == "cache" else replace(place, remote=tiny)
    content = os.urandom(6_000_000)
    await datasets.provision(small)
    (Path(place.folder) / "days.bin").write_bytes(content)
    disk.fill()

    with pytest.raises(UnavailableError, match=r"no space left.*free space") as refused:
        await datasets.snapshot(small, "days.bin")
    untouched = (Path(place.folder) / "days.bin").read_bytes()
    disk.free()
    held = await datasets.snapshot(small, "days.bin")
    (Path(place.folder) / "days.bin").unlink()
    await datasets.restore(small, "days.bin", held)

    assert str(disk.path) in str(refused.value)
    assert untouched == content
    assert (Path(place.folder) / "days.bin").read_bytes() == content


async def test_a_folder_that_fits_in_part_is_completed_later(
    datasets: DvcDatasets, place: Place, disk: TinyDisk, tmp_path: Path
) -> None:
    small = replace(place, cache=str(disk.path / "cache"))
    contents = {f"{number}.bin": os.urandom(1_000_000) for number in range(8)}
    (Path(place.folder) / "days").mkdir()
    for name, content in contents.items():
        (Path(place.folder) / "days" / name).write_bytes(content)
    await datasets.provision(small)
    (disk.path / "more").write_bytes(bytes(19_000_000))

    with pytest.raises(UnavailableError, match="no space left"):
        await datasets.snapshot(small, "days")
    (disk.path / "more").unlink()
    held = await datasets.snapshot(small, "days")
    elsewhere = replace(place, folder=str(tmp_path), cache=f"{place.cache}2")
    await datasets.restore(elsewhere, "days", held)

    restored = Path(elsewhere.folder) / "days"
    assert {name: (restored / name).read_bytes() for name in contents} == contents


async def test_a_registry_that_is_full_says_so_and_numbers_on_later(disk: TinyDisk) -> None:
    versions = SqliteVersions(disk.path / "versions.db")
    first = await versions.remember(VERSION, "command-1")
    disk.fill()

    with pytest.raises(UnavailableError, match=r"full.*free space") as refused:
        await versions.remember(replace(VERSION, path="other.csv"), "command-2")
    kept = await versions.known("rain")
    disk.free()
    second = await versions.remember(replace(VERSION, path="other.csv"), "command-2")
    await versions.close()

    assert str(disk.path) in str(refused.value)
    assert kept == [first]
    assert second.version == 2


async def test_an_outbox_that_is_full_refuses_and_keeps_what_it_took(
    nats_server: Any, disk: TinyDisk
) -> None:
    async with listening(nats_server, disk.path) as (bus, ear):
        nats_server.kill()
        await bus.publish(alert(1))
        disk.fill()

        with pytest.raises(UnavailableError, match=r"outbox .*full; free disk space") as refused:
            await publish_all(bus, range(2, 100))
        nats_server.start()
        await ear.hears("m-1")
        await asyncio.sleep(1)  # it must not be sent again and again, though it cannot be removed
        disk.free()
        await bus.publish(alert(100))
        await ear.hears("m-100")

    assert str(disk.path) in str(refused.value)
    assert len(ear.heard) == len(set(ear.heard))


async def test_a_bus_whose_disk_was_full_takes_everything_when_it_is_started_again(
    server: PackagedNats, tmp_path: Path, disk: TinyDisk
) -> None:
    async with listening(server, tmp_path) as (bus, ear):
        await bus.publish(alert(0))
        await ear.hears("m-0")
        disk.fill()

        await publish_all(bus, range(1, 40))
        disk.free()
        # A stream of nats-server that met a full disk takes nothing more until the server is started again.
        server.kill()
        server.start()
        await ear.hears(*(f"m-{number}" for number in range(40)))
        stored = [m.envelope["id"] async for m in bus.follow(["alert.resolved"], live=False)]

    # What was acknowledged while the disk was full may be delivered again; it is stored once.
    assert stored == [f"m-{number}" for number in range(40)]
