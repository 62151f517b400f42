# SPDX-License-Identifier: Apache-2.0
"""DiskProbe: how much room there is where the platform keeps its files."""

from __future__ import annotations

from pathlib import Path

import psutil

from mlops.telemetry_agent.model.reading import FAILED, Partial

EVERY_S = 30.0
GIVES = ("disk.total_bytes", "disk.free_bytes")


class DiskProbe:
    """The file system of one folder."""

    name = "disk"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, at_s: float) -> Partial:  # noqa: ARG002 - the room is that of now
        """Look once; what only root may still write is not free."""
        try:
            found = psutil.disk_usage(str(self._folder))
        except OSError:
            return Partial(self.name, missing=dict.fromkeys(GIVES, FAILED))
        return Partial(self.name, dict(zip(GIVES, (found.total, found.free), strict=True)))

    def close(self) -> None:
        """Nothing is held open."""
