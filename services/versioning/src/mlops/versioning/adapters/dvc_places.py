# SPDX-License-Identifier: Apache-2.0
"""Where our DVC keeps its own things: without them it writes to the user's and the system's configuration."""

from __future__ import annotations

from pathlib import Path


def own_places(scratch: Path) -> dict[str, str]:
    """Return the environment of a worker in which DVC runs."""
    return {
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": str(scratch / "dvc" / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(scratch / "dvc" / "system"),
        "DVC_SITE_CACHE_DIR": str(scratch / "dvc" / "site-cache"),
    }
