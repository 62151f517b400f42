# SPDX-License-Identifier: Apache-2.0
"""A period against the one before: what changed is seen, what only wavers is not, and what nobody can say is not said."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy import stats

from mlops.contracts.latency import EDGES_MS
from mlops.monitoring.model.reports import Answers, report
from mlops.monitoring.model.reports_before import (
    chance_of_change,
    chance_of_counts,
    chance_of_values,
    changes,
)
from mlops.monitoring.model.reports_entries import (
    Change,
    Drifted,
    Entry,
    Measured,
    Metered,
    Training,
)
from mlops.monitoring.model.reports_period import Period
from mlops.monitoring.model.reports_words import headline

MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC)
DAY = Period("day", MIDNIGHT, MIDNIGHT + timedelta(days=1))
RNG = np.random.default_rng(20261122)


@pytest.fixture(autouse=True)
def same_noise() -> None:
    """Let every test see the same noise, whichever ran before it."""
    RNG.bit_generator.state = np.random.default_rng(20261122).bit_generator.state


def traffic(
    hours: Sequence[int], factor: float = 1.0, place: int = 20, model: str = "rain", **more: float
) -> list[Entry]:
    """Return what a version answered: more at noon than at night, wavering by a tenth."""
    found: list[Entry] = []
    for hour in hours:
        count = round(
            1000 * factor * (1.5 + math.sin(hour / 24 * math.tau)) * RNG.uniform(0.9, 1.1)
        )
        at = MIDNIGHT + timedelta(hours=hour)
        failed = int(count * more.get("failing", 0.01) * RNG.uniform(0.5, 1.5))
        joules = count * more.get("joules", 0.04) * RNG.uniform(0.95, 1.05)
        found.append(
            Metered("rain", model, 1, at, count, count, failed, {str(place): count}, joules)
        )
    return found  # fmt: skip


def windows(hours: Sequence[int], value: float, rows: int = 500) -> list[Entry]:
    return [
        Measured("rain", "rain", 1, MIDNIGHT + timedelta(hours=hour), "accuracy", value + RNG.normal(0, 0.013), None, False, rows)
        for hour in hours
    ]  # fmt: skip


TODAY, BEFORE = range(24), range(-24, 0)


def found(*entries: Entry) -> dict[str, Change]:
    answers = Answers(EDGES_MS)
    now = report(entries, (), DAY, "rain", answers)
    before = report(entries, (), DAY.before, "rain", answers)
    return {one.metric or one.figure: one for one in changes(now, before)}


def test_a_day_like_the_one_before_has_changed_in_nothing() -> None:
    compared = found(*traffic(TODAY), *traffic(BEFORE), *windows(TODAY, 0.9), *windows(BEFORE, 0.9))

    said = {name: one.beyond_noise for name, one in compared.items()}
    assert said == {
        "accuracy": False, "predictions": False, "failed_ratio": False, "p95_ms": False, "joules_per_1000": False,
        "drift": False, "energy": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("predictions", lambda: traffic(TODAY, factor=1.4)),
        ("failed_ratio", lambda: traffic(TODAY, failing=0.05)),
        ("p95_ms", lambda: traffic(TODAY, place=22)),
        ("joules_per_1000", lambda: traffic(TODAY, joules=0.06)),
        ("accuracy", lambda: [*traffic(TODAY), *windows(TODAY, 0.87)]),
    ],
)
def test_what_changed_is_told_and_nothing_else(
    name: str, entries: Callable[[], list[Entry]]
) -> None:
    compared = found(*entries(), *traffic(BEFORE), *windows(BEFORE, 0.9))

    assert [told for told, one in compared.items() if one.beyond_noise] == [name]


def test_drift_told_again_and_again_is_a_change() -> None:
    drifts = [
        Drifted("rain", "rain", 1, MIDNIGHT + timedelta(hours=hour), "data", "warning", 0.5, ())
        for hour in range(14)
    ]

    compared = found(*traffic(TODAY), *traffic(BEFORE), *drifts)["drift"]

    assert (compared.before, compared.now, compared.beyond_noise) == (0, 14, True)
    assert chance_of_counts(0, 14) == pytest.approx(stats.binomtest(0, 14).pvalue)


def test_what_too_little_is_known_of_is_not_judged() -> None:
    compared = found(
        *traffic(range(5)), *traffic(range(-24, -19)), *windows([1], 0.9), *windows([-20], 0.2)
    )

    assert (compared["predictions"].beyond_noise, compared["accuracy"].beyond_noise) == (None, None)
    assert "fewer than eight" in compared["predictions"].why
    assert "too few windows" in compared["accuracy"].why


def test_hours_before_a_model_came_are_not_held_against_it() -> None:
    compared = found(*traffic(TODAY), *traffic(range(-12, 0)))

    assert compared["predictions"].beyond_noise is False


def test_without_a_record_of_the_time_before_nothing_is_compared() -> None:
    assert found(*traffic(TODAY)) == {}


def test_trainings_and_answers_add_up_to_the_energy_of_a_period() -> None:
    training = Training("rain", "w", "retrain", "completed", MIDNIGHT, 60.0, 7200.0)

    compared = found(training, *traffic(TODAY, joules=0.0), *traffic(BEFORE, joules=0.0))["energy"]

    assert (compared.before, compared.now) == (0.0, 7200.0)


def test_of_several_models_everything_stands_beside_each_and_the_headline_names_what_changed() -> (
    None
):
    entries = [*traffic(TODAY), *traffic(BEFORE), *traffic(TODAY, 2.0, model="snow"), *traffic(BEFORE, model="snow")]  # fmt: skip
    answers = Answers(EDGES_MS)
    now = report(entries, (), DAY, None, answers)
    compared = changes(now, report(entries, (), DAY.before, None, answers))
    told = type(now)(**{**vars(now), "changes": compared})

    beyond = {(one.model, one.figure) for one in compared if one.beyond_noise}
    assert beyond == {(None, "predictions"), ("snow", "predictions")}
    assert any("the day before: predictions of snow." in said for said in headline(told))


def test_the_chance_of_values_is_that_of_students_t() -> None:
    before = [w for w in windows(range(8), 0.9) if isinstance(w, Measured)]
    now = [w for w in windows(range(8), 0.88) if isinstance(w, Measured)]

    theirs = stats.ttest_ind([one.value for one in before], [one.value for one in now]).pvalue

    assert chance_of_values(before, now) == pytest.approx(theirs, rel=0.03)


def test_noise_is_seldom_taken_for_a_change_also_where_hours_are_alike() -> None:
    """Measured with other seeds: at most 1 % at a level of 1 % up to a likeness of .7 between hours, 2 % at .9."""
    rounds, hours = 600, 24
    steady = np.zeros((2, rounds, hours))
    for hour in range(1, hours):
        steady[:, :, hour] = 0.7 * steady[:, :, hour - 1] + RNG.normal(size=(2, rounds))
    for noise in (RNG.standard_t(3, size=(2, rounds, hours)), steady):
        chances = [
            chance_of_change(list(zip(a, b, strict=True))) or 1.0 for a, b in zip(*noise, strict=True)
        ]  # fmt: skip
        assert sum(chance <= 0.01 for chance in chances) <= 0.025 * rounds
