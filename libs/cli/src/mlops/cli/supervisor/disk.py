# SPDX-License-Identifier: Apache-2.0
"""Disk: refuse to start on a disk on which nothing could be stored."""

from __future__ import annotations

import shutil
from pathlib import Path

from mlops.cli.errors import CliError

LEAST_BYTES = 300 * 1024 * 1024


def require_space(folder: Path, least: int = LEAST_BYTES) -> None:
    """Raise CliError when fewer than *least* bytes are free."""
    free = shutil.disk_usage(folder).free
    if free < least:
        raise CliError(
            f"only {free / 1e6:.0f} MB are free on the disk of {folder}; the bus and the stores need more",
            f"free at least {least / 1e6:.0f} MB, or choose another folder with --home",
        )
