# SPDX-License-Identifier: Apache-2.0
"""The promises of monitoring's ledger about second references, each held by the memory fake and by SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from mlops.contracts.message import Message
from mlops.monitoring.model.growth import Growth, State
from mlops.monitoring.model.windows import ModelKey
from mlops.monitoring.ports import Baseline, Ledger, Page

RAIN = ModelKey("rainfall", "rain")
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


async def test_a_second_reference_is_that_of_the_first_one(ledger: Ledger) -> None:
    first = Baseline(1, NOON, "windows 0 to 1", 500, {"wind": [1.0]}, [None], [NOON])
    grows = Growth(frozenset({(9, 20_000), (33, 20_001)}))
    second = replace(first, predictions=[1, 0], features={"wind": [0.5, None]}, times=[NOON, NOON])

    def change(page: Page) -> Sequence[Message]:
        for version in (1, 2, 3):
            page.baselines.put(RAIN, replace(first, version=version))
            page.baselines.grow(RAIN, version, grows, replace(second, version=version))
        page.baselines.grow(RAIN, 1, replace(grows, state=State.WHOLE))
        page.baselines.drop(RAIN, 2)
        page.baselines.put(RAIN, replace(first, version=3))
        return []

    await ledger.apply("m1", change)

    found = await ledger.look(
        lambda page: [
            (page.baselines.growth(RAIN, version), page.baselines.grown(RAIN, version))
            for version in (1, 2, 3)
        ]
    )
    assert found == [(replace(grows, state=State.WHOLE), second), (None, None), (None, None)]
    assert await ledger.look(lambda page: page.baselines.get(RAIN, 1)) == first
