# SPDX-License-Identifier: Apache-2.0
"""AlertSettings: whom a project wants told of trouble, by the names of channels; addresses and secrets stay elsewhere."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from mlops.contracts.message import Part
from mlops.contracts.units import Duration

ChannelName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}$",
        description="The name of a channel, never its address: that may hold a secret.",
    ),
]


class AlertSettings(Part):
    """`[alerts]`: who hears of trouble; the channels stand in `$MLOPS_HOME/alerts.toml`."""

    notify: tuple[ChannelName, ...] = Field(
        default=(),
        max_length=20,
        description="Channels that are told at once; none means those that are `default` in alerts.toml.",
    )
    escalate: tuple[ChannelName, ...] = Field(
        default=(),
        max_length=20,
        description="Channels that are told one after the other while nobody acknowledges.",
    )
    escalate_after: Duration = Field(
        default=timedelta(minutes=30),
        description="Time before each next channel is told; 0s tells all at once, else at least a minute.",
    )
    repeat_every: Duration = Field(
        default=timedelta(hours=12),
        description="An alert that nobody acknowledges is told again after this time, at least a minute; 0s means never.",
    )
    settle: Duration = Field(
        default=timedelta(minutes=10),
        description="Trouble that comes back within this time is the same alert; its end is told after it.",
    )
