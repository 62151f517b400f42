# SPDX-License-Identifier: Apache-2.0
"""What the gateway is told at start: who may enter, how much they may bring, how long an answer may take."""

from __future__ import annotations

from datetime import timedelta

from pydantic import AliasChoices, Field, SecretStr

from mlops.chassis.settings import ServiceSettings
from mlops.contracts.units import Duration


class Settings(ServiceSettings):
    """The gateway's own settings; the token is written by `mlops up`, or set in the environment."""

    token: SecretStr = Field(
        min_length=16,
        validation_alias=AliasChoices("GATEWAY_TOKEN", "gateway_token"),
        description="What callers show as `Authorization: Bearer …`.",
    )
    infer_timeout_s: float = Field(
        default=30.0,
        gt=0,
        validation_alias=AliasChoices("GATEWAY_INFER_TIMEOUT_S"),
        description="How long a replica may take for one request.",
    )
    infer_max_bytes: int = Field(
        default=16 * 1024 * 1024,
        gt=0,
        validation_alias=AliasChoices("GATEWAY_INFER_MAX_BYTES"),
        description="Largest body of an inference request.",
    )
    api_max_bytes: int = Field(
        default=4 * 1024 * 1024,
        gt=0,
        validation_alias=AliasChoices("GATEWAY_API_MAX_BYTES"),
        description="Largest body of any other request.",
    )
    routes_every_s: float = Field(
        default=2.0,
        gt=0,
        validation_alias=AliasChoices("GATEWAY_ROUTES_EVERY_S"),
        description="How often serving is asked for its routes, besides at every deployment event.",
    )
    mlflow_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("GATEWAY_MLFLOW_URL", "mlflow"),
        description="Where MLflow is, which is shown under /mlflow.",
    )
    mlflow_timeout_s: float = Field(
        default=100.0,
        gt=0,
        validation_alias=AliasChoices("GATEWAY_MLFLOW_TIMEOUT_S"),
        description="How long MLflow may say nothing; less than the 120 s of its own clients.",
    )
    files_max_bytes: int = Field(
        default=256 * 1024 * 1024,
        gt=0,
        validation_alias=AliasChoices("GATEWAY_FILES_MAX_BYTES"),
        description="Largest table that is taken.",
    )
    files_keep: Duration = Field(
        default=timedelta(days=30),
        gt=timedelta(0),
        validation_alias=AliasChoices("GATEWAY_FILES_KEEP"),
        description="How long a table is kept after it was last brought.",
    )
    files_total_bytes: int = Field(
        default=8 * 1024**3,
        gt=0,
        validation_alias=AliasChoices("GATEWAY_FILES_TOTAL_BYTES"),
        description="How much all tables may have together; the oldest make room for new ones.",
    )
    judge_timeout_s: float = Field(
        default=120.0,
        gt=0,
        validation_alias=AliasChoices("GATEWAY_JUDGE_TIMEOUT_S"),
        description="How long monitoring may take to judge a table.",
    )
