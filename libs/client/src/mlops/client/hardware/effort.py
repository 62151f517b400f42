# SPDX-License-Identifier: Apache-2.0
"""Effort: what the processes of a run have done since it was asked before, beside all that the machine did."""

from __future__ import annotations

from collections.abc import Callable

from mlops.client.hardware import process, tree
from mlops.client.hardware.crowd import Crowd
from mlops.client.hardware.energy import Work
from mlops.client.hardware.neighbours import Neighbours, accelerated


class Effort:
    """Counts from the moment that it is made; `name` and `outer` tell it from other runs of this process."""

    def __init__(
        self,
        name: str,
        outer: str,
        crowd: Crowd,
        neighbours: Neighbours,
        clock: Callable[[], float],
    ) -> None:
        self._name = name
        self._crowd = crowd
        self._neighbours = neighbours
        self._clock = clock
        crowd.join(name, outer)
        self._at_s = clock()
        self._core_s = tree.tree_s()
        self._busy_s = _busy_s()
        self._own_s = 0.0
        self._uses_accelerator = False

    def since_last(self) -> Work:
        """Return what was done since this was asked before, and begin anew."""
        now_s, ours = self._clock(), tree.processes()
        core_s, busy_s, own_s = tree.tree_s(ours), _busy_s(), self._crowd.own_s(self._name)
        passed_s = max(0.0, now_s - self._at_s)
        busy = None if busy_s is None or self._busy_s is None else max(0.0, busy_s - self._busy_s)
        work = Work(
            passed_s=passed_s,
            core_s=max(0.0, core_s - self._core_s),
            busy_s=busy,
            own=min(1.0, (own_s - self._own_s) / passed_s) if passed_s > 0 else 0.0,
            accelerator=self._accelerator(ours),
        )
        self._at_s, self._core_s, self._busy_s, self._own_s = now_s, core_s, busy_s, own_s
        return work

    def end(self) -> None:
        """Let other runs, and other processes, have all of what was shared."""
        self._crowd.leave(self._name)
        if self._uses_accelerator:
            self._neighbours.leave()

    def _accelerator(self, ours: list[int]) -> float:
        # Who frees all of it at the end has used it until then.
        self._uses_accelerator = accelerated(ours) or self._uses_accelerator
        return 1.0 / self._neighbours.count() if self._uses_accelerator else 0.0


def _busy_s() -> float | None:
    found = process.machine()
    return None if found is None else found.busy_s
