# SPDX-License-Identifier: Apache-2.0
"""What serving is told at start: where Ray, its HTTP door and MLflow are, and how patient to be."""

from __future__ import annotations

import sys

from pydantic import AliasChoices, Field

from mlops.chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    """The settings of serving; addresses come from the environment or `endpoints.json`."""

    ray_address: str = Field(
        validation_alias=AliasChoices("SERVING_RAY_ADDRESS", "ray"),
        description="host:port of the Ray head.",
    )
    serve_url: str = Field(
        validation_alias=AliasChoices("SERVING_URL", "serve"),
        description="Where Ray Serve answers HTTP, and where it is started when it does not run.",
    )
    mlflow_url: str = Field(
        validation_alias=AliasChoices("SERVING_MLFLOW_URL", "mlflow"),
        description="The tracking server and model registry.",
    )
    ingress: str = Field(
        default="haproxy" if sys.platform == "linux" else "direct",
        pattern="^(haproxy|direct)$",
        validation_alias="SERVING_INGRESS",
        description="haproxy: one door for all replicas; direct: a replica's own port (macOS).",
    )
    backend: str = Field(
        default="auto",
        max_length=32,
        validation_alias="SERVING_BACKEND",
        description="What runs models of projects that leave [serve].backend at auto; auto: by format and device.",
    )
    memory_gb: float | None = Field(
        default=None,
        gt=0,
        validation_alias="SERVING_MEMORY_GB",
        description="GiB that all replicas may take together; None: 60 % of this machine's memory less 0.7 GiB for Ray.",
    )
    drain_s: float = Field(
        default=6.0,
        gt=0,
        validation_alias="SERVING_DRAIN_S",
        description="How long a version runs on after its traffic has ended.",
    )
    start_timeout_s: float = Field(
        default=180.0,
        gt=0,
        validation_alias="SERVING_START_TIMEOUT_S",
        description="How long packing, and then starting, may take before the rollout has failed.",
    )
    tick_s: float = Field(
        default=0.25,
        gt=0,
        validation_alias="SERVING_TICK_S",
        description="Between two looks at a rollout.",
    )
    idle_s: float = Field(
        default=5.0,
        gt=0,
        validation_alias="SERVING_IDLE_S",
        description="Between two looks when nothing is under way.",
    )
    sidecar_idle_s: float = Field(
        default=60.0,
        gt=0,
        validation_alias="SERVING_SIDECAR_IDLE_S",
        description="How long the process that holds Ray, BentoML and MLflow stays without work.",
    )
    recover_step_s: float = Field(
        default=120.0,
        gt=0,
        validation_alias="SERVING_RECOVER_STEP_S",
        description="After a machine was hot: between two steps by which a replica computes more at once again.",
    )
    meter_s: float = Field(
        default=600.0,
        ge=1,
        validation_alias="SERVING_METER_S",
        description="Window of deployment.metered.",
    )
    meter_idle_s: float = Field(
        default=3600.0,
        ge=1,
        validation_alias="SERVING_METER_IDLE_S",
        description="The same of a version that answers nothing.",
    )
