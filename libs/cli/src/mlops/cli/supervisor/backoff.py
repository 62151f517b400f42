# SPDX-License-Identifier: Apache-2.0
"""Back-off: how long to wait before a component is started again, and when its failures are forgotten."""

from __future__ import annotations

DELAYS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
FORGIVEN_AFTER_S = 60.0
HOPELESS_AFTER = 3


def delay_s(failures: int) -> float:
    """Return the pause after this many failures in a row (1 is the first)."""
    return DELAYS_S[min(max(failures, 1), len(DELAYS_S)) - 1]


def failures_after(failures: int, ready_for_s: float | None) -> int:
    """Return the failures in a row, counting the present one; a long good time wipes the earlier ones out."""
    if ready_for_s is not None and ready_for_s >= FORGIVEN_AFTER_S:
        return 1
    return failures + 1
