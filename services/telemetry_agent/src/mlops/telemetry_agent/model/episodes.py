# SPDX-License-Identifier: Apache-2.0
"""When heat becomes an episode and when it is over: debounce upwards, patience downwards, ids that survive a restart.

Upwards a level counts after two readings in a row (or the debounce time) at least that hot; critical at once.
Downwards only after `recover_after` below it and 5 °C under the temperature at which it was reached, so that a machine
at the edge does not flap. One that is throttled again soon after it recovered is given twice the time, up to eightfold.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mlops.telemetry_agent.model.ladder import CRITICAL, NAMES, NOMINAL, THROTTLED

_MOST_PATIENCE = 8
_SOON = 2


@dataclass(frozen=True)
class Rule:
    """How patient the agent is; a temperature that never falls stops counting after `stuck_after` patiences."""

    readings: int = 2
    debounce: timedelta = timedelta(seconds=3)
    recover_after: timedelta = timedelta(seconds=60)
    cooler_by_c: float = 5.0
    stuck_after: int = 5


@dataclass(frozen=True)
class Episode:
    """A stretch of time in which the node was throttled; `transitions` counts the edges told so far."""

    id: str
    since: datetime
    peak_level: int
    transitions: int = 1


@dataclass(frozen=True)
class Watch:
    """What the agent holds true, and what it has seen of late.

    `seen_at[n]` is when a reading was last at level n or above; `rising` counts the readings in a row above `level`.
    `hot_c` is the temperature at which `level` was reached; `patience` multiplies the time to recover.
    """

    level: int = NOMINAL
    seen_at: tuple[datetime | None, ...] = (None,) * 5
    rising: int = 0
    rising_to: int = NOMINAL
    rising_since: datetime | None = None
    episode: Episode | None = None
    episodes: int = 0
    hot_c: float | None = None
    patience: int = 1
    ended_at: datetime | None = None


@dataclass(frozen=True)
class Edge:
    """A change that others must hear of; the same change has the same id, told again or after a restart."""

    id: str
    episode_id: str
    level: int
    since: datetime
    native: str = ""
    reason: str = ""
    escalated_from: int | None = None
    recovered: bool = False
    peak_level: int = NOMINAL
    duration_s: float = 0.0


@dataclass(frozen=True)
class Where:
    """The node and its present start; ids of edges are made of them."""

    node: str
    boot_id: str


def step(
    watch: Watch,
    level: int | None,
    native: str,
    at: datetime,
    where: Where,
    rule: Rule,
    temp_c: float | None = None,
) -> tuple[Watch, Edge | None]:
    """Return the watch after one reading, and the edge it made; an unknown level changes nothing.

    *temp_c* is the hottest sensor, where the machine has one.
    """
    if level is None:
        return watch, None
    believed = _believe(watch, level, at, rule, temp_c)
    if believed.level > watch.level:
        believed = replace(believed, hot_c=temp_c)
        if believed.level >= THROTTLED:
            return _hotter(watch, _patient(believed, at, rule), native, at, where)
    if believed.episode is not None and believed.level < THROTTLED:
        return _over(believed, believed.episode, native, at, where)
    return believed, None


def resumed(watch: Watch, at: datetime) -> Watch:
    """Return the watch after a restart: nobody looked meanwhile, so the patience begins anew."""
    fresh = replace(watch, seen_at=Watch().seen_at)
    return replace(_arrived(fresh, watch.level), seen_at=_seen(fresh, watch.level, at))


def shifted(watch: Watch, by: timedelta) -> Watch:
    """Return the watch after somebody set the clock: the same past, by the new time."""
    moved = replace(
        watch,
        seen_at=tuple(None if at is None else at + by for at in watch.seen_at),
        rising_since=None if watch.rising_since is None else watch.rising_since + by,
        ended_at=None if watch.ended_at is None else watch.ended_at + by,
    )
    if moved.episode is None:
        return moved
    return replace(moved, episode=replace(moved.episode, since=moved.episode.since + by))


def _seen(watch: Watch, level: int, at: datetime) -> tuple[datetime | None, ...]:
    # What was seen later than now was seen before somebody set the clock back: patience begins anew.
    return tuple(
        at if place <= level or (before is not None and before > at) else before
        for place, before in enumerate(watch.seen_at)
    )


def _believe(watch: Watch, level: int, at: datetime, rule: Rule, temp_c: float | None) -> Watch:
    seen = replace(watch, seen_at=_seen(watch, level, at))
    if level > watch.level:
        return _rising(seen, level, at, rule)
    patience = rule.recover_after * watch.patience
    recent = (
        place
        for place, last in enumerate(seen.seen_at)
        if last is not None and at - last < patience
    )
    floor = max(recent, default=NOMINAL)
    calm = replace(seen, rising=0, rising_to=NOMINAL, rising_since=None)
    lower = min(watch.level, max(level, floor))
    if lower == watch.level or _is_still_hot(seen, at, rule, temp_c):
        return calm
    return replace(calm, level=lower, hot_c=None)


def _is_still_hot(watch: Watch, at: datetime, rule: Rule, temp_c: float | None) -> bool:
    last = watch.seen_at[watch.level]
    if temp_c is None or watch.hot_c is None or last is None:
        return False
    stuck = at - last >= rule.recover_after * watch.patience * rule.stuck_after
    return temp_c > watch.hot_c - rule.cooler_by_c and not stuck


def _patient(watch: Watch, at: datetime, rule: Rule) -> Watch:
    if watch.episode is not None:
        return watch
    soon = rule.recover_after * watch.patience * _SOON
    relapsed = watch.ended_at is not None and at - watch.ended_at < soon
    return replace(watch, patience=min(_MOST_PATIENCE, watch.patience * 2) if relapsed else 1)


def _rising(watch: Watch, level: int, at: datetime, rule: Rule) -> Watch:
    since = watch.rising_since or at
    count = watch.rising + 1
    # The coolest of the hot readings is the level that all of them support.
    supported = min(watch.rising_to, level) if watch.rising_since else level
    if level >= CRITICAL:
        return _arrived(watch, level)
    if count >= rule.readings or at - since >= rule.debounce:
        return _arrived(watch, supported)
    return replace(watch, rising=count, rising_to=supported, rising_since=since)


def _arrived(watch: Watch, level: int) -> Watch:
    return replace(watch, level=level, rising=0, rising_to=NOMINAL, rising_since=None)


def _hotter(
    before: Watch, now: Watch, native: str, at: datetime, where: Where
) -> tuple[Watch, Edge]:
    open_ = now.episode
    if open_ is None:
        count = now.episodes + 1
        named = _id(where, where.boot_id, str(count), at.isoformat())
        episode = Episode(f"{where.node}-{named[:13]}", at, now.level)
        after = replace(now, episode=episode, episodes=count)
    else:
        episode = replace(
            open_, peak_level=max(open_.peak_level, now.level), transitions=open_.transitions + 1
        )
        after = replace(now, episode=episode)
    edge = Edge(
        id=_id(where, episode.id, str(episode.transitions)),
        episode_id=episode.id,
        level=now.level,
        since=episode.since,
        native=native,
        reason=f"{NAMES[now.level]}: {native}" if native else NAMES[now.level],
        escalated_from=before.level if open_ is not None else None,
    )
    return after, edge


def _over(
    now: Watch, episode: Episode, native: str, at: datetime, where: Where
) -> tuple[Watch, Edge]:
    edge = Edge(
        id=_id(where, episode.id, "recovered"),
        episode_id=episode.id,
        level=now.level,
        since=episode.since,
        native=native,
        recovered=True,
        peak_level=episode.peak_level,
        duration_s=max(0.0, (at - episode.since).total_seconds()),
    )
    return replace(now, episode=None, ended_at=at), edge


def _id(where: Where, *parts: str) -> str:
    # An episode outlives a reboot: the ids of its edges rest on its own id, in which the boot is that it began in.
    return str(uuid.uuid5(uuid.NAMESPACE_URL, ":".join(("mlops:thermal", where.node, *parts))))
