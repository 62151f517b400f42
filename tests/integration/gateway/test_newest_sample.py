# SPDX-License-Identifier: Apache-2.0
"""A run's hardware: the newest sample of its own node, from a real agent, while another node talks too."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from integration.gateway.conftest import Platform
from mlops.chassis.bus_nats import NatsBus
from mlops.client.hardware import Sampler, reader
from mlops.client.system import machine
from mlops.contracts.telemetry_agent import HardwareSample, TelemetrySampled

pytestmark = pytest.mark.server


def _get(platform: Platform, path: str, params: Mapping[str, str | float]) -> Any:
    headers = {"Authorization": f"Bearer {platform.token}"}
    return httpx.get(f"{platform.url}{path}", params=dict(params), headers=headers).json()


async def test_the_sampler_hears_its_own_node_only(
    platform: Platform, bus: NatsBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEMETRY_AGENT_READ_EVERY_S", "0.1")
    monkeypatch.setenv("TELEMETRY_AGENT_SAMPLE_EVERY_S", "0.3")
    platform.start("telemetry_agent")
    await bus.start()
    deadline = time.monotonic() + 30
    sample = None
    while sample is None and time.monotonic() < deadline:
        other = HardwareSample(seq=1, boot_id="other", observed_at=datetime.now(UTC), window_s=1.0)
        await bus.publish(TelemetrySampled(node="other-node", sample=other))
        # As the client finds it: the agent of this home wrote its name there.
        node = machine.node(platform.home, {})
        sample = reader(lambda path, params: _get(platform, path, params), node)()

    assert sample is not None
    assert sample["boot_id"] != "other"
    logged: list[dict[str, float]] = []
    sampler = Sampler(lambda: sample, logged.append)
    sampler.tick()
    assert logged[0]["system/memory_used_gb"] > 0
    assert sampler.stop()["hw.samples"] == "1"
