# SPDX-License-Identifier: Apache-2.0
"""Paths of reports: what they name, and what names none."""

from __future__ import annotations

import pytest

from mlops.contracts.report_paths import ReportPath, named_by, opened_at, parsed

PAGE = "rain/model-1/v1-w00003-drift.html"


@pytest.mark.parametrize(
    ("text", "project", "folder"),
    [
        (PAGE, "rain", "model-1"),
        ("_periods/rain/2026-11-01--2026-11-02-day.html", "rain", ""),
        ("_periods/rain/2026-11-01--2026-11-02-day.json", "rain", ""),
        ("_periods/_all/2026-11-01--2026-11-08-week.html", None, ""),
        ("_periods/rain/2026-11-01--2026-11-02-day/story.png", "rain", ""),
    ],
)
def test_a_path_says_whose_report_it_is(text: str, project: str | None, folder: str) -> None:
    found = parsed(text)

    assert found is not None
    assert (found.project, found.folder, found.text) == (project, folder, text)
    assert found.address == f"/reports/{text}"


@pytest.mark.parametrize(
    "text",
    [
        "", "rain", "rain/page.html", "rain/../credentials.json", "../rain/a.html", "rain/m/../a.html", "rain//a.html",
        "rain/m/.html", "rain/m/a.txt", "rain/m/deep/a.html", "/etc/a/b.html", "Rain/m/a.html", "_periods/a.html",
        "_periods/_every/a.html", "_periods/rain/.part/a.png", "_periods/rain/a/b/c.png", "_periods", "rain/m/a.html\n",
        "rain/m%2f/a.html", "rain\\m/b/a.html",
    ],
)  # fmt: skip
def test_what_could_lead_elsewhere_names_nothing(text: str) -> None:
    assert parsed(text) is None


def test_a_page_is_known_by_the_address_that_events_name_it_by() -> None:
    stored = (f"file:///srv/ml%20ops/reports/{PAGE}", f"s3://bucket/prefix/reports/{PAGE}")

    assert [named_by(uri) for uri in stored] == [
        ReportPath("rain", "model-1", "v1-w00003-drift.html")
    ] * 2
    assert [named_by(uri) for uri in ("", "https://elsewhere/page.html", f"s3://b/{PAGE}")] == [None] * 3  # fmt: skip
    assert opened_at("http://ops:8090/", stored[0]) == f"http://ops:8090/reports/{PAGE}"
    assert opened_at("", stored[0]) is None


def test_what_is_no_address_at_all_names_no_page() -> None:
    assert named_by(f"http://[bad/reports/{PAGE}") is None
    assert opened_at("http://ops:8090", f"http://[bad/reports/{PAGE}") is None
