# SPDX-License-Identifier: Apache-2.0
"""Metrics of models that answer with a number for each class, such as its probability.

Which number belongs to which class is told by what the model says beside them. Rows whose truth has no place are left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
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
_FEW = 0.05
_MOSTLY = 0.8
_TWO = 2

Given = Sequence[tuple[Answer, Value, Value]]
"""The answer, the class that was said and the truth of every labelled row."""


@dataclass(frozen=True)
class Scored:
    """A number for each class, a row for each row of the window, and the place of the true class."""

    scores: Numbers
    truths: NDArray[np.int64]

    @property
    def probable(self) -> Scored | None:
        """Return the rows that hold the probability of each class; None where more than a few do not."""
        are = (self.scores.min(1) >= 0) & (np.abs(self.scores.sum(1) - 1) <= _NEAR_ONE)
        if are.mean() < 1 - _FEW:
            return None
        return self if are.all() else Scored(self.scores[are], self.truths[are])


def scored_of(given: Given) -> Scored | None:
    """Return the rows whose answer is whole and whose truth has a place.

    None without any, and where the numbers of the answers are not those of classes.
    """
    widths = Counter(len(a.values) for a, _, _ in given if a.length is None)
    if not widths or _are_numbers(given):
        return None
    whole = [one for one in given if _is_whole(one[0], widths.most_common(1)[0][0])]
    places = _places(whole)
    rows = [
        (answer.values, places[as_text(label)])
        for answer, _, label in whole
        if not is_missing(label) and as_text(label) in places
    ]
    if not rows:
        return None
    scores = np.array([values for values, _ in rows], dtype=np.float64)
    found = Scored(scores, np.array([place for _, place in rows]))
    of_classes = found.probable is not None or _agreeing(whole, places) >= _MOSTLY
    return found if of_classes else None


def says_the_largest(given: Given) -> bool:
    """Return whether what was said is mostly the place of the largest number, so that it says nothing of its own."""
    named = {as_text(a.said): a.said for a, _, _ in given if a.said is not None}
    return _agreeing(given, named) > _EVEN


def log_loss(scored: Scored) -> Measured | None:
    """Return the mean negative logarithm of the probability that was given to the truth."""
    found = scored.probable
    if found is None:
        return None
    given = found.scores[np.arange(len(found.truths)), found.truths]
    return mean_of(-np.log(np.clip(given, _SURE, 1.0)))


def brier(scored: Scored) -> Measured | None:
    """Return the mean squared distance from the truth, summed over the classes; of two classes half of it."""
    found = scored.probable
    if found is None:
        return None
    classes = found.scores.shape[1]
    costs = ((found.scores - np.eye(classes)[found.truths]) ** 2).sum(1)
    return mean_of(costs / 2 if classes == _TWO else costs)  # as scikit-learn does


def roc_auc(scored: Scored) -> Measured | None:
    """Return that of class 1 of two classes; of more the mean of every class against the rest, those that are true."""
    classes = range(scored.scores.shape[1])
    if len(classes) == _TWO:  # one says all of the other
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
    found = scored.probable
    if found is None:
        return None
    return _calibration(found.scores.max(1), found.scores.argmax(1) == found.truths)


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


def _are_numbers(given: Given) -> bool:
    # The model says a chance or another number of its own: what stands beside that are no classes.
    broken = [isinstance(said, float) and said % 1 > 0 for _, said, _ in given]
    return sum(broken) > _FEW * len(broken)


def _agreeing(given: Given, places: Mapping[str, int]) -> float:
    """Return the share of rows in which the number of the class that was said is the largest; 1 where none was said."""
    agreed = [
        answer.said is not None and answer.said == places.get(as_text(said))
        for answer, said, _ in given
        if not is_missing(said)
    ]
    return sum(agreed) / len(agreed) if agreed else 1.0


def _places(given: Given) -> Mapping[str, int]:
    """Return the place of each class by its name: its number where nothing speaks against that, else what is seen."""
    said = {as_text(one) for _, one, _ in given if not is_missing(one)}
    names = said | {as_text(one) for _, _, one in given if not is_missing(one)}
    width = len(given[0][0].values) if given else 0
    numbered = {str(place): place for place in range(width)}
    seen = _of_two(given, said) if width == _TWO else _seen(given)
    if names <= numbered.keys() and _fits(numbered, given, seen, names):
        return numbered
    others, free = names - seen.keys(), set(numbered.values()) - set(seen.values())
    # A class that is true and was never said has the place that is left.
    return {**seen, others.pop(): free.pop()} if len(others) == len(free) == 1 else seen


def _fits(
    numbered: Mapping[str, int], given: Given, seen: Mapping[str, int], names: Collection[str]
) -> bool:
    if len(numbered) != _TWO:
        return _agreeing(given, numbered) >= _EVEN
    # Of one class alone a model with a threshold of its own need not name the larger; a class 0 tells that they are numbered.
    return seen.items() <= numbered.items() or (len(seen) < _TWO and "0" in names)


def _of_two(given: Given, said: Collection[str]) -> dict[str, int]:
    """Return the places of two classes: whatever the threshold, what is said at higher chances is the class of these."""
    if len(said) != _TWO:
        return _seen(given)
    leads: defaultdict[str, list[float]] = defaultdict(list)
    for answer, one, _ in given:
        if not is_missing(one):
            first, second = (float(value or 0.0) for value in answer.values)
            leads[as_text(one)].append(second - first)
    means = {name: float(np.mean(found)) for name, found in leads.items()}
    low, high = sorted(means, key=lambda name: means[name])
    return {low: 0, high: 1} if means[low] < means[high] else {}


def _seen(given: Given) -> dict[str, int]:
    """Return the place that was mostly the largest when a class was said, the surest first and each place once."""
    pairs = Counter(
        (as_text(said), answer.said)
        for answer, said, _ in given
        if answer.said is not None and not is_missing(said)
    )
    found: dict[str, int] = {}
    taken: set[int] = set()
    for (name, place), _ in pairs.most_common():
        if name not in found and place not in taken:
            found[name] = place
            taken.add(place)
    return found
