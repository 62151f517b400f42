# SPDX-License-Identifier: Apache-2.0
"""MemoryChannels: channels that remember what they were told, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlops.chassis.errors import UnavailableError
from mlops.monitoring.model.notices import Channel
from mlops.monitoring.ports import Letter


@dataclass
class MemoryChannels:
    """Channels by name; those in `broken` fail until they are taken out of it."""

    rules: dict[str, Channel] = field(default_factory=lambda: {"log": Channel()})
    defaults: tuple[str, ...] = ("log",)
    broken: set[str] = field(default_factory=set)
    told: list[tuple[str, Letter]] = field(default_factory=list)
    messages: list[tuple[str, int]] = field(default_factory=list)

    async def known(self) -> Mapping[str, Channel]:
        """Return what every channel wants to hear."""
        return {"log": Channel(), **self.rules}

    async def usual(self) -> tuple[str, ...]:
        """Return the channels of projects that name none."""
        return self.defaults

    async def problem(self) -> str | None:
        """Return None: nothing can be wrong with a dictionary."""
        return None

    async def tell(self, name: str, letters: Sequence[Letter]) -> None:
        """Remember what a channel was told, and what of it together."""
        if name not in await self.known():
            raise UnavailableError(f"there is no channel {name!r}")
        if name in self.broken:
            raise UnavailableError(f"{name} is away")
        self.told += [(name, letter) for letter in letters]
        self.messages.append((name, len(letters)))
