# SPDX-License-Identifier: Apache-2.0
"""`mlops report`: what it asks for, and what people and programs get of the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from libs.cli.tests.conftest import Door


def published(**data: Any) -> dict[str, Any]:
    told = {"kind": "week", "uri": "s3://far/page.html", "figures_uri": "s3://far/page.json"}
    return {"type": "report.published", "subject": "", "data": {**told, **data}}


def written(folder: Path) -> dict[str, Any]:
    page, figures = folder / "a page.html", folder / "a page.json"
    page.write_text("<html>")
    figures.write_text(json.dumps({"headline": ["All kept.", "2 rollouts."], "empty": False}))
    return published(uri=page.as_uri(), figures_uri=figures.as_uri())


def test_a_report_of_a_project_over_a_time_is_asked_for(door: Door) -> None:
    door.will_answer(published())

    door.run("report", "--project", "rain", "--period", "2026-11-01..2026-11-08")

    [sent] = door.bodies("/api/v1/commands")
    assert sent == {
        "type": "cmd.report.make",
        "project": "rain",
        "data": {"period": "2026-11-01..2026-11-08"},
    }


def test_without_a_project_it_is_about_all_of_them(door: Door) -> None:
    door.will_answer(published())

    door.run("report")

    [sent] = door.bodies("/api/v1/commands")
    assert (sent["project"], sent["data"]) == ("all-projects", {"period": "day"})


def test_people_get_the_headline_and_the_page(door: Door, tmp_path: Path) -> None:
    door.will_answer(written(tmp_path))

    lines = door.run("report").stdout.splitlines()

    assert lines == ["All kept.", "2 rollouts.", str(tmp_path / "a page.html")]


def test_people_elsewhere_get_the_page_at_the_gateway(door: Door) -> None:
    address = "http://ops:8090/reports/_periods/rain/a--b-day.html"
    door.will_answer(published(page_url=address))

    assert door.run("report").stdout.splitlines() == [address]


def test_programs_get_the_figures(door: Door, tmp_path: Path) -> None:
    door.will_answer(written(tmp_path))

    assert door.json("report")["headline"] == ["All kept.", "2 rollouts."]


def test_of_a_platform_elsewhere_they_get_where_the_figures_are(door: Door) -> None:
    door.will_answer(published())

    assert door.json("report")["figures_uri"] == "s3://far/page.json"


def test_a_refused_period_is_an_input_error(door: Door) -> None:
    refused = {"type": "command.refused", "subject": "", "data": {"reason": "'x' is no period"}}
    door.will_answer(refused)

    found = door.run("report", "--period", "x")

    assert found.exit_code == 2
    assert "'x' is no period" in found.output
