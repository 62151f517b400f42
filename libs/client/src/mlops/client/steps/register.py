# SPDX-License-Identifier: Apache-2.0
"""`register`: the model of the run becomes a version of `[serve].model`, once; then the run is over."""

from __future__ import annotations

from mlops.client.steps.errors import PermanentError
from mlops.client.steps.tracking import Run
from mlops.client.steps.work import Work, say


def perform(work: Work) -> None:
    """Register the run's model if the project serves one, then end the run."""
    name = work.project.settings.serve.model
    work.fence()
    run = work.run()
    if name:
        with work.failing_marks(run):
            _register(work, run, name)
    work.fence()
    if run.status != "FINISHED":
        work.tracking.set_status(run, "FINISHED")


def _register(work: Work, run: Run, name: str) -> None:
    found = work.tracking.model_of(run)
    if found is None:
        raise PermanentError(
            f"run {run.run_id} has no model to register as {name!r}; the command of [train] logs it"
        )
    version = work.tracking.register(name, run, *found)
    say(f"{name} version {version} is run {run.run_id}")
