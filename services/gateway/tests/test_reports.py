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


async def let_in(house: House, *acts: str, **more: Any) -> httpx.Response:
    token = bearer("read", *acts, **more)["Authorization"].removeprefix("Bearer ")
    house.client.headers.pop("Authorization", None)
    return await house.client.get("/", params={"token": token, "next": "/reports"}, headers=TEXT)


@pytest.mark.usefixtures("shelf")
async def test_a_browser_with_a_token_of_a_project_sees_its_reports_and_no_others(
    house: House,
) -> None:
    entered = await let_in(house, lasts=600)
    page = await house.client.get("/reports", headers=TEXT)
    mine, theirs, everybodys, mlflow = [
        await house.client.get(path, headers=TEXT)
        for path in (f"/reports/{DRIFT}", f"/reports/{OTHER}", f"/reports/{EVERY}", "/mlflow/")
    ]
    listed_of_others = await house.client.get("/reports?project=sunshine", headers=TEXT)
    elsewhere = await house.client.get("/api/v1/status")

    cookie = entered.headers["set-cookie"]
    assert (entered.status_code, entered.headers["location"]) == (303, "/reports")
    assert 0 < int(cookie.split("Max-Age=")[1].split(";")[0]) <= 600  # no longer than the token
    assert ("HttpOnly" in cookie, "samesite=strict" in cookie.lower()) == (True, True)
    assert f'href="/reports/{DRIFT}"' in page.text
    assert OTHER not in page.text
    assert mine.status_code == 200
    refused = (theirs, everybodys, mlflow, listed_of_others, elsewhere)
    assert [one.status_code for one in refused] == [403] * 5
    assert "<h2>The token does not open this project</h2>" in theirs.text
    assert "sunshine; it opens rainfall" in listed_of_others.text
    assert "The token opens projects only" in everybodys.text
    assert "The token opens projects only" in mlflow.text


@pytest.mark.usefixtures("shelf")
async def test_a_link_with_a_token_of_a_project_leaves_the_installations_cookie(
    house: House,
) -> None:
    whole = Keys("correct-horse-battery-staple").cookie
    house.client.cookies.set("mlops_visitor", whole)
    entered = await let_in(house)

    assert (entered.status_code, entered.headers["location"]) == (303, "/reports")
    assert "set-cookie" not in entered.headers
    assert (await house.client.get("/api/v1/status")).status_code == 200


@pytest.mark.usefixtures("shelf")
async def test_the_cookie_of_a_project_is_no_token_and_writes_nothing(house: House) -> None:
    await let_in(house)
    cookie = house.client.cookies["mlops_visitor"]
    as_token = await house.client.get(
        f"/reports/{DRIFT}", headers={"Authorization": f"Bearer {cookie}"}
    )
    in_address = await house.client.get("/", params={"token": cookie})
    page = {"Sec-Fetch-Site": "same-origin"}
    silence = {"project": "rainfall", "for_s": 3600}
    silenced = await house.client.post("/api/v1/alerts/silences", json=silence, headers=page)
    house.client.cookies.set("mlops_visitor", cookie[:-2])
    changed = await house.client.get(f"/reports/{DRIFT}")

    assert [one.status_code for one in (as_token, in_address, silenced, changed)] == [401, 403, 403, 401]  # fmt: skip
    assert house.bus.published == []


async def test_a_token_that_may_not_read_or_is_over_opens_no_page(house: House) -> None:
    house.client.headers.pop("Authorization")
    tokens = [bearer("infer", "write"), bearer("read", lasts=-60)]
    blind, late = [
        await house.client.get("/", params={"token": one["Authorization"].removeprefix("Bearer ")})
        for one in tokens
    ]

    by_header = await house.client.get("/", headers=bearer("infer"))

    assert (blind.status_code, late.status_code, by_header.status_code) == (403, 403, 403)
    assert "The token may not read" in blind.text
    assert "The token has expired" in late.text
    assert {*blind.headers, *late.headers}.isdisjoint({"set-cookie"})


async def test_the_status_page_shows_a_token_of_a_project_what_is_of_it(house: House) -> None:
    for name in ("rainfall", "sunshine"):
        settings = ProjectSettings.model_validate({"name": name})
        raised = {"severity": Severity.WARNING, "title": f"{name} drifts", "dedup_key": name}
        await house.say(
            ProjectRegistered(project=name, settings=settings, path=f"/{name}", revision=1),
            AlertRaised(project=name, alert_id=f"a-{name}", **raised),
        )
    await let_in(house)
    page = await house.client.get("/", headers=TEXT)
    await let_in(house, "write", "infer")
    writing = await house.client.get("/", headers=TEXT)
    same = {"Sec-Fetch-Site": "same-origin"}
    answers = [
        await house.client.post(
            "/api/v1/alerts/silences", json={"project": name, "for_s": 60}, headers=same
        )
        for name in ("rainfall", "sunshine", "all-projects")
    ]
    command = {"type": "cmd.workflow.start", "project": "rainfall"}
    wish = await house.client.post("/api/v1/commands", json=command, headers=same)

    assert page.status_code == 200
    assert "rainfall drifts" in page.text
    assert "sunshine" not in page.text + writing.text
    assert "Services" not in page.text + writing.text
    assert "<button" not in page.text  # of a token that only reads
    assert "<option>rainfall</option>" in writing.text
    assert "all-projects" not in writing.text
    assert [one.status_code for one in answers] == [202, 403, 403]
    assert wish.status_code == 401  # of writing a browser has the page's buttons only


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
