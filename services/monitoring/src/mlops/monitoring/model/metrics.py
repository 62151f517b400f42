# SPDX-License-Identifier: Apache-2.0
"""The metrics that follow from predictions and labels alone, by the names that trainers give them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum

from mlops.monitoring.model import classification, ranking, regression
from mlops.monitoring.model.measured import Measured, Pairs
from mlops.monitoring.model.ranking import request_of
from mlops.monitoring.model.windows import Row


class Answered(StrEnum):
    """What a model answers with."""

    CLASS = "class"
    NUMBER = "number"
    RANK = "rank"


_PREFIXES = ("val_", "valid_", "test_", "eval_", "validation_")
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
    name = name.removesuffix("_score")
    return _SPELLINGS.get(name, name)


def can_measure(metric: str) -> bool:
    """Return whether the metric follows from predictions and labels alone."""
    name = plain_name(metric)
    return name in _METRICS or _is_ranking(name)


def answered_with(metric: str) -> Answered:
    """Return what a model answers with that is measured by this metric."""
    name = plain_name(metric)
    if _is_ranking(name):
        return Answered.RANK
    return Answered.NUMBER if name in _OF_NUMBERS else Answered.CLASS


def names() -> str:
    """Return the names of all that can be measured, in one sentence."""
    return f"{', '.join(_METRICS)}, mrr and ndcg@k"


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
    ranked = answered_with(metric) is Answered.RANK
    pairs, requests = [], []
    for row in rows:
        if row.labelled:
            pairs.append((row.prediction, row.label))
            if ranked:
                requests.append(request_of(row.request_id))
    return measure(metric, pairs, requests)


def _is_ranking(name: str) -> bool:
    return name == "mrr" or _NDCG.fullmatch(name) is not None


def _ranked(name: str, pairs: Pairs, requests: Sequence[str]) -> Measured | None:
    found = _NDCG.fullmatch(name)
    if found is None:
        return ranking.mrr(pairs, requests)
    return ranking.ndcg(pairs, requests, int(found[1]) if found[1] else None)


_OF_NUMBERS = {"log_loss", "brier", "roc_auc", "mae", "mse", "rmse", "r2", "mape"}
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
    "mae": regression.mae,
    "mse": regression.mse,
    "rmse": regression.rmse,
    "r2": regression.r2,
    "mape": regression.mape,
}
