# SPDX-License-Identifier: Apache-2.0
"""The ledger of energy: everything counts once, on its day, whatever is told twice, late or never."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.contracts.energy import EnergyUse
from mlops.contracts.orchestration_bridge import (
    HardwareFact,
    HardwareFactKind,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowKind,
)
from mlops.contracts.serving import DeploymentMetered
from mlops.contracts.tracking import ModelRegistered, RunCompleted
from mlops.gateway.adapters.memory import MemoryOfBus
from mlops.gateway.model.ledger import MOST_DAYS, MOST_UNITS, Amount, Ledger, Unit, spread

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def use(joules: float, *, measured: bool = True) -> EnergyUse:
    return EnergyUse(joules=joules, measured=measured, how="package counter")


def run(
    name: str, joules: float | None, key: str = "", hours: float = 0, **more: Any
) -> RunCompleted:
    ended = NOON + timedelta(hours=hours)
    return RunCompleted(
        project=more.pop("project", "rain"),
        run_id=name,
        experiment_id="1",
        run_name=name,
        started_at=ended - timedelta(hours=more.pop("lasted_h", 1)),
        ended_at=ended,
        tags={"mlops.workflow_key": key} if key else {},
        energy=None if joules is None else use(joules),
        **more,
    )


def workflow(
    key: str, joules: float | None, hours: float = 0, *, measured: bool = True
) -> WorkflowCompleted:
    return WorkflowCompleted(
        project="rain",
        workflow_key=key,
        kind=WorkflowKind.TRAIN,
        dag_id="d",
        dag_run_id=key,
        duration_s=60,
        energy=None if joules is None else use(joules, measured=measured),
        time=NOON + timedelta(hours=hours),
    )


def metered(predictions: int, joules: float | None, minutes: int = 0) -> DeploymentMetered:
    until = NOON + timedelta(minutes=minutes)
    return DeploymentMetered(
        project="rain",
        deployment_id="d1",
        model="rain",
        version=2,
        since=until - timedelta(minutes=1),
        until=until,
        predictions=predictions,
        energy=None if joules is None else use(joules),
    )


async def asked(house: Any, **params: str) -> dict[str, Any]:
    answer = await house.client.get("/api/v1/energy", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def memory_of(*messages: Any) -> MemoryOfBus:
    memory = MemoryOfBus()
    for message in messages:
        memory.take(message.envelope())
    return memory


def day(memory: MemoryOfBus, project: str = "rain", at: str = "2026-01-01") -> Amount:
    return memory.world.energy.days[project, at].amount


async def test_days_add_up_runs_workflows_and_predictions(house: Any) -> None:
    await house.say(run("a", 100), workflow("w", 50, measured=False), metered(200, 10))
    await house.say(run("b", 7, project="snow"))

    found = await asked(house, project="rain")

    assert found["rows"] == [
        {
            "project": "rain",
            "day": "2026-01-01",
            "joules": 160,
            "wh": pytest.approx(160 / 3600, abs=1e-6),
            "measured_j": 110,
            "serving_j": 10,
            "predictions": 200,
        }
    ]
    assert (found["joules"], found["since"], found["by"]) == (160, "2026-01-01", "day")
    assert (await asked(house))["joules"] == 167


async def test_where_no_machine_can_tell_nobody_knows_which_is_not_nothing(house: Any) -> None:
    await house.say(metered(200, None))

    found = await asked(house, project="rain")
    (version,) = (await asked(house, by="version"))["rows"]

    (day,) = found["rows"]
    assert (day["joules"], day["serving_j"], day["predictions"]) == (None, None, 200)
    assert found["joules"] is None
    assert (version["joules"], version["serving_j"], version["predictions"]) == (None, None, 200)

    await house.say(metered(100, 5, 1), metered(300, None, 2))

    (day,) = (await asked(house, project="rain"))["rows"]
    assert (day["joules"], day["serving_j"], day["predictions"]) == (5, 5, 600)


async def test_a_run_in_a_workflow_counts_once(house: Any) -> None:
    await house.say(run("a", 40, "w"))
    assert (await asked(house))["joules"] == 40

    await house.say(workflow("w", 100))

    assert (await asked(house))["joules"] == 100
    (shown,) = (await asked(house, by="run"))["rows"]
    assert (shown["run"], shown["workflow"], shown["joules"]) == ("a", "w", 40)
    (one,) = (await asked(house, by="workflow"))["rows"]
    assert (one["workflow"], one["title"], one["state"], one["how"]) == (
        "w",
        "train",
        "completed",
        "package counter",
    )


async def test_a_workflow_of_which_nobody_knows_counts_with_its_runs(house: Any) -> None:
    await house.say(workflow("w", None), run("a", 40, "w"), run("b", 2, "w"))

    assert (await asked(house))["joules"] == 42


async def test_a_version_has_its_training_and_its_answers(house: Any) -> None:
    registered = ModelRegistered(
        project="rain", name="rain", version=2, run_id="a", source_uri="runs:/a/model"
    )
    await house.say(run("a", 40, "w"), workflow("w", 100), registered)
    await house.say(metered(500, 10), metered(1500, 30, 1), metered(100, None, 2), metered(0, 5, 3))

    (found,) = (await asked(house, by="version", project="rain"))["rows"]

    assert (found["model"], found["version"], found["run"]) == ("rain", 2, "a")
    assert (found["training_j"], found["serving_j"], found["predictions"]) == (100, 45, 2100)
    assert found["joules"] == 145
    # 40 J for the 2000 predictions whose energy is known.
    assert found["joules_per_1000"] == 20


async def test_a_view_that_is_none_is_refused_with_the_fix(house: Any) -> None:
    answer = await house.client.get("/api/v1/energy", params={"by": "hour"})

    assert answer.status_code == 422
    assert answer.json()["error"]["fix"] == "by is one of: day, workflow, run, version"


async def test_metered_windows_change_no_rollout_and_crowd_out_no_story(house: Any) -> None:
    await house.say(metered(5, 1))

    assert (await asked(house))["joules"] == 1
    overview = (await house.client.get("/api/v1/overview")).json()
    assert overview["deployments"] == []
    events = (await house.client.get("/api/v1/events", params={"type": "run.*"})).json()
    assert events == []


async def test_a_failure_shows_its_hardware(house: Any) -> None:
    await house.say(
        WorkflowFailed(
            project="rain",
            workflow_key="w",
            kind=WorkflowKind.TRAIN,
            diagnosis="step 'train' failed with exit status 137",
            energy=use(7),
            hardware=(
                HardwareFact(kind=HardwareFactKind.OUT_OF_MEMORY, text="memory was <short>"),
            ),
            suggestion="raise [train].resources.memory_gb",
        )
    )

    found = (await house.client.get("/api/v1/workflows/w")).json()
    page = (await house.client.get("/")).text
    told = (await house.client.get("/api/v1/explain/w")).json()["tree"]["summary"]

    assert found["hardware"] == ["memory was <short>"]
    assert found["suggestion"] == "raise [train].resources.memory_gb"
    assert found["energy_j"] == 7
    assert "memory was &lt;short&gt;" in page
    assert "raise [train].resources.memory_gb" in page
    assert told.endswith("failed: memory was <short>; try: raise [train].resources.memory_gb")


def test_energy_over_midnight_is_parted() -> None:
    memory = memory_of(run("a", 400, hours=13, lasted_h=4))

    assert day(memory).joules == pytest.approx(300)
    assert day(memory, at="2026-01-02").joules == pytest.approx(100)


def test_an_end_that_replaces_another_is_not_added() -> None:
    memory = memory_of(run("a", 100), run("a", 30, hours=2, again=True))

    assert day(memory).joules == pytest.approx(30)


@given(st.permutations(range(7)), st.lists(st.integers(0, 6), max_size=6))
def test_the_order_and_repeats_change_nothing(order: list[int], again: list[int]) -> None:
    messages = [
        run("a", 40, "w"),
        run("b", 5, "w"),
        workflow("w", 100),
        run("c", 9, "v"),
        workflow("v", None),
        run("d", 11, hours=20, lasted_h=30),
        metered(10, 3),
    ]

    memory = memory_of(*[messages[at] for at in (*order, *again)])

    whole = sum(one.amount.joules for one in memory.world.energy.days.values())
    assert whole == pytest.approx(100 + 9 + 11 + 3)


def test_the_book_stays_small_and_keeps_the_newest() -> None:
    ledger = Ledger()
    for number in range(MOST_UNITS + 50):
        at = (NOON + timedelta(days=number)).isoformat()
        ledger.put(Unit("run", f"r{number}", "rain", since=at, until=at, told=Amount(1, 1)))
        ledger.put(Unit("run", f"s{number}", "snow", since=at, until=at, told=Amount(1, 1)))

    assert len(ledger.units) == MOST_UNITS
    assert len(ledger.days) <= MOST_DAYS
    assert ("rain", (NOON + timedelta(days=MOST_UNITS + 49)).date().isoformat()) in ledger.days


@given(after_s=st.integers(0, 10**8), lasts=st.timedeltas(timedelta(0), timedelta(days=500)))
def test_days_are_parts_of_one_whole(after_s: int, lasts: timedelta) -> None:
    begin = NOON + timedelta(seconds=after_s)

    parts = list(spread(begin.isoformat(), (begin + lasts).isoformat()))

    assert sum(part for _, part in parts) == pytest.approx(1)
    assert [name for name, _ in parts] == sorted({name for name, _ in parts})
    assert len(parts) <= 402


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"run_id": 3, "energy": {"joules": "much"}},
        {"run_id": "a", "energy": {"joules": -5}},
        {"run_id": "a", "energy": {"joules": 5}, "started_at": "soon", "ended_at": "99999"},
        {"run_id": "a", "energy": {"joules": 5}, "ended_at": "2026-01-01T00:00:00"},
    ],
)
def test_what_strangers_say_of_energy_breaks_nothing(data: Mapping[str, Any]) -> None:
    memory = MemoryOfBus()
    for kind in ("run.completed", "workflow.failed", "deployment.metered"):
        memory.take({"id": kind, "type": kind, "time": "never", "project": "p", "data": data})

    assert memory.world.energy.days == {}
