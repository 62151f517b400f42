# SPDX-License-Identifier: Apache-2.0
"""ChannelsFile: `$MLOPS_HOME/alerts.toml`, the channels of the installation with their addresses and secrets.

A file that others on the machine can read is not used: addresses of channels are secrets. `${NAME}` in an address or a
secret stands for a variable of the service's environment.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, time
from pathlib import Path
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from mlops.chassis.errors import UnavailableError
from mlops.contracts.alerts import ChannelName
from mlops.contracts.monitoring import Severity
from mlops.monitoring.model.notices import Channel, Quiet

_RANK = {Severity.INFO: 1, Severity.WARNING: 2, Severity.CRITICAL: 3}
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_OTHERS = 0o077


class ChannelEntry(BaseModel):
    """`[channels.<name>]`: either `url`, an address of apprise, or `webhook`, an address that gets JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: SecretStr | None = None
    webhook: SecretStr | None = None
    secret: SecretStr | None = None
    least: Severity = Severity.WARNING
    quiet_hours: str = ""
    timezone: str = "UTC"
    default: bool = False

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.url is None) == (self.webhook is None):
            raise ValueError("give it either `url` or `webhook`")
        if self.secret is not None and self.webhook is None:
            raise ValueError("`secret` signs what a `webhook` gets; an `url` has none")
        if self.least is Severity.UNKNOWN:
            raise ValueError("`least` is info, warning or critical")
        self.quiet()
        return self

    def quiet(self) -> Quiet | None:
        """Return its quiet hours; ValueError when they cannot be read."""
        if not self.quiet_hours:
            return None
        found = _HOURS.fullmatch(self.quiet_hours)
        if found is None:
            raise ValueError('`quiet_hours` are written as "22:00-07:00"')
        hours = [int(part) for part in found.groups()]
        try:
            zone = UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"no time zone {self.timezone!r}; one is Europe/Berlin") from error
        return Quiet(time(hours[0], hours[1]), time(hours[2], hours[3]), zone)

    def rules(self) -> Channel:
        """Return what the channel wants to hear."""
        return Channel(least=_RANK[self.least], quiet=self.quiet())


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: dict[ChannelName, ChannelEntry] = Field(default_factory=dict)


@dataclass(frozen=True)
class Read:
    """The file as it is: its channels, or what is wrong with it."""

    channels: Mapping[str, ChannelEntry] = field(default_factory=dict)
    problem: str | None = None


class ChannelsFile:
    """Reads the file when it has changed."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self._path = path
        self._environ = environ
        self._seen: tuple[int, int, int] | None = None
        self._read = Read()

    def read(self) -> Read:
        """Return the channels; none, with the problem, when the file cannot be used."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._seen, self._read = None, Read()
            return self._read
        except OSError as error:
            return Read(problem=f"{self._path} cannot be read: {error.strerror}")
        seen = (found.st_mtime_ns, found.st_size, found.st_mode)
        if seen != self._seen:
            self._read, self._seen = self._fresh(found.st_mode), seen
        return self._read

    def filled(self, value: SecretStr) -> str:
        """Return an address or a secret with its variables filled in; UnavailableError when one is not set."""

        def fill(found: re.Match[str]) -> str:
            if found[1] not in self._environ:
                raise UnavailableError(
                    f"the variable {found[1]} is not set for the monitoring service; "
                    f"{self._path.name} names it"
                )
            return self._environ[found[1]]

        return _VARIABLE.sub(fill, value.get_secret_value())

    def _fresh(self, mode: int) -> Read:
        if os.name == "posix" and mode & _OTHERS:
            return Read(
                problem=f"others on this machine can read {self._path}, and channels' addresses are "
                f"secrets: chmod 600 {self._path}"
            )
        try:
            written = _Written.model_validate(tomllib.loads(self._path.read_text("utf-8")))
        except ValidationError as error:
            return Read(problem=f"{self._path}: {_first(error)}")
        except (OSError, ValueError) as error:
            return Read(problem=f"{self._path} cannot be read: {error}")
        return Read(written.channels)


def _first(error: ValidationError) -> str:
    # Without the input: it may be a secret.
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(step) for step in found['loc'])}: {found['msg']}"
