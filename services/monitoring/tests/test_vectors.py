# SPDX-License-Identifier: Apache-2.0
"""Vectors in windows: inputs become columns, answers of several numbers are judged part by part and measured by class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from mlops.contracts.gateway import Label, LabelRecorded
from mlops.contracts.monitor_settings import MonitorSettings
from mlops.contracts.monitoring import (
    DriftDetected,
    DriftKind,
    PerformanceMeasured,
    PerformanceUnmeasured,
)
from mlops.contracts.serving import Prediction, Vector
from mlops.contracts.settings import EvaluateSettings, ProjectSettings
from mlops.contracts.workspaces import ProjectRegistered
from mlops.monitoring.adapters.sqlite import SqliteLedger
from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.metrics import is_of_classes, measure, measure_rows
from mlops.monitoring.model.vectors import Answer, answer_columns, as_columns, column_name
from mlops.monitoring.model.windows import Row, columns_of

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
RNG = np.random.default_rng(3)
CHANCES = RNG.dirichlet([2.0, 2.0, 2.0], size=400)
TRUE = [int(RNG.choice(3, p=chances)) for chances in CHANCES]
NAMES = ["fog", "rain", "sun"]


def rows_of(chances: Any, said: Sequence[Value], true: Sequence[Value]) -> list[Row]:
    return [
        Row(str(i), NOON, {}, one, label, labelled=True, answer=Answer(tuple(row)))
        for i, (row, one, label) in enumerate(zip(chances.tolist(), said, true, strict=True))
    ]


def value(metric: str, rows: Sequence[Row]) -> float:
    found = measure_rows(metric, rows)
    assert found is not None
    return found.value


def test_vectors_are_numbered_columns_whatever_some_rows_lack() -> None:
    found = as_columns([{"x": (1.0, 2.0)}, {}, {"x": (3.0, None, 5.0)}])

    assert found == {"x0": [1.0, None, 3.0], "x1": [2.0, None, None], "x2": [None, None, 5.0]}


def test_a_sketch_is_never_taken_for_the_vector_itself() -> None:
    assert column_name("x", None) != column_name("x", 300) != column_name("x", 400)


def sketches(lengths: Sequence[int]) -> list[dict[str, tuple[float | None, ...]]]:
    return [{column_name("x", length): (0.5, 1.5)} for length in lengths]


def test_vectors_of_many_lengths_are_one_column_and_not_as_many_as_there_are_lengths() -> None:
    found = as_columns([*sketches(range(200, 456)), {}, {"x": (1.0, 2.0)}])

    assert found == {"x (numbers)": [*range(200, 456), None, 2]}


def test_of_a_vector_that_nearly_always_has_one_length_this_one_is_compared() -> None:
    found = as_columns(sketches([300] * 95 + [200] * 5))

    assert list(found) == ["x~300:0", "x~300:1"]
    assert found["x~300:0"][-6:] == [0.5, None, None, None, None, None]


def test_columns_that_the_reference_has_are_there_however_rare() -> None:
    rows = [*sketches([300] * 9), *sketches([200])]

    assert list(as_columns(rows, {"x~200:0"})) == ["x~200:0", "x~200:1", "x (numbers)"]
    assert "x (numbers)" in as_columns(sketches([300] * 9), {"x (numbers)"})


def test_a_name_like_that_of_a_sketch_is_a_name() -> None:
    assert list(as_columns([{"x~y:": (1.0,), "~:": (2.0,)}])) == ["x~y:0", "~:0"]


def test_columns_of_rows_have_features_and_vectors() -> None:
    rows = [Row("a", NOON, {"y": 1}, 1, vectors={"x": (0.5,)}), Row("b", NOON, {"y": 2}, 1)]

    assert columns_of(rows) == {"y": [1, 2], "x0": [0.5, None]}


def test_of_long_answers_the_first_parts_are_columns() -> None:
    found = answer_columns([Answer(tuple(float(i) for i in range(100))), None])

    assert len(found) == 16
    assert found["answer 15"] == [15.0, None]
    assert answer_columns([None, None]) == {}


@pytest.mark.parametrize(
    ("values", "are"),
    [((0.2, 0.8), True), ((1.0,), False), ((0.5, 0.6), False), ((1.5, -0.5), False), ((None, 1.0), False)],
)  # fmt: skip
def test_probabilities_are_known_by_their_sum(values: Any, *, are: bool) -> None:
    assert Answer(values).is_probabilities is are


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer((0.1, 0.7, 0.2)), 1),
        (Answer((None, 0.5, 0.5)), 1),
        (Answer((None,)), None),
        (Answer((0.9, 0.1), length=1000, largest=401), 401),
        (Answer((0.9, 0.1), length=1000), None),
    ],
)
def test_the_class_that_is_said_is_the_largest(answer: Answer, said: int | None) -> None:
    assert answer.said == said


def test_metrics_of_probabilities_are_those_of_scikit_learn() -> None:
    rows = rows_of(CHANCES, CHANCES.argmax(1).tolist(), TRUE)
    truths = np.eye(3)[TRUE]

    assert value("log_loss", rows) == pytest.approx(metrics.log_loss(TRUE, CHANCES))
    assert value("brier", rows) == pytest.approx(((CHANCES - truths) ** 2).sum(1).mean())
    assert value("roc_auc", rows) == pytest.approx(
        metrics.roc_auc_score(TRUE, CHANCES, multi_class="ovr")
    )


def test_of_two_classes_they_are_those_of_class_1() -> None:
    ones = CHANCES[:, 0]
    true = [int(RNG.random() < p) for p in ones]
    both = rows_of(np.stack([1 - ones, ones], axis=1), [None] * 400, true)

    pairs = list(zip(ones.tolist(), true, strict=True))
    for metric in ("log_loss", "brier", "roc_auc", "ece"):
        alone = measure(metric, pairs)
        assert alone is not None
        assert value(metric, both) == pytest.approx(alone.value), metric


def test_classes_have_the_places_at_which_the_model_named_them() -> None:
    named = rows_of(
        CHANCES, [NAMES[i] for i in CHANCES.argmax(1)], [NAMES[place] for place in TRUE]
    )

    assert value("log_loss", named) == pytest.approx(metrics.log_loss(TRUE, CHANCES))


def test_a_model_that_says_one_at_less_than_half_keeps_its_places() -> None:
    chances = np.stack([1 - CHANCES[:, 0], CHANCES[:, 0]], axis=1)
    true = [int(place == 0) for place in TRUE]

    eager = rows_of(chances, [int(row[1] > 0.2) for row in chances], true)

    assert value("log_loss", eager) == pytest.approx(metrics.log_loss(true, chances))


def test_calibration_error_of_honest_chances_is_small_and_of_boasting_ones_large() -> None:
    boasting = CHANCES**4 / (CHANCES**4).sum(1, keepdims=True)

    honest = measure_rows("ece", rows_of(CHANCES, [None] * 400, TRUE))
    loud = measure_rows("expected_calibration_error", rows_of(boasting, [None] * 400, TRUE))

    assert honest is not None
    assert loud is not None
    assert honest.value < 0.1
    assert loud.value > 0.15


@pytest.mark.parametrize("metric", ["log_loss", "brier", "ece"])
def test_numbers_that_are_no_probabilities_are_not_measured_as_such(metric: str) -> None:
    scores = rows_of(CHANCES * 5 - 2, [None] * 400, TRUE)

    assert measure_rows(metric, scores) is None
    assert measure_rows("roc_auc", scores) is not None


def test_truths_without_a_place_and_sketches_are_left_out() -> None:
    rows = rows_of(CHANCES, [None] * 400, [7] * 400)
    sketch = Row("s", NOON, {}, 1, 1, labelled=True, answer=Answer((0.5, 0.5), 1000, 1))

    assert measure_rows("log_loss", rows) is None
    assert measure_rows("log_loss", [sketch]) is None
    assert value("accuracy", [sketch]) == 1.0


def test_metrics_of_classes_are_known() -> None:
    assert [is_of_classes(one) for one in ("accuracy", "val_log_loss", "ece", "mae", "ndcg@5")] == [
        True, True, True, False, False,
    ]  # fmt: skip


class Sky:
    """A model of a world that is asked with vectors and answers with several numbers."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.sent = 0

    async def begin(self, metric: str = "accuracy") -> None:
        settings = ProjectSettings(
            name=self.world.project,
            evaluate=EvaluateSettings(metric=metric),
            monitor=MonitorSettings.model_validate(
                {"window": 250, "drift": {"persist_windows": 1}}
            ),
        )
        await self.world.tell(
            ProjectRegistered(project=self.world.project, settings=settings, revision=1)
        )
        await self.world.deploy(accuracy=None)

    async def windows(
        self,
        many: int,
        *,
        width: int | Callable[[], int] = 20,
        shift: float = 0.0,
        answers: Any = None,
    ) -> list[str]:
        ids = []
        for _ in range(many * 10):
            widths = [width if isinstance(width, int) else width() for _ in range(25)]
            rows = [self._row(one, shift, answers) for one in widths]
            ids += [row.request_id for row in rows]
            await self.world.tell(self.world.logged(rows))
        return ids

    def _row(self, width: int, shift: float, answers: Any) -> Prediction:
        self.sent += 1
        vector = Vector(
            values=tuple((RNG.normal(size=min(width, 128)) + shift).round(4).tolist()),
            length=width if width > 128 else None,
        )
        answer = RNG.dirichlet([1.0, 1.0]) if answers is None else answers()
        return Prediction(
            request_id=f"r{self.sent}",
            at=NOON + timedelta(seconds=self.sent),
            prediction=None,
            vectors={"sky": vector},
            answer=Vector(values=tuple(answer.tolist())),
        )


