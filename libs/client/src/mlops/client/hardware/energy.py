# SPDX-License-Identifier: Apache-2.0
"""Energy of a run: what the machine took meanwhile, and the run's part of it by processor time; sums of samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mlops.contracts.attribution import NOTHING, Taken, Use, how, split
from mlops.contracts.metering import Meter, Span, between, held, meter

SHARE = "by processor time"
_WHOLE = 0.9  # of a run; energy of less is said to be a part


@dataclass(frozen=True)
class Work:
    """What the run's processes did in a time: processor seconds, and the machine's busy ones where the kernel tells.

    `own` is the part of the process that is this run's; `accelerator` its part of the accelerators, 0 without any.
    """

    passed_s: float
    core_s: float
    busy_s: float | None = None
    own: float = 1.0
    accelerator: float = 0.0


@dataclass(frozen=True)
class Drawn:
    """What has been summed so far; `covered_s` is how much of the run that is, `last` the newest sample."""

    last: Meter | None = None
    taken: Taken = NOTHING
    covered_s: float = 0.0


def drawn(before: Drawn, sample: Mapping[str, Any], work: Work) -> Drawn:
    """Return the sums with a sample that has not been read before, and the work since the one before it.

    Before the first sample the machine is taken to have been as it was then.
    """
    now = meter(sample)
    if before.last is None:
        first = held(replace(now, at_s=now.at_s - work.passed_s), now.at_s)
        return _with(before, now, first, work)
    return _with(before, now, between(before.last, now), work)


def closed(before: Drawn, work: Work) -> Drawn:
    """Return the sums at the end of the run; since the last sample the machine is taken to have gone on."""
    if before.last is None:
        return before
    return _with(before, before.last, held(before.last, before.last.at_s + work.passed_s), work)


def tags(found: Drawn, lasted_s: float) -> tuple[dict[str, str], str]:
    """Return the tags `hw.*` of energy, and of how much of the run they tell where that is not nearly all of it."""
    taken = found.taken
    told = {
        "hw.energy_j": text(taken.joules),
        "hw.machine_energy_j": text(taken.machine_j),
        "hw.energy_source": "measured" if taken.measured else "estimated",
        "hw.energy_known": text(min(1.0, taken.known_s / lasted_s) if lasted_s > 0 else 0.0),
        "hw.energy_how": how(taken, lasted_s, SHARE),
        "hw.mean_power_w": text(taken.machine_j / found.covered_s),
    }
    part = found.covered_s < _WHOLE * lasted_s
    return told, f"power is known for {found.covered_s:.0f} of {lasted_s:.0f} s" if part else ""


def text(value: float) -> str:
    """Return a number as a tag holds it."""
    return f"{round(value, 3):.12g}"


def _with(before: Drawn, now: Meter, span: Span | None, work: Work) -> Drawn:
    if span is None or span.length_s <= 0:
        return replace(before, last=now)
    busy = span.busy_core_s
    if work.busy_s is not None and work.passed_s > 0:
        busy = work.busy_s / work.passed_s * span.length_s
    rate = work.core_s / work.passed_s if work.passed_s > 0 else 0.0
    use = Use(
        "run",
        span.length_s,
        rate * work.own * span.length_s,
        work.own * work.accelerator * span.length_s,
    )
    # A process that used more than the machine's busy time has used all of it.
    whole = max(busy or 0.0, rate * span.length_s)
    mine = split(replace(span, busy_core_s=whole), (use,))["run"]
    known_s = max(mine.known_s, 0.0)
    covered_s = known_s if known_s > 0 else span.length_s
    return Drawn(now, before.taken.plus(mine), before.covered_s + covered_s)
