# SPDX-License-Identifier: Apache-2.0
"""`evaluate`: candidate against champion on the same rows, by the project's own command; the metric must be there."""

from __future__ import annotations

import math

from mlops.client.steps.errors import PermanentError
from mlops.client.steps.moves import Moves
from mlops.client.steps.tracking import Run
from mlops.client.steps.train import failed
from mlops.client.steps.work import Work, say

# MLflow's database keeps an infinite metric as the largest float.
_LARGEST = 1.797e308


def perform(work: Work) -> None:
    """Run `[evaluate].command` if there is one, and see that the run has the metric of the gate."""
    settings = work.project.settings
    work.fence()
    run = work.run()
    model = settings.serve.model
    champion = work.tracking.champion(model) if model else None
    work.tracking.tag(run.run_id, {"mlops.champion_version": str(champion or "")})
    with work.failing_marks(run):
        if settings.evaluate.command.strip():
            _compare(work, run, model if champion else "")
        if model:
            _check_metrics(work, run, champion)


def _compare(work: Work, run: Run, champion_of: str) -> None:
    settings = work.project.settings
    line = settings.evaluate.command.strip()
    uri = f"models:/{champion_of}@champion" if champion_of else ""
    status = Moves(work, run).perform(line, {"MLOPS_CHAMPION_URI": uri})
    if status != 0:
        raise PermanentError(failed(work, "[evaluate].command", line, status))


def _check_metrics(work: Work, run: Run, champion: int | None) -> None:
    wanted = work.project.settings.evaluate.metric
    metrics = work.tracking.run(run.run_id).metrics
    if wanted not in metrics:
        logged = ", ".join(sorted(metrics)) or "none"
        raise PermanentError(
            f"run {run.run_id} has no metric {wanted!r}, which the gate compares (logged: {logged}); "
            f"log it with mlflow.log_metric({wanted!r}, …) or name another in [evaluate].metric"
        )
    if not _comparable(metrics[wanted]):
        raise PermanentError(
            f"{wanted} is {metrics[wanted]:g} in run {run.run_id}, which the gate cannot compare; "
            "log a finite number, for example by leaving rows without an answer out of it"
        )
    say(f"{wanted} is {metrics[wanted]:g}")
    against = f"champion_{wanted}"
    if against in metrics:
        say(f"{against} (version {champion}) is {metrics[against]:g}")
    elif champion is not None and work.project.settings.evaluate.command:
        say(
            f"[evaluate].command logged no {against!r}: the gate takes what version {champion} was promoted with"
        )


def _comparable(value: float) -> bool:
    return math.isfinite(value) and abs(value) < _LARGEST
