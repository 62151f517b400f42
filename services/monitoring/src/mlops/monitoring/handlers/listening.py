# SPDX-License-Identifier: Apache-2.0
"""For how long a model has been listened to: the time by which labels are waited for.

Only time in which this process ran counts. While it is down, labels wait on the bus; and no clock that jumps, here or
where predictions are made, ends a wait early or makes it endless.
"""

from __future__ import annotations

from collections.abc import Callable

from mlops.monitoring.model.windows import ModelKey, Watched


class Listening:
    """Adds the time since this process began to what the ledger knew then; *elapsed_s* only goes forward."""

    def __init__(self, elapsed_s: Callable[[], float]) -> None:
        self._elapsed_s = elapsed_s
        self._began_s = elapsed_s()
        self._zero_s: dict[ModelKey, float] = {}

    def to(self, model: Watched) -> float:
        """Return for how many seconds the model has been listened to."""
        zero_s = self._zero_s.setdefault(model.key, self._began_s - model.listened_s)
        return self._elapsed_s() - zero_s
