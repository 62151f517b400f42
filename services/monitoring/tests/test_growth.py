# SPDX-License-Identifier: Apache-2.0
"""A reference of some hours gets a second one beside it, of quiet windows, and loses none of what it sees itself."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops.contracts.monitoring import DriftDetected
from mlops.contracts.serving import Prediction, PredictionLogged
from mlops.monitoring.model.growth import (
    ROWS_OF_AN_HOUR,
    Growth,
    State,
    may_want,
    places,
    wanted,
)
from mlops.monitoring.model.windows import ModelKey

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
FRIDAY = MONDAY + timedelta(days=4)
RAIN = ModelKey("rainfall", "rain")
MINUTES = 3
A_DAY = 480


def hours(begin: datetime, many: int, a_day: int = 24) -> list[datetime]:
    return [begin + timedelta(days=n // a_day, hours=n % a_day) for n in range(many)]


def grown(begin: datetime, many: int, a_day: int = 24) -> Growth:
    growth, times = Growth(), hours(begin, many, a_day)
    for at in times:
        growth = growth.with_rows([[at][place] for place in wanted(growth.places, [at])])
    return growth.after(times[-1])


def test_hours_of_which_there_are_rows_are_not_gone_on_with() -> None:
    known = places([MONDAY, MONDAY + timedelta(minutes=20)])

    assert wanted(known, hours(MONDAY, 3)) == [1, 2]
    assert wanted(known, [MONDAY + timedelta(minutes=50)]) == []


def test_of_an_hour_the_first_three_working_days_join_and_the_weekend_as_its_own() -> None:
    known = places([MONDAY + timedelta(days=day) for day in (0, 1)])
    days = [MONDAY + timedelta(days=day) for day in (2, 3, 4, 5, 6)]

    assert wanted(known, days) == [0, 3, 4]


def test_an_hour_gives_as_many_rows_as_any_other_however_many_came() -> None:
    busy = [MONDAY + timedelta(seconds=second) for second in range(3600)]

    assert len(wanted((), busy)) == ROWS_OF_AN_HOUR


@pytest.mark.parametrize(("hour", "may"), [(0, False), (1, True), (30, True)])
def test_a_window_of_known_hours_is_not_read_for_rows(hour: int, *, may: bool) -> None:
    known = places([MONDAY])

    assert may_want(known, MONDAY, MONDAY + timedelta(minutes=50, hours=hour)) is may


@pytest.mark.parametrize(
    ("begin", "days", "state"),
    [
        (MONDAY, 6, State.GROWS),
        (MONDAY, 7, State.WHOLE),
        (FRIDAY, 4, State.GROWS),
        (FRIDAY, 5, State.WHOLE),
    ],
)
def test_it_is_whole_with_three_working_days_and_a_weekend(
    begin: datetime, days: int, state: State
) -> None:
    assert grown(begin, 24 * days).state is state


@pytest.mark.parametrize(("days", "state"), [(13, State.GROWS), (15, State.WHOLE)])
def test_hours_that_never_come_are_waited_for_two_weeks(days: int, state: State) -> None:
    assert grown(MONDAY, 9 * days, a_day=9).state is state


@pytest.mark.parametrize("earlier", [datetime(1970, 1, 1, tzinfo=UTC), MONDAY - timedelta(days=40)])
def test_an_unset_clock_or_rows_from_long_ago_are_no_waiting(earlier: datetime) -> None:
    known = Growth().with_rows([earlier, earlier + timedelta(hours=1), MONDAY])

    assert known.after(MONDAY + timedelta(hours=3)).state is State.GROWS
    assert known.after(MONDAY + timedelta(days=15)).state is State.GROWS  # of one day only


def test_what_it_has_seen_is_said() -> None:
    assert grown(MONDAY, 9).told == "still grows: seen 9 of 24 hours, no weekend yet"
    assert Growth(state=State.NEEDLESS).told is None


async def live(world: Any, begin: int, rows: int, shift: float = 0.0) -> None:
    for start in range(begin, begin + rows, 250):
        batch = tuple(request(world, number, shift) for number in range(start, start + 250))
        await world.tell(
            PredictionLogged(project="rainfall", model="rain", version=1, predictions=batch)
        )


def request(world: Any, number: int, shift: float) -> Prediction:
    at = MONDAY + timedelta(minutes=MINUTES * number)
    wave = math.sin(2 * math.pi * (at.hour * 60 + at.minute) / 1440)
    return Prediction(
        request_id=f"r{number}",
        at=at,
        features={"load": float(world.rng.normal() + wave + shift), "noise": world.rng.normal()},
        prediction=float(world.rng.normal()),
    )


async def growth(world: Any) -> str | None:
    (model,) = (await world.bus.ask("monitoring", "models", {}))["models"]
    told: str | None = model["reference"]["growth"]
    return told


async def test_a_shift_that_hours_may_explain_at_first_is_told_after_a_week(world: Any) -> None:
    await world.register(window=250)
    await world.deploy()

    await live(world, 0, 1500)
    early = await growth(world)
    await live(world, 1500, 2000)  # to the end of Monday
    quiet = world.heard(DriftDetected)
    await live(world, 3500, 500, shift=0.7)

    assert early == "still grows: seen 24 of 24 hours, no weekend yet"
    assert await growth(world) == "has grown: seen 24 of 24 hours"
    assert quiet == []
    assert [event.columns[0].name for event in world.heard(DriftDetected)] == ["load"]


async def test_a_drift_ends_the_growth(world: Any) -> None:
    await world.register(window=250)
    await world.deploy()

    await live(world, 0, 1250)
    await live(world, 1250, 500, shift=9.0)
    before = await world.ledger.look(lambda page: page.baselines.growth(RAIN, 1))
    await live(world, 1750, 500)

    assert (
        await growth(world)
        == "grows no more, because of a drift: seen 24 of 24 hours, no weekend yet"
    )
    assert await world.ledger.look(lambda page: page.baselines.growth(RAIN, 1)) == before


async def test_the_rows_of_the_first_reference_stay_as_they_are(world: Any) -> None:
    await world.register(window=250)
    await world.deploy()

    await live(world, 0, 1000)
    first = await world.ledger.look(lambda page: page.baselines.get(RAIN, 1))
    await live(world, 1000, 500)

    both = await world.ledger.look(
        lambda page: (page.baselines.get(RAIN, 1), page.baselines.grown(RAIN, 1))
    )
    assert both[0] == first
    assert both[1] is not None
    assert both[1].times == sorted(both[1].times)
    assert {len(column) for column in both[1].features.values()} == {len(both[1].times)}
    assert len(both[1].times) > 1000


async def test_a_person_who_allows_for_nothing_gets_no_second_reference(world: Any) -> None:
    await world.register(window=250, drift={"cycle": "none"})
    await world.deploy()

    await live(world, 0, 1500)

    assert await world.ledger.look(lambda page: page.baselines.grown(RAIN, 1)) is None
