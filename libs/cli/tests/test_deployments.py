# SPDX-License-Identifier: Apache-2.0
"""deploy, undeploy, deployments: kinds of rollouts, figures of versions, and how a rollout stands."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest
from libs.cli.tests.conftest import Asked, Door, Refuse

from mlops.cli.served import journeys, standing
from mlops.cli.views import Rows, View, show_again

ROUTES: dict[str, Any] = {
    "deployments": [],
    "routes": [
        {
            "project": "rain",
            "model": "rain",
            "versions": [{"version": 1, "weight": 1.0, "url": "http://replica"}],
        }
    ],
}
LIVE: dict[str, Any] = {
    "version": 1,
    "state": "live",
    "traffic_ratio": 1.0,
    "replicas": 2,
    "rate": 31.5,
    "requests": 900,
    "errors": 3,
    "shed": 1,
    "p50_ms": 4.0,
    "p95_ms": 9.5,
    "p99_ms": 22.6,
    "memory_bytes": 260_000_000,
    "backend": "sklearn",
    "format": "sklearn-skops",
}
COPIED: dict[str, Any] = {**LIVE, "version": 2, "state": "shadow", "traffic_ratio": 0.0}
WHY = "98.0% of 200 answers agree with version 1's; compared for 30 of 60 s"
DETAIL: dict[str, Any] = {
    "project": "rain",
    "model": "rain",
    "versions": [LIVE, COPIED],
    "rollout": {
        "deployment_id": "d-1",
        "version": 2,
        "kind": "shadow",
        "phase": "shadow",
        "traffic_ratio": 0.0,
        "held": "",
        "why": WHY,
    },
    "rollouts": [
        {
            "version": 2,
            "kind": "shadow",
            "marks": [
                {"phase": "starting", "at": "2026-01-31T12:00:00+00:00"},
                {
                    "phase": "shadow",
                    "stage": "compared",
                    "at": "2026-01-31T12:01:00+00:00",
                    "comparison": {
                        "requests": 200,
                        "against_version": 1,
                        "agreement_ratio": 0.98,
                        "latency_p95_ms": 9.5,
                        "against_latency_p95_ms": 8.0,
                    },
                },
                {
                    "phase": "canary",
                    "at": "2026-01-31T12:02:00+00:00",
                    "traffic_ratio": 0.1,
                    "reason": "a person lets it go on",
                },
            ],
        }
    ],
}


def said(type_: str, id_: str, **more: object) -> dict[str, Any]:
    usual = {"deployment_id": "d-1", "model": "rain", "version": 2}
    return {"id": id_, "type": f"deployment.{type_}", "project": "rain", "data": {**usual, **more}}


@pytest.mark.parametrize(
    ("words", "kind"), [([], None), (["--rollout", "blue-green"], "blue-green")]
)
def test_deploy_names_the_kind_only_when_a_person_does(
    door: Door, words: list[str], kind: str | None
) -> None:
    door.will_answer(said("started", "e-1"))

    door.json("deploy", "rain", "2", "-p", "rain", *words)

    assert door.bodies("/api/v1/commands")[0]["data"].get("rollout") == kind


def test_a_kind_that_there_is_not_is_an_input_error(door: Door) -> None:
    found = door.run("deploy", "rain", "2", "-p", "rain", "--rollout", "sideways")

    assert found.exit_code == 2
    assert door.bodies("/api/v1/commands") == []


def test_deploying_the_version_of_a_shadow_again_follows_it_from_there(door: Door) -> None:
    on = said("progressed", "e-1", phase="canary", traffic_ratio=0.1)
    door.will_answer(on)
    door.answers["/api/v1/events"] = [on, said("completed", "e-2")]

    found = door.run("deploy", "rain", "2", "-p", "rain", "--watch")

    assert found.exit_code == 0
    assert found.stdout.splitlines()[-1].split()[0] == "deployment.completed"


def test_that_a_shadow_waited_before_it_was_let_go_on_ends_no_watching(door: Door) -> None:
    waited = said("progressed", "e-1", phase="held", reason="waits for a person: deploy it again")
    on = said("progressed", "e-2", phase="canary", traffic_ratio=0.1)
    door.will_answer(on)
    door.answers["/api/v1/events"] = [waited, on, said("completed", "e-3")]

    found = door.run("deploy", "rain", "2", "-p", "rain", "--watch")

    assert found.exit_code == 0
    assert "waits for a person" not in found.stderr


@pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/commands/c-1/result"])
def test_watching_goes_on_when_the_gateway_was_away_for_a_moment(door: Door, path: str) -> None:
    begun, looks = said("started", "e-1"), count()
    door.will_answer(begun)
    door.answers["/api/v1/events"] = [begun, said("completed", "e-2")]
    then = door.answers[path]
    door.answers[path] = lambda _: then if next(looks) else Refuse(503, "away for a moment")

    found = door.run("deploy", "rain", "2", "-p", "rain", "--watch")

    assert found.exit_code == 0
    assert next(looks) > 1
    told = [line.split()[2] for line in found.stderr.splitlines()]
    assert told == ["deployment.started", "deployment.completed"]


def test_who_is_let_in_no_longer_does_not_watch_on(door: Door) -> None:
    door.will_answer(said("started", "e-1"))
    door.answers["/api/v1/events"] = Refuse(401, "the token has expired", "make another")

    found = door.run("deploy", "rain", "2", "-p", "rain", "--watch")

    assert found.exit_code == 1
    assert "the token has expired" in found.stderr
    assert len(door.queries("/api/v1/events")) == 1


@pytest.mark.parametrize(("end", "code"), [("completed", 0), ("reverted", 1), ("failed", 1)])
def test_programs_get_the_whole_rollout_as_one_object(door: Door, end: str, code: int) -> None:
    begun, last = said("started", "e-1"), said(end, "e-3", reason="it fell over")
    door.will_answer(begun)
    door.answers["/api/v1/events"] = [begun, said("progressed", "e-2", phase="warm"), last]

    found = door.run("deploy", "rain", "2", "-p", "rain", "--watch", "--json")

    assert found.exit_code == code
    told = json.loads(found.stdout)
    assert told["id"] == "c-1"
    assert [one["id"] for one in told["events"]] == ["e-1", "e-2", "e-3"]
    assert "e-2" not in found.stderr
    assert ("it fell over" in found.stderr) == bool(code)


def test_watching_a_shadow_ends_when_it_waits_for_a_person(door: Door) -> None:
    begun = said("started", "e-1")
    door.will_answer(begun)
    waits = said("progressed", "e-2", phase="held", reason="waits for a person: deploy it again")
    door.answers["/api/v1/events"] = [begun, waits]

    found = door.run("deploy", "rain", "2", "-p", "rain", "--watch")

    assert found.exit_code == 1
    assert "waits for a person" in found.stderr
    assert "mlops deploy rain 2" in found.stderr


def test_heat_that_holds_a_rollout_ends_no_watching(door: Door) -> None:
    begun, looks = said("started", "e-1"), count()
    door.will_answer(begun)
    hot = said("progressed", "e-2", phase="held", reason="waits for a cooler machine")

    def events(_: Asked) -> list[dict[str, Any]]:
        return [begun, hot, *([said("completed", "e-3")] if next(looks) else [])]

    door.answers["/api/v1/events"] = events

    assert door.run("deploy", "rain", "2", "-p", "rain", "--watch").exit_code == 0


def test_the_table_has_every_version_that_runs_with_its_figures(door: Door) -> None:
    door.answers["/api/v1/deployments"] = ROUTES
    door.answer("serving", "list", {"deployments": [DETAIL]})

    shown = door.run("deployments").stdout.splitlines()

    live, copied = (line.split() for line in shown[1:3])
    assert live[:6] == ["rain", "rain", "1", "live", "100%", "2"]
    assert copied[:6] == ["rain", "rain", "2", "shadow", "0%", "2"]
    assert "4/9.5/22.6" in live
    assert "3 of 900" in shown[1]
    assert "260.0 MB" in shown[1]
    assert "sklearn sklearn-skops" in shown[1]
    assert shown[3] == f"version 2 of rain shadow: shadow; {WHY}"


def test_one_model_shows_every_step_and_comparison(door: Door) -> None:
    door.answers["/api/v1/deployments"] = ROUTES
    door.answer("serving", "list", {"deployments": [DETAIL]})
    door.answer("serving", "get", {"deployment": DETAIL})

    shown = door.run("deployments", "rain").stdout
    found = door.json("deployments", "rain", "-p", "rain")

    assert "200 answers beside version 1's: 98.0% agree; p95 9.5 against 8 ms" in shown
    assert "a person lets it go on" in shown
    assert WHY in shown
    assert found["deployment"]["versions"][1]["state"] == "shadow"
    assert door.queries("/api/v1/query/serving/get")[0] == {"project": "rain", "model": "rain"}


@pytest.mark.parametrize(
    ("owners", "words"),
    [([], "no project serves"), (["rain", "snow"], "2 projects serve")],
)
def test_a_model_without_its_one_project_is_an_input_error(
    door: Door, owners: list[str], words: str
) -> None:
    served = [{**DETAIL, "project": one} for one in owners]
    door.answer("serving", "list", {"deployments": served})

    found = door.run("deployments", "rain")

    assert found.exit_code == 2
    assert words in found.stderr


def test_while_serving_is_away_the_routes_of_the_gateway_stand_alone(door: Door) -> None:
    door.answers["/api/v1/deployments"] = ROUTES
    door.answer("serving", "list", Refuse(503, "serving is away", "wait"))

    shown = door.run("deployments").stdout.splitlines()

    assert shown[1].split()[:5] == ["rain", "rain", "1", "-", "100%"]


def test_undeploy_says_what_still_runs(door: Door) -> None:
    looks = count()
    removed = said("removed", "e-1", version=1)
    door.answers["/api/v1/deployments"] = ROUTES
    door.answers["/api/v1/events"] = lambda _: [removed] if next(looks) > 1 else []
    leaving = {**DETAIL, "versions": [{**LIVE, "state": "leaves in 5 s"}]}
    door.answer("serving", "get", {"deployment": leaving})
    door.will_answer()

    found = door.run("undeploy", "rain", "-p", "rain", "--watch")

    assert found.exit_code == 0
    assert "version 1 leaves in 5 s" in found.stderr


def test_undeploy_waits_on_when_the_gateway_was_away_for_a_moment(door: Door) -> None:
    looks = count()
    removed = said("removed", "e-1", version=1)
    answers: list[Any] = [[], Refuse(503, "away for a moment"), [removed]]
    door.answers["/api/v1/deployments"] = ROUTES
    door.answers["/api/v1/events"] = lambda _: answers[min(next(looks), 2)]
    door.will_answer()

    assert door.run("undeploy", "rain", "-p", "rain").exit_code == 0


def test_what_holds_a_rollout_comes_before_what_was_seen() -> None:
    held = {**DETAIL["rollout"], "held": "waits for a cooler machine"}

    assert standing({**DETAIL, "rollout": held}).endswith("shadow; waits for a cooler machine")
    assert standing({**DETAIL, "rollout": None}) == ""


def test_a_step_without_traffic_or_reason_is_a_line_all_the_same() -> None:
    first = journeys(DETAIL["rollouts"])[0]

    assert first[1:] == (2, "shadow", "starting", None, "")


def test_programs_that_watch_get_a_line_for_each_look(capsys: pytest.CaptureFixture[str]) -> None:
    looks = count()

    def look() -> View:
        if next(looks):
            raise KeyboardInterrupt
        return View({"deployments": []}, [Rows(("model",), [], "nothing")])

    with pytest.raises(KeyboardInterrupt):
        show_again(look, watch=True, as_json=True)

    assert json.loads(capsys.readouterr().out) == {"deployments": []}


def test_without_a_terminal_watching_shows_it_once(capsys: pytest.CaptureFixture[str]) -> None:
    view = View({}, [Rows(("model",), [("rain",)], "nothing"), "it stands"])

    show_again(lambda: view, watch=True, as_json=False)

    assert capsys.readouterr().out.split() == ["model", "rain", "it", "stands"]


def test_in_a_terminal_one_model_is_looked_at_again_and_again(door: Door) -> None:
    looks = count()

    def serving(_: Asked) -> Any:
        return {"deployment": DETAIL} if next(looks) < 2 else Refuse(404, "rain is gone", "")

    door.answers["/api/v1/deployments"] = ROUTES
    door.answer("serving", "get", serving)

    shown = "\n".join(door.screen(180, "deployments", "rain", "-p", "rain", "--watch"))

    assert next(looks) == 3
    assert "98.0% of 200 answers agree" in shown
    assert "rain is gone" in shown


def test_in_a_terminal_a_rollout_moves_before_the_eyes(door: Door) -> None:
    begun, looks = said("started", "e-1"), count()
    door.will_answer(begun)
    door.answers["/api/v1/events"] = lambda _: [
        begun,
        *([said("completed", "e-2")] if next(looks) > 1 else []),
    ]
    door.answer("serving", "get", {"deployment": DETAIL})

    shown = "\n".join(door.screen(180, "deploy", "rain", "2", "-p", "rain", "--watch"))

    assert "shadow: shadow; 98.0% of 200 answers agree" in shown
    assert "31.5/s, p95 9.5 ms, 3 of 900 errors" in shown
    assert "deployment.completed" in shown
