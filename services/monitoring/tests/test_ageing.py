# SPDX-License-Identifier: Apache-2.0
"""Windows that time alone makes due: old ones with enough rows, and waits for labels that end without traffic."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from mlops.contracts.commands import CommandRefused
from mlops.contracts.message import Message
from mlops.contracts.monitoring import (
    AdvanceWindows,
    DriftDetected,
    PerformanceMeasured,
    PerformanceUnmeasured,
)
from mlops.monitoring.adapters.sqlite import SqliteLedger
from mlops.monitoring.model.windows import ModelKey
from mlops.monitoring.ports import Page

DAY_S = 86_400.0
RAIN = ModelKey("rainfall", "rain")
LATEST = {"project": "rainfall", "model": "rain"}


async def windows(world: Any) -> list[tuple[str, int]]:
    answer = await world.bus.ask("monitoring", "models", {})
    return [(one["phase"], one["rows"]) for one in answer["models"][0]["windows"]]


async def asked(world: Any) -> list[Message]:
    """Look once, as the clock does every minute, and hear what was asked for."""
    found = [message async for message in world.ageing.tell()]
    for message in found:
        await world.tell(message)
    return found


async def trickle(world: Any, **monitor: Any) -> None:
    """Let a version have the reference of its own, with windows that fill."""
    await world.register(**monitor)
    await world.deploy()
    for _ in range(4):
        await world.window()


async def test_an_old_window_is_judged_as_it_is(world: Any) -> None:
    await trickle(world, drift={"persist_windows": 1})
    await world.label(await world.predict(200, shift=3.0), right=0.5)
    world.elapsed_s = DAY_S

    found = await asked(world)

    assert [type(one) for one in found] == [AdvanceWindows]
    assert world.heard(DriftDetected)[-1].window.rows == 200
    assert world.heard(PerformanceMeasured)[-1].window.labelled == 200
    assert await asked(world) == []


async def test_a_window_that_is_younger_goes_on_filling(world: Any) -> None:
    await trickle(world)
    await world.predict(249)
    world.elapsed_s = DAY_S - 1

    assert await asked(world) == []
    assert len(await windows(world)) == 4


async def test_too_few_rows_are_carried_over_until_there_are_enough(world: Any) -> None:
    await trickle(world)
    await world.predict(199)
    world.elapsed_s = 3 * DAY_S
    early = await asked(world)
    await world.predict(1)

    await asked(world)

    assert early == []
    assert (await windows(world))[-1] == ("full", 200)


async def test_the_clock_of_those_who_answered_ages_no_window(world: Any) -> None:
    await trickle(world)
    rows = [world._prediction(0.0, 0.0, 0.5) for _ in range(200)]
    years = timedelta(days=4000)
    dated = [
        row.model_copy(update={"at": row.at + years * (-1) ** i}) for i, row in enumerate(rows)
    ]
    for start in (0, 100):
        await world.tell(world.logged(dated[start : start + 100]))

    assert await asked(world) == []


async def test_without_an_age_windows_wait_until_they_are_full(world: Any) -> None:
    await trickle(world, window_max_age=None)
    await world.predict(249)
    world.elapsed_s = 100 * DAY_S

    assert await asked(world) == []


async def test_a_wait_for_labels_ends_without_traffic(world: Any) -> None:
    await trickle(world, accuracy={"label_horizon": "10m"})
    ids = await world.predict(250)
    await world.label(ids[:60])
    await world.predict(250)
    world.elapsed_s = 600

    await asked(world)

    assert world.heard(PerformanceMeasured)[-1].window.labelled == 60
    assert [one.window.labelled for one in world.heard(PerformanceUnmeasured)] == [0]


async def test_hearing_it_twice_changes_nothing(world: Any) -> None:
    await trickle(world)
    await world.predict(220)
    world.elapsed_s = DAY_S
    await asked(world)
    before = await windows(world)

    await world.tell(AdvanceWindows(**LATEST))

    assert await windows(world) == before


async def test_a_restart_goes_on_ageing_where_it_was(kept_world: Any, tmp_path: Path) -> None:
    await trickle(kept_world)
    await kept_world.predict(220)
    kept_world.elapsed_s = DAY_S - 100
    assert await asked(kept_world) == []  # it notes how old the window is
    await kept_world.ledger.close()

    after = type(kept_world)(SqliteLedger(tmp_path / "ledger.db"), elapsed_s=7.0)
    await after.register()
    after.elapsed_s = 7.0 + 100
    await asked(after)

    assert (await windows(after))[-1] == ("full", 220)
    await after.ledger.close()


async def test_a_window_from_before_windows_had_an_age_is_as_old_as_it_is_found(world: Any) -> None:
    await trickle(world)
    await world.predict(220)

    def forget(page: Page) -> list[Message]:
        for window in page.windows.open(RAIN):
            page.windows.put(RAIN, replace(window, open_at_s=None))
        return []

    await world.ledger.apply("an older service", forget)
    world.elapsed_s = 60.0
    assert await asked(world) == []
    world.elapsed_s = DAY_S + 59
    assert await asked(world) == []
    world.elapsed_s = DAY_S + 60

    await asked(world)

    assert (await windows(world))[-1] == ("full", 220)


async def test_a_model_that_nobody_knows_is_refused(world: Any) -> None:
    await world.register()

    await world.tell(AdvanceWindows(**LATEST | {"model": "snow"}))

    assert "snow" in world.heard(CommandRefused)[0].reason


async def test_archived_projects_are_not_looked_at(world: Any) -> None:
    await trickle(world)
    await world.predict(220)
    await world.archive()
    world.elapsed_s = DAY_S

    assert await asked(world) == []
