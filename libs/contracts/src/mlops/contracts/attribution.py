# SPDX-License-Identifier: Apache-2.0
"""Who took what of a machine's energy: by processor time, GPUs in equal parts; never more than the machine took.

    part of user u = rest_j * core_s(u) / max(sum of core_s / cover, busy_core_s)
                   + accelerator_j * accelerator_s(u) / max(sum of accelerator_s, length_s)

So do Scaphandre (a process's share of all processor time, times the host's power) and Kepler (usage ratio times node
power); unlike Kepler, what an idle processor draws is part of the price of using it, for a laptop is on because
somebody works on it. Work that nobody claims (`busy_core_s` beyond the sum) keeps its part, and an idle machine is
nobody's. What is not known: that a busy second of one process may draw more than one of another.

`cover` is the part of the span in which anybody was there. The sum over all users of one machine is never more than what it took: `charged` pays each span out once, and what was
handed out ahead of a sample (`ended`) is taken off the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mlops.contracts.metering import Meter, Span, between, held

_MOSTLY = 0.9
_LONGEST_HOW = 300


@dataclass(frozen=True)
class Use:
    """What one user did within a span: how long it was there, its processor seconds, its seconds on accelerators."""

    name: str
    lasted_s: float
    core_s: float
    accelerator_s: float = 0.0


@dataclass(frozen=True)
class Taken:
    """What one user has taken so far. Of the machine's energy `machine_j`, while it was there, `joules` are its part."""

    joules: float = 0.0
    machine_j: float = 0.0
    known_s: float = 0.0
    measured_s: float = 0.0
    counter: str = ""

    @property
    def measured(self) -> bool:
        """Return whether counters of the machine told nearly all of it."""
        return self.known_s > 0 and self.measured_s >= _MOSTLY * self.known_s

    @property
    def share(self) -> float | None:
        """Return which part of the machine's energy it took, None where the machine took none."""
        return min(1.0, self.joules / self.machine_j) if self.machine_j > 0 else None

    def plus(self, other: Taken) -> Taken:
        """Return both together."""
        return Taken(
            self.joules + other.joules,
            self.machine_j + other.machine_j,
            self.known_s + other.known_s,
            self.measured_s + other.measured_s,
            other.counter or self.counter,
        )


NOTHING = Taken()


@dataclass(frozen=True)
class Tab:
    """What the users of one machine have taken, up to its last sample; `ahead_j` was handed out before a sample told."""

    last: Meter | None = None
    taken: Mapping[str, Taken] = field(default_factory=dict)
    ahead_j: float = 0.0


def split(span: Span, uses: Sequence[Use]) -> dict[str, Taken]:
    """Return what each user took of a span; the joules add up to what the machine took, at most."""
    # Where somebody came or went within the span, the rest of it is taken to have been as busy.
    cover = max((_there(span, use) for use in uses), default=0.0)
    cores = max(sum(use.core_s for use in uses) / (cover or 1.0), span.busy_core_s or 0.0)
    accelerators = max(sum(use.accelerator_s for use in uses), span.length_s)
    return {use.name: _part(span, use, cores, accelerators) for use in uses}


def charged(tab: Tab, now: Meter, uses: Iterable[Use], most: int = 1000) -> Tab:
    """Return the tab after a sample; *uses* are those of `since(tab, now)`. Keeps the *most* users charged last."""
    span = since(tab, now)
    if span is None:
        old = tab.last is not None and tab.last.boot == now.boot and now.seq <= tab.last.seq
        return tab if old else replace(tab, last=now)
    whole = span.joules
    part = max(0.0, 1 - tab.ahead_j / whole) if whole > 0 else 0.0
    left = replace(span, rest_j=span.rest_j * part, accelerator_j=span.accelerator_j * part)
    ahead_j = max(0.0, tab.ahead_j - whole)
    return Tab(now, _added(tab.taken, split(left, tuple(uses)), most), ahead_j)


def since(tab: Tab, now: Meter) -> Span | None:
    """Return the span that a sample would add to the tab."""
    return between(tab.last, now)


def ended(tab: Tab, name: str, at_s: float, uses: Sequence[Use]) -> Tab:
    """Return the tab with what *name* took from the last sample to its end, by the power of before.

    *uses* are those of everybody from the last sample to *at_s*; only *name* is charged.
    """
    span = held(tab.last, at_s) if tab.last else None
    if span is None:
        return tab
    mine = split(span, uses).get(name, NOTHING)
    taken = _added(tab.taken, {name: mine}, len(tab.taken) + 1)
    return replace(tab, taken=taken, ahead_j=tab.ahead_j + mine.joules)


def how(taken: Taken, lasted_s: float, share: str) -> str:
    """Return in a few words which counter told, how the share was found, and for how much of the time."""
    counter = taken.counter or "power"
    told = f"{counter} {'counter' if taken.measured else 'power over time'}; share {share}"
    if taken.known_s < _MOSTLY * lasted_s:
        told += f"; known for {taken.known_s:.0f} of {lasted_s:.0f} s"
    return told[:_LONGEST_HOW]


def _part(span: Span, use: Use, cores: float, accelerators: float) -> Taken:
    there = _there(span, use)
    joules = span.rest_j * use.core_s / cores if cores > 0 else 0.0
    if accelerators > 0:
        joules += span.accelerator_j * use.accelerator_s / accelerators
    known_s = span.known_s * there
    joules = min(joules, span.joules * there)
    return Taken(
        joules, span.joules * there, known_s, known_s if span.measured else 0.0, span.counter
    )


def _there(span: Span, use: Use) -> float:
    """Return for which part of the span a user was there."""
    return min(1.0, use.lasted_s / span.length_s) if span.length_s > 0 else 0.0


def _added(before: Mapping[str, Taken], more: Mapping[str, Taken], most: int) -> dict[str, Taken]:
    # Who is charged goes to the end, so that the first ones are those who left long ago.
    kept = {name: taken for name, taken in before.items() if name not in more}
    kept |= {name: before.get(name, NOTHING).plus(taken) for name, taken in more.items()}
    return dict(list(kept.items())[-most:])
