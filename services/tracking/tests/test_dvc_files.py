# SPDX-License-Identifier: Apache-2.0
"""The content at a path is read from its `.dvc` file, or from a pipeline's `dvc.lock`: as it is now, and as committed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mlops.tracking.adapters.dvc_files import DvcFiles

A, B = "a" * 32, "b" * 32 + ".dir"
LOCK = f"""schema: '2.0'
stages:
  prep:
    cmd: python prep.py
    deps:
    - path: raw.csv
      hash: md5
      md5: {"c" * 32}
    params:
      params.yaml:
        depth: 3
    outs:
    - path: out
      hash: md5
      md5: {B}
      size: 4
      nfiles: 2
    - path: 'a: b.txt'
      hash: md5
      md5: {A}
"""


def git(folder: Path, *words: str) -> str:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    own = {"HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=ada", "-c", "user.email=ada@example.org")
    done = subprocess.run(
        ["git", *who, *words],
        cwd=folder,
        env={**clean, **own},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a project's folder below its repository: a file, and what a pipeline in a folder has made."""
    root = tmp_path / "rain"
    (root / "project" / "work").mkdir(parents=True)
    (root / "project" / "days.csv.dvc").write_text(
        f"outs:\n- md5: {A}\n  size: 3\n  hash: md5\n  path: days.csv\n"
    )
    (root / "project" / "model.bin.dvc").write_text(
        f"frozen: true\nouts:\n- path: model.bin\n  md5: {A}\n  size: 3\n"
    )
    (root / "project" / "work" / "dvc.lock").write_text(LOCK)
    return root / "project"


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("days.csv", A),
        ("model.bin", A),
        ("work/out", B),
        ("work/a: b.txt", A),
        ("work/raw.csv", None),
        ("out", None),
        ("nothing/here", None),
    ],
)
async def test_a_content_is_named_by_its_own_file_or_by_the_pipeline_that_made_it(
    folder: Path, path: str, address: str | None
) -> None:
    assert await DvcFiles().now(str(folder), path) == address


async def test_a_pipeline_above_names_what_lies_in_folders(folder: Path) -> None:
    (folder / "dvc.lock").write_text(LOCK.replace("path: out", "path: other/out"))

    assert await DvcFiles().now(str(folder), "other/out") == B


@pytest.mark.parametrize("text", ["[" * 60_000, "stages: " + "{a: " * 10_000, LOCK[:200], "\0"])
async def test_a_lock_that_dvc_did_not_write_names_nothing(folder: Path, text: str) -> None:
    (folder / "work" / "dvc.lock").write_text(text)

    assert await DvcFiles().now(str(folder), "work/out") is None


async def test_a_commit_names_what_it_held_whatever_repository_the_platform_was_started_from(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(folder.parent, "init", "--quiet")
    git(folder.parent, "add", "--all")
    git(folder.parent, "commit", "--quiet", "--message", "first")
    commit = git(folder.parent, "rev-parse", "HEAD")
    (folder / "days.csv.dvc").unlink()
    (folder / "work" / "dvc.lock").unlink()
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))

    files = DvcFiles()
    file = await files.committed(str(folder), commit, "days.csv")
    output = await files.committed(str(folder), commit, "work/out")
    of_no_commit = await files.committed(str(folder), "--help", "days.csv")

    assert (file, output, of_no_commit) == (A, B, None)
    assert await files.now(str(folder), "days.csv") is None
