# SPDX-License-Identifier: Apache-2.0
"""Reports over a time by the real writer, and by the real service on a real bus."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

import pytest

from mlops.chassis.bus_nats import NatsBus
from mlops.chassis.sidecar import Sidecar
from mlops.contracts.latency import EDGES_MS
from mlops.contracts.monitoring import MakeReport
from mlops.contracts.serving import DeploymentMetered
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.workspaces import ProjectRegistered
from mlops.monitoring.adapters.pages import WORKER, SidecarPages
from mlops.monitoring.adapters.places import Place
from mlops.monitoring.model.reports import Answers, Report, report
from mlops.monitoring.model.reports_entries import (
    AlertOpened,
    Change,
    Drifted,
    Entry,
    Lane,
    Measured,
    Metered,
    Moment,
    Sample,
    Training,
)
from mlops.monitoring.model.reports_machines import Machines
from mlops.monitoring.model.reports_period import Period
from mlops.monitoring.ports import MadeReports
from servers.services import ServiceProcess

pytestmark = pytest.mark.timeout(150)

MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC)
DAY = timedelta(days=1)
NASTY = "a<script>$x_1$&\"'"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
async def pages(tmp_path: Path) -> AsyncIterator[SidecarPages]:
    sidecar = Sidecar(WORKER)
    zone = ZoneInfo("Europe/Berlin")
    yield SidecarPages(Place(str(tmp_path)), sidecar, zone, timeout=timedelta(seconds=50), keep=3)
    await sidecar.close()


def full(model: str = "rain") -> Report:
    period = Period("day", MIDNIGHT, MIDNIGHT + DAY)

    def at(hours: float) -> datetime:
        return MIDNIGHT + timedelta(hours=hours)

    entries: list[Entry] = [
        *(Metered("rain", model, 1, at(h), 100 + h, 50, 1, {"20": 45, "30": 5}, 4.0) for h in range(20)),
        *(Measured("rain", model, 1 + h // 6, at(h), "accuracy", 0.9 - h / 50, 0.9, h > 8, 100) for h in range(12)),
        Drifted("rain", model, 1, at(5), "data", "warning", 0.5, (("wind", 0.3), (NASTY, 0.2))),
        Moment("rain", at(6), Lane.RETRAINING, f"retrain of {model} was queued", model, NASTY),
        Training("rain", "w-1", "retrain", "completed", at(7), 900.0, 7200.0),
        AlertOpened("rain", "a", "critical", NASTY, at(8)),
    ]  # fmt: skip
    machines = Machines(period)
    machines.add(Sample("mac", at(3), 60.0, "Apple M4", level=2, temp_c=95.0, watts=20.0))
    compared = Change("rain", model, "p95_ms", 4.0, 8.0, beyond_noise=True)
    found = report(entries, machines.found(), period, "rain", Answers(EDGES_MS))
    return replace(found, changes=(compared,))


def path_of(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path))


async def test_a_page_shows_everything_and_fetches_nothing(pages: SidecarPages) -> None:
    written = await pages.write(full())

    html = path_of(written.uri).read_text()
    assert not re.findall(r'(?:src|href)="(?!#)(?:https?:|//)', html)
    assert "<script" not in html
    assert "@import" not in html
    shown = ("Daily report", "accuracy", "95 % of answers within", "Trainings", "2 Wh", "throttled")
    against = ("Against the day before", "8 ms", "+100%", "more than noise")
    assert [word for word in (*shown, *against) if word not in html] == []
    assert html.count("<svg") == 7
    pictures = [path_of(uri) for uri in written.picture_uris]
    assert len(pictures) == 7
    assert all(one.read_bytes().startswith(PNG) for one in pictures)


async def test_the_figures_beside_it_are_those_of_the_page(pages: SidecarPages) -> None:
    written = await pages.write(full())

    figures = json.loads(path_of(written.figures_uri).read_text())
    assert figures["traffic"]["predictions"] == 20 * 100 + sum(range(20))
    assert f"{figures['traffic']['predictions']:,}" in path_of(written.uri).read_text()
    assert figures["period"]["since"] == "2026-11-20T00:00:00Z"


async def test_names_of_any_kind_are_text(pages: SidecarPages) -> None:
    written = await pages.write(full(NASTY))

    html = path_of(written.uri).read_text()
    assert "<script>" not in html
    assert "a&lt;script&gt;$x_1$&amp;" in html


async def test_the_same_figures_make_the_same_page_byte_by_byte(pages: SidecarPages) -> None:
    first = path_of((await pages.write(full())).uri).read_bytes()
    again = path_of((await pages.write(full())).uri).read_bytes()

    assert again == first


async def test_an_empty_period_says_so(pages: SidecarPages) -> None:
    period = Period("day", MIDNIGHT, MIDNIGHT + DAY)

    written = await pages.write(report([], [], period, None, Answers(EDGES_MS)))

    assert "Nothing was recorded in this period." in path_of(written.uri).read_text()
    assert written.picture_uris == ()


async def test_requests_of_a_sender_that_does_not_tell_failures_are_on_a_page(
    pages: SidecarPages,
) -> None:
    period = Period("day", MIDNIGHT, MIDNIGHT + DAY)
    untold = Metered("rain", "rain", 1, MIDNIGHT, 100, requests=50)

    written = await pages.write(report([untold], [], period, "rain", Answers(EDGES_MS)))

    html = path_of(written.uri).read_text()
    assert "100 predictions" in html
    assert "requests failed</small>" not in html


async def test_old_pages_go_with_their_figures_and_pictures(
    pages: SidecarPages, tmp_path: Path
) -> None:
    for day in range(5):
        since = MIDNIGHT + day * DAY
        moment = Moment("rain", since, Lane.ROLLOUT, "rain v2 answers", "rain")
        period = Period("day", since, since + DAY)
        await pages.write(report([moment], [], period, "rain", Answers(EDGES_MS)))

    names = sorted(one.name for one in (tmp_path / "rain").iterdir())
    assert len(names) == 3 * 3
    assert names[0] == "2026-11-22T010000--2026-11-23T010000-day"


@pytest.fixture
def service(tmp_path: Path, nats_server: Any) -> Iterator[ServiceProcess]:
    # Six hours ago: no new day becomes due while the test runs.
    due_at = datetime.now(UTC) - timedelta(hours=6)
    found = ServiceProcess(
        "monitoring", tmp_path, nats_server, MONITORING_REPORTS_AT=f"{due_at:%H:%M}"
    )
    found.start()
    yield found
    found.kill()


async def published(bus: NatsBus, kind: str, least: int = 1) -> list[dict[str, Any]]:
    async with asyncio.timeout(90):
        while True:
            told = [one.envelope async for one in bus.follow(["report.published"], live=False)]
            found = [one for one in told if one["data"]["kind"] == kind]
            if len(found) >= least:
                return found
            await asyncio.sleep(0.2)


@pytest.mark.server
@pytest.mark.timeout(150)
async def test_the_service_reports_by_the_clock_once_and_whenever_it_is_asked(
    service: ServiceProcess, bus: NatsBus
) -> None:
    now = datetime.now(UTC)
    made = bus.documents("monitoring_reports", MadeReports)
    long_ago = MadeReports(until={"day": now - 30 * DAY, "week": now - 30 * DAY})
    for scope in ("rain", "all-projects"):
        await made.change(scope, lambda _: long_ago, applied=f"since-{scope}")
    metered = DeploymentMetered(
        project="rain", deployment_id="d", model="rain", version=1, predictions=1234,
        since=now - timedelta(hours=1), until=now, requests=1000, failed=0, latency_counts={"20": 1000},
    )  # fmt: skip
    await bus.publish(metered)
    settings = ProjectSettings(name="rain")
    await bus.publish(ProjectRegistered(project="rain", settings=settings, revision=1))
    scheduled = await published(bus, "week", least=2)

    service.kill()
    service.start()
    period = f"{now - DAY:%Y-%m-%dT%H:%M:%S%z}..{now + DAY:%Y-%m-%dT%H:%M:%S%z}"
    await bus.publish(MakeReport(project="rain", period=period))
    [asked] = await published(bus, "period")

    figures = json.loads(path_of(asked["data"]["figures_uri"]).read_text())
    assert figures["traffic"]["predictions"] == 1234
    assert {one["project"] for one in scheduled} == {"rain", "all-projects"}
    assert len(await published(bus, "day", least=2)) == 2  # the restart made none again
