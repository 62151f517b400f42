# SPDX-License-Identifier: Apache-2.0
"""Labels come late, twice, for nobody or never; a horizon says how long they are waited for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlops.contracts.gateway import Label, LabelRecorded
from mlops.contracts.monitoring import (
    DriftCleared,
    DriftDetected,
    DriftKind,
    PerformanceDegraded,
    PerformanceMeasured,
    PerformanceUnmeasured,
    ReferenceChosen,
    SetReference,
    Severity,
)
from mlops.monitoring.adapters.sqlite import SqliteLedger
from mlops.monitoring.model.windows import ModelKey, Phase

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
RAIN = ModelKey("rainfall", "rain")
WINDOW = 250
REFERENCE = 4  # windows of 250 rows that make a reference
HORIZON = {"label_horizon": "1h"}


async def begun(world: Any) -> None:
    await world.register(accuracy=HORIZON)
    await world.deploy(accuracy=0.9)


async def test_when_the_horizon_is_over_a_window_is_measured_with_what_it_has(world: Any) -> None:
    await begun(world)
    ids = await world.predict(WINDOW)
    await world.label(ids[:60], right=0.5)

    world.elapsed_s = 3599
    await world.predict(1)
    early = list(world.heard(PerformanceMeasured))
    world.elapsed_s = 3600
    await world.predict(1)

    (told,) = world.heard(PerformanceMeasured)
    assert early == []
    assert (told.window.rows, told.window.labelled, told.value) == (WINDOW, 60, 0.5)
    assert told.standard_error is not None
    assert 0.06 < told.standard_error < 0.07  # sqrt(.25 / 60)
    assert world.heard(PerformanceDegraded) != []


async def test_too_few_labels_say_nothing_and_that_is_told(world: Any) -> None:
    await begun(world)
    ids = await world.predict(WINDOW)
    await world.label(ids[:49], right=0.0)

    world.elapsed_s = 3600
    await world.predict(1)

    (told,) = world.heard(PerformanceUnmeasured)
    assert told.reason == "49 of 250 labels came within the horizon; 50 are needed"
    assert told.window.index == 0
    assert world.heard(PerformanceMeasured) == []
    assert world.heard(PerformanceDegraded) == []


async def test_a_window_given_up_is_told_once_and_stays_so(world: Any) -> None:
    await begun(world)
    ids = await world.predict(WINDOW)
    world.elapsed_s = 3600
    await world.predict(1)

    await world.label(ids)
    world.elapsed_s = 9999
    await world.predict(1)

    assert len(world.heard(PerformanceUnmeasured)) == 1
    assert world.heard(PerformanceMeasured) == []


async def test_labels_within_the_horizon_are_waited_for_whatever_comes_next(world: Any) -> None:
    await begun(world)
    ids = await world.predict(WINDOW)
    await world.label(ids[:210])

    await world.predict(3 * WINDOW)
    early = list(world.heard(PerformanceMeasured))
    await world.label(ids[210:])

    (told,) = world.heard(PerformanceMeasured)
    assert early == []
    assert told.window.labelled == WINDOW


async def test_a_horizon_outlasts_the_windows_that_are_kept_otherwise(world: Any) -> None:
    await begun(world)
    ids = await world.predict(WINDOW)

    await world.predict(12 * WINDOW)  # eight windows are kept here where no label is waited for
    await world.label(ids)

    (told,) = world.heard(PerformanceMeasured)
    assert (told.window.index, told.window.labelled) == (0, WINDOW)
    assert world.heard(PerformanceUnmeasured) == []


async def test_rows_that_wait_are_bounded_and_what_that_cuts_is_told(world: Any) -> None:
    world = type(world)(world.ledger, waiting_rows=2 * WINDOW)
    await begun(world)
    await world.predict(WINDOW)

    await world.predict(9 * WINDOW)
    kept = world.heard(PerformanceUnmeasured)
    await world.predict(WINDOW)

    (told,) = world.heard(PerformanceUnmeasured)
    assert kept == []
    assert told.window.index == 0
    assert "500 windows or 500 rows wait; make windows larger" in told.reason


async def test_times_that_jump_end_no_wait(world: Any) -> None:
    await begun(world)
    ids = await world.predict(WINDOW)
    await world.label(ids[:100])
    tomorrow = LabelRecorded(
        project=world.project,
        model=world.model,
        time=NOON + timedelta(days=4000),
        labels=(Label(request_id="stray", label=1, at=NOON + timedelta(days=4000)),),
    )

    await world.tell(tomorrow)

    assert world.heard(PerformanceMeasured) == world.heard(PerformanceUnmeasured) == []


async def test_a_restart_goes_on_waiting_where_it_was(kept_world: Any, tmp_path: Path) -> None:
    before = kept_world
    await begun(before)
    ids = await before.predict(WINDOW)
    before.elapsed_s = 3000
    await before.label(ids[:60])
    await before.ledger.close()

    after = type(before)(SqliteLedger(tmp_path / "ledger.db"), elapsed_s=7.0, sent=WINDOW)
    await begun(after)
    after.elapsed_s = 7.0 + 599
    await after.predict(1)
    early = after.heard(PerformanceMeasured)
    after.elapsed_s = 7.0 + 600
    await after.predict(1)

    assert early == []
    assert len(after.heard(PerformanceMeasured)) == 1
    await after.ledger.close()


async def test_rows_that_waited_go_when_the_horizon_is_taken_away(world: Any) -> None:
    await world.register(window=50, accuracy={"label_horizon": "30d"})
    await world.deploy()
    await world.predict(50 * 120)
    before = await world.ledger.look(lambda page: page.windows.latest(RAIN, 200))
    await world.register(revision=2, window=50)
    await world.predict(50)

    after = await world.ledger.look(lambda page: page.windows.latest(RAIN, 200))

    assert sum(window.stored for window in before) == 120
    assert sum(window.stored for window in after) == 20


async def test_without_a_horizon_a_window_is_given_up_with_its_rows(world: Any) -> None:
    await world.register()
    await world.deploy()
    ids = await world.predict(WINDOW)
    await world.label(ids[:100])

    await world.predict(9 * WINDOW)

    (told,) = world.heard(PerformanceUnmeasured)
    assert "100 of 250 labels came before its rows were forgotten; 200 are needed" in told.reason


async def test_who_never_sends_labels_hears_nothing_of_them(world: Any) -> None:
    await world.register()
    await world.deploy()

    await world.predict(10 * WINDOW)

    assert world.heard(PerformanceUnmeasured) == []
    answer = await world.bus.ask("monitoring", "models", {})
    assert answer["models"][0]["windows"][0]["phase"] == Phase.EXPIRED


async def test_a_changed_label_counts_once_and_the_later_known_holds(world: Any) -> None:
    await world.register()
    await world.deploy()
    ids = await world.predict(WINDOW)
    await world.label(ids[:-1])
    wrong = Label(request_id=ids[0], label=9, at=NOON + timedelta(hours=1))
    again = Label(request_id=ids[0], label=8, at=NOON - timedelta(hours=1))

    for label in (wrong, again, wrong):
        await world.tell(LabelRecorded(project=world.project, model=world.model, labels=(label,)))
    await world.label(ids[-1:])

    (told,) = world.heard(PerformanceMeasured)
    assert told.window.labelled == WINDOW
    assert told.value == 1 - 1 / WINDOW


async def test_labels_of_nobody_change_nothing(world: Any) -> None:
    await world.register()
    await world.deploy()
    ids = await world.predict(WINDOW - 1)

    await world.label([f"1-unknown-{i}" for i in range(300)], right=0.0)
    await world.label(ids)
    ids = await world.predict(1)
    await world.label(ids)

    assert [told.value for told in world.heard(PerformanceMeasured)] == [1.0]


async def learned(world: Any) -> None:
    """Let a version have its reference, of inputs and then of labels."""
    await world.register()
    await world.deploy()
    for _ in range(2 * REFERENCE):
        await world.window()


async def test_truths_that_are_distributed_otherwise_are_a_warning(world: Any) -> None:
    await learned(world)

    for _ in range(2):
        await world.label(await world.predict(WINDOW, ones=0.8))

    told = [one for one in world.heard(DriftDetected) if one.kind is DriftKind.LABEL]
    assert [(one.severity, one.columns[0].name) for one in told] == [(Severity.WARNING, "label")]
    assert told[0].columns[0].drifted
    assert world.heard(PerformanceDegraded) == []


async def test_truths_as_before_are_no_drift_and_clear_one(world: Any) -> None:
    await learned(world)
    for ones in (0.5, 0.5, 0.8, 0.5, 0.5):
        await world.label(await world.predict(WINDOW, ones=ones))

    told = [one for one in world.heard(DriftDetected) if one.kind is DriftKind.LABEL]
    cleared = [one for one in world.heard(DriftCleared) if one.kind is DriftKind.LABEL]
    assert [one.window.index for one in told] == [2 * REFERENCE + 2]
    assert [one.window.index for one in cleared] == [2 * REFERENCE + 4]


async def test_a_table_with_the_truth_is_the_reference_of_labels(
    world: Any, tmp_path: Path
) -> None:
    lines = [f"{i % 7},{i * 37 % 11},blue,{i % 2},{i % 2}" for i in range(1000)]
    (tmp_path / "train.csv").write_text("\n".join(["wind,heat,sky,answer,rain", *lines]))
    await world.register(path=tmp_path)
    await world.deploy()
    await world.predict(1)
    await world.tell(
        SetReference(
            project=world.project,
            model=world.model,
            uri="train.csv",
            prediction="answer",
            target="rain",
        )
    )
    assert world.heard(ReferenceChosen) != []

    await world.label(await world.predict(WINDOW, ones=0.9))
    await world.label(await world.predict(WINDOW, ones=0.9))

    assert DriftKind.LABEL in [one.kind for one in world.heard(DriftDetected)]
