# SPDX-License-Identifier: Apache-2.0
"""What the gateway is told at start: who may enter, how much they may bring, how long an answer may take."""

from __future__ import annotations

from pydantic import AliasChoices, Field, SecretStr

from mlops.chassis.settings import ServiceSettings


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
