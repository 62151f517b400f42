# SPDX-License-Identifier: Apache-2.0
"""Arrivals: whether what a machine says is news, or history that was kept for a service which was away.

A message counts by when it arrives, unless it is older than a machine may be silent. A clock that is wrong does not make
it old: messages that arrive as far apart as they were told come from a machine that speaks now, however late it is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

OLD = timedelta(minutes=10)
_TOLERANCE_S = 5.0
_LEAST_APART_S = 1.0


@dataclass(frozen=True)
class Arrival:
    """The last message of a machine: told by its clock, arrived by ours; *lag_s* is how far its clock is behind."""

    told_at: datetime
    at: datetime
    lag_s: float = 0.0

    @property
    def is_history(self) -> bool:
        """Return whether it was told so long ago that it says nothing of now."""
        return (self.at - self.told_at).total_seconds() - self.lag_s > OLD.total_seconds()


def arrived(before: Arrival | None, told_at: datetime, now: datetime) -> Arrival:
    """Return the arrival of a message."""
    if before is None:
        return Arrival(told_at, now)
    behind_s = (now - told_at).total_seconds()
    apart_s = (now - before.at).total_seconds()
    told_apart_s = (told_at - before.told_at).total_seconds()
    speaks_now = apart_s >= _LEAST_APART_S and abs(apart_s - told_apart_s) <= _TOLERANCE_S
    if not speaks_now:
        return Arrival(told_at, now, before.lag_s)
    return Arrival(told_at, now, behind_s if abs(behind_s) > _TOLERANCE_S else 0.0)
