# SPDX-License-Identifier: Apache-2.0
"""`federated-aggregate`: the updates of a round become the common model, by the project's own command.

It runs when every shard has ended, well or not. A round counts with `[federated].min_nodes` updates.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mlops.client.steps import shards
from mlops.client.steps.errors import PermanentError
from mlops.client.steps.folders import Folders
from mlops.client.steps.shards import Round
from mlops.client.steps.tracking import Run
from mlops.client.steps.train import failed
from mlops.client.steps.work import Work, say


def perform(work: Work) -> None:
    """Make the model of the round once; the last one must have logged it where the project serves one."""
    this, run = shards.round_of(os.environ), work.run()
    folders = Folders(work.tracking.http, run)
    with work.failing_marks(run):
        if folders.has(this.result):
            say(f"round {this.number}: its model is there")
        else:
            with tempfile.TemporaryDirectory(prefix="mlops-round-") as folder:
                _aggregate(work, run, this, Path(folder))
        if this.number == this.of and work.project.settings.serve.model:
            _check_model(work, run)


def _aggregate(work: Work, run: Run, this: Round, folder: Path) -> None:
    folders = Folders(work.tracking.http, run)
    updates, model = folder / "updates", folder / "global"
    updates.mkdir()
    model.mkdir()
    names = [
        one
        for one in folders.names(this.updates)
        if folders.get(f"{this.updates}/{one}", updates / one)
    ]
    _enough(work, this, names)
    if this.before:
        folders.get(this.before.result, model)
    line = work.project.settings.federated.aggregate.strip()
    given = {"MLOPS_UPDATES_DIR": str(updates), "MLOPS_GLOBAL_DIR": str(model), **this.environment}
    status = work.perform(line, run, given, work.project.settings.train.timeout)
    if status != 0:
        raise PermanentError(failed(work, "[federated].aggregate", line, status))
    if not any(one.is_file() for one in model.rglob("*")):
        raise PermanentError(
            "[federated].aggregate ended well but left nothing in $MLOPS_GLOBAL_DIR; write the common model there"
        )
    told = shards.metrics(model)
    folders.put(this.result, model)
    work.tracking.log(
        run.run_id, {**told, "federated_updates": float(len(names))}, step=this.number
    )
    say(f"round {this.number} of {this.of}: {len(names)} updates, of {', '.join(names)}")


def _enough(work: Work, this: Round, names: list[str]) -> None:
    least = work.project.settings.federated.min_nodes
    if len(names) < least:
        raise PermanentError(
            f"round {this.number} has {len(names)} updates ({', '.join(names) or 'none'}) and needs {least} "
            f"([federated].min_nodes); the logs of train_{this.number} say why the others are missing"
        )


def _check_model(work: Work, run: Run) -> None:
    if work.tracking.model_of(run) is None:
        raise PermanentError(
            f"[federated].aggregate ended well but logged no model in run {run.run_id}; in the last round "
            "($MLOPS_ROUND is $MLOPS_ROUNDS) log it within `mlflow.start_run()`, or leave [serve].model empty"
        )
