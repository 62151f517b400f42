# SPDX-License-Identifier: Apache-2.0
"""The digits: what each site has seen of them, what all are judged by, and a softmax regression in numpy.

Each site has only some of the ten digits, as hospitals have their own patients: alone it can never know the others. Here
a site's rows come out of a data set that is everywhere; in a real project they are files that only this machine has.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

DIGITS = 10
JUDGED_BY = 397  # the newest rows: no site trains on them
STEPS = 20
RATE = 0.5
WEIGHTS = "weights.npy"
METRICS = "metrics.json"


class Rows(NamedTuple):
    """Pixels from 0 to 1 with a constant column, and which digit each row is."""

    pixels: np.ndarray
    digits: np.ndarray


def everything() -> Rows:
    """Return all rows."""
    pixels, digits = load_digits(return_X_y=True)
    return Rows(np.hstack([pixels / 16, np.ones((len(pixels), 1))]), digits)


def of_site(site: int, sites: int) -> Rows:
    """Return the rows of one site: those of its own digits."""
    rows = everything()
    own = (rows.digits * sites // DIGITS == site) & (
        np.arange(len(rows.digits)) < len(rows.digits) - JUDGED_BY
    )
    return Rows(rows.pixels[own], rows.digits[own])


def judged_by() -> Rows:
    """Return the rows of all digits by which every model is judged."""
    rows = everything()
    return Rows(rows.pixels[-JUDGED_BY:], rows.digits[-JUDGED_BY:])


def trained(weights: np.ndarray, rows: Rows, steps: int = STEPS) -> np.ndarray:
    """Return the weights after so many steps down the gradient of the cross-entropy."""
    wanted = np.eye(DIGITS)[rows.digits]
    for _ in range(steps):
        logits = rows.pixels @ weights
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        weights = weights - RATE * rows.pixels.T @ (chances - wanted) / len(wanted)
    return weights


def accuracy(weights: np.ndarray, rows: Rows) -> float:
    """Return which part of the rows is told right."""
    return float(((rows.pixels @ weights).argmax(axis=1) == rows.digits).mean())


def read(folder: Path) -> np.ndarray:
    """Return the weights in a folder; none are there before the first round, then all are zero."""
    path = folder / WEIGHTS
    return np.load(path) if path.exists() else np.zeros((65, DIGITS))


def write(folder: Path, weights: np.ndarray, **metrics: float) -> None:
    """Write weights, and numbers that the platform logs."""
    np.save(folder / WEIGHTS, weights)
    (folder / METRICS).write_text(json.dumps(metrics))
