# SPDX-License-Identifier: Apache-2.0
"""Lean: imports a library without the optional ones it would take along, for eight processes pay for each of them.

`structlog` takes `rich` (5 MB in every process) to draw tracebacks on terminals, and `nats` takes `aiohttp` (8 MB) to
speak over web sockets; both do without where it is not installed, and neither is what a service does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Let imports inside find *names* not installed; what was imported before stays, and later imports succeed."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # how Python itself spells "not to be found"
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
