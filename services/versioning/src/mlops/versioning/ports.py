# SPDX-License-Identifier: Apache-2.0
"""What versioning needs: a place for contents, a registry of versions, and its own memory of projects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydantic import AwareDatetime

from mlops.contracts.message import Part
from mlops.versioning.model import Content, Use, Version


@dataclass(frozen=True)
class Place:
    """Where a project's data stand: its folder, its remote, the cache that all projects share."""

    project: str
    folder: str
    remote: str
    cache: str


class Datasets(Protocol):
    """Contents of files and folders, kept by what they are.

    Promises: the project's own files are only ever read by `snapshot`, and stay writable after every call;
    a path that leaves the project's folder (absolute, `..`, or through a link) is refused; every call may be
    repeated, also after the process died in the middle of it.
    All raise RejectedError for what can never work (with path and fix), UnavailableError for the rest.
    """

    async def provision(self, place: Place) -> None:
        """Make the project's folder known to DVC: its remote, the shared cache."""

    async def snapshot(self, place: Place, path: str) -> Content:
        """Keep what stands at *path* in the cache and on the remote, and return it; both hold it then."""

    async def push(self, place: Place, oids: Sequence[str]) -> int:
        """Transfer what the remote lacks; return how many objects that were."""

    async def restore(self, place: Place, path: str, content: Content) -> None:
        """Put *content* at *path*, byte for byte, from the cache or else from the remote.

        Refuses to overwrite what no version holds.
        """


class Versions(Protocol):
    """The registry: numbered contents by project and name. A version never changes."""

    async def remember(self, wished: Version, command_id: str) -> Version:
        """Number *wished* as the next version (its own number and parent are ignored) and return it.

        A command that was remembered before gets the version it got then; content that the dataset had at
        the same path before gets that version. The row and the command's id are one write.
        """

    async def note(self, version: Version, command_id: str) -> None:
        """Keep that a command was about *version*, once; what it got before stays."""

    async def of_command(self, command_id: str) -> Version | None:
        """Return the version that a command got, or None."""

    async def known(self, project: str, name: str | None = None) -> list[Version]:
        """Return the versions of a project, or of one dataset, by name and number."""


class Reads(Protocol):
    """Which runs have read which versions."""

    async def record_uses(self, project: str, uses: Sequence[Use], at: datetime) -> None:
        """Keep which versions a run has read; repeating it changes nothing."""

    async def uses(self, project: str) -> list[Use]:
        """Return which versions the runs of a project have read, by run and name."""


class Registry(Versions, Reads, Protocol):
    """Versions and who has read them, in one place."""


class KnownProject(Part):
    """The document of a project in the bucket `versioning_projects`."""

    folder: str | None = None
    revision: int = 0
    archived: bool = False
    at: AwareDatetime
