# SPDX-License-Identifier: Apache-2.0
"""What monitoring is told at start."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import AliasChoices, Field

from mlops.chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    """The settings of monitoring."""

    keep_windows: int = Field(
        default=20,
        ge=3,
        validation_alias=AliasChoices("MONITORING_KEEP_WINDOWS"),
        description="Newest full windows of a model whose rows are kept; older ones are given up if unlabelled.",
    )
    keep_reports: int = Field(
        default=20,
        ge=1,
        validation_alias=AliasChoices("MONITORING_KEEP_REPORTS"),
        description="Newest reports kept of each model.",
    )
    report_idle_s: float = Field(
        default=60,
        gt=0,
        validation_alias=AliasChoices("MONITORING_REPORT_IDLE_S"),
        description="The report writer gives its memory back after this many idle seconds.",
    )
    report_timeout_s: float = Field(
        default=180,
        gt=0,
        validation_alias=AliasChoices("MONITORING_REPORT_TIMEOUT_S"),
        description="A report that takes longer is given up.",
    )

    @property
    def reports_dir(self) -> Path:
        """Return where reports are kept."""
        return self.home.resolve() / "reports"

    @property
    def evidently_dir(self) -> Path:
        """Return the workspace that Evidently's own interface shows."""
        return self.home.resolve() / "evidently"

    @property
    def brought_dir(self) -> Path:
        """Return where the gateway keeps the tables that callers brought."""
        return self.home.resolve() / "state" / "gateway" / "files"

    @property
    def report_idle(self) -> timedelta:
        """Return how long the report writer may be idle."""
        return timedelta(seconds=self.report_idle_s)

    @property
    def report_timeout(self) -> timedelta:
        """Return how long one report may take."""
        return timedelta(seconds=self.report_timeout_s)
