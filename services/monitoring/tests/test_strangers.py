# SPDX-License-Identifier: Apache-2.0
"""Whatever anybody sends, what is watched stays watched: no number, name or id stops a model for good."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops.contracts.gateway import Label, LabelRecorded
from mlops.contracts.message import MAX_BYTES
from mlops.contracts.monitor_settings import MonitorSettings
from mlops.contracts.monitoring import EvaluateWindow, PerformanceMeasured
from mlops.contracts.settings import EvaluateSettings, Goal, ProjectSettings
from mlops.contracts.workspaces import ProjectRegistered
from mlops.monitoring.handlers.telling import drift_detected
from mlops.monitoring.model.alarm import Alarm, Kind
from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.drift import ColumnVerdict, WindowVerdict, judge
from mlops.monitoring.model.metrics import measure, names
from mlops.monitoring.model.reference import freeze
from mlops.monitoring.model.windows import ModelKey, Window

KEY = ModelKey("rainfall", "rain")
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
WINDOW = 250
REFERENCE = 4
HUGE = 10**400
NUMBERS: list[Value] = [HUGE, -HUGE, 1e308, -1e308, 1e200, 5e-324, 0.0, 1, True, None, "text"]


@pytest.mark.parametrize(
    "metric", names().replace("ndcg@k", "ndcg@3").replace(" and ", ", ").split(", ")
)
@given(st.lists(st.tuples(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS)), max_size=20))
def test_any_answers_and_truths_can_be_measured(
    metric: str, pairs: list[tuple[Value, Value]]
) -> None:
    found = measure(metric, pairs, [str(i % 3) for i in range(len(pairs))])

    assert found is None or (found.value < 1e300 and found.error < 1e300)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    then=st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=5),
    now=st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=5),
    mixed=st.booleans(),
)
def test_any_column_can_be_judged(then: list[Value], now: list[Value], *, mixed: bool) -> None:
    plain: list[Value] = [float(i) * 37 % 101 for i in range(1000)]
    before = [*plain[len(then) * 9 :], *then * 9] if mixed else (then * 1000)[:1000]
    reference = freeze({"x": before, "y": plain}, before, 500)

    verdict = judge(reference, {"x": (now * 500)[:500], "y": plain[:500]}, (now * 500)[:500])

    assert verdict.unjudged is None
    for column in verdict.columns:
        assert 0 <= column.score < 1e300
        assert 0 <= column.p < 1e300


async def test_a_number_beyond_all_measure_stops_no_window(world: Any) -> None:
    await world.register()
    await world.deploy()
    for _ in range(REFERENCE):
        await world.window()
    odd = [world._prediction(0.0, 0.0, 0.5) for _ in range(3)]
    odd = [one.model_copy(update={"features": {"wind": HUGE}, "prediction": HUGE}) for one in odd]

    await world.tell(world.logged(odd))
    ids = await world.predict(WINDOW)
    await world.label(ids)
    await world.tell(
        LabelRecorded(
            project="rainfall",
            model="rain",
            labels=tuple(Label(request_id=o.request_id, label=-HUGE, at=o.at) for o in odd),
        )
    )

    assert world.bus.dead == []
    assert world.heard(PerformanceMeasured)[-1].window.index == REFERENCE


async def test_an_error_too_large_to_square_is_measured(world: Any) -> None:
    await world.tell(
        ProjectRegistered(
            project="rainfall",
            revision=1,
            settings=ProjectSettings(
                name="rainfall",
                monitor=MonitorSettings(window=50),
                evaluate=EvaluateSettings(metric="mae", goal=Goal.MIN),
            ),
        )
    )
    batch = [world._prediction(0.0, 0.0, 0.5) for _ in range(50)]
    await world.tell(world.logged(batch))

    await world.tell(
        LabelRecorded(
            project="rainfall",
            model="rain",
            labels=tuple(
                Label(request_id=o.request_id, label=i % 2 * 1e300, at=o.at)
                for i, o in enumerate(batch)
            ),
        )
    )

    (told,) = world.heard(PerformanceMeasured)
    assert told.value > 1e40
    assert world.bus.dead == []


def _moved(name: str) -> ColumnVerdict:
    return ColumnVerdict(
        name, "w1", 0.5, 0.1, 0.0, missing_ratio=0.0, moved=True, missing_moved=False, big=True
    )


@pytest.mark.parametrize("character", ["x", "\U0001f327", "\x01"])
def test_columns_with_endless_names_can_be_told(character: str) -> None:
    names = [f"{i}{character * 5000}" for i in range(90)]
    window = Window(9, 1, 500, rows=500, first_at=NOON, last_at=NOON, index=9)
    moved = WindowVerdict(
        columns=tuple(_moved(name) for name in names), unexpected=tuple(reversed(names))
    )
    turned = WindowVerdict(pairs=((names[0], names[1]), (names[2], names[3])))

    for verdict in (moved, turned):
        told = drift_detected(KEY, window, Kind.DATA, Alarm(on=True), verdict, "file:///r.html")

        assert len(told.encode()) < MAX_BYTES - 4096
    assert len(drift_detected(KEY, window, Kind.DATA, Alarm(), moved, "").columns) >= 20


@pytest.mark.parametrize("odd", ["a\0b", "", "\U0001f327", "a'b", '"', "../.."])
async def test_any_request_id_is_known_again(kept_world: Any, odd: str) -> None:
    world = kept_world
    await world.deploy()
    row = world._prediction(0.0, 0.0, 0.5).model_copy(update={"request_id": odd})
    label = LabelRecorded(
        project="rainfall", model="rain", labels=(Label(request_id=odd, label=1, at=NOON),)
    )

    await world.tell(label)
    await world.tell(world.logged([row]))
    await world.tell(world.logged([row]))

    answer = await world.bus.ask("monitoring", "models", {})
    assert answer["models"][0]["open_window"] == {"rows": 1, "size": 500, "labelled": 1}
    assert world.bus.dead == []


async def test_a_version_no_registry_has_is_refused_by_name(kept_world: Any) -> None:
    world = kept_world
    row = world._prediction(0.0, 0.0, 0.5)

    await world.tell(world.logged([row], version=2**70))
    await world.deploy(version=2**70)

    reasons = [letter.reason for letter in world.bus.dead]
    assert len(reasons) == 2
    assert all("is no version of a registry" in reason for reason in reasons)
    world.expected = reasons
    world.expected = reasons
    assert (await world.bus.ask("monitoring", "models", {}))["models"] == []


async def test_the_id_of_a_command_names_no_file(world: Any) -> None:
    await world.register()
    await world.deploy()
    for _ in range(REFERENCE):
        await world.window()
    await world.predict(10)

    for name in ("/../../a", "/../../b", "evaluate-1", "evaluate-2"):
        await world.tell(EvaluateWindow(id=name, project="rainfall", model="rain"))

    jobs = world.ledger.page.jobs.kept.values()
    assert len({job.name for job in jobs}) == 4
    assert all(re.fullmatch(r"v1-evaluation-[0-9a-f]+", job.name) for job in jobs)
