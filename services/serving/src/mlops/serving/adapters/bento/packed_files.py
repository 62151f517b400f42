# SPDX-License-Identifier: Apache-2.0
"""Whether the model's files are those that were packed: their digests stand in the Bento."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

_CHUNK = 2**20


class DamagedError(RuntimeError):
    """A file of the model is not what was packed."""


def check_files(folder: Path, spec: dict[str, Any]) -> None:
    """Raise DamagedError when a file is missing, changed, or one too many."""
    found = digests(folder)
    wanted: dict[str, str] = spec["files"]
    wrong = sorted(
        name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)
    )
    if wrong:
        raise DamagedError(
            f"{spec['model_tag']} is damaged since it was packed ({', '.join(wrong[:3])}); pack this version again"
        )


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file by its path within the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_made(path))
    return {path.relative_to(folder).as_posix(): digest(path) for path in files}


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            found.update(piece)
    return found.hexdigest()


def _is_made(path: Path) -> bool:
    # Python writes its bytecode beside a model's own code when that is imported.
    return "__pycache__" in path.parts
