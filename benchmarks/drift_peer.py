# SPDX-License-Identifier: Apache-2.0
"""Evidently's own drift decisions on the rows of a stream: its default tests, its own functions."""

from __future__ import annotations

import os
import warnings

os.environ["DO_NOT_TRACK"] = "1"  # read at the import: otherwise it calls home

import numpy as np
import pandas as pd
from drift_streams import GROUP, Rows, is_category
from evidently import DataDefinition, Dataset, Report
from evidently.legacy.calculations.stattests import get_stattest
from evidently.metrics import DriftedColumnsCount
from evidently.presets import DataDriftPreset
from numpy.typing import NDArray

Flags = NDArray[np.bool_]

SHARE = 0.5
NAME = "Evidently 0.7.23 default"


def table_of(rows: Rows, width: int) -> pd.DataFrame:
    """Return the feature columns as Evidently takes them."""
    return pd.DataFrame(rows.columns(0, width))


def drifted(reference: pd.DataFrame, current: pd.DataFrame) -> Flags:
    """Return which columns Evidently's default test calls drifted; an empty column it cannot judge is not."""
    return np.array(
        [_drifted(reference[name], current[name], c) for c, name in enumerate(reference.columns)]
    )


def alarms(found: Flags, width: int) -> bool:
    """Return whether the first *width* columns make Evidently's default verdict: half of them drifted."""
    return bool(found[:width].mean() >= SHARE)


def definition(width: int) -> DataDefinition:
    """Return what Evidently must know of the columns."""
    names = [(f"c{c:02d}", is_category(c)) for c in range(width)]
    return DataDefinition(
        numerical_columns=[name for name, category in names if not category],
        categorical_columns=[name for name, category in names if category],
    )


def run_report(current: Dataset, reference: Dataset, *, preset: bool) -> None:
    """Run what people run: the preset, or the count of drifted columns alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = DataDriftPreset() if preset else DriftedColumnsCount()
        Report([metric]).run(current, reference).dict()


def _drifted(reference: pd.Series, current: pd.Series, column: int) -> bool:
    kind = "cat" if is_category(column % GROUP) else "num"
    reference, current = reference.dropna(), current.dropna()
    if not len(current):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test = get_stattest(reference, current, kind, None)
        return bool(test(reference, current, kind, None).drifted)
