# SPDX-License-Identifier: Apache-2.0
"""Intake: what is wrong is refused with what, which and the fix; what is right is stored before the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from services.gateway.tests.conftest import House

from mlops.chassis.errors import RejectedError
from mlops.contracts.gateway import LabelRecorded
from mlops.contracts.orchestration_bridge import StartWorkflow
from mlops.contracts.workspaces import ProjectRegistered, RegisterProject

EVENT = {
    "specversion": "1.0",
    "id": "check-1",
    "source": "/tools/checker",
    "type": "validation.finished",
    "time": "2026-01-01T00:00:00Z",
    "project": "rainfall",
    "data": {"suite": "mnist", "check": "accuracy", "outcome": "passed"},
}


def project(name: str = "rainfall") -> ProjectRegistered:
    return ProjectRegistered.model_validate(
        {"project": name, "settings": {"name": name}, "revision": 1}
    )


def wrong(answer: httpx.Response) -> dict[str, Any]:
    error = answer.json()["error"]
    assert error["what"]
    assert error["fix"]
    return dict(error)


async def post(house: House, path: str, content: object) -> httpx.Response:
    return await house.client.post(f"/api/v1/{path}", json=content)


async def test_command_is_stored_and_answered_with_its_id(house: House) -> None:
    wish = {"type": "cmd.workflow.start", "project": "rainfall", "data": {"why": "first model"}}

    answer = await post(house, "commands", wish)

    (stored,) = house.bus.published
    assert answer.status_code == 202
    assert answer.json() == {"id": stored.id}
    assert isinstance(stored, StartWorkflow)
    assert (stored.project, stored.why, stored.source) == (
        "rainfall",
        "first model",
        "/services/gateway",
    )


async def test_command_keeps_the_story_it_belongs_to(house: House) -> None:
    wish = {
        "type": "cmd.data.add",
        "project": "rainfall",
        "data": {"path": "data/rain.csv"},
        "correlation_id": "story",
        "causation_id": "cause",
    }

    await post(house, "commands", wish)

    assert house.bus.published[0].correlation_id == "story"
    assert house.bus.published[0].causation_id == "cause"


async def test_command_sent_again_with_its_id_is_stored_once(house: House) -> None:
    wish = {"type": "cmd.workflow.start", "project": "rainfall", "id": "mine"}

    await post(house, "commands", wish)
    again = await post(house, "commands", wish)

    assert again.json() == {"id": "mine"}
    assert len(house.bus.published) == 1


async def test_settings_of_a_project_pass_through_a_command(house: House) -> None:
    settings = {"name": "rainfall", "retrain": {"cooldown": "5m"}}
    wish = {"type": "cmd.project.register", "project": "rainfall", "data": {"settings": settings}}

    answer = await post(house, "commands", wish)

    assert answer.status_code == 202
    assert isinstance(house.bus.published[0], RegisterProject)
    assert house.bus.published[0].settings.retrain.cooldown.total_seconds() == 300


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"type": "cmd.data.add", "project": "rainfall", "data": {}}, "path"),
        ({"type": "cmd.data.add", "project": "rainfall", "data": {"path": "x", "pth": 1}}, "pth"),
        ({"type": "cmd.data.add", "project": "Rain Fall", "data": {"path": "x"}}, "project"),
        ({"type": "cmd.workflow.start", "project": "rainfall", "data": {"kind": "tran"}}, "kind"),
        ({"type": "cmd.workflow.start", "project": "rainfall", "data": {"id": "x"}}, "data.id"),
        ({"type": "cmd.workflow.start", "project": "rainfall", "bogus": 1}, "bogus"),
    ],
)
async def test_command_that_does_not_fit_names_the_field(
    house: House, wish: dict[str, Any], field: str
) -> None:
    answer = await post(house, "commands", wish)

    assert answer.status_code == 422
    assert [one["field"] for one in wrong(answer)["problems"]] == [field]
    assert house.bus.published == []


@pytest.mark.parametrize("type_", ["cmd.project.register", "cmd.project.update"])
@pytest.mark.parametrize("remote", ["azure://c?sig=hunter2", "s3://key:hunter2@bucket"])
async def test_credentials_in_a_projects_remote_are_stored_nowhere(
    house: House, type_: str, remote: str
) -> None:
    settings = {"name": "rainfall", "data": {"remote": remote}}

    answer = await post(
        house, "commands", {"type": type_, "project": "rainfall", "data": {"settings": settings}}
    )

    assert answer.status_code == 422
    [problem] = wrong(answer)["problems"]
    assert problem["field"] == "settings.data.remote"
    assert "must hold no credentials" in problem["problem"]
    assert "hunter2" not in answer.text
    assert house.bus.published == []


@pytest.mark.parametrize("type_", ["run.completed", "cmd.nothing.do", ""])
async def test_only_commands_are_commands(house: House, type_: str) -> None:
    answer = await post(house, "commands", {"type": type_, "project": "rainfall"})

    assert answer.status_code == 422
    assert "cmd.workflow.start" in wrong(answer)["fix"]


async def test_command_too_large_for_the_bus_is_refused(house: House) -> None:
    settings = {"name": "rainfall", "data": {"datasets": {f"d{i}": "x" * 200 for i in range(400)}}}
    wish = {"type": "cmd.project.register", "project": "rainfall", "data": {"settings": settings}}

    answer = await post(house, "commands", wish)

    assert answer.status_code == 413
    assert "65536" in wrong(answer)["which"]


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"[1]", 400), (b"x" * 5_000_000, 413)])
async def test_body_that_is_no_object_is_refused(house: House, body: bytes, status: int) -> None:
    answer = await house.client.post("/api/v1/commands", content=body)

    assert answer.status_code == status
    wrong(answer)


async def test_labels_as_a_list_keep_their_time(house: House) -> None:
    await house.say(project())
    label = {"request_id": "r1", "label": 1, "at": "2026-01-01T00:00:00Z"}

    answer = await post(
        house, "labels", {"project": "rainfall", "model": "rain", "labels": [label]}
    )

    event = house.bus.published[-1]
    assert answer.status_code == 202
    assert isinstance(event, LabelRecorded)
    assert event.labels[0].at.year == 2026
    assert event.labels[0].label == 1


async def test_labels_as_a_mapping_are_known_now(house: House) -> None:
    await house.say(project())

    await post(
        house, "labels", {"project": "rainfall", "model": "rain", "labels": {"a": 0, "b": "yes"}}
    )

    event = house.bus.published[-1]
    assert isinstance(event, LabelRecorded)
    assert [(one.request_id, one.label) for one in event.labels] == [("a", 0), ("b", "yes")]
    assert event.labels[0].at.tzinfo is not None


async def test_labels_of_several_numbers_are_told_as_such(house: House) -> None:
    await house.say(project())
    labels = {"a": [0.5, None, 3], "b": [2.5], "c": [True, False]}

    await post(house, "labels", {"project": "rainfall", "model": "rain", "labels": labels})
    refused = [
        await post(
            house, "labels", {"project": "rainfall", "model": "rain", "labels": {"a": label}}
        )
        for label in ([], ["x"], [0.0] * 129, [[1.0]])
    ]

    event = house.bus.published[-1]
    assert isinstance(event, LabelRecorded)
    assert [(one.label, one.numbers) for one in event.labels] == [
        (None, (0.5, None, 3.0)),
        (2.5, None),
        (None, (1.0, 0.0)),
    ]
    assert [answer.status_code for answer in refused] == [422] * 4


async def test_many_labels_become_several_messages_that_the_bus_takes(house: House) -> None:
    await house.say(project())
    labels = {f"{'x' * 100}-{index}": 1 for index in range(1200)}

    answer = await post(house, "labels", {"project": "rainfall", "model": "rain", "labels": labels})

    events = [event for event in house.bus.published if isinstance(event, LabelRecorded)]
    assert answer.json()["labels"] == 1200
    assert answer.json()["ids"] == [event.id for event in events]
    assert [label.request_id for event in events for label in event.labels] == list(labels)
    assert max(len(event.encode()) for event in events) <= 64 * 1024


async def test_labels_in_any_script_fit_the_bus(house: House) -> None:
    await house.say(project())
    labels = {f"r{index}": "雨" * 100 for index in range(400)}

    answer = await post(house, "labels", {"project": "rainfall", "model": "rain", "labels": labels})

    events = [event for event in house.bus.published if isinstance(event, LabelRecorded)]
    assert answer.status_code == 202
    assert sum(len(event.labels) for event in events) == 400


async def test_of_very_many_wrong_labels_the_first_are_named(house: House) -> None:
    await house.say(project())
    labels = [{"label": 1}] * 5000

    answer = await post(house, "labels", {"project": "rainfall", "model": "rain", "labels": labels})

    assert answer.status_code == 422
    assert 1 <= len(wrong(answer)["problems"]) <= 100


@pytest.mark.parametrize(
    ("labels", "status"),
    [
        ([], 422),
        ({}, 422),
        ([{"request_id": "a"}], 422),
        ({"a": "x" * 70_000}, 413),
        ({"": 1}, 422),
        ({"x" * 129: 1}, 422),
        ({"a": {"b": 1}}, 422),
    ],
)
async def test_labels_that_do_not_fit_are_refused(
    house: House, labels: object, status: int
) -> None:
    await house.say(project())

    answer = await post(house, "labels", {"project": "rainfall", "model": "rain", "labels": labels})

    assert answer.status_code == status
    wrong(answer)


async def test_labels_of_an_unknown_project_name_the_known_ones(house: House) -> None:
    async def refuses(_: Mapping[str, Any]) -> dict[str, Any]:
        raise RejectedError("no project 'rainfal' is registered")

    house.bus.answer("workspaces", "get", refuses)
    await house.say(project())

    answer = await post(
        house, "labels", {"project": "rainfal", "model": "rain", "labels": {"a": 1}}
    )

    assert answer.status_code == 404
    assert "registered are: rainfall" in wrong(answer)["fix"]


async def test_labels_are_not_lost_when_nobody_can_tell_the_projects(house: House) -> None:
    answer = await post(house, "labels", {"project": "new", "model": "rain", "labels": {"a": 1}})

    assert answer.status_code == 202


async def test_event_of_another_tool_is_stored_as_it_is(house: House) -> None:
    answer = await post(house, "events", EVENT)

    (stored,) = house.bus.published
    assert answer.status_code == 202
    assert answer.json() == {"id": "check-1"}
    assert (stored.type, stored.source) == ("validation.finished", "/tools/checker")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"type": "model.promoted"}, "validation.finished"),
        ({"type": None}, "validation.finished"),
        ({"source": "/services/tracking"}, "/services/tracking"),
        ({"specversion": "0.3"}, "specversion"),
        ({"time": "yesterday"}, "time"),
        ({"data": {"suite": "mnist", "check": "accuracy", "outcome": "passed", "x": 1}}, "x"),
        ({"data": {"suite": "mnist", "check": "accuracy", "outcome": "pased"}}, "passed"),
        ({"project": "../etc"}, "project"),
    ],
)
async def test_malformed_event_is_refused_with_the_reason(
    house: House, change: dict[str, Any], word: str
) -> None:
    answer = await post(house, "events", {**EVENT, **change})

    assert answer.status_code == 422
    assert word in answer.text
    wrong(answer)
    assert house.bus.published == []


async def test_oversized_event_is_refused(house: House) -> None:
    figures = {f"figure_{index}": 1.0 for index in range(5000)}
    data = {**EVENT["data"], "figures": figures}  # type: ignore[dict-item]  # EVENT mixes kinds

    answer = await post(house, "events", {**EVENT, "data": data})

    assert answer.status_code == 413
    wrong(answer)


async def test_event_of_another_content_type_is_refused(house: House) -> None:
    answer = await house.client.post(
        "/api/v1/events", content=b"a=1", headers={"content-type": "text/plain"}
    )

    assert answer.status_code == 415
    wrong(answer)
