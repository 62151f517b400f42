# SPDX-License-Identifier: Apache-2.0
"""Serving without HAProxy, as on macOS: every version answers at its replica's own port, which moves."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import UTC, datetime
from typing import Any

import psutil
import pytest

from mlops.contracts.telemetry_agent import ThermalRecovered, ThermalThrottled

pytestmark = [
    pytest.mark.server,
    pytest.mark.mlflow,
    pytest.mark.ray,
    pytest.mark.timeout(400),
]


async def test_versions_answer_at_their_own_ports_through_rollout_kills_and_restarts(
    direct: Any, callers: Any
) -> None:
    project = direct.project
    await project.register()
    first, second = project.log("skops", "cloudpickle")
    await project.serve(first, within_s=180)
    [old] = await project.weights()

    async with callers.flowing(callers.Traffic(project.name, project.weights)) as traffic:
        await project.serve(second, within_s=180)
        await project.hear("deployment.removed", version=first)
        direct.serving.kill()
        direct.serving.start()
        seen = await weights_after_restart(project)

    assert traffic.failed == []
    assert set(traffic.answered) == {str(first), str(second)}
    [new] = await project.weights()
    assert new.rpartition("/")[2] == f"v{second}"
    assert new.partition("/direct")[0] not in (old.partition("/direct")[0], direct.ray.url)
    assert seen == {new: 1.0}

    await heat_changes_no_port(project, callers, new)
    await killed_replica_is_found_again(project, callers, new)
    assert open_wide(direct.ray) == []


async def weights_after_restart(project: Any) -> dict[str, float]:
    """Return the first routes that the new process tells; until then it tells none."""
    async with asyncio.timeout(60):
        while True:
            try:
                found: dict[str, float] = await project.weights()
            except Exception:  # noqa: BLE001 - not up, or it has not looked: both refuse to answer
                await asyncio.sleep(0.1)
            else:
                return found


async def heat_changes_no_port(project: Any, callers: Any, url: str) -> None:
    """Slow it down and let it recover under traffic; Ray takes it out of its own books for a moment each time."""
    said = {"node": "n", "episode_id": "n-1", "since": datetime.now(UTC)}
    pid = await asyncio.to_thread(callers.pid_at, url)

    async with callers.flowing(callers.Traffic(project.name, project.weights)) as traffic:
        await project.bus.publish(ThermalThrottled(**said, level=3, reason="hot"))
        await until_concurrency(callers, url, 2)
        await asyncio.sleep(8)  # until Ray has been told by a sidecar that had left
        await project.bus.publish(ThermalRecovered(**said, level=0, peak_level=3, duration_s=1))
        await until_concurrency(callers, url, 8)
        await asyncio.sleep(3)

    assert traffic.failed == []
    assert await project.weights() == {url: 1.0}
    assert await asyncio.to_thread(callers.pid_at, url) == pid


async def until_concurrency(callers: Any, url: str, wanted: int) -> None:
    async with asyncio.timeout(60):
        while (await asyncio.to_thread(callers.ask, f"{url}/v2"))[1]["concurrency"] != wanted:
            await asyncio.sleep(0.05)


async def killed_replica_is_found_again(project: Any, callers: Any, url: str) -> None:
    pid = await asyncio.to_thread(callers.pid_at, url)

    os.kill(pid, signal.SIGKILL)

    async with asyncio.timeout(90):
        while True:
            urls = list(await project.weights())
            new = await asyncio.to_thread(callers.pid_at, urls[0]) if urls else None
            if new not in (None, pid):
                return
            await asyncio.sleep(0.2)


def open_wide(ray: Any) -> list[tuple[str, str]]:
    return [
        (one.name(), place.laddr.ip)
        for one in ray.processes()
        for place in one.net_connections("inet")
        if place.status == psutil.CONN_LISTEN
        and place.laddr.ip not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    ]
