# SPDX-License-Identifier: Apache-2.0
"""From the wish for a report to its page in a browser: the command, the door, the bus and monitoring, all real."""

from __future__ import annotations

import asyncio
import os
import sys

import httpx
import pytest

from integration.gateway.conftest import Platform
from mlops.chassis.bus_nats import NatsBus
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.workspaces import ProjectRegistered

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]


async def report(platform: Platform, *words: str) -> str:
    """Return what `mlops report` says once the project is known."""
    env = os.environ | {"MLOPS_GATEWAY_URL": platform.url, "MLOPS_TOKEN": platform.token}
    async with asyncio.timeout(90):
        while True:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "mlops.cli", "report", *words),
                env=env,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            out, _ = await process.communicate()
            if process.returncode == 0:
                return out.decode()
            await asyncio.sleep(0.2)


async def test_a_report_is_opened_where_the_command_says(platform: Platform, bus: NatsBus) -> None:
    large = platform.home / "reports" / "rain" / "rain" / "v1-w00001-drift.html"
    large.parent.mkdir(parents=True)
    large.write_bytes(b"<!doctype html>" + bytes(range(32, 127)) * 20_000)
    platform.start("monitoring", MLOPS_PUBLIC_URL=platform.url)
    await bus.start()
    settings = ProjectSettings(name="rain")
    await bus.publish(ProjectRegistered(project="rain", settings=settings, revision=1))

    *_, address = (await report(platform, "-p", "rain")).split()
    headers = {"Authorization": f"Bearer {platform.token}"}
    async with httpx.AsyncClient(headers=headers, timeout=30) as client:
        page = await client.get(address)
        listed = (await client.get(f"{platform.url}/api/v1/reports")).json()["reports"]
        drift = await client.get(f"{platform.url}/reports/rain/rain/{large.name}")
        nobody = await client.get(address, headers={"Authorization": ""})
    await bus.stop()

    assert "Nothing was recorded in this period." in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert [one["kind"] for one in listed] == ["day", "drift"]
    assert drift.content == large.read_bytes()  # in more pieces than one message holds
    assert nobody.status_code == 401
