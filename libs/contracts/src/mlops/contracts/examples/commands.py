# SPDX-License-Identifier: Apache-2.0
"""Example of a refused command: a dataset that is not there."""

from __future__ import annotations

from mlops.contracts.commands import CommandRefused
from mlops.contracts.message import Message

EXAMPLES: tuple[Message, ...] = (
    CommandRefused(
        project="rainfall",
        command_id="9d1b0c57-0f0a-4a2a-8a35-5d0a0c9e7f10",
        command_type="cmd.data.add",
        refused_by="versioning",
        reason="data/rain.csv does not exist in /home/ada/rainfall; check the path",
    ),
)
