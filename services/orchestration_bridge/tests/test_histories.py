# SPDX-License-Identifier: Apache-2.0
"""Any history with repeats ends in the state of the plain history, and starts no run twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.message import Message
from mlops.contracts.monitoring import PerformanceDegraded, PerformanceMeasured, Window
from mlops.contracts.orchestration_bridge import StartWorkflow
from mlops.contracts.settings import (
    CheckpointSettings,
    ProjectSettings,
    RetrainSettings,
    TrainSettings,
)
from mlops.contracts.telemetry_agent import ThermalRecovered, ThermalThrottled
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered, ProjectUpdated
from mlops.orchestration_bridge.adapters.memory import FakePipelines
from mlops.orchestration_bridge.app import wire
from mlops.orchestration_bridge.model import lifecycle, parting, policy
from mlops.orchestration_bridge.model.attempts import Ask, Asked, Forced, Parted, Parting
from mlops.orchestration_bridge.model.lifecycle import End, Run
from mlops.orchestration_bridge.model.queue import Policy, Queue, State, Trigger
from mlops.orchestration_bridge.ports.books import QueueDocument

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def window(index: int) -> Window:
    at = NOON + timedelta(minutes=index)
    return Window(index=index, rows=9, first_at=at, last_at=at)


def of_project(project: str) -> st.SearchStrategy[Message]:
    said = st.builds(
        lambda most, follow: ProjectSettings(
            name=project,
            train=TrainSettings(command="train", checkpoint=CheckpointSettings()),
            retrain=RetrainSettings(
                max_per_day=most, follow_up_windows=follow, cooldown=timedelta(minutes=3)
            ),
        ),
        st.integers(0, 3),
        st.integers(0, 2),
    )
    about, index = st.just(project), st.integers(0, 6).map(window)
    model = {"model": st.just(project), "version": st.just(1), "metric": st.just("accuracy")}
    registered = {
        "project": about,
        "settings": said,
        "path": st.just("/projects"),
        "revision": st.integers(1, 3),
        "time": st.integers(0, 60).map(lambda s: NOON + timedelta(seconds=s)),
    }
    return st.one_of(
        st.builds(ProjectRegistered, **registered),
        st.builds(ProjectUpdated, **registered),
        st.builds(ProjectArchived, project=about, time=registered["time"]),
        st.builds(PerformanceMeasured, project=about, window=index, value=st.just(0.5), **model),
        st.builds(
            PerformanceDegraded,
            project=about,
            window=index,
            value=st.just(0.5),
            threshold=st.just(0.7),
            **model,
        ),
        st.builds(StartWorkflow, project=about),
        st.builds(
            ThermalThrottled,
            node=st.just("n1"),
            episode_id=st.just("e"),
            level=st.integers(1, 4),
            reason=st.just("hot"),
            since=st.just(NOON),
            time=registered["time"],
        ),
        st.builds(
            ThermalRecovered,
            node=st.just("n1"),
            episode_id=st.just("e"),
            level=st.just(0),
            peak_level=st.just(3),
            duration_s=st.just(3.0),
            since=st.just(NOON),
            time=registered["time"],
        ),
    )


def _same(at: datetime) -> datetime:
    return at


async def state_after(history: list[Message]) -> tuple[dict[str, Queue], list[str]]:
    # A fresh bus for each delivery, so that a repeat passes the bus's own window; time goes on meanwhile.
    kept, pipelines, told = MemoryBus(), FakePipelines(), set()
    first_seen: dict[str, int] = {}
    for message in history:
        first_seen.setdefault(message.id, len(first_seen))
        now = NOON + timedelta(minutes=2 * first_seen[message.id])
        bus = MemoryBus(_buckets=kept._buckets)
        dispatcher = wire(bus, pipelines, clock=partial(_same, now))
        await bus.publish(message)
        await bus.settle()
        async for fact in dispatcher.round():
            assert fact.id not in told
            told.add(fact.id)
    documents = await kept.documents("orchestration_bridge_queues", QueueDocument).all()
    return {name: found.queue for name, found in documents.items()}, pipelines.started


@settings(max_examples=80, deadline=None)
@given(
    history=st.lists(st.sampled_from(["rain", "sun"]).flatmap(of_project), max_size=14),
    repeats=st.lists(st.integers(0, 13), max_size=6),
)
async def test_repeats_change_nothing(history: list[Message], repeats: list[int]) -> None:
    plain = await state_after(history)

    repeated = await state_after(
        [
            message
            for place, message in enumerate(history)
            for message in [message] * (1 + repeats.count(place))
        ]
    )

    assert repeated == plain


@settings(max_examples=80, deadline=None)
@given(
    steps=st.lists(
        st.sampled_from(
            ["admit", "start", "ask", "force", "part", "complete", "fail", "cancel", "heard"]
        ),
        max_size=16,
    )
)
def test_what_has_ended_stays_ended_and_starts_are_told_before_ends(steps: list[str]) -> None:
    queue = _one_waiting()
    ended: State | None = None

    for step in steps:
        queue = _stepped(queue, step)
        entry = queue.entries[0]
        assert ended is None or entry.state is ended
        ended = entry.state if not entry.active else None
        assert entry.started_at is None or entry.admitted_at is not None
        assert entry.attempt == len(entry.stints) + 1
        assert entry.told_requests <= entry.requests


def _one_waiting() -> Queue:
    trigger = Trigger("t", "x", "train", "m", "", "t", NOON, automatic=False)
    return policy.apply(Queue("p", Policy(can_train=True)), trigger, "k", "q", NOON)


def _stepped(queue: Queue, step: str) -> Queue:
    attempt = queue.entries[0].attempt
    request = Asked(Ask.SAVE, queue.entries[0].requests + 1, "hot", NOON)
    moves = {
        "admit": lambda: lifecycle.admitted(queue, "k", NOON),
        "start": lambda: lifecycle.started(queue, "k", Run("d", "k"), NOON),
        "complete": lambda: lifecycle.ended(queue, "k", End(completed=True, at=NOON)),
        "fail": lambda: lifecycle.ended(queue, "k", End(completed=False, at=NOON)),
        "cancel": lambda: lifecycle.cancelled(queue, "k", lifecycle.Wish("w", ""), NOON),
        "ask": lambda: parting.asked(queue, "k", attempt, request),
        "force": lambda: parting.forced(queue, "k", attempt, Forced(Parting.LOST, "", NOON)),
        "part": lambda: parting.parted(queue, "k", attempt, Parted(Parting.LEFT, NOON, "hot")),
        "heard": lambda: lifecycle.heard(queue, queue.entries[0]),
    }
    return moves[step]()
