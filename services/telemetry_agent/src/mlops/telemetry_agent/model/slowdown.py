# SPDX-License-Identifier: Apache-2.0
"""The second detector: a machine whose clocks or power fall under full load is slowed down, whatever its level says.

A unit (the processor, each GPU) that was over 90 % busy for 10 s without a pause is held back when its power is
below 0.6 of its own 95th percentile at that load within the same run, or its clock below 0.8 of the highest seen at
that load. Published measurements show such falls of 15 to 65 % while the system's own level stayed nominal.

What else explains the fall is told apart and is not heat: low power mode, a power cap that the driver names (or a
processor whose own sensors say that it is cool), and waiting for memory, which lowers power but never clocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mlops.telemetry_agent.model.ladder import ELEVATED, MARGIN_C, NAMES, THROTTLED
from mlops.telemetry_agent.model.reading import LEVEL, GpuReading, Reading, Value

BUSY = 0.9
AFTER_S = 10.0
RUN_ENDS_AFTER_S = 60.0
POWER_SHARE, CLOCK_SHARE = 0.6, 0.8
_PERCENTILE = 0.95
_KEPT = 512
_ENOUGH = 5
_GAP_S = 30.0
THERMAL, POWER_CAP = "thermal", "power_cap"
LOW_POWER_MODE, MEMORY_PRESSURE = "low_power_mode", "memory_pressure"
PROBE = "derived"


@dataclass(frozen=True)
class Unit:
    """What one unit does now, and what besides heat would explain that it does less."""

    busy: float | None
    watts: float | None
    clock_hz: float | None
    explained: str = ""


@dataclass(frozen=True)
class Run:
    """What is known of one unit: its powers and its best clock at full load, and since when it is held back.

    `powers` are thinned evenly when they become many, so that they stand for the whole run.
    """

    powers: tuple[float, ...] = ()
    every: int = 1
    seen: int = 0
    best_hz: float = 0.0
    busy_since_s: float | None = None
    busy_at_s: float = float("-inf")
    low_since_s: float | None = None


@dataclass(frozen=True)
class Runs:
    """All units, and the supply and mode that their powers belong to."""

    units: Mapping[str, Run] = field(default_factory=dict)
    supply: str = ""


@dataclass(frozen=True)
class Slow:
    """A unit that is held back: why, and what says so."""

    reason: str
    evidence: str


def watch(runs: Runs, reading: Reading, at_s: float) -> tuple[Runs, list[Slow]]:
    """Return what is known after one reading, and which units are held back; *at_s* is monotonic."""
    supply = str(reading.values.get("power.source", ""))
    known = runs.units if supply == runs.supply else {}
    units, slow = dict(known), list[Slow]()
    for name, unit in _units(reading).items():
        run, low = _step(known.get(name, Run()), unit, at_s)
        units[name] = run
        if low:
            slow.append(_explained(name, unit, low, reading))
    return Runs(units, supply), slow


def marked(reading: Reading, slow: Sequence[Slow]) -> Reading:
    """Return the reading with `derived_throttle`, its reasons, and at least level 2 where heat is the reason."""
    hot = [one for one in slow if one.reason == THERMAL]
    values: dict[str, Value] = dict(reading.values)
    provenance = dict(reading.provenance)
    if any(map(_can_be_told, _units(reading).values())):
        values["thermal.derived_throttle"] = bool(hot)
        provenance["thermal.derived_throttle"] = PROBE
    if reasons := _reasons(reading, slow):
        values["thermal.reasons"] = ",".join(reasons)
    level = reading.number(LEVEL)
    if hot and (level is None or level < THROTTLED):
        said = (
            f"{NAMES[int(level)]} by {reading.values.get('thermal.level_source', '')}; "
            if level is not None
            else ""
        )
        native = f"{said}{hot[0].evidence}"
        values |= {LEVEL: THROTTLED, "thermal.native": native, "thermal.level_source": PROBE}
        provenance[LEVEL] = PROBE
    return replace(reading, values=values, provenance=provenance)


def _can_be_told(unit: Unit) -> bool:
    return unit.busy is not None and (unit.watts is not None or unit.clock_hz is not None)


def _units(reading: Reading) -> dict[str, Unit]:
    fastest = max((c.freq_hz for c in reading.clusters if c.freq_hz is not None), default=None)
    cpu_w = reading.number("power.cpu_w")
    found = {
        "cpu": Unit(
            reading.number("cpu_busy_ratio"),
            reading.number("power.package_w") if cpu_w is None else cpu_w,
            fastest,
        )
    }
    shared = reading.number("power.gpu_w") if len(reading.gpus) == 1 else None
    for gpu in reading.gpus:
        watts = shared if gpu.power_w is None else gpu.power_w
        found[gpu.id] = Unit(gpu.busy_ratio, watts, gpu.freq_hz, _cap_of(gpu))
    return found


def _cap_of(gpu: GpuReading) -> str:
    held = {reason.lower() for reason in gpu.event_reasons}
    capped = any("power" in reason or "applications" in reason for reason in held)
    return POWER_CAP if capped and not any("thermal" in reason for reason in held) else ""


def _step(run: Run, unit: Unit, at_s: float) -> tuple[Run, str]:
    """Return the run after one look, and what is low about it, once it has been low for long enough."""
    if unit.busy is None or unit.busy <= BUSY:
        over = at_s - run.busy_at_s > RUN_ENDS_AFTER_S
        kept = Run(best_hz=run.best_hz) if over else run
        return replace(kept, busy_since_s=None, low_since_s=None), ""
    if (
        at_s - run.busy_at_s > _GAP_S
    ):  # nobody looked meanwhile: nothing is known of the time between
        run = replace(run, busy_since_s=None, low_since_s=None)
    since = at_s if run.busy_since_s is None else run.busy_since_s
    low = _low(run, unit)
    busy = replace(run, busy_since_s=since, busy_at_s=at_s)
    if not low:
        return replace(_learnt(busy, unit), low_since_s=None), ""
    low_since = at_s if run.low_since_s is None else run.low_since_s
    lasted = at_s - low_since >= AFTER_S
    return replace(busy, low_since_s=low_since), low if lasted else ""


def _low(run: Run, unit: Unit) -> str:
    if unit.clock_hz is not None and 0 < unit.clock_hz < CLOCK_SHARE * run.best_hz:
        return f"clock at {unit.clock_hz / run.best_hz:.0%} of its best"
    if unit.watts is None or len(run.powers) < _ENOUGH:
        return ""
    usual = percentile(run.powers, _PERCENTILE)
    return (
        f"power at {unit.watts / usual:.0%} of its usual"
        if unit.watts < POWER_SHARE * usual
        else ""
    )


def _learnt(run: Run, unit: Unit) -> Run:
    best = max(run.best_hz, unit.clock_hz or 0.0)
    if unit.watts is None:
        return replace(run, best_hz=best)
    powers, every = run.powers, run.every
    if run.seen % every == 0:
        powers = (*powers, unit.watts)
    if len(powers) > _KEPT:
        powers, every = powers[::2], every * 2
    return replace(run, best_hz=best, powers=powers, every=every, seen=run.seen + 1)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that *share* of the values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def _explained(name: str, unit: Unit, low: str, reading: Reading) -> Slow:
    evidence = f"{name} busy, {low}"
    if reading.values.get("power.mode") == "low":
        return Slow(LOW_POWER_MODE, evidence)
    if unit.explained:
        return Slow(unit.explained, evidence)
    if low.startswith("power") and reading.values.get("memory.pressure") in ("warn", "critical"):
        return Slow(MEMORY_PRESSURE, evidence)
    if name == "cpu" and _is_cool(reading):
        return Slow(POWER_CAP, evidence)
    return Slow(THERMAL, evidence)


def _is_cool(reading: Reading) -> bool:
    # Turbo that ends by its power budget is normal; sensors with limits, or counters, tell it from heat.
    margin = reading.number("thermal.margin_c")
    if margin is not None:
        return margin >= MARGIN_C
    events = reading.values.get("thermal.throttle_events_delta")
    return events == 0 and not reading.number("thermal.throttled_s_delta")


def _reasons(reading: Reading, slow: Sequence[Slow]) -> list[str]:
    told = [part for part in str(reading.values.get("thermal.reasons", "")).split(",") if part]
    found = [*told, *(one.reason for one in slow)]
    level = reading.number(LEVEL)
    if level is not None and level >= ELEVATED:
        found.append(THERMAL)
    if reading.values.get("power.mode") == "low":
        found.append(LOW_POWER_MODE)
    if reading.values.get("memory.pressure") in ("warn", "critical"):
        found.append(MEMORY_PRESSURE)
    if any(_cap_of(gpu) for gpu in reading.gpus):
        found.append(POWER_CAP)
    return list(dict.fromkeys(found))
