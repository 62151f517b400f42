# SPDX-License-Identifier: Apache-2.0
"""What things are called at Airflow: the DAGs and the pool of a project, the pool and queue of a machine."""

from __future__ import annotations

from mlops.orchestration_bridge.model.cohort import FEDERATED

TRAIN_DAG, FEDERATED_DAG = "__train", "__federated"


def dag_of(project: str, kind: str = "") -> str:
    """Return the DAG that runs a project's workflows of a kind."""
    return f"{project}{FEDERATED_DAG if kind == FEDERATED else TRAIN_DAG}"


def pool_of(project: str) -> str:
    """Return the pool of a project."""
    return f"p_{project}"


def pool_of_node(node: str) -> str:
    """Return the pool of a machine, which is also its queue where it works beside Airflow's own."""
    return f"n_{node}"
