# SPDX-License-Identifier: Apache-2.0
"""Tables that callers bring: kept whole under their content's hash, or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from services.gateway.tests.conftest import House
from starlette.requests import Request

from mlops.chassis.errors import UnavailableError
from mlops.gateway.adapters.files_folder import FilesFolder
from mlops.gateway.errors import CallerError
from mlops.gateway.http.answers import pieces_of
from mlops.gateway.model.tables import Kind
from mlops.gateway.ports import FullShelfError

CSV = b"wind,sky\n0.5,blue\n"
PARQUET = b"PAR1" + b"x" * 100 + b"PAR1"


async def bring(house: House, name: str, content: Any) -> httpx.Response:
    return await house.client.post("/api/v1/files", params={"name": name}, content=content)


def kept(house: House) -> list[str]:
    return names_in(house.files) if house.files.is_dir() else []


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "ending"),
    [
        ("a.csv", CSV, ".csv"),
        ("A.CSV", b"\xef\xbb\xbfwind\r\n1\r\n", ".csv"),
        ("only-a-header.csv", b"wind", ".csv"),
        ("a.parquet", PARQUET, ".parquet"),
        ("a.pq", PARQUET, ".parquet"),
    ],
)
async def test_a_table_is_kept_under_its_contents_hash(
    house: House, name: str, content: bytes, ending: str
) -> None:
    answer = await bring(house, name, content)

    digest = hashlib.sha256(content).hexdigest()
    place = house.files / f"{digest}{ending}"
    assert answer.status_code == 201
    assert answer.json() == {"uri": place.as_uri(), "sha256": digest, "bytes": len(content)}
    assert place.read_bytes() == content


async def test_the_same_content_is_the_same_file(house: House) -> None:
    first = await bring(house, "a.csv", CSV)
    second = await bring(house, "b.csv", CSV)

    assert first.json() == second.json()
    assert len(kept(house)) == 1


@pytest.mark.parametrize(
    ("name", "content", "status", "word"),
    [
        ("a.txt", CSV, 415, "a.txt"),
        ("a.csv", b"", 400, "empty"),
        ("a.csv", PARQUET, 400, "name it .parquet"),
        ("a.csv", b"a,\x00b\n", 400, "no text has"),
        ("a.csv", b"\xff\xfe\n", 400, "UTF-8"),
        ("a.csv", b"\n1,2\n", 400, "names no column"),
        ("a.csv", b"a,b,a\n", 400, "twice: a"),
        ("a.csv", b"a" * 100_000, 400, "longer than"),
        ("a.parquet", CSV, 400, "PAR1"),
        ("a.parquet", PARQUET[:-3], 400, "a part of it is missing"),
        ("a.csv", b"a\n" + b"1\n" * 2_000_000, 413, "GATEWAY_FILES_MAX_BYTES"),
    ],
)
async def test_what_is_no_table_leaves_nothing(
    house: House, name: str, content: bytes, status: int, word: str
) -> None:
    answer = await bring(house, name, content)

    assert answer.status_code == status
    assert word in answer.text
    assert set(answer.json()["error"]) == {"what", "which", "fix"}
    assert kept(house) == []


async def test_a_table_that_does_not_say_how_long_it_is_has_the_same_bound(house: House) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"a\n"
        while True:
            yield b"1\n" * 100_000

    answer = await bring(house, "a.csv", endless())

    assert answer.status_code == 413
    assert kept(house) == []


async def test_a_caller_that_leaves_halfway_leaves_no_file(tmp_path: Path) -> None:
    files = FilesFolder(tmp_path, 10_000_000, timedelta(days=1))
    waits = asyncio.Event()

    async def halfway() -> AsyncIterator[bytes]:
        yield b"a\n" + b"1\n" * 1_000_000
        await waits.wait()

    task = asyncio.create_task(files.store(Kind.CSV, halfway()))
    while not names_in(tmp_path):
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert names_in(tmp_path) == []


async def test_old_tables_and_drafts_of_the_dead_go(tmp_path: Path) -> None:
    files = FilesFolder(tmp_path, 1000, timedelta(days=30))
    now = time.time()
    ages = {"new.csv": 29, "old.csv": 31, "alive.part": 0.01, "dead.part": 0.1}
    for name, days in ages.items():
        (tmp_path / name).write_bytes(CSV)
        os.utime(tmp_path / name, (now, now - days * 86_400))

    removed = await files.tidy()

    assert removed == 2
    assert names_in(tmp_path) == ["alive.part", "new.csv"]


async def one(rows: int) -> AsyncIterator[bytes]:
    yield b"a\n" + b"1\n" * rows


async def test_the_oldest_tables_make_room(tmp_path: Path) -> None:
    files = FilesFolder(tmp_path, 1000, timedelta(days=30), total_bytes=1000)
    oldest, older = [(await files.store(Kind.CSV, one(rows))).sha256 for rows in (200, 201)]
    for age_s, name in ((9000, oldest), (8000, older)):
        os.utime(tmp_path / f"{name}.csv", (0, time.time() - age_s))

    newest = (await files.store(Kind.CSV, one(202))).sha256

    assert names_in(tmp_path) == sorted([f"{older}.csv", f"{newest}.csv"])


async def test_tables_that_may_be_in_use_make_no_room(tmp_path: Path) -> None:
    files = FilesFolder(tmp_path, 1000, timedelta(days=30), total_bytes=1000)
    kept_ones = [(await files.store(Kind.CSV, one(rows))).sha256 for rows in (200, 201)]

    with pytest.raises(FullShelfError, match="all may have 1000"):
        await files.store(Kind.CSV, one(202))

    assert names_in(tmp_path) == sorted(f"{name}.csv" for name in kept_ones)


async def test_a_folder_that_takes_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("in the way")
    files = FilesFolder(tmp_path / "files", 1000, timedelta(days=30))

    with pytest.raises(UnavailableError, match="no table can be kept in"):
        await files.store(Kind.CSV, one(1))


async def test_a_caller_that_stops_sending_is_given_up() -> None:
    said = [{"type": "http.request", "body": b"a\n", "more_body": True}]

    async def receive() -> dict[str, Any]:
        if said:
            return said.pop()
        return await asyncio.Future()

    pieces = pieces_of(Request({"type": "http"}, receive), timedelta(seconds=0.05))

    assert await anext(pieces) == b"a\n"
    with pytest.raises(CallerError, match=r"nothing for 0\.05 s"):
        await anext(pieces)


async def test_a_caller_that_hangs_up_is_no_fault_of_ours() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(CallerError, match="hung up"):
        await anext(pieces_of(Request({"type": "http"}, receive)))


async def test_a_name_is_needed(house: House) -> None:
    answer = await house.client.post("/api/v1/files", content=CSV)

    assert answer.status_code == 422
    assert "name" in answer.text
