# SPDX-License-Identifier: Apache-2.0
"""What versioning is told at start: where contents are kept, and how long DVC stays in memory."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from mlops.chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    """The settings of versioning; everything has a place under `$MLOPS_HOME/data`."""

    remote: str = Field(
        default="",
        validation_alias="VERSIONING_REMOTE",
        description="Folder or URL below which each project gets its remote; empty is `$MLOPS_HOME/data/remote`.",
    )
    idle: timedelta = Field(
        default=timedelta(minutes=2),
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
        return (self.remote or str(self.data_dir / "remote")).rstrip("/")
