# SPDX-License-Identifier: Apache-2.0
"""Metrics are those of scikit-learn, and their standard errors are what many windows show."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np
import pytest
from sklearn import metrics

from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.early import errors
from mlops.monitoring.model.measured import Measured
from mlops.monitoring.model.metrics import can_measure, measure, measure_rows, names, plain_name
from mlops.monitoring.model.windows import Row

RNG = np.random.default_rng(0)
SAID = [int(v) for v in RNG.integers(0, 2, 300)]
TRUE = [int(v) for v in RNG.integers(0, 2, 300)]
NUMBERS = [float(v) for v in RNG.normal(size=300)]
CHANCES = [round(float(v), 2) for v in RNG.random(300)]  # some of them twice
CLASSES = [str(v) for v in RNG.choice(["a", "b", "c"], 300)]
OTHERS = [str(v) for v in RNG.choice(["a", "b", "c", "only true"], 300)]


def found(metric: str, said: Sequence[Value], true: Sequence[Value]) -> Measured | None:
    return measure(metric, list(zip(said, true, strict=True)))


@pytest.mark.parametrize(
    ("metric", "said", "true", "expected"),
    [
        ("accuracy", SAID, TRUE, metrics.accuracy_score(TRUE, SAID)),
        ("error", SAID, TRUE, 1 - metrics.accuracy_score(TRUE, SAID)),
        ("f1", SAID, TRUE, metrics.f1_score(TRUE, SAID)),
        ("f1", CLASSES, OTHERS, metrics.f1_score(OTHERS, CLASSES, average="macro")),
        ("f1_macro", SAID, TRUE, metrics.f1_score(TRUE, SAID, average="macro")),
        ("precision", SAID, TRUE, metrics.precision_score(TRUE, SAID)),
        (
            "precision",
            CLASSES,
            OTHERS,
            metrics.precision_score(OTHERS, CLASSES, average="macro", zero_division=0),
        ),
        ("precision_macro", SAID, TRUE, metrics.precision_score(TRUE, SAID, average="macro")),
        ("recall", SAID, TRUE, metrics.recall_score(TRUE, SAID)),
        (
            "recall",
            OTHERS,
            CLASSES,
            metrics.recall_score(CLASSES, OTHERS, average="macro", zero_division=0),
        ),
        ("recall_macro", SAID, TRUE, metrics.recall_score(TRUE, SAID, average="macro")),
        ("balanced_accuracy", SAID, TRUE, metrics.balanced_accuracy_score(TRUE, SAID)),
        ("balanced_accuracy", CLASSES, OTHERS, metrics.balanced_accuracy_score(OTHERS, CLASSES)),
        ("log_loss", CHANCES, TRUE, metrics.log_loss(TRUE, CHANCES)),
        ("log_loss", SAID, TRUE, metrics.log_loss(TRUE, SAID)),
        ("brier", CHANCES, TRUE, metrics.brier_score_loss(TRUE, CHANCES)),
        ("roc_auc", CHANCES, TRUE, metrics.roc_auc_score(TRUE, CHANCES)),
        ("roc_auc", SAID, TRUE, metrics.roc_auc_score(TRUE, SAID)),
        ("mae", NUMBERS, NUMBERS[::-1], metrics.mean_absolute_error(NUMBERS[::-1], NUMBERS)),
        ("mse", NUMBERS, NUMBERS[::-1], metrics.mean_squared_error(NUMBERS[::-1], NUMBERS)),
        ("rmse", NUMBERS, NUMBERS[::-1], metrics.root_mean_squared_error(NUMBERS[::-1], NUMBERS)),
        ("r2", NUMBERS, NUMBERS[::-1], metrics.r2_score(NUMBERS[::-1], NUMBERS)),
        (
            "mape",
            NUMBERS,
            NUMBERS[::-1],
            metrics.mean_absolute_percentage_error(NUMBERS[::-1], NUMBERS),
        ),
        ("val_accuracy_score", SAID, TRUE, metrics.accuracy_score(TRUE, SAID)),
        ("test_mean_absolute_error", SAID, TRUE, metrics.mean_absolute_error(TRUE, SAID)),
    ],
)
def test_values_are_those_of_scikit_learn(
    metric: str, said: list[Value], true: list[Value], expected: float
) -> None:
    told = found(metric, said, true)

    assert told is not None
    assert told.value == pytest.approx(expected)


def draw_classes(rng: np.random.Generator) -> tuple[list[Value], list[Value]]:
    true = rng.random(400) < 0.2
    said = np.where(rng.random(400) < 0.15, ~true, true)
    return [int(v) for v in said], [int(v) for v in true]


def draw_chances(rng: np.random.Generator) -> tuple[list[Value], list[Value]]:
    true = rng.random(400) < 0.3
    said = 1 / (1 + np.exp(-rng.normal(np.where(true, 0.5, -0.7), 1.0)))
    return [float(v) for v in said], [int(v) for v in true]


def draw_numbers(rng: np.random.Generator) -> tuple[list[Value], list[Value]]:
    true = rng.normal(5, 1, 400)
    return [float(v) for v in true + rng.normal(0, 0.5, 400)], [float(v) for v in true]


@pytest.mark.parametrize(
    ("metric", "draw"),
    [
        *((metric, draw_classes) for metric in ("accuracy", "f1", "f1_macro", "precision")),
        *((metric, draw_classes) for metric in ("recall", "balanced_accuracy")),
        *((metric, draw_chances) for metric in ("log_loss", "brier", "roc_auc")),
        *((metric, draw_numbers) for metric in ("mae", "mse", "rmse", "r2", "mape")),
    ],
)
def test_the_standard_error_is_how_much_windows_differ(
    metric: str, draw: Callable[[np.random.Generator], tuple[list[Value], list[Value]]]
) -> None:
    rng = np.random.default_rng(5)

    told = [found(metric, *draw(rng)) for _ in range(600)]

    values, errors = zip(*((one.value, one.error) for one in told if one), strict=True)
    assert float(np.mean(errors)) == pytest.approx(float(np.std(values)), rel=0.12)


def test_the_error_of_a_mean_is_the_usual_one() -> None:
    told = measure("mae", [(value, 0.0) for value in NUMBERS])

    assert told is not None
    assert told.error == pytest.approx(np.abs(NUMBERS).std() / math.sqrt(300))


def test_a_perfect_window_does_not_know_everything() -> None:
    told = [found(metric, SAID[:40], SAID[:40]) for metric in ("accuracy", "f1", "roc_auc")]

    assert all(one is not None and one.value == 1 and one.error > 0.01 for one in told)


def test_one_answer_in_three_spellings_is_right() -> None:
    told = measure("accuracy", [(1, True), (1.0, 1), (0, False), ("1", 1)])

    assert told is not None
    assert told.value == 0.75


@pytest.mark.parametrize(
    ("metric", "said", "true"),
    [
        ("loss", [1], [1]),
        ("accuracy", [], []),
        ("mae", ["a"], ["b"]),
        ("f1", [0, 0], [0, 0]),  # nothing to find, so nothing was missed
        ("roc_auc", [0.3, 0.6], [1, 1]),  # nothing to be told apart
        ("roc_auc", [0.3, 0.6], ["cat", "dog"]),
        ("log_loss", [3.0, -4.0], [1, 0]),  # these are no probabilities
        ("r2", [1.0, 2.0], [5.0, 5.0]),
        ("mape", [1.0], [0.0]),
        ("ndcg", [0.3, 0.6], [1, 0]),  # nobody says which rows belong together
    ],
)
def test_what_cannot_be_told_is_none(metric: str, said: list[Value], true: list[Value]) -> None:
    assert found(metric, said, true) is None


def test_a_truth_of_zero_does_not_outweigh_all_others() -> None:
    told = found("mape", [1.1, 2.2, 0.5], [1.0, 2.0, 0.0])

    assert told is not None
    assert told.value == pytest.approx(0.1)


def test_names_are_read_as_trainers_write_them() -> None:
    assert plain_name(" Test_F1_Score ") == "f1"
    assert plain_name("val_roc_auc_score") == plain_name("AUC") == "roc_auc"
    assert not can_measure("val_loss")
    assert can_measure("ndcg@10")
    assert plain_name("val_acc_answer_07") == "accuracy_answer_7"
    assert not can_measure("accuracy_answer_7")
    said = names().replace(" and ndcg@k", "").replace(" (of the first of several numbers)", "")
    assert all(can_measure(name) for name in said.split(", "))


def ranked(requests: int, items: int) -> tuple[np.ndarray, np.ndarray, list[Row]]:
    rng = np.random.default_rng(2)
    scores = np.round(rng.random((requests, items)), 1)  # with ties
    relevant = rng.integers(0, 4, (requests, items))
    rows = [
        Row(
            request_id=f"r{i}:{j}",
            at=None,  # type: ignore[arg-type]  # no ranking asks for the time
            features={},
            prediction=float(scores[i, j]),
            label=int(relevant[i, j]),
            labelled=True,
        )
        for i in range(requests)
        for j in range(items)
    ]
    return scores, relevant, rows


@pytest.mark.parametrize(("metric", "most"), [("ndcg", None), ("ndcg@3", 3), ("ndcg@50", 50)])
def test_rankings_are_those_of_scikit_learn(metric: str, most: int | None) -> None:
    scores, relevant, rows = ranked(40, 8)

    told = measure_rows(metric, rows)

    assert told is not None
    assert told.value == pytest.approx(metrics.ndcg_score(relevant, scores, k=most))
    each = [metrics.ndcg_score([r], [s], k=most) for r, s in zip(relevant, scores, strict=True)]
    assert told.error == pytest.approx(np.std(each) / math.sqrt(40))


def test_the_first_relevant_item_counts() -> None:
    pairs: list[tuple[Value, Value]] = [(0.9, 0), (0.8, 1), (0.1, 1), (0.5, 1), (0.5, 0)]

    told = measure("mrr", [*pairs, (0.7, 0)], ["a", "a", "a", "b", "b", "c"])

    assert told is not None  # 1/2 in a, in b one of two that tie, and nothing was relevant in c
    assert told.value == pytest.approx((1 / 2 + 1 / 1.5) / 2)


def test_rows_without_a_label_are_left_out() -> None:
    _, _, rows = ranked(2, 5)
    unlabelled = Row("r9:0", rows[0].at, {}, 0.4)

    assert measure_rows("mrr", [*rows, unlabelled]) == measure_rows("mrr", rows)


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "log_loss", "mrr"])
def test_a_truth_of_several_numbers_is_no_class_and_makes_no_answer_wrong(metric: str) -> None:
    at = datetime(2026, 5, 1, tzinfo=UTC)
    one_hot = [Row(f"r{i}", at, {}, i % 3, labelled=True, truth=(0.0, 1.0)) for i in range(300)]
    plain = [Row(f"p{i}", at, {}, 1, label=1, labelled=True) for i in range(300)]

    assert measure_rows(metric, one_hot) is None
    if metric == "accuracy":
        assert measure_rows(metric, [*one_hot, *plain]) == measure_rows(metric, plain)
        assert all(math.isnan(error) for error in errors(metric, [(1, None)]))
