# SPDX-License-Identifier: Apache-2.0
"""The disk of the SQLite store is really full: clients and the log hear why, and every run that was stored is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from servers.disk import TinyDisk, tiny_disk

pytestmark = [pytest.mark.server, pytest.mark.mlflow, pytest.mark.timeout(120)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[TinyDisk]:
    with tiny_disk(tmp_path / "disk", 16) as disk:
        yield disk


@pytest.fixture
async def tracking(disk: TinyDisk, unstarted: Any) -> Any:
    unstarted.more["TRACKING_STORE_URI"] = f"sqlite:///{disk.path / 'mlflow.db'}"
    unstarted.more["TRACKING_LEAST_FREE_MB"] = "0"
    await unstarted.start()
    return unstarted


async def test_what_was_stored_before_and_after_is_told_once(
    tracking: Any, disk: TinyDisk, listener: Any
) -> None:
    await listener.register("rain")
    workspace = {"X-MLFLOW-WORKSPACE": "rain"}
    async with httpx.AsyncClient(base_url=tracking.uri, headers=workspace) as http:
        stored = [await stored_run(http)]
        disk.fill()
        refused = await create_run(http)
        while refused.status_code == 200:  # what the write-ahead log has room for
            stored.append(run_id(refused))
            refused = await create_run(http)
        disk.free()
        await tracking.until_ready(200)
        stored.append(await stored_run(http))

    started = await listener.wait_for(len(stored), "run.started")
    assert sorted(event["data"]["run_id"] for event in started) == sorted(stored)
    assert refused.status_code >= 500
    assert "database or disk is full" in refused.text
    assert f"free space on the disk of {disk.path}" in tracking.log
    assert tracking.process.returncode is None


async def stored_run(http: httpx.AsyncClient) -> str:
    answer = await create_run(http)
    assert answer.status_code == 200, answer.text
    return run_id(answer)


async def create_run(http: httpx.AsyncClient) -> httpx.Response:
    async with asyncio.timeout(60):
        body = {
            "experiment_id": "1",
            "start_time": 1000,
            "tags": [{"key": "x", "value": "x" * 4000}],
        }
        return await http.post("/api/2.0/mlflow/runs/create", json=body, timeout=60)


def run_id(answer: httpx.Response) -> str:
    return str(answer.json()["run"]["info"]["run_id"])
