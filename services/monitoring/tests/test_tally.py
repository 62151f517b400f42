# SPDX-License-Identifier: Apache-2.0
"""Counts of parts add up to the counts of the whole, in any cut and any order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.drift import judge, judge_tally
from mlops.monitoring.model.reference import Reference, freeze
from mlops.monitoring.model.tally import Tally, count

Columns = dict[str, list[Value]]

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(["red", "green", "never seen", ""]),
)
ROWS = st.lists(
    st.tuples(st.dictionaries(st.sampled_from(["size", "colour", "new"]), VALUES), VALUES),
    max_size=60,
)


def reference_of(cycle: str) -> Reference:
    rng = np.random.default_rng(1)
    columns: Columns = {
        "size": rng.standard_normal(3000).tolist(),
        "colour": [str(v) for v in rng.choice(["red", "green", "blue"], 3000)],
    }
    answers: list[Value] = rng.random(3000).tolist()
    return freeze(columns, answers, 500, times(3000), cycle)


def times(rows: int) -> list[datetime]:
    return [MONDAY + timedelta(minutes=7 * i) for i in range(rows)]


REFERENCES = {cycle: reference_of(cycle) for cycle in ("none", "24h")}


def tallied(cycle: str, rows: list[tuple[dict[str, Value], Value]], begin: int) -> Tally:
    names = dict.fromkeys(name for features, _ in rows for name in features)
    columns = {name: [features.get(name) for features, _ in rows] for name in names}
    at = [MONDAY + timedelta(minutes=7 * (begin + i)) for i in range(len(rows))]
    return count(REFERENCES[cycle], columns, [answer for _, answer in rows], at)


@pytest.mark.parametrize("cycle", ["none", "24h"])
@given(rows=ROWS, cuts=st.lists(st.integers(0, 60), max_size=3))
def test_the_parts_of_a_window_add_up_to_the_whole(
    cycle: str, rows: list[tuple[dict[str, Value], Value]], cuts: list[int]
) -> None:
    at = sorted({0, len(rows), *(min(cut, len(rows)) for cut in cuts)})
    parts = [tallied(cycle, rows[a:b], a) for a, b in pairwise(at)]

    whole, added = tallied(cycle, rows, 0), tallied(cycle, [], 0)
    for part in reversed(parts):
        added = part.plus(added)

    assert added.rows == whole.rows
    assert added.strangers == whole.strangers
    assert (added.absent, added.strange) == (whole.absent, whole.strange)
    assert (added.phases == whole.phases).all()
    assert all((a == b).all() for a, b in zip(added.counts, whole.counts, strict=True))
    assert np.allclose(added.sums, whole.sums)
    assert np.allclose(added.products, whole.products)


def test_what_several_monitors_counted_is_judged_as_one_window() -> None:
    rng = np.random.default_rng(2)
    reference = REFERENCES["none"]
    columns: Columns = {
        "size": (rng.standard_normal(1000) + 0.5).tolist(),
        "colour": [str(v) for v in rng.choice(["red", "green", "blue"], 1000)],
    }
    answers: list[Value] = rng.random(1000).tolist()

    shards = [
        count(reference, {n: v[i::3] for n, v in columns.items()}, answers[i::3]) for i in range(3)
    ]
    verdict = judge_tally(reference, shards[2].plus(shards[0]).plus(shards[1]))

    assert [column.name for column in verdict.moved] == ["size"]
    assert verdict == judge(reference, columns, answers)
