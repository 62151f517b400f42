# SPDX-License-Identifier: Apache-2.0
"""The registry's file: what is wrong with it is said with its place and the fix, and it survives a restart."""

from __future__ import annotations

import re
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops.chassis.errors import UnavailableError
from mlops.versioning.adapters.sqlite import SqliteVersions
from mlops.versioning.model import Content, Version

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
