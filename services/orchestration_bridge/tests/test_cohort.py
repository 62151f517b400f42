# SPDX-License-Identifier: Apache-2.0
"""Machines that train together: all are fit at the same moment, or none is taken, and what is lacking is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.contracts.orchestration_bridge import Gate as ToldGate
from mlops.contracts.orchestration_bridge import StartWorkflow, WorkflowKind
from mlops.contracts.settings import FederatedSettings, ProjectSettings, Resources, TrainSettings
from mlops.contracts.workspaces import ProjectRegistered
from mlops.orchestration_bridge.model import cohort, standing
from mlops.orchestration_bridge.model.accounts import Account, Quota, over_quota, rate
from mlops.orchestration_bridge.model.cohort import Cohort
from mlops.orchestration_bridge.model.line import Line
from mlops.orchestration_bridge.model.placement import GIB, Gate, Host, Needs, Obstacle
from mlops.orchestration_bridge.model.usage import Amount, Capacity
from mlops.orchestration_bridge.model.waiting import Job
from mlops.orchestration_bridge.ports.books import QueueDocument

NOW = 1_000_000.0
TWO = Needs(memory_bytes=2 * GIB, nodes=2)


def host(name: str, slots: int = 1, level: int = 0, gib: int = 8) -> Host:
    shut = Gate.HEAT if level >= 2 else Gate.NONE
    return Host(name, slots, slots, level, shut, "hot", gib * GIB, gib * GIB)


def names(hosts: tuple[Host, ...]) -> list[str]:
    return [one.name for one in hosts]


def test_the_coolest_machines_are_taken_the_best_first() -> None:
    found = cohort.chosen([host("a", level=1), host("b"), host("c")], TWO)

    assert names(found) == ["b", "c"]


def test_too_few_fit_machines_are_none() -> None:
    assert cohort.chosen([host("a"), host("b", level=3)], TWO) == ()
    assert cohort.chosen([host("a"), host("b", gib=1)], TWO) == ()


def test_one_machine_alone_trains_all_shards_itself() -> None:
    alone = cohort.needs(replace(TWO, nodes=1), Cohort(nodes=3), [host("a", slots=2)])
    several = cohort.needs(replace(TWO, nodes=1), Cohort(nodes=3), [host("a"), host("b")])

    assert (alone.nodes, alone.memory_bytes) == (1, 4 * GIB)
    assert (several.nodes, several.memory_bytes) == (3, 2 * GIB)


@pytest.mark.parametrize(
    ("hosts", "ways", "told"),
    [
        (2, (), None),
        (3, (Obstacle("c", Gate.HEAT, "c is hot"),), None),
        (
            1,
            (),
            (
                Gate.UNKNOWN_NODE,
                "2 machines are needed at once, there are 1: `mlops node start` on another, or lower [federated].nodes",
            ),
        ),
        (
            2,
            (Obstacle("b", Gate.SLOTS, "b is busy"),),
            (Gate.SLOTS, "1 of 2 machines are free: b is busy"),
        ),
        (
            3,
            (Obstacle("b", Gate.SLOTS, "b is busy"), Obstacle("c", Gate.HEAT, "c is hot")),
            (Gate.SLOTS, "1 of 2 machines are free: b is busy"),
        ),
    ],
)
def test_what_is_lacking_is_said(
    hosts: int, ways: tuple[Obstacle, ...], told: tuple[Gate, str] | None
) -> None:
    assert cohort.short(TWO, hosts, ways) == told


def line(*hosts: Host, slots: int = 4) -> Line:
    found = Line(Capacity(runs=float(slots)), {one.name: one for one in hosts})
    for project in ("many", "small"):
        found.account(Account(project, quota=Quota(parallel=9)))
    return found


def small(key: str, queued_s: float = NOW, limit_s: float | None = None) -> Job:
    return Job(key, "small", Needs(memory_bytes=GIB), queued_s, 60.0, limit_s)


def test_a_cohort_takes_a_slot_and_memory_of_each_machine_and_gives_them_back() -> None:
    here = line(host("a"), host("b"))
    here.join(Job("many-1", "many", TWO, NOW))

    (start,) = here.decide(NOW)

    assert start.hosts == ("a", "b")
    assert [(one.slots, one.memory_free) for one in here.hosts.values()] == [(0, 6 * GIB)] * 2
    here.ended("many", "many-1", NOW + 10)
    assert [(one.slots, one.memory_free) for one in here.hosts.values()] == [(1, 8 * GIB)] * 2


def test_small_work_does_not_keep_a_cohort_out_for_ever() -> None:
    here = line(host("a"), host("b"))
    here.join(small("small-1", NOW - 50))
    here.decide(NOW)
    here.join(Job("many-1", "many", TWO, NOW - 40))
    here.join(small("small-2", NOW - 30))

    assert here.decide(NOW + 1) == []
    assert here.reservation is not None
    assert here.reservation.hosts == ("b", "a")

    here.ended("small", "small-1", NOW + 60)
    assert [start.key for start in here.decide(NOW + 60)] == ["many-1"]


def test_what_is_over_in_time_passes_a_cohort() -> None:
    here = line(host("a"), host("b"))
    here.join(small("small-1", NOW - 50))
    here.decide(NOW)
    here.join(Job("many-1", "many", TWO, NOW - 40))
    here.join(small("small-2", NOW - 30, limit_s=20.0))

    assert [start.key for start in here.decide(NOW + 1)] == ["small-2"]


def test_a_cohort_counts_as_all_it_takes() -> None:
    account = Account("many", quota=Quota(parallel=5, memory_bytes=3 * GIB))

    assert rate(TWO) == Amount(2.0, 2.0, 4.0, 0.0)
    assert over_quota(account, TWO) is not None
    assert over_quota(account, replace(TWO, nodes=1)) is None


@given(
    levels=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    wanted=st.integers(1, 6),
)
def test_never_fewer_machines_than_asked_never_one_twice_never_a_hot_one(
    levels: list[int], wanted: int
) -> None:
    hosts = [host(f"n{at}", level=level) for at, level in enumerate(levels)]

    found = cohort.chosen(hosts, replace(TWO, nodes=wanted))

    cool = sum(level < 2 for level in levels)
    assert len(found) == (wanted if cool >= wanted else 0)
    assert len(set(names(found))) == len(found)
    assert all(one.shut is Gate.NONE for one in found)


def registered(nodes: int = 2, **more: Any) -> ProjectRegistered:
    federated = FederatedSettings(command="fit", aggregate="mean", nodes=nodes, rounds=2)
    settings = ProjectSettings(
        name="rain",
        federated=federated,
        train=TrainSettings(resources=Resources(memory_gb=1)),
        **more,
    )
    return ProjectRegistered(project="rain", settings=settings, path="/projects", revision=1)


def wanted() -> StartWorkflow:
    return StartWorkflow(project="rain", kind=WorkflowKind.FEDERATED)


async def test_on_a_laptop_it_starts_on_the_only_machine(world: Any) -> None:
    await world.tell(registered(nodes=3))

    (queued,) = await world.tell(wanted())

    assert queued.kind is WorkflowKind.FEDERATED
    assert await world.round() == ["workflow.started"]
    order = world.pipelines.runs[queued.workflow_key]
    assert (order.kind, order.nodes) == ("federated", ())
    assert world.pipelines.known["rain"].cohort == Cohort(3, 1, 2)


async def test_a_project_that_says_nothing_of_it_is_declined(world: Any) -> None:
    await world.tell(world.registered())

    (declined,) = await world.tell(wanted())

    assert "nothing to run on several machines" in declined.reason


async def test_a_project_without_a_training_of_its_own_still_trains_together(world: Any) -> None:
    await world.tell(registered())

    (declined,) = await world.tell(StartWorkflow(project="rain"))
    (queued,) = await world.tell(wanted())

    assert "`command` under [train]" in declined.reason
    assert queued.decision.gate is ToldGate.NONE


async def test_each_round_may_last_as_long_as_a_training(world: Any) -> None:
    await world.tell(registered())
    (queued,) = await world.tell(wanted())
    queues = world.bus.documents("orchestration_bridge_queues", QueueDocument)
    queue = (await queues.get("rain")).queue

    entry = queue.entry(queued.workflow_key)

    assert standing.limit_s(queue, entry) == 4 * queue.timeout.total_seconds()
    assert standing.limit_s(queue, replace(entry, kind="train")) == queue.timeout.total_seconds()
