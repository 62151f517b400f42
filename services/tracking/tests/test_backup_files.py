# SPDX-License-Identifier: Apache-2.0
"""What stands in a backup is checked, and what cannot be done is said with the fix."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from mlops.tracking.adapters import commands
from mlops.tracking.adapters.backup import backup, database_of
from mlops.tracking.adapters.backup_files import copy_tree, read_manifest
from mlops.tracking.adapters.database_postgres import PostgresDatabase, program
from mlops.tracking.adapters.reach import shown
from mlops.tracking.adapters.restore import restore
from mlops.tracking.adapters.schema import knows
from mlops.tracking.adapters.unfinished import check_whole
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


# Broken off, or bent by somebody


@pytest.mark.parametrize("name", ["saved", "a/saved", "."])
def test_a_backup_among_the_artifacts_is_refused(tmp_path: Path, name: str) -> None:
    store = a_store(tmp_path / "home")
    artifacts = tmp_path / "home" / "artifacts"

    with pytest.raises(StoreError, match="would lie among the artifacts"):
        backup(store, str(artifacts), artifacts / name, quiet)


def test_a_backup_goes_into_the_folder_one_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = a_store(tmp_path / "home")
    (tmp_path / "saved").mkdir()
    monkeypatch.chdir(tmp_path / "saved")

    backup(store, str(tmp_path / "home" / "artifacts"), Path(), quiet)

    assert (tmp_path / "saved" / "manifest.json").exists()


def test_links_that_are_left_out_are_said(tmp_path: Path) -> None:
    source = tmp_path / "artifacts"
    (tmp_path / "elsewhere").mkdir()
    source.mkdir()
    (source / "folder").symlink_to(tmp_path / "elsewhere")
    said: list[str] = []

    copy_tree(source, tmp_path / "copied", "artifacts", said.append)

    assert said == [f"left out: {source / 'folder'} is a link"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_not_left_out_in_silence(tmp_path: Path) -> None:
    store = a_store(tmp_path / "home")
    closed = tmp_path / "home" / "artifacts" / "a"
    closed.chmod(0)

    try:
        with pytest.raises(StoreError, match="Permission denied"):
            backup(store, str(tmp_path / "home" / "artifacts"), tmp_path / "saved", quiet)
    finally:
        closed.chmod(0o700)


@pytest.mark.parametrize("database", ["../secret", "/etc/passwd", "other.sqlite"])
def test_a_database_that_was_not_checked_is_not_restored(tmp_path: Path, database: str) -> None:
    _, source = saved(tmp_path)
    manifest = json.loads((source / "manifest.json").read_text())
    (source / "manifest.json").write_text(json.dumps({**manifest, "database": database}))

    with pytest.raises(StoreError, match="none of its checked files"):
        restore(source, f"sqlite:///{tmp_path / 'x.db'}", str(tmp_path / "x"), quiet)


@pytest.mark.parametrize(
    "change", [{"counts": 5}, {"files": [{"path": 5, "sha256": "", "bytes": 0}]}, {"database": 5}]
)
def test_a_manifest_of_other_kinds_is_unreadable(tmp_path: Path, change: dict[str, Any]) -> None:
    _, source = saved(tmp_path)
    manifest = json.loads((source / "manifest.json").read_text())
    (source / "manifest.json").write_text(json.dumps({**manifest, **change}))

    with pytest.raises(StoreError, match="no readable backup"):
        restore(source, f"sqlite:///{tmp_path / 'x.db'}", str(tmp_path / "x"), quiet)


def test_what_the_manifest_does_not_name_is_not_restored_and_what_it_names_is(
    tmp_path: Path,
) -> None:
    _, source = saved(tmp_path)
    there = tmp_path / "there"
    (source / "artifacts" / "stowaway").write_text("x")
    model = source / "artifacts" / "a" / "model.bin"
    model.rename(tmp_path / "deduplicated")
    model.symlink_to(tmp_path / "deduplicated")

    restore(source, f"sqlite:///{there / 'mlflow.db'}", str(there / "artifacts"), quiet)

    assert not (there / "artifacts" / "stowaway").exists()
    assert (there / "artifacts" / "a" / "model.bin").read_bytes() == b"model"


def test_a_damaged_store_is_replaced_with_force_and_said_without(tmp_path: Path) -> None:
    store, source = saved(tmp_path)
    (tmp_path / "home" / "mlflow.db").write_text("no database" * 100)
    artifacts = str(tmp_path / "home" / "artifacts")

    with pytest.raises(StoreError, match=r"is damaged: .*--force"):
        restore(source, store, artifacts, quiet)
    restore(source, store, artifacts, quiet, force=True)

    assert database_of(store).holds()["runs"] == 1


@pytest.mark.parametrize("left", [0, 1, 2, 3, 4])
def test_a_restore_that_is_killed_leaves_a_whole_store_or_says_so(
    tmp_path: Path, left: int
) -> None:
    source = saved(tmp_path)[1]
    home = tmp_path / "other"
    store, artifacts = a_store(home, runs=7), str(home / "artifacts")
    (home / "artifacts" / "a" / "model.bin").write_bytes(b"other")

    with pytest.MonkeyPatch.context() as patch:
        kill_after(patch, left)
        with pytest.raises(KilledError):
            restore(source, store, artifacts, quiet, force=True)
    held = database_of(store).holds().get("runs")
    model = home / "artifacts" / "a" / "model.bin"
    is_old = held == 7 and model.exists() and model.read_bytes() == b"other"

    assert held in (1, 7)
    if not is_old:
        with pytest.raises(StoreError, match="a restore broke off"):
            check_whole(artifacts)
    result = restore(source, store, artifacts, quiet, force=True)
    check_whole(artifacts)
    kept = [path for path in home.glob("*.before-*") if path.is_dir()]
    assert model.read_bytes() == b"model"
    assert [each / "a" / "model.bin" for each in kept if (each / "a").exists()]
    assert any((each / "a" / "model.bin").read_bytes() == b"other" for each in kept)
    assert {str(each) for each in kept} <= set(result["moved_aside"])  # type: ignore[call-overload]  # it is a list
    assert any(
        database_of(f"sqlite:///{path}").holds()["runs"] == 7
        for path in home.glob("mlflow.db.before-*")
    )


class KilledError(BaseException):
    """What nothing catches, as a kill."""


def kill_after(patch: pytest.MonkeyPatch, renames: int) -> None:
    """Let that many files and folders be renamed, and nothing after that be done."""
    real, left = Path.replace, [renames]

    def replace(path: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] < 0:
            raise KilledError
        return real(path, target)

    patch.setattr(Path, "replace", replace)
    patch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(KilledError))


def test_no_password_reaches_arguments_and_messages() -> None:
    database = PostgresDatabase("postgresql://me:one@127.0.0.1/db?password=two&sslmode=prefer")

    place, secret = database._place()  # what every user of the machine could read

    assert place == "postgresql://me@127.0.0.1/db?sslmode=prefer"
    assert secret == {"PGPASSWORD": "one"}
    assert "two" not in shown("postgresql://me@127.0.0.1/db?password=two")
