# SPDX-License-Identifier: Apache-2.0
"""What monitoring says of its reports: the newest first, by project and model, and what stands in them, piece by piece."""

from __future__ import annotations

import os
from base64 import b64decode
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.errors import RejectedError
from mlops.chassis.sidecar import Sidecar
from mlops.monitoring.adapters.evidently import WORKER, EvidentlyReports
from mlops.monitoring.adapters.memory import MemoryLedger
from mlops.monitoring.adapters.places import Place
from mlops.monitoring.adapters.report_shelf import FolderShelf
from mlops.monitoring.app import wire_shelf
from mlops.monitoring.model.windows import ModelKey, Watched
from mlops.monitoring.ports import Page

MODEL = ModelKey("rain", "rain/fall")
DAY = "2026-11-20--2026-11-21-day.html"


@pytest.fixture
async def bus(tmp_path: Path) -> MemoryBus:
    """Return a bus on which the reports of two projects and of all can be read; later ones are newer."""
    root, ledger, bus = Place(str(tmp_path / "reports")), MemoryLedger(), MemoryBus()
    reports = EvidentlyReports(
        root, root, Sidecar(WORKER), timeout=timedelta(seconds=9), keep=9, keep_for=timedelta(9)
    )

    def known(page: Page) -> list[Any]:
        page.models.put(Watched(MODEL))
        return []

    await ledger.apply("known", known)
    window = reports.uri(MODEL, "v2-w00003-drift").removeprefix(f"{root.uri}/")
    names = [window, f"_periods/_all/{DAY}", f"_periods/rain/{DAY}", "snow/m/v1-w00001-drift.html"]
    for number, name in enumerate(names):
        file = tmp_path / "reports" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"ab" * 300_000)
        os.utime(file, (number, number))
    (tmp_path / "secret.html").write_text("not a report")
    wire_shelf(bus, FolderShelf(tmp_path / "reports"), reports, ledger)
    return bus


class Rewritten(type(Path())):  # type: ignore[misc]  # the class of this system's paths is known when it runs
    """Paths whose files are replaced as soon as they were opened."""

    def open(self, *how: Any, **more: Any) -> Any:
        """Open the file as it is, and put another into its place."""
        file = super().open(*how, **more)
        fresh = Path(f"{self}.fresh")
        fresh.write_bytes(b"newer")
        fresh.replace(str(self))
        return file


async def listed(bus: MemoryBus, **question: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await bus.ask("monitoring", "reports", question))["reports"]
    return found


async def test_reports_are_told_with_what_they_are_of_the_newest_first(bus: MemoryBus) -> None:
    snow, day, every, window = await listed(bus)

    assert (snow["project"], snow["model"], snow["kind"]) == ("snow", "m", "drift")
    assert (day["period"], day["kind"], day["model"]) == ("2026-11-20..2026-11-21", "day", None)
    assert (every["project"], every["address"]) == ("all-projects", f"/reports/_periods/_all/{DAY}")
    assert (window["model"], window["version"], window["window"]) == ("rain/fall", 2, 3)
    assert window["size_bytes"] == 600_000


async def test_the_report_of_a_demo_is_one_of_its_project_over_a_time(
    bus: MemoryBus, tmp_path: Path
) -> None:
    name = "_periods/rain/2026-11-22T131000--2026-11-22T131448-demo.html"
    (tmp_path / "reports" / name).write_text("loop")

    demo = (await listed(bus, project="rain"))[0]

    assert (demo["project"], demo["kind"], demo["model"]) == ("rain", "demo", None)
    assert demo["period"] == "2026-11-22T131000..2026-11-22T131448"


async def test_reports_are_told_by_project_and_model(bus: MemoryBus) -> None:
    by_project = await listed(bus, projects=["rain", "absent"])
    by_model = await listed(bus, project="rain", model="rain/fall")
    newest = await bus.ask("monitoring", "reports", {"limit": 1})

    assert {one["project"] for one in by_project} == {"rain"}
    assert [one["window"] for one in by_model] == [3]
    assert await listed(bus, projects=[]) == []
    assert await listed(bus, project="all-projects") == [(await listed(bus))[2]]
    assert (len(newest["reports"]), newest["left_out"]) == (1, 3)


async def test_a_report_is_read_out_in_pieces_that_a_message_holds(bus: MemoryBus) -> None:
    path, content, pieces = f"_periods/_all/{DAY}", b"", 0
    while len(content) < 600_000:
        told = await bus.ask("monitoring", "report", {"path": path, "offset": len(content)})
        content, pieces = content + b64decode(told["content"]), pieces + 1
        assert len(told["content"]) < 800_000

    assert (content, pieces) == (b"ab" * 300_000, 2)
    gone = await bus.ask("monitoring", "report", {"path": "rain/m/absent.html"})
    assert gone["content"] is None


async def test_a_piece_and_its_size_are_of_the_same_file(tmp_path: Path) -> None:
    page = tmp_path / "rain" / "m" / "a.html"
    page.parent.mkdir(parents=True)
    page.write_bytes(b"old")

    found = await FolderShelf(Rewritten(tmp_path)).piece("rain/m/a.html", 0, 100)

    assert found is not None
    assert (found.content, found.size_bytes) == (b"old", 3)
    assert page.read_bytes() == b"newer"


@pytest.mark.parametrize(
    "question",
    [
        {"path": "../secret.html"},
        {"path": "rain/../../secret.html"},
        {},
        {"path": f"_periods/_all/{DAY}", "offset": -1},
        {"path": f"_periods/_all/{DAY}", "offset": "far"},
    ],
)
async def test_what_names_no_report_is_refused(bus: MemoryBus, question: dict[str, Any]) -> None:
    with pytest.raises(RejectedError):
        await bus.ask("monitoring", "report", question)


@pytest.mark.parametrize("question", [{"limit": 0}, {"limit": 501}, {"project": "../.."}])
async def test_a_list_that_makes_no_sense_is_refused(
    bus: MemoryBus, question: dict[str, Any]
) -> None:
    with pytest.raises(RejectedError):
        await listed(bus, **question)
