# SPDX-License-Identifier: Apache-2.0
"""Metrics are those of scikit-learn; a promise is broken by more than bad luck."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from mlops.monitoring.model.performance import Measured, Promise, can_measure, measure, plain_name

RNG = np.random.default_rng(0)
SAID = [int(v) for v in RNG.integers(0, 2, 300)]
TRUE = [int(v) for v in RNG.integers(0, 2, 300)]
NUMBERS = [float(v) for v in RNG.normal(size=300)]
CLASSES = [str(v) for v in RNG.choice(["a", "b", "c"], 300)]
OTHERS = [str(v) for v in RNG.choice(["a", "b", "c"], 300)]


@pytest.mark.parametrize(
    ("metric", "said", "true", "expected"),
    [
        ("accuracy", SAID, TRUE, metrics.accuracy_score(TRUE, SAID)),
        ("error", SAID, TRUE, 1 - metrics.accuracy_score(TRUE, SAID)),
        ("f1", SAID, TRUE, metrics.f1_score(TRUE, SAID)),
        ("f1", CLASSES, OTHERS, metrics.f1_score(OTHERS, CLASSES, average="macro")),
        ("mae", NUMBERS, NUMBERS[::-1], metrics.mean_absolute_error(NUMBERS[::-1], NUMBERS)),
        ("mse", NUMBERS, NUMBERS[::-1], metrics.mean_squared_error(NUMBERS[::-1], NUMBERS)),
        ("rmse", NUMBERS, NUMBERS[::-1], metrics.root_mean_squared_error(NUMBERS[::-1], NUMBERS)),
        ("val_accuracy_score", SAID, TRUE, metrics.accuracy_score(TRUE, SAID)),
    ],
)
def test_metrics(
    metric: str, said: list[float | str], true: list[float | str], expected: float
) -> None:
    found = measure(metric, list(zip(said, true, strict=True)))

    assert found is not None
    assert found.value == pytest.approx(expected)


def test_the_error_of_a_mean_is_the_usual_one() -> None:
    found = measure("mae", [(value, 0.0) for value in NUMBERS])

    assert found is not None
    assert found.error == pytest.approx(np.abs(NUMBERS).std() / math.sqrt(300))


def test_one_answer_in_three_spellings_is_right() -> None:
    found = measure("accuracy", [(1, True), (1.0, 1), (0, False), ("1", 1)])

    assert found is not None
    assert found.value == 0.75


def test_what_cannot_be_measured_is_none() -> None:
    assert measure("loss", [(1, 1)]) is None
    assert measure("accuracy", []) is None
    assert measure("mae", [("a", "b")]) is None
    assert not can_measure("val_loss")
    assert plain_name(" Test_F1_Score ") == "f1"


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
