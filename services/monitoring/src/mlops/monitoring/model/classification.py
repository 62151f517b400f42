# SPDX-License-Identifier: Apache-2.0
"""Metrics of models that answer with a class, or with the probability of class 1."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mlops.monitoring.model.bins import Value, as_number, as_text, is_missing
from mlops.monitoring.model.measured import (
    Measured,
    Numbers,
    Pairs,
    mean_of,
    mean_of_shares,
    share_of,
)

_YES, _NO = "1", "0"
_SURE = float(
    np.finfo(np.float64).eps
)  # as scikit-learn does: no answer is taken as surer than that


def same(prediction: Value, label: Value) -> bool:
    """Return whether a prediction was right: 1, 1.0 and true are the same answer."""
    return as_text(prediction) == as_text(label)


def accuracy(pairs: Pairs) -> Measured:
    """Return the share of right answers."""
    return share_of(sum(same(p, label) for p, label in pairs) / len(pairs), len(pairs))


def error(pairs: Pairs) -> Measured:
    """Return the share of wrong answers."""
    right = accuracy(pairs)
    return Measured(1.0 - right.value, right.error)


def f1(pairs: Pairs) -> Measured | None:
    """Return F1 of class 1 when the classes are 0 and 1, else the mean over the classes.

    None when class 1 was neither said nor true: such rows do not show whether it would be found.
    """
    return _f1(pairs, _one_or_all(pairs))


def f1_macro(pairs: Pairs) -> Measured | None:
    """Return the mean of F1 over the classes."""
    return _f1(pairs, _classes(pairs))


def precision(pairs: Pairs) -> Measured | None:
    """Return how often class 1 was true when it was said; for other classes the mean over them."""
    return _precision(pairs, _one_or_all(pairs))


def precision_macro(pairs: Pairs) -> Measured | None:
    """Return the mean precision over the classes."""
    return _precision(pairs, _classes(pairs))


def recall(pairs: Pairs) -> Measured | None:
    """Return how often class 1 was said when it was true; for other classes the mean over them."""
    return _recall(pairs, _one_or_all(pairs))


def recall_macro(pairs: Pairs) -> Measured | None:
    """Return the mean recall over the classes."""
    return _recall(pairs, _classes(pairs))


def balanced_accuracy(pairs: Pairs) -> Measured | None:
    """Return the mean recall over the classes that are true at all."""
    return _recall(pairs, sorted({as_text(label) for _, label in pairs}))


def log_loss(pairs: Pairs) -> Measured | None:
    """Return the mean negative logarithm of the probability that was given to the truth."""
    found = _probabilities(pairs)
    if found is None:
        return None
    said, true = found
    said = np.clip(said, _SURE, 1 - _SURE)
    return mean_of(-np.where(true > 0, np.log(said), np.log1p(-said)))


def brier(pairs: Pairs) -> Measured | None:
    """Return the mean squared distance of the probability of class 1 from the truth."""
    found = _probabilities(pairs)
    return None if found is None else mean_of((found[0] - found[1]) ** 2)


def roc_auc(pairs: Pairs) -> Measured | None:
    """Return how often a row of class 1 scores above one of class 0, ties counting half; DeLong's error."""
    found = _scores(pairs)
    if found is None:
        return None
    scores, true = found
    ones, zeros = scores[true > 0], scores[true <= 0]
    if not len(ones) or not len(zeros):
        return None
    of_ones, of_zeros = _above(ones, zeros), 1 - _above(zeros, ones)
    value = float(of_ones.mean())
    if value in (0.0, 1.0):
        return share_of(value, min(len(ones), len(zeros)))
    variance = of_ones.var() / len(ones) + of_zeros.var() / len(zeros)
    return Measured(value, math.sqrt(float(variance)))


def _f1(pairs: Pairs, classes: Sequence[str]) -> Measured | None:
    said, true = _marks(pairs, classes)
    return mean_of_shares(2 * said * true, said + true)


def _precision(pairs: Pairs, classes: Sequence[str]) -> Measured | None:
    said, true = _marks(pairs, classes)
    return mean_of_shares(said * true, said)


def _recall(pairs: Pairs, classes: Sequence[str]) -> Measured | None:
    said, true = _marks(pairs, classes)
    return mean_of_shares(said * true, true)


def _classes(pairs: Pairs) -> list[str]:
    return sorted({as_text(value) for pair in pairs for value in pair})


def _one_or_all(pairs: Pairs) -> list[str]:
    found = _classes(pairs)
    return [_YES] if set(found) <= {_NO, _YES} else found


def _marks(pairs: Pairs, classes: Sequence[str]) -> tuple[Numbers, Numbers]:
    """Return for every row and class whether it was said, and whether it was true."""
    places = {name: place for place, name in enumerate(classes)}
    said = np.zeros((len(pairs), len(classes)))
    true = np.zeros((len(pairs), len(classes)))
    for row, (prediction, label) in enumerate(pairs):
        for marks, value in ((said, prediction), (true, label)):
            place = places.get(as_text(value))
            if place is not None:
                marks[row, place] = 1.0
    return said, true


def _scores(pairs: Pairs) -> tuple[Numbers, Numbers] | None:
    """Return scores and truths of the rows that have both; None when a truth is neither 0 nor 1."""
    known = [
        (as_number(p), as_text(label))
        for p, label in pairs
        if not math.isnan(as_number(p)) and not is_missing(label)
    ]
    if not known or not {label for _, label in known} <= {_NO, _YES}:
        return None
    scores = np.array([score for score, _ in known])
    return scores, np.array([float(label == _YES) for _, label in known])


def _probabilities(pairs: Pairs) -> tuple[Numbers, Numbers] | None:
    found = _scores(pairs)
    if found is None or found[0].min() < 0 or found[0].max() > 1:
        return None
    return found


def _above(mine: Numbers, others: Numbers) -> Numbers:
    """Return for each of *mine* the share of *others* below it, ties counting half."""
    others = np.sort(others)
    below, upto = np.searchsorted(others, mine, "left"), np.searchsorted(others, mine, "right")
    share: Numbers = (below + upto) / (2 * len(others))
    return share
