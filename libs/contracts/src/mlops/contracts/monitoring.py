# SPDX-License-Identifier: Apache-2.0
"""Messages of monitoring: what changed in the world, and what it did to the model."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field

from mlops.contracts import verdicts
from mlops.contracts.message import ProjectCommand, ProjectEvent
from mlops.contracts.units import OpenEnum, Ratio

# Readers find beside a message what it is made of.
ColumnDrift = verdicts.ColumnDrift
DriftKind = verdicts.DriftKind
Severity = verdicts.Severity
Suspect = verdicts.Suspect
Window = verdicts.Window

# The scope of what is about every project; a project of this name, if there is one, stands for itself.
ALL_PROJECTS = "all-projects"
# The metric by which a model is told to be slow: the 95th percentile of its answer times.
LATENCY_P95 = "latency_p95_ms"


class _ModelWatched(ProjectEvent):
    about: ClassVar[str | None] = "model"

    model: str = Field(max_length=256, description="Registered model.")
    version: int = Field(ge=1, description="Version in the registry.")


class Series(OpenEnum):
    """A series of numbers, one for each prediction, whose level is watched."""

    ANSWER = "answer"
    ERROR = "error"
    LABEL = "label"
    UNKNOWN = "unknown"


class ChangeSuspected(_ModelWatched):
    """The level of a series has changed: an early warning, before any window is judged; nothing acts on it."""

    type: ClassVar[str] = "change.suspected"

    series: Series = Field(
        description="What changed: the model's answers, its errors, or the truth."
    )
    before: float = Field(description="Mean of the rows before the change.")
    after: float = Field(description="Mean of the rows since the change.")
    rows: int = Field(ge=1, description="Rows since the change.")
    suggestion: str = Field(default="", max_length=1000, description="What a person could do.")


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
    unexpected_columns: tuple[Annotated[str, Field(max_length=256)], ...] = Field(
        default=(),
        max_length=16,
        description="Columns that the reference does not have, the first of them; that is no drift.",
    )


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
    standard_error: float | None = Field(
        default=None,
        ge=0,
        description="By how much the value varies by chance, if the rows are independent.",
    )
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


class PerformanceUnmeasured(_ModelWatched):
    """A window was given up: too few of its labels came in time, or they and the answers do not give the metric."""

    type: ClassVar[str] = "performance.unmeasured"

    metric: str = Field(max_length=128, description="Name of the metric, as in [evaluate].")
    window: Window = Field(description="The rows this is about.")
    reason: str = Field(max_length=500, description="Why nothing can be said about them.")


class PerformanceDegraded(_ModelWatched):
    """A model does worse than promised, by its labels; or it answers slower than it used to."""

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

    @property
    def about_speed(self) -> bool:
        """Return whether it is about slow answers; no training mends those."""
        return self.metric == LATENCY_P95


class PerformanceRecovered(_ModelWatched):
    """A model does as promised again."""

    type: ClassVar[str] = "performance.recovered"

    metric: str = Field(max_length=128, description="Name of the metric, as in [evaluate].")
    value: float = Field(description="The metric over the labelled rows of the window.")
    threshold: float = Field(description="The value that counts as degraded.")
    window: Window = Field(description="The rows this is about.")

    @property
    def about_speed(self) -> bool:
        """Return whether it is about slow answers; no training mends those."""
        return self.metric == LATENCY_P95


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
    problem: str | None = Field(
        default=None,
        max_length=1000,
        description="Why the file of `[monitor] reference` was not taken, and the fix.",
    )


class ReportPublished(ProjectEvent):
    """A report can be read."""

    type: ClassVar[str] = "report.published"
    about: ClassVar[str | None] = "uri"

    kind: str = Field(
        max_length=64,
        description="drift, performance, evaluation, demo; of a time: day, week, period.",
    )
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
    figures_uri: str | None = Field(
        default=None, max_length=1024, description="The same figures as JSON."
    )
    picture_uris: tuple[str, ...] = Field(
        default=(), max_length=16, description="Its pictures as PNG, the first few."
    )
    page_url: str | None = Field(
        default=None,
        max_length=1024,
        description="Where people open it in a browser: its page at the gateway.",
    )


class AlertRaised(ProjectEvent):
    """Something wants a person's attention, got worse, or came back; one open alert per dedup key."""

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
    kind: str = Field(default="", max_length=64, description="What is wrong: data, performance …")
    suggestion: str = Field(
        default="", max_length=1000, description="What to do, and what that will take."
    )
    count: int = Field(default=1, ge=1, description="How often the trouble has begun so far.")


