# SPDX-License-Identifier: Apache-2.0
"""How far the long work of a command is, for who waits for it; nothing of it outlives the work."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from mlops.contracts.message import ProjectCommand
from mlops.versioning.handlers.asked import Turns
from mlops.versioning.ports import Progress, Told

_WAITS = Progress("waits", 0, 0, "")
_BEGINS = Progress("begins", 0, 0, "")


class Watching:
    """The last word of each command that is being worked on, or waits for its project's turn."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._now: dict[tuple[str, str], Progress] = {}

    @contextlib.asynccontextmanager
    async def turn(self, command: ProjectCommand) -> AsyncIterator[Told]:
        """Wait until nothing else works on the project; give what is to be told while the block does."""
        key = (command.project, command.id)

        def told(progress: Progress) -> None:
            self._now[key] = progress

        told(_WAITS)
        try:
            async with self._turns[command.project]:
                told(_BEGINS)
                yield told
        finally:
            self._now.pop(key, None)

    def others(self, project: str) -> list[str]:
        """Return which other projects are worked on just now."""
        return sorted(one for one, turn in self._turns.items() if one != project and turn.locked())

    async def progress(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `query.versioning.progress {project, command}`: `{step, done, whole, unit}`, or nothing."""
        key = (str(question.get("project", "")), str(question.get("command", "")))
        found = self._now.get(key)
        if found is None:
            return {}
        return {
            "step": found.step,
            "done": found.done,
            "whole": found.whole,
            "unit": found.unit,
        }
