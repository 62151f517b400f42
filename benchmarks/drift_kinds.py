# SPDX-License-Identifier: Apache-2.0
"""Drift of texts, of vectors and of dependence alone: false alarms and power beside Evidently's default, and the cost.

    OPENBLAS_NUM_THREADS=1 python benchmarks/drift_kinds.py

Texts are five to fifteen words of a Zipf vocabulary of 2000; shifts bring other words, or longer texts. Vectors have
128 parts on eight hidden axes; shifts move one axis, or spread all parts. Dependence: ten normal columns of which the
first two begin to go together, each of them unchanged; Evidently's default looks at columns one by one. Everything is of
500 rows against 2000, without a rhythm; seeds stand beside the figures. Shares are in per cent of windows; the peer
judges one window per reference, for its cost. Writes benchmarks/results/drift_kinds.json.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import drift_peer  # silences the peer's call home before its import
import numpy as np
import pandas as pd
from evidently.legacy.calculations.stattests import get_stattest
from evidently.legacy.metrics.data_drift.embedding_drift_methods import model
from numpy.typing import NDArray
from results_file import Figure, write

from mlops.monitoring.model.alarm import signs
from mlops.monitoring.model.drift import judge
from mlops.monitoring.model.reference import freeze

Floats = NDArray[np.float64]
Table = dict[str, list[str] | Floats]
Make = Callable[[np.random.Generator, int, float], Table]
Peer = Callable[[Table, Table], bool]

ROWS, REFERENCE, REFERENCES, WINDOWS = 500, 2000, 6, 10
SEED = 691_000
_WORDS = 2000
_PARTS, _AXES = 128, 8


@dataclass(frozen=True)
class Case:
    """One kind of columns with one shift; 0 is clean. Without a *peer* there is none that looks at it."""

    name: str
    make: Make
    shift: float
    peer: Peer


def texts(rng: np.random.Generator, rows: int, shift: float) -> Table:
    """Return texts of which a share of the words is new."""
    places = rng.zipf(1.3, rows * 15) % _WORDS
    new = rng.random(rows * 15) < shift
    words = np.where(new, places + _WORDS, places).reshape(rows, 15)
    lengths = rng.integers(5, 16, rows)
    found = [
        " ".join(f"w{word}" for word in line[:length])
        for line, length in zip(words, lengths, strict=True)
    ]
    return {"text": found}


def longer(rng: np.random.Generator, rows: int, shift: float) -> Table:
    """Return texts with more words each."""
    listed = texts(rng, rows, 0.0)["text"]
    return {"text": [one + f" w{i % 9}" * int(shift) for i, one in enumerate(listed)]}


def vectors(rng: np.random.Generator, rows: int, shift: float) -> Table:
    """Return vectors whose first hidden axis moves."""
    mixing = np.random.default_rng(SEED).standard_normal((_AXES, _PARTS))
    hidden = rng.standard_normal((rows, _AXES))
    hidden[:, 0] += shift
    return _numbered(hidden @ mixing + rng.standard_normal((rows, _PARTS)))


def spread(rng: np.random.Generator, rows: int, shift: float) -> Table:
    """Return vectors all of whose parts are spread wider."""
    return {name: part * (1 + shift) for name, part in vectors(rng, rows, 0.0).items()}  # type: ignore[operator]  # numbers all


def together(rng: np.random.Generator, rows: int, shift: float) -> Table:
    """Return normal columns of which the first two correlate by *shift*."""
    found = rng.standard_normal((rows, 10))
    found[:, 1] = shift * found[:, 0] + np.sqrt(1 - shift * shift) * found[:, 1]
    return {f"c{place}": column for place, column in enumerate(found.T)}


def _numbered(rows: Floats) -> Table:
    return {f"x{place}": column for place, column in enumerate(rows.T)}


def text_peer(then: Table, now: Table) -> bool:
    """Return what Evidently's default test of texts says (a classifier that tells the two apart)."""
    one, other = pd.Series(then["text"]), pd.Series(now["text"])
    return bool(get_stattest(one, other, "text", None)(one, other, "text", None).drifted)


def vector_peer(then: Table, now: Table) -> bool:
    """Return what Evidently's default test of embeddings says (a classifier that tells the two apart)."""
    one, other = (pd.DataFrame(table) for table in (then, now))
    return bool(model()(other, one)[1])


def column_peer(then: Table, now: Table) -> bool:
    """Return whether Evidently's default test calls half of the columns drifted."""
    one, other = (pd.DataFrame(table) for table in (then, now))
    found = [
        get_stattest(one[name], other[name], "num", None)(one[name], other[name], "num", None)
        for name in one
    ]
    return float(np.mean([each.drifted for each in found])) >= drift_peer.SHARE


CASES = (
    Case("texts clean", texts, 0.0, text_peer),
    Case("texts 5 % new words", texts, 0.05, text_peer),
    Case("texts 20 % new words", texts, 0.2, text_peer),
    Case("texts 2 words longer", longer, 2, text_peer),
    Case("vectors clean", vectors, 0.0, vector_peer),
    Case("vectors axis +.3 sd", vectors, 0.3, vector_peer),
    Case("vectors axis +.6 sd", vectors, 0.6, vector_peer),
    Case("vectors 5 % wider", spread, 0.05, vector_peer),
    Case("dependence clean", together, 0.0, column_peer),
    Case("dependence 0 to .2", together, 0.2, column_peer),
    Case("dependence 0 to .3", together, 0.3, column_peer),
    Case("dependence 0 to .5", together, 0.5, column_peer),
)


def measure(case: Case, seed: int) -> list[Figure]:
    """Measure one case: how often it is seen, and what a decision costs."""
    ours, theirs, costs, their_costs = [], [], [], []
    for number in range(REFERENCES):
        rng = np.random.default_rng(seed + number)
        then = case.make(rng, REFERENCE, 0.0)
        frozen = freeze(then, [None] * REFERENCE, ROWS)
        for window in range(WINDOWS):
            now = case.make(rng, ROWS, case.shift)
            began = time.process_time()
            verdict = judge(frozen, now, [None] * ROWS)
            costs.append(time.process_time() - began)
            ours.append(any(sign.seen for sign in signs(verdict, 0.5).values()))
            if window == 0:
                began = time.process_time()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    theirs.append(case.peer(then, now))
                their_costs.append(time.process_time() - began)
    name = f"{case.name} n={ROWS} ref={REFERENCE} seed={seed}"
    return [
        _figure("seen", name, "%", _share(ours), _share(theirs), 50 / len(theirs), len(ours)),
        _figure("cost", name, "CPU s", _middle(costs), _middle(their_costs), 1e-6, len(costs)),
    ]


def _figure(
    what: str, name: str, unit: str, mine: float, other: float, least: float, runs: int
) -> Figure:
    ratio = round(mine / max(other, least), 4)
    return Figure("drift", f"{what} {name}", unit, mine, drift_peer.NAME, other, ratio, runs)


def _share(found: Sequence[bool]) -> float:
    return round(100 * sum(found) / len(found), 2)


def _middle(found: Sequence[float]) -> float:
    return round(float(np.median(found)), 5)


if __name__ == "__main__":
    write(
        "drift_kinds",
        [figure for at, case in enumerate(CASES) for figure in measure(case, SEED + 100 * at)],
    )
