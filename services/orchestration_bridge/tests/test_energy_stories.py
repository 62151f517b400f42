# SPDX-License-Identifier: Apache-2.0
"""What workflows take of machines, from the samples to the message and the quota; and what a failed one is told with."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.contracts.orchestration_bridge import (
    CancelWorkflow,
    Gate,
    HardwareFactKind,
    StartWorkflow,
)
from mlops.contracts.settings import ProjectSettings, Resources, ShareSettings, TrainSettings
from mlops.contracts.telemetry_agent import (
    Chip,
    Energy,
    HardwareSample,
    Memory,
    Power,
    TelemetrySampled,
    Thermal,
    ThermalThrottled,
)
from mlops.contracts.workspaces import ProjectRegistered
from mlops.orchestration_bridge.model.energy import Drawn, noted, remembered, within_day
from mlops.orchestration_bridge.model.nodes import Node, Reading
from mlops.orchestration_bridge.model.placement import Needs
from mlops.orchestration_bridge.model.queue import Entry, Queue, State
from mlops.orchestration_bridge.model.standing import World
from mlops.orchestration_bridge.ports import stays
from mlops.orchestration_bridge.ports.books import NodeDocument
from mlops.orchestration_bridge.ports.pipelines import Outcome

GIB = 2**30


def sampled(
    node: str, seq: int, at: datetime, package_j: float, busy: float | None = None, **more: Any
) -> TelemetrySampled:
    sample = HardwareSample(
        seq=seq,
        boot_id=more.pop("boot", "b"),
        observed_at=at,
        window_s=more.pop("window_s", 10),
        chip=Chip(vendor="apple", cores=8, mps_available=True),
        thermal=more.pop("thermal", Thermal(level=0)),
        cpu_busy_ratio=busy,
        energy=Energy(package_j=package_j),
        power=more.pop("power", Power()),
        **more,
    )
    return TelemetrySampled(node=node, sample=sample, time=at)


def project(name: str, cpu: float = 1.0, **share: Any) -> ProjectRegistered:
    train = TrainSettings(command="python train.py", resources=Resources(cpu=cpu))
    settings = ProjectSettings(name=name, train=train, share=ShareSettings(**share))
    return ProjectRegistered(project=name, settings=settings, path="/projects", revision=1)


async def started(world: Any, name: str, model: str | None = None) -> str:
    said = (await world.tell(StartWorkflow(project=name, model=model)))[0]
    await world.round()
    key: str = said.workflow_key
    return key


async def later(world: Any, seconds: float, *messages: Any) -> None:
    """Let time pass, then say something at that time; each is made of the time."""
    world.now += timedelta(seconds=seconds)
    await world.tell(*(make(world.now) for make in messages))


async def ends(world: Any, key: str, **how: Any) -> Any:
    completed = "diagnosis" not in how
    world.pipelines.outcomes[key] = Outcome(completed, world.now, **how)
    await world.round()
    return world.last("workflow.completed" if completed else "workflow.failed")


async def test_a_workflow_is_told_with_what_it_took(world: Any) -> None:
    await world.tell(project("rain"), sampled("n1", 1, world.now, 100))
    key = await started(world, "rain")
    await later(world, 10, lambda at: sampled("n1", 2, at, 200))
    await later(world, 10, lambda at: sampled("n1", 3, at, 260))

    told = (await ends(world, key)).energy

    assert (told.joules, told.machine_j, told.share_ratio) == (160, 160, 1)
    assert (told.measured, told.node, told.known_ratio) == (True, "n1", 1)
    assert told.how == "package counter; share by cores asked for"


async def test_two_share_by_cores_and_what_nobody_claims_is_nobodys(world: Any) -> None:
    await world.tell(project("rain", cpu=3), project("sun"), sampled("n1", 1, world.now, 0))
    rain, sun = await started(world, "rain"), await started(world, "sun")
    # 6 of 8 processors are busy; rain asked for 3, sun for 1.
    await later(world, 10, lambda at: sampled("n1", 2, at, 600, busy=0.75))

    found = [(await ends(world, key)).energy.joules for key in (rain, sun)]

    assert found == [pytest.approx(300), pytest.approx(100)]


async def test_only_the_time_that_it_was_there_is_charged(world: Any) -> None:
    await world.tell(project("rain"), sampled("n1", 1, world.now, 0))
    world.now += timedelta(seconds=6)
    key = await started(world, "rain")
    await later(world, 4, lambda at: sampled("n1", 2, at, 100, power=Power(package_w=10)))
    world.now += timedelta(seconds=5)

    told = (await ends(world, key)).energy

    # 4 of 10 s by the counter, and 5 s by the power that was read last.
    assert told.joules == pytest.approx(40 + 50)
    assert told.known_ratio == pytest.approx(4 / 9)


async def test_what_was_handed_out_ahead_is_not_handed_out_again(world: Any) -> None:
    await world.tell(project("rain"), project("sun"), sampled("n1", 1, world.now, 0))
    rain, sun = await started(world, "rain"), await started(world, "sun")
    power = Power(package_w=10)
    await later(world, 10, lambda at: sampled("n1", 2, at, 100, power=power))
    world.now += timedelta(seconds=5)
    first = (await ends(world, rain)).energy.joules
    await later(world, 5, lambda at: sampled("n1", 3, at, 200, power=power))

    second = (await ends(world, sun)).energy.joules

    assert (first, second) == (pytest.approx(50 + 25), pytest.approx(50 + 75))


async def test_a_lost_sample_and_one_told_late_change_nothing(world: Any) -> None:
    await world.tell(project("rain"), sampled("n1", 1, world.now, 0))
    key = await started(world, "rain")
    await later(world, 30, lambda at: sampled("n1", 4, at, 300))
    await world.tell(sampled("n1", 3, world.now - timedelta(seconds=10), 200, backfill=True))
    await later(world, 10, lambda at: sampled("n1", 5, at, 400))

    assert (await ends(world, key)).energy.joules == 400


async def test_without_an_agent_nobody_knows(world: Any) -> None:
    await world.tell(project("rain"))
    key = await started(world, "rain")

    assert (await ends(world, key)).energy is None


async def test_a_project_over_its_energy_waits_and_says_the_figures(world: Any) -> None:
    limit = {"energy_wh_per_day": 0.5, "max_parallel": 2}
    await world.tell(project("rain", **limit), sampled("n1", 1, world.now, 0))
    running = await started(world, "rain", "a")
    await later(world, 10, lambda at: sampled("n1", 2, at, 1000))
    await world.round()
    fits = (await world.tell(StartWorkflow(project="rain", model="b")))[0]
    assert fits.decision.admitted
    await world.tell(CancelWorkflow(project="rain", workflow_key=fits.workflow_key))

    # The first one goes on and takes 2000 J, more than 0.5 Wh are.
    await later(world, 10, lambda at: sampled("n1", 3, at, 2000))
    await world.round()
    held = (await world.tell(StartWorkflow(project="rain", model="c")))[0]

    assert held.decision.gate is Gate.QUOTA
    assert held.decision.reason == (
        "the project has used 0.556 of 0.5 Wh of 24 hours ([share].energy_wh_per_day)"
    )
    await ends(world, running)
    why = await world.bus.ask("orchestration_bridge", "why", {"workflow_key": held.workflow_key})
    assert "0.556 of 0.5 Wh" in why["reason"]

    world.now += timedelta(hours=25)
    await world.tell(sampled("n1", 4, world.now, 2100))
    assert "workflow.started" in await world.round()


async def test_a_cancelled_workflow_counts_for_the_quota_all_the_same(world: Any) -> None:
    limit = {"energy_wh_per_day": 0.5, "max_parallel": 2}
    await world.tell(project("rain", **limit), sampled("n1", 1, world.now, 0))
    gone = await started(world, "rain", "a")
    await later(world, 10, lambda at: sampled("n1", 2, at, 2000))
    await world.tell(CancelWorkflow(project="rain", workflow_key=gone))
    await later(world, 10, lambda at: sampled("n1", 3, at, 2100))
    await world.round()

    held = (await world.tell(StartWorkflow(project="rain", model="b")))[0]

    assert held.decision.gate is Gate.QUOTA


async def test_a_kill_on_a_machine_that_was_short_of_memory_is_told_as_that(world: Any) -> None:
    await world.tell(project("rain"), sampled("n1", 1, world.now, 0))
    key = await started(world, "rain")
    tight = Memory(
        total_bytes=16 * GIB, available_bytes=GIB // 4, swap_used_bytes=0, pressure="critical"
    )
    await later(world, 10, lambda at: sampled("n1", 2, at, 100, memory=tight))
    world.now += timedelta(seconds=3)

    failed = await ends(
        world, key, step="train", diagnosis="step 'train' failed with exit status 137"
    )

    assert [one.kind for one in failed.hardware] == [HardwareFactKind.OUT_OF_MEMORY]
    assert failed.hardware[0].node == "n1"
    assert "critical for 10 s of 10 s; 0.2 of 16.0 GiB left" in failed.hardware[0].text
    assert "[train].resources.memory_gb" in failed.suggestion
    why = await world.bus.ask("orchestration_bridge", "why", {"workflow_key": key})
    assert why["suggestion"] == failed.suggestion
    assert why["hardware"] == [failed.hardware[0].text]


async def test_each_sample_of_a_machine_at_work_counts_however_soon_it_comes(world: Any) -> None:
    await world.tell(project("rain"), sampled("n1", 1, world.now, 0))
    key = await started(world, "rain")
    short = Memory(total_bytes=GIB, available_bytes=GIB // 100, pressure="warn")
    await later(world, 2, lambda at: sampled("n1", 2, at, 20, memory=short, window_s=2))
    await later(world, 2, lambda at: sampled("n1", 3, at, 40, window_s=2))

    failed = await ends(world, key, step="train", diagnosis="step 'train' failed")

    assert "warned of for 2 s of 4 s; 0.0 of 1.0 GiB left" in failed.hardware[0].text
    assert failed.energy.joules == 40


async def test_heat_that_only_an_event_told_is_in_the_failure(world: Any) -> None:
    await world.tell(project("rain"), sampled("n1", 1, world.now, 0))
    key = await started(world, "rain")
    await later(
        world,
        5,
        lambda at: ThermalThrottled(
            node="n1", episode_id="e", level=3, reason="Trapping", since=at, time=at
        ),
    )

    failed = await ends(world, key, step="train", diagnosis="step 'train' failed")

    assert [one.text for one in failed.hardware] == ["heat rose to level 3 (critical): Trapping"]


async def test_what_ran_before_on_the_same_machine_is_not_in_it(world: Any) -> None:
    await world.tell(project("rain"), sampled("n1", 1, world.now, 0, thermal=Thermal(level=1)))
    await later(world, 60, lambda at: sampled("n1", 2, at, 100))
    key = await started(world, "rain")
    await later(world, 10, lambda at: sampled("n1", 3, at, 200))

    assert (await ends(world, key, diagnosis="step 'train' failed")).hardware == ()


async def test_a_document_of_a_machine_survives_a_restart_and_lets_go(world: Any) -> None:
    await world.tell(project("rain"), sampled("n1", 1, world.now, 0))
    key = await started(world, "rain")
    await later(world, 10, lambda at: sampled("n1", 2, at, 100))
    documents = world.bus.documents("orchestration_bridge_nodes", NodeDocument)
    kept = await documents.get("n1")

    assert NodeDocument.model_validate_json(kept.model_dump_json()) == kept
    assert kept.tab.taken[key].joules == 100
    await ends(world, key)
    await later(world, 10, lambda at: sampled("n1", 3, at, 200))
    emptied = await documents.get("n1")
    assert (dict(emptied.tab.taken), dict(emptied.strains)) == ({}, {})


STEPS = st.lists(
    st.tuples(
        st.floats(0, 5000),  # joules until the next sample
        st.sampled_from(["start", "end", "lose", "restart", "nothing"]),
        st.integers(0, 3),  # of which workflow
        st.floats(0, 1),  # when, between two samples
        st.none() | st.floats(0, 1),  # how busy
    ),
    max_size=40,
)


@given(STEPS)
def test_workflows_together_take_no_more_than_the_machine(steps: list[Any]) -> None:
    began = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    document = NodeDocument(node=Node(0, began, reading=Reading(cores=8)))
    running: dict[str, Entry] = {}
    counted = whole = told = 0.0
    seq, boot = 0, 0
    for number, (joules, what, which, part, busy) in enumerate(steps):
        at = began + timedelta(seconds=10 * number)
        moment = at + timedelta(seconds=10 * part)
        key = f"w{which}"
        if what == "start":
            running.setdefault(key, _running(key, moment, cpu=which + 1))
        world = World({"rain": Queue("rain", entries=tuple(running.values()))}, {}, 2)
        if what == "end" and key in running:
            document = stays.left(document, "n1", key, world, moment)
            del running[key]
            world = World({"rain": Queue("rain", entries=tuple(running.values()))}, {}, 2)
        if what == "restart":
            seq, boot, counted = 0, boot + 1, 0.0
        seq, counted, whole = seq + 1, counted + joules, whole + joules
        if what == "lose":
            continue
        power = Power(package_w=min(2000.0, joules / 10))
        at += timedelta(seconds=10)
        said = sampled("n1", seq, at, counted, busy, boot=str(boot), power=power).sample
        before = dict(document.tab.taken)
        document = stays.sampled(document, "n1", said, world, at)
        gone = [taken.joules for name, taken in before.items() if name not in document.tab.taken]
        told += sum(gone)

    paid = told + sum(taken.joules for taken in document.tab.taken.values())
    assert paid <= whole + document.tab.ahead_j + 1e-6 * (1 + whole)


def _running(key: str, at: datetime, cpu: float) -> Entry:
    return Entry(
        key=key,
        kind="train",
        model="m",
        why="",
        trigger_id=key,
        trigger_type="",
        queued_id=key,
        story_id=key,
        queued_at=at,
        state=State.RUNNING,
        told=State.RUNNING,
        admitted_at=at,
        started_at=at,
        node="n1",
        needs=Needs(cpu=cpu, accelerator="mlx" if cpu > 2 else "none"),
    )


def test_energy_of_a_day_is_the_part_that_lies_in_it() -> None:
    now = datetime.fromisoformat("2026-01-02T12:00:00+00:00")
    span = (now - timedelta(hours=36), now - timedelta(hours=12))

    assert within_day(240, [span], now) == pytest.approx(120)
    assert within_day(240, [span], now + timedelta(hours=13)) == 0
    assert within_day(5, [(now, now)], now) == 5


def test_what_is_no_longer_kept_counts_for_a_day_by_the_hour() -> None:
    at = datetime.fromisoformat("2026-01-02T12:34:00+00:00")
    drawn: tuple[Drawn, ...] = ()
    for hours in range(100):
        drawn = noted(drawn, 10, at + timedelta(hours=hours))
    end = at + timedelta(hours=99)

    assert len(drawn) <= 26
    assert remembered(drawn, end) == 250  # to the hour
    assert remembered(drawn, end + timedelta(hours=40)) == 0
