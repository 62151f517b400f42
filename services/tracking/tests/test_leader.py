# SPDX-License-Identifier: Apache-2.0
"""Who leads: one of all that ask for the store's lock, as long as it can do a leader's work."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from mlops.tracking.adapters.leader import Lead
from mlops.tracking.adapters.locks import FileLock, NoLock, ServerLock, lock_of, own_name, turn


class Line:
    """A bus that may be away."""

    def __init__(self) -> None:
        self.away: str | None = None

    async def check(self) -> str | None:
        return self.away


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mlflow.db.leader"


def test_one_of_two_holds_the_file_and_its_name_stands_there(path: Path) -> None:
    first, second = FileLock(path), FileLock(path)

    assert (first.take(), second.take(), first.take()) == (True, False, True)
    assert second.holder() == own_name()

    first.release()
    assert second.take()
    second.release()
    assert second.holder() is None


def test_who_lost_the_file_itself_does_not_lead(path: Path) -> None:
    first, second = FileLock(path), FileLock(path)
    assert first.take()
    path.unlink()

    assert second.take()
    assert not first.take()
    second.release()


def test_each_store_has_its_lock(tmp_path: Path) -> None:
    assert isinstance(lock_of(f"sqlite:///{tmp_path / 'a.db'}"), FileLock)
    assert isinstance(lock_of("postgresql://u:p@127.0.0.1/x"), ServerLock)
    assert isinstance(lock_of("mysql+pymysql://u:p@127.0.0.1/x"), NoLock)


async def test_who_cannot_reach_the_bus_gives_the_lead_to_another(path: Path) -> None:
    line = Line()
    first, second = Lead(FileLock(path), line.check), Lead(FileLock(path))
    assert (await first.leads(), await second.leads()) == (True, False)

    line.away = "lost"
    await until(first, leads=False)
    await until(second, leads=True)
    line.away = None

    await asyncio.sleep(1.1)
    assert not await first.leads()
    assert await first.who() == own_name()
    await second.close()
    await until(first, leads=True)
    await first.close()
    assert not await first.leads()


async def test_a_lock_that_cannot_be_had_is_no_lead_and_no_error(tmp_path: Path) -> None:
    lead = Lead(FileLock(tmp_path / "no" / "such" / "folder"))

    assert not await lead.leads()
    assert await lead.who() is None


def test_a_turn_waits_for_the_turn_before(tmp_path: Path) -> None:
    url = sa.make_url(f"sqlite:///{tmp_path / 'a.db'}")
    seen: list[str] = []
    inside = threading.Event()

    def other() -> None:
        inside.wait(5)
        with turn(url):
            seen.append("second")

    thread = threading.Thread(target=other)
    thread.start()
    with turn(url):
        inside.set()
        time.sleep(0.2)
        seen.append("first")
    thread.join(5)

    assert seen == ["first", "second"]


async def until(lead: Lead, *, leads: bool) -> None:
    async with asyncio.timeout(30):
        while await lead.leads() is not leads:
            await asyncio.sleep(0.05)
