# SPDX-License-Identifier: Apache-2.0
"""Stays: what each workflow took of the machine it runs on, and what that machine went through; kept with the machine.

Nothing is kept of a sample but sums for each workflow that is under way, so a document stays small however long the
machine is up; and it survives a restart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from mlops.contracts import attribution
from mlops.contracts.attribution import Use
from mlops.contracts.metering import Span, held, meter
from mlops.contracts.telemetry_agent import HardwareSample
from mlops.orchestration_bridge.model.placement import ACCELERATORS
from mlops.orchestration_bridge.model.queue import Entry, State
from mlops.orchestration_bridge.model.standing import World
from mlops.orchestration_bridge.model.strain import Look, Strain, heated, strained
from mlops.orchestration_bridge.ports.books import NodeDocument

# How the share of a workflow is found: the bridge does not see its processes, but the steps keep to the cores asked for.
SHARE = "by cores asked for"
_AT_WORK = 0.5


def sampled(
    document: NodeDocument, name: str, sample: HardwareSample, world: World | None, now: datetime
) -> NodeDocument:
    """Return the machine's document after a sample: everybody under way there is charged, and had the strain."""
    read = meter(sample.model_dump(mode="json"))
    here = () if world is None else under_way(world, name)
    span = attribution.since(document.tab, read)
    tab = attribution.charged(document.tab, read, uses(here, document, span))
    look, began = look_of(sample, now), _news(document, sample, now)
    strains = dict(document.strains)
    for entry in here:
        lasted_s = (now - max(began, entry.started_at or now)).total_seconds()
        if lasted_s > 0:
            strains[entry.key] = strained(strains.get(entry.key, Strain()), look, lasted_s)
    return _pruned(document.model_copy(update={"tab": tab, "strains": strains}), world)


def edged(
    document: NodeDocument, name: str, level: int, reason: str, world: World | None, now: datetime
) -> NodeDocument:
    """Return the machine's document after a thermal event: everybody under way there has seen its level."""
    here = () if world is None else under_way(world, name)
    strains = {
        entry.key: heated(document.strains.get(entry.key, Strain()), level, now, reason)
        for entry in here
    }
    return document.model_copy(update={"strains": {**document.strains, **strains}})


def left(
    document: NodeDocument, name: str, key: str, world: World | None, now: datetime
) -> NodeDocument:
    """Return the machine's document after *key* ended: charged up to then, by the power of the last sample."""
    tab, at_s = document.tab, now.timestamp() - document.node.skew_s
    here = () if world is None else under_way(world, name)
    span = held(tab.last, at_s) if tab.last else None
    charged = attribution.ended(tab, key, at_s, uses(here, document, span))
    return document.model_copy(update={"tab": charged})


def under_way(world: World, name: str) -> tuple[Entry, ...]:
    """Return the workflows that run on a machine; where nobody knows which, on the only one that there is."""
    alone = len(world.nodes) <= 1
    return tuple(
        entry
        for queue in world.queues.values()
        for entry in queue.in_state(State.RUNNING)
        if name in (entry.nodes or (entry.node,)) or (alone and not entry.node)
    )


def uses(entries: Iterable[Entry], document: NodeDocument, span: Span | None) -> list[Use]:
    """Return what each of the workflows did of a span of the machine's own clock."""
    if span is None:
        return []
    return [_use(entry, document, span) for entry in entries]


def _use(entry: Entry, document: NodeDocument, span: Span) -> Use:
    skew_s, needs = document.node.skew_s, entry.needs
    began_s = entry.started_at.timestamp() - skew_s if entry.started_at else span.until_s
    lasted_s = max(0.0, span.until_s - max(span.since_s, began_s))
    cores = min(needs.cpu if needs else 1.0, document.node.reading.cores or float("inf"))
    accelerated = needs is not None and needs.accelerator in ACCELERATORS
    return Use(entry.key, lasted_s, cores * lasted_s, lasted_s if accelerated else 0.0)


def _news(document: NodeDocument, sample: HardwareSample, now: datetime) -> datetime:
    """Return since when a sample tells what no sample has told before: windows may overlap."""
    window_s = sample.window_s
    if document.tab.last is not None:
        window_s = min(window_s, sample.observed_at.timestamp() - document.tab.last.at_s)
    return now - timedelta(seconds=max(0.0, window_s))


def look_of(sample: HardwareSample, at: datetime) -> Look:
    """Return what a sample says of strain, at the time of its arrival."""
    thermal, memory = sample.thermal, sample.memory
    reasons = set(thermal.reasons)
    return Look(
        at=at,
        window_s=sample.window_s,
        level=thermal.level,
        derived_throttle=bool(thermal.derived_throttle),
        throttled_s=thermal.throttled_s_delta,
        clocks_hz=_clocks(sample),
        pressure=memory.pressure,
        total=memory.total_bytes or sample.chip.memory_bytes,
        available=memory.available_bytes,
        swap=memory.swap_used_bytes,
        oom_kills=memory.oom_kills_delta or 0,
        low_power=sample.power.mode == "low" or "low_power_mode" in reasons,
        power_cap="power_cap" in reasons,
    )


def _clocks(sample: HardwareSample) -> dict[str, float]:
    several = len(sample.gpus) > 1
    found = {
        f"GPU {gpu.id}" if several else "GPU": gpu.freq_hz
        for gpu in sample.gpus
        if gpu.freq_hz and (gpu.busy_ratio or 0.0) > _AT_WORK
    }
    fast = [one for one in sample.clusters if one.kind in ("performance", "super")]
    busy = [one.freq_hz for one in fast if one.freq_hz and (one.busy_ratio or 0.0) > _AT_WORK]
    return found | ({"processor": max(busy)} if busy else {})


def _pruned(document: NodeDocument, world: World | None) -> NodeDocument:
    """Return the document without those who are over and whose energy has been told."""
    kept = {*document.tab.taken, *document.strains}
    if world is None or not kept:
        return document
    open_keys = {
        entry.key
        for queue in world.queues.values()
        for entry in queue.entries
        if entry.key in kept and (entry.active or entry.energy is None)
    }
    taken = {key: one for key, one in document.tab.taken.items() if key in open_keys}
    strains = {key: one for key, one in document.strains.items() if key in open_keys}
    tab = replace(document.tab, taken=taken)
    return document.model_copy(update={"tab": tab, "strains": strains})
