# SPDX-License-Identifier: Apache-2.0
"""What people gave DVC in their project's folder outlives our settings, also while versions move to another remote."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dvc.config import Config

from mlops.versioning.adapters.dvc_setup import prepare

S3 = "s3://bucket/rain"
OTHER = "s3://other/rain"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "rain"
    folder.mkdir()
    prepare(str(folder), S3, str(tmp_path / "cache"))
    return folder


def give(folder: Path, key: str) -> None:
    with Config(str(folder / ".dvc")).edit("local") as local:
        local["remote"]["mlops"]["access_key_id"] = key


def ours(folder: Path) -> dict[str, str]:
    found: dict[str, str] = Config(str(folder / ".dvc"))["remote"]["mlops"]
    return {name: found[name] for name in ("url", "access_key_id") if name in found}


@pytest.mark.parametrize("elsewhere", ["{tmp}/remote", OTHER])
def test_credentials_stay_with_their_remote_while_two_are_in_use(
    folder: Path, tmp_path: Path, elsewhere: str
) -> None:
    cache, other = str(tmp_path / "cache"), elsewhere.format(tmp=tmp_path)
    give(folder, "ada")

    prepare(str(folder), other, cache)
    meanwhile = ours(folder)
    prepare(str(folder), S3, cache)
    again = ours(folder)
    prepare(str(folder), other, cache)
    prepare(str(folder), S3, cache)

    assert meanwhile == {"url": other}
    assert again == ours(folder) == {"url": S3, "access_key_id": "ada"}


def test_a_place_with_a_comma_is_known_as_ours(folder: Path, tmp_path: Path) -> None:
    remote, cache = str(tmp_path / "a, #b"), str(tmp_path / "c, #d")
    prepare(str(folder), remote, cache)
    local = folder / ".dvc" / "config.local"
    os.utime(local, (1, 1))

    prepare(str(folder), remote, cache)

    assert local.stat().st_mtime == 1
    assert ours(folder) == {"url": remote}
