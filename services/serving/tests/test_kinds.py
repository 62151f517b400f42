# SPDX-License-Identifier: Apache-2.0
"""Direct, blue-green and shadow rollouts, what is slow, what is kept warm: told over the memory bus."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from mlops.contracts.latency import Latencies
from mlops.contracts.serving import (
    DeploymentCompared,
    DeploymentCompleted,
    DeploymentFailed,
    DeploymentProgressed,
    DeploymentReverted,
    DeploymentStarted,
    DeployModel,
    RollbackModel,
)
from mlops.contracts.settings import RolloutKind, ServeSettings
from mlops.contracts.workspaces import ProjectUpdated
from mlops.serving.model.evidence import Comparison, Counts


async def wants(stage: Any, **serve: Any) -> None:
    """Serve version 1, then change the project's `[serve]`."""
    await stage.first()
    usual = {"model": "rain", "steps": (0.1, 1.0), "step_hold": "2s"}
    settings = stage.settings.model_copy(update={"serve": ServeSettings(**{**usual, **serve})})
    await stage.tell(ProjectUpdated(project="rain", settings=settings, revision=2))
    stage.bus.published.clear()


async def detail(stage: Any) -> Any:
    answer = await stage.bus.ask("serving", "get", {"project": "rain", "model": "rain"})
    return answer["deployment"]


async def shadow(stage: Any) -> Any:
    [route] = (await stage.bus.ask("serving", "routes", {}))["routes"]
    return route["shadow"]


def answered(requests: int, took_ms: float, errors: int = 0) -> Counts:
    counted = Latencies()
    for _ in range(requests):
        counted.add(took_ms)
    return Counts(requests, errors, times=tuple(counted.counts))


def compared(stage: Any, requests: int, agreement: float) -> dict[int, Comparison]:
    since = stage.now - timedelta(seconds=9)
    found = Comparison(1, since, requests=requests, agreement_ratio=agreement)
    return {2: replace(found, latency_p95_ms=4.0, against_latency_p95_ms=5.0)}


async def test_a_direct_rollout_takes_everything_at_once(stage: Any) -> None:
    await wants(stage, rollout="direct")

    await stage.tell(stage.promoted(2))
    await stage.turn(times=30)

    assert stage.said()[:5] == [
        "v2 started",
        "v2 packed 0",
        "v2 warm 0",
        "v2 canary 1",
        "v2 completed",
    ]


async def test_a_person_chooses_another_kind_for_one_rollout(stage: Any) -> None:
    await stage.first()

    await stage.tell(
        DeployModel(
            project="rain", model="rain", version=2, rollout=RolloutKind.DIRECT, time=stage.now
        )
    )
    await stage.turn(times=30)

    assert [one for one in stage.said() if "canary" in one] == ["v2 canary 1"]


async def test_blue_green_waits_until_the_new_version_is_as_big_as_the_old_one(stage: Any) -> None:
    await wants(stage, rollout="blue-green", max_replicas=3)
    stage.replicas.counts = {"rain.rain.v1": 3, "rain.rain.v2": 2}
    await stage.tell(stage.promoted(2))
    await stage.turn(times=20)
    small = (await stage.routes(), stage.replicas.apps["rain.rain.v2"].min_replicas)

    stage.replicas.counts = {"rain.rain.v1": 3, "rain.rain.v2": 3}
    shares = []
    for _ in range(30):
        await stage.turn()
        shares.append(await stage.routes())

    assert small == ({1: 1.0}, 3)
    assert list(dict.fromkeys(tuple(one.items()) for one in shares)) == [((1, 1.0),), ((2, 1.0),)]
    assert stage.only(DeploymentCompleted).replicas == 3


async def test_a_first_version_needs_no_shadow_and_no_other_colour(stage: Any) -> None:
    for version, kind in ((1, "shadow"), (2, "blue-green")):
        serve = ServeSettings(model=f"m{version}", rollout=kind)
        settings = stage.settings.model_copy(update={"name": f"p{version}", "serve": serve})
        project = f"p{version}"
        await stage.tell(
            ProjectUpdated(project=project, settings=settings, revision=1),
            DeployModel(project=project, model=f"m{version}", version=1, time=stage.now),
        )
    await stage.turn(times=10)

    assert [one for one in stage.said() if "completed" in one] == ["v1 completed"] * 2


async def test_a_shadow_gets_copies_and_no_traffic(stage: Any) -> None:
    await wants(stage, rollout="shadow", shadow_share=0.5, shadow_for="60s")

    await stage.tell(stage.promoted(2))
    await stage.turn(times=8)

    assert await stage.routes() == {1: 1.0}
    assert await shadow(stage) == {
        "version": 2,
        "url": "http://door/rain/rain/v2",
        "share": 0.5,
    }
    assert stage.said()[-1] == "v2 shadow 0"


