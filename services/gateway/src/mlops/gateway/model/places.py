# SPDX-License-Identifier: Apache-2.0
"""Places: how many requests, and how many bytes of them, are under way at most; who finds no place is told at once."""

from __future__ import annotations

from dataclasses import dataclass, field

Key = tuple[str, str]  # project, model


@dataclass
class Places:
    """Requests under way by model; no more than *most* of each."""

    most: int
    taken: dict[Key, int] = field(default_factory=dict)

    def take(self, key: Key) -> bool:
        """Take a place, where there is one."""
        taken = self.taken.get(key, 0)
        if taken >= self.most:
            return False
        self.taken[key] = taken + 1
        return True

    def leave(self, key: Key) -> None:
        """Give a place back."""
        left = self.taken[key] - 1
        if left:
            self.taken[key] = left
        else:
            del self.taken[key]


@dataclass
class Room:
    """Bytes that are held in memory, all together; no more than *most*."""

    most: int
    held: int = 0

    def has(self, size: int) -> bool:
        """Return whether so many bytes more fit."""
        return self.held + size <= self.most

    def take(self, size: int) -> bool:
        """Hold so many bytes more, where they fit."""
        if not self.has(size):
            return False
        self.held += size
        return True

    def leave(self, size: int) -> None:
        """Hold so many bytes less."""
        self.held -= size
