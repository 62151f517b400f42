# SPDX-License-Identifier: Apache-2.0
"""Check: what one look at a project found."""

from __future__ import annotations

from dataclasses import asdict, dataclass

PASSED, FAILED, SKIPPED, WARNED = "passed", "failed", "skipped", "warning"


@dataclass(frozen=True)
class Check:
    """What one look found; `fix` says what to do where it did not pass."""

    check: str
    outcome: str
    found: str
    fix: str = ""

    def as_json(self) -> dict[str, str]:
        """Return it as plain JSON values."""
        return asdict(self)
