# SPDX-License-Identifier: Apache-2.0
"""Messages of the command line: what a validation found."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mlops.contracts.message import ProjectEvent
from mlops.contracts.units import OpenEnum


class Outcome(OpenEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


class ValidationFinished(ProjectEvent):
    """A check of a validation suite has ended."""

    type: ClassVar[str] = "validation.finished"
    about: ClassVar[str | None] = "check"

    suite: str = Field(max_length=128, description="The suite of validations.")
    check: str = Field(max_length=128, description="The check within the suite.")
    outcome: Outcome = Field(description="How the check ended.")
    figures: dict[str, float] = Field(
        default_factory=dict, description="Measured figures, the unit in each name."
    )
    note: str = Field(
        default="", max_length=1000, description="What a person should know about it."
    )
