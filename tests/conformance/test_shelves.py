# SPDX-License-Identifier: Apache-2.0
"""What every shelf of reports promises to its readers: a folder of this machine, and storage behind a child process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops.chassis.sidecar import Sidecar
from mlops.monitoring.adapters.places import Place
from mlops.monitoring.adapters.report_shelf import WORKER, FolderShelf, SidecarShelf
from mlops.monitoring.ports import Shelf

PAGES = ("rain/model/v1-w00001-drift.html", "_periods/_all/a--b-day.html", "snow/m/x.html")


@pytest.fixture(params=["folder", "sidecar"])
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    for number, path in enumerate(PAGES):
        file = tmp_path / "reports" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"0123456789"[: number + 8])
        file.with_suffix(".json").write_text("{}")
    if request.param == "folder":
        yield FolderShelf(tmp_path / "reports")
        return
    sidecar = Sidecar(WORKER)
    root = Place(tmp_path.as_uri()).at("reports")
    yield SidecarShelf(root, sidecar, timedelta(seconds=30))
    await sidecar.close()


async def test_pages_are_found_by_folder_with_size_and_time(shelf: Shelf) -> None:
    every = await shelf.pages([])
    some = await shelf.pages(["rain", "_periods/_all", "absent"])

    assert {one.path: one.size_bytes for one in every} == {
        path: number + 8 for number, path in enumerate(PAGES)
    }
    assert {one.path for one in some} == set(PAGES[:2])
    assert all(datetime.now(UTC) - one.written_at < timedelta(hours=1) for one in every)


async def test_a_file_is_read_piece_by_piece_to_its_end(shelf: Shelf) -> None:
    pieces = [await shelf.piece(PAGES[2], offset, 4) for offset in (0, 4, 8, 12)]

    assert [one and one.content for one in pieces] == [b"0123", b"4567", b"89", b""]
    assert {one and one.size_bytes for one in pieces} == {10}


async def test_what_is_not_there_has_no_piece(shelf: Shelf) -> None:
    assert await shelf.piece("rain/model/absent.html", 0, 4) is None
    assert await shelf.piece("rain/model", 0, 4) is None
