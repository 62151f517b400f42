# SPDX-License-Identifier: Apache-2.0
"""describe(): what a run stands on — chip, cores, memory, versions, commit, lock — as tags; nothing that names a person."""

from __future__ import annotations

import os
import time
from pathlib import Path

from mlops.client.system import machine, source

BUDGET_S = 1.0


def describe(folder: Path | None = None, home: Path | None = None) -> dict[str, str]:
    """Return the tags `mlops.system.*`, `mlops.git.*` and `mlops.lock.*`; what cannot be told is absent.

    *folder* is the project's (default: here), *home* the home of an installation on this machine, which knows the
    node's name. Takes a second at most, and a few hundredths usually; never raises.
    """
    until = time.monotonic() + BUDGET_S
    there = folder or Path.cwd()
    found = {f"mlops.system.{key}": value for key, value in machine.told(until).items()}
    node = machine.node(home, os.environ)
    if node:
        found["mlops.system.node"] = node
    return found | source.lock(there) | source.commit(there, until)


__all__ = ["BUDGET_S", "describe"]
