# SPDX-License-Identifier: Apache-2.0
"""Variants of ours: the same policy that hears of heat differently. They show which of its rules is worth what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from mlops.orchestration_bridge.model import heat
from mlops.orchestration_bridge.simulation.scheduler import Told

_IDLE = 0.3
DRAINS_AFTER = timedelta(seconds=120)

# What is heard of what was said; None is nothing.
Hearing = Callable[[Told], Told | None]


def plain() -> Hearing:
    """Hear what is said: production."""
    return lambda said: said


def blind() -> Hearing:
    """Hear of no heat at all: what is left is fair share, memory and accelerators."""

    def heard(said: Told) -> Told | None:
        if said.reading is None:
            return None
        return replace(said, reading=replace(said.reading, level=0, temp_c=None, power_w=None))

    return heard


def penalising() -> Hearing:
    """Hear level 2 as level 1: a throttled machine comes last and has fewer slots, but is never closed."""

    def heard(said: Told) -> Told:
        if said.reading is None:
            return replace(said, level=min(said.level, heat.PENALISES))
        level = min(said.reading.level or 0, heat.PENALISES)
        return replace(said, reading=replace(said.reading, level=level))

    return heard


def resting() -> Hearing:
    """Hear level 2 of a machine that is idle as level 1: it cools down anyway, so it comes last but is open."""

    def heard(said: Told) -> Told:
        reading = said.reading
        if reading is None or (reading.cpu_busy_ratio or 0.0) > _IDLE:
            return said
        level = min(reading.level or 0, heat.PENALISES)
        return replace(said, reading=replace(reading, level=level))

    return heard


def draining() -> Hearing:
    """Hear level 2 that has lasted two minutes as level 3: what runs there leaves, where that is worth it."""
    since: dict[str, datetime] = {}

    def heard(said: Told) -> Told:
        level = (said.level if said.reading is None else said.reading.level) or 0
        if level < heat.SHRINKS:
            since.pop(said.machine, None)
            return said
        began = since.setdefault(said.machine, said.at)
        if said.reading is None or said.at - began < DRAINS_AFTER:
            return said
        return replace(said, reading=replace(said.reading, level=heat.DRAINS))

    return heard


VARIANTS: Mapping[str, Callable[[], Hearing]] = {
    "ours": plain,
    "closed": plain,
    "blind": blind,
    "penalising": penalising,
    "resting": resting,
    "draining": draining,
}

# How long work waits for a machine that is not throttled, where it is not as long as in production: until there is one.
PATIENCE: Mapping[str, None] = {"closed": None}
