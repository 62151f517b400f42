# SPDX-License-Identifier: Apache-2.0
"""The memory of this machine, or of the container that serving runs in."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def machine_bytes(limits: tuple[Path, ...] = _LIMITS) -> int:
    """Return how much memory there is; *limits* are files that may name less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in limits:
        with suppress(OSError, ValueError):  # no such file, or it says "max"
            found.append(int(path.read_text()))
    return min(found)
