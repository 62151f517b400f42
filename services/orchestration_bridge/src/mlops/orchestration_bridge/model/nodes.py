# SPDX-License-Identifier: Apache-2.0
"""Nodes: what is known of each machine from what it says, judged by when that arrived.

A machine's own clock may be wrong: a steady difference is learnt and taken off, what is later than that is old news
and changes no level, what is told after an outage (back-filled) changes nothing. Silence is not coolness: a machine
that has said nothing for three intervals is unknown. So is a name that two machines use at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from mlops.orchestration_bridge.model import heat
from mlops.orchestration_bridge.model.forecast import Fit, Seen, learnt
from mlops.orchestration_bridge.model.heat import Slots

SILENT_INTERVALS = 3
SHORTEST_SILENCE = timedelta(seconds=30)
FORGOTTEN_AFTER = timedelta(minutes=10)
REFRESH = timedelta(seconds=10)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_BOOTS = 4
_LEAST_TOLERANCE_S = 5.0
_OTHER_REASONS = frozenset({"power_cap", "low_power_mode", "memory_pressure"})


@dataclass(frozen=True)
class Reading:
    """What one sample says, in the scheduler's words; None where the machine cannot tell."""

    level: int | None = None
    derived_throttle: bool = False
    reasons: tuple[str, ...] = ()
    window_s: float = 0.0
    boot_id: str = ""
    source: str = "real"
    backfill: bool = False
    chip: str = ""
    cores: int | None = None
    memory_total: int | None = None
    memory_available: int | None = None
    memory_pressure: str = "unknown"
    accelerators: tuple[str, ...] | None = None
    gpu_busy_ratio: float | None = None
    cpu_busy_ratio: float | None = None
    power_w: float | None = None
    temp_c: float | None = None
    margin_c: float | None = None


@dataclass(frozen=True)
class Boot:
    """One start of a machine, and from when to when it was heard."""

    id: str
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True)
class Node:
    """The last word of one machine. `level` is what admission goes by: a machine that lies counts as throttled."""

    level: int | None
    seen_at: datetime
    interval: timedelta = timedelta(0)
    reason: str = ""
    episode: str = ""
    reading: Reading = field(default_factory=Reading)
    boots: tuple[Boot, ...] = ()
    skew_s: float = 0.0
    told_at: datetime | None = None
    arrived_at: datetime | None = None
    slots: Slots = field(default_factory=Slots)
    fit: Fit = field(default_factory=Fit)
    peak_w: float | None = None


def patience(node: Node) -> timedelta:
    """Return how long the machine may be silent before it counts as unknown."""
    return max(SILENT_INTERVALS * node.interval, SHORTEST_SILENCE)


def forgotten(node: Node, now: datetime) -> bool:
    """Return whether it has been silent for so long that it counts as gone for good."""
    return now - node.seen_at > FORGOTTEN_AFTER


def unknown(name: str, node: Node, now: datetime) -> str:
    """Return why nobody knows how hot the machine is, empty when it is known."""
    rivals = _rivals(node, now)
    if rivals:
        return f"{name} is two machines: starts {' and '.join(rivals)} speak at once"
    silence = now - node.seen_at
    if silence > patience(node):
        return f"{name} has said nothing for {silence.total_seconds():.0f} s, its heat is unknown"
    return ""


def newer(known: Node | None, said: Node) -> Node:
    """Return what is now known: an older message never wins, a sample keeps the reason of an episode."""
    if known is None:
        return said
    if said.seen_at < known.seen_at:
        return known
    reason = said.reason or (known.reason if said.level == known.level else "")
    return replace(
        known,
        level=said.level,
        seen_at=said.seen_at,
        interval=said.interval or known.interval,
        reason=reason,
        episode=said.episode or known.episode,
    )


def edged(
    known: Node | None,
    name: str,
    said: Node,
    now: datetime,
    base: int,
    pace: timedelta = heat.GROW_EVERY,
) -> Node:
    """Return what is known after a thermal event; *said* has its level, reason, episode and own time."""
    skew = timedelta(seconds=known.skew_s if known else 0.0)
    found = newer(known, replace(said, seen_at=min(said.seen_at + skew, now)))
    if found is known:
        return found
    slots = replace(found.slots, episode=found.episode)
    return replace(found, slots=heat.controlled(slots, found.level, base, now, name, pace))


