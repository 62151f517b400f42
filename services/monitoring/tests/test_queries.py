# SPDX-License-Identifier: Apache-2.0
"""What monitoring answers of many models fits into a reply of the bus; of one model all is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic_core import to_json

from mlops.contracts.message import Message
from mlops.monitoring.model.windows import ModelKey, Phase, Summary, Watched, Window
from mlops.monitoring.ports import Page

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
COLUMNS = tuple(f"column-{i}" for i in range(10))


async def many(world: Any, models: int) -> None:
    def change(page: Page) -> Sequence[Message]:
        for number in range(models):
            key = ModelKey("rainfall", f"model-{number}")
            page.models.put(Watched(key, version=1, windows_made=60, windows_full=60))
            for index in range(60):
                told = Summary(None, 1.0, COLUMNS, ("data",))
                page.windows.put(
                    key,
                    Window(index, 1, 500, 500, 500, NOON, NOON, Phase.MEASURED, index, inputs=told),
                )
        return []

    await world.ledger.apply("many", change)


@pytest.mark.parametrize(("models", "windows"), [(1, 60), (20, 60), (200, 5)])
async def test_of_many_models_fewer_windows_are_told(world: Any, models: int, windows: int) -> None:
    await many(world, models)

    answer = await world.bus.ask("monitoring", "models", {})

    assert len(answer["models"]) == models
    assert {len(one["windows"]) for one in answer["models"]} == {windows}
    assert answer["models"][0]["windows"][-1]["index"] == 59
    assert len(to_json(answer)) < 1024 * 1024


async def test_one_of_many_models_is_told_whole(world: Any) -> None:
    await many(world, 200)

    answer = await world.bus.ask("monitoring", "models", {"model": "model-7"})

    assert [len(one["windows"]) for one in answer["models"]] == [60]
