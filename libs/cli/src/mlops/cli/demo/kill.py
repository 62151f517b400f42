# SPDX-License-Identifier: Apache-2.0
"""Kill: `kill -9` of a part of the platform in the middle of the demo, at an event; the loop must close all the same."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mlops.cli.errors import InputError
from mlops.cli.home import Home
from mlops.cli.supervisor import state


@dataclass(frozen=True)
class Aim:
    """Which component dies when which event is first seen in the replay."""

    component: str
    event: str

    @classmethod
    def read(cls, text: str) -> Aim:
        """Read `component@event`."""
        component, _, event = text.partition("@")
        if not component or not event:
            raise InputError(
                f"--kill {text!r} is not component@event", "for example --kill tracking@run.started"
            )
        return cls(component, event)


@dataclass
class Killer:
    """Kills each aim once; `done` tells what died when."""

    home: Home
    aims: list[Aim]
    done: list[dict[str, str]] = field(default_factory=list)

    def hear(self, event: str, *, replaying: bool) -> None:
        """Kill what was to die at this event."""
        for aim in [aim for aim in self.aims if replaying and aim.event == event]:
            self.aims.remove(aim)
            status = next(
                (s for s in state.read(self.home).components if s.name == aim.component), None
            )
            pid = status.pid if status else None
            if pid is not None:
                _kill(pid)
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            self.done.append(
                {"component": aim.component, "event": event, "at": at, "pid": str(pid)}
            )


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
