# SPDX-License-Identifier: Apache-2.0
"""What machines say of their heat, and what a replica asks, for tests."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mlops.contracts.serving import DeploymentProgressed
from mlops.contracts.telemetry_agent import (
    HardwareSample,
    TelemetrySampled,
    Thermal,
    ThermalRecovered,
    ThermalThrottled,
)


def hot(level: int, at: datetime, node: str = "n1", **changes: Any) -> ThermalThrottled:
    known = {"episode_id": "e", "reason": "pressure is heavy", "since": at, "time": at}
    return ThermalThrottled(node=node, level=level, **{**known, **changes})


def cool(at: datetime, node: str = "n1") -> ThermalRecovered:
    return ThermalRecovered(
        node=node, time=at, episode_id="e", level=0, peak_level=4, duration_s=9, since=at
    )


def sample(level: int | None, at: datetime, node: str = "n1", **changes: Any) -> TelemetrySampled:
    known = {"seq": 1, "boot_id": "b", "observed_at": at, "window_s": 10}
    thermal = Thermal(level=level)
    return TelemetrySampled(
        node=node, time=at, sample=HardwareSample(**{**known, "thermal": thermal, **changes})
    )


def question(node: str = "", replica: str = "r1", version: int = 1) -> dict[str, Any]:
    about = {"project": "rain", "model": "rain", "version": version}
    counts = {"answered": 0, "busy_s": 0.0, "cpu_s": 0.0}
    return {**about, **counts, "replica": replica, "node": node}


async def concurrency(stage: Any, **asked: Any) -> int:
    found = await stage.bus.ask("serving", "limits", question(**asked))
    return int(found["concurrency"])


def changes(stage: Any) -> list[tuple[int, str, int]]:
    return [
        (one.version, one.phase, one.concurrency)
        for one in stage.bus.published
        if isinstance(one, DeploymentProgressed) and one.concurrency is not None
    ]


async def told_to_ray(stage: Any) -> int:
    [app] = stage.replicas.apps.values()
    return int(app.concurrency)
