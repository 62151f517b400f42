# SPDX-License-Identifier: Apache-2.0
"""Where Airflow runs a heavy step: on the machine that the bridge has placed its workflow on, as the run's conf says.

Airflow imports this file at its start from the folder `config` of its home; it must stand alone and import nothing of the
platform. What was placed on Airflow's own machine, or on one that it does not reach, stays with the LocalExecutor.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["task_instance_mutation_hook"]

EXECUTOR = "edge"
TRAIN, FEDERATED = "__train", "__federated"


def task_instance_mutation_hook(task_instance: Any, dag_run: Any = None) -> None:
    """Send a heavy step to the queue of its machine. It must never fail: the scheduler would go down with it."""
    conf = getattr(dag_run, "conf", None)
    node = placed(task_instance, conf if isinstance(conf, dict) else {})
    if not node:
        return
    found, queue = registry(), f"n_{node}"
    if node in (found.get("machines") or ()) and queue != found.get("node_pool"):
        task_instance.queue = task_instance.pool = queue
        task_instance.executor = EXECUTOR


def placed(task_instance: Any, conf: dict[str, Any]) -> str:
    """Return the machine that a step was placed on; empty for one that is light, or placed nowhere."""
    dag_id, task_id = str(task_instance.dag_id), str(task_instance.task_id)
    if dag_id.endswith(TRAIN) and task_id in ("train", "evaluate"):
        return str(conf.get("node") or "")
    if dag_id.endswith(FEDERATED) and task_id.startswith("train_"):
        nodes, at = conf.get("nodes"), task_instance.map_index
        if isinstance(nodes, list) and nodes and isinstance(at, int) and at >= 0:
            return str(nodes[at % len(nodes)])
    return ""


def registry() -> dict[str, Any]:
    """Return what the bridge has written beside its DAG file; nothing where it cannot be read."""
    from airflow.configuration import conf  # noqa: PLC0415 - Airflow is still starting when it imports this

    try:
        found = json.loads((Path(conf.get("core", "dags_folder")) / "registry.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
