# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: where a training saves what it has, and whether it is asked to; for a loop that looks for itself.

    from mlops.client.checkpoints import Checkpoints

    checkpoints = Checkpoints()
    start = resume(checkpoints.folder)  # whatever your own code saved there, on this machine or on another
    for epoch in range(start, EPOCHS):
        train_one(epoch)
        if request := checkpoints.requested():
            save(checkpoints.folder, epoch + 1)
            checkpoints.done(request)  # ends the process where it is asked to leave

Outside a workflow nobody asks, and the folder is an ordinary one. It imports nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

# The exit status of a command that has saved and leaves its machine: EX_TEMPFAIL of sysexits.h.
LEFT = 75
FOLDER = "MLOPS_CHECKPOINT_DIR"
REQUEST = "MLOPS_CHECKPOINT_REQUEST"


@dataclass(frozen=True)
class Request:
    """What is asked: `save`, `leave` or `stop`; `by` is until when there is time, None where nobody waits."""

    ask: str
    number: int
    reason: str
    by: datetime | None = None

    @property
    def leaves(self) -> bool:
        """Return whether the training should end after it has saved."""
        return self.ask in ("leave", "stop")


class Checkpoints:
    """The folder of a training's checkpoints, and the requests of its machine's heat, each told once.

    The folder is `$MLOPS_CHECKPOINT_DIR` in a workflow, else *folder*; it is made where it is missing.
    """

    def __init__(
        self, folder: str | Path = "checkpoints", *, environ: Mapping[str, str] | None = None
    ) -> None:
        own = os.environ if environ is None else environ
        self.folder = Path(own.get(FOLDER) or folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = Path(own[REQUEST]) if own.get(REQUEST) else None
        self._seen = (0, 0)
        self._number = 0

    def requested(self) -> Request | None:
        """Return a request that was not told before, else None; costs one look at a file, cheap enough for every step."""
        if self._file is None:
            return None
        try:
            found = self._file.stat()
        except OSError:
            return None
        seen = (found.st_mtime_ns, found.st_ino)
        if seen == self._seen:
            return None
        self._seen = seen
        request = _read(self._file)
        if request is None or request.number <= self._number:
            return None
        self._number = request.number
        return request

    def done(self, request: Request) -> None:
        """Say that it has saved: ends this process with status 75 where it was asked to leave, else returns."""
        if request.leaves:
            sys.exit(LEFT)


def _read(file: Path) -> Request | None:
    try:
        found = json.loads(file.read_text())
        by = found.get("by")
        return Request(
            ask=str(found["ask"]),
            number=int(found["request"]),
            reason=str(found.get("reason", "")),
            by=datetime.fromisoformat(by) if by else None,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # it is written in one piece; what cannot be read is nobody's request
