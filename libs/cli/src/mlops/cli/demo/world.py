# SPDX-License-Identifier: Apache-2.0
"""World: the days go by, each asks the model for its weather, and the truth is known some days later.

It is a time lapse: quick while nothing happens, slow while a retraining or a rollout is under way (a real one takes
minutes, in which no real day ends), and never further ahead than what monitoring has seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import lzma
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mlops.cli.demo.door import Door
from mlops.cli.demo.plan import MODEL, Plan

_LABELS_PER_CALL = 100
_BEHIND_PAUSE_S = 0.1
_BEHIND_PATIENCE_S = 10.0


@dataclass(frozen=True)
class Days:
    """The data: a header, and a line of text and of numbers per day; the last column is the truth."""

    columns: tuple[str, ...]
    lines: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Days:
        """Read the compressed CSV file of the example project."""
        with lzma.open(path, "rt", encoding="utf-8") as file:
            header, *lines = file.read().splitlines()
        return cls(tuple(header.split(",")), tuple(lines))

    def values(self, first: int, last: int) -> tuple[dict[str, list[float]], list[int]]:
        """Return the readings by column, and the truth, of a stretch of days."""
        rows = [[float(cell) for cell in line.split(",")] for line in self.lines[first:last]]
        columns = {name: [row[at] for row in rows] for at, name in enumerate(self.columns[:-1])}
        return columns, [int(row[-1]) for row in rows]


@dataclass
class World:
    """The replay of one plan; `correct` tells for each answered day whether the model was right."""

    plan: Plan
    days: Days
    door: Door
    observations: Path
    under_way: Callable[[], bool]
    project: str
    name: str
    day: int = 0
    correct: dict[int, bool] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    told_of: dict[str, int] = field(default_factory=dict)
    _seen_of: dict[str, int] = field(default_factory=dict)
    _unknown: deque[tuple[int, str, int, str]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Begin at the first day of the plan; what came before is known."""
        self.day = self.plan.first_day
        self._write_observations(self.plan.first_day)

    async def run(self) -> None:
        """Let all days of the plan go by."""
        while self.day < self.plan.last_day:
            began = asyncio.get_running_loop().time()
            slow = self.under_way()
            step = 1 if slow else self.plan.days_per_request
            last = min(self.day + step, self.plan.last_day)
            await self._live(self.day, last)
            await self._tell_truth(self.day - self.plan.label_delay_days)
            await self._wait_for_monitoring()
            pace = self.plan.slow_days_per_s if slow else self.plan.quick_days_per_s
            spent = asyncio.get_running_loop().time() - began
            await asyncio.sleep(max(0.0, step / pace - spent))
        await self._tell_truth(self.plan.last_day)

    async def _live(self, first: int, last: int) -> None:
        columns, truth = self.days.values(first, last)
        request_id = f"{self.name}-{first}"
        answers = await self.door.predict(f"{self.project}.{MODEL}", request_id, columns)
        for row, true in enumerate(truth):
            row_id = request_id if last - first == 1 else f"{request_id}:{row}"
            self._unknown.append((first + row, row_id, true, self.door.tally.newest))
            if answers is not None:
                self.correct[first + row] = answers[row] == true
                self.answered.add(row_id)
        self.day = last

    async def _tell_truth(self, until: int) -> None:
        due = []
        while self._unknown and self._unknown[0][0] < until:
            due.append(self._unknown.popleft())
        if not due:
            return
        self._write_observations(due[-1][0] + 1)
        now = datetime.now(UTC).isoformat()
        for at in range(0, len(due), _LABELS_PER_CALL):
            labels = [
                {"request_id": row_id, "label": true, "at": now}
                for _, row_id, true, _ in due[at : at + _LABELS_PER_CALL]
            ]
            await self.door.label(self.project, MODEL, labels)
        for _, row_id, _, version in due:
            self.told.add(row_id)
            self.told_of[version] = self.told_of.get(version, 0) + 1

    async def _wait_for_monitoring(self) -> None:
        """Hold the days while monitoring has more than a few of them still to see."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_BEHIND_PATIENCE_S):
                while not self.under_way() and await self._behind() > self.plan.ahead_days:
                    await asyncio.sleep(_BEHIND_PAUSE_S)

    async def _behind(self) -> int:
        """Return how many told labels of the version that answers now monitoring has not seen."""
        version = self.door.tally.newest
        if self.told_of.get(version, 0) - self._seen_of.get(version, 0) <= self.plan.ahead_days:
            return 0  # not even if it had seen nothing since the last look: no need to ask
        answer = await self.door.query("monitoring", "models", project=self.project, model=MODEL)
        for model in answer.get("models", []):
            if str(model.get("version")) == version:
                self._seen_of[version] = int(model["labelled"])
        return self.told_of.get(version, 0) - self._seen_of.get(version, 0)

    def _write_observations(self, until: int) -> None:
        # Replaced in one step: a training or a versioning that reads meanwhile sees whole files only.
        beside = self.observations.with_suffix(".part")
        lines = self.days.lines[max(0, self.plan.first_day - self.plan.trained_on) : until]
        beside.write_text("\n".join((",".join(self.days.columns), *lines)) + "\n")
        beside.replace(self.observations)
