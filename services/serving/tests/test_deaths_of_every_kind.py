# SPDX-License-Identifier: Apache-2.0
"""Whatever the kind and the moment, a killed process leaves nothing undone and nothing told twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mlops.contracts.serving import DeployModel, UndeployModel
from mlops.contracts.settings import ServeSettings
from mlops.contracts.workspaces import ProjectUpdated
from mlops.serving.model.evidence import Comparison, Counts

USUAL = {"model": "rain", "steps": (0.1, 1.0), "step_hold": "2s"}
ROUNDS = 15
AGREED = ["v2 started", "v2 packed 0", "v2 warm 0", "v2 shadow 0"]


async def begin(begun: Any, **serve: Any) -> Any:
    stage = await begun()
    await stage.first()
    settings = stage.settings.model_copy(update={"serve": ServeSettings(**{**USUAL, **serve})})
    await stage.tell(ProjectUpdated(project="rain", settings=settings, revision=2))
    stage.bus.published.clear()
    return stage


async def history(stage: Any, killed_after: int, message: Any) -> list[str]:
    await stage.tell(message)
    for round_ in range(1, 60):
        await stage.turn()
        if round_ == killed_after:
            stage.start()
            stage.bus._ids.discard(message.id)  # nobody acknowledged it: it is delivered again
            await stage.tell(message)
    ids = [one.id for one in stage.bus.published if one.id != message.id]
    assert len(ids) == len(set(ids))
    return list(stage.said())


@pytest.mark.parametrize("kind", ["direct", "blue-green"])
async def test_at_once_it_ends_the_same_wherever_it_is_killed(begun: Any, kind: str) -> None:
    histories = {
        tuple(await history(stage, killed_after, stage.promoted(2, id="p2")))
        for killed_after in range(1, ROUNDS)
        for stage in [await begin(begun, rollout=kind)]
    }

    assert histories == {
        (
            "v2 started",
            "v2 packed 0",
            "v2 warm 0",
            "v2 canary 1",
            "v2 completed",
            "v1 removed",
        )
    }


@pytest.mark.parametrize(
    ("agreement", "end"),
    [(0.99, ("v2 completed", "v1 removed")), (0.5, ("v2 reverted",))],
)
async def test_a_shadow_ends_the_same_wherever_it_is_killed(
    begun: Any, agreement: float, end: tuple[str, ...]
) -> None:
    ends = set()
    for killed_after in range(1, ROUNDS):
        stage = await begin(begun, rollout="shadow", shadow_for="4s", min_agreement=0.9)
        since = stage.now - timedelta(seconds=1)
        found = Comparison(1, since, requests=90, agreement_ratio=agreement)
        stage.traffic.compared = {2: found}
        said = await history(stage, killed_after, stage.promoted(2, id="p2"))
        assert said[:4] == AGREED
        ends.add(tuple(one for one in said[4:] if "compared" not in one and "canary" not in one))

    assert ends == {end}


async def test_the_way_back_to_what_is_kept_warm_is_gone_once_wherever_it_is_killed(
    begun: Any,
) -> None:
    histories = set()
    for killed_after in range(1, ROUNDS):
        stage = await begin(begun, rollout="direct", keep_warm="1h")
        await stage.tell(stage.promoted(2, id="p2"))
        stage.traffic.by_version = {1: Counts(), 2: Counts()}
        await stage.turn(times=20)
        stage.traffic.by_version = {1: Counts(), 2: Counts(50, 50)}
        histories.add(tuple(await history(stage, killed_after, stage.promoted(2, id="p2"))))

    assert histories == {
        (
            "v2 started",
            "v2 packed 0",
            "v2 warm 0",
            "v2 canary 1",
            "v2 completed",
            "v1 started",
            "v1 warm 0",
            "v1 canary 1",
            "v1 completed",
            "v2 removed",
        )
    }


@pytest.mark.parametrize("kind", ["canary", "direct", "blue-green", "shadow"])
async def test_undeployed_in_any_phase_everything_stops_and_each_rollout_has_ended(
    begun: Any, kind: str
) -> None:
    for rounds in range(14):
        stage = await begin(begun, rollout=kind, keep_warm="1h", shadow_for="2s")
        await stage.tell(stage.promoted(2, id="p2"))
        await stage.turn(times=rounds)

        await stage.tell(UndeployModel(project="rain", model="rain", time=stage.now, id="u"))
        routes = await stage.routes()
        stage.start()
        await stage.turn(times=40)

        said = stage.said()
        assert routes == {}
        assert stage.replicas.apps == {}
        assert "v1 removed" in said
        assert len([one for one in said if one in ("v2 completed", "v2 reverted")]) == 1


async def test_a_person_who_lets_a_shadow_go_on_is_heard_once(begun: Any) -> None:
    for killed_after in range(1, 12):
        stage = await begin(begun, rollout="shadow", shadow_for="2s")
        await stage.tell(stage.promoted(2, id="p2"))
        await stage.turn(times=12)
        word = DeployModel(project="rain", model="rain", version=2, time=stage.now, id="go")

        said = await history(stage, killed_after, word)

        assert [one for one in said if "canary" in one] == ["v2 canary 0.1", "v2 canary 1"]
        assert said[-2:] == ["v2 completed", "v1 removed"]
        assert not [one for one in stage.bus.published if one.type == "command.refused"]
