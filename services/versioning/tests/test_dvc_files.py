# SPDX-License-Identifier: Apache-2.0
"""A look at people's `.dvc` files: what is new is seen, what is nobody's own is passed by."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mlops.versioning.adapters.dvc_files import DvcFiles

OID = "0123456789abcdef0123456789abcdef"


def claim(folder: Path, file: str, oid: str = OID) -> Path:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"outs:\n- md5: {oid}\n  size: 1\n  hash: md5\n  path: {path.stem}\n")
    return path


async def test_what_comes_changes_and_goes_is_seen(files: DvcFiles, tmp_path: Path) -> None:
    claim(tmp_path, "a/days.csv.dvc")
    first = await files.look(str(tmp_path))
    claim(tmp_path, "a/b/wind.dvc")
    second = await files.look(str(tmp_path))
    claim(tmp_path, "a/days.csv.dvc", OID[::-1] + ".dir")
    third = await files.look(str(tmp_path))
    (tmp_path / "a/b/wind.dvc").unlink()
    fourth = await files.look(str(tmp_path))

    assert list(first) == ["a/days.csv.dvc"]
    assert sorted(second) == ["a/b/wind.dvc", "a/days.csv.dvc"]
    assert second["a/days.csv.dvc"] == first["a/days.csv.dvc"] != third["a/days.csv.dvc"]
    assert list(fourth) == ["a/days.csv.dvc"]


async def test_a_folder_that_settled_is_not_listed_again(files: DvcFiles, tmp_path: Path) -> None:
    claim(tmp_path, "days.csv.dvc")
    os.utime(tmp_path, (1, 1))
    await files.look(str(tmp_path))
    claim(tmp_path, "wind.dvc")
    os.utime(tmp_path, (1, 1))

    assert list(await files.look(str(tmp_path))) == ["days.csv.dvc"]


@pytest.mark.parametrize(
    "file",
    [
        ".git/days.dvc",
        "node_modules/days.dvc",
        "env/lib/days.dvc",
        "wind/inside.dvc",
        "linked/days.dvc",
        ".dvc/days.dvc",
        "nested/days.dvc",
        "nested/deeper/days.dvc",
    ],
)
async def test_what_is_nobodys_own_is_passed_by(files: DvcFiles, tmp_path: Path, file: str) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    (tmp_path / "nested" / ".dvc").mkdir(parents=True)
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    (tmp_path / "linked").symlink_to(elsewhere)
    claim(tmp_path, "wind.dvc")
    claim(tmp_path, file)

    assert list(await files.look(str(tmp_path))) == ["wind.dvc"]


async def test_a_project_of_more_folders_than_are_looked_at_is_told_once(
    files: DvcFiles, tmp_path: Path, logged: list[Any]
) -> None:
    for number in range(5001):
        (tmp_path / f"{number}").mkdir()

    for _ in range(2):
        await files.look(str(tmp_path))

    assert [line["event"] for line in logged] == ["folder.too_large"]


async def test_a_folder_that_is_gone_has_none(files: DvcFiles, tmp_path: Path) -> None:
    assert await files.look(str(tmp_path / "gone")) == {}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"outs:\n- md5: {OID}\n  path: wind\n", ("a/wind", OID)),
        (f"outs:\n- md5: {OID}.dir\n  nfiles: 2\n  path: wind\n", ("a/wind", f"{OID}.dir")),
        (f"outs:\n- md5: {OID}\n- md5: {OID}\n", None),
        ("outs:\n- etag: abc\n", None),
        ("<<<<<<< HEAD\n", None),
    ],
)
async def test_a_file_names_one_content_or_none(
    files: DvcFiles, tmp_path: Path, text: str, named: tuple[str, str] | None
) -> None:
    claim(tmp_path, "a/wind.dvc").write_text(text)

    assert await files.named(str(tmp_path), "a/wind.dvc") == named


async def test_a_file_that_is_no_text_names_none(files: DvcFiles, tmp_path: Path) -> None:
    (tmp_path / "wind.dvc").write_bytes(b"\xff\xfe")

    assert await files.named(str(tmp_path), "wind.dvc") is None
    assert await files.named(str(tmp_path), "gone.dvc") is None
