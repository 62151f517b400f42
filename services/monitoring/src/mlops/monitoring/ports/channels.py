# SPDX-License-Identifier: Apache-2.0
"""Where people hear of alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mlops.monitoring.model.notices import Channel
from mlops.monitoring.ports.documents import Alert


@dataclass(frozen=True)
class Letter:
    """What a channel is told; the same `notice_id` at every try."""

    notice_id: str
    why: str
    dedup_key: str
    alert: Alert


class Channels(Protocol):
    """Where people hear of alerts, by name. Each promise is a test in tests/conformance/test_channels.py.

    1. A channel that cannot be told, or that nobody knows, raises UnavailableError with the reason and no secret.
    2. `log` is always there.
    3. A channel that is slow holds back no other.
    """

    async def known(self) -> Mapping[str, Channel]:
        """Return what every channel wants to hear."""

    async def usual(self) -> tuple[str, ...]:
        """Return the channels of projects that name none."""

    async def problem(self) -> str | None:
        """Return why the installation's channels cannot be used, or None."""

    async def tell(self, name: str, letters: Sequence[Letter]) -> None:
        """Tell one channel what came together; it returns once the other side has taken all of it."""