class AlertNotified(ProjectEvent):
    """A channel was told of an alert."""

    type: ClassVar[str] = "alert.notified"
    about: ClassVar[str | None] = "alert_id"

    alert_id: str = Field(max_length=128, description="Names the alert.")
    channel: str = Field(max_length=64, description="Name of the channel.")
    why: str = Field(max_length=32, description="raised, worse, escalated, repeated or resolved.")
    notice_id: str = Field(
        max_length=128, description="The same at every try; receivers drop what they had before."
    )
    tries: int = Field(default=1, ge=1, description="How many tries it took.")


class AlertSilenced(ProjectEvent):
    """Nobody is told of some alerts until a time; they are raised and shown all the same."""

    type: ClassVar[str] = "alert.silenced"
    about: ClassVar[str | None] = "silence_id"

    silence_id: str = Field(max_length=128, description="Names the silence.")
    model: str | None = Field(
        default=None, max_length=256, description="Registered model; None means every one."
    )
    kind: str | None = Field(
        default=None, max_length=64, description="What is wrong; None means whatever it is."
    )
    until: AwareDatetime = Field(description="When the silence ends by itself.")
    why: str = Field(default="", max_length=500, description="Why it was asked for.")
    by: str = Field(default="", max_length=256, description="Who asked for it.")


class AlertUnsilenced(ProjectEvent):
    """A silence was ended before its time."""

    type: ClassVar[str] = "alert.unsilenced"
    about: ClassVar[str | None] = "silence_id"

    silence_id: str = Field(max_length=128, description="Names the silence.")
    by: str = Field(default="", max_length=256, description="Who ended it.")


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


class AdvanceWindows(ProjectCommand):
    """Judge what time alone has made due: a window that is old enough, and labels that are waited for no longer."""

    type: ClassVar[str] = "cmd.monitor.advance"
    about: ClassVar[str | None] = "model"

    model: str = Field(max_length=256, description="Registered model.")


class MakeReport(ProjectCommand):
    """Write a report of a project over a time; of the project `all-projects`, over all of them."""

    type: ClassVar[str] = "cmd.report.make"

    period: str = Field(
        default="day",
        max_length=80,
        description="day or week (up to now), or FROM..TO: dates, or times as in ISO 8601.",
    )


class AcknowledgeAlert(ProjectCommand):
    """Say that a person has seen the alert."""

    type: ClassVar[str] = "cmd.alert.acknowledge"
    about: ClassVar[str | None] = "alert_id"

    alert_id: str = Field(max_length=128, description="Names the alert.")
    by: str = Field(default="", max_length=256, description="Who has seen it.")


class SilenceAlerts(ProjectCommand):
    """Tell nobody of some alerts of the project until a time."""

    type: ClassVar[str] = "cmd.alert.silence"

    model: str | None = Field(
        default=None, max_length=256, description="Registered model; None means every one."
    )
    kind: str | None = Field(
        default=None, max_length=64, description="What is wrong; None means whatever it is."
    )
    until: AwareDatetime = Field(description="When the silence ends by itself.")
    why: str = Field(default="", max_length=500, description="Why, for those who read later.")
    by: str = Field(default="", max_length=256, description="Who asks for it.")


class UnsilenceAlerts(ProjectCommand):
    """End a silence before its time."""

    type: ClassVar[str] = "cmd.alert.unsilence"
    about: ClassVar[str | None] = "silence_id"

    silence_id: str = Field(max_length=128, description="The silence, as in alert.silenced.")
    by: str = Field(default="", max_length=256, description="Who ends it.")
