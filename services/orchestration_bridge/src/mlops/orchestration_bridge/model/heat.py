# SPDX-License-Identifier: Apache-2.0
"""Heat: what each level of the ladder means for new and running work, and how many slots a machine has while it is hot.

Level 0 admits, 1 penalises (no latency-critical work), 2 takes no new work, shrinks the slots and asks what runs for
checkpoints, 3 drains, 4 evicts. Slots fall at once and by half (at most one halving per 30 s) and come back one by
one, every 120 s and a little later on some machines than on others, so that a fleet does not swing. A machine that was
drained takes work again when the first of its slots is due: never at the first cool reading.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

PENALISES, SHRINKS, DRAINS, EVICTS = 1, 2, 3, 4
SHRINK_EVERY = timedelta(seconds=30)
GROW_EVERY = timedelta(seconds=120)
_SPREAD = 4  # the last machine grows a quarter of the pace after the first
# A machine that is slowed does half of its work, one that is closed does none: longer than this nothing waits for it to cool.
PATIENCE = timedelta(minutes=2)
FACTORS = (1.0, 0.75, 0.5, 0.25, 0.0)


@dataclass(frozen=True)
class Rules:
    """What an installation may set: how long work waits for a machine that is not throttled, and between two slots that come back.

    With *patience* None nothing ever starts on a throttled one.
    """

    patience: timedelta | None = PATIENCE
    pace: timedelta = GROW_EVERY


USUAL = Rules()


@dataclass(frozen=True)
class Slots:
    """How many workflows a machine may run at once; None until something was ever taken away or given back.

    `hot_at` is when it was last seen at a level that takes no new work.
    """

    now: int | None = None
    level: int = 0
    changed_at: datetime | None = None
    pressed_at: datetime | None = None
    episode: str = ""
    hot_at: datetime | None = None


def admits(level: int | None, *, latency_critical: bool) -> bool:
    """Return whether a machine of that level takes new work of that kind."""
    return (level or 0) < (PENALISES if latency_critical else SHRINKS)


def most(base: int, level: int | None) -> int:
    """Return how many slots a machine of *base* slots may have at a level: never none, running work needs one.

    Rounded up: a machine of two slots that is merely warm keeps both.
    """
    return max(1, math.ceil(base * FACTORS[min(max(level or 0, 0), EVICTS)]))


def controlled(
    slots: Slots,
    level: int | None,
    base: int,
    now: datetime,
    name: str,
    pace: timedelta = GROW_EVERY,
) -> Slots:
    """Return the slots of machine *name* after it was seen at *level*; they grow by one every *pace*.

    Pure in time: asking twice changes nothing.
    """
    found, most_now = level or 0, most(base, level)
    slots = replace(slots, hot_at=now) if found >= SHRINKS else slots
    current = min(base if slots.now is None else slots.now, base)
    if found >= SHRINKS and slots.level < SHRINKS:
        return _throttled(replace(slots, now=current), found, most_now, now)
    pressed = found >= SHRINKS or (found > 0 and current >= most_now)
    if current > most_now:
        return replace(slots, now=most_now, level=found, changed_at=now, pressed_at=now)
    if pressed:
        return replace(slots, now=current, level=found, pressed_at=now)
    return _recovering(replace(slots, now=current, level=found), most_now, now, name, pace)


def _throttled(slots: Slots, level: int, most_now: int, now: datetime) -> Slots:
    current = slots.now or 1
    lately = slots.changed_at is not None and now - slots.changed_at < SHRINK_EVERY
    fewer = current if lately else max(1, current // 2)
    later = replace(slots, now=min(fewer, most_now), level=level, pressed_at=now)
    return later if later.now == current else replace(later, changed_at=now)


def _recovering(slots: Slots, most_now: int, now: datetime, name: str, pace: timedelta) -> Slots:
    current = slots.now or 1
    since = max((at for at in (slots.changed_at, slots.pressed_at) if at), default=None)
    if current >= most_now or since is None:
        return slots
    late = jitter(name, slots.episode, pace)
    due = since + pace + late
    if now < due:
        return slots
    # After the first step the beat goes on from there, however seldom somebody looks.
    steps = 1 + int((now - due) / pace)
    last = due + (steps - 1) * pace - late
    grown = replace(slots, now=min(most_now, current + steps), changed_at=last)
    # As many as its level allows: from here on it is the level that holds them.
    return replace(grown, pressed_at=now) if slots.level and grown.now == most_now else grown


def rested(
    slots: Slots, level: int | None, now: datetime, name: str, pace: timedelta = GROW_EVERY
) -> bool:
    """Return whether a machine that was drained may take work again: it admits, and has for as long as a slot takes."""
    if not admits(level, latency_critical=False):
        return False
    return slots.hot_at is None or now >= slots.hot_at + pace + jitter(name, slots.episode, pace)


def jitter(name: str, episode: str, pace: timedelta = GROW_EVERY) -> timedelta:
    """Return how much later than others a machine grows: the same for the same machine and episode."""
    digest = hashlib.sha256(f"{name}\n{episode}".encode()).digest()
    return pace / _SPREAD * (int.from_bytes(digest[:4], "big") / 2**32)
