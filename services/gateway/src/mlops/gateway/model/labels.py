# SPDX-License-Identifier: Apache-2.0
"""How a long list of labels becomes messages that the bus takes."""

from __future__ import annotations

from collections.abc import Sequence


def batches(sizes: Sequence[int], most: int, most_bytes: int) -> list[range]:
    """Split items of the given *sizes* in order: at most *most* items and *most_bytes* bytes each."""
    found: list[range] = []
    begin, held = 0, 0
    for index, size in enumerate(sizes):
        if index > begin and (index - begin >= most or held + size > most_bytes):
            found.append(range(begin, index))
            begin, held = index, 0
        held += size
    if begin < len(sizes):
        found.append(range(begin, len(sizes)))
    return found
