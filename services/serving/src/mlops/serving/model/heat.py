# SPDX-License-Identifier: Apache-2.0
"""Heat: how much a replica computes at once, how many replicas there may be, and what rollouts wait for, by machine.

What is computed at once falls as soon as a machine gets hot: to {1, 3/4, 1/2, 1/4, least} by level, and from level 2 on by
half of what it was (at most one halving per 30 s). It comes back one by one, every 120 s and up to 30 s later on some
machines than on others: additive increase, multiplicative decrease, with the numbers of the orchestrator's slots. Levels
that flap therefore change little. It is never less than one: whoever asks is answered, slowly.

From level 2 on no rollout moves traffic, from level 3 on none packs or starts a version either; both go on 30 s after.
A machine that has said nothing for 10 min counts as cool.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mlops.serving.model.apps import FULL_CONCURRENCY

HOLDS, STARTS_NOTHING, HOTTEST = 2, 3, 4
FACTORS = (1.0, 0.75, 0.5, 0.25, 0.0)
SHRINK_EVERY = timedelta(seconds=30)
GROW_EVERY = timedelta(seconds=120)
FORGOTTEN_AFTER = timedelta(minutes=10)
REFRESH = timedelta(seconds=60)
_SPREAD = (
    4  # the latest machine grows a quarter of the pace after the first, and rollouts wait as long
)
_OTHER_REASONS = frozenset({"power_cap", "low_power_mode", "memory_pressure"})
_HEADROOM = 0.7


@dataclass(frozen=True)
class Bound:
    """How much is computed at once on a machine.

    *now* is None while nothing limits it; *least* is the lowest since it was last full. *changed_at* is its last change,
    *pressed_at* when heat last kept it down.
    """

    now: int | None = None
    least: int | None = None
    level: int = 0
    changed_at: datetime | None = None
    pressed_at: datetime | None = None


@dataclass(frozen=True)
class Node:
    """The last word of one machine: *told_at* by its own clock, *heard_at* by ours; rollouts wait until *held_until*."""

    level: int
    told_at: datetime
    heard_at: datetime
    reason: str = ""
    episode: str = ""
    held_until: datetime | None = None
    bound: Bound = field(default_factory=Bound)


@dataclass(frozen=True)
class Climate:
    """What the heat of its machines means for one version; *why* is empty while it means nothing.

    *least* is what a replica begins with that nobody can tell more. *hold* says why no rollout moves traffic,
    *starts* is False where none may pack or start a version either.
    """

    concurrency: int = FULL_CONCURRENCY
    least: int = FULL_CONCURRENCY
    level: int = 0
    node: str = ""
    why: str = ""
    hold: str = ""
    starts: bool = True


def true_level(level: int | None, reasons: Collection[str], *, derived: bool) -> int | None:
    """Return the level to go by: falling clocks count as level 2, or 1 where all of it has another reason than heat."""
    if not derived:
        return level
    at_least = 1 if reasons and set(reasons) <= _OTHER_REASONS else HOLDS
    return max(level or 0, at_least)


def most(level: int) -> int:
    """Return how much a replica may compute at once at a level of heat."""
    return max(1, int(FULL_CONCURRENCY * FACTORS[min(max(level, 0), HOTTEST)]))


def heard(known: Node | None, said: Node, name: str, pace: timedelta) -> Node:
    """Return what is known after a machine has spoken; what it said before its last word changes nothing.

    *said* carries no bound. A clock that was set back is believed again once the machine counts as silent.
    """
    if known is not None and said.told_at < known.told_at and not is_silent(known, said.heard_at):
        return known
    now = said.heard_at
    before = at(known, name, now, pace) if known else said
    held_until = now + pace / _SPREAD if said.level >= HOLDS else before.held_until
    kept = before.reason if said.level == before.level else ""
    episode = said.episode or before.episode
    bound = controlled(before.bound, said.level, now, name, episode, pace)
    return replace(
        said, reason=said.reason or kept, episode=episode, held_until=held_until, bound=bound
    )


def is_news(known: Node | None, later: Node, written_at: datetime | None) -> bool:
    """Return whether what a machine said is to be written down: a change, or once in a minute that it still is so."""
    if known is None:
        return later.level > 0
    if (known.level, known.bound.now) != (later.level, later.bound.now):
        return True
    return not is_at_rest(later) and (written_at is None or later.heard_at - written_at >= REFRESH)


def is_at_rest(node: Node) -> bool:
    """Return whether there is nothing about the machine that time could change."""
    return node.level == 0 and node.bound.now is None


def is_silent(node: Node, now: datetime) -> bool:
    """Return whether a machine has said nothing for so long that it counts as cool."""
    return now - node.heard_at > FORGOTTEN_AFTER


def at(node: Node, name: str, now: datetime, pace: timedelta) -> Node:
    """Return what the machine counts as *now*: silent ones are cool, and cool ones compute more and more again."""
    level, bound = node.level, node.bound
    if level > 0 and is_silent(node, now):
        level, bound = 0, replace(bound, pressed_at=node.heard_at + FORGOTTEN_AFTER)
    bound = controlled(bound, level, now, name, node.episode, pace)
    if level == node.level and bound == node.bound:
        return node
    reason = node.reason if level == node.level else "it has said nothing for 10 min"
    return replace(node, level=level, reason=reason, bound=bound)


def controlled(
    bound: Bound, level: int, now: datetime, name: str, episode: str, pace: timedelta
) -> Bound:
    """Return the bound of machine *name* that is at *level* now; it grows by one every *pace*.

    Pure in time: asking twice changes nothing, and asking seldom loses no step.
    """
    most_now = most(level)
    current = FULL_CONCURRENCY if bound.now is None else bound.now
    if level >= HOLDS > bound.level:
        lately = bound.changed_at is not None and now - bound.changed_at < SHRINK_EVERY
        fewer = current if lately else max(1, current // 2)
        return _set(bound, min(fewer, most_now), level, now)
    if current > most_now:
        return _set(bound, most_now, level, now)
    if level >= HOLDS or (level > 0 and current >= most_now):
        return replace(bound, level=level, pressed_at=now)
    grown = _grown(replace(bound, level=level), current, most_now, now, pace, name, episode)
    return Bound() if level == 0 and grown.now == FULL_CONCURRENCY else grown


def climate(nodes: Mapping[str, Node], places: Iterable[str], now: datetime) -> Climate:
    """Return what heat means for replicas on the machines *places*; *nodes* as they count now.

    Where one of the places is unknown, or tells no heat, every machine counts: it may be any of them.
    """
    wanted = set(places)
    counting = wanted if wanted and wanted <= nodes.keys() else nodes.keys()
    if not counting:
        return Climate()
    bounds = {name: _now(nodes[name].bound) for name in counting}
    tightest = min(sorted(counting), key=lambda name: (bounds[name], -nodes[name].level))
    node = nodes[tightest]
    hot = {name: one for name in sorted(counting) if _holds(one := nodes[name], now)}
    return Climate(
        concurrency=bounds[tightest],
        least=min(_least(nodes[name].bound) for name in counting),
        level=max(nodes[name].level for name in counting),
        node=tightest if bounds[tightest] < FULL_CONCURRENCY else "",
        why=_why(tightest, node) if bounds[tightest] < FULL_CONCURRENCY else "",
        hold="; ".join(_why(name, one) for name, one in hot.items())[:400],
        starts=all(one.level < STARTS_NOTHING for one in hot.values()),
    )


def replicas_at(concurrency: int, fewest: int, most_: int, busy: float | None, running: int) -> int:
    """Return how many replicas there may be, of the *fewest* to *most_* of a project, while each computes *concurrency*.

    Never fewer than the answers need: *busy* predictions are computed at once on average (None: nobody knows, so what
    runs stays), and a replica takes seven tenths of what it may compute at once.
    """
    share = math.ceil(most_ * concurrency / FULL_CONCURRENCY)
    needed = running if busy is None else math.ceil(busy / (_HEADROOM * concurrency))
    return min(most_, max(fewest, share, needed, 1))


def jitter(name: str, episode: str, pace: timedelta) -> timedelta:
    """Return how much later than others a machine grows: the same for the same machine and episode."""
    digest = hashlib.sha256(f"{name}\n{episode}".encode()).digest()
    return pace / _SPREAD * (int.from_bytes(digest[:4], "big") / 2**32)


def _set(bound: Bound, now_: int, level: int, now: datetime) -> Bound:
    least = min(now_, _least(bound))
    changed_at = bound.changed_at if now_ == bound.now else now
    return Bound(now_, least, level, changed_at, pressed_at=now)


def _grown(
    bound: Bound, current: int, most_now: int, now: datetime, pace: timedelta, *who: str
) -> Bound:
    since = max((one for one in (bound.changed_at, bound.pressed_at) if one), default=None)
    if current >= most_now or since is None:
        return bound
    late = jitter(who[0], who[1], pace)
    due = since + pace + late
    if now < due:
        return bound
    # After the first step the beat goes on from there, however seldom somebody looks.
    steps = 1 + int((now - due) / pace)
    grown = replace(
        bound, now=min(most_now, current + steps), changed_at=due + (steps - 1) * pace - late
    )
    # As much as its level allows: from here on it is the level that holds it.
    return replace(grown, pressed_at=now) if bound.level and grown.now == most_now else grown


def _holds(node: Node, now: datetime) -> bool:
    return node.level >= HOLDS or (node.held_until is not None and now < node.held_until)


def _now(bound: Bound) -> int:
    return FULL_CONCURRENCY if bound.now is None else bound.now


def _least(bound: Bound) -> int:
    return FULL_CONCURRENCY if bound.least is None else bound.least


def _why(name: str, node: Node) -> str:
    said = f": {node.reason}" if node.reason else ""
    if node.level > 0:
        return f"{name} is at level {node.level}{said}"
    return f"{name} was hot and recovers step by step"
