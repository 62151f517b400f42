# SPDX-License-Identifier: Apache-2.0
"""The maths of forgetting: exact, whatever the order, and the share of what matters most."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.orchestration_bridge.model.usage import (
    FOR_EVER_S,
    HALF_LIFE_S,
    Amount,
    Capacity,
    Usage,
    counted_s,
    dominant,
    kept,
)

_SPANS = st.lists(
    st.tuples(st.floats(0, 4), st.floats(0, 30 * 86400), st.floats(1, 86400)),
    min_size=1,
    max_size=12,
)
LATER = 40 * 86400.0


def used(spans: list[tuple[float, float, float]]) -> float:
    usage = Usage()
    for rate, since_s, length_s in spans:
        usage = usage.took(Amount(cpu=rate), since_s, since_s + length_s)
    return usage.at(LATER).amount.cpu


def test_half_is_forgotten_after_each_half_life() -> None:
    usage = Usage().took(Amount(gpu=1.0), 0, 1.0)

    assert usage.amount.gpu == pytest.approx(1.0, rel=1e-4)
    assert usage.at(1 + HALF_LIFE_S).amount.gpu == pytest.approx(usage.amount.gpu / 2)
    assert kept(3 * HALF_LIFE_S) == pytest.approx(1 / 8)


def test_a_span_counts_as_the_integral_says() -> None:
    steps = 20_000
    since_s, until_s, at_s = 3600.0, 90_000.0, 200_000.0
    width = (until_s - since_s) / steps
    summed = sum(
        width * 2 ** (-(at_s - since_s - (i + 0.5) * width) / HALF_LIFE_S) for i in range(steps)
    )

    assert counted_s(since_s, until_s, at_s) == pytest.approx(summed, rel=1e-6)
    assert counted_s(at_s - 1e9, at_s, at_s) == pytest.approx(HALF_LIFE_S / math.log(2))


@given(spans=_SPANS, data=st.data())
def test_the_order_of_uses_does_not_matter(
    spans: list[tuple[float, float, float]], data: st.DataObject
) -> None:
    assert used(data.draw(st.permutations(spans))) == pytest.approx(used(spans), rel=1e-9)


@given(spans=_SPANS, cut=st.floats(0.01, 0.99))
def test_a_span_is_the_sum_of_its_parts(
    spans: list[tuple[float, float, float]], cut: float
) -> None:
    halves = [
        part
        for rate, since_s, length_s in spans
        for part in (
            (rate, since_s, length_s * cut),
            (rate, since_s + length_s * cut, length_s * (1 - cut)),
        )
    ]

    assert used(halves) == pytest.approx(used(spans), rel=1e-6)


@given(amount=st.floats(0, 1e12), early=st.floats(0, LATER), late=st.floats(0, LATER))
def test_looking_on_the_way_changes_nothing(amount: float, early: float, late: float) -> None:
    usage = Usage(Amount(memory=amount), 0.0)
    first, second = min(early, late), max(early, late)

    found = usage.at(first).at(second).amount.memory

    assert found == pytest.approx(usage.at(second).amount.memory, rel=1e-9)
    assert found <= amount


def test_an_empty_span_counts_nothing() -> None:
    assert Usage().took(Amount(runs=1), 5, 5) == Usage()
    assert Usage().took(Amount(runs=1), 5, 4) == Usage()


def test_the_dominant_share_is_that_of_what_it_takes_most_of() -> None:
    capacity = Capacity(runs=4, memory=64, gpu=None, energy=100)
    used_for_ever = Amount(runs=1, memory=32, gpu=9, energy=10)

    assert dominant(Amount().plus(used_for_ever, FOR_EVER_S), capacity) == pytest.approx(0.5)
    assert dominant(used_for_ever, Capacity()) == 0.0
