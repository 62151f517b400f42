# SPDX-License-Identifier: Apache-2.0
"""What workspaces remembers of a project, and what it needs to know of the machine's folders."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from pydantic import AwareDatetime, Field

from mlops.contracts.message import Part
from mlops.contracts.settings import ProjectSettings
from mlops.workspaces.model import Fact, Standing, State

MOST_ACTS = 64


class Provisioned(Part):
    """What one component last said about its part of a project: names, or why there are none."""

    names: dict[str, str] = Field(default_factory=dict)
    refusal: str | None = None
    revision: int
    at: AwareDatetime

    @property
    def order(self) -> tuple[int, datetime]:
        """Return what decides which of two reports is the newer."""
        return (self.revision, self.at)


class Act(Part):
    """How a command ended, so that its redelivery tells the same fact again."""

    command_id: str
    fact: Fact


class Project(Part):
    """The document of a project in the bucket `workspaces_projects`, by the project's name."""

    settings: ProjectSettings
    path: str | None = None
    state: State = State.ACTIVE
    revision: int = 1
    archive_reason: str = ""
    registered_at: AwareDatetime
    changed_at: AwareDatetime
    provisioned: dict[str, Provisioned] = Field(default_factory=dict)
    acts: tuple[Act, ...] = ()

    @property
    def standing(self) -> Standing:
        """Return the part of the document that decisions are about."""
        return Standing(self.state, self.revision, content_of(self.settings, self.path))

    def after(self, command_id: str, fact: Fact) -> tuple[Act, ...]:
        """Return the acts with one more, the oldest dropped."""
        return (*self.acts, Act(command_id=command_id, fact=fact))[-MOST_ACTS:]

    def fact_of(self, command_id: str) -> Fact | None:
        """Return how a command ended, or None when it is not (or no longer) known."""
        return next((act.fact for act in self.acts if act.command_id == command_id), None)


class Folders(Protocol):
    """The folders of the machine on which the platform runs."""

    def problem(self, path: str) -> str | None:
        """Return why *path* cannot be a project's folder (what, which and the fix), or None when it can."""


def content_of(settings: ProjectSettings, path: str | None) -> str:
    """Return everything a registration says as one canonical text."""
    return f"{path or ''}\n{settings.model_dump_json()}"