async def test_a_shadow_that_agrees_goes_on_by_itself(stage: Any) -> None:
    await wants(stage, rollout="shadow", shadow_for="60s", min_agreement=0.95)
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)
    stage.traffic.compared = compared(stage, 200, 0.98)

    await stage.turn(10, times=7)
    await stage.turn(1, times=20)

    told = [one for one in stage.bus.published if isinstance(one, DeploymentCompared)]
    assert (told[-1].requests, told[-1].agreement_ratio, told[-1].against_version) == (200, 0.98, 1)
    assert stage.said()[-3:] == ["v2 canary 1", "v2 completed", "v1 removed"]
    first = next(one for one in stage.bus.published if stage.short(one) == "v2 canary 0.1")
    assert first.reason == (
        "98.0% of 200 answers agree with version 1's, p95 4 ms against 5 ms; 95.0% are wanted"
    )


async def test_a_shadow_that_disagrees_goes_back_with_the_numbers(stage: Any) -> None:
    await wants(stage, rollout="shadow", shadow_for="60s", min_agreement=0.95)
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)
    stage.traffic.compared = compared(stage, 200, 0.5)

    await stage.turn(10, times=8)

    assert "50.0% of 200 answers agree" in stage.only(DeploymentReverted).reason
    assert await stage.routes() == {1: 1.0}
    assert stage.said()[-2:] == ["v2 compared", "v2 reverted"]
    assert list(stage.replicas.apps) == ["rain.rain.v1"]


async def test_a_shadow_without_a_wanted_agreement_waits_for_a_person(stage: Any) -> None:
    await wants(stage, rollout="shadow", shadow_for="60s")
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)
    stage.traffic.compared = compared(stage, 200, 0.5)
    await stage.turn(30, times=20)
    waiting = await detail(stage)

    again = DeployModel(project="rain", model="rain", version=2, time=stage.now)
    await stage.tell(again)
    await stage.turn(1, times=20)

    assert waiting["rollout"]["phase"] == "shadow"
    assert waiting["rollout"]["held"].startswith("waits for a person: deploy it again to go on")
    assert waiting["rollout"]["comparison"]["agreement_ratio"] == 0.5
    [held] = [one for one in stage.said() if "held" in one]
    assert held == "v2 held 0"
    first = next(one for one in stage.bus.published if stage.short(one) == "v2 canary 0.1")
    assert first.causation_id == again.id
    assert [one for one in stage.said() if one.endswith(("started", "completed"))] == [
        "v2 started",
        "v2 completed",
    ]


async def test_a_promotion_again_does_not_end_the_comparison(stage: Any) -> None:
    await wants(stage, rollout="shadow", shadow_for="60s")
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)

    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)

    assert (await detail(stage))["rollout"]["phase"] == "shadow"


async def test_a_shadow_is_told_of_at_growing_intervals_and_not_for_ever(stage: Any) -> None:
    await wants(stage, rollout="shadow", shadow_for="80s")
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)
    stage.traffic.compared = compared(stage, 200, 1.0)

    at = []
    for _ in range(400):
        await stage.turn(60)
        at.append(sum(1 for one in stage.bus.published if isinstance(one, DeploymentCompared)))

    assert at[-1] <= 10
    assert at[0] >= 1
    assert at[2] > at[0]


async def test_without_a_gateway_a_shadow_waits_and_says_so(stage: Any) -> None:
    await wants(stage, rollout="shadow", shadow_for="10s", min_agreement=0.9)
    await stage.tell(stage.promoted(2))

    await stage.turn(5, times=10)

    assert (await detail(stage))["rollout"]["held"] == "nothing was compared yet"


async def test_a_shadow_that_had_nothing_to_compare_says_later_what_it_waits_for(
    stage: Any,
) -> None:
    await wants(stage, rollout="shadow", shadow_for="10s")
    await stage.tell(stage.promoted(2))
    await stage.turn(5, times=10)

    stage.traffic.compared = compared(stage, 200, 1.0)
    await stage.turn(5, times=10)

    told = [one for one in stage.bus.published if isinstance(one, DeploymentProgressed)]
    said = [one.reason.partition(":")[0] for one in told if one.phase == "held"]
    assert said == ["nothing was compared yet", "waits for a person"]


async def test_a_slow_version_is_taken_back(stage: Any) -> None:
    await stage.first()
    stage.traffic.by_version = {1: answered(500, 10.0)}
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)
    assert await stage.routes() == {1: 0.9, 2: 0.1}

    stage.traffic.by_version = {1: answered(900, 10.0), 2: answered(40, 200.0)}
    await stage.turn()

    assert "40 of 40 answers took more than" in stage.only(DeploymentReverted).reason
    assert await stage.routes() == {1: 1.0}


async def test_times_of_other_steps_do_not_count(stage: Any) -> None:
    await stage.first()
    stage.traffic.by_version = {1: answered(100, 10.0), 2: answered(900, 500.0)}
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)

    quick = Latencies.read({str(place): n for place, n in enumerate(answered(900, 500.0).times)})
    for _ in range(50):
        quick.add(9.0)
    later = Counts(950, 0, times=tuple(quick.counts))
    stage.traffic.by_version = {1: answered(500, 10.0), 2: later}
    await stage.turn(times=30)

    assert "v2 completed" in stage.said()


