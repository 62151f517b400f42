# SPDX-License-Identifier: Apache-2.0
"""What the platform sees of serving, told over the memory bus."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.commands import CommandRefused
from mlops.contracts.message import Message
from mlops.contracts.serving import (
    DeploymentCompleted,
    DeploymentFailed,
    DeploymentProgressed,
    DeploymentRemoved,
    DeploymentReverted,
    DeploymentStarted,
    DeployModel,
    RollbackModel,
    UndeployModel,
)
from mlops.contracts.settings import EvaluateSettings, ProjectSettings, ServeSettings
from mlops.contracts.telemetry_agent import ThermalRecovered, ThermalThrottled
from mlops.contracts.tracking import ModelPromoted
from mlops.contracts.workspaces import (
    ProjectArchived,
    ProjectRegistered,
    WorkspaceProvisioned,
    WorkspaceRefused,
)
from mlops.serving.adapters.memory import MemoryPackages, MemoryReplicas, MemoryTraffic
from mlops.serving.app import Pace, Parts, wire
from mlops.serving.model.rollout import Counts

RAIN = ProjectSettings(
    name="rain",
    serve=ServeSettings(model="rain", steps=(0.1, 1.0), step_hold="2s"),
    evaluate=EvaluateSettings(metric="accuracy"),
)
KINDS = {
    "deployment.started",
    "deployment.progressed",
    "deployment.completed",
    "deployment.failed",
    "deployment.reverted",
    "deployment.removed",
}


@dataclass
class Stage:
    """Serving over memory; a clock that moves only when told."""

    bus: MemoryBus = field(default_factory=MemoryBus)
    packages: MemoryPackages = field(default_factory=MemoryPackages)
    replicas: MemoryReplicas = field(default_factory=MemoryReplicas)
    traffic: MemoryTraffic = field(default_factory=MemoryTraffic)
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    parts: Parts | None = None

    def start(self) -> None:
        """Begin anew, as after a kill: what is remembered stands in the documents."""
        fresh = MemoryBus(
            _buckets=self.bus._buckets, published=self.bus.published, _ids=self.bus._ids
        )
        self.bus = fresh
        self.parts = wire(
            fresh,
            self.packages,
            self.replicas,
            self.replicas,
            self.traffic,
            door="http://door",
            pace=Pace(start_timeout=timedelta(seconds=60)),
            clock=lambda: self.now,
        )

    async def tell(self, *messages: Message) -> None:
        for message in messages:
            await self.bus.publish(message)
            await self.bus.settle()

    async def turn(self, seconds: float = 0.5, times: int = 1) -> None:
        assert self.parts is not None
        for _ in range(times):
            self.now += timedelta(seconds=seconds)
            async for message in self.parts.reconciler.round():
                await self.bus.publish(message)
            await self.bus.settle()

    def said(self) -> list[str]:
        return [_short(one) for one in self.bus.published if one.type in KINDS]

    async def routes(self) -> dict[int, float]:
        answer = await self.bus.ask("serving", "routes", {})
        return {
            version["version"]: version["weight"]
            for route in answer["routes"]
            for version in route["versions"]
        }


def _short(message: Message) -> str:
    kind = message.type.partition(".")[2]
    version = getattr(message, "version", "")
    if isinstance(message, DeploymentProgressed):
        kind = f"{message.phase} {message.traffic_ratio:g}"
    return f"v{version} {kind}"


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    stage.start()
    await stage.tell(ProjectRegistered(project="rain", settings=RAIN, revision=1))
    return stage


def promoted(version: int, at: datetime, **changes: Any) -> ModelPromoted:
    return ModelPromoted(
        project="rain",
        name="rain",
        version=version,
        time=at,
        metric="accuracy",
        candidate_metrics={"accuracy": 0.8},
        **changes,
    )


async def serve_first(stage: Stage) -> None:
    await stage.tell(promoted(1, stage.now))
    await stage.turn(times=10)
    stage.bus.published.clear()


def only(bus: MemoryBus, kind: type[Any]) -> Any:
    [found] = [one for one in bus.published if isinstance(one, kind)]
    return found


async def test_a_project_gets_its_endpoint(stage: Stage) -> None:
    told = only(stage.bus, WorkspaceProvisioned)

    assert (told.component, told.names) == ("serving", {"endpoint": "/v2/models/rain"})


async def test_a_project_that_serves_nothing_gets_none(stage: Stage) -> None:
    settings = ProjectSettings(name="sun")

    await stage.tell(ProjectRegistered(project="sun", settings=settings, revision=1))

    assert stage.bus.published[-1].model_dump()["names"] == {}


async def test_two_projects_cannot_share_an_endpoint(stage: Stage) -> None:
    settings = RAIN.model_copy(update={"name": "sun"})

    await stage.tell(ProjectRegistered(project="sun", settings=settings, revision=1))

    assert only(stage.bus, WorkspaceRefused).reason.startswith(
        "endpoint /v2/models/rain belongs to project 'rain'"
    )


async def test_the_first_champion_answers_everything(stage: Stage) -> None:
    await stage.tell(promoted(1, stage.now))
    await stage.turn(times=10)

    assert stage.said() == [
        "v1 started",
        "v1 packed 0",
        "v1 warm 0",
        "v1 canary 1",
        "v1 completed",
    ]
    answer = await stage.bus.ask("serving", "routes", {})
    assert answer["routes"] == [
        {
            "project": "rain",
            "model": "rain",
            "versions": [{"version": 1, "url": "http://door/rain/rain/v1", "weight": 1.0}],
        }
    ]


async def test_a_new_champion_takes_over_step_by_step_and_the_old_one_drains(stage: Stage) -> None:
    await serve_first(stage)
    promotion = promoted(2, stage.now, correlation_id="story")

    await stage.tell(promotion)
    shares = []
    for _ in range(40):
        await stage.turn()
        shares.append(await stage.routes())

    assert stage.said() == [
        "v2 started",
        "v2 packed 0",
        "v2 warm 0",
        "v2 canary 0.1",
        "v2 canary 1",
        "v2 completed",
        "v1 removed",
    ]
    assert [dict(one) for one in dict.fromkeys(tuple(one.items()) for one in shares)] == [
        {1: 1.0},
        {1: 0.9, 2: 0.1},
        {2: 1.0},
    ]
    assert list(stage.replicas.apps) == ["rain.rain.v2"]
    told = only(stage.bus, DeploymentCompleted)
    assert (told.previous_version, told.metric, told.metrics) == (1, "accuracy", {"accuracy": 0.8})
    facts = [one for one in stage.bus.published if one.type in KINDS]
    assert {(one.correlation_id, one.causation_id) for one in facts} == {("story", promotion.id)}
    assert len({one.id for one in facts}) == len(facts)


async def test_each_share_is_held_as_long_as_the_project_says(stage: Stage) -> None:
    await serve_first(stage)
    await stage.tell(promoted(2, stage.now))

    await stage.turn(0.5, times=20)

    at = {_short(one): one.time for one in stage.bus.published}
    assert at.keys() >= {"v2 canary 0.1", "v2 canary 1", "v2 completed"}
    detail = await stage.bus.ask("serving", "get", {"project": "rain", "model": "rain"})
    marks = detail["deployment"]["rollouts"][-1]["marks"]
    times = [datetime.fromisoformat(mark["at"]) for mark in marks if mark["phase"] != "starting"]
    assert [b - a for a, b in pairwise(times[1:])] == [
        timedelta(seconds=2),
        timedelta(seconds=2),
    ]


async def test_a_model_that_the_project_does_not_serve_is_left_alone(stage: Stage) -> None:
    await stage.tell(
        ModelPromoted(project="rain", name="other", version=1),
        ModelPromoted(project="nobody", name="rain", version=1),
    )
    await stage.turn(times=5)

    assert stage.said() == []


async def test_errors_of_the_new_version_take_it_back(stage: Stage) -> None:
    await serve_first(stage)
    stage.traffic.by_version = {
        1: Counts(1000, 0),
        2: Counts(40, 40),
    }  # an earlier life of version 2
    await stage.tell(promoted(2, stage.now))
    await stage.turn(times=6)
    assert await stage.routes() == {1: 0.9, 2: 0.1}

    stage.traffic.by_version = {1: Counts(1200, 0), 2: Counts(60, 45)}
    await stage.turn()

    assert await stage.routes() == {1: 1.0}
    told = only(stage.bus, DeploymentReverted)
    assert (told.to_version, told.error_ratio) == (1, 0.25)
    assert told.reason == "5 of 20 requests failed (25.0%), 2.0% are allowed"
    await stage.turn(times=20)
    assert stage.said()[-2:] == ["v2 reverted", "v2 removed"]


async def test_a_version_that_cannot_be_packed_fails_and_the_old_one_answers(stage: Stage) -> None:
    await serve_first(stage)
    stage.packages.broken = {2: "version 2 of 'rain' has no MLmodel file"}

    await stage.tell(promoted(2, stage.now))
    await stage.turn(times=5)

    told = only(stage.bus, DeploymentFailed)
    assert (told.phase, told.reason) == ("packing", "version 2 of 'rain' has no MLmodel file")
    assert await stage.routes() == {1: 1.0}


async def test_a_version_that_cannot_start_fails_and_the_old_one_answers(stage: Stage) -> None:
    await serve_first(stage)
    package = await stage.packages.pack("rain", "rain", 2, "auto")
    stage.replicas.broken = {package.bento_tag: "No module named 'lightgbm'"}

    await stage.tell(promoted(2, stage.now))
    await stage.turn(times=10)

    told = only(stage.bus, DeploymentFailed)
    assert (told.phase, told.reason) == ("starting", "No module named 'lightgbm'")
    assert await stage.routes() == {1: 1.0}
    assert list(stage.replicas.apps) == ["rain.rain.v1"]
    assert stage.said() == ["v2 started", "v2 packed 0", "v2 failed"]


async def test_while_the_registry_is_away_the_rollout_waits_then_fails(stage: Stage) -> None:
    await serve_first(stage)
    stage.packages.away = True
    await stage.tell(promoted(2, stage.now))

    await stage.turn(10, times=5)
    assert stage.said() == ["v2 started"]
    await stage.turn(10, times=5)

    assert only(stage.bus, DeploymentFailed).reason == "the registry is away"


async def test_a_newer_champion_supersedes_an_unfinished_rollout(stage: Stage) -> None:
    await serve_first(stage)
    await stage.tell(promoted(2, stage.now))
    await stage.turn(times=6)
    third = promoted(3, stage.now)

    await stage.tell(third)
    await stage.turn(times=60)

    reverted = only(stage.bus, DeploymentReverted)
    assert (reverted.version, reverted.reason) == (2, "superseded by version 3")
    assert reverted.causation_id == third.id
    assert [one for one in stage.said() if "completed" in one] == ["v3 completed"]
    assert list(stage.replicas.apps) == ["rain.rain.v3"]


async def test_a_late_promotion_does_not_bring_back_an_older_champion(stage: Stage) -> None:
    early = promoted(1, stage.now)
    await stage.tell(promoted(2, stage.now + timedelta(seconds=1)), early)
    await stage.turn(times=30)

    assert await stage.routes() == {2: 1.0}


async def test_killed_at_any_round_the_next_process_ends_it_with_the_same_messages() -> None:
    kills = [await _history(killed_after=round_) for round_ in range(1, 16)]

    assert (
        kills
        == [
            [
                "v2 started",
                "v2 packed 0",
                "v2 warm 0",
                "v2 canary 0.1",
                "v2 canary 1",
                "v2 completed",
                "v1 removed",
            ]
        ]
        * 15
    )


async def _history(killed_after: int) -> list[str]:
    stage = Stage()
    stage.start()
    await stage.tell(ProjectRegistered(project="rain", settings=RAIN, revision=1))
    await serve_first(stage)
    await stage.tell(promoted(2, stage.now, id="p2"))
    for round_ in range(1, 40):
        await stage.turn()
        if round_ == killed_after:
            stage.start()
    return stage.said()


async def test_killed_between_telling_and_marking_it_tells_the_same_id_again(stage: Stage) -> None:
    await serve_first(stage)
    await stage.tell(promoted(2, stage.now))
    assert stage.parts is not None
    lost = [one async for one in _first(stage.parts.reconciler.round())]

    stage.start()
    await stage.turn(times=40)

    assert [one.type for one in lost] == ["deployment.progressed"]
    assert [one.id for one in lost] == [
        one.id for one in stage.bus.published if _short(one) == "v2 packed 0"
    ]


async def _first(messages: Any) -> Any:
    async for message in messages:
        yield message
        return


async def test_an_empty_home_of_replicas_is_filled_again(stage: Stage) -> None:
    await serve_first(stage)
    stage.replicas.away = True
    await stage.turn(times=2)
    assert stage.parts is not None
    assert await stage.parts.fleet.check() is not None

    stage.replicas.lose_everything()
    await stage.turn(times=3)

    assert list(stage.replicas.apps) == ["rain.rain.v1"]
    assert await stage.parts.fleet.check() is None
    assert stage.said() == []


async def test_a_rollout_outlives_the_loss_of_all_replicas(stage: Stage) -> None:
    await serve_first(stage)
    await stage.tell(promoted(2, stage.now))
    await stage.turn(times=6)
    stage.replicas.away = True
    await stage.turn(30, times=3)

    stage.replicas.lose_everything()
    await stage.turn(times=40)

    assert stage.said()[-2:] == ["v2 completed", "v1 removed"]


async def test_a_rollback_serves_the_version_before(stage: Stage) -> None:
    await serve_first(stage)
    await stage.tell(promoted(2, stage.now))
    await stage.turn(times=40)

    back = RollbackModel(project="rain", model="rain", time=stage.now)
    await stage.tell(back)
    await stage.turn(times=40)

    assert await stage.routes() == {1: 1.0}
    assert stage.said()[-2:] == ["v1 completed", "v2 removed"]
    assert stage.bus.published[-1].causation_id == back.id


async def test_a_rollback_in_mid_rollout_takes_it_back(stage: Stage) -> None:
    await serve_first(stage)
    await stage.tell(promoted(2, stage.now))
    await stage.turn(times=6)

    back = RollbackModel(project="rain", model="rain", time=stage.now)
    await stage.tell(back)
    await stage.turn(times=20)

    told = only(stage.bus, DeploymentReverted)
    assert (told.version, told.to_version, told.causation_id) == (2, 1, back.id)
    assert await stage.routes() == {1: 1.0}


async def test_a_person_deploys_any_version_even_with_a_slow_clock(stage: Stage) -> None:
    await serve_first(stage)
    stage.packages.metrics = {"accuracy": 0.7}

    await stage.tell(
        DeployModel(project="rain", model="rain", version=7, time=stage.now - timedelta(days=1))
    )
    await stage.turn(times=30)

    told = only(stage.bus, DeploymentCompleted)
    assert (told.version, told.metric, told.metrics) == (7, "accuracy", {"accuracy": 0.7})


async def test_undeploying_stops_everything_and_says_so(stage: Stage) -> None:
    await serve_first(stage)
    wish = UndeployModel(project="rain", model="rain", time=stage.now)

    await stage.tell(wish)
    assert await stage.routes() == {}
    await stage.turn(times=20)

    told = only(stage.bus, DeploymentRemoved)
    assert (told.version, told.causation_id) == (1, wish.id)
    assert stage.replicas.apps == {}


async def test_an_archived_project_is_no_longer_served(stage: Stage) -> None:
    await serve_first(stage)

    await stage.tell(ProjectArchived(project="rain", time=stage.now), promoted(2, stage.now))
    await stage.turn(times=20)

    assert stage.replicas.apps == {}
    assert stage.said() == ["v1 removed"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (DeployModel(project="sun", model="sun", version=1), "project 'sun' is not registered"),
        (DeployModel(project="rain", model="../x", version=1), "cannot be an endpoint"),
        (DeployModel(project="rain", model="rain", version=1), "answers all requests already"),
        (RollbackModel(project="rain", model="rain"), "has no version before"),
        (RollbackModel(project="rain", model="snow"), "it has: rain"),
        (UndeployModel(project="rain", model="snow"), "never served a model 'snow'"),
    ],
)
async def test_what_cannot_work_is_refused_with_the_reason(
    stage: Stage, command: Message, said: str
) -> None:
    await serve_first(stage)

    await stage.tell(command)

    assert said in only(stage.bus, CommandRefused).reason


async def test_a_redelivered_wish_starts_one_rollout(stage: Stage) -> None:
    wish = promoted(1, stage.now)
    await stage.tell(wish)
    first = [(one.type, one.id) for one in stage.bus.published if one.type in KINDS]
    again = MemoryBus(_buckets=stage.bus._buckets)
    wire(again, stage.packages, stage.replicas, stage.replicas, stage.traffic)

    await again.publish(wish)
    await again.settle()

    assert [(one.type, one.id) for one in again.published if one.type in KINDS] == first
    assert [type(one) for one in again.published[1:]] == [DeploymentStarted]


async def test_heat_lowers_concurrency_and_recovery_raises_it(stage: Stage) -> None:
    seen = [
        await _concurrency_after(stage, message)
        for message in (_hot(2, stage.now), _hot(4, stage.now), _cool(stage.now))
    ]

    assert seen == [4, 1, 8]


async def _concurrency_after(stage: Stage, message: Message) -> int:
    await stage.tell(message)
    limits = await stage.bus.ask("serving", "limits", {"project": "rain"})
    assert limits["log_predictions"] == 1.0
    return int(limits["concurrency"])


def _hot(level: int, at: datetime) -> ThermalThrottled:
    return ThermalThrottled(node="n1", time=at, episode_id="e", level=level, reason="hot", since=at)


def _cool(at: datetime) -> ThermalRecovered:
    return ThermalRecovered(
        node="n1", time=at, episode_id="e", level=0, peak_level=4, duration_s=9, since=at
    )
