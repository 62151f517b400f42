# SPDX-License-Identifier: Apache-2.0
"""What tracking is told at start; where its runs and artifacts are kept."""

from __future__ import annotations

import re
from datetime import timedelta

from pydantic import AliasChoices, Field, field_validator

from mlops.chassis.settings import ServiceSettings
from mlops.contracts.units import Duration

_HOST = r"(\[[0-9A-Fa-f:]+\]|[^/:@\[\]]*)(:[0-9]{1,5})?"
_DATABASE = re.compile(
    r"sqlite:///(?!:memory:)[^?].*"
    rf"|(postgresql|mysql|mssql)(\+[a-z0-9_]+)?://([^@/]*@)?{_HOST}/[^/?].*"
)
_FORMS = (
    "is no database that MLflow knows: sqlite:////folder/mlflow.db or "
    "postgresql://user:password@host/name (in user and password write @ / : as %40 %2F %3A)"
)


class Settings(ServiceSettings):
    """The settings of tracking."""

    store_uri: str = Field(
        default="",
        validation_alias="TRACKING_STORE_URI",
        description="SQLAlchemy URI of runs and models; empty means SQLite in the home folder. "
        "PostgreSQL: postgresql://user:password@host/name, with the extra `postgres`.",
    )
    artifacts: str = Field(
        default="",
        validation_alias="TRACKING_ARTIFACTS",
        description="Where artifacts go: a folder, or s3://… with the extra `s3`; empty means `artifacts` in the home folder.",
    )
    public_uri: str = Field(
        default="",
        validation_alias=AliasChoices("TRACKING_PUBLIC_URI", "mlflow"),
        description="The address that clients use; empty means host and port of this process.",
    )
    keep_told: Duration = Field(
        default=timedelta(days=7),
        validation_alias="TRACKING_KEEP_TOLD",
        description="How long rows of the outbox are kept after they were told.",
    )
    reap_every: Duration = Field(
        default=timedelta(seconds=30),
        gt=timedelta(0),
        validation_alias="TRACKING_REAP_EVERY",
        description="How often runs are looked at that are RUNNING.",
    )
    stale_after: Duration = Field(
        default=timedelta(minutes=5),
        gt=timedelta(0),
        validation_alias="TRACKING_STALE_AFTER",
        description="A run that sends heartbeats is stale after this long without one.",
    )
    silent_after: Duration = Field(
        default=timedelta(hours=24),
        validation_alias="TRACKING_SILENT_AFTER",
        description="A run that never sent heartbeats is stale after this long without anything logged; 0 never.",
    )
    least_free_mb: int = Field(
        default=100,
        ge=0,
        validation_alias="TRACKING_LEAST_FREE_MB",
        description="Below this much free disk for a SQLite store the service is not ready.",
    )

    @field_validator("silent_after", mode="before")
    @classmethod
    def _never(cls, value: object) -> object:
        return "0s" if value in (0, "0") else value

    @field_validator("store_uri")
    @classmethod
    def _is_a_database(cls, uri: str) -> str:
        if uri and not _DATABASE.fullmatch(uri):
            raise ValueError(_FORMS)
        return uri

    @property
    def store(self) -> str:
        """Return the URI of the store."""
        if self.store_uri:
            return self.store_uri
        path = str(self.state_dir("tracking") / "mlflow.db")
        return f"sqlite:///{path.replace('%', '%25').replace('?', '%3F')}"

    @property
    def artifacts_uri(self) -> str:
        """Return where artifacts are kept."""
        return self.artifacts or str(self.home.resolve() / "artifacts")

    @property
    def tracking_uri(self) -> str:
        """Return what MLflow's clients take as MLFLOW_TRACKING_URI."""
        return self.public_uri or f"http://{self.http_host}:{self.http_port}"
