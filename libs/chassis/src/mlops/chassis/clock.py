# SPDX-License-Identifier: Apache-2.0
"""What time it is: an argument everywhere, real only in `app.py`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present as an aware time in UTC."""
    return datetime.now(UTC)
