# SPDX-License-Identifier: Apache-2.0
"""What machines say of themselves is kept, judged by when it arrives; a change of heat wakes whoever acts on it."""

from __future__ import annotations

from collections.abc import Sequence

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.contracts.message import Message
from mlops.contracts.telemetry_agent import (
    Chip,
    HardwareSample,
    TelemetrySampled,
    ThermalRecovered,
    ThermalThrottled,
)
from mlops.orchestration_bridge.model import nodes
from mlops.orchestration_bridge.model.nodes import Node, Reading
from mlops.orchestration_bridge.ports import stays
from mlops.orchestration_bridge.ports.books import Books, NodeDocument


class Nodes:
    """The state of each machine: edges when they come, samples to heal a missed edge and to forecast."""

    def __init__(self, books: Books, clock: Clock) -> None:
        self._books = books
        self._clock = clock
        self._documents: Documents[NodeDocument] = books.nodes

    async def on_thermal_throttled(self, event: ThermalThrottled) -> Sequence[Message]:
        """Keep the level and the reason, and take slots away."""
        said = Node(event.level, event.time, reason=event.reason, episode=event.episode_id)
        return await self._edge(event, said)

    async def on_thermal_recovered(self, event: ThermalRecovered) -> Sequence[Message]:
        """Keep the lower level; slots come back one by one."""
        return await self._edge(event, Node(event.level, event.time, episode=event.episode_id))

    async def on_telemetry_sampled(self, event: TelemetrySampled) -> Sequence[Message]:
        """Keep what is new, and now and then a sign of life; most samples of a machine without work change nothing."""
        if event.sample.backfill:
            return []
        now, known = self._clock(), await self._documents.get(event.node)
        last = self._books.last
        at_work = last is not None and bool(stays.under_way(last, event.node))
        reading, before = reading_of(event.sample), known.node if known else None

        def after(node: Node | None) -> Node | None:
            return nodes.sampled(
                node,
                event.node,
                reading,
                event.time,
                now,
                self._books.max_parallel,
                self._books.heat_rules.pace,
            )

        if after(before) is None and not at_work:
            return []

        def change(document: NodeDocument | None) -> NodeDocument:
            node = after(document.node if document else None)
            if node is None and document and not at_work:
                return document
            later = document if node is None and document else _with(document, node or _MUTE)
            return stays.sampled(later, event.node, event.sample, last, now)

        kept = await self._documents.change(event.node, change, applied=event.id)
        self._tell(before, kept.node)
        return []

    async def _edge(
        self, event: ThermalThrottled | ThermalRecovered, said: Node
    ) -> Sequence[Message]:
        known, now = await self._documents.get(event.node), self._clock()

        def change(document: NodeDocument | None) -> NodeDocument:
            node = document.node if document else None
            most, pace = self._books.max_parallel, self._books.heat_rules.pace
            later = nodes.edged(node, event.node, said, now, most, pace)
            found, last = _with(document, later), self._books.last
            return stays.edged(found, event.node, event.level, said.reason, last, now)

        kept = await self._documents.change(event.node, change, applied=event.id)
        self._tell(known.node if known else None, kept.node)
        return []

    def _tell(self, before: Node | None, after: Node) -> None:
        if before is None or before.level != after.level or before.slots.now != after.slots.now:
            self._books.ring()


def _with(document: NodeDocument | None, node: Node) -> NodeDocument:
    return document.model_copy(update={"node": node}) if document else NodeDocument(node=node)


def reading_of(sample: HardwareSample) -> Reading:
    """Return a sample in the scheduler's words."""
    busy = [gpu.busy_ratio for gpu in sample.gpus if gpu.busy_ratio is not None]
    degrees = [t for t in (sample.thermal.cpu_temp_c, sample.thermal.gpu_temp_c) if t is not None]
    return Reading(
        level=sample.thermal.level,
        derived_throttle=bool(sample.thermal.derived_throttle),
        reasons=sample.thermal.reasons,
        window_s=sample.window_s,
        boot_id=sample.boot_id,
        source=sample.source.value,
        backfill=sample.backfill,
        chip=sample.chip.name,
        cores=sample.chip.cores,
        memory_total=sample.memory.total_bytes or sample.chip.memory_bytes,
        memory_available=sample.memory.available_bytes,
        memory_pressure=sample.memory.pressure,
        accelerators=_accelerators(sample.chip),
        gpu_busy_ratio=max(busy) if busy else None,
        cpu_busy_ratio=sample.cpu_busy_ratio,
        power_w=_power_w(sample),
        temp_c=max(degrees) if degrees else None,
        margin_c=sample.thermal.margin_c,
    )


def _accelerators(chip: Chip) -> tuple[str, ...] | None:
    if chip.mps_available is None and chip.cuda_available is None:
        return None
    apple = ("mlx", "mps") if chip.mps_available else ()
    return (*apple, *(("cuda",) if chip.cuda_available else ()))


def _power_w(sample: HardwareSample) -> float | None:
    """Return what heats the chip: its package, or its parts together; the power supply knows screens too."""
    power = sample.power
    if power.package_w is not None:
        return power.package_w
    parts = [one for one in (power.cpu_w, power.gpu_w, power.ane_w) if one is not None]
    return sum(parts) if parts else power.system_w


# A sample that says nothing new is not kept, so this is only written where a document vanished in between.
_MUTE = Node(None, nodes.NEVER)
