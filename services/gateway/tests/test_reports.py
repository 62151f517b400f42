# SPDX-License-Identifier: Apache-2.0
"""Reports at the door: of one's own projects only, whole or not at all, and unable to act on the platform's site."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from services.gateway.tests.conftest import House, bearer

from mlops.contracts.monitoring import AlertRaised, DriftDetected, DriftKind, Severity, Window
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.workspaces import ProjectRegistered
from mlops.gateway.model.access import Keys

PERIOD = "_periods/rainfall/2026-11-20--2026-11-21-day.html"
EVERY = "_periods/_all/2026-11-20--2026-11-21-day.html"
DRIFT = "rainfall/rain/v1-w00003-drift.html"
OTHER = "sunshine/sun/v1-w00001-drift.html"
NOON = "2026-11-21T12:00:00+00:00"
TEXT = {"Accept": "text/html"}


def listed(path: str, **more: Any) -> dict[str, Any]:
    project, is_period = path.split("/")[1 if path.startswith("_") else 0], path.startswith("_")
    return {
        "path": path, "address": f"/reports/{path}", "project": project, "model": None if is_period else "<rain>",
        "kind": "day" if is_period else "drift", "version": None if is_period else 1, "window": None if is_period else 3,
        "period": "2026-11-20..2026-11-21" if is_period else None, "size_bytes": 2_500_000, "written_at": NOON, **more,
    }  # fmt: skip


@dataclass
class Shelf:
    """Answers as monitoring does, in pieces of ten bytes; *written_at* is when each piece's file was written."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[Mapping[str, Any]] = field(default_factory=list)
    written_at: list[str] = field(default_factory=list)

    async def reports(self, question: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append(question)
        found = [listed(path) for path in (PERIOD, EVERY, DRIFT, OTHER)]
        wanted = question.get("projects")
        theirs = [one for one in found if wanted is None or one["project"] in (*wanted, "_all")]
        return {"reports": theirs, "left_out": 7}

    async def report(self, question: Mapping[str, Any]) -> dict[str, Any]:
        content, offset = self.files.get(question["path"]), question["offset"]
        if content is None:
            return {"path": question["path"], "content": None}
        at = self.written_at.pop(0) if self.written_at else NOON
        piece = b64encode(content[offset : offset + 10]).decode()
        return {"content": piece, "size_bytes": len(content), "written_at": at}


@pytest.fixture
def shelf(house: House) -> Shelf:
    shelf = Shelf({path: b"<p>" + bytes(range(97, 122)) for path in (PERIOD, EVERY, DRIFT, OTHER)})
    shelf.files[PERIOD.replace(".html", ".json")] = b"{}"
    house.bus.answer("monitoring", "reports", shelf.reports)
    house.bus.answer("monitoring", "report", shelf.report)
    return shelf


def rules(answer: httpx.Response) -> set[str]:
    return {rule.strip() for rule in answer.headers["Content-Security-Policy"].split(";")}


@pytest.mark.usefixtures("shelf")
async def test_a_report_comes_whole_and_no_script_of_it_can_act_on_the_platform(
    house: House,
) -> None:
    page = await house.client.get(f"/reports/{PERIOD}")
    figures = await house.client.get(f"/reports/{PERIOD.replace('.html', '.json')}")
    drawn = await house.client.get(f"/reports/{DRIFT}")

    assert page.content == b"<p>" + bytes(range(97, 122))
    assert page.headers["Content-Type"].startswith("text/html")
    assert (figures.json(), figures.headers["Content-Type"]) == ({}, "application/json")
    assert {"sandbox allow-same-origin", "default-src 'none'", "form-action 'none'"} <= rules(page)
    assert not any(rule.startswith("script-src") for rule in rules(page))
    # Evidently's page needs its scripts: they are a stranger's, and can ask nobody for anything.
    assert {"sandbox allow-scripts", "connect-src 'none'", "default-src 'none'"} <= rules(drawn)


@pytest.mark.usefixtures("shelf")
async def test_a_token_of_a_project_opens_its_own_reports_only(house: House) -> None:
    answers = [
        await house.client.get(path, headers=bearer("read"))
        for path in (f"/reports/{DRIFT}", f"/reports/{OTHER}", f"/reports/{EVERY}", "/api/v1/reports?project=sunshine")
    ]  # fmt: skip
    blind = await house.client.get(f"/reports/{DRIFT}", headers=bearer("infer"))
    nobody = await house.client.get(f"/reports/{DRIFT}", headers={"Authorization": ""})

    assert [one.status_code for one in answers] == [200, 403, 403, 403]
    assert (blind.status_code, nobody.status_code) == (403, 401)


async def test_the_list_holds_what_a_caller_may_read(house: House, shelf: Shelf) -> None:
    everybody = await house.client.get("/api/v1/reports?model=rain&limit=5")
    ann = await house.client.get("/api/v1/reports", headers=bearer("read"))

    assert [one["path"] for one in everybody.json()["reports"]] == [PERIOD, EVERY, DRIFT, OTHER]
    assert [one["path"] for one in ann.json()["reports"]] == [PERIOD, DRIFT]
    assert shelf.asked[0] == {"limit": 5, "model": "rain"}
    assert shelf.asked[1]["projects"] == ["rainfall"]


@pytest.mark.usefixtures("shelf")
async def test_a_browser_sees_the_page_of_reports_and_what_is_gone_is_said(house: House) -> None:
    house.client.headers.pop("Authorization")
    stranger = await house.client.get(f"/reports/{PERIOD}", headers=TEXT)
    house.client.cookies.set("mlops_visitor", Keys("correct-horse-battery-staple").cookie)
    page = await house.client.get("/reports", headers=TEXT)
    opened = await house.client.get(f"/reports/{PERIOD}", headers=TEXT)
    gone = await house.client.get("/reports/rainfall/rain/v9-w00001-drift.html", headers=TEXT)

    assert stranger.status_code == 401
    assert f'href="/reports/{PERIOD}"' in stranger.text  # the way back from a chat or a mail
    assert f'href="/reports/{DRIFT}"' in page.text
    assert "&lt;rain&gt;" in page.text
    assert "7 older ones" in page.text
    assert opened.status_code == 200
    assert (gone.status_code, "no longer kept" in gone.text) == (404, True)


async def test_a_page_that_is_replaced_meanwhile_is_not_patched_together(
    house: House, shelf: Shelf
) -> None:
    shelf.written_at = [NOON, "2026-11-21T12:00:01+00:00"]

    with pytest.raises(RuntimeError, match="response already started"):  # the connection ends
        await house.client.get(f"/reports/{DRIFT}")


@pytest.mark.parametrize(
    "path",
    ["rainfall/../credentials.json", "credentials.json", "rainfall/rain/.part", "%2e%2e/a/b.html"],
)
async def test_nothing_but_reports_is_read(house: House, shelf: Shelf, path: str) -> None:
    answer = await house.client.get(f"/reports/{path}")

    assert answer.status_code in (404, 405)
    assert shelf.asked == []


async def test_alerts_and_drift_lead_to_the_report_of_their_window(house: House) -> None:
    uri = f"file:///srv/mlops/reports/{DRIFT}"
    at = Window(index=3, rows=250, first_at=NOON, last_at=NOON)
    await house.say(
        ProjectRegistered(project="rainfall", settings=ProjectSettings(name="rainfall"), revision=1),
        AlertRaised(
            project="rainfall", alert_id="a-1", severity=Severity.WARNING, title="drift", dedup_key="k",
            links=(uri, "https://elsewhere/a.html"),
        ),
        DriftDetected(
            project="rainfall", model="rain", version=1, kind=DriftKind.DATA, severity=Severity.WARNING,
            share_drifted_ratio=0.5, columns=(), window=at, report_uri=uri,
        ),
    )  # fmt: skip

    page = await house.client.get("/")

    assert page.text.count(f'href="/reports/{DRIFT}"') == 2
    assert "elsewhere" not in page.text
