# SPDX-License-Identifier: Apache-2.0
"""ADWIN: the numbers of a series since its mean changed last; when some cut tells two means apart, it begins anew.

Bifet and Gavaldà, Learning from Time-Changing Data with Adaptive Windowing (SDM 2007), with the variance bound, the
parameters, the checks every 32 numbers and the fresh start of the library river, whose detections it repeats to the
row. It remembers sums over 1, 2, 4 … numbers: some hundred floats, however many there were.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_DELTA = 0.002
_EVERY = 32
_LEAST = 5
_GRACE = 10
_PER_ROW = 5
_ROUNDED = 1e-9


@dataclass(frozen=True)
class Change:
    """The mean before a change and since then, over *rows* numbers."""

    before: float
    after: float
    rows: int


@dataclass(frozen=True)
class Adwin:
    """The numbers so far; `rows[k]` holds sums of 2^k of them, oldest first, `spread` is the sum of squares about the mean."""

    rows: tuple[tuple[float, ...], ...] = ((),)
    width: int = 0
    total: float = 0.0
    spread: float = 0.0

    def after(self, numbers: Sequence[float]) -> tuple[Adwin, Change | None]:
        """Return what is known after more numbers, and the last change among them."""
        window, found = _Window(self), None
        for number in numbers:
            window.add(number)
            if window.width % _EVERY == 0 and (change := window.change()) is not None:
                window, found = _Window(Adwin()), change
        return window.frozen(), found


class _Window:
    def __init__(self, start: Adwin) -> None:
        self.rows = [list(row) for row in start.rows]
        self.width, self.total, self.spread = start.width, start.total, start.spread

    def frozen(self) -> Adwin:
        return Adwin(tuple(tuple(row) for row in self.rows), self.width, self.total, self.spread)

    def add(self, number: float) -> None:
        self.rows[0].append(number)
        if self.width:
            gap = number - self.total / self.width
            self.spread += self.width * gap * gap / (self.width + 1)
        self.width += 1
        self.total += number
        self._merge()

    def change(self) -> Change | None:
        """Return the change that some cut shows, as the clearest of them tells it."""
        if self.width <= _GRACE:
            return None
        found = max(map(self._told_apart, self._cuts()), key=lambda one: one[0], default=None)
        return None if found is None or found[0] <= 1 else found[1]

    def _cuts(self) -> Iterator[tuple[int, float]]:
        """Yield size and sum of the older part for every cut between two buckets."""
        size, total = 0, 0.0
        for power in range(len(self.rows) - 1, -1, -1):
            for bucket in self.rows[power]:
                size += 1 << power
                total += bucket
                if size >= _LEAST and self.width - size >= _LEAST:
                    yield size, total

    def _told_apart(self, older: tuple[int, float]) -> tuple[float, Change]:
        """Return by how many times what chance allows the means of a cut differ, and the change it shows."""
        size, total = older
        newer = self.width - size
        change = Change(total / size, (self.total - total) / newer, newer)
        sure = math.log(2 * math.log(self.width) / _DELTA)
        parts = 1 / (size - _LEAST + 1) + 1 / (newer - _LEAST + 1)
        chance = math.sqrt(2 * parts * self.spread / self.width * sure) + 2 / 3 * sure * parts
        # Sums of large numbers are rounded; that is no change.
        chance += _ROUNDED * max(abs(change.before), abs(change.after))
        return abs(change.before - change.after) / chance, change

    def _merge(self) -> None:
        power = 0
        while len(self.rows[power]) > _PER_ROW:
            if power + 1 == len(self.rows):
                self.rows.append([])
            one, other = self.rows[power][:2]
            del self.rows[power][:2]
            self.rows[power + 1].append(one + other)
            power += 1
