# SPDX-License-Identifier: Apache-2.0
"""When a replica gives up so that Ray replaces it, and what of its answers is noted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.latency import Latencies
from mlops.contracts.serving import Prediction, PredictionLogged
from mlops.serving.adapters.calls import Calls
from mlops.serving.adapters.counters import Counters
from mlops.serving.adapters.journal import Journal
from mlops.serving.adapters.keeper import Keeper, StuckError, private_bytes
from mlops.serving.adapters.prediction_log import PredictionLog
from mlops.serving.adapters.replies import RefusedError, Request
from mlops.serving.adapters.turns import Turns

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
GIB = 2**30


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    stop = threading.Event()
    yield stop
    stop.set()


def calls(tmp_path: Path, clock: Clock, places: int) -> Calls:
    counters = Counters({"home": str(tmp_path), "model": "rain", "version": 3})
    return Calls(Turns(places), counters, 8, 0.05, clock)


async def hang(calls: Calls, stop: threading.Event) -> None:
    with pytest.raises(RefusedError, match="did not answer within"):
        await calls.run(lambda: stop.wait(20))


async def test_one_call_that_hangs_leaves_the_others_their_places(
    tmp_path: Path, clock: Clock, stop: threading.Event
) -> None:
    two = calls(tmp_path, clock, 2)
    await hang(two, stop)

    clock.now_s += 30

    assert two.stuck() == ""
    assert await two.run(lambda: 7) == 7


async def test_a_replica_whose_places_all_hang_is_stuck(
    tmp_path: Path, clock: Clock, stop: threading.Event
) -> None:
    two = calls(tmp_path, clock, 2)
    await asyncio.gather(hang(two, stop), hang(two, stop))
    at_once = two.stuck()

    clock.now_s += 30

    assert at_once == ""
    assert "all 2 places" in two.stuck()
    with pytest.raises(StuckError, match="all 2 places"):
        Keeper(two.stuck, 1, watches=False).check()


async def test_a_call_that_never_comes_back_makes_a_replica_stuck(
    tmp_path: Path, clock: Clock, stop: threading.Event
) -> None:
    two = calls(tmp_path, clock, 2)
    await hang(two, stop)

    clock.now_s += 90

    assert "has not come back for 90 s" in two.stuck()


async def test_a_replica_is_well_again_when_its_calls_come_back(
    tmp_path: Path, clock: Clock, stop: threading.Event
) -> None:
    one = calls(tmp_path, clock, 1)
    await hang(one, stop)
    clock.now_s += 30
    stuck = one.stuck()
    stop.set()
    async with asyncio.timeout(30):
        while one.stuck():
            await asyncio.sleep(0.005)

    assert stuck
    assert await one.run(lambda: 7) == 7


def test_memory_beyond_its_bound_is_borne_for_some_seconds(clock: Clock) -> None:
    held = [2 * GIB]
    keeper = Keeper(str, 1.0, watches=True, resident=lambda: held[0], clock=clock)

    held[0] = 4 * GIB
    keeper.check()
    clock.now_s += 3
    held[0] = 3 * GIB
    keeper.check()
    held[0] = 4 * GIB
    keeper.check()
    clock.now_s += 5
    keeper.check()
    clock.now_s += 2

    with pytest.raises(StuckError, match=r"holds 4.00 GiB; \[serve\].memory_gb allows 3.00"):
        keeper.check()


def test_memory_is_not_watched_where_the_system_bounds_it(clock: Clock) -> None:
    held = [GIB]
    keeper = Keeper(str, 0.1, watches=False, resident=lambda: held[0], clock=clock)
    held[0] = 100 * GIB

    keeper.check()
    clock.now_s += 100
    keeper.check()

    assert clock.now_s == 1100


def test_memory_of_its_own_is_its_part_of_what_is_shared(tmp_path: Path) -> None:
    rollup = tmp_path / "smaps_rollup"
    rollup.write_text("00-ff ---p 0 00:00 0 [rollup]\nRss: 900 kB\nPss: 300 kB\nPss_Dirty: 7 kB\n")

    assert private_bytes(rollup) == 300 * 1024


def test_a_report_tells_what_was_asked_and_how_long_it_took(tmp_path: Path) -> None:
    spec = {"home": str(tmp_path), "model": "rain", "version": 3}
    counters = Counters(spec, lambda: {"waiting": 2, "dropped": 1})
    for status, took_ms in ((200, 1.0), (400, 1.0), (429, 0.0), (500, 9.0), (504, 30_000.0)):
        counters.count(status, took_ms)

    report = counters.report()

    found = {name: report[name] for name in ("requests", "errors", "shed", "waiting", "dropped")}
    assert found == {"requests": 5, "errors": 2, "shed": 1, "waiting": 2, "dropped": 1}
    assert Latencies.read(report["latencies"]).total == 4
    assert report["memory_bytes"] is None or report["memory_bytes"] > 2**20


async def noted(share: float, headers: dict[bytes, bytes], rows: int = 2) -> list[Prediction]:
    bus = MemoryBus()
    log = PredictionLog(bus.publish, "rain", "rain", 3)
    log.know(share)
    Journal(log, is_on=True, now=lambda: NOON).note(
        Request("POST", "/", headers),
        "r",
        rows,
        lambda: [{"a": row} for row in range(rows)],
        lambda: [row > 0 for row in range(rows)],
        1.5,
    )
    await log.flush()
    sent = [one for one in bus.published if isinstance(one, PredictionLogged)]
    return [row for one in sent for row in one.predictions]


async def test_each_row_is_noted_under_its_own_id() -> None:
    found = await noted(1.0, {})

    assert [(one.request_id, one.features, one.prediction) for one in found] == [
        ("r:0", {"a": 0}, False),
        ("r:1", {"a": 1}, True),
    ]


@pytest.mark.parametrize(
    ("share", "headers", "rows"),
    [(0.0, {}, 2), (0.0, {}, 1), (1.0, {b"mlops-shadow": b"true"}, 2), (1.0, {}, 0)],
)
async def test_what_shall_not_be_logged_is_not_noted(share: float, headers: Any, rows: int) -> None:
    assert await noted(share, headers, rows) == []
