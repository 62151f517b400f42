# SPDX-License-Identifier: Apache-2.0
"""The newest hardware sample of a node, whole, with its age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.gateway.tests.conftest import House

from mlops.contracts.telemetry_agent import (
    Gpu,
    HardwareSample,
    Power,
    TelemetrySampled,
    Thermal,
    ThermalThrottled,
)


def sample(seq: int, at: datetime) -> HardwareSample:
    return HardwareSample(
        seq=seq,
        boot_id="b",
        observed_at=at,
        window_s=1.0,
        thermal=Thermal(level=2, native="serious"),
        power=Power(package_w=31.5),
        gpus=(Gpu(id="0", busy_ratio=0.5),),
        missing={"power.ane_w": "unsupported"},
    )


def hot() -> ThermalThrottled:
    now = datetime.now(UTC)
    return ThermalThrottled(node="mac-1", level=3, episode_id="e", reason="hot", since=now)


async def test_the_newest_sample_is_told_whole(house: House) -> None:
    now = datetime.now(UTC)
    older, newer = sample(1, now - timedelta(seconds=30)), sample(2, now - timedelta(seconds=10))
    await house.say(TelemetrySampled(node="mac-1", sample=older, time=now))
    await house.say(TelemetrySampled(node="mac-1", sample=newer, time=now))

    found = (await house.client.get("/api/v1/nodes/mac-1")).json()

    assert HardwareSample.model_validate(found["sample"]) == newer
    assert 10 <= found["age_s"] < 20
    assert (found["node"], found["level"]) == ("mac-1", 2)


async def test_what_is_told_late_does_not_replace_the_newest(house: House) -> None:
    now = datetime.now(UTC)
    late = sample(3, now - timedelta(minutes=5)).model_copy(update={"backfill": True})
    await house.say(TelemetrySampled(node="mac-1", sample=sample(2, now), episode_id="e"))
    await house.say(TelemetrySampled(node="mac-1", sample=late, time=now))

    found = (await house.client.get("/api/v1/nodes/mac-1")).json()

    assert (found["sample"]["seq"], found["episode_id"]) == (2, "e")


async def test_heat_does_not_forget_the_sample(house: House) -> None:
    now = datetime.now(UTC)
    await house.say(TelemetrySampled(node="mac-1", sample=sample(1, now)))
    await house.say(hot())

    (found,) = (await house.client.get("/api/v1/nodes")).json()["nodes"]

    assert (found["level"], found["reason"], found["sample"]["seq"]) == (3, "hot", 1)


async def test_a_node_without_a_sample_has_no_age(house: House) -> None:
    await house.say(hot())

    found = (await house.client.get("/api/v1/nodes/mac-1")).json()

    assert (found["sample"], found["age_s"]) == (None, None)


async def test_an_unknown_node_names_the_known_ones(house: House) -> None:
    await house.say(hot())

    answer = await house.client.get("/api/v1/nodes/mac-2")

    assert answer.status_code == 404
    assert "known are: mac-1" in answer.json()["error"]["fix"]
