# SPDX-License-Identifier: Apache-2.0
"""The metrics that follow from predictions and labels alone, by the names that trainers give them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

from mlops.monitoring.model import classification, outputs, probabilities, ranking, regression
from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.measured import Measured, Pairs
from mlops.monitoring.model.probabilities import Scored, says_the_largest, scored_of
from mlops.monitoring.model.ranking import request_of
from mlops.monitoring.model.vectors import Answer
from mlops.monitoring.model.windows import Row, evenly

_MOST_ANSWERS = 20_000
_ENOUGH = 0.5


class Answered(StrEnum):
    """What a model answers with."""

    CLASS = "class"
    NUMBER = "number"
    RANK = "rank"


_PREFIXES = ("val_", "valid_", "test_", "eval_", "validation_")
_OF_OUTPUT = re.compile(r"(.+)_answer_(\d{1,3})")
_NDCG = re.compile(r"ndcg(?:@(\d{1,6}))?")
_SPELLINGS = {
    "acc": "accuracy",
    "error_rate": "error",
    "f1_binary": "f1",
    "macro_f1": "f1_macro",
    "auc": "roc_auc",
    "rocauc": "roc_auc",
    "logloss": "log_loss",
    "brier_score_loss": "brier",
    "expected_calibration_error": "ece",
    "calibration_error": "ece",
    "mean_absolute_error": "mae",
    "mean_squared_error": "mse",
    "root_mean_squared_error": "rmse",
    "mean_absolute_percentage_error": "mape",
}


def plain_name(metric: str) -> str:
    """Return the metric's name without the prefixes and suffixes that trainers like, in one spelling."""
    name = metric.strip().lower()
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    one = _OF_OUTPUT.fullmatch(name)
    if one is not None:
        return f"{plain_name(one[1])}_answer_{int(one[2])}"
    name = name.removesuffix("_score")
    return _SPELLINGS.get(name, name)


def can_measure(metric: str) -> bool:
    """Return whether the metric follows from predictions and labels alone."""
    name = plain_name(metric)
    return name in _METRICS or _is_ranking(name) or _output_of(name) is not None


def answered_with(metric: str) -> Answered:
    """Return what a model answers with that is measured by this metric."""
    name = plain_name(metric)
    if _output_of(name) is not None:
        return Answered.NUMBER
    if _is_ranking(name):
        return Answered.RANK
    return Answered.NUMBER if name in _OF_NUMBERS else Answered.CLASS


def is_of_classes(metric: str) -> bool:
    """Return whether it says something of classes, or of the probabilities that were given to them."""
    name = plain_name(metric)
    return name in _OF_PROBABILITIES or answered_with(name) is Answered.CLASS


def names() -> str:
    """Return the names of all that can be measured, in one sentence."""
    return f"{', '.join(_METRICS)}, mae_answer_0 (of the first of several numbers), mrr and ndcg@k"


def measure(metric: str, pairs: Pairs, requests: Sequence[str] = ()) -> Measured | None:
    """Return the metric, or None when it cannot be told: unknown metric, no rows, no numbers.

    *requests* names the request of every pair; only metrics of rankings need it.
    """
    name = plain_name(metric)
    if not pairs:
        return None
    if _is_ranking(name):
        return _ranked(name, pairs, requests) if requests else None
    found = _METRICS.get(name)
    return None if found is None else found(pairs)


def measure_rows(metric: str, rows: Iterable[Row]) -> Measured | None:
    """Return the metric over the labelled ones of *rows*, or None when it cannot be told."""
    labelled = (row for row in rows if row.labelled)
    found = _OF_PROBABILITIES.get(plain_name(metric))
    if found is not None:
        return _measured_by_class(found, metric, _of_one(labelled))
    if (output := _output_of(plain_name(metric))) is not None:
        return outputs.measure_outputs(output[0], _both_sides(labelled), output[1])
    if plain_name(metric) in outputs.METRICS:
        return _measured_by_output(metric, labelled)
    ranked = answered_with(metric) is Answered.RANK
    pairs, requests = [], []
    for row in _of_one(labelled):
        pairs.append((row.prediction, row.label))
        if ranked:
            requests.append(request_of(row.request_id))
    return measure(metric, pairs, requests)


