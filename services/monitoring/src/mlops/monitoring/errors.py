# SPDX-License-Identifier: Apache-2.0
"""What monitoring's own decisions refuse."""

from __future__ import annotations


class PeriodError(ValueError):
    """What was asked for is no period that a report could cover."""
