# SPDX-License-Identifier: Apache-2.0
"""What a HardwareSample says of energy, and what its machine took between two of them; plain arithmetic on JSON.

Which counter counts. Apple's package holds processor, GPU and neural engine (before macOS 13 memory too), so it counts
alone; where only its parts are counted, their sum does. Elsewhere the package (RAPL) is the processor's, and GPUs and
memory draw beside it. What the power supply sees counts only where nothing else does: it knows screens and fans too.

Counters grow from the start of the agent, so a lost sample loses nothing, and one that comes late is already counted.
Over a restart only the window of the new sample is known. Watts stand in where there is no counter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

# A machine that says it took more than this has told nonsense; so much feeds a rack.
MOST_W = 50_000.0
# After its last sample a machine is taken to go on as it did, for this long at most.
HOLD_S = 60.0
# Parts that only those take who use them: the GPUs, and Apple's neural engine.
ACCELERATORS = ("gpu", "ane")

_PARTS = ("package", "cpu", *ACCELERATORS, "dram", "system")
_INTEGRATED = "integrated"
_LEAST_TOLERANCE_S = 5.0
_ROUNDING_J = 1.0

_Parts = Mapping[str, float]


@dataclass(frozen=True)
class Meter:
    """One sample: the growing joules of the parts that count, the mean watts of its window, how busy it was.

    Parts add up to the machine. `boot` names the start of the agent, `at_s` is the end of the window (seconds since
    1970), `measured` says that counters of the machine itself have counted, `counter` which.
    """

    boot: str
    seq: int
    at_s: float
    window_s: float
    joules: Mapping[str, float] = field(default_factory=dict)
    watts: Mapping[str, float] = field(default_factory=dict)
    counter: str = ""
    measured: bool = False
    cores: int | None = None
    busy_ratio: float | None = None


@dataclass(frozen=True)
class Span:
    """What a machine took from `since_s` to `until_s`, known for `known_s` of it.

    `rest_j` is everything but the accelerators. `busy_core_s` are the processor seconds that were busy, None where the
    machine does not tell. `measured` says that counters of the machine were compared, not watts multiplied.
    """

    since_s: float
    until_s: float
    known_s: float
    rest_j: float
    accelerator_j: float
    busy_core_s: float | None = None
    measured: bool = False
    counter: str = ""

    @property
    def length_s(self) -> float:
        """Return how long it is."""
        return self.until_s - self.since_s

    @property
    def joules(self) -> float:
        """Return all that the machine took."""
        return self.rest_j + self.accelerator_j


def meter(sample: Mapping[str, Any]) -> Meter:
    """Return what a sample, as JSON or as `model_dump()`, says of energy; nothing in it raises."""
    apple = str(_inner(sample, "chip").get("vendor")).lower() == "apple"
    joules, counter = _adding_up(_numbers(_inner(sample, "energy"), "j"), _own(sample), apple=apple)
    watts, drawn = _adding_up(_numbers(_inner(sample, "power"), "w"), lambda _: True, apple=apple)
    cores = _number(_inner(sample, "chip"), "cores")
    return Meter(
        boot=str(sample.get("boot_id", "")),
        seq=int(_number(sample, "seq") or 0),
        at_s=_moment(sample.get("observed_at")),
        window_s=max(0.0, _number(sample, "window_s") or 0.0),
        joules=joules,
        watts=watts,
        counter=counter or drawn,
        measured=bool(counter) and all(map(_own(sample), counter.split(" + "))),
        cores=int(cores) if cores else None,
        busy_ratio=_number(sample, "cpu_busy_ratio"),
    )


def between(before: Meter | None, now: Meter) -> Span | None:
    """Return what the machine took since *before*, None where *now* tells nothing new, or nothing of energy.

    Without a sample of the same start before it, only the window of *now* is known.
    """
    if before is None or before.boot != now.boot:
        return _window(now)
    if now.seq <= before.seq:
        return None
    length_s = _length_s(before, now)
    grown = _grown(before.joules, now.joules)
    if grown is not None and length_s > 0 and sum(grown.values()) <= MOST_W * length_s:
        return _span(now, length_s, grown, measured=now.measured)
    window = _window(replace(now, window_s=min(now.window_s, length_s)))
    return window and _stretched(window, length_s)


def held(last: Meter, until_s: float) -> Span | None:
    """Return what the machine probably took since its last sample, by the power it had; None where nobody knows."""
    length_s = min(until_s - last.at_s, HOLD_S)
    if length_s <= 0 or not last.watts:
        return None
    later = replace(last, at_s=last.at_s + length_s)
    taken = {name: watts * length_s for name, watts in last.watts.items()}
    return replace(_span(later, length_s, taken, measured=False), known_s=0.0)


def _window(now: Meter) -> Span | None:
    """Return what the machine took in the window of one sample: by counters that have just begun, or by watts."""
    if now.window_s <= 0:
        return None
    if now.seq == 1 and 0 < sum(now.joules.values()) <= MOST_W * now.window_s:
        return _span(now, now.window_s, now.joules, measured=now.measured)
    if not now.watts:
        return None
    taken = {name: watts * now.window_s for name, watts in now.watts.items()}
    return _span(now, now.window_s, taken, measured=False)


def _span(now: Meter, length_s: float, joules: _Parts, *, measured: bool) -> Span:
    busy = None
    if now.busy_ratio is not None and now.cores:
        busy = min(max(now.busy_ratio, 0.0), 1.0) * now.cores * length_s
    return Span(
        since_s=now.at_s - length_s,
        until_s=now.at_s,
        known_s=length_s,
        rest_j=sum(joules[name] for name in joules if name not in ACCELERATORS),
        accelerator_j=sum(joules.get(name, 0.0) for name in ACCELERATORS),
        busy_core_s=busy,
        measured=measured,
        counter=now.counter,
    )


def _stretched(window: Span, length_s: float) -> Span:
    """Return a span of which only the last part is known."""
    busy = window.busy_core_s
    scaled = None if busy is None else busy * length_s / window.length_s
    return replace(window, since_s=window.until_s - length_s, busy_core_s=scaled)


def _length_s(before: Meter, now: Meter) -> float:
    """Return the time between two samples; where the clock was set in between, the window of the later one."""
    told_s = now.at_s - before.at_s
    tolerance_s = max(_LEAST_TOLERANCE_S, now.window_s / 2)
    next_one = now.seq == before.seq + 1 and now.window_s > 0
    if told_s <= 0 or (next_one and abs(told_s - now.window_s) > tolerance_s):
        return now.window_s
    return told_s


def _grown(before: _Parts, now: _Parts) -> dict[str, float] | None:
    """Return by how much the counters have grown; None where one fell, or what counted before does not any more."""
    if not before or any(name not in now for name in before):
        return None
    # A part that is new has been counted from nothing since *before*.
    grown = {name: value - before.get(name, 0.0) for name, value in now.items()}
    if any(joules < -_ROUNDING_J for joules in grown.values()):
        return None
    return {name: max(0.0, joules) for name, joules in grown.items()}


def _adding_up(
    known: _Parts, own: Callable[[str], bool], *, apple: bool
) -> tuple[dict[str, float], str]:
    """Return the parts that make up the machine, and which counters those are."""
    if apple and "package" in known and (own("package") or not ("cpu" in known and own("cpu"))):
        inside = {name: known[name] for name in ACCELERATORS if name in known}
        rest = known["package"] - sum(inside.values())
        return (
            {"package": rest, **inside} if rest >= 0 else {"package": known["package"]}
        ), "package"
    near = "cpu" if apple or "package" not in known else "package"
    names = [name for name in (near, *ACCELERATORS, "dram") if name in known]
    if not names:
        names = [name for name in ("system",) if name in known]
    return {name: known[name] for name in names}, " + ".join(names)


def _own(sample: Mapping[str, Any]) -> Callable[[str], bool]:
    """Return whether a real machine has counted a part itself."""
    real = sample.get("source", "real") == "real"
    provenance, all_own = _inner(sample, "provenance"), _inner(sample, "energy").get("measured")

    def own(part: str) -> bool:
        told = provenance.get(f"energy.{part}_j")
        return real and (told != _INTEGRATED if told else all_own is not False)

    return own


def _moment(told: object) -> float:
    try:
        at = told if isinstance(told, datetime) else datetime.fromisoformat(str(told))
        return at.timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def _numbers(values: Mapping[str, Any], unit: str) -> dict[str, float]:
    found = {name: _number(values, f"{name}_{unit}") for name in _PARTS}
    return {name: value for name, value in found.items() if value is not None and value >= 0}


def _number(values: Mapping[str, Any], name: str) -> float | None:
    found = values.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if math.isfinite(found) else None


def _inner(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}
