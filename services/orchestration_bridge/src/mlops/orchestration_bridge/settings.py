# SPDX-License-Identifier: Apache-2.0
"""What the bridge is told at start: where Airflow is, where its DAGs stand, and how much may run at once."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr

from mlops.chassis.settings import ServiceSettings
from mlops.contracts.units import Duration
from mlops.orchestration_bridge.model.heat import PATIENCE


class Settings(ServiceSettings):
    """The settings of orchestration_bridge."""

    airflow_url: str = Field(
        validation_alias=AliasChoices("ORCHESTRATION_BRIDGE_AIRFLOW_URL", "airflow"),
        description="Root of Airflow's API server.",
    )
    airflow_user: str = Field(
        default="bridge",
        validation_alias="ORCHESTRATION_BRIDGE_AIRFLOW_USER",
        description="A user of role `op`.",
    )
    airflow_password: SecretStr = Field(
        validation_alias=AliasChoices("ORCHESTRATION_BRIDGE_AIRFLOW_PASSWORD", "airflow_password")
    )
    dags_folder: Path | None = Field(
        default=None,
        validation_alias="ORCHESTRATION_BRIDGE_DAGS_FOLDER",
        description="Where Airflow reads DAG files; empty is `$MLOPS_HOME/airflow/dags`.",
    )
    step_python: str = Field(
        default=sys.executable,
        validation_alias="ORCHESTRATION_BRIDGE_STEP_PYTHON",
        description="The python that runs `mlops.client.steps` where Airflow's tasks run.",
    )
    max_parallel: int = Field(
        default=2,
        ge=1,
        le=1000,
        validation_alias="ORCHESTRATION_BRIDGE_MAX_PARALLEL",
        description="Workflows of all projects that may run at once on one machine.",
    )
    nodes: str = Field(
        default="",
        validation_alias="ORCHESTRATION_BRIDGE_NODES",
        description="Machines that take work, as their agents name them, separated by commas; "
        "empty are all that are heard of, and where none is, Airflow decides.",
    )
    node: str = Field(
        default="",
        validation_alias="ORCHESTRATION_BRIDGE_NODE",
        description="The machine on which Airflow itself runs steps; needed where several take work.",
    )
    edge: bool = Field(
        default=False,
        validation_alias="ORCHESTRATION_BRIDGE_EDGE",
        description="Whether other machines run steps too, as workers of Airflow's Edge executor.",
    )
    heat_patience: Duration = Field(
        default=PATIENCE,
        validation_alias="ORCHESTRATION_BRIDGE_HEAT_PATIENCE",
        description="How long a workflow waits at most for a machine that is not throttled (level 2), and never longer than "
        "such work usually takes; after that a throttled one will do. 0s: heat only decides which machine.",
    )
    recover_step_s: float = Field(
        default=120.0,
        gt=0,
        validation_alias="ORCHESTRATION_BRIDGE_RECOVER_STEP_S",
        description="After a machine was hot: between two slots that come back.",
    )
    pause: Duration = Field(
        default=timedelta(seconds=1),
        gt=timedelta(0),
        validation_alias="ORCHESTRATION_BRIDGE_PAUSE",
        description="Time between two looks at what runs.",
    )

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return the machines that take work, none where all do."""
        return tuple(sorted({name.strip() for name in self.nodes.split(",")} - {""}))

    @property
    def dags(self) -> Path:
        """Return the folder of DAG files."""
        return (self.dags_folder or self.home / "airflow" / "dags").resolve()
