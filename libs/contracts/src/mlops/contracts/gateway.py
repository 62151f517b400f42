# SPDX-License-Identifier: Apache-2.0
"""Messages of the gateway: the truth that arrives later."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AwareDatetime, Field

from mlops.contracts.message import Part, ProjectEvent
from mlops.contracts.serving import MOST_OF_A_VECTOR, Scalar


class Label(Part):
    """What turned out to be true for one prediction."""

    request_id: str = Field(max_length=128, description="The request id of the prediction.")
    label: Scalar = Field(description="The true value.")
    at: AwareDatetime = Field(description="When the truth was known.")
    numbers: tuple[float | None, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=MOST_OF_A_VECTOR,
        description="The true values where the answer is several numbers, in their order; `label` is None then.",
    )


class LabelRecorded(ProjectEvent):
    """Labels of earlier predictions are known; late, repeated and unordered ones are expected."""

    type: ClassVar[str] = "label.recorded"
    about: ClassVar[str | None] = "model"

    model: str = Field(max_length=256, description="Registered model.")
    labels: tuple[Label, ...] = Field(
        min_length=1,
        max_length=500,
        description="The labels, each with the prediction it belongs to.",
    )
