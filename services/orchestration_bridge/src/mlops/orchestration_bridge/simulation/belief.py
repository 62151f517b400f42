# SPDX-License-Identifier: Apache-2.0
"""The level that an agent holds true: up after two looks in a row, down after a minute below it and 5 °C cooler.

A machine that is throttled again soon after it recovered is given twice the time, up to eightfold: the rules of the
telemetry agent, which no service may import; a test holds the two against each other.
"""

from __future__ import annotations

from mlops.orchestration_bridge.simulation.physics import NOMINAL, THROTTLED

_LOOKS = 2
_PATIENCE_S, _MOST_PATIENCE, _SOON = 60.0, 8, 2
_COOLER_C, _STUCK_AFTER = 5.0, 5
_LEVELS = 5


class Belief:
    """What is believed of one machine, look by look."""

    def __init__(self) -> None:
        self.level = 0
        self.episodes = 0
        self._seen_s = [float("-inf")] * _LEVELS
        self._rising: list[int] = []
        self._hot_c: float | None = None
        self._patience = 1
        self._ended_s = float("-inf")

    def look(self, level: int, temp_c: float | None, now_s: float) -> None:
        """Take in one look; *temp_c* is None where there is no thermometer."""
        for place in range(level + 1):
            self._seen_s[place] = now_s
        if level == self.level == NOMINAL:
            self._rising.clear()
            return
        if level > self.level:
            self._rise(level, temp_c, now_s)
            return
        self._rising.clear()
        recent = [n for n, last_s in enumerate(self._seen_s) if now_s - last_s < self._patience_s]
        lower = min(self.level, max(level, *recent, 0))
        if lower < self.level and not self._still_hot(temp_c, now_s):
            self._ended_s = now_s if lower < THROTTLED <= self.level else self._ended_s
            self.level, self._hot_c = lower, None

    @property
    def _patience_s(self) -> float:
        return _PATIENCE_S * self._patience

    def _rise(self, level: int, temp_c: float | None, now_s: float) -> None:
        self._rising.append(level)
        if len(self._rising) < _LOOKS:
            return
        supported = min(self._rising)
        self._rising.clear()
        if supported >= THROTTLED > self.level:
            self.episodes += 1
            relapsed = now_s - self._ended_s < self._patience_s * _SOON
            self._patience = min(_MOST_PATIENCE, self._patience * 2) if relapsed else 1
        self.level, self._hot_c = supported, temp_c

    def _still_hot(self, temp_c: float | None, now_s: float) -> bool:
        if temp_c is None or self._hot_c is None:
            return False
        stuck = now_s - self._seen_s[self.level] >= self._patience_s * _STUCK_AFTER
        return temp_c > self._hot_c - _COOLER_C and not stuck
