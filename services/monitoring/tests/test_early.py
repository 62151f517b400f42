# SPDX-License-Identifier: Apache-2.0
"""Early warnings come within rows, once, without any window; a stable series gives none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from mlops.contracts.gateway import Label, LabelRecorded
from mlops.contracts.monitoring import ChangeSuspected, DriftDetected, PerformanceDegraded, Series
from mlops.monitoring.model.adwin import Adwin, Change
from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.early import answers, errors, truths
from mlops.monitoring.model.metrics import Answered, answered_with

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def step(rng: np.random.Generator) -> Sequence[float]:
    return [*rng.normal(0, 1, 3000), *rng.normal(0.5, 1, 3000)]


def wrong_answers(rng: np.random.Generator) -> Sequence[float]:
    shares = np.repeat([0.2, 0.2, 0.45, 0.2], 2000)
    return [float(v) for v in rng.random(8000) < shares]


def still(rng: np.random.Generator) -> Sequence[float]:
    return list(rng.normal(0, 1, 20000))


def ramp(rng: np.random.Generator) -> Sequence[float]:
    return list(rng.normal(0, 1, 9000) + np.linspace(0, 3, 9000))


def heavy_tails(rng: np.random.Generator) -> Sequence[float]:
    return list(rng.standard_t(2, 20000))


def changes(numbers: Sequence[float], batch: int = 1) -> list[tuple[int, Change]]:
    adwin, found = Adwin(), []
    for start in range(0, len(numbers), batch):
        adwin, change = adwin.after([float(v) for v in numbers[start : start + batch]])
        if change is not None:
            found.append((start, change))
    return found


@pytest.mark.parametrize(
    ("draw", "seed", "rows"),
    [  # what river 0.26.1 `drift.ADWIN()` detects on the same numbers
        (step, 7, [3103]),
        (wrong_answers, 8, [4127, 6175]),
        (still, 9, []),
        (ramp, 10, [991, 2015, 3263, 4735, 5919, 7007, 8191]),
        (heavy_tails, 11, [3839, 8223]),
    ],
)
def test_changes_are_found_where_river_finds_them(draw: Any, seed: int, rows: list[int]) -> None:
    assert [row for row, _ in changes(draw(np.random.default_rng(seed)))] == rows


def test_a_change_says_what_was_and_what_is() -> None:
    ((_, change),) = changes(step(np.random.default_rng(7)))

    assert change.before == pytest.approx(0.0, abs=0.1)
    assert change.after == pytest.approx(0.5, abs=0.2)
    assert 50 < change.rows < 150


def test_batches_of_any_size_end_in_the_same_state() -> None:
    numbers = [float(v) for v in step(np.random.default_rng(7))]

    one, _ = Adwin().after(numbers)
    other = Adwin()
    for start in range(0, len(numbers), 77):
        other, _ = other.after(numbers[start : start + 77])

    assert one == other


def test_what_is_remembered_stays_small() -> None:
    adwin, _ = Adwin().after([0.5] * 100_000)

    assert sum(len(row) for row in adwin.rows) < 100


@pytest.mark.parametrize("number", [0.0, 1e50, -1e50, 5e-324])
def test_a_constant_of_any_size_is_no_change(number: float) -> None:
    assert Adwin().after([number] * 500)[1] is None


def test_what_an_answer_costs_follows_from_the_metric() -> None:
    pairs: list[tuple[Value, Value]] = [(1, 1), (0.25, 1), ("a", 1)]

    assert errors("accuracy", pairs) == [0.0, 1.0, 1.0]
    assert errors("mae", pairs)[:2] == [0.0, 0.75]
    assert np.isnan(errors("rmse", pairs)[2])
    assert errors("ndcg@5", pairs) == []
    assert answered_with("val_log_loss") is Answered.NUMBER
    assert np.isnan(answers(["a", None, True])[:2]).all()
    assert truths(pairs) == [1.0, 1.0, 1.0]


def labels(world: Any, ids: Sequence[str], right: float) -> LabelRecorded:
    """Return truths of which the share *right* agrees with the answers, in no order."""
    found = tuple(
        Label(request_id=name, label=int(name[0]) ^ int(world.rng.random() >= right), at=NOON)
        for name in ids
    )
    return LabelRecorded(project=world.project, model=world.model, labels=found)


async def test_errors_that_rise_are_suspected_before_the_window_is_full(world: Any) -> None:
    await world.register(window=5000)
    await world.deploy()
    for right in (0.9, 0.9, 0.9, 0.6):
        await world.tell(labels(world, await world.predict(500), right))

    (told,) = [one for one in world.heard(ChangeSuspected) if one.series is Series.ERROR]
    assert told.before == pytest.approx(0.1, abs=0.03)
    assert told.after > 2 * told.before
    assert "concept drift" in told.suggestion
    assert world.heard(PerformanceDegraded) == world.heard(DriftDetected) == []


async def test_truths_that_arrive_before_their_predictions_count_too(world: Any) -> None:
    await world.register(window=5000)
    await world.deploy()
    for right in (0.95, 0.95, 0.3):
        batches = [[world._prediction(0.0, 0.0, 0.5) for _ in range(250)] for _ in range(2)]
        for batch in batches:
            await world.tell(labels(world, [one.request_id for one in batch], right))
            await world.tell(world.logged(batch))

    assert Series.ERROR in [one.series for one in world.heard(ChangeSuspected)]


async def test_answers_that_change_are_suspected_without_any_label(world: Any) -> None:
    await world.register(window=5000)
    await world.deploy()
    await world.predict(1500, ones=0.2)

    await world.predict(400, ones=0.6)

    (told,) = world.heard(ChangeSuspected)
    assert told.series is Series.ANSWER
    assert told.before == pytest.approx(0.2, abs=0.05)


async def test_stable_answers_and_errors_give_no_warning(world: Any) -> None:
    await world.register(window=5000)
    await world.deploy()

    for _ in range(6):
        await world.tell(labels(world, await world.predict(500), right=0.85))

    assert world.heard(ChangeSuspected) == []


async def test_a_new_version_is_watched_from_its_first_row(world: Any) -> None:
    await world.register(window=5000)
    await world.deploy(1)
    await world.predict(1000, ones=0.2)
    await world.deploy(2)

    await world.predict(400, version=2, ones=0.7)
    await world.predict(200, version=1, ones=0.9)  # of the one before; it no longer answers

    assert world.heard(ChangeSuspected) == []
