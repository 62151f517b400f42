# SPDX-License-Identifier: Apache-2.0
"""What monitoring is told at start."""

from __future__ import annotations

from datetime import time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AliasChoices, Field, field_validator

from mlops.chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    """The settings of monitoring."""

    keep_windows: int = Field(
        default=20,
        ge=3,
        validation_alias=AliasChoices("MONITORING_KEEP_WINDOWS"),
        description="Newest full windows of a model whose rows are kept; older ones are given up if unlabelled.",
    )
    keep_waiting_rows: int = Field(
        default=1_000_000,
        ge=0,
        validation_alias=AliasChoices("MONITORING_KEEP_WAITING_ROWS"),
        description="Rows of a model, and of at most 500 windows, that are kept on disk beyond these while `label_horizon` "
        "waits for their labels.",
    )
    keep_reports: int = Field(
        default=20,
        ge=1,
        validation_alias=AliasChoices("MONITORING_KEEP_REPORTS"),
        description="Newest reports kept of each model.",
    )
    reports_url: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9]+://.+$",
        validation_alias=AliasChoices("MONITORING_REPORTS_URL"),
        description="Object storage for reports and Evidently's workspace, such as s3://bucket/prefix; else MLOPS_HOME.",
    )
    keep_reports_days: float = Field(
        default=90,
        gt=0,
        validation_alias=AliasChoices("MONITORING_KEEP_REPORTS_DAYS"),
        description="Reports and snapshots older than this go, when the next one of their model is written.",
    )
    snapshots_every_s: float = Field(
        default=3600,
        ge=0,
        validation_alias=AliasChoices("MONITORING_SNAPSHOTS_EVERY_S"),
        description="How often windows become snapshots for Evidently's curves, all in one go; 0 for never.",
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

    reports_at: str = Field(
        default="07:00",
        pattern=r"^(([01]\d|2[0-3]):[0-5]\d)?$",
        validation_alias=AliasChoices("MONITORING_REPORTS_AT"),
        description="When the reports of the day before, and on Mondays of the week before, are made (01:10 at the earliest); empty for never.",
    )
    reports_zone: str = Field(
        default="UTC",
        validation_alias=AliasChoices("MONITORING_REPORTS_ZONE"),
        description="Time zone of reports, such as Europe/Berlin: of their clock, their days and what they show.",
    )
    gateway_url: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        validation_alias=AliasChoices("MLOPS_PUBLIC_URL", "gateway"),
        description="Where people reach the gateway, such as https://mlops.example.org; else as endpoints.json has it.",
    )
    keep_period_reports: int = Field(
        default=60,
        ge=1,
        validation_alias=AliasChoices("MONITORING_KEEP_PERIOD_REPORTS"),
        description="Newest daily, weekly and asked reports kept of each project.",
    )

    @field_validator("reports_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            return ZoneInfo(name).key
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"{name!r} is no time zone; write one such as Europe/Berlin"
            ) from error

    @property
    def reports_time(self) -> time | None:
        """Return when reports are made; None for never."""
        return time.fromisoformat(self.reports_at) if self.reports_at else None

    @property
    def zone(self) -> ZoneInfo:
        """Return the time zone of reports."""
        return ZoneInfo(self.reports_zone)

    @property
    def reports_root(self) -> str:
        """Return the folder or the address under which reports and Evidently's workspace are kept."""
        return self.reports_url or str(self.home.resolve())

    @property
    def brought_dir(self) -> Path:
        """Return where the gateway keeps the tables that callers brought."""
        return self.home.resolve() / "state" / "gateway" / "files"

    @property
    def alerts_file(self) -> Path:
        """Return where the channels for alerts stand, with their secrets."""
        return self.home.resolve() / "alerts.toml"

    @property
    def report_idle(self) -> timedelta:
        """Return how long the report writer may be idle."""
        return timedelta(seconds=self.report_idle_s)

    @property
    def report_timeout(self) -> timedelta:
        """Return how long one report may take."""
        return timedelta(seconds=self.report_timeout_s)