def drifts(world: Any) -> list[tuple[DriftKind, str]]:
    return [(one.kind, one.columns[0].name) for one in world.heard(DriftDetected)]


@pytest.mark.parametrize(("width", "column"), [(20, "sky"), (768, "sky~768:")])
async def test_inputs_that_are_vectors_drift(world: Any, width: int, column: str) -> None:
    sky = Sky(world)
    await sky.begin()
    await sky.windows(5, width=width)
    quiet = drifts(world)

    await sky.windows(1, width=width, shift=0.7)

    assert quiet == []
    assert [kind for kind, _ in drifts(world)] == [DriftKind.DATA]
    assert drifts(world)[0][1].startswith(column)


@pytest.mark.parametrize(("short", "told"), [(0.5, []), (0.8, [(DriftKind.DATA, "sky (numbers)")])])
async def test_of_vectors_of_many_lengths_a_change_of_these_drifts_and_nothing_is_missing(
    world: Any, short: float, told: list[tuple[DriftKind, str]]
) -> None:
    sky = Sky(world)
    await sky.begin()
    await sky.windows(4, width=lambda: 200 if RNG.random() < 0.5 else 300)
    await sky.windows(1, width=lambda: 200 if RNG.random() < short else 300)

    assert drifts(world) == told


async def test_one_part_of_an_answer_drifts(world: Any) -> None:
    sky = Sky(world)
    await sky.begin(metric="mae")
    await sky.windows(5, answers=lambda: RNG.normal(size=3))
    quiet = drifts(world)

    await sky.windows(1, answers=lambda: RNG.normal(size=3) + np.array([0.0, 0.0, 1.5]))

    assert quiet == []
    assert drifts(world) == [(DriftKind.PREDICTION, "answer 2")]


