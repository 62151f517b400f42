# SPDX-License-Identifier: Apache-2.0
"""Which number of an answer belongs to which class is seen, not guessed; what is beside a chance does not hide it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from sklearn import metrics

from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.metrics import measure, measure_rows
from mlops.monitoring.model.vectors import Answer
from mlops.monitoring.model.windows import Row

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
OF_CHANCES = ("log_loss", "brier", "roc_auc", "ece")
NAMES = ("fog", "rain", "sun")
Chances = Sequence[Sequence[float]]


def rows_of(chances: Chances, said: Sequence[Value], true: Sequence[Value]) -> list[Row]:
    return [
        Row(str(i), NOON, {}, one, label, labelled=True, answer=Answer(tuple(answer)))
        for i, (answer, one, label) in enumerate(zip(chances, said, true, strict=True))
    ]


def value(metric: str, rows: Sequence[Row]) -> float:
    found = measure_rows(metric, rows)
    assert found is not None
    return found.value


@pytest.mark.parametrize("metric", OF_CHANCES)
@pytest.mark.parametrize("width", [2, 16, 64, 768])
def test_a_chance_is_measured_whatever_vector_is_beside_it(metric: str, width: int) -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, 300).tolist()
    chances = np.clip(0.5 + 0.2 * (2 * np.array(true) - 1) + rng.normal(0, 0.15, 300), 0.01, 0.99)
    beside = rng.normal(size=(300, min(width, 128))).tolist()
    rows = rows_of(beside, chances.tolist(), true)
    if width > 128:
        rows = [replace(row, answer=Answer(row.answer.values, width)) for row in rows if row.answer]

    alone = measure(metric, list(zip(chances.tolist(), true, strict=True)))

    assert alone is not None
    assert value(metric, rows) == pytest.approx(alone.value)


def test_a_class_is_measured_whatever_vector_is_beside_it() -> None:
    rng = np.random.default_rng(1)
    said, true = rng.integers(0, 2, 300).tolist(), rng.integers(0, 2, 300).tolist()

    rows = rows_of(rng.normal(size=(300, 16)).tolist(), said, true)

    assert value("roc_auc", rows) == pytest.approx(metrics.roc_auc_score(true, said))


def test_scores_that_are_no_chances_are_those_of_the_classes_that_were_said() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(300, 3))
    said = [NAMES[place] for place in scores.argmax(1)]
    true = [one if keep else "sun" for one, keep in zip(said, rng.random(300) < 0.7, strict=True)]

    assert value("roc_auc", rows_of(scores.tolist(), said, true)) > 0.7


@pytest.mark.parametrize("rare", [0, 1, 5])
@pytest.mark.parametrize(("metric", "expected"), [("log_loss", -np.log(0.9)), ("ece", 0.1)])
def test_classes_that_count_from_1_are_where_the_model_says(
    metric: str, expected: float, rare: int
) -> None:
    chances = [(0.9, 0.1)] * 500 + [(0.1, 0.9)] * rare
    classes = [1] * 500 + [2] * rare

    assert value(metric, rows_of(chances, classes, classes)) == pytest.approx(expected)


@pytest.mark.parametrize("names", [("ham", "spam"), (0, 1), (1, 2), (False, True)])
@pytest.mark.parametrize("threshold", [0.05, 0.2, 0.8])
def test_two_classes_keep_their_places_at_any_threshold(
    names: tuple[Value, Value], threshold: float
) -> None:
    rng = np.random.default_rng(3)
    chances = rng.beta(1, 9, 1000)
    true = [int(one) for one in rng.random(1000) < chances]
    said = [names[int(one > threshold)] for one in chances]

    rows = rows_of(
        np.stack([1 - chances, chances], 1).tolist(), said, [names[place] for place in true]
    )

    assert value("log_loss", rows) == pytest.approx(metrics.log_loss(true, chances))
    assert value("roc_auc", rows) == pytest.approx(metrics.roc_auc_score(true, chances))


def test_a_class_that_is_never_said_has_the_place_that_is_left() -> None:
    rows = rows_of(
        [(0.6, 0.1, 0.3), (0.1, 0.6, 0.3), (0.5, 0.3, 0.2)],
        ["fog", "rain", "fog"],
        ["fog", "rain", "sun"],
    )

    assert value("log_loss", rows) == pytest.approx(-np.log([0.6, 0.6, 0.2]).mean())


def test_no_two_classes_have_one_place() -> None:
    chances = [(0.6, 0.3, 0.1)] * 6 + [(0.5, 0.4, 0.1)] * 2 + [(0.2, 0.7, 0.1)] + [(0.1, 0.1, 0.8)]
    said = ["fog"] * 6 + ["rain"] * 3 + ["sun"]

    rows = rows_of(chances, said, said)

    assert value("log_loss", rows) == pytest.approx(
        -(6 * np.log(0.6) + 2 * np.log(0.4) + np.log(0.7) + np.log(0.8)) / 10
    )


@pytest.mark.parametrize("metric", ["log_loss", "brier", "ece"])
def test_a_few_answers_that_are_no_probabilities_are_left_out(metric: str) -> None:
    fine = rows_of([(0.1, 0.9)] * 99, [1] * 99, [1] * 99)
    (odd,) = rows_of([(0.1, 0.85)], [1], [1])

    assert value(metric, [odd, *fine]) == pytest.approx(value(metric, fine))
    assert measure_rows(metric, [odd] * 10 + fine) is None


def test_rows_without_an_answer_do_not_decide_for_those_with_one() -> None:
    answered = rows_of([(0.1, 0.9)] * 60, [1] * 60, [1] * 60)
    bare = [replace(row, answer=None) for row in answered]

    assert value("log_loss", [*bare[:40], *answered]) == pytest.approx(-np.log(0.9))
    assert measure_rows("log_loss", [*answered[:3], *bare]) is None
