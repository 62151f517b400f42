# SPDX-License-Identifier: Apache-2.0
"""What stands in a backup is checked, and what cannot be done is said with the fix."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from mlops.tracking.adapters import commands
from mlops.tracking.adapters.backup import backup, database_of
from mlops.tracking.adapters.backup_files import copy_tree, read_manifest
from mlops.tracking.adapters.database_postgres import program
from mlops.tracking.adapters.restore import restore
from mlops.tracking.adapters.schema import knows
from mlops.tracking.errors import StoreError
from mlops.tracking.model.places import below_root, folder_of, is_folder, moved
from mlops.tracking.settings import Settings

REVISION = "dc11669786a5"


def quiet(line: str) -> None:
    del line


def a_store(folder: Path, runs: int = 1) -> str:
    """Make a store with a little of MLflow's schema."""
    folder.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(folder / "mlflow.db")
    connection.execute("CREATE TABLE alembic_version (version_num)")
    connection.execute("INSERT INTO alembic_version VALUES (?)", (REVISION,))
    connection.execute("CREATE TABLE runs (run_uuid)")
    connection.execute("CREATE TABLE registered_models (name)")
    connection.executemany("INSERT INTO runs VALUES (?)", [(number,) for number in range(runs)])
    connection.commit()
    connection.close()
    (folder / "artifacts" / "a").mkdir(parents=True)
    (folder / "artifacts" / "a" / "model.bin").write_bytes(b"model")
    return f"sqlite:///{folder / 'mlflow.db'}"


def saved(folder: Path) -> tuple[str, Path]:
    store = a_store(folder / "home")
    backup(store, str(folder / "home" / "artifacts"), folder / "saved", quiet)
    return store, folder / "saved"


def test_a_backup_is_restored_into_an_empty_place(tmp_path: Path) -> None:
    _, source = saved(tmp_path)
    there = tmp_path / "there"

    result = restore(source, f"sqlite:///{there / 'mlflow.db'}", str(there / "artifacts"), quiet)

    assert result["runs"] == 1
    assert result["moved_aside"] == []
    assert (there / "artifacts" / "a" / "model.bin").read_bytes() == b"model"
    assert not list(there.glob("*.restoring"))


@pytest.mark.parametrize("spoil", ["model.bin", "database.sqlite"])
def test_a_file_that_is_missing_or_changed_is_named(tmp_path: Path, spoil: str) -> None:
    _, source = saved(tmp_path)
    (path,) = source.rglob(spoil)
    there = tmp_path / "there"
    target = (f"sqlite:///{there / 'mlflow.db'}", str(there / "artifacts"), quiet)

    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(StoreError, match=f"damaged: .*{spoil}"):
        restore(source, *target)
    path.unlink()
    with pytest.raises(StoreError, match=f"lacks .*{spoil}"):
        restore(source, *target)

    assert not there.exists()


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd"])
def test_a_backup_that_reaches_outside_of_itself_is_refused(tmp_path: Path, path: str) -> None:
    _, source = saved(tmp_path)
    manifest = json.loads((source / "manifest.json").read_text())
    manifest["files"][0]["path"] = path
    (source / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(StoreError, match="outside of itself"):
        restore(source, f"sqlite:///{tmp_path / 'x.db'}", str(tmp_path / "x"), quiet)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 9}, "has format 9"),
        ({"store": "postgresql"}, "is of a postgresql store, this one is sqlite"),
        ({"schema_revision": "f00"}, "newer than this installation"),
        ({"files": [{"path": "x"}]}, "no readable backup"),
        ({"surprise": 1}, "no readable backup"),
    ],
)
def test_a_backup_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    _, source = saved(tmp_path)
    manifest = json.loads((source / "manifest.json").read_text())
    (source / "manifest.json").write_text(json.dumps({**manifest, **change}))

    with pytest.raises(StoreError, match=says):
        restore(source, f"sqlite:///{tmp_path / 'x.db'}", str(tmp_path / "x"), quiet)


