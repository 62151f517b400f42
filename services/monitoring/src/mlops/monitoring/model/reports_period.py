# SPDX-License-Identifier: Apache-2.0
"""Which time a report covers: what people ask for, and what is due by the clock of the wall."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from mlops.monitoring.errors import PeriodError

_DAY, _WEEK = timedelta(days=1), timedelta(days=7)
_LONGEST = timedelta(days=366)
_YEARS = range(1970, 2200)  # beyond them a clock somewhere ends
# Serving tells what it metered up to an hour after it, windows of ten minutes at that.
_SETTLING = timedelta(minutes=70)
_HINT = "write day, week, or FROM..TO such as 2026-11-01..2026-11-08"


@dataclass(frozen=True)
class Period:
    """From `since` on, up to but without `until`; `name` is day, week or period."""

    name: str
    since: datetime
    until: datetime

    @property
    def length(self) -> timedelta:
        """Return how long it is."""
        return self.until - self.since

    @property
    def before(self) -> Period:
        """Return the time of the same length that ends as this one begins."""
        return Period(self.name, self.since - self.length, self.since)

    @property
    def with_before(self) -> Period:
        """Return this one and the one before it."""
        return Period(self.name, self.since - self.length, self.until)

    def holds(self, at: datetime) -> bool:
        """Return whether a moment belongs to it."""
        return self.since <= at < self.until

    @property
    def step(self) -> timedelta:
        """Return the length of the steps in which its curves are drawn."""
        if self.length <= 2 * _DAY:
            return timedelta(hours=1)
        return timedelta(hours=6) if self.length <= 2 * _WEEK else _DAY

    def place(self, at: datetime) -> datetime:
        """Return the beginning of the step in which a moment lies."""
        return self.since + (at - self.since) // self.step * self.step

    def file_name(self, zone: tzinfo) -> str:
        """Return a name for its files; the same period always has the same."""
        first, last = self.since.astimezone(zone), self.until.astimezone(zone)
        whole = first.time() == time() and last.time() == time()
        form = "%Y-%m-%d" if whole else "%Y-%m-%dT%H%M%S"
        return f"{first:{form}}--{last:{form}}-{self.name}"


def asked(text: str, now: datetime, zone: tzinfo) -> Period:
    """Return the period of a wish: the last day or week up to *now*, or FROM..TO; raise PeriodError otherwise.

    A FROM or TO without a time is midnight, without a zone it is of *zone*.
    """
    until = now.replace(second=0, microsecond=0)
    if text in ("day", "week"):
        return Period(text, until - (_DAY if text == "day" else _WEEK), until)
    first, dots, last = text.partition("..")
    if not dots:
        raise PeriodError(f"{text[:60]!r} is no period; {_HINT}")
    since, end = _moment(first, zone), _moment(last, zone)
    if not timedelta(0) < end - since <= _LONGEST:
        raise PeriodError(f"{text[:60]!r} ends before it begins, or is longer than a year; {_HINT}")
    return Period("period", since, end)


def due(now: datetime, at: time, zone: tzinfo) -> tuple[Period, ...]:
    """Return the newest whole day and week (from Monday on) that are to be reported by now.

    That is at *at* of the next day, but not before serving has told of the end of the day.
    """
    local = now.astimezone(zone)
    settled = now >= _midnight(local.date(), zone) + _SETTLING
    today = local.date() if settled and local.time() >= at else local.date() - _DAY
    monday = today - timedelta(days=today.weekday())
    return (
        Period("day", _midnight(today - _DAY, zone), _midnight(today, zone)),
        Period("week", _midnight(monday - _WEEK, zone), _midnight(monday, zone)),
    )


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _moment(text: str, zone: tzinfo) -> datetime:
    try:
        found = datetime.fromisoformat(text.strip())
        aware = found if found.tzinfo is not None else found.replace(tzinfo=zone)
        moment = aware.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise PeriodError(f"{text[:60]!r} is no day and no time; {_HINT}") from error
    if moment.year not in _YEARS:
        raise PeriodError(f"{text[:60]!r} lies before 1970 or after 2199; {_HINT}")
    return moment
