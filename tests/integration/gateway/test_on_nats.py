# SPDX-License-Identifier: Apache-2.0
"""The gateway as its own process on a real bus, beside real workspaces, asked by the real client."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from integration.gateway.conftest import Platform, Server
from mlops.chassis.bus_nats import NatsBus
from mlops.client import MLOpsClient
from mlops.client.errors import RefusedError
from mlops.contracts.serving import DeploymentCompleted

pytestmark = pytest.mark.server


def test_project_registered_by_the_client_survives_a_killed_gateway(
    platform: Platform, project: Path
) -> None:
    with MLOpsClient("rainfall", platform.endpoints, folder=project) as client:
        event = client.register()

        assert event["type"] == "project.registered"
        assert client.get_status()["projects"][0]["path"] == str(project)

        platform.kill("gateway")
        platform.start_gateway()

        assert client.get_status()["projects"][0]["state"] == "active"
        tree = client.explain(event["id"])["tree"]
        assert (tree["type"], tree["children"][0]["type"]) == (
            "cmd.project.register",
            "project.registered",
        )


def test_refusal_of_a_service_reaches_the_caller(platform: Platform, project: Path) -> None:
    with MLOpsClient("rainfall", platform.endpoints, folder=project) as client:
        command = client.command("cmd.project.archive", {})

        found = client.result(command, ("project.archived",), timeout_s=10)

    assert [one["type"] for one in found] == ["command.refused"]
    assert "mlops register" in found[0]["data"]["reason"]


def test_labels_of_an_unknown_project_are_refused_by_name(platform: Platform) -> None:
    with (
        MLOpsClient("rainfal", platform.endpoints) as client,
        pytest.raises(RefusedError, match="rainfal"),
    ):
        client.log_label("r1", 1, model="rain")


@pytest.fixture
async def replica() -> AsyncIterator[str]:
    """A real HTTP server that answers for every version."""

    async def answers(request: web.Request) -> web.StreamResponse:
        rows = (await request.json())["inputs"][0]["shape"][0]
        output = {"name": "p", "shape": [rows], "datatype": "INT64", "data": [1] * rows}
        return web.json_response({"model_version": "1", "outputs": [output]})

    app = web.Application()
    app.router.add_post("/one/v2/models/rain/infer", answers)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/one"
    await runner.cleanup()


async def roll_out(bus: NatsBus, url: str) -> None:
    """Speak as serving: answer for the routes, and tell of a rollout."""
    versions = [{"version": 1, "url": url, "weight": 1.0}]

    async def routes(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"routes": [{"project": "rainfall", "model": "rain", "versions": versions}]}

    bus.answer("serving", "routes", routes)
    await bus.start()
    done = DeploymentCompleted(
        project="rainfall", deployment_id="d", model="rain", version=1, endpoint="/v2"
    )
    await bus.publish(done)


async def test_prediction_reaches_a_replica_by_the_routes_of_serving(
    platform: Platform, bus: NatsBus, replica: str
) -> None:
    await roll_out(bus, replica)

    with MLOpsClient("rainfall", platform.endpoints) as client:
        found = await asyncio.to_thread(client.predict, {"t": [1.0, 2.0]}, model="rain")
        traffic = await bus.ask("gateway", "traffic", {})
        deployments = await asyncio.to_thread(client.list_deployments)

    assert found == [1, 1]
    assert traffic["versions"][0]["requests"] == 1
    assert deployments[0]["state"] == "completed"


async def test_predictions_go_on_while_the_bus_is_away_and_wishes_are_not_lost(
    platform: Platform, bus: NatsBus, replica: str, project: Path
) -> None:
    await roll_out(bus, replica)

    with MLOpsClient("rainfall", platform.endpoints, folder=project) as client:
        await asyncio.to_thread(client.predict, {"t": [1.0]}, model="rain")
        platform.nats.kill()
        without_bus = [
            await asyncio.to_thread(client.predict, {"t": [1.0]}, model="rain") for _ in range(20)
        ]
        settings = {"settings": {"name": "rainfall"}, "path": str(project)}
        wish = await asyncio.to_thread(client.command, "cmd.project.register", settings)
        platform.nats.start()
        types = ("project.registered",)
        found = await asyncio.to_thread(client.result, wish, types, 20)
        again = await asyncio.to_thread(client.predict, {"t": [1.0]}, model="rain")

    assert without_bus == [[1]] * 20
    assert [one["type"] for one in found] == ["project.registered"]
    assert again == [1]


async def test_gateway_killed_while_serving_is_away_sends_callers_where_they_went_before(
    platform: Platform, nats_server: Server, replica: str
) -> None:
    serving = NatsBus(nats_server.url, token=nats_server.token, name="serving")
    await roll_out(serving, replica)

    with MLOpsClient("rainfall", platform.endpoints) as client:
        before = await asyncio.to_thread(client.predict, {"t": [1.0]}, model="rain")
        await serving.stop()
        await asyncio.to_thread(platform.kill, "gateway")
        await asyncio.to_thread(platform.start_gateway)
        after = await asyncio.to_thread(client.predict, {"t": [1.0]}, model="rain")

    assert before == after == [1]


async def test_live_stream_resumes_after_the_gateway_was_killed(
    platform: Platform, project: Path
) -> None:
    headers = {"Authorization": f"Bearer {platform.token}"}
    heard: list[tuple[str, str]] = []

    def listen(most: int) -> None:
        last = {"Last-Event-ID": heard[-1][0]} if heard else {}
        with (
            httpx.Client(headers={**headers, **last}, timeout=20) as http,
            http.stream("GET", f"{platform.url}/api/v1/events/stream?type=cmd.*") as answer,
        ):
            event_id = ""
            for line in answer.iter_lines():
                if line.startswith("id: "):
                    event_id = line.removeprefix("id: ")
                if line.startswith("data: "):
                    heard.append((event_id, json.loads(line[6:])["id"]))
                    most -= 1
                if most == 0:
                    return

    with MLOpsClient("rainfall", platform.endpoints, folder=project) as client:
        listening = asyncio.create_task(asyncio.to_thread(listen, 1))
        await asyncio.sleep(0.5)
        sent = [await asyncio.to_thread(client.command, "cmd.workflow.start", {})]
        await listening
        await asyncio.to_thread(platform.kill, "gateway")
        await asyncio.to_thread(platform.start_gateway)
        sent += [await asyncio.to_thread(client.command, "cmd.workflow.start", {}) for _ in "ab"]
        await asyncio.to_thread(listen, 2)

    assert [command for _, command in heard] == sent


def test_gateway_stops_at_once_although_somebody_listens(platform: Platform) -> None:
    headers = {"Authorization": f"Bearer {platform.token}"}
    with (
        httpx.Client(headers=headers, timeout=20) as http,
        http.stream("GET", f"{platform.url}/api/v1/events/stream") as answer,
    ):
        assert answer.status_code == 200
        began = time.monotonic()
        process = platform.processes.pop("gateway")
        process.terminate()
        code = process.wait(20)

    assert code == 0
    assert time.monotonic() - began < 4


def test_settings_without_a_token_say_what_is_missing(nats_server: Server, tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "NATS_URL": nats_server.url, "MLOPS_HOME": str(tmp_path)}

    run = subprocess.run(
        [sys.executable, "-m", "mlops.gateway"],
        env=env,
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert run.returncode == 2
    assert "GATEWAY_TOKEN" in run.stderr
