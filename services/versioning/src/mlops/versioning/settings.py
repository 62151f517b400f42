# SPDX-License-Identifier: Apache-2.0
"""What versioning is told at start: where contents are kept, and how long DVC stays in memory."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field

from mlops.chassis.settings import ServiceSettings
from mlops.chassis.sidecar import IDLE
from mlops.contracts.units import Duration


class Settings(ServiceSettings):
    """The settings of versioning; everything has a place under `$MLOPS_HOME/data`."""

    remote: str = Field(
        default="",
        validation_alias="VERSIONING_REMOTE",
        description="Folder or URL below which each project gets its remote; empty is `$MLOPS_HOME/data/remote`.",
    )
    mlflow_url: str = Field(
        default="",
        validation_alias=AliasChoices("VERSIONING_MLFLOW_URL", "mlflow"),
        description="The model registry whose models are versioned; empty versions none.",
    )
    idle: Duration = Field(
        default=IDLE,
        validation_alias="VERSIONING_IDLE",
        description="DVC's process ends after this long without work.",
    )

    @property
    def data_dir(self) -> Path:
        """Return the folder of the shared cache and the default remote."""
        return self.home.resolve() / "data"

    @property
    def remote_root(self) -> str:
        """Return where each project's remote goes, without the project."""
        if "://" in self.remote:
            return self.remote.rstrip("/")
        # DVC would take a relative path as relative to each project.
        folder = Path(self.remote).expanduser() if self.remote else self.data_dir / "remote"
        return str(folder.resolve())