async def test_why_a_step_is_held_can_be_read(stage: Any) -> None:
    await stage.first()
    stage.traffic.by_version = {1: answered(100, 10.0)}
    await stage.tell(stage.promoted(2))
    await stage.turn(times=5)
    stage.traffic.by_version = {1: answered(150, 10.0), 2: answered(50, 12.0, errors=1)}
    await stage.turn()

    found = (await detail(stage))["rollout"]

    assert found["verdict"] == "hold"
    assert "1 of 50 requests failed (2.0%), 2.0% are allowed" in found["why"]
    assert (found["requests"], found["errors"]) == (50, 1)


async def test_a_version_kept_warm_takes_over_again_when_the_new_one_fails(stage: Any) -> None:
    await wants(stage, keep_warm="1h")
    stage.traffic.by_version = {1: Counts(100, 0), 2: Counts(0, 0)}
    await stage.tell(stage.promoted(2))
    await stage.turn(times=30)
    assert await stage.routes() == {2: 1.0}
    stage.replicas.starts.clear()

    stage.traffic.by_version = {1: Counts(100, 0), 2: Counts(200, 60)}
    await stage.turn(1, times=3)

    assert await stage.routes() == {1: 1.0}
    assert stage.replicas.starts == []
    started = [one for one in stage.bus.published if isinstance(one, DeploymentStarted)][-1]
    done = next(one for one in stage.bus.published if isinstance(one, DeploymentCompleted))
    assert (started.version, started.causation_id) == (1, done.id)
    assert "60 of 200 requests failed (30.0%)" in started.why
    assert [one for one in stage.said() if one.endswith(("started", "completed"))] == [
        "v2 started",
        "v2 completed",
        "v1 started",
        "v1 completed",
    ]


async def test_a_version_kept_warm_leaves_when_its_time_is_over(stage: Any) -> None:
    await wants(stage, keep_warm="60s")
    await stage.tell(stage.promoted(2))
    await stage.turn(times=30)
    during = sorted(stage.replicas.apps)

    await stage.turn(30, times=4)

    assert during == ["rain.rain.v1", "rain.rain.v2"]
    assert sorted(stage.replicas.apps) == ["rain.rain.v2"]
    assert stage.said()[-1] == "v1 removed"


async def test_a_rollback_to_what_still_runs_starts_nothing_and_takes_one_look(stage: Any) -> None:
    await wants(stage, keep_warm="1h")
    await stage.tell(stage.promoted(2))
    await stage.turn(times=30)
    stage.replicas.starts.clear()
    stage.packages.broken = {1: "nobody packs it again"}

    await stage.tell(RollbackModel(project="rain", model="rain", time=stage.now))
    await stage.turn()

    assert await stage.routes() == {1: 1.0}
    assert stage.replicas.starts == []


async def test_a_rollback_to_any_earlier_version_packs_it_again(stage: Any) -> None:
    await stage.first()
    for version in (2, 3):
        await stage.tell(stage.promoted(version))
        await stage.turn(times=60)

    await stage.tell(RollbackModel(project="rain", model="rain", to_version=1, time=stage.now))
    await stage.turn(times=60)

    assert await stage.routes() == {1: 1.0}
    assert [one for one in stage.said() if one.startswith("v1 canary")] == ["v1 canary 1"]


async def test_a_rollback_to_a_kept_package_needs_no_registry(stage: Any) -> None:
    await stage.first()
    await stage.tell(stage.promoted(2))
    await stage.turn(times=60)
    assert list(stage.replicas.apps) == ["rain.rain.v2"]
    stage.packages.away = True

    await stage.tell(RollbackModel(project="rain", model="rain", time=stage.now))
    await stage.turn(times=20)

    assert await stage.routes() == {1: 1.0}


async def test_what_was_taken_back_can_be_deployed_again(stage: Any) -> None:
    await stage.first()
    stage.traffic.by_version = {1: Counts(100, 0), 2: Counts(0, 0)}
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)
    stage.traffic.by_version = {1: Counts(100, 0), 2: Counts(60, 45)}
    await stage.turn()
    assert stage.only(DeploymentReverted).version == 2

    await stage.tell(DeployModel(project="rain", model="rain", version=2, time=stage.now))
    await stage.turn(times=40)

    assert await stage.routes() == {2: 1.0}


async def test_a_version_that_stopped_while_it_was_wanted_again_fails(stage: Any) -> None:
    await wants(stage, keep_warm="1h")
    await stage.tell(stage.promoted(2))
    await stage.turn(times=30)
    package = await stage.packages.pack("rain", "rain", 1, "auto")
    stage.replicas.broken = {package.bento_tag: "killed"}

    await stage.tell(RollbackModel(project="rain", model="rain", time=stage.now))
    await stage.turn(5, times=20)

    assert stage.only(DeploymentFailed).reason == "it was ready and is no more"
    assert await stage.routes() == {2: 1.0}


async def test_progress_names_the_shadow(stage: Any) -> None:
    await wants(stage, rollout="shadow")
    await stage.tell(stage.promoted(2))
    await stage.turn(times=8)

    phases = [one.phase for one in stage.bus.published if isinstance(one, DeploymentProgressed)]

    assert phases == ["packed", "warm", "shadow"]
