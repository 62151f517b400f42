# SPDX-License-Identifier: Apache-2.0
"""Who answers: since when each application has said that it is ready, as it was last asked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from mlops.chassis.clock import Clock

_STEADY = timedelta(seconds=1)


class Answering:
    """What whoever asks has seen, for whoever needs to know."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[str, datetime] = {}

    def saw(self, names: Iterable[str]) -> None:
        """Take in which applications answer now; no other does."""
        now = self._clock()
        self._since = {name: self._since.get(name, now) for name in names}

    def now(self, name: str) -> bool:
        """Return whether an application answered when it was last asked."""
        return name in self._since

    def steadily(self, name: str) -> bool:
        """Return whether it has done so for a second: a first answer may have come through a detour."""
        since = self._since.get(name)
        return since is not None and self._clock() - since >= _STEADY
