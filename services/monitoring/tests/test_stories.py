# SPDX-License-Identifier: Apache-2.0
"""Stories of one model: windows fill, labels arrive as they like, and each thing is told once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.monitoring import (
    DriftCleared,
    DriftDetected,
    DriftKind,
    PerformanceDegraded,
    PerformanceMeasured,
    PerformanceRecovered,
    Severity,
)
from mlops.contracts.telemetry_agent import ThermalRecovered, ThermalThrottled
from mlops.monitoring.adapters.sqlite import SqliteLedger
from mlops.monitoring.model.windows import VERSIONS_KEPT, ModelKey

WINDOW = 250
REFERENCE = 4  # windows of 250 rows that make a reference


async def collect_reference(world: Any, version: int = 1) -> None:
    for _ in range(REFERENCE):
        await world.window(version=version)


async def test_a_labelled_window_is_measured(world: Any) -> None:
    await world.register()
    await world.deploy(accuracy=0.9)

    await world.window(right=0.92)

    (told,) = world.heard(PerformanceMeasured)
    assert (told.metric, told.expected, told.degraded) == ("accuracy", 0.9, False)
    assert told.value == 0.92
    assert (told.window.index, told.window.rows, told.window.labelled) == (0, WINDOW, WINDOW)
    assert world.bus.dead == []


async def test_an_unlabelled_window_is_not_measured(world: Any) -> None:
    await world.register()
    await world.deploy()

    await world.predict(3 * WINDOW)

    assert world.heard(PerformanceMeasured) == []


async def test_late_labels_are_waited_for_but_not_for_ever(world: Any) -> None:
    await world.register()
    await world.deploy()
    ids = await world.predict(WINDOW)
    await world.label(ids[:210])

    await world.predict(WINDOW)
    early = list(world.heard(PerformanceMeasured))
    await world.predict(WINDOW)

    (told,) = world.heard(PerformanceMeasured)
    assert early == []
    assert told.window.labelled == 210


async def test_labels_may_come_before_their_predictions(world: Any) -> None:
    await world.register()
    await world.deploy()
    batch = [world._prediction(0.0, 0.0, 0.5) for _ in range(WINDOW)]
    await world.label([one.request_id for one in batch])

    await world.tell(world.logged(batch))

    assert [told.value for told in world.heard(PerformanceMeasured)] == [1.0]


async def test_a_retried_request_counts_once(world: Any) -> None:
    await world.register()
    await world.deploy()
    batch = [world._prediction(0.0, 0.0, 0.5) for _ in range(100)]
    await world.tell(world.logged(batch))

    await world.tell(world.logged(batch))
    await world.tell(world.logged([*batch[:1], *batch[:1]]))

    answer = await world.bus.ask("monitoring", "models", {})
    assert answer["models"][0]["open_window"]["rows"] == 100


async def test_drifted_inputs_are_a_warning_and_told_once(world: Any) -> None:
    await world.register()
    await world.deploy()
    await collect_reference(world)

    for _ in range(3):
        await world.window(shift=0.8)

    (told,) = world.heard(DriftDetected)
    assert (told.kind, told.severity) == (DriftKind.DATA, Severity.WARNING)
    assert [column.name for column in told.columns if column.drifted] == ["wind"]
    assert told.window.index == REFERENCE
    assert told.report_uri == "memory:///rainfall/rain/v1-w00004-drift.html"
    assert world.heard(PerformanceDegraded) == []


async def test_columns_that_the_reference_lacks_are_named_with_the_window_and_the_drift(
    world: Any,
) -> None:
    await world.register()
    await world.deploy()
    await collect_reference(world)

    for _ in range(2):
        batch = [world._prediction(0.8, 0.0, 0.5) for _ in range(WINDOW)]
        batch[7] = batch[7].model_copy(update={"features": {**batch[7].features, "tide": 1.5}})
        await world.tell(world.logged(batch))

    (told,) = world.heard(DriftDetected)
    (model,) = (await world.bus.ask("monitoring", "models", {}))["models"]
    assert told.unexpected_columns == ("tide",)
    assert told.suggestion.endswith("The reference does not have tide.")
    assert [column.name for column in told.columns if column.drifted] == ["wind"]
    assert model["windows"][-1]["unexpected_columns"] == ["tide"]
    assert model["windows"][0]["unexpected_columns"] == []


async def test_drift_is_cleared_after_two_quiet_windows(world: Any) -> None:
    await world.register()
    await world.deploy()
    await collect_reference(world)
    await world.window(shift=0.8)

    for _ in range(3):
        await world.window()

    assert [(told.kind, told.window.index) for told in world.heard(DriftCleared)] == [
        (DriftKind.DATA, REFERENCE + 2)
    ]


async def test_missing_values_are_told_apart(world: Any) -> None:
    await world.register()
    await world.deploy()
    await collect_reference(world)

    await world.predict(2 * WINDOW, missing=0.1)
    await world.predict(WINDOW, missing=0.5)

    told = world.heard(DriftDetected)
    assert [(one.kind, one.severity) for one in told] == [
        (DriftKind.MISSING, Severity.WARNING),
        (DriftKind.MISSING, Severity.CRITICAL),
    ]


async def test_answers_that_drift_are_critical_when_it_lasts(world: Any) -> None:
    await world.register()
    await world.deploy()
    await collect_reference(world)

    await world.predict(2 * WINDOW, ones=0.85)

    told = [one for one in world.heard(DriftDetected) if one.kind is DriftKind.PREDICTION]
    assert [one.severity for one in told] == [Severity.WARNING, Severity.CRITICAL]
    assert [column.name for column in told[0].columns] == ["prediction"]


async def test_no_window_straddles_versions(world: Any) -> None:
    await world.register()
    await world.deploy(1)
    ids = await world.predict(200, version=1)
    canary = await world.predict(100, version=2)

    await world.deploy(2)
    rest = await world.predict(150, version=2)
    await world.label([*ids, *canary, *rest])

    assert [(told.version, told.window.rows) for told in world.heard(PerformanceMeasured)] == [
        (2, WINDOW)
    ]


async def test_windows_that_wait_for_labels_survive_a_deployment(world: Any) -> None:
    await world.register()
    await world.deploy(1, accuracy=0.9)
    ids = await world.predict(WINDOW, version=1)
    await world.deploy(2, accuracy=0.9)

    await world.label(ids, right=0.5)

    assert [(told.version, told.degraded) for told in world.heard(PerformanceMeasured)] == [
        (1, True)
    ]
    assert world.heard(PerformanceDegraded) == []


async def test_a_new_version_takes_a_new_reference(world: Any) -> None:
    await world.register()
    await world.deploy(1)
    await collect_reference(world)
    await world.window(shift=0.8)
    await world.deploy(2)

    for _ in range(REFERENCE + 2):
        await world.window(version=2, shift=0.8)

    assert [told.version for told in world.heard(DriftDetected)] == [1]
    assert [told.kind for told in world.heard(DriftCleared)] == [DriftKind.DATA]
    answer = await world.bus.ask("monitoring", "models", {"project": "rainfall"})
    assert answer["models"][0]["reference"]["origin"] == "windows 5 to 8"


async def test_predictions_before_everything_else_are_not_lost(world: Any) -> None:
    ids = await world.predict(500)
    await world.label(ids, right=0.5)
    before = list(world.heard(PerformanceMeasured))

    await world.register(accuracy={"drop": 0.05})
    await world.deploy(accuracy=0.9)
    await world.window(right=0.5)

    assert [(told.expected, told.degraded) for told in before] == [(None, False)]
    assert [told.window.index for told in world.heard(PerformanceDegraded)] == [1]


async def test_news_of_a_deployment_that_come_late_still_judge_its_windows(world: Any) -> None:
    await world.register()
    await world.deploy(1)
    for _ in range(REFERENCE):
        await world.window(version=2)
    await world.predict(WINDOW, version=2, shift=0.8)

    await world.deploy(2)

    assert [told.version for told in world.heard(DriftDetected)] == [2]


async def test_suspects_are_named(world: Any) -> None:
    await world.register()
    await world.deploy(accuracy=0.9)
    await collect_reference(world)
    since = world_time(world)
    await world.tell(
        ThermalThrottled(node="mac", episode_id="e", level=3, reason="hot", since=since)
    )

    await world.window(right=0.5, shift=0.8)

    (told,) = world.heard(PerformanceDegraded)
    assert [one.cause for one in told.suspects] == ["data", "hardware"]
    assert "wind" in told.suspects[0].evidence
    assert told.suggestion.startswith("Retrain")


async def test_heat_that_was_over_is_no_suspect(world: Any) -> None:
    await world.register()
    await world.deploy(accuracy=0.9)
    since = world_time(world) - timedelta(hours=2)
    hot = ThermalThrottled(node="mac", episode_id="e", level=2, reason="hot", since=since)
    cool = ThermalRecovered(
        node="mac",
        episode_id="e",
        level=0,
        peak_level=2,
        duration_s=60,
        since=since,
        time=since + timedelta(minutes=1),
    )
    await world.tell(hot)
    await world.tell(cool)

    await world.window(right=0.5)

    (told,) = world.heard(PerformanceDegraded)
    assert [one.cause for one in told.suspects] == ["version"]


def world_time(world: Any) -> Any:
    return world._prediction(0.0, 0.0, 0.5).at


async def test_the_reference_of_a_version_long_gone_is_forgotten(world: Any) -> None:
    rain = ModelKey("rainfall", "rain")
    await world.register()
    await world.deploy(1)
    await collect_reference(world)
    for version in range(2, VERSIONS_KEPT + 1):
        await world.deploy(version)
    kept = world.ledger.page.baselines.get(rain, 1)

    await world.deploy(VERSIONS_KEPT + 1)

    assert kept is not None
    assert world.ledger.page.baselines.get(rain, 1) is None


async def test_small_windows_cannot_be_judged_and_it_is_said(world: Any) -> None:
    await world.register(window=100)
    await world.deploy()
    await world.predict(1000)

    await world.predict(200, shift=3.0)

    answer = await world.bus.ask("monitoring", "models", {})
    last = answer["models"][0]["windows"][-1]
    assert "100 rows, 200 are needed" in last["cannot_judge"]
    assert last["drift_share"] is None
    assert world.heard(DriftDetected) == []


async def test_old_rows_are_forgotten_and_unlabelled_windows_given_up(world: Any) -> None:
    await world.register()
    await world.deploy()
    ids = await world.predict(WINDOW)

    await world.predict(9 * WINDOW)
    await world.label(ids)

    answer = await world.bus.ask("monitoring", "models", {})
    phases = [window["phase"] for window in answer["models"][0]["windows"]]
    assert phases == ["expired"] * 2 + ["full"] * 8
    assert world.heard(PerformanceMeasured) == []


async def test_everything_goes_on_after_a_restart(kept_world: Any, tmp_path: Path) -> None:
    world = kept_world
    await world.register()
    await world.deploy(accuracy=0.9)
    await collect_reference(world)
    await world.window(right=0.5, shift=0.8)
    half = await world.predict(100)
    await world.ledger.close()

    bus = MemoryBus(_buckets=world.bus._buckets)
    again = type(world)(SqliteLedger(tmp_path / "ledger.db"), bus=bus, sent=world.sent)
    rest = await again.predict(150)
    await again.label([*half, *rest])
    await again.window()

    assert [told.window.index for told in again.heard(PerformanceRecovered)] == [REFERENCE + 1]
    assert [told.kind for told in again.heard(DriftCleared)] == [DriftKind.DATA]
    await again.ledger.close()


async def test_the_state_of_models_can_be_asked(world: Any) -> None:
    await world.register()
    await world.deploy(accuracy=0.9)
    await collect_reference(world)
    await world.window(right=0.5, shift=0.8)
    await world.predict(30)

    answer = await world.bus.ask("monitoring", "models", {"project": "rainfall", "model": "rain"})

    (found,) = answer["models"]
    assert (found["version"], found["expected"], found["degraded"]) == (1, 1.0, True)
    assert found["open_window"] == {"rows": 30, "size": WINDOW, "labelled": 0}
    assert found["windows"][-1]["drift_columns"] == ["wind"]
    assert found["windows"][-1]["value"] == 0.5
    assert found["drift"]["data"] == {"on": True, "columns": ["wind"], "critical": False}
    assert found["reference"]["rows"] == 1000
    assert (await world.bus.ask("monitoring", "models", {"project": "other"}))["models"] == []


async def test_the_rows_of_a_reference_are_read_once_for_all_windows_judged_by_it(
    kept_world: Any,
) -> None:
    await kept_world.register()
    await kept_world.deploy()
    await collect_reference(kept_world)
    asked: list[str] = []
    kept_world.ledger._db.set_trace_callback(asked.append)

    for _ in range(3):
        await kept_world.window(right=0.5)

    assert len([one for one in asked if "FROM baselines" in one]) == 1
    assert len(kept_world.heard(PerformanceDegraded)) > 0
