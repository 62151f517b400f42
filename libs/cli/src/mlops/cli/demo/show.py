# SPDX-License-Identifier: Apache-2.0
"""Show: what a person sees while the demo runs; with --json it goes to standard error as plain lines."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from mlops.cli.demo.story import Moment, Story

_LOUD = {
    "performance.degraded",
    "model.promoted",
    "model.rejected",
    "deployment.completed",
    "workflow.failed",
}


class Show:
    """Phases, the days going by, and every event as it happens."""

    def __init__(self, *, quiet: bool) -> None:
        self.console = Console(stderr=quiet, highlight=False)
        self.seconds: dict[str, float] = {}
        self._phase = ""
        self._began = time.monotonic()
        self._shown = 0
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the last phase."""
        self.phase("")

    def phase(self, name: str) -> None:
        """End the phase before, begin the next."""
        now = time.monotonic()
        if self._phase:
            self.seconds[self._phase] = now - self._began
        self._stop_bar()
        self._phase, self._began = name, now
        if name:
            self.console.print(f"[bold]{name}[/bold]")

    def days(self, total: int) -> None:
        """Begin to show days going by."""
        self._bar = Progress(
            TextColumn("  {task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} days"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
        )
        self._task = self._bar.add_task("replaying", total=total)
        self._bar.start()

    def day(self, done: int, text: str) -> None:
        """Show where the replay stands."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, description=text)

    def story(self, story: Story) -> None:
        """Print what has happened since the last call."""
        for moment in story.moments[self._shown :]:
            self._print(moment)
        self._shown = len(story.moments)

    def _print(self, moment: Moment) -> None:
        style = "bold" if moment.type in _LOUD else "dim"
        self.console.print(f"  day {moment.day:>5}  [{style}]{moment.type:<21}[/{style}] ", end="")
        self.console.print(moment.text, markup=False)

    def _stop_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
