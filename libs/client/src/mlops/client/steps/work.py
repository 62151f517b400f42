# SPDX-License-Identifier: Apache-2.0
"""Work: what all steps share: the assignment, the project, the two parts they talk to, and the run."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from mlops.client.steps import command
from mlops.client.steps.assignment import Assignment
from mlops.client.steps.command import Running
from mlops.client.steps.door import Door, Project
from mlops.client.steps.errors import FencedError, PermanentError, StepError, StoppedError
from mlops.client.steps.tracking import Run, Tracking

DATASET_TAG = "mlops.dataset."
# A step that is told to end has little time.
_HASTE_S = 1.0
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@dataclass(frozen=True)
class Work:
    """Everything a step needs; while a command runs it asks every so often what heat asks of it."""

    assignment: Assignment
    project: Project
    door: Door
    tracking: Tracking
    listens_every_s: float = 2.0

    def run(self, tags: dict[str, str] | None = None) -> Run:
        """Return the workflow's run, made now if this is the first step that needs it."""
        return self.tracking.run_of(self.assignment.key, {**self.assignment.tags, **(tags or {})})

    def fence(self) -> None:
        """End this attempt where a newer one has begun; a gateway that is away says nothing of that."""
        if self._is_fenced():
            raise FencedError

    def perform(
        self,
        line: str,
        run: Run,
        given: dict[str, str],
        limit: timedelta,
        attend: Callable[[Running], None] = lambda _: None,
        hears: signal.Signals | None = None,
    ) -> int:
        """Run a command of the project for *run*; return its exit status. *attend* and *hears* as in `command`."""
        settings = self.project.settings
        env = {
            "MLFLOW_TRACKING_URI": self.tracking.url,
            "MLFLOW_WORKSPACE": settings.name,
            "MLFLOW_EXPERIMENT_NAME": settings.name,
            "MLFLOW_RUN_ID": run.run_id,
            "MLOPS_PROJECT": settings.name,
            "MLOPS_WORKFLOW_KEY": self.assignment.key,
            "MLOPS_WORKFLOW_ATTEMPT": str(self.assignment.attempt),
            "MLOPS_DATASETS": json.dumps(self.datasets(run)),
            **_threads(settings.train.resources.cpu, os.environ),
            **given,
        }
        say(f"in {self.project.folder}: {line}")
        own = command.environment(os.environ, env)
        return command.run(line, self.project.folder, own, limit, attend, hears)

    def datasets(self, run: Run) -> dict[str, dict[str, object]]:
        """Return the dataset versions of this workflow, by name."""
        paths = self.project.settings.data.datasets
        found: dict[str, dict[str, object]] = {}
        for tag, value in run.tags.items():
            if tag.startswith(DATASET_TAG):
                name = tag.removeprefix(DATASET_TAG)
                version, _, content = value.partition("@")
                found[name] = {"version": int(version), "hash": content, "path": paths.get(name)}
        return found

    @contextlib.contextmanager
    def failing_marks(self, run: Run) -> Iterator[None]:
        """Mark the run as failed (or killed) when the step ends badly for good."""
        try:
            yield
        except StoppedError:
            self._mark(run, "KILLED")
            raise
        except PermanentError:
            self._mark(run, "FAILED")
            raise

    def _is_fenced(self, within_s: float = 5.0) -> bool:
        found = self.door.workflow(within_s)
        return found is not None and found.attempt > self.assignment.attempt

    def _mark(self, run: Run, status: str) -> None:
        if self._is_fenced(_HASTE_S):
            return  # the run is a newer attempt's
        # What ended the step is the news; a run that cannot be marked must not hide it.
        try:
            self.tracking.set_status(run, status)
        except StepError as error:
            say(f"run {run.run_id} could not be marked {status}: {error}")


def _threads(cpu: float, own: Mapping[str, str]) -> dict[str, str]:
    # Numeric libraries take a thread per core of the machine; two of them on one core spin for the most part.
    wanted = str(max(1, math.ceil(cpu)))
    return {name: own.get(name, wanted) for name in _THREADS}


def say(text: str) -> None:
    """Write a line that people find in the log of the step."""
    sys.stderr.write(f"mlops: {text}\n")
    sys.stderr.flush()
