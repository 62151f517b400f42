# SPDX-License-Identifier: Apache-2.0
"""What may have made a model worse, with what speaks for it, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from mlops.monitoring.model.windows import Window

HARDWARE, MEMORY, POWER = "hardware", "memory", "power"
_HOT = 2
_MOST_EPISODES = 200
_NAMED = 5


@dataclass(frozen=True)
class Suspicion:
    """A possible cause and its evidence."""

    cause: str
    evidence: str


@dataclass(frozen=True)
class Episode:
    """A time in which a node was held back, by heat or else; `until` is None while it lasts.

    `level` is that of heat; `text` says what it was otherwise.
    """

    node: str
    level: int
    since: datetime
    until: datetime | None = None
    cause: str = HARDWARE
    text: str = ""

    @property
    def evidence(self) -> str:
        """Return it in words."""
        what = self.text or f"was throttled at level {self.level}"
        end = "" if self.until is None else f" until {self.until:%H:%M:%S}"
        return f"node {self.node} {what} since {self.since:%H:%M:%S}{end}"

    def overlaps(self, first: datetime, last: datetime) -> bool:
        """Return whether it was hot at any time between *first* and *last*."""
        return self.since <= last and (self.until is None or self.until >= first)


@dataclass(frozen=True)
class Heat:
    """The newest times in which nodes were held back: by heat, for want of memory, to save power."""

    episodes: tuple[Episode, ...] = field(default=())

    def told(self, node: str, level: int, at: datetime) -> Heat:
        """Return the heat after a node said its *level* (2 and above throttles) at a time."""
        open_ = self._open(node, HARDWARE)
        if open_ is None:
            fresh = (Episode(node, level, at),) if level >= _HOT else ()
            return Heat((*self.episodes, *fresh)[-_MOST_EPISODES:])
        changed = (
            replace(open_, level=max(level, open_.level))
            if level >= _HOT
            else replace(open_, until=at)
        )
        return Heat(tuple(changed if e is open_ else e for e in self.episodes))

    def strained(self, node: str, cause: str, text: str, at: datetime) -> Heat:
        """Return the heat after a node said that it is held back in another way, or (without *text*) that it is not."""
        open_ = self._open(node, cause)
        if (open_ is not None) == bool(text):
            return self
        if open_ is None:
            fresh = Episode(node, 0, at, cause=cause, text=text)
            return Heat((*self.episodes, fresh)[-_MOST_EPISODES:])
        return Heat(tuple(replace(e, until=at) if e is open_ else e for e in self.episodes))

    def during(self, first: datetime, last: datetime, node: str | None = None) -> list[Episode]:
        """Return what held nodes (or one node) back at any time between two moments."""
        found = [one for one in self.episodes if one.overlaps(first, last)]
        return [one for one in found if node in (None, one.node)]

    def _open(self, node: str, cause: str) -> Episode | None:
        same = (e for e in self.episodes if (e.node, e.cause, e.until) == (node, cause, None))
        return next(same, None)


def suspects(window: Window, heat: Heat, windows_of_version: int) -> tuple[Suspicion, ...]:
    """Return what may explain a degraded window; *windows_of_version* full ones of its version came before."""
    found = [*_inputs(window), *_hardware(window, heat)]
    if windows_of_version == 0:
        found.append(
            Suspicion("version", f"it is the first full window of version {window.version}")
        )
    return tuple(found)


def advice(found: Sequence[Suspicion]) -> str:
    """Return what a person could do, the likeliest cause first."""
    causes = {suspicion.cause for suspicion in found}
    if "hardware" in causes and not causes & {"data", "missing", "concept"}:
        return "Look at the machine first: it throttled while these rows were answered."
    if "missing" in causes:
        return (
            "Repair the source of the missing values first; retraining on them would teach the gap."
        )
    if "version" in causes and "data" not in causes:
        return "Compare the version with the one before, and roll back if that one did better on these rows."
    return "Retrain on the newest labelled rows; once more when more of them come from after the change."


def _inputs(window: Window) -> list[Suspicion]:
    inputs = window.inputs
    if inputs is None or inputs.unjudged is not None:
        return []
    named = ", ".join(inputs.columns[:_NAMED]) or "many columns a little, or their correlations"
    if "missing" in inputs.kinds:
        return [Suspicion("missing", f"more values than usual are missing: {named}"[:500])]
    if "data" in inputs.kinds:
        share = f"{inputs.share:.0%} of the columns"
        return [Suspicion("data", f"the inputs of the same window drifted, {share}: {named}"[:500])]
    evidence = "the inputs of the window look as in the reference, so what they mean has changed"
    return [Suspicion("concept", evidence)]


def _hardware(window: Window, heat: Heat) -> list[Suspicion]:
    if window.first_at is None or window.last_at is None:
        return []
    hot = [e for e in heat.during(window.first_at, window.last_at) if e.cause == HARDWARE]
    return [Suspicion(HARDWARE, e.evidence) for e in hot[-3:]]
