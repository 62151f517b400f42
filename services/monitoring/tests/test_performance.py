# SPDX-License-Identifier: Apache-2.0
"""A promise is broken by more than bad luck."""

from __future__ import annotations

import pytest

from mlops.monitoring.model.measured import Measured
from mlops.monitoring.model.performance import Promise


@pytest.mark.parametrize(
    ("promise", "threshold"),
    [
        (Promise("accuracy", expected=0.79, drop=0.05), 0.74),
        (Promise("accuracy", expected=0.79, drop=0.05, floor=0.76), 0.76),
        (Promise("accuracy", expected=None, drop=0.05, floor=0.7), 0.7),
        (Promise("accuracy", expected=0.79, drop=None), None),
        (Promise("mae", higher_is_better=False, expected=2.0, drop=0.5), 2.5),
        (Promise("mae", higher_is_better=False, expected=2.0, drop=0.5, floor=2.2), 2.2),
    ],
)
def test_the_threshold_is_the_stricter_of_both(promise: Promise, threshold: float | None) -> None:
    assert promise.threshold == (None if threshold is None else pytest.approx(threshold))


@pytest.mark.parametrize(
    ("value", "before", "broken"),
    [
        (0.75, [True, True], False),  # as promised
        (0.73, [], False),  # one unlucky window
        (0.73, [False, False], False),
        (0.73, [True, False], True),  # the second within three
        (0.71, [], True),  # too far for luck
    ],
)
def test_a_promise_is_broken_by_more_than_bad_luck(
    value: float, before: list[bool], *, broken: bool
) -> None:
    promise = Promise("accuracy", expected=0.79, drop=0.05)

    assert promise.broken_by(Measured(value, error=0.02), before) is broken


def test_where_less_is_better_more_is_broken() -> None:
    promise = Promise("mae", higher_is_better=False, expected=2.0, drop=0.5)

    assert promise.broken_by(Measured(2.7, 0.1), [])
    assert not promise.broken_by(Measured(2.55, 0.1), [])
    assert not promise.broken_by(Measured(1.0, 0.1), [True])


def test_without_a_promise_nothing_is_broken() -> None:
    assert not Promise("accuracy").broken_by(Measured(0.0, 0.0), [True, True])


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ([0.80, 0.82], 0.81),  # 0.09 above the promise, the mean's standard error is 0.014
        ([0.74, 0.75], 0.72),  # better, but that may be luck
        ([0.82], 0.72),  # one window is not enough
        ([0.60, 0.62], 0.72),  # worse never lowers the promise
        ([], 0.72),
    ],
)
def test_a_promise_that_is_clearly_outdone_rises(shown: list[float], expected: float) -> None:
    promise = Promise("accuracy", expected=0.72, drop=0.05)

    raised = promise.outdone_by([Measured(value, error=0.02) for value in shown])

    assert raised.expected == pytest.approx(expected)


def test_where_less_is_better_the_promise_sinks() -> None:
    promise = Promise("mae", higher_is_better=False, expected=2.0, drop=0.5)

    assert promise.outdone_by([Measured(1.0, 0.1), Measured(1.2, 0.1)]).expected == 1.1
    assert promise.outdone_by([Measured(3.0, 0.1), Measured(3.0, 0.1)]) == promise


def test_without_a_promise_none_is_made() -> None:
    assert Promise("accuracy").outdone_by([Measured(0.9, 0.01)] * 2) == Promise("accuracy")
