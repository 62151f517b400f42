# SPDX-License-Identifier: Apache-2.0
"""Claims: which ports other running installations of this machine have chosen, also those they do not use yet."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mlops.cli.home import Home, read_json, write_json
from mlops.cli.supervisor import processes

_FILE = "claim.json"
_PRIVATE = 0o700


def claim(home: Home, ports: Mapping[str, int]) -> None:
    """Tell other installations which ports this one has chosen, for as long as this process lives."""
    make_private(home)
    pid = os.getpid()
    content = {"pid": pid, "created": processes.created(pid), "ports": dict(ports)}
    write_json(home.short / _FILE, content)


def claimed_by_others(home: Home) -> set[int]:
    """Return the ports that other living supervisors have chosen."""
    found: set[int] = set()
    for path in home.short.parent.glob(f"mlops-*/{_FILE}"):
        if path.parent == home.short:
            continue
        told = read_json(path)
        if processes.alive(told.get("pid"), told.get("created")):
            found |= set(told.get("ports", {}).values())
    return found


def make_private(home: Home) -> None:
    """Make the short folder, for this user alone; PermissionError when somebody else holds its name."""
    home.short.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    if home.short.stat().st_uid != os.getuid() or home.short.is_symlink():
        raise PermissionError(f"{home.short} belongs to somebody else; remove it or set TMPDIR")
    home.short.chmod(_PRIVATE)
