# SPDX-License-Identifier: Apache-2.0
"""The promises of versioning's registry, kept by SQLite as by what stands in for it in tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops.versioning.adapters.memory import MemoryVersions
from mlops.versioning.adapters.sqlite import SqliteVersions
from mlops.versioning.model import Alias, Content, Use, Version
from mlops.versioning.ports import Registry

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HELD = Content("a" * 32, 3, 1, "outs: []\n")
RAIN = Version(
    "rain", "days", 1, "days.csv", HELD, "/remote/rain", None, "run-1", NOON, stage="prep"
)


@pytest.fixture(params=["memory", "sqlite"])
async def versions(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Registry]:
    if request.param == "memory":
        yield MemoryVersions()
        return
    real = SqliteVersions(tmp_path / "versions.db")
    yield real
    await real.close()


def other(oid: str) -> Version:
    return replace(RAIN, content=replace(HELD, oid=oid))


async def test_versions_count_up_and_know_the_one_before(versions: Registry) -> None:
    first = await versions.remember(other("a"), "command-1")
    second = await versions.remember(other("b"), "command-2")

    assert (first.version, first.parent) == (1, None)
    assert (second.version, second.parent) == (2, 1)
    assert await versions.known("rain", "days") == [first, second]


async def test_content_that_was_there_before_keeps_its_version(versions: Registry) -> None:
    first = await versions.remember(other("a"), "command-1")
    await versions.remember(other("b"), "command-2")

    assert await versions.remember(other("a"), "command-3") == first


async def test_the_same_content_elsewhere_is_another_version(versions: Registry) -> None:
    await versions.remember(other("a"), "command-1")

    moved = await versions.remember(replace(other("a"), path="old/days.csv"), "command-2")

    assert moved.version == 2


async def test_a_command_gets_one_version_only(versions: Registry) -> None:
    first = await versions.remember(other("a"), "command-1")

    assert await versions.remember(other("b"), "command-1") == first
    assert await versions.of_command("command-1") == first
    assert await versions.of_command("command-2") is None
    assert await versions.known("rain") == [first]


async def test_a_command_that_was_noted_once_stays_so(versions: Registry) -> None:
    first = await versions.remember(other("a"), "command-1")
    second = await versions.remember(other("b"), "command-2")

    await versions.note(first, "restore")
    await versions.note(second, "restore")

    assert await versions.of_command("restore") == first


async def test_projects_and_datasets_count_for_themselves(versions: Registry) -> None:
    await versions.remember(RAIN, "command-1")
    await versions.remember(replace(RAIN, name="nights"), "command-2")
    await versions.remember(replace(RAIN, project="sun"), "command-3")

    assert [(v.name, v.version) for v in await versions.known("rain")] == [
        ("days", 1),
        ("nights", 1),
    ]


async def test_an_alias_names_one_version_at_a_time(versions: Registry) -> None:
    first = await versions.remember(other("a"), "command-1")
    second = await versions.remember(other("b"), "command-2")

    await versions.point(first, "golden", "command-3")
    await versions.point(second, "golden", "command-4")
    await versions.point(first, "golden", "command-3")

    assert await versions.aliases("rain") == [Alias("days", "golden", 2)]
    assert await versions.aliases("rain", "nights") == []
    assert await versions.of_command("command-3") == first


async def test_an_alias_that_is_taken_away_is_gone(versions: Registry) -> None:
    first = await versions.remember(other("a"), "command-1")
    await versions.point(first, "golden", "command-2")

    await versions.unpoint(first, "golden", "command-3")
    await versions.point(first, "golden", "command-4")
    await versions.unpoint(first, "golden", "command-3")

    assert await versions.aliases("rain", "days") == [Alias("days", "golden", 1)]


async def test_tags_and_description_are_replaced_once_by_a_command(versions: Registry) -> None:
    first = await versions.remember(other("a"), "command-1")

    await versions.say(first, ["draft", "größer"], "one", "command-2")
    await versions.say(first, [], "two", "command-3")
    await versions.say(first, ["draft"], "one", "command-2")

    assert await versions.known("rain") == [replace(first, tags=(), description="two")]


async def test_a_removed_version_keeps_its_number_and_loses_its_aliases(
    versions: Registry,
) -> None:
    first = await versions.remember(other("a"), "command-1")
    second = await versions.remember(other("b"), "command-2")
    await versions.point(first, "old", "command-3")
    await versions.point(second, "golden", "command-4")

    await versions.remove(second, NOON, "command-5")

    third = await versions.remember(other("b"), "command-6")
    assert (third.version, third.parent) == (3, 2)
    assert await versions.known("rain", "days") == [first, third]
    assert await versions.known("rain", removed=True) == [
        first,
        replace(second, removed_at=NOON),
        third,
    ]
    assert await versions.aliases("rain") == [Alias("days", "old", 1)]


async def test_what_is_live_is_what_versions_of_all_projects_name(versions: Registry) -> None:
    first = await versions.remember(other("a"), "command-1")
    await versions.remember(replace(other("a"), name="nights"), "command-2")
    second = await versions.remember(other("b"), "command-3")
    await versions.remember(replace(other("c"), project="sun"), "command-4")

    await versions.remove(first, NOON, "command-5")
    await versions.remove(second, NOON, "command-6")

    assert await versions.live() == ["a", "c"]


async def test_a_project_that_moves_takes_its_versions_along(versions: Registry) -> None:
    await versions.remember(RAIN, "command-1")
    await versions.remember(replace(RAIN, project="sun"), "command-2")

    await versions.moved("rain", "s3://elsewhere")

    assert await versions.known("rain") == [replace(RAIN, remote="s3://elsewhere")]
    assert await versions.known("sun") == [replace(RAIN, project="sun")]


async def test_a_use_is_kept_once(versions: Registry) -> None:
    use = Use("run-1", "days", 1, None)
    unversioned = Use("run-1", "nights", None, "b")

    await versions.record_uses("rain", [use, unversioned], NOON)
    await versions.record_uses("rain", [use, unversioned], NOON)

    assert await versions.uses("rain") == [use, unversioned]
    assert await versions.uses("sun") == []
