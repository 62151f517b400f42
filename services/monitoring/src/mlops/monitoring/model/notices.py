# SPDX-License-Identifier: Apache-2.0
"""Notices: which channel is to be told of an alert now, and why; a record of each keeps it from being told twice.

An alert is told to the first channels at once, to the next ones while nobody acknowledges it, again when it gets worse
or lasts, and once more when it has been over for a while. Trouble that comes and goes within that while is one alert.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta, tzinfo
from enum import StrEnum

CRITICAL = 3
_DELAYS = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 15, 30, 60))
_WORTH_TELLING = timedelta(days=1)


class Why(StrEnum):
    """Why a channel is told."""

    RAISED = "raised"
    WORSE = "worse"
    ESCALATED = "escalated"
    REPEATED = "repeated"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Quiet:
    """Hours of the day in which only what is critical is told; they may pass midnight."""

    begins: time
    ends: time
    zone: tzinfo

    def covers(self, now: datetime) -> bool:
        """Return whether it is quiet now."""
        local = now.astimezone(self.zone).time()
        if self.begins <= self.ends:
            return self.begins <= local < self.ends
        return local >= self.begins or local < self.ends


@dataclass(frozen=True)
class Channel:
    """What a channel wants to hear: from which rank of severity on, and when not.

    One that *bundles* gets what came together as one message.
    """

    least: int = 0
    quiet: Quiet | None = None
    bundles: bool = False

    def takes(self, rank: int, now: datetime) -> bool:
        """Return whether the channel may be told of something of this rank now."""
        if rank < self.least:
            return False
        return rank >= CRITICAL or self.quiet is None or not self.quiet.covers(now)


@dataclass(frozen=True)
class Plan:
    """Whom a project wants told, in which order; `repeat_every` None tells once."""

    notify: tuple[str, ...]
    escalate: tuple[str, ...] = ()
    escalate_after: timedelta = timedelta(minutes=30)
    repeat_every: timedelta | None = None
    settle: timedelta = timedelta(minutes=10)


@dataclass(frozen=True)
class Notice:
    """One thing to tell one channel, and how far that has come; `number` tells repeats apart.

    `next_at` is the end of a claim: until then nobody else tries, whatever became of the one who claimed it.
    """

    channel: str
    why: Why
    number: int
    since: datetime
    rank: int = 0
    tries: int = 0
    next_at: datetime | None = None
    told_at: datetime | None = None
    error: str = ""
    claim: str = ""

    def claimed(self, rank: int, now: datetime, claim: str) -> Notice:
        """Return it as it is while one try is made; the next may follow later and later."""
        delay = _DELAYS[min(self.tries, len(_DELAYS) - 1)]
        return replace(self, rank=rank, tries=self.tries + 1, next_at=now + delay, claim=claim)


@dataclass(frozen=True)
class Case:
    """What matters of an alert; `ended_at` None means that it is open."""

    rank: int
    ended_at: datetime | None
    acknowledged: bool
    silenced: bool
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class Hush:
    """What nobody is to be told of until a time; None stands for every model, every kind."""

    project: str
    model: str | None
    kind: str | None
    until: datetime

    def covers(self, project: str, model: str, kind: str, now: datetime) -> bool:
        """Return whether this is about an alert, and still holds."""
        return (
            now < self.until
            and project == self.project
            and self.model in (None, model)
            and self.kind in (None, kind)
        )


def due(case: Case, plan: Plan, channels: Mapping[str, Channel], now: datetime) -> list[Notice]:
    """Return what is to be told now, each once; a channel nobody knows is due too, so that its failure shows."""
    if case.silenced:
        return []
    wanted = _of_open(case, plan, now) if case.ended_at is None else _of_ended(case, plan, now)
    known = {(notice.channel, notice.why): notice for notice in case.notices}
    found: dict[tuple[str, Why], Notice] = {}
    for channel, why, number in wanted:
        before = known.get((channel, why))
        if before is None or before.number != number:
            before = Notice(channel, why, number, now)
        elif before.told_at is not None or (before.next_at is not None and now < before.next_at):
            continue
        if channels.get(channel, Channel()).takes(case.rank, now):
            found.setdefault((channel, why), before)
    return list(found.values())


def kept(notices: Sequence[Notice], changed: Notice) -> tuple[Notice, ...]:
    """Return the notices with one in place of the last of its channel and reason."""
    place = (changed.channel, changed.why)
    return (*(one for one in notices if (one.channel, one.why) != place), changed)


def is_same_trouble(
    ended_at: datetime | None, again_at: datetime, notices: Sequence[Notice], settle: timedelta
) -> bool:
    """Return whether trouble that begins again belongs to the alert before: its end was not told, and is not long ago."""
    told = any(one.why is Why.RESOLVED and one.tries > 0 for one in notices)
    return ended_at is not None and not told and again_at - ended_at < settle


def _of_open(case: Case, plan: Plan, now: datetime) -> Iterator[tuple[str, Why, int]]:
    if not case.acknowledged:
        yield from ((channel, Why.RAISED, 0) for channel in plan.notify)
        yield from _escalations(case, plan, now)
    for channel, told in _told(case.notices).items():
        if max(one.rank for one in told) < case.rank:
            yield channel, Why.WORSE, case.rank
        elif not case.acknowledged and _lasts(told, plan, now):
            yield channel, Why.REPEATED, _next_number(case.notices, channel)


def _escalations(case: Case, plan: Plan, now: datetime) -> Iterator[tuple[str, Why, int]]:
    begun = min((one.since for one in case.notices if one.why is Why.RAISED), default=None)
    if begun is None:
        return
    for step, channel in enumerate(plan.escalate, start=1):
        if now >= begun + step * plan.escalate_after:
            yield channel, Why.ESCALATED, 0


def _of_ended(case: Case, plan: Plan, now: datetime) -> Iterator[tuple[str, Why, int]]:
    if case.ended_at is None or not plan.settle <= now - case.ended_at < _WORTH_TELLING:
        return
    yield from ((channel, Why.RESOLVED, 0) for channel in _told(case.notices))


def _told(notices: Iterable[Notice]) -> dict[str, list[Notice]]:
    """Return what each channel was told of the trouble."""
    found: dict[str, list[Notice]] = {}
    for one in notices:
        if one.told_at is not None and one.why is not Why.RESOLVED:
            found.setdefault(one.channel, []).append(one)
    return found


def _lasts(told: Sequence[Notice], plan: Plan, now: datetime) -> bool:
    last = max(one.told_at for one in told if one.told_at is not None)
    return plan.repeat_every is not None and now - last >= plan.repeat_every


def _next_number(notices: Iterable[Notice], channel: str) -> int:
    last = [one for one in notices if one.channel == channel and one.why is Why.REPEATED]
    if not last:
        return 1
    return last[0].number + (1 if last[0].told_at is not None else 0)
