# SPDX-License-Identifier: Apache-2.0
"""named_by_hand: which contents the `.dvc` files of a folder, and the record of its pipelines, name just now."""

from __future__ import annotations

import os
import re
from pathlib import Path

_ADDRESS = re.compile(r"\bmd5: ([0-9a-f]{32}(?:\.dir)?)\s*$", re.MULTILINE)
_ENDING = ".dvc"
_RECORD = "dvc.lock"
_ENVIRONMENT = "pyvenv.cfg"


def named_by_hand(folder: str) -> set[str]:
    """Return the addresses; what DVC keeps, environments and hidden folders are not entered."""
    found: set[str] = set()
    for above, folders, names in os.walk(folder):
        if _ENVIRONMENT in names:
            folders.clear()
            continue
        kept = {name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING)}
        folders[:] = [one for one in folders if not one.startswith(".") and one not in kept]
        for name in names:
            if name.endswith(_ENDING) or name == _RECORD:
                found.update(_addresses(Path(above, name)))
    return found


def _addresses(file: Path) -> list[str]:
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            return _ADDRESS.findall(opened.read())
    except FileNotFoundError:
        return []
