# SPDX-License-Identifier: Apache-2.0
"""Reports by the clock: each once, what was missed made up for once, what failed tried again also after a restart."""

from __future__ import annotations

from datetime import time, timedelta

import pytest
from services.monitoring.tests.test_report_stories import HOUR, TODAY, YESTERDAY, Desk, stop


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_the_clock_makes_a_day_and_a_week_of_every_project_and_of_all_once(
    desk: Desk,
) -> None:
    await desk.known_since(TODAY - timedelta(days=30), "lora", "rain")

    first, second = await desk.due(), await desk.due()

    told = [(one.project, one.kind) for one in first]
    scopes = ["lora", "rain", "all-projects"]
    assert told == [*((one, "day") for one in scopes), *((one, "week") for one in scopes)]
    assert second == []


async def test_a_new_project_has_its_first_report_the_next_day(desk: Desk) -> None:
    await desk.register("rain")

    at_once, the_next_day = await desk.due(), await desk.due(desk.now + timedelta(days=1))

    assert at_once == []
    assert [one.project for one in the_next_day if one.kind == "day"] == ["rain", "all-projects"]


async def test_days_that_were_missed_are_made_up_for_once(desk: Desk) -> None:
    await desk.known_since(TODAY, "rain")

    made = await desk.due(desk.now + timedelta(days=5))

    days = [one for one in made if one.kind == "day"]
    assert [one.project for one in days] == ["rain", "all-projects"]
    assert days[0].period_to == TODAY + timedelta(days=5)


async def test_killed_before_it_was_noted_the_same_report_is_told_with_the_same_id(
    desk: Desk,
) -> None:
    await desk.known_since(YESTERDAY, "rain")
    maker = desk.maker.scheduled(time(7), lambda: desk.now, stop)
    lost = await anext(maker)

    again = await desk.due()

    assert again[0].id == lost.id


async def test_a_page_that_cannot_be_written_holds_back_no_other_and_stays_due(desk: Desk) -> None:
    await desk.known_since(YESTERDAY, "lora", "rain")
    desk.pages.broken = frozenset({"lora"})

    others = await desk.due()
    desk.pages.broken = frozenset()
    at_once = await desk.due()
    later = await desk.due(desk.now + timedelta(minutes=1))

    assert {(one.project, one.kind) for one in others} >= {("rain", "day"), ("all-projects", "day")}
    assert at_once == []
    assert {one.project for one in later} == {"lora"}


async def test_a_restart_forgets_neither_the_tries_nor_when_the_next_one_is(desk: Desk) -> None:
    await desk.known_since(YESTERDAY, "lora")
    desk.pages.broken = frozenset({"lora"})
    for minutes in range(12 * 60):
        desk.restart()
        await desk.due(desk.now + timedelta(minutes=minutes))
    tried = desk.pages.refused
    desk.pages.broken = frozenset()
    desk.restart()

    given_up = await desk.due(desk.now + HOUR * 18)

    assert tried == 10
    assert given_up == []


async def test_a_page_that_always_fails_is_given_up_until_the_next_day(desk: Desk) -> None:
    await desk.known_since(YESTERDAY, "lora")
    desk.pages.broken = frozenset({"lora"})
    for minutes in range(12 * 60):
        await desk.due(desk.now + timedelta(minutes=minutes))
    desk.pages.broken = frozenset()

    given_up = await desk.due(desk.now + HOUR * 18)
    next_day = await desk.due(desk.now + HOUR * 24)

    assert given_up == []
    assert ("lora", "day") in {(one.project, one.kind) for one in next_day}


async def test_without_projects_there_is_nothing_to_report(desk: Desk) -> None:
    assert await desk.due() == []
