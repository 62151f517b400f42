# SPDX-License-Identifier: Apache-2.0
"""The observations: where they are, and which part of them a training sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier

OBSERVATIONS = Path(__file__).parent / "data" / "observations.csv"
LABEL = "rain"
TRAINED_ON = 3000  # newest rows: eight years; fewer forget a change sooner and do worse while there is none
HELD_OUT = 250  # newest of these, for the comparison of challenger and champion
FOLDS = 5
KNOWN = "rows_known"  # tag of the run: the observations grow while it trains, its comparison must not
TRUSTED = ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]  # skops names it; we made it


def newest(known: int | None = None) -> tuple[pd.DataFrame, pd.Series]:
    """Return features and labels of the newest rows, in time order, as they were when *known* rows were there."""
    rows = pd.read_csv(OBSERVATIONS, nrows=known).tail(TRAINED_ON)
    return rows.drop(columns=LABEL), rows[LABEL]


def fit(features: pd.DataFrame, labels: pd.Series) -> HistGradientBoostingClassifier:
    """Fit the model; the seed is fixed, so that the same rows give the same model."""
    return HistGradientBoostingClassifier(random_state=0).fit(features.to_numpy(), labels)


def expected_accuracy(features: pd.DataFrame, labels: pd.Series) -> float:
    """Return the accuracy over contiguous folds: what the model should reach while the world stays as it is."""
    correct = 0
    for fold in np.array_split(np.arange(len(labels)), FOLDS):
        rest = np.setdiff1d(np.arange(len(labels)), fold)
        model = fit(features.iloc[rest], labels.iloc[rest])
        correct += int((model.predict(features.iloc[fold].to_numpy()) == labels.iloc[fold]).sum())
    return correct / len(labels)
