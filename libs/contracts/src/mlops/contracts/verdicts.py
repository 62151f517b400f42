# SPDX-License-Identifier: Apache-2.0
"""What messages of monitoring are made of: columns, windows, suspects, and how bad something is."""

from __future__ import annotations

from pydantic import AwareDatetime, Field

from mlops.contracts.message import Part
from mlops.contracts.units import OpenEnum, Ratio


class DriftKind(OpenEnum):
    """What drifted."""

    DATA = "data"
    PREDICTION = "prediction"
    LABEL = "label"
    CONCEPT = "concept"
    MISSING = "missing"
    UNKNOWN = "unknown"


class Severity(OpenEnum):
    """How much a person should care."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


class ColumnDrift(Part):
    """How far one column is from its reference."""

    name: str = Field(max_length=256, description="The column.")
    test: str = Field(
        max_length=64,
        description="What was measured or found: w1, psi (numbers), tvd (categories), range, unseen (values that the "
        "reference never had), constant, missing, absent (the column does not come), type (no numbers any more); metric (of a concept: the loss by labels).",
    )
    score: float = Field(description="Effect size of the test.")
    threshold: float = Field(description="The effect from which on the column counts as drifted.")
    p_value: Ratio | None = Field(default=None, description="Corrected for all columns.")
    drifted: bool = Field(description="Whether the column left its reference.")


class Window(Part):
    """The rows a statement is about."""

    index: int = Field(ge=0, description="Counts the windows of the model.")
    rows: int = Field(ge=0, description="Predictions in the window.")
    labelled: int = Field(
        default=0, ge=0, description="Predictions of the window whose truth is known."
    )
    first_at: AwareDatetime = Field(description="Time of the first prediction of the window.")
    last_at: AwareDatetime = Field(description="Time of the last prediction of the window.")


class Suspect(Part):
    """A possible cause, with what speaks for it."""

    cause: str = Field(max_length=64, description="data, concept, hardware, version …")
    evidence: str = Field(max_length=500, description="What was seen that speaks for the cause.")
