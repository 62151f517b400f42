# SPDX-License-Identifier: Apache-2.0
"""The drift rule: quiet on clean data, also dependent ones; sees what moves; says when it cannot judge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops.monitoring.model.bins import CategoryBins, NumericBins, Value, cut
from mlops.monitoring.model.drift import WindowVerdict, judge
from mlops.monitoring.model.reference import Reference, freeze

ROWS = 500
NAMES = ("normal", "heavy", "skewed", "zeros", "counts", "letter")


def clean(rng: np.random.Generator, rows: int) -> dict[str, list[Value]]:
    """Columns as people have them: normal, heavy-tailed, skewed, mostly zero, counts, categories."""
    latent = rng.standard_normal((rows, 4))
    return {
        "normal": as_values(latent[:, 0]),
        "heavy": as_values(rng.standard_t(3, rows)),
        "skewed": as_values(np.exp(latent[:, 1])),
        "zeros": as_values(np.where(latent[:, 2] < 0.25, 0.0, np.exp(latent[:, 2]))),
        "counts": as_values(rng.poisson(4, rows)),
        "letter": [str(v) for v in rng.choice(list("abcde"), rows, p=[0.4, 0.3, 0.15, 0.1, 0.05])],
    }


def as_values(numbers: NDArray[np.generic]) -> list[Value]:
    found: list[Value] = numbers.tolist()
    return found


def none_of(columns: dict[str, list[Value]]) -> list[Value]:
    return [None] * len(next(iter(columns.values())))


def frozen(columns: dict[str, list[Value]], window: int = ROWS) -> Reference:
    return freeze(columns, none_of(columns), window)


def look(reference: Reference, columns: dict[str, list[Value]]) -> WindowVerdict:
    return judge(reference, columns, none_of(columns))


def names(columns: Sequence[object]) -> list[str]:
    return [getattr(column, "name", "") for column in columns]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return frozen(clean(np.random.default_rng(1), 5000))


def test_clean_windows_hardly_ever_alarm(reference: Reference) -> None:
    rng = np.random.default_rng(2)
    verdicts = [look(reference, clean(rng, ROWS)) for _ in range(200)]

    alarms = [v for v in verdicts if v.moved or v.gone or v.together or v.pairs]

    assert len(alarms) <= 4


def test_one_moved_column_is_found_and_named(reference: Reference) -> None:
    columns = clean(np.random.default_rng(3), ROWS)
    columns["normal"] = [float(str(value)) + 0.5 for value in columns["normal"]]

    verdict = look(reference, columns)

    assert names(verdict.moved) == ["normal"]
    assert verdict.moved[0].score == pytest.approx(0.5, abs=0.1)
    assert verdict.moved[0].big
    assert verdict.share == pytest.approx(1 / 6)


def test_a_wider_column_is_found(reference: Reference) -> None:
    columns = clean(np.random.default_rng(4), ROWS)
    columns["normal"] = [float(str(value)) * 1.5 for value in columns["normal"]]

    assert names(look(reference, columns).moved) == ["normal"]


def test_a_shifted_category_is_found(reference: Reference) -> None:
    rng = np.random.default_rng(5)
    columns = clean(rng, ROWS)
    columns["letter"] = ["c" if v == "a" and rng.random() < 0.4 else v for v in columns["letter"]]

    verdict = look(reference, columns)

    assert names(verdict.moved) == ["letter"]
    assert verdict.moved[0].test == "tvd"


def test_a_value_never_seen_is_found(reference: Reference) -> None:
    columns = clean(np.random.default_rng(6), ROWS)
    columns["letter"] = ["z" if i % 12 == 0 else v for i, v in enumerate(columns["letter"])]

    assert names(look(reference, columns).moved) == ["letter"]


@pytest.mark.parametrize("name", ["normal", "letter"])
def test_missing_values_are_drift_of_their_own(reference: Reference, name: str) -> None:
    columns = clean(np.random.default_rng(7), ROWS)
    columns[name] = [None if i % 10 == 0 else v for i, v in enumerate(columns[name])]

    verdict = look(reference, columns)

    assert names(verdict.gone) == [name]
    assert verdict.moved == ()
    assert verdict.gone[0].missing_ratio == pytest.approx(0.1)
    assert verdict.gone[0].test == "missing"


def test_a_column_that_no_longer_comes_is_missing(reference: Reference) -> None:
    columns = clean(np.random.default_rng(8), ROWS)
    del columns["heavy"]

    verdict = look(reference, columns)

    assert names(verdict.gone) == ["heavy"]
    assert verdict.gone[0].missing_ratio == 1.0


def test_many_columns_that_move_a_little_are_seen_together() -> None:
    rng = np.random.default_rng(9)
    wide = {f"c{i}": as_values(rng.standard_normal(5000)) for i in range(30)}
    reference = frozen(wide)

    verdict = look(reference, {name: as_values(rng.standard_normal(ROWS) + 0.12) for name in wide})

    assert verdict.together


def test_columns_that_no_longer_go_together_are_found() -> None:
    rng = np.random.default_rng(10)

    def pair(rows: int, sign: int) -> dict[str, list[Value]]:
        shared = rng.standard_normal(rows)
        return {
            "one": as_values(shared + 0.5 * rng.standard_normal(rows)),
            "other": as_values(sign * shared + 0.5 * rng.standard_normal(rows)),
        }

    reference = frozen(pair(3000, 1))

    assert look(reference, pair(ROWS, 1)).pairs == ()
    assert look(reference, pair(ROWS, -1)).pairs == (("one", "other"),)


def autocorrelated(rng: np.random.Generator, rows: int) -> NDArray[np.float64]:
    found = np.zeros(rows)
    for i in range(1, rows):
        found[i] = 0.9 * found[i - 1] + np.sqrt(1 - 0.81) * rng.standard_normal()
    return found


def test_autocorrelated_columns_do_not_alarm() -> None:
    rng = np.random.default_rng(11)
    series = {f"c{i}": autocorrelated(rng, 5000 + 40 * ROWS) for i in range(4)}
    reference = frozen({name: as_values(x[:5000]) for name, x in series.items()})

    windows = [slice(start, start + ROWS) for start in range(5000, 5000 + 40 * ROWS, ROWS)]
    verdicts = [look(reference, {n: as_values(x[w]) for n, x in series.items()}) for w in windows]

    assert all(column.design_effect > 10 for column in reference.features)
    assert [v for v in verdicts if v.moved or v.together] == []


def test_the_same_data_shuffled_hide_their_dependence() -> None:
    rng = np.random.default_rng(12)
    series = autocorrelated(rng, 5000)
    rng.shuffle(series)

    reference = frozen({"c": as_values(series)})

    assert reference.features[0].design_effect == 1.0


def test_small_windows_cannot_be_judged(reference: Reference) -> None:
    verdict = look(reference, clean(np.random.default_rng(13), 150))

    assert verdict.unjudged == "the window has 150 rows, 200 are needed; raise [monitor].window"
    assert verdict.columns == ()


def test_a_small_reference_cannot_judge() -> None:
    rng = np.random.default_rng(14)

    verdict = look(frozen(clean(rng, 300)), clean(rng, ROWS))

    assert verdict.unjudged == "the reference has 300 rows, 500 are needed"


def test_identifiers_are_skipped_and_said_so() -> None:
    columns: dict[str, list[Value]] = {
        "id": [f"row-{i}" for i in range(1000)],
        "empty": [None] * 1000,
        "sky": ["blue", "grey"] * 500,
    }

    reference = frozen(columns)

    assert reference.skipped == ("empty", "id")
    assert names(reference.features) == ["sky"]
    assert look(reference, {"sky": ["blue", "grey"] * 250}).moved == ()


def test_nothing_to_compare_cannot_be_judged() -> None:
    verdict = look(frozen({"id": [f"row-{i}" for i in range(1000)]}), {"id": ["x"] * ROWS})

    assert verdict.unjudged is not None
    assert "no column" in verdict.unjudged


def test_rare_new_names_are_normal_where_they_were_before() -> None:
    rng = np.random.default_rng(15)

    def towns(rows: int) -> list[Value]:
        return [
            f"town-{int(1e6 * rng.random())}" if rng.random() < 0.1 else "home" for _ in range(rows)
        ]

    reference = frozen({"town": towns(5000)})

    assert look(reference, {"town": towns(ROWS)}).moved == ()


def test_predictions_are_judged_apart() -> None:
    rng = np.random.default_rng(16)
    columns = clean(rng, 3000)
    reference = freeze(columns, [int(v) for v in rng.random(3000) < 0.3], ROWS)

    verdict = judge(reference, clean(rng, ROWS), [int(v) for v in rng.random(ROWS) < 0.6])

    assert verdict.prediction is not None
    assert verdict.prediction.moved
    assert verdict.moved == ()


def test_one_number_in_three_spellings_is_one_category() -> None:
    bins = cut([1, 1.0, True, 0] * 100, 200)

    assert isinstance(bins, CategoryBins)
    assert list(bins.codes([1, 1.0, True, 0, "1", None])) == [0, 0, 0, 1, 3, 4]


def test_text_in_a_numeric_column_counts_as_missing() -> None:
    bins = cut([i / 7 for i in range(500)], 200)

    assert isinstance(bins, NumericBins)
    assert list(bins.codes(["oops", None])) == [bins.size, bins.size]


def test_a_constant_column_notices_the_first_other_value() -> None:
    feet: list[Value] = [7.0] * 1000
    reference = frozen({"unit": feet})

    assert look(reference, {"unit": feet[:ROWS]}).moved == ()
    assert names(look(reference, {"unit": [*feet[:400], *[9.0] * 100]}).moved) == ["unit"]
