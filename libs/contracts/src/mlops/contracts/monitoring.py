# SPDX-License-Identifier: Apache-2.0
"""Messages of monitoring: what changed in the world, and what it did to the model."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AwareDatetime, Field

from mlops.contracts.message import Part, ProjectCommand, ProjectEvent
from mlops.contracts.units import OpenEnum, Ratio


class DriftKind(OpenEnum):
    """What drifted."""

    DATA = "data"
    PREDICTION = "prediction"
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
    test: str = Field(max_length=64, description="The statistical test.")
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


class _ModelWatched(ProjectEvent):
    about: ClassVar[str | None] = "model"

    model: str = Field(max_length=256, description="Registered model.")
    version: int = Field(ge=1, description="Version in the registry.")


class DriftDetected(_ModelWatched):
    """The data of a model have left their reference, persistently or by far."""

    type: ClassVar[str] = "drift.detected"

    kind: DriftKind = Field(description="What drifted.")
    severity: Severity = Field(
        default=Severity.WARNING, description="How much a person should care."
    )
    columns: tuple[ColumnDrift, ...] = Field(
        default=(),
        max_length=64,
        description="The columns judged, the furthest from the reference first.",
    )
    share_drifted_ratio: Ratio = Field(description="Share of the columns that drifted.")
    window: Window = Field(description="The rows this is about.")
    report_uri: str | None = Field(default=None, max_length=1024, description="The full report.")
    suggestion: str = Field(default="", max_length=1000, description="What a person could do.")


class DriftCleared(_ModelWatched):
    """The data of a model are back at their reference, or have a new one."""

    type: ClassVar[str] = "drift.cleared"

    kind: DriftKind = Field(description="What had drifted.")
    window: Window = Field(description="The rows this is about.")


class PerformanceMeasured(_ModelWatched):
    """A window is labelled; this is how the model did in it."""

    type: ClassVar[str] = "performance.measured"

    metric: str = Field(max_length=128, description="Name of the metric, as in [evaluate].")
    value: float = Field(description="The metric over the labelled rows of the window.")
    expected: float | None = Field(
        default=None,
        description="The metric the version was promoted with, or showed in its first windows if that was better.",
    )
    degraded: bool = Field(default=False, description="Whether the value counts as degraded.")
    window: Window = Field(description="The rows this is about.")
    partial: bool = Field(
        default=False,
        description="Measured on demand while the window was still filling; it will be measured again.",
    )


class PerformanceDegraded(_ModelWatched):
    """A model does worse than promised, by its labels."""

    type: ClassVar[str] = "performance.degraded"

    metric: str = Field(max_length=128, description="Name of the metric, as in [evaluate].")
    value: float = Field(description="The metric over the labelled rows of the window.")
    expected: float | None = Field(
        default=None,
        description="The metric the version was promoted with, or showed in its first windows if that was better.",
    )
    threshold: float = Field(description="The value that counts as degraded.")
    against_version: int | None = Field(
        default=None,
        ge=1,
        description="The version that answers, where this one is still being rolled out beside it: `expected` is then "
        "what that one does on labels of the same time.",
    )
    window: Window = Field(description="The rows this is about.")
    suspects: tuple[Suspect, ...] = Field(
        default=(), max_length=16, description="Possible causes, the likeliest first."
    )
    report_uri: str | None = Field(default=None, max_length=1024, description="The full report.")
    suggestion: str = Field(default="", max_length=1000, description="What a person could do.")


class PerformanceRecovered(_ModelWatched):
    """A model does as promised again."""

    type: ClassVar[str] = "performance.recovered"

    metric: str = Field(max_length=128, description="Name of the metric, as in [evaluate].")
    value: float = Field(description="The metric over the labelled rows of the window.")
    threshold: float = Field(description="The value that counts as degraded.")
    window: Window = Field(description="The rows this is about.")


class ReferenceChosen(_ModelWatched):
    """Somebody has chosen what the windows of a version are compared with from now on."""

    type: ClassVar[str] = "reference.chosen"

    origin: str = Field(max_length=1024, description="The file it is from, or which windows.")
    rows: int | None = Field(
        default=None, ge=0, description="Rows it has; None while they are still to come."
    )
    metric: str | None = Field(
        default=None, max_length=128, description="Name of the metric, as in [evaluate]."
    )
    value: float | None = Field(
        default=None,
        description="The metric over these rows, where they hold the model's answers and the truth.",
    )


class ReportPublished(ProjectEvent):
    """A report can be read."""

    type: ClassVar[str] = "report.published"
    about: ClassVar[str | None] = "uri"

    kind: str = Field(max_length=64, description="drift, performance, demo …")
    model: str | None = Field(
        default=None,
        max_length=256,
        description="Registered model; None when the report is about more than one.",
    )
    uri: str = Field(max_length=1024, description="Where the report can be read.")
    size_bytes: int | None = Field(default=None, ge=0, description="Size of the report.")
    period_from: AwareDatetime | None = Field(
        default=None, description="Beginning of the time it covers."
    )
    period_to: AwareDatetime | None = Field(default=None, description="End of the time it covers.")


class AlertRaised(ProjectEvent):
    """Something wants a person's attention; one per dedup key until it is resolved."""

    type: ClassVar[str] = "alert.raised"
    about: ClassVar[str | None] = "alert_id"

    alert_id: str = Field(max_length=128, description="Names the alert.")
    severity: Severity = Field(description="How much a person should care.")
    title: str = Field(max_length=300, description="The alert in one line.")
    about_model: str | None = Field(
        default=None, max_length=256, description="Registered model that the alert is about."
    )
    dedup_key: str = Field(max_length=256, description="What it is about; one open alert per key.")
    links: tuple[str, ...] = Field(default=(), max_length=16, description="Where to look.")


