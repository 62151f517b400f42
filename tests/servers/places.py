# SPDX-License-Identifier: Apache-2.0
"""Where the datasets of a test project lie."""

from __future__ import annotations

from pathlib import Path

from mlops.versioning.ports import Place


def place_of(root: Path, data: str = "data") -> Place:
    """Return the place of project `rain` below *root*, its remote and cache in the folder *data*."""
    (root / "rain").mkdir(exist_ok=True)
    at = root / data
    return Place("rain", str(root / "rain"), str(at / "remote" / "rain"), str(at / "cache"))
