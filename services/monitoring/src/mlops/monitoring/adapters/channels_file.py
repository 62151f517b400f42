# SPDX-License-Identifier: Apache-2.0
"""ChannelsFile: `$MLOPS_HOME/alerts.toml`, the channels of the installation with their addresses and secrets.

A file that others on the machine can read is not used: addresses of channels are secrets. `${NAME}` in an address or a
secret stands for a variable of the service's environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from mlops.chassis.errors import UnavailableError
from mlops.contracts.channels import (
    OTHERS,
    VARIABLE,
    ChannelEntry,
    ChannelsError,
    channels_of,
)
from mlops.contracts.monitoring import Severity
from mlops.monitoring.model.notices import Channel, Quiet

_RANK = {Severity.INFO: 1, Severity.WARNING: 2, Severity.CRITICAL: 3}


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

        return VARIABLE.sub(fill, value.get_secret_value())

    def _fresh(self, mode: int) -> Read:
        if os.name == "posix" and mode & OTHERS:
            return Read(
                problem=f"others on this machine can read {self._path}, and channels' addresses are "
                f"secrets: chmod 600 {self._path}"
            )
        try:
            return Read(channels_of(self._path.read_text("utf-8")))
        except ChannelsError as error:
            return Read(problem=f"{self._path}: {error}")
        except (OSError, UnicodeDecodeError) as error:
            return Read(problem=f"{self._path} cannot be read: {error}")


def rules_of(entry: ChannelEntry) -> Channel:
    """Return what a channel wants to hear."""
    quiet = entry.quiet()
    known = None if quiet is None else Quiet(*quiet)
    return Channel(_RANK[entry.least], known, bundles=entry.url is not None)
