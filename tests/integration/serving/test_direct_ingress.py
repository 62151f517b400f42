# SPDX-License-Identifier: Apache-2.0
"""Serving without HAProxy, as on macOS: every version answers at its replica's own port, which moves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest

from mlops.chassis.tokens import Tokens
from mlops.contracts.telemetry_agent import ThermalRecovered, ThermalThrottled

pytestmark = [
    pytest.mark.server,
    pytest.mark.mlflow,
    pytest.mark.ray,
    pytest.mark.timeout(400),
]
SECRET = "the-installation-s-own-token"


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
    assert new.partition(f"/{project.name}")[0] not in (
        old.partition(f"/{project.name}")[0],
        direct.ray.url,
    )
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


@pytest.fixture
def secret(house: Any) -> Iterator[str]:
    """The secret of tokens, for replicas that begin now."""
    credentials = house.serving.home / "credentials.json"
    credentials.write_text(json.dumps({"gateway_token": SECRET}))
    yield SECRET
    credentials.unlink()


async def test_a_replica_judges_tokens_itself(direct: Any, callers: Any, secret: str) -> None:
    project = direct.project
    await project.register()
    [version] = project.log("skops")
    await project.serve(version)
    [url] = await project.weights()

    path = f"{url}/v2/models/{project.name}/infer"
    found = {
        name: (await asyncio.to_thread(callers.ask, path, row(callers, 0.9), header))[0]
        for name, header in tokens(project.name, secret).items()
    }

    assert found == {"none": 401, "wrong": 401, "late": 401, "other": 403, "own": 200, "all": 200}
    assert (await asyncio.to_thread(callers.ask, f"{url}/v2"))[0] == 401
    ready = await asyncio.to_thread(callers.ask, f"{url}/v2/models/{project.name}/ready")
    assert ready[0] == 200


def tokens(project: str, secret: str) -> dict[str, dict[str, str]]:
    now, lasts = datetime.now(UTC), timedelta(hours=1)
    made = Tokens(secret)
    shown = {
        "wrong": Tokens("another").sign("ana", [project], ["infer"], now, lasts),
        "late": made.sign("ana", [project], ["infer"], now - 2 * lasts, lasts),
        "other": made.sign("ana", ["other"], ["infer"], now, lasts),
        "own": made.sign("ana", [project], ["infer"], now, lasts),
        "all": secret,
    }
    return {"none": {}} | {
        name: {"Authorization": f"Bearer {token}"} for name, token in shown.items()
    }


def row(callers: Any, temperature: float) -> dict[str, Any]:
    inputs = callers.columns(temperature=[temperature], dew_point=[0.1], visibility=[0.5])
    return {"id": "one", "inputs": inputs}


async def test_a_model_that_hangs_is_replaced_while_another_is_asked(
    direct: Any, callers: Any
) -> None:
    project, other = direct.project, direct.beside
    for one in (project, other):
        await one.register()
    [hangs], [good] = project.log("hangs"), other.log("skops")
    await other.serve(good)
    await project.serve(hangs)
    [url] = await project.weights()
    pid = await asyncio.to_thread(callers.pid_at, url)
    path = f"{url}/v2/models/{project.name}/infer"

    async with callers.flowing(callers.Traffic(other.name, other.weights)) as traffic:
        hung = await asyncio.gather(
            *(asyncio.to_thread(callers.ask, path, row(callers, 101.0)) for _ in range(9))
        )
        lost = await project.hear_phase("lost")
        back = await project.hear_phase("recovered")

    # Eight are computed at once; the ninth waits for a turn as long.
    assert Counter(status for status, _ in hung) == {504: 8, 429: 1}
    assert {told["error"].partition(";")[0] for status, told in hung if status == 504} == {
        "the model did not answer within 4 s"
    }
    assert lost["version"] == back["version"] == hangs
    assert "died and was replaced" in lost["reason"] or "replicas answer" in lost["reason"]
    [url] = await project.weights()
    assert await asyncio.to_thread(callers.pid_at, url) not in (None, pid)
    path = f"{url}/v2/models/{project.name}/infer"
    assert (await asyncio.to_thread(callers.ask, path, row(callers, 1.0)))[0] == 200
    assert traffic.failed == []
    assert set(traffic.answered) == {str(good)}
