# SPDX-License-Identifier: Apache-2.0
"""What the agent is told at start: how often it looks and tells, and what it plays instead of looking."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, FilePath, field_validator

from mlops.chassis.settings import ServiceSettings
from mlops.telemetry_agent.model import scenario


class Settings(ServiceSettings):
    """The settings of the agent; by default it reads the real machine."""

    node: str = Field(
        default="",
        pattern=r"^([a-z0-9][a-z0-9-]{0,62})?$",
        validation_alias="TELEMETRY_AGENT_NODE",
        description="Name of this node; empty takes a random one that stays.",
    )
    read_every_s: float = Field(
        default=2.0,
        gt=0,
        le=60,
        validation_alias="TELEMETRY_AGENT_READ_EVERY_S",
        description="Pause between readings.",
    )
    sample_every_s: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        validation_alias="TELEMETRY_AGENT_SAMPLE_EVERY_S",
        description="Readings of this long become one telemetry.sampled.",
    )
    idle_sample_every_s: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        validation_alias="TELEMETRY_AGENT_IDLE_SAMPLE_EVERY_S",
        description="The same while the machine is cool and does little; it is then also read less often.",
    )
    powermetrics_socket: Path | None = Field(
        default=None,
        validation_alias="TELEMETRY_AGENT_POWERMETRICS_SOCKET",
        description="Socket of the optional root helper that runs powermetrics (macOS).",
    )
    recover_after_s: float = Field(
        default=60.0,
        ge=0,
        le=3600,
        validation_alias="TELEMETRY_AGENT_RECOVER_AFTER_S",
        description="A level is left only after this long below it.",
    )
    simulate: str = Field(
        default="",
        validation_alias="TELEMETRY_AGENT_SIMULATE",
        description='A scenario instead of the machine: "fanless_air:load=1.0,on=300,off=120,seed=7".',
    )
    replay: FilePath | None = Field(
        default=None,
        validation_alias="TELEMETRY_AGENT_REPLAY",
        description="A recording instead of the machine: one of `mlops telemetry record`, or any that `parse` reads.",
    )
    record: Path | None = Field(
        default=None,
        validation_alias="TELEMETRY_AGENT_RECORD",
        description="Also write raw readings here, as a recording.",
    )

    @field_validator("simulate")
    @classmethod
    def _can_be_played(cls, value: str) -> str:
        if value:
            scenario.parse(value)
        return value
