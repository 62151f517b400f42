# SPDX-License-Identifier: Apache-2.0
"""Dispatcher: lets waiting workflows start, asks those on hot machines to save or leave, watches them end, tells it all.

Every step is written down before the next one: a crash anywhere repeats nothing, because a run is started by its
key, and a fact has an id of its cause.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from mlops.chassis.clock import Clock
from mlops.chassis.errors import ChassisError, RejectedError
from mlops.contracts.message import Message
from mlops.orchestration_bridge.errors import OrchestratorAwayError, PipelineNotReadyError
from mlops.orchestration_bridge.model import (
    admission,
    departure,
    lifecycle,
    moving,
    parting,
    plans,
)
from mlops.orchestration_bridge.model.admission import World
from mlops.orchestration_bridge.model.attempts import Parted
from mlops.orchestration_bridge.model.lifecycle import End
from mlops.orchestration_bridge.model.moving import Verdict
from mlops.orchestration_bridge.model.queue import UNDER_WAY, Entry, Queue, State
from mlops.orchestration_bridge.ports.books import Books
from mlops.orchestration_bridge.ports.pipelines import Pipelines, pipeline_of
from mlops.orchestration_bridge.sources import aftermath
from mlops.orchestration_bridge.sources.facts import fact
from mlops.orchestration_bridge.sources.orders import end_of, order_of
from mlops.orchestration_bridge.sources.pools import PoolKeeper

_IDLE_ROUNDS = 5

_Act = Callable[[Queue, Entry], Awaitable[None]]
_Choice = Callable[[Queue], tuple[Entry, ...]]
_Change = Callable[[Queue], Queue]


class Dispatcher:
    """The one that acts; several of them do no harm, one is enough."""

    def __init__(
        self,
        books: Books,
        pipelines: Pipelines,
        clock: Clock,
        pause: timedelta,
        pools: PoolKeeper,
    ) -> None:
        self.pools = pools
        self._books = books
        self._pipelines = pipelines
        self._clock = clock
        self._pause_s = pause.total_seconds()
        self._world = World({}, {}, 1)
        self._log = structlog.get_logger("dispatcher")

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Yield what happens to workflows, for ever."""
        while True:
            self._books.changed.clear()
            self._books.alarm.clear()
            async for message in self.round():
                yield message
            await self._rest(busy=_busy(self._world))

    async def round(self) -> AsyncGenerator[Message, None]:
        """Start what may start, ask what runs where it is hot, tell it; look at what runs, tell what ended or left."""
        self._world = await self._books.world()
        if not _busy(self._world):
            self._books.away = ""  # nobody asks it now, so nobody knows
            return
        await self._admit()
        await self._each(lambda queue: queue.in_state(State.ADMITTED), self._start)
        await self._each(lifecycle.unstopped, self._stop)
        await self._request()
        async for message in self._tell():
            yield message
        await self._each(_watched, self._look)
        async for message in self._tell():
            yield message

    async def _rest(self, *, busy: bool) -> None:
        pause_s = self._pause_s if busy else self._pause_s * _IDLE_ROUNDS
        # While something is under way every round is of the same length: changes are mostly our own, but heat is not.
        bell = self._books.alarm if busy else self._books.changed
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await bell.wait()

    async def _admit(self) -> None:
        if self._books.away:
            await self._each(lambda queue: queue.in_state(State.WAITING), self._ask)
        world, now = replace(self._world, away=self._books.away), self._clock()
        for ruling in admission.rulings(world, now):
            entry = world.queues[ruling.project].entry(ruling.key)
            # One thing at a time: what the bus has yet to hear would be overwritten.
            if entry is not None and entry.state is State.WAITING and lifecycle.is_told(entry):
                for step, change in plans.steps(world, ruling, entry, now):
                    await self._change(ruling.project, ruling.key, step, change)

    async def _request(self) -> None:
        """Write down what running work is asked, and which attempts are to be ended; both are told, or done, after."""
        now = self._clock()
        for verdict in moving.verdicts(self._world, now):
            if verdict.due:
                await self._ask_for(verdict, now)
        for one in tuple(departure.overdue(self._world, now)):
            change = partial(parting.forced, key=one.key, attempt=one.attempt, force=one.force)
            await self._change(one.project, one.key, f"forced:{one.attempt}", change)
            self._log.warning("workflow.forced", workflow=one.key, reason=one.force.reason)

    async def _ask_for(self, verdict: Verdict, now: datetime) -> None:
        entry = self._world.queues[verdict.project].entry(verdict.key)
        if entry is None:
            return
        request = verdict.request(entry.requests + 1, now)
        change = partial(parting.asked, key=entry.key, attempt=entry.attempt, request=request)
        await self._change(verdict.project, entry.key, f"asked:{request.number}", change)

    async def _each(self, chosen: _Choice, act: _Act) -> None:
        for queue in tuple(self._world.queues.values()):
            for entry in chosen(queue):
                try:
                    await act(queue, entry)
                except (PipelineNotReadyError, RejectedError) as error:
                    self._note(entry, error)  # one workflow waits, the others go on
                except OrchestratorAwayError as error:
                    self._missed(str(error))
                    return
                else:
                    self._answered()

    async def _ask(self, queue: Queue, entry: Entry) -> None:
        # Nothing was started, so there is nothing to see: any answer says that the orchestrator is back.
        await self._pipelines.look(queue.project, entry.key, entry.attempt)

    async def _start(self, queue: Queue, entry: Entry) -> None:
        try:
            run = await self._pipelines.start(order_of(queue, entry))
        except PipelineNotReadyError:
            await self._provision(queue)
            raise
        except RejectedError as error:
            await self._end(
                queue, entry, End(completed=False, at=self._clock(), diagnosis=str(error))
            )
            return
        now, step = self._clock(), f"started:{entry.attempt}"
        later = await self._change(
            queue.project, entry.key, step, lambda q: lifecycle.started(q, entry.key, run, now)
        )
        self._books.notes.pop(entry.key, None)
        found = later.entry(entry.key)
        if found is not None and found.state is State.CANCELLED:
            await self._pipelines.stop(queue.project, entry.key, entry.attempt)

    async def _provision(self, queue: Queue) -> None:
        if queue.path is not None:
            await self._pipelines.provision(pipeline_of(queue, queue.path))

    async def _stop(self, queue: Queue, entry: Entry) -> None:
        key = entry.key
        await self._pipelines.stop(queue.project, key, entry.attempt)
        await self._change(queue.project, key, "stopped", lambda q: lifecycle.stopped(q, key))
        self._books.notes.pop(key, None)

    async def _look(self, queue: Queue, entry: Entry) -> None:
        if entry.forced is not None:
            await self._pipelines.stop(queue.project, entry.key, entry.attempt)
            if not departure.is_settled(entry, self._clock()):
                return
        outcome = await self._pipelines.look(queue.project, entry.key, entry.attempt)
        if outcome is not None and outcome.completed is None:
            return
        now = self._clock()
        then = departure.after(self._world, queue, entry, end_of(outcome, now), now)
        if isinstance(then, End):
            await self._end(queue, entry, then)
        else:
            await self._part(queue, entry, then)

    async def _part(self, queue: Queue, entry: Entry, how: Parted) -> None:
        await aftermath.parted(self._books, entry, how.at)
        change = partial(parting.parted, key=entry.key, attempt=entry.attempt, how=how)
        await self._change(queue.project, entry.key, f"parted:{entry.attempt}", change)
        self._books.notes.pop(entry.key, None)

    async def _end(self, queue: Queue, entry: Entry, end: End) -> None:
        key, whole = entry.key, await aftermath.seen(self._books, entry, end)
        await self._change(queue.project, key, "ended", lambda q: lifecycle.ended(q, key, whole))
        self._books.notes.pop(key, None)

    async def _tell(self) -> AsyncGenerator[Message, None]:
        for queue in tuple(self._world.queues.values()):
            for entry in lifecycle.untold(queue):
                message = fact(queue.project, entry)
                yield message
                await self._heard(queue.project, entry, message)

    async def _heard(self, project: str, entry: Entry, message: Message) -> None:
        await self._change(
            project, entry.key, f"told:{message.id}", lambda q: lifecycle.heard(q, entry)
        )

    async def _change(self, project: str, key: str, step: str, change: _Change) -> Queue:
        queue = await self._books.change(project, change, applied=f"{key}:{step}")
        self._world = replace(self._world, queues={**self._world.queues, project: queue})
        return queue

    def _note(self, entry: Entry, error: ChassisError) -> None:
        if isinstance(error, RejectedError) and self._books.notes.get(entry.key) != str(error):
            self._log.warning("workflow.stuck", workflow=entry.key, reason=str(error))
        self._books.notes[entry.key] = str(error)

    def _missed(self, reason: str) -> None:
        if not self._books.away:
            self._log.warning("orchestrator.away", reason=reason)
        self._books.away = reason

    def _answered(self) -> None:
        if self._books.away:
            self._log.info("orchestrator.back")
        self._books.away = ""


def _watched(queue: Queue) -> tuple[Entry, ...]:
    # Its end must not be told before its start, nor before what it was asked.
    return tuple(entry for entry in queue.in_state(State.RUNNING) if lifecycle.is_told(entry))


def _busy(world: World) -> bool:
    # Whatever waits for a person rings when the person has spoken.
    return any(
        queue.in_state(State.WAITING, *UNDER_WAY)
        or lifecycle.untold(queue)
        or lifecycle.unstopped(queue)
        for queue in world.queues.values()
    )
