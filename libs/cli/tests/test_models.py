# SPDX-License-Identifier: Apache-2.0
"""model, deploy, undeploy, deployments: the registry of all projects, and rollouts by hand."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from libs.cli.tests.conftest import Asked, Door, Refuse

VIEW = {
    "project": "rain",
    "name": "rain",
    "latest": 3,
    "champion": 2,
    "challenger": 3,
    "tags": {"team": "weather"},
    "apple_compatibility": {"mlx": "no: no weights", "coreml": "yes"},
    "updated_at": "2026-01-31T12:00:00+00:00",
}
GATE = {"decision": "rejected", "reason": "gain -0.1 < min_gain 0", "metric": "accuracy"}
VERSION = {
    "version": 3,
    "run_id": "c" * 32,
    "aliases": ["challenger"],
    "created_at": "2026-01-31T12:00:00+00:00",
    "status": "READY",
    "flavors": ["sklearn"],
    "size_bytes": 775_200,
    "metrics": {"accuracy": 0.82},
    "gate": GATE,
    "apple_compatibility": {},
    "tags": {},
}


def event(type_: str, id_: str = "e-1", **data: object) -> dict[str, Any]:
    return {"id": id_, "type": type_, "project": "rain", "data": data}


def rollout(type_: str, id_: str, **more: object) -> dict[str, Any]:
    usual = {"deployment_id": "d-1", "model": "rain", "version": 2}
    return event(f"deployment.{type_}", id_, **{**usual, **more})


def routes(*versions: int) -> dict[str, Any]:
    of_model = [{"version": one, "weight": 1.0, "url": "http://replica"} for one in versions]
    route = {"project": "rain", "model": "rain", "versions": of_model}
    return {"deployments": [], "routes": [route] if versions else []}


def test_list_shows_all_projects_and_what_runs_on_apple(door: Door) -> None:
    door.answer("tracking", "models", {"models": [VIEW]})

    shown = door.run("model", "list", "--compatible", "coreml").stdout

    assert door.queries("/api/v1/query/tracking/models") == [{"compatible": "coreml"}]
    head, line = (one.split() for one in shown.splitlines())
    assert head[:5] == ["project", "model", "champion", "challenger", "latest"]
    assert line[:7] == ["rain", "rain", "2", "3", "3", "coreml", "team=weather"]


def test_show_tells_what_the_gate_said(door: Door) -> None:
    door.answer("tracking", "models", {"models": [VIEW]})
    door.answer("tracking", "model", {"model": {**VIEW, "versions": [VERSION]}})

    shown = door.run("model", "show", "rain").stdout

    assert door.queries("/api/v1/query/tracking/model") == [{"project": "rain", "name": "rain"}]
    assert "rejected  gain -0.1 < min_gain 0" in shown
    assert "no: no weights" in shown


def test_a_model_of_several_projects_needs_the_project(door: Door) -> None:
    door.answer("tracking", "models", {"models": [VIEW, {**VIEW, "project": "snow"}]})
    door.answer("tracking", "model", {"model": {**VIEW, "versions": []}})

    unclear, clear = (
        door.run("model", "show", "rain"),
        door.run("model", "show", "rain", "-p", "snow"),
    )
    unknown = door.run("model", "show", "hail")

    assert (unclear.exit_code, clear.exit_code, unknown.exit_code) == (2, 0, 2)
    assert "rain, snow" in unclear.stderr


def test_promote_says_why(door: Door) -> None:
    door.will_answer(event("model.promoted", name="rain", version=3))

    found = door.json("model", "promote", "rain", "3", "-p", "rain", "--reason", "looked at it")

    (wish,) = door.bodies("/api/v1/commands")
    assert wish["type"] == "cmd.model.promote"
    assert wish["data"] == {"name": "rain", "version": 3, "reason": "looked at it"}
    assert found["events"][0]["type"] == "model.promoted"


def test_a_refusal_is_an_input_error_with_its_reason(door: Door) -> None:
    door.will_answer(event("command.refused", reason="model 'rain' has no version 9"))

    found = door.run("model", "promote", "rain", "9", "-p", "rain")

    assert found.exit_code == 2
    assert "has no version 9" in found.stderr


def test_no_answer_is_a_failure_that_says_what_may_still_come(door: Door) -> None:
    door.will_answer()

    found = door.run("model", "promote", "rain", "9", "-p", "rain")

    assert found.exit_code == 1
    assert "mlops explain c-1" in found.stderr


@pytest.mark.parametrize(
    ("champion", "version"), [(2, 2), (None, 3)], ids=["the champion", "else the latest"]
)
def test_deploy_without_a_version_takes(door: Door, champion: int | None, version: int) -> None:
    door.answer("tracking", "model", {"model": {**VIEW, "champion": champion, "versions": []}})
    door.will_answer(rollout("started", "e-1"))

    found = door.run("deploy", "rain", "-p", "rain")

    assert found.exit_code == 0
    assert door.bodies("/api/v1/commands")[0]["data"]["version"] == version
    assert "mlops deployments" in found.stdout


@pytest.mark.parametrize(("end", "code"), [("completed", 0), ("reverted", 1), ("failed", 1)])
def test_watch_follows_a_rollout_to_its_end(door: Door, end: str, code: int) -> None:
    door.will_answer(rollout("started", "e-1"))
    other = rollout("completed", "e-9", deployment_id="d-other")
    looks, why = count(), {"reason": "it fell over"} if code else {}

    def events(_: Asked) -> list[dict[str, Any]]:
        said = [rollout("started", "e-1"), other, rollout("progressed", "e-2", phase="warm")]
        return [*said, rollout(end, "e-3", **why)] if next(looks) else said

    door.answers["/api/v1/events"] = events

    found = door.run("deploy", "rain", "2", "-p", "rain", "--watch")

    assert found.exit_code == code
    assert [line.split()[2] for line in found.stderr.splitlines()[:3]] == [
        "deployment.started",
        "deployment.progressed",
        f"deployment.{end}",
    ]
    assert ("it fell over" in found.stderr) == bool(code)
    assert found.stdout.splitlines()[-1].split()[0] == f"deployment.{end}"


def test_rollback_names_the_version(door: Door) -> None:
    door.will_answer(rollout("started", "e-1"))

    door.json("model", "rollback", "rain", "--to", "1", "-p", "rain")

    assert door.bodies("/api/v1/commands")[0]["data"] == {"model": "rain", "to_version": 1}


def test_undeploy_waits_until_what_answered_is_removed(door: Door) -> None:
    old = rollout("removed", "e-1", version=1)
    replaced = rollout("removed", "e-2", version=1)
    wanted = rollout("removed", "e-3", version=2)
    looks = count()
    door.answers["/api/v1/deployments"] = routes(2)
    door.answers["/api/v1/events"] = lambda _: [[old], [old, replaced], [replaced, wanted]][
        min(next(looks), 2)
    ]
    door.will_answer()

    found = door.json("undeploy", "rain", "2", "-p", "rain")

    assert next(looks) == 3
    assert [one["id"] for one in found["events"]] == ["e-2", "e-3"]


def test_undeploy_of_a_version_that_does_not_answer_changes_nothing(door: Door) -> None:
    door.answers["/api/v1/deployments"] = routes(1, 2)

    found = door.run("undeploy", "rain", "2", "-p", "rain")

    assert found.exit_code == 2
    assert "that is: 1, 2" in found.stderr
    assert door.bodies("/api/v1/commands") == []


def test_undeploy_that_is_refused_is_an_input_error(door: Door) -> None:
    door.answers["/api/v1/deployments"] = routes()
    door.answers["/api/v1/events"] = []
    door.will_answer(event("command.refused", reason="model 'rain' is not served"))

    found = door.run("undeploy", "rain", "-p", "rain")

    assert found.exit_code == 2
    assert "is not served" in found.stderr


def test_deployments_shows_shares_of_the_traffic(door: Door) -> None:
    door.answers["/api/v1/deployments"] = routes(2)

    shown = door.run("deployments").stdout

    assert "100%" in shown
    assert "no rollouts yet" in shown


def test_deployments_shows_what_slows_a_version_and_what_it_takes(door: Door) -> None:
    why = "n1 is at level 2"
    state = {
        "project": "rain",
        "model": "rain",
        "heat": {"2": {"concurrency": 4, "full": 8, "why": why}},
        "energy": {"2": {"joules_per_1000": 61.234, "measured": True}},
        "rollout": {"version": 3, "held": f"waits for a cooler machine; {why}"},
    }
    door.answers["/api/v1/deployments"] = routes(2)
    door.answer("serving", "list", {"deployments": [state, {**state, "project": "other"}]})

    shown = door.run("deployments", "-p", "rain").stdout
    found = door.json("deployments", "-p", "rain")

    assert "4 of 8" in shown
    assert "61.2 measured" in shown
    assert f"version 3 of rain waits for a cooler machine; {why}" in shown
    assert [one["project"] for one in found["running"]] == ["rain"]


def test_a_gateway_that_refuses_keeps_its_fix(door: Door) -> None:
    door.answer("tracking", "models", Refuse(503, "not available at the moment", "try again"))

    found = door.run("model", "list")

    assert found.exit_code == 1
    assert "try again" in found.stderr
