# SPDX-License-Identifier: Apache-2.0
"""Work: what all steps share: the assignment, the project, the two parts they talk to, and the run."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from mlops.client.steps import command
from mlops.client.steps.assignment import Assignment
from mlops.client.steps.door import Door, Project
from mlops.client.steps.errors import PermanentError, StepError, StoppedError
from mlops.client.steps.tracking import Run, Tracking

DATASET_TAG = "mlops.dataset."
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@dataclass(frozen=True)
class Work:
    """Everything a step needs."""

    assignment: Assignment
    project: Project
    door: Door
    tracking: Tracking

    def run(self, tags: dict[str, str] | None = None) -> Run:
        """Return the workflow's run, made now if this is the first step that needs it."""
        return self.tracking.run_of(self.assignment.key, {**self.assignment.tags, **(tags or {})})

    def perform(self, line: str, run: Run, given: dict[str, str], limit: timedelta) -> int:
        """Run a command of the project for *run*; return its exit status."""
        settings = self.project.settings
        env = {
            "MLFLOW_TRACKING_URI": self.tracking.url,
            "MLFLOW_WORKSPACE": settings.name,
            "MLFLOW_EXPERIMENT_NAME": settings.name,
            "MLFLOW_RUN_ID": run.run_id,
            "MLOPS_PROJECT": settings.name,
            "MLOPS_WORKFLOW_KEY": self.assignment.key,
            "MLOPS_DATASETS": json.dumps(self.datasets(run)),
            **_threads(settings.train.resources.cpu, os.environ),
            **given,
        }
        say(f"in {self.project.folder}: {line}")
        return command.run(line, self.project.folder, command.environment(os.environ, env), limit)

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

    def _mark(self, run: Run, status: str) -> None:
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
