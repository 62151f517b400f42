# SPDX-License-Identifier: Apache-2.0
"""Whatever rows come, chances are chances, counts are counts, and the same rows again are no drift."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.chances import adjusted, chi2_quantile, chi2_tail, two_sided
from mlops.monitoring.model.drift import WindowVerdict, judge
from mlops.monitoring.model.reference import freeze

ROWS = 500

Numbers = st.floats(allow_nan=True, allow_infinity=True)
Chances = st.lists(st.floats(0, 1), min_size=1, max_size=40)
Columns = st.one_of(
    st.lists(Numbers, min_size=1, max_size=4),
    st.lists(st.integers(-(10**400), 10**400), min_size=1, max_size=4),
    st.lists(st.one_of(st.none(), st.booleans(), st.text(max_size=3), Numbers), min_size=1),
)


def column(few: list[Value], seed: int) -> list[Value]:
    places = np.random.default_rng(seed).integers(0, len(few), ROWS)
    return [few[place] for place in places]


def chances(verdict: WindowVerdict) -> list[float]:
    own = [] if verdict.prediction is None else [verdict.prediction]
    return [one.p for one in (*verdict.columns, *own)]


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0.1, 1e5))
def test_a_tail_is_a_chance_and_falls(one: float, other: float, degrees: float) -> None:
    near, far = sorted((one, other))

    assert 0.0 <= chi2_tail(far, degrees) <= chi2_tail(near, degrees) + 1e-9 <= 1.0 + 1e-9


@given(st.floats(0.001, 0.999), st.floats(0.5, 5000))
def test_a_quantile_is_where_its_tail_is(chance: float, degrees: float) -> None:
    assert chi2_tail(chi2_quantile(chance, degrees), degrees) == pytest.approx(1 - chance, abs=1e-7)


@given(st.floats(-1e300, 1e300))
def test_both_sides_are_alike(z: float) -> None:
    assert two_sided(z) == two_sided(-z)
    assert 0.0 <= two_sided(z) <= 1.0


@given(Chances)
def test_correction_keeps_order_and_makes_nothing_surer(found: list[float]) -> None:
    corrected = adjusted(found)

    assert all(0 <= after <= 1 for after in corrected)
    assert all(after >= before for before, after in zip(found, corrected, strict=True))
    order = np.argsort(found, kind="stable")
    assert list(np.diff(np.array(corrected)[order]) >= 0) == [True] * (len(found) - 1)


@settings(max_examples=40, deadline=None)
@given(Columns, Columns, st.integers(0, 99))
def test_any_column_against_any_other_gives_chances(
    few: list[Value], others: list[Value], seed: int
) -> None:
    then, now = column(few, seed), column(others, seed + 1)

    verdict = judge(freeze({"c": then}, then, ROWS), {"c": now}, now)

    assert all(0 <= p <= 1 for p in chances(verdict))
    assert all(math.isfinite(one.score) for one in verdict.columns)


@settings(max_examples=40, deadline=None)
@given(Columns, st.integers(0, 99))
def test_the_same_rows_again_are_no_drift(few: list[Value], seed: int) -> None:
    then = column(few, seed)

    verdict = judge(freeze({"c": then}, then, ROWS), {"c": then}, then)

    assert (verdict.moved, verdict.gone, verdict.together) == ((), (), False)


def test_a_hundred_thousand_categories_are_counted_as_few_bins() -> None:
    rng = np.random.default_rng(1)
    names: list[Value] = [f"k{int(place)}" for place in rng.zipf(1.6, 100_000) % 100_000]

    reference = freeze({"c": names}, [None] * len(names), ROWS)
    verdict = judge(reference, {"c": names[:ROWS]}, [None] * ROWS)

    assert reference.features[0].counts.shape[1] <= 23
    assert verdict.moved == ()
