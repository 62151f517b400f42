# SPDX-License-Identifier: Apache-2.0
"""A registry that an earlier release wrote is opened with everything in it; one of a later release is left alone."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops.chassis.errors import UnavailableError
from mlops.versioning.adapters.sqlite import SqliteVersions
from mlops.versioning.model import Content, Use, Version

# As the first release made it.
_FIRST = """
CREATE TABLE dataset_version (
    project TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, path TEXT NOT NULL,
    oid TEXT NOT NULL, size_bytes INTEGER NOT NULL, files INTEGER NOT NULL, dvc_text TEXT NOT NULL,
    remote TEXT NOT NULL, parent INTEGER, run_id TEXT, created_at TEXT NOT NULL,
    PRIMARY KEY (project, name, version)
) STRICT;
CREATE TABLE applied_command (
    command_id TEXT PRIMARY KEY, project TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,
    FOREIGN KEY (project, name, version) REFERENCES dataset_version
) STRICT;
CREATE TABLE dataset_use (
    project TEXT NOT NULL, run_id TEXT NOT NULL, name TEXT NOT NULL, version INTEGER, oid TEXT,
    at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_use
    ON dataset_use (project, run_id, name, ifnull(version, 0), ifnull(oid, ''));
INSERT INTO dataset_version VALUES
    ('rain', 'days', 1, 'days.csv', 'a', 3, 1, 'outs: []', '/r', NULL, 'run-1', '2026-01-01T12:00:00+00:00');
INSERT INTO applied_command VALUES ('c1', 'rain', 'days', 1);
INSERT INTO dataset_use VALUES ('rain', 'run-2', 'days', 1, NULL, '2026-01-02T12:00:00+00:00');
"""
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ONE = Version(
    "rain", "days", 1, "days.csv", Content("a", 3, 1, "outs: []"), "/r", None, "run-1", NOON
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    file = tmp_path / "versions.db"
    connection = sqlite3.connect(file)
    connection.executescript(_FIRST)
    connection.close()
    return file


async def test_a_file_of_the_first_release_keeps_everything(old: Path) -> None:
    versions = SqliteVersions(old)
    found = await versions.known("rain"), await versions.of_command("c1")
    uses = await versions.uses("rain")
    await versions.close()

    assert found == ([ONE], ONE)
    assert uses == [Use("run-2", "days", 1, None)]


async def test_an_upgraded_file_takes_labels_and_opens_again(old: Path) -> None:
    before = SqliteVersions(old)
    await before.point(ONE, "golden", "c2")
    await before.say(ONE, ["checked"], "by hand", "c3")
    await before.close()

    after = SqliteVersions(old)
    [alias] = await after.aliases("rain")
    [version] = await after.known("rain")
    await after.close()

    assert (alias.alias, alias.version) == ("golden", 1)
    assert (version.tags, version.description) == (("checked",), "by hand")


def test_a_file_of_a_later_release_is_not_opened(old: Path) -> None:
    connection = sqlite3.connect(old)
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(UnavailableError, match=r"versions\.db was written by a later release"):
        SqliteVersions(old)
