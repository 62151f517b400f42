# SPDX-License-Identifier: Apache-2.0
"""Readiness tries a failing store once at a time, however often it is asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from mlops.chassis.errors import UnavailableError
from mlops.tracking.adapters import store_watch
from mlops.tracking.adapters.store_watch import StoreWatch


class SlowStore:
    """A store whose trial write waits for a lock."""

    def __init__(self) -> None:
        self.tries = 0
        self.fails = False
        self.go_on = asyncio.Event()

    async def probe(self) -> None:
        self.tries += 1
        await self.go_on.wait()
        if self.fails:
            raise UnavailableError("database is locked")


@pytest.fixture
async def failing(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(store_watch, "_PATIENCE_S", 0.05)
    store = SlowStore()
    watch = StoreWatch(None, 0, store.probe)
    watch.open()
    engine = sa.create_engine("sqlite://")
    with pytest.raises(sa.exc.OperationalError), engine.connect() as connection:
        connection.execute(sa.text("SELECT 1 FROM absent"))
    engine.dispose()
    yield watch, store
    await watch.close()


async def test_many_questions_make_one_trial(failing: Any) -> None:
    watch, store = failing

    said = await asyncio.gather(*(watch.check() for _ in range(20)))
    said += [await watch.check()]

    assert store.tries == 1
    assert {answer for answer in said if "still waiting" not in answer} == set()
    store.go_on.set()
    async with asyncio.timeout(30):
        while await watch.check() is not None:
            await asyncio.sleep(0.01)


async def test_a_trial_that_fails_is_made_again(failing: Any) -> None:
    watch, store = failing
    store.fails = True
    store.go_on.set()

    assert "no such table" in await watch.check()
    assert "no such table" in await watch.check()

    assert store.tries == 2
