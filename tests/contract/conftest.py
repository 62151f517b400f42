# SPDX-License-Identifier: Apache-2.0
"""Where the repository is, what git says of `main`, and the official schemas from npm."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Published = Callable[[str, str, str], str]
FromMain = Callable[[str], dict[str, str]]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


def _missing(what: str) -> None:
    """Skip here and say why; in CI nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


def _main_branch() -> str:
    for name in ("main", "origin/main"):
        command = ["git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
        if subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0:
            return name
    return ""


@pytest.fixture(scope="session")
def from_main() -> FromMain:
    """Return what `main` has below a folder: path to content; empty only when it has no such folder."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        _missing("no git checkout here, so nothing can be compared with `main`")
    branch = _main_branch()
    if not branch:
        _missing("git knows no `main` to compare with; fetch it: git fetch origin main:main")

    def files(folder: str) -> dict[str, str]:
        # ls-tree succeeds with no lines when the folder is not there; any other trouble raises.
        paths = _git("ls-tree", "-r", "-z", "--name-only", branch, "--", folder).split("\0")
        return {path: _git("show", f"{branch}:{path}") for path in paths if path}

    return files


@pytest.fixture(scope="session")
def published() -> Published:
    """Return a file of a published npm package; the packages are kept in `.mlops/cache/npm`."""

    def read(package: str, version: str, member: str) -> str:
        archive = _package(package, version)
        with tarfile.open(archive) as files:
            found = files.extractfile(f"package/{member}")
            assert found is not None, f"{package}@{version} has no {member}"
            return found.read().decode()

    return read


def _package(package: str, version: str) -> Path:
    folder = ROOT / ".mlops" / "cache" / "npm"
    kept = folder / f"{package.strip('@').replace('/', '-')}-{version}.tgz"
    if kept.exists():
        return kept
    npm = shutil.which("npm")
    if npm is None:
        _missing(f"npm is not installed; {package}@{version} has the official schema")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        command = [str(npm), "pack", f"{package}@{version}", "--pack-destination", fresh]
        try:
            subprocess.run(command, check=True, capture_output=True, cwd=fresh, timeout=45)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            _missing(f"npm cannot fetch {package}@{version}: {error}")
        (Path(fresh) / kept.name).replace(kept)
    return kept
