# SPDX-License-Identifier: Apache-2.0
"""Where a dataset may stand, and what of bad paths is said."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from mlops.chassis.errors import RejectedError
from mlops.versioning.adapters.paths import existing, locate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rain" / "days").mkdir(parents=True)
    (tmp_path / "rain" / "days" / "june.csv").write_text("wet")
    (tmp_path / "secret.csv").write_text("not the project's")
    return tmp_path / "rain"


@pytest.mark.parametrize("path", ["days", "days/june.csv", "./days//june.csv", "days/../days"])
def test_what_stands_below_the_folder_is_found(folder: Path, path: str) -> None:
    assert existing(str(folder), path) == Path(os.path.normpath(folder / path))


def test_a_folder_may_be_spelled_with_detours(folder: Path) -> None:
    assert existing(f"{folder}/../rain", "days") == folder / "days"


@pytest.mark.parametrize(
    "path", ["", ".", "..", "../secret.csv", "days/../../secret.csv", "/etc/passwd"]
)
def test_what_lies_outside_is_refused(folder: Path, path: str) -> None:
    with pytest.raises(RejectedError, match="does not lie inside"):
        locate(str(folder), path)


@pytest.mark.parametrize("path", ["leak.csv", "days/leak.csv", "days"])
def test_a_link_that_leaves_the_folder_is_refused(folder: Path, path: str) -> None:
    (folder / "leak.csv").symlink_to("../secret.csv")
    (folder / "days" / "leak.csv").symlink_to("../../secret.csv")

    with pytest.raises(RejectedError, match=r"link that leaves the project's folder"):
        existing(str(folder), path)


@pytest.mark.parametrize("path", [".git/config", ".dvc/cache", "days.csv.dvc"])
def test_what_belongs_to_git_and_dvc_is_refused(folder: Path, path: str) -> None:
    with pytest.raises(RejectedError, match="belongs to DVC or git"):
        locate(str(folder), path)


@pytest.mark.parametrize("path", ["days\0.csv", "x" * 300, "days/" + "x" * 300])
def test_a_path_that_no_file_can_have_is_refused(folder: Path, path: str) -> None:
    with pytest.raises(RejectedError, match="cannot be a path"):
        locate(str(folder), path)


@pytest.mark.parametrize("path", ["days", "days/pipe"])
def test_what_never_ends_is_refused(folder: Path, path: str) -> None:
    os.mkfifo(folder / "days" / "pipe")

    with pytest.raises(RejectedError, match=r"'days/pipe' is neither a file nor a folder"):
        existing(str(folder), path)


@pytest.mark.parametrize("path", ["days", "days/link"])
@pytest.mark.parametrize("target", ["nowhere", "link"])
def test_a_link_that_leads_nowhere_is_refused(folder: Path, path: str, target: str) -> None:
    (folder / "days" / "link").symlink_to(target)

    with pytest.raises(RejectedError, match=r"(remove|write the data first)"):
        existing(str(folder), path)


def test_a_socket_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind("door")

        with pytest.raises(RejectedError, match="neither a file nor a folder"):
            existing(str(folder), "door")


def test_a_folder_that_is_gone_is_named(folder: Path) -> None:
    with pytest.raises(RejectedError, match=r"rain/gone' does not exist"):
        locate(f"{folder}/gone", "days")
