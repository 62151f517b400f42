# SPDX-License-Identifier: Apache-2.0
"""A SQLite store that cannot be used is explained before MLflow sees it."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from mlops.tracking.adapters.sqlite import explain, path_of, prepare
from mlops.tracking.errors import StoreError


def test_a_new_store_gets_its_folder_and_write_ahead_logging(tmp_path: Path) -> None:
    path = tmp_path / "new" / "mlflow.db"

    prepare(f"sqlite:///{path}")

    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_text("something else entirely, long enough to be read as a header" * 20)

    with pytest.raises(
        StoreError, match=re.escape(f"{path}: file is not a database; move the file away")
    ):
        prepare(f"sqlite:///{path}")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")

    with pytest.raises(StoreError, match=r"mlflow\.db"):
        prepare(f"sqlite:///{tmp_path / 'state' / 'mlflow.db'}")


def test_other_stores_are_left_alone() -> None:
    prepare("postgresql://nobody@nowhere/nothing")

    assert path_of("postgresql://nobody@nowhere/nothing") is None


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        ("database or disk is full", "free space"),
        ("database is locked", "another process holds it"),
        ("attempt to write a readonly database", "writable"),
        ("disk I/O error", "quota"),
    ],
)
def test_an_error_comes_with_its_fix(error: str, fix: str) -> None:
    said = explain(Path("/home/x/mlflow.db"), error)

    assert said.startswith(f"store /home/x/mlflow.db: {error}; ")
    assert fix in said
