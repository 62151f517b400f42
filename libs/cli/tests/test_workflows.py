# SPDX-License-Identifier: Apache-2.0
"""workflow start|list|cancel|approve|why and data add|push|pull|list|restore against a server."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest
from libs.cli.tests.conftest import Asked, Door, Refuse

KEY = "rain-0961"


def event(type_: str, **data: object) -> dict[str, Any]:
    return {"id": "e-1", "type": type_, "project": "rain", "data": data}


def workflow(state: str, **more: object) -> dict[str, Any]:
    usual = {"project": "rain", "workflow_key": KEY, "kind": "train", "why": "because"}
    return {**usual, "state": state, "duration_s": 26.1, **more}


QUEUED = event("workflow.queued", workflow_key=KEY)


def test_start_says_what_for_and_why(door: Door) -> None:
    door.will_answer(QUEUED)

    door.json("workflow", "start", "-p", "rain", "--kind", "evaluate", "--why", "new days")

    (wish,) = door.bodies("/api/v1/commands")
    assert (wish["type"], wish["project"]) == ("cmd.workflow.start", "rain")
    assert wish["data"] == {"kind": "evaluate", "model": None, "why": "new days"}


def test_a_declined_workflow_is_a_failure_with_the_rule(door: Door) -> None:
    door.will_answer(
        event("workflow.declined", reason="cooldown", retry_at="2026-01-31T12:00:00+00:00")
    )

    found = door.run("workflow", "start", "-p", "rain")

    assert found.exit_code == 1
    assert "declined: cooldown" in found.stderr
    assert "2026-01-31" in found.stderr


@pytest.mark.parametrize(("end", "code"), [("completed", 0), ("failed", 1), ("cancelled", 1)])
def test_wait_goes_on_until_the_end(door: Door, end: str, code: int) -> None:
    door.will_answer(QUEUED)
    looks = count()

    def answer(_: Asked) -> object:
        states: list[object] = [
            workflow("queued", decision="the machine is hot"),
            Refuse(503, "away for a moment"),
            workflow("started"),
            workflow(end, diagnosis="train.py ended with 1"),
        ]
        return states[next(looks)]

    door.answers[f"/api/v1/workflows/{KEY}"] = answer

    found = door.run("workflow", "start", "-p", "rain", "--wait")

    assert found.exit_code == code
    assert "the machine is hot" in found.stderr
    assert ("train.py ended with 1" in found.stderr) == bool(code)


def test_what_waits_for_a_person_is_told_so(door: Door) -> None:
    door.answers["/api/v1/overview"] = {
        "workflows": [workflow("queued", awaits_approval=True, decision="needs a yes")]
    }

    shown = door.run("workflow", "list").stdout

    assert "needs a yes" in shown


@pytest.mark.parametrize(
    ("word", "type_", "answer"),
    [
        ("cancel", "cmd.workflow.cancel", "workflow.cancelled"),
        ("approve", "cmd.workflow.approve", "workflow.approved"),
    ],
)
def test_a_workflow_is_named_by_its_key_alone(
    door: Door, word: str, type_: str, answer: str
) -> None:
    door.answers[f"/api/v1/workflows/{KEY}"] = workflow("queued")
    door.will_answer(event(answer, workflow_key=KEY))

    found = door.json("workflow", word, KEY)

    (wish,) = door.bodies("/api/v1/commands")
    assert (wish["type"], wish["project"]) == (type_, "rain")
    assert wish["data"]["workflow_key"] == KEY
    assert found["events"][0]["type"] == answer


def test_why_tells_the_place_and_what_would_help(door: Door) -> None:
    door.answer(
        "orchestration_bridge",
        "why",
        {
            "state": "awaits_approval",
            "reason": "mode is approve",
            "place": 2,
            "of": 3,
            "ahead": ["x"],
        },
    )

    shown = door.run("workflow", "why", KEY).stdout

    assert door.queries("/api/v1/query/orchestration_bridge/why") == [{"workflow_key": KEY}]
    assert "mode is approve" in shown
    assert "place 2 of 3; before it: x" in shown
    assert f"mlops workflow approve {KEY}" in shown


def test_why_shows_the_gate_its_figures_and_the_error_of_the_guess(door: Door) -> None:
    decision = {
        "gate": "heat",
        "reason": "new work is held: n1 is at heat level 2",
        "share_used_ratio": 0.25,
        "running": 1,
        "memory_needed_bytes": 2_400_000_000,
        "memory_free_bytes": 9_000_000_000,
        "node": "n1",
        "thermal_level": 2,
        "cool_s": 47.0,
        "expected_error_s": 12.5,
        "obstacles": [{"reason": "n1 is at heat level 2"}, {"reason": "n2 has no mlx"}],
    }
    door.answer(
        "orchestration_bridge",
        "why",
        {
            "state": "waiting",
            "waits": True,
            "reason": decision["reason"],
            "until": "2026-03-01T12:00:00Z",
            "workflow": {"decision": decision},
        },
    )

    shown = door.run("workflow", "why", KEY).stdout

    assert "± 12.5 s, as such words were off so far" in shown
    assert "gate     heat" in shown
    assert "share    25% used, 1 running" in shown
    assert "memory   2.4 GB needed, 9.0 GB free" in shown
    assert "machine  n1, heat level 2, cool in about 47.0 s" in shown
    assert "n2 has no mlx" in shown
    assert shown.count("n1 is at heat level 2") == 1
    assert door.json("workflow", "why", KEY)["workflow"]["decision"] == decision


def test_why_of_one_that_was_moved_tells_its_attempts_and_what_it_is_asked(door: Door) -> None:
    left = {"node": "n1", "parted": "left", "saved": True, "ended_at": "2026-01-01T12:00:00Z"}
    lost = {"node": "n2", "parted": "lost", "saved": False, "ended_at": "2026-01-01T13:00:00Z"}
    door.answer(
        "orchestration_bridge",
        "why",
        {
            "state": "running",
            "waits": False,
            "reason": "n3 is at heat level 2",
            "attempt": 3,
            "attempts": [left, lost],
            "asked": {"ask": "save", "request": 2, "reason": "n3 is hot"},
        },
    )

    shown = door.run("workflow", "why", KEY).stdout

    assert "attempt 1 left n1 at" in shown
    assert "kept what it saved" in shown
    assert "attempt 2 vanished with n2 at" in shown
    assert "attempt 3 asked to save, and go on, request 2" in shown


def test_list_tells_attempts_and_what_is_asked(door: Door) -> None:
    asked = {"ask": "leave", "request": 1, "attempt": 2, "reason": "n1 is hot"}
    one = {"project": "rain", "workflow_key": KEY, "kind": "train", "state": "running"}
    door.answers["/api/v1/overview"] = {"workflows": [{**one, "attempt": 2, "asked": asked}]}

    assert "running (2), asked to leave" in door.run("workflow", "list").stdout


def versioned(name: str) -> dict[str, Any]:
    return event("data.versioned", name=name, version=1)


def test_several_paths_are_added_one_after_the_other(door: Door) -> None:
    door.will_answer(versioned("x"))

    found = door.json("data", "add", "a.csv", "b.csv", "-p", "rain")

    assert [one["data"]["path"] for one in door.bodies("/api/v1/commands")] == ["a.csv", "b.csv"]
    assert len(found) == 2


def test_a_path_is_called_as_the_project_file_calls_it(door: Door) -> None:
    Path("mlops.toml").write_text('name = "rain"\n[data.datasets]\ndays = "data/days.csv"\n')
    door.will_answer(versioned("days"))

    door.json("data", "add", "./data/days.csv")
    door.json("data", "add", "./data/days.csv", "-p", "snow")

    assert [one["data"]["name"] for one in door.bodies("/api/v1/commands")] == ["days", ""]


def test_what_was_done_before_a_refusal_is_shown(door: Door) -> None:
    ids = count()
    results = {"c-0": [versioned("a")], "c-1": [event("command.refused", reason="nothing there")]}
    door.answers["/api/v1/commands"] = lambda _: {"id": f"c-{next(ids)}"}
    for id_, events in results.items():
        door.answers[f"/api/v1/commands/{id_}/result"] = events

    found = door.run("data", "add", "a", "b", "c", "-p", "rain")

    assert found.exit_code == 2
    assert found.stdout.count("data.versioned") == 1
    assert "nothing there" in found.stderr
    assert len(door.bodies("/api/v1/commands")) == 2


def test_one_name_cannot_be_given_to_two_paths(door: Door) -> None:
    assert door.run("data", "add", "a", "b", "--name", "x", "-p", "rain").exit_code == 2


@pytest.mark.parametrize("word", ["push", "pull"])
def test_without_names_all_datasets_are_meant(door: Door, word: str) -> None:
    door.answer("versioning", "versions", {"versions": [held("a"), held("b"), held("b")]})
    door.will_answer(event("data.pushed", name="x"), event("data.restored", name="x"))

    door.json("data", word, "-p", "rain")

    assert [one["data"]["name"] for one in door.bodies("/api/v1/commands")] == ["a", "b"]


def test_without_any_dataset_there_is_nothing_to_push(door: Door) -> None:
    door.answer("versioning", "versions", {"versions": []})

    found = door.run("data", "push", "-p", "rain")

    assert found.exit_code == 2
    assert "mlops data add" in found.stderr


def held(name: str) -> dict[str, Any]:
    return {"name": name, "version": 1, "files": 1, "size_bytes": 1, "hash": "h", "path": "d.csv"}


@pytest.mark.parametrize("force", [False, True])
def test_changes_that_no_version_holds_are_put_aside_and_never_lost(
    door: Door, tmp_path: Path, *, force: bool
) -> None:
    (tmp_path / "d.csv").write_text("mine")
    (tmp_path / "d.csv.local").write_text("older")
    door.answers["/api/v1/projects"] = {"projects": [{"project": "rain", "path": str(tmp_path)}]}
    door.answer("versioning", "versions", {"versions": [held("days")]})
    refused = event("command.refused", reason="'d.csv' has changes that no version holds")
    door.will_answer()
    door.answers["/api/v1/commands/c-1/result"] = lambda _: (
        [refused] if (tmp_path / "d.csv").exists() else [event("data.restored", name="days")]
    )

    found = door.run("data", "pull", "days", "-p", "rain", *(["--force"] if force else []))

    kept = {path.name: path.read_text() for path in tmp_path.glob("d.csv*")}
    assert found.exit_code == (0 if force else 2)
    assert kept["d.csv.local"] == "older"
    assert kept["d.csv.local1" if force else "d.csv"] == "mine"


def test_list_says_how_many_runs_read_a_version(door: Door) -> None:
    door.answer("versioning", "versions", {"versions": [{**held("days"), "uses": 7}]})

    found = door.json("data", "list", "days", "-p", "rain")

    assert found[0]["uses"] == 7
    assert door.queries("/api/v1/query/versioning/versions") == [
        {"project": "rain", "name": "days", "limit": "200"}
    ]