def sampled(
    known: Node | None,
    name: str,
    reading: Reading,
    told_at: datetime,
    now: datetime,
    base: int,
    pace: timedelta = heat.GROW_EVERY,
) -> Node | None:
    """Return what is known after a sample told at *told_at* by its sender's clock and arrived *now*.

    None when the sample tells nothing that should be kept.
    """
    if reading.backfill:
        return None
    interval = timedelta(seconds=reading.window_s)
    skew_s = _skew_s(known, told_at, now, interval)
    heard = (
        None
        if known is None
        else replace(
            known,
            boots=_boots(known, reading.boot_id, now),
            told_at=told_at,
            arrived_at=now,
            skew_s=skew_s,
        )
    )
    seen_at = min(told_at + timedelta(seconds=skew_s), now)
    level, why = true_level(reading)
    said = Node(level, seen_at, interval, why)
    if known is not None and heard is not None and not _worth_keeping(known, heard, said):
        return None
    found = newer(heard, said)
    if found is heard:
        return heard
    if heard is None:
        found = replace(
            found, boots=_boots(found, reading.boot_id, now), told_at=told_at, arrived_at=now
        )
    return _measured(found, name, reading, now, base, pace)


def true_level(reading: Reading) -> tuple[int | None, str]:
    """Return the level to go by and why it is not the one that the machine says.

    Falling clocks count as level 2 though the machine says it is cool, unless another reason than heat is known for
    all of it: then they only count as level 1.
    """
    if not reading.derived_throttle:
        return reading.level, ""
    at_least = 1 if reading.reasons and set(reading.reasons) <= _OTHER_REASONS else heat.SHRINKS
    if (reading.level or 0) >= at_least:
        return reading.level, ""
    said = "nothing" if reading.level is None else f"level {reading.level}"
    because = f" ({', '.join(reading.reasons)})" if reading.reasons else ""
    return at_least, f"its clocks or speed fall while it says {said}{because}"


def _measured(
    node: Node, name: str, reading: Reading, now: datetime, base: int, pace: timedelta
) -> Node:
    busy = [one for one in (reading.gpu_busy_ratio, reading.cpu_busy_ratio) if one is not None]
    seen = Seen(
        at_s=node.seen_at.timestamp(),
        level=node.level or 0,
        power_w=reading.power_w,
        temp_c=reading.temp_c,
        margin_c=reading.margin_c,
        busy=max(busy) > _BUSY if busy else None,
    )
    watts = [one for one in (node.peak_w, reading.power_w) if one is not None]
    return replace(
        node,
        reading=reading,
        fit=learnt(node.fit, seen),
        slots=heat.controlled(node.slots, node.level, base, now, name, pace),
        peak_w=max(watts) if watts else None,
    )


_BUSY = 0.3


def _worth_keeping(known: Node, heard: Node, said: Node) -> bool:
    return (
        said.level != known.level
        or said.seen_at >= known.seen_at + REFRESH
        or patience(said) > patience(known)  # it will now be silent for longer
        or heard.skew_s != known.skew_s
        or {boot.id for boot in heard.boots} != {boot.id for boot in known.boots}
        or len(heard.boots) > 1
    )


def _skew_s(known: Node | None, told_at: datetime, now: datetime, interval: timedelta) -> float:
    """Return how far the sender's clock is behind ours: two samples must agree, and lie apart as they say."""
    if known is None or known.told_at is None or known.arrived_at is None:
        return 0.0
    behind_s = (now - told_at).total_seconds()
    tolerance_s = max(_LEAST_TOLERANCE_S, interval.total_seconds() / 2)
    if abs(behind_s - known.skew_s) <= tolerance_s:
        return known.skew_s
    if abs(behind_s) <= tolerance_s:
        return 0.0
    apart_s = (now - known.arrived_at).total_seconds()
    steady = abs(apart_s - (told_at - known.told_at).total_seconds()) <= tolerance_s
    return (
        behind_s if steady and apart_s >= max(1.0, interval.total_seconds() / 2) else known.skew_s
    )


def _boots(node: Node, boot_id: str, now: datetime) -> tuple[Boot, ...]:
    if not boot_id:
        return node.boots
    recent = tuple(boot for boot in node.boots if now - boot.last_at <= patience(node))
    same = next((boot for boot in recent if boot.id == boot_id), Boot(boot_id, now, now))
    others = tuple(boot for boot in recent if boot.id != boot_id)
    return (*others, replace(same, last_at=now))[-_MOST_BOOTS:]


def _rivals(node: Node, now: datetime) -> tuple[str, ...]:
    """Return the starts that were heard in turns: after a restart the old one never speaks again."""
    recent = [boot for boot in node.boots if now - boot.last_at <= patience(node)]
    return tuple(
        sorted(
            boot.id[:8]
            for boot in recent
            if any(
                other.id != boot.id
                and boot.first_at <= other.last_at
                and other.first_at <= boot.last_at
                for other in recent
            )
        )
    )
