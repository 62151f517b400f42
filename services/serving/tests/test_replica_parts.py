# SPDX-License-Identifier: Apache-2.0
"""The parts of a replica that need no Ray: its log, its turns, and what it leaves behind."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.errors import UnavailableError
from mlops.chassis.outbox import Outbox
from mlops.contracts.message import Message
from mlops.contracts.serving import Prediction, PredictionLogged
from mlops.serving.adapters.leftovers import ReplicaLeftovers, hold
from mlops.serving.adapters.prediction_log import PredictionLog, sampled
from mlops.serving.adapters.turns import Turns
from mlops.serving.sources.leftovers import LeftPredictions

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SOON = timedelta(milliseconds=20)


def rows(first: int, count: int, features: dict[str, str] | None = None) -> list[Prediction]:
    return [
        Prediction(request_id=f"r-{first + number}", at=NOON, features=features or {}, prediction=1)
        for number in range(count)
    ]


def log_on(bus: MemoryBus, most_waiting: int = 1000) -> PredictionLog:
    log = PredictionLog(bus.publish, "rain", "rain", 3, most_waiting=most_waiting, pause=SOON)
    log.know(1.0)
    return log


@pytest.fixture
async def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
async def log(bus: MemoryBus) -> AsyncIterator[PredictionLog]:
    log = log_on(bus)
    task = asyncio.create_task(log.run())
    yield log
    task.cancel()


def batches(bus: MemoryBus) -> list[PredictionLogged]:
    return [one for one in bus.published if isinstance(one, PredictionLogged)]


async def test_a_few_rows_leave_together_after_the_pause(
    log: PredictionLog, bus: MemoryBus
) -> None:
    log.put(rows(0, 2))
    log.put(rows(2, 1))
    assert batches(bus) == []

    await asyncio.sleep(0.1)

    [batch] = batches(bus)
    assert [one.request_id for one in batch.predictions] == ["r-0", "r-1", "r-2"]
    assert (batch.project, batch.model, batch.version, batch.dropped) == ("rain", "rain", 3, 0)


async def test_a_full_batch_does_not_wait(bus: MemoryBus) -> None:
    log = PredictionLog(bus.publish, "rain", "rain", 3, pause=timedelta(minutes=5))
    log.know(1.0)
    task = asyncio.create_task(log.run())
    log.put(rows(0, 150))

    await asyncio.sleep(0.05)
    task.cancel()

    assert [len(batch.predictions) for batch in batches(bus)] == [100, 50]


async def test_when_too_many_wait_the_oldest_go_and_are_counted(bus: MemoryBus) -> None:
    log = log_on(bus, most_waiting=10)

    log.put(rows(0, 25))
    await log.flush()
    log.put(rows(25, 1))
    await log.flush()

    first, second = batches(bus)
    assert (first.predictions[0].request_id, first.dropped) == ("r-15", 15)
    assert second.dropped == 0


async def test_a_batch_that_is_too_large_leaves_in_parts(bus: MemoryBus) -> None:
    log = log_on(bus)

    log.put(rows(0, 100, {"text": "x" * 2000}))
    await log.flush()

    assert len(batches(bus)) > 1
    assert sum(len(batch.predictions) for batch in batches(bus)) == 100


async def test_one_row_that_can_never_leave_is_counted(bus: MemoryBus) -> None:
    log = log_on(bus)

    endless = rows(0, 1)[0].model_copy(update={"prediction": "x" * 100_000})
    log.put([endless, *rows(1, 1)])
    await log.flush()
    log.put(rows(2, 1))
    await log.flush()

    sent = [one.request_id for batch in batches(bus) for one in batch.predictions]
    assert sent == ["r-1", "r-2"]
    assert sum(batch.dropped for batch in batches(bus)) == 1


async def test_a_log_that_nobody_takes_drops_and_goes_on() -> None:
    async def refuse(_: Message) -> None:
        raise UnavailableError("disk full")

    log = PredictionLog(refuse, "rain", "rain", 3)
    log.know(1.0)

    log.put(rows(0, 3))
    await log.flush()

    assert log.dropped == 3


def test_a_sample_always_takes_the_same_requests() -> None:
    ids = [f"r-{number}" for number in range(4000)]
    taken = [one for one in ids if sampled(one, 0.25)]

    assert taken == [one for one in ids if sampled(one, 0.25)]
    assert 850 < len(taken) < 1150
    assert [one for one in ids if sampled(one, 1.0)] == ids
    assert [one for one in ids if sampled(one, 0.0)] == []


async def test_turns_let_in_only_so_many_and_take_a_new_limit_at_once() -> None:
    turns, go, inside = Turns(4), asyncio.Event(), []

    async def work() -> None:
        async with turns:
            inside.append(1)
            await go.wait()
            inside.pop()

    tasks = [asyncio.create_task(work()) for _ in range(10)]
    await asyncio.sleep(0.01)
    assert len(inside) == 4
    turns.most = 1
    go.set()

    async with asyncio.timeout(30):
        await asyncio.gather(*tasks)

    assert inside == []


async def test_a_lower_limit_waits_until_enough_have_left() -> None:
    turns, leave = Turns(2), [asyncio.Event() for _ in range(3)]
    inside: list[int] = []

    async def work(number: int) -> None:
        async with turns:
            inside.append(number)
            await leave[number].wait()
            inside.remove(number)

    tasks = [asyncio.create_task(work(number)) for number in range(3)]
    await asyncio.sleep(0.01)
    turns.most = 1
    leave[0].set()
    await asyncio.sleep(0.01)
    assert inside == [1]
    leave[1].set()
    await asyncio.sleep(0.01)
    assert inside == [2]
    leave[2].set()
    await asyncio.gather(*tasks)


async def test_a_higher_limit_lets_in_at_once_whoever_waits_in_their_order() -> None:
    turns, leave, inside = Turns(1), asyncio.Event(), list[int]()

    async def work(number: int) -> None:
        async with turns:
            inside.append(number)
            await leave.wait()

    tasks = [asyncio.create_task(work(number)) for number in range(4)]
    await asyncio.sleep(0.01)

    turns.most = 3
    await asyncio.sleep(0.01)

    assert inside == [0, 1, 2]
    leave.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("let_in_first", [False, True])
async def test_a_caller_that_goes_away_while_it_waits_takes_nobodys_turn(
    *, let_in_first: bool
) -> None:
    turns, leave = Turns(1), asyncio.Event()

    async def work() -> None:
        async with turns:
            await leave.wait()

    first, gone, last = (asyncio.create_task(work()) for _ in range(3))
    await asyncio.sleep(0.01)
    if let_in_first:
        turns.most = 2  # it is let in, and goes before it knows
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    leave.set()

    async with asyncio.timeout(30):
        await asyncio.gather(first, last)
    turns.most = 1
    async with asyncio.timeout(30), turns:
        pass


async def test_what_a_dead_replica_left_is_sent_once(tmp_path: Path) -> None:
    dead, alive = tmp_path / "replica-4194399.db", tmp_path / f"replica-{os.getpid()}.db"
    sent = [
        PredictionLogged(project="rain", model="rain", version=3, predictions=tuple(rows(n, 1)))
        for n in (0, 1)
    ]
    for path in (dead, alive):
        outbox = Outbox(path)
        for message in sent:
            outbox.put(message.id, message.subject, message.encode())
        outbox.put("junk", "prediction.logged.rain", b"no message")
        outbox.close()
    left = LeftPredictions(ReplicaLeftovers(tmp_path), timedelta(seconds=1))

    with hold(alive):
        first = [one.id async for one in left.sweep()]
        second = [one.id async for one in left.sweep()]

    assert first == [one.id for one in sent]
    assert second == []
    assert not dead.exists()
    assert alive.exists()


async def test_wide_rows_leave_in_batches_that_fit_without_trying_larger_ones(
    bus: MemoryBus,
) -> None:
    tried: list[int] = []

    async def publish(message: Message) -> None:
        assert isinstance(message, PredictionLogged)
        tried.append(len(message.predictions))
        await bus.publish(message)

    log = PredictionLog(publish, "rain", "rain", 3)
    log.know(1.0)
    wide = {f"column_{number}": "0.123456789" for number in range(300)}

    log.put(rows(0, 100, wide))
    await log.flush()

    assert [len(batch.predictions) for batch in batches(bus)] == tried
    assert sum(tried) == 100
    assert max(tried) > 3


async def test_a_row_too_wide_for_a_message_leaves_without_its_features(bus: MemoryBus) -> None:
    log = log_on(bus)

    log.put(rows(0, 1, {f"column_{number}": "0.123456789" for number in range(5000)}))
    await log.flush()

    [batch] = batches(bus)
    assert (batch.predictions[0].features, batch.predictions[0].prediction) == ({}, 1)
    assert (batch.dropped, log.dropped) == (0, 0)


async def test_rows_that_are_still_made_are_waited_for_and_bounded(bus: MemoryBus) -> None:
    log, may_go = log_on(bus), threading.Event()

    def slowly() -> list[Prediction]:
        may_go.wait(10)
        return rows(0, 1)

    log.later(20_000_000, 1, slowly)
    log.later(1, 1, lambda: rows(1, 1))  # too much is under way: at once
    at_once = len(log._waiting)
    may_go.set()
    await log.flush()

    sent = [one.request_id for batch in batches(bus) for one in batch.predictions]
    assert (at_once, sorted(sent)) == (1, ["r-0", "r-1"])


async def test_rows_that_cannot_be_made_are_counted_as_lost(bus: MemoryBus) -> None:
    log = log_on(bus)

    def broken() -> list[Prediction]:
        raise ValueError("no numbers")

    log.later(1, 3, broken)
    await log.flush()
    log.put(rows(0, 1))
    await log.flush()

    assert [batch.dropped for batch in batches(bus)] == [3]


async def test_what_waits_is_bounded_in_size_too(bus: MemoryBus) -> None:
    log = log_on(bus, most_waiting=20_000)
    wide = rows(0, 40, {"text": "x" * 1_000_000})

    for row in wide:
        log.put([row])

    assert 0 < log.waiting_bytes <= 32 * 1024 * 1024
    assert log.dropped > 0


async def test_nothing_leaves_before_the_project_s_share_is_known(bus: MemoryBus) -> None:
    log = PredictionLog(bus.publish, "rain", "rain", 3, pause=SOON)
    task = asyncio.create_task(log.run())
    log.put(rows(0, 300))
    await asyncio.sleep(0.1)
    assert batches(bus) == []

    log.know(0.25)
    await asyncio.sleep(0.1)
    task.cancel()

    sent = [one.request_id for batch in batches(bus) for one in batch.predictions]
    assert sent == [f"r-{number}" for number in range(300) if sampled(f"r-{number}", 0.25)]
    assert log.dropped == 0


async def test_closing_waits_for_the_batch_that_is_on_its_way(bus: MemoryBus) -> None:
    async def slowly(message: Message) -> None:
        await asyncio.sleep(0.05)
        await bus.publish(message)

    log = PredictionLog(slowly, "rain", "rain", 3, pause=SOON)
    log.know(1.0)
    task = asyncio.create_task(log.run())
    log.put(rows(0, 100))
    await asyncio.sleep(0.01)
    log.put(rows(100, 1))

    await log.flush()
    task.cancel()

    assert [len(batch.predictions) for batch in batches(bus)] == [100, 1]


async def test_a_log_that_cannot_be_read_holds_up_no_other(tmp_path: Path) -> None:
    (tmp_path / "replica-4194398.db").write_bytes(b"no database, but long enough to look at" * 50)
    message = PredictionLogged(
        project="rain", model="rain", version=3, predictions=tuple(rows(0, 1))
    )
    outbox = Outbox(tmp_path / "replica-4194399.db")
    outbox.put(message.id, message.subject, message.encode())
    outbox.close()
    left = LeftPredictions(ReplicaLeftovers(tmp_path), timedelta(seconds=1))

    sent = [one.id async for one in left.sweep()]

    assert sent == [message.id]
    assert (tmp_path / "replica-4194398.db").exists()


async def test_a_log_whose_process_id_is_somebody_else_s_now_is_abandoned(tmp_path: Path) -> None:
    message = PredictionLogged(
        project="rain", model="rain", version=3, predictions=tuple(rows(0, 1))
    )
    path = tmp_path / f"replica-{os.getppid()}.db"
    outbox = Outbox(path)
    outbox.put(message.id, message.subject, message.encode())
    outbox.close()
    left = LeftPredictions(ReplicaLeftovers(tmp_path), timedelta(seconds=1))

    with hold(path):
        while_held = [one.id async for one in left.sweep()]
    after = [one.id async for one in left.sweep()]

    assert (while_held, after) == ([], [message.id])
    assert not path.exists()
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []
