# SPDX-License-Identifier: Apache-2.0
"""Findings: what the hardware had to do with a failure, the worst first, and the one thing to change.

A finding says what was seen, with figures; it claims no cause. A process that was killed (status 137, or signal 9) ran
out of memory where the machine was short of it at that time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from mlops.orchestration_bridge.model import symptoms
from mlops.orchestration_bridge.model.diagnosis import exit_status
from mlops.orchestration_bridge.model.heat import DRAINS, PENALISES, SHRINKS
from mlops.orchestration_bridge.model.placement import GIB
from mlops.orchestration_bridge.model.strain import Strain
from mlops.orchestration_bridge.model.symptoms import Kind

MOST = 20
_KILLED = (137, -9)
_BY_SIGNAL = re.compile(r"\bSIGKILL\b|\bsignal 9\b|^Killed(?:: 9)?$")
_TIGHT = 0.05  # of all memory: with less left the system begins to kill
_SWAPPED_A_LOT = 2 * GIB
_SWAPPED = GIB // 4
_SLOWED = 0.05
_WORDS = ("nominal", "elevated", "throttled", "critical", "emergency")


@dataclass(frozen=True)
class Finding:
    """One thing that was seen; `weight` orders them, `do` is what could be changed about it."""

    kind: Kind
    text: str
    weight: int
    node: str = ""
    at: datetime | None = None
    do: str = ""


@dataclass(frozen=True)
class Stay:
    """A machine that the workflow ran on: what it went through, and why nobody hears of it any more, if so."""

    node: str
    strain: Strain
    silent: str = ""


def findings(stays: tuple[Stay, ...], diagnosis: str) -> tuple[Finding, ...]:
    """Return what was seen on the machines and in the log, the worst first."""
    lines = diagnosis.splitlines()
    killed = exit_status(lines) in _KILLED or any(map(_BY_SIGNAL.search, lines))
    found = [_of_log(seen) for seen in symptoms.seen(lines)]
    for stay in stays:
        found += _of_stay(stay, killed=killed)
    return tuple(sorted(found, key=lambda one: -one.weight)[:MOST])


def suggestion(found: tuple[Finding, ...]) -> str:
    """Return the one thing to change, empty where the hardware is not to blame."""
    return next((one.do for one in found if one.do and one.weight >= _BLAMED), "")


_VANISHED, _MEMORY, _KILL, _GPU, _HOT, _CRITICAL = 100, 90, 85, 80, 70, 60
_SWAP, _SLOW, _WARN, _MODE, _CAP, _WARM = 50, 40, 30, 20, 15, 10
_BLAMED = _MODE
_LESS_MEMORY = "use smaller batches, or raise [train].resources.memory_gb so that it waits for a machine with room"


def _of_log(seen: symptoms.Seen) -> Finding:
    symptom = seen.symptom
    weight = _MEMORY if symptom.kind is Kind.OUT_OF_MEMORY else _GPU
    return Finding(symptom.kind, f"{symptom.means}: {seen.line}", weight, do=symptom.do)


def _of_stay(stay: Stay, *, killed: bool) -> list[Finding]:
    found = [
        _vanished(stay),
        _memory(stay, killed=killed),
        _swap(stay),
        _heat(stay),
        _slowed(stay),
        _low_power(stay),
        _capped(stay),
    ]
    return [one for one in found if one is not None]


def _vanished(stay: Stay) -> Finding | None:
    if not stay.silent:
        return None
    do = (
        "see with `mlops top` whether the machine is up; with [train.checkpoint] the work goes on from its last "
        "checkpoint elsewhere"
    )
    return Finding(Kind.NODE_VANISHED, stay.silent, _VANISHED, stay.node, do=do)


def _memory(stay: Stay, *, killed: bool) -> Finding | None:
    strain = stay.strain
    tight = _is_tight(strain)
    pressed_s = strain.warn_s + strain.critical_s
    if strain.oom_kills:
        return _oom(stay, killed=killed)
    if not pressed_s and not tight:
        return None
    kind, weight = Kind.MEMORY_PRESSURE, _CRITICAL if strain.critical_s or tight else _WARN
    begin = "memory was short"
    if killed and (weight == _CRITICAL or strain.swap_grown >= _SWAPPED_A_LOT):
        kind, weight = Kind.OUT_OF_MEMORY, _KILL
        begin = "the process was killed (signal 9) while memory was short"
    text = f"{begin}{_pressure(strain)}{_left(strain)}"
    at = strain.pressed_at or strain.least_at
    return Finding(kind, text, weight, stay.node, at, _LESS_MEMORY)


def _oom(stay: Stay, *, killed: bool) -> Finding:
    """Return that the kernel killed something for want of memory: this one, if it was killed by signal 9."""
    strain = stay.strain
    kind, weight = (Kind.OUT_OF_MEMORY, _KILL) if killed else (Kind.MEMORY_PRESSURE, _CRITICAL)
    number = f"{strain.oom_kills} process{'es' if strain.oom_kills > 1 else ''}"
    own = "; this one was killed (signal 9)" if killed else ""
    text = f"the kernel killed {number} for want of memory{own}{_pressure(strain)}{_left(strain)}"
    return Finding(kind, text, weight, stay.node, strain.oom_at, _LESS_MEMORY)


def _pressure(strain: Strain) -> str:
    told = []
    if strain.critical_s:
        told.append(f"critical for {strain.critical_s:.0f} s")
    if strain.warn_s:
        told.append(f"warned of for {strain.warn_s:.0f} s")
    return f": {', '.join(told)} of {strain.known_s:.0f} s" if told else ""


def _left(strain: Strain) -> str:
    if strain.least_available is None:
        return ""
    of = "" if strain.total is None else f" of {strain.total / GIB:.1f}"
    return f"; {strain.least_available / GIB:.1f}{of} GiB left at the least"


def _is_tight(strain: Strain) -> bool:
    if strain.least_available is None or not strain.total:
        return False
    return strain.least_available < _TIGHT * strain.total


def _swap(stay: Stay) -> Finding | None:
    strain = stay.strain
    if strain.swap_grown < _SWAPPED:
        return None
    text = (
        f"swap grew by {strain.swap_grown / GIB:.1f} GiB to {(strain.swap_most or 0) / GIB:.1f} GiB, "
        "which slows down everything"
    )
    weight = _SWAP if strain.swap_grown >= _SWAPPED_A_LOT else _WARN
    do = "lower what it holds at once, or raise [train].resources.memory_gb so that it waits for a machine with room"
    return Finding(Kind.SWAP, text, weight, stay.node, strain.swap_at, do)


def _heat(stay: Stay) -> Finding | None:
    level = min(stay.strain.peak_level, len(_WORDS) - 1)
    if level < PENALISES:
        return None
    why = f": {stay.strain.reason}" if stay.strain.reason else ""
    text = f"heat rose to level {level} ({_WORDS[level]}){why}"
    weight = _HOT if level >= DRAINS else _SLOW if level >= SHRINKS else _WARM
    do = (
        "give [train.checkpoint] so that it can move to a cooler machine; [train].latency_critical = true keeps it off "
        "warm ones"
    )
    return Finding(Kind.HEAT, text, weight, stay.node, stay.strain.peak_at, do)


def _slowed(stay: Stay) -> Finding | None:
    strain = stay.strain
    if strain.throttled_s <= _SLOWED * strain.known_s or not strain.throttled_s:
        return None
    clocks = _fallen(strain)
    text = f"it was slowed down for {strain.throttled_s:.0f} of {strain.known_s:.0f} s{clocks}"
    do = "allow it more time ([train].timeout), or a machine with a fan: [train].latency_critical = true keeps it off warm ones"
    return Finding(Kind.THROTTLED, text, _SLOW, stay.node, strain.peak_at, do)


def _fallen(strain: Strain) -> str:
    told = [
        f"{unit} clock {clock.least_hz / 1e6:.0f} of {clock.most_hz / 1e6:.0f} MHz"
        for unit, clock in sorted(strain.clocks.items())
        if clock.least_hz < clock.most_hz
    ]
    return f"; {', '.join(told)} at the slowest" if told else ""


def _low_power(stay: Stay) -> Finding | None:
    if not stay.strain.low_power_s:
        return None
    text = f"low power mode was on for {stay.strain.low_power_s:.0f} of {stay.strain.known_s:.0f} s"
    do = "plug the machine in, or turn low power mode off (System Settings, Battery; `sudo pmset -a lowpowermode 0`)"
    return Finding(Kind.LOW_POWER_MODE, text, _MODE, stay.node, do=do)


def _capped(stay: Stay) -> Finding | None:
    if not stay.strain.power_cap_s:
        return None
    text = f"a power limit held it back for {stay.strain.power_cap_s:.0f} of {stay.strain.known_s:.0f} s, which is usual at full load"
    return Finding(Kind.POWER_CAP, text, _CAP, stay.node)
