# SPDX-License-Identifier: Apache-2.0
"""The how-to page about versions of data, word by word, on a running platform."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from integration.cli.conftest import Platform, eventually
from mlops.client import MLOpsClient, endpoints

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]

DAYS = "data/weather.csv"


@pytest.fixture
def folder(platform: Platform) -> Path:
    """A registered project; the command line runs in it."""
    folder = platform.home.parent
    (folder / "data").mkdir()
    write_settings(folder)
    platform.up("nats", "workspaces", "versioning", "gateway")
    register(platform, platform.home / "data" / "remote" / "rain")
    return folder


def write_settings(folder: Path, *data: str) -> None:
    lines = ['name = "rain"', "[data]", *data, "[data.datasets]", f'weather = "{DAYS}"']
    (folder / "mlops.toml").write_text("\n".join(lines))


def register(platform: Platform, remote: Path) -> None:
    """Register as `mlops register` does, but wait for versioning alone: the other services do not run here."""
    at = endpoints.load(environ={"MLOPS_HOME": str(platform.home)})
    with MLOpsClient("rain", at, folder=platform.home.parent) as client:
        client.register()
        eventually(lambda: str(remote) in json.dumps(client.get_status()))


def done(platform: Platform, *words: str) -> str:
    found = platform.run("data", *words)
    assert found.returncode == 0, found.stderr
    return found.stdout


def refused(platform: Platform, *words: str) -> str:
    found = platform.run("data", *words)
    assert found.returncode == 2, found.stdout
    return found.stderr


def versions(platform: Platform) -> dict[int, dict[str, Any]]:
    found = json.loads(done(platform, "list", "weather", "--json"))
    return {one["version"]: one for one in found}


def test_versions_are_named_given_up_and_checked(platform: Platform, folder: Path) -> None:
    file = folder / DAYS
    for text in ("1\n", "1\n2\n", "1\n2\n3\n"):
        file.write_text(text)
        done(platform, "add", DAYS)
    done(platform, "alias", "weather", "production", "1")
    done(platform, "tag", "weather", "1", "checked", "--description", "June corrected by hand")
    named = versions(platform)
    done(platform, "pull", "weather@production")
    production = file.read_text()
    done(platform, "restore", "weather", "2")
    second = file.read_text()
    done(platform, "pull")

    assert (production, second, file.read_text()) == ("1\n", "1\n2\n", "1\n2\n3\n")
    assert (named[1]["aliases"], named[3]["aliases"]) == (["production"], ["latest"])
    assert (named[1]["tags"], named[1]["description"]) == (["checked"], "June corrected by hand")

    assert "named by alias production" in refused(platform, "remove", "weather", "1")
    done(platform, "alias", "weather", "production", "--remove")
    done(platform, "remove", "weather", "1")
    assert "0 objects of 1 removed versions would be deleted" in done(platform, "gc", "--dry-run")
    assert "0 objects of 1 removed versions deleted" in done(platform, "gc")
    assert "no version 1; it has 2, 3" in refused(platform, "restore", "weather", "1")
    assert "2 versions, 2 objects" in done(platform, "verify")


def test_a_remote_and_a_quota_of_the_project_hold_after_the_next_registration(
    platform: Platform, folder: Path
) -> None:
    (folder / DAYS).write_text("1\n")
    done(platform, "add", DAYS)
    elsewhere = folder / "elsewhere"
    write_settings(folder, f'remote = "{elsewhere}"', "quota_gb = 0.000001")

    register(platform, elsewhere)

    assert versions(platform)[1]["remote"] == str(elsewhere)
    assert [path.name for path in elsewhere.rglob("*") if path.is_file()]
    (folder / "large.bin").write_bytes(b"x" * 2000)
    assert "more than [data] quota_gb = 1e-06" in refused(platform, "add", "large.bin")


def test_a_version_that_is_not_whole_ends_the_check_with_one(
    platform: Platform, folder: Path
) -> None:
    (folder / DAYS).write_text("1\n")
    done(platform, "add", DAYS)
    hash_ = versions(platform)[1]["hash"]
    for copy in (platform.home / "data").rglob(f"{hash_[:2]}/{hash_[2:]}"):
        copy.unlink()

    found = platform.run("data", "verify", "--repair")

    assert found.returncode == 1
    assert "not whole: weather version 1" in found.stderr