class AlertAcknowledged(ProjectEvent):
    """A person has seen the alert."""

    type: ClassVar[str] = "alert.acknowledged"
    about: ClassVar[str | None] = "alert_id"

    alert_id: str = Field(max_length=128, description="Names the alert.")
    by: str = Field(default="", max_length=256, description="Who has seen it.")


class AlertResolved(ProjectEvent):
    """What the alert was about is over."""

    type: ClassVar[str] = "alert.resolved"
    about: ClassVar[str | None] = "alert_id"

    alert_id: str = Field(max_length=128, description="Names the alert.")
    reason: str = Field(default="", max_length=500, description="Why it is over.")


class SetReference(ProjectCommand):
    """Take the coming (or the named) rows as the reference of a model."""

    type: ClassVar[str] = "cmd.monitor.reference"
    about: ClassVar[str | None] = "model"

    model: str = Field(max_length=256, description="Registered model.")
    uri: str | None = Field(
        default=None,
        max_length=1024,
        description="CSV or Parquet file; None takes the next window.",
    )
    prediction: str | None = Field(
        default=None,
        max_length=256,
        description="Column of the file with the model's answers; None means `prediction`, where it is there.",
    )
    target: str | None = Field(
        default=None,
        max_length=256,
        description="Column of the file with the truth, which is no input of the model.",
    )


class EvaluateWindow(ProjectCommand):
    """Judge the open window now and write a full report."""

    type: ClassVar[str] = "cmd.monitor.evaluate"
    about: ClassVar[str | None] = "model"

    model: str = Field(max_length=256, description="Registered model.")


class AcknowledgeAlert(ProjectCommand):
    """Say that a person has seen the alert."""

    type: ClassVar[str] = "cmd.alert.acknowledge"
    about: ClassVar[str | None] = "alert_id"

    alert_id: str = Field(max_length=128, description="Names the alert.")
    by: str = Field(default="", max_length=256, description="Who has seen it.")
