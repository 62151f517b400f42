# SPDX-License-Identifier: Apache-2.0
"""How a command that cannot be carried out is answered, whichever service owns it."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mlops.contracts.message import ProjectEvent


class CommandRefused(ProjectEvent):
    """The owner of a command will not carry it out; sending it again cannot help."""

    type: ClassVar[str] = "command.refused"
    about: ClassVar[str | None] = "command_id"
    answers: ClassVar[str] = "cmd."

    command_id: str = Field(max_length=128, description="Id of the refused command.")
    command_type: str = Field(max_length=128, description="Type of the refused command.")
    refused_by: str = Field(max_length=64, description="The service that owns the command.")
    reason: str = Field(max_length=2000, description="What is wrong, which, and the fix.")
