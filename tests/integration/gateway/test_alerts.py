# SPDX-License-Identifier: Apache-2.0
"""From a failed training to a person who has seen it: the command, the door, monitoring and a web hook, all real."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import httpx
import pytest

from integration.gateway.conftest import Platform
from mlops.chassis.bus_nats import NatsBus
from mlops.contracts.orchestration_bridge import WorkflowFailed, WorkflowKind
from servers.listeners import open_hook

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]


async def mlops(platform: Platform, *words: str) -> Any:
    """Run the command; return its JSON, or None where it failed."""
    env = os.environ | {"MLOPS_GATEWAY_URL": platform.url, "MLOPS_TOKEN": platform.token}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mlops.cli", *words, "--json"),
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await process.communicate()
    return json.loads(out) if process.returncode == 0 else None


async def alerts(platform: Platform) -> list[dict[str, Any]]:
    """Return the open alerts once there are any and all are told."""
    async with asyncio.timeout(60):
        while True:
            found = await mlops(platform, "alerts")
            if found and all(one["notices"] and one["notices"][0]["told_at"] for one in found):
                return list(found)
            await asyncio.sleep(0.2)


def page_of(platform: Platform) -> str:
    headers = {"Authorization": f"Bearer {platform.token}"}
    return httpx.get(platform.url, headers=headers).text


async def test_a_person_hears_of_trouble_and_says_that_it_was_seen(
    platform: Platform, bus: NatsBus
) -> None:
    async with open_hook() as hook:
        file = platform.home / "alerts.toml"
        file.touch(0o600)
        file.write_text(f'[channels.hook]\nwebhook = "{hook.url}/in"\ndefault = true\n')
        platform.start("monitoring")
        await bus.start()
        await bus.publish(
            WorkflowFailed(
                project="rainfall",
                workflow_key="rainfall-7",
                kind=WorkflowKind.RETRAIN,
                model="rain",
                diagnosis="out of memory",
            )
        )

        (alert,) = await alerts(platform)
        seen = await mlops(platform, "alerts", "ack", alert["alert_id"][:8], "--by", "ada")
        silenced = await mlops(platform, "alerts", "silence", "--for", "2h", "-p", "rainfall")
        (after,) = await mlops(platform, "alerts")
        channels = await mlops(platform, "alerts", "channels")
        tried = await mlops(platform, "alerts", "test", "hook")
        page = await asyncio.to_thread(page_of, platform)

    bodies = [json.loads(content) for _, _, content in hook.taken]
    assert [one["why"] for one in bodies] == ["raised", "test"]
    assert bodies[0]["dedup_key"] == alert["dedup_key"] == "rainfall.rain.training"
    assert bodies[1]["notice_id"] == tried["notice_id"]
    assert seen["events"][0]["data"] == {"alert_id": alert["alert_id"], "by": "ada"}
    assert silenced["events"][0]["type"] == "alert.silenced"
    assert (after["acknowledged_by"], after["silenced"]) == ("ada", True)
    assert [one["name"] for one in channels["channels"]] == ["log", "hook"]
    assert "retrain failed: out of memory" in page
    assert "told hook; seen by ada" in page
