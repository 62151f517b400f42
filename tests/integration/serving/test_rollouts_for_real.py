# SPDX-License-Identifier: Apache-2.0
"""Rollouts on a real Ray head, from a real MLflow, by the real service, under steady traffic."""

from __future__ import annotations

import asyncio
from typing import Any

import psutil
import pytest

from mlops.contracts.serving import PredictionLogged, RollbackModel

pytestmark = [
    pytest.mark.server,
    pytest.mark.mlflow,
    pytest.mark.ray,
    pytest.mark.timeout(300),
]


async def test_rolling_fails_no_request(project: Any, callers: Any) -> None:
    await project.register()
    first, second = project.log("skops", "cloudpickle")
    await project.serve(first)

    async with callers.flowing(callers.Traffic(project.name, project.weights)) as traffic:
        await asyncio.sleep(2)
        done = await project.serve(second)
        removed = await project.hear("deployment.removed", version=first)

    assert traffic.failed == []
    assert traffic.requests > 200
    assert set(traffic.answered) == {str(first), str(second)}
    assert done["data"]["previous_version"] == first
    assert removed["correlationid"] == done["correlationid"]
    assert await project.facts() == [
        *(f"v1 {fact}" for fact in FIRST),
        *(f"v2 {fact}" for fact in NEXT),
        "v1 removed",
    ]


FIRST = ["started", "progressed packed", "progressed warm", "progressed canary", "completed"]
NEXT = [*FIRST[:4], *FIRST[3:]]


async def test_a_model_that_cannot_load_fails_and_the_old_one_answers(
    project: Any, callers: Any
) -> None:
    await project.register()
    first, broken = project.log("skops", "broken")
    await project.serve(first)

    async with callers.flowing(callers.Traffic(project.name, project.weights)) as traffic:
        await project.promote(broken)
        failed = await project.hear("deployment.failed", version=broken)

    assert failed["data"]["phase"] == "starting"
    assert "No module named 'gone_module'" in failed["data"]["reason"]
    assert traffic.failed == []
    assert set(traffic.answered) == {str(first)}


async def test_a_version_that_is_not_registered_fails_with_the_reason(project: Any) -> None:
    await project.register()
    project.log("skops")

    await project.promote(99)
    failed = await project.hear("deployment.failed", version=99)

    assert failed["data"]["phase"] == "packing"
    assert "version 99 of" in failed["data"]["reason"]


async def test_the_service_killed_in_mid_rollout_ends_it_without_a_repeat(
    project: Any, callers: Any, serving: Any
) -> None:
    await project.register(step_hold="3s")
    first, second = project.log("skops", "cloudpickle")
    await project.serve(first)

    async with callers.flowing(callers.Traffic(project.name, project.weights)) as traffic:
        await project.promote(second)
        await project.hear("deployment.progressed", version=second)
        serving.kill()
        serving.start()
        await project.hear("deployment.completed", version=second)
        await project.hear("deployment.removed", version=first)

    assert traffic.failed == []
    assert (await project.facts())[len(FIRST) :] == [*(f"v2 {one}" for one in NEXT), "v1 removed"]


async def test_a_rollback_serves_the_version_before(project: Any) -> None:
    await project.register(step_hold="100ms")
    first, second = project.log("skops", "cloudpickle")
    await project.serve(first)
    await project.serve(second)

    await project.bus.publish(RollbackModel(project=project.name, model=project.name))
    await project.hear("deployment.removed", version=second)

    [url] = await project.weights()
    assert url.endswith(f"/v{first}")


async def test_predictions_reach_the_bus_even_when_it_was_away(
    project: Any, callers: Any, shared_nats: Any
) -> None:
    await project.register()
    [version] = project.log("skops")
    await project.serve(version)
    [url] = await project.weights()

    shared_nats.kill()
    one, many = await asyncio.to_thread(callers.ask_two, url, project.name)
    await asyncio.sleep(1)  # longer than a batch waits: it goes to the replica's outbox
    shared_nats.start()

    assert (one[0], many[0]) == (200, 200)
    logged = await logged_rows(project, 3)
    assert [row["request_id"] for row in logged] == ["one", "many:0", "many:1"]
    assert [row["prediction"] for row in logged] == [1, 1, 0]
    assert logged[2]["features"] == {"temperature": 0.1, "dew_point": 0.2, "visibility": 0.3}


async def logged_rows(project: Any, count: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        async for one in project.bus.follow([PredictionLogged.type], project.name):
            rows += one.envelope["data"]["predictions"]
            if len(rows) >= count:
                break
    return rows


async def test_a_head_that_was_killed_gets_everything_back(
    project: Any, callers: Any, ray: Any
) -> None:
    await project.register()
    [version] = project.log("skops")
    await project.serve(version)
    [url] = await project.weights()

    await asyncio.to_thread(ray.kill)
    await asyncio.to_thread(ray.stop)  # as who looks after it would: what it has left goes
    assert callers.pid_at(url) is None
    await asyncio.to_thread(ray.start)

    async with asyncio.timeout(90):
        while await asyncio.to_thread(callers.pid_at, url) is None:
            await asyncio.sleep(0.2)
    assert await project.weights() == {url: 1.0}
    async with asyncio.timeout(30):
        while "v1 progressed recovered" not in await project.facts():
            await asyncio.sleep(0.5)
    assert "v1 progressed lost" in await project.facts()


def listening_of(one: psutil.Process) -> list[tuple[str, str]]:
    """Return the process's name and each address where it listens; none when it has just ended."""
    try:
        name, places = one.name(), one.net_connections("inet")
    except psutil.NoSuchProcess:
        return []
    return [(name, place.laddr.ip) for place in places if place.status == psutil.CONN_LISTEN]


async def test_nothing_listens_beyond_this_machine(project: Any, ray: Any) -> None:
    await project.register()
    [version] = project.log("skops")
    await project.serve(version)

    listening = [place for one in ray.processes() for place in listening_of(one)]

    assert {"haproxy", "gcs_server", "raylet"} <= {name for name, _ in listening}
    open_wide = [
        found for found in listening if found[1] not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    ]
    assert open_wide == []
    doors = [one for one in (ray.folder / "haproxy").rglob("*") if one.is_socket()]
    assert any("admin" in one.name for one in doors)
    assert all(one.stat().st_mode & 0o077 == 0 for one in doors if "admin" in one.name)
