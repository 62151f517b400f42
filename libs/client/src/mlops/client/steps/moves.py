# SPDX-License-Identifier: Apache-2.0
"""Moves: a command that may be asked to save, to leave its machine, or to stop, and what is kept of it then."""

from __future__ import annotations

import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from mlops.client import checkpoints
from mlops.client.steps.attendance import Attendance, Manner
from mlops.client.steps.command import Ending
from mlops.client.steps.door import Asked
from mlops.client.steps.errors import LeftError, PermanentError, StepError
from mlops.client.steps.folders import Folders
from mlops.client.steps.keeping import TORN_S, Keeper, folder_of, torn
from mlops.client.steps.requests import Requests
from mlops.client.steps.tracking import Run
from mlops.client.steps.work import Work, say
from mlops.contracts.settings import CheckpointSettings, CheckpointSignal

# While it waits to be started again it is neither running nor over.
_WAITS = "SCHEDULED"


@dataclass(frozen=True)
class Moves:
    """The commands of one step; LeftError from each where it left, to go on in a later attempt."""

    work: Work
    run: Run

    def perform(self, line: str, given: dict[str, str]) -> int:
        """Run a command that can only be stopped, after the training; return its exit status."""
        attendance, status = self._attended(line, given, Manner())
        asked = attendance.left(status)
        if asked is None:
            return status
        self._wait()
        raise _left(asked, saved=True)  # the trained model stays with the run

    def train(self, line: str) -> int:
        """Run the training; what was saved before is there when it begins, and kept when it leaves."""
        settings = self.work.project.settings.train.checkpoint
        keeper = self._keeper(settings) if settings else None
        if keeper is None or settings is None:
            attendance, status = self._attended(line, {}, Manner())
        else:
            keeper.fetch()
            given = {checkpoints.FOLDER: str(keeper.folder)}
            attendance, status = self._attended(line, given, _manner(settings))
        asked = attendance.left(status)
        if asked is None:
            return status
        self._wait()
        raise _left(asked, saved=keeper is not None and _kept(keeper, attendance))

    def _keeper(self, settings: CheckpointSettings) -> Keeper:
        own = self.work.assignment
        folder = folder_of(self.work.project.folder, settings.folder, own.key)
        try:
            folders = Folders(self.work.tracking.http, self.run)
        except PermanentError as error:  # a store that steps cannot reach is no reason not to train
            say(f"checkpoints stay on this machine: {error}")
            return Keeper(None, folder, own.attempt)
        return Keeper(folders, folder, own.attempt)

    def _attended(self, line: str, given: dict[str, str], manner: Manner) -> tuple[Attendance, int]:
        limit = self.work.project.settings.train.timeout
        with tempfile.TemporaryDirectory(prefix="mlops-requests-") as place:
            file = Path(place, "request.json")
            told = {**given, checkpoints.REQUEST: str(file)} if manner.can_save else given
            every_s, attempt = self.work.listens_every_s, self.work.assignment.attempt
            with Requests(self.work.door.workflow, attempt, every_s) as requests:
                attendance = Attendance(lambda: requests.newest, manner, file, say)
                status = self.work.perform(line, self.run, told, limit, attendance, manner.signal)
        return attendance, status

    def _wait(self) -> None:
        try:
            self.work.tracking.set_status(self.run, _WAITS)
        except StepError as error:
            say(f"run {self.run.run_id} could not be marked as waiting: {error}")


def _manner(settings: CheckpointSettings) -> Manner:
    quiet = settings.signal in (CheckpointSignal.NONE, CheckpointSignal.UNKNOWN)
    number = None if quiet else signal.Signals[settings.signal.value]
    return Manner(number, settings.grace, can_save=True)


def _kept(keeper: Keeper, attendance: Attendance) -> bool:
    """Keep what stands in the folder, unless its writer was killed while it wrote."""
    halves = _halves(keeper.folder, attendance)
    if halves:
        say(f"{halves[0]} may be half written, so what this attempt saved is not kept")
    return not halves and keeper.keep()


def _halves(folder: Path, attendance: Attendance) -> list[Path]:
    ending, since = attendance.ending, attendance.ended_at - TORN_S
    if ending is Ending.KILLED:
        return torn(folder, since, time.time())
    # Who does not know SIGTERM dies of it at once; what changed after it was written by one who does.
    return torn(folder, since, since + 1.2 * TORN_S) if ending is Ending.BY_SIGNAL else []


def _left(asked: Asked, *, saved: bool) -> LeftError:
    how = "its work is kept" if saved else "it begins anew"
    return LeftError(f"left when asked to {asked.ask}, {how}: {asked.reason}", saved=saved)
