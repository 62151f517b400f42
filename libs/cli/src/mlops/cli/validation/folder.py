# SPDX-License-Identifier: Apache-2.0
"""Folder: what can be said of a project without the platform: its file, model, datasets and code."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.cli.validation import programs
from mlops.cli.validation.check import FAILED, PASSED, SKIPPED, WARNED, Check

if TYPE_CHECKING:
    from mlops.client.project_file import ProjectFile

_GIT_S = 10.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def examine(start: Path) -> tuple[list[Check], ProjectFile | None]:
    """Return what is found in a project's folder, and the project when its file can be used."""
    from mlops.client.project_file import (  # noqa: PLC0415 - slow to import; help does without
        ProjectFileError,
        load_project_file,
    )

    try:
        project = load_project_file(start)
    except ProjectFileError as error:
        return [
            Check("project file", FAILED, f"{error.file}: {one.field}: {one.problem}", one.fix)
            for one in error.problems
        ], None
    return [
        Check("project file", PASSED, f"{project.file}, project {project.name}"),
        _model(project),
        *programs.checks(project),
        *_datasets(project),
        _git(project.folder),
    ], project


def _model(project: ProjectFile) -> Check:
    name = project.settings.serve.model
    if not name:
        return Check("model", SKIPPED, "[serve] names no model: the project serves nothing")
    if not _NAME.fullmatch(name):
        fix = "begin it with a letter or digit; the rest may hold . _ - too"
        return Check("model", FAILED, f"{name!r} cannot be part of an address", fix)
    return Check("model", PASSED, f"will answer at /v2/models/{project.name}.{name}")


def _datasets(project: ProjectFile) -> Iterator[Check]:
    if not project.settings.data.datasets:
        yield Check("datasets", SKIPPED, "none are named: no training will know its data")
    for name, path in project.settings.data.datasets.items():
        title = f"dataset {name}"
        if not _NAME.fullmatch(name):
            fix = "begin it with a letter or digit; the rest may hold . _ - too"
            yield Check(title, FAILED, f"{name!r} cannot name a dataset", fix)
        else:
            yield _dataset(project.folder, title, path)


def _dataset(folder: Path, title: str, path: str) -> Check:
    place = folder / path
    if not place.resolve().is_relative_to(folder.resolve()):
        fix = "move it into the project's folder"
        return Check(title, FAILED, f"{path} lies outside of {folder}", fix)
    if not place.exists():
        return _absent(folder, title, path)
    if not os.access(place, os.R_OK):
        return Check(title, FAILED, f"{path} cannot be read", f"chmod u+r {shlex.quote(path)}")
    if place.is_dir() and not any(one.is_file() for one in place.rglob("*")):
        return Check(title, FAILED, f"{path} is an empty folder", "put the data there")
    if _git_says(folder, "ls-files", "--", path):
        fix = f"git rm -r --cached {shlex.quote(path)}, and commit: versions are kept beside git"
        return Check(title, FAILED, f"git tracks {path}, so it cannot be versioned as data", fix)
    return Check(title, PASSED, path)


def _absent(folder: Path, title: str, path: str) -> Check:
    if (folder / f"{path.rstrip('/')}.dvc").is_file():
        fix = "`mlops data pull` brings it"
        return Check(title, WARNED, f"{path} is versioned but not here", fix)
    return Check(title, FAILED, f"there is no {path} in {folder}", "correct the path, or make it")


def _git(folder: Path) -> Check:
    if shutil.which("git") is None:
        return Check("git", SKIPPED, "there is no git program: runs will not know their code")
    commit = _git_says(folder, "rev-parse", "--short", "HEAD")
    if not commit:
        fix = "git init, git add, git commit"
        return Check("git", WARNED, "no commit here: runs will not know their code", fix)
    changed = (_git_says(folder, "status", "--porcelain", "--", ".") or "").splitlines()
    if not changed:
        return Check("git", PASSED, f"commit {commit}, nothing changed since")
    text = f"commit {commit}; changed since: {len(changed)}, such as {changed[0].split()[-1]}"
    return Check("git", WARNED, text, "commit it, so that a run can be repeated")


def _git_says(folder: Path, *words: str) -> str | None:
    try:
        found = subprocess.run(
            [shutil.which("git") or "git", *words],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.rstrip() if found.returncode == 0 else None
