# SPDX-License-Identifier: Apache-2.0
"""What a training saved: kept whole or not at all, fetched where it is missing or older, never outside its folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from libs.client.tests.step_platform import ROOT, RUN, Platform, work

from mlops.client.steps.errors import PermanentError
from mlops.client.steps.folders import Folders
from mlops.client.steps.keeping import Keeper, folder_of
from mlops.client.steps.moves import Moves

SUM = hashlib.sha256(b"1").hexdigest()


@pytest.fixture
def platform() -> Platform:
    return Platform(workflow={"attempt": 1})


def keeper(platform: Platform, folder: Path, attempt: int = 1, **limits: int) -> Keeper:
    of = work(platform, folder, attempt)
    return Keeper(Folders(of.tracking.http, RUN), folder / "c" / "rain-1", attempt, **limits)


def saved(of: Keeper, **files: str) -> None:
    of.folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (of.folder / name).write_text(text)


def test_a_newer_local_folder_is_left_alone_and_an_older_one_is_replaced(
    platform: Platform, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    first = keeper(platform, here)
    first.fetch()
    saved(first, state="1")
    assert first.keep()
    saved(first, state="1 and more")
    keeper(platform, here).fetch()  # the orchestrator tries the same attempt again
    assert (first.folder / "state").read_text() == "1 and more"

    second = keeper(platform, there, 2)
    second.fetch()
    assert (second.folder / "state").read_text() == "1"
    saved(second, state="2")
    assert second.keep()
    keeper(platform, here, 3).fetch()
    assert (first.folder / "state").read_text() == "2"
    assert platform.kept == ["002-1/.contents.json", "002-1/state"]


def test_half_an_upload_is_none_and_the_one_before_it_stays(
    platform: Platform, tmp_path: Path
) -> None:
    first = keeper(platform, tmp_path / "here")
    saved(first, state="1")
    assert first.keep()
    second = keeper(platform, tmp_path / "there", 2)
    saved(second, state="2", weights="w")
    platform.refuses = "weights"

    assert not second.keep()

    third = keeper(platform, tmp_path / "third", 3)
    third.fetch()
    assert (third.folder / "state").read_text() == "1"


@pytest.mark.parametrize("damage", [b"other", b""])
def test_what_came_damaged_is_passed_over(
    platform: Platform, tmp_path: Path, damage: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    first = keeper(platform, tmp_path / "here")
    saved(first, state="1")
    assert first.keep()
    platform.files[f"{ROOT}/checkpoints/001-1/state"] = damage

    second = keeper(platform, tmp_path / "there", 2)
    second.fetch()

    assert list(second.folder.iterdir()) == []
    assert "checkpoint 001-1 is not taken: artifact" in capfd.readouterr().err
    assert sorted(one.name for one in second.folder.parent.iterdir()) == [
        ".rain-1.attempt",
        "rain-1",
    ]


def test_a_file_that_is_gone_is_damage_not_absence(platform: Platform, tmp_path: Path) -> None:
    first = keeper(platform, tmp_path / "here")
    saved(first, state="1")
    assert first.keep()
    del platform.files[f"{ROOT}/checkpoints/001-1/state"]

    second = keeper(platform, tmp_path / "there", 2)
    second.fetch()

    assert list(second.folder.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["../out", "/etc/out", "a/../../out", "..\\out", "C:\\out", "", "a\0"]
)
def test_no_name_leads_out_of_the_folder(
    platform: Platform, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    listed = {"files": {name: {"sha256": "0", "bytes": 1}}}
    platform.files[f"{ROOT}/checkpoints/001-1/.contents.json"] = json.dumps(listed).encode()

    second = keeper(platform, tmp_path / "there", 2)
    second.fetch()

    assert "would be written outside its folder" in capfd.readouterr().err
    assert list(second.folder.iterdir()) == []


@pytest.mark.parametrize(
    "listed",
    [
        [],
        {"files": {}},
        {"files": {"a": 3}},
        {"files": {"a": {}}},
        {"files": {"a": {"bytes": "many"}}},
        {"files": {"a": {"bytes": 1, "sha256": SUM}, "a/b": {"bytes": 1, "sha256": SUM}}},
    ],
)
def test_a_list_that_is_none_of_ours_is_passed_over(
    platform: Platform, tmp_path: Path, listed: object
) -> None:
    there = f"{ROOT}/checkpoints/001-1"
    platform.files |= {f"{there}/a": b"1", f"{there}/a/b": b"1"}
    platform.files[f"{there}/.contents.json"] = json.dumps(listed).encode()

    second = keeper(platform, tmp_path, 2)
    second.fetch()

    assert list(second.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("limits", "said"),
    [({"most_bytes": 3}, "GiB travel; keep only"), ({"most_files": 1}, "has 2 files, at most 1")],
)
def test_a_folder_that_is_too_large_does_not_travel(
    platform: Platform,
    tmp_path: Path,
    limits: Mapping[str, int],
    said: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    of = keeper(platform, tmp_path, **limits)
    saved(of, state="1234", other="5678")

    assert not of.keep()
    assert said in capfd.readouterr().err
    assert platform.kept == []


def test_links_do_not_travel(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    of = keeper(platform, tmp_path)
    saved(of, state="1")
    (of.folder / "link").symlink_to(tmp_path / "secret")

    assert of.keep()
    assert platform.kept == ["001-1/.contents.json", "001-1/state"]


@pytest.mark.parametrize("setting", ["../out", "/out", "a/../../b", "."])
def test_a_folder_outside_the_project_is_refused(tmp_path: Path, setting: str) -> None:
    with pytest.raises(PermanentError, match="name a folder inside the project"):
        folder_of(tmp_path, setting, "rain-1")


def test_a_store_that_steps_do_not_reach_keeps_nobody_from_training(
    platform: Platform, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    of = work(platform, tmp_path, train={"command": "touch ran", "checkpoint": {}})
    there = replace(RUN, artifact_uri="s3://bucket/runs/r1")

    status = Moves(of, there).train("touch ran")

    assert status == 0
    assert (tmp_path / "ran").exists()
    assert "checkpoints stay on this machine: artifacts of run r1 are kept in s3" in (
        capfd.readouterr().err
    )
    alone = Keeper(None, tmp_path / "c", 1)
    saved(alone, state="1")
    assert not alone.keep()
