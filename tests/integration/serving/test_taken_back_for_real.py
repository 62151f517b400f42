# SPDX-License-Identifier: Apache-2.0
"""What fails comes back by itself, and nobody who asks through the gateway notices: kills, damage, hunger, sleep."""

from __future__ import annotations

import asyncio
import http
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlops.contracts.settings import ProjectSettings, ServeSettings
from mlops.contracts.workspaces import ProjectUpdated

pytestmark = [
    pytest.mark.server,
    pytest.mark.mlflow,
    pytest.mark.ray,
    pytest.mark.timeout(400),
]


async def phase(project: Any, wanted: str, within_s: float = 90, **also: Any) -> dict[str, Any]:
    """Return what was, or will be, told first of a phase, with these words in it."""
    async with asyncio.timeout(within_s):
        async for one in project.bus.follow(("deployment.progressed",), project.name):
            told = dict(one.envelope["data"])
            if told["phase"] == wanted and also.items() <= told.items():
                return told
    raise AssertionError


async def pids(callers: Any, url: str, count: int) -> set[int]:
    """Return the processes of all *count* replicas behind a door."""
    found: set[int] = set()
    async with asyncio.timeout(60):
        while len(found) < count:
            pid = await asyncio.to_thread(callers.pid_at, url)
            found |= {pid} if pid else set()
    return found


def through(gateway: Any, callers: Any, project: Any, **changes: Any) -> Any:
    calm = {"per_second": 10.0, "patience_s": 30.0, **changes}
    traffic = callers.Traffic(project.name, gateway.weights, headers=gateway.headers, **calm)
    return callers.flowing(traffic)


def row(callers: Any, temperature: float) -> dict[str, Any]:
    inputs = callers.columns(temperature=[temperature], dew_point=[0.1], visibility=[0.5])
    return {"id": "one", "inputs": inputs}


async def test_one_of_two_replicas_killed_and_then_the_door_fail_no_request(
    project: Any, callers: Any, gateway: Any, ray: Any
) -> None:
    await project.register(min_replicas=2, max_replicas=2, max_queue=1000)
    [version] = project.log("skops")
    await project.serve(version)
    [url] = await project.weights()
    two = await pids(callers, url, 2)

    async with through(gateway, callers, project) as traffic:
        await asyncio.sleep(1)
        os.kill(two.pop(), signal.SIGKILL)
        lost = await phase(project, "lost")
        await phase(project, "recovered")

    assert traffic.failed == []
    assert traffic.requests > 50
    assert lost["version"] == version
    assert "has died" in lost["reason"] or "1 of at least 2" in lost["reason"]
    [door] = [one for one in ray.processes() if one.name() == "haproxy"][:1]
    os.kill(door.pid, signal.SIGKILL)
    assert len(await pids(callers, url, 2)) == 2


async def test_the_only_replica_killed_makes_callers_wait_and_fails_no_request(
    project: Any, callers: Any, gateway: Any
) -> None:
    await project.register()
    [version] = project.log("skops")
    await project.serve(version)
    [url] = await project.weights()
    [pid] = await pids(callers, url, 1)

    async with through(gateway, callers, project, patience_s=60.0) as traffic:
        await asyncio.sleep(1)
        os.kill(pid, signal.SIGKILL)
        await phase(project, "recovered")
        await asyncio.sleep(2)

    assert traffic.failed == []
    assert traffic.answered[str(version)] > 30
    assert await pids(callers, url, 1) != {pid}


async def test_hunger_fails_alone_and_a_damaged_package_is_made_anew_when_its_replica_dies(
    project: Any, callers: Any, home: Path
) -> None:
    await project.register(memory_gb=0.5)
    [version] = project.log("hungry")
    await project.serve(version)
    [url] = await project.weights()
    [pid] = await pids(callers, url, 1)
    path = f"{url}/v2/models/{project.name}/infer"

    hungry = await asyncio.to_thread(callers.ask, path, row(callers, 101.0))
    modest = await asyncio.to_thread(callers.ask, path, row(callers, 1.0))

    assert hungry[0] == http.HTTPStatus.INSUFFICIENT_STORAGE
    assert modest[0] == 200
    assert await pids(callers, url, 1) == {pid}

    damage(home, project.name)
    os.kill(pid, signal.SIGKILL)
    await phase(project, "lost")
    await phase(project, "recovered", within_s=150)
    assert (await asyncio.to_thread(callers.ask, path, row(callers, 1.0)))[0] == 200


def damage(home: Path, project: str) -> None:
    """Cut the files of a project's model short."""
    found = [one for one in (home / "bentoml" / "models").rglob("*") if project in str(one)]
    files = [one for one in found if one.suffix in (".pkl", ".skops") and one.is_file()]
    assert files
    for one in files:
        one.write_bytes(one.read_bytes()[:100])


async def test_a_model_sleeps_wakes_and_scales_without_a_failed_request(
    project: Any, callers: Any, gateway: Any
) -> None:
    await project.register(min_replicas=0, max_replicas=2, sleep_after="4s")
    [version] = project.log("slower")
    await project.serve(version)
    asleep = await phase(project, "asleep")
    async with asyncio.timeout(60):
        while await applications(project):
            await asyncio.sleep(0.2)

    async with through(gateway, callers, project, patience_s=90.0) as traffic:
        awake = await phase(project, "awake")
        more = await phase(project, "scaled", replicas=2)
        await project.bus.publish(settings(project, max_replicas=1))
        fewer = await phase(project, "scaled", replicas=1)

    assert asleep["reason"] == "nobody asked for 4 s"
    assert awake["reason"].startswith("asked for by a request; it answers after")
    assert more["reason"].startswith("from 1 to 2 replicas;")
    assert fewer["reason"].startswith("from 2 to 1 replicas;")
    assert traffic.failed == []
    assert traffic.answered[str(version)] > 50


async def applications(project: Any) -> list[str]:
    """Return which versions of a project hold memory."""
    room = (await project.bus.ask("serving", "list", {}))["room"]
    return [name for name in room["held"] if name.startswith(f"{project.name}.")]


def settings(project: Any, **serve: Any) -> ProjectUpdated:
    wished = ServeSettings(model=project.name, allow_pickle=True, **serve)
    news = ProjectSettings(name=project.name, serve=wished)
    return ProjectUpdated(project=project.name, settings=news, revision=2)


async def test_what_others_run_on_the_same_cluster_goes_on(
    project: Any, callers: Any, ray: Any, tmp_path: Path
) -> None:
    script = tmp_path / "theirs.py"
    script.write_text(THEIRS)
    await asyncio.to_thread(theirs, script, ray, "run")
    await project.register()
    [version] = project.log("skops")

    await project.serve(version)

    assert await asyncio.to_thread(callers.ask, f"{ray.url}/theirs") == (200, {"of": "others"})
    assert len(await applications(project)) == 1
    await asyncio.to_thread(theirs, script, ray, "delete")


THEIRS = """
import sys, ray
from ray import serve

@serve.deployment(ray_actor_options={"num_cpus": 0})
class Theirs:
    async def __call__(self, request):
        return {"of": "others"}

ray.init(address=sys.argv[1], namespace="serve", log_to_driver=False)
if sys.argv[2] == "run":
    serve.run(Theirs.bind(), name="theirs", route_prefix="/theirs")
else:
    serve.delete("theirs")
"""


def theirs(script: Path, ray: Any, verb: str) -> None:
    """Do as somebody does who knows nothing of us: run or delete an application on the cluster."""
    command = [sys.executable, str(script), ray.address, verb]
    subprocess.run(command, env=ray.environment(), check=True, timeout=120, capture_output=True)
