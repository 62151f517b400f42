# SPDX-License-Identifier: Apache-2.0
"""named_by_hand: which contents the `.dvc` files of a folder, and the record of its pipelines, name just now.

What it misses may be deleted, so it takes too much rather than too little: every address in any such file, however it is
written down, in hidden folders and environments too.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from mlops.chassis.errors import RejectedError

_ADDRESS = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])(?:\.dir\b)?")
_ENDING = ".dvc"
_RECORD = "dvc.lock"
# What git, Mercurial and DVC keep for themselves.
_NOT_ENTERED = (".git", ".hg", ".dvc")


def named_by_hand(folder: str) -> set[str]:
    """Return the addresses; RejectedError where a folder or a file cannot be read."""
    found: set[str] = set()
    for above, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [one for one in folders if one not in _NOT_ENTERED]
        for name in names:
            if name.endswith(_ENDING) or name == _RECORD:
                found.update(_addresses(Path(above, name)))
    return found


def _addresses(file: Path) -> list[str]:
    try:
        return _ADDRESS.findall(file.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        _refuse(error)
        return []


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # gone meanwhile, it names nothing
        raise RejectedError(
            f"{error.filename!r} cannot be read ({error.strerror}), so nobody can tell what its `.dvc` files name; make "
            "it readable for the platform's user; nothing was deleted"
        ) from error
