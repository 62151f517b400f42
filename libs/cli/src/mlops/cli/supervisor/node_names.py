# SPDX-License-Identifier: Apache-2.0
"""Node names: what this machine is called everywhere; the telemetry agent and the scheduler must mean the same one."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from mlops.cli.errors import InputError
from mlops.cli.home import Home

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")


class NodeNameError(InputError, ValueError):
    """A name that messages, pools and queues cannot carry."""


def own_name(home: Home, environ: Mapping[str, str]) -> str:
    """Return the name of the machine of an installation: the one its agent was given, or has, or is to have."""
    given = environ.get("TELEMETRY_AGENT_NODE", "")
    if given:
        return checked(given)
    file = home.root / "state" / "telemetry_agent" / "node_id"
    known = file.read_text(errors="replace").strip() if file.exists() else ""
    if _NAME.fullmatch(known):
        return known
    made = f"node-{secrets.token_hex(4)}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{made}\n")
    return made


def checked(name: str) -> str:
    """Return a name that messages, pools and queues can carry; NodeNameError for any other."""
    if _NAME.fullmatch(name):
        return name
    raise NodeNameError(
        f"{name!r} is no name for a machine",
        "use small letters, digits and -, for example studio-2",
    )
