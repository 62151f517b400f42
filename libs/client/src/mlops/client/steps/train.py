# SPDX-License-Identifier: Apache-2.0
"""`train`: the project's `[train].command` runs for the workflow's run and must log a model if one is served."""

from __future__ import annotations

import hashlib
import signal

from mlops.client.steps.errors import PermanentError
from mlops.client.steps.moves import Moves
from mlops.client.steps.tracking import Run
from mlops.client.steps.work import DATASET_TAG, Work, say

TRAINED = "mlops.trained_from"


def perform(work: Work) -> None:
    """Run the command; a failing one, or one that logs no model, fails the run."""
    settings = work.project.settings
    line = settings.train.command.strip()
    if not line:
        raise PermanentError(
            f"project {settings.name!r} has no [train].command; add the line that trains it to mlops.toml"
        )
    work.fence()
    run = work.run()
    if work.assignment.attempt > 1 and run.tags.get(TRAINED) == _from(run):
        say(f"trained by an earlier attempt: run {run.run_id}")
        return
    if run.status != "RUNNING":
        work.tracking.set_status(run, "RUNNING")
    with work.failing_marks(run):
        status = Moves(work, run).train(line)
        work.fence()
        if status != 0:
            raise PermanentError(failed(work, "[train].command", line, status))
        if settings.serve.model:
            _check_model(work, run)
    work.tracking.tag(run.run_id, {TRAINED: _from(run)})
    say(f"trained: run {run.run_id}")


def _from(run: Run) -> str:
    """Return what a training is made from: where that is the same, an attempt after it need not train again."""
    read = sorted(f"{tag}={text}" for tag, text in run.tags.items() if tag.startswith(DATASET_TAG))
    return hashlib.sha256("\n".join(read).encode()).hexdigest()


def failed(work: Work, which: str, line: str, status: int) -> str:
    """Return what people read of a command that failed."""
    how = f"exit status {status}"
    if status < 0:
        how = f"was killed by {signal.Signals(-status).name}"
        if -status == signal.SIGKILL:
            how += ", often for want of memory"
    return (
        f"{which} of project {work.project.settings.name!r} failed: {how}: `{line}`. Its last lines "
        f"are above; run it in {work.project.folder} to see it fail"
    )


def _check_model(work: Work, run: Run) -> None:
    if work.tracking.model_of(run) is None:
        raise PermanentError(
            f"[train].command ended well but logged no model in run {run.run_id}; log it within "
            "`mlflow.start_run()` (which finds MLFLOW_RUN_ID), for example "
            "mlflow.sklearn.log_model(model, name='model'), or leave [serve].model empty"
        )
