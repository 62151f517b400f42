# SPDX-License-Identifier: Apache-2.0
"""`federated-train`: this machine trains on what it has, from the last common model, and hands its update in.

The update and the model travel as artifacts of the workflow's run: no machine needs another's disk. A shard that fails
does not fail the run; the aggregation decides whether the others suffice.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from mlops.client.steps import shards
from mlops.client.steps.errors import PassingError, PermanentError
from mlops.client.steps.folders import Folders
from mlops.client.steps.shards import Shard
from mlops.client.steps.tracking import Run
from mlops.client.steps.train import failed
from mlops.client.steps.work import Work, say


def perform(work: Work) -> None:
    """Train this shard once; an update that is there already is not made again."""
    shard, run = shards.shard_of(os.environ), work.run()
    folders = Folders(work.tracking.http, run)
    if folders.has(shard.update):
        say(f"round {shard.round.number}: the update of {shard.label} is there")
        return
    if run.status != "RUNNING":
        work.tracking.set_status(run, "RUNNING")
    with tempfile.TemporaryDirectory(prefix="mlops-shard-") as folder:
        model, update = Path(folder, "global"), Path(folder, "update")
        model.mkdir()
        update.mkdir()
        if shard.round.before and not folders.get(shard.round.before.result, model):
            raise PassingError(f"the model of round {shard.round.before.number} is not there")
        began = time.monotonic()
        _train(work, run, shard, model, update)
        _hand_in(work, run, shard, update, time.monotonic() - began)


def _train(work: Work, run: Run, shard: Shard, model: Path, update: Path) -> None:
    line = work.project.settings.federated.command.strip()
    given = {"MLOPS_GLOBAL_DIR": str(model), "MLOPS_UPDATE_DIR": str(update), **shard.environment}
    status = work.perform(line, run, given, work.project.settings.train.timeout)
    if status != 0:
        raise PermanentError(failed(work, "[federated].command", line, status))
    if not any(one.is_file() for one in update.rglob("*")):
        raise PermanentError(
            "[federated].command ended well but left nothing in $MLOPS_UPDATE_DIR; write what it learnt there"
        )


def _hand_in(work: Work, run: Run, shard: Shard, update: Path, took_s: float) -> None:
    told = shards.metrics(update)
    size = Folders(work.tracking.http, run).put(shard.update, update)
    named = {f"{name}/{shard.label}": value for name, value in told.items()}
    named |= {f"duration_s/{shard.label}": took_s, f"update_bytes/{shard.label}": float(size)}
    work.tracking.log(run.run_id, named, step=shard.round.number)
    say(f"round {shard.round.number}: {shard.label} handed in {size} bytes after {took_s:.1f} s")
