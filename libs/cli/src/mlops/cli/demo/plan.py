# SPDX-License-Identifier: Apache-2.0
"""Plan: which days are replayed, how fast, and what counts as the loop having closed."""

from __future__ import annotations

from dataclasses import dataclass

EXAMPLE = "rainfall"
MODEL = "rain"


@dataclass(frozen=True)
class Plan:
    """A replay of the weather. Days are rows of the data; a window is a stretch of days in the report."""

    name: str
    first_day: int
    last_day: int
    trained_on: int = 3000
    window: int = 500
    label_delay_days: int = 20
    quick_days_per_s: float = 250.0
    slow_days_per_s: float = 2.0
    days_per_request: int = 10
    ahead_days: int = 60

    @property
    def days(self) -> int:
        """Return how many days are replayed."""
        return self.last_day - self.first_day


FULL = Plan("full", first_day=3000, last_day=18159)
FAST = Plan("fast", first_day=11000, last_day=15000)
