# SPDX-License-Identifier: Apache-2.0
"""What MLX has allocated, and its arrays as plain numbers."""

from __future__ import annotations

import mlx.core as mx


def sizes() -> dict[str, int]:
    """Return the bytes that are active, the most that ever were, and what is kept for the next arrays."""
    return {
        "active": int(mx.get_active_memory()),
        "peak": int(mx.get_peak_memory()),
        "cache": int(mx.get_cache_memory()),
    }
