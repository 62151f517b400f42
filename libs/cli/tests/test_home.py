# SPDX-License-Identifier: Apache-2.0
"""Where the installation is, and how its files are replaced."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mlops.cli.home import Home, find_home, read_json, write_json


def test_the_given_folder_comes_before_the_environment(tmp_path: Path) -> None:
    found = find_home(tmp_path / "given", {"MLOPS_HOME": str(tmp_path / "env")}, tmp_path)

    assert found.root == tmp_path / "given"


def test_the_environment_comes_before_the_folders(tmp_path: Path) -> None:
    (tmp_path / ".mlops").mkdir()

    assert find_home(None, {"MLOPS_HOME": str(tmp_path / "env")}, tmp_path).root == tmp_path / "env"


def test_the_nearest_parent_with_an_installation_is_taken(tmp_path: Path) -> None:
    (tmp_path / ".mlops").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)

    assert find_home(None, {}, tmp_path / "a" / "b").root == tmp_path / ".mlops"


def test_without_any_the_present_folder_gets_one(tmp_path: Path) -> None:
    assert find_home(None, {}, tmp_path).root == tmp_path / ".mlops"


def test_socket_paths_stay_short_however_deep_the_home_lies() -> None:
    home = Home(Path("/" + "/".join(["very-long-name"] * 20)))

    assert len(str(home.short)) < 60


def test_two_homes_share_no_short_folder() -> None:
    assert Home(Path("/a")).short != Home(Path("/b")).short


def test_a_file_is_replaced_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secret.json"
    path.write_text("old")
    path.chmod(0o644)

    write_json(path, {"token": "x"}, 0o600)

    assert read_json(path) == {"token": "x"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["secret.json"]


def test_a_failed_replacement_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.json"
    write_json(path, {"nats": "nats://127.0.0.1:1"})

    with pytest.raises(TypeError):
        write_json(path, {"nats": object()})

    assert read_json(path) == {"nats": "nats://127.0.0.1:1"}
