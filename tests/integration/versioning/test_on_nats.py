# SPDX-License-Identifier: Apache-2.0
"""Workspaces and versioning as processes on a real bus: a project is registered, its data versioned, and killed in between."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from mlops.chassis.bus_nats import NatsBus
from mlops.client.datasets import opening
from mlops.client.endpoints import Endpoints
from mlops.client.transport import Transport
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.versioning import AddData, RestoreData
from mlops.contracts.workspaces import RegisterProject
from servers.programs import free_port

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]

TOKEN = "correct-horse-battery-staple"
DVC = Path(sys.executable).with_name("dvc")


class Services:
    """Services of this test; ended with it."""

    def __init__(self, server: Any, home: Path) -> None:
        self._env = {
            **os.environ,
            "MLOPS_HOME": str(home),
            "NATS_URL": server.url,
            "NATS_TOKEN": server.token,
        }
        self._home = home
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        with (self._home / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", f"mlops.{name}"], env=self._env, stdout=log, stderr=log
            )

    def start_gateway(self) -> str:
        port = free_port()
        self._env |= {"GATEWAY_TOKEN": TOKEN, "MLOPS_HTTP_PORT": str(port)}
        self.start("gateway")
        return f"http://127.0.0.1:{port}"

    def kill(self, name: str) -> None:
        process = self._running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    def stop(self) -> None:
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            process.kill()


@pytest.fixture
def services(nats_server: Any, tmp_path: Path) -> Iterator[Services]:
    (tmp_path / "home").mkdir()
    services = Services(nats_server, tmp_path / "home")
    services.start("workspaces")
    services.start("versioning")
    yield services
    services.stop()


@pytest.fixture
async def bus(nats_server: Any) -> AsyncIterator[NatsBus]:
    bus = NatsBus(nats_server.url, token=nats_server.token, name="test")
    await bus.start()
    yield bus
    await bus.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rain").mkdir()
    return tmp_path / "rain"


async def said(bus: NatsBus, type_: str) -> list[dict[str, Any]]:
    return [m.envelope["data"] async for m in bus.follow([type_], "rain", live=False)]


async def heard(bus: NatsBus, type_: str, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(60):
        while len(found := await said(bus, type_)) < count:
            await asyncio.sleep(0.1)
    return found


async def register(bus: NatsBus, folder: Path) -> None:
    await bus.publish(
        RegisterProject(project="rain", settings=ProjectSettings(name="rain"), path=str(folder))
    )
    await heard(bus, "workspace.provisioned", 1)


@pytest.mark.usefixtures("services")
async def test_a_project_is_registered_and_its_data_go_back_and_forth(
    bus: NatsBus, folder: Path
) -> None:
    await register(bus, folder)
    for content in ("1\n", "1\n2\n"):
        (folder / "days.csv").write_text(content)
        await bus.publish(AddData(project="rain", name="days", path="days.csv"))
        await heard(bus, "data.versioned", len(content) // 2)
    await bus.publish(RestoreData(project="rain", name="days", version=1))
    [restored] = await heard(bus, "data.restored", 1)

    assert restored["version"] == 1
    assert (folder / "days.csv").read_text() == "1\n"
    project = (await bus.ask("workspaces", "get", {"project": "rain"}))["project"]
    assert project["provisioned"]["versioning"]["names"]["dvc_remote"].endswith("/remote/rain")
    versions = (await bus.ask("versioning", "versions", {"project": "rain"}))["versions"]
    assert [v["version"] for v in versions] == [1, 2]


async def test_kill_minus_nine_in_the_middle_loses_nothing_and_doubles_nothing(
    services: Services, bus: NatsBus, folder: Path
) -> None:
    await register(bus, folder)
    names = [f"part-{number}.bin" for number in range(8)]
    for name in names:
        (folder / name).write_bytes(os.urandom(4_000_000))
        await bus.publish(AddData(project="rain", path=name))
    for _ in range(3):
        await asyncio.sleep(0.7)
        services.kill("versioning")
        services.start("versioning")

    told = await heard(bus, "data.versioned", len(names))
    await asyncio.sleep(2)

    assert sorted(event["name"] for event in told) == names
    assert await said(bus, "data.versioned") == told
    versions = (await bus.ask("versioning", "versions", {"project": "rain"}))["versions"]
    assert [(v["name"], v["version"]) for v in versions] == [(name, 1) for name in names]
    assert await said(bus, "command.refused") == []


def by_hand(folder: Path, *words: str) -> None:
    """Run the `dvc` that people have."""
    own = {"HOME": str(folder.parent), "DVC_SITE_CACHE_DIR": str(folder.parent / "theirs")}
    env = {"PATH": os.environ["PATH"], "DVC_NO_ANALYTICS": "1", **own}
    subprocess.run([DVC, *words], cwd=folder, env=env, check=True, capture_output=True)


async def test_what_people_push_is_told_once_though_the_service_dies(
    services: Services, bus: NatsBus, folder: Path
) -> None:
    await register(bus, folder)
    for number in range(3):
        (folder / f"part-{number}.csv").write_text(f"day\n{number}\n")
        by_hand(folder, "add", f"part-{number}.csv")
        by_hand(folder, "push")
        services.kill("versioning")
        services.start("versioning")

    told = await heard(bus, "data.versioned", 3)
    services.kill("versioning")
    services.start("versioning")
    (folder / "last.csv").write_text("day\n9\n")
    by_hand(folder, "add", "last.csv")
    by_hand(folder, "push")
    told = await heard(bus, "data.versioned", 4)

    names = ["last.csv", "part-0.csv", "part-1.csv", "part-2.csv"]
    assert sorted(event["name"] for event in told) == names


async def test_versions_are_opened_and_compared_also_from_another_machine(
    services: Services,
    bus: NatsBus,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Another machine: it does not see the platform's cache, and half of the newest version was brought before.
    own = tmp_path / "own"
    monkeypatch.setenv("MLOPS_DATA_CACHE", str(own))
    url = services.start_gateway()
    await register(bus, folder)
    contents = ("day\n1\n", "day\n1\n2\n")
    for number, content in enumerate(contents, 1):
        (folder / "days.csv").write_text(content)
        await bus.publish(AddData(project="rain", name="days", path="days.csv"))
        await heard(bus, "data.versioned", number)
    asked = {"project": "rain", "name": "days"}

    answer = await ready(bus, "open", {**asked, "version": 1})
    differs = await ready(bus, "diff", {**asked, "before": "1", "after": "latest"})

    newest = await ready(bus, "open", asked)
    there = {**newest, "objects": "/on/another/machine"}
    draft = own / "files" / "md5" / newest["hash"][:2] / f"{newest['hash'][2:]}.part"
    draft.parent.mkdir(parents=True)
    draft.write_bytes(contents[1].encode()[:4])
    ranges: list[int] = []

    def get(
        found: Mapping[str, Any], address: str, offset: int
    ) -> AbstractContextManager[tuple[int, Iterator[bytes]]]:
        ranges.append(offset)
        wish = {**asked, "version": str(found["version"]), "hash": address}
        return gateway.stream("/api/v1/data/object", "open", wish, offset)

    gateway = Transport(Endpoints(url, TOKEN))
    here = opening.opened(lambda: answer, 1.0, get)
    brought = await asyncio.to_thread(opening.opened, lambda: there, 1.0, get)
    again = opening.opened(lambda: there, 1.0, get)
    gateway.close()

    assert here.table().to_pydict() == {"day": [1]}
    assert brought.bytes().tobytes() == again.bytes().tobytes() == contents[1].encode()
    assert brought.path().is_relative_to(own)
    # While the gateway starts it is asked again, always for what is missing.
    assert set(ranges) == {4}
    [table] = differs["tables"]
    assert (table["rows_before"], table["rows_after"], table["rows_added"]) == (1, 2, 1)


async def ready(bus: NatsBus, verb: str, question: dict[str, Any]) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while not (answer := await bus.ask("versioning", verb, question))["ready"]:
            await asyncio.sleep(0.1)
    return answer
