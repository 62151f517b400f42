# SPDX-License-Identifier: Apache-2.0
"""What tracking is told at start; where its runs and artifacts are kept."""

from __future__ import annotations

from datetime import timedelta

from pydantic import AliasChoices, Field

from mlops.chassis.settings import ServiceSettings
from mlops.contracts.units import Duration


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
        description="Where artifacts go: a folder or s3://…; empty means `artifacts` in the home folder.",
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
    least_free_mb: int = Field(
        default=100,
        ge=0,
        validation_alias="TRACKING_LEAST_FREE_MB",
        description="Below this much free disk for a SQLite store the service is not ready.",
    )

    @property
    def store(self) -> str:
        """Return the URI of the store."""
        return self.store_uri or f"sqlite:///{self.state_dir('tracking') / 'mlflow.db'}"

    @property
    def artifacts_uri(self) -> str:
        """Return where artifacts are kept."""
        return self.artifacts or str(self.home.resolve() / "artifacts")

    @property
    def tracking_uri(self) -> str:
        """Return what MLflow's clients take as MLFLOW_TRACKING_URI."""
        return self.public_uri or f"http://{self.http_host}:{self.http_port}"
