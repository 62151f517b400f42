# SPDX-License-Identifier: Apache-2.0
"""What names this machine and its user, so that recordings can be scrubbed of it."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable
from pathlib import Path

from mlops.telemetry_agent.model.scrub import scrubber


def scrubber_of_this_machine() -> Callable[[bytes], bytes]:
    """Return a scrubber that knows the names of this host and this user."""
    host = socket.gethostname()
    return scrubber({host, host.partition(".")[0], _user(), Path.home().name})


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
