# SPDX-License-Identifier: Apache-2.0
"""Say how the champion does on the rows that the challenger was judged by."""

from __future__ import annotations

import os

import mlflow

import weather


def main() -> None:
    """Log `champion_accuracy` to the run that the environment names; without a champion there is nothing to say."""
    champion = os.environ.get("MLOPS_CHAMPION_URI")
    if not champion:
        print("no champion yet: nothing to compare with")
        return
    model = mlflow.sklearn.load_model(champion)
    with mlflow.start_run() as run:
        known = run.data.tags.get(weather.KNOWN)
        features, labels = weather.newest(int(known) if known else None)
        rows, truth = features.iloc[-weather.HELD_OUT :], labels.iloc[-weather.HELD_OUT :]
        accuracy = float((model.predict(rows.to_numpy()) == truth).mean())
        mlflow.log_metric("champion_accuracy", accuracy)
    print(f"champion {champion}: accuracy {accuracy:.3f} on the newest {len(truth)} days")


if __name__ == "__main__":
    main()
