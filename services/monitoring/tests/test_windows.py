# SPDX-License-Identifier: Apache-2.0
"""When a window is due, how many make a reference, what a deployment changes; heat and suspects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from mlops.monitoring.handlers.labels import measured_on
from mlops.monitoring.model.alarm import Alarm
from mlops.monitoring.model.measured import Measured
from mlops.monitoring.model.suspects import Heat, advice, suspects
from mlops.monitoring.model.windows import (
    VERSIONS_KEPT,
    ModelKey,
    Phase,
    Row,
    Summary,
    Watched,
    Window,
    columns_of,
    evenly,
    every,
    in_parts,
    is_spread,
    reference_windows,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("labelled", "windows_full", "due"),
    [(500, 6, True), (400, 6, False), (400, 7, False), (400, 8, True), (399, 99, False)],
)
def test_due_when_labelled_or_mostly_labelled_and_two_windows_later(
    labelled: int, windows_full: int, *, due: bool
) -> None:
    window = Window(9, 1, 500, rows=500, labelled=labelled, phase=Phase.FULL, index=5)

    assert window.due(windows_full) is due


def test_an_open_window_is_never_due() -> None:
    assert not Window(0, 1, 500, rows=499, labelled=499).due(9)


@pytest.mark.parametrize(("rows", "windows"), [(50, 20), (300, 4), (500, 2), (2000, 2)])
def test_a_reference_is_two_windows_or_a_thousand_rows(rows: int, windows: int) -> None:
    assert reference_windows(rows) == windows


def test_a_window_knows_its_period_whatever_the_order() -> None:
    late, early = Row("a", NOON + HOUR, {}, 1), Row("b", NOON, {}, 1)

    window = Window(0, 1, 500).grown([late], 0).grown([early], 1)

    assert (window.first_at, window.last_at) == (NOON, NOON + HOUR)
    assert (window.rows, window.labelled, window.room) == (2, 1, 498)


def test_a_missing_feature_is_none_in_its_column() -> None:
    rows = [Row("a", NOON, {"x": 1}, 1), Row("b", NOON, {"y": 2}, 1)]

    assert columns_of(rows) == {"x": [1, None], "y": [None, 2]}


def test_older_news_of_deployments_change_nothing() -> None:
    model = Watched(ModelKey("rainfall", "rain")).deployed(2, NOON, {"accuracy": 0.8})

    assert model.deployed(1, NOON - HOUR, {"accuracy": 0.7}) == model


def test_a_new_version_forgets_the_alarms_of_the_one_before() -> None:
    model = Watched(ModelKey("rainfall", "rain"), version=1, alarms={"data": Alarm(on=True)})

    assert model.deployed(2, NOON, {}).alarms == {}
    assert model.deployed(1, NOON, {}).alarms == model.alarms


def window_with(inputs: Summary | None) -> Window:
    return Window(3, 1, 500, first_at=NOON, last_at=NOON + HOUR, index=3, inputs=inputs)


@pytest.mark.parametrize(
    ("inputs", "causes"),
    [
        (Summary(share=0.25, columns=("wind",), kinds=("data",)), ["data"]),
        (Summary(columns=("wind",), kinds=("missing", "data")), ["missing"]),
        (Summary(kinds=()), ["concept"]),
        (Summary(unjudged="it is part of the reference"), []),
        (None, []),
    ],
)
def test_suspects_come_from_the_inputs_of_the_same_window(
    inputs: Summary | None, causes: list[str]
) -> None:
    assert [found.cause for found in suspects(window_with(inputs), Heat(), 3)] == causes


def test_heat_at_that_time_is_a_suspect_and_heat_before_is_not() -> None:
    before = Heat().told("mac", 3, NOON - 2 * HOUR).told("mac", 0, NOON - HOUR)
    during = before.told("mac", 2, NOON + HOUR / 2).told("mac", 3, NOON + HOUR / 2)

    cold = suspects(window_with(None), before, 3)
    hot = suspects(window_with(None), during, 3)

    assert cold == ()
    assert [(found.cause, found.evidence) for found in hot] == [
        ("hardware", "node mac was throttled at level 3 since 12:30:00")
    ]
    assert "machine" in advice(hot)


def test_the_first_window_of_a_version_makes_the_version_a_suspect() -> None:
    found = suspects(window_with(None), Heat(), 0)

    assert [one.cause for one in found] == ["version"]
    assert "roll back" in advice(found)


def test_a_mild_level_is_no_episode() -> None:
    assert Heat().told("mac", 1, NOON) == Heat()


def test_a_model_remembers_its_newest_versions_only() -> None:
    model = Watched(ModelKey("p", "m"))
    for version in range(1, 201):
        model = model.deployed(version, NOON + version * HOUR, {"accuracy": 0.8})
        model = model.showing(version, "accuracy", Measured(0.8, 0.01))
    newest = list(range(201 - VERSIONS_KEPT, 201))

    again = model.deployed(newest[0], NOON + 201 * HOUR, {"accuracy": 0.7})
    after = again.deployed(201, NOON + 202 * HOUR, {})

    assert list(model.expected) == list(model.shown) == newest
    assert list(after.expected) == [*newest[2:], newest[0], 201]


def test_a_version_that_answers_on_is_not_forgotten_for_others_that_came_and_went() -> None:
    model = Watched(ModelKey("p", "m")).showing(1, "accuracy", Measured(0.8, 0.01))

    for canary in range(2, 200):
        model = model.showing(canary, "accuracy", Measured(0.1, 0.01))
        model = model.showing(1, "accuracy", Measured(0.3, 0.01))

    assert model.has_shown(1, "accuracy")[0] == Measured(0.8, 0.01)


@pytest.mark.parametrize(("items", "kept"), [(7, 7), (19, 19), (20, 10), (1000, 16)])
def test_evenly_spaced_rows_are_few_and_span_all(items: int, kept: int) -> None:
    found = evenly(range(items), 10)

    assert len(found) == kept
    assert found[0] == 0
    assert len({after - before for before, after in pairwise(found)}) == 1


def test_parts_hold_every_row_once_and_in_order() -> None:
    rows = [Row(str(i), NOON, {}, i) for i in range(25_001)]

    parts = list(in_parts(iter(rows)))

    assert [len(part) for part in parts] == [10_000, 10_000, 5_001]
    assert [row for part in parts for row in part] == rows


@pytest.mark.parametrize(
    ("labelled", "listened_s", "due"),
    [(500, 10, True), (499, 69, False), (499, 70, True), (0, 70, True)],
)
def test_a_horizon_decides_when_labels_are_waited_for_no_longer(
    labelled: int, listened_s: float, *, due: bool
) -> None:
    window = Window(0, 1, 500, 500, labelled, phase=Phase.FULL, index=0, full_at_s=10)

    assert window.due(100, listened_s, horizon_s=60) is due


@pytest.mark.parametrize(
    ("rows", "newest", "counts"),
    [(9_999, 500, False), (10_000, 1, True), (10_001, 1, False), (10_300, 500, True)],
)
def test_a_large_window_is_counted_with_every_thousandth_row(
    rows: int, newest: int, *, counts: bool
) -> None:
    assert Window(0, 1, 1_000_000, rows=rows).counts_ahead(newest) is counts


@pytest.mark.parametrize("items", [0, 1, 7, 8, 15, 16, 17, 100, 1000])
def test_every_names_the_items_that_are_evenly_spaced(items: int) -> None:
    assert list(range(items))[:: every(items, 8)] == evenly(range(items), 8)


@pytest.mark.parametrize("rhythm", [1, 2, 3, 4, 5, 8, 16])
@pytest.mark.parametrize("step", [1, 2, 4, 16])
def test_of_whatever_rhythm_rows_are_labelled_as_many_are_taken(step: int, rhythm: int) -> None:
    labelled = range(rhythm - 1, 200_000, rhythm)
    taken = sum(is_spread(place, step) for place in labelled)

    assert taken == pytest.approx(len(labelled) / step, rel=0.01)


@pytest.mark.parametrize(
    ("metric", "step"), [("accuracy", 8), ("rmse", 8), ("ndcg@10", 1), ("mrr", 1)]
)
def test_a_ranking_is_measured_on_whole_requests_however_many_rows_there_are(
    metric: str, step: int
) -> None:
    window = Window(0, 1, 500_000, rows=500_000, labelled=400_000)

    assert measured_on(window, metric).every == step
