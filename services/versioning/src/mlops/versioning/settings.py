# SPDX-License-Identifier: Apache-2.0
"""What versioning is told at start: where contents are kept, and how long DVC stays in memory."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import SettingsConfigDict

from mlops.chassis.settings import ServiceSettings
from mlops.chassis.sidecar import IDLE
from mlops.contracts.datasets import DataSettings, bytes_per_s, remote_problem
from mlops.contracts.units import Duration


class Settings(ServiceSettings):
    """The settings of versioning; everything has a place under `$MLOPS_HOME/data`."""

    # What is refused may hold a password, and the refusal goes into the log.
    model_config = SettingsConfigDict(hide_input_in_errors=True)

    remote: str = Field(
        default="",
        validation_alias="VERSIONING_REMOTE",
        description="Folder or URL below which each project gets its remote; empty is `$MLOPS_HOME/data/remote`.",
    )
    bandwidth: str = Field(
        default="",
        validation_alias="VERSIONING_BANDWIDTH",
        description="Most that each project's transfers to and from its remote may take (`20MB/s`, `100Mbit/s`); "
        "empty is no limit.",
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

    @field_validator("remote")
    @classmethod
    def _no_credentials(cls, remote: str) -> str:
        # The rule of a project's own remote: it is written into every project's configuration, and into events.
        if "://" in remote:
            try:
                DataSettings(remote=remote)
            except ValidationError as error:
                # Its own words would repeat the password.
                raise ValueError(error.errors(include_input=False)[0]["msg"]) from None
            if problem := remote_problem(remote):
                raise ValueError(problem)
        return remote

    @field_validator("bandwidth")
    @classmethod
    def _is_a_rate(cls, bandwidth: str) -> str:
        bytes_per_s(bandwidth)
        return bandwidth

    @property
    def data_dir(self) -> Path:
        """Return the folder of the shared cache and the default remote."""
        return self.home.resolve() / "data"

    @property
    def own_remotes(self) -> Path:
        """Return the folder of remotes that no other installation has."""
        return self.data_dir / "remote"

    @property
    def remote_root(self) -> str:
        """Return where each project's remote goes, without the project."""
        if "://" in self.remote:
            return self.remote.rstrip("/")
        # DVC would take a relative path as relative to each project.
        folder = Path(self.remote).expanduser() if self.remote else self.own_remotes
        return str(folder.resolve())
