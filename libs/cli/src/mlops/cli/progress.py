# SPDX-License-Identifier: Apache-2.0
"""Progress: long work tells how far it is: a moving line in a terminal, a line per step in a pipe, nothing when quiet."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.text import Text

from mlops.cli import output

if TYPE_CHECKING:
    from rich.progress import Progress as Bars


class Progress:
    """What is being waited for; use it in a `with`. It writes to standard error."""

    def __init__(self, what: str, *, quiet: bool) -> None:
        self._what = what
        self._quiet = quiet
        self._began = time.monotonic()
        self._bars: Bars | None = None
        self._last = ""
        if sys.stderr.isatty() and not quiet:
            self._bars = _bars()

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._bars is not None:
            self._bars.add_task(self._what, total=None)
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last step standing."""
        if self._bars is not None:
            self._bars.stop()

    @property
    def is_live(self) -> bool:
        """Return whether somebody watches a moving line."""
        return self._bars is not None

    def now(self, state: str) -> None:
        """Show how it stands at this moment in the moving line, if there is one."""
        if self._bars is None:
            return
        words = output.harmless(f"{self._what}  {state}".rstrip())
        for task in self._bars.task_ids:
            self._bars.update(task, description=words)

    def tell(self, step: str) -> None:
        """Say what is done now; the same step again says nothing new."""
        if self._quiet or step == self._last:
            return
        self._last = step
        line = Text(f"  {time.monotonic() - self._began:6.1f} s  {step}", style="dim")
        if self._bars is None:
            output.errors().print(line)
            return
        self._bars.console.print(line)


def _bars() -> Bars:
    from rich.progress import (  # noqa: PLC0415 - slow to import, needed in terminals only
        Progress as Bars,
    )
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - as above

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    return Bars(*columns, console=output.errors(), transient=True)
