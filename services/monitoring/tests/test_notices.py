# SPDX-License-Identifier: Apache-2.0
"""Which channel is told of an alert, when, and why: tables of cases, and what holds for every history."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.monitoring.model.notices import (
    Case,
    Channel,
    Hush,
    Notice,
    Plan,
    Quiet,
    Why,
    due,
    is_same_trouble,
    kept,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
INFO, WARNING, CRITICAL = 1, 2, 3
PLAN = Plan(
    notify=("chat", "mail"),
    escalate=("call", "boss"),
    escalate_after=30 * MINUTE,
    repeat_every=240 * MINUTE,
    settle=10 * MINUTE,
)
CHANNELS = {name: Channel() for name in ("chat", "mail", "call", "boss")}
OPEN = Case(rank=WARNING, ended_at=None, acknowledged=False, silenced=False)


def told(channel: str, why: Why, after: timedelta, rank: int = WARNING, number: int = 0) -> Notice:
    at = NOON + after
    return Notice(channel, why, number, at, rank, tries=1, told_at=at)


def wanted(case: Case, after: timedelta, plan: Plan = PLAN) -> list[tuple[str, str]]:
    return [(one.channel, one.why) for one in due(case, plan, CHANNELS, NOON + after)]


CHAT_AND_MAIL = (
    told("chat", Why.RAISED, timedelta(0)),
    told("mail", Why.RAISED, timedelta(0)),
)


def test_an_alert_is_told_at_once_to_the_first_channels() -> None:
    assert wanted(OPEN, timedelta(0)) == [("chat", "raised"), ("mail", "raised")]


def test_what_was_told_is_not_told_again() -> None:
    assert wanted(replace(OPEN, notices=CHAT_AND_MAIL), 29 * MINUTE) == []


@pytest.mark.parametrize(
    ("after", "whom"), [(29, []), (30, ["call"]), (59, ["call"]), (60, ["call", "boss"])]
)
def test_the_next_channel_is_told_while_nobody_acknowledges(after: int, whom: list[str]) -> None:
    case = replace(OPEN, notices=CHAT_AND_MAIL)

    assert wanted(case, after * MINUTE) == [(name, "escalated") for name in whom]


def test_it_escalates_although_the_first_channels_cannot_be_told() -> None:
    failing = Notice("chat", Why.RAISED, 0, NOON, tries=3, next_at=NOON + 60 * MINUTE)

    found = wanted(replace(OPEN, notices=(failing,)), 31 * MINUTE, replace(PLAN, notify=("chat",)))

    assert found == [("call", "escalated")]


def test_nobody_is_told_more_once_somebody_has_acknowledged() -> None:
    case = replace(OPEN, acknowledged=True, notices=CHAT_AND_MAIL)

    assert wanted(case, timedelta(days=2)) == []


def test_who_has_acknowledged_hears_when_it_gets_worse() -> None:
    case = replace(OPEN, rank=CRITICAL, acknowledged=True, notices=CHAT_AND_MAIL)

    assert wanted(case, MINUTE) == [("chat", "worse"), ("mail", "worse")]


def test_an_alert_that_lasts_is_told_again() -> None:
    plan = replace(PLAN, notify=("chat",), escalate=())
    first = replace(OPEN, notices=CHAT_AND_MAIL[:1])
    second = replace(
        first, notices=(*first.notices, told("chat", Why.REPEATED, 240 * MINUTE, number=1))
    )

    (repeat,) = due(second, plan, CHANNELS, NOON + 480 * MINUTE)
    assert wanted(first, 239 * MINUTE, plan) == []
    assert wanted(first, 240 * MINUTE, plan) == [("chat", "repeated")]
    assert wanted(second, 479 * MINUTE, plan) == []
    assert (repeat.why, repeat.number) == ("repeated", 2)


def test_without_repeats_it_is_told_once() -> None:
    plan = replace(PLAN, repeat_every=None, escalate=())

    assert wanted(replace(OPEN, notices=CHAT_AND_MAIL), timedelta(days=300), plan) == []


def test_the_end_is_told_once_it_has_settled_to_those_who_heard_of_the_beginning() -> None:
    case = replace(OPEN, ended_at=NOON, notices=CHAT_AND_MAIL[:1])

    assert wanted(case, 9 * MINUTE) == []
    assert wanted(case, 10 * MINUTE) == [("chat", "resolved")]
    assert wanted(case, timedelta(days=2)) == []


def test_an_end_that_nobody_heard_the_beginning_of_is_not_told() -> None:
    assert wanted(replace(OPEN, ended_at=NOON), 20 * MINUTE) == []


def test_a_silenced_alert_is_told_when_the_silence_is_over() -> None:
    assert wanted(replace(OPEN, silenced=True), 20 * MINUTE) == []
    assert wanted(OPEN, 20 * MINUTE) == [("chat", "raised"), ("mail", "raised")]


def test_a_channel_hears_only_what_is_bad_enough() -> None:
    channels = {"chat": Channel(least=WARNING), "mail": Channel(least=CRITICAL)}

    found = due(OPEN, PLAN, channels, NOON)

    assert [one.channel for one in found] == ["chat"]


@pytest.mark.parametrize(
    ("hour", "rank", "is_told"),
    [
        (21, WARNING, True),
        (22, WARNING, False),
        (3, WARNING, False),
        (3, CRITICAL, True),
        (7, WARNING, True),
    ],
)
def test_in_quiet_hours_only_what_is_critical_is_told(
    hour: int, rank: int, *, is_told: bool
) -> None:
    zone = ZoneInfo("Asia/Tokyo")
    quiet = Channel(quiet=Quiet(time(22), time(7), zone))
    now = datetime(2026, 5, 1, hour, tzinfo=zone).astimezone(UTC)

    found = due(replace(OPEN, rank=rank), Plan(("chat",)), {"chat": quiet}, now)

    assert [one.channel for one in found] == ["chat"] * is_told


def test_what_failed_is_tried_later_and_later() -> None:
    notice, now, gaps = Notice("chat", Why.RAISED, 0, NOON), NOON, []
    plan = Plan(("chat",))

    for _ in range(8):
        notice = notice.claimed(WARNING, now, "mine")
        assert notice.next_at is not None
        gaps.append((notice.next_at - now) / MINUTE)
        case = replace(OPEN, notices=(notice,))
        assert due(case, plan, CHANNELS, notice.next_at - MINUTE / 60) == []
        (again,) = due(case, plan, CHANNELS, notice.next_at)
        assert again == notice
        now = notice.next_at

    assert gaps == [1, 2, 5, 15, 30, 60, 60, 60]


@pytest.mark.parametrize(
    ("model", "kind", "silent"),
    [
        (None, None, True),
        ("rain", None, True),
        ("snow", None, False),
        (None, "data", True),
        (None, "performance", False),
    ],
)
def test_a_silence_is_about_what_it_names(
    model: str | None, kind: str | None, *, silent: bool
) -> None:
    hush = Hush("rainfall", model, kind, NOON + MINUTE)

    assert hush.covers("rainfall", "rain", "data", NOON) is silent
    assert not hush.covers("rainfall", "rain", "data", NOON + MINUTE)
    assert not hush.covers("sunshine", "rain", "data", NOON)


@pytest.mark.parametrize(
    ("ended", "again", "notices", "same"),
    [
        (NOON, NOON + 9 * MINUTE, (), True),
        (NOON, NOON + 10 * MINUTE, (), False),
        (NOON, NOON + MINUTE, (told("chat", Why.RESOLVED, MINUTE),), False),
        (None, NOON, (), False),
    ],
)
def test_trouble_that_comes_back_before_its_end_was_told_is_the_same(
    ended: datetime | None, again: datetime, notices: tuple[Notice, ...], *, same: bool
) -> None:
    assert is_same_trouble(ended, again, notices, 10 * MINUTE) is same


@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, 400), st.sampled_from(["look", "ack", "end", "back", "worse", "fail"])
        ),
        max_size=40,
    )
)
def test_no_history_tells_a_channel_the_same_thing_twice(steps: list[tuple[int, str]]) -> None:
    case, now, fails, said = OPEN, NOON, False, []

    for minutes, what in [*steps, (1, "look")]:
        now += minutes * MINUTE
        case, fails = _lived(case, what, now, fails=fails)
        for notice in due(case, PLAN, CHANNELS, now):
            tried = notice.claimed(case.rank, now, "mine")
            if not fails:
                tried = replace(tried, told_at=now)
                said.append((tried.channel, tried.why, tried.number))
            case = replace(case, notices=kept(case.notices, tried))

    assert len(said) == len(set(said))
    assert len(case.notices) <= len(CHANNELS) * len(Why)
    beginnings = {channel for channel, why, _ in said if why is not Why.RESOLVED}
    assert {channel for channel, why, _ in said if why is Why.RESOLVED} <= beginnings


def _lived(case: Case, what: str, now: datetime, *, fails: bool) -> tuple[Case, bool]:
    changes: dict[str, Case] = {
        "ack": replace(case, acknowledged=True),
        "end": replace(case, ended_at=case.ended_at or now),
        "worse": replace(case, rank=CRITICAL),
        "back": replace(case, ended_at=None)
        if is_same_trouble(case.ended_at, now, case.notices, PLAN.settle)
        else case,
    }
    return changes.get(what, case), not fails if what == "fail" else fails
