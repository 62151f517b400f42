# SPDX-License-Identifier: Apache-2.0
"""monitor [judge|reference] and events publish against a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from libs.cli.tests.conftest import Door, Refuse

MODEL = {
    "project": "rain",
    "model": "rain",
    "version": 2,
    "metric": "accuracy",
    "expected": 0.9,
    "threshold": 0.85,
    "degraded": True,
    "open_window": {"rows": 120, "size": 300, "labelled": 0},
    "waiting_for_labels": 1,
    "windows": [{"value": 0.9}, {"value": None}, {"value": 0.7, "unexpected_columns": ["tide"]}],
    "drift": {"data": {"on": True, "columns": ["dew_point"], "critical": True}},
    "reference": {"origin": "windows 0-1", "rows": 600},
}
ALERT = {"project": "rain", "model": "rain", "severity": "critical", "title": "worse", "open": True}
COLUMN = {
    "name": "a",
    "kind": "data",
    "test": "ks",
    "score": 0.4,
    "threshold": 0.1,
    "drifted": True,
}
JUDGED = {
    "rows": 300,
    "rows_in_table": 300,
    "version": 2,
    "reference": {"origin": "windows 0-1", "rows": 600},
    "drift": {
        "drifted": True,
        "cannot_judge": None,
        "share_drifted_ratio": 0.5,
        "columns": [COLUMN],
        "missing_columns": [],
        "unexpected_columns": ["b"],
    },
    "performance": {
        "metric": "accuracy",
        "value": 0.7,
        "expected": 0.9,
        "threshold": 0.85,
        "degraded": True,
        "rows": 300,
    },
    "retraining_suggested": True,
    "reasons": ["accuracy is below 0.85"],
    "suggestion": "retrain with newer rows",
}
STORED = {"uri": "file:///table.csv", "sha256": "0" * 64, "bytes": 4}


@pytest.fixture
def watched(door: Door) -> Door:
    door.answer("monitoring", "models", {"models": [MODEL]})
    door.answer(
        "monitoring", "alerts", {"alerts": [ALERT, {**ALERT, "open": False, "title": "old"}]}
    )
    door.answers["/api/v1/projects"] = {"projects": [{"project": "rain", "model": "rain"}]}
    door.answers["/api/v1/files"] = STORED
    Path("table.csv").write_bytes(b"a\n1\n")
    return door


def test_the_state_of_models_and_what_is_open(watched: Door) -> None:
    shown = watched.run("monitor").stdout
    found = watched.json("monitor", "-p", "rain")

    line = shown.splitlines()[1]
    assert [word in line for word in ("0.7", "degraded", "data", "120/300", "█▁")] == [True] * 5
    assert "not in the reference: tide" in " ".join(shown.split())
    assert "worse" in shown
    assert "old" not in shown
    assert [one["title"] for one in found["alerts"]] == ["worse"]
    assert watched.queries("/api/v1/query/monitoring/models") == [{}, {"project": "rain"}]


@pytest.mark.parametrize("width", [80, 200])
def test_the_state_fits_its_terminal(watched: Door, width: int) -> None:
    assert max(map(len, watched.screen(width, "monitor"))) <= width


def test_a_table_is_brought_and_judged(watched: Door) -> None:
    watched.answers["/api/v1/monitor/judge"] = JUDGED

    shown = watched.run("monitor", "judge", "table.csv", "-p", "rain", "--target", "rain").stdout

    (upload,) = [one for one in watched.asked if one.path == "/api/v1/files"]
    assert (upload.query, upload.body) == ({"name": "table.csv"}, b"a\n1\n")
    assert watched.bodies("/api/v1/monitor/judge") == [
        {"project": "rain", "model": "rain", "uri": STORED["uri"], "target": "rain"}
    ]
    assert "rain.rain version 2  retraining suggested" in shown
    assert "accuracy 0.7, expected 0.9, degraded from 0.85, over 300 rows" in shown
    assert "300 against 600 of windows 0-1" in shown
    assert shown.splitlines()[-1].split() == ["a", "data", "drifted", "0.4", "0.1", "ks"]


@pytest.mark.parametrize("table", ["missing.csv", "table.txt", "folder.csv"])
def test_a_table_that_cannot_be_read_is_an_input_error(watched: Door, table: str) -> None:
    Path("table.txt").write_text("x")
    Path("folder.csv").mkdir()

    found = watched.run("monitor", "judge", table, "-p", "rain")

    assert found.exit_code == 2
    assert table in found.stderr
    assert not [one for one in watched.asked if one.path == "/api/v1/files"]


def test_a_project_that_serves_nothing_needs_a_model(watched: Door) -> None:
    found = watched.run("monitor", "judge", "table.csv", "-p", "snow")

    assert found.exit_code == 2
    assert "--model" in found.stderr


@pytest.mark.parametrize("with_table", [True, False])
def test_a_reference_is_a_table_or_the_next_window(watched: Door, *, with_table: bool) -> None:
    chosen = {"id": "e", "type": "reference.chosen", "data": {"model": "rain", "version": 2}}
    watched.will_answer(chosen)

    table = ["table.csv"] if with_table else []
    watched.json("monitor", "reference", *table, "-p", "rain", "-m", "rain")

    (wish,) = watched.bodies("/api/v1/commands")
    assert wish["type"] == "cmd.monitor.reference"
    assert wish["data"]["uri"] == (STORED["uri"] if with_table else None)


def sent(door: Door, path: str = "/api/v1/events") -> list[dict[str, Any]]:
    return door.bodies(path)


CHECK = {"suite": "s", "check": "c", "outcome": "passed"}


def test_a_type_with_its_fields_becomes_a_cloud_event(door: Door) -> None:
    door.answers["/api/v1/events"] = {"id": "e-1"}

    found = door.json("events", "publish", "validation.finished", json.dumps(CHECK), "-p", "rain")

    (event,) = sent(door)
    assert found == {"id": "e-1"}
    assert (event["specversion"], event["type"], event["project"]) == (
        "1.0",
        "validation.finished",
        "rain",
    )
    assert event["data"] == CHECK


@pytest.mark.parametrize("form", ["object", "list", "lines"])
def test_a_file_holds_one_or_several(door: Door, form: str) -> None:
    one = {"type": "validation.finished", "project": "rain", "data": CHECK, "id": "mine"}
    wish = {"type": "cmd.workflow.start", "project": "snow", "data": {"why": "so"}}
    texts = {
        "object": json.dumps(one),
        "list": json.dumps([one, wish]),
        "lines": f"{json.dumps(one)}\n\n{json.dumps(wish)}\n",
    }
    Path("said.json").write_text(texts[form])
    door.answers["/api/v1/events"] = {"id": "mine"}
    door.answers["/api/v1/commands"] = {"id": "c-1"}

    found = door.run("events", "publish", "said.json")

    assert found.exit_code == 0, found.output
    assert [event["id"] for event in sent(door)] == ["mine"]
    assert [one["project"] for one in sent(door, "/api/v1/commands")] == (
        [] if form == "object" else ["snow"]
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is not JSON"),
        ("[]", "is empty"),
        ('{"data": {}}', "without a type"),
        ('{"type": "rain.fell", "project": "rain"}', "no message type 'rain.fell'"),
        ('{"type": "validation.finished"}', "which project"),
        ('{"type": "validation.finished", "project": "rain"}', "suite"),
        ('{"type": "validation.finished", "project": "rain", "data": {"sweet": 1}}', "sweet"),
    ],
)
def test_what_does_not_fit_is_not_sent(door: Door, text: str, told: str) -> None:
    Path("said.json").write_text(text)

    found = door.run("events", "publish", "said.json")

    assert found.exit_code == 2
    assert told in found.stderr
    assert door.asked == []


def test_a_refused_event_is_an_input_error(door: Door) -> None:
    door.answers["/api/v1/events"] = Refuse(422, "no such project: rain", "register it")

    found = door.run("events", "publish", "validation.finished", json.dumps(CHECK), "-p", "rain")

    assert found.exit_code == 2
    assert "register it" in found.stderr


def test_a_platform_elsewhere_is_named_by_the_environment(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = json.loads((door.home / "endpoints.json").read_text())["gateway"]
    elsewhere = Door(tmp_path / "none")
    door.answers["/api/v1/alerts"] = {"alerts": []}
    monkeypatch.setenv("MLOPS_GATEWAY_URL", f"{address}/")
    locked = elsewhere.run("alerts")
    monkeypatch.setenv("MLOPS_TOKEN", "open-sesame")

    assert (locked.exit_code, elsewhere.run("alerts").exit_code) == (3, 0)
    assert "MLOPS_TOKEN" in locked.stderr
