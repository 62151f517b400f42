# SPDX-License-Identifier: Apache-2.0
"""Versions are opened and compared where they lie, with real DVC; the project's folder plays no part."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops.chassis.errors import RejectedError
from mlops.client import Dataset
from mlops.client.datasets import opening
from mlops.contracts.versioning import AddData
from servers.versioning import Versioning

pytestmark = pytest.mark.timeout(240)

# Longer than the service itself waits before it says that an answer is not ready.
PATIENCE = timedelta(seconds=30)


async def asked(versioning: Versioning, verb: str, **question: Any) -> dict[str, Any]:
    """Ask as a client does, until the answer is ready."""
    async with asyncio.timeout(120):
        while True:
            answer = await versioning.bus.ask(
                "versioning", verb, {"project": "rain", "name": "days", **question}, PATIENCE
            )
            if answer["ready"]:
                return answer


async def opened(versioning: Versioning, version: str = "") -> Dataset:
    answer = await asked(versioning, "open", version=version)
    return opening.opened(lambda: answer, 1.0, elsewhere)


def elsewhere(_: Mapping[str, Any], address: str, __: int) -> NoReturn:
    raise AssertionError(f"{address} lies in the cache")


async def add(versioning: Versioning, path: str) -> None:
    told = await versioning.tell(AddData(project="rain", name="days", path=path))
    assert told.type == "data.versioned"


async def test_an_earlier_version_is_mapped_from_the_cache(
    versioning: Versioning, folder: Path
) -> None:
    (folder / "days.csv").write_text("day\n1\n")
    await add(versioning, "days.csv")
    (folder / "days.csv").write_text("day\n1\n2\n")
    await add(versioning, "days.csv")

    first, newest = await opened(versioning, "1"), await opened(versioning)

    assert first.bytes().tobytes() == b"day\n1\n"
    assert first.path().is_relative_to(versioning.place.cache)
    assert newest.table().to_pydict() == {"day": [1, 2]}
    assert (folder / "days.csv").read_text() == "day\n1\n2\n"


async def test_what_only_the_remote_holds_is_fetched_first(
    versioning: Versioning, folder: Path
) -> None:
    (folder / "days").mkdir()
    (folder / "days" / "a.bin").write_bytes(b"a" * 100_000)
    (folder / "days" / "b.bin").write_bytes(b"b")
    await add(versioning, "days")
    shutil.rmtree(versioning.place.cache)
    shutil.rmtree(folder / "days")

    data = await opened(versioning)

    assert data.files == ("a.bin", "b.bin")
    assert data.bytes("a.bin").tobytes() == b"a" * 100_000


async def test_a_project_with_a_cache_of_its_own_is_read_there(
    versioning: Versioning, folder: Path, tmp_path: Path
) -> None:
    config = folder / ".dvc" / "config.local"
    own = config.read_text().replace(versioning.place.cache, str(tmp_path / "own"))
    config.write_text(own.replace("type = ", "type = hardlink, "))
    (folder / "days.csv").write_text("1\n")
    await add(versioning, "days.csv")

    assert (await opened(versioning)).path().is_relative_to(tmp_path / "own")


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ({"version": "9"}, "no version '9'; the newest is 1, aliases: none"),
        ({"version": "golden"}, "no version 'golden'"),
        ({"name": "wind"}, "no dataset 'wind'; it has: days"),
        ({"name": ""}, "which dataset"),
    ],
)
async def test_what_cannot_be_opened_is_refused_with_what_there_is(
    versioning: Versioning, folder: Path, question: dict[str, str], reason: str
) -> None:
    (folder / "days.csv").write_text("1\n")
    await add(versioning, "days.csv")

    with pytest.raises(RejectedError, match=reason):
        await asked(versioning, "open", **question)


async def test_two_versions_of_a_table_differ_by_rows_and_columns(
    versioning: Versioning, folder: Path
) -> None:
    (folder / "days.csv").write_text("day,rain\n1,0.5\n2,\n")
    await add(versioning, "days.csv")
    (folder / "days.csv").write_text("day,rain,wind\n2,1.5,N\n3,2.5,S\n")
    await add(versioning, "days.csv")

    found = await asked(versioning, "diff", before="1", after="2", key="day")

    [table] = found["tables"]
    assert (table["rows_added"], table["rows_removed"], table["rows_changed"]) == (1, 1, 1)
    assert [(c["column"], bool(c["before"]), bool(c["after"])) for c in table["columns"]] == [
        ("day", True, True),
        ("rain", True, True),
        ("wind", False, True),
    ]
    assert found["files"]["changed"] == [{"file": "", "before": 18, "after": 30}]
    assert (found["before"]["version"], found["after"]["version"]) == (1, 2)


async def test_two_versions_of_a_folder_differ_file_by_file(
    versioning: Versioning, folder: Path
) -> None:
    days = folder / "days"
    days.mkdir()
    (days / "same.txt").write_text("same")
    (days / "old.txt").write_text("moved")
    (days / "gone.txt").write_text("gone!!")
    pq.write_table(pa.table({"day": [1, 2]}), days / "t.parquet")
    await add(versioning, "days")
    (days / "old.txt").rename(days / "new.txt")
    (days / "gone.txt").unlink()
    (days / "fresh.txt").write_text("fresh")
    pq.write_table(pa.table({"day": [2, 3, 4]}), days / "t.parquet")
    await add(versioning, "days")

    found = await asked(versioning, "diff", before="1")

    files = found["files"]
    assert files["added"] == [{"file": "fresh.txt", "size_bytes": 5}]
    assert files["removed"] == [{"file": "gone.txt", "size_bytes": 6}]
    assert files["renamed"] == [{"file": "new.txt", "from": "old.txt", "size_bytes": 5}]
    assert [one["file"] for one in files["changed"]] == ["t.parquet"]
    assert found["counts"]["same"] == 1
    [table] = found["tables"]
    assert (table["file"], table["rows_added"], table["rows_removed"]) == ("t.parquet", 2, 1)


async def test_a_key_that_no_table_has_is_refused(versioning: Versioning, folder: Path) -> None:
    for text in ("day\n1\n", "day\n2\n"):
        (folder / "days.csv").write_text(text)
        await add(versioning, "days.csv")

    with pytest.raises(RejectedError, match="'hour' is not in both; they share day"):
        await asked(versioning, "diff", before="1", key="hour")
