# SPDX-License-Identifier: Apache-2.0
"""Recorded windows judged again by other limits come out as a service with those limits would have judged them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from services.monitoring.tests.conftest import World

from mlops.contracts.monitoring import PerformanceDegraded, PerformanceMeasured
from mlops.monitoring.adapters.memory import MemoryLedger
from mlops.monitoring.replay.run import HistoryError, Rejudged

Limits = dict[str, float | None]
ROWS = 50
SHARES = (0.97, 0.92, 0.9, 0.88, 0.86, 0.84, 0.8, 0.6)
limits = st.fixed_dictionaries(
    {
        "drop": st.sampled_from([None, 0.02, 0.05, 0.1]),
        "min": st.sampled_from([None, 0.7, 0.85]),
    }
)


async def lived(allowed: Limits, steps: Sequence[float | str]) -> World:
    """Return monitoring after windows with these shares of right answers; `late` labels the next one after its successor."""
    world, version, waiting = World(MemoryLedger()), 1, list[str]()
    await world.register(window=ROWS, accuracy=allowed)
    await world.deploy(version)
    for step in steps:
        if step == "deploy":
            version += 1
            await world.deploy(version)
        elif step == "late":
            waiting = await world.predict(ROWS, version=version)
        else:
            ids = await world.predict(ROWS, version=version)
            await world.label(ids, right=float(step))
            await world.label(waiting, right=0.6)
            waiting = []
    return world


def written(world: World, folder: Path) -> Path:
    file = folder / "history.jsonl"
    lines = [json.dumps(message.envelope()) + "\n" for message in world.bus.published]
    file.write_text("".join(lines))
    return file


def again(world: World, wanted: Limits, since: datetime | None = None) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        target = folder / "again.jsonl"
        Rejudged("rainfall", wanted, since).write(written(world, folder), target)
        return [json.loads(line) for line in target.read_text().splitlines()]


def alarms(history: Sequence[dict[str, Any]]) -> list[tuple[int, int, float]]:
    return [
        (
            event["data"]["version"],
            event["data"]["window"]["index"],
            round(event["data"]["threshold"], 9),
        )
        for event in history
        if event["type"] == "performance.degraded"
    ]


def told(world: World) -> list[tuple[int, int, float]]:
    return [
        (one.version, one.window.index, round(one.threshold, 9))
        for one in world.heard(PerformanceDegraded)
    ]


@settings(max_examples=40, deadline=None)
@given(limits, limits, st.lists(st.sampled_from([*SHARES, "deploy", "late"]), max_size=8))
def test_windows_come_out_as_a_service_with_these_limits_judges_them(
    recorded: Limits, wanted: Limits, steps: list[float | str]
) -> None:
    first = asyncio.run(lived(recorded, steps))
    second = asyncio.run(lived(wanted, steps))

    history = again(first, wanted)

    assert [one[:2] for one in alarms(history)] == [one[:2] for one in told(second)]
    flags = [e["data"]["degraded"] for e in history if e["type"] == "performance.measured"]
    assert flags == [one.degraded for one in second.heard(PerformanceMeasured)]


async def test_a_tighter_limit_finds_windows_that_nobody_was_told_of() -> None:
    world = await lived({"drop": 0.2, "min": None}, [0.9, 0.9, 0.8, 0.8])

    history = again(world, {"drop": 0.05})

    assert told(world) == []
    assert alarms(history) == [(1, 3, 0.85)]  # one such window alone may be bad luck


async def test_a_wider_limit_takes_alarms_back() -> None:
    world = await lived({"drop": 0.05, "min": None}, [0.9, 0.9, 0.6, 0.9])

    assert len(told(world)) == 1
    assert alarms(again(world, {"drop": 0.5})) == []


async def test_windows_before_the_period_stay_as_they_were() -> None:
    world = await lived({"drop": 0.05, "min": None}, [0.9, 0.6])
    later = max(message.time for message in world.bus.published) + timedelta(seconds=1)

    assert alarms(again(world, {"drop": 0.5}, later)) == told(world)


async def test_everything_else_is_passed_on_as_it_was() -> None:
    world = await lived({"drop": 0.05, "min": None}, [0.9])
    judged = ("performance.measured", "performance.degraded")

    history = again(world, {"drop": 0.01})

    others = [message.id for message in world.bus.published if message.type not in judged]
    assert [event["id"] for event in history if event["type"] not in judged] == others


def test_what_is_no_text_and_a_line_that_is_no_json_are_named(tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"type": "x"}\nnonsense\n')

    with pytest.raises(HistoryError, match="line 2 is not JSON"):
        Rejudged("rainfall", {"drop": 0.1}).write(file, tmp_path / "out.jsonl")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(HistoryError, match=r"bad\.jsonl is no text in UTF-8"):
        Rejudged("rainfall", {"drop": 0.1}).write(file, tmp_path / "out.jsonl")


def test_the_program_judges_again_and_says_what_it_did(tmp_path: Path) -> None:
    world = asyncio.run(lived({"drop": 0.2, "min": None}, [0.9, 0.9, 0.8, 0.8]))
    target = tmp_path / "again.jsonl"
    words = [str(written(world, tmp_path)), str(target), "--project", "rainfall"]
    command = [sys.executable, "-m", "mlops.monitoring.replay", *words]

    ended = subprocess.run(
        [*command, "--set", '{"monitor.accuracy.drop": "0.05"}'],
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(ended.stdout)["result"] == {"notes": [], "windows": 4}
    assert len(alarms([json.loads(line) for line in target.read_text().splitlines()])) == 1
