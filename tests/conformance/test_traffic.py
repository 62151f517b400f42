# SPDX-License-Identifier: Apache-2.0
"""The promises of serving's `Traffic`, kept by the memory one and by what the gateway really counts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.latency import EDGES_MS, Latencies
from mlops.gateway.http.comparisons import Comparisons
from mlops.gateway.http.traffic import Traffic as GatewayCounts
from mlops.gateway.model.comparison import Compared
from mlops.serving.adapters.gateway_traffic import GatewayTraffic
from mlops.serving.adapters.memory import MemoryTraffic
from mlops.serving.model.evidence import Comparison, Counts
from mlops.serving.ports import Traffic

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class MemoryHarness:
    """Counts in memory."""

    def __init__(self) -> None:
        self.memory = MemoryTraffic()
        self.traffic: Traffic = self.memory

    def answered(self, version: int, *took_ms: float, failed: int = 0) -> None:
        counted = Latencies()
        for one in took_ms:
            counted.add(one)
        counts = Counts(len(took_ms), failed, times=tuple(counted.counts))
        self.memory.by_version = {**(self.memory.by_version or {}), version: counts}

    def compared(self, agreed: int, differed: int, failed: int) -> None:
        ratio = agreed / (agreed + differed)
        found = Comparison(1, NOON, agreed + differed, failed=failed, agreement_ratio=ratio)
        self.memory.compared = {2: found}


class GatewayHarness:
    """The gateway's own counts, asked over the bus."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.traffic: Traffic = GatewayTraffic(self.bus)
        self._counts, self._comparisons = GatewayCounts(), Comparisons(lambda: NOON)
        self._answers = False

    def answered(self, version: int, *took_ms: float, failed: int = 0) -> None:
        self._begin()
        for place, one in enumerate(took_ms):
            self._counts.count(("rain", "rain", version), failed=place < failed, latency_ms=one)
        self._counts.count(("snow", "rain", version), failed=True, latency_ms=900.0)

    def compared(self, agreed: int, differed: int, failed: int) -> None:
        self._begin()
        pair = ("rain", "rain", 2, 1)
        for place in range(agreed + differed):
            self._comparisons.compared(pair, Compared(agrees=place < agreed), 5.0, 4.0)
        for _ in range(failed):
            self._comparisons.failed(pair)

    def _begin(self) -> None:
        if not self._answers:
            self._answers = True
            self.bus.answer("gateway", "traffic", self._tell)
            self.bus.answer("gateway", "comparison", self._compare)

    async def _tell(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"versions": self._counts.as_json()}

    async def _compare(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        return {"comparisons": self._comparisons.as_json(asked["project"], asked["model"])}


Harness = MemoryHarness | GatewayHarness


@pytest.fixture(params=[MemoryHarness, GatewayHarness], ids=["memory", "gateway"])
def harness(request: pytest.FixtureRequest) -> Harness:
    made: Harness = request.param()
    return made


async def test_while_nobody_counts_there_is_nothing_not_zero(harness: Harness) -> None:
    assert await harness.traffic.counts("rain", "rain") is None
    assert await harness.traffic.comparisons("rain", "rain") is None


async def test_each_version_has_its_requests_failures_and_times(harness: Harness) -> None:
    harness.answered(1, 3.0, 3.0, 40.0)
    harness.answered(2, 7.0, 7.0, failed=1)

    found = await harness.traffic.counts("rain", "rain")

    assert found is not None
    assert {version: (one.requests, one.errors) for version, one in found.items()} == {
        1: (3, 0),
        2: (2, 1),
    }
    assert len(found[1].times) == len(EDGES_MS) + 1
    assert sum(found[1].times) == 3


async def test_a_shadow_is_compared_in_what_it_answered(harness: Harness) -> None:
    harness.compared(agreed=9, differed=1, failed=2)

    found = await harness.traffic.comparisons("rain", "rain")

    assert found is not None
    assert (found[2].requests, found[2].failed, found[2].agreement_ratio) == (10, 2, 0.9)
    assert (found[2].against_version, found[2].since) == (1, NOON)
