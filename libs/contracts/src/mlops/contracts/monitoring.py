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

    name: str = Field(max_length=256)
    test: str = Field(max_length=64)
    score: float = Field(description="Effect size of the test.")
    threshold: float = Field(description="The effect from which on the column counts as drifted.")
    p_value: Ratio | None = Field(default=None, description="Corrected for all columns.")
    drifted: bool


class Window(Part):
    """The rows a statement is about."""

    index: int = Field(ge=0, description="Counts the windows of the model.")
    rows: int = Field(ge=0, description="Predictions in the window.")
    labelled: int = Field(default=0, ge=0, description="Predictions of the window whose truth is known.")
    first_at: AwareDatetime
    last_at: AwareDatetime


class Suspect(Part):
    """A possible cause, with what speaks for it."""

    cause: str = Field(max_length=64, description="data, concept, hardware, version …")
    evidence: str = Field(max_length=500)


class _ModelWatched(ProjectEvent):
    about: ClassVar[str | None] = "model"

    model: str = Field(max_length=256)
    version: int = Field(ge=1, description="Version in the registry.")


class DriftDetected(_ModelWatched):
    """The data of a model have left their reference, persistently or by far."""

    type: ClassVar[str] = "drift.detected"

    kind: DriftKind
    severity: Severity = Severity.WARNING
    columns: tuple[ColumnDrift, ...] = Field(default=(), max_length=64)
    share_drifted_ratio: Ratio = Field(description="Share of the columns that drifted.")
    window: Window
    report_uri: str | None = Field(default=None, max_length=1024)
    suggestion: str = Field(default="", max_length=1000)


class DriftCleared(_ModelWatched):
    """The data of a model are back at their reference, or have a new one."""

    type: ClassVar[str] = "drift.cleared"

    kind: DriftKind
    window: Window


class PerformanceMeasured(_ModelWatched):
    """A window is labelled; this is how the model did in it."""

    type: ClassVar[str] = "performance.measured"

    metric: str = Field(max_length=128)
    value: float = Field(description="The metric over the labelled rows of the window.")
    expected: float | None = Field(default=None, description="The metric the version was promoted with.")
    degraded: bool = False
    window: Window


class PerformanceDegraded(_ModelWatched):
    """A model does worse than promised, by its labels."""

    type: ClassVar[str] = "performance.degraded"

    metric: str = Field(max_length=128)
    value: float = Field(description="The metric over the labelled rows of the window.")
    expected: float | None = Field(default=None, description="The metric the version was promoted with.")
    threshold: float = Field(description="The value that counts as degraded.")
    window: Window
    suspects: tuple[Suspect, ...] = Field(default=(), max_length=16)
    report_uri: str | None = Field(default=None, max_length=1024)
    suggestion: str = Field(default="", max_length=1000)


class PerformanceRecovered(_ModelWatched):
    """A model does as promised again."""

    type: ClassVar[str] = "performance.recovered"

    metric: str = Field(max_length=128)
    value: float = Field(description="The metric over the labelled rows of the window.")
    threshold: float = Field(description="The value that counts as degraded.")
    window: Window


class ReportPublished(ProjectEvent):
    """A report can be read."""

    type: ClassVar[str] = "report.published"
    about: ClassVar[str | None] = "uri"

    kind: str = Field(max_length=64, description="drift, performance, demo …")
    model: str | None = Field(default=None, max_length=256)
    uri: str = Field(max_length=1024)
    size_bytes: int | None = Field(default=None, ge=0, description="Size of the report.")
    period_from: AwareDatetime | None = None
    period_to: AwareDatetime | None = None


class AlertRaised(ProjectEvent):
    """Something wants a person's attention; one per dedup key until it is resolved."""

    type: ClassVar[str] = "alert.raised"
    about: ClassVar[str | None] = "alert_id"

    alert_id: str = Field(max_length=128)
    severity: Severity
    title: str = Field(max_length=300)
    about_model: str | None = Field(default=None, max_length=256)
    dedup_key: str = Field(max_length=256)
    links: tuple[str, ...] = Field(default=(), max_length=16)


class AlertAcknowledged(ProjectEvent):
    """A person has seen the alert."""

    type: ClassVar[str] = "alert.acknowledged"
    about: ClassVar[str | None] = "alert_id"

    alert_id: str = Field(max_length=128)
    by: str = Field(default="", max_length=256)


class AlertResolved(ProjectEvent):
    """What the alert was about is over."""

    type: ClassVar[str] = "alert.resolved"
    about: ClassVar[str | None] = "alert_id"

    alert_id: str = Field(max_length=128)
    reason: str = Field(default="", max_length=500)


class SetReference(ProjectCommand):
    """Take the coming (or the named) rows as the reference of a model."""

    type: ClassVar[str] = "cmd.monitor.reference"
    about: ClassVar[str | None] = "model"

    model: str = Field(max_length=256)
    uri: str | None = Field(default=None, max_length=1024, description="CSV or Parquet file; None takes the next window.")


class EvaluateWindow(ProjectCommand):
    """Judge the open window now and write a full report."""

    type: ClassVar[str] = "cmd.monitor.evaluate"
    about: ClassVar[str | None] = "model"

    model: str = Field(max_length=256)


class AcknowledgeAlert(ProjectCommand):
    """Say that a person has seen the alert."""

    type: ClassVar[str] = "cmd.alert.acknowledge"
    about: ClassVar[str | None] = "alert_id"

    alert_id: str = Field(max_length=128)
    by: str = Field(default="", max_length=256)
