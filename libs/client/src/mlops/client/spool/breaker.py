# SPDX-License-Identifier: Apache-2.0
"""Breaker: how long to leave a server alone that did not answer; pure."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_S = 0.2
LONGEST_S = 30.0
_OPEN_AFTER = 3
# A workspace or a password does not come back within milliseconds.
_SLOW_FIRST_S = 2.0
_URGENT_S = 1.0


@dataclass(frozen=True)
class Breaker:
    """Counts failures in a row; open means: do not even try before `retry_at`."""

    failures: int = 0
    retry_at: float = 0.0

    @property
    def is_open(self) -> bool:
        """Say whether callers should not wait for the server."""
        return self.failures >= _OPEN_AFTER

    def may_try(self, now: float) -> bool:
        """Say whether it is time to try."""
        return now >= self.retry_at

    def failed(self, now: float, chance: float, *, slow: bool = False) -> Breaker:
        """Return the state after a failure; *chance* in [0, 1) spreads clients that failed together."""
        first = _SLOW_FIRST_S if slow else FIRST_S
        pause = min(LONGEST_S, first * 2.0 ** min(self.failures, 16))
        return Breaker(self.failures + 1, now + pause * (0.5 + chance / 2))

    def hurried(self, now: float) -> Breaker:
        """Return the state when somebody waits: the next try is at most a second away."""
        return Breaker(self.failures, min(self.retry_at, now + _URGENT_S))

    def succeeded(self) -> Breaker:
        """Return the state after an answer."""
        return Breaker()
