# SPDX-License-Identifier: Apache-2.0
"""The agent's source: it looks every few seconds, tells edges at once and a sample per window."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from mlops.chassis.clock import Clock
from mlops.contracts.message import NodeEvent
from mlops.contracts.telemetry_agent import (
    AgentCost,
    HardwareSample,
    SampleSource,
    TelemetrySampled,
)
from mlops.telemetry_agent.model import budget, episodes, pace
from mlops.telemetry_agent.model.budget import Budget, Spent
from mlops.telemetry_agent.model.episodes import Edge, Watch, Where
from mlops.telemetry_agent.model.pace import Pace
from mlops.telemetry_agent.model.reading import LEVEL, Reading
from mlops.telemetry_agent.model.sample import sample_fields
from mlops.telemetry_agent.ports import Costs, Kept, Memory, TelemetryProbe
from mlops.telemetry_agent.sources.edges import edge_message
from mlops.telemetry_agent.sources.looking import Looking
from mlops.telemetry_agent.sources.telling import Telling

_TEMPERATURES = ("thermal.cpu_temp_c", "thermal.gpu_temp_c")
_STEPPED = timedelta(seconds=5)


@dataclass(frozen=True)
class Identity:
    """Who tells: the node, its boot, this start of the agent, and whether the machine is a real one."""

    where: Where
    start_id: str
    source: SampleSource


@dataclass
class Activity:
    """Whether the machine works now: probes that cost more are asked less often while it rests."""

    busy: bool = True


@dataclass(frozen=True)
class Surroundings:
    """What the agent works with besides its probes; the defaults are those of a test."""

    telling: Telling = field(default_factory=Telling)
    costs: Costs | None = None
    may_tell: Callable[[], bool] = lambda: True
    budget: Budget = field(default_factory=Budget)
    activity: Activity = field(default_factory=Activity)


class Agent:
    """Probes in, messages out."""

    def __init__(
        self,
        probes: Sequence[TelemetryProbe],
        memory: Memory,
        identity: Identity,
        pace_: Pace,
        *,
        clock: Clock,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        around: Surroundings | None = None,
    ) -> None:
        self._looking = Looking(probes, monotonic)
        self._memory = memory
        self._identity = identity
        self._pace = pace_
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._around = around or Surroundings()
        self._watch = Watch()
        self._spent = Spent()
        self._share: float | None = None
        self._offset = clock() - timedelta(seconds=monotonic())
        self._seq = 0
        self.newest: TelemetrySampled | None = None

    @property
    def episodes(self) -> int:
        """Return how many thermal episodes there were since the state began."""
        return self._watch.episodes

    async def telemetry(self) -> AsyncGenerator[NodeEvent, None]:
        """Yield edges as they happen and a sample per window, without end.

        An edge is kept before it is told and forgotten after; a restart tells it again, under the same id.
        """
        async for told_again in self._resume():
            yield told_again
        began, window, last = self._monotonic(), list[Reading](), None
        while True:
            now_s = self._monotonic()
            reading = await asyncio.to_thread(self._looking.look, now_s)
            window.append(reading)
            self._spend(now_s)
            if edge := self._step(reading):
                await asyncio.to_thread(self._memory.save, Kept(self._watch, (edge,)))
                if self._around.may_tell():
                    yield edge_message(self._identity.where.node, edge)
                await asyncio.to_thread(self._memory.save, Kept(self._watch))
            idle = pace.is_idle(reading, self._watch.level)
            self._around.activity.busy = not idle
            factor = self._spent.factor
            if (
                now_s - began
                >= pace.window_s(self._pace, idle=idle, last_s=last, factor=factor) - 1e-3
            ):
                self.newest = self._sample(window, now_s - began)
                async for sample in self._tell(self.newest):
                    yield sample
                began, last, window = now_s, now_s - began, []
            async for sample in self._late():
                yield sample
            took = self._monotonic() - now_s
            wait_s = pace.read_s(self._pace, idle=idle, last_s=last, factor=factor)
            await self._sleep(max(0.0, wait_s - took))

    async def _resume(self) -> AsyncIterator[NodeEvent]:
        kept = await asyncio.to_thread(self._memory.load)
        self._watch = episodes.resumed(kept.watch, self._clock())
        for edge in kept.untold:
            yield edge_message(self._identity.where.node, edge)
        await asyncio.to_thread(self._memory.save, replace(kept, watch=self._watch, untold=()))

    async def _tell(self, sample: TelemetrySampled) -> AsyncIterator[TelemetrySampled]:
        if self._around.may_tell():
            async for one in self._around.telling.tell(sample):
                yield one

    async def _late(self) -> AsyncIterator[TelemetrySampled]:
        if self._around.may_tell():
            async for one in self._around.telling.late(self._clock()):
                yield one

    def _spend(self, now_s: float) -> None:
        costs = self._around.costs
        if costs is None:
            return
        before = self._spent
        self._spent, self._share = budget.spend(
            before, costs.cpu_s(), costs.rss_bytes(), now_s, self._around.budget
        )
        if (self._spent.factor, self._spent.heavy) != (before.factor, before.heavy):
            structlog.get_logger("telemetry").warning(
                "agent.over_budget" if self._spent.degraded else "agent.within_budget",
                cpu_ratio=self._share,
                intervals_times=self._spent.factor,
                too_much_memory=self._spent.heavy,
            )

    def _now(self) -> datetime:
        """Return the time by the monotonic clock; when somebody sets the clock, what is known moves with it."""
        told = self._offset + timedelta(seconds=self._monotonic())
        stepped = self._clock() - told
        if abs(stepped) < _STEPPED:
            return told
        self._offset += stepped
        self._watch = episodes.shifted(self._watch, stepped)
        return told + stepped

    def _step(self, reading: Reading) -> Edge | None:
        at = self._now()
        level = reading.number(LEVEL)
        native = str(reading.values.get("thermal.native", ""))
        temps = [temp for name in _TEMPERATURES if (temp := reading.number(name)) is not None]
        self._watch, edge = episodes.step(
            self._watch,
            None if level is None else int(level),
            native,
            at,
            self._identity.where,
            self._pace.rule,
            max(temps, default=None),
        )
        return edge

    def _sample(self, window: Sequence[Reading], seconds: float) -> TelemetrySampled:
        self._seq += 1
        identity, episode = self._identity, self._watch.episode
        boot = f"{identity.where.boot_id}-{identity.start_id}"
        whole = self._looking.sum_up(window)
        # The held level, not the last reading: who missed an edge heals from it.
        sample = to_sample(whole, self._watch.level, self._seq, boot, self._clock())
        more = {"source": identity.source, "window_s": seconds, "agent": self._cost()}
        named = f"mlops:sample:{boot}:{identity.where.node}:{self._seq}"
        return TelemetrySampled(
            id=str(uuid.uuid5(uuid.NAMESPACE_URL, named)),
            node=identity.where.node,
            sample=sample.model_copy(update=more),
            episode_id=episode.id if episode else None,
        )

    def _cost(self) -> AgentCost:
        costs = self._around.costs
        return AgentCost(
            cpu_ratio=self._share,
            rss_bytes=None if costs is None else costs.rss_bytes(),
            read_ms=self._looking.mean_ms(),
            dropped=self._looking.dropped,
            degraded=self._spent.degraded,
        )


def to_sample(reading: Reading, level: int, seq: int, boot_id: str, at: datetime) -> HardwareSample:
    """Return the message's sample of a reading; *level* is the one that is held true."""
    return HardwareSample.model_validate(sample_fields(reading, level, seq, boot_id, at))
