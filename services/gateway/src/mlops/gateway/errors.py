# SPDX-License-Identifier: Apache-2.0
"""What a caller of the gateway may be told: what is wrong, which, and the fix, with its HTTP status."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Problem:
    """One field that is wrong."""

    field: str
    problem: str


@dataclass
class CallerError(Exception):
    """A request that is not served; becomes the body `{"error": {"what", "which", "fix"}}`."""

    status: int
    what: str
    which: str
    fix: str
    problems: tuple[Problem, ...] = ()
    retry_after_s: int | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return all of it in one sentence."""
        return (
            f"{self.what}: {self.which}; {self.fix}" if self.which else f"{self.what}; {self.fix}"
        )
