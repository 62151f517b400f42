# SPDX-License-Identifier: Apache-2.0
"""Which time a report covers."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest

from mlops.monitoring.errors import PeriodError
from mlops.monitoring.model.reports_period import Period, asked, due

BERLIN = ZoneInfo("Europe/Berlin")
SEVEN = time(7)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_day_is_the_last_24_hours_to_the_minute() -> None:
    assert asked("day", at("2026-11-20T10:20:31"), UTC) == Period(
        "day", at("2026-11-19T10:20"), at("2026-11-20T10:20")
    )


def test_dates_are_midnights_of_the_zone() -> None:
    found = asked("2026-11-01..2026-11-08", at("2026-11-20T00:00"), BERLIN)

    assert (found.since, found.until) == (at("2026-10-31T23:00"), at("2026-11-07T23:00"))


def test_times_may_name_a_zone_of_their_own() -> None:
    found = asked("2026-11-01T08:00+02:00..2026-11-01T09:00Z", at("2026-11-20T00:00"), BERLIN)

    assert (found.since, found.until) == (at("2026-11-01T06:00"), at("2026-11-01T09:00"))


@pytest.mark.parametrize(
    "text",
    ["", "month", "..", "2026-11-01..", "2026-11-08..2026-11-01", "2026-11-01..2026-11-01",
     "2020-01-01..2026-01-01", "now..then", "0001-01-01..0001-01-02", "9999-12-30..9999-12-31"],
)  # fmt: skip
@pytest.mark.parametrize("zone", [BERLIN, UTC])
def test_what_is_no_period_is_refused_with_the_fix(text: str, zone: tzinfo) -> None:
    with pytest.raises(PeriodError, match=r"write day, week, or FROM\.\.TO"):
        asked(text, at("2026-11-20T00:00"), zone)


@pytest.mark.parametrize(
    ("now", "last_day"),
    [
        ("2026-11-20T05:59", "2026-11-18T23:00"),  # 6:59 in Berlin: not yet
        ("2026-11-20T06:00", "2026-11-19T23:00"),
        ("2026-11-20T22:30", "2026-11-19T23:00"),
    ],
)
def test_the_day_before_is_due_from_its_time_on(now: str, last_day: str) -> None:
    assert due(at(now), SEVEN, BERLIN)[0].until == at(last_day)


@pytest.mark.parametrize(
    ("now", "last_day"),
    [
        ("2026-11-20T00:09", "2026-11-18T23:00"),  # 1:09 in Berlin: serving may still tell of 23:50
        ("2026-11-20T00:10", "2026-11-19T23:00"),
    ],
)
def test_no_day_is_due_before_serving_has_told_of_its_end(now: str, last_day: str) -> None:
    assert due(at(now), time(0), BERLIN)[0].until == at(last_day)


@pytest.mark.parametrize(
    ("now", "monday"),
    [
        ("2026-11-22T12:00", "2026-11-16T00:00"),
        ("2026-11-23T06:59", "2026-11-16T00:00"),
        ("2026-11-23T07:00", "2026-11-23T00:00"),
    ],
)
def test_the_week_is_due_on_mondays(now: str, monday: str) -> None:
    week = due(at(now), SEVEN, UTC)[1]

    assert (week.until, week.length) == (at(monday), timedelta(days=7))


def test_a_day_on_which_the_clocks_change_is_whole() -> None:
    day = due(at("2026-10-26T12:00"), SEVEN, BERLIN)[0]

    assert day.length == timedelta(hours=25)


def test_the_same_period_has_the_same_file_and_whole_days_have_short_ones() -> None:
    whole = asked("2026-11-01..2026-11-08", at("2026-11-20T00:00"), BERLIN)
    part = asked("day", at("2026-11-20T10:20:31"), BERLIN)

    assert whole.file_name(BERLIN) == "2026-11-01--2026-11-08-period"
    assert part.file_name(BERLIN) == "2026-11-19T112000--2026-11-20T112000-day"
