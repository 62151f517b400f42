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
        description="How long a replica may say nothing, before an answer or between its pieces.",
    )
    infer_under_way: int = Field(
        default=512,
        gt=0,
        validation_alias=AliasChoices("GATEWAY_INFER_UNDER_WAY"),
        description="How many requests may be under way to one model; more are turned away with 429.",
    )
    infer_max_bytes: int = Field(
        default=16 * 1024 * 1024,
        gt=0,
        validation_alias=AliasChoices("GATEWAY_INFER_MAX_BYTES"),
        description="Largest body of an inference request.",
    )
    infer_total_bytes: int = Field(
        default=256 * 1024 * 1024,
        gt=0,
        validation_alias=AliasChoices("GATEWAY_INFER_TOTAL_BYTES"),
        description="How much all bodies of inference may have together; more are turned away with 429.",
    )
    infer_body_timeout_s: float = Field(
        default=30.0,
        gt=0,
        validation_alias=AliasChoices("GATEWAY_INFER_BODY_TIMEOUT_S"),
        description="How long a caller may take to send the body of an inference request.",
    )
    wake_timeout_s: float = Field(
        default=60.0,
        gt=0,
        validation_alias=AliasChoices("GATEWAY_WAKE_TIMEOUT_S"),
        description="How long a request waits for a model that is asleep, or of which no replica answers.",
    )
    wake_waiting: int = Field(
        default=256,
        gt=0,
        validation_alias=AliasChoices("GATEWAY_WAKE_WAITING"),
        description="How many requests may wait for one model that is asleep.",
    )
    grpc_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        validation_alias=AliasChoices("GATEWAY_GRPC_PORT"),
        description="Where inference is answered over gRPC, too; 0 takes a free port, without it there is none.",
    )
    grpc_calls: int = Field(
        default=64,
        gt=0,
        validation_alias=AliasChoices("GATEWAY_GRPC_CALLS"),
        description="How many gRPC calls may be under way at once.",
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
