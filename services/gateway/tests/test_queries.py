# SPDX-License-Identifier: Apache-2.0
"""Queries: results, events, stories and the present, as folded from the bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest
from services.gateway.tests.conftest import House

from mlops.chassis.bus import Bus, Recorded
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message
from mlops.contracts.orchestration_bridge import (
    Decision,
    StartWorkflow,
    WorkflowKind,
    WorkflowQueued,
)
from mlops.contracts.serving import DeploymentCompleted, DeploymentStarted, Prediction
from mlops.contracts.serving import PredictionLogged as Logged
from mlops.contracts.tracking import ModelPromoted
from mlops.contracts.workspaces import ProjectRegistered, WorkspaceProvisioned


def queue_workflows(bus: Bus) -> None:
    async def do_start(command: StartWorkflow) -> Sequence[Message]:
        if command.why == "never":
            raise RejectedError("the project is archived; register it again")
        return [
            WorkflowQueued(
                project=command.project,
                workflow_key="w-1",
                kind=WorkflowKind.TRAIN,
                why=command.why,
                trigger_type=command.type,
                trigger_id=command.id,
                place=1,
                decision=Decision(admitted=True, reason="nothing runs"),
            )
        ]

    bus.on("orchestration_bridge", StartWorkflow, do_start)


async def start(house: House, why: str) -> str:
    wish = {"type": "cmd.workflow.start", "project": "rainfall", "data": {"why": why}}
    answer = await house.client.post("/api/v1/commands", json=wish)
    return str(answer.json()["id"])


async def get(house: House, path: str, **params: Any) -> Any:
    answer = await house.client.get(f"/api/v1/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_result_waits_for_what_the_command_caused(house: House) -> None:
    queue_workflows(house.bus)
    command = await start(house, "first model")
    waiting = asyncio.create_task(get(house, f"commands/{command}/result", timeout_s=5))
    await asyncio.sleep(0.01)

    assert not waiting.done()
    await house.bus.settle()
    found = await waiting

    assert [(one["type"], one["causationid"]) for one in found] == [("workflow.queued", command)]


async def test_refusal_is_a_result(house: House) -> None:
    queue_workflows(house.bus)
    command = await start(house, "never")
    await house.bus.settle()

    found = await get(house, f"commands/{command}/result", type="workflow.queued")

    assert [one["type"] for one in found] == ["command.refused"]
    assert "register it again" in found[0]["data"]["reason"]


async def test_result_is_empty_when_the_time_is_over(house: House) -> None:
    command = await start(house, "first model")

    assert await get(house, f"commands/{command}/result", timeout_s=0.05) == []


async def test_events_are_filtered_and_newest_are_kept(house: House) -> None:
    queue_workflows(house.bus)
    for why in ("one", "two", "three"):
        await start(house, why)
    await house.bus.settle()
    await house.say(ProjectRegistered.model_validate(registered("other")))

    found = await get(house, "events", type="workflow.*", project="rainfall", limit=2, summary=True)

    assert [one["data"]["why"] for one in found] == ["two", "three"]
    assert found[0]["summary"] == "train w-1 queued: two"


async def test_predictions_are_read_from_the_bus_with_their_bodies(house: House) -> None:
    row = Prediction.model_validate(
        {"request_id": "r1", "at": "2026-01-01T00:00:00Z", "features": {"x": 1.0}, "prediction": 1}
    )
    await house.say(Logged(project="rainfall", model="rain", version=1, predictions=(row,)))

    by_type = await get(house, "events", type="prediction.logged")
    without = await get(house, "events")

    assert by_type[0]["data"]["predictions"][0]["features"] == {"x": 1.0}
    assert without == []


async def test_newest_predictions_are_found_without_reading_all_that_was_said(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[datetime | None] = []
    follow = house.bus.follow

    def counting(
        types: Sequence[str], scope: str, *, since: datetime | None, live: bool
    ) -> AsyncIterator[Recorded]:
        asked.append(since)
        return follow(types, scope, since=since, live=live)

    row = Prediction.model_validate(
        {"request_id": "r1", "at": "2026-01-01T00:00:00Z", "prediction": 1}
    )
    for _ in range(3):
        await house.say(Logged(project="rainfall", model="rain", version=1, predictions=(row,)))
    monkeypatch.setattr(house.bus, "follow", counting)

    newest = await get(house, "events", type="prediction.logged", limit=2)
    few = list(asked)
    every = await get(house, "events", type="prediction.logged", limit=9)

    assert (len(newest), len(every)) == (2, 3)
    assert len(few) == 1
    assert few[0] is not None
    assert asked[-1] is None


async def test_unknown_type_names_the_known_ones(house: House) -> None:
    answer = await house.client.get("/api/v1/events", params={"type": "run.finished"})

    assert answer.status_code == 422
    assert "run.completed" in answer.json()["error"]["fix"]


@pytest.mark.parametrize("limit", ["0", "many", "1001"])
async def test_bad_parameter_is_named(house: House, limit: str) -> None:
    answer = await house.client.get("/api/v1/events", params={"limit": limit})

    assert answer.status_code == 422
    assert answer.json()["error"]["problems"][0]["field"] == "query.limit"


def registered(name: str) -> dict[str, Any]:
    settings = {"name": name, "serve": {"model": "rain"}}
    return {"project": name, "settings": settings, "path": "/projects/rain", "revision": 1}


async def test_projects_show_what_each_service_made(house: House) -> None:
    made = WorkspaceProvisioned(
        project="rainfall", component="tracking", names={"workspace": "rainfall"}, revision=1
    )
    await house.say(ProjectRegistered.model_validate(registered("rainfall")), made)

    (found,) = (await get(house, "projects"))["projects"]

    assert (found["project"], found["state"], found["model"]) == ("rainfall", "active", "rain")
    assert found["provisioned"]["tracking"]["names"] == {"workspace": "rainfall"}


async def test_unknown_project_names_the_known_ones(house: House) -> None:
    await house.say(ProjectRegistered.model_validate(registered("rainfall")))

    answer = await house.client.get("/api/v1/projects/rainfal")

    assert answer.status_code == 404
    assert answer.json()["error"]["fix"] == "registered are: rainfall"


async def test_deployments_show_state_and_traffic(house: House) -> None:
    one = DeploymentStarted(
        project="rainfall", deployment_id="d1", model="rain", version=1, endpoint="/v2/models/rain"
    )
    done = DeploymentCompleted(
        project="rainfall", deployment_id="d1", model="rain", version=1, endpoint="/v2/models/rain"
    )
    await house.say(one, done)

    found = await get(house, "deployments", project="rainfall")

    (deployment,) = found["deployments"]
    assert (deployment["state"], deployment["traffic_ratio"]) == ("completed", 1.0)


async def test_explain_shows_why_and_what_came_of_it(house: House) -> None:
    queue_workflows(house.bus)
    command = await start(house, "first model")
    await house.bus.settle()
    promoted = ModelPromoted(
        project="rainfall", name="rain", version=2, correlation_id=command, causation_id="run-away"
    )
    await house.say(promoted)

    by_workflow = await get(house, "explain/w-1")
    by_version = await get(house, "explain/rain:2")

    assert by_workflow["matched"]["by"] == "workflow"
    assert by_workflow["chain"][0] == command
    assert by_workflow["tree"]["type"] == "cmd.workflow.start"
    assert [one["type"] for one in by_workflow["tree"]["children"]] == [
        "workflow.queued",
        "model.promoted",
    ]
    assert by_workflow["tree"]["children"][0]["asked"] is True
    assert by_version["story"] == command


async def test_explain_of_nothing_says_what_can_be_asked(house: House) -> None:
    answer = await house.client.get("/api/v1/explain/nothing")

    assert answer.status_code == 404
    assert "model:version" in answer.json()["error"]["fix"]


async def test_query_reaches_the_service_and_its_refusal_comes_back(house: House) -> None:
    async def answers(question: Mapping[str, Any]) -> dict[str, Any]:
        if not question.get("project"):
            raise RejectedError("name a project")
        return {"queue": [question["project"]]}

    house.bus.answer("orchestration_bridge", "list", answers)

    good = await get(house, "query/orchestration_bridge/list", project="rainfall")
    bad = await house.client.get("/api/v1/query/orchestration_bridge/list")
    nobody = await house.client.get("/api/v1/query/serving/nothing")
    strange = await house.client.get("/api/v1/query/serving/a.b")
    broken = await house.client.get("/api/v1/query/serving/routes%0A")

    assert good == {"queue": ["rainfall"]}
    assert bad.status_code == 422
    assert bad.json()["error"]["which"] == "name a project"
    assert nobody.status_code == 503
    assert nobody.headers["retry-after"] == "2"
    assert strange.status_code == 404
    assert broken.status_code == 404


async def test_status_says_which_services_do_not_answer(house: House) -> None:
    async def well(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"service": "tracking", "ready": True, "checks": {"bus": "ok"}}

    house.bus.answer("tracking", "status", well)

    found = (await get(house, "status"))["services"]

    assert found["tracking"]["ready"] is True
    assert found["monitoring"]["ready"] is False
    assert "monitoring" in found["monitoring"]["checks"]["answers"]
    assert len(found) == 8


async def test_document_of_the_api_is_there_without_the_internet(house: House) -> None:
    document = (await house.client.get("/openapi.json")).json()

    assert "/api/v1/commands" in document["paths"]
    assert (await house.client.get("/docs")).status_code == 404


JUDGE = {"project": "rainfall", "model": "rain", "uri": "file:///t.csv", "target": "y"}


async def test_a_table_is_judged_by_monitoring_which_may_take_long(house: House) -> None:
    asked: list[dict[str, Any]] = []

    async def judges(question: Mapping[str, Any]) -> dict[str, Any]:
        asked.append(dict(question))
        await asyncio.sleep(2.5)  # longer than other queries may take
        return {"rows": 3}

    house.bus.answer("monitoring", "judge", judges)

    told = await house.client.post("/api/v1/monitor/judge", json=JUDGE)
    same = await house.client.get("/api/v1/monitor/judge", params=JUDGE)

    assert told.json() == same.json() == {"rows": 3}
    assert asked == [JUDGE, JUDGE]


async def test_a_table_that_cannot_be_judged_is_refused_with_the_reason(house: House) -> None:
    async def refuses(_: Mapping[str, Any]) -> dict[str, Any]:
        raise RejectedError("no reference yet")

    house.bus.answer("monitoring", "judge", refuses)

    refused = await house.client.post("/api/v1/monitor/judge", json=JUDGE)
    wrong = await house.client.post("/api/v1/monitor/judge", json={**JUDGE, "uri": "", "x": 1})
    missing = await house.client.get("/api/v1/monitor/judge", params={"project": "rainfall"})

    assert (refused.status_code, wrong.status_code, missing.status_code) == (422, 422, 422)
    assert "no reference yet" in refused.json()["error"]["which"]
    assert [one["field"] for one in wrong.json()["error"]["problems"]] == ["uri", "x"]
