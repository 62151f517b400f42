# SPDX-License-Identifier: Apache-2.0
"""What every store of reports over a time promises: memory, and the real writer in its child process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from mlops.chassis.sidecar import Sidecar
from mlops.monitoring.adapters.memory_pages import MemoryPages
from mlops.monitoring.adapters.pages import WORKER, SidecarPages
from mlops.monitoring.adapters.places import Place
from mlops.monitoring.model.reports import Answers, Report, report
from mlops.monitoring.model.reports_entries import Lane, Moment
from mlops.monitoring.model.reports_period import Period
from mlops.monitoring.ports import Pages

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(params=["memory", "sidecar"])
async def pages(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pages]:
    if request.param == "memory":
        yield MemoryPages()
        return
    sidecar = Sidecar(WORKER)
    yield SidecarPages(
        Place(str(tmp_path)), sidecar, ZoneInfo("UTC"), timeout=timedelta(seconds=50), keep=5
    )
    await sidecar.close()


def found(project: str | None = "rain", days: int = 1) -> Report:
    period = Period("period", NOON, NOON + timedelta(days=days))
    moment = Moment("rain", NOON + timedelta(hours=1), Lane.ROLLOUT, "rain v2 answers", "rain")
    return report([moment], [], period, project, Answers([1.0, 2.0]))


async def test_a_page_has_its_figures_and_pictures_beside_it(pages: Pages) -> None:
    written = await pages.write(found())

    assert written.uri.endswith(".html")
    assert written.figures_uri.endswith(".json")
    assert [uri.rpartition("/")[2] for uri in written.picture_uris] == ["story.png"]
    assert written.size_bytes > 0


async def test_the_same_period_of_a_project_is_the_same_page(pages: Pages) -> None:
    once, again = await pages.write(found()), await pages.write(found())

    assert again == once


async def test_other_periods_and_projects_have_pages_of_their_own(pages: Pages) -> None:
    uris = {
        (await pages.write(found(name, days))).uri for name in ("rain", None) for days in (1, 2)
    }

    assert len(uris) == 4