def test_what_is_there_is_kept_and_moved_aside_with_force_only(tmp_path: Path) -> None:
    store, source = saved(tmp_path)
    artifacts = str(tmp_path / "home" / "artifacts")

    with pytest.raises(StoreError, match=r"not empty \(1 runs, 0 models, artifacts in .*--force"):
        restore(source, store, artifacts, quiet)
    result = restore(source, store, artifacts, quiet, force=True)

    aside = [Path(str(path)) for path in list(result["moved_aside"])]  # type: ignore[call-overload]  # it is a list
    assert [path.exists() for path in aside] == [True, True]
    assert (aside[1] / "a" / "model.bin").read_bytes() == b"model"


def test_a_backup_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    store = a_store(tmp_path / "home")
    (tmp_path / "home" / "mlflow.db").write_text("no database" * 100)

    with pytest.raises(StoreError, match="move the file away, or restore it from a backup"):
        backup(store, str(tmp_path / "home" / "artifacts"), tmp_path / "saved", quiet)

    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_link_out_of_the_artifacts_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    source = tmp_path / "artifacts"
    source.mkdir()
    (source / "link").symlink_to(secret)

    assert copy_tree(source, tmp_path / "copied", "artifacts", quiet) == []


def test_a_store_that_does_not_exist_has_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing to back up"):
        backup(f"sqlite:///{tmp_path / 'x.db'}", "s3://bucket", tmp_path / "saved", quiet)
    with pytest.raises(StoreError, match="mysql store is backed up with"):
        database_of("mysql://host/name")


def test_artifacts_on_s3_are_named_and_stay(tmp_path: Path) -> None:
    store = a_store(tmp_path / "home")

    result = backup(store, "s3://bucket/mlops", tmp_path / "saved", quiet)

    manifest = read_manifest(tmp_path / "saved")
    assert (manifest.artifacts, manifest.artifacts_included) == ("s3://bucket/mlops", False)
    assert result["files"] == 1


def test_a_program_that_is_missing_is_named_with_the_fix() -> None:
    with pytest.raises(
        StoreError, match="pg_nothing is not installed; install PostgreSQL's client"
    ):
        program("pg_nothing")


def test_the_schemas_of_this_mlflow_are_known() -> None:
    assert knows(REVISION)
    assert not knows("f00")
    assert not knows("")


def test_a_failed_command_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path))
    monkeypatch.setenv("TRACKING_STORE_URI", f"sqlite:///{tmp_path / 'x.db'}")

    code = commands.run(["backup", str(tmp_path / "saved"), "--json"], Settings)

    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert code == 1
    assert (answer["command"], answer["ok"]) == ("backup", False)
    assert "nothing to back up" in answer["error"]
    assert "nothing to back up" in said.err


@pytest.mark.parametrize("words", [["import", "x.db"], ["backup"], ["forget"]])
def test_what_is_not_understood_exits_with_two(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        commands.run(words, Settings)

    assert ended.value.code == 2


def test_a_wrong_setting_exits_with_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRACKING_STORE_URI", "nonsense")

    assert commands.run(["backup", str(tmp_path / "saved")], Settings) == 2
    assert "is no database that MLflow knows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/old/mlruns/0/r/artifacts", "new:/1/r/artifacts"),
        ("/old/mlruns/01/r", "/old/mlruns/01/r"),
        ("/old/mlruns/0", "new:/1"),
        ("models:/m-1", "models:/m-1"),
    ],
)
def test_a_place_that_moved_is_found_by_its_beginning(uri: str, expected: str) -> None:
    assert moved(uri, {"/old/mlruns/0": "new:/1"}) == expected


def test_places_are_told_apart() -> None:
    assert is_folder("/a")
    assert is_folder("file:///a%20b")
    assert is_folder("mlruns/0")
    assert not is_folder("s3://bucket")
    assert folder_of("file:///a%20b") == "/a b"
    assert below_root("mlflow-artifacts:/workspaces/rain/1") == "workspaces/rain/1"
    assert below_root("s3://bucket/x") is None
