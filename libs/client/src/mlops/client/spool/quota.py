# SPDX-License-Identifier: Apache-2.0
"""Quota: how much more a spool folder may take; the last part is kept for what must not be dropped."""

from __future__ import annotations

from pathlib import Path

from mlops.client.spool.segments import size_of

_KEPT_SHARE = 0.1
_KEPT_AT_MOST = 64_000_000


class Quota:
    """Counts what this process writes; `measure` looks what others do."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder = folder
        self.most_bytes = most_bytes
        self._kept = int(min(_KEPT_AT_MOST, most_bytes * _KEPT_SHARE))
        self.room = most_bytes
        self.measure()

    def measure(self) -> None:
        """Look how much there is."""
        self.room = self.most_bytes - size_of(self.folder)

    def takes(self, size: int, *, droppable: bool) -> bool:
        """Say whether *size* more bytes fit, and count them if so."""
        if self.room - size < (self._kept if droppable else 0):
            return False
        self.room -= size
        return True