async def test_confidence_drifts_though_the_classes_said_do_not(world: Any) -> None:
    sky = Sky(world)
    await sky.begin()
    await sky.windows(5)

    await sky.windows(1, answers=lambda: RNG.dirichlet([20.0, 20.0]))

    assert [kind for kind, _ in drifts(world)] == [DriftKind.PREDICTION]


@pytest.mark.parametrize("metric", ["log_loss", "accuracy"])
async def test_labels_measure_answers_of_several_numbers_after_a_restart(
    kept_world: Any, tmp_path: Path, metric: str
) -> None:
    sky = Sky(kept_world)
    await sky.begin(metric=metric)
    ids = await sky.windows(1, answers=lambda: np.array([0.25, 0.75]))
    await kept_world.ledger.close()
    after = type(kept_world)(SqliteLedger(tmp_path / "ledger.db"))
    await Sky(after).begin(metric=metric)

    labels = tuple(Label(request_id=one, label=i % 5 != 0, at=NOON) for i, one in enumerate(ids))
    await after.tell(LabelRecorded(project=after.project, model=after.model, labels=labels))

    (told,) = after.heard(PerformanceMeasured)
    expected = {"accuracy": 0.8, "log_loss": -0.8 * np.log(0.75) - 0.2 * np.log(0.25)}
    assert told.value == pytest.approx(expected[metric])
    await after.ledger.close()


async def test_answers_that_do_not_give_the_metric_are_told(world: Any) -> None:
    sky = Sky(world)
    await sky.begin(metric="log_loss")
    ids = await sky.windows(1, answers=lambda: RNG.normal(size=3))

    labels = tuple(Label(request_id=one, label=i % 3, at=NOON) for i, one in enumerate(ids))
    await world.tell(LabelRecorded(project=world.project, model=world.model, labels=labels))

    (told,) = world.heard(PerformanceUnmeasured)
    assert told.reason.startswith("log_loss does not follow from the answers and truths of its 250")
    assert world.heard(PerformanceMeasured) == []
