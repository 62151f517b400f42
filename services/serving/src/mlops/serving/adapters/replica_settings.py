# SPDX-License-Identifier: Apache-2.0
"""What a replica is told by the environment of its Ray head, beside the arguments of its application."""

from __future__ import annotations

from pydantic import AliasChoices, Field, SecretStr

from mlops.chassis.settings import ServiceSettings


class ReplicaSettings(ServiceSettings):
    """Bounds of one replica, where its bus is, and the secret that tokens are judged by."""

    # A replica answers without a bus, too; it then logs nothing.
    nats_url: str = Field(
        default="",
        validation_alias=AliasChoices("NATS_URL", "nats"),
        description="Where the bus is.",
    )
    gateway_token: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("GATEWAY_TOKEN", "gateway_token"),
        description="Secret of the installation's tokens; without it nobody is asked for one.",
    )
    max_body_mb: float = Field(
        default=64,
        gt=0,
        validation_alias="SERVING_REPLICA_MAX_BODY_MB",
        description="Largest body of a request in MiB, inflated.",
    )
    body_timeout_s: float = Field(
        default=30,
        gt=0,
        validation_alias="SERVING_REPLICA_BODY_TIMEOUT_S",
        description="Time within which a body must have arrived.",
    )
    infer_timeout_s: float = Field(
        default=30,
        gt=0,
        validation_alias="SERVING_REPLICA_INFER_TIMEOUT_S",
        description="Time for one call of the model, for a turn, and for each next piece of text.",
    )
