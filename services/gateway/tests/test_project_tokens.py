# SPDX-License-Identifier: Apache-2.0
"""Tokens of projects: they open their projects for what they may, and nothing else of the platform."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from services.gateway.tests.conftest import ROW, House, Replica, bearer

from mlops.chassis.errors import RejectedError
from mlops.contracts.gateway import Label, LabelRecorded
from mlops.contracts.serving import DeploymentStarted
from mlops.contracts.workspaces import ProjectRegistered

Replicas = Callable[[int], Awaitable[Replica]]
INFER = "/v2/models/rain/infer"
READ, WRITE = bearer("read"), bearer("write")


async def two_projects(house: House) -> None:
    for name in ("rainfall", "tropics"):
        settings = {"name": name}
        event = {"project": name, "settings": settings, "path": f"/{name}", "revision": 1}
        await house.say(ProjectRegistered.model_validate(event))


@pytest.mark.parametrize(
    ("headers", "status", "says"),
    [
        (bearer("infer"), 200, ""),
        (bearer("infer", projects=["tropics", "rainfall"]), 200, ""),
        (bearer("read", "write"), 403, "may not infer in this project: rainfall; it may read, write"),
        (bearer("infer", projects=["tropics"]), 403, "does not open this project: rainfall; it opens tropics"),
        (bearer("infer", lasts=-60), 401, "the token has expired"),
        ({"Authorization": "Bearer a.b.c"}, 401, "the token is wrong"),
    ],
)  # fmt: skip
async def test_inference_asks_for_a_token_that_may_infer(
    house: House, replica: Replicas, headers: dict[str, str], status: int, says: str
) -> None:
    one = await replica(1)
    await house.route("rainfall", "rain", (one, 1.0))

    answer = await house.client.post(INFER, json=ROW, headers=headers)

    assert answer.status_code == status
    assert says in answer.text
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert len(one.seen) == (status == 200)


async def test_a_bare_name_means_the_callers_own_model(house: House, replica: Replicas) -> None:
    mine, theirs = await replica(1), await replica(2)
    await house.route("rainfall", "rain", (mine, 1.0))
    await house.route("tropics", "rain", (theirs, 1.0))

    answer = await house.client.post(INFER, json=ROW, headers=bearer("infer"))

    assert answer.headers["mlops-model-version"] == "1"
    assert theirs.seen == []


async def test_an_unknown_model_names_only_the_callers_own(house: House, replica: Replicas) -> None:
    await house.route("rainfall", "rain", (await replica(1), 1.0))
    await house.route("tropics", "storm", (await replica(2), 1.0))

    answer = await house.client.post("/v2/models/snow/infer", json=ROW, headers=bearer("infer"))

    assert answer.status_code == 404
    assert answer.json()["error"] == "no such model: snow; ask for one of: rain"


async def test_the_index_lists_only_the_callers_models(house: House, replica: Replicas) -> None:
    await house.route("rainfall", "rain", (await replica(1), 1.0))
    await house.route("tropics", "storm", (await replica(2), 1.0))

    answer = await house.client.post("/v2/repository/index", json={}, headers=bearer("infer"))

    assert [row["name"] for row in answer.json()] == ["rain"]


@pytest.mark.parametrize("act", ["infer", "read"])
async def test_metadata_is_for_who_may_infer_or_read(
    house: House, replica: Replicas, act: str
) -> None:
    await house.route("rainfall", "rain", (await replica(1), 1.0))

    allowed = await house.client.get("/v2/models/rain", headers=bearer(act))
    refused = await house.client.get("/v2/models/rain", headers=WRITE)

    assert (allowed.status_code, refused.status_code) == (200, 403)


async def test_lists_hold_only_the_callers_projects(house: House) -> None:
    await two_projects(house)

    mine = await house.client.get("/api/v1/projects", headers=READ)
    both = await house.client.get(
        "/api/v1/projects", headers=bearer("read", projects=["rainfall", "tropics"])
    )
    events = await house.client.get("/api/v1/events", headers=READ)

    assert [one["project"] for one in mine.json()["projects"]] == ["rainfall"]
    assert [one["project"] for one in both.json()["projects"]] == ["rainfall", "tropics"]
    assert {one["project"] for one in events.json()} == {"rainfall"}


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/projects/tropics",
        "/api/v1/overview?project=tropics",
        "/api/v1/events?project=tropics",
        "/api/v1/events/stream?project=tropics",
        "/api/v1/deployments?project=tropics",
        "/api/v1/energy?project=tropics",
        "/api/v1/query/serving/get?project=tropics&model=m",
        "/api/v1/query/gateway/comparison?model=m",
        "/api/v1/query/versioning/open?project=tropics&name=days",
    ],
)
async def test_another_project_is_refused_by_name(house: House, path: str) -> None:
    await two_projects(house)

    answer = await house.client.get(path, headers=READ)

    assert answer.status_code == 403
    assert answer.json()["error"]["what"] == "the token does not open this project"
    assert "it opens rainfall" in answer.json()["error"]["which"]


@pytest.mark.parametrize(
    "path",
    ["/api/v1/projects", "/api/v1/overview", "/api/v1/events", "/api/v1/deployments", "/api/v1/energy"],
)  # fmt: skip
async def test_reading_asks_for_a_token_that_may_read(house: House, path: str) -> None:
    refused = await house.client.get(path, headers=bearer("infer", "write"))
    allowed = await house.client.get(path, headers=READ)

    assert (refused.status_code, allowed.status_code) == (403, 200)
    assert "may not read" in refused.json()["error"]["what"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/nodes"),
        ("GET", "/api/v1/status"),
        ("GET", "/api/v1/query/serving/list?project=rainfall"),
        ("GET", "/api/v1/monitor/judge"),
        ("POST", "/api/v1/files?name=x.csv"),
        ("POST", "/mlflow/api/2.0/mlflow/runs/create"),
    ],
)
async def test_what_is_of_the_whole_platform_stays_shut(
    house: House, method: str, path: str
) -> None:
    answer = await house.client.request(method, path, headers=bearer("infer", "read", "write"))

    assert answer.status_code == 403
    assert "the token opens projects only" in answer.text


async def test_mlflows_clients_hear_why_a_password_that_is_a_projects_token_is_refused(
    house: House,
) -> None:
    expired = bearer("read", lasts=-60)
    pair = base64.b64encode(f"ann:{READ['Authorization'][7:]}".encode()).decode()

    old = await house.client.get("/mlflow/version", headers=expired)
    basic = await house.client.get("/mlflow/version", headers={"Authorization": f"Basic {pair}"})

    assert (old.json()["error_code"], old.status_code) == ("PERMISSION_DENIED", 403)
    assert old.json()["message"].startswith("the token has expired")
    assert basic.status_code == 403
    assert house.mlflow.seen == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/commands", {"type": "cmd.workflow.start", "project": "{}", "data": {"kind": "train"}}),
        ("/api/v1/labels", {"project": "{}", "model": "rain", "labels": {"r-1": 1}}),
    ],
)  # fmt: skip
async def test_writing_asks_for_a_token_that_may_write_there(
    house: House, path: str, body: dict[str, Any]
) -> None:
    await two_projects(house)
    said = len(house.bus.published)
    mine, theirs = {**body, "project": "rainfall"}, {**body, "project": "tropics"}

    reader = await house.client.post(path, json=mine, headers=READ)
    other = await house.client.post(path, json=theirs, headers=WRITE)
    allowed = await house.client.post(path, json=mine, headers=WRITE)

    assert (reader.status_code, other.status_code) == (403, 403)
    assert allowed.status_code == 202, allowed.text
    assert len(house.bus.published) == said + 1


async def test_events_of_another_project_are_not_taken(house: House) -> None:
    await two_projects(house)
    labels = LabelRecorded(
        source="/tool",
        project="tropics",
        model="rain",
        labels=(Label(request_id="r", label=1, at=datetime(2026, 1, 1, tzinfo=UTC)),),
    )
    event = labels.envelope()
    kind = {"Content-Type": "application/cloudevents+json"}

    answer = await house.client.post("/api/v1/events", json=event, headers={**WRITE, **kind})

    assert answer.status_code == 403
    assert "tropics; it opens rainfall" in answer.json()["error"]["which"]


async def test_a_story_shows_nothing_of_another_project(house: House) -> None:
    await two_projects(house)
    first = DeploymentStarted(
        project="rainfall", deployment_id="d-1", model="rain", version=1, endpoint="/v2"
    )
    then = DeploymentStarted(
        project="tropics",
        deployment_id="d-2",
        model="storm",
        version=1,
        endpoint="/v2",
        causation_id=first.id,
        correlation_id=first.id,
    )
    await house.say(first, then)

    mine = await house.client.get(f"/api/v1/explain/{first.id}", headers=READ)
    whole = await house.client.get(f"/api/v1/explain/{first.id}")
    other = await house.client.get(
        f"/api/v1/explain/{first.id}", headers=bearer("read", projects=["tropics"])
    )

    assert mine.json()["tree"]["children"] == []
    assert len(whole.json()["tree"]["children"]) == 1
    assert other.status_code == 403


async def test_what_does_not_exist_names_only_the_callers_own_projects(house: House) -> None:
    await two_projects(house)
    mine = bearer("read", "write", projects=["rainfall", "typo"])

    async def unknown(_: Mapping[str, Any]) -> dict[str, Any]:
        raise RejectedError("no such project")

    house.bus.answer("workspaces", "get", unknown)

    asked = await house.client.get("/api/v1/projects/typo", headers=mine)
    labels = {"project": "typo", "model": "m", "labels": {"a": 1}}
    told = await house.client.post("/api/v1/labels", json=labels, headers=mine)
    whole = await house.client.get("/api/v1/projects/typo")

    fixes = [one.json()["error"]["fix"] for one in (asked, told, whole)]
    named = [fix.rpartition("registered are: ")[2] for fix in fixes]
    assert named == ["rainfall", "rainfall", "rainfall, tropics"]
