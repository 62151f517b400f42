# SPDX-License-Identifier: Apache-2.0
"""Metrics of models that answer with a number for each class, such as its probability.

The place of a class in an answer is its number; where classes have names, the place that was mostly the largest when the
model named it. Rows whose truth has no place are left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops.monitoring.model import classification
from mlops.monitoring.model.bins import Value, as_number, as_text, is_missing
from mlops.monitoring.model.measured import Measured, Numbers, Pairs, mean_of
from mlops.monitoring.model.vectors import Answer

_SURE = float(np.finfo(np.float64).eps)
_BINS = 15
_EVEN = 0.5
_NEAR_ONE = 1e-3

Given = Sequence[tuple[Answer, Value, Value]]
"""The answer, the class that was said and the truth of every labelled row."""


@dataclass(frozen=True)
class Scored:
    """A number for each class, a row for each row of the window, and the place of the true class."""

    scores: Numbers
    truths: NDArray[np.int64]

    @property
    def are_probabilities(self) -> bool:
        """Return whether every row holds the probability of each class."""
        sums = self.scores.sum(1)
        return bool(self.scores.min() >= 0 and np.abs(sums - 1).max() <= _NEAR_ONE)


def scored_of(given: Given) -> Scored | None:
    """Return the rows whose answer is whole and whose truth has a place; None without any."""
    width = max((len(a.values) for a, _, _ in given if a.length is None), default=0)
    places = _places(given, width)
    rows = [
        (answer.values, places[as_text(label)])
        for answer, _, label in given
        if _is_whole(answer, width) and not is_missing(label) and as_text(label) in places
    ]
    if not rows:
        return None
    scores = np.array([values for values, _ in rows], dtype=np.float64)
    return Scored(scores, np.array([place for _, place in rows]))


def log_loss(scored: Scored) -> Measured | None:
    """Return the mean negative logarithm of the probability that was given to the truth."""
    if not scored.are_probabilities:
        return None
    given = scored.scores[np.arange(len(scored.truths)), scored.truths]
    return mean_of(-np.log(np.clip(given, _SURE, 1.0)))


def brier(scored: Scored) -> Measured | None:
    """Return the mean squared distance from the truth, summed over the classes; of two classes half of it."""
    if not scored.are_probabilities:
        return None
    classes = scored.scores.shape[1]
    costs = ((scored.scores - np.eye(classes)[scored.truths]) ** 2).sum(1)
    return mean_of(costs / 2 if classes == 2 else costs)  # noqa: PLR2004 - as scikit-learn does


def roc_auc(scored: Scored) -> Measured | None:
    """Return that of class 1 of two classes; of more the mean of every class against the rest, those that are true."""
    classes = range(scored.scores.shape[1])
    if len(classes) == 2:  # noqa: PLR2004 - one says all of the other
        return _against_the_rest(scored, 1)
    found = [_against_the_rest(scored, place) for place in classes]
    known = [one for one in found if one is not None]
    if not known:
        return None
    # The classes share their rows, so their errors do not cancel out.
    value = sum(one.value for one in known) / len(known)
    return Measured(value, sum(one.error for one in known) / len(known))


def ece(scored: Scored) -> Measured | None:
    """Return the expected calibration error: how far confidence is from how often it was right, over 15 bins of it."""
    if not scored.are_probabilities:
        return None
    return _calibration(scored.scores.max(1), scored.scores.argmax(1) == scored.truths)


def ece_of_one(pairs: Pairs) -> Measured | None:
    """Return the same of answers that are the probability of class 1."""
    known = [(as_number(p), as_text(label)) for p, label in pairs if not is_missing(label)]
    said = np.array([p for p, _ in known])
    if not len(said) or not (said.min() >= 0 and said.max() <= 1):  # false of NaN, too
        return None
    if not {label for _, label in known} <= {"0", "1"}:
        return None
    true = np.array([label == "1" for _, label in known])
    return _calibration(np.maximum(said, 1 - said), (said > _EVEN) == true)


def _calibration(confidence: Numbers, right: NDArray[np.bool_]) -> Measured | None:
    gaps = right.astype(np.float64) - confidence
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    signs = np.sign(np.bincount(bins, weights=gaps, minlength=_BINS))
    return mean_of(signs[bins] * gaps)


def _against_the_rest(scored: Scored, place: int) -> Measured | None:
    scores, true = scored.scores[:, place].tolist(), (scored.truths == place).astype(int).tolist()
    return classification.roc_auc(list(zip(scores, true, strict=True)))


def _is_whole(answer: Answer, width: int) -> bool:
    return answer.length is None and len(answer.values) == width and None not in answer.values


def _places(given: Given, width: int) -> dict[str, int]:
    numbered = {str(place): place for place in range(width)}
    names = {as_text(one) for _, said, true in given for one in (said, true) if not is_missing(one)}
    if names <= numbered.keys():
        return numbered
    seen: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for answer, said, _ in given:
        place = answer.said
        if place is not None and not is_missing(said):
            seen[as_text(said)][place] += 1
    return {name: places.most_common(1)[0][0] for name, places in seen.items()}
