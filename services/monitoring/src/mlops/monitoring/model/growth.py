# SPDX-License-Identifier: Apache-2.0
"""What joins a second reference, beside one that has not seen the whole day or no weekend yet, and when is it whole?

Rows of quiet windows: of each hour the first three working days that have it and the first three days of weekends, at
most so many rows of each. It is asked only when whole: two days that happen to be alike tell nothing of the third.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np

from mlops.monitoring.model.phases import DAY_S, is_weekend, seconds

ROWS_OF_AN_HOUR = 120
# It is asked besides the first one, so its own false alarms come on top: they have to be few.
SURER = 0.2
_DAYS_OF_AN_HOUR = 3
_WEEKEND_DAYS = 2
_HOURS_OF_A_DAY = 18  # what is in between is no surprise
_LONGEST_S = 14 * DAY_S  # hours that have not come until then are not needed
_LOOKED_BACK_S = 2 * _LONGEST_S
_HOUR_S = 3600.0
_HOURS = 24
_MOST_HOURS = 10_000

Place = tuple[int, int]
"""An hour of a working day (0 to 23) or of a weekend (24 to 47), and the day."""


class State(StrEnum):
    """Whether rows still join, whether it is asked, or why neither."""

    GROWS = "grows"
    WHOLE = "whole"
    ENDED = "ended"  # something drifted: nobody knows how much of what is to come is normal
    NEEDLESS = "needless"


@dataclass(frozen=True)
class Growth:
    """How far the second reference of a version is: the hours and days that it has rows of."""

    places: frozenset[Place] = frozenset()
    state: State = State.GROWS

    def with_rows(self, times: Sequence[datetime]) -> Growth:
        """Return it with rows of these times."""
        return replace(self, places=self.places | frozenset(places(times)))

    def after(self, at: datetime) -> Growth:
        """Return it as whole when it has seen what it needs, or has waited for it for two weeks."""
        days = Counter(hour for hour, _ in self.places)
        working = sum(days[hour] >= _DAYS_OF_AN_HOUR for hour in range(_HOURS))
        weekend = sum(days[_HOURS + hour] >= _WEEKEND_DAYS for hour in range(_HOURS))
        whole = min(working, weekend) >= _HOURS_OF_A_DAY or self._has_waited(at.timestamp())
        return replace(self, state=State.WHOLE) if whole else self

    def _has_waited(self, now_s: float) -> bool:
        # A row with the time of an unset clock, or days before the version was away for long, are no waiting.
        days = {day for _, day in self.places if day * DAY_S >= now_s - _LOOKED_BACK_S}
        return len(days) >= _DAYS_OF_AN_HOUR and now_s - min(days) * DAY_S >= _LONGEST_S

    @property
    def told(self) -> str | None:
        """Return it in words; None when the reference needs no other."""
        if self.state is State.NEEDLESS:
            return None
        hours = {hour for hour, _ in self.places}
        of_a_day = len({hour % _HOURS for hour in hours})
        weekend, working = max(hours, default=0) >= _HOURS, min(hours, default=_HOURS) < _HOURS
        lacks = "" if weekend and working else f", no {'weekend' if working else 'working day'} yet"
        return f"{_WORDS[self.state]}: seen {of_a_day} of {_HOURS} hours{lacks}"


_WORDS = {
    State.GROWS: "still grows",
    State.WHOLE: "has grown",
    State.ENDED: "grows no more, because of a drift",
}


def places(times: Sequence[datetime]) -> list[Place]:
    """Return the hour and the day of each time."""
    if not times:
        return []
    at = seconds(times)
    hours = np.floor(np.mod(at, DAY_S) / _HOUR_S).astype(np.int64) + _HOURS * is_weekend(at)
    days = np.floor(at / DAY_S).astype(np.int64)
    return list(zip(hours.tolist(), days.tolist(), strict=True))


def wanted(known: Collection[Place], times: Sequence[datetime]) -> list[int]:
    """Return which rows of a window, by their *times*, join rows of the *known* places.

    An hour that began in another window is not gone on with: so its rows are those that came first.
    """
    days, rows, found = Counter(hour for hour, _ in known), Counter[Place](), []
    for row, place in enumerate(places(times)):
        if place in known or rows[place] >= ROWS_OF_AN_HOUR:
            continue
        if rows[place] == 0:
            if days[place[0]] >= _DAYS_OF_AN_HOUR:
                continue
            days[place[0]] += 1
        rows[place] += 1
        found.append(row)
    return found


def may_want(known: Collection[Place], first: datetime, last: datetime) -> bool:
    """Return whether any row between these times could join, without looking at one."""
    hours = min(_MOST_HOURS, math.ceil((last - first).total_seconds() / _HOUR_S))
    return bool(wanted(known, [*(first + timedelta(hours=hour) for hour in range(hours)), last]))
