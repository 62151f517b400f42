# SPDX-License-Identifier: Apache-2.0
"""Models that answer with several numbers are measured by each of them, and by the mean over all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from mlops.contracts.gateway import Label, LabelRecorded
from mlops.contracts.monitor_settings import MonitorSettings
from mlops.contracts.monitoring import PerformanceDegraded, PerformanceMeasured
from mlops.contracts.serving import DeploymentCompleted, Prediction, Vector
from mlops.contracts.settings import EvaluateSettings, Goal, ProjectSettings
from mlops.contracts.workspaces import ProjectRegistered
from mlops.monitoring.adapters.sqlite import SqliteLedger
from mlops.monitoring.model.measured import Measured
from mlops.monitoring.model.metrics import answered_with, measure, measure_rows
from mlops.monitoring.model.vectors import Answer
from mlops.monitoring.model.windows import Row

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
RNG = np.random.default_rng(0)
OUTPUTS = RNG.normal(size=(2, 300, 3)) * [1.0, 4.0, 0.3]


def rows_of(said: np.ndarray, true: np.ndarray) -> list[Row]:
    def known(line: np.ndarray) -> tuple[float | None, ...]:
        return tuple(None if math.isnan(value) else value for value in line.tolist())

    return [
        Row(str(i), NOON, {}, None, labelled=True, answer=Answer(known(p)), truth=known(t))
        for i, (p, t) in enumerate(zip(said, true, strict=True))
    ]


SKLEARNS: dict[str, Callable[..., float]] = {
    "mae": metrics.mean_absolute_error,
    "mse": metrics.mean_squared_error,
    "rmse": metrics.root_mean_squared_error,
    "r2": metrics.r2_score,
    "mape": metrics.mean_absolute_percentage_error,
}


@pytest.mark.parametrize("metric", list(SKLEARNS))
def test_errors_of_several_outputs_are_those_of_scikit_learn(metric: str) -> None:
    said, true = OUTPUTS
    rows = rows_of(said, true)

    mean = measure_rows(f"val_{metric}", rows)
    each = [measure_rows(f"{metric}_answer_{place}", rows) for place in range(4)]

    assert mean is not None
    assert mean.value == pytest.approx(SKLEARNS[metric](true, said))
    alone = [
        measure(metric, list(zip(said[:, place].tolist(), true[:, place].tolist(), strict=True)))
        for place in range(3)
    ]
    assert [one and one.value for one in each[:3]] == pytest.approx(
        [one and one.value for one in alone]
    )
    assert [one and one.error for one in each[:3]] == pytest.approx(
        [one and one.error for one in alone]
    )
    assert each[3] is None


@pytest.mark.parametrize("metric", ["mae", "rmse", "r2"])
def test_outputs_that_err_together_are_no_more_evidence_than_one(metric: str) -> None:
    rng = np.random.default_rng(3)

    def window() -> Measured | None:
        true, wrong = rng.normal(size=(200, 3)), rng.normal(size=(200, 1))
        return measure_rows(metric, rows_of(true + wrong, true))

    windows = [one for one in (window() for _ in range(150)) if one is not None]

    spread = np.std([one.value for one in windows])
    assert np.mean([one.error for one in windows]) == pytest.approx(spread, rel=0.25)


def test_numbers_that_are_not_there_are_left_out_of_their_output_alone() -> None:
    said = np.array([[1.0, 5.0], [2.0, math.nan], [3.0, 7.0]])
    true = np.array([[1.0, 4.0], [4.0, 9.0], [3.0, math.nan]])
    strangers = [
        replace(rows_of(said, true)[0], truth=(1.0,)),
        replace(rows_of(said, true)[0], answer=Answer((1.0, 5.0), length=200)),
        replace(rows_of(said, true)[0], truth=None, label=1.0),
    ]

    found = measure_rows("mae", [*rows_of(said, true), *strangers])

    assert found is not None
    assert found.value == pytest.approx((2 / 3 + 1) / 2)
    assert measure_rows("mae_answer_1", strangers) is None


def test_an_output_whose_truth_does_not_vary_has_no_part_in_r2() -> None:
    said, true = OUTPUTS[0].copy(), OUTPUTS[1].copy()
    true[:, 1] = 2.0

    found = measure_rows("r2", rows_of(said, true))

    assert found is not None
    assert found.value == pytest.approx(metrics.r2_score(true[:, [0, 2]], said[:, [0, 2]]))


async def test_labels_of_several_numbers_measure_the_output_that_the_project_names(
    kept_world: Any, tmp_path: Path
) -> None:
    await begin(kept_world)
    rows = [predicted(number) for number in range(500)]
    for start in range(0, 500, 100):
        await kept_world.tell(kept_world.logged(rows[start : start + 100]))
    await label(kept_world, rows[:250], error=0.5)
    await kept_world.ledger.close()
    after = type(kept_world)(SqliteLedger(tmp_path / "ledger.db"))
    await begin(after)

    await label(after, rows[250:], error=2.0)

    (measured,) = kept_world.heard(PerformanceMeasured)
    assert (measured.metric, measured.value) == ("mae_answer_1", pytest.approx(0.5))
    (degraded,) = after.heard(PerformanceDegraded)
    assert degraded.value == pytest.approx(2.0)
    assert degraded.threshold == pytest.approx(0.6)
    await after.ledger.close()


async def begin(world: Any) -> None:
    settings = ProjectSettings(
        name=world.project,
        evaluate=EvaluateSettings(metric="mae_answer_1", goal=Goal.MIN),
        monitor=MonitorSettings.model_validate({"window": 250, "accuracy": {"drop": 0.1}}),
    )
    await world.tell(ProjectRegistered(project=world.project, settings=settings, revision=1))
    deployed = DeploymentCompleted(
        project=world.project,
        deployment_id="d1",
        model=world.model,
        version=1,
        endpoint="/x",
        metrics={"val_mae_answer_1": 0.5},
    )
    await world.tell(deployed)


def predicted(number: int) -> Prediction:
    values = tuple(RNG.normal(size=3).round(4).tolist())
    return Prediction(
        request_id=f"r{number}",
        at=NOON + timedelta(seconds=number),
        features={"wind": float(RNG.normal())},
        prediction=None,
        answer=Vector(values=values),
    )


async def label(world: Any, rows: list[Prediction], error: float) -> None:
    labels = tuple(
        Label(
            request_id=row.request_id,
            label=None,
            at=NOON,
            numbers=(0.0, (row.answer.values[1] or 0.0) + error, None),
        )
        for row in rows
        if row.answer
    )
    await world.tell(LabelRecorded(project=world.project, model=world.model, labels=labels))


def test_a_metric_of_an_output_is_one_of_numbers() -> None:
    assert answered_with("val_rmse_answer_2") is answered_with("rmse")
