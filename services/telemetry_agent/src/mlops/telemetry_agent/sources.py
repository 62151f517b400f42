# SPDX-License-Identifier: Apache-2.0
"""The agent's one source: it looks every few seconds, tells edges at once and a sample per window."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from mlops.chassis.clock import Clock
from mlops.contracts.message import NodeEvent
from mlops.contracts.telemetry_agent import (
    HardwareSample,
    SampleSource,
    TelemetrySampled,
    ThermalRecovered,
    ThermalThrottled,
)
from mlops.telemetry_agent.model import episodes
from mlops.telemetry_agent.model.episodes import Edge, Rule, Watch, Where
from mlops.telemetry_agent.model.reading import LEVEL, UNSUPPORTED, Reading, compose
from mlops.telemetry_agent.model.window import aggregate
from mlops.telemetry_agent.ports import Kept, Memory, TelemetryProbe

_SECTIONS = ("chip", "thermal", "power", "memory")
_NATIVE, _REASON = 64, 300
# What every sample answers for: with a value, or with the reason why there is none.
_PROMISED = (
    LEVEL,
    "thermal.cpu_temp_c",
    "thermal.gpu_temp_c",
    "power.cpu_w",
    "power.gpu_w",
    "power.package_w",
    "cpu_busy_ratio",
    "memory.available_bytes",
    "memory.pressure",
)


@dataclass(frozen=True)
class Pace:
    """How often the agent looks and tells, and how patient it is."""

    read_every: timedelta
    sample_every: timedelta
    rule: Rule = field(default_factory=Rule)


@dataclass(frozen=True)
class Identity:
    """Who tells: the node, its boot, this start of the agent, and whether the machine is a real one."""

    where: Where
    start_id: str
    source: SampleSource


class Agent:
    """Probes in, messages out."""

    def __init__(
        self,
        probes: Sequence[TelemetryProbe],
        memory: Memory,
        identity: Identity,
        pace: Pace,
        *,
        clock: Clock,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._probes = probes
        self._memory = memory
        self._identity = identity
        self._pace = pace
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._watch = Watch()
        self._seq = 0
        self.newest: TelemetrySampled | None = None

    async def telemetry(self) -> AsyncGenerator[NodeEvent, None]:
        """Yield edges as they happen and a sample per window, without end.

        An edge is kept before it is told and forgotten after; a restart tells it again, under the same id.
        """
        async for told_again in self._resume():
            yield told_again
        began, window = self._monotonic(), list[Reading]()
        while True:
            now_s = self._monotonic()
            reading = await asyncio.to_thread(self._look, now_s)
            window.append(reading)
            if edge := self._step(reading):
                await asyncio.to_thread(self._memory.save, Kept(self._watch, (edge,)))
                yield self._edge(edge)
                await asyncio.to_thread(self._memory.save, Kept(self._watch))
            if now_s - began >= self._pace.sample_every.total_seconds() - 1e-3:
                self.newest = self._sample(window, now_s - began)
                yield self.newest
                began, window = now_s, []
            took = self._monotonic() - now_s
            await self._sleep(max(0.0, self._pace.read_every.total_seconds() - took))

    async def _resume(self) -> AsyncIterator[NodeEvent]:
        kept = await asyncio.to_thread(self._memory.load)
        self._watch = episodes.resumed(kept.watch, self._clock())
        for edge in kept.untold:
            yield self._edge(edge)
        await asyncio.to_thread(self._memory.save, replace(kept, watch=self._watch, untold=()))

    def _look(self, at_s: float) -> Reading:
        return compose([probe.read(at_s) for probe in self._probes])

    def _step(self, reading: Reading) -> Edge | None:
        level = reading.number(LEVEL)
        native = str(reading.values.get("thermal.native", ""))
        self._watch, edge = episodes.step(
            self._watch,
            None if level is None else int(level),
            native,
            self._clock(),
            self._identity.where,
            self._pace.rule,
        )
        return edge

    def _edge(self, edge: Edge) -> ThermalThrottled | ThermalRecovered:
        node = self._identity.where.node
        if edge.recovered:
            return ThermalRecovered(
                id=edge.id,
                node=node,
                episode_id=edge.episode_id,
                level=edge.level,
                peak_level=edge.peak_level,
                duration_s=edge.duration_s,
                since=edge.since,
                # Both edges of an episode belong to one story.
                correlation_id=edge.episode_id,
            )
        return ThermalThrottled(
            id=edge.id,
            node=node,
            episode_id=edge.episode_id,
            level=edge.level,
            native=edge.native[:_NATIVE],
            reason=edge.reason[:_REASON],
            since=edge.since,
            escalated_from=edge.escalated_from,
            correlation_id=edge.episode_id,
        )

    def _sample(self, window: Sequence[Reading], seconds: float) -> TelemetrySampled:
        self._seq += 1
        identity, episode = self._identity, self._watch.episode
        boot = f"{identity.where.boot_id}-{identity.start_id}"
        # The held level, not the last reading: who missed an edge heals from it.
        sample = to_sample(aggregate(window), self._watch.level, self._seq, boot, self._clock())
        return TelemetrySampled(
            id=str(
                uuid.uuid5(
                    uuid.NAMESPACE_URL, f"mlops:sample:{boot}:{identity.where.node}:{self._seq}"
                )
            ),
            node=identity.where.node,
            sample=sample.model_copy(update={"source": identity.source, "window_s": seconds}),
            episode_id=episode.id if episode else None,
        )


def to_sample(reading: Reading, level: int, seq: int, boot_id: str, at: datetime) -> HardwareSample:
    """Return the message's sample of a reading; *level* is the one that is held true."""
    sections: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS}
    plain: dict[str, Any] = {}
    for name, value in reading.values.items():
        section, _, part = name.partition(".")
        (sections.setdefault(section, {}) if part else plain)[part or section] = value
    if LEVEL in reading.values:
        sections["thermal"] |= {"level": level}
    sections["thermal"]["native"] = str(sections["thermal"].get("native", ""))[:_NATIVE]
    silent = {name: UNSUPPORTED for name in _PROMISED if name not in reading.values}
    return HardwareSample.model_validate(
        {
            **sections,
            **plain,
            "seq": seq,
            "boot_id": boot_id,
            "observed_at": at,
            "window_s": 0.0,
            "gpus": [vars(gpu) for gpu in reading.gpus],
            "provenance": dict(reading.provenance),
            "missing": {**silent, **reading.missing},
        }
    )
