# SPDX-License-Identifier: Apache-2.0
"""The checkout this command runs from, when it runs from one (an image may hold installed packages only)."""

from __future__ import annotations

from pathlib import Path


def find_checkout() -> Path | None:
    """Return the repository's root, or None for packages installed without it."""
    for parent in Path(__file__).resolve().parents:
        if (parent / "requirements.lock").is_file() and (parent / "libs").is_dir():
            return parent
    return None
