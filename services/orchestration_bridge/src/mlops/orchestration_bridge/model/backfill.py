# SPDX-License-Identifier: Apache-2.0
"""Backfill: the first workflow that fits nowhere has a machine and a time; others pass it only where that stays true.

Conservative: a workflow may pass on another machine, or where it is certain to be over before that time (by its limit,
not by what such ones usually take), or where both have room together. A cohort has several machines, and the time at
which the last of them is free.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mlops.orchestration_bridge.model.accounts import Run
from mlops.orchestration_bridge.model.placement import Gate, Host, Needs, obstacle


@dataclass(frozen=True)
class Wanted:
    """The workflow that is reserved for."""

    key: str
    needs: Needs
    queued_s: float


@dataclass(frozen=True)
class Place:
    """A machine that is kept, and what is left beside the workflow there; memory None where the machine does not say."""

    host: str
    slots: int
    memory: int | None

    def lets(self, needs: Needs) -> bool:
        """Return whether such a workflow has room beside."""
        return self.slots > 0 and (self.memory is None or self.memory >= needs.with_margin)

    def beside(self, needs: Needs) -> Place:
        """Return what is left after such a workflow was let pass."""
        left = None if self.memory is None else self.memory - needs.memory_bytes
        return replace(self, slots=self.slots - 1, memory=left)


@dataclass(frozen=True)
class Reservation:
    """Which workflow is to start where, and when; None while nobody knows how long what runs there will last."""

    key: str
    places: tuple[Place, ...]
    at_s: float | None

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return the machines that are kept."""
        return tuple(place.host for place in self.places)

    def lets(self, host: str, needs: Needs, limit_s: float | None, now_s: float) -> bool:
        """Return whether a workflow may start on a machine without delaying the reserved one."""
        if self._over_before(limit_s, now_s):
            return True
        return all(place.lets(needs) for place in self.places if place.host == host)

    def beside(self, host: str, needs: Needs, limit_s: float | None, now_s: float) -> Reservation:
        """Return the reservation after such a workflow was let pass."""
        if self._over_before(limit_s, now_s):
            return self
        left = (one.beside(needs) if one.host == host else one for one in self.places)
        return replace(self, places=tuple(left))

    def _over_before(self, limit_s: float | None, now_s: float) -> bool:
        return limit_s is not None and self.at_s is not None and now_s + limit_s <= self.at_s


def reserved(
    wanted: Wanted, hosts: Iterable[Host], runs: Mapping[str, list[Run]], now_s: float
) -> Reservation | None:
    """Return where and when a workflow that fits nowhere now can start first; None where it never could.

    *runs* are those under way, by machine.
    """
    found = [
        one
        for host in hosts
        if _could(host, wanted.needs)
        and (one := _on(wanted, host, runs.get(host.name, []), now_s)) is not None
    ]
    soonest = sorted(found, key=lambda one: (one.at_s is None, one.at_s or 0.0, one.hosts))
    kept = soonest[: wanted.needs.nodes]
    if len(kept) < wanted.needs.nodes:
        return None
    # The last of them, in that order, is free last; where nobody knows when, nobody knows for the cohort.
    return replace(kept[-1], places=tuple(place for one in kept for place in one.places))


def _could(host: Host, needs: Needs) -> bool:
    """Return whether it fits once enough of what runs there has ended: heat and unfit machines wait for no run."""
    found = obstacle(host, needs)
    if found is None:
        return needs.nodes > 1  # this one is free, others of the cohort are not
    if found.gate not in (Gate.SLOTS, Gate.MEMORY):
        return False
    return host.memory_total is None or host.memory_total >= needs.with_margin


def _on(wanted: Wanted, host: Host, runs: list[Run], now_s: float) -> Reservation | None:
    needs, slots, memory, at_s = wanted.needs, host.slots, host.memory_free, now_s
    known = room_beside = True
    for run in sorted(runs, key=lambda run: _turn(wanted, run, now_s)):
        if _fits(slots, memory, needs):
            break
        end_s = _end_s(wanted, run, now_s)
        slots, known = slots + 1, known and end_s is not None
        memory = None if memory is None else memory + run.memory_bytes
        at_s = max(at_s, end_s or now_s)
        # Where what was let pass must end too, there was not room for both: nothing more may stay beside it.
        room_beside = room_beside and run.since_s <= wanted.queued_s
    if not _fits(slots, memory, needs):
        return None
    left = None if memory is None else memory - needs.with_margin
    beside = slots - 1 if room_beside else 0
    return Reservation(wanted.key, (Place(host.name, beside, left),), at_s if known else None)


def _turn(wanted: Wanted, run: Run, now_s: float) -> tuple[bool, bool, float, str]:
    """Order the runs as they are counted on to end: what was there before it came, first; then by their ends."""
    end_s = _end_s(wanted, run, now_s)
    by_end = run.since_s if end_s is None else end_s
    return run.since_s > wanted.queued_s, end_s is None, by_end, run.key


def _end_s(wanted: Wanted, run: Run, now_s: float) -> float | None:
    """Return when a run ends: usually, or of one that was let pass at the latest; None where nobody knows."""
    if run.lasts_s is not None:
        return max(now_s, run.since_s + run.lasts_s)
    passed = run.since_s > wanted.queued_s and run.limit_s is not None
    return max(now_s, run.since_s + (run.limit_s or 0.0)) if passed else None


def _fits(slots: int, memory: int | None, needs: Needs) -> bool:
    return slots > 0 and (memory is None or memory >= needs.with_margin)
