# SPDX-License-Identifier: Apache-2.0
"""The commit of the code and the lock of its packages; remotes, authors and paths stay unread."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from mlops.client.system import programs

# A real lock anywhere up to the repository's root says more than a list of wishes beside the code.
LOCKS = (
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "requirements.lock",
    "requirements.txt",
    "pyproject.toml",
)
_LARGEST = 64 * 2**20
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
# The monitor of a repository is a program that its owner chose; describing a run must not start it.
_GIT = ("git", "--no-optional-locks", "-c", "core.fsmonitor=false")


def commit(folder: Path, until: float) -> dict[str, str]:
    """Return the commit, and whether a file that git knows differs from it."""
    said = programs.answer((*_GIT, "rev-parse", "--verify", "HEAD"), until, folder)
    found = (said or "").strip()
    if not _COMMIT.fullmatch(found):
        return {}
    tags = {"mlops.git.commit": found, "mlflow.source.git.commit": found}
    changed = (*_GIT, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty")
    state = programs.answer(changed, until, folder)
    if state is not None:
        tags["mlops.git.dirty"] = "true" if state.strip() else "false"
    return tags


def lock(folder: Path) -> dict[str, str]:
    """Return the hash of the file that fixes the packages, and its name."""
    folders = list(_up(folder))
    for name in LOCKS:
        for there in folders:
            if found := _sha256(there / name):
                return {"mlops.lock.sha256": found, "mlops.lock.file": name}
    return {}


def _up(folder: Path) -> Iterator[Path]:
    """Yield the folder and those above, as far as the root of the repository; without one, the folder alone."""
    try:
        there = folder.resolve()
    except OSError:
        return
    above = [there, *there.parents]
    root = next((index for index, one in enumerate(above) if (one / ".git").exists()), 0)
    yield from above[: root + 1]


def _sha256(file: Path) -> str | None:
    try:
        if not file.is_file() or file.stat().st_size > _LARGEST:
            return None
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return None
