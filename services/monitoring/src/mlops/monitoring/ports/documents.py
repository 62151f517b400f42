# SPDX-License-Identifier: Apache-2.0
"""Monitoring's documents on the bus: what projects want watched, alerts, silences, and what was made or told."""

from __future__ import annotations

from datetime import datetime

from pydantic import AwareDatetime, Field

from mlops.contracts.alerts import AlertSettings
from mlops.contracts.message import Part
from mlops.contracts.monitor_settings import MonitorSettings
from mlops.contracts.monitoring import Severity
from mlops.contracts.settings import EvaluateSettings
from mlops.monitoring.model.notices import Notice
from mlops.monitoring.model.speed import Pace


class FailedPage(Part):
    """How often the page of the period up to `until` failed, and when it is tried again."""

    until: AwareDatetime
    tries: int
    again_at: AwareDatetime


class MadeReports(Part):
    """Up to when reports of each kind were made by the clock; a document of `monitoring_reports`, by scope.

    `failed` are those kinds whose newest page could not be written yet.
    """

    until: dict[str, AwareDatetime] = Field(default_factory=dict)
    failed: dict[str, FailedPage] = Field(default_factory=dict)


class WatchedProject(Part):
    """What a project wants watched; a document of `monitoring_projects`, by the project's name.

    `told_at` is the time of the newest news of it: older ones, delivered late, change nothing.
    """

    evaluate: EvaluateSettings = EvaluateSettings()
    monitor: MonitorSettings = MonitorSettings()
    alerts: AlertSettings = AlertSettings()
    path: str | None = None
    revision: int = 0
    archived: bool = False
    told_at: AwareDatetime | None = None

    def knows_better(self, at: datetime) -> bool:
        """Return whether news of a time *at* are older than what is known."""
        return self.told_at is not None and at < self.told_at


class Alert(Part):
    """One thing that is, or was, wrong; a document of `monitoring_alerts`, by its dedup key.

    `raised_by` is the event that raised it last: first, worse, or again; empty where none ever did. `ended_at` is None for those that ended
    before it was noted.
    """

    alert_id: str
    project: str
    model: str
    kind: str
    severity: Severity
    title: str
    links: tuple[str, ...] = ()
    suggestion: str = ""
    raised_by: str
    story_id: str = ""
    raised_at: AwareDatetime
    heard_at: AwareDatetime
    count: int = 1
    acknowledged_by: str | None = None
    resolved_by: str | None = None
    ended_at: AwareDatetime | None = None
    reason: str = ""
    notices: tuple[Notice, ...] = ()

    @property
    def was_raised(self) -> bool:
        """Return whether there ever was an alert; else this only notes when it was last heard that all is well."""
        return bool(self.raised_by)

    @property
    def open(self) -> bool:
        """Return whether it still waits for somebody."""
        return self.resolved_by is None


class Silence(Part):
    """What nobody is told of until a time; a document of `monitoring_silences`, by its id."""

    project: str
    model: str | None = None
    kind: str | None = None
    until: AwareDatetime
    why: str = ""
    by: str = ""
    ended_by: str | None = None


class PaceBook(Part):
    """How fast one model answers; a document of `monitoring_pace`, by project and model."""

    pace: Pace
