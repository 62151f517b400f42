# SPDX-License-Identifier: Apache-2.0
"""Fit on the newest labelled days, say how good it should be, log the model. Plain MLflow, nothing of the platform."""

from __future__ import annotations

import mlflow
from mlflow.models import infer_signature

import weather


def main() -> None:
    """Train one model within the run that the environment names (or a new one)."""
    features, labels = weather.newest()
    known, asked = slice(None, -weather.HELD_OUT), slice(-weather.HELD_OUT, None)
    challenger = weather.fit(features.iloc[known], labels.iloc[known])
    accuracy = float((challenger.predict(features.iloc[asked].to_numpy()) == labels.iloc[asked]).mean())
    # The newest rows are the most telling: the model that is kept learns them too.
    model = weather.fit(features, labels)

    with mlflow.start_run():
        mlflow.set_tag(weather.KNOWN, int(labels.index[-1]) + 1)
        mlflow.log_params(
            {"model": "HistGradientBoostingClassifier", "rows": len(labels), "held_out": weather.HELD_OUT}
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
    print(f"trained on {len(labels)} days, accuracy {accuracy:.3f} on the newest {weather.HELD_OUT}")


if __name__ == "__main__":
    main()
