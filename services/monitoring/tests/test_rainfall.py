# SPDX-License-Identifier: Apache-2.0
"""Fifty years of weather: inputs wander with the seasons, and only the collapse of the model is told as such."""

from __future__ import annotations

import lzma
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from mlops.contracts.gateway import Label, LabelRecorded
from mlops.contracts.monitoring import (
    DriftDetected,
    DriftKind,
    PerformanceDegraded,
    PerformanceMeasured,
    Severity,
)
from mlops.contracts.serving import DeploymentCompleted, Prediction, PredictionLogged

DATA = Path(__file__).parents[3] / "examples" / "rainfall" / "data" / "rainfall.csv.xz"
TRAINED_ON = 3000
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
COLLAPSE = 18  # the window of 500 rows in which accuracy falls below .72

pytestmark = pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is not there")


def weather() -> tuple[list[str], NDArray[np.float64]]:
    with lzma.open(DATA, "rt") as file:
        names = file.readline().strip().split(",")
        return names, np.loadtxt(file, delimiter=",")


async def test_the_collapse_is_told_and_the_seasons_are_not(world: Any) -> None:
    names, rows = weather()
    features, rain = rows[:, :-1], rows[:, -1].astype(int)
    model = HistGradientBoostingClassifier(random_state=0)
    answers = model.fit(features[:TRAINED_ON], rain[:TRAINED_ON]).predict(features)
    await world.register(window=500, accuracy={"drop": 0.05})
    await world.tell(
        DeploymentCompleted(
            project="rainfall",
            deployment_id="d1",
            model="rain",
            version=1,
            endpoint="/v2/models/rain/infer",
            metrics={"accuracy": 0.79},
        )
    )

    for start in range(TRAINED_ON, len(rows), 125):
        at = range(start, min(start + 125, len(rows)))
        await world.tell(logged(names, features, answers, at))
        await world.tell(labelled(rain, at))

    degraded = [told.window.index for told in world.heard(PerformanceDegraded)]
    drifted = world.heard(DriftDetected)
    assert len(world.heard(PerformanceMeasured)) == 30
    assert degraded == list(range(COLLAPSE, 30))
    assert [told.window.index for told in drifted] == [COLLAPSE + 1]
    assert [(told.kind, told.severity) for told in drifted] == [(DriftKind.DATA, Severity.WARNING)]


def logged(
    names: list[str], features: NDArray[np.float64], answers: NDArray[np.int64], at: range
) -> PredictionLogged:
    return PredictionLogged(
        project="rainfall",
        model="rain",
        version=1,
        predictions=tuple(
            Prediction(
                request_id=str(i),
                at=BEGAN + timedelta(days=i),
                features=dict(zip(names[:-1], features[i].tolist(), strict=True)),
                prediction=int(answers[i]),
            )
            for i in at
        ),
    )


def labelled(rain: NDArray[np.int64], at: range) -> LabelRecorded:
    labels = tuple(
        Label(request_id=str(i), label=int(rain[i]), at=BEGAN + timedelta(days=i + 1)) for i in at
    )
    return LabelRecorded(project="rainfall", model="rain", labels=labels)
