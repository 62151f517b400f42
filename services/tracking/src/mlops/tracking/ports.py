# SPDX-License-Identifier: Apache-2.0
"""What the rooms of tracking need: the outbox's rows, facts about runs and versions, the registry, workspaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from mlops.tracking.model.changes import CHAMPION, Row, Why
from mlops.tracking.model.facts import Origin, Package, RunFacts


@dataclass(frozen=True)
class Version:
    """A version in the registry, with the last metrics of its run (they may be NaN or infinite)."""

    name: str
    version: int
    run_id: str | None
    running: bool
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


class Rows(Protocol):
    """The outbox: written with the change itself, so a row exists exactly if the change does."""

    async def pending(self, most: int) -> list[Row]:
        """Return rows not yet told, oldest first."""

    async def told(self, sequences: Sequence[int]) -> None:
        """Mark rows as told; they are not pending any more."""

    async def prune(self, before: datetime) -> int:
        """Forget rows that were told before then; return how many. Rows not told are kept for ever."""

    async def wait(self, timeout: timedelta) -> None:
        """Return when a row was committed since the last `wait`, or after *timeout*."""


class Runs(Protocol):
    """What is known of runs and versions; each reads what is there now.

    Raises UnavailableError when the store is away.
    """

    async def run(self, run_id: str) -> RunFacts | None:
        """Return the facts of a run, deleted ones too, or None when it is gone for good."""

    async def origin(self, project: str, name: str, version: int) -> Origin | None:
        """Return where a version comes from, or None when it is gone."""

    async def package(self, project: str, source_uri: str) -> Package:
        """Return what the model's files say; an empty one when they cannot be read."""


class Registry(Protocol):
    """Model versions and their aliases.

    Raises UnavailableError when the store is away.
    """

    async def version(self, project: str, name: str, version: int) -> Version | None:
        """Return a version, or None."""

    async def champion(self, project: str, name: str, alias: str = CHAMPION) -> Version | None:
        """Return the version with the alias `champion`, or with another one, or None."""

    async def of_run(self, project: str, run_id: str) -> list[Version]:
        """Return the versions that were registered from a run, oldest first."""

    async def annotate(
        self, project: str, name: str, version: int, tags: Mapping[str, str]
    ) -> None:
        """Set tags of a version, in order; the same again changes nothing."""

    async def point(self, project: str, name: str, alias: str, version: int, why: Why) -> None:
        """Let *alias* name a version; the same again changes nothing and makes no row."""


class Catalogue(Protocol):
    """What exists, for errors that help."""

    async def models(self, project: str) -> dict[str, list[int]]:
        """Return up to 20 models of a project with their latest versions, newest first."""


class Workspaces(Protocol):
    """Where the runs of a project live."""

    async def provision(self, project: str) -> dict[str, str]:
        """Make workspace and experiment of a project, once; return their names.

        Raises RejectedError when MLflow will never take the name, UnavailableError when the store is away.
        """
