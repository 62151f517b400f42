# SPDX-License-Identifier: Apache-2.0
"""Trash: delivered copies, removed once it is written down that they are delivered."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path


class Trash:
    """Files and folders that nobody needs any more."""

    def __init__(self) -> None:
        self._paths: list[Path] = []

    def add(self, path: Path) -> None:
        """Remove this one at the next `empty`."""
        self._paths.append(path)

    def empty(self) -> None:
        """Remove them, and the folders that are empty then."""
        for path in self._paths:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()
        self._paths.clear()
