# SPDX-License-Identifier: Apache-2.0
"""Energy of a run whose client has never heard of us: from samples on a real bus to its event and to MLflow's page."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from mlops.contracts.telemetry_agent import Chip, Energy, HardwareSample, Power, TelemetrySampled

pytestmark = [pytest.mark.server, pytest.mark.mlflow, pytest.mark.timeout(240)]

RUN = """
import mlflow, time
mlflow.set_experiment("rain")
with mlflow.start_run() as run:
    mlflow.log_metric("loss", 0.5)
    print(run.info.run_id, flush=True)
    time.sleep(6)
"""
WATTS = 20.0


def sampled(seq: int, at: datetime, began: datetime) -> TelemetrySampled:
    sample = HardwareSample(
        seq=seq,
        boot_id="b",
        observed_at=at,
        window_s=1,
        chip=Chip(vendor="apple", cores=8),
        energy=Energy(package_j=WATTS * (at - began).total_seconds()),
        power=Power(package_w=WATTS),
    )
    return TelemetrySampled(node="n1", sample=sample, time=at)


async def test_an_unmodified_client_gets_its_energy(tracking: Any, listener: Any) -> None:
    await listener.register("rain")

    async def telling() -> None:
        began = datetime.now(UTC) - timedelta(seconds=1)
        for seq in range(1, 1000):
            await listener.bus.publish(sampled(seq, datetime.now(UTC), began))
            await asyncio.sleep(1)

    teller = asyncio.create_task(telling())
    await asyncio.sleep(2)
    run_id = (await tracking.run_client(RUN)).splitlines()[0]
    (told,) = await listener.wait_for(1, "run.completed")
    teller.cancel()

    data = told["data"]
    lasted_s = (
        datetime.fromisoformat(data["ended_at"]) - datetime.fromisoformat(data["started_at"])
    ).total_seconds()
    assert data["run_id"] == run_id
    # On a busy machine the first sample that finds it running may come late; what was told of is told.
    known_s = lasted_s * data["energy"]["known_ratio"]
    assert data["energy"]["known_ratio"] > 0.5
    assert data["energy"]["joules"] == pytest.approx(WATTS * known_s, rel=0.25)
    assert data["energy"]["measured"] is False
    assert data["energy"]["node"] == "n1"
    async with httpx.AsyncClient(timeout=60) as http:
        answer = await http.get(
            f"{tracking.uri}/api/2.0/mlflow/runs/get",
            params={"run_id": run_id},
            headers={"X-MLFLOW-WORKSPACE": "rain"},
        )
    tags = {one["key"]: one["value"] for one in answer.json()["run"]["data"]["tags"]}
    assert float(tags["hw.energy_j"]) == pytest.approx(data["energy"]["joules"], abs=0.01)
    assert tags["hw.energy_source"] == "estimated"
