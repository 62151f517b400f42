# SPDX-License-Identifier: Apache-2.0
"""What mlx-lm makes of a temperature; words that stand fixed need none of it."""

from __future__ import annotations


def make_sampler(temp: float, top_p: float) -> tuple[float, float]:
    """Return what was asked for."""
    return temp, top_p
