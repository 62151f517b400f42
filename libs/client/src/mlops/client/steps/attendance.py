# SPDX-License-Identifier: Apache-2.0
"""Attendance: passes a request on to the command while it runs, and says afterwards whether it left."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlops.client.checkpoints import LEFT
from mlops.client.steps.command import Ending, Running
from mlops.client.steps.door import Asked
from mlops.client.steps.errors import FencedError
from mlops.client.steps.requests import Newest

# A machine at level 4 protects itself: who is to stop has this long between SIGTERM and SIGKILL, if its grace is no less.
MOST_STOPPING = timedelta(seconds=15)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Manner:
    """How a command hears: the signal that is sent (None: it looks at the file), and the time it has to save and end.

    `can_save` is False where it cannot save: then it only ever is stopped.
    """

    signal: signal.Signals | None = None
    grace: timedelta = MOST_STOPPING
    can_save: bool = False


class Attendance:
    """Stands beside one command; called again and again while it runs.

    `ending` is how the command took it to be stopped, None where it was not; `ended_at` when, as files tell the time.
    """

    def __init__(
        self,
        newest: Callable[[], Newest],
        manner: Manner,
        file: Path,
        say: Say,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._newest = newest
        self._manner = manner
        self._file = file
        self._say = say
        self._clock = clock
        self._passed: Asked | None = None
        self._deadline: float | None = None
        self.ending: Ending | None = None
        self.ended_at = 0.0

    def __call__(self, running: Running) -> None:
        """Pass on what is new; FencedError when another attempt has taken this one's place."""
        found = self._newest()
        if found.fenced:
            running.end(self._stopping_s)
            raise FencedError
        if found.asked is not None and self._is_new(found.asked):
            self._pass_on(found.asked, running)
        if self._deadline is not None and self._clock() > self._deadline:
            self._deadline = None
            self._say("it did not end in its time ([train.checkpoint].grace), so it goes on here")

    def left(self, status: int) -> Asked | None:
        """Return the request at which a command that ended so has left, None where it did not leave."""
        if self._passed is None:
            return None
        return self._passed if self.ending is not None or status == LEFT else None

    @property
    def _stopping_s(self) -> float:
        return min(self._manner.grace, MOST_STOPPING).total_seconds()

    def _is_new(self, asked: Asked) -> bool:
        if asked.ask != "stop" and not self._manner.can_save:
            return False
        return self._passed is None or asked.request > self._passed.request

    def _pass_on(self, asked: Asked, running: Running) -> None:
        if running.over:
            return  # it came to its end by itself just now
        self._passed, self._deadline = asked, None
        self._say(f"asked to {asked.ask}: {asked.reason}")
        self._write(asked)
        if asked.ask == "stop":
            self.ended_at = time.time()
            self.ending = running.end(self._stopping_s)
            return
        if self._manner.signal is not None:
            running.signal(self._manner.signal)
        if asked.ask == "leave":
            self._deadline = self._clock() + self._manner.grace.total_seconds()

    def _write(self, asked: Asked) -> None:
        """Put the request where the command may look for it, in one piece."""
        times = {"leave": self._manner.grace, "stop": timedelta(seconds=self._stopping_s)}
        until = times.get(asked.ask)
        by = None if until is None else (datetime.now(UTC) + until).isoformat(timespec="seconds")
        told = {"ask": asked.ask, "request": asked.request, "reason": asked.reason, "by": by}
        handle, name = tempfile.mkstemp(dir=self._file.parent)
        with os.fdopen(handle, "w") as stream:
            json.dump(told, stream)
        Path(name).replace(self._file)
