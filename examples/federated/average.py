# SPDX-License-Identifier: Apache-2.0
"""Federated averaging (McMahan et al., 2017): the common weights are the sites' own, each by its number of rows."""

from __future__ import annotations

import json
import os
from pathlib import Path

import mlflow
import numpy as np
from sklearn.linear_model import LogisticRegression

import digits


def main() -> None:
    """Read `$MLOPS_UPDATES_DIR`, write `$MLOPS_GLOBAL_DIR`; the last round logs the model."""
    updates = sorted(Path(os.environ["MLOPS_UPDATES_DIR"]).iterdir())
    rows = [json.loads((one / digits.METRICS).read_text())["rows"] for one in updates]
    weights = np.average([digits.read(one) for one in updates], axis=0, weights=rows)
    accuracy = digits.accuracy(weights, digits.judged_by())
    digits.write(Path(os.environ["MLOPS_GLOBAL_DIR"]), weights, accuracy=accuracy)
    print(f"{[one.name for one in updates]} together: accuracy {accuracy:.3f}")
    if os.environ["MLOPS_ROUND"] == os.environ["MLOPS_ROUNDS"]:
        log(weights)


def log(weights: np.ndarray) -> None:
    """Log the model within the run that the environment names."""
    model = LogisticRegression()
    model.classes_ = np.arange(digits.DIGITS)
    # Rows are kept as pixels from 0 to 16 by those who ask.
    model.coef_, model.intercept_ = weights[:-1].T / 16, weights[-1]
    with mlflow.start_run():
        mlflow.sklearn.log_model(
            model,
            name="model",
            serialization_format="skops",
            pip_requirements=["scikit-learn>=1.9,<1.10", "skops"],
        )


if __name__ == "__main__":
    main()
