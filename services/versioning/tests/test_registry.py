# SPDX-License-Identifier: Apache-2.0
"""The registry's file: what is wrong with it is said with its place and the fix, and it survives a restart."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops.chassis.errors import UnavailableError
from mlops.versioning.adapters.memory import MemoryVersions
from mlops.versioning.adapters.sqlite import SqliteVersions
from mlops.versioning.model import Content, Use, Version
from mlops.versioning.ports import Registry

ONE = Version(
    project="rain",
    name="days",
    version=1,
    path="days.csv",
    content=Content("a", 1, 1, "outs: []"),
    remote="/r",
    parent=None,
    run_id=None,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)
TWO = replace(ONE, version=2, parent=1, content=replace(ONE.content, oid="b"))


@pytest.fixture(params=["memory", "sqlite"])
async def versions(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Registry]:
    if request.param == "memory":
        yield MemoryVersions()
        return
    kept = SqliteVersions(tmp_path / "versions.db")
    yield kept
    await kept.close()


async def test_contents_are_numbered_and_the_same_one_keeps_its_number(versions: Registry) -> None:
    assert await versions.remember(ONE, "c1") == ONE
    assert await versions.remember(TWO, "c2") == TWO
    assert await versions.remember(ONE, "c3") == ONE
    assert await versions.known("rain") == [ONE, TWO]
    assert await versions.known("rain", "days") == [ONE, TWO]
    assert await versions.known("sun") == []


async def test_a_command_gets_again_what_it_got(versions: Registry) -> None:
    await versions.remember(ONE, "c1")

    assert await versions.remember(TWO, "c1") == ONE
    assert await versions.of_command("c1") == ONE
    assert await versions.of_command("c2") is None
    assert await versions.known("rain") == [ONE]


async def test_a_command_that_was_noted_once_stays_so(versions: Registry) -> None:
    await versions.remember(ONE, "c1")
    await versions.remember(TWO, "c2")
    await versions.note(ONE, "restore")
    await versions.note(TWO, "restore")

    assert await versions.of_command("restore") == ONE


async def test_uses_are_kept_once(versions: Registry) -> None:
    uses = [Use("r1", "days", 1, None), Use("r1", "nights", None, "x")]

    await versions.record_uses("rain", uses, ONE.created_at)
    await versions.record_uses("rain", uses, ONE.created_at)

    assert await versions.uses("rain") == uses


async def test_what_was_remembered_survives_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "versions.db"
    before = SqliteVersions(file)
    await before.remember(ONE, "c1")
    await before.close()

    after = SqliteVersions(file)
    found = await after.known("rain"), await after.of_command("c1")
    await after.close()

    assert found == ([ONE], ONE)


def test_a_file_that_is_no_database_is_named_with_the_fix(tmp_path: Path) -> None:
    file = tmp_path / "versions.db"
    file.write_text("something else entirely, long enough to be read as a header" * 20)

    with pytest.raises(UnavailableError, match=re.escape(str(file)) + ".*not a database.*move"):
        SqliteVersions(file)


async def test_a_locked_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "versions.db"
    versions = SqliteVersions(file, patience_s=0.05)
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")

    with pytest.raises(UnavailableError, match=re.escape(str(file)) + ".*locked"):
        await versions.remember(ONE, "c1")

    holder.execute("ROLLBACK")
    holder.close()
    assert await versions.remember(ONE, "c1") == ONE
    await versions.close()
