# SPDX-License-Identifier: Apache-2.0
"""Where the spool is: `MLOPS_SPOOL`, the home of the installation, or the user's own state folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

_DEFAULT_MB = 1024


def spool_folder(home: Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder that this user's records wait in; it is made when something is logged."""
    env = os.environ if environ is None else environ
    if told := env.get("MLOPS_SPOOL"):
        return Path(told).expanduser().absolute()
    if home is not None:
        return home.absolute() / "spool"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "mlops" / "spool"
    state = env.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "mlops" / "spool"


def most_bytes(environ: Mapping[str, str] | None = None) -> int:
    """Return how large the folder may become: `MLOPS_SPOOL_MAX_MB`, 1024 when it is not a number."""
    told = (os.environ if environ is None else environ).get("MLOPS_SPOOL_MAX_MB", "")
    try:
        return max(1, int(float(told) * 1_000_000))
    except (ValueError, OverflowError):
        return _DEFAULT_MB * 1_000_000
