# SPDX-License-Identifier: Apache-2.0
"""Metrics of models that score the items of a request: its rows, whose request ids are `<id>:<row>`.

A label says how relevant the item was. A request of which nothing was relevant could not be ranked well or badly and
is left out. The value is the mean over the requests, and so is its error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from mlops.monitoring.model.bins import as_number
from mlops.monitoring.model.measured import Measured, Numbers, Pairs, mean_of

Score = Callable[[Numbers, Numbers], float | None]


def ndcg(pairs: Pairs, requests: Sequence[str], most: int | None = None) -> Measured | None:
    """Return how near the order is to the best one, the first *most* places counting; ties share their places."""

    def one(scores: Numbers, relevant: Numbers) -> float | None:
        if relevant.min() < 0 or not relevant.any():
            return None
        return _gain(scores, relevant, most) / _gain(relevant, relevant, most)

    return _mean(pairs, requests, one)


def mrr(pairs: Pairs, requests: Sequence[str]) -> Measured | None:
    """Return the mean of 1 / place of the first relevant item; among ties it stands in the middle."""

    def one(scores: Numbers, relevant: Numbers) -> float | None:
        if not (relevant > 0).any():
            return None
        best = scores[relevant > 0].max()
        ties = (scores == best).sum() - 1
        return float(1.0 / (1 + (scores > best).sum() + ties / 2))

    return _mean(pairs, requests, one)


def request_of(request_id: str) -> str:
    """Return the request that a row belongs to."""
    before, separator, row = request_id.rpartition(":")
    return before if separator and row.isdigit() else request_id


def _mean(pairs: Pairs, requests: Sequence[str], score: Score) -> Measured | None:
    found = (score(said, true) for said, true in _by_request(pairs, requests))
    return mean_of(np.array([one for one in found if one is not None]))


def _by_request(pairs: Pairs, requests: Sequence[str]) -> Iterable[tuple[Numbers, Numbers]]:
    items: dict[str, list[tuple[float, float]]] = {}
    for (said, true), request in zip(pairs, requests, strict=True):
        item = as_number(said), as_number(true)
        if not np.isnan(item).any():
            items.setdefault(request, []).append(item)
    for found in items.values():
        both = np.array(found)
        yield both[:, 0], both[:, 1]


def _gain(scores: Numbers, relevant: Numbers, most: int | None) -> float:
    worth = 1 / np.log2(np.arange(len(scores)) + 2)
    if most is not None:
        worth[most:] = 0
    _, group, sizes = np.unique(-scores, return_inverse=True, return_counts=True)
    means = np.bincount(group, weights=relevant) / sizes
    places = np.add.reduceat(worth, np.concatenate([[0], np.cumsum(sizes)[:-1]]))
    return float((means * places).sum())
