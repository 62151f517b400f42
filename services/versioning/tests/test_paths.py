# SPDX-License-Identifier: Apache-2.0
"""Where a dataset may stand, and what of bad paths is said."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from mlops.chassis.errors import RejectedError
from mlops.versioning.adapters.paths import existing, files_in, locate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rain" / "days").mkdir(parents=True)
    (tmp_path / "rain" / "days" / "june.csv").write_text("wet")
    (tmp_path / "secret.csv").write_text("not the project's")
    return tmp_path / "rain"


def seen(folder: Path, path: str) -> set[str]:
    """Return the files of the dataset at *path*."""
    place = existing(str(folder), path)
    return set(files_in(str(folder), place, os.walk))


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
        seen(folder, path)


@pytest.mark.parametrize("path", [".git/config", ".dvc/cache", "days.csv.dvc"])
def test_what_belongs_to_git_and_dvc_is_refused(folder: Path, path: str) -> None:
    with pytest.raises(RejectedError, match="belongs to DVC or git"):
        locate(str(folder), path)


@pytest.mark.parametrize("path", ["days\0.csv", "x" * 300 + "/days", "days/" + "x" * 300 + "/y"])
def test_a_path_that_no_file_can_have_is_refused(folder: Path, path: str) -> None:
    with pytest.raises(RejectedError, match="cannot be a path"):
        locate(str(folder), path)


@pytest.mark.parametrize("path", ["days", "days/pipe"])
def test_what_never_ends_is_refused(folder: Path, path: str) -> None:
    os.mkfifo(folder / "days" / "pipe")

    with pytest.raises(RejectedError, match=r"'days/pipe' is neither a file nor a folder"):
        seen(folder, path)


@pytest.mark.parametrize("path", ["days", "days/link"])
@pytest.mark.parametrize("target", ["nowhere", "link"])
def test_a_link_that_leads_nowhere_is_refused(folder: Path, path: str, target: str) -> None:
    (folder / "days" / "link").symlink_to(target)

    with pytest.raises(RejectedError, match=r"(remove|write the data first)"):
        seen(folder, path)


@pytest.mark.parametrize("target", [".", "..", "sub"])
def test_a_link_to_a_folder_is_refused_also_one_that_makes_a_loop(
    folder: Path, target: str
) -> None:
    (folder / "days" / "sub").mkdir()
    (folder / "days" / "link").symlink_to(target)

    with pytest.raises(RejectedError, match=r"'days/link' is a link to a folder|leaves"):
        seen(folder, "days")


def test_a_link_to_a_file_inside_the_folder_is_that_file(folder: Path) -> None:
    (folder / "days" / "link.csv").symlink_to("june.csv")

    assert seen(folder, "days") == {"june.csv", "link.csv"}


def test_names_of_255_bytes_and_of_any_letters_are_taken(folder: Path) -> None:
    names = {"é" * 127 + "x", "日記 \n'\\.csv", " "}
    for name in names:
        (folder / "days" / name).write_text("wet")

    assert seen(folder, "days") == names | {"june.csv"}


@pytest.mark.parametrize("name", ["x" * 252, "é" * 126])
def test_a_name_too_long_for_its_dvc_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("wet")

    with pytest.raises(RejectedError, match=r"longer than 251 bytes.*shorten it"):
        locate(str(folder), name)


def test_a_socket_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind("door")

        with pytest.raises(RejectedError, match="neither a file nor a folder"):
            existing(str(folder), "door")


def test_a_folder_that_is_gone_is_named(folder: Path) -> None:
    with pytest.raises(RejectedError, match=r"rain/gone' does not exist"):
        locate(f"{folder}/gone", "days")
