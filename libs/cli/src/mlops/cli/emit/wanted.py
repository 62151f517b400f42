# SPDX-License-Identifier: Apache-2.0
"""What the caller of `mlops deploy` said about a manifest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mlops.cli.errors import InputError


class Target(StrEnum):
    """Who is to run it."""

    KSERVE = "kserve"
    KUBERAY = "kuberay"
    COMPOSE = "compose"


@dataclass(frozen=True)
class Wanted:
    """For whom, and the rest, which means nothing without that."""

    target: Target | None
    image: str = ""
    storage_uri: str = ""
    name: str = ""
    file: Path | None = None

    @property
    def is_given(self) -> bool:
        """Return whether a manifest is wanted; InputError for options that go with one only."""
        if self.target is None and any((self.image, self.storage_uri, self.name, self.file)):
            raise InputError(
                "--image, --storage-uri, --name and --output are about a manifest", "add --emit"
            )
        return self.target is not None
