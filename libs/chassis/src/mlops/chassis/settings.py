# SPDX-License-Identifier: Apache-2.0
"""What every service is told at start: environment first, then what `mlops up` wrote in `$MLOPS_HOME`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

ENDPOINTS = "endpoints.json"
CREDENTIALS = "credentials.json"


class ServiceSettings(BaseSettings):
    """The settings all services share; a service adds its own under its own prefix.

    Addresses and secrets have no default: they come from the environment or from the files that a running
    installation keeps in its home folder, and a service without them does not start.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    home: Path = Field(
        default=Path(".mlops"),
        validation_alias=AliasChoices("MLOPS_HOME"),
        description="State of the installation.",
    )
    nats_url: str = Field(
        validation_alias=AliasChoices("NATS_URL", "nats"), description="Where the bus is."
    )
    nats_token: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("NATS_TOKEN", "nats_token")
    )
    log_level: str = Field(default="info", validation_alias="MLOPS_LOG_LEVEL")
    http_host: str = Field(default="127.0.0.1", validation_alias="MLOPS_HTTP_HOST")
    http_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        validation_alias="MLOPS_HTTP_PORT",
        description="0 takes a free port.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings' signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments, then the environment, then the home folder."""
        return init_settings, env_settings, _HomeFiles(settings_cls)

    def state_dir(self, service: str) -> Path:
        """Return (and make) the folder in which a service keeps its own files."""
        folder = self.home.resolve() / "state" / service
        folder.mkdir(parents=True, exist_ok=True)
        return folder


class _HomeFiles(PydanticBaseSettingsSource):
    """`endpoints.json` and `credentials.json` of the installation's home folder, where they exist."""

    def __call__(self) -> dict[str, Any]:
        home = Path(str(self._home()))
        found: dict[str, Any] = {}
        for name in (ENDPOINTS, CREDENTIALS):
            path = home / name
            if path.is_file():
                found.update(json.loads(path.read_text()))
        known = {
            choice
            for field in self.settings_cls.model_fields.values()
            for choice in _aliases(field)
        }
        return {key: value for key, value in found.items() if key in known}

    def get_field_value(
        self,
        field: FieldInfo,  # noqa: ARG002 - pydantic-settings' signature
        field_name: str,
    ) -> tuple[Any, str, bool]:
        """Unused: all values come at once from the files."""
        return None, field_name, False

    def _home(self) -> object:
        return self.current_state.get("home") or self.current_state.get("MLOPS_HOME") or ".mlops"


def _aliases(field: FieldInfo) -> list[str]:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [str(alias)] if alias else []
