# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a column is called what it is; whatever comes in, a window is judged or says why not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlops.monitoring.model.bins import CategoryBins, Value, cut
from mlops.monitoring.model.drift import ColumnVerdict, WindowVerdict, judge
from mlops.monitoring.model.reference import Reference, freeze

Columns = dict[str, list[Value]]

ROWS = 500


def columns_of(rng: np.random.Generator, rows: int) -> Columns:
    return {
        "size": rng.normal(10, 2, rows).tolist(),
        "colour": [str(v) for v in rng.choice(["red", "green", "blue"], rows, p=[0.5, 0.3, 0.2])],
        "paid": [bool(v) for v in rng.random(rows) < 0.7],
    }


@pytest.fixture(scope="module")
def reference() -> Reference:
    return freeze(columns_of(np.random.default_rng(1), 4000), [None] * 4000, ROWS)


CLEAN = columns_of(np.random.default_rng(3), ROWS)


def look(reference: Reference, **changed: list[Value]) -> WindowVerdict:
    columns = columns_of(np.random.default_rng(2), ROWS) | changed
    return judge(reference, columns, [None] * ROWS)


def the(verdict: WindowVerdict, name: str) -> ColumnVerdict:
    return next(column for column in verdict.columns if column.name == name)


def test_a_clean_window_says_nothing(reference: Reference) -> None:
    verdict = look(reference)

    assert (verdict.moved, verdict.gone, verdict.together, verdict.pairs) == ((), (), False, ())
    assert verdict.unexpected == ()


@pytest.mark.parametrize(
    ("name", "values", "test", "score"),
    [
        ("size", [50.0 if i % 5 == 0 else 10.0 + i % 4 for i in range(ROWS)], "w1", None),
        ("size", [99.0 if i % 20 == 0 else v for i, v in enumerate(CLEAN["size"])], "range", 0.05),
        ("size", [10.0] * ROWS, "constant", None),
        ("colour", ["red"] * ROWS, "constant", None),
        ("colour", ["violet" if i % 10 == 0 else v for i, v in enumerate(CLEAN["colour"])], "unseen", 0.1),
        ("paid", [i % 10 < 4 for i in range(ROWS)], "tvd", 0.3),
    ],
)  # fmt: skip
def test_values_that_moved_are_called_what_they_are(
    reference: Reference, name: str, values: list[Value], test: str, score: float | None
) -> None:
    found = the(look(reference, **{name: values}), name)

    assert (found.moved, found.missing_moved, found.test) == (True, False, test)
    assert score is None or found.score == pytest.approx(score, abs=0.03)
    assert found.score >= found.threshold


@pytest.mark.parametrize(
    ("values", "test"),
    [
        ([None if i % 10 == 0 else v for i, v in enumerate(CLEAN["size"])], "missing"),
        ([math.nan] * ROWS, "missing"),
        ([f"{v} cm" for v in CLEAN["size"]], "type"),
    ],
)
def test_values_that_cannot_be_compared_are_called_what_they_are(
    reference: Reference, values: list[Value], test: str
) -> None:
    found = the(look(reference, size=[*values]), "size")

    assert (found.missing_moved, found.moved, found.test) == (True, False, test)


def test_a_column_that_no_longer_comes_is_absent(reference: Reference) -> None:
    columns = columns_of(np.random.default_rng(5), ROWS)
    del columns["size"]

    found = the(judge(reference, columns, [None] * ROWS), "size")

    assert (found.missing_moved, found.test, found.score) == (True, "absent", 1.0)


def test_a_new_column_is_named_and_is_no_drift(reference: Reference) -> None:
    verdict = look(reference, shape=["round"] * ROWS)

    assert verdict.unexpected == ("shape",)
    assert (verdict.moved, verdict.gone) == ((), ())


@pytest.mark.parametrize("rows", [0, 1, 199])
def test_too_few_rows_cannot_be_judged(reference: Reference, rows: int) -> None:
    columns = {
        name: values[:rows] for name, values in columns_of(np.random.default_rng(6), 200).items()
    }

    verdict = judge(reference, columns, [None] * rows)

    assert verdict.unjudged == f"the window has {rows} rows, 200 are needed; raise [monitor].window"


@pytest.mark.parametrize("value", [math.inf, -math.inf, 10**400, -(10**400), 1e308])
def test_numbers_beyond_all_measure_are_far_away_and_break_nothing(
    reference: Reference, value: float
) -> None:
    found = the(look(reference, size=[value] * ROWS), "size")

    assert (found.moved, found.big) == (True, True)
    assert math.isfinite(found.score)


def test_a_reference_with_infinite_numbers_can_be_compared() -> None:
    numbers: list[Value] = [math.inf if i % 50 == 0 else float(i % 37) for i in range(1000)]
    reference = freeze({"c": numbers}, [None] * 1000, ROWS)

    assert judge(reference, {"c": numbers[:ROWS]}, [None] * ROWS).moved == ()


def test_a_hundred_thousand_categories_cost_no_more_than_the_frequent_ones() -> None:
    rng = np.random.default_rng(7)
    towns: list[Value] = ["home" if rng.random() < 0.6 else f"town-{i}" for i in range(250_000)]

    bins = cut(towns, ROWS)

    assert isinstance(bins, CategoryBins)
    assert (bins.size, len(bins.places)) == (3, 2)
    reference = freeze({"town": towns[:20_000]}, [None] * 20_000, ROWS)
    assert judge(reference, {"town": towns[-ROWS:]}, [None] * ROWS).moved == ()


def test_numbers_that_are_nearly_all_the_largest_one_are_seen_when_they_fall() -> None:
    rng = np.random.default_rng(8)

    def levels(rows: int, full: float) -> list[Value]:
        return [100.0 if rng.random() < full else float(v) for v in rng.random(rows)]

    reference = freeze({"level": levels(4000, 0.98)}, [None] * 4000, ROWS)

    assert judge(reference, {"level": levels(ROWS, 0.98)}, [None] * ROWS).moved == ()
    assert judge(reference, {"level": levels(ROWS, 0.6)}, [None] * ROWS).moved != ()