def _of_one(labelled: Iterable[Row]) -> Iterator[Row]:
    # Several numbers are no class: held against one, each answer would be wrong.
    return (row for row in labelled if row.truth is None)


def _output_of(name: str) -> tuple[str, int] | None:
    """Return the metric and the place of the number that it is of, None when it is not of one of several."""
    found = _OF_OUTPUT.fullmatch(name)
    return (found[1], int(found[2])) if found and found[1] in outputs.METRICS else None


def _both_sides(labelled: Iterable[Row]) -> list[outputs.Pair]:
    each = (outputs.pair_of(row.answer, row.truth) for row in labelled)
    return evenly((pair for pair in each if pair is not None), _MOST_ANSWERS)


def _measured_by_output(metric: str, labelled: Iterable[Row]) -> Measured | None:
    pairs: list[tuple[Value, Value]] = []
    lists = 0

    def noted() -> Iterator[Row]:
        nonlocal lists
        for row in labelled:
            if row.truth is None:
                pairs.append((row.prediction, row.label))
            lists += row.truth is not None
            yield row

    several = _both_sides(noted())
    if several and lists >= _ENOUGH * (lists + len(pairs)):
        return outputs.measure_outputs(plain_name(metric), several)
    return measure(metric, pairs)


def _measured_by_class(
    found: Callable[[Scored], Measured | None], metric: str, labelled: Iterable[Row]
) -> Measured | None:
    pairs: list[tuple[Value, Value]] = []
    some = evenly(_noted(labelled, pairs), _MOST_ANSWERS)
    given = [(answer, said, label) for answer, said, label in some if answer is not None]
    scored = scored_of(given) if len(given) >= _ENOUGH * len(some) else None
    value = None if scored is None else found(scored)
    # A class that the answer itself said is no chance, and would be measured as one that is always sure.
    if value is not None or (given and says_the_largest(given)):
        return value
    return measure(metric, pairs)


def _noted(
    labelled: Iterable[Row], pairs: list[tuple[Value, Value]]
) -> Iterator[tuple[Answer | None, Value, Value]]:
    for row in labelled:
        pairs.append((row.prediction, row.label))
        yield row.answer, row.prediction, row.label


def _is_ranking(name: str) -> bool:
    return name == "mrr" or _NDCG.fullmatch(name) is not None


def _ranked(name: str, pairs: Pairs, requests: Sequence[str]) -> Measured | None:
    found = _NDCG.fullmatch(name)
    if found is None:
        return ranking.mrr(pairs, requests)
    return ranking.ndcg(pairs, requests, int(found[1]) if found[1] else None)


_OF_PROBABILITIES: Mapping[str, Callable[[Scored], Measured | None]] = {
    "log_loss": probabilities.log_loss,
    "brier": probabilities.brier,
    "roc_auc": probabilities.roc_auc,
    "ece": probabilities.ece,
}
_OF_NUMBERS = {"ece", "log_loss", "brier", "roc_auc", "mae", "mse", "rmse", "r2", "mape"}
_METRICS: Mapping[str, Callable[[Pairs], Measured | None]] = {
    "accuracy": classification.accuracy,
    "error": classification.error,
    "balanced_accuracy": classification.balanced_accuracy,
    "f1": classification.f1,
    "f1_macro": classification.f1_macro,
    "precision": classification.precision,
    "precision_macro": classification.precision_macro,
    "recall": classification.recall,
    "recall_macro": classification.recall_macro,
    "log_loss": classification.log_loss,
    "brier": classification.brier,
    "roc_auc": classification.roc_auc,
    "ece": probabilities.ece_of_one,
    "mae": regression.mae,
    "mse": regression.mse,
    "rmse": regression.rmse,
    "r2": regression.r2,
    "mape": regression.mape,
}
